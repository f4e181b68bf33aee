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
	extents->granule_known = false;
	if (block->order > extents->max_order)
		extents->max_order = block->order;
}

static void take_out(struct extents *extents, struct block *block)
{
	block_remove(&extents->tree, block);
	extents->count--;
	extents->pages -= block_pages(block);
	extents->max_known = false;
	extents->granule_known = false;
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

void extents_split(struct extents *extents, uint64_t page, struct block_list *spares)
{
	struct block *block = block_covering(&extents->tree, page);
	if (!block || block->key == page)
		return;
	take_out(extents, block);
	while (block->key < page && block_end(block) > page) {
		struct block *upper = STAILQ_FIRST(spares);
		STAILQ_REMOVE_HEAD(spares, list);
		block_halve(block, upper);
		add(extents, page <= upper->key ? upper : block);
		if (page > upper->key)
			block = upper;
	}
	add(extents, block);
}

unsigned extents_take_spares(struct extents *extents, uint64_t from, uint64_t to)
{
	return extents_cut_spares(extents, from) + extents_cut_spares(extents, to);
}

void extents_take(struct extents *extents, uint64_t from, uint64_t to, struct block_list *spares,
		  struct block_list *lost)
{
	struct block *block;
	extents_split(extents, from, spares);
	extents_split(extents, to, spares);
	while ((block = block_at_or_after(&extents->tree, from)) != NULL && block->key < to) {
		take_out(extents, block);
		STAILQ_INSERT_TAIL(lost, block, list);
	}
}

void extents_cut(struct extents *extents, uint64_t page, struct block_list *spares, struct block_list *lost)
{
	extents_take(extents, page, UINT64_MAX, spares, lost);
}

bool extents_hole(struct extents *extents, uint64_t *from, uint64_t to, uint64_t *end)
{
	const struct block *block;
	while ((block = block_covering(&extents->tree, *from)) != NULL)
		*from = block_end(block);
	block = block_at_or_after(&extents->tree, *from);
	*end = block && block->key < to ? block->key : to;
	return *from < *end;
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
