/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mc_special.c - private values and poison, as private.c and poison.c have them: what of them is read without a lock. copies.py
 * compares the steps with theirs.
 *
 * Checked (c3.19): a folio has no value when it is requested, whichever way the former one of its word went, and one that was
 * set stays until its folio goes; who finds the words knows whether they must be committed. (c3.5): no request that begins
 * when a poison of its pages has returned, as far as it can know, succeeds; by the short way neither.
 * The list of poisoned pages is a word here, written and read under its lock, relaxed: an order the lock must give.
 */
#include "mc_tree.h"

bool map_is(uint64_t special)
{
	return (uses_private || uses_poison) && (atomic_load_explicit(&g.special, memory_order_relaxed) & special) != 0;
}

static void map_special(uint64_t special, bool on)
{
	if (on)
		atomic_fetch_or_explicit(&g.special, special, memory_order_relaxed);
	else
		atomic_fetch_and_explicit(&g.special, ~special, memory_order_relaxed);
}

static _Atomic uint64_t *private_of(const word_t *word)
{
	uint64_t words = atomic_load_explicit(&g.private_words, memory_order_acquire);
	return words ? &g.values[word - &g.words[0][0]] : NULL;
}

/* map_private_clear() */
void private_clear(const word_t *word)
{
	if (!uses_private)
		return;
	_Atomic uint64_t *at = private_of(word);
	if (at && atomic_load_explicit(at, memory_order_relaxed) != 0)
		atomic_store_explicit(at, 0, memory_order_relaxed);
}

/* folio_private() */
static uint64_t folio_private(const word_t *word)
{
	_Atomic uint64_t *at = private_of(word);
	return at ? atomic_load_explicit(at, memory_order_relaxed) : 0;
}

void check_new_private(const word_t *word)
{
	if (uses_private && folio_private(word) != 0)
		fail("a new folio has a private value");
}

void check_valued(const word_t *word)
{
	if (folio_private(word) == 0)
		fail("a private value is gone while its folio is held");
}

void folio_set_private(word_t *word, uint64_t value)
{
	if (!private_of(word)) {
		uint64_t old = 0, words = 1;
		atomic_store_explicit(&g.private_on_demand, true, memory_order_relaxed);
		map_special(SPECIAL_PRIVATE, true);
		(void)atomic_compare_exchange_strong_explicit(&g.private_words, &old, words, memory_order_acq_rel,
							      memory_order_acquire);
	}
	_Atomic uint64_t *at = private_of(word);
	if (!atomic_load_explicit(&g.private_on_demand, memory_order_relaxed))
		fail("private words are used that must be committed, and nobody knows");
	atomic_store_explicit(at, value, memory_order_relaxed);
}

bool poison_covers(uint64_t span)
{
	lock(&g.poison_lock);
	bool covers = (atomic_load_explicit(&g.poison, memory_order_relaxed) & span) != 0;
	unlock(&g.poison_lock);
	return covers;
}

static void map_open_short_ways(bool open)
{
	atomic_store_explicit(&g.short_way, open ? 1 : 0, memory_order_relaxed);
}

/* change() of poison.c */
void tree_poison(uint64_t span, bool poisoned)
{
	if (poisoned)
		g.poisoning |= span;
	else
		g.poisoned &= ~span;
	for (unsigned t = 0; t < nthreads && !poisoned; t++)
		g.run[t].poisoned = 0;
	lock(&g.poison_lock);
	uint64_t pages = atomic_load_explicit(&g.poison, memory_order_relaxed);
	pages = poisoned ? pages | span : pages & ~span;
	atomic_store_explicit(&g.poison, pages, memory_order_relaxed);
	map_special(SPECIAL_POISON, pages != 0);
	map_open_short_ways(!map_is(SPECIAL_POISON));
	unlock(&g.poison_lock);
	if (poisoned) {
		g.poisoned |= span;
		plain_write(CELL_POISONED);
	}
}
