/* SPDX-License-Identifier: BSD-3-Clause */
/* linear.c - a stack of parts that lie one after the other. See stack.h; what it adds is where a page's part is. */
#include <errno.h>
#include <stdlib.h>

#include "dax/stack.h"
#include "port/compiler.h"

/* The last part that begins at or before this page. */
static const struct link *part_of(const struct dax_device *dax, uint64_t pgoff)
{
	const struct link *link = dax->links;
	for (size_t n = dax->nlinks; n > 1;) {
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

PGMAP_PUBLIC int dax_create_linear(const struct dax_part *parts, size_t nparts, const char *name,
				   struct dax_device **out)
{
	if (!out)
		return -EINVAL;
	struct dax_device *dax = calloc(1, sizeof(*dax));
	if (!dax)
		return -ENOMEM;
	int err = stack_init(dax, &linear_ops, parts, nparts, name ? name : "linear");
	if (err) {
		free(dax);
		return err;
	}
	err = stack_settle(dax);
	if (err)
		stack_free(dax);
	else
		*out = dax;
	return err;
}
