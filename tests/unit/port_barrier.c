/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two threads, each of which stores its own and loads the other's: with the pair of barriers between, one of them sees
 * the other's store. Tried with a system barrier, without one, and in a child of fork(), which has to register anew.
 */
#include "port/barrier.h"

#include <pthread.h>

#include "core_util.h"

enum { ROUNDS = 20000 };

struct litmus {
	_Alignas(128) _Atomic unsigned x;
	_Alignas(128) _Atomic unsigned y;
	_Alignas(128) _Atomic unsigned round; /* the light side follows the heavy one */
	_Alignas(128) _Atomic unsigned done;
	void (*light)(void);
	unsigned saw_x[ROUNDS]; /* by round: 0, the other's store was not seen */
	unsigned saw_y[ROUNDS];
};

static void light(void)
{
	port_light();
}

static void *light_side(void *arg)
{
	struct litmus *l = arg;
	for (unsigned i = 1; i <= ROUNDS; i++) {
		for (unsigned tries = 0; atomic_load_explicit(&l->round, memory_order_acquire) != i; tries++)
			if (tries > 1000)
				sched_yield();
		atomic_store_explicit(&l->x, i, memory_order_relaxed);
		l->light();
		l->saw_y[i - 1] = atomic_load_explicit(&l->y, memory_order_relaxed) == i;
		atomic_store_explicit(&l->done, i, memory_order_release);
	}
	return NULL;
}

/* How many rounds had neither side see the other. */
static unsigned run_litmus(void (*light_barrier)(void), void (*heavy_barrier)(void))
{
	struct litmus *l = aligned_alloc(128, (sizeof(*l) + 127) / 128 * 128);
	if (!l)
		return ROUNDS;
	memset(l, 0, sizeof(*l));
	l->light = light_barrier;
	pthread_t thread;
	if (pthread_create(&thread, NULL, light_side, l) != 0)
		return ROUNDS;
	for (unsigned i = 1; i <= ROUNDS; i++) {
		atomic_store_explicit(&l->round, i, memory_order_release);
		for (volatile unsigned wait = 0; wait < i % 64; wait++)
			;
		atomic_store_explicit(&l->y, i, memory_order_relaxed);
		heavy_barrier();
		l->saw_x[i - 1] = atomic_load_explicit(&l->x, memory_order_relaxed) == i;
		for (unsigned tries = 0; atomic_load_explicit(&l->done, memory_order_acquire) != i; tries++)
			if (tries > 1000)
				sched_yield();
	}
	pthread_join(thread, NULL);
	unsigned blind = 0;
	for (unsigned i = 0; i < ROUNDS; i++)
		blind += !l->saw_x[i] && !l->saw_y[i];
	free(l);
	return blind;
}

static void the_light_and_the_heavy_barrier_are_a_pair(void **state)
{
	(void)state;
	port_barrier_init();
	assert_int_equal(run_litmus(light, port_heavy), 0);
}

static void without_a_system_barrier_the_light_one_is_a_fence(void **state)
{
	(void)state;
	port_barrier_init();
	bool saved = port_no_membarrier;
	port_no_membarrier = true;
	unsigned blind = run_litmus(light, port_heavy);
	port_no_membarrier = saved;
	assert_int_equal(blind, 0);
}

static void a_fence_is_a_pair_with_itself(void **state)
{
	(void)state;
	assert_int_equal(run_litmus(port_fence, port_fence), 0);
}

static void pair_in_child(void *arg)
{
	(void)arg;
	CHILD_CHECK(run_litmus(light, port_heavy) == 0);
}

static void a_child_of_fork_has_the_pair_too(void **state)
{
	(void)state;
	port_barrier_init();
	expect_child_passes(pair_in_child, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_light_and_the_heavy_barrier_are_a_pair),
		cmocka_unit_test(without_a_system_barrier_the_light_one_is_a_fence),
		cmocka_unit_test(a_fence_is_a_pair_with_itself),
		cmocka_unit_test(a_child_of_fork_has_the_pair_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
