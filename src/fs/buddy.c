/* SPDX-License-Identifier: BSD-3-Clause */
/* buddy.c - see buddy.h: invariant, cost, no lock of its own. */
#include "fs/buddy.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "port/abort.h"

static void put_in(struct buddy *buddy, struct block *block)
{
	block->key = block->off;
	block_insert(&buddy->free[block->order], block);
	buddy->count[block->order]++;
	buddy->orders |= UINT64_C(1) << block->order;
	buddy->nfree += block_pages(block);
}

static void take_out(struct buddy *buddy, struct block *block)
{
	block_remove(&buddy->free[block->order], block);
	if (--buddy->count[block->order] == 0)
		buddy->orders &= ~(UINT64_C(1) << block->order);
	buddy->nfree -= block_pages(block);
}

int buddy_init(struct buddy *buddy, uint64_t start, uint64_t n)
{
	memset(buddy, 0, sizeof(*buddy));
	return buddy_add(buddy, start, n);
}

int buddy_blocks(uint64_t start, uint64_t n, struct block_list *out)
{
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	while (n) {
		unsigned order = 63 - (unsigned)__builtin_clzll(n);
		if (start && (unsigned)__builtin_ctzll(start) < order)
			order = (unsigned)__builtin_ctzll(start);
		struct block *block = block_alloc();
		if (!block) {
			block_free_list(&blocks);
			return -ENOMEM;
		}
		block->off = start;
		block->order = order;
		STAILQ_INSERT_TAIL(&blocks, block, list);
		start += block_pages(block);
		n -= block_pages(block);
	}
	STAILQ_CONCAT(out, &blocks);
	return 0;
}

int buddy_add(struct buddy *buddy, uint64_t start, uint64_t n)
{
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	struct block *block;
	int err = buddy_blocks(start, n, &blocks);
	while ((block = STAILQ_FIRST(&blocks)) != NULL) {
		STAILQ_REMOVE_HEAD(&blocks, list);
		put_in(buddy, block);
	}
	return err;
}

void buddy_exit(struct buddy *buddy)
{
	for (unsigned order = 0; order <= BLOCK_MAX_ORDER; order++) {
		struct block *block;
		while ((block = block_first(&buddy->free[order])) != NULL) {
			take_out(buddy, block);
			block_free(block);
		}
	}
}

/* Cut a block that is in no tree down to `order`, keeping the part that has `off`; the rest is free. */
static int cut_down(struct buddy *buddy, struct block *block, unsigned order, uint64_t off)
{
	struct block_list spares = STAILQ_HEAD_INITIALIZER(spares);
	if (block_spares_get(&spares, block->order - order) != 0)
		return -ENOMEM;
	while (block->order > order) {
		struct block *rest = STAILQ_FIRST(&spares);
		STAILQ_REMOVE_HEAD(&spares, list);
		block_halve(block, rest);
		if (off >= rest->off) {
			uint64_t lower = block->off;
			block->off = rest->off;
			rest->off = lower;
		}
		put_in(buddy, rest);
	}
	block->key = block->off;
	return 0;
}

static int take_part(struct buddy *buddy, struct block *block, unsigned order, uint64_t off, struct block **out)
{
	take_out(buddy, block);
	int err = cut_down(buddy, block, order, off);
	if (err)
		put_in(buddy, block);
	else
		*out = block;
	return err;
}

struct block *buddy_fit(struct buddy *buddy, unsigned order)
{
	uint64_t enough = order <= BLOCK_MAX_ORDER ? buddy->orders >> order : 0;
	return enough ? block_first(&buddy->free[order + (unsigned)__builtin_ctzll(enough)]) : NULL;
}

int buddy_alloc_at(struct buddy *buddy, struct block *block, uint64_t off, unsigned order, struct block **out)
{
	return take_part(buddy, block, order, off, out);
}

int buddy_alloc(struct buddy *buddy, unsigned order, struct block **out)
{
	struct block *block = buddy_fit(buddy, order);
	return block ? take_part(buddy, block, order, block->off, out) : -ENOSPC;
}

struct block *buddy_at_or_after(struct buddy *buddy, uint64_t off)
{
	struct block *first = NULL;
	for (uint64_t orders = buddy->orders; orders; orders &= orders - 1) {
		unsigned order = (unsigned)__builtin_ctzll(orders);
		struct block *block = block_at_or_after(&buddy->free[order], off >> order << order);
		if (block && (!first || block->off < first->off))
			first = block;
	}
	return first;
}

int buddy_take(struct buddy *buddy, uint64_t off, unsigned order, struct block **out)
{
	for (unsigned k = order; k <= BLOCK_MAX_ORDER; k++) {
		struct block *block = block_find(&buddy->free[k], off >> k << k);
		if (block)
			return take_part(buddy, block, order, off, out);
	}
	return -ENOSPC;
}

void buddy_free(struct buddy *buddy, struct block *block)
{
	while (block->order < BLOCK_MAX_ORDER) {
		struct block *other = block_find(&buddy->free[block->order], block->off ^ block_pages(block));
		if (!other)
			break;
		take_out(buddy, other);
		block->off &= other->off;
		block->order++;
		block_free(other);
	}
	put_in(buddy, block);
}

void buddy_take_range(struct buddy *buddy, uint64_t from, uint64_t end, struct block_list *out)
{
	for (uint64_t orders = buddy->orders; orders; orders &= orders - 1) {
		unsigned order = (unsigned)__builtin_ctzll(orders);
		struct block *block;
		while ((block = block_at_or_after(&buddy->free[order], from >> order << order)) != NULL &&
		       block->off < end) {
			take_out(buddy, block);
			STAILQ_INSERT_TAIL(out, block, list);
		}
	}
}

int buddy_max_order(const struct buddy *buddy)
{
	return buddy->orders ? 63 - __builtin_clzll(buddy->orders) : -1;
}
