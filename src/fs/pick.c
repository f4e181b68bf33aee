/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pick.c - see pick.h.
 *
 * It goes by granule, biggest first, and along the file in windows of one granule: a window that is wanted whole comes from
 * memory of this granule, the rest from smaller ones, window by window; or, where this granule has no room at all, all of it.
 * Taking the biggest where it fits never makes it fail: what a whole window would leave there, another window can have, and
 * it takes from the smaller ones as many pages as the end of a file ever rounds up to.
 */
#include "fs/pick.h"

#include <errno.h>

/* Of the blocks of one order, look at so many. */
enum { LOOK_AT = 16 };

struct pick {
	struct space *space;
	unsigned max_order;
	uint64_t reach;
};

/* The biggest order for what is left of a file at this page, such that file and device offset are congruent. */
static unsigned best_order(const struct buddy *buddy, uint64_t file_page, uint64_t npages, unsigned max_order)
{
	unsigned order = 63 - (unsigned)__builtin_clzll(npages);
	unsigned there = (unsigned)buddy_max_order(buddy);
	if (file_page && (unsigned)__builtin_ctzll(file_page) < order)
		order = (unsigned)__builtin_ctzll(file_page);
	if (there < order)
		order = there;
	return order < max_order ? order : max_order;
}

/* The free block to take from, and where in it; null: none is big enough. */
static struct block *choose(struct space *space, struct buddy *buddy, unsigned order, uint64_t *off)
{
	struct block *block = buddy_fit(buddy, order), *best = block;
	uint64_t least = UINT64_MAX, cost;
	*off = block ? block->off : 0;
	if (!(space->stock.clean | space->stock.dirty | space->resident.clean | space->resident.dirty))
		return block;
	for (int i = 0; i < LOOK_AT && block && least; i++, block = block_next(block)) {
		uint64_t at = stock_best(space_stock(space, block->off), block->off, block->order, order, &cost);
		if (cost < least) {
			least = cost;
			best = block;
			*off = at;
		}
	}
	return best;
}

void pick_count(struct space *space, const struct block *block, bool back)
{
	struct stock *stock = space_stock(space, block->off);
	struct stock_count count = stock_count(stock, block->off, block_pages(block));
	stock->taken.clean += back ? -count.clean : count.clean;
	stock->taken.dirty += back ? -count.dirty : count.dirty;
	space_count_used(space, block, back);
}

void pick_put_back(struct space *space, struct block_list *blocks)
{
	struct block *block;
	while ((block = STAILQ_FIRST(blocks)) != NULL) {
		STAILQ_REMOVE_HEAD(blocks, list);
		pick_count(space, block, true);
		space_make_free(space, block);
	}
}

/* One block, at *file_page, which goes on behind it. */
static int take_one(struct space *space, struct buddy *buddy, unsigned order, uint64_t *file_page,
		    struct block_list *out)
{
	struct block *block;
	for (;;) {
		uint64_t off;
		struct block *from = choose(space, buddy, order, &off);
		if (!from)
			return -ENOSPC;
		order = places_order(&space->places, off, order);
		if (!pick_is_being_wiped(space, off, order)) {
			int err = buddy_alloc_at(buddy, from, off, order, &block);
			if (err)
				return err;
			break;
		}
		space_wait_for_piece(space);
		if (buddy->orders && buddy_max_order(buddy) < (int)order) /* others have taken from it meanwhile */
			order = (unsigned)buddy_max_order(buddy);
	}
	block->key = *file_page;
	*file_page = block_end(block);
	STAILQ_INSERT_TAIL(out, block, list);
	pick_count(space, block, false);
	return 0;
}

static int cover(const struct pick *pick, unsigned granules, uint64_t *file_page, uint64_t end, struct block_list *out);

/* From memory of smaller granules as far as `stop`, or else a granule of this one, rounded up. */
static int cover_end(const struct pick *pick, unsigned granules, uint64_t *file_page, uint64_t stop, bool may_round,
		     struct block_list *out)
{
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	unsigned granule = shelf_biggest(granules), smaller = granules & ~(1U << granule);
	uint64_t at = *file_page;
	int err = smaller ? cover(pick, smaller, file_page, stop, &blocks) : -ENOSPC;
	if (err)
		pick_put_back(pick->space, &blocks);
	STAILQ_CONCAT(out, &blocks);
	if (err != -ENOSPC || !may_round)
		return err;
	*file_page = at;
	return take_one(pick->space, &pick->space->shelf.at[granule], granule, file_page, out);
}

/* Pages of the file as far as `end`, or, rounded up, beyond; from memory of these granules. */
static int cover(const struct pick *pick, unsigned granules, uint64_t *file_page, uint64_t end, struct block_list *out)
{
	unsigned granule = shelf_biggest(granules);
	struct buddy *buddy = &pick->space->shelf.at[granule];
	uint64_t pages = UINT64_C(1) << granule;
	int err = 0;
	while (!err && *file_page < end) {
		bool room = buddy->orders && granule <= pick->max_order, begins = *file_page % pages == 0;
		uint64_t next = (*file_page / pages + 1) * pages;
		if (room && begins && end - *file_page >= pages) {
			err = take_one(pick->space, buddy,
				       best_order(buddy, *file_page, end - *file_page, pick->max_order), file_page,
				       out);
			if (err == -ENOSPC && !buddy->orders) /* all of it has gone while this waited */
				err = 0;
		} else {
			err = cover_end(pick, granules, file_page, room && next < end ? next : end,
					room && begins && next <= pick->reach, out);
		}
	}
	return err;
}

int pick_blocks(struct space *space, const struct space_wish *wish, struct block_list *out)
{
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	const struct pick pick = {space, wish->max_order, wish->reach};
	uint64_t file_page = wish->file_page;
	if (shelf_nfree(&space->shelf) < wish->npages)
		return -ENOSPC;
	int err = cover(&pick, space->shelf.granules, &file_page, wish->file_page + wish->npages, &blocks);
	if (err) {
		pick_put_back(space, &blocks);
		return err;
	}
	STAILQ_CONCAT(out, &blocks);
	space->taken_now += wish->npages;
	if (space_populated(space) < space->low)
		space->low = space_populated(space);
	return 0;
}
