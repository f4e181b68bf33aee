/* SPDX-License-Identifier: BSD-3-Clause */
/* layout.c - see layout.h: what a stack's parts have, one part after the other. A stripe sees to itself. */
#include "dax/layout.h"

#include <errno.h>
#include <stdlib.h>

#include "dax/memory.h"
#include "dax/stack.h"

int segments_add(struct segments *segments, const struct segment *segment)
{
	if (segments->n == segments->room) {
		size_t room = segments->room ? 2 * segments->room : 4;
		struct segment *more = realloc(segments->at, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		segments->at = more;
		segments->room = room;
	}
	segments->at[segments->n++] = *segment;
	return 0;
}

void layout_end(struct segments *segments)
{
	free(segments->at);
	*segments = (struct segments){0};
}

/* What of a segment belongs to the part, by the part's own pages. */
static int add_clipped(struct segments *out, const struct segment *segment, const struct link *link)
{
	uint64_t from = segment->pgoff > link->pgoff ? segment->pgoff : link->pgoff;
	uint64_t end = segment->pgoff + segment->npages, part_end = link->pgoff + link->npages;
	end = end < part_end ? end : part_end;
	if (from >= end)
		return 0;
	struct segment clipped = *segment;
	clipped.pgoff = from - link->pgoff;
	clipped.npages = end - from;
	clipped.first = segment->first + (from - segment->pgoff);
	return segments_add(out, &clipped);
}

int layout_of_part(const struct link *link, struct segments *out)
{
	struct segments all = {0};
	int err = layout_of(link->lower, &all);
	for (size_t i = 0; i < all.n && !err; i++)
		err = add_clipped(out, &all.at[i], link);
	layout_end(&all);
	return err;
}

int layout_of(struct dax_device *dax, struct segments *out)
{
	if (dax->ops->lay_out)
		return dax->ops->lay_out(dax, out);
	int err = 0;
	for (size_t i = 0; i < dax->nlinks && !err; i++) {
		size_t n = out->n;
		err = layout_of_part(&dax->links[i], out);
		for (; n < out->n; n++)
			out->at[n].pgoff += dax->links[i].first;
	}
	return err;
}

bool layout_locate(const struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct dax_span *span)
{
	bool alive = !device_is_dead(dax);
	while (!memory_is(dax)) {
		struct place place;
		dax->ops->locate(dax, pgoff, npages, &place);
		dax = place.dax;
		pgoff = place.pgoff;
		npages = place.npages;
		alive = alive && !device_is_dead(dax);
	}
	memory_span(dax, pgoff, npages, span);
	return alive;
}

/* Its holder holds all below: the holder of each of these is the link to what lies above it. */
uint64_t layout_raise(const struct dax_device *dax, const struct pgmap *pgmap, uint64_t pgoff)
{
	const struct dax_device *at = pgmap_owner(pgmap);
	pgoff -= memory_first(at);
	while (at != dax) {
		const struct link *link = at->holder;
		(void)link->upper->ops->raise(link, &pgoff, 1);
		at = link->upper;
	}
	return pgoff;
}

size_t layout_pgmaps(const struct dax_device *dax, struct pgmap *out[], size_t room)
{
	size_t n = 0;
	if (memory_is(dax)) {
		if (room)
			out[0] = dax_pgmap(dax);
		return 1;
	}
	for (size_t i = 0; i < dax->nlinks; i++)
		n += layout_pgmaps(dax->links[i].lower, room > n ? out + n : NULL, room > n ? room - n : 0);
	return n;
}
