/* SPDX-License-Identifier: BSD-3-Clause */
/* supply.c - see supply.h. */
#include "fs/supply.h"

#include <errno.h>

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
	if (supply)
		supply->at_once_pages = SUPPLY_AT_ONCE_PAGES;
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
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	supply->err = space_alloc(&supply->fs->space, supply->file_page, supply->npages, supply->max_order, &blocks);
	supply->rounds++;
	keep(supply, &blocks);
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
	supply->rounds = 0;
	supply->err = 0;
}

static bool is_ready(struct supply *supply, uint64_t file_page, uint64_t end)
{
	struct block *block = block_find(&supply->ready, file_page);
	while (block && block->key == file_page && block_end(block) <= end) {
		file_page = block_end(block);
		block = block_next(block);
	}
	return file_page == end;
}

/* How many pages would have to be made ready, as far as counting them can say. */
static uint64_t work(struct space *space, uint64_t npages)
{
	if (npages > SUPPLY_CLEAN_PAGES)
		return npages;
	(void)pthread_mutex_lock(&space->lock);
	uint64_t clean = (space->stock.clean << space->granule_order) - space->taken.clean;
	(void)pthread_mutex_unlock(&space->lock);
	return npages > clean ? npages - clean : 0;
}

int supply_get(struct fsdax *fs, uint64_t file_page, uint64_t npages, unsigned max_order, struct block_list *out)
{
	struct supply *supply = fs->supply;
	if (!supply)
		return space_alloc(&fs->space, file_page, npages, max_order, out);
	if (is_ready(supply, file_page, file_page + npages)) {
		take(supply, file_page, file_page + npages, out);
		return 0;
	}
	if (supply->err)
		return supply->err;
	give_back(supply, file_page, file_page + npages); /* it would be in the way of what is to come */
	uint64_t more = work(&fs->space, npages);
	if (more <= supply->at_once_pages || supply->rounds >= SUPPLY_ROUNDS) {
		supply->at_once_pages -= more < supply->at_once_pages ? more : supply->at_once_pages;
		return space_alloc(&fs->space, file_page, npages, max_order, out);
	}
	supply->file_page = file_page;
	supply->npages = npages;
	supply->max_order = max_order;
	return -ERESTART;
}

void supply_put(struct fsdax *fs, struct block_list *blocks)
{
	keep(fs->supply, blocks);
}

bool supply_prefers_new(struct fsdax *fs, uint64_t npages)
{
	struct fsdax_statfs st;
	if (!fs->supply || fs->supply->err || npages <= SUPPLY_AT_ONCE_PAGES)
		return false;
	space_statfs(&fs->space, &st);
	return st.free >= npages || is_ready(fs->supply, 0, npages);
}
