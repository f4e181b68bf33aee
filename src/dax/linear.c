/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * linear.c - a stack of parts that lie one after the other, and that can get more of them and lose some. See stack.h; what it
 * adds is where a page's part is.
 *
 * A table says for each share of the stack, a power of two of pages, which parts lie in it; so the part is found at once where
 * it has the whole share, and else searched among those. Shares are as big as can be with every part beginning where one does,
 * which keeps the table in the cache; where that makes more than 256, they are bigger. One word says where the table is, and in the
 * bits that its alignment leaves how big a share is: on the way to a page each load that needs the one before it counts.
 *
 * Parts come and go while accesses run (device.h, Change), which is right because:
 *   - Links lie in one array with room for those to come, so they never move: the devices below know them as their holders.
 *   - A table is never changed once it is published, nor freed before the stack is. A new part's link is whole before the table
 *     that leads to it is stored (release, read in part_of(): acquire), and that before the number of pages says that there
 *     are more. So who was let through by the new number finds the new table; who finds the old one asks for pages that both
 *     have, in the same place.
 *   - A part that goes leaves its link and its page numbers. Its lower device is exchanged for device_gap, which answers
 *     -ENXIO; then everybody is waited for who may have read the old one. Only then is it let go.
 */
#include <errno.h>
#include <stdlib.h>

#include <pgmap/pgmap.h>

#include "dax/linear.h"
#include "dax/memory.h"
#include "dax/stack.h"
#include "port/compiler.h"

enum { MOST_SHARES = 256, LATER_PARTS = 4096, TABLE_ALIGN = 64, SHIFT_MASK = TABLE_ALIGN - 1 };

struct share {
	const struct link *first; /* of the parts that lie in it */
	size_t nparts;
};

struct table {
	uintptr_t older; /* word */
	struct share shares[];
};

struct linear {
	struct dax_device dax;
	_Atomic uintptr_t table; /* and its shift, of a page's number to that of its share; 0: none yet */
	size_t first_links;      /* that it was made with */
};

static struct linear *linear_of(const struct dax_device *dax)
{
	return (struct linear *)(uintptr_t)dax;
}

static inline struct table *table_of(uintptr_t word)
{
	return (struct table *)(word & ~(uintptr_t)SHIFT_MASK); // NOLINT(performance-no-int-to-ptr): it was one
}

/* The last part that begins at or before this page. */
static inline const struct link *part_of(const struct dax_device *dax, uint64_t pgoff)
{
	uintptr_t word = atomic_load_explicit(&linear_of(dax)->table, memory_order_acquire);
	const struct share *share = &table_of(word)->shares[pgoff >> (word & SHIFT_MASK)];
	const struct link *link = share->first;
	for (size_t n = share->nparts; unlikely(n > 1);) {
		size_t half = n / 2;
		link = link[half].first <= pgoff ? link + half : link;
		n -= half;
	}
	return link;
}

static inline struct place locate(const struct dax_device *dax, uint64_t pgoff, uint64_t npages)
{
	const struct link *link = part_of(dax, pgoff);
	uint64_t within = pgoff - link->first, there = link->npages - within;
	return (struct place){atomic_load_explicit(&link->lower, memory_order_acquire), link->pgoff + within,
			      there < npages ? there : npages};
}

static void linear_locate(const struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct place *out)
{
	*out = locate(dax, pgoff, npages);
}

static int64_t linear_direct_access(struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct dax_span *span)
{
	struct place place = locate(dax, pgoff, npages);
	return device_access(place.dax, place.pgoff, place.npages, span);
}

static void free_tables(const struct dax_device *dax)
{
	uintptr_t word = atomic_load_explicit(&linear_of(dax)->table, memory_order_relaxed);
	while (word) {
		struct table *table = table_of(word);
		word = table->older;
		free(table);
	}
}

static int linear_end(struct dax_device *dax)
{
	free_tables(dax);
	return 0;
}

static const struct dax_ops linear_ops = {
	.direct_access = linear_direct_access,
	.io = stack_io,
	.end = linear_end,
	.locate = linear_locate,
	.raise = stack_raise,
};

bool linear_is(const struct dax_device *dax)
{
	return dax->ops == &linear_ops;
}

/* The binary logarithm of a share's pages. */
static unsigned share_shift(const struct dax_device *dax, size_t nlinks, uint64_t npages)
{
	uint64_t bounds = 0;
	unsigned most = 63, least = 0;
	for (size_t i = 1; i < nlinks; i++)
		bounds |= dax->links[i].first;
	if (bounds)
		most = (unsigned)__builtin_ctzll(bounds);
	while ((npages - 1) >> least >= MOST_SHARES)
		least++;
	return most > least ? most : least;
}

/* Over the first so many links, which have so many pages; its word. 0: no memory. */
static uintptr_t make_table(const struct dax_device *dax, size_t nlinks, uint64_t npages)
{
	unsigned shift = share_shift(dax, nlinks, npages);
	size_t nshares = ((npages - 1) >> shift) + 1;
	const struct link *link = dax->links, *last = &dax->links[nlinks - 1];
	size_t bytes = sizeof(struct table) + nshares * sizeof(struct share);
	struct table *table = aligned_alloc(TABLE_ALIGN, (bytes + TABLE_ALIGN - 1) / TABLE_ALIGN * TABLE_ALIGN);
	if (!table)
		return 0;
	for (size_t i = 0; i < nshares; i++) {
		uint64_t page = i << shift, end = page + (UINT64_C(1) << shift);
		while (link < last && link[1].first <= page)
			link++;
		struct share *share = &table->shares[i];
		*share = (struct share){link, 1};
		while (&link[share->nparts - 1] < last && link[share->nparts].first < end)
			share->nparts++;
	}
	return (uintptr_t)table | shift;
}

static void publish(struct dax_device *dax, uintptr_t table)
{
	table_of(table)->older = atomic_load_explicit(&linear_of(dax)->table, memory_order_relaxed);
	atomic_store_explicit(&linear_of(dax)->table, table, memory_order_release);
}

/* Under device_tree: over these parts, or it is freed. */
static int make_over(struct linear *linear, const struct dax_part *parts, size_t nparts, const char *name)
{
	struct dax_device *dax = &linear->dax;
	int err = stack_init(dax, &linear_ops, parts, nparts, LATER_PARTS, name ? name : "linear");
	if (err) {
		free(linear);
		return err;
	}
	linear->first_links = nparts;
	uintptr_t table = make_table(dax, dax->nlinks, dax->npages);
	if (table) {
		publish(dax, table);
		err = stack_settle(dax);
	} else {
		err = -ENOMEM;
	}
	if (err) {
		free_tables(dax);
		stack_free(dax);
	}
	return err;
}

PGMAP_PUBLIC int dax_create_linear(const struct dax_part *parts, size_t nparts, const char *name,
				   struct dax_device **out)
{
	if (!out || nparts > UINT32_MAX - LATER_PARTS)
		return -EINVAL;
	struct linear *linear = calloc(1, sizeof(*linear));
	if (!linear)
		return -ENOMEM;
	(void)pthread_mutex_lock(&device_tree);
	int err = make_over(linear, parts, nparts, name);
	(void)pthread_mutex_unlock(&device_tree);
	if (!err)
		*out = &linear->dax;
	return err;
}

/* Under device_tree: the link of the part to come, which nobody knows of yet. */
static int prepare(struct dax_device *dax, const struct dax_part *part, uintptr_t *table)
{
	size_t n = dax->nlinks;
	if (!LIST_EMPTY(&dax->uppers))
		return -EBUSY;
	if (!device_is_alive(dax))
		return -ENXIO;
	if (n - linear_of(dax)->first_links == LATER_PARTS)
		return -E2BIG;
	struct link *link = &dax->links[n];
	int err = stack_make_link(dax, part, link);
	if (!err)
		err = link->lower->has_gaps ? -EINVAL : stack_check_link(link);
	if (!err)
		*table = make_table(dax, n + 1, link->first + link->npages);
	return err ? err : *table ? 0 : -ENOMEM;
}

/* Under device_holders. A holder is told of each death below: so it gets none that came before. */
static int check_holders(const struct dax_device *dax, const struct dax_device *lower)
{
	return dax->releasing ? -EBUSY : device_check_free(lower, dax->holder != NULL);
}

/* Under device_tree. Nothing fails once the holder is set, and nobody sees the part before that: what is then said of its pages
 * is told. */
static int attach(struct dax_device *dax, uintptr_t table)
{
	struct link *link = &dax->links[dax->nlinks];
	(void)pthread_mutex_lock(&device_holders);
	int err = check_holders(dax, link->lower);
	if (!err) {
		LIST_INSERT_HEAD(&link->lower->uppers, link, above);
		if (dax->holder)
			device_set_holder(link->lower, link, &stack_holder_ops);
		publish(dax, table);
		stack_count_link(dax, link);
	}
	(void)pthread_mutex_unlock(&device_holders);
	return err;
}

PGMAP_PUBLIC int dax_linear_add(struct dax_device *linear, const struct dax_part *part)
{
	uintptr_t table = 0;
	if (!linear || !part || !part->dax || !linear_is(linear))
		return -EINVAL;
	(void)pthread_mutex_lock(&device_tree);
	int err = prepare(linear, part, &table);
	if (!err)
		err = attach(linear, table);
	(void)pthread_mutex_unlock(&device_tree);
	if (err)
		free(table_of(table));
	return err;
}

/* Some memory below has pages that are held. */
static bool is_held(const struct dax_device *dax)
{
	if (memory_is(dax))
		return pgmap_live_pages(memory_record(dax)) != 0;
	for (size_t i = 0; i < dax->nlinks; i++) {
		if (is_held(dax->links[i].lower))
			return true;
	}
	return false;
}

/* Under device_tree. */
static int find_part(struct dax_device *dax, const struct dax_device *lower, struct link **out)
{
	size_t others = 0;
	*out = NULL;
	for (size_t i = 0; i < dax->nlinks; i++) {
		if (dax->links[i].lower == lower)
			*out = &dax->links[i];
		else if (!link_is_gap(&dax->links[i]))
			others++;
	}
	if (!*out)
		return -EINVAL;
	return others && LIST_EMPTY(&dax->uppers) && !is_held(lower) ? 0 : -EBUSY;
}

/* Under device_tree. */
static void detach(struct dax_device *dax, struct link *link, struct dax_device *lower)
{
	(void)pthread_mutex_lock(&device_holders);
	bool held = dax->holder != NULL;
	LIST_REMOVE(link, above);
	dax->has_gaps = true;
	atomic_store_explicit(&link->lower, &device_gap, memory_order_release);
	(void)pthread_mutex_unlock(&device_holders);
	gate_wait_out(&dax->access);
	gate_wait_out(&dax->aside);
	if (!held)
		return;
	device_shut_held(lower);
	(void)pthread_mutex_lock(&device_holders);
	device_forget_holder(lower);
	(void)pthread_mutex_unlock(&device_holders);
}

int linear_remove(struct dax_device *linear, struct dax_device *lower, struct pgmap *ends)
{
	struct link *link;
	(void)pthread_mutex_lock(&device_tree);
	int err = find_part(linear, lower, &link);
	if (!err && ends && pgmap_drain(ends, 0) != 0)
		err = -EBUSY;
	if (!err)
		detach(linear, link, lower);
	(void)pthread_mutex_unlock(&device_tree);
	return err;
}

PGMAP_PUBLIC int dax_linear_remove(struct dax_device *linear, struct dax_device *lower)
{
	return linear && lower && linear_is(linear) ? linear_remove(linear, lower, NULL) : -EINVAL;
}

struct dax_device *linear_part_on(const struct dax_device *dax, const struct dax_device *memory)
{
	struct dax_device *part = NULL;
	(void)pthread_mutex_lock(&device_tree);
	for (size_t i = 0; i < dax->nlinks && !part; i++) {
		if (stack_stands_on(dax->links[i].lower, memory))
			part = dax->links[i].lower;
	}
	(void)pthread_mutex_unlock(&device_tree);
	return part;
}
