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
 * Devices come and go (grow.c, leave.c). What says where they are is a table that is never changed once it is published, nor
 * freed before the pool is; a change publishes another, under the space's lock. Everybody else reads without a lock, and is
 * right because a number that he may ask about is of a device that is there for as long as he asks: he has it from a block or a
 * folio, which keep their device from leaving, and was given it after the table that has it was published. So he finds that table
 * or a later one, and they all say the same of this number. Numbers are never used again, nor do pages of the stack mean another
 * device: what somebody still remembers of one that has left matches nothing. Indexes of devices are used again.
 *
 * Thread safety: any thread; places_publish() under the space's lock.
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
	const struct dax_device *memory; /* null: none has this index now */
	struct dax_span span;            /* all of it */
};

struct places_segment {
	uint64_t base, npages;
	uint64_t page;  /* of the device: the first */
	uint64_t pgoff; /* of the pgmap, where all of it lies on one memory */
	int device;     /* that memory, or -1: several take turns */
	unsigned max_order;
	unsigned granule_order; /* whole granules, by the pool's numbers too */
	bool resident;          /* some of it is memory that is always there (dax_params.resident) */
};

struct places_table {
	struct places_table *older;
	struct places_segment *segments; /* ascending, by number and by page */
	size_t nsegments;
	struct places_device *devices;
	unsigned ndevices;  /* indexes, of which some may be free */
	uint64_t end;       /* the number behind the last that ever was one */
	uint64_t npages;    /* of all segments */
	unsigned max_order; /* the least of any segment's */
	bool mixed;         /* the granule of some is bigger than the pool's */
};

struct places {
	struct dax_device *dax;
	_Atomic(struct pgmap *)
		only; /* of the one memory that all lies on, whose pgoffs are the pool's numbers; or null */
	_Atomic(struct places_table *) table;
	uint64_t base; /* the first number */
	unsigned
		granule_order; /* the pool's: the smallest of any segment that it began with. What is added counts in it at least */
	_Atomic bool damaged;
};

static inline const struct places_table *places_now(const struct places *places)
{
	return atomic_load_explicit(&places->table, memory_order_acquire);
}

/* A page in its pgmap, and which device that is. */
struct spot {
	struct pgmap *pgmap;
	uint64_t pgoff;
	unsigned device;
};

/* places_init - the device's. -EINVAL some of it cannot have folios (LIMITED), -ENOMEM. */
int places_init(struct places *places, struct dax_device *dax);
void places_exit(struct places *places);

/* places_with - the table to come with this device behind the others, all of it, by the pages that it will have there; *index: its
 * own. -EINVAL it lies on several memories, cannot have folios, or is not whole granules of the pool; -ENOMEM. places_without - that without this device; null: no
 * memory. places_publish - from now on. places_forget - one that was not published. */
int places_with(const struct places *places, struct dax_device *dax, struct places_table **out, unsigned *index);
struct places_table *places_without(const struct places *places, unsigned index);
void places_publish(struct places *places, struct places_table *table);
void places_forget(struct places_table *table);

struct spot places_find_spot(const struct places *places, uint64_t off);
static inline struct spot places_spot(const struct places *places, uint64_t off)
{
	/* Relaxed: who asks about a page of another device has its number from after it was set to null. */
	struct pgmap *only = atomic_load_explicit(&places->only, memory_order_relaxed);
	return only ? (struct spot){only, off, 0} : places_find_spot(places, off);
}

/* A page of the device, as dax_populate() and the like count, and back. places_run: so many of these pages lie on one memory, one
 * after the other; *addr is where they are mapped here, or null. */
uint64_t places_page(const struct places *places, uint64_t off);
uint64_t places_off(const struct places *places, uint64_t page);
bool places_has(const struct places *places, uint64_t page); /* or it is in a gap, or yet to come */
uint64_t places_run(const struct places *places, uint64_t off, uint64_t npages, char **addr);
/* places_descriptor - where a page is to be mapped from: the descriptor, and the offset in it. */
int places_descriptor(const struct places *places, uint64_t off, uint64_t *offset_bytes);
/* places_device - the device that all of this page's segment lies on, or -1. */
int places_device(const struct places *places, uint64_t off);
/* places_order - the biggest block that may be handed out here, if it shall be of this order at most. */
unsigned places_find_order(const struct places *places, uint64_t off, unsigned order);
static inline unsigned places_order(const struct places *places, uint64_t off, unsigned order)
{
	return order <= places_now(places)->max_order ? order : places_find_order(places, off, order);
}

/* places_resident - whether memory is always there in this page's segment, or in some of it: then none is given back. */
bool places_resident(const struct places *places, uint64_t off);

/* places_granule - the smallest block that can be mapped by itself here. */
unsigned places_find_granule(const struct places *places, uint64_t off);
static inline bool places_mixed(const struct places *places)
{
	return places_now(places)->mixed;
}
static inline unsigned places_granule(const struct places *places, uint64_t off)
{
	return places_mixed(places) ? places_find_granule(places, off) : places->granule_order;
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

/* Final where nobody requests these pages. */
static inline bool places_idle(const struct places *places, uint64_t off, unsigned order)
{
	struct spot spot = places_spot(places, off);
	return pgmap_check_idle(spot.pgmap, spot.pgoff, order) == 0;
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
