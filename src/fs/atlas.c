/* SPDX-License-Identifier: BSD-3-Clause */
/* atlas.c - see atlas.h: why numbers are as they are, thread safety. */
#include "fs/atlas.h"

#include <errno.h>
#include <stdlib.h>

#include "dax/layout.h"
#include "fs/block.h"

static const uint64_t top_pages = UINT64_C(1) << PGMAP_MAX_ORDER;

/* The next number that is congruent to first, with a gap before it that no block goes over. */
static uint64_t next_number(uint64_t end, uint64_t first)
{
	if (!end)
		return first;
	if (end % top_pages != 0 || first % top_pages != 0)
		end++;
	return end + (first - end) % top_pages;
}

static void set_regions(struct atlas *atlas, const struct segments *segments)
{
	uint64_t end = 0;
	atlas->max_order = PGMAP_MAX_ORDER;
	atlas->mapped = true;
	for (size_t i = 0; i < segments->n; i++) {
		const struct segment *segment = &segments->at[i];
		struct region *region = &atlas->regions[i];
		region->first = next_number(end, segment->first);
		region->npages = segment->npages;
		region->page = segment->pgoff;
		region->resident = segment->resident;
		atlas->mapped = atlas->mapped && segment->mapped;
		end = region->first + region->npages;
		if (segment->max_order < atlas->max_order)
			atlas->max_order = segment->max_order;
	}
	atlas->nregions = segments->n;
}

static int set_pgmaps(struct atlas *atlas)
{
	atlas->npgmaps = layout_pgmaps(atlas->dax, NULL, 0);
	atlas->pgmaps = calloc(atlas->npgmaps, sizeof(struct pgmap *));
	if (!atlas->pgmaps)
		return -ENOMEM;
	(void)layout_pgmaps(atlas->dax, atlas->pgmaps, atlas->npgmaps);
	for (size_t i = 0; i < atlas->npgmaps; i++) {
		if (!atlas->pgmaps[i])
			return -EINVAL;
	}
	return 0;
}

int atlas_init(struct atlas *atlas, struct dax_device *dax)
{
	struct segments segments = {0};
	*atlas = (struct atlas){.dax = dax};
	int err = layout_of(dax, &segments);
	if (!err) {
		atlas->regions = calloc(segments.n, sizeof(*atlas->regions));
		err = atlas->regions ? set_pgmaps(atlas) : -ENOMEM;
	}
	if (!err)
		set_regions(atlas, &segments);
	layout_end(&segments);
	if (err) {
		atlas_exit(atlas);
		return err;
	}
	if (atlas->nregions == 1 && atlas->npgmaps == 1 && atlas->max_order == PGMAP_MAX_ORDER) {
		atlas->only = atlas->pgmaps[0];
		atlas->max_order = BLOCK_MAX_ORDER;
	}
	return 0;
}

void atlas_exit(struct atlas *atlas)
{
	free(atlas->regions);
	free(atlas->pgmaps);
}

uint64_t atlas_begin(const struct atlas *atlas)
{
	return atlas->regions[0].first;
}

uint64_t atlas_end(const struct atlas *atlas)
{
	const struct region *last = &atlas->regions[atlas->nregions - 1];
	return last->first + last->npages;
}

uint64_t atlas_page(const struct atlas *atlas, uint64_t number)
{
	const struct region *region = atlas->regions;
	for (size_t n = atlas->nregions; n > 1;) {
		size_t half = n / 2;
		region = region[half].first <= number ? region + half : region;
		n -= half;
	}
	return region->page + (number - region->first);
}

uint64_t atlas_number(const struct atlas *atlas, uint64_t page)
{
	const struct region *region = atlas->regions;
	for (size_t n = atlas->nregions; n > 1;) {
		size_t half = n / 2;
		region = region[half].page <= page ? region + half : region;
		n -= half;
	}
	return region->first + (page - region->page);
}

bool atlas_span(const struct atlas *atlas, uint64_t number, uint64_t npages, struct dax_span *span)
{
	return layout_locate(atlas->dax, atlas_page(atlas, number), npages, span);
}

uint64_t atlas_number_in(const struct atlas *atlas, const struct pgmap *pgmap, uint64_t pgoff)
{
	return atlas->only ? pgoff : atlas_number(atlas, layout_raise(atlas->dax, pgmap, pgoff));
}

uint64_t atlas_folio(const struct atlas *atlas, const struct folio *folio)
{
	return atlas_number_in(atlas, folio_pgmap(folio), folio_pgoff(folio));
}

size_t atlas_index(const struct atlas *atlas, const struct pgmap *pgmap)
{
	size_t i = 0;
	while (i + 1 < atlas->npgmaps && atlas->pgmaps[i] != pgmap)
		i++;
	return i;
}

static struct pgmap *locate(const struct atlas *atlas, uint64_t *number)
{
	struct dax_span span;
	if (atlas->only)
		return atlas->only;
	(void)atlas_span(atlas, *number, 1, &span);
	*number = span.pgmap_pgoff;
	return span.pgmap;
}

int atlas_request(const struct atlas *atlas, uint64_t number, unsigned order, struct folio **out)
{
	struct pgmap *pgmap = locate(atlas, &number);
	return pgmap_request_folio(pgmap, number, order, out);
}

int atlas_get(const struct atlas *atlas, uint64_t number, struct folio **out)
{
	struct pgmap *pgmap = locate(atlas, &number);
	return pgmap_get_folio(pgmap, number, out);
}

int atlas_find(const struct atlas *atlas, uint64_t number, struct folio **out)
{
	struct pgmap *pgmap = locate(atlas, &number);
	return pgmap_find_folio(pgmap, number, out);
}

int atlas_release_quarantined(const struct atlas *atlas, uint64_t number)
{
	struct pgmap *pgmap = locate(atlas, &number);
	return pgmap_release_quarantined(pgmap, number);
}

uint64_t atlas_live_pages(const struct atlas *atlas)
{
	uint64_t pages = 0;
	for (size_t i = 0; i < atlas->npgmaps; i++)
		pages += pgmap_live_pages(atlas->pgmaps[i]);
	return pages;
}

bool atlas_is_live(const struct atlas *atlas)
{
	for (size_t i = 0; i < atlas->npgmaps; i++) {
		if (pgmap_state(atlas->pgmaps[i]) != PGMAP_LIVE)
			return false;
	}
	return true;
}
