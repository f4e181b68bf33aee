/* SPDX-License-Identifier: BSD-3-Clause */
/* Waiting for a word to change, and waking who does. */
#include "port/futex.h"

#include <pthread.h>
#include <time.h>

#include "core_util.h"

enum { WAITERS = 3 };

static _Atomic uint32_t word;
static _Atomic pid_t tids[WAITERS];
static int answers[WAITERS];

static void *wait_for_the_word(void *arg)
{
	size_t i = (size_t)(uintptr_t)arg;
	atomic_store(&tids[i], gettid());
	while (atomic_load(&word) == 7)
		answers[i] = port_futex_wait(&word, 7, UINT64_MAX);
	return NULL;
}

static void a_word_that_has_changed_is_not_waited_for(void **state)
{
	(void)state;
	atomic_store(&word, 1);
	assert_int_equal(port_futex_wait(&word, 2, UINT64_MAX), 0);
}

static void a_deadline_that_has_passed_is_told(void **state)
{
	(void)state;
	atomic_store(&word, 1);
	assert_int_equal(port_futex_wait(&word, 1, 0), -ETIMEDOUT);
	assert_int_equal(port_futex_wait(&word, 1, port_now_ns()), -ETIMEDOUT);
	uint64_t deadline = port_now_ns() + 2000000;
	int r;
	while ((r = port_futex_wait(&word, 1, deadline)) == 0)
		assert_true(port_now_ns() < deadline + UINT64_C(60000000000)); /* spurious wakes, but not for ever */
	assert_int_equal(r, -ETIMEDOUT);
	assert_true(port_now_ns() >= deadline);
}

static void a_wake_wakes_all_who_wait_and_leaves_errno(void **state)
{
	(void)state;
	pthread_t threads[WAITERS];
	atomic_store(&word, 7);
	for (size_t i = 0; i < WAITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, wait_for_the_word, (void *)(uintptr_t)i), 0);
	for (size_t i = 0; i < WAITERS; i++) {
		pid_t tid;
		while ((tid = atomic_load(&tids[i])) == 0)
			sched_yield();
		await_futex(tid, (const void *)&word);
	}
	atomic_store(&word, 8);
	errno = 4711;
	port_futex_wake_all(&word);
	assert_int_equal(errno, 4711);
	for (size_t i = 0; i < WAITERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(answers[i], 0);
	}
}

static void the_clock_is_the_monotonic_one_in_nanoseconds(void **state)
{
	(void)state;
	struct timespec before, after;
	clock_gettime(CLOCK_MONOTONIC, &before);
	uint64_t now = port_now_ns();
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true(now >= (uint64_t)before.tv_sec * 1000000000 + (uint64_t)before.tv_nsec);
	assert_true(now <= (uint64_t)after.tv_sec * 1000000000 + (uint64_t)after.tv_nsec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_word_that_has_changed_is_not_waited_for),
		cmocka_unit_test(a_deadline_that_has_passed_is_told),
		cmocka_unit_test(a_wake_wakes_all_who_wait_and_leaves_errno),
		cmocka_unit_test(the_clock_is_the_monotonic_one_in_nanoseconds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
