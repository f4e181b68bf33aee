/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * alloc.c - space_alloc(), declared in space.h: from a size to blocks of the device, with memory that reads as zero.
 *
 * First where, under the lock: of the smallest free blocks that are big enough, so that bigger ones stay whole, the part
 * that takes the least work to hand out. Then, without the lock, the work: what is dirty is wiped, what is absent gets
 * memory. The pages are used meanwhile, and their state stands in the stock until all is ready; so they can go back as
 * they are when something fails.
 */
#include "fs/space.h"

#include <errno.h>

#include <pgmap/folio.h>

/* Of the blocks of one order, look at so many. */
enum { LOOK_AT = 16 };

/* The biggest order for what is left of a file at this page, such that file and device offset are congruent. */
static unsigned best_order(const struct space *space, uint64_t file_page, uint64_t npages, unsigned max_order)
{
	unsigned order = 63 - (unsigned)__builtin_clzll(npages);
	unsigned there = (unsigned)buddy_max_order(&space->buddy);
	if (file_page && (unsigned)__builtin_ctzll(file_page) < order)
		order = (unsigned)__builtin_ctzll(file_page);
	if (there < order)
		order = there;
	return order < max_order ? order : max_order;
}

/* The free block to take from, and where in it; null: none is big enough. */
static struct block *choose(struct space *space, unsigned order, uint64_t *off)
{
	struct block *block = buddy_fit(&space->buddy, order), *best = block;
	uint64_t least = UINT64_MAX, cost;
	*off = block ? block->off : 0;
	if (!(space->stock.clean | space->stock.dirty))
		return block;
	for (int i = 0; i < LOOK_AT && block && least; i++, block = block_next(block)) {
		uint64_t at = stock_best(&space->stock, block->off, block->order, order, &cost);
		if (cost < least) {
			least = cost;
			best = block;
			*off = at;
		}
	}
	return best;
}

static bool is_being_wiped(const struct space *space, uint64_t off, unsigned order)
{
	return space->wiping_pages && off < space->wiping + space->wiping_pages &&
	       space->wiping < off + (UINT64_C(1) << order);
}

static int take_one(struct space *space, unsigned order, struct block **out)
{
	for (;;) {
		uint64_t off;
		struct block *from = choose(space, order, &off);
		if (!from)
			return -ENOSPC;
		order = places_order(&space->places, off, order);
		if (!is_being_wiped(space, off, order))
			return buddy_alloc_at(&space->buddy, from, off, order, out);
		space_wait_for_piece(space);
	}
}

static void count_taken(struct space *space, const struct block *block, bool back)
{
	struct stock_count count = stock_count(&space->stock, block->off, block_pages(block));
	space->taken.clean += back ? -count.clean : count.clean;
	space->taken.dirty += back ? -count.dirty : count.dirty;
	space->used += back ? -block_pages(block) : block_pages(block);
}

/* To where they came from, with memory and bytes as they are. */
static void put_back(struct space *space, struct block_list *blocks)
{
	struct block *block;
	while ((block = STAILQ_FIRST(blocks)) != NULL) {
		STAILQ_REMOVE_HEAD(blocks, list);
		count_taken(space, block, true);
		space_make_free(space, block);
	}
}

static int take_blocks(struct space *space, uint64_t file_page, uint64_t npages, unsigned max_order,
		       struct block_list *blocks)
{
	struct block *block;
	if (space->buddy.nfree < npages)
		return -ENOSPC;
	space->taken_now += npages;
	while (npages) {
		/* With nothing free the order is that of -1: too big for any block. */
		int err = take_one(space, best_order(space, file_page, npages, max_order), &block);
		if (err) {
			put_back(space, blocks);
			return err;
		}
		block->key = file_page;
		STAILQ_INSERT_TAIL(blocks, block, list);
		count_taken(space, block, false);
		file_page += block_pages(block);
		npages -= block_pages(block);
	}
	if (space_populated(space) < space->low)
		space->low = space_populated(space);
	return 0;
}

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
	int err = now == STOCK_ABSENT ? dax_populate(space->dax, places_page(&space->places, pgoff), npages) : 0;
	(void)pthread_mutex_lock(&space->lock);
	if (!err)
		now = STOCK_CLEAN;
	space->wiped_late += state == STOCK_DIRTY ? npages : 0;
	space->taken.dirty -= state == STOCK_DIRTY ? npages : 0;
	space->taken.clean += now == STOCK_CLEAN ? npages : 0;
	stock_set(&space->stock, pgoff, npages, now);
	(void)pthread_mutex_unlock(&space->lock);
	return err;
}

/* All of [pgoff, end), or an error and where. */
static int make_ready(struct space *space, uint64_t pgoff, uint64_t end, bool *wiped, uint64_t *failed)
{
	while (pgoff < end) {
		enum stock_state state;
		(void)pthread_mutex_lock(&space->lock);
		uint64_t n = stock_run(&space->stock, pgoff, end, &state);
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
		space->taken.clean -= block_pages(block);
		stock_set(&space->stock, block->off, block_pages(block), STOCK_ABSENT);
	}
	(void)pthread_mutex_unlock(&space->lock);
}

/* The block that has this page cannot be wiped: it waits until space is short, and nobody comes across it before. */
static void set_aside(struct space *space, struct block_list *blocks, uint64_t pgoff)
{
	struct block *block;
	STAILQ_FOREACH (block, blocks, list) {
		if (pgoff >= block->off && pgoff < block->off + block_pages(block))
			break;
	}
	STAILQ_REMOVE(blocks, block, block, list);
	count_taken(space, block, true);
	stock_set(&space->stock, block->off, block_pages(block), STOCK_ABSENT);
	space->nwaiting += block_pages(block);
	STAILQ_INSERT_TAIL(&space->unwiped, block, list);
}

static int alloc_once(struct space *space, uint64_t file_page, uint64_t npages, unsigned max_order,
		      struct block_list *blocks)
{
	if (!dax_alive(space->dax))
		return -ENXIO;
	(void)pthread_mutex_lock(&space->lock);
	int err = take_blocks(space, file_page, npages, max_order, blocks);
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
	put_back(space, blocks);
	lost = space->nlost - lost;
	(void)pthread_mutex_unlock(&space->lock);
	space_keep_to(space);
	return again || !wiped || lost;
}

int space_alloc(struct space *space, uint64_t file_page, uint64_t npages, unsigned max_order, struct block_list *out)
{
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	bool retried = false, gave = false, wiped = true;
	for (;;) {
		uint64_t failed = 0;
		int err = alloc_once(space, file_page, npages, max_order, &blocks);
		if (err == -ENOSPC && !retried) {
			retried = true;
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
	}
	leave_stock(space, &blocks);
	STAILQ_CONCAT(out, &blocks);
	return 0;
}

void space_count_free(struct space *space, uint64_t by_order[PGMAP_MAX_ORDER + 1])
{
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++)
		by_order[order] = order <= space->places.max_order ? space->buddy.count[order] : 0;
	for (unsigned order = space->places.max_order + 1; order <= BLOCK_MAX_ORDER; order++) {
		struct block *block = block_first(&space->buddy.free[order]);
		for (; block; block = block_next(block)) {
			unsigned most = places_find_order(&space->places, block->off, order);
			by_order[most] += UINT64_C(1) << (order - most);
		}
	}
}

int space_take(struct space *space, uint64_t pgoff, unsigned order, uint64_t file_page, struct block_list *out)
{
	struct block *block;
	(void)pthread_mutex_lock(&space->lock);
	if (is_being_wiped(space, pgoff, order))
		space_wait_for_piece(space);
	int err = buddy_take(&space->buddy, pgoff, order, &block);
	if (!err) {
		space->used += block_pages(block);
		stock_set(&space->stock, pgoff, block_pages(block), STOCK_ABSENT);
		block->key = file_page;
		STAILQ_INSERT_TAIL(out, block, list);
	}
	(void)pthread_mutex_unlock(&space->lock);
	return err;
}
