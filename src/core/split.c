/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * split.c - folio_split (c3.18): claim.h splits the word, here are the references' accounts.
 *
 * The lock keeps all charges as they are. References charged to nobody can come and go meanwhile, and so can a lookup's:
 * the exchange of the head's word (claim_split) fails then, and nothing has changed. Charges for the parts are
 * provided before, so that nothing can fail after it.
 */
#include <pgmap/folio.h>

#include <errno.h>

#include "core/map.h"

struct split {
	struct pgmap *pgmap;
	struct folio *folio;
	uint64_t pgoff;
	uint64_t word;
	unsigned new_order;
	uint64_t nparts;
	uint64_t ncharges;
};

static word_t *part_word(const struct split *s, uint64_t i)
{
	unsigned level = claim_level(s->new_order);
	return claim_word(&s->pgmap->tree, level, (s->pgoff + (i << s->new_order)) >> (level * CLAIM_LEVEL_BITS));
}

/* Every reference is charged, or none is and there is but one. */
static int split_check(struct split *s)
{
	struct charge_table *table = &s->pgmap->charges;
	uint64_t charged = 0;
	for (struct charge *c = charge_first(table, map_word(s->folio)); c; c = charge_next(table, c)) {
		charged += c->refs;
		s->ncharges++;
	}
	if (word_pins(s->word) || (s->word & WORD_FENCE))
		return -EBUSY;
	return word_refs(s->word) == (s->ncharges ? charged : 1) ? 0 : -EBUSY;
}

/* All that could fail later: charges, and the pages of folio_private(). */
static int split_provide(const struct split *s)
{
	int r = charge_provide(&s->pgmap->charges, s->ncharges * s->nparts);
	uint64_t value = folio_private(s->folio);
	for (uint64_t i = 0; r == 0 && value && i < s->nparts; i++)
		r = folio_set_private(map_folio(part_word(s, i)), value);
	if (r && value)
		for (uint64_t i = 0; i < s->nparts; i++)
			if (part_word(s, i) != map_word(s->folio))
				(void)folio_set_private(map_folio(part_word(s, i)), 0);
	return r;
}

static void split_undo(const struct split *s)
{
	if (folio_private(s->folio) == 0)
		return;
	for (uint64_t i = 0; i < s->nparts; i++)
		if (part_word(s, i) != map_word(s->folio))
			(void)folio_set_private(map_folio(part_word(s, i)), 0); /* its page is there: provided */
}

static void split_charges(const struct split *s)
{
	struct charge_table *table = &s->pgmap->charges;
	const word_t *from = map_word(s->folio);
	for (struct charge *c = charge_first(table, from); c; c = charge_next(table, c))
		for (uint64_t i = 0; i < s->nparts; i++)
			if (part_word(s, i) != from)
				charge_make(table, part_word(s, i), c->holder)->refs = c->refs;
	if (claim_level(word_order(s->word)) == claim_level(s->new_order))
		return;
	/* The old handle is none of the parts': nothing of it stays for the next folio with this head. */
	struct charge *c;
	while ((c = charge_first(table, from)) != NULL)
		charge_drop(table, c);
	map_private_clear(s->pgmap, from);
}

static int split_locked(struct split *s)
{
	int r = split_check(s);
	if (r == 0)
		r = split_provide(s);
	if (r)
		return r;
	r = claim_split(&s->pgmap->tree, s->pgoff, s->word, s->new_order);
	if (r)
		split_undo(s);
	else
		split_charges(s);
	return r;
}

PGMAP_PUBLIC int folio_split(struct folio *folio, unsigned new_order)
{
	struct pgmap *pgmap = folio_pgmap(folio);
	struct split s = {.pgmap = pgmap,
			  .folio = folio,
			  .new_order = new_order,
			  .pgoff = map_pgoff(pgmap, folio),
			  .word = word_load(map_word(folio))};
	if (!word_is_held(s.word))
		map_abort(folio, "split without a reference", s.word, NULL);
	if (new_order > word_order(s.word))
		return -EINVAL;
	if (new_order == word_order(s.word))
		return 0;
	s.nparts = UINT64_C(1) << (word_order(s.word) - new_order);
	sigset_t saved;
	charge_lock(&pgmap->charges, &saved);
	int r = split_locked(&s);
	charge_unlock(&pgmap->charges, &saved);
	return r;
}
