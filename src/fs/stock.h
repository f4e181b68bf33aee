/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stock.h - in what state the free pages of a pool are: absent (no memory behind them), clean (memory that reads as zero)
 * or dirty (memory with the bytes of a former owner).
 *
 * The buddy allocator says which pages are free, and merges them whatever their state; here two bits a unit (a granule
 * of the device) say the state, with sums for 512 units and for 512 times that, so that the best place in a free block,
 * or the next dirty page, is found in a few hundred steps whatever the size of the pool. All that is not in stock (pages
 * with an owner) counts as absent; but what is taken is in it until it is ready. The bits are memory that is not touched before a page gets an owner.
 *
 * Pages are pgoffs, as in the buddy allocator; ranges are whole units. Thread safety: none; the space's lock.
 */
#ifndef PGMAP_FS_STOCK_H
#define PGMAP_FS_STOCK_H

#include <stddef.h>
#include <stdint.h>

/* Pages. */
struct stock_count {
	uint64_t clean, dirty;
};

enum stock_state { STOCK_ABSENT, STOCK_CLEAN, STOCK_DIRTY };

struct stock_sum {
	uint32_t clean, dirty;
};

struct stock {
	uint64_t origin; /* pgoff of unit 0 */
	uint64_t nunits;
	unsigned unit_order;
	struct stock_bits *bits;                   /* of 64 units each */
	struct stock_sum *sums;                    /* of 512 units each */
	struct stock_sum *tops;                    /* of 2^18 units each */
	size_t bits_bytes, sums_bytes, tops_bytes; /* of their reservations */
	uint64_t clean, dirty;                     /* units in all */
	struct stock_count taken;                  /* of these: used already, and made ready */
};

/* stock_init - pages [start, start + npages) are absent. -ENOMEM. */
int stock_init(struct stock *stock, uint64_t start, uint64_t npages, unsigned unit_order);
void stock_exit(struct stock *stock);
/* stock_grow - up to this page; those that are new are absent. -ENOMEM. */
int stock_grow(struct stock *stock, uint64_t end_pgoff);

void stock_set(struct stock *stock, uint64_t pgoff, uint64_t npages, enum stock_state state);
/* stock_count - how many pages of a range are clean, and dirty. stock_free - how many are, and free. */
struct stock_count stock_count(const struct stock *stock, uint64_t pgoff, uint64_t npages);
struct stock_count stock_free(const struct stock *stock);
/* stock_run - how many pages from this one on, below end, are in the state that it is in. */
uint64_t stock_run(const struct stock *stock, uint64_t pgoff, uint64_t end, enum stock_state *state);
/* stock_next - the first page in this state (clean or dirty) at or behind this one, or UINT64_MAX. */
uint64_t stock_next(const struct stock *stock, uint64_t pgoff, enum stock_state state);
/* stock_best - the part of 2^order pages, in a block of 2^block_order at pgoff, that takes the least work to hand out;
 * *cost is 0 if all of it is clean. Near the best where the block is bigger than 512 units. */
uint64_t stock_best(const struct stock *stock, uint64_t pgoff, unsigned block_order, unsigned order, uint64_t *cost);

#endif
