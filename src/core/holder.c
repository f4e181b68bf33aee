/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * holder.c - whom references are charged to, and what happens when one ends (c4, c7.5).
 *
 * Ending. Under the lock, every charge of the holder becomes nothing, or, where it had REMOTE pins, a mark, and the fence
 * bit is set in the folio's word: the holder has references on it, so it is HELD and stays so until we put them. The
 * references are put outside of the lock, as the last put runs the owner's folio_free. A folio whose last reference goes
 * while the bit is set becomes QUARANTINED (map_release).
 *
 * Fencing. The holder's marks go; the bit is cleared with the last mark on a folio, under the lock, as it was set. If the
 * folio is QUARANTINED by then, the exchange from QUARANTINED to RELEASING decides who runs the release: only one can.
 */
#include <pgmap/folio.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "port/slot.h"

#include "core/map.h"

PGMAP_PUBLIC int pgmap_holder_create(struct pgmap *pgmap, const char *name, struct pgmap_holder **out)
{
	if (!pgmap || !name || !out)
		return -EINVAL;
	struct pgmap_holder *holder = calloc(1, sizeof(*holder));
	if (!holder)
		return -ENOMEM;
	holder->pgmap = pgmap;
	LIST_INIT(&holder->charges);
	memcpy(holder->name, name, strnlen(name, sizeof(holder->name) - 1));
	sigset_t saved;
	charge_lock(&pgmap->charges, &saved);
	LIST_INSERT_HEAD(&pgmap->charges.holders, holder, all);
	charge_unlock(&pgmap->charges, &saved);
	*out = holder;
	return 0;
}

/* What one charge held, out of the account and not yet put. */
struct taken {
	word_t *word;
	uint64_t refs;
	uint64_t pins;
};

enum { TAKE_AT_ONCE = 256 };

/* Takes all references of one charge out of the account; the charge goes, or stays as a mark in `marks`. */
static struct taken take_charge(struct charge_table *table, struct charge *charge, struct charge_list *marks)
{
	uint64_t pins = (uint64_t)charge->pins[FOLIO_PIN_LOCAL] + charge->pins[FOLIO_PIN_REMOTE];
	struct taken taken = {(word_t *)(uintptr_t)charge->word, charge->refs, pins};
	if (charge->pins[FOLIO_PIN_REMOTE]) {
		(void)word_mark(taken.word, WORD_FENCE);
		charge->refs = charge->pins[FOLIO_PIN_LOCAL] = charge->pins[FOLIO_PIN_REMOTE] = 0;
		charge->mark = true;
		LIST_REMOVE(charge, by_holder);
		LIST_INSERT_HEAD(marks, charge, by_holder);
	} else {
		charge_drop(table, charge);
	}
	return taken;
}

static void put_taken(struct pgmap *pgmap, const struct taken *taken, const struct pgmap_holder *holder)
{
	uint64_t old = word_put(taken->word, taken->refs, taken->pins);
	if (!word_put_ok(old, taken->refs, taken->pins))
		map_abort(map_folio(taken->word), "end of a holder with more charges than references", old, holder);
	if (word_put_last(old, taken->refs))
		map_release(pgmap, taken->word, old, port_slot());
}

static void free_holder(struct pgmap *pgmap, struct pgmap_holder *holder)
{
	sigset_t saved;
	charge_lock(&pgmap->charges, &saved);
	LIST_REMOVE(holder, all);
	charge_unlock(&pgmap->charges, &saved);
	free(holder);
}

PGMAP_PUBLIC int64_t pgmap_holder_end(struct pgmap_holder *holder)
{
	struct pgmap *pgmap = holder->pgmap;
	struct charge_list marks = LIST_HEAD_INITIALIZER(marks);
	struct taken taken[TAKE_AT_ONCE];
	struct charge *charge;
	int64_t marked_pages = 0;
	unsigned n;
	sigset_t saved;
	charge_lock(&pgmap->charges, &saved);
	bool again = holder->ended; /* then only marks are left */
	holder->ended = true;
	do {
		for (n = 0; !again && n < TAKE_AT_ONCE && (charge = LIST_FIRST(&holder->charges)) != NULL; n++)
			taken[n] = take_charge(&pgmap->charges, charge, &marks);
		charge_unlock(&pgmap->charges, &saved);
		for (unsigned i = 0; i < n; i++)
			put_taken(pgmap, &taken[i], holder);
		charge_lock(&pgmap->charges, &saved);
	} while (n == TAKE_AT_ONCE);
	while ((charge = LIST_FIRST(&marks)) != NULL) {
		LIST_REMOVE(charge, by_holder);
		LIST_INSERT_HEAD(&holder->charges, charge, by_holder);
	}
	LIST_FOREACH (charge, &holder->charges, by_holder)
		marked_pages += INT64_C(1) << word_order(word_load(charge->word));
	charge_unlock(&pgmap->charges, &saved);
	if (marked_pages == 0)
		free_holder(pgmap, holder);
	return marked_pages;
}

static bool has_mark(struct charge_table *table, const word_t *word)
{
	for (struct charge *c = charge_first(table, word); c; c = charge_next(table, c))
		if (c->mark)
			return true;
	return false;
}

/* With the lock held, no mark being left on the folio. True: it was QUARANTINED, and its release is the caller's. */
static bool unfence(word_t *word, uint64_t *old)
{
	*old = word_load(word);
	for (;;) {
		if (word_is_held(*old)) {
			if (word_claim(word, old, *old & ~WORD_FENCE))
				return false;
		} else if (word_state(*old) == WORD_QUARANTINED) {
			if (word_claim(word, old, word_make(WORD_HELD, word_order(*old), 0))) /* RELEASING */
				return true;
		} else {
			CLAIM_RELAX(); /* its last put has seen the bit, and is about to quarantine it */
			*old = word_load(word);
		}
	}
}

PGMAP_PUBLIC int pgmap_holder_fence(struct pgmap_holder *holder)
{
	struct pgmap *pgmap = holder->pgmap;
	sigset_t saved;
	charge_lock(&pgmap->charges, &saved);
	bool ended = holder->ended;
	struct charge *charge;
	while (ended && (charge = LIST_FIRST(&holder->charges)) != NULL) {
		word_t *word = (word_t *)(uintptr_t)charge->word;
		uint64_t old;
		charge_drop(&pgmap->charges, charge);
		if (has_mark(&pgmap->charges, word) || !unfence(word, &old))
			continue;
		charge_unlock(&pgmap->charges, &saved);
		map_release(pgmap, word, old & ~WORD_FENCE, port_slot());
		charge_lock(&pgmap->charges, &saved);
	}
	charge_unlock(&pgmap->charges, &saved);
	if (!ended)
		return -EBUSY;
	free_holder(pgmap, holder);
	return 0;
}

PGMAP_PUBLIC const char *pgmap_holder_name(const struct pgmap_holder *holder)
{
	return holder->name;
}

PGMAP_PUBLIC void pgmap_holder_charge(const struct pgmap_holder *holder, struct pgmap_charge *out)
{
	struct pgmap_charge sum = {0};
	sigset_t saved;
	charge_lock(&holder->pgmap->charges, &saved);
	struct charge *charge;
	LIST_FOREACH (charge, &holder->charges, by_holder) {
		sum.refs += charge->refs;
		sum.pins_local += charge->pins[FOLIO_PIN_LOCAL];
		sum.pins_remote += charge->pins[FOLIO_PIN_REMOTE];
		sum.pages += UINT64_C(1) << word_order(word_load(charge->word));
	}
	charge_unlock(&holder->pgmap->charges, &saved);
	*out = sum;
}

/* The quarantined folio that covers pgoff. */
static word_t *find_quarantined(const struct claim_tree *tree, uint64_t pgoff)
{
	for (unsigned order = PGMAP_MAX_ORDER + 1; order-- > 0;) {
		unsigned level = claim_level(order), k = order % CLAIM_LEVEL_BITS;
		word_t *word = claim_word(tree, level, pgoff >> (level * CLAIM_LEVEL_BITS) >> k << k);
		uint64_t w = word_load(word);
		if (!word_is_active(w) && word_state(w) == WORD_QUARANTINED && word_order(w) >= order)
			return word;
	}
	return NULL;
}

PGMAP_PUBLIC int pgmap_release_quarantined(struct pgmap *pgmap, uint64_t pgoff)
{
	if (!pgmap)
		return -EINVAL;
	if (!map_contains(pgmap, pgoff, 1))
		return -ERANGE;
	word_t *word = find_quarantined(&pgmap->tree, pgoff);
	if (!word)
		return -ENOENT;
	uint64_t w = word_load(word);
	if (!word_is_active(w) && (w & WORD_FENCE))
		return -EBUSY;
	/* Through RELEASING, so that only one can: then the same last steps as a release without folio_free. */
	if (word_is_active(w) || word_state(w) != WORD_QUARANTINED ||
	    !word_claim(word, &w, word_make(WORD_HELD, word_order(w), 0)))
		return -ENOENT;
	map_finish_release(pgmap, word, word_order(w), port_slot());
	return 0;
}
