/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * linear.c - a stack of parts that lie one after the other. See stack.h; what it adds is where a page's part is.
 *
 * A table says for each 256th of the stack, or less, in which part it begins; so the part is found at once where it has all of
 * the 256th, and else searched between this one and the one in which the next begins.
 */
#include <errno.h>
#include <stdlib.h>

#include "dax/stack.h"
#include "port/compiler.h"

enum { SHARES = 256 };

struct linear {
	struct dax_device dax;
	unsigned shift;          /* of a page's number, to that of its share */
	uint32_t at[SHARES + 1]; /* the part in which the share begins */
};

static struct linear *linear_of(const struct dax_device *dax)
{
	return (struct linear *)(uintptr_t)dax;
}

/* The last part that begins at or before this page. */
static inline const struct link *part_of(const struct dax_device *dax, uint64_t pgoff)
{
	const uint32_t *at = &linear_of(dax)->at[pgoff >> linear_of(dax)->shift];
	const struct link *link = &dax->links[at[0]];
	for (size_t n = at[1] - at[0] + 1; n > 1;) {
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
	return (struct place){link->lower, link->pgoff + within, there < npages ? there : npages};
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

static const struct dax_ops linear_ops = {
	.direct_access = linear_direct_access,
	.io = stack_io,
	.locate = linear_locate,
	.raise = stack_raise,
};

static void fill_table(struct linear *linear)
{
	uint32_t part = 0, last = (uint32_t)linear->dax.nlinks - 1;
	while (linear->dax.npages >> linear->shift >= SHARES)
		linear->shift++;
	for (uint64_t share = 0; share <= SHARES; share++) {
		uint64_t page = share << linear->shift;
		while (part < last && linear->dax.links[part + 1].first <= page)
			part++;
		linear->at[share] = part;
	}
}

PGMAP_PUBLIC int dax_create_linear(const struct dax_part *parts, size_t nparts, const char *name,
				   struct dax_device **out)
{
	if (!out || nparts > UINT32_MAX)
		return -EINVAL;
	struct linear *linear = calloc(1, sizeof(*linear));
	if (!linear)
		return -ENOMEM;
	struct dax_device *dax = &linear->dax;
	int err = stack_init(dax, &linear_ops, parts, nparts, name ? name : "linear");
	if (err) {
		free(linear);
		return err;
	}
	fill_table(linear);
	err = stack_settle(dax);
	if (err)
		stack_free(dax);
	else
		*out = dax;
	return err;
}
