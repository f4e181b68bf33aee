/* SPDX-License-Identifier: BSD-3-Clause */
/* extent.c - see extent.h. */
#include "fs/extent.h"

#include <string.h>

void extents_init(struct extents *extents)
{
	memset(extents, 0, sizeof(*extents));
	RB_INIT(&extents->tree);
	extents->max_known = true;
}

static void add(struct extents *extents, struct block *block)
{
	block_insert(&extents->tree, block);
	extents->count++;
	extents->pages += block_pages(block);
	if (block->order > extents->max_order)
		extents->max_order = block->order;
}

static void take_out(struct extents *extents, struct block *block)
{
	block_remove(&extents->tree, block);
	extents->count--;
	extents->pages -= block_pages(block);
	extents->max_known = false;
}

void extents_add(struct extents *extents, struct block_list *blocks)
{
	struct block *block;
	while ((block = STAILQ_FIRST(blocks)) != NULL) {
		STAILQ_REMOVE_HEAD(blocks, list);
		add(extents, block);
	}
}

unsigned extents_cut_spares(struct extents *extents, uint64_t page)
{
	const struct block *block = block_covering(&extents->tree, page);
	if (!block || block->key == page)
		return 0;
	return block->order - (unsigned)__builtin_ctzll(page - block->key);
}

static void cut_block(struct extents *extents, struct block *block, uint64_t page, struct block_list *spares,
		      struct block_list *lost)
{
	take_out(extents, block);
	while (block->key < page && block_end(block) > page) {
		struct block *upper = STAILQ_FIRST(spares);
		STAILQ_REMOVE_HEAD(spares, list);
		block_halve(block, upper);
		if (page <= upper->key) {
			STAILQ_INSERT_HEAD(lost, upper, list);
		} else {
			add(extents, block);
			block = upper;
		}
	}
	add(extents, block);
}

void extents_cut(struct extents *extents, uint64_t page, struct block_list *spares, struct block_list *lost)
{
	struct block *block = block_covering(&extents->tree, page);
	if (block && block->key < page)
		cut_block(extents, block, page, spares, lost);
	while ((block = block_at_or_after(&extents->tree, page)) != NULL) {
		take_out(extents, block);
		STAILQ_INSERT_TAIL(lost, block, list);
	}
}

unsigned extents_max_order(struct extents *extents)
{
	if (!extents->max_known) {
		extents->max_order = 0;
		for (struct block *block = block_first(&extents->tree); block; block = block_next(block))
			extents->max_order = block->order > extents->max_order ? block->order : extents->max_order;
		extents->max_known = true;
	}
	return extents->max_order;
}
