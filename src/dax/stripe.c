/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stripe.c - a stack of equal parts that take turns: chunk 0 lies on part 0, chunk 1 on part 1, and after the last part
 * the first again. See stack.h.
 *
 * A row of bytes of the stripe is one row of bytes on each part. So what has no buffer (populate, discard, zero, flush,
 * poison) is one access of each part, in ascending order, however many chunks there are.
 */
#include <errno.h>
#include <stdlib.h>

#include "dax/divide.h"
#include "dax/stack.h"
#include "port/compiler.h"

struct stripe {
	struct dax_device dax;
	struct divisor chunk; /* pages */
	struct divisor parts;
};

static const struct stripe *stripe_of(const struct dax_device *dax)
{
	return (const struct stripe *)dax;
}

static inline struct place locate(const struct dax_device *dax, uint64_t pgoff, uint64_t npages)
{
	const struct stripe *stripe = stripe_of(dax);
	uint64_t chunk = divide(pgoff, &stripe->chunk), row = divide(chunk, &stripe->parts);
	const struct link *link = &dax->links[chunk - row * stripe->parts.value];
	uint64_t within = pgoff - chunk * stripe->chunk.value, there = stripe->chunk.value - within;
	return (struct place){link->lower, link->pgoff + row * stripe->chunk.value + within,
			      there < npages ? there : npages};
}

static void stripe_locate(const struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct place *out)
{
	*out = locate(dax, pgoff, npages);
}

static int64_t stripe_direct_access(struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct dax_span *span)
{
	struct place place = locate(dax, pgoff, npages);
	return device_access(place.dax, place.pgoff, place.npages, span);
}

static uint64_t stripe_raise(const struct link *link, uint64_t *pgoff, uint64_t npages)
{
	const struct stripe *stripe = stripe_of(link->upper);
	uint64_t within = *pgoff - link->pgoff, row = divide(within, &stripe->chunk);
	within -= row * stripe->chunk.value;
	*pgoff = (row * stripe->parts.value + link->index) * stripe->chunk.value + within;
	uint64_t there = stripe->chunk.value - within;
	return there < npages ? there : npages;
}

/* How many of the stripe's first so many bytes lie on this part. */
static uint64_t bytes_before(const struct stripe *stripe, size_t part, uint64_t offset_bytes)
{
	uint64_t chunk_bytes = stripe->chunk.value << PGMAP_PAGE_SHIFT;
	uint64_t row = offset_bytes / (chunk_bytes * stripe->parts.value);
	uint64_t in_row = offset_bytes - row * chunk_bytes * stripe->parts.value, first = part * chunk_bytes;
	uint64_t more = in_row <= first ? 0 : in_row - first;
	return row * chunk_bytes + (more < chunk_bytes ? more : chunk_bytes);
}

static int64_t stripe_io(struct dax_device *dax, const struct io *io)
{
	const struct stripe *stripe = stripe_of(dax);
	if (io_counts(io) || io->done_bytes) /* who asks how far it came is told in chunks */
		return stack_io(dax, io);
	for (size_t i = 0; i < dax->nlinks; i++) {
		uint64_t from = bytes_before(stripe, i, io->offset_bytes);
		uint64_t end = bytes_before(stripe, i, io->offset_bytes + io->len_bytes);
		struct io piece = *io;
		piece.offset_bytes = (dax->links[i].pgoff << PGMAP_PAGE_SHIFT) + from;
		piece.len_bytes = end - from;
		int64_t n = piece.len_bytes ? device_io(dax->links[i].lower, &piece) : 0;
		if (n < 0)
			return stack_io(dax, io); /* again, chunk by chunk: what comes before the failure is done */
	}
	return (int64_t)io->len_bytes;
}

static unsigned aligned_order(uint64_t number, unsigned most)
{
	return number && (unsigned)__builtin_ctzll(number) < most ? (unsigned)__builtin_ctzll(number) : most;
}

/* A block as big as the chunk's alignment lies on one part, if the part's own blocks are as big, and begin where it does. */
static int stripe_lay_out(struct dax_device *dax, struct segments *out)
{
	struct segment all = {0, dax->npages, 0, PGMAP_MAX_ORDER, dax->granule_order};
	struct segments parts = {0};
	int err = 0;
	all.max_order = aligned_order(stripe_of(dax)->chunk.value, all.max_order);
	for (size_t i = 0; i < dax->nlinks && !err; i++)
		err = layout_of_part(&dax->links[i], &parts);
	for (size_t i = 0; i < parts.n; i++) {
		const struct segment *part = &parts.at[i];
		all.max_order = part->max_order < all.max_order ? part->max_order : all.max_order;
		all.max_order = aligned_order(part->pgoff, all.max_order);
		all.max_order = aligned_order(part->first - part->pgoff, all.max_order);
	}
	layout_end(&parts);
	return err ? err : segments_add(out, &all);
}

static const struct dax_ops stripe_ops = {
	.direct_access = stripe_direct_access,
	.io = stripe_io,
	.locate = stripe_locate,
	.raise = stripe_raise,
	.lay_out = stripe_lay_out,
};

/* That a chunk is whole granules follows from the layout: stack_settle(). */
static int check_equal(const struct dax_device *dax, uint64_t chunk_pages)
{
	for (size_t i = 0; i < dax->nlinks; i++) {
		if (dax->links[i].npages != dax->links[0].npages || dax->links[i].npages % chunk_pages)
			return -EINVAL;
	}
	return 0;
}

/* Under device_tree: over these parts, or it is freed. */
static int make_over(struct stripe *stripe, const struct dax_part *parts, size_t nparts, uint64_t chunk_pages,
		     const char *name)
{
	int err = stack_init(&stripe->dax, &stripe_ops, parts, nparts, 0, name ? name : "stripe");
	if (err) {
		free(stripe);
		return err;
	}
	stripe->chunk = divisor_of(chunk_pages);
	stripe->parts = divisor_of(nparts);
	err = check_equal(&stripe->dax, chunk_pages);
	if (!err)
		err = stack_settle(&stripe->dax);
	if (err)
		stack_free(&stripe->dax);
	return err;
}

PGMAP_PUBLIC int dax_create_stripe(const struct dax_part *parts, size_t nparts, uint64_t chunk_pages, const char *name,
				   struct dax_device **out)
{
	if (!out || !chunk_pages)
		return -EINVAL;
	struct stripe *stripe = calloc(1, sizeof(*stripe));
	if (!stripe)
		return -ENOMEM;
	(void)pthread_mutex_lock(&device_tree);
	int err = make_over(stripe, parts, nparts, chunk_pages, name);
	(void)pthread_mutex_unlock(&device_tree);
	if (!err)
		*out = &stripe->dax;
	return err;
}
