/* SPDX-License-Identifier: BSD-3-Clause */
/* Stacks with no memory to spare: whichever allocation fails, the call says so, and what was there is as it was. */
#include "failing.h"
#include "stack_util.h"

static struct bottom a, b;
static struct dax_device *made;

static int open_two(void **state)
{
	(void)state;
	bottom_open(&a, 64, 1);
	bottom_open(&b, 64, 0);
	return 0;
}

static int close_two(void **state)
{
	(void)state;
	bottom_close(&a); /* no stack stands on it */
	bottom_close(&b);
	return 0;
}

static int make_linear(void)
{
	const struct dax_part parts[] = {{a.dax, 0, 0}, {b.dax, 2, 8}};
	return dax_create_linear(parts, 2, NULL, &made);
}

static int make_stripe(void)
{
	const struct dax_part parts[] = {{a.dax, 0, 0}, {b.dax, 0, 0}};
	return dax_create_stripe(parts, 2, 8, NULL, &made);
}

static int make_fault(void)
{
	return dax_create_fault(a.dax, NULL, &made);
}

static int make_log(void)
{
	return dax_create_log(a.dax, 0, NULL, &made);
}

/* The first allocation fails, then the second, until none does. */
static void every_allocation_fails_once(int (*make)(void))
{
	unsigned long nth = 1;
	int err = -ENOMEM;
	for (; err; nth++) {
		made = NULL;
		failing_begin(nth, false);
		err = make();
		bool did = failing_end();
		assert_int_equal(err, did ? -ENOMEM : 0);
		assert_true(did == !made);
	}
	assert_true(nth > 2);
	assert_int_equal(dax_destroy(made), 0);
}

static void a_stack_is_made_or_not(void **state)
{
	(void)state;
	every_allocation_fails_once(make_linear);
	every_allocation_fails_once(make_stripe);
	every_allocation_fails_once(make_fault);
	every_allocation_fails_once(make_log);
}

static int count_runs(uint64_t pgoff, uint64_t npages, void *arg)
{
	(void)pgoff;
	*(uint64_t *)arg += npages;
	return 0;
}

static void c6_5_a_list_is_told_or_not(void **state)
{
	(void)state;
	int err = -ENOMEM;
	assert_int_equal(make_stripe(), 0);
	for (uint64_t page = 0; page < 64; page += 2)
		assert_int_equal(dax_notify_failure(b.dax, DAX_FAILURE_POISON, page, 1), 0);
	for (unsigned long nth = 1; err; nth++) {
		uint64_t pages = 0;
		failing_begin(nth, false);
		err = dax_for_each_poisoned(made, count_runs, &pages);
		assert_int_equal(err, failing_end() ? -ENOMEM : 0);
		assert_int_equal(pages, err ? 0 : 32);
	}
	assert_int_equal(dax_destroy(made), 0);
}

static void c6_5_what_was_recorded_is_told_whatever_fails(void **state)
{
	(void)state;
	static const uint64_t pieces[] = {4 * PAGE, 4 * PAGE};
	struct dax_params params = {
		.params_bytes = sizeof(params), .type = PGMAP_FSDAX, .len_bytes = 8 * PAGE, .fd = -1};
	struct dax_device *dax;
	int err = -ENOMEM;
	uint64_t in_part = 0;
	params.pieces_bytes = pieces;
	params.npieces = 2;
	for (unsigned long nth = 1; err; nth++) {
		struct holder holder = {0};
		uint64_t pages = 0;
		assert_int_equal(dax_create(&params, &dax), 0);
		assert_int_equal(dax_hold(dax, &holder, &holder_ops), 0);
		failing_begin(nth, false);
		err = dax_notify_failure(dax, DAX_FAILURE_POISON, 2, 4);
		assert_int_equal(err, failing_end() ? -ENOMEM : 0);
		assert_int_equal(dax_for_each_poisoned(dax, count_runs, &pages), 0);
		assert_true(only_pages(holder.poisoned, 2, pages));
		in_part += pages == 2;
		assert_int_equal(dax_release(dax, &holder), 0);
		assert_int_equal(dax_destroy(dax), 0);
	}
	assert_true(in_part > 0);
}

static int count_entries(const struct dax_log_entry *entry, void *arg)
{
	(void)entry;
	++*(int *)arg;
	return 0;
}

static void what_cannot_be_recorded_is_not_written(void **state)
{
	(void)state;
	int entries = 0, written = 0;
	assert_int_equal(make_log(), 0);
	for (int i = 0; i < 200; i++) {
		failing_begin(1 + i % 3, false);
		int64_t n = dax_copy_to(made, (uint64_t)i * 64, "x", 1);
		bool did = failing_end();
		assert_int_equal(n, did ? -ENOMEM : 1);
		assert_int_equal(a.bytes[i * 64], did ? 0 : 'x');
		written += !did;
	}
	failing_begin(1, false);
	assert_int_equal(dax_log_mark(made, "mark"), -ENOMEM);
	(void)failing_end();
	assert_int_equal(dax_log_for_each(made, count_entries, &entries), 0);
	assert_true(entries == written && written > 0 && written < 200);
	assert_int_equal(dax_destroy(made), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_two, close_two)
	static const struct CMUnitTest tests[] = {
		TEST(a_stack_is_made_or_not),
		TEST(c6_5_a_list_is_told_or_not),
		TEST(c6_5_what_was_recorded_is_told_whatever_fails),
		TEST(what_cannot_be_recorded_is_not_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
