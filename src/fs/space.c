/* SPDX-License-Identifier: BSD-3-Clause */
/* space.c - see space.h: the accounts, the way back to free, lock order. */
#include "fs/space.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include <pgmap/folio.h>

int space_init(struct space *space, struct dax_device *dax, struct pgmap *pgmap, uint64_t base)
{
	memset(space, 0, sizeof(*space));
	space->dax = dax;
	space->pgmap = pgmap;
	space->base = base;
	space->pages = dax_npages(dax);
	space->granule_order = dax_granule_order(dax);
	RB_INIT(&space->waiting);
	STAILQ_INIT(&space->unwiped);
	LIST_INIT(&space->watches);
	int err = buddy_init(&space->buddy, base, space->pages);
	if (!err)
		(void)pthread_mutex_init(&space->lock, NULL);
	return err;
}

void space_exit(struct space *space)
{
	struct block *block;
	while ((block = block_first(&space->waiting)) != NULL) {
		block_remove(&space->waiting, block);
		block_free(block);
	}
	block_free_list(&space->unwiped);
	buddy_exit(&space->buddy);
	(void)pthread_mutex_destroy(&space->lock);
}

/* Ask the device once for each run of neighbours; blocks before *failed are done, it and all after it are not. */
static int for_runs(struct space *space, struct block_list *blocks,
		    int (*fn)(struct dax_device *dax, uint64_t pgoff, uint64_t npages), struct block **failed)
{
	struct block *first = STAILQ_FIRST(blocks);
	while (first) {
		uint64_t n = 0;
		struct block *block = first;
		for (; block && block->off == first->off + n; block = STAILQ_NEXT(block, list))
			n += block_pages(block);
		int err = fn(space->dax, first->off - space->base, n);
		if (err) {
			*failed = first;
			return err;
		}
		first = block;
	}
	*failed = NULL;
	return 0;
}

/* Blocks that are in no tree, counted as waiting, and held by nobody: wiped and free; or kept aside if that failed. */
static void release(struct space *space, struct block_list *blocks)
{
	struct block *block, *failed = NULL;
	if (STAILQ_EMPTY(blocks))
		return;
#ifndef PGMAP_FAULT_STALE /* the planted bug: the next owner sees the bytes of the last one */
	(void)for_runs(space, blocks, dax_discard, &failed);
#endif
	(void)pthread_mutex_lock(&space->lock);
	while ((block = STAILQ_FIRST(blocks)) != failed) {
		STAILQ_REMOVE_HEAD(blocks, list);
		space->nwaiting -= block_pages(block);
		buddy_free(&space->buddy, block);
	}
	STAILQ_CONCAT(&space->unwiped, blocks);
	(void)pthread_mutex_unlock(&space->lock);
}

/* What the device could not wipe before: try again. */
static void retry_unwiped(struct space *space)
{
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	(void)pthread_mutex_lock(&space->lock);
	STAILQ_CONCAT(&blocks, &space->unwiped);
	(void)pthread_mutex_unlock(&space->lock);
	release(space, &blocks);
}

/* The biggest order for what is left of a file at this page, such that file and device offset are congruent. */
static unsigned best_order(const struct space *space, uint64_t file_page, uint64_t npages)
{
	unsigned order = 63 - (unsigned)__builtin_clzll(npages);
	unsigned there = (unsigned)buddy_max_order(&space->buddy);
	if (file_page && (unsigned)__builtin_ctzll(file_page) < order)
		order = (unsigned)__builtin_ctzll(file_page);
	if (there < order)
		order = there;
	return order < PGMAP_MAX_ORDER ? order : PGMAP_MAX_ORDER;
}

static int alloc_locked(struct space *space, uint64_t file_page, uint64_t npages, struct block_list *blocks)
{
	struct block *block;
	if (space->buddy.nfree < npages)
		return -ENOSPC;
	while (npages) {
		int err = buddy_alloc(&space->buddy, best_order(space, file_page, npages), &block);
		if (err)
			return err;
		block->key = file_page;
		STAILQ_INSERT_TAIL(blocks, block, list);
		space->used += block_pages(block);
		file_page += block_pages(block);
		npages -= block_pages(block);
	}
	return 0;
}

static int alloc_blocks(struct space *space, uint64_t file_page, uint64_t npages, struct block_list *blocks)
{
	(void)pthread_mutex_lock(&space->lock);
	int err = alloc_locked(space, file_page, npages, blocks);
	while (err && !STAILQ_EMPTY(blocks)) {
		struct block *block = STAILQ_FIRST(blocks);
		STAILQ_REMOVE_HEAD(blocks, list);
		space->used -= block_pages(block);
		buddy_free(&space->buddy, block);
	}
	(void)pthread_mutex_unlock(&space->lock);
	return err;
}

int space_alloc(struct space *space, uint64_t file_page, uint64_t npages, struct block_list *out)
{
	struct block *failed;
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	int err = alloc_blocks(space, file_page, npages, &blocks);
	if (err == -ENOSPC) {
		retry_unwiped(space);
		err = alloc_blocks(space, file_page, npages, &blocks);
	}
	if (err)
		return err;
	err = for_runs(space, &blocks, dax_populate, &failed);
	if (err)
		space_give_back(space, &blocks);
	else
		STAILQ_CONCAT(out, &blocks);
	return err;
}

int space_take(struct space *space, uint64_t pgoff, unsigned order, uint64_t file_page, struct block_list *out)
{
	struct block *block;
	(void)pthread_mutex_lock(&space->lock);
	int err = buddy_take(&space->buddy, pgoff, order, &block);
	if (!err) {
		space->used += block_pages(block);
		block->key = file_page;
		STAILQ_INSERT_TAIL(out, block, list);
	}
	(void)pthread_mutex_unlock(&space->lock);
	return err;
}

void space_give_back(struct space *space, struct block_list *blocks)
{
	struct block *block;
	(void)pthread_mutex_lock(&space->lock);
	STAILQ_FOREACH (block, blocks, list) {
		space->used -= block_pages(block);
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
	(void)pthread_mutex_unlock(&space->lock);
	release(space, &blocks);
	wake_watches(space, pgoff, pgoff + npages);
}

/* A block that waits: see to it that it becomes free, now or at its last put. space.h says why each case is right. */
static void settle(struct space *space, uint64_t pgoff, unsigned order)
{
	for (;;) {
		struct folio *folio;
		int err = pgmap_request_folio(space->pgmap, pgoff, order, &folio);
		if (!err) {
			folio_put(folio); /* the last: space_folio_free() */
			return;
		}
		if (pgmap_find_folio(space->pgmap, pgoff, &folio) == 0)
			return;
		if (pgmap_release_quarantined(space->pgmap, pgoff) != -ENOENT)
			return;
		if (err != -EBUSY) {
			space_folio_free(space, pgoff, UINT64_C(1) << order);
			return;
		}
		(void)sched_yield();
	}
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
		space->used -= block_pages(block);
		space->nwaiting += block_pages(block);
		(void)pthread_mutex_unlock(&space->lock);
		settle(space, pgoff, order);
	}
}

void space_statfs(struct space *space, struct fsdax_statfs *out)
{
	(void)pthread_mutex_lock(&space->lock);
	out->pages = space->pages;
	out->used = space->used;
	out->free = space->buddy.nfree;
	out->waiting = space->nwaiting;
	out->granule_order = space->granule_order;
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++)
		out->free_by_order[order] = space->buddy.count[order];
	for (unsigned order = PGMAP_MAX_ORDER + 1; order <= BLOCK_MAX_ORDER; order++)
		out->free_by_order[PGMAP_MAX_ORDER] += space->buddy.count[order] << (order - PGMAP_MAX_ORDER);
	(void)pthread_mutex_unlock(&space->lock);
}
