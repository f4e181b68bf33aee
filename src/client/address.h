/* SPDX-License-Identifier: BSD-3-Clause */
/* address.h - one contiguous address range made of pieces of devices. Thread safety: any thread. */
#ifndef PGMAP_CLIENT_ADDRESS_H
#define PGMAP_CLIENT_ADDRESS_H

#include <errno.h>
#include <stdint.h>

#include "client/forkfd.h"
#include "server/protocol.h"

struct address {
	void *start;
	uint64_t bytes; /* whole granules */
};

/* What is to be mapped: the pieces, ascending and without a gap, from file offset offset_bytes on. */
struct address_plan {
	const struct proto_piece *pieces;
	uint64_t npieces;
	uint64_t offset_bytes, len_bytes;
	uint64_t granule_bytes;   /* of the pool: the smallest of its devices' */
	const struct forkfd *fds; /* to map from: one of each device */
	const uint8_t *devices;   /* PROTO_DEVICE_... of each */
	unsigned ndevices;
	int prot; /* of mmap */
};

/* Why mmap() failed. Memory that may not be locked (after mlockall()) is its EAGAIN, which says something else here. */
static inline int address_error(void)
{
	return errno == EAGAIN ? -ENOMEM : -errno;
}

/* -E2BIG more pieces than this process may map; -ENOMEM; -EPROTO pieces that do not make a range; -EPIPE there is no descriptor
 * any more. Then nothing is mapped. */
int address_map(const struct address_plan *plan, struct address *out);
/* Over the same addresses, from the plan's descriptors: another lease's. -ENOMEM: some pieces are where they were. */
int address_move(const struct address_plan *plan, const struct address *address);
/* address_change - by what another plan says, from the same first address on, with no moment at which an access to what both
 * have fails. -ENOMEM (more addresses are wanted, and they are in use; or no memory for it), -E2BIG, -EPROTO, -EPIPE: it is as it was. */
int address_change(const struct address_plan *from, const struct address_plan *to, struct address *address);
int address_unmap(const struct address *address);

#endif
