/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * word.h - the folio word: the one word that is a folio's state, order, references and pins.
 *
 *     63       62  60    59     58  54 53            27 26             0
 *    +--------+-------+-------+-------+----------------+----------------+
 *    | active | kind  | fence | order |      pins      |      refs      |   active: HELD (refs > 0), RELEASING (refs = 0)
 *    +--------+-------+-------+-------+----------------+--------+-------+
 *    |   0    | kind  | fence | order |                         | mask  |   all other states
 *    +--------+-------+-------+-------+-------------------------+-------+
 *
 *   state        kind  firm  what it says                               who may change it
 *   CLOSED        0     -    idle, and nothing below it is in use       any request, by compare-and-swap
 *   OPEN          1     -    smaller folios below may be in use         a request (mask), a closer, by compare-and-swap
 *   CLAIM         2     no   a request of `order` is undecided          the claimer alone, by a store
 *   CLOSING       3     no   the same, over a word that was OPEN        the claimer alone, by a store
 *   HELD          -     yes  a folio with refs >= pins, refs > 0        get, put, pin, unpin by addition; lookup, split by
 *                                                                       compare-and-swap
 *   RELEASING     -     yes  the last reference has gone                whoever dropped it, alone, by a store
 *   QUARANTINED   4     yes  kept: by the owner, or (fence) because a   whoever releases it, by compare-and-swap
 *                            dead holder's device may still move data
 *
 * `mask`, in OPEN and CLOSING: the orders above the base that folios of the level below may have (claim.h).
 *
 * Counting. A get is one addition, a put one subtraction, and the word that they replaced says whether that was legal:
 *   get:   HELD, and fewer than WORD_MAX references
 *   put:   HELD, and more references than pins (a put that drops a pin's reference is a put without a reference)
 *   unpin: HELD, and a pin
 * An illegal one has changed the word when it is found out; the caller then ends the program, so nothing is carried on
 * with. The fields are eight times as wide as WORD_MAX: 2^26 threads would have to be between their addition and their
 * check for a carry to reach the next field. A reference that is legal is never lost: the word is never stored to
 * while it is HELD, only added to and compared-and-swapped.
 *
 * Exactly one put sees 1 reference become 0 (modification order of one word), and from then on nobody but it may write:
 * gets are illegal, lookups refuse, requests see a firm word. So release runs once.
 *
 * Order. put and unpin release, and the last one acquires: all that any holder did before its put happens before the
 * release (c3.22; the subtractions of one word form one release sequence). The release of the pages is a store of
 * CLOSED with release (word_store), which pairs with the claim's compare-and-swap from CLOSED (word_claim).
 *
 * Nothing but the C11 standard headers, so that a model checker can run this very code.
 */
#ifndef PGMAP_CORE_WORD_H
#define PGMAP_CORE_WORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic uint64_t word_t;

enum word_state {
	WORD_CLOSED = 0,
	WORD_OPEN = 1,
	WORD_CLAIM = 2,
	WORD_CLOSING = 3,
	WORD_QUARANTINED = 4,
	WORD_HELD = 8,
	WORD_RELEASING = 9
};

#define WORD_COUNT_BITS  27
#define WORD_COUNT_MASK  ((UINT64_C(1) << WORD_COUNT_BITS) - 1)
#define WORD_REF         UINT64_C(1)
#define WORD_PIN         (UINT64_C(1) << WORD_COUNT_BITS)
#define WORD_ORDER_SHIFT (2 * WORD_COUNT_BITS)
#define WORD_ORDER_MASK  (UINT64_C(31) << WORD_ORDER_SHIFT)
#define WORD_FENCE       (UINT64_C(1) << 59)
#define WORD_KIND_SHIFT  60
#define WORD_ACTIVE      (UINT64_C(1) << 63)
#define WORD_LOW_MASK    UINT64_C(0x3fffff) /* the mask of OPEN and CLOSING */
#define WORD_MAX         ((UINT64_C(1) << 24) - 1)

static inline uint64_t word_make(enum word_state state, unsigned order, uint64_t low)
{
	uint64_t top = state == WORD_HELD ? WORD_ACTIVE : (uint64_t)state << WORD_KIND_SHIFT;
	return top | (uint64_t)order << WORD_ORDER_SHIFT | low;
}

static inline uint64_t word_refs(uint64_t w)
{
	return w & WORD_COUNT_MASK;
}

static inline uint64_t word_pins(uint64_t w)
{
	return (w >> WORD_COUNT_BITS) & WORD_COUNT_MASK;
}

static inline unsigned word_order(uint64_t w)
{
	return (unsigned)((w & WORD_ORDER_MASK) >> WORD_ORDER_SHIFT);
}

static inline bool word_is_active(uint64_t w)
{
	return (w & WORD_ACTIVE) != 0;
}

static inline enum word_state word_state(uint64_t w)
{
	if (word_is_active(w))
		return word_refs(w) ? WORD_HELD : WORD_RELEASING;
	return (enum word_state)(w >> WORD_KIND_SHIFT);
}

static inline bool word_is_held(uint64_t w)
{
	return word_state(w) == WORD_HELD;
}

/* A page under it is held, releasing or quarantined: what -EBUSY needs to have seen (c3.9). */
static inline bool word_is_firm(uint64_t w)
{
	return word_is_active(w) || word_state(w) == WORD_QUARANTINED;
}

static inline bool word_is_undecided(uint64_t w)
{
	return !word_is_active(w) && (word_state(w) == WORD_CLAIM || word_state(w) == WORD_CLOSING);
}

static inline bool word_is_open(uint64_t w)
{
	return !word_is_active(w) && word_state(w) == WORD_OPEN;
}

/* Sequentially consistent, as claim.h's proof asks. */
static inline uint64_t word_load(const word_t *word)
{
	return atomic_load_explicit(word, memory_order_seq_cst);
}

/* One that fails acquires: map_release() relies on it when it finds its fence mark gone. */
static inline bool word_claim(word_t *word, uint64_t *old, uint64_t want)
{
	return atomic_compare_exchange_strong_explicit(word, old, want, memory_order_seq_cst, memory_order_seq_cst);
}

/* The end of a claim or of a release, by the only one who may write now. Pairs with word_load() and word_claim(). */
static inline void word_store(word_t *word, uint64_t want)
{
	atomic_store_explicit(word, want, memory_order_release);
}

/* One more reference for somebody who has one. The old word: legal if word_get_ok(). */
static inline uint64_t word_get(word_t *word, uint64_t what)
{
	return atomic_fetch_add_explicit(word, what, memory_order_relaxed);
}

static inline bool word_get_ok(uint64_t old)
{
	return word_is_active(old) && word_refs(old) - 1 < WORD_MAX - 1;
}

/* `n` references, of which `pins` are pins, less. The old word: legal if word_put_ok(), the last if word_put_last(). */
static inline uint64_t word_put(word_t *word, uint64_t n, uint64_t pins)
{
	return atomic_fetch_sub_explicit(word, n * WORD_REF + pins * WORD_PIN, memory_order_acq_rel);
}

static inline bool word_put_ok(uint64_t old, uint64_t n, uint64_t pins)
{
	return word_is_active(old) && word_pins(old) >= pins && word_refs(old) - n >= word_pins(old) - pins &&
	       word_refs(old) >= n;
}

/* The same for one reference that is no pin: more references than pins. */
static inline bool word_put_one_ok(uint64_t old)
{
	return word_is_active(old) && word_refs(old) > word_pins(old);
}

static inline bool word_put_last(uint64_t old, uint64_t n)
{
	return word_refs(old) == n;
}

/* One more reference for somebody who has none: only on a word that is HELD with at least `order`, whichever folio that
 * is. 1: taken. 0: it is not such a word, *old says what it is. -1: it has as many references as it can.
 * The failed exchange may be spurious; nobody waits here, somebody else's change is somebody else's progress. */
static inline int word_tryget(word_t *word, uint64_t *old, unsigned order)
{
	while (word_is_held(*old) && word_order(*old) >= order) {
		if (word_refs(*old) >= WORD_MAX)
			return -1;
		if (atomic_compare_exchange_weak_explicit(word, old, *old + WORD_REF, memory_order_acquire,
							  memory_order_acquire))
			return 1;
	}
	return 0;
}

/* Set or clear the fence mark of a folio that is HELD or QUARANTINED; the word that it replaced, or one that is neither. */
static inline uint64_t word_mark(word_t *word, uint64_t want_fence)
{
	uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
	do {
		if (!word_is_held(old) && word_state(old) != WORD_QUARANTINED)
			return old;
	} while (!atomic_compare_exchange_weak_explicit(word, &old, (old & ~WORD_FENCE) | want_fence,
							memory_order_acq_rel, memory_order_relaxed));
	return old;
}

#endif
