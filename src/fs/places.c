/* SPDX-License-Identifier: BSD-3-Clause */
/* places.c - see places.h: the pool's numbers, made from the layout of its device; and which pages are lost. */
#include "fs/places.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dax/layout.h"
#include "dax/record.h"
#include "dax/where.h"

static const uint64_t SEGMENT_ALIGN = UINT64_C(1) << PGMAP_MAX_ORDER;

static int add_device(const struct dax_device *memory, void *arg)
{
	struct places *places = arg;
	struct places_device *more = realloc(places->devices, (places->ndevices + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	places->devices = more;
	more += places->ndevices++;
	more->memory = memory;
	where_span(memory, 0, dax_npages(memory), &more->span);
	places->resident = places->resident || more->span.resident;
	return more->span.pgmap ? 0 : -EINVAL;
}

static unsigned device_of(const struct places *places, const struct dax_device *memory)
{
	unsigned i = 0;
	while (i < places->ndevices - 1 && places->devices[i].memory != memory)
		i++;
	return i;
}

/* Behind what there is, with a gap, and as its pages count. */
static void add_segment(struct places *places, const struct segment *from)
{
	struct places_segment *segment = &places->segments[places->nsegments];
	struct where where;
	uint64_t after = places->nsegments ? (places->end / SEGMENT_ALIGN + 1) * SEGMENT_ALIGN : 0;
	*segment = (struct places_segment){
		.base = places->nsegments ? after + from->first % SEGMENT_ALIGN : from->first,
		.npages = from->npages,
		.page = from->pgoff,
		.device = -1,
		.max_order = from->max_order,
		.granule_order = dax_granule_order(places->dax), /* all count in the largest */
	};
	where_is(places->dax, from->pgoff, from->npages, &where);
	if (where.npages == from->npages) {
		segment->device = (int)device_of(places, where.memory);
		segment->pgoff = places->devices[segment->device].span.pgmap_pgoff + where.pgoff;
	}
	if (from->max_order < places->max_order)
		places->max_order = from->max_order;
	if (places->nsegments && segment->granule_order != places->granule_order)
		places->mixed = true;
	if (!places->nsegments || segment->granule_order < places->granule_order)
		places->granule_order = segment->granule_order;
	places->end = segment->base + segment->npages;
	places->nsegments++;
}

static int add_segments(struct places *places)
{
	struct segments all = {0};
	int err = layout_of(places->dax, &all);
	if (!err)
		places->segments = calloc(all.n, sizeof(*places->segments));
	if (!err && !places->segments)
		err = -ENOMEM;
	for (size_t i = 0; i < all.n && !err; i++)
		add_segment(places, &all.at[i]);
	layout_end(&all);
	return err;
}

int places_init(struct places *places, struct dax_device *dax)
{
	memset(places, 0, sizeof(*places));
	places->dax = dax;
	places->npages = dax_npages(dax);
	places->max_order = PGMAP_MAX_ORDER;
	int err = where_each_memory(dax, add_device, places);
	if (!err)
		err = add_segments(places);
	if (err) {
		places_exit(places);
		return err;
	}
	const struct places_segment *first = places->segments;
	places->base = first->base;
	if (places->nsegments == 1 && first->device >= 0 && first->base == first->pgoff)
		places->only = places->devices[first->device].span.pgmap;
	return 0;
}

void places_exit(struct places *places)
{
	free(places->segments);
	free(places->devices);
	places->segments = NULL;
	places->devices = NULL;
}

/* The last segment that begins at or before this number. */
static const struct places_segment *segment_at(const struct places *places, uint64_t off)
{
	const struct places_segment *segment = places->segments;
	for (size_t n = places->nsegments; n > 1;) {
		size_t half = n / 2;
		segment = segment[half].base <= off ? segment + half : segment;
		n -= half;
	}
	return segment;
}

struct spot places_find_spot(const struct places *places, uint64_t off)
{
	const struct places_segment *segment = segment_at(places, off);
	struct where where;
	if (segment->device >= 0) {
		const struct places_device *device = &places->devices[segment->device];
		return (struct spot){device->span.pgmap, segment->pgoff + (off - segment->base),
				     (unsigned)segment->device};
	}
	where_is(places->dax, segment->page + (off - segment->base), 1, &where);
	unsigned i = device_of(places, where.memory);
	return (struct spot){places->devices[i].span.pgmap, places->devices[i].span.pgmap_pgoff + where.pgoff, i};
}

uint64_t places_page(const struct places *places, uint64_t off)
{
	const struct places_segment *segment = segment_at(places, off);
	return segment->page + (off - segment->base);
}

uint64_t places_off(const struct places *places, uint64_t page)
{
	const struct places_segment *segment = places->segments;
	for (size_t n = places->nsegments; n > 1;) {
		size_t half = n / 2;
		segment = segment[half].page <= page ? segment + half : segment;
		n -= half;
	}
	return segment->base + (page - segment->page);
}

uint64_t places_run(const struct places *places, uint64_t off, uint64_t npages, char **addr)
{
	struct where where;
	where_is(places->dax, places_page(places, off), npages, &where);
	char *start = places->devices[device_of(places, where.memory)].span.addr;
	*addr = start ? start + (where.pgoff << PGMAP_PAGE_SHIFT) : NULL;
	return where.npages;
}

int places_descriptor(const struct places *places, uint64_t off, uint64_t *offset_bytes)
{
	struct spot spot = places_spot(places, off);
	const struct dax_span *span = &places->devices[spot.device].span;
	*offset_bytes = span->fd_offset_bytes + ((spot.pgoff - span->pgmap_pgoff) << PGMAP_PAGE_SHIFT);
	return span->fd;
}

unsigned places_find_order(const struct places *places, uint64_t off, unsigned order)
{
	unsigned most = segment_at(places, off)->max_order;
	return order < most ? order : most;
}

unsigned places_find_granule(const struct places *places, uint64_t off)
{
	return segment_at(places, off)->granule_order;
}

/* Of pages that lie on one memory. */
static bool find_on_memory(const struct places *places, uint64_t off, const struct where *where,
			   struct places_lost *out)
{
	const struct dax_span *span = &places->devices[device_of(places, where->memory)].span;
	uint64_t first = span->pgmap_pgoff + where->pgoff, from = first, end = first + where->npages;
	if (where->dead) {
		*out = (struct places_lost){off, off + where->npages, DAX_FAILURE_DEAD};
		return true;
	}
	if (!record_find(span->pgmap, &from, &end))
		return false;
	*out = (struct places_lost){off + (from - first), off + (end - first), DAX_FAILURE_POISON};
	return true;
}

bool places_find_lost(const struct places *places, uint64_t from, uint64_t end, struct places_lost *out)
{
	bool found = false;
	while (from < end && !found) {
		struct where where;
		where_is(places->dax, places_page(places, from), end - from, &where);
		found = find_on_memory(places, from, &where, out);
		from += where.npages;
	}
	return found;
}

int places_error(const struct places *places, uint64_t from, uint64_t end)
{
	struct places_lost lost;
	int err = 0;
	while (err != -ENODEV && from < end && places_find_lost(places, from, end, &lost)) {
		err = lost.what == DAX_FAILURE_DEAD ? -ENODEV : -EHWPOISON;
		from = lost.end;
	}
	return err;
}

bool places_held(const struct places *places)
{
	for (unsigned i = 0; i < places->ndevices; i++) {
		if (pgmap_live_pages(places->devices[i].span.pgmap))
			return true;
	}
	return false;
}

bool places_live(const struct places *places)
{
	for (unsigned i = 0; i < places->ndevices; i++) {
		if (pgmap_state(places->devices[i].span.pgmap) == PGMAP_LIVE)
			return true;
	}
	return false;
}
