/* SPDX-License-Identifier: BSD-3-Clause */
/* A number for each thread: its own while it lives, shared beyond 63, given back at its end. */
#include "port/slot.h"

#include <pthread.h>
#include <stdatomic.h>

#include "core_util.h"

enum { CROWD = 80, GENERATIONS = 200 };

static pthread_barrier_t gate;
static pthread_key_t late_key;
static _Atomic unsigned late_slot;

static void *number(void *arg)
{
	unsigned *mine = arg;
	*mine = port_slot();
	return NULL;
}

/* Takes a number, and keeps it until everybody has one. */
static void *number_in_a_crowd(void *arg)
{
	unsigned *mine = arg;
	*mine = port_slot();
	pthread_barrier_wait(&gate);
	if (*mine < PORT_SLOTS && port_slot() != *mine)
		*mine = PORT_SLOTS + 1; /* not kept */
	pthread_barrier_wait(&gate);
	return NULL;
}

static void take_a_number_late(void *value)
{
	(void)value;
	atomic_store(&late_slot, port_slot());
}

static void *number_in_a_destructor(void *arg)
{
	(void)arg;
	(void)port_slot();
	pthread_setspecific(late_key, &late_key);
	return NULL;
}

static unsigned in_a_thread(void *(*fn)(void *))
{
	pthread_t thread;
	unsigned slot = 12345;
	assert_int_equal(pthread_create(&thread, NULL, fn, &slot), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	return slot;
}

static void a_thread_keeps_its_number(void **state)
{
	(void)state;
	unsigned mine = port_slot();
	assert_in_range(mine, 0, PORT_SLOTS - 1);
	assert_int_equal(port_slot_plus_one, mine + 1);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(port_slot(), mine);
	assert_int_not_equal(in_a_thread(number), mine);
}

static void numbers_come_back_when_threads_end(void **state)
{
	(void)state;
	for (unsigned i = 0; i < GENERATIONS; i++)
		assert_in_range(in_a_thread(number), 0, PORT_SLOTS - 1);
}

static void crowd(unsigned slots[CROWD])
{
	pthread_t threads[CROWD];
	assert_int_equal(pthread_barrier_init(&gate, NULL, CROWD + 1), 0);
	for (unsigned i = 0; i < CROWD; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, number_in_a_crowd, &slots[i]), 0);
	pthread_barrier_wait(&gate);
	pthread_barrier_wait(&gate);
	for (unsigned i = 0; i < CROWD; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	pthread_barrier_destroy(&gate);
}

static void no_two_living_threads_have_one_number_and_the_rest_share(void **state)
{
	(void)state;
	unsigned mine = port_slot();
	for (unsigned round = 0; round < 3; round++) {
		unsigned slots[CROWD], uses[PORT_SLOTS + 1] = {0};
		crowd(slots);
		uses[mine]++;
		for (unsigned i = 0; i < CROWD; i++) {
			assert_in_range(slots[i], 0, PORT_SLOTS);
			uses[slots[i]]++;
		}
		for (unsigned slot = 0; slot < PORT_SLOTS; slot++)
			assert_int_equal(uses[slot], 1);
		assert_int_equal(uses[PORT_SLOTS], CROWD + 1 - PORT_SLOTS);
	}
}

static void a_number_taken_in_a_destructor_comes_back_too(void **state)
{
	(void)state;
	assert_int_equal(pthread_key_create(&late_key, take_a_number_late), 0);
	for (unsigned i = 0; i < GENERATIONS; i++) {
		(void)in_a_thread(number_in_a_destructor);
		assert_in_range(atomic_load(&late_slot), 0, PORT_SLOTS - 1);
	}
	pthread_key_delete(late_key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_keeps_its_number),
		cmocka_unit_test(numbers_come_back_when_threads_end),
		cmocka_unit_test(no_two_living_threads_have_one_number_and_the_rest_share),
		cmocka_unit_test(a_number_taken_in_a_destructor_comes_back_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
