/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * places.h - where a pool's pages lie: the pool has one row of page numbers, whatever its device stands on.
 *
 * A pool's number is a pgoff where the pool lies on one memory. On a stack the numbers come in segments, one for each run of
 * the device in which folios can lie alike (dax/layout.h): a part of a linear stack, or a whole stripe. A segment begins at a
 * number that is, modulo 2^PGMAP_MAX_ORDER, what its pages count from in their pgmap: so alignment of a number is alignment
 * of a folio. A segment is whole granules of what it lies on; those of several segments may differ. Between segments lies at least one number that is no page, so no block of free pages grows across. Within
 * a stripe blocks of free pages do grow across what lies on different memories; what is handed out of them is at most
 * max_order big, and lies on one.
 *
 * Which pages are lost - their device dead, or their data gone - is asked of the devices, and nothing of it is kept here:
 * so it needs no memory to be known, and cannot be out of date. places_damaged() says whether it is worth asking.
 *
 * Thread safety: it does not change but for `damaged`, which is set once.
 */
#ifndef PGMAP_FS_PLACES_H
#define PGMAP_FS_PLACES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pgmap/dax.h>
#include <pgmap/folio.h>

/* A memory that the pool has pages on: one pgmap, one descriptor. */
struct places_device {
	const struct dax_device *memory;
	struct dax_span span; /* all of it */
};

struct places_segment {
	uint64_t base, npages;
	uint64_t page;  /* of the device: the first */
	uint64_t pgoff; /* of the pgmap, where all of it lies on one memory */
	int device;     /* that memory, or -1: several take turns */
	unsigned max_order;
	unsigned granule_order; /* whole granules, by the pool's numbers too */
};

struct places {
	struct dax_device *dax;
	struct pgmap *only; /* of the one memory that all lies on, whose pgoffs are the pool's numbers; or null */
	struct places_segment *segments;
	size_t nsegments;
	struct places_device *devices;
	unsigned ndevices;
	uint64_t base, end; /* the first number, and the one behind the last */
	uint64_t npages;
	unsigned max_order;     /* the least of any segment's */
	unsigned granule_order; /* the least of any segment's, */
	bool mixed;             /* and some have a bigger one */
	bool resident;          /* some of it is: dax_params.resident */
	_Atomic bool damaged;
};

/* A page in its pgmap, and which device that is. */
struct spot {
	struct pgmap *pgmap;
	uint64_t pgoff;
	unsigned device;
};

/* places_init - the device's. -EINVAL some of it cannot have folios (LIMITED), -ENOMEM. */
int places_init(struct places *places, struct dax_device *dax);
void places_exit(struct places *places);

struct spot places_find_spot(const struct places *places, uint64_t off);
static inline struct spot places_spot(const struct places *places, uint64_t off)
{
	return places->only ? (struct spot){places->only, off, 0} : places_find_spot(places, off);
}

/* A page of the device, as dax_populate() and the like count, and back. places_run: so many of these pages lie on one memory, one
 * after the other; *addr is where they are mapped here, or null. */
uint64_t places_page(const struct places *places, uint64_t off);
uint64_t places_off(const struct places *places, uint64_t page);
uint64_t places_run(const struct places *places, uint64_t off, uint64_t npages, char **addr);
/* places_descriptor - where a page is to be mapped from: the descriptor, and the offset in it. */
int places_descriptor(const struct places *places, uint64_t off, uint64_t *offset_bytes);
/* places_order - the biggest block that may be handed out here, if it shall be of this order at most. */
unsigned places_find_order(const struct places *places, uint64_t off, unsigned order);
static inline unsigned places_order(const struct places *places, uint64_t off, unsigned order)
{
	return order <= places->max_order ? order : places_find_order(places, off, order);
}

/* places_granule - the smallest block that can be mapped by itself here. */
unsigned places_find_granule(const struct places *places, uint64_t off);
static inline unsigned places_granule(const struct places *places, uint64_t off)
{
	return places->mixed ? places_find_granule(places, off) : places->granule_order;
}

/* Of pages that are lost. */
struct places_lost {
	uint64_t from, end;
	enum dax_failure what;
};
static inline bool places_damaged(const struct places *places)
{
	return atomic_load_explicit(&places->damaged, memory_order_relaxed);
}
/* places_find_lost - the first run of them in [from, end), or false. The range lies in one segment. */
bool places_find_lost(const struct places *places, uint64_t from, uint64_t end, struct places_lost *out);
/* places_error - why pages cannot be mapped: -ENODEV their device is dead, -EHWPOISON their data is lost; or 0. */
int places_error(const struct places *places, uint64_t from, uint64_t end);

/* The core's calls, by the pool's numbers. */
static inline int places_request_folio(const struct places *places, uint64_t off, unsigned order, struct folio **out)
{
	struct spot spot = places_spot(places, off);
	return pgmap_request_folio(spot.pgmap, spot.pgoff, order, out);
}
static inline int places_find_folio(const struct places *places, uint64_t off, struct folio **out)
{
	struct spot spot = places_spot(places, off);
	return pgmap_find_folio(spot.pgmap, spot.pgoff, out);
}
static inline int places_release_quarantined(const struct places *places, uint64_t off)
{
	struct spot spot = places_spot(places, off);
	return pgmap_release_quarantined(spot.pgmap, spot.pgoff);
}

/* The first page of a folio that covers this one, whose spot this is. */
static inline uint64_t places_folio_off(uint64_t off, const struct spot *spot, const struct folio *folio)
{
	return off - (spot->pgoff - folio_pgoff(folio));
}

/* Whether a folio of any of the pgmaps is held, and whether any of them is LIVE. */
bool places_held(const struct places *places);
bool places_live(const struct places *places);

#endif
