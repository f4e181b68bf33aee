/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pick.h - which free pages a file gets: as big and aligned as what it asks for, and from the memory that fits it.
 *
 * A memory with a big granule gives what is at least a granule and aligned to it; the rest comes from smaller ones. So small
 * files leave it whole as long as there is room elsewhere. Where there is none, the end of what is asked for is rounded up to
 * a granule, and the file gets more pages than it needs: never beyond what it says (`reach`), and never before where it
 * begins, so its beginning has to be aligned to that granule. What begins or is wanted otherwise (a file's biggest folio is a
 * promise) is -ENOSPC, however much of bigger granules is free.
 *
 * Thread safety: under the space's lock, which they let go while they wait for the wiper's piece.
 */
#ifndef PGMAP_FS_PICK_H
#define PGMAP_FS_PICK_H

#include "fs/space.h"

/* pick_blocks - appended in ascending order, keyed by the file's pages, and used from then on. -ENOSPC, -ENOMEM: none.
 * pick_put_back - to where they came from, with memory and bytes as they are. */
int pick_blocks(struct space *space, const struct space_wish *wish, struct block_list *out);
void pick_put_back(struct space *space, struct block_list *blocks);

/* Used, and its state no longer that of free pages; or (back) the other way. */
void pick_count(struct space *space, const struct block *block, bool back);

/* Whether the wiper works on some of these. */
static inline bool pick_is_being_wiped(const struct space *space, uint64_t off, unsigned order)
{
	return space->wiping_pages && off < space->wiping + space->wiping_pages &&
	       space->wiping < off + (UINT64_C(1) << order);
}

#endif
