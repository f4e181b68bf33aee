/* SPDX-License-Identifier: BSD-3-Clause */
/* gate.c - see gate.h: what is done at a gate by whoever is not just passing. */
#include "dax/gate.h"

void gate_init(struct gate *gate, bool shut)
{
	port_barrier_init();
	atomic_init(&gate->word, shut ? GATE_SHUT : 0);
	for (size_t i = 0; i < GATE_SLOTS; i++)
		atomic_init(&gate->inside[i * GATE_STRIDE], 0);
	(void)pthread_mutex_init(&gate->lock, NULL);
	(void)pthread_cond_init(&gate->changed, NULL);
}

void gate_exit(struct gate *gate)
{
	(void)pthread_cond_destroy(&gate->changed);
	(void)pthread_mutex_destroy(&gate->lock);
}

void gate_wake(struct gate *gate)
{
	(void)pthread_mutex_lock(&gate->lock);
	(void)pthread_cond_broadcast(&gate->changed);
	(void)pthread_mutex_unlock(&gate->lock);
}

static void await_open(struct gate *gate)
{
	(void)pthread_mutex_lock(&gate->lock);
	while (atomic_load_explicit(&gate->word, memory_order_acquire) == GATE_PAUSED)
		(void)pthread_cond_wait(&gate->changed, &gate->lock);
	(void)pthread_mutex_unlock(&gate->lock);
}

bool gate_wait_to_enter(struct gate *gate, unsigned *slot)
{
	do {
		gate_leave(gate, *slot);
		if (!gate_is_open(gate))
			return false;
		await_open(gate);
	} while (!gate_try_enter(gate, slot));
	return true;
}

static uint64_t inside(const struct gate *gate)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < GATE_SLOTS; i++)
		sum += atomic_load_explicit(&gate->inside[i * GATE_STRIDE], memory_order_acquire);
	return sum;
}

/* With the bit set nobody new is inside; returns when those who are have left. */
static void await_all(struct gate *gate, uint32_t bit)
{
	(void)atomic_fetch_or_explicit(&gate->word, bit, memory_order_seq_cst);
	port_heavy();
	(void)pthread_mutex_lock(&gate->lock);
	while (inside(gate))
		(void)pthread_cond_wait(&gate->changed, &gate->lock);
	(void)pthread_mutex_unlock(&gate->lock);
}

void gate_shut(struct gate *gate)
{
	await_all(gate, GATE_SHUT);
	gate_wake(gate);
}

void gate_wait_out(struct gate *gate)
{
	await_all(gate, GATE_PAUSED);
	(void)atomic_fetch_and_explicit(&gate->word, ~(uint32_t)GATE_PAUSED, memory_order_release);
	gate_wake(gate);
}
