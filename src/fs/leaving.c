/* SPDX-License-Identifier: BSD-3-Clause */
/* leaving.c - see leaving.h. */
#include "fs/leaving.h"

#include <errno.h>
#include <stdlib.h>

/* Segments of this device: fn(from, end). */
typedef void range_fn(struct space *space, uint64_t from, uint64_t end, void *arg);

static void each_range(struct space *space, unsigned index, range_fn *fn, void *arg)
{
	const struct places_table *table = places_now(&space->places);
	for (size_t i = 0; i < table->nsegments; i++) {
		const struct places_segment *segment = &table->segments[i];
		if (segment->device == (int)index)
			fn(space, segment->base, segment->base + segment->npages, arg);
	}
}

static uint64_t pages_on(const struct places_table *table, unsigned index)
{
	uint64_t npages = 0;
	for (size_t i = 0; i < table->nsegments; i++)
		npages += table->segments[i].device == (int)index ? table->segments[i].npages : 0;
	return npages;
}

int leaving_prepare(struct space *space, const struct places_table *table, unsigned index, struct block_list *blocks)
{
	int err = 0;
	for (size_t i = 0; i < table->nsegments && !err; i++) {
		if (table->segments[i].device == (int)index)
			err = buddy_blocks(table->segments[i].base, table->segments[i].npages, blocks);
	}
	(void)pthread_mutex_lock(&space->lock);
	if (!err)
		err = stock_grow(&space->stock, table->end);
	if (!err)
		err = stock_grow(&space->resident, table->end);
	if (!err)
		err = space_room_for_devices(space, table->ndevices);
	(void)pthread_mutex_unlock(&space->lock);
	if (err)
		block_free_list(blocks);
	return err;
}

/* What was bad before it was ours, or died since, nobody will tell. */
static void look_for_loss(struct space *space, uint64_t from, uint64_t end, void *arg)
{
	struct places_lost lost;
	(void)arg;
	if (places_find_lost(&space->places, from, end, &lost))
		atomic_store_explicit(&space->places.damaged, true, memory_order_relaxed);
}

static void make_dirty(struct space *space, uint64_t from, uint64_t end, void *arg)
{
	(void)arg;
	stock_set(&space->resident, from, end - from, STOCK_DIRTY);
}

static void wake_wiper(struct space *space)
{
	if (space->asleep) {
		space->asleep = false;
		(void)pthread_cond_signal(&space->work);
	}
}

void leaving_add(struct space *space, struct places_table *table, unsigned index, struct block_list *blocks)
{
	struct block *block;
	(void)pthread_mutex_lock(&space->lock);
	if (atomic_load_explicit(&space->places.only, memory_order_relaxed))
		space->devices[0].used = space->used; /* counted apart from now on */
	space->devices[index] = (struct space_device){.npages = pages_on(table, index)};
	for (size_t i = 0; i < table->nsegments; i++)
		space->shelf.granules |= 1U << table->segments[i].granule_order;
	places_publish(&space->places, table);
	space->pages += space->devices[index].npages;
	each_range(space, index, look_for_loss, NULL);
	if (table->devices[index].span.resident) {
		each_range(space, index, make_dirty, NULL);
		space->nresident += space->devices[index].npages;
	}
	while ((block = STAILQ_FIRST(blocks)) != NULL) {
		STAILQ_REMOVE_HEAD(blocks, list);
		space_make_free(space, block);
	}
	wake_wiper(space);
	(void)pthread_mutex_unlock(&space->lock);
}

struct leaving *leaving_find(struct space *space, uint64_t off)
{
	int index = places_device(&space->places, off);
	return index >= 0 ? space->devices[index].leaving : NULL;
}

/* The state of these pages goes from one stock to the other. */
static void move_state(struct stock *from, struct stock *to, const struct block *block)
{
	uint64_t at = block->off, end = at + block_pages(block);
	while (at < end) {
		enum stock_state state;
		uint64_t n = stock_run(from, at, end, &state);
		if (state != STOCK_ABSENT) {
			stock_set(to, at, n, state);
			stock_set(from, at, n, STOCK_ABSENT);
		}
		at += n;
	}
}

void leaving_keep(struct space *space, struct leaving *leaving, struct block *block)
{
	block->key = block->off;
	block_insert(&leaving->blocks, block);
	leaving->npages += block_pages(block);
	space->nwaiting += block_pages(block);
	move_state(space_stock(space, block->off), &leaving->stock, block);
}

/* All that is free. */
static void take_free(struct space *space, uint64_t from, uint64_t end, void *arg)
{
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	struct block *block;
#ifdef PGMAP_FAULT_LEAVE /* the planted bug: what is free there is handed out to others */
	end = from;
#endif
	shelf_take_range(&space->shelf, from, end, &blocks);
	while ((block = STAILQ_FIRST(&blocks)) != NULL) {
		STAILQ_REMOVE_HEAD(&blocks, list);
		leaving_keep(space, arg, block);
	}
}

/* A block that was kept aside, and counted as waiting: nobody knows what is in it. */
static void take_kept(struct space *space, struct leaving *leaving, struct block *block)
{
	space->nwaiting -= block_pages(block);
	stock_set(space_stock(space, block->off), block->off, block_pages(block), STOCK_DIRTY);
	leaving_keep(space, leaving, block);
}

static void take_lost(struct space *space, struct block_tree *tree, uint64_t from, uint64_t end,
		      struct leaving *leaving)
{
	struct block *block;
	while ((block = block_at_or_after(tree, from)) != NULL && block->key < end) {
		block_remove(tree, block);
		space->nlost -= block_pages(block);
		take_kept(space, leaving, block);
	}
}

static void take_unwiped(struct space *space, uint64_t from, uint64_t end, struct leaving *leaving)
{
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	struct block *block;
	STAILQ_CONCAT(&blocks, &space->unwiped);
	while ((block = STAILQ_FIRST(&blocks)) != NULL) {
		STAILQ_REMOVE_HEAD(&blocks, list);
		if (block->off >= from && block->off < end)
			take_kept(space, leaving, block);
		else
			STAILQ_INSERT_TAIL(&space->unwiped, block, list);
	}
}

static void take_all(struct space *space, uint64_t from, uint64_t end, void *arg)
{
	take_free(space, from, end, arg);
	take_lost(space, &space->gone, from, end, arg);
	take_lost(space, &space->bad, from, end, arg);
	take_unwiped(space, from, end, arg);
}

struct range {
	uint64_t from, end;
};

static void widen(struct space *space, uint64_t from, uint64_t end, void *arg)
{
	struct range *range = arg;
	(void)space;
	range->from = from < range->from ? from : range->from;
	range->end = end > range->end ? end : range->end;
}

static struct leaving *leaving_alloc(struct space *space, unsigned index)
{
	struct range range = {UINT64_MAX, 0};
	struct leaving *leaving = calloc(1, sizeof(*leaving));
	each_range(space, index, widen, &range);
	if (leaving && stock_init(&leaving->stock, range.from, range.end - range.from, space->granule_order) != 0) {
		free(leaving);
		return NULL;
	}
	return leaving;
}

static void leaving_free_all(struct leaving *leaving)
{
	struct block *block;
	while ((block = block_first(&leaving->blocks)) != NULL) {
		block_remove(&leaving->blocks, block);
		block_free(block);
	}
	stock_exit(&leaving->stock);
	free(leaving);
}

int leaving_begin(struct space *space, unsigned index, uint64_t unlinked, uint64_t *used)
{
	struct leaving *leaving = leaving_alloc(space, index);
	if (!leaving)
		return -ENOMEM;
	(void)pthread_mutex_lock(&space->lock);
	space_wait_for_piece(space);
	*used = space_used_on(space, index);
	bool owned = *used > unlinked;
	if (!owned) {
		space->devices[index].leaving = leaving;
		space->nleaving++;
		each_range(space, index, take_all, leaving);
		uint64_t there = space_populated(space);
		space->low = there < space->low ? there : space->low;
	}
	(void)pthread_mutex_unlock(&space->lock);
	if (owned)
		leaving_free_all(leaving);
	return owned ? -EBUSY : 0;
}

uint64_t leaving_rest(struct space *space, unsigned index)
{
	(void)pthread_mutex_lock(&space->lock);
	const struct space_device *device = &space->devices[index];
	uint64_t npages = device->npages - device->leaving->npages;
	(void)pthread_mutex_unlock(&space->lock);
	return npages;
}

void leaving_cancel(struct space *space, unsigned index)
{
	struct block *block;
	(void)pthread_mutex_lock(&space->lock);
	struct leaving *leaving = space->devices[index].leaving;
	space->devices[index].leaving = NULL;
	space->nleaving--;
	while ((block = block_first(&leaving->blocks)) != NULL) {
		block_remove(&leaving->blocks, block);
		space->nwaiting -= block_pages(block);
		move_state(&leaving->stock, space_stock(space, block->off), block);
		space_make_free(space, block);
	}
	wake_wiper(space);
	(void)pthread_mutex_unlock(&space->lock);
	leaving_free_all(leaving);
	space_keep_to(space);
}

void leaving_end(struct space *space, struct places_table *table, unsigned index)
{
	(void)pthread_mutex_lock(&space->lock);
	struct space_device device = space->devices[index];
	if (places_now(&space->places)->devices[index].span.resident)
		space->nresident -= device.npages;
	space->devices[index] = (struct space_device){0};
	space->nleaving--;
	space->pages -= device.npages;
	space->nwaiting -= device.leaving->npages;
	places_publish(&space->places, table);
	(void)pthread_mutex_unlock(&space->lock);
	leaving_free_all(device.leaving);
}

void leaving_exit(struct space *space)
{
	for (unsigned i = 0; i < space->ndevices; i++) {
		if (space->devices[i].leaving)
			leaving_free_all(space->devices[i].leaving);
	}
	free(space->devices);
}
