/* SPDX-License-Identifier: BSD-3-Clause */
/* stock.c - see stock.h. Inside, everything is counted in units, and a range is [from, end). */
#include "fs/stock.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "port/reserve.h"

enum {
	WORD = 64,
	SUM_SHIFT = 9,
	TOP_SHIFT = 18,
	SUM = 1 << SUM_SHIFT,
	TOP = 1 << TOP_SHIFT,
	/* What a unit costs that is handed out: getting memory takes several times as long as wiping what is there. */
	COST_DIRTY = 1,
	COST_ABSENT = 4
};

struct stock_bits {
	uint64_t clean, dirty; /* bit i: unit i of the 64; never both */
};

static uint64_t groups(uint64_t n, unsigned shift)
{
	return (n + (UINT64_C(1) << shift) - 1) >> shift;
}

static size_t whole_pages(uint64_t bytes)
{
	return (size_t)(bytes + 4095) / 4096 * 4096;
}

/* What so many units take. */
static struct stock sized(uint64_t nunits)
{
	uint64_t ntops = groups(nunits, TOP_SHIFT);
	return (struct stock){
		.nunits = nunits,
		.bits_bytes = whole_pages(groups(nunits, SUM_SHIFT) * (SUM / WORD) * sizeof(struct stock_bits)),
		.sums_bytes = whole_pages(ntops * (TOP / SUM) * sizeof(struct stock_sum)),
		.tops_bytes = whole_pages(ntops * sizeof(struct stock_sum)),
	};
}

static void *reserve(size_t bytes)
{
	bool on_demand;
	void *at = port_reserve(bytes, 4096, &on_demand);
	if (at && on_demand && port_commit(at, bytes) != 0) {
		port_unreserve(at, bytes);
		at = NULL;
	}
	return at;
}

int stock_init(struct stock *stock, uint64_t start, uint64_t npages, unsigned unit_order)
{
	/* Alignment of a page is alignment of its unit, up to what a top holds. */
	uint64_t origin = start >> (unit_order + TOP_SHIFT) << (unit_order + TOP_SHIFT);
	*stock = sized(groups(start + npages - origin, unit_order));
	stock->origin = origin;
	stock->unit_order = unit_order;
	stock->bits = reserve(stock->bits_bytes);
	stock->sums = reserve(stock->sums_bytes);
	stock->tops = reserve(stock->tops_bytes);
	if (stock->bits && stock->sums && stock->tops)
		return 0;
	stock_exit(stock);
	return -ENOMEM;
}

static void unreserve(void *at, size_t bytes)
{
	if (at)
		port_unreserve(at, bytes);
}

void stock_exit(struct stock *stock)
{
	unreserve(stock->bits, stock->bits_bytes);
	unreserve(stock->sums, stock->sums_bytes);
	unreserve(stock->tops, stock->tops_bytes);
	stock->bits = NULL;
	stock->sums = stock->tops = NULL;
}

static void *grow(void *at, size_t *bytes, size_t to_bytes)
{
	void *then = *bytes < to_bytes ? port_extend(at, *bytes, to_bytes) : at;
	if (then && *bytes < to_bytes)
		*bytes = to_bytes;
	return then;
}

/* What has grown when another cannot is only longer than it needs to be. */
int stock_grow(struct stock *stock, uint64_t end_pgoff)
{
	struct stock then = sized(groups(end_pgoff - stock->origin, stock->unit_order));
	if (then.nunits <= stock->nunits)
		return 0;
	void *bits = grow(stock->bits, &stock->bits_bytes, then.bits_bytes);
	stock->bits = bits ? bits : stock->bits;
	void *sums = grow(stock->sums, &stock->sums_bytes, then.sums_bytes);
	stock->sums = sums ? sums : stock->sums;
	void *tops = grow(stock->tops, &stock->tops_bytes, then.tops_bytes);
	stock->tops = tops ? tops : stock->tops;
	if (!bits || !sums || !tops)
		return -ENOMEM;
	stock->nunits = then.nunits;
	return 0;
}

static uint64_t unit_of(const struct stock *stock, uint64_t pgoff)
{
	return (pgoff - stock->origin) >> stock->unit_order;
}

static uint64_t pgoff_of(const struct stock *stock, uint64_t unit)
{
	return stock->origin + (unit << stock->unit_order);
}

/* The bits of [from, end) that lie in from's word. */
static uint64_t mask_of(uint64_t from, uint64_t end)
{
	uint64_t low = from % WORD, n = end - from;
	uint64_t bits = n >= WORD ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1;
	return bits << low;
}

static uint64_t next_word(uint64_t unit)
{
	return (unit / WORD + 1) * WORD;
}

static uint32_t ones(uint64_t bits)
{
	return (uint32_t)__builtin_popcountll(bits);
}

static void set_word(struct stock *stock, uint64_t unit, uint64_t mask, enum stock_state state)
{
	struct stock_bits *bits = &stock->bits[unit / WORD];
	struct stock_sum *sum = &stock->sums[unit >> SUM_SHIFT], *top = &stock->tops[unit >> TOP_SHIFT];
	uint32_t clean = ones(bits->clean), dirty = ones(bits->dirty);
	bits->clean = (bits->clean & ~mask) | (state == STOCK_CLEAN ? mask : 0);
	bits->dirty = (bits->dirty & ~mask) | (state == STOCK_DIRTY ? mask : 0);
	uint32_t more_clean = ones(bits->clean) - clean, more_dirty = ones(bits->dirty) - dirty; /* modulo 2^32 */
	sum->clean += more_clean;
	sum->dirty += more_dirty;
	top->clean += more_clean;
	top->dirty += more_dirty;
	stock->clean += (uint64_t)(int32_t)more_clean;
	stock->dirty += (uint64_t)(int32_t)more_dirty;
}

void stock_set(struct stock *stock, uint64_t pgoff, uint64_t npages, enum stock_state state)
{
	uint64_t from = unit_of(stock, pgoff), end = unit_of(stock, pgoff + npages);
	for (; from < end; from = next_word(from))
		set_word(stock, from, mask_of(from, end), state);
}

static struct stock_count count_units(const struct stock *stock, uint64_t from, uint64_t end)
{
	struct stock_count count = {0, 0};
	while (from < end) {
		if (from % TOP == 0 && end - from >= TOP) {
			count.clean += stock->tops[from >> TOP_SHIFT].clean;
			count.dirty += stock->tops[from >> TOP_SHIFT].dirty;
			from += TOP;
		} else if (from % SUM == 0 && end - from >= SUM) {
			count.clean += stock->sums[from >> SUM_SHIFT].clean;
			count.dirty += stock->sums[from >> SUM_SHIFT].dirty;
			from += SUM;
		} else {
			uint64_t mask = mask_of(from, end);
			count.clean += ones(stock->bits[from / WORD].clean & mask);
			count.dirty += ones(stock->bits[from / WORD].dirty & mask);
			from = next_word(from);
		}
	}
	return count;
}

struct stock_count stock_count(const struct stock *stock, uint64_t pgoff, uint64_t npages)
{
	struct stock_count count = count_units(stock, unit_of(stock, pgoff), unit_of(stock, pgoff + npages));
	count.clean <<= stock->unit_order;
	count.dirty <<= stock->unit_order;
	return count;
}

struct stock_count stock_free(const struct stock *stock)
{
	return (struct stock_count){(stock->clean << stock->unit_order) - stock->taken.clean,
				    (stock->dirty << stock->unit_order) - stock->taken.dirty};
}

static uint64_t bits_in(const struct stock *stock, uint64_t unit, enum stock_state state)
{
	const struct stock_bits *bits = &stock->bits[unit / WORD];
	switch (state) {
	case STOCK_CLEAN:
		return bits->clean;
	case STOCK_DIRTY:
		return bits->dirty;
	default:
		return ~(bits->clean | bits->dirty);
	}
}

static enum stock_state state_of(const struct stock *stock, uint64_t unit)
{
	uint64_t bit = UINT64_C(1) << unit % WORD;
	if (bits_in(stock, unit, STOCK_CLEAN) & bit)
		return STOCK_CLEAN;
	return bits_in(stock, unit, STOCK_DIRTY) & bit ? STOCK_DIRTY : STOCK_ABSENT;
}

uint64_t stock_run(const struct stock *stock, uint64_t pgoff, uint64_t end_pgoff, enum stock_state *state)
{
	uint64_t first = unit_of(stock, pgoff), end = unit_of(stock, end_pgoff), at = first;
	*state = state_of(stock, first);
	while (at < end) {
		uint64_t others = ~bits_in(stock, at, *state) & mask_of(at, end);
		if (others) {
			at = at / WORD * WORD + (uint64_t)__builtin_ctzll(others);
			break;
		}
		at = next_word(at);
	}
	return ((at < end ? at : end) - first) << stock->unit_order;
}

static bool has(const struct stock_sum *sum, enum stock_state state)
{
	return state == STOCK_CLEAN ? sum->clean : sum->dirty;
}

uint64_t stock_next(const struct stock *stock, uint64_t pgoff, enum stock_state state)
{
	uint64_t at = unit_of(stock, pgoff), end = stock->nunits;
	while (at < end) {
		if (at % TOP == 0 && !has(&stock->tops[at >> TOP_SHIFT], state)) {
			at += TOP;
		} else if (at % SUM == 0 && !has(&stock->sums[at >> SUM_SHIFT], state)) {
			at += SUM;
		} else {
			uint64_t found = bits_in(stock, at, state) & mask_of(at, end);
			if (found)
				return pgoff_of(stock, at / WORD * WORD + (uint64_t)__builtin_ctzll(found));
			at = next_word(at);
		}
	}
	return UINT64_MAX;
}

/* Of groups of 2^shift units in [*from, *end): the first that has n clean ones, else the one with the most memory. */
static void narrow(const struct stock *stock, unsigned shift, uint64_t n, uint64_t *from, uint64_t *end)
{
	uint64_t best = *from, most = 0;
	if (*end - *from <= UINT64_C(1) << shift)
		return;
	for (uint64_t at = *from; at < *end; at += UINT64_C(1) << shift) {
		struct stock_count count = count_units(stock, at, at + (UINT64_C(1) << shift));
		if (count.clean >= n) {
			best = at;
			break;
		}
		if (count.clean + count.dirty > most) {
			most = count.clean + count.dirty;
			best = at;
		}
	}
	*from = best;
	*end = best + (UINT64_C(1) << shift);
}

uint64_t stock_best(const struct stock *stock, uint64_t pgoff, unsigned block_order, unsigned order, uint64_t *cost)
{
	uint64_t from = unit_of(stock, pgoff), end = from + (UINT64_C(1) << (block_order - stock->unit_order));
	uint64_t n = UINT64_C(1) << (order - stock->unit_order), best = from;
	*cost = UINT64_MAX;
	if (n <= TOP)
		narrow(stock, TOP_SHIFT, n, &from, &end);
	if (n <= SUM)
		narrow(stock, SUM_SHIFT, n, &from, &end);
	for (uint64_t at = from; at < end && *cost; at += n) {
		struct stock_count count = count_units(stock, at, at + n);
		uint64_t here = count.dirty * COST_DIRTY + (n - count.clean - count.dirty) * COST_ABSENT;
		if (here < *cost) {
			*cost = here;
			best = at;
		}
	}
	return pgoff_of(stock, best);
}
