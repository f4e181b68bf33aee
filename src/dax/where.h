/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * where.h - which memory pages of a device lie on, whatever has become of it: for who gives its pages out (fs), and still
 * has them when a part is dead, or bad.
 *
 * Thread safety: how a device is made does not change while it is there, but for the parts that a linear stack gets and loses:
 * pages may be asked about from when their part was added until it is removed. Whether they are dead is the answer of a moment,
 * and dead stays dead.
 */
#ifndef PGMAP_DAX_WHERE_H
#define PGMAP_DAX_WHERE_H

#include <stdbool.h>

#include <pgmap/dax.h>

struct where {
	const struct dax_device *memory; /* a device that is no stack */
	uint64_t pgoff;                  /* of the memory */
	uint64_t npages;                 /* that lie there, one after the other: 1 to what was asked for */
	bool dead;                       /* the memory, or a device above it that has these pages */
};

/* where_is - pages that the device has. */
void where_is(struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct where *out);

/* where_span - what dax_direct_access() would answer of a memory's own pages, if it were alive and they were good. */
void where_span(const struct dax_device *memory, uint64_t pgoff, uint64_t npages, struct dax_span *out);

/* where_each_memory - fn for each memory that a device stands on: a stack's parts in their order. Not 0 ends and is returned. */
int where_each_memory(struct dax_device *dax, int (*fn)(const struct dax_device *memory, void *arg), void *arg);

#endif
