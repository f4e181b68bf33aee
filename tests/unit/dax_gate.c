/* SPDX-License-Identifier: BSD-3-Clause */
/* A gate: shut, nobody is inside; who waits until all are out, waits for all; also where there are more threads than slots. */
#include "dax/gate.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

enum { PASSERS = 2, ROUNDS = 1000, PLANTED_ROUNDS = 100000, CROWD = PORT_SLOTS + 8 };

static struct gate gate;
static _Atomic int inside[CROWD];
static atomic_bool stop;
static atomic_bool closed; /* only while the gate is shut */
static atomic_bool found;

/* The bug that is planted: the word is read before the own count can be seen, as without barriers a CPU may do it. */
static bool planted;

static bool enter(unsigned *slot)
{
	if (!planted)
		return gate_enter(&gate, slot);
	bool open = gate_is_open(&gate);
	(void)sched_yield();
	if (open) {
		*slot = port_slot();
		gate_count(&gate, *slot, 1);
	}
	return open;
}

static void *pass(void *arg)
{
	unsigned slot;
	(void)arg;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		if (!enter(&slot))
			continue;
		if (atomic_load_explicit(&closed, memory_order_relaxed))
			atomic_store(&found, true);
		gate_leave(&gate, slot);
	}
	return NULL;
}

/* Whether anybody was ever inside of the shut gate, in so many rounds. */
static bool found_inside(unsigned rounds)
{
	pthread_t threads[PASSERS];
	gate_init(&gate, false);
	atomic_store(&stop, false);
	atomic_store(&found, false);
	for (unsigned i = 0; i < PASSERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, pass, NULL), 0);
	for (unsigned round = 0; round < rounds && !atomic_load(&found); round++) {
		gate_shut(&gate);
		atomic_store_explicit(&closed, true, memory_order_relaxed);
		(void)sched_yield();
		atomic_store_explicit(&closed, false, memory_order_relaxed);
		gate_open(&gate);
		(void)sched_yield();
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < PASSERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	gate_exit(&gate);
	return atomic_load(&found);
}

static void nobody_is_inside_of_a_shut_gate(void **state)
{
	(void)state;
	assert_false(found_inside(ROUNDS));
}

static void who_looks_before_it_counts_is_found_out(void **state)
{
	(void)state;
	planted = true;
	bool caught = found_inside(PLANTED_ROUNDS);
	planted = false;
	assert_true(caught);
}

/* What is behind the gate: whoever is inside has the one that is valid. */
static _Atomic int valid[2];
static _Atomic unsigned which, wrong;

static void *use(void *arg)
{
	unsigned slot;
	(void)arg;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		assert_true(gate_enter(&gate, &slot));
		unsigned mine = atomic_load_explicit(&which, memory_order_relaxed);
		for (unsigned look = 0; look < 8; look++)
			if (!atomic_load_explicit(&valid[mine], memory_order_relaxed))
				atomic_fetch_add(&wrong, 1);
		gate_leave(&gate, slot);
	}
	return NULL;
}

static void what_was_replaced_is_nobodys_once_all_are_out(void **state)
{
	(void)state;
	pthread_t threads[PASSERS];
	gate_init(&gate, false);
	atomic_store(&stop, false);
	atomic_store(&valid[0], 1);
	for (unsigned i = 0; i < PASSERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use, NULL), 0);
	for (unsigned round = 1; round <= ROUNDS; round++) {
		unsigned old = atomic_load_explicit(&which, memory_order_relaxed);
		atomic_store_explicit(&valid[!old], 1, memory_order_relaxed);
		atomic_store_explicit(&which, !old, memory_order_relaxed);
		gate_wait_out(&gate);
		atomic_store_explicit(&valid[old], 0, memory_order_relaxed);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < PASSERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(atomic_load(&wrong), 0);
	gate_exit(&gate);
}

static pthread_barrier_t all_inside;

static void *stay(void *arg)
{
	_Atomic int *mine = arg;
	unsigned slot;
	assert_true(gate_enter(&gate, &slot));
	atomic_store(mine, slot == PORT_SLOTS ? 2 : 1);
	(void)pthread_barrier_wait(&all_inside);
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		;
	atomic_store(mine, 0);
	gate_leave(&gate, slot);
	return NULL;
}

static void more_threads_than_slots_are_waited_for_too(void **state)
{
	(void)state;
	pthread_t threads[CROWD];
	unsigned shared = 0, slot;
	gate_init(&gate, false);
	atomic_store(&stop, false);
	assert_int_equal(pthread_barrier_init(&all_inside, NULL, CROWD + 1), 0);
	for (unsigned i = 0; i < CROWD; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, stay, (void *)&inside[i]), 0);
	(void)pthread_barrier_wait(&all_inside);
	for (unsigned i = 0; i < CROWD; i++)
		shared += atomic_load(&inside[i]) == 2;
	assert_true(shared >= 8);
	atomic_store(&stop, true); /* they leave while it waits */
	gate_shut(&gate);
	for (unsigned i = 0; i < CROWD; i++)
		assert_int_equal(atomic_load(&inside[i]), 0);
	assert_false(gate_enter(&gate, &slot));
	for (unsigned i = 0; i < CROWD; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	(void)pthread_barrier_destroy(&all_inside);
	gate_exit(&gate);
}

static void it_begins_open_or_shut_and_can_be_opened_again(void **state)
{
	(void)state;
	unsigned slot;
	gate_init(&gate, true);
	assert_false(gate_is_open(&gate));
	assert_false(gate_enter(&gate, &slot));
	gate_open(&gate);
	assert_true(gate_is_open(&gate));
	assert_true(gate_enter(&gate, &slot));
	gate_leave(&gate, slot);
	gate_wait_out(&gate);
	assert_true(gate_is_open(&gate));
	gate_shut(&gate);
	gate_shut(&gate);
	assert_false(gate_enter(&gate, &slot));
	gate_exit(&gate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_begins_open_or_shut_and_can_be_opened_again),
		cmocka_unit_test(nobody_is_inside_of_a_shut_gate),
		cmocka_unit_test(who_looks_before_it_counts_is_found_out),
		cmocka_unit_test(what_was_replaced_is_nobodys_once_all_are_out),
		cmocka_unit_test(more_threads_than_slots_are_waited_for_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
