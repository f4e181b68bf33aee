/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guard.h - memory of a device is touched, and what cannot be had is an answer instead of a SIGBUS: bytes that have lost their
 * data (the machine's own word, BUS_MCEERR_AR), a hole that nothing is left to fill, a file that was cut, a device that is gone.
 *
 * Until guard_install() nothing is guarded, and nothing of the process changes. From then on its handler of SIGBUS is ours, and
 * the one that was there is called for whatever is not guarded: the program's own, or the system's way (it ends).
 *
 * Costs of a guarded call: a sigsetjmp() that saves no mask, and two stores to a variable of the thread.
 *
 * Thread safety: every call from any thread; not from signal handlers. A thread that blocks SIGBUS is not guarded: the kernel
 * ends a process that cannot be told. from, to: they do not overlap.
 */
#ifndef PGMAP_PORT_GUARD_H
#define PGMAP_PORT_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* What could not be had. */
struct guard_fault {
	int code;   /* si_code of the SIGBUS; 0: there was none */
	char *from; /* the first byte, and how many: pages, as the system says */
	size_t len_bytes;
};

/* guard_install - once a process: again, 0. -errno the handler cannot be set. */
int guard_install(void);
bool guard_installed(void);
/* guard_tell - memory errors that are met outside of a guarded call are written to this descriptor (a struct guard_fault each, by
 * the handler, before it goes on to the program's), in this process; -1: to none. */
void guard_tell(int fd);

/* The memory has lost its data, or (false) is not there. */
bool guard_is_memory_error(const struct guard_fault *fault);

/* The whole pages that such a signal is about: si_addr, and si_addr_lsb where it is a memory error. */
struct guard_fault guard_fault_at(int code, void *addr, unsigned lsb);

/* How many bytes of the device came before the first that cannot be had: all, or fault says why not. */
size_t guard_read(void *to, const void *device, size_t len_bytes, struct guard_fault *fault);
size_t guard_write(void *device, const void *from, size_t len_bytes, struct guard_fault *fault);
size_t guard_zero(void *device, size_t len_bytes, struct guard_fault *fault);
/* guard_probe - every cache line is read. */
size_t guard_probe(const void *device, size_t len_bytes, struct guard_fault *fault);

#endif
