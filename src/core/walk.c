/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * walk.c - what is held, and by whom (c2.12): down the words that are OPEN, so that the cost grows with what is held.
 */
#include <pgmap/pgmap.h>

#include <errno.h>

#include "core/map.h"

struct walk {
	struct pgmap *pgmap;
	int (*fn)(const struct pgmap_held *held, void *arg);
	void *arg;
	struct pgmap_stats *stats; /* or fn: a walk is for one of them */
};

static enum pgmap_held_state held_state(uint64_t w)
{
	return word_is_held(w) ? PGMAP_HELD : word_is_active(w) ? PGMAP_RELEASING : PGMAP_QUARANTINED;
}

static int count_folio(struct pgmap_stats *stats, uint64_t w)
{
	uint64_t npages = UINT64_C(1) << word_order(w);
	stats->folios[word_order(w)]++;
	if (!word_is_active(w)) {
		stats->pages_quarantined += npages;
		return 0;
	}
	*(word_is_held(w) ? &stats->pages_held : &stats->pages_releasing) += npages;
	stats->refs += word_refs(w);
	stats->pins += word_pins(w);
	return 0;
}

/* One folio: a call for each holder, and one for what is charged to nobody. */
static int walk_folio(const struct walk *walk, word_t *word, uint64_t w, uint64_t pgoff)
{
	struct charge_table *table = &walk->pgmap->charges;
	struct pgmap_held held = {.pgoff = pgoff, .order = word_order(w), .state = held_state(w)};
	if (word_is_active(w)) {
		held.refs = word_refs(w);
		held.pins = word_pins(w);
	}
	uint64_t charged = 0, calls = 0;
	for (struct charge *c = charge_first(table, word); c; c = charge_next(table, c))
		charged += c->refs;
	held.anon = held.refs > charged ? held.refs - charged : 0;
	for (struct charge *c = charge_first(table, word); c; c = charge_next(table, c), calls++) {
		held.holder = c->holder->name;
		held.charge = (struct pgmap_charge){c->refs, c->pins[0], c->pins[1], UINT64_C(1) << held.order};
		int r = walk->fn(&held, walk->arg);
		if (r)
			return r;
	}
	if (held.anon == 0 && calls > 0)
		return 0;
	held.holder = NULL;
	held.charge = (struct pgmap_charge){.refs = held.anon, .pages = UINT64_C(1) << held.order};
	return walk->fn(&held, walk->arg);
}

static int walk_block(const struct walk *walk, unsigned level, uint64_t parent);

/* Word i, and all below it. *next: the first word behind its folio, for in a tail the parts of an undecided split may stand. */
static int walk_word(const struct walk *walk, unsigned level, uint64_t i, uint64_t *next)
{
	word_t *word = claim_word(&walk->pgmap->tree, level, i);
	uint64_t w = word_load(word);
	*next = i + 1;
	if (word_is_firm(w)) {
		*next = i + (UINT64_C(1) << claim_word_k(w, level));
		return walk->stats ? count_folio(walk->stats, w)
				   : walk_folio(walk, word, w, i << (level * CLAIM_LEVEL_BITS));
	}
	if (level > 0 && (word_is_open(w) || word_state(w) == WORD_CLOSING))
		return walk_block(walk, level - 1, i);
	return 0;
}

/* The words under one parent, most of which are CLOSED (0): first a quick look for lines that have others, in the order of
 * memory, then those in the order of pages. A word that leaves CLOSED after the look has been seen before that change. */
static int walk_block(const struct walk *walk, unsigned level, uint64_t parent)
{
	const word_t *words = walk->pgmap->tree.words[level] + parent * CLAIM_BLOCK;
	uint64_t used[CLAIM_BLOCK / 64] = {0};
	for (uint64_t place = 0; place < CLAIM_BLOCK; place += 8) {
		uint64_t any = 0;
		for (uint64_t j = place; j < place + 8; j++)
			any |= atomic_load_explicit(&words[j], memory_order_relaxed);
		for (uint64_t j = place; any != word_make(WORD_CLOSED, 0, 0) && j < place + 8; j++) {
			uint64_t i = claim_unplace(level, j);
			used[i / 64] |= UINT64_C(1) << (i % 64);
		}
	}
	int r = 0;
	for (uint64_t i = 0; i < CLAIM_BLOCK && r == 0;) {
		uint64_t left = used[i / 64] >> (i % 64), next;
		if (left == 0) {
			i = (i | 63) + 1;
			continue;
		}
		i += (uint64_t)__builtin_ctzll(left);
		r = walk_word(walk, level, parent * CLAIM_BLOCK + i, &next);
		i = next - parent * CLAIM_BLOCK;
	}
	return r;
}

/* From the top, under the charge lock: no folio is split meanwhile, and its holders are what its count says. */
static int walk_all(const struct walk *walk)
{
	struct pgmap *pgmap = walk->pgmap;
	uint64_t top = (pgmap->end + MAP_GRID_PAGES - 1) / MAP_GRID_PAGES;
	sigset_t saved;
	charge_lock(&pgmap->charges, &saved);
	int r = 0;
	for (uint64_t i = 0; i < top && r == 0;)
		r = walk_word(walk, CLAIM_TOP, i, &i);
	charge_unlock(&pgmap->charges, &saved);
	return r;
}

PGMAP_PUBLIC int pgmap_for_each_held(struct pgmap *pgmap, int (*fn)(const struct pgmap_held *held, void *arg),
				     void *arg)
{
	if (!pgmap || !fn)
		return -EINVAL;
	struct walk walk = {.pgmap = pgmap, .fn = fn, .arg = arg};
	return walk_all(&walk);
}

PGMAP_PUBLIC int pgmap_stats(struct pgmap *pgmap, struct pgmap_stats *out)
{
	if (!pgmap || !out)
		return -EINVAL;
	struct pgmap_stats stats = {.pages_poisoned = poison_pages(&pgmap->poison)};
	struct walk walk = {.pgmap = pgmap, .stats = &stats};
	(void)walk_all(&walk); /* counting never ends a walk */
	*out = stats;
	return 0;
}
