/* SPDX-License-Identifier: BSD-3-Clause */
/* The live count and the state word: who is counted where, who wins, and that no generation comes back. */
#include "core/live.h"

#include <pthread.h>

#include "core_util.h"

#include "core/map.h"

enum { ADDERS = 3, ADDITIONS = 50000, LIVES = 2000 };

static struct live live;

static void *add_own(void *arg)
{
	unsigned slot = (unsigned)(uintptr_t)arg;
	for (int i = 0; i < ADDITIONS; i++) {
		live_add(&live, slot, 512);
		live_add(&live, LIVE_SHARED, 1);
		live_add(&live, slot, -511);
		live_add(&live, LIVE_SHARED, -1);
	}
	return NULL;
}

static void c2_13_the_count_is_the_sum_over_the_slots_which_may_be_negative(void **state)
{
	(void)state;
	memset(&live, 0, sizeof(live));
	assert_int_equal(live_sum(&live), 0);
	live_add(&live, 0, 512);
	live_add(&live, LIVE_SLOTS - 2, -512);
	live_add(&live, LIVE_SHARED, 7);
	assert_int_equal(live_sum(&live), 7);
	assert_int_equal(atomic_load(&live.slots[LIVE_SLOTS - 2].pages), -512);
	live_add_own(&live, 3, -7);
	assert_int_equal(live_sum(&live), 0);
	assert_int_equal(sizeof(struct live_slot), 64);
}

static void c2_11_threads_count_in_their_own_slot_and_in_the_shared_one(void **state)
{
	(void)state;
	pthread_t threads[ADDERS];
	memset(&live, 0, sizeof(live));
	for (uintptr_t i = 0; i < ADDERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_own, (void *)i), 0);
	for (unsigned i = 0; i < ADDERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(live_sum(&live), ADDERS * ADDITIONS);
	assert_int_equal(atomic_load(&live.slots[LIVE_SHARED].pages), 0);
}

static void c2_4_kill_is_once_and_only_from_live(void **state)
{
	(void)state;
	memset(&live, 0, sizeof(live));
	assert_true(live_admitted(&live));
	assert_false(live_is_dying(&live));
	live_kill(&live);
	assert_int_equal(live_state(&live), LIVE_DYING);
	assert_false(live_admitted(&live));
	assert_true(live_is_dying(&live));
	live_kill(&live);
	assert_int_equal(live_state(&live), LIVE_DYING);
	assert_int_equal(live_try_die(&live, live_state(&live)), 1);
	live_kill(&live);
	assert_int_equal(live_state_of(live_state(&live)), LIVE_DEAD);
	assert_false(live_admitted(&live));
	assert_false(live_is_dying(&live));
}

static void c2_8_revive_makes_a_new_generation_from_dying_only(void **state)
{
	(void)state;
	uint64_t found;
	memset(&live, 0, sizeof(live));
	assert_false(live_revive(&live, &found));
	assert_int_equal(live_state_of(found), LIVE_LIVE);
	for (uint64_t generation = 0; generation < 100; generation++) {
		assert_true(live_state(&live) == generation << 2);
		live_kill(&live);
		assert_true(live_state(&live) == (generation << 2 | LIVE_DYING));
		assert_true(live_revive(&live, &found));
	}
	live_kill(&live);
	assert_int_equal(live_try_die(&live, live_state(&live)), 1);
	assert_false(live_revive(&live, &found));
	assert_int_equal(live_state_of(found), LIVE_DEAD);
}

static void c2_3_death_needs_a_sum_of_0_and_the_generation_that_was_seen(void **state)
{
	(void)state;
	uint64_t found;
	memset(&live, 0, sizeof(live));
	live_kill(&live);
	uint64_t seen = live_state(&live);
	live_add(&live, 5, 1);
	assert_int_equal(live_try_die(&live, seen), 0);
	assert_true(live_state(&live) == seen);
	assert_false(live_was_last(&live));
	live_add(&live, 6, -1);
	assert_true(live_was_last(&live));
	assert_true(live_revive(&live, &found));
	live_kill(&live);
	assert_int_equal(live_try_die(&live, seen), -1); /* it was another dying */
	assert_int_equal(live_state_of(live_state(&live)), LIVE_DYING);
	assert_int_equal(live_try_die(&live, live_state(&live)), 1);
	assert_int_equal(live_try_die(&live, seen), -1);
}

static pthread_barrier_t gate;
static int died, revived;

static void *die(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < LIVES; i++) {
		pthread_barrier_wait(&gate);
		uint64_t seen = live_state(&live);
		died = live_state_of(seen) == LIVE_DYING && live_try_die(&live, seen) == 1;
		pthread_barrier_wait(&gate);
	}
	return NULL;
}

static void c2_9_of_death_and_revival_exactly_one_wins(void **state)
{
	(void)state;
	pthread_t thread;
	uint64_t found;
	memset(&live, 0, sizeof(live));
	assert_int_equal(pthread_barrier_init(&gate, NULL, 2), 0);
	assert_int_equal(pthread_create(&thread, NULL, die, NULL), 0);
	for (unsigned i = 0; i < LIVES; i++) {
		atomic_store(&live.state, (uint64_t)i << 3 | LIVE_DYING);
		pthread_barrier_wait(&gate);
		revived = live_revive(&live, &found);
		pthread_barrier_wait(&gate);
		assert_int_equal(died + revived, 1);
		assert_int_equal(live_state_of(live_state(&live)), revived ? LIVE_LIVE : LIVE_DEAD);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	pthread_barrier_destroy(&gate);
}

static void c2_11_a_count_that_readers_see_below_0_is_said_as_none(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	live_add(&pgmap->live, LIVE_SHARED, -5); /* a put that was seen, of a request that was not */
	assert_int_equal(pgmap_live_pages(pgmap), 0);
	live_add(&pgmap->live, LIVE_SHARED, 5);
	end_pgmap(pgmap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c2_13_the_count_is_the_sum_over_the_slots_which_may_be_negative),
		cmocka_unit_test(c2_11_threads_count_in_their_own_slot_and_in_the_shared_one),
		cmocka_unit_test(c2_4_kill_is_once_and_only_from_live),
		cmocka_unit_test(c2_8_revive_makes_a_new_generation_from_dying_only),
		cmocka_unit_test(c2_3_death_needs_a_sum_of_0_and_the_generation_that_was_seen),
		cmocka_unit_test(c2_9_of_death_and_revival_exactly_one_wins),
		cmocka_unit_test(c2_11_a_count_that_readers_see_below_0_is_said_as_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
