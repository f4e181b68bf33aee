/* SPDX-License-Identifier: BSD-3-Clause */
/* supply.c - see supply.h. */
#include "fs/supply.h"

#include <errno.h>
#include <stdlib.h>

#include <pgmap/folio.h>

#include "fs/fs.h"

void supply_init(struct supply *supply, struct fsdax *fs)
{
	*supply = (struct supply){.fs = fs};
	RB_INIT(&supply->ready);
}

void supply_use(struct fsdax *fs, struct supply *supply)
{
	fs->supply = supply;
	if (!supply)
		return;
	supply->at_once_pages = SUPPLY_AT_ONCE_PAGES;
	supply->clean_pages = SUPPLY_CLEAN_PAGES;
	supply->nwants = 0;
}

static void keep(struct supply *supply, struct block_list *blocks)
{
	struct block *block;
	while ((block = STAILQ_FIRST(blocks)) != NULL) {
		STAILQ_REMOVE_HEAD(blocks, list);
		block_insert(&supply->ready, block);
	}
}

void supply_make(struct supply *supply)
{
	supply->err = 0;
	for (uint64_t i = 0; i < supply->nwants && !supply->err; i++) {
		struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
		supply->failed = supply->wants[i];
		supply->err = space_get(&supply->fs->space, &supply->wants[i], &blocks);
		keep(supply, &blocks);
	}
	supply->is_short = supply->is_short || supply->err;
	supply->rounds++;
}

/* What is ready of pages [file_page, end), whole blocks, and those that reach beyond if all: off the tree. */
static void take(struct supply *supply, uint64_t file_page, uint64_t end, struct block_list *out)
{
	struct block *block = block_covering(&supply->ready, file_page), *next;
	if (!block)
		block = block_at_or_after(&supply->ready, file_page);
	for (; block && block->key < end; block = next) {
		next = block_next(block);
		block_remove(&supply->ready, block);
		STAILQ_INSERT_TAIL(out, block, list);
	}
}

static void give_back(struct supply *supply, uint64_t file_page, uint64_t end)
{
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	take(supply, file_page, end, &blocks);
	space_give_back(&supply->fs->space, &blocks);
}

void supply_end(struct supply *supply)
{
	give_back(supply, 0, UINT64_MAX);
	free(supply->wants);
	supply->wants = NULL;
	supply->nwants = supply->wants_cap = 0;
	supply->rounds = 0;
	supply->err = 0;
	supply->is_short = false;
}

/* The last block may be a granule that was rounded up. */
static bool is_ready(struct supply *supply, uint64_t file_page, uint64_t end, uint64_t reach)
{
	const struct places *places = &supply->fs->space.places;
	struct block *block = block_find(&supply->ready, file_page);
	while (block && block->key == file_page && block_end(block) <= end) {
		file_page = block_end(block);
		block = block_next(block);
	}
	return file_page == end || (block && block->key == file_page && places_mixed(places) &&
				    block_end(block) <= reach && block->order == places_granule(places, block->off));
}

/* As far as counting can say: which of them a call will get is not known. */
static bool seem_clean(struct space *space, uint64_t npages)
{
	(void)pthread_mutex_lock(&space->lock);
	uint64_t clean = stock_free(&space->stock).clean + stock_free(&space->resident).clean;
	(void)pthread_mutex_unlock(&space->lock);
	return npages <= clean;
}

static bool may_take(struct supply *supply, uint64_t npages)
{
	uint64_t *budget = &supply->at_once_pages;
	if (npages <= supply->clean_pages && seem_clean(&supply->fs->space, npages))
		budget = &supply->clean_pages;
	if (npages > *budget)
		return false;
	*budget -= npages;
	return true;
}

/* How many may have to be made ready for so many: a bigger granule, where the smallest have no room. */
static uint64_t at_most(struct space *space, uint64_t npages)
{
	const struct shelf *shelf = &space->shelf;
	if (!places_mixed(&space->places))
		return npages;
	(void)pthread_mutex_lock(&space->lock);
	bool has_room = npages <= shelf->at[shelf_smallest(shelf->granules)].nfree;
	(void)pthread_mutex_unlock(&space->lock);
	return has_room ? npages : npages + (UINT64_C(1) << shelf_biggest(shelf->granules));
}

static int want(struct supply *supply, const struct space_wish *wish)
{
	if (supply->nwants == supply->wants_cap) {
		uint64_t cap = supply->wants_cap ? 2 * supply->wants_cap : 1;
		struct space_wish *more = realloc(supply->wants, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		supply->wants = more;
		supply->wants_cap = cap;
	}
	supply->wants[supply->nwants++] = *wish;
	supply->max_order = wish->max_order;
	return 0;
}

int supply_get(struct fsdax *fs, const struct space_wish *wish, struct block_list *out)
{
	struct supply *supply = fs->supply;
	uint64_t end = wish->file_page + wish->npages;
	if (!supply)
		return space_get(&fs->space, wish, out);
	if (supply->max_order != wish->max_order) /* set since; what is ready may be bigger */
		give_back(supply, 0, UINT64_MAX);
	if (is_ready(supply, wish->file_page, end, wish->reach)) {
		take(supply, wish->file_page, end, out);
		return 0;
	}
	if (supply->err && supply->failed.file_page == wish->file_page && supply->failed.npages == wish->npages)
		return supply->err;
	give_back(supply, wish->file_page, end); /* it would be in the way of what is to come */
	if (may_take(supply, at_most(&fs->space, wish->npages)))
		return space_get(&fs->space, wish, out);
	return supply->rounds < SUPPLY_ROUNDS ? want(supply, wish) : -EAGAIN;
}

int supply_lacks(const struct fsdax *fs)
{
	return fs->supply && fs->supply->nwants ? -ERESTART : 0;
}

void supply_put(struct fsdax *fs, struct block_list *blocks)
{
	keep(fs->supply, blocks);
}

bool supply_prefers_new(struct fsdax *fs, uint64_t npages)
{
	struct fsdax_statfs st;
	if (!fs->supply || fs->supply->is_short || npages <= SUPPLY_AT_ONCE_PAGES)
		return false;
	space_statfs(&fs->space, &st);
	return st.free >= npages || is_ready(fs->supply, 0, npages, UINT64_MAX);
}
