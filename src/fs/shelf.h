/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * shelf.h - which pages of a pool are free: a buddy allocator for each granule that its memories have.
 *
 * A block of free pages lies on memory of one granule, and is whole granules of it: segments (places.h) begin and end at such,
 * and do not touch each other. So the smallest pages are found without passing by bigger ones, however many are free.
 *
 * Thread safety: none of its own; the space's lock.
 */
#ifndef PGMAP_FS_SHELF_H
#define PGMAP_FS_SHELF_H

#include <stdint.h>

#include "fs/buddy.h"
#include "fs/places.h"

struct shelf {
	const struct places *places;
	unsigned granules;                    /* bit k: there is memory of granule order k */
	struct buddy at[PGMAP_MAX_ORDER + 1]; /* by granule order */
};

/* shelf_init - all pages of these places are free. -ENOMEM. shelf_exit forgets them all. */
int shelf_init(struct shelf *shelf, const struct places *places);
void shelf_exit(struct shelf *shelf);

/* The allocator that has this page, free or not. */
static inline struct buddy *shelf_of(struct shelf *shelf, uint64_t off)
{
	return &shelf->at[places_granule(shelf->places, off)];
}

/* Among these orders (bits): the biggest and the smallest. There is one. */
static inline unsigned shelf_biggest(unsigned granules)
{
	return 31 - (unsigned)__builtin_clz(granules);
}
static inline unsigned shelf_smallest(unsigned granules)
{
	return (unsigned)__builtin_ctz(granules);
}

/* shelf_nfree - pages. shelf_free, shelf_at_or_after, shelf_take, shelf_take_range - as buddy.h has them; a range lies in one
 * segment. */
uint64_t shelf_nfree(const struct shelf *shelf);
void shelf_free(struct shelf *shelf, struct block *block);
struct block *shelf_at_or_after(struct shelf *shelf, uint64_t off);
int shelf_take(struct shelf *shelf, uint64_t off, unsigned order, struct block **out);
void shelf_take_range(struct shelf *shelf, uint64_t from, uint64_t end, struct block_list *out);

#endif
