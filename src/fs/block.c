/* SPDX-License-Identifier: BSD-3-Clause */
/* block.c - trees and lists of blocks. See block.h: no lock of its own. */
#include "fs/block.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "port/abort.h"

static int compare(const struct block *a, const struct block *b)
{
	return a->key < b->key ? -1 : a->key > b->key;
}

RB_GENERATE_INTERNAL(block_tree, block, tree, compare, __attribute__((unused)) static)

void block_insert(struct block_tree *tree, struct block *block)
{
	const struct block *there = RB_INSERT(block_tree, tree, block);
	if (there)
		port_abort("fsdax: two blocks at page %" PRIu64 ": device page %" PRIu64 " order %u, and %" PRIu64
			   " order %u",
			   block->key, there->off, there->order, block->off, block->order);
}

void block_remove(struct block_tree *tree, struct block *block)
{
	(void)RB_REMOVE(block_tree, tree, block);
}

struct block *block_find(struct block_tree *tree, uint64_t key)
{
	struct block at = {.key = key};
	return RB_FIND(block_tree, tree, &at);
}

struct block *block_at_or_after(struct block_tree *tree, uint64_t key)
{
	struct block at = {.key = key};
	return RB_NFIND(block_tree, tree, &at);
}

struct block *block_covering(struct block_tree *tree, uint64_t key)
{
	struct block *best = NULL;
	for (struct block *at = RB_ROOT(tree); at;) {
		if (at->key > key) {
			at = RB_LEFT(at, tree);
		} else {
			best = at;
			at = RB_RIGHT(at, tree);
		}
	}
	return best && key < block_end(best) ? best : NULL;
}

struct block *block_first(struct block_tree *tree)
{
	return RB_MIN(block_tree, tree);
}

struct block *block_last(struct block_tree *tree)
{
	return RB_MAX(block_tree, tree);
}

struct block *block_next(struct block *block)
{
	return RB_NEXT(block_tree, NULL, block);
}

struct block *block_previous(struct block *block)
{
	return RB_PREV(block_tree, NULL, block);
}

struct block *block_alloc(void)
{
	return malloc(sizeof(struct block));
}

void block_free(struct block *block)
{
	free(block);
}

void block_free_list(struct block_list *list)
{
	struct block *block;
	while ((block = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, list);
		block_free(block);
	}
}

int block_spares_get(struct block_list *spares, unsigned n)
{
	for (; n; n--) {
		struct block *block = block_alloc();
		if (!block) {
			block_free_list(spares);
			return -ENOMEM;
		}
		STAILQ_INSERT_HEAD(spares, block, list);
	}
	return 0;
}

void block_halve(struct block *block, struct block *upper)
{
	block->order--;
	upper->order = block->order;
	upper->off = block->off + block_pages(block);
	upper->key = block->key + block_pages(block);
}
