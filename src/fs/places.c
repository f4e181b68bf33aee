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
	struct places_table *table = arg;
	struct places_device *more = realloc(table->devices, (table->ndevices + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	table->devices = more;
	more += table->ndevices++;
	more->memory = memory;
	where_span(memory, 0, dax_npages(memory), &more->span);
	return more->span.pgmap ? 0 : -EINVAL;
}

static unsigned device_of(const struct places_table *table, const struct dax_device *memory)
{
	unsigned i = 0;
	while (i < table->ndevices - 1 && table->devices[i].memory != memory)
		i++;
	return i;
}

/* What all segments have in common. */
static void count_segment(struct places_table *table, const struct places_segment *segment, bool first)
{
	if (first || segment->max_order < table->max_order)
		table->max_order = segment->max_order;
	table->npages += segment->npages;
}

/* Whatever comes and goes, the pool's granule stays. */
static void look_for_others(struct places_table *table, unsigned granule_order)
{
	for (size_t i = 0; i < table->nsegments; i++)
		table->mixed = table->mixed || table->segments[i].granule_order != granule_order;
}

/* Of a segment that lies on several memories. */
static bool has_resident(const struct places_table *table, struct dax_device *dax, uint64_t page, uint64_t npages)
{
	bool some = false, has = false;
	for (unsigned i = 0; i < table->ndevices; i++)
		some = some || table->devices[i].span.resident;
	while (some && npages && !has) {
		struct where where;
		where_is(dax, page, npages, &where);
		has = table->devices[device_of(table, where.memory)].span.resident;
		page += where.npages;
		npages -= where.npages;
	}
	return has;
}

/* Behind what there is, with a gap, and as its pages count. Its pages lie where `where` says. */
static void add_segment(struct places_table *table, const struct segment *from, const struct where *where)
{
	struct places_segment *segment = &table->segments[table->nsegments];
	uint64_t after = table->end ? (table->end / SEGMENT_ALIGN + 1) * SEGMENT_ALIGN : 0;
	*segment = (struct places_segment){
		.base = table->end ? after + from->first % SEGMENT_ALIGN : from->first,
		.npages = from->npages,
		.page = from->pgoff,
		.device = -1,
		.max_order = from->max_order,
		.granule_order = from->granule_order,
	};
	if (where->npages == from->npages) {
		segment->device = (int)device_of(table, where->memory);
		segment->pgoff = table->devices[segment->device].span.pgmap_pgoff + where->pgoff;
		segment->resident = table->devices[segment->device].span.resident;
	}
	count_segment(table, segment, table->nsegments == 0);
	table->end = segment->base + segment->npages;
	table->nsegments++;
}

static int add_segments(struct places_table *table, struct dax_device *dax)
{
	struct segments all = {0};
	int err = layout_of(dax, &all);
	if (!err)
		table->segments = calloc(all.n, sizeof(*table->segments));
	if (!err && !table->segments)
		err = -ENOMEM;
	for (size_t i = 0; i < all.n && !err; i++) {
		struct where where;
		where_is(dax, all.at[i].pgoff, all.at[i].npages, &where);
		add_segment(table, &all.at[i], &where);
		if (where.npages != all.at[i].npages)
			table->segments[i].resident = has_resident(table, dax, all.at[i].pgoff, all.at[i].npages);
	}
	layout_end(&all);
	return err;
}

void places_forget(struct places_table *table)
{
	if (!table)
		return;
	free(table->segments);
	free(table->devices);
	free(table);
}

int places_init(struct places *places, struct dax_device *dax)
{
	memset(places, 0, sizeof(*places));
	places->dax = dax;
	struct places_table *table = calloc(1, sizeof(*table));
	if (!table)
		return -ENOMEM;
	int err = where_each_memory(dax, add_device, table);
	if (!err)
		err = add_segments(table, dax);
	if (err) {
		places_forget(table);
		return err;
	}
	const struct places_segment *first = table->segments;
	places->base = first->base;
	places->granule_order = first->granule_order;
	for (size_t i = 1; i < table->nsegments; i++)
		if (first[i].granule_order < places->granule_order)
			places->granule_order = first[i].granule_order;
	look_for_others(table, places->granule_order);
	if (table->nsegments == 1 && first->device == 0 && first->base == first->pgoff)
		atomic_store_explicit(&places->only, table->devices[first->device].span.pgmap, memory_order_relaxed);
	atomic_store_explicit(&places->table, table, memory_order_release);
	return 0;
}

void places_exit(struct places *places)
{
	struct places_table *table = atomic_load_explicit(&places->table, memory_order_relaxed);
	while (table) {
		struct places_table *older = table->older;
		places_forget(table);
		table = older;
	}
	atomic_store_explicit(&places->table, NULL, memory_order_relaxed);
}

void places_publish(struct places *places, struct places_table *table)
{
	table->older = atomic_load_explicit(&places->table, memory_order_relaxed);
	if (table->nsegments > 1)
		atomic_store_explicit(&places->only, NULL, memory_order_relaxed);
	atomic_store_explicit(&places->table, table, memory_order_release);
}

/* With room for so many more of each. */
static struct places_table *copy(const struct places_table *table, size_t more_segments, unsigned more_devices)
{
	struct places_table *then = calloc(1, sizeof(*then));
	if (!then)
		return NULL;
	then->segments = calloc(table->nsegments + more_segments, sizeof(*then->segments));
	then->devices = calloc(table->ndevices + more_devices, sizeof(*then->devices));
	if (!then->segments || !then->devices) {
		places_forget(then);
		return NULL;
	}
	memcpy(then->devices, table->devices, table->ndevices * sizeof(*then->devices));
	then->ndevices = table->ndevices;
	then->end = table->end;
	return then;
}

static int count_memory(const struct dax_device *memory, void *arg)
{
	const struct dax_device **only = arg;
	if (*only)
		return -EINVAL;
	*only = memory;
	return 0;
}

/* The first index that is free. */
static unsigned set_device(struct places_table *table, const struct dax_device *memory)
{
	unsigned i = 0;
	while (i < table->ndevices && table->devices[i].memory)
		i++;
	table->ndevices = i == table->ndevices ? i + 1 : table->ndevices;
	table->devices[i].memory = memory;
	where_span(memory, 0, dax_npages(memory), &table->devices[i].span);
	return i;
}

int places_with(const struct places *places, struct dax_device *dax, struct places_table **out, unsigned *index)
{
	const struct places_table *now = places_now(places);
	const struct dax_device *memory = NULL;
	struct segments all = {0};
	int err = where_each_memory(dax, count_memory, &memory);
	if (!err)
		err = layout_of(dax, &all);
	struct places_table *table = err ? NULL : copy(now, all.n, 1);
	if (!err && !table)
		err = -ENOMEM;
	if (!err) {
		*index = set_device(table, memory);
		err = table->devices[*index].span.pgmap ? 0 : -EINVAL;
	}
	for (size_t i = 0; !err && i < now->nsegments; i++) {
		table->segments[table->nsegments] = now->segments[i];
		count_segment(table, &now->segments[i], table->nsegments++ == 0);
	}
	for (size_t i = 0; !err && i < all.n; i++) {
		struct segment segment = all.at[i];
		struct where where;
		where_is(dax, segment.pgoff, segment.npages, &where);
		if (where.npages != segment.npages) /* they take turns, though it is with themselves */
			err = -EINVAL;
		segment.pgoff += dax_npages(places->dax);
		if (segment.granule_order < places->granule_order)
			segment.granule_order = places->granule_order;
		if ((segment.first | segment.npages) % (UINT64_C(1) << segment.granule_order))
			err = -EINVAL;
		add_segment(table, &segment, &where);
	}
	layout_end(&all);
	if (table)
		look_for_others(table, places->granule_order);
	if (err)
		places_forget(table);
	else
		*out = table;
	return err;
}

struct places_table *places_without(const struct places *places, unsigned index)
{
	const struct places_table *now = places_now(places);
	struct places_table *table = copy(now, 0, 0);
	if (!table)
		return NULL;
	memset(&table->devices[index], 0, sizeof(table->devices[index]));
	for (size_t i = 0; i < now->nsegments; i++) {
		if (now->segments[i].device == (int)index)
			continue;
		table->segments[table->nsegments] = now->segments[i];
		count_segment(table, &now->segments[i], table->nsegments++ == 0);
	}
	look_for_others(table, places->granule_order);
	return table;
}

enum segment_key { BY_NUMBER, BY_PAGE };

/* The last segment that begins at or before this number, or this page of the device. */
static inline const struct places_segment *find_segment(const struct places_table *table, uint64_t at,
							enum segment_key key)
{
	const struct places_segment *segment = table->segments;
	for (size_t n = table->nsegments; n > 1;) {
		size_t half = n / 2;
		uint64_t begins = key == BY_PAGE ? segment[half].page : segment[half].base;
		segment = begins <= at ? segment + half : segment;
		n -= half;
	}
	return segment;
}

static const struct places_segment *segment_at(const struct places_table *table, uint64_t off)
{
	return find_segment(table, off, BY_NUMBER);
}

static const struct places_segment *segment_of_page(const struct places_table *table, uint64_t page)
{
	return find_segment(table, page, BY_PAGE);
}

struct spot places_find_spot(const struct places *places, uint64_t off)
{
	const struct places_table *table = places_now(places);
	const struct places_segment *segment = segment_at(table, off);
	struct where where;
	if (segment->device >= 0) {
		const struct places_device *device = &table->devices[segment->device];
		return (struct spot){device->span.pgmap, segment->pgoff + (off - segment->base),
				     (unsigned)segment->device};
	}
	where_is(places->dax, segment->page + (off - segment->base), 1, &where);
	unsigned i = device_of(table, where.memory);
	const struct dax_span *span = &table->devices[i].span;
	return (struct spot){span->pgmap, span->pgmap_pgoff + where.pgoff, i};
}

uint64_t places_page(const struct places *places, uint64_t off)
{
	const struct places_segment *segment = segment_at(places_now(places), off);
	return segment->page + (off - segment->base);
}

uint64_t places_off(const struct places *places, uint64_t page)
{
	const struct places_segment *segment = segment_of_page(places_now(places), page);
	return segment->base + (page - segment->page);
}

bool places_has(const struct places *places, uint64_t page)
{
	const struct places_segment *segment = segment_of_page(places_now(places), page);
	return page >= segment->page && page - segment->page < segment->npages;
}

uint64_t places_run(const struct places *places, uint64_t off, uint64_t npages, char **addr)
{
	struct where where;
	where_is(places->dax, places_page(places, off), npages, &where);
	const struct places_table *table = places_now(places);
	char *start = table->devices[device_of(table, where.memory)].span.addr;
	*addr = start ? start + (where.pgoff << PGMAP_PAGE_SHIFT) : NULL;
	return where.npages;
}

int places_descriptor(const struct places *places, uint64_t off, uint64_t *offset_bytes)
{
	struct spot spot = places_spot(places, off);
	const struct dax_span *span = &places_now(places)->devices[spot.device].span;
	*offset_bytes = span->fd_offset_bytes + ((spot.pgoff - span->pgmap_pgoff) << PGMAP_PAGE_SHIFT);
	return span->fd;
}

int places_device(const struct places *places, uint64_t off)
{
	return segment_at(places_now(places), off)->device;
}

bool places_resident(const struct places *places, uint64_t off)
{
	return segment_at(places_now(places), off)->resident;
}

unsigned places_find_order(const struct places *places, uint64_t off, unsigned order)
{
	unsigned most = segment_at(places_now(places), off)->max_order;
	return order < most ? order : most;
}

unsigned places_find_granule(const struct places *places, uint64_t off)
{
	return segment_at(places_now(places), off)->granule_order;
}

/* Of pages that lie on one memory. */
static bool find_on_memory(const struct places *places, uint64_t off, const struct where *where,
			   struct places_lost *out)
{
	const struct places_table *table = places_now(places);
	const struct dax_span *span = &table->devices[device_of(table, where->memory)].span;
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
	const struct places_table *table = places_now(places);
	for (unsigned i = 0; i < table->ndevices; i++) {
		if (table->devices[i].memory && pgmap_live_pages(table->devices[i].span.pgmap))
			return true;
	}
	return false;
}

bool places_live(const struct places *places)
{
	const struct places_table *table = places_now(places);
	for (unsigned i = 0; i < table->ndevices; i++) {
		if (table->devices[i].memory && pgmap_state(table->devices[i].span.pgmap) == PGMAP_LIVE)
			return true;
	}
	return false;
}
