/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * atlas.h - where a pool's pages lie: on one memory, or on several below a stack.
 *
 * A pool counts its pages in numbers of its own, called pgoff everywhere above this file, in which alignment is alignment of
 * folios. On one memory they are the pgmap's own. On a stack each segment of it (dax/layout.h) has numbers of its own,
 * congruent modulo 2^18 to what the segment says, ascending with the device's pages; between two segments lies at least one
 * number that is no page, unless the second begins at a multiple of 2^18: so no block of pages lies on both.
 *
 * Thread safety: it does not change once made; raising a folio takes the holder of the device.
 */
#ifndef PGMAP_FS_ATLAS_H
#define PGMAP_FS_ATLAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pgmap/dax.h>
#include <pgmap/folio.h>

struct region {
	uint64_t first; /* number */
	uint64_t npages;
	uint64_t page; /* of the device */
	bool resident;
};

struct atlas {
	struct dax_device *dax;
	struct pgmap *only; /* numbers are its pgoffs; or null */
	struct region *regions;
	size_t nregions;
	struct pgmap **pgmaps;
	size_t npgmaps;
	unsigned max_order; /* of a block that lies together; BLOCK_MAX_ORDER with only one pgmap */
	bool mapped;        /* all of it, here */
};

/* atlas_init - -EINVAL some of it can have no folios (c5.6), -ENOMEM. */
int atlas_init(struct atlas *atlas, struct dax_device *dax);
void atlas_exit(struct atlas *atlas);

/* The first number, and the first behind the last. */
uint64_t atlas_begin(const struct atlas *atlas);
uint64_t atlas_end(const struct atlas *atlas);

/* Number to page of the device, and back. Both of pages that there are. */
uint64_t atlas_page(const struct atlas *atlas, uint64_t number);
uint64_t atlas_number(const struct atlas *atlas, uint64_t page);

/* atlas_span - where these pages lie, as many as lie together, dead or bad. False: they are dead. */
bool atlas_span(const struct atlas *atlas, uint64_t number, uint64_t npages, struct dax_span *span);
/* atlas_number_in - the number of a page of a pgmap, by whose page of the device it is. atlas_folio - of a folio's first. */
uint64_t atlas_number_in(const struct atlas *atlas, const struct pgmap *pgmap, uint64_t pgoff);
uint64_t atlas_folio(const struct atlas *atlas, const struct folio *folio);
/* atlas_index - which of its pgmaps this is. */
size_t atlas_index(const struct atlas *atlas, const struct pgmap *pgmap);

/* The core's calls by number. */
int atlas_request(const struct atlas *atlas, uint64_t number, unsigned order, struct folio **out);
int atlas_get(const struct atlas *atlas, uint64_t number, struct folio **out);
int atlas_find(const struct atlas *atlas, uint64_t number, struct folio **out);
int atlas_release_quarantined(const struct atlas *atlas, uint64_t number);

/* Of all of its pgmaps: pages that are held; whether each is LIVE. */
uint64_t atlas_live_pages(const struct atlas *atlas);
bool atlas_is_live(const struct atlas *atlas);

#endif
