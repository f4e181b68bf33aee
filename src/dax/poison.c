/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * poison.c - pages that have lost their data: whoever finds out says so to any device of a stack, and it goes down to the
 * memory, which records it and tells its holder; through the links of stacks that comes up to who holds the whole.
 *
 * The list of what is bad is collected from the memories, translated on the way up, and put in order at the top: a stripe's
 * memories do not follow one another.
 */
#include <errno.h>
#include <stdlib.h>

#include "dax/memory.h"
#include "port/compiler.h"

struct run {
	uint64_t pgoff, npages;
};

struct runs {
	struct run *at;
	size_t n, room;
	uint64_t first; /* number of page 0, in a memory's own record */
};

static int add(struct runs *runs, uint64_t pgoff, uint64_t npages)
{
	if (runs->n == runs->room) {
		size_t room = runs->room ? 2 * runs->room : 16;
		struct run *more = realloc(runs->at, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		runs->at = more;
		runs->room = room;
	}
	runs->at[runs->n++] = (struct run){pgoff, npages};
	return 0;
}

static int add_recorded(uint64_t pgoff, uint64_t npages, void *arg)
{
	struct runs *runs = arg;
	return add(runs, pgoff - runs->first, npages);
}

static int collect(struct dax_device *dax, struct runs *out);

/* A run of the part's device: what the stack has of it. */
static int add_raised(const struct link *link, const struct run *run, struct runs *out)
{
	uint64_t from = run->pgoff > link->pgoff ? run->pgoff : link->pgoff;
	uint64_t end = run->pgoff + run->npages, part_end = link->pgoff + link->npages;
	int err = 0;
	end = end < part_end ? end : part_end;
	while (from < end && !err) {
		uint64_t upper = from, n = link->upper->ops->raise(link, &upper, end - from);
		err = add(out, upper, n);
		from += n;
	}
	return err;
}

static int collect_part(const struct link *link, struct runs *out)
{
	struct runs below = {0};
	int err = collect(link->lower, &below);
	for (size_t i = 0; i < below.n && !err; i++)
		err = add_raised(link, &below.at[i], out);
	free(below.at);
	return err;
}

static int collect(struct dax_device *dax, struct runs *out)
{
	int err = 0;
	if (memory_is(dax)) {
		out->first = memory_first(dax);
		return pgmap_for_each_poisoned(memory_record(dax), add_recorded, out);
	}
	for (size_t i = 0; i < dax->nlinks && !err; i++)
		err = link_is_gap(&dax->links[i]) ? 0 : collect_part(&dax->links[i], out);
	return err;
}

static int compare(const void *a, const void *b)
{
	const struct run *x = a, *y = b;
	return x->pgoff < y->pgoff ? -1 : x->pgoff > y->pgoff;
}

/* Neighbours are one run. */
static void merge(struct runs *runs)
{
	size_t n = 0;
	if (runs->n)
		qsort(runs->at, runs->n, sizeof(*runs->at), compare);
	for (size_t i = 0; i < runs->n; i++) {
		struct run *last = n ? &runs->at[n - 1] : NULL;
		if (last && last->pgoff + last->npages == runs->at[i].pgoff)
			last->npages += runs->at[i].npages;
		else
			runs->at[n++] = runs->at[i];
	}
	runs->n = n;
}

PGMAP_PUBLIC int dax_for_each_poisoned(struct dax_device *dax, int (*fn)(uint64_t pgoff, uint64_t npages, void *arg),
				       void *arg)
{
	struct runs runs = {0};
	if (!dax || !fn)
		return -EINVAL;
	/* Not device_tree: who keeps that may be waiting for the callback that asks. */
	(void)pthread_mutex_lock(&device_holders);
	int err = collect(dax, &runs);
	(void)pthread_mutex_unlock(&device_holders);
	if (!err)
		merge(&runs);
	for (size_t i = 0; i < runs.n && !err; i++)
		err = fn(runs.at[i].pgoff, runs.at[i].npages, arg);
	free(runs.at);
	return err;
}

PGMAP_PUBLIC int dax_notify_failure(struct dax_device *dax, enum dax_failure what, uint64_t pgoff, uint64_t npages)
{
	if (!dax || !npages || (what != DAX_FAILURE_DEAD && what != DAX_FAILURE_POISON))
		return -EINVAL;
	if (pgoff >= dax->npages || npages > dax->npages - pgoff)
		return -ERANGE;
	if (what == DAX_FAILURE_DEAD) {
		if (npages != dax->npages)
			return -EOPNOTSUPP;
		device_die(dax);
		return 0;
	}
	const struct io io = {
		.kind = IO_POISON,
		.offset_bytes = pgoff << PGMAP_PAGE_SHIFT,
		.len_bytes = npages << PGMAP_PAGE_SHIFT,
	};
	unsigned aside;
	(void)gate_enter(&dax->aside, &aside); /* never shut */
	int64_t n = device_io(dax, &io);
	gate_leave(&dax->aside, aside);
	return n < 0 ? (int)n : 0;
}
