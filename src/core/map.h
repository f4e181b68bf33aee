/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * map.h - what a struct pgmap consists of, for the files of the core.
 *
 * Metadata is one reservation: the words of level 0, then of level 1, then of level 2 (claim.h), each level starting on
 * a page. A folio handle is the address of its word, so its pgmap is found from the address: reservations start on
 * multiples of MAP_SLOT_BYTES, and map_slots[] says for each slot of the address space whose it is, and where it ends. A second reservation
 * of the same shape, made when first needed, holds folio_private().
 *
 * A struct pgmap is never given back to the system, only to later pgmap_create() calls: the last uncount of a page may
 * look at the state word and the slots (live.h) after a drain has been satisfied by that very uncount, and the pgmap
 * destroyed. What it then sees is a state of some pgmap, and what it does at worst is a wake-up too many. For the same
 * reason generations go on counting over such a reuse.
 *
 * Lock order: split_lock (split.c), then charge_lock (charge.h). charge_lock is a leaf: nothing is taken or waited for
 * under it, no callback but that of pgmap_for_each_held runs, and all signals are blocked. A charge and the count in the
 * folio's word change together under it, so under it they agree.
 */
#ifndef PGMAP_CORE_MAP_H
#define PGMAP_CORE_MAP_H

#include <pgmap/folio.h>

#include "port/compiler.h"

#include "core/charge.h"
#include "core/claim.h"
#include "core/poison.h"

#define MAP_SLOT_SHIFT   30
#define MAP_SLOT_BYTES   (UINT64_C(1) << MAP_SLOT_SHIFT)
#define MAP_ADDRESS_BITS 48
#define MAP_SLOTS        (UINT64_C(1) << (MAP_ADDRESS_BITS - MAP_SLOT_SHIFT))
#define MAP_GRID_PAGES   (UINT64_C(1) << PGMAP_MAX_ORDER) /* ranges keep their offset modulo this (c1) */

struct map_range {
	uint64_t pgoff;
	uint64_t npages;
	uint64_t device_page;
};

/* What keeps requests (the first two) and puts (the others) from their short ways. */
enum map_special {
	SPECIAL_POISON = 1,  /* pages are poisoned */
	SPECIAL_TRACK = 2,   /* PGMAP_TRACK=1 */
	SPECIAL_OPS = 4,     /* the owner has callbacks */
	SPECIAL_HOLDERS = 8, /* there has been a holder */
	SPECIAL_PRIVATE = 16 /* there are private words */
};

struct pgmap {
	struct live live;
	/* One cache line: all that the short way of a request reads of a pgmap besides the state. */
	struct claim_tree tree;
	uint64_t first_pgoff; /* of ranges[0] */
	/* Base-order folios of a level may begin in so many pages from there on; 0: they go the long way. */
	_Atomic uint64_t short_ways[CLAIM_LEVELS];
	_Atomic uint32_t special; /* enum map_special */
	uint64_t nranges;
	enum pgmap_type type;
	bool on_demand; /* metadata has to be committed before it is written (port/reserve.h) */
	const struct pgmap_ops *ops;
	char *meta;
	size_t meta_bytes;
	size_t level_at[CLAIM_LEVELS]; /* byte offset of each level in meta */
	uint64_t end;
	_Atomic(char *) private_words;
	atomic_bool private_on_demand;
	struct map_range *ranges;
	void *owner;
	char *base;
	char name[32];
	struct charge_table charges;
	struct poison poison;
	pthread_mutex_t split_lock; /* one split at a time */
	struct pgmap *next_free;
};

struct map_slot {
	_Atomic(struct pgmap *) pgmap;
	_Atomic uintptr_t end; /* of its words */
};

extern struct map_slot map_slots[MAP_SLOTS];

static inline uint32_t map_is(const struct pgmap *pgmap, uint32_t special)
{
	return atomic_load_explicit(&pgmap->special, memory_order_relaxed) & special;
}

static inline void map_special(struct pgmap *pgmap, uint32_t special, bool on)
{
	if (on)
		atomic_fetch_or_explicit(&pgmap->special, special, memory_order_relaxed);
	else
		atomic_fetch_and_explicit(&pgmap->special, ~special, memory_order_relaxed);
}

/* Requests may go their short ways, or none may. One call at a time: when the pgmap is made, and under the lock of poison. */
void map_open_short_ways(struct pgmap *pgmap, bool open);

static inline word_t *map_word(const struct folio *folio)
{
	return (word_t *)(uintptr_t)folio;
}

static inline struct folio *map_folio(const word_t *word)
{
	return (struct folio *)(uintptr_t)word;
}

/* Null: no handle of any pgmap. */
static inline struct pgmap *map_of(const struct folio *folio)
{
	uintptr_t at = (uintptr_t)folio, slot = at >> MAP_SLOT_SHIFT;
	if (unlikely(slot >= MAP_SLOTS || at % sizeof(word_t) != 0))
		return NULL;
	/* One beside the other: nothing has to wait for a pointer to be followed. */
	uintptr_t end =
		atomic_load_explicit(&map_slots[slot].end, memory_order_acquire); /* pairs with map_register() */
	struct pgmap *pgmap = atomic_load_explicit(&map_slots[slot].pgmap, memory_order_relaxed);
	if (unlikely(at >= end))
		return NULL;
	assume(pgmap != NULL); /* it was there before the end, and stays */
	return pgmap;
}

/* Ends the program with the facts (c3.17). */
_Noreturn void map_abort(const struct folio *folio, const char *what, uint64_t word, const struct pgmap_holder *holder)
	__attribute__((cold, noinline));

/* The pgmap of a handle that somebody gave us. */
static inline struct pgmap *map_handle(const struct folio *folio, const char *what)
{
	struct pgmap *pgmap = map_of(folio);
	if (unlikely(!pgmap))
		map_abort(folio, what, 0, NULL);
	return pgmap;
}

/* The span lies within one range. */
static inline bool map_in_range(const struct map_range *r, uint64_t pgoff, uint64_t npages)
{
	return pgoff >= r->pgoff && npages <= r->npages && pgoff - r->pgoff <= r->npages - npages;
}

bool map_in_ranges(const struct pgmap *pgmap, uint64_t pgoff, uint64_t npages);

static inline bool map_contains(const struct pgmap *pgmap, uint64_t pgoff, uint64_t npages)
{
	return likely(map_in_range(&pgmap->ranges[0], pgoff, npages)) ||
	       (pgmap->nranges > 1 && map_in_ranges(pgmap, pgoff, npages));
}

static inline void map_locate(const struct pgmap *pgmap, const struct folio *folio, unsigned *level, uint64_t *index)
{
	size_t at = (size_t)((uintptr_t)folio - (uintptr_t)pgmap->meta);
	unsigned l = at < pgmap->level_at[1] ? 0 : at < pgmap->level_at[2] ? 1 : 2;
	*level = l;
	*index = claim_unplace(l, (at - pgmap->level_at[l]) / sizeof(word_t));
}

static inline uint64_t map_pgoff(const struct pgmap *pgmap, const struct folio *folio)
{
	unsigned level;
	uint64_t index;
	map_locate(pgmap, folio, &level, &index);
	return index << (level * CLAIM_LEVEL_BITS);
}

/* Wake who drains, after an uncount that found the pgmap dying, if that was the last. */
void map_wake_if_last(struct pgmap *pgmap) __attribute__((cold));

/* Uncount pages. Touches the pgmap only as the head of this file allows. */
static inline void map_uncount(struct pgmap *pgmap, unsigned slot, uint64_t npages)
{
	live_add(&pgmap->live, slot, -(int64_t)npages);
	if (unlikely(live_is_dying(&pgmap->live)))
		map_wake_if_last(pgmap);
}

/* The last of a folio's references has gone, and `word` is RELEASING: what the word was then. */
void map_release(struct pgmap *pgmap, word_t *word, uint64_t old, unsigned slot);

/* A reference that is charged to nobody, and that track.h knows nothing of. */
void map_put(struct pgmap *pgmap, word_t *word);

/* The end of that, also for pages that the owner had kept: they are idle, and uncounted. */
void map_finish_release(struct pgmap *pgmap, word_t *word, unsigned order, unsigned slot);

/* folio_private() of the next folio with this word is 0. */
void map_private_clear(struct pgmap *pgmap, const word_t *word);

#endif
