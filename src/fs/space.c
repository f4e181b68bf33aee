/* SPDX-License-Identifier: BSD-3-Clause */
/* space.c - see space.h: the accounts, the way back to free, what happens to free pages, lock order; alloc.c has the way there. */
#include "fs/space.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pgmap/folio.h>

#include "fs/leaving.h"

/* Whatever an earlier owner left is in what is resident. */
static void find_resident(struct space *space)
{
	const struct places *places = &space->places;
	const struct places_table *table = places_now(places);
	for (size_t i = 0; i < table->nsegments; i++) {
		const struct places_segment *segment = &table->segments[i];
		space->nresident += segment->resident ? segment->npages : 0;
		uint64_t end = segment->base + segment->npages;
		for (uint64_t at = segment->base, n; segment->resident && at < end; at += n) {
			char *addr;
			n = places_run(places, at, end - at, &addr);
			if (table->devices[places_spot(places, at).device].span.resident)
				stock_set(&space->resident, at, n, STOCK_DIRTY);
		}
	}
}

int space_room_for_devices(struct space *space, unsigned n)
{
	if (n <= space->ndevices)
		return 0;
	struct space_device *more = realloc(space->devices, n * sizeof(*more));
	if (!more)
		return -ENOMEM;
	memset(more + space->ndevices, 0, (n - space->ndevices) * sizeof(*more));
	space->devices = more;
	space->ndevices = n;
	return 0;
}

static int init_devices(struct space *space)
{
	const struct places_table *table = places_now(&space->places);
	int err = space_room_for_devices(space, table->ndevices);
	for (size_t i = 0; i < table->nsegments && !err; i++) {
		if (table->segments[i].device >= 0)
			space->devices[table->segments[i].device].npages += table->segments[i].npages;
	}
	return err;
}

uint64_t space_used_on(const struct space *space, unsigned index)
{
	bool only = atomic_load_explicit(&space->places.only, memory_order_relaxed) != NULL;
	return only ? space->used : space->devices[index].used;
}

/* What a file has lies on one memory, of a stripe, too. */
void space_count_used(struct space *space, const struct block *block, bool back)
{
	uint64_t npages = back ? -block_pages(block) : block_pages(block);
	space->used += npages;
	if (atomic_load_explicit(&space->places.only, memory_order_relaxed))
		return;
	space->devices[places_find_spot(&space->places, block->off).device].used += npages;
}

/* All pages are free. */
static int init_free(struct space *space)
{
	const struct places *places = &space->places;
	uint64_t numbers = places_now(places)->end - places->base;
	int err = stock_init(&space->stock, places->base, numbers, space->granule_order);
	if (!err)
		err = stock_init(&space->resident, places->base, numbers, space->granule_order);
	if (!err)
		err = shelf_init(&space->shelf, places);
	if (err) {
		stock_exit(&space->stock);
		stock_exit(&space->resident);
		return err;
	}
	find_resident(space);
	return 0;
}

int space_init(struct space *space, struct dax_device *dax)
{
	memset(space, 0, sizeof(*space));
	int err = places_init(&space->places, dax);
	if (err)
		return err;
	space->dax = dax;
	space->base = space->places.base;
	space->pages = places_now(&space->places)->npages;
	space->granule_order = space->places.granule_order;
	RB_INIT(&space->waiting);
	RB_INIT(&space->gone);
	RB_INIT(&space->bad);
	STAILQ_INIT(&space->unwiped);
	LIST_INIT(&space->watches);
	err = init_devices(space);
	if (!err)
		err = init_free(space);
	if (err) {
		free(space->devices);
		places_exit(&space->places);
		return err;
	}
	pthread_condattr_t clock;
	(void)pthread_condattr_init(&clock);
	(void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&space->work, &clock);
	(void)pthread_condattr_destroy(&clock);
	(void)pthread_cond_init(&space->done, NULL);
	(void)pthread_mutex_init(&space->lock, NULL);
	zero_init(&space->zero);
	return 0;
}

static void free_tree(struct block_tree *tree)
{
	struct block *block;
	while ((block = block_first(tree)) != NULL) {
		block_remove(tree, block);
		block_free(block);
	}
}

void space_exit(struct space *space)
{
	leaving_exit(space);
	free_tree(&space->waiting);
	free_tree(&space->gone);
	free_tree(&space->bad);
	block_free_list(&space->unwiped);
	places_exit(&space->places);
	shelf_exit(&space->shelf);
	stock_exit(&space->stock);
	stock_exit(&space->resident);
	zero_exit(&space->zero);
	(void)pthread_cond_destroy(&space->done);
	(void)pthread_cond_destroy(&space->work);
	(void)pthread_mutex_destroy(&space->lock);
}

int space_unpopulate(struct space *space, uint64_t pgoff, uint64_t npages)
{
#ifdef PGMAP_FAULT_STALE /* the planted bug: the next owner sees the bytes of the last one */
	(void)space, (void)pgoff, (void)npages;
	return 0;
#else
	return dax_discard(space->dax, places_page(&space->places, pgoff), npages);
#endif
}

/* Have the device discard each run of neighbours, and where that fails each block. What it does not take goes to the other list. */
static void discard_runs(struct space *space, struct block_list *blocks, struct block_list *failed)
{
	struct block_list done = STAILQ_HEAD_INITIALIZER(done);
	struct block *first;
	while ((first = STAILQ_FIRST(blocks)) != NULL) {
		uint64_t n = 0;
		struct block *block, *end = first;
		for (; end && end->off == first->off + n; end = STAILQ_NEXT(end, list))
			n += block_pages(end);
		bool all = space_unpopulate(space, first->off, n) == 0;
		while ((block = STAILQ_FIRST(blocks)) != end) {
			bool ok = all || (block_pages(block) < n &&
					  space_unpopulate(space, block->off, block_pages(block)) == 0);
			STAILQ_REMOVE_HEAD(blocks, list);
			STAILQ_INSERT_TAIL(ok ? &done : failed, block, list);
		}
	}
	STAILQ_CONCAT(blocks, &done);
}

/* Under the lock: the device could not take them, and they are counted as waiting. */
static void keep_unwiped(struct space *space, struct block_list *blocks)
{
	struct block *block;
	while ((block = STAILQ_FIRST(blocks)) != NULL) {
		struct leaving *leaving = leaving_on(space, block->off);
		STAILQ_REMOVE_HEAD(blocks, list);
		if (!leaving) {
			STAILQ_INSERT_TAIL(&space->unwiped, block, list);
			continue;
		}
		space->nwaiting -= block_pages(block);
		stock_set(space_stock(space, block->off), block->off, block_pages(block), STOCK_DIRTY);
		leaving_keep(space, leaving, block);
	}
}

/* Discarded and free; or kept aside where that failed. */
static void release_discarded(struct space *space, struct block_list *blocks)
{
	struct block *block;
	struct block_list failed = STAILQ_HEAD_INITIALIZER(failed);
	discard_runs(space, blocks, &failed);
	(void)pthread_mutex_lock(&space->lock);
	while ((block = STAILQ_FIRST(blocks)) != NULL) {
		STAILQ_REMOVE_HEAD(blocks, list);
		space->nwaiting -= block_pages(block);
		space_make_free(space, block);
	}
	keep_unwiped(space, &failed);
	(void)pthread_mutex_unlock(&space->lock);
}

/* With the wiper, or below the watermark, memory stays with what becomes free; what is always there does anyhow. */
static bool keeps_memory(struct space *space, const struct block *block)
{
	return space->background || places_resident(&space->places, block->off) ||
	       space_populated(space) + block_pages(block) <= space->keep;
}

/* Blocks that are in no tree, counted as waiting, and held by nobody. What keeps its memory is free as it is: to be wiped by whoever needs
 * it, or by the wiper. */
static void release(struct space *space, struct block_list *blocks)
{
	struct block *block;
	struct block_list others = STAILQ_HEAD_INITIALIZER(others);
	if (STAILQ_EMPTY(blocks))
		return;
	(void)pthread_mutex_lock(&space->lock);
	while ((block = STAILQ_FIRST(blocks)) != NULL) {
		STAILQ_REMOVE_HEAD(blocks, list);
		if (!keeps_memory(space, block)) {
			STAILQ_INSERT_TAIL(&others, block, list);
			continue;
		}
		space->nwaiting -= block_pages(block);
		stock_set(space_stock(space, block->off), block->off, block_pages(block), STOCK_DIRTY);
		space_make_free(space, block);
		if (space->asleep) {
			space->asleep = false;
			(void)pthread_cond_signal(&space->work);
		}
	}
	(void)pthread_mutex_unlock(&space->lock);
	if (!STAILQ_EMPTY(&others))
		release_discarded(space, &others);
}

void space_retry_unwiped(struct space *space)
{
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	(void)pthread_mutex_lock(&space->lock);
	STAILQ_CONCAT(&blocks, &space->unwiped);
	(void)pthread_mutex_unlock(&space->lock);
	if (!STAILQ_EMPTY(&blocks))
		release_discarded(space, &blocks);
}

void space_give_back(struct space *space, struct block_list *blocks)
{
	struct block *block;
	(void)pthread_mutex_lock(&space->lock);
	STAILQ_FOREACH (block, blocks, list) {
		space_count_used(space, block, true);
		space->nwaiting += block_pages(block);
	}
	(void)pthread_mutex_unlock(&space->lock);
	release(space, blocks);
}

static void wake(struct space_watch *watch)
{
	watch->woken = true;
	watch->wake(watch);
}

/* After the rest: who is woken asks the core at once, and would only wait for us. */
static void wake_watches(struct space *space, uint64_t from, uint64_t end)
{
	struct space_watch *watch;
	(void)pthread_mutex_lock(&space->lock);
	LIST_FOREACH (watch, &space->watches, link) {
		if (watch->from < end && from < watch->end)
			wake(watch);
	}
	(void)pthread_mutex_unlock(&space->lock);
}

void space_watch_add(struct space *space, struct space_watch *watch)
{
	(void)pthread_mutex_lock(&space->lock);
	watch->from = watch->end = 0;
	watch->woken = false;
	LIST_INSERT_HEAD(&space->watches, watch, link);
	(void)pthread_mutex_unlock(&space->lock);
}

void space_watch_set(struct space *space, struct space_watch *watch, uint64_t from, uint64_t end)
{
	(void)pthread_mutex_lock(&space->lock);
	watch->from = from;
	watch->end = end;
	watch->woken = false;
	(void)pthread_mutex_unlock(&space->lock);
}

void space_watch_remove(struct space *space, struct space_watch *watch)
{
	(void)pthread_mutex_lock(&space->lock);
	LIST_REMOVE(watch, link);
	(void)pthread_mutex_unlock(&space->lock);
}

void space_watch_wake(struct space *space, struct space_watch *only)
{
	struct space_watch *watch;
	(void)pthread_mutex_lock(&space->lock);
	LIST_FOREACH (watch, &space->watches, link) {
		if (!only || watch == only)
			wake(watch);
	}
	(void)pthread_mutex_unlock(&space->lock);
}

void space_folio_free(struct space *space, uint64_t pgoff, uint64_t npages)
{
	struct block *block;
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	(void)pthread_mutex_lock(&space->lock);
	while ((block = block_at_or_after(&space->waiting, pgoff)) != NULL && block->key < pgoff + npages) {
		block_remove(&space->waiting, block);
		STAILQ_INSERT_TAIL(&blocks, block, list);
	}
	/* Whoever sets a watch after this asks the core after this, and finds the folio RELEASING: it ends soon. */
	bool watched = !LIST_EMPTY(&space->watches);
	(void)pthread_mutex_unlock(&space->lock);
	release(space, &blocks);
	if (watched)
		wake_watches(space, pgoff, pgoff + npages);
}

/* A block that waits: see to it that it becomes free, now or at its last put. space.h says why each case is right. */
static void settle(struct space *space, uint64_t pgoff, unsigned order)
{
	const struct places *places = &space->places;
	struct folio *folio;
	while (!places_idle(places, pgoff, order)) {
		if (places_find_folio(places, pgoff, &folio) == 0 ||
		    places_release_quarantined(places, pgoff) != -ENOENT)
			return;
		(void)sched_yield();
	}
	space_folio_free(space, pgoff, UINT64_C(1) << order);
}

void space_lose(struct space *space, struct block_list *blocks)
{
#ifdef PGMAP_FAULT_EARLY
	space_give_back(space, blocks); /* the planted bug: free while somebody may hold them */
#endif
	struct block *block;
	while ((block = STAILQ_FIRST(blocks)) != NULL) {
		uint64_t pgoff = block->off;
		unsigned order = block->order;
		STAILQ_REMOVE_HEAD(blocks, list);
		block->key = pgoff;
		(void)pthread_mutex_lock(&space->lock);
		block_insert(&space->waiting, block);
		space_count_used(space, block, true);
		space->nwaiting += block_pages(block);
		(void)pthread_mutex_unlock(&space->lock);
		settle(space, pgoff, order);
	}
}

/* Through the mappings here, memory by memory. False: some is not mapped, or has no memory behind it. */
static bool zero_in_place(struct space *space, uint64_t pgoff, uint64_t npages)
{
	bool done = true;
	while (npages && done) {
		char *at;
		uint64_t n = places_run(&space->places, pgoff, npages, &at);
		done = at && zero_bytes(&space->zero, at, n << PGMAP_PAGE_SHIFT) == 0;
		pgoff += n;
		npages -= n;
	}
	return done;
}

int space_wipe(struct space *space, uint64_t pgoff, uint64_t npages, enum stock_state *state)
{
	*state = STOCK_CLEAN;
#ifdef PGMAP_FAULT_STALE
	npages = 0;
#endif
	if (zero_in_place(space, pgoff, npages))
		return 0;
	*state = STOCK_ABSENT;
	int err = space_unpopulate(space, pgoff, npages);
	if (err)
		space_look_for_lost(space, pgoff, npages);
	return err;
}

int space_populate(struct space *space, uint64_t pgoff, uint64_t npages)
{
	int err = dax_populate(space->dax, places_page(&space->places, pgoff), npages);
	if (err) /* what some of them have got would be nobody's */
		(void)space_unpopulate(space, pgoff, npages);
	return err;
}

void space_keep_to(struct space *space)
{
	(void)pthread_mutex_lock(&space->lock);
	uint64_t there = space_populated(space);
	uint64_t over = space->background || there <= space->keep ? 0 : there - space->keep;
	(void)pthread_mutex_unlock(&space->lock);
	(void)space_discard(space, over);
}

void space_set_keep(struct space *space, uint64_t keep_pages)
{
	(void)pthread_mutex_lock(&space->lock);
	space->keep = keep_pages;
	(void)pthread_mutex_unlock(&space->lock);
	space_keep_to(space);
}

void space_statfs(struct space *space, struct fsdax_statfs *out)
{
	(void)pthread_mutex_lock(&space->lock);
	out->pages = space->pages;
	out->used = space->used;
	out->free = shelf_nfree(&space->shelf);
	out->waiting = space->nwaiting;
	struct stock_count free = stock_free(&space->stock), resident = stock_free(&space->resident);
	out->clean = free.clean + resident.clean;
	out->dirty = free.dirty + resident.dirty;
	out->absent = out->free - out->clean - out->dirty;
	out->keep = space->keep;
	out->wiped_ahead = space->wiped_ahead;
	out->wiped_late = space->wiped_late;
	out->granule_order = space->granule_order;
	out->lost = space->nlost;
	space_count_free(space, out->free_by_order);
	(void)pthread_mutex_unlock(&space->lock);
}
