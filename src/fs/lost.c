/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lost.c - free pages that cannot be handed out, as their device is dead or their data gone; declared in space.h.
 *
 * They count as waiting. What is lost is asked of the devices (places.h), which know before they say so: so it is enough
 * to look when somebody says so, at what is free then, and at whatever becomes free later. Both under the lock: a page
 * that becomes free between the loss and the word of it is found by the second or by the first.
 *
 * Dead is for good; what is bad is looked at again where space is short. No memory is needed for it: where there is none to cut a block with, all of it is lost.
 */
#include <stdbool.h>

#include "fs/leaving.h"
#include "fs/space.h"

/* What of a block is lost: nothing, some of it, all, or all of it for good, as its device is dead. */
enum loss { NONE, SOME, ALL, FOR_GOOD };

static enum loss loss_of(const struct space *space, const struct block *block)
{
	struct places_lost lost;
	uint64_t at = block->off, end = at + block_pages(block);
	enum loss loss = FOR_GOOD;
	while (at < end && places_find_lost(&space->places, at, end, &lost)) {
		if (lost.from > at)
			return SOME;
		if (lost.what != DAX_FAILURE_DEAD)
			loss = ALL;
		at = lost.end;
	}
	return at == block->off ? NONE : at < end ? SOME : loss;
}

static void lose(struct space *space, struct block *block, enum loss loss)
{
	block->key = block->off;
	block_insert(loss == FOR_GOOD ? &space->gone : &space->bad, block);
	space->nlost += block_pages(block);
	space->nwaiting += block_pages(block);
	stock_set(space_stock(space, block->off), block->off, block_pages(block), STOCK_ABSENT);
}

static void sort_out(struct space *space, struct block *block)
{
	enum loss loss = loss_of(space, block);
	struct block *upper =
		loss == SOME && block->order > places_granule(&space->places, block->off) ? block_alloc() : NULL;
	if (upper) {
		block_halve(block, upper);
		sort_out(space, block);
		sort_out(space, upper);
	} else if (loss != NONE) {
		lose(space, block, loss);
	} else {
		shelf_free(&space->shelf, block);
	}
}

void space_make_free(struct space *space, struct block *block)
{
	struct leaving *leaving = leaving_on(space, block->off);
	if (leaving)
		leaving_keep(space, leaving, block);
	else if (places_damaged(&space->places))
		sort_out(space, block);
	else
		shelf_free(&space->shelf, block);
}

/* Pages of one segment. */
static void look_at(struct space *space, uint64_t from, uint64_t end)
{
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	struct block *block;
	shelf_take_range(&space->shelf, from, end, &blocks);
	while ((block = STAILQ_FIRST(&blocks)) != NULL) {
		STAILQ_REMOVE_HEAD(&blocks, list);
		sort_out(space, block);
	}
}

void space_damage(struct space *space, uint64_t page, uint64_t npages)
{
	(void)pthread_mutex_lock(&space->lock);
	const struct places_table *table = places_now(&space->places);
	atomic_store_explicit(&space->places.damaged, true, memory_order_relaxed);
	for (size_t i = 0; i < table->nsegments; i++) {
		const struct places_segment *segment = &table->segments[i];
		uint64_t from = page > segment->page ? page : segment->page, end = segment->page + segment->npages;
		end = page + npages < end ? page + npages : end;
		if (from < end)
			look_at(space, segment->base + (from - segment->page), segment->base + (end - segment->page));
	}
	(void)pthread_mutex_unlock(&space->lock);
}

static int damage(uint64_t page, uint64_t npages, void *arg)
{
	space_damage(arg, page, npages);
	return 0;
}

int space_find_damage(struct space *space)
{
	return dax_for_each_poisoned(space->dax, damage, space);
}

static void unstock(struct space *space, struct block_tree *tree, uint64_t from, uint64_t end)
{
	struct block *block = block_covering(tree, from);
	if (!block)
		block = block_at_or_after(tree, from);
	for (; block && block->key < end; block = block_next(block))
		stock_set(space_stock(space, block->off), block->off, block_pages(block), STOCK_ABSENT);
}

void space_unstock_lost(struct space *space, uint64_t from, uint64_t end)
{
	unstock(space, &space->gone, from, end);
	unstock(space, &space->bad, from, end);
}

void space_look_for_lost(struct space *space, uint64_t off, uint64_t npages)
{
	while (npages) {
		char *addr;
		uint64_t n = places_run(&space->places, off, npages, &addr);
		(void)dax_verify(space->dax, places_page(&space->places, off), n);
		off += n;
		npages -= n;
	}
}

/* Bytes of good pages, this one the first, as far as they can be had. */
static void zero_good(struct space *space, uint64_t off, char *addr, uint64_t len_bytes)
{
	uint64_t within = (uintptr_t)addr % PGMAP_PAGE_SIZE;
	if (!len_bytes || zero_bytes(&space->zero, addr, len_bytes) == 0)
		return;
	space_look_for_lost(space, off, (within + len_bytes + PGMAP_PAGE_SIZE - 1) >> PGMAP_PAGE_SHIFT);
	for (uint64_t n = PGMAP_PAGE_SIZE - within; len_bytes; n = PGMAP_PAGE_SIZE) {
		n = n < len_bytes ? n : len_bytes;
		(void)zero_bytes(&space->zero, addr, n);
		addr += n;
		len_bytes -= n;
	}
}

/* Pages that are known to be bad are not touched. */
void space_zero(struct space *space, uint64_t off, char *addr, uint64_t len_bytes)
{
	char *end = addr + len_bytes, *first = addr - (uintptr_t)addr % PGMAP_PAGE_SIZE;
	uint64_t at = off, pages_end = off + ((uint64_t)(end - first + PGMAP_PAGE_SIZE - 1) >> PGMAP_PAGE_SHIFT);
	struct places_lost lost;
	while (places_damaged(&space->places) && at < pages_end &&
	       places_find_lost(&space->places, at, pages_end, &lost)) {
		char *bad = first + ((lost.from - off) << PGMAP_PAGE_SHIFT);
		if (bad > addr)
			zero_good(space, at, addr, (uint64_t)(bad - addr));
		at = lost.end;
		addr = first + ((lost.end - off) << PGMAP_PAGE_SHIFT);
	}
	if (addr < end)
		zero_good(space, at, addr, (uint64_t)(end - addr));
}

/* Whatever of it the device can make good again is. */
static void clear(struct space *space, const struct block *block)
{
	struct places_lost lost;
	uint64_t granule = UINT64_C(1) << places_granule(&space->places, block->off);
	uint64_t at = block->off, end = at + block_pages(block);
	while (at < end && places_find_lost(&space->places, at, end, &lost)) {
		uint64_t from = lost.from / granule * granule;
		at = (lost.end + granule - 1) / granule * granule;
		if (lost.what == DAX_FAILURE_POISON)
			(void)dax_zero_range(space->dax, places_page(&space->places, from), at - from);
	}
}

void space_retry_lost(struct space *space)
{
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	struct block *block;
	(void)pthread_mutex_lock(&space->lock);
	while ((block = block_first(&space->bad)) != NULL) {
		block_remove(&space->bad, block);
		STAILQ_INSERT_TAIL(&blocks, block, list);
	}
	(void)pthread_mutex_unlock(&space->lock);
	STAILQ_FOREACH (block, &blocks, list)
		clear(space, block);
	(void)pthread_mutex_lock(&space->lock);
	while ((block = STAILQ_FIRST(&blocks)) != NULL) {
		STAILQ_REMOVE_HEAD(&blocks, list);
		space->nlost -= block_pages(block);
		space->nwaiting -= block_pages(block);
		stock_set(space_stock(space, block->off), block->off, block_pages(block), STOCK_DIRTY);
		space_make_free(space, block);
	}
	(void)pthread_mutex_unlock(&space->lock);
}
