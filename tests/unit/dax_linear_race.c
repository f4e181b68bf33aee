/* SPDX-License-Identifier: BSD-3-Clause */
/* A linear stack whose parts come and go, against stacks that are made over it and failures of its pages at the same time. */
#include "linear_util.h"

#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

/* Of a wide stack: to compare two of them takes long. */
enum { WIDE = 100, WIDER = 2000, ROUNDS = 60 };
static struct dax_device *memories[WIDE], *other_memories[WIDER];
static struct dax_device *grows, *besides;

static struct dax_device *memory(uint64_t pages, unsigned granule_order)
{
	const struct dax_params params = {
		.params_bytes = sizeof(params),
		.len_bytes = pages * PAGE,
		.fd = -1,
		.granule_order = granule_order,
	};
	struct dax_device *dax;
	assert_int_equal(dax_create(&params, &dax), 0);
	return dax;
}

static struct dax_device *over_all(struct dax_device *const of[], size_t n)
{
	struct dax_part parts[WIDER];
	for (size_t i = 0; i < n; i++)
		parts[i] = (struct dax_part){of[i], 0, 0};
	return linear(parts, n);
}

static int open_memories(void **state)
{
	(void)state;
	for (size_t i = 0; i < WIDE; i++)
		memories[i] = memory(2, 1);
	for (size_t i = 0; i < WIDER; i++)
		other_memories[i] = memory(2, 1);
	besides = over_all(other_memories, WIDER);
	return 0;
}

static int close_memories(void **state)
{
	(void)state;
	assert_int_equal(dax_destroy(besides), 0);
	for (size_t i = 0; i < WIDE; i++)
		assert_int_equal(dax_destroy(memories[i]), 0);
	for (size_t i = 0; i < WIDER; i++)
		assert_int_equal(dax_destroy(other_memories[i]), 0);
	return 0;
}

static void linger(int round)
{
	for (volatile int i = 0; i < round % 30 * 1000; i++)
		;
}

static int add_part(struct dax_device *part)
{
	int err;
	while ((err = dax_linear_add(grows, &(struct dax_part){part, 0, 0})) == -EBUSY)
		(void)sched_yield(); /* a stack stands on it for a moment */
	return err;
}

static struct dax_device *single;
static atomic_int asked, done; /* rounds */

static void await(atomic_int *counter, int round)
{
	while (atomic_load(counter) != round)
		(void)sched_yield();
}

static void *add_single(void *unused)
{
	(void)unused;
	for (int round = 1; round <= ROUNDS; round++) {
		await(&asked, round);
		linger(round);
		assert_int_equal(add_part(single), 0);
		atomic_store(&done, round);
	}
	return NULL;
}

/* Once it is in the one, no stack can be made of that and itself. */
static void a_device_comes_into_a_stack_once(void **state)
{
	(void)state;
	pthread_t thread;
	atomic_store(&asked, 0);
	atomic_store(&done, 0);
	assert_int_equal(pthread_create(&thread, NULL, add_single, NULL), 0);
	for (int round = 1; round <= ROUNDS; round++) {
		grows = over_all(memories, WIDE);
		single = memory(2, 1);
		const struct dax_part parts[] = {{grows, 0, 0}, {single, 0, 0}, {besides, 0, 0}};
		int err = 0;
		atomic_store(&asked, round);
		for (int try = 0; try < 3 || !err; try++) {
			if (try >= 3)
				await(&done, round);
			struct dax_device *both = NULL;
			err = dax_create_linear(parts, 3, NULL, &both);
			assert_true(err == 0 || err == -EINVAL);
			assert_int_equal(dax_npages(grows), 2 * WIDE + (err ? 2 : 0));
			assert_int_equal(dax_destroy(both), 0);
		}
		assert_int_equal(dax_destroy(grows), 0);
		assert_int_equal(dax_destroy(single), 0);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static atomic_int begun;

static void *build_over(void *unused)
{
	(void)unused;
	const struct dax_part parts[] = {{grows, 0, 0}, {besides, 0, 0}};
	for (int round = 1; round <= ROUNDS; round++) {
		struct dax_device *over = NULL;
		await(&asked, round);
		atomic_store(&begun, round);
		int err = dax_create_linear(parts, 2, NULL, &over);
		assert_true(err == 0 || err == -EINVAL); /* it has lost parts */
		assert_int_equal(dax_destroy(over), 0);
		atomic_store(&done, round);
	}
	return NULL;
}

static int remove_part(struct dax_device *part)
{
	int err;
	while ((err = dax_linear_remove(grows, part)) == -EBUSY)
		(void)sched_yield();
	return err;
}

/* Who still goes through it follows what the allocator wrote over it. */
static void a_part_that_went_can_end_while_stacks_are_made(void **state)
{
	(void)state;
	pthread_t thread;
	(void)mallopt(M_PERTURB, 0xa5);
	const struct dax_part pair[] = {{memory(2, 1), 0, 0}, {memory(2, 1), 0, 0}};
	grows = linear(pair, 2);
	atomic_store(&asked, 0);
	atomic_store(&done, 0);
	assert_int_equal(pthread_create(&thread, NULL, build_over, NULL), 0);
	for (int round = 1; round <= ROUNDS; round++) {
		struct dax_device *part = over_all(memories, WIDE);
		assert_int_equal(add_part(part), 0);
		atomic_store(&asked, round);
		await(&begun, round);
		linger(round);
		assert_int_equal(remove_part(part), 0);
		assert_int_equal(dax_destroy(part), 0);
		await(&done, round);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	(void)mallopt(M_PERTURB, 0);
	assert_int_equal(dax_destroy(grows), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(dax_destroy(pair[i].dax), 0);
}

static void count_told(void *counter, enum dax_failure what, uint64_t pgoff, uint64_t npages)
{
	(void)what, (void)pgoff;
	(void)atomic_fetch_add((atomic_int *)counter, (int)npages);
}

static const struct dax_holder_ops counting_ops = {.ops_bytes = sizeof(counting_ops), .notify_failure = count_told};

/* The last page, as soon as it is there. */
static void *fail_last_page(void *unused)
{
	(void)unused;
	for (int round = 1; round <= ROUNDS; round++) {
		await(&asked, round);
		while (dax_npages(grows) == 2)
			;
		assert_int_equal(dax_notify_failure(grows, DAX_FAILURE_POISON, 2 + 2 * WIDER - 1, 1), 0);
		atomic_store(&done, round);
	}
	return NULL;
}

static void c6_5_pages_that_are_there_are_the_holders(void **state)
{
	(void)state;
	pthread_t thread;
	atomic_int told;
	struct dax_device *first = memory(2, 1);
	atomic_store(&asked, 0);
	atomic_store(&done, 0);
	assert_int_equal(pthread_create(&thread, NULL, fail_last_page, NULL), 0);
	for (int round = 1; round <= ROUNDS; round++) {
		grows = linear(&(struct dax_part){first, 0, 0}, 1);
		atomic_init(&told, 0);
		assert_int_equal(dax_hold(grows, &told, &counting_ops), 0);
		atomic_store(&asked, round);
		assert_int_equal(add_part(besides), 0);
		await(&done, round);
		assert_int_equal(atomic_load(&told), 1);
		assert_int_equal(dax_release(grows, &told), 0);
		assert_int_equal(dax_destroy(grows), 0);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(dax_destroy(first), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_memories, close_memories)
	static const struct CMUnitTest tests[] = {
		TEST(a_device_comes_into_a_stack_once),
		TEST(a_part_that_went_can_end_while_stacks_are_made),
		TEST(c6_5_pages_that_are_there_are_the_holders),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
