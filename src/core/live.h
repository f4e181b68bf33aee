/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * live.h - the live count of a pgmap and the state that it guards: the one place to look at teardown (c2.13).
 *
 * Pages are counted in slots. A slot belongs to one thread, which adds to it with a plain load and store; one slot more
 * (LIVE_SHARED) is for everybody else, with an atomic addition. Slots may be negative, their sum may not. A request counts
 * its pages before it claims them and uncounts them when it fails; the release of a folio uncounts after the last write
 * to its word. Splits and quarantine change nothing (c2.11).
 *
 * The state word is a generation above two bits of state:
 *      kill:    (g, LIVE)  -> (g, DYING)         revive: (g, DYING) -> (g + 1, LIVE)
 *      drain:   (g, DYING) -> (g, DEAD)  by compare-and-swap, after a sum of 0 that was read with (g, DYING) in place
 *
 * Two claims, both of the shape "store one's own, barrier, load the other's": of two such threads, one sees the other.
 *
 * Claim 1, no success after death. Request: count (live_add); light barrier; state is LIVE (live_admitted).
 * Drain: state is DYING (live_state); heavy barrier (LIVE_HEAVY); sum (live_sum). If the request saw LIVE, the sum sees
 * its pages. So after the barrier, every folio there is or will be has been counted where the sum looks; counts that
 * come later belong to requests that will fail and uncount in the same slot (same location: never seen before
 * the count). A sum thus never misses a page that is held; and a sum of 0 means that every uncount was seen, so none is.
 * The exchange to (g, DEAD) fails if anybody revived since (the generation is never used again): between the sum and the
 * death no request was admitted, so what was 0 still is.
 *
 * Claim 2, no lost wake-up. Uncount (live_add); light barrier; state (live_is_dying). Drain: as above. Either the sum
 * sees the uncount, or the uncounter sees DYING; then it sums too, after a full fence (live_was_last). Of several uncounters, the last
 * one in the order of these fences sees all of the others' uncounts: one of them finds 0 and wakes. Whoever finds 0
 * bumps the wake word before it wakes, and so does whoever revives or finds it dead, after its move; the drainer
 * read that word before it read the state and the sum, and sleeps only while it has not changed.
 *
 * Barriers. LIVE_LIGHT and LIVE_HEAVY are an asymmetric pair (as in P1202, "asymmetric fences"): as C11 both are a
 * sequentially consistent fence. A build with a system barrier names a header with its own (LIVE_BARRIERS, port/barrier.h):
 * there LIVE_LIGHT is a compiler barrier and LIVE_HEAVY that system barrier, so that requests and puts pay nothing.
 *
 * An uncount is a release (pairs with the acquire of live_sum()): all that happened to the folios happens before DEAD.
 *
 * Nothing but the C11 standard headers, so that a model checker can run this very code.
 */
#ifndef PGMAP_CORE_LIVE_H
#define PGMAP_CORE_LIVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef LIVE_BARRIERS
#include LIVE_BARRIERS
#else
#define LIVE_LIGHT() atomic_thread_fence(memory_order_seq_cst)
#define LIVE_HEAVY() atomic_thread_fence(memory_order_seq_cst)
#define LIVE_FENCE() atomic_thread_fence(memory_order_seq_cst)
#endif

#ifndef LIVE_SLOTS
#define LIVE_SLOTS 64
#endif
#define LIVE_SHARED (LIVE_SLOTS - 1) /* index of the slot that is nobody's own */

struct live_slot {
	_Alignas(64) _Atomic int64_t pages;
};

struct live {
	_Atomic uint64_t state; /* generation << 2 | enum live_state */
	_Atomic uint32_t wake;  /* changes whenever a drainer should look again */
	struct live_slot slots[LIVE_SLOTS];
};

enum live_state { LIVE_LIVE = 0, LIVE_DYING = 1, LIVE_DEAD = 2 };

static inline enum live_state live_state_of(uint64_t state)
{
	return (enum live_state)(state & 3);
}

static inline uint64_t live_state(const struct live *live)
{
	return atomic_load_explicit(&live->state, memory_order_seq_cst);
}

/* Count (n > 0) or uncount in the calling thread's own slot. */
static inline void live_add_own(struct live *live, unsigned slot, int64_t n)
{
	_Atomic int64_t *pages = &live->slots[slot].pages;
	int64_t now = atomic_load_explicit(pages, memory_order_relaxed) + n;
	atomic_store_explicit(pages, now, memory_order_release);
}

/* The same, or in LIVE_SHARED. */
static inline void live_add(struct live *live, unsigned slot, int64_t n)
{
	if (slot == LIVE_SHARED)
		atomic_fetch_add_explicit(&live->slots[slot].pages, n, memory_order_release);
	else
		live_add_own(live, slot, n);
}

/* Request, after its count and its claim: may it succeed? */
static inline bool live_admitted(const struct live *live)
{
	LIVE_LIGHT();
	return live_state_of(live_state(live)) == LIVE_LIVE;
}

static inline int64_t live_sum(const struct live *live)
{
	int64_t sum = 0;
	for (unsigned i = 0; i < LIVE_SLOTS; i++)
		sum += atomic_load_explicit(&live->slots[i].pages, memory_order_acquire);
	return sum;
}

/* After an uncount: may a drainer be waiting? Then live_was_last() decides. */
static inline bool live_is_dying(const struct live *live)
{
	LIVE_LIGHT();
	return live_state_of(live_state(live)) == LIVE_DYING;
}

/* After an uncount that found the pgmap dying: is it for the caller to bump the wake word and wake the drainers? */
static inline bool live_was_last(const struct live *live)
{
	LIVE_FENCE();
	return live_sum(live) == 0;
}

static inline bool live_move(struct live *live, uint64_t *old, uint64_t want)
{
	return atomic_compare_exchange_strong_explicit(&live->state, old, want, memory_order_seq_cst,
						       memory_order_seq_cst);
}

/* LIVE to DYING. Whatever it was, it is not LIVE of that generation afterwards. */
static inline void live_kill(struct live *live)
{
	uint64_t old = live_state(live);
	while (live_state_of(old) == LIVE_LIVE && !live_move(live, &old, old | LIVE_DYING))
		;
}

/* DYING to LIVE of the next generation. True if this call did it; else *old says what was found. */
static inline bool live_revive(struct live *live, uint64_t *old)
{
	*old = live_state(live);
	while (live_state_of(*old) == LIVE_DYING)
		if (live_move(live, old, ((*old >> 2) + 1) << 2 | LIVE_LIVE))
			return true;
	return false;
}

/* Drain, with `seen` (g, DYING) read by the caller before its LIVE_HEAVY(): is it over? 1 DEAD now, 0 folios are held,
 * -1 somebody moved the state first. */
static inline int live_try_die(struct live *live, uint64_t seen)
{
	if (live_sum(live) != 0)
		return 0;
	return live_move(live, &seen, (seen & ~UINT64_C(3)) | LIVE_DEAD) ? 1 : -1;
}

#endif
