/* SPDX-License-Identifier: BSD-3-Clause */
/* Zeros, copies and flushes: what they answer, in which order, on memory that is mapped here and on some that is not. */
#include "stack_util.h"

static struct bottom bottom;

static int open_one(void **state)
{
	(void)state;
	bottom_open_at(&bottom, 2, 16, 0);
	return 0;
}

static int close_one(void **state)
{
	(void)state;
	bottom_close(&bottom);
	return 0;
}

static void c6_1_arguments_then_range_then_death(void **state)
{
	(void)state;
	struct dax_device *dax = bottom.dax;
	char buf[2 * PAGE] = {0};
	for (int dead = 0; dead < 2; dead++) {
		assert_int_equal(dax_copy_from(NULL, 0, buf, 1), -EINVAL);
		assert_int_equal(dax_copy_from(dax, 0, NULL, 1), -EINVAL);
		assert_int_equal(dax_copy_from(dax, UINT64_MAX, buf, 0), -EINVAL); /* before -ERANGE */
		assert_int_equal(dax_copy_to(dax, 16 * PAGE, buf, 1), -ERANGE);
		assert_int_equal(dax_copy_to(dax, 16 * PAGE - 1, buf, 2), -ERANGE);
		assert_int_equal(dax_copy_to(dax, 1, buf, UINT64_MAX), -ERANGE);
		assert_int_equal(dax_recovery_write(dax, 1, buf, PAGE), -EINVAL);
		assert_int_equal(dax_recovery_write(dax, 16 * PAGE, buf, PAGE), -ERANGE);
		assert_int_equal(dax_flush(dax, 0, 0), -EINVAL);
		assert_int_equal(dax_flush(dax, 16 * PAGE, 1), -ERANGE);
		assert_int_equal(dax_zero_range(dax, 0, 0), -EINVAL);
		assert_int_equal(dax_zero_range(dax, 15, 2), -ERANGE);
		assert_int_equal(dax_zero_range(NULL, 0, 1), -EINVAL);
		assert_int_equal(dax_copy_from(dax, 0, buf, 1), dead ? -ENXIO : 1); /* before anything else */
		assert_int_equal(dax_copy_to(dax, 0, buf, 1), dead ? -ENXIO : 1);
		assert_int_equal(dax_recovery_write(dax, 0, buf, PAGE), dead ? -ENXIO : PAGE);
		assert_int_equal(dax_flush(dax, 0, 1), dead ? -ENXIO : 0);
		assert_int_equal(dax_zero_range(dax, 0, 1), dead ? -ENXIO : 0);
		assert_int_equal(dax_kill(dax), 0);
	}
}

static void bytes_go_in_and_out_where_they_belong(void **state)
{
	(void)state;
	char in[PAGE], out[PAGE];
	memset(in, 'y', sizeof(in));
	assert_int_equal(dax_copy_to(bottom.dax, 3 * PAGE + 100, in, sizeof(in)), PAGE);
	assert_memory_equal(bottom.bytes + 5 * PAGE + 100, in, PAGE);
	assert_int_equal(bottom.bytes[5 * PAGE + 99] | bottom.bytes[6 * PAGE + 100], 0);
	assert_int_equal(dax_copy_from(bottom.dax, 3 * PAGE + 100, out, sizeof(out)), PAGE);
	assert_memory_equal(in, out, PAGE);
	assert_int_equal(dax_zero_range(bottom.dax, 4, 1), 0);
	assert_true(bottom.bytes[6 * PAGE - 1] == 'y' && bottom.bytes[6 * PAGE] == 0);
	assert_int_equal(dax_flush(bottom.dax, 10, 20), 0);
	assert_true(bottom.flushes == 1 && bottom.offset == 2 * PAGE + 10 && bottom.len == 20);
	bottom.answer = -EIO;
	assert_int_equal(dax_flush(bottom.dax, 10, 20), -EIO);
}

static void memory_that_is_not_mapped_is_zeroed_by_its_ops(void **state)
{
	(void)state;
	struct dax_params params = {
		.params_bytes = sizeof(params), .type = PGMAP_FSDAX, .len_bytes = 8 * PAGE, .fd = -1};
	struct dax_device *dax;
	char byte = 0;
	assert_int_equal(dax_create(&params, &dax), 0);
	assert_int_equal(dax_copy_from(dax, 0, &byte, 1), -EOPNOTSUPP);
	assert_int_equal(dax_copy_to(dax, 0, &byte, 1), -EOPNOTSUPP);
	assert_int_equal(dax_zero_range(dax, 0, 1), -EOPNOTSUPP);
	assert_int_equal(dax_flush(dax, 0, 1), 0); /* nothing is to be done for it */
	assert_int_equal(dax_destroy(dax), 0);
	params.ops = &bottom_ops;
	params.ctx = &bottom;
	assert_int_equal(dax_create(&params, &dax), 0);
	memset(bottom.bytes, 'z', 8 * PAGE);
	assert_int_equal(dax_zero_range(dax, 2, 3), 0);
	assert_true(bottom.discards == 1 && bottom.populates == 1 && bottom.offset == 2 * PAGE &&
		    bottom.len == 3 * PAGE);
	bottom.answer = -ENOSPC;
	assert_int_equal(dax_zero_range(dax, 2, 3), -ENOSPC);
	bottom.answer = 0;
	assert_int_equal(dax_notify_failure(dax, DAX_FAILURE_POISON, 5, 1), 0);
	assert_int_equal(dax_zero_range(dax, 2, 3), 0); /* another page is bad */
	assert_int_equal(dax_zero_range(dax, 3, 3), -EOPNOTSUPP);
	assert_int_equal(dax_destroy(dax), 0);
}

static void structs_of_earlier_versions_are_right(void **state)
{
	(void)state;
	struct dax_params params = {.len_bytes = 8 * PAGE, .fd = -1};
	struct dax_device *dax = NULL;
	size_t first = offsetof(struct dax_params, name) + sizeof(params.name);
	params.params_bytes = first - 1;
	assert_int_equal(dax_create(&params, &dax), -EINVAL);
	params.params_bytes = sizeof(params) + 1;
	assert_int_equal(dax_create(&params, &dax), -EINVAL);
	params.params_bytes = first;
	assert_int_equal(dax_create(&params, &dax), 0);
	assert_int_equal(dax_destroy(dax), 0);
	struct dax_device_ops ops = bottom_ops;
	params.ops = &ops;
	for (size_t cut = 1; cut < sizeof(int (*)(void)); cut++) { /* there was never one of this size */
		params.params_bytes = sizeof(params) - cut;
		assert_int_equal(dax_create(&params, &dax), -EINVAL);
		params.params_bytes = sizeof(params);
		ops.ops_bytes = sizeof(ops) - cut;
		assert_int_equal(dax_create(&params, &dax), -EINVAL);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_one, close_one)
	static const struct CMUnitTest tests[] = {
		TEST(c6_1_arguments_then_range_then_death),
		TEST(bytes_go_in_and_out_where_they_belong),
		TEST(memory_that_is_not_mapped_is_zeroed_by_its_ops),
		TEST(structs_of_earlier_versions_are_right),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
