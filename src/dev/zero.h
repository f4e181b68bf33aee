/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zero.h - bytes of the device become zero, through its mapping here, and no signal comes of it.
 *
 * The kernel writes the zeros (a read of /dev/zero): where memory is missing behind an address, say because a client
 * punched the device and nothing is left to fill the hole with, it answers with an error what a store of ours would have
 * been told with a SIGBUS.
 *
 * Thread safety: zero_bytes() from any thread.
 */
#ifndef PGMAP_DEV_ZERO_H
#define PGMAP_DEV_ZERO_H

#include <stddef.h>

struct zero {
	int fd; /* of /dev/zero, or -1 */
};

void zero_init(struct zero *zero);
void zero_exit(struct zero *zero);
/* zero_bytes - 0, or -EFAULT: there is no memory behind some of them; those before may be zero already. */
int zero_bytes(const struct zero *zero, void *at, size_t len_bytes);

#endif
