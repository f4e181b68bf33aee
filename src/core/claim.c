/* SPDX-License-Identifier: BSD-3-Clause */
/* The algorithms that claim.h describes and proves; the numbers are its steps. */
#include "claim.h"

static int claim_open(struct claim_tree *tree, const struct live *live, unsigned level, uint64_t i, unsigned below_k);

/* What a word that is in the way means for a request that has nothing to keep. */
static inline int claim_blocked(uint64_t w)
{
	return word_is_firm(w) ? -EBUSY : CLAIM_AGAIN;
}

/* Step 1. */
static inline int claim_enter(struct claim_tree *tree, const struct live *live, unsigned level, unsigned k, uint64_t i)
{
	if (level == CLAIM_TOP)
		return 0;
	word_t *parent = claim_word(tree, level + 1, i >> CLAIM_LEVEL_BITS);
	uint64_t w = word_load(parent);
	for (;;) {
		if (w == word_make(WORD_CLOSED, 0, 0)) {
			int r = claim_open(tree, live, level + 1, i >> CLAIM_LEVEL_BITS, k);
			if (r)
				return r;
			w = word_load(parent);
			continue;
		}
		if (!word_is_open(w))
			return claim_blocked(w);
		if ((w & claim_mask_bit(k)) == claim_mask_bit(k) || word_claim(parent, &w, w | claim_mask_bit(k)))
			return 0;
	}
}

/* Step 3, and the mask for step 4. */
static inline int claim_confirm(const struct claim_tree *tree, const struct live *live, unsigned level, unsigned k,
				uint64_t i, uint64_t *mask)
{
	*mask = 0;
	if (level != CLAIM_TOP) {
		uint64_t w = word_load(claim_word(tree, level + 1, i >> CLAIM_LEVEL_BITS));
		if (!word_is_open(w) || (w & claim_mask_bit(k)) != claim_mask_bit(k))
			return CLAIM_AGAIN;
		*mask = w & WORD_LOW_MASK;
	}
	return live_admitted(live) ? 0 : -ENODEV;
}

/* Step 4, from the largest, as splits make heads smaller. */
static int claim_check_larger(const struct claim_tree *tree, unsigned level, unsigned k, uint64_t i, uint64_t mask)
{
	for (unsigned larger = CLAIM_LEVEL_BITS - 1; larger > k; larger--) {
		uint64_t head = i >> larger << larger;
		if (!(mask & claim_mask_bit(larger)) || head == i)
			continue;
		uint64_t w = word_load(claim_word(tree, level, head));
		if ((word_is_firm(w) || word_is_undecided(w)) && head + (UINT64_C(1) << claim_word_k(w, level)) > i)
			return claim_blocked(w);
	}
	return 0;
}

/* Step 5: wait until the words [from, to) of a level, and all below them, are CLOSED. */
static int claim_close_words(struct claim_tree *tree, unsigned level, uint64_t from, uint64_t to)
{
	for (uint64_t j = from; j < to; j++) {
		word_t *word = claim_word(tree, level, j);
		uint64_t w = word_load(word);
		while (w != word_make(WORD_CLOSED, 0, 0)) {
			if (word_is_firm(w))
				return -EBUSY;
			uint64_t mask = w & WORD_LOW_MASK;
			if (word_is_open(w) && level > 0 && word_claim(word, &w, word_make(WORD_CLOSING, 0, mask))) {
				int r = claim_close_words(tree, level - 1, j << CLAIM_LEVEL_BITS,
							  (j + 1) << CLAIM_LEVEL_BITS);
				word_store(word, r ? word_make(WORD_OPEN, 0, mask) : word_make(WORD_CLOSED, 0, 0));
				if (r)
					return r;
				break;
			}
			CLAIM_RELAX();
			w = word_load(word);
		}
	}
	return 0;
}

/* Step 2 over a word that is OPEN: CLOSING, and then all below it. */
static int claim_take_open(struct claim_tree *tree, unsigned level, unsigned order, uint64_t i, uint64_t w)
{
	word_t *word = claim_word(tree, level, i);
	uint64_t mask = w & WORD_LOW_MASK;
	if (!word_claim(word, &w, word_make(WORD_CLOSING, order, mask)))
		return CLAIM_AGAIN;
	int r = claim_close_words(tree, level - 1, i << CLAIM_LEVEL_BITS, (i + 1) << CLAIM_LEVEL_BITS);
	if (r)
		word_store(word, word_make(WORD_OPEN, 0, mask));
	return r;
}

/* Steps 3 to 5 by the claimer of word i. On an error the caller withdraws. */
static inline int claim_decide(struct claim_tree *tree, const struct live *live, unsigned level, unsigned k, uint64_t i)
{
	uint64_t mask, seen;
	int r = claim_confirm(tree, live, level, k, i, &mask);
	do {
		seen = mask;
		if (r == 0 && mask != 0)
			r = claim_check_larger(tree, level, k, i, mask);
		if (r == 0 && mask != 0)
			r = claim_confirm(tree, live, level, k, i, &mask);
	} while (r == 0 && (mask & ~seen) != 0);
	if (r == 0 && k != 0)
		r = claim_close_words(tree, level, i + 1, i + (UINT64_C(1) << k));
	return r;
}

/* Steps 1 to 5, once. 0: word i is undecided, and the caller's. CLAIM_AGAIN: somebody else's claim was met that is undecided.
 * CLAIM_OPENED, to who wants to open it: it was. */
static int claim_hold(struct claim_tree *tree, const struct live *live, unsigned level, unsigned k, uint64_t i,
		      bool opening)
{
	int r = claim_enter(tree, live, level, k, i);
	if (r)
		return r;
	word_t *word = claim_word(tree, level, i);
	unsigned order = level * CLAIM_LEVEL_BITS + k;
	uint64_t w = word_make(WORD_CLOSED, 0, 0);
	if (!word_claim(word, &w, word_make(WORD_CLAIM, order, 0))) {
		if (!word_is_open(w))
			return claim_blocked(w);
		r = opening ? CLAIM_OPENED : claim_take_open(tree, level, order, i, w);
		if (r)
			return r;
	}
	r = claim_decide(tree, live, level, k, i);
	if (r)
		word_store(word, word_make(WORD_CLOSED, 0, 0));
	return r;
}

/* Word i is OPEN, or was: by this very protocol. */
static int claim_open(struct claim_tree *tree, const struct live *live, unsigned level, uint64_t i, unsigned below_k)
{
	int r = claim_hold(tree, live, level, 0, i, true);
	if (r)
		return r == CLAIM_OPENED ? 0 : r;
	if (level == CLAIM_TOP && tree->commit)
		r = tree->commit(tree, i);
	word_store(claim_word(tree, level, i),
		   r ? word_make(WORD_CLOSED, 0, 0) : word_make(WORD_OPEN, 0, claim_mask_bit(below_k)));
	return r;
}

/*
 * The span [pgoff, pgoff + 2^order) becomes one folio with one reference: 0, -EBUSY, -ENODEV or -ENOMEM. The caller has
 * checked the arguments and counted the pages (live.h).
 */
int claim_request(struct claim_tree *tree, const struct live *live, uint64_t pgoff, unsigned order, word_t **out)
{
	unsigned level = claim_level(order), k = order % CLAIM_LEVEL_BITS;
	uint64_t i = pgoff >> (level * CLAIM_LEVEL_BITS);
	int r;
	while ((r = claim_hold(tree, live, level, k, i, false)) == CLAIM_AGAIN)
		CLAIM_RELAX();
	if (r)
		return r;
	*out = claim_word(tree, level, i);
	word_store(*out, word_make(WORD_HELD, order, WORD_REF)); /* step 6 */
	return 0;
}

/* Steps 1 to 5 for all folios of the span, once. On an error nothing is claimed any more. */
static int claim_hold_span(struct claim_tree *tree, const struct live *live, uint64_t pgoff, uint64_t end)
{
	uint64_t at = pgoff;
	int r = 0;
	while (at < end) {
		unsigned order = claim_fit(at, end - at), level = claim_level(order);
		r = claim_hold(tree, live, level, order % CLAIM_LEVEL_BITS, at >> (level * CLAIM_LEVEL_BITS), false);
		if (r)
			break;
		at += UINT64_C(1) << order;
	}
	while (r && pgoff < at) {
		unsigned order = claim_fit(pgoff, end - pgoff);
		word_store(claim_head(tree, pgoff, order), word_make(WORD_CLOSED, 0, 0));
		pgoff += UINT64_C(1) << order;
	}
	return r;
}

/* Step 6 for all of them. */
static void claim_publish_span(const struct claim_tree *tree, uint64_t pgoff, uint64_t end)
{
	while (pgoff < end) {
		unsigned order = claim_fit(pgoff, end - pgoff);
		word_store(claim_head(tree, pgoff, order), word_make(WORD_HELD, order, WORD_REF));
		pgoff += UINT64_C(1) << order;
	}
}

/*
 * The span [pgoff, pgoff + npages) becomes the fewest folios that cover it (claim_fit()), each with one reference, or none
 * does: as claim_request(). All are claimed before the first is HELD, and then they are in ascending order (claim.h, claim 6).
 */
int claim_request_span(struct claim_tree *tree, const struct live *live, uint64_t pgoff, uint64_t npages)
{
	int r;
	while ((r = claim_hold_span(tree, live, pgoff, pgoff + npages)) == CLAIM_AGAIN)
		CLAIM_RELAX();
	if (r == 0)
		claim_publish_span(tree, pgoff, pgoff + npages);
	return r;
}

/* One look at a level: the heads that could cover word i, from the largest. *below: look one level down. */
static int claim_lookup_level(const struct claim_tree *tree, unsigned level, uint64_t i, uint64_t mask, bool take,
			      word_t **out, uint64_t *below)
{
	for (unsigned k = CLAIM_LEVEL_BITS; k-- > 0;) {
		if (k && !(mask & claim_mask_bit(k)))
			continue;
		word_t *word = claim_word(tree, level, i >> k << k);
		unsigned order = level * CLAIM_LEVEL_BITS + k;
		uint64_t w = word_load(word);
		int r = take ? word_tryget(word, &w, order) : word_is_held(w) && word_order(w) >= order;
		if (r) {
			*out = word;
			return r;
		}
		*below = w; /* the last one is word i itself */
	}
	return 0;
}

/* Down the levels, once; as claim_lookup(), but what it takes may be a part of a split that is undecided. */
static int claim_find(const struct claim_tree *tree, uint64_t pgoff, bool take, word_t **out)
{
	uint64_t parent = 0, w = 0;
	for (unsigned level = CLAIM_LEVELS; level-- > 0;) {
		uint64_t i = pgoff >> (level * CLAIM_LEVEL_BITS), mask;
		do {
			mask = parent & WORD_LOW_MASK;
			int r = claim_lookup_level(tree, level, i, mask, take, out, &w);
			if (r)
				return r > 0 ? 0 : -EUSERS;
			if (level != CLAIM_TOP)
				parent = word_load(claim_word(tree, level + 1, i >> CLAIM_LEVEL_BITS));
		} while (!word_is_active(parent) && (parent & WORD_LOW_MASK & ~mask) != 0);
		if (word_is_active(w) || (word_state(w) != WORD_OPEN && word_state(w) != WORD_CLOSING))
			return -ENOENT;
		parent = w;
	}
	return -ENOENT;
}

/*
 * The held folio that covers pgoff: 0 with, if `take`, one more reference on it; -ENOENT; -EUSERS at WORD_MAX; CLAIM_AGAIN
 * with a reference that the caller shall put, and then look again. Never waits: it looks again only when somebody else
 * has got on: an exchange failed, or a split gave the parent a new bit, or was met before its decision (claim.h, claim 5).
 */
int claim_lookup(const struct claim_tree *tree, uint64_t pgoff, bool take, word_t **out)
{
	word_t *again;
	int r = claim_find(tree, pgoff, take, out);
	if (r != 0)
		return r;
	r = claim_find(tree, pgoff, false, &again);
	if (take)
		return r == 0 && again == *out ? 0 : CLAIM_AGAIN;
	if (r == 0)
		*out = again;
	return r;
}

/* Whether a word of these, or of any level below them, is firm. */
static bool claim_find_firm(const struct claim_tree *tree, unsigned level, uint64_t i, uint64_t end)
{
	bool found = false;
	for (; i < end && !found; i++) {
		uint64_t w = word_load(claim_word(tree, level, i));
		found = word_is_firm(w);
		if (level > 0 && (word_is_open(w) || word_state(w) == WORD_CLOSING))
			found = claim_find_firm(tree, level - 1, i << CLAIM_LEVEL_BITS, (i + 1) << CLAIM_LEVEL_BITS);
	}
	return found;
}

/*
 * What a request of this span would find, but nothing is written: false where a firm folio overlaps it. From the largest order
 * to the smallest, and so, by claim.h's claim 4, no folio is missed that is firm throughout, by whichever splits.
 */
bool claim_is_idle(const struct claim_tree *tree, uint64_t pgoff, unsigned order)
{
	for (unsigned level = CLAIM_TOP;; level--) {
		unsigned base = level * CLAIM_LEVEL_BITS, span = order > base ? order - base : 0;
		uint64_t i = pgoff >> base, w = 0;
		for (unsigned k = CLAIM_LEVEL_BITS; k-- > span;) {
			w = word_load(claim_word(tree, level, i >> k << k));
			if (word_is_firm(w) && word_order(w) >= base + k)
				return false;
		}
		if (order >= base)
			return !claim_find_firm(tree, level, i, i + (UINT64_C(1) << span));
		if (!word_is_open(w) && word_state(w) != WORD_CLOSING)
			return true;
	}
}

/* A word under a firm folio, which is CLOSED but for claims that are about to be withdrawn, gets a value. */
static void claim_install(word_t *word, uint64_t want)
{
	uint64_t old = word_make(WORD_CLOSED, 0, 0);
	while (!word_claim(word, &old, want)) {
		CLAIM_RELAX();
		old = word_make(WORD_CLOSED, 0, 0);
	}
}

/* New heads for the words [from, to) of a level, from the end to the beginning; OPEN words above them. */
static void claim_split_words(const struct claim_split *s, unsigned level, uint64_t from, uint64_t to)
{
	unsigned new_level = claim_level(s->new_order), k = s->new_order % CLAIM_LEVEL_BITS;
	uint64_t step = level == new_level ? UINT64_C(1) << k : 1;
	for (uint64_t j = from; j < to; j += step) {
		word_t *word = claim_word(s->tree, level, j);
		if (level == new_level) {
			claim_install(word, s->part);
			continue;
		}
		claim_split_words(s, level - 1, j << CLAIM_LEVEL_BITS, (j + 1) << CLAIM_LEVEL_BITS);
		claim_install(word, word_make(WORD_OPEN, 0, level == new_level + 1 ? claim_mask_bit(k) : 0));
	}
}

/* Back to CLOSED, when only what the split had put there is left: a lookup's reference and a request's mask bit or claim
 * are passing. */
static void claim_uninstall(word_t *word, uint64_t part)
{
	uint64_t w = part;
	while (!word_claim(word, &w, word_make(WORD_CLOSED, 0, 0))) {
		CLAIM_RELAX();
		w = word_load(word);
		if (!word_is_open(w) || word_is_active(part))
			w = part;
	}
}

/* The split did not come about. From above: what is below an OPEN word must be taken, what is below a CLOSED one not. */
static void claim_unsplit_words(const struct claim_split *s, unsigned level, uint64_t from, uint64_t to)
{
	unsigned new_level = claim_level(s->new_order), k = s->new_order % CLAIM_LEVEL_BITS;
	uint64_t step = level == new_level ? UINT64_C(1) << k : 1;
	for (uint64_t j = from; j < to; j += step) {
		word_t *word = claim_word(s->tree, level, j);
		if (level == new_level) {
			claim_uninstall(word, s->part);
			continue;
		}
		claim_uninstall(word, word_make(WORD_OPEN, 0, level == new_level + 1 ? claim_mask_bit(k) : 0));
		claim_unsplit_words(s, level - 1, j << CLAIM_LEVEL_BITS, (j + 1) << CLAIM_LEVEL_BITS);
	}
}

/* The parent of a folio that is held gets a mask bit; a closer that looks at it meanwhile will open it again. */
static void claim_set_mask(word_t *parent, unsigned k)
{
	uint64_t w = word_load(parent);
	while (!word_is_open(w) ||
	       ((w & claim_mask_bit(k)) != claim_mask_bit(k) && !word_claim(parent, &w, w | claim_mask_bit(k)))) {
		CLAIM_RELAX();
		w = word_load(parent);
	}
}

/* Calls fn for all words of the old folio that its parts need: below each other head of the old level, or of it. */
static void claim_split_all(const struct claim_split *s,
			    void (*fn)(const struct claim_split *s, unsigned level, uint64_t from, uint64_t to))
{
	unsigned level = claim_level(s->order), new_level = claim_level(s->new_order);
	uint64_t i = s->pgoff >> (level * CLAIM_LEVEL_BITS), end = i + (UINT64_C(1) << s->order % CLAIM_LEVEL_BITS);
	if (new_level == level) {
		fn(s, level, i + (UINT64_C(1) << s->new_order % CLAIM_LEVEL_BITS), end);
		return;
	}
	fn(s, level, i + 1, end);
	fn(s, level - 1, i << CLAIM_LEVEL_BITS, (i + 1) << CLAIM_LEVEL_BITS);
}

/*
 * Write the parts of the folio at pgoff, of whose word the caller has seen `held` and has a reference: parts of new_order,
 * with as many references each as `held` has. Waits for claims that are about to be withdrawn. 0 or -ENOMEM.
 */
int claim_split_begin(struct claim_split *s, struct claim_tree *tree, uint64_t pgoff, uint64_t held, unsigned new_order)
{
	unsigned level = claim_level(word_order(held)), new_level = claim_level(new_order);
	unsigned new_k = new_order % CLAIM_LEVEL_BITS;
	uint64_t i = pgoff >> (level * CLAIM_LEVEL_BITS), part = word_make(WORD_HELD, new_order, word_refs(held));
	*s = (struct claim_split){tree, pgoff, word_order(held), new_order, claim_word(tree, level, i), part, part};
	if (new_level < level) {
		s->head = word_make(WORD_OPEN, 0, level == new_level + 1 ? claim_mask_bit(new_k) : 0);
		if (level == CLAIM_TOP && tree->commit && tree->commit(tree, i) != 0)
			return -ENOMEM;
	} else if (level != CLAIM_TOP) {
		claim_set_mask(claim_word(tree, level + 1, i >> CLAIM_LEVEL_BITS), new_k);
	}
	claim_split_all(s, claim_split_words);
	return 0;
}

/* The head's word is `expect` still, all of whose references the caller has or answers for: the parts are folios now. */
bool claim_split_decide(const struct claim_split *s, uint64_t expect)
{
	return word_claim(s->word, &expect, s->head);
}

/* It is not to be: the caller still has its reference on the head. Waits for lookups' references to be put. */
void claim_split_cancel(const struct claim_split *s)
{
	claim_split_all(s, claim_unsplit_words);
}
