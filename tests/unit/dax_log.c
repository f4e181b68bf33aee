/* SPDX-License-Identifier: BSD-3-Clause */
/* A write log: what was written and flushed, in order and with contents, and any prefix of it done again. */
#include "stack_util.h"

#include <pthread.h>

static struct bottom bottom, copy;
static struct dax_device *dax;

static int open_log(void **state)
{
	(void)state;
	bottom_open(&bottom, 16, 0);
	bottom_open(&copy, 16, 0);
	assert_int_equal(dax_create_log(bottom.dax, 0, NULL, &dax), 0);
	return 0;
}

static int close_log(void **state)
{
	(void)state;
	assert_int_equal(dax_destroy(dax), 0);
	bottom_close(&bottom);
	bottom_close(&copy);
	return 0;
}

static struct dax_log_entry seen[16];
static char seen_data[16];
static int nseen;

static int look(const struct dax_log_entry *entry, void *arg)
{
	(void)arg;
	assert_true(nseen < 16);
	seen_data[nseen] = entry->data ? *(const char *)entry->data : entry->text ? entry->text[0] : 0;
	seen[nseen++] = *entry;
	return nseen == 15 ? 9 : 0;
}

static void look_again(void)
{
	nseen = 0;
	assert_int_equal(dax_log_for_each(dax, look, NULL), 0);
}

static void it_is_as_the_device_below(void **state)
{
	(void)state;
	struct dax_device *none = NULL;
	struct dax_span span;
	char byte;
	assert_int_equal(dax_create_log(NULL, 0, NULL, &none), -EINVAL);
	assert_int_equal(dax_create_log(bottom.dax, 2, NULL, &none), -EINVAL);
	assert_int_equal(dax_create_log(bottom.dax, 0, NULL, NULL), -EINVAL);
	assert_int_equal(dax_log_mark(bottom.dax, "x"), -EINVAL);
	assert_int_equal(dax_log_mark(dax, NULL), -EINVAL);
	assert_int_equal(dax_log_for_each(bottom.dax, look, NULL), -EINVAL);
	assert_int_equal(dax_log_for_each(dax, NULL, NULL), -EINVAL);
	assert_int_equal(dax_log_replay(dax, 1, dax), -EINVAL);
	assert_int_equal(dax_log_replay(dax, 1, NULL), -EINVAL);
	assert_int_equal(dax_log_replay(copy.dax, 1, dax), -EINVAL);
	assert_int_equal(dax_log_clear(copy.dax), -EINVAL);
	assert_lies(dax, 3, 99, &bottom, 3, 13);
	assert_int_equal(dax_populate(dax, 0, 1), 0);
	assert_int_equal(dax_copy_from(dax, 0, &byte, 1), 1);
	look_again();
	assert_int_equal(nseen, 0); /* nothing was written */
	assert_int_equal(dax_kill(bottom.dax), 0);
	assert_int_equal(dax_direct_access(dax, 0, 1, &span), -ENXIO);
	assert_int_equal(dax_copy_to(dax, 0, &byte, 1), -ENXIO);
	look_again();
	assert_int_equal(nseen, 0);
}

static void what_is_written_is_recorded_in_order(void **state)
{
	(void)state;
	char page[PAGE];
	memset(page, 'p', sizeof(page));
	assert_int_equal(dax_copy_to(dax, 100, "abc", 3), 3);
	assert_int_equal(dax_flush(dax, 0, PAGE), 0);
	assert_int_equal(dax_log_mark(dax, "mark"), 0);
	assert_int_equal(dax_zero_range(dax, 2, 3), 0);
	assert_int_equal(dax_recovery_write(dax, PAGE, page, PAGE), PAGE);
	assert_int_equal(dax_discard(dax, 5, 1), 0);
	assert_int_equal(dax_notify_failure(dax, DAX_FAILURE_POISON, 1, 1), 0);
	assert_int_equal(dax_copy_to(dax, PAGE - 2, "defg", 4), 2); /* short */
	assert_int_equal(dax_copy_to(dax, PAGE, "h", 1), -EIO);     /* not at all */
	look_again();
	static const struct dax_log_entry want[] = {
		{DAX_LOG_WRITE, 100, 3, NULL, NULL},      {DAX_LOG_FLUSH, 0, PAGE, NULL, NULL},
		{DAX_LOG_MARK, 0, 0, NULL, NULL},         {DAX_LOG_ZERO, 2 * PAGE, 3 * PAGE, NULL, NULL},
		{DAX_LOG_WRITE, PAGE, PAGE, NULL, NULL},  {DAX_LOG_DISCARD, 5 * PAGE, PAGE, NULL, NULL},
		{DAX_LOG_WRITE, PAGE - 2, 2, NULL, NULL},
	};
	assert_int_equal(nseen, 7);
	for (int i = 0; i < 7; i++) {
		assert_int_equal(seen[i].kind, want[i].kind);
		assert_int_equal(seen[i].offset_bytes, want[i].offset_bytes);
		assert_int_equal(seen[i].len_bytes, want[i].len_bytes);
	}
	assert_memory_equal(seen_data, "a\0m\0p\0d", 7);
	assert_int_equal(dax_log_clear(dax), 0);
	look_again();
	assert_int_equal(nseen, 0);
}

static void what_failed_on_its_way_is_recorded_as_far_as_it_came(void **state)
{
	(void)state;
	struct bottom parts[2];
	struct dax_device *stack, *fault, *log = NULL;
	for (int striped = 0; striped < 2; striped++) {
		bottom_open(&parts[0], 8, 0);
		bottom_open(&parts[1], 8, 0);
		const struct dax_part two[] = {{parts[0].dax, 0, 0}, {parts[1].dax, 0, 0}};
		assert_int_equal(striped ? dax_create_stripe(two, 2, 4, NULL, &stack)
					 : dax_create_linear(two, 2, NULL, &stack),
				 0);
		assert_int_equal(dax_create_fault(stack, NULL, &fault), 0);
		assert_int_equal(dax_fault_keep_poison(fault, true), 0);
		assert_int_equal(dax_create_log(fault, 0, NULL, &log), 0);
		memset(parts[0].bytes, 'x', 8 * PAGE);
		parts[0].answer = parts[1].answer = -EIO;
		assert_int_equal(dax_notify_failure(stack, DAX_FAILURE_POISON, 2, 1), 0);
		assert_int_equal(dax_zero_range(log, 1, 3), -EIO); /* pages before the bad one */
		assert_int_equal(dax_kill(parts[1].dax), 0);
		assert_int_equal(dax_zero_range(log, 3, 13), -ENXIO);
		uint64_t far = striped ? PAGE : 5 * PAGE;
		assert_true(parts[0].bytes[2 * PAGE] == 'x' && parts[0].bytes[3 * PAGE] == 0);
		assert_true(parts[0].bytes[7 * PAGE] == (striped ? 'x' : 0));
		assert_int_equal(dax_zero_range(log, 2, 4), -EIO); /* nothing */
		nseen = 0;
		assert_int_equal(dax_log_for_each(log, look, NULL), 0);
		assert_true(nseen == 2 && seen[0].offset_bytes == PAGE && seen[0].len_bytes == PAGE);
		assert_true(seen[1].kind == DAX_LOG_ZERO && seen[1].offset_bytes == 3 * PAGE &&
			    seen[1].len_bytes == far);
		assert_int_equal(dax_destroy(log), 0);
		assert_int_equal(dax_destroy(fault), 0);
		assert_int_equal(dax_destroy(stack), 0);
		bottom_close(&parts[0]);
		bottom_close(&parts[1]);
	}
}

static void any_prefix_can_be_done_again(void **state)
{
	(void)state;
	static char model[9][16 * PAGE]; /* the device after so many entries */
	char page[PAGE];
	for (int i = 0; i < 8; i++) {
		memset(page, 'A' + i, sizeof(page));
		if (i == 5)
			assert_int_equal(dax_zero_range(dax, 1, 2), 0);
		else
			assert_int_equal(dax_copy_to(dax, (uint64_t)i * 1500, page, PAGE), PAGE);
		memcpy(model[i + 1], bottom.bytes, sizeof(model[0]));
	}
	for (uint64_t n = 0; n <= 8; n++) {
		memset(copy.bytes, 0, sizeof(model[0]));
		assert_int_equal(dax_log_replay(dax, n, copy.dax), 0);
		assert_memory_equal(copy.bytes, model[n], sizeof(model[0]));
	}
	memset(copy.bytes, 0, sizeof(model[0]));
	assert_int_equal(dax_log_replay(dax, UINT64_MAX, copy.dax), 0);
	assert_memory_equal(copy.bytes, model[8], sizeof(model[0]));
	assert_int_equal(dax_kill(copy.dax), 0);
	assert_int_equal(dax_log_replay(dax, 3, copy.dax), -ENXIO);
}

static void what_it_would_log_itself_is_not_done_again(void **state)
{
	(void)state;
	struct dax_device *fault, *above;
	assert_int_equal(dax_create_fault(dax, NULL, &fault), 0);
	assert_int_equal(dax_create_log(fault, 0, NULL, &above), 0);
	assert_int_equal(dax_copy_to(above, 0, "a", 1), 1);
	assert_int_equal(dax_log_replay(dax, 1, dax), -EINVAL);
	assert_int_equal(dax_log_replay(dax, 1, fault), -EINVAL);
	assert_int_equal(dax_log_replay(dax, 1, above), -EINVAL);
	assert_int_equal(dax_log_replay(above, 1, dax), 0); /* below it */
	assert_int_equal(dax_destroy(above), 0);
	assert_int_equal(dax_destroy(fault), 0);
}

static struct dax_device *held_up, *other_log;
static int held_up_answer;

/* While the first log is being done again on the other: the other on the first. */
static void *replay_back(void *arg)
{
	(void)arg;
	held_up_answer = dax_log_replay(other_log, UINT64_MAX, held_up);
	return NULL;
}

static int discard_meanwhile(void *ctx, uint64_t offset, uint64_t len)
{
	pthread_t thread;
	(void)ctx, (void)offset, (void)len;
	assert_int_equal(pthread_create(&thread, NULL, replay_back, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(dax_log_clear(held_up), 0); /* what is being done again is there until it is done */
	return 0;
}

static int populate_nothing(void *ctx, uint64_t offset, uint64_t len)
{
	(void)ctx, (void)offset, (void)len;
	return 0;
}

static void logs_are_done_again_on_one_another(void **state)
{
	(void)state;
	static const struct dax_device_ops ops = {
		.ops_bytes = sizeof(ops), .populate = populate_nothing, .discard = discard_meanwhile};
	const struct dax_params params = {
		.params_bytes = sizeof(params), .type = PGMAP_FSDAX, .len_bytes = 16 * PAGE, .fd = -1, .ops = &ops};
	struct dax_device *target;
	assert_int_equal(dax_create(&params, &target), 0);
	assert_int_equal(dax_create_log(copy.dax, 0, NULL, &other_log), 0);
	held_up = dax;
	held_up_answer = -1;
	assert_int_equal(dax_log_mark(other_log, "mark"), 0);
	assert_int_equal(dax_copy_to(other_log, 0, "o", 1), 1);
	assert_int_equal(dax_zero_range(dax, 3, 1), 0);
	assert_int_equal(dax_log_mark(dax, "mark"), 0);
	assert_int_equal(dax_log_replay(dax, UINT64_MAX, target), 0); /* its discard does the other meanwhile */
	assert_int_equal(held_up_answer, 0);
	assert_int_equal(bottom.bytes[0], 'o');
	look_again();
	assert_int_equal(nseen, 0);
	assert_int_equal(dax_destroy(other_log), 0);
	assert_int_equal(dax_destroy(target), 0);
}

static void c6_1_no_direct_access_past_the_log(void **state)
{
	(void)state;
	struct dax_device *strict;
	struct dax_span span;
	assert_int_equal(dax_destroy(dax), 0);
	assert_int_equal(dax_create_log(bottom.dax, DAX_LOG_NO_DIRECT, "strict", &strict), 0);
	assert_int_equal(dax_direct_access(strict, 0, 0, &span), -EINVAL);
	assert_int_equal(dax_direct_access(strict, 16, 1, &span), -ERANGE);
	assert_int_equal(dax_direct_access(strict, 0, 1, &span), -EOPNOTSUPP);
	assert_int_equal(dax_notify_failure(strict, DAX_FAILURE_POISON, 0, 1), 0);
	assert_int_equal(dax_direct_access(strict, 0, 1, &span), -EOPNOTSUPP); /* before -EHWPOISON */
	assert_int_equal(dax_copy_to(strict, PAGE, "z", 1), 1);
	assert_int_equal(dax_kill(bottom.dax), 0);
	assert_int_equal(dax_direct_access(strict, 0, 1, &span), -ENXIO); /* before -EOPNOTSUPP */
	assert_int_equal(dax_destroy(strict), 0);
	dax = NULL;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_log, close_log)
	static const struct CMUnitTest tests[] = {
		TEST(it_is_as_the_device_below),
		TEST(what_is_written_is_recorded_in_order),
		TEST(what_failed_on_its_way_is_recorded_as_far_as_it_came),
		TEST(any_prefix_can_be_done_again),
		TEST(what_it_would_log_itself_is_not_done_again),
		TEST(logs_are_done_again_on_one_another),
		TEST(c6_1_no_direct_access_past_the_log),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
