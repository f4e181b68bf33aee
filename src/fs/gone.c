/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gone.c - a part of the device has died, and the pool goes on with what is left: space_part_gone() and space_put_free(),
 * declared in space.h.
 *
 * No page of it is handed out again. What was free there is free no more, and what becomes free later neither is: it counts
 * as waiting, for ever. A free block lies on one device (atlas.h), so it is gone as a whole. The device is dead before
 * it says so; so what comes back after that is found to be gone, and what came before is found here.
 */
#include "fs/space.h"

/* Under the lock. */
static void set_gone(struct space *space, struct block *block)
{
	stock_set(&space->stock, block->off, block_pages(block), STOCK_ABSENT);
	space->nwaiting += block_pages(block);
	STAILQ_INSERT_TAIL(&space->gone, block, list);
}

/* Under the lock: numbers of one region. */
static void take_free(struct space *space, uint64_t from, uint64_t end)
{
	for (unsigned order = 0; order <= space->buddy.max_order; order++) {
		struct block *block;
		while ((block = block_at_or_after(&space->buddy.free[order], from)) != NULL && block->off < end) {
			buddy_remove(&space->buddy, block);
			set_gone(space, block);
		}
	}
}

void space_part_gone(struct space *space, uint64_t page, uint64_t npages)
{
	(void)pthread_mutex_lock(&space->lock);
	space->some_gone = true;
	for (size_t i = 0; i < space->atlas.nregions; i++) {
		const struct region *region = &space->atlas.regions[i];
		uint64_t from = page > region->page ? page : region->page;
		uint64_t end =
			page + npages < region->page + region->npages ? page + npages : region->page + region->npages;
		if (from < end)
			take_free(space, region->first + (from - region->page), region->first + (end - region->page));
	}
	(void)pthread_mutex_unlock(&space->lock);
}

bool space_is_gone(const struct space *space, uint64_t pgoff)
{
	struct dax_span span;
	return space->some_gone && !atlas_span(&space->atlas, pgoff, 1, &span);
}

void space_put_free(struct space *space, struct block *block)
{
	if (space_is_gone(space, block->off))
		set_gone(space, block);
	else
		buddy_free(&space->buddy, block);
}
