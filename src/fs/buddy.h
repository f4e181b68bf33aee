/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * buddy.h - which runs of units are free, in naturally aligned blocks of every order. Units are pages of a device to a
 * pool, words of a pin segment to a server.
 *
 * Invariant: no two free blocks are buddies of each other (they would be one of the next order), so big blocks come
 * back as soon as they can. An allocation takes the smallest free block that is big enough, at the lowest address:
 * small requests fill broken blocks first, and whole ones stay whole. Memory grows with the free blocks, not with the
 * units; each call costs O(log(free blocks)) for each order that it splits or merges.
 *
 * Thread safety: none of its own; the caller has a lock.
 */
#ifndef PGMAP_FS_BUDDY_H
#define PGMAP_FS_BUDDY_H

#include <stdint.h>

#include "fs/block.h"

struct buddy {
	struct block_tree free[BLOCK_MAX_ORDER + 1];
	uint64_t count[BLOCK_MAX_ORDER + 1]; /* blocks in each tree */
	uint64_t orders;                     /* bit k: free[k] has some */
	uint64_t nfree;                      /* units */
};

/* buddy_init - units [start, start + n) are free; below 2^48. -ENOMEM. buddy_exit forgets them all. */
int buddy_init(struct buddy *buddy, uint64_t start, uint64_t n);
void buddy_exit(struct buddy *buddy);

/* buddy_alloc - a block of exactly this order; its key is its offset, and the node is the caller's until buddy_free().
 * -ENOSPC no free block is big enough, -ENOMEM; nothing changed. */
int buddy_alloc(struct buddy *buddy, unsigned order, struct block **out);
/* buddy_take - the block at this offset, for replay. -ENOSPC some of it is not free, -ENOMEM. */
int buddy_take(struct buddy *buddy, uint64_t off, unsigned order, struct block **out);
/* buddy_free - merges with free buddies; cannot fail. A block that was split may come back in its parts. */
void buddy_free(struct buddy *buddy, struct block *block);

/* buddy_add - units that it did not know are free too. -ENOMEM: none of them. buddy_take_range - every free block that has some of
 * these units is free no more: appended to the list. */
int buddy_add(struct buddy *buddy, uint64_t start, uint64_t n);
/* buddy_blocks - units as blocks, appended: each of them is for buddy_free(). -ENOMEM, none. */
int buddy_blocks(uint64_t start, uint64_t n, struct block_list *out);
void buddy_take_range(struct buddy *buddy, uint64_t from, uint64_t end, struct block_list *out);

/* buddy_fit - a free block of the smallest order that is big enough, at the lowest address, or null; block_next() gives
 * the others of its order. buddy_alloc_at - the block of this order at off, within this free block. -ENOMEM. */
struct block *buddy_fit(struct buddy *buddy, unsigned order);
int buddy_alloc_at(struct buddy *buddy, struct block *block, uint64_t off, unsigned order, struct block **out);
/* buddy_at_or_after - the free block that has this unit, or else the first one behind it, or null. */
struct block *buddy_at_or_after(struct buddy *buddy, uint64_t off);

/* The order of the biggest free block, or -1. */
int buddy_max_order(const struct buddy *buddy);

#endif
