/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gate.h - a door that can be shut while people are inside: who enters is counted, shutting waits for those who run.
 *
 * Who enters counts in a slot of the calling thread (port/slot.h), with a plain load and store, so that those who pass at the same time do not meet; threads beyond those share the
 * last slot, with an atomic addition. Who leaves uncounts in the same slot, so no slot is ever below 0, and a sum of 0 says
 * that each was 0 when it was read. Whoever shuts pays for that: one barrier in every thread of the process (port/barrier.h), and
 * a look at all slots.
 *
 * No insider is missed. Entering: count; light barrier; read the word. Shutting: set a bit of the word; heavy barrier; sum. Of
 * "store one's own, barrier, read the other's" one sees the other: who read the word without the bit is in the sum; who comes
 * later reads the bit, and turns back (which the sum may see for a moment: harmless).
 *
 * No wake-up is lost. Leaving: uncount; light barrier; read the word. So either the sum sees the uncount, or the leaver sees the
 * bit; then it wakes under the lock, which the shutter has from its sum until it sleeps.
 *
 * The uncount releases, the sum acquires: what was done inside happens before gate_shut() and gate_wait_out() return. Opening
 * releases, and entering acquires: what was written before gate_open(), or before gate_wait_out(), everybody sees who enters
 * later; and who entered before that was waited for.
 *
 * gate_wait_out() waits in the same way for all who are inside, and leaves the gate open: who comes meanwhile waits at the door.
 *
 * Thread safety: any thread; gate_wait_out() one call at a time. It, and gate_shut(), must not be called from inside; who is
 * inside must not enter again.
 */
#ifndef PGMAP_DAX_GATE_H
#define PGMAP_DAX_GATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "port/barrier.h"
#include "port/compiler.h"
#include "port/slot.h"

enum { GATE_SHUT = 1, GATE_PAUSED = 2 };
enum { GATE_SLOTS = PORT_SLOTS + 1, GATE_STRIDE = 64 / sizeof(uint64_t) };

struct gate {
	_Atomic uint32_t word;
	pthread_mutex_t lock; /* for the condition only */
	pthread_cond_t changed;
	_Atomic uint64_t inside[GATE_SLOTS * GATE_STRIDE]; /* one in each stride: no two in one cache line */
};

void gate_init(struct gate *gate, bool shut);
void gate_exit(struct gate *gate);

static inline void gate_count(struct gate *gate, unsigned slot, uint64_t n)
{
	_Atomic uint64_t *inside = &gate->inside[(size_t)slot * GATE_STRIDE];
	if (unlikely(slot == PORT_SLOTS))
		(void)atomic_fetch_add_explicit(inside, n, memory_order_release);
	else
		atomic_store_explicit(inside, atomic_load_explicit(inside, memory_order_relaxed) + n,
				      memory_order_release);
	port_light();
}

/* Both are rare; out of the way of who enters and leaves. */
void gate_wake(struct gate *gate);
bool gate_wait_to_enter(struct gate *gate, unsigned *slot);

static inline void gate_leave(struct gate *gate, unsigned slot)
{
	gate_count(gate, slot, UINT64_MAX);
	if (unlikely(atomic_load_explicit(&gate->word, memory_order_relaxed)))
		gate_wake(gate);
}

/* Counted, and found open? If not, gate_leave() is due. */
static inline bool gate_try_enter(struct gate *gate, unsigned *slot)
{
	*slot = port_slot();
	gate_count(gate, *slot, 1);
	return likely(!atomic_load_explicit(&gate->word, memory_order_acquire));
}

/* gate_enter - false: it is shut. *slot is for gate_leave(). */
static inline bool gate_enter(struct gate *gate, unsigned *slot)
{
	return likely(gate_try_enter(gate, slot)) || gate_wait_to_enter(gate, slot);
}

static inline bool gate_is_open(const struct gate *gate)
{
	return !(atomic_load_explicit(&gate->word, memory_order_acquire) & GATE_SHUT);
}

static inline void gate_open(struct gate *gate)
{
	(void)atomic_fetch_and_explicit(&gate->word, ~(uint32_t)GATE_SHUT, memory_order_release);
}

/* Nobody enters any more; returns when nobody is inside. */
void gate_shut(struct gate *gate);
/* Returns when all have left who were inside. */
void gate_wait_out(struct gate *gate);

#endif
