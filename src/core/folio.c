/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a folio (c3): request, lookup, get, put, pin, unpin, release, private. word.h and claim.h have the proofs. */
#include <pgmap/folio.h>

#include <errno.h>

#include "port/abort.h"
#include "port/slot.h"

#include "core/map.h"
#include "core/track.h"

_Static_assert(PGMAP_MAX_ORDER == CLAIM_MAX_ORDER && PGMAP_MAX_REFS == WORD_MAX, "one truth");

static const char *state_name(enum word_state state)
{
	static const char *const names[] = {
		[WORD_CLOSED] = "idle",
		[WORD_OPEN] = "idle (open)",
		[WORD_CLAIM] = "being requested",
		[WORD_CLOSING] = "being requested (closing)",
		[WORD_HELD] = "held",
		[WORD_QUARANTINED] = "quarantined",
		[WORD_RELEASING] = "releasing",
	};
	const char *name = state < sizeof(names) / sizeof(names[0]) ? names[state] : NULL;
	return name ? name : "corrupt";
}

void map_abort(const struct folio *folio, const char *what, uint64_t word, const struct pgmap_holder *holder)
{
	const struct pgmap *pgmap = map_of(folio);
	if (!pgmap)
		port_abort("pgmap: %s: %p is no folio of any pgmap", what, (const void *)folio);
	if (map_is(pgmap, SPECIAL_TRACK))
		track_print(pgmap, map_word(folio), what);
	port_abort("pgmap: %s: %s: pgoff %#llx order %u is %s with %llu references, %llu of them pins%s%s", pgmap->name,
		   what, (unsigned long long)map_pgoff(pgmap, folio), word_order(word), state_name(word_state(word)),
		   (unsigned long long)word_refs(word), (unsigned long long)word_pins(word), holder ? "; holder " : "",
		   holder ? holder->name : "");
}

/* A reference has been taken, or is about to be dropped. */
static inline void taken(struct pgmap *pgmap, const struct folio *folio, const struct pgmap_holder *holder, int kind)
{
	if (unlikely(track_is_on()) && map_is(pgmap, SPECIAL_TRACK))
		track_add(pgmap, map_word(folio), holder, kind);
}

static inline void dropped(struct pgmap *pgmap, const struct folio *folio, const struct pgmap_holder *holder, int kind)
{
	if (unlikely(track_is_on()) && map_is(pgmap, SPECIAL_TRACK))
		track_remove(pgmap, map_word(folio), holder, kind);
}

/* What a request of this span answers before any claim (c3.2 to c3.5, but for what is wrong with the arguments). */
static int check_span(struct pgmap *pgmap, uint64_t pgoff, uint64_t npages)
{
	if (!map_contains(pgmap, pgoff, npages))
		return -ERANGE;
	if (live_state_of(live_state(&pgmap->live)) != LIVE_LIVE)
		return -ENODEV;
	if (unlikely(map_is(pgmap, SPECIAL_POISON)) && poison_covers(&pgmap->poison, pgoff, npages))
		return -EHWPOISON;
	return 0;
}

/* Every request but those that the short way below has done. */
static int __attribute__((noinline)) request(struct pgmap *pgmap, uint64_t pgoff, unsigned order, struct folio **out)
{
	if (!pgmap || !out || order > PGMAP_MAX_ORDER || (pgoff & ((UINT64_C(1) << order) - 1)))
		return -EINVAL;
	uint64_t npages = UINT64_C(1) << order;
	int r = check_span(pgmap, pgoff, npages);
	if (r)
		return r;
	unsigned slot = port_slot();
	word_t *word;
	live_add(&pgmap->live, slot, (int64_t)npages);
	r = claim_request(&pgmap->tree, &pgmap->live, pgoff, order, &word);
	if (r) {
		map_uncount(pgmap, slot, npages);
		return r;
	}
	*out = map_folio(word);
	taken(pgmap, *out, NULL, TRACK_REF);
	return 0;
}

/* The pages had been counted for the short way, which did not do. */
static int __attribute__((noinline))
request_again(struct pgmap *pgmap, uint64_t pgoff, unsigned order, struct folio **out)
{
	map_uncount(pgmap, port_slot(), UINT64_C(1) << order);
	return request(pgmap, pgoff, order, out);
}

/* The short way of the usual requests, of a level's base order: all calls in it are its last, so it needs no stack.
 * Null arguments, shared slots and all errors are request()'s. */
static inline __attribute__((always_inline)) int request_base(struct pgmap *pgmap, uint64_t pgoff, const unsigned level,
							      struct folio **out)
{
	const unsigned order = level * CLAIM_LEVEL_BITS;
	const uint64_t npages = UINT64_C(1) << order;
	unsigned own = port_slot_plus_one;
	word_t *word;
	if (unlikely(!own || !pgmap || !out || (pgoff & (npages - 1)) ||
		     pgoff - pgmap->first_pgoff >=
			     atomic_load_explicit(&pgmap->short_ways[level], memory_order_relaxed) ||
		     live_state_of(live_state(&pgmap->live)) != LIVE_LIVE))
		return request(pgmap, pgoff, order, out);
	live_add_own(&pgmap->live, own - 1, (int64_t)npages);
	if (unlikely(!claim_request_base(&pgmap->tree, &pgmap->live, level, pgoff >> order,
					 word_make(WORD_HELD, order, WORD_REF), &word)))
		return request_again(pgmap, pgoff, order, out);
	*out = map_folio(word);
	return 0;
}

PGMAP_PUBLIC int pgmap_request_folio(struct pgmap *pgmap, uint64_t pgoff, unsigned order, struct folio **out)
{
	if (order == PGMAP_ORDER_PTE)
		return request_base(pgmap, pgoff, 0, out);
	if (order == PGMAP_ORDER_PMD)
		return request_base(pgmap, pgoff, 1, out);
	if (order == PGMAP_ORDER_PUD)
		return request_base(pgmap, pgoff, 2, out);
	return request(pgmap, pgoff, order, out);
}

PGMAP_PUBLIC int pgmap_request_folios(struct pgmap *pgmap, uint64_t pgoff, uint64_t npages, struct folio *folios[],
				      size_t *n)
{
	if (!pgmap || !folios || !n || npages == 0)
		return -EINVAL;
	int r = check_span(pgmap, pgoff, npages);
	if (r)
		return r;
	unsigned slot = port_slot();
	live_add(&pgmap->live, slot, (int64_t)npages);
	r = claim_request_span(&pgmap->tree, &pgmap->live, pgoff, npages);
	if (r) {
		map_uncount(pgmap, slot, npages);
		return r;
	}
	uint64_t end = pgoff + npages;
	for (*n = 0; pgoff < end; ++*n) {
		unsigned order = claim_fit(pgoff, end - pgoff);
		folios[*n] = map_folio(claim_head(&pgmap->tree, pgoff, order));
		taken(pgmap, folios[*n], NULL, TRACK_REF);
		pgoff += UINT64_C(1) << order;
	}
	return 0;
}

PGMAP_PUBLIC size_t pgmap_folios_in(uint64_t pgoff, uint64_t npages)
{
	size_t n = 0;
	for (; npages != 0; n++) {
		unsigned order = claim_fit(pgoff, npages);
		pgoff += UINT64_C(1) << order;
		npages -= UINT64_C(1) << order;
	}
	return n;
}

PGMAP_PUBLIC int pgmap_get_folio(struct pgmap *pgmap, uint64_t pgoff, struct folio **out)
{
	if (unlikely(!pgmap || !out))
		return -EINVAL;
	if (unlikely(!map_contains(pgmap, pgoff, 1)))
		return -ERANGE;
	if (unlikely(live_state_of(live_state(&pgmap->live)) != LIVE_LIVE))
		return -ENODEV;
	word_t *word;
	int r;
	while ((r = claim_lookup(&pgmap->tree, pgoff, true, &word)) == CLAIM_AGAIN)
		map_put(pgmap, word);
	if (r == -EUSERS)
		map_abort(map_folio(word), "get beyond the maximum", word_load(word), NULL);
	if (r)
		return r;
	*out = map_folio(word);
	taken(pgmap, *out, NULL, TRACK_REF);
	return 0;
}

PGMAP_PUBLIC int pgmap_find_folio(struct pgmap *pgmap, uint64_t pgoff, struct folio **out)
{
	if (unlikely(!pgmap || !out))
		return -EINVAL;
	if (unlikely(!map_contains(pgmap, pgoff, 1)))
		return -ERANGE;
	word_t *word;
	int r = claim_lookup(&pgmap->tree, pgoff, false, &word);
	if (r == 0)
		*out = map_folio(word);
	return r;
}

PGMAP_PUBLIC int pgmap_check_idle(struct pgmap *pgmap, uint64_t pgoff, unsigned order)
{
	if (!pgmap || order > PGMAP_MAX_ORDER || (pgoff & ((UINT64_C(1) << order) - 1)))
		return -EINVAL;
	if (!map_contains(pgmap, pgoff, UINT64_C(1) << order))
		return -ERANGE;
	return claim_is_idle(&pgmap->tree, pgoff, order) ? 0 : -EBUSY;
}

void map_finish_release(struct pgmap *pgmap, word_t *word, unsigned order, unsigned slot)
{
	map_private_clear(pgmap, word);
	word_store(word, word_make(WORD_CLOSED, 0, 0)); /* pairs with claim.h, step 2 */
	map_uncount(pgmap, slot, UINT64_C(1) << order);
}

void map_release(struct pgmap *pgmap, word_t *word, uint64_t old, unsigned slot)
{
	unsigned order = word_order(old);
	/* Kept for an ended holder's REMOTE pins; folio_free runs when that is over (holder.c). It may be over already: then
	 * the bit is gone, and this is a release like any other. */
	uint64_t releasing = word_make(WORD_HELD, order, 0) | WORD_FENCE;
	if ((old & WORD_FENCE) && word_claim(word, &releasing, word_make(WORD_QUARANTINED, order, WORD_FENCE)))
		return;
	if (pgmap->ops && pgmap->ops->folio_free &&
	    pgmap->ops->folio_free(map_folio(word), pgmap->owner) == PGMAP_FREE_KEEP) {
		word_store(word, word_make(WORD_QUARANTINED, order, 0));
		return;
	}
	map_finish_release(pgmap, word, order, slot);
}

/*
 * The last reference was charged to nobody: so no holder may think that it has one. Whoever puts a holder's reference
 * takes it out of the account first, so an account that stands is a reference that somebody else has put.
 */
static void check_uncharged(struct pgmap *pgmap, const word_t *word, uint64_t old)
{
	sigset_t saved;
	charge_lock(&pgmap->charges, &saved);
	for (struct charge *c = charge_first(&pgmap->charges, word); c; c = charge_next(&pgmap->charges, c))
		if (c->refs > 0)
			map_abort(map_folio(word), "put of a reference that is charged to a holder", old, c->holder);
	charge_unlock(&pgmap->charges, &saved);
}

static __attribute__((noinline)) void release_anonymous(struct pgmap *pgmap, word_t *word, uint64_t old, unsigned slot)
{
	if (map_is(pgmap, SPECIAL_HOLDERS) && atomic_load_explicit(&pgmap->charges.count, memory_order_relaxed) != 0)
		check_uncharged(pgmap, word, old);
	map_release(pgmap, word, old, slot);
}

/* The same for a put by a thread that may use its own slot; with no call in it where there is no callback. */
static inline void release_own(struct pgmap *pgmap, word_t *word, uint64_t old)
{
	unsigned own = port_slot_plus_one;
	if (unlikely(!own || (old & WORD_FENCE) || map_is(pgmap, SPECIAL_OPS | SPECIAL_HOLDERS | SPECIAL_PRIVATE))) {
		release_anonymous(pgmap, word, old, port_slot());
		return;
	}
	word_store(word, word_make(WORD_CLOSED, 0, 0)); /* pairs with claim.h, step 2 */
	live_add_own(&pgmap->live, own - 1, -(INT64_C(1) << word_order(old)));
	if (unlikely(live_is_dying(&pgmap->live)))
		map_wake_if_last(pgmap);
}

static inline void get_checked(struct folio *folio, uint64_t what, const char *name, const struct pgmap_holder *holder)
{
	uint64_t old = word_get(map_word(folio), what);
	if (unlikely(!word_get_ok(old)))
		map_abort(folio, name, old, holder);
}

PGMAP_PUBLIC void folio_get(struct folio *folio)
{
	struct pgmap *pgmap = map_handle(folio, "get");
	get_checked(folio, WORD_REF, "get without a reference, or beyond the maximum", NULL);
	taken(pgmap, folio, NULL, TRACK_REF);
}

static inline __attribute__((always_inline)) void put(struct pgmap *pgmap, word_t *word)
{
	uint64_t old = word_put(word, 1, 0);
	if (unlikely(!word_put_one_ok(old)))
		map_abort(map_folio(word), "put without a reference", old, NULL);
	if (word_put_last(old, 1))
		release_own(pgmap, word, old);
}

void map_put(struct pgmap *pgmap, word_t *word)
{
	put(pgmap, word);
}

static __attribute__((noinline)) void put_tracked(struct pgmap *pgmap, struct folio *folio)
{
	dropped(pgmap, folio, NULL, TRACK_REF);
	map_put(pgmap, map_word(folio));
}

PGMAP_PUBLIC void folio_put(struct folio *folio)
{
	struct pgmap *pgmap = map_handle(folio, "put");
	if (unlikely(track_is_on()))
		put_tracked(pgmap, folio);
	else
		put(pgmap, map_word(folio));
}

/* With the lock held: is there a reference that is charged to nobody? */
static bool has_anonymous(struct pgmap *pgmap, const word_t *word)
{
	uint64_t w = word_load(word), charged = 0;
	for (struct charge *c = charge_first(&pgmap->charges, word); c; c = charge_next(&pgmap->charges, c))
		charged += c->refs;
	return word_is_held(w) && charged < word_refs(w);
}

/* One more reference for a holder, or (add_ref 0) one that the caller has: account and word together. */
static int charge_add(struct pgmap *pgmap, struct folio *folio, struct pgmap_holder *holder, int pin_kind, uint64_t add)
{
	if (holder->pgmap != pgmap)
		return -EINVAL;
	int r = 0;
	sigset_t saved;
	charge_lock(&pgmap->charges, &saved);
	struct charge *charge = NULL;
	if (!add && !has_anonymous(pgmap, map_word(folio)))
		map_abort(folio, "charge without a reference that is nobody's", word_load(map_word(folio)), holder);
	if (holder->state != HOLDER_ACTIVE)
		r = -ESHUTDOWN;
	else if (!(charge = charge_make(&pgmap->charges, map_word(folio), holder)))
		r = -ENOMEM;
	if (charge) {
		charge->refs++;
		if (pin_kind >= 0)
			charge->pins[pin_kind]++;
		if (add)
			get_checked(folio, add, "get or pin without a reference, or beyond the maximum", holder);
		if (unlikely(map_is(pgmap, SPECIAL_TRACK)))
			add ? track_add(pgmap, map_word(folio), holder, pin_kind)
			    : track_charge(map_word(folio), holder);
	}
	charge_unlock(&pgmap->charges, &saved);
	return r;
}

/* One less, of account and word together. What the word was. */
static uint64_t charge_remove(struct pgmap *pgmap, struct folio *folio, struct pgmap_holder *holder, int pin_kind)
{
	sigset_t saved;
	charge_lock(&pgmap->charges, &saved);
	struct charge *charge = charge_find(&pgmap->charges, map_word(folio), holder);
	bool pin = pin_kind >= 0;
	bool ok = charge && (pin ? charge->pins[pin_kind] > 0 : charge->refs > charge->pins[0] + charge->pins[1]);
	if (!ok)
		map_abort(folio, pin ? "unpin of a holder without such a pin" : "put of a holder without a reference",
			  word_load(map_word(folio)), holder);
	dropped(pgmap, folio, holder, pin_kind);
	if (pin)
		charge->pins[pin_kind]--;
	if (--charge->refs == 0)
		charge_drop(&pgmap->charges, charge);
	uint64_t old = word_put(map_word(folio), 1, pin);
	if (unlikely(!word_put_ok(old, 1, pin)))
		map_abort(folio, pin ? "unpin without a pin" : "put without a reference", old, holder);
	charge_unlock(&pgmap->charges, &saved);
	return old;
}

PGMAP_PUBLIC int folio_get_holder(struct folio *folio, struct pgmap_holder *holder)
{
	if (holder)
		return charge_add(map_handle(folio, "get"), folio, holder, -1, WORD_REF);
	folio_get(folio);
	return 0;
}

PGMAP_PUBLIC void folio_put_holder(struct folio *folio, struct pgmap_holder *holder)
{
	if (!holder) {
		folio_put(folio);
		return;
	}
	struct pgmap *pgmap = map_handle(folio, "put");
	uint64_t old = charge_remove(pgmap, folio, holder, -1);
	if (word_put_last(old, 1))
		map_release(pgmap, map_word(folio), old, port_slot());
}

PGMAP_PUBLIC int folio_charge(struct folio *folio, struct pgmap_holder *holder)
{
	return holder ? charge_add(map_handle(folio, "charge"), folio, holder, -1, 0) : 0;
}

PGMAP_PUBLIC int folio_pin(struct folio *folio, struct pgmap_holder *holder, enum folio_pin_kind kind)
{
	struct pgmap *pgmap = map_handle(folio, "pin");
	if (kind != FOLIO_PIN_LOCAL && kind != FOLIO_PIN_REMOTE)
		return -EINVAL;
	if (pgmap->type != PGMAP_FSDAX && pgmap->type != PGMAP_GENERIC)
		return -EPERM;
	if (holder)
		return charge_add(pgmap, folio, holder, (int)kind, WORD_REF | WORD_PIN);
	get_checked(folio, WORD_REF | WORD_PIN, "pin without a reference, or beyond the maximum", NULL);
	taken(pgmap, folio, NULL, (int)kind);
	return 0;
}

PGMAP_PUBLIC void folio_unpin(struct folio *folio, struct pgmap_holder *holder, enum folio_pin_kind kind)
{
	struct pgmap *pgmap = map_handle(folio, "unpin");
	if (kind != FOLIO_PIN_LOCAL && kind != FOLIO_PIN_REMOTE)
		map_abort(folio, "unpin of no known kind", word_load(map_word(folio)), holder);
	if (!holder)
		dropped(pgmap, folio, NULL, (int)kind);
	uint64_t old = holder ? charge_remove(pgmap, folio, holder, (int)kind) : word_put(map_word(folio), 1, 1);
	if (unlikely(!word_put_ok(old, 1, 1)))
		map_abort(folio, "unpin without a pin", old, holder);
	if (!word_put_last(old, 1))
		return;
	/* The shared slot: a signal handler may have interrupted its own thread in the middle of a plain count. */
	if (holder)
		map_release(pgmap, map_word(folio), old, LIVE_SHARED);
	else
		release_anonymous(pgmap, map_word(folio), old, LIVE_SHARED);
}

PGMAP_PUBLIC struct pgmap *folio_pgmap(const struct folio *folio)
{
	return map_handle(folio, "look");
}

PGMAP_PUBLIC uint64_t folio_pgoff(const struct folio *folio)
{
	return map_pgoff(map_handle(folio, "look"), folio);
}

PGMAP_PUBLIC unsigned folio_order(const struct folio *folio)
{
	(void)map_handle(folio, "look");
	return word_order(word_load(map_word(folio)));
}

PGMAP_PUBLIC uint64_t folio_pages(const struct folio *folio)
{
	return UINT64_C(1) << folio_order(folio);
}

PGMAP_PUBLIC void *folio_address(const struct folio *folio)
{
	struct pgmap *pgmap = map_handle(folio, "look");
	uint64_t offset;
	if (!pgmap->base || pgmap->type == PGMAP_PRIVATE ||
	    pgmap_pgoff_to_device(pgmap, map_pgoff(pgmap, folio), &offset) != 0)
		return NULL;
	return pgmap->base + offset;
}

PGMAP_PUBLIC int folio_migrate_to_ram(struct folio *folio)
{
	struct pgmap *pgmap = map_handle(folio, "migrate");
	return pgmap->type == PGMAP_PRIVATE ? pgmap->ops->migrate_to_ram(folio, pgmap->owner) : 0;
}

PGMAP_PUBLIC uint64_t folio_refs(const struct folio *folio)
{
	(void)map_handle(folio, "look");
	return word_refs(word_load(map_word(folio)));
}

PGMAP_PUBLIC uint64_t folio_pins(const struct folio *folio)
{
	(void)map_handle(folio, "look");
	return word_pins(word_load(map_word(folio)));
}
