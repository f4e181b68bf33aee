/* SPDX-License-Identifier: BSD-3-Clause */
/* layout.c - see layout.h: what a stack's parts have, one part after the other. A stripe sees to itself. */
#include "dax/layout.h"

#include <errno.h>
#include <stdlib.h>

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
