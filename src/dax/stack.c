/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stack.c - see stack.h.
 *
 * A link's callbacks run inside the `held` gate of the memory below, which is open only while every device above it has
 * its holder set (device.c): so they read it without a lock.
 */
#include "dax/stack.h"

#include <errno.h>
#include <stdlib.h>

#include "dax/memory.h"

typedef int piece_fn(const struct dax_device *upper, uint64_t pgoff, uint64_t npages, const void *arg);

/* What of these pages of the lower device belongs to the stack, by the stack's pages. The answers, or-ed. */
static int raise_pieces(const struct link *link, uint64_t pgoff, uint64_t npages, piece_fn *fn, const void *arg)
{
	uint64_t from = pgoff > link->pgoff ? pgoff : link->pgoff;
	uint64_t end = pgoff + npages, part_end = link->pgoff + link->npages;
	int answers = 0;
	end = end < part_end ? end : part_end;
	while (from < end) {
		uint64_t upper = from, n = link->upper->ops->raise(link, &upper, end - from);
		answers |= fn(link->upper, upper, n, arg);
		from += n;
	}
	return answers;
}

static int tell_failure(const struct dax_device *upper, uint64_t pgoff, uint64_t npages, const void *arg)
{
	if (upper->holder_ops.notify_failure)
		upper->holder_ops.notify_failure(upper->holder, *(const enum dax_failure *)arg, pgoff, npages);
	return 0;
}

static void part_failed(void *holder, enum dax_failure what, uint64_t pgoff, uint64_t npages)
{
	(void)raise_pieces(holder, pgoff, npages, tell_failure, &what);
}

static int tell_freed(const struct dax_device *upper, uint64_t pgoff, uint64_t npages, const void *arg)
{
	(void)arg;
	return upper->holder_ops.folio_free ? upper->holder_ops.folio_free(upper->holder, pgoff, npages)
					    : PGMAP_FREE_IDLE;
}

/* KEEP for a part of a folio keeps all of it. */
static int part_freed(void *holder, uint64_t pgoff, uint64_t npages)
{
	return raise_pieces(holder, pgoff, npages, tell_freed, NULL);
}

const struct dax_holder_ops stack_holder_ops = {
	.ops_bytes = sizeof(struct dax_holder_ops),
	.notify_failure = part_failed,
	.folio_free = part_freed,
};

bool stack_stands_on(const struct dax_device *dax, const struct dax_device *lower)
{
	if (dax == lower)
		return true;
	for (size_t i = 0; i < dax->nlinks; i++) {
		if (stack_stands_on(dax->links[i].lower, lower))
			return true;
	}
	return false;
}

/* They have a device in common: then they have memory in common. */
static bool share(const struct dax_device *a, const struct dax_device *b)
{
	if (memory_is(a))
		return stack_stands_on(b, a);
	for (size_t i = 0; i < a->nlinks; i++) {
		if (share(a->links[i].lower, b))
			return true;
	}
	return false;
}

int stack_make_link(struct dax_device *dax, const struct dax_part *part, struct link *out)
{
	if (!part->dax)
		return -EINVAL;
	uint64_t there = dax_npages(part->dax);
	if (part->pgoff >= there || part->npages > there - part->pgoff)
		return -ERANGE;
	if (!device_is_alive(part->dax))
		return -ENXIO;
	*out = (struct link){
		.lower = part->dax,
		.pgoff = part->pgoff,
		.npages = part->npages ? part->npages : there - part->pgoff,
		.upper = dax,
		.first = dax->npages,
		.index = dax->nlinks,
	};
	for (size_t i = 0; i < dax->nlinks; i++) {
		if (share(dax->links[i].lower, part->dax))
			return -EINVAL;
	}
	return out->npages > PGMAP_MAX_PAGES - dax->npages ? -EINVAL : 0;
}

void stack_count_link(struct dax_device *dax, const struct link *link)
{
	if (dax->granule_order < link->lower->granule_order)
		dax->granule_order = link->lower->granule_order;
	dax->npages += link->npages;
	dax->nlinks++;
}

int stack_init(struct dax_device *dax, const struct dax_ops *ops, const struct dax_part *parts, size_t nparts,
	       size_t room, const char *name)
{
	if (!parts || !nparts)
		return -EINVAL;
	dax->links = calloc(nparts + room, sizeof(*dax->links));
	if (!dax->links)
		return -ENOMEM;
	int err = 0;
	for (size_t i = 0; i < nparts && !err; i++) {
		err = stack_make_link(dax, &parts[i], &dax->links[i]);
		if (!err)
			stack_count_link(dax, &dax->links[i]);
	}
	if (err)
		free(dax->links);
	else
		device_init(dax, ops, name ? name : "stack");
	return err;
}

/* Each run of pages is whole granules of what it lies on, which are blocks of the pgmap, too. Where they lie in the stack says
 * nothing: whoever maps them asks for their place on the device. */
static int check_segments(const struct segments *segments)
{
	for (size_t i = 0; i < segments->n; i++) {
		const struct segment *segment = &segments->at[i];
		uint64_t granule_pages = UINT64_C(1) << segment->granule_order;
		if (segment->first % granule_pages || segment->npages % granule_pages ||
		    segment->max_order < segment->granule_order)
			return -EINVAL;
	}
	return 0;
}

static int check_layout(struct dax_device *dax)
{
	struct segments segments = {0};
	int err = layout_of(dax, &segments);
	if (!err)
		err = check_segments(&segments);
	layout_end(&segments);
	return err;
}

int stack_check_link(const struct link *link)
{
	struct segments segments = {0};
	int err = layout_of_part(link, &segments);
	if (!err)
		err = check_segments(&segments);
	layout_end(&segments);
	return err;
}

int stack_settle(struct dax_device *dax)
{
	int err = dax->granule_order ? check_layout(dax) : 0;
	for (size_t i = 0; i < dax->nlinks && !err; i++)
		err = dax->links[i].lower->has_gaps ? -EINVAL : 0;
	for (size_t i = 0; i < dax->nlinks && !err; i++)
		LIST_INSERT_HEAD(&dax->links[i].lower->uppers, &dax->links[i], above);
	return err;
}

void stack_free(struct dax_device *dax)
{
	device_exit(dax);
	free(dax->links);
	free(dax);
}

/* Under device_tree. */
static int make_over(struct dax_device *dax, const struct dax_ops *ops, struct dax_device *lower, const char *name)
{
	const struct dax_part whole = {.dax = lower};
	int err = stack_init(dax, ops, &whole, 1, 0, name);
	if (err) {
		free(dax);
		return err;
	}
	err = stack_settle(dax);
	if (err)
		stack_free(dax);
	return err;
}

int stack_make(size_t bytes, const struct dax_ops *ops, struct dax_device *lower, const char *name,
	       struct dax_device **out)
{
	struct dax_device *dax = calloc(1, bytes);
	if (!dax)
		return -ENOMEM;
	(void)pthread_mutex_lock(&device_tree);
	int err = make_over(dax, ops, lower, name);
	(void)pthread_mutex_unlock(&device_tree);
	if (!err)
		*out = dax;
	return err;
}

void stack_unlink(struct dax_device *dax)
{
	for (size_t i = 0; i < dax->nlinks; i++) {
		if (!link_is_gap(&dax->links[i]))
			LIST_REMOVE(&dax->links[i], above);
	}
	free(dax->links);
	dax->links = NULL;
	dax->nlinks = 0;
}

void stack_locate_whole(const struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct place *out)
{
	*out = (struct place){dax->links[0].lower, pgoff, npages};
}

int64_t stack_access_whole(struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct dax_span *span)
{
	return device_access(dax->links[0].lower, pgoff, npages, span);
}

uint64_t stack_raise(const struct link *link, uint64_t *pgoff, uint64_t npages)
{
	*pgoff = link->first + (*pgoff - link->pgoff);
	return npages;
}

/* The first piece of it, where it lies below. */
static struct dax_device *first_piece(const struct dax_device *dax, const struct io *io, struct io *piece)
{
	uint64_t within = io->offset_bytes % PGMAP_PAGE_SIZE;
	uint64_t npages = (within + io->len_bytes + PGMAP_PAGE_SIZE - 1) >> PGMAP_PAGE_SHIFT;
	struct place place;
	dax->ops->locate(dax, io->offset_bytes >> PGMAP_PAGE_SHIFT, npages, &place);
	uint64_t there = (place.npages << PGMAP_PAGE_SHIFT) - within;
	*piece = *io;
	piece->offset_bytes = (place.pgoff << PGMAP_PAGE_SHIFT) + within;
	piece->len_bytes = there < io->len_bytes ? there : io->len_bytes;
	return place.dax;
}

/* After a short copy the next piece begins where it could not go on, and says why. Bad news goes on behind a gap. */
int64_t stack_io(struct dax_device *dax, const struct io *io)
{
	struct io rest = *io, piece;
	int64_t done = 0, gap = 0;
	while (rest.len_bytes) {
		struct dax_device *lower = first_piece(dax, &rest, &piece);
		uint64_t more = 0;
		piece.done_bytes = io->done_bytes ? &more : NULL; /* a stripe that is asked goes by chunks */
		bool nobodys = lower == &device_gap && io->kind == IO_POISON;
		int64_t n = nobodys ? (int64_t)piece.len_bytes : device_io(lower, &piece);
		gap = nobodys ? -ENXIO : gap;
		if (n < 0)
			return done && io_counts(io) ? done : io_fail(io, (uint64_t)done + more, n);
		done += n;
		rest.offset_bytes += (uint64_t)n;
		rest.len_bytes -= (uint64_t)n;
		rest.buf = rest.buf ? rest.buf + n : NULL;
	}
	return gap ? gap : done;
}
