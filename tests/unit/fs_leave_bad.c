/* SPDX-License-Identifier: BSD-3-Clause */
/* Devices that leave a pool and are dead, have bad pages, or cannot be wiped: they go as others do, or stay as they were. */
#include <errno.h>

#include "leave_util.h"

static void c6_3_a_dead_device_can_leave(void **state)
{
	(void)state;
	struct fsdax_file *file = fill("f");
	assert_int_equal(dax_kill(pool.parts[1].dax), 0);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, &owned), -EBUSY);
	assert_owned(B, 1, "/f");
	assert_int_equal(fsdax_leave_begin(pool.fs, 0, &owned), -EBUSY); /* only a dead one would be left */
	assert_owned(0, 0, "");
	drop("f", file);
	assert_int_equal(pool_statfs(&pool).lost, B);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, &owned), 0);
	assert_int_equal(fsdax_leave_cancel(pool.fs, 1), 0);
	assert_int_equal(pool_statfs(&pool).lost, B); /* as before */
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, &owned), 0);
	assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), 0);
	struct fsdax_statfs st = pool_statfs(&pool);
	assert_true(st.pages == A && st.free == A && st.lost == 0 && st.waiting == 0);
}

static void c6_5_bad_pages_leave_with_their_device(void **state)
{
	(void)state;
	assert_int_equal(dax_notify_failure(pool.parts[1].dax, DAX_FAILURE_POISON, 100, 7), 0);
	assert_int_equal(pool_statfs(&pool).lost, 7);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, NULL), 0);
	assert_int_equal(held(1), 0);
	assert_int_equal(dax_notify_failure(pool.parts[1].dax, DAX_FAILURE_POISON, 200, 1), 0);
	assert_int_equal(fsdax_leave_cancel(pool.fs, 1), 0);
	assert_int_equal(pool_statfs(&pool).lost, 8);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, NULL), 0);
	assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), 0);
	assert_int_equal(pool_statfs(&pool).free, A);
}

static int broken;

static int discard_or_not(void *ctx, uint64_t offset, uint64_t len)
{
	const struct dev *dev = ctx;
	return broken ? -EIO : dev->ops->discard(ctx, offset, len);
}

/* It is not mapped here, and the device cannot clear it: nobody knows what is in it. It goes with its device, or stays dirty. */
static void c6_9_what_cannot_be_wiped_leaves_too(void **state)
{
	(void)state;
	struct dax_device_ops ops = *pool.parts[2].dev->ops;
	struct dax_params params = {.params_bytes = sizeof(params), .type = PGMAP_FSDAX, .fd = pool.parts[2].dev->fd};
	struct dax_device *dax;
	struct fsdax_map *map;
	ops.discard = discard_or_not;
	params.len_bytes = (uint64_t)C * PAGE;
	params.ops = &ops;
	params.ctx = pool.parts[2].dev;
	assert_int_equal(dax_create(&params, &dax), 0);
	assert_int_equal(fsdax_add_device(pool.fs, dax, NULL), 0);
	for (int late = 0; late < 2; late++) { /* the second time it comes back when the device is leaving */
		struct fsdax_file *file = fill("f");
		assert_int_equal(fsdax_map_for(file, 0, stat_of(file).size_bytes, NULL, NULL, NULL, &map), 0);
		memset(pool.parts[2].mem, 5, (uint64_t)C * PAGE);
		assert_int_equal(fsdax_truncate(file, 0), 0);
		broken = 1;
		if (!late)
			fsdax_unmap(map);
		assert_int_equal(fsdax_leave_begin(pool.fs, 2, NULL), 0);
		if (late)
			fsdax_unmap(map);
		assert_int_equal(held(2), 0);
		assert_int_equal(fsdax_leave_cancel(pool.fs, 2), 0);
		broken = 0;
		drop("f", file);
		file = fill("g");
		assert_int_equal(stat_of(file).blocks, A + B + C);
		assert_true(is_all(pool.parts[2].mem, (uint64_t)C * PAGE, 0));
		drop("g", file);
	}
	assert_int_equal(fsdax_leave_begin(pool.fs, 2, NULL), 0);
	assert_int_equal(fsdax_leave_end(pool.fs, 2, NULL), 0);
	assert_int_equal(dax_destroy(dax), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_two, close_it)
	static const struct CMUnitTest tests[] = {
		TEST(c6_3_a_dead_device_can_leave),
		TEST(c6_5_bad_pages_leave_with_their_device),
		TEST(c6_9_what_cannot_be_wiped_leaves_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
