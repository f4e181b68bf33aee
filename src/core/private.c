/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * private.c - folio_private (c3.19): 8 bytes of the owner's per folio, in a reservation of the shape of the words', made when
 * the first of a pgmap is set.
 */
#include <pgmap/folio.h>

#include <errno.h>

#include "port/reserve.h"

#include "core/map.h"

/* Where folio_private() of a word lies, or null while no folio of the pgmap has any. */
static inline _Atomic uint64_t *private_of(struct pgmap *pgmap, const word_t *word)
{
	char *words = atomic_load_explicit(&pgmap->private_words, memory_order_acquire);
	return words ? (_Atomic uint64_t *)(void *)(words + ((const char *)word - pgmap->meta)) : NULL;
}

void map_private_clear(struct pgmap *pgmap, const word_t *word)
{
	_Atomic uint64_t *at = private_of(pgmap, word);
	/* Read first: what was never set shall not cost a page. */
	if (at && atomic_load_explicit(at, memory_order_relaxed) != 0)
		atomic_store_explicit(at, 0, memory_order_relaxed);
}

PGMAP_PUBLIC uint64_t folio_private(const struct folio *folio)
{
	_Atomic uint64_t *at = private_of(map_handle(folio, "look"), map_word(folio));
	return at ? atomic_load_explicit(at, memory_order_relaxed) : 0;
}

PGMAP_PUBLIC int folio_set_private(struct folio *folio, uint64_t value)
{
	struct pgmap *pgmap = map_handle(folio, "set private");
	if (!private_of(pgmap, map_word(folio))) {
		bool on_demand;
		char *old = NULL, *words = port_reserve(pgmap->meta_bytes, PGMAP_PAGE_SIZE, &on_demand);
		if (!words)
			return -ENOMEM;
		/* Before the words can be seen: some of it has to be committed before it is written to. */
		if (on_demand)
			atomic_store_explicit(&pgmap->private_on_demand, true, memory_order_relaxed);
		/* So does this: whoever finds the words finds that puts have to clear them. */
		map_special(pgmap, SPECIAL_PRIVATE, true);
		if (!atomic_compare_exchange_strong_explicit(&pgmap->private_words, &old, words, memory_order_acq_rel,
							     memory_order_acquire))
			port_unreserve(words, pgmap->meta_bytes);
	}
	_Atomic uint64_t *at = private_of(pgmap, map_word(folio));
	if (atomic_load_explicit(&pgmap->private_on_demand, memory_order_relaxed)) {
		char *page = (char *)((uintptr_t)at & ~(uintptr_t)(PGMAP_PAGE_SIZE - 1));
		if (port_commit(page, PGMAP_PAGE_SIZE) != 0)
			return -ENOMEM;
	}
	atomic_store_explicit(at, value, memory_order_relaxed);
	return 0;
}
