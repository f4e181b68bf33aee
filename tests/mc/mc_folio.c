/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mc_folio.c - the operations on the tree, step by step as folio.c, split.c and holder.c have them, with what is checked in
 * each; those on its life are in mc_death.c. copies.py compares the steps with theirs.
 *
 * Checked: no request succeeds over pages that are not idle; every -EBUSY ran while a word over its span was firm; a
 * lookup that answers -ENOENT ran while no held word covered its page, for a moment at least; what it finds covers the
 * page; each put is legal, and each life ends once; nothing succeeds after a kill has returned; DEAD only when nothing is
 * held, and no request succeeds after it.
 * "While" is the order of execution in a flat memory. In C11's it is what can be told: a request must have read such a
 * word itself; a lookup must have known of the request, by happens-before, when it began; so must a request of a kill.
 * And all data, plain cells here, are handed on in order (c3.22): what holders did before their puts happens before the
 * release, that before the next request's success and all who get a reference from it, and all before a drain's end.
 */
#include "mc_tree.h"

#include "claim.c"

uint64_t pages_of(uint64_t from, uint64_t n)
{
	return ((UINT64_C(1) << n) - 1) << from;
}

static unsigned level_of(const word_t *word)
{
	return (unsigned)((size_t)(word - &g.words[0][0]) / PAGES);
}

static uint64_t pgoff_of(const word_t *word)
{
	return (uint64_t)(word - g.words[level_of(word)]) << (level_of(word) * BITS);
}

/* The pages of the folio, or claim, that word has the value w of. */
uint64_t pages_of_word(const word_t *word, uint64_t w)
{
	return pages_of(pgoff_of(word), UINT64_C(1) << word_order(w));
}

static uint64_t span_of(unsigned t)
{
	return pages_of(g.run[t].page, g.run[t].npages);
}

/* Flat memory: what the running operations' times have seen, in memory or, of their own, in their buffers. */
static void look_with(unsigned t, bool own)
{
	uint64_t firm = 0, held = 0;
	for (unsigned l = 0; l < LEVELS; l++)
		for (unsigned i = 0; i < (unsigned)PAGES >> (l * BITS); i++) {
			word_t *at = claim_word(&tree, l, i);
			uint64_t w = memory_value(t, own, at);
			if (!word_is_firm(w))
				continue;
			firm |= pages_of_word(at, w);
			held |= word_is_held(w) ? pages_of_word(at, w) : 0;
		}
	g.run[t].firm |= (firm & span_of(t)) != 0;
	g.run[t].bare |= (~held & span_of(t)) != 0;
}

void look_at_words(void)
{
	for (unsigned t = 0; t < nthreads && memory_is_flat; t++) {
		if (!g.run[t].kind)
			continue;
		look_with(t, false);
		look_with(t, true);
	}
}

/* C11: the request that is running has read a word. */
void scenario_saw(void *at, uint64_t v)
{
	const word_t *word = at;
	if (memory_is_flat || g.run[self].kind != 'R' || word < &g.words[0][0] ||
	    word >= &g.words[0][0] + LEVELS * PAGES)
		return;
	if (word_is_firm(v) && (pages_of_word(word, v) & span_of((unsigned)self)))
		g.run[self].firm = 1;
}

void folio_begin(char kind, unsigned page, unsigned npages)
{
	bool told = g.killed && plain_known(CELL_KILLED);
	g.run[self] = (struct running){
		.kind = (uint8_t)kind, .page = (uint8_t)page, .npages = (uint8_t)npages, .killed = told};
	if (kind == 'R' && (g.poisoned & span_of((unsigned)self)) && plain_known(CELL_POISONED))
		g.run[self].poisoned = 1;
	if (!memory_is_flat && kind == 'L')
		g.run[self].bare = !(g.referenced >> page & 1) || !plain_known(8 * page + CELL_REQUESTED);
	look_at_words();
}

void folio_end(void)
{
	g.run[self] = (struct running){0};
}

/* The last reference has gone: no lookup of these pages that runs needs to find anything. */
static void clear_referenced(uint64_t span)
{
	g.referenced &= ~span;
	for (unsigned t = 0; t < nthreads && !memory_is_flat; t++)
		if (g.run[t].kind == 'L' && (span_of(t) & span))
			g.run[t].bare = 1;
}

/* Somebody with a reference on these pages uses them. */
static void use(uint64_t span)
{
	for (unsigned p = 0; p < PAGES; p++) {
		if (!(span >> p & 1))
			continue;
		if (!plain_known(8 * p + CELL_RELEASED))
			fail("a race: a holder's use with the former release");
		plain_write(8 * p + (unsigned)self);
	}
}

/* The pages are nobody's any more. */
static void use_alone(uint64_t span)
{
	for (unsigned p = 0; p < PAGES; p++) {
		if (!(span >> p & 1))
			continue;
		for (unsigned t = 0; t < THREADS; t++)
			if (!plain_known(8 * p + t))
				fail("a race: a release with a former holder's use");
		if (!plain_known(8 * p + CELL_RELEASED))
			fail("a race: a release with the former release");
		plain_write(8 * p + CELL_RELEASED);
	}
}

/* map_uncount() */
static void uncount(unsigned slot, uint64_t n)
{
	live_add(&g.live, slot, -(int64_t)n);
	if (live_is_dying(&g.live) && live_was_last(&g.live))
		(void)atomic_fetch_add_explicit(&g.wake, 1, memory_order_seq_cst);
}

/* map_finish_release(); not `clear`: the short way of release_own(). */
static void finish_release(word_t *word, unsigned order, unsigned slot, bool clear)
{
	g.held &= ~pages_of(pgoff_of(word), UINT64_C(1) << order);
	if (clear)
		private_clear(word);
	word_store(word, word_make(WORD_CLOSED, 0, 0));
	uncount(slot, UINT64_C(1) << order);
}

/* map_release(); keep: folio_free answers PGMAP_FREE_KEEP. */
static void release(word_t *word, uint64_t old, unsigned slot, bool keep, bool clear)
{
	unsigned order = word_order(old);
	uint64_t span = pages_of_word(word, old), releasing = word_make(WORD_HELD, order, 0) | WORD_FENCE;
	clear_referenced(span);
	if ((old & WORD_FENCE) && word_claim(word, &releasing, word_make(WORD_QUARANTINED, order, WORD_FENCE)))
		return;
	if ((g.held & span) != span || (g.freed & span))
		fail("folio_free of what is not held, or a second time");
	g.freed |= span;
	use_alone(span);
	if (keep) {
		word_store(word, word_make(WORD_QUARANTINED, order, 0));
		return;
	}
	finish_release(word, order, slot, clear);
}

/* put() of folio.c */
static void put(word_t *word, bool keep)
{
	uint64_t old = word_put(word, 1, 0);
	if (!word_put_one_ok(old))
		fail("an illegal put");
	if (word_put_last(old, 1))
		release(word, old, (unsigned)self, keep, keep || (old & WORD_FENCE) || map_is(SPECIAL_PRIVATE));
}

/* folio_unpin() */
static void unpin(word_t *word, bool keep)
{
	uint64_t old = word_put(word, 1, 1);
	if (!word_put_ok(old, 1, 1))
		fail("an illegal unpin");
	if (word_put_last(old, 1))
		release(word, old, LIVE_SHARED, keep, true);
}

void folio_put(const struct hold *h, bool keep)
{
	word_t *word = folio_find(h);
	use(pages_of(h->page, 1));
	if (h->valued)
		check_valued(word);
	h->pin ? unpin(word, keep) : put(word, keep);
}

/* What a request may answer, and when. */
static void check_refusal(int r)
{
	if (r == -EBUSY && !g.run[self].firm)
		fail("-EBUSY, and no page of the span was firm at any time");
	if (r == -EHWPOISON && !(g.poisoning & span_of((unsigned)self)))
		fail("-EHWPOISON, and no page of the span was ever poisoned");
	if (r && r != -EBUSY && r != -ENODEV && r != -EHWPOISON)
		fail("a strange answer to a request");
}

/* The pages are the running request's, as far as it knows. */
static void granted(uint64_t span)
{
	if (g.run[self].killed || g.dead)
		fail("a request succeeded after a kill had returned");
	if (g.run[self].poisoned)
		fail("a request succeeded over pages that had been poisoned");
	if (g.held & span)
		fail("a request succeeded over pages that are held");
	g.held |= span;
	g.referenced |= span;
	g.freed &= ~span;
	for (unsigned p = 0; p < PAGES; p++)
		if (span >> p & 1)
			plain_write(8 * p + CELL_REQUESTED);
	use(span);
}

/* check_span() of folio.c, within a pgmap */
static int check_span(uint64_t span)
{
	if (live_state_of(live_state(&g.live)) != LIVE_LIVE)
		return -ENODEV;
	if (map_is(SPECIAL_POISON) && poison_covers(span))
		return -EHWPOISON;
	return 0;
}

/* request() */
static int request(unsigned page, unsigned order, word_t **word)
{
	uint64_t n = UINT64_C(1) << order;
	int r = check_span(pages_of(page, n));
	if (r)
		return r;
	live_add(&g.live, (unsigned)self, (int64_t)n);
	r = claim_request(&tree, &g.live, page, order, word);
	if (r)
		uncount((unsigned)self, n);
	return r;
}

/* request_base(), and request_again() where it does not do: true if it has done */
static bool request_base(unsigned page, unsigned order, word_t **word)
{
	unsigned level = claim_level(order);
	uint64_t n = UINT64_C(1) << order;
	if ((uses_poison && !atomic_load_explicit(&g.short_way, memory_order_relaxed)) ||
	    live_state_of(live_state(&g.live)) != LIVE_LIVE)
		return false;
	live_add(&g.live, (unsigned)self, (int64_t)n);
	if (claim_request_base(&tree, &g.live, level, page >> order, word_make(WORD_HELD, order, WORD_REF), word))
		return true;
	uncount((unsigned)self, n);
	return false;
}

int folio_request(char how, unsigned page, unsigned order, word_t **word)
{
	uint64_t n = UINT64_C(1) << order;
	folio_begin('R', page, (unsigned)n);
	bool done = how == 'F' && order % BITS == 0 && request_base(page, order, word);
	int r = done ? 0 : request(page, order, word);
	check_refusal(r);
	if (r)
		return r;
	granted(pages_of(page, n));
	check_new_private(*word);
	return 0;
}

/* pgmap_request_folios(): what claim_request_span() does, with our knowledge of it before the first folio can be seen. */
int folio_request_span(unsigned page, unsigned npages, struct hold *holds)
{
	int r, n = 0;
	folio_begin('R', page, npages);
	if ((r = check_span(pages_of(page, npages))) != 0)
		return r;
	live_add(&g.live, (unsigned)self, (int64_t)npages);
	while ((r = claim_hold_span(&tree, &g.live, page, page + npages)) == CLAIM_AGAIN)
		CLAIM_RELAX();
	check_refusal(r);
	if (r == 0) {
		granted(pages_of(page, npages));
		claim_publish_span(&tree, page, page + npages);
	}
	if (r) {
		uncount((unsigned)self, npages);
		return r;
	}
	for (unsigned at = page; at < page + npages; n++) {
		unsigned order = claim_fit(at, page + npages - at);
		holds[n] = (struct hold){at, order, 0, 0, claim_head(&tree, at, order)};
		at += 1U << order;
	}
	return n;
}

/* Nothing larger covers it: it is no part of a split that is undecided. Only where the memory has one value. */
static void check_largest(const word_t *word, unsigned page)
{
	for (unsigned l = 0; l < LEVELS; l++)
		for (unsigned i = 0; i < (unsigned)PAGES >> (l * BITS); i++) {
			uint64_t w = *(uint64_t *)&g.words[l][i];
			if (word_is_held(w) && word_order(w) > word_order(*(const uint64_t *)word) &&
			    (pages_of_word(&g.words[l][i], w) >> page & 1))
				fail("a lookup gave a part of a split that is undecided");
		}
}

bool folio_lookup(unsigned page, word_t **word)
{
	folio_begin('L', page, 1);
	int r;
	while ((r = claim_lookup(&tree, page, true, word)) == CLAIM_AGAIN)
		put(*word, false);
	if (r == -ENOENT && !g.run[self].bare)
		fail("-ENOENT for a page that was held all the time");
	if (r == 0 && !(g.held >> page & 1))
		fail("a lookup found a page that is not held");
#ifdef SEQUENTIAL
	if (r == 0)
		check_largest(*word, page);
#else
	(void)check_largest;
#endif
	if (r == 0)
		use(pages_of(page, 1));
	return r == 0;
}

word_t *folio_find(const struct hold *h)
{
	word_t *word = h->word;
	if (!word && claim_lookup(&tree, h->page, false, &word) != 0)
		fail("a part of a split was not found");
	uint64_t w = word_load(word);
	if (!word_is_held(w) || (!h->word && word_order(w) != h->order))
		fail("a folio that is referenced is not held, or a part has a wrong order");
	return word;
}

void folio_get(const struct hold *h, uint64_t what)
{
	if (!word_get_ok(word_get(folio_find(h), what)))
		fail("an illegal get");
}

static bool same_folio(const struct hold *a, const struct hold *b)
{
	return b->word ? a->word == b->word : !a->word && a->page == b->page;
}

/* split.c, where all references are the caller's. */
void folio_split(struct hold *holds, unsigned *nholds, unsigned order)
{
	struct hold last = holds[*nholds - 1];
	word_t *word = folio_find(&last);
	unsigned mine = 0, kept = 0;
	for (unsigned i = 0; i < *nholds; i++)
		mine += same_folio(&holds[i], &last);
	uint64_t held = word_load(word);
	uint64_t pgoff = pgoff_of(word), parts = (UINT64_C(1) << word_order(held)) >> order;
	if (word_refs(held) != mine || word_pins(held) || order >= word_order(held) ||
	    *nholds - mine + parts * mine > HOLDS)
		return;
	struct claim_split words;
	uint64_t w = held; /* a reference of the split's own, from before the parts to the decision */
	if (!word_claim(word, &w, held + WORD_REF) || claim_split_begin(&words, &tree, pgoff, held, order) != 0)
		return;
	if (!claim_split_decide(&words, held + WORD_REF)) {
		claim_split_cancel(&words);
		put(word, false);
		return;
	}
	for (unsigned i = 0; i < *nholds; i++)
		if (!same_folio(&holds[i], &last))
			holds[kept++] = holds[i];
	for (uint64_t i = 0; i < parts * mine; i++)
		holds[kept++] = (struct hold){(unsigned)(pgoff + (i / mine << order)), order, 0, 0, NULL};
	*nholds = kept;
}

void lock(_Atomic uint64_t *at)
{
	uint64_t old = 0;
	while (!atomic_compare_exchange_strong_explicit(at, &old, 1, memory_order_acquire, memory_order_relaxed))
		old = 0;
}

/* By an exchange, as a mutex's: with store buffers all that was written under it is in memory then. */
void unlock(_Atomic uint64_t *at)
{
	(void)atomic_fetch_and_explicit(at, 0, memory_order_release);
}

/* end_charge() of holder.c, of a charge with REMOTE pins */
static uint64_t end_charge(word_t *word, uint64_t refs, uint64_t pins)
{
	if (!word_is_held(word_mark(word, WORD_FENCE)))
		fail("a mark was not set on a folio that is held");
	g.marked = word;
	g.marked_span = pages_of_word(word, *(uint64_t *)word);
	uint64_t old = word_put(word, refs, pins);
	if (!word_put_ok(old, refs, pins) || !(old & WORD_FENCE))
		fail("an illegal put of a holder's pin, or its mark is not there");
	return old;
}

/* pgmap_holder_end(), of a holder with one REMOTE pin. */
void folio_end_holder(const struct hold *h)
{
	word_t *word = folio_find(h);
	use(pages_of(h->page, 1));
	lock(&g.lock);
	uint64_t old = end_charge(word, 1, 1);
	unlock(&g.lock);
	if (word_put_last(old, 1))
		release(word, old, (unsigned)self, false, true);
}

/* unfence() of holder.c */
static bool unfence(word_t *word, uint64_t *old)
{
	*old = word_load(word);
	for (;;) {
		bool quarantined = !word_is_active(*old);
		uint64_t want = quarantined ? word_make(WORD_HELD, word_order(*old), 0) : *old & ~WORD_FENCE;
		if (!(*old & WORD_FENCE) || (quarantined && word_state(*old) != WORD_QUARANTINED))
			fail("a mark is gone before its fence");
		if (word_claim(word, old, want))
			return quarantined;
	}
}

/* pgmap_holder_fence() */
void folio_fence(void)
{
	uint64_t old = 0;
	lock(&g.lock);
	word_t *word = g.marked;
	g.marked = NULL;
	if (word)
		use(g.marked_span); /* that the device is done with the pages is what the caller knows, and hands on */
	bool mine = word && unfence(word, &old);
	unlock(&g.lock);
	if (mine)
		release(word, old & ~WORD_FENCE, (unsigned)self, false, true);
}

static word_t *find_quarantined(uint64_t pgoff, uint64_t *w)
{
	for (unsigned order = CLAIM_MAX_ORDER + 1; order-- > 0;) {
		unsigned level = claim_level(order), k = order % CLAIM_LEVEL_BITS;
		word_t *word = claim_word(&tree, level, pgoff >> (level * CLAIM_LEVEL_BITS) >> k << k);
		*w = word_load(word);
		if (!word_is_active(*w) && word_state(*w) == WORD_QUARANTINED && word_order(*w) >= order)
			return word;
	}
	return NULL;
}

/* pgmap_release_quarantined() */
void folio_release_quarantined(unsigned page)
{
	uint64_t w;
	word_t *word = find_quarantined(page, &w);
	if (!word || (w & WORD_FENCE) || !word_claim(word, &w, word_make(WORD_HELD, word_order(w), 0)))
		return;
	if (~g.freed & pages_of_word(word, w))
		fail("a release of what was quarantined, and folio_free has not run");
	use_alone(pages_of_word(word, w));
	finish_release(word, word_order(w), (unsigned)self, true);
}
