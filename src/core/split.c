/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * split.c - folio_split (c3.18): claim.h splits the word, here are the references' accounts.
 *
 * 1. A reference of the split's own: the old head stays HELD until the decision, whatever its holders do meanwhile.
 * 2. The parts are written (claim_split_begin), which may wait for requests that are about to withdraw; so it happens
 *    under no lock that a signal handler may want.
 * 3. Under the charge lock, where charges and counts agree: is every reference charged, or is there one that is not, and
 *    no pin; and has the word not changed? Then one exchange of it decides, dropping the split's own reference, and
 *    the charges move. Charges for the parts are provided before, so that nothing fails after it.
 * 4. If not, the parts are taken back, and the reference is put: like any, it may be the last, and run the owner's folio_free;
 *    so that happens under no lock.
 * One split of a pgmap at a time (split_lock): two of one folio would wait for each other's parts.
 */
#include <pgmap/folio.h>

#include <errno.h>

#include "core/map.h"
#include "core/track.h"

struct split {
	struct pgmap *pgmap;
	struct folio *folio;
	uint64_t pgoff;
	uint64_t held; /* the word, before our own reference */
	unsigned new_order;
	uint64_t nparts;
	struct claim_split words;
};

static word_t *part_word(const struct split *s, uint64_t i)
{
	unsigned level = claim_level(s->new_order);
	return claim_word(&s->pgmap->tree, level, (s->pgoff + (i << s->new_order)) >> (level * CLAIM_LEVEL_BITS));
}

static bool across_levels(const struct split *s)
{
	return claim_level(word_order(s->held)) != claim_level(s->new_order);
}

/* With the charge lock held: every reference is charged, or none is and there is but one; and no pin, and no mark. */
static int split_allowed(const struct split *s, uint64_t *ncharges)
{
	struct charge_table *table = &s->pgmap->charges;
	uint64_t charged = 0;
	*ncharges = 0;
	for (struct charge *c = charge_first(table, map_word(s->folio)); c; c = charge_next(table, c)) {
		charged += c->refs;
		++*ncharges;
	}
	if (word_pins(s->held) || (s->held & WORD_FENCE))
		return -EBUSY;
	return word_refs(s->held) == (*ncharges ? charged : 1) ? 0 : -EBUSY;
}

/* What the owner keeps at the handle, for the parts: they are tail pages still, and nobody looks. */
static int give_private(const struct split *s, uint64_t value)
{
	for (uint64_t i = 0; i < s->nparts; i++) {
		int r = part_word(s, i) == map_word(s->folio) ? 0
							      : folio_set_private(map_folio(part_word(s, i)), value);
		if (r)
			return r;
	}
	return 0;
}

static void take_private(const struct split *s)
{
	for (uint64_t i = 0; i < s->nparts; i++)
		if (part_word(s, i) != map_word(s->folio))
			map_private_clear(s->pgmap, part_word(s, i));
}

static void move_charges(const struct split *s, uint64_t tracked)
{
	struct charge_table *table = &s->pgmap->charges;
	const word_t *from = map_word(s->folio);
	for (struct charge *c = charge_first(table, from); c; c = charge_next(table, c))
		for (uint64_t i = 0; i < s->nparts; i++)
			if (part_word(s, i) != from)
				charge_make(table, part_word(s, i), c->holder)->refs = c->refs;
	for (uint64_t i = 0; i < s->nparts && unlikely(map_is(s->pgmap, SPECIAL_TRACK)); i++)
		if (part_word(s, i) != from)
			track_copy(from, part_word(s, i), tracked);
	if (!across_levels(s))
		return;
	if (unlikely(map_is(s->pgmap, SPECIAL_TRACK)))
		track_forget(from);
	/* The old handle is none of the parts': nothing of it stays for the next folio with this head. */
	struct charge *c;
	while ((c = charge_first(table, from)) != NULL)
		charge_drop(table, c);
	map_private_clear(s->pgmap, from);
}

/* Step 3. */
static int decide(struct split *s)
{
	uint64_t ncharges;
	sigset_t saved;
	charge_lock(&s->pgmap->charges, &saved);
	int r = split_allowed(s, &ncharges);
	if (r == 0)
		r = charge_provide(&s->pgmap->charges, ncharges * s->nparts);
	uint64_t tracked = track_number(); /* from the decision on a lookup may record a reference on the first part */
	if (r == 0 && !claim_split_decide(&s->words, s->held + WORD_REF))
		r = -EBUSY;
	if (r == 0)
		move_charges(s, tracked);
	charge_unlock(&s->pgmap->charges, &saved);
	return r;
}

/* Steps 2 to 4, with a reference of our own. */
static int split_held(struct split *s)
{
	uint64_t value = folio_private(s->folio);
	int r = value ? give_private(s, value) : 0;
	if (r == 0)
		r = claim_split_begin(&s->words, &s->pgmap->tree, s->pgoff, s->held, s->new_order);
	if (r == 0) {
		r = decide(s);
		if (r == 0)
			return 0;
		claim_split_cancel(&s->words);
	}
	if (value)
		take_private(s);
	return r;
}

/* A look before the work: most splits that cannot be are found out here. */
static int precheck(const struct split *s)
{
	uint64_t ncharges;
	sigset_t saved;
	charge_lock(&s->pgmap->charges, &saved);
	int r = split_allowed(s, &ncharges);
	charge_unlock(&s->pgmap->charges, &saved);
	return r;
}

/* *put: the split's own reference is left, for when the lock is gone: it may be the last. */
static int split_locked(struct split *s, bool *put)
{
	word_t *word = map_word(s->folio);
	*put = false;
	s->held = word_load(word);
	if (!word_is_held(s->held))
		return -EBUSY; /* the owner's, who came after the last holder's put */
	if (s->new_order >= word_order(s->held))
		return s->new_order == word_order(s->held) ? 0 : -EINVAL;
	s->nparts = UINT64_C(1) << (word_order(s->held) - s->new_order);
	int r = precheck(s);
	uint64_t w = s->held;
	if (r == 0 && !word_claim(word, &w, s->held + WORD_REF)) /* step 1 */
		r = -EBUSY;
	if (r)
		return r;
	r = split_held(s);
	*put = r != 0;
	return r;
}

PGMAP_PUBLIC int folio_split(struct folio *folio, unsigned new_order)
{
	struct pgmap *pgmap = folio_pgmap(folio);
	struct split s = {.pgmap = pgmap, .folio = folio, .new_order = new_order, .pgoff = map_pgoff(pgmap, folio)};
	bool put;
	pthread_mutex_lock(&pgmap->split_lock);
	int r = split_locked(&s, &put);
	pthread_mutex_unlock(&pgmap->split_lock);
	if (put)
		map_put(pgmap, map_word(folio));
	return r;
}
