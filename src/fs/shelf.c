/* SPDX-License-Identifier: BSD-3-Clause */
/* shelf.c - see shelf.h. */
#include "fs/shelf.h"

#include <errno.h>
#include <string.h>

int shelf_init(struct shelf *shelf, const struct places *places)
{
	const struct places_table *table = places_now(places);
	int err = 0;
	memset(shelf, 0, sizeof(*shelf));
	shelf->places = places;
	for (size_t i = 0; i < table->nsegments && !err; i++) {
		const struct places_segment *segment = &table->segments[i];
		shelf->granules |= 1U << segment->granule_order;
		err = buddy_add(&shelf->at[segment->granule_order], segment->base, segment->npages);
	}
	if (err)
		shelf_exit(shelf);
	return err;
}

void shelf_exit(struct shelf *shelf)
{
	for (unsigned granule = 0; granule <= PGMAP_MAX_ORDER; granule++)
		buddy_exit(&shelf->at[granule]);
}

uint64_t shelf_nfree(const struct shelf *shelf)
{
	uint64_t npages = 0;
	for (unsigned left = shelf->granules; left; left &= left - 1)
		npages += shelf->at[shelf_smallest(left)].nfree;
	return npages;
}

void shelf_free(struct shelf *shelf, struct block *block)
{
	buddy_free(shelf_of(shelf, block->off), block);
}

struct block *shelf_at_or_after(struct shelf *shelf, uint64_t off)
{
	struct block *first = NULL;
	for (unsigned left = shelf->granules; left; left &= left - 1) {
		struct block *block = buddy_at_or_after(&shelf->at[shelf_smallest(left)], off);
		if (block && (!first || block->off < first->off))
			first = block;
	}
	return first;
}

/* What is not whole granules is never free by itself. */
int shelf_take(struct shelf *shelf, uint64_t off, unsigned order, struct block **out)
{
	return order < places_granule(shelf->places, off) ? -ENOSPC : buddy_take(shelf_of(shelf, off), off, order, out);
}

void shelf_take_range(struct shelf *shelf, uint64_t from, uint64_t end, struct block_list *out)
{
	buddy_take_range(shelf_of(shelf, from), from, end, out);
}
