/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * claim.h - exact claims of naturally aligned spans of every order: request, lookup and split over three arrays of words.
 *
 * Shape. Level 0 has a word per page, level 1 a word per 2^9 pages, level 2 a word per 2^18. Level l holds the folios of
 * orders 9l to 9l + 8 (level 2: only 18): a folio's one word is its head's, in its level's array; words of its tail
 * pages stay CLOSED and are never written. The parent of word i of level l is word i >> 9 of level l + 1. A word of
 * level 1 or 2 is OPEN while smaller folios below it may be in use, and its mask says of which orders above the level's
 * base: so a small request looks only at heads where a bigger folio can be. k is an order within its level.
 *
 * Request of (level, k) at word h with parent P, by the numbers that the code carries:
 *   1. P must be OPEN, with bit k in its mask when k > 0. Firm: -EBUSY. Undecided: again. CLOSED: open it, by this very
 *      protocol one level up.
 *   2. h: exchange CLOSED for CLAIM, or OPEN for CLOSING and then close what is below (5.). Firm: -EBUSY.
 *      Undecided: again.
 *   3. P again: no longer OPEN, or without bit k: withdraw, again. Dying: withdraw, -ENODEV.
 *   4. Heads of larger k, by P's mask, from the largest, that cover h. Firm: withdraw, -EBUSY. Undecided: withdraw, again. Then 3. once more:
 *      a new bit in the mask: 4. again.
 *   5. The other words of the span (and, of an OPEN one, all below): firm: withdraw, -EBUSY. Undecided: wait, keeping the
 *      claim. OPEN: close it.
 *   6. Store HELD with one reference (or OPEN, when opening).
 * Withdrawing is a store of what is true of the word then: CLOSED, or OPEN with its mask again.
 *
 * Claim 1: no two overlapping requests both succeed. All loads and exchanges of 1 to 5 are sequentially consistent; let S
 * be their one order.
 *   Same head: 2 is an exchange of one word; it succeeds for one of them, and the word is firm or undecided until
 *   withdrawn or released.
 *   Same level, head h1 (small) inside the span of h2 (large, k2): small does X1 = exchange h1, then loads P, then loads
 *   h2 if P has bit k2. Large sets bit k2, does X2 = exchange h2, then (3.) loads P and finds the bit, then loads h1. If
 *   X1 is before large's load of h1 in S, large sees the claim or what became of it. Otherwise that load, and so X2
 *   and the setting of the bit, are before X1, and so before small's loads of P and h2: small sees the bit (it cannot
 *   have gone since: P leaves OPEN only to close, and then 5. finds h2 not CLOSED and P opens with the same mask) and
 *   sees X2 or what became of it.
 *   Different levels: the larger takes the ancestor A of h1 from OPEN to CLOSING, or from CLOSED to CLAIM, or has a head
 *   that covers A. In the last case A is in the larger's span: it stands for A in the argument above, as step 5 closes A
 *   itself, and the opening of A is a request at A's level. In the first: X1, then small loads A (3.); large exchanges
 *   A, then loads h1 (5.). Whichever exchange is first in S is seen by the other's load. In the second, A was CLOSED
 *   between X1 and 3. or small does not pass 3.; it was CLOSED only by a 5. that saw h1 CLOSED after A had left OPEN.
 *   Two levels apart: by way of the word between: it must be OPEN for the smaller to pass 3., and 5. closes it first.
 *   A split makes heads without looking at the words of their spans. Where it makes them at the old head's level, small
 *   may have read the old head after it shrank: then the new ones are there, and step 4 comes to them later. It may have
 *   read P before the new bit: the bit was set before the head shrank, so small's second look at P finds it. Where it makes them below, small is a request of the old head's level, on a word that the split
 *   waits for (claim_install) before it shrinks the head, or enters by a word that the split opens after all heads.
 * Claim 2: every -EBUSY has seen a firm word whose folio overlaps the span, while the request ran (1, 2, 4, 5).
 * Claim 3: nobody waits in a circle. Who waits in 5. holds a claim and waits only for words inside of its own span:
 * strictly smaller claims. Such a claim either has passed its own 3. and 4., and then waits, if at all, for words inside
 * of its span, smaller still; or has not, and then finds our claim there and withdraws. All other waits ("again") hold no
 * claim. Splits wait (claim_install) for claims under a firm folio, which withdraw in 4. or 3.
 * Claim 4: a lookup misses no folio that is held throughout, by whichever splits: it looks from the largest order to
 * the smallest, and a split writes the new heads before it shrinks the old one (both in modification order of what the
 * lookup acquires), and sets the parent's bit before both: the lookup reads the mask again when it has found nothing.
 * It looks below words that are CLOSING as well as OPEN: whether they close is undecided.
 *
 * Claim 5: a split that fails loses no reference. The splitter has a reference of its own throughout, so the old head stays
 * HELD, and covers its parts, until the decision. Its parts stand in their words, HELD, before the exchange of the head
 * decides; a lookup whose mask was read before the head's bit was set can meet such a part, and take a reference. So a
 * lookup that has taken one looks again from above: the head's bit and word were there before the part, and it finds the
 * head if the split is undecided. It then puts that reference, like any other (the split may be decided, and everybody
 * else gone, by then), and looks once more. If it finds the part, the split was decided for it, or the part is no part.
 * A split that fails takes its parts back by exchanging just what it had put there, and waits for such references to be
 * put. From above to below: what lies below a word that is OPEN must be firm or claimable, so that word closes first.
 *
 * Claim 6: a request of several folios is one decision, and waits in no circle. It claims them in ascending order, keeps what
 * it has claimed while it goes on, and stores HELD (in ascending order) only when it has all: a lookup sees none before, and
 * so nobody has a reference on one that is withdrawn. To each other request it is a set of undecided claims, which Claim 1
 * covers one by one. "Again" means to withdraw all and begin anew: so it waits, like others, only in 5., for smaller claims
 * inside of the span of the folio that it is at. Follow who waits for whom: a claim that somebody waits for in 5. belongs
 * to a request that is at this very claim, or at a later one. So along the chain the beginning of the folio that each is at
 * never falls, and where it stays the same, the folio is strictly smaller: no circle. And somebody gets on: the
 * claim that makes a request withdraw is on the head of the folio that it is at, or covers it; so of several, the one whose
 * folio ends last, and is the largest of these, meets none.
 *
 * Stores of 6. and of withdrawals are releases, and pair with the loads and exchanges of 1 to 5 and of the lookup.
 * The proof leans on no order between them and later loads of the same thread.
 *
 * Nothing but the C11 standard headers, so that a model checker can run this very code; CLAIM_LEVEL_BITS and CLAIM_LEVELS
 * can be made small for it. CLAIM_RELAX() is what a waiting thread does between two looks: nothing, or a checker's yield, or what
 * port/barrier.h says.
 */
#ifndef PGMAP_CORE_CLAIM_H
#define PGMAP_CORE_CLAIM_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "live.h"
#include "word.h"

#ifndef CLAIM_LEVEL_BITS
#define CLAIM_LEVEL_BITS 9
#endif
#ifndef CLAIM_LEVELS
#define CLAIM_LEVELS 3
#endif
#ifndef CLAIM_RELAX
#define CLAIM_RELAX() ((void)0)
#endif

#define CLAIM_TOP       (CLAIM_LEVELS - 1)
#define CLAIM_BLOCK     (UINT64_C(1) << CLAIM_LEVEL_BITS) /* words of a level under one word of the next */
#define CLAIM_MAX_ORDER (CLAIM_TOP * CLAIM_LEVEL_BITS)

enum { CLAIM_AGAIN = 1, CLAIM_OPENED = 2 };

struct claim_tree {
	word_t *words[CLAIM_LEVELS];
	/* Memory for all words under this word of the top level, before it is first opened; 0 or -ENOMEM. Null: it is
	 * there. Called with that word claimed. */
	int (*commit)(struct claim_tree *tree, uint64_t top_index);
};

static inline unsigned claim_level(unsigned order)
{
	return order / CLAIM_LEVEL_BITS;
}

/* Where word i of a level lies. Level 0 is swizzled within each block, so that neighbouring pages of the device do not
 * share a cache line: the low bits of the index choose the line, the high bits the word in it. */
static inline uint64_t claim_place(unsigned level, uint64_t i)
{
#if CLAIM_LEVEL_BITS == 9
	if (level == 0)
		return (i & ~(CLAIM_BLOCK - 1)) | (i & 63) << 3 | ((i >> 6) & 7);
#else
	(void)level;
#endif
	return i;
}

static inline uint64_t claim_unplace(unsigned level, uint64_t place)
{
#if CLAIM_LEVEL_BITS == 9
	if (level == 0)
		return (place & ~(CLAIM_BLOCK - 1)) | (place & 7) << 6 | ((place >> 3) & 63);
#else
	(void)level;
#endif
	return place;
}

static inline word_t *claim_word(const struct claim_tree *tree, unsigned level, uint64_t i)
{
	return &tree->words[level][claim_place(level, i)];
}

/* The head of a folio of this order. */
static inline word_t *claim_head(const struct claim_tree *tree, uint64_t pgoff, unsigned order)
{
	return claim_word(tree, claim_level(order), pgoff >> (claim_level(order) * CLAIM_LEVEL_BITS));
}

/* The order of the first of the fewest folios that cover [pgoff, pgoff + npages) exactly: the largest that begins there and
 * fits. (Any cover has a folio boundary at each multiple of a power of two that no larger aligned folio can cross.) */
static inline unsigned claim_fit(uint64_t pgoff, uint64_t npages)
{
	unsigned order = 0;
	while (order < CLAIM_MAX_ORDER && !(pgoff & (UINT64_C(1) << order)) && npages >> (order + 1) != 0)
		order++;
	return order;
}

static inline uint64_t claim_mask_bit(unsigned k)
{
	return k ? UINT64_C(1) << k : 0;
}

/* The order of the folio or claim at a word, within its level; 0 for words that stand for themselves alone. */
static inline unsigned claim_word_k(uint64_t w, unsigned level)
{
	unsigned order = word_order(w);
	return order > level * CLAIM_LEVEL_BITS ? order - level * CLAIM_LEVEL_BITS : 0;
}

/*
 * The usual request in a few instructions: of a level's base order, in a block that is open and has seen no larger ones,
 * so that steps 4 and 5 have nothing to do. False: it has left no trace, and claim_request() shall find out.
 */
static inline bool claim_request_base(const struct claim_tree *tree, const struct live *live, unsigned level,
				      uint64_t i, uint64_t held, word_t **out)
{
	const word_t *parent = level == CLAIM_TOP ? NULL : claim_word(tree, level + 1, i >> CLAIM_LEVEL_BITS);
	word_t *word = claim_word(tree, level, i);
	uint64_t w = word_make(WORD_CLOSED, 0, 0), open = word_make(WORD_OPEN, 0, 0);
	if (level != CLAIM_TOP && word_load(parent) != open)
		return false;
	if (!word_claim(word, &w, word_make(WORD_CLAIM, level * CLAIM_LEVEL_BITS, 0)))
		return false;
	if ((level != CLAIM_TOP && word_load(parent) != open) || !live_admitted(live)) {
		word_store(word, word_make(WORD_CLOSED, 0, 0));
		return false;
	}
	word_store(word, held);
	*out = word;
	return true;
}

int claim_request(struct claim_tree *tree, const struct live *live, uint64_t pgoff, unsigned order, word_t **out);
int claim_request_span(struct claim_tree *tree, const struct live *live, uint64_t pgoff, uint64_t npages);
int claim_lookup(const struct claim_tree *tree, uint64_t pgoff, bool take, word_t **out);
bool claim_is_idle(const struct claim_tree *tree, uint64_t pgoff, unsigned order);

/* A split under way: claim_split_begin(), then either claim_split_decide() that succeeds, or claim_split_cancel(). */
struct claim_split {
	struct claim_tree *tree;
	uint64_t pgoff;
	unsigned order;
	unsigned new_order;
	word_t *word;  /* the old head */
	uint64_t head; /* what it becomes */
	uint64_t part; /* the new heads */
};

int claim_split_begin(struct claim_split *split, struct claim_tree *tree, uint64_t pgoff, uint64_t held,
		      unsigned new_order);
bool claim_split_decide(const struct claim_split *split, uint64_t expect);
void claim_split_cancel(const struct claim_split *split);

#endif
