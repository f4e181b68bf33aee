/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * alloc.c - space_get(), declared in space.h: from a size to blocks of the device, with memory that reads as zero.
 *
 * First where, under the lock (pick.c): of the smallest free blocks that are big enough, so that bigger ones stay whole, the
 * part that takes the least work to hand out. Then, without the lock, the work: what is dirty is wiped, what is absent gets
 * memory. The pages are used meanwhile, and their state stands in the stock until all is ready; so they can go back as
 * they are when something fails.
 */
#include "fs/space.h"

#include <errno.h>

#include <pgmap/folio.h>

#include "fs/pick.h"

/* What was lost is looked at again where space is short, and may be lost again: so often. */
enum { RETRIES = 16 };

/* Pages of ours, all in this state: clean. *wiped: the device can wipe. */
static int make_clean(struct space *space, uint64_t pgoff, uint64_t npages, enum stock_state state, bool *wiped)
{
	enum stock_state now = state;
	*wiped = true;
	if (state == STOCK_DIRTY) {
		int err = space_wipe(space, pgoff, npages, &now);
		*wiped = err == 0;
		if (err)
			return err;
	}
	int err = now == STOCK_ABSENT ? space_populate(space, pgoff, npages) : 0;
	(void)pthread_mutex_lock(&space->lock);
	if (!err)
		now = STOCK_CLEAN;
	struct stock *stock = space_stock(space, pgoff);
	space->wiped_late += state == STOCK_DIRTY ? npages : 0;
	stock->taken.dirty -= state == STOCK_DIRTY ? npages : 0;
	stock->taken.clean += now == STOCK_CLEAN ? npages : 0;
	stock_set(stock, pgoff, npages, now);
	(void)pthread_mutex_unlock(&space->lock);
	return err;
}

/* All of [pgoff, end), or an error and where. */
static int make_ready(struct space *space, uint64_t pgoff, uint64_t end, bool *wiped, uint64_t *failed)
{
	while (pgoff < end) {
		enum stock_state state;
		(void)pthread_mutex_lock(&space->lock);
		uint64_t n = stock_run(space_stock(space, pgoff), pgoff, end, &state);
		(void)pthread_mutex_unlock(&space->lock);
		int err = state == STOCK_CLEAN ? 0 : make_clean(space, pgoff, n, state, wiped);
		if (err) {
			*failed = pgoff;
			return err;
		}
		pgoff += n;
	}
	return 0;
}

/* The device is asked once for each run of neighbours in one state. */
static int make_blocks_ready(struct space *space, struct block_list *blocks, bool *wiped, uint64_t *failed)
{
	const struct block *first = STAILQ_FIRST(blocks);
	int err = 0;
	while (first && !err) {
		uint64_t n = 0;
		const struct block *block = first;
		for (; block && block->off == first->off + n; block = STAILQ_NEXT(block, list))
			n += block_pages(block);
		err = make_ready(space, first->off, first->off + n, wiped, failed);
		first = block;
	}
	return err;
}

/* Ready, and a file's: their state is no longer ours to say. */
static void leave_stock(struct space *space, struct block_list *blocks)
{
	struct block *block;
	(void)pthread_mutex_lock(&space->lock);
	STAILQ_FOREACH (block, blocks, list) {
		struct stock *stock = space_stock(space, block->off);
		stock->taken.clean -= block_pages(block);
		stock_set(stock, block->off, block_pages(block), STOCK_ABSENT);
	}
	(void)pthread_mutex_unlock(&space->lock);
}

/* The block that has this page cannot be wiped: it waits until space is short, and nobody comes across it before. But where that has
 * been found to be for some bad pages, these are sorted out when it goes back, and the others can be had. */
static void set_aside(struct space *space, struct block_list *blocks, uint64_t pgoff)
{
	struct block *block;
	STAILQ_FOREACH (block, blocks, list) {
		if (pgoff >= block->off && pgoff < block->off + block_pages(block))
			break;
	}
	struct places_lost lost;
	if (places_damaged(&space->places) &&
	    places_find_lost(&space->places, block->off, block->off + block_pages(block), &lost))
		return;
	STAILQ_REMOVE(blocks, block, block, list);
	pick_count(space, block, true);
	stock_set(space_stock(space, block->off), block->off, block_pages(block), STOCK_ABSENT);
	space->nwaiting += block_pages(block);
	STAILQ_INSERT_TAIL(&space->unwiped, block, list);
}

static int alloc_once(struct space *space, const struct space_wish *wish, struct block_list *blocks)
{
	if (!dax_alive(space->dax))
		return -ENXIO;
	(void)pthread_mutex_lock(&space->lock);
	int err = pick_blocks(space, wish, blocks);
	(void)pthread_mutex_unlock(&space->lock);
	return err;
}

/* The blocks could not be made ready: they go back. True: it is worth trying again. */
static bool undo(struct space *space, struct block_list *blocks, int err, bool wiped, uint64_t failed, bool *gave)
{
	/* Memory is short, and what lies free has some. */
	bool again = wiped && err == -ENOSPC && !*gave && space_discard(space, UINT64_MAX) > 0;
	*gave = *gave || again;
	(void)pthread_mutex_lock(&space->lock);
	uint64_t lost = space->nlost;
	if (err == -ENXIO) /* we know before we are told */
		atomic_store_explicit(&space->places.damaged, true, memory_order_relaxed);
	if (!wiped)
		set_aside(space, blocks, failed);
	pick_put_back(space, blocks);
	lost = space->nlost - lost;
	(void)pthread_mutex_unlock(&space->lock);
	space_keep_to(space);
	return again || !wiped || lost;
}

int space_get(struct space *space, const struct space_wish *wish, struct block_list *out)
{
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	bool gave = false, wiped = true, lost = true;
	for (unsigned retries = 0;;) {
		uint64_t failed = 0;
		int err = alloc_once(space, wish, &blocks);
		if (err == -ENOSPC && lost && retries++ < RETRIES) {
			lost = false;
			space_retry_unwiped(space);
			space_retry_lost(space);
			continue;
		}
		if (err)
			return err;
		err = make_blocks_ready(space, &blocks, &wiped, &failed);
		if (!err)
			break;
		if (!undo(space, &blocks, err, wiped, failed, &gave))
			return err;
		lost = true;
	}
	leave_stock(space, &blocks);
	STAILQ_CONCAT(out, &blocks);
	return 0;
}

static void count_free(const struct space *space, struct buddy *buddy, uint64_t by_order[PGMAP_MAX_ORDER + 1])
{
	unsigned max_order = places_now(&space->places)->max_order;
	for (unsigned order = 0; order <= max_order; order++)
		by_order[order] += buddy->count[order];
	for (unsigned order = max_order + 1; order <= BLOCK_MAX_ORDER; order++) {
		struct block *block = block_first(&buddy->free[order]);
		for (; block; block = block_next(block)) {
			unsigned most = places_find_order(&space->places, block->off, order);
			by_order[most] += UINT64_C(1) << (order - most);
		}
	}
}

void space_count_free(struct space *space, uint64_t by_order[PGMAP_MAX_ORDER + 1])
{
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++)
		by_order[order] = 0;
	for (unsigned left = space->shelf.granules; left; left &= left - 1)
		count_free(space, &space->shelf.at[shelf_smallest(left)], by_order);
}

int space_take(struct space *space, uint64_t pgoff, unsigned order, uint64_t file_page, struct block_list *out)
{
	struct block *block;
	(void)pthread_mutex_lock(&space->lock);
	if (pick_is_being_wiped(space, pgoff, order))
		space_wait_for_piece(space);
	int err = shelf_take(&space->shelf, pgoff, order, &block);
	if (!err) {
		space_count_used(space, block, false);
		stock_set(space_stock(space, pgoff), pgoff, block_pages(block), STOCK_ABSENT);
		block->key = file_page;
		STAILQ_INSERT_TAIL(out, block, list);
	}
	(void)pthread_mutex_unlock(&space->lock);
	return err;
}
