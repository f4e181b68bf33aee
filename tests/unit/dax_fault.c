/* SPDX-License-Identifier: BSD-3-Clause */
/* A device that fails as it is told: bad pages that are found out, delays, death after so many accesses. */
#include "stack_util.h"

#include <pthread.h>
#include <time.h>

static struct bottom bottom;
static struct dax_device *fault, *dax; /* dax: pages 4 to 19 of fault */
static struct holder holder;

static int open_stack(void **state)
{
	(void)state;
	bottom_open(&bottom, 32, 0);
	assert_int_equal(dax_create_fault(bottom.dax, NULL, &fault), 0);
	assert_int_equal(dax_create_linear(&(struct dax_part){fault, 4, 16}, 1, NULL, &dax), 0);
	memset(&holder, 0, sizeof(holder));
	assert_int_equal(dax_hold(dax, &holder, &holder_ops), 0);
	return 0;
}

static int close_stack(void **state)
{
	(void)state;
	assert_int_equal(dax_release(dax, &holder), 0);
	assert_int_equal(dax_destroy(dax), 0);
	assert_int_equal(dax_destroy(fault), 0);
	bottom_close(&bottom);
	return 0;
}

static void it_is_as_the_device_below_until_told(void **state)
{
	(void)state;
	struct dax_device *none = NULL;
	assert_int_equal(dax_create_fault(NULL, NULL, &none), -EINVAL);
	assert_int_equal(dax_create_fault(bottom.dax, NULL, NULL), -EINVAL);
	assert_int_equal(dax_fault_poison(dax, 0, 1), -EINVAL); /* no fault device */
	assert_int_equal(dax_fault_poison(NULL, 0, 1), -EINVAL);
	assert_int_equal(dax_fault_poison(fault, 0, 0), -EINVAL);
	assert_int_equal(dax_fault_poison(fault, 31, 2), -ERANGE);
	assert_int_equal(dax_fault_delay(bottom.dax, 1), -EINVAL);
	assert_int_equal(dax_fault_dead_after(bottom.dax, 1), -EINVAL);
	assert_int_equal(dax_fault_keep_poison(bottom.dax, true), -EINVAL);
	assert_string_equal(dax_name(fault), "fault");
	assert_int_equal(dax_npages(fault), 32);
	assert_lies(dax, 0, 100, &bottom, 4, 16);
	assert_lies(fault, 3, 100, &bottom, 3, 29);
	assert_int_equal(dax_populate(dax, 1, 2), 0);
	assert_true(bottom.populates == 1 && bottom.offset == 5 * PAGE && bottom.len == 2 * PAGE);
	touch_page(dax, 3);
	assert_int_equal(holder.freed[3], 1);
	assert_int_equal(dax_kill(bottom.dax), 0);
	assert_int_equal(dax_create_fault(bottom.dax, NULL, &none), -ENXIO);
	assert_null(none);
}

static void c6_5_who_touches_a_bad_page_finds_out(void **state)
{
	(void)state;
	char buf[8 * PAGE];
	struct dax_span span;
	assert_int_equal(dax_fault_poison(fault, 6, 2), 0); /* 2 and 3 of dax */
	assert_int_equal(dax_direct_access(dax, 0, 16, &span), 16);
	assert_int_equal(holder.calls, 0);
	assert_int_equal(dax_copy_from(dax, 0, buf, 2 * PAGE), 2 * PAGE);
	assert_int_equal(holder.calls, 0);
	assert_int_equal(dax_copy_from(dax, 0, buf, 3 * PAGE), 2 * PAGE); /* page 2 is touched, 3 is not */
	assert_true(holder.calls == 1 && only_pages(holder.poisoned, 2, 1));
	assert_int_equal(dax_copy_from(dax, 2 * PAGE, buf, 10), -EIO);
	assert_int_equal(holder.calls, 1);
	assert_int_equal(dax_direct_access(dax, 0, 16, &span), 2);
	assert_int_equal(dax_copy_to(dax, 4 * PAGE - 1, buf, 2), -EIO);
	assert_true(holder.calls == 2 && only_pages(holder.poisoned, 2, 2));
}

static void c6_5_writing_over_it_clears_it(void **state)
{
	(void)state;
	char buf[4 * PAGE] = {0};
	struct dax_span span;
	assert_int_equal(dax_fault_poison(fault, 6, 4), 0);
	assert_int_equal(dax_copy_from(dax, 2 * PAGE, buf, 1), -EIO);
	assert_int_equal(dax_recovery_write(dax, 2 * PAGE, buf, 2 * PAGE), 2 * PAGE); /* one found, one not */
	assert_int_equal(dax_zero_range(dax, 4, 1), 0);
	assert_int_equal(bottom.clears, 0); /* the device below was not asked */
	assert_int_equal(dax_copy_from(dax, 2 * PAGE, buf, 4 * PAGE), 3 * PAGE);
	assert_true(only_pages(holder.poisoned, 2, 1) == 0 && holder.poisoned[3] == 0 && holder.poisoned[5] == 1);
	assert_int_equal(dax_fault_keep_poison(fault, true), 0);
	bottom.answer = -EOPNOTSUPP;
	assert_int_equal(dax_recovery_write(dax, 5 * PAGE, buf, PAGE), -EOPNOTSUPP);
	assert_int_equal(bottom.clears, 1);
	assert_int_equal(dax_fault_poison(fault, 10, 1), 0);
	assert_int_equal(dax_zero_range(dax, 6, 1), -EOPNOTSUPP); /* found out by it */
	assert_int_equal(holder.poisoned[6], 1);
	bottom.answer = 0;
	assert_int_equal(dax_zero_range(dax, 5, 2), 0);
	assert_int_equal(dax_direct_access(dax, 0, 16, &span), 16);
}

static void c6_5_a_copy_finds_out_what_it_comes_to(void **state)
{
	(void)state;
	char buf[8 * PAGE];
	struct dax_span span;
	assert_int_equal(dax_fault_poison(fault, 5, 1), 0);
	assert_int_equal(dax_fault_poison(fault, 9, 1), 0);
	assert_int_equal(dax_copy_from(fault, 4 * PAGE, buf, 8 * PAGE), PAGE);
	assert_true(holder.calls == 1 && only_pages(holder.poisoned, 1, 1));
	assert_int_equal(dax_direct_access(dax, 5, 1, &span), 1);
	assert_int_equal(dax_copy_to(fault, 8 * PAGE - 1, buf, 2 * PAGE), 1 + PAGE);
	assert_true(holder.calls == 2 && holder.poisoned[5] == 1);
	assert_int_equal(dax_fault_poison(fault, 6, 1), 0);
	assert_int_equal(dax_copy_from(fault, 5 * PAGE, buf, 2 * PAGE),
			 -EIO); /* known to be bad: it comes no further */
	assert_int_equal(holder.calls, 2);
}

static void c6_5_what_a_device_below_keeps_it_keeps(void **state)
{
	(void)state;
	static char buf[PAGE];
	struct dax_device *outer;
	bottom.answer = -EOPNOTSUPP;
	assert_int_equal(dax_create_fault(fault, NULL, &outer), 0);
	assert_int_equal(dax_fault_poison(outer, 5, 1), 0);
	assert_int_equal(dax_copy_from(outer, 5 * PAGE, buf, 1), -EIO);
	assert_int_equal(dax_fault_keep_poison(fault, true), 0);
	assert_int_equal(dax_recovery_write(outer, 5 * PAGE, buf, PAGE), -EOPNOTSUPP);
	assert_int_equal(bottom.clears, 1);
	assert_int_equal(dax_fault_keep_poison(fault, false), 0);
	assert_int_equal(dax_recovery_write(outer, 5 * PAGE, buf, PAGE), PAGE);
	assert_int_equal(bottom.clears, 1);
	assert_int_equal(dax_destroy(outer), 0);
}

/* The device below ends the write. */
static void c6_5_what_was_not_written_stays_secretly_bad(void **state)
{
	(void)state;
	static char buf[8 * PAGE];
	struct dax_device *outer;
	bottom.answer = -EOPNOTSUPP;
	assert_int_equal(dax_create_fault(fault, NULL, &outer), 0);
	assert_int_equal(dax_fault_keep_poison(fault, true), 0);
	assert_int_equal(dax_notify_failure(bottom.dax, DAX_FAILURE_POISON, 6, 1), 0);
	assert_int_equal(dax_fault_poison(outer, 5, 1), 0);
	assert_int_equal(dax_fault_poison(outer, 7, 1), 0);
	assert_int_equal(dax_recovery_write(outer, 4 * PAGE, buf, 4 * PAGE), 2 * PAGE);
	assert_int_equal(dax_zero_range(outer, 6, 2), -EOPNOTSUPP);
	assert_int_equal(dax_copy_from(outer, 4 * PAGE, buf, 2 * PAGE), 2 * PAGE); /* 5 was */
	assert_int_equal(dax_copy_from(outer, 7 * PAGE, buf, PAGE), -EIO);
	assert_int_equal(dax_destroy(outer), 0);
}

static void c6_3_dead_after_so_many_accesses(void **state)
{
	(void)state;
	struct dax_span span;
	char byte = 0;
	assert_int_equal(dax_fault_dead_after(fault, 4), 0);
	assert_int_equal(dax_direct_access(dax, 0, 1, &span), 1);
	assert_int_equal(dax_copy_from(dax, 0, &byte, 1), 1);
	assert_int_equal(dax_discard(dax, 0, 1), 0); /* no access */
	assert_int_equal(dax_flush(dax, 0, 1), 0);
	assert_int_equal(dax_populate(fault, 0, 1), 0);
	assert_int_equal(holder.calls, 0);
	assert_int_equal(dax_direct_access(dax, 0, 1, &span), -ENXIO);
	assert_true(holder.calls == 1 && only_pages(holder.dead, 0, 16));
	assert_int_equal(dax_copy_to(dax, 0, &byte, 1), -ENXIO);
	assert_true(!dax_alive(fault) && !dax_alive(dax) && dax_alive(bottom.dax));
	assert_int_equal(dax_discard(dax, 0, 1), 0);
	assert_int_equal(dax_kill(fault), 0);
	assert_int_equal(holder.calls, 1);
}

enum { THREADS = 4, LEFT = 1000 };
static int succeeded[THREADS];

static void *access_until_dead(void *arg)
{
	struct dax_span span;
	int *count = arg;
	while (dax_direct_access(dax, 1, 1, &span) == 1)
		++*count;
	return NULL;
}

static void c6_3_of_many_exactly_so_many(void **state)
{
	(void)state;
	pthread_t threads[THREADS];
	int sum = 0;
	memset(succeeded, 0, sizeof(succeeded));
	assert_int_equal(dax_fault_dead_after(fault, LEFT), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, access_until_dead, &succeeded[i]), 0);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		sum += succeeded[i];
	}
	assert_int_equal(sum, LEFT);
	assert_int_equal(holder.calls, 1);
}

static void an_access_takes_as_long_as_it_is_told(void **state)
{
	(void)state;
	struct timespec before, after;
	struct dax_span span;
	assert_int_equal(dax_fault_delay(fault, 3000000), 0);
	(void)clock_gettime(CLOCK_MONOTONIC, &before);
	assert_int_equal(dax_direct_access(dax, 0, 1, &span), 1);
	(void)clock_gettime(CLOCK_MONOTONIC, &after);
	int64_t took = (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec;
	assert_true(took >= 3000000); /* never less, whatever the machine does */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_stack, close_stack)
	static const struct CMUnitTest tests[] = {
		TEST(it_is_as_the_device_below_until_told),    TEST(c6_5_who_touches_a_bad_page_finds_out),
		TEST(c6_5_writing_over_it_clears_it),          TEST(c6_5_a_copy_finds_out_what_it_comes_to),
		TEST(c6_5_what_a_device_below_keeps_it_keeps), TEST(c6_5_what_was_not_written_stays_secretly_bad),
		TEST(c6_3_dead_after_so_many_accesses),        TEST(c6_3_of_many_exactly_so_many),
		TEST(an_access_takes_as_long_as_it_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
