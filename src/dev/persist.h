/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * persist.h - when a store to a device is there after a power cut, and the call that sees to it. libpmem2 knows the processor's ways
 * and the platform's (persist_pmem2.c); persist_none.c is for a build without it.
 *
 * Thread safety: persist_flush() from any thread.
 */
#ifndef PGMAP_DEV_PERSIST_H
#define PGMAP_DEV_PERSIST_H

#include <stdint.h>

#include "dev/dev.h"

struct persist {
	enum dev_persistence granularity;
	int fd;    /* the device's, not ours */
	void *map; /* of all of it; null: it is not needed */
};

/* persist_init - find out, of persistent memory whose descriptor and length this is. It maps it, and touches nothing. pages: where
 * nothing better can be had, msync() will do (else: DEV_PERSIST_UNKNOWN). Zeroed is initialised too: volatile. */
void persist_init(struct persist *persist, int fd, uint64_t len_bytes, bool pages);
void persist_exit(struct persist *persist);

/* persist_flush - as dax_device_ops.flush. Volatile: 0. -EOPNOTSUPP it is not known how; or what msync() says. */
int persist_flush(const struct persist *persist, uint64_t offset_bytes, uint64_t len_bytes);

/* In persist_pmem2.c or persist_none.c: a mapping of all of it, where less than a page can be flushed, and how much less; or null. Its
 * end. A flush through it: these bytes and what shares a cache line with them. */
void *persist_map(int fd, uint64_t len_bytes, enum dev_persistence *granularity);
void persist_unmap(void *map);
void persist_map_flush(void *map, uint64_t offset_bytes, uint64_t len_bytes);

#endif
