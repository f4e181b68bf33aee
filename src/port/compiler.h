/* SPDX-License-Identifier: BSD-3-Clause */
/* compiler.h - hints to the compiler. */
#ifndef PGMAP_PORT_COMPILER_H
#define PGMAP_PORT_COMPILER_H

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* The compiler may rely on it. */
#define assume(x)                                                                                                      \
	do {                                                                                                           \
		if (!(x))                                                                                              \
			__builtin_unreachable();                                                                       \
	} while (0)

/* Exported: the public headers declare these, the rest of the library is hidden. */
#define PGMAP_PUBLIC __attribute__((visibility("default")))

#endif
