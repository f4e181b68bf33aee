/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bag.c - the torture's holders. Each thread has a holder of its own, to which it charges some of its folios for a while,
 * and an exact model of that: references, pins of both kinds, pages. The sum over the model is what pgmap_holder_charge()
 * must say at any moment (c4.1), and what pgmap_holder_end() leaves marked (c7.5). Where no lookups run, the counts in the
 * folio's word are exactly the model's too.
 */
#include <stdio.h>

#include "torture.h"

#include <errno.h>

enum { MOST_REFS = 40 };

static void need_holder(struct bag *bag)
{
	if (!bag->holder && pgmap_holder_create(pgmap, "torture", &bag->holder) != 0)
		wrong("no holder could be made", &(struct event){0}, NULL);
}

bool bag_take(struct thread *t, struct folio *folio, struct event *e)
{
	struct bag *bag = &t->bag;
	if (bag->n >= BAG / 2)
		return false;
	need_holder(bag);
	if (folio_charge(folio, bag->holder) != 0)
		wrong("a reference could not be charged", e, NULL);
	bag->held[bag->n++] = (struct held){.folio = folio, .e = e, .order = folio_order(folio), .refs = 1};
	return true;
}

/* One that a lookup found: it is pinned from now on until it goes, so that whoever requested it cannot split it meanwhile. */
bool bag_share(struct thread *t, struct folio *folio, struct event *e)
{
	struct bag *bag = &t->bag;
	for (unsigned i = 0; i < bag->n; i++)
		if (bag->held[i].folio == folio)
			return false; /* one account of a folio is enough */
	if (bag->n >= BAG / 2)
		return false;
	need_holder(bag);
	unsigned kind = (unsigned)(next_random(&t->seed) % 2);
	if (folio_pin(folio, bag->holder, (enum folio_pin_kind)kind) != 0)
		wrong("a pin was refused", e, NULL);
	folio_put(folio);
	struct held *h = &bag->held[bag->n++];
	*h = (struct held){.folio = folio, .e = e, .order = folio_order(folio), .refs = 1};
	h->pins[kind] = 1;
	return true;
}

/* What the holder has is what the model says. */
static void check_charge(const struct bag *bag)
{
	struct pgmap_charge is, want = {0};
	for (unsigned i = 0; i < bag->n; i++) {
		const struct held *h = &bag->held[i];
		want.refs += h->refs;
		want.pins_local += h->pins[FOLIO_PIN_LOCAL];
		want.pins_remote += h->pins[FOLIO_PIN_REMOTE];
		want.pages += UINT64_C(1) << h->order;
		uint64_t refs = folio_refs(h->folio), pins = folio_pins(h->folio), mine = h->pins[0] + h->pins[1];
		if (lookups ? refs < h->refs || pins < mine : refs != h->refs || pins != mine)
			wrong("a word's counts are not what is charged", h->e, NULL);
	}
	pgmap_holder_charge(bag->holder, &is);
	if (is.refs != want.refs || is.pins_local != want.pins_local || is.pins_remote != want.pins_remote ||
	    is.pages != want.pages)
		wrong("a holder is not charged with what it holds",
		      &(struct event){.pgoff = is.refs, .npages = want.refs}, NULL);
}

/* One of the references went, between `call` and now. */
static void less(struct bag *bag, unsigned i, uint64_t call)
{
	struct held *h = &bag->held[i];
	if (--h->refs)
		return;
	h->e->drop_ret = now();
	h->e->drop_call = call;
	bag->held[i] = bag->held[--bag->n];
}

static void put_or_unpin(struct bag *bag, unsigned i, unsigned kind)
{
	struct held *h = &bag->held[i];
	uint64_t call = now();
	bool only_pin = h->pins[0] + h->pins[1] == 1 && h->refs > 1 && h->e->kind == SHARED;
	if (h->pins[kind] && !only_pin) {
		h->pins[kind]--;
		folio_unpin(h->folio, bag->holder, (enum folio_pin_kind)kind);
	} else if (h->refs > h->pins[0] + h->pins[1]) {
		folio_put_holder(h->folio, bag->holder);
	} else {
		return;
	}
	less(bag, i, call);
}

static void pin(struct bag *bag, struct held *h, unsigned kind)
{
	if (h->refs >= MOST_REFS)
		return;
	if (folio_pin(h->folio, bag->holder, (enum folio_pin_kind)kind) != 0)
		wrong("a pin was refused", h->e, NULL);
	h->pins[kind]++;
	h->refs++;
}

static void split_charged(struct thread *t, unsigned at)
{
	struct bag *bag = &t->bag;
	struct held h = bag->held[at];
	unsigned order = split_order(t, h.order);
	uint64_t parts = UINT64_C(1) << (h.order - order);
	if (order >= h.order || bag->n + parts > BAG)
		return;
	int r = folio_split(h.folio, order);
	bool pinned = h.pins[0] || h.pins[1];
	if (r ? r != -EBUSY || (!lookups && !pinned) : pinned)
		wrong("a split of a charged folio answered wrongly", h.e, NULL);
	if (r)
		return;
	h.e->npages >>= h.order - order;
	for (uint64_t i = 0; i < parts; i++) {
		struct held p = h;
		p.folio = part(t, h.e, i, order, &p.e);
		p.order = order;
		bag->held[i ? bag->n++ : at] = p;
	}
}

static void fence(struct bag *bag)
{
	if (!bag->ended)
		return;
	for (unsigned i = 0; i < bag->nmarked; i++) {
		int r = pgmap_release_quarantined(pgmap, bag->marked[i]->pgoff);
		if (r != -EBUSY && r != -ENOENT) /* -ENOENT: a lookup's reference is still there, or going */
			wrong("pages with a dead holder's mark were released", bag->marked[i], NULL);
	}
	uint64_t call = now();
	if (pgmap_holder_fence(bag->ended) != 0)
		wrong("an ended holder could not be fenced", &(struct event){0}, NULL);
	uint64_t ret = now();
	for (unsigned i = 0; i < bag->nmarked; i++) {
		bag->marked[i]->fence_call = call;
		bag->marked[i]->fence_ret = ret;
	}
	bag->ended = NULL;
	bag->nmarked = 0;
}

static void end_holder(struct bag *bag)
{
	fence(bag);
	if (!bag->holder)
		return;
	uint64_t call = now(), marked = 0;
	for (unsigned i = 0; i < bag->n; i++) {
		struct held *h = &bag->held[i];
		h->e->marked = h->pins[FOLIO_PIN_REMOTE] > 0;
		if (h->e->marked) {
			marked += UINT64_C(1) << h->order;
			bag->marked[bag->nmarked++] = h->e;
		}
	}
	int64_t r = pgmap_holder_end(bag->holder);
	uint64_t ret = now();
	if (r != (int64_t)marked)
		wrong("the end of a holder left other marks than its REMOTE pins", &(struct event){.npages = marked},
		      NULL);
	for (unsigned i = 0; i < bag->n; i++) {
		bag->held[i].e->drop_call = call;
		bag->held[i].e->drop_ret = ret;
	}
	bag->n = 0;
	if (marked) {
		struct pgmap_charge left;
		pgmap_holder_charge(bag->holder, &left);
		if (left.refs || left.pins_local || left.pins_remote || left.pages != marked)
			wrong("an ended holder is charged with more than marks", bag->marked[0], NULL);
		bag->ended = bag->holder;
	}
	bag->holder = NULL;
}

void bag_step(struct thread *t)
{
	struct bag *bag = &t->bag;
	unsigned what = (unsigned)(next_random(&t->seed) % 32), kind = (unsigned)(next_random(&t->seed) % 2);
	if (what < 2)
		end_holder(bag);
	if (what < 4)
		fence(bag);
	if (!bag->n)
		return;
	unsigned i = (unsigned)(next_random(&t->seed) % bag->n);
	struct held *h = &bag->held[i];
	if (what < 8) {
		if (h->refs < MOST_REFS && folio_get_holder(h->folio, bag->holder) == 0)
			h->refs++;
	} else if (what < 18) {
		put_or_unpin(bag, i, kind);
	} else if (what < 23) {
		pin(bag, h, kind);
	} else if (what < 28) {
		split_charged(t, i);
	} else if (what < 30) {
		folio_get(h->folio);
		folio_put(h->folio);
	} else {
		check_charge(bag);
	}
}

void bag_empty(struct thread *t)
{
	end_holder(&t->bag);
	fence(&t->bag);
}
