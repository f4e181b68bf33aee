/* SPDX-License-Identifier: BSD-3-Clause */
/* tree.h - libbsd's red-black trees, with functions of file scope of which not all need be used. */
#ifndef PGMAP_PORT_TREE_H
#define PGMAP_PORT_TREE_H

#include <bsd/sys/tree.h>

#define TREE_GENERATE(name, type, field, compare)                                                                      \
	RB_GENERATE_INTERNAL(name, type, field, compare, __attribute__((unused)) static)

#endif
