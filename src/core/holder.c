/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * holder.c - whom references are charged to, and what happens when one ends (c4, c7.5).
 *
 * Ending. Under the lock, every charge of the holder becomes nothing, or, where it had REMOTE pins, a mark, and the fence
 * bit is set in the folio's word: the holder has references on it, so it is HELD until they are put, which is next. What
 * was the last reference is released outside of the lock, as that runs the owner's folio_free. A folio whose last
 * reference goes while the bit is set becomes QUARANTINED (map_release).
 *
 * Fencing. The holder's marks go; the bit is cleared with the last mark on a folio, under the lock, as it was set. If the
 * folio is QUARANTINED by then, the exchange from QUARANTINED to RELEASING makes the release this caller's; if it is
 * RELEASING, the exchange that clears the bit and the one that would quarantine it are of one word: one of them fails,
 * and whoever put the last reference goes on with the release. Nobody waits.
 */
#include <pgmap/folio.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "port/slot.h"

#include "core/map.h"
#include "core/track.h"

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
	map_special(pgmap, SPECIAL_HOLDERS, true);
	charge_unlock(&pgmap->charges, &saved);
	*out = holder;
	return 0;
}

/* A folio whose last reference this was: what its word was then. */
struct released {
	word_t *word;
	uint64_t old;
};

enum { END_AT_ONCE = 256 };

/* With the lock held: all references of one charge go; the charge goes too, or stays as a mark in `marks`. True: they
 * were the last, and the release is the caller's. */
static bool end_charge(struct charge_table *table, struct charge *charge, struct charge_list *marks,
		       struct released *released)
{
	word_t *word = (word_t *)(uintptr_t)charge->word;
	uint64_t refs = charge->refs, pins = (uint64_t)charge->pins[FOLIO_PIN_LOCAL] + charge->pins[FOLIO_PIN_REMOTE];
	const struct pgmap_holder *holder = charge->holder;
	if (unlikely(map_is(holder->pgmap, SPECIAL_TRACK)))
		track_end(word, holder);
	if (charge->pins[FOLIO_PIN_REMOTE]) {
		(void)word_mark(word, WORD_FENCE);
		charge->refs = charge->pins[FOLIO_PIN_LOCAL] = charge->pins[FOLIO_PIN_REMOTE] = 0;
		charge->mark = true;
		LIST_REMOVE(charge, by_holder);
		LIST_INSERT_HEAD(marks, charge, by_holder);
	} else {
		charge_drop(table, charge);
	}
	uint64_t old = word_put(word, refs, pins);
	if (!word_put_ok(old, refs, pins))
		map_abort(map_folio(word), "end of a holder with more charges than references", old, holder);
	*released = (struct released){word, old};
	return word_put_last(old, refs);
}

static void free_holder(struct pgmap *pgmap, struct pgmap_holder *holder)
{
	sigset_t saved;
	charge_lock(&pgmap->charges, &saved);
	LIST_REMOVE(holder, all);
	charge_unlock(&pgmap->charges, &saved);
	free(holder);
}

/* All charges; the marks stand in the list again when it is done. */
static void end_charges(struct pgmap *pgmap, struct pgmap_holder *holder, sigset_t *saved)
{
	struct charge_list marks = LIST_HEAD_INITIALIZER(marks);
	struct released released[END_AT_ONCE];
	struct charge *charge;
	unsigned n, done;
	do {
		for (n = 0, done = 0; done < END_AT_ONCE && (charge = LIST_FIRST(&holder->charges)) != NULL; done++)
			n += end_charge(&pgmap->charges, charge, &marks, &released[n]);
		charge_unlock(&pgmap->charges, saved);
		for (unsigned i = 0; i < n; i++)
			map_release(pgmap, released[i].word, released[i].old, port_slot());
		charge_lock(&pgmap->charges, saved);
	} while (done == END_AT_ONCE);
	while ((charge = LIST_FIRST(&marks)) != NULL) {
		LIST_REMOVE(charge, by_holder);
		LIST_INSERT_HEAD(&holder->charges, charge, by_holder);
	}
}

PGMAP_PUBLIC int64_t pgmap_holder_end(struct pgmap_holder *holder)
{
	struct pgmap *pgmap = holder->pgmap;
	struct charge *charge;
	int64_t marked_pages = 0;
	sigset_t saved;
	charge_lock(&pgmap->charges, &saved);
	if (holder->state == HOLDER_ENDING) {
		charge_unlock(&pgmap->charges, &saved);
		return -EBUSY;
	}
	if (holder->state == HOLDER_ACTIVE) {
		holder->state = HOLDER_ENDING;
		end_charges(pgmap, holder, &saved);
		holder->state = HOLDER_ENDED;
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
		bool quarantined = !word_is_active(*old);
		uint64_t want =
			quarantined ? word_make(WORD_HELD, word_order(*old), 0) /* RELEASING */ : *old & ~WORD_FENCE;
		if (word_claim(word, old, want))
			return quarantined;
	}
}

PGMAP_PUBLIC int pgmap_holder_fence(struct pgmap_holder *holder)
{
	struct pgmap *pgmap = holder->pgmap;
	sigset_t saved;
	charge_lock(&pgmap->charges, &saved);
	bool ended = holder->state == HOLDER_ENDED;
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

/* The quarantined folio that covers pgoff, and what its word said. */
static word_t *find_quarantined(const struct claim_tree *tree, uint64_t pgoff, uint64_t *w)
{
	for (unsigned order = PGMAP_MAX_ORDER + 1; order-- > 0;) {
		unsigned level = claim_level(order), k = order % CLAIM_LEVEL_BITS;
		word_t *word = claim_word(tree, level, pgoff >> (level * CLAIM_LEVEL_BITS) >> k << k);
		*w = word_load(word);
		if (!word_is_active(*w) && word_state(*w) == WORD_QUARANTINED && word_order(*w) >= order)
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
	uint64_t w;
	word_t *word = find_quarantined(&pgmap->tree, pgoff, &w);
	if (!word)
		return -ENOENT;
	if (w & WORD_FENCE)
		return -EBUSY;
	/* Through RELEASING, so that only one can: then the same last steps as a release without folio_free. */
	if (!word_claim(word, &w, word_make(WORD_HELD, word_order(w), 0)))
		return -ENOENT;
	map_finish_release(pgmap, word, word_order(w), port_slot());
	return 0;
}
