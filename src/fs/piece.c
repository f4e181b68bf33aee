/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * piece.c - the free pages that somebody works on at a time: to wipe them, to give them memory or to give it back; declared in
 * space.h. A piece is whole granules of the memory that it lies on. All under the lock, which space_wait_for_piece() lets go.
 */
#include "fs/space.h"

/* Of blocks, or of runs in a block, look at so many. */
enum { LOOK_AT = 16 };

/* So many pages to work on, of a run that begins at `at`: whole granules, one at least, and no more than may be; or 0. */
static uint64_t piece_pages(const struct space *space, uint64_t at, uint64_t run, uint64_t most_pages,
			    uint64_t budget_pages)
{
	uint64_t granule = UINT64_C(1) << places_granule(&space->places, at);
	uint64_t n = most_pages < granule ? granule : most_pages;
	n = budget_pages < n ? budget_pages : n;
	return (run < n ? run : n) / granule * granule;
}

static uint64_t next_in(const struct space *space, const struct stock *in, uint64_t from, enum stock_state state)
{
	if (in || !space->nresident)
		return stock_next(in ? in : &space->stock, from, state);
	uint64_t one = stock_next(&space->stock, from, state), other = stock_next(&space->resident, from, state);
	return one < other ? one : other;
}

/* Nobody works on a piece. */
static bool find(struct space *space, const struct stock *in, enum stock_state state, uint64_t from,
		 uint64_t most_pages, uint64_t budget_pages)
{
	for (;;) {
		uint64_t at = next_in(space, in, from, state);
		if (at == UINT64_MAX)
			return false;
		const struct block *block = shelf_at_or_after(&space->shelf, at);
		if (!block)
			return false;
		from = block->off;
		if (from > at) /* taken, and being made ready */
			continue;
		uint64_t run = stock_run(space_stock(space, at), at, block_end(block), &state);
		uint64_t n = piece_pages(space, at, run, most_pages, budget_pages);
		if (n) {
			space->wiping = at;
			space->wiping_pages = n;
			return true;
		}
		from = at + run; /* its granule is too big */
	}
}

bool space_piece_begin(struct space *space, const struct stock *in, enum stock_state state, uint64_t from,
		       uint64_t most_pages, uint64_t budget_pages)
{
	return !space->wiping_pages && !space->nstopped && find(space, in, state, from, most_pages, budget_pages);
}

/* The first run without memory in this block, if one comes soon. In a stripe what comes would stay for good. */
static bool begin_absent_in(struct space *space, const struct block *block, uint64_t most_pages, uint64_t budget_pages)
{
	uint64_t at = block->off, end = places_resident(&space->places, at) ? at : block_end(block);
	for (int i = 0; i < LOOK_AT && at < end; i++) {
		enum stock_state state;
		uint64_t run = stock_run(space_stock(space, at), at, end, &state);
		uint64_t n = state == STOCK_ABSENT ? piece_pages(space, at, run, most_pages, budget_pages) : 0;
		if (n) {
			space->wiping = at;
			space->wiping_pages = n;
			return true;
		}
		at += run;
	}
	return false;
}

static bool begin_absent_on(struct space *space, struct buddy *buddy, uint64_t most_pages, uint64_t budget_pages)
{
	uint64_t pages = budget_pages < most_pages ? budget_pages : most_pages;
	unsigned order = 63 - (unsigned)__builtin_clzll(pages);
	int there = buddy_max_order(buddy);
	struct block *block = there < 0 ? NULL : buddy_fit(buddy, (unsigned)there < order ? (unsigned)there : order);
	while (block) {
		order = block->order;
		for (int i = 0; i < LOOK_AT && block; i++, block = block_next(block)) {
			if (begin_absent_in(space, block, most_pages, budget_pages))
				return true;
		}
		block = buddy_fit(buddy, order + 1);
	}
	return false;
}

bool space_piece_begin_absent(struct space *space, uint64_t most_pages, uint64_t budget_pages)
{
	bool begun = false;
	if (space->wiping_pages || space->nstopped)
		return false;
	for (unsigned left = space->shelf.granules; left && !begun; left &= left - 1)
		begun = begin_absent_on(space, &space->shelf.at[shelf_smallest(left)], most_pages, budget_pages);
	return begun;
}

void space_piece_end(struct space *space, enum stock_state state)
{
	stock_set(space_stock(space, space->wiping), space->wiping, space->wiping_pages, state);
	if (space->nlost)
		space_unstock_lost(space, space->wiping, space->wiping + space->wiping_pages);
	space->wiping_pages = 0;
	if (space->nstopped)
		(void)pthread_cond_broadcast(&space->done);
}

void space_wait_for_piece(struct space *space)
{
	space->nstopped++;
	while (space->wiping_pages)
		(void)pthread_cond_wait(&space->done, &space->lock);
	space->nstopped--;
}

/* Whatever the device does not take stays, and is dirty. */
static uint64_t discard_in(struct space *space, enum stock_state state, uint64_t npages)
{
	uint64_t done = 0, from = space->base;
	while (done < npages) {
		(void)pthread_mutex_lock(&space->lock);
		space_wait_for_piece(space);
		bool some = find(space, &space->stock, state, from, npages - done, UINT64_MAX);
		uint64_t at = space->wiping, n = space->wiping_pages;
		(void)pthread_mutex_unlock(&space->lock);
		if (!some)
			break;
		int err = space_unpopulate(space, at, n);
		(void)pthread_mutex_lock(&space->lock);
		space_piece_end(space, err ? STOCK_DIRTY : STOCK_ABSENT);
		(void)pthread_mutex_unlock(&space->lock);
		done += err ? 0 : n;
		from = at + n;
	}
	return done;
}

uint64_t space_discard(struct space *space, uint64_t npages)
{
	uint64_t done = discard_in(space, STOCK_DIRTY, npages);
	return done < npages ? done + discard_in(space, STOCK_CLEAN, npages - done) : done; /* it may have been more */
}
