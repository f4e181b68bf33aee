/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * granule.h - what of a file can be mapped, kept or lost only together, on a pool whose memories have several granules.
 *
 * An extent is whole granules of the memory that it lies on, and lies alike in the file: at a multiple of the granule. So
 * where a page of the file shares a granule with others is said by the page's number and its extent. A file owns whole granules: its
 * last one may reach beyond what its size needs. On a pool of one granule nothing is to be asked.
 *
 * Thread safety: the pool's namespace lock.
 */
#ifndef PGMAP_FS_GRANULE_H
#define PGMAP_FS_GRANULE_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/extent.h"
#include "fs/inode.h"
#include "fs/places.h"

/* granule_at - the order of the granule that this page of a file lies in: 2^order pages, aligned; the pool's in a hole. */
unsigned granule_at(const struct places *places, struct extents *extents, uint64_t page);
/* granule_end - the first page, at this one or behind it, that shares no granule with any before it: where a file can end,
 * and a range that is taken away begin. granule_is_cut - whether that is another page. */
uint64_t granule_end(const struct places *places, struct extents *extents, uint64_t page);
static inline bool granule_is_cut(const struct places *places, struct extents *extents, uint64_t page)
{
	return granule_end(places, extents, page) != page;
}
/* granule_file_end - behind the last page of a file whose size takes so many. */
uint64_t granule_file_end(const struct places *places, struct extents *extents, uint64_t npages);
/* granule_order - the biggest that the file has: of multiples of it, none is cut. granule_stat - fsdax_stat(). */
unsigned granule_order(const struct places *places, struct extents *extents);
void granule_stat(const struct places *places, struct inode *inode, struct fsdax_stat *out);

#endif
