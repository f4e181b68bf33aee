/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * block.h - a naturally aligned run of 2^order pages, on its way between those who own it: free in the buddy allocator,
 * an extent of a file, or waiting for its last put.
 *
 * One node serves all three, because a block is in one place at a time: what was allocated with the block is enough to
 * give it back, so that freeing never needs memory and cannot fail. In a file's tree the key is the page of the file,
 * in the other trees the page of the device. Only nodes that a split makes are new (block_spares_get).
 *
 * Thread safety: none of its own; whoever owns the tree or list has the lock.
 */
#ifndef PGMAP_FS_BLOCK_H
#define PGMAP_FS_BLOCK_H

#include <stdint.h>
#include <bsd/sys/tree.h>
#include <sys/queue.h>

enum { BLOCK_MAX_ORDER = 48 };

struct block {
	union {
		RB_ENTRY(block) tree;
		STAILQ_ENTRY(block) list;
	};
	uint64_t key;
	uint64_t off; /* first page on the device */
	unsigned order;
};
RB_HEAD(block_tree, block);
STAILQ_HEAD(block_list, block);

static inline uint64_t block_pages(const struct block *block)
{
	return UINT64_C(1) << block->order;
}

/* The first page, by key, behind the block. */
static inline uint64_t block_end(const struct block *block)
{
	return block->key + block_pages(block);
}

void block_insert(struct block_tree *tree, struct block *block); /* aborts: the key is taken */
void block_remove(struct block_tree *tree, struct block *block);
struct block *block_find(struct block_tree *tree, uint64_t key);        /* exactly this key, or null */
struct block *block_at_or_after(struct block_tree *tree, uint64_t key); /* the first with key or above */
struct block *block_covering(struct block_tree *tree, uint64_t key);    /* the one that has this page, or null */
struct block *block_first(struct block_tree *tree);
struct block *block_last(struct block_tree *tree);
struct block *block_next(struct block *block);
struct block *block_previous(struct block *block);

struct block *block_alloc(void);
void block_free(struct block *block);
void block_free_list(struct block_list *list);

/* block_spares_get - n nodes onto the list, or -ENOMEM and none. */
int block_spares_get(struct block_list *spares, unsigned n);

/* block_halve - the upper half as a block of its own, in `upper`; the block keeps the lower. Order above 0. */
void block_halve(struct block *block, struct block *upper);

#endif
