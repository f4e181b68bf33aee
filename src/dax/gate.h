/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gate.h - a door that can be shut while people are inside: who enters is counted, shutting waits for those who run.
 *
 * One word: the top bit says shut, the next one paused, the rest counts who is inside. gate_enter() adds itself first and
 * looks at what it replaced: found shut, it leaves again. So once gate_shut() has set the bit, everybody who found the gate
 * open stands in the count, and the wait for 0 waits for exactly these (and, harmlessly, for some who are just turning
 * back). The leave that finds itself the last under a bit wakes the waiters. Leaving releases, shutting acquires: what was
 * done inside happens before gate_shut() returns.
 *
 * gate_wait_out() waits in the same way for all who are inside, and leaves the gate open: who comes meanwhile waits at
 * the door. What its caller wrote before it, everybody who enters later sees: both change the same word.
 *
 * Thread safety: any thread; gate_wait_out() one call at a time. It, and gate_shut(), must not be called from inside; who is
 * inside must not enter again.
 */
#ifndef PGMAP_DAX_GATE_H
#define PGMAP_DAX_GATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define GATE_SHUT   (UINT64_C(1) << 63)
#define GATE_PAUSED (UINT64_C(1) << 62)
#define GATE_INSIDE (GATE_PAUSED - 1)

struct gate {
	_Atomic uint64_t word;
	pthread_mutex_t lock; /* for the condition only */
	pthread_cond_t changed;
};

static inline void gate_init(struct gate *gate, bool shut)
{
	atomic_init(&gate->word, shut ? GATE_SHUT : 0);
	(void)pthread_mutex_init(&gate->lock, NULL);
	(void)pthread_cond_init(&gate->changed, NULL);
}

static inline void gate_exit(struct gate *gate)
{
	(void)pthread_cond_destroy(&gate->changed);
	(void)pthread_mutex_destroy(&gate->lock);
}

static inline void gate_wake(struct gate *gate)
{
	(void)pthread_mutex_lock(&gate->lock);
	(void)pthread_cond_broadcast(&gate->changed);
	(void)pthread_mutex_unlock(&gate->lock);
}

static inline void gate_leave(struct gate *gate)
{
	uint64_t old = atomic_fetch_sub_explicit(&gate->word, 1, memory_order_release);
	if ((old & (GATE_SHUT | GATE_PAUSED)) && (old & GATE_INSIDE) == 1)
		gate_wake(gate);
}

/* Until the bit is no longer set, or, of all bits, until nobody is inside. */
static inline void gate_await_clear(struct gate *gate, uint64_t bits)
{
	(void)pthread_mutex_lock(&gate->lock);
	while (atomic_load_explicit(&gate->word, memory_order_acquire) & bits)
		(void)pthread_cond_wait(&gate->changed, &gate->lock);
	(void)pthread_mutex_unlock(&gate->lock);
}

static inline bool gate_enter(struct gate *gate)
{
	for (;;) {
		uint64_t old = atomic_fetch_add_explicit(&gate->word, 1, memory_order_acquire);
		if (__builtin_expect(!(old & (GATE_SHUT | GATE_PAUSED)), 1))
			return true;
		gate_leave(gate);
		if (old & GATE_SHUT)
			return false;
		gate_await_clear(gate, GATE_PAUSED);
	}
}

static inline bool gate_is_open(const struct gate *gate)
{
	return !(atomic_load_explicit(&gate->word, memory_order_acquire) & GATE_SHUT);
}

static inline void gate_open(struct gate *gate)
{
	(void)atomic_fetch_and_explicit(&gate->word, ~GATE_SHUT, memory_order_release);
}

/* Nobody enters any more; returns when nobody is inside. */
static inline void gate_shut(struct gate *gate)
{
	(void)atomic_fetch_or_explicit(&gate->word, GATE_SHUT, memory_order_acq_rel);
	gate_await_clear(gate, GATE_INSIDE);
}

/* Returns when all have left who were inside. */
static inline void gate_wait_out(struct gate *gate)
{
	(void)atomic_fetch_or_explicit(&gate->word, GATE_PAUSED, memory_order_acq_rel);
	gate_await_clear(gate, GATE_INSIDE);
	(void)atomic_fetch_and_explicit(&gate->word, ~GATE_PAUSED, memory_order_release);
	gate_wake(gate);
}

#endif
