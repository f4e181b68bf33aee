/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gate.h - a door that can be shut while people are inside: who enters is counted, shutting waits for those who run.
 *
 * One word: the top bit says shut, the rest counts who is inside. gate_enter() adds itself first and looks at what it
 * replaced: found shut, it leaves again. So once gate_shut() has set the bit, everybody who found the gate open stands
 * in the count, and the wait for 0 waits for exactly these (and, harmlessly, for some who are just turning back). The
 * leave that finds itself the last under the bit wakes the waiters. Leaving releases, shutting acquires: what was done
 * inside happens before gate_shut() returns.
 *
 * Thread safety: any thread. gate_shut() must not be called from inside.
 */
#ifndef PGMAP_DAX_GATE_H
#define PGMAP_DAX_GATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define GATE_SHUT (UINT64_C(1) << 63)

struct gate {
	_Atomic uint64_t word;
	pthread_mutex_t lock; /* for the condition only */
	pthread_cond_t empty;
};

static inline void gate_init(struct gate *gate, bool shut)
{
	atomic_init(&gate->word, shut ? GATE_SHUT : 0);
	(void)pthread_mutex_init(&gate->lock, NULL);
	(void)pthread_cond_init(&gate->empty, NULL);
}

static inline void gate_exit(struct gate *gate)
{
	(void)pthread_cond_destroy(&gate->empty);
	(void)pthread_mutex_destroy(&gate->lock);
}

static inline void gate_leave(struct gate *gate)
{
	if (atomic_fetch_sub_explicit(&gate->word, 1, memory_order_release) != (GATE_SHUT | 1))
		return;
	(void)pthread_mutex_lock(&gate->lock);
	(void)pthread_cond_broadcast(&gate->empty);
	(void)pthread_mutex_unlock(&gate->lock);
}

static inline bool gate_enter(struct gate *gate)
{
	if (!(atomic_fetch_add_explicit(&gate->word, 1, memory_order_acquire) & GATE_SHUT))
		return true;
	gate_leave(gate);
	return false;
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
	(void)pthread_mutex_lock(&gate->lock);
	while (atomic_load_explicit(&gate->word, memory_order_acquire) != GATE_SHUT)
		(void)pthread_cond_wait(&gate->empty, &gate->lock);
	(void)pthread_mutex_unlock(&gate->lock);
}

#endif
