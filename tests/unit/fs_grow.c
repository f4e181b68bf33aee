/* SPDX-License-Identifier: BSD-3-Clause */
/* Devices that come to a pool in use: their pages, its holders, what is refused; and memory that fails at every point of it. */
#include <errno.h>

#include "fs/fs.h"

#include "failing.h"
#include "pool.h"

enum { A = 300, B = 520, C = 77 };
static const uint64_t sizes[] = {(uint64_t)A * PAGE, (uint64_t)B *PAGE, (uint64_t)C *PAGE, 0};
static struct pool pool;

static int open_one(void **state)
{
	(void)state;
	pool_open_first(&pool, sizes, 1, NULL);
	return 0;
}

static int close_it(void **state)
{
	(void)state;
	pool_close_stack(&pool);
	return 0;
}

static unsigned add(unsigned part)
{
	unsigned index = 99;
	assert_int_equal(fsdax_add_device(pool.fs, pool.parts[part].dax, &index), 0);
	return index;
}

static void c6_10_the_pool_is_bigger_by_the_device(void **state)
{
	(void)state;
	struct fsdax_device device;
	struct fsdax_file *before = make_file(&pool, "before", (uint64_t)A * PAGE);
	struct fsdax_map *map = map_range(before, 0, (uint64_t)A * PAGE, NULL);
	fill_map(&pool, map, 7);
	assert_int_equal(fsdax_truncate(before, (uint64_t)(A + 1) * PAGE), -EFBIG);
	assert_int_equal(add(1), 1);
	assert_space(&pool, A, 0);
	assert_int_equal(pool_statfs(&pool).pages, A + B);
	assert_int_equal(add(2), 2);
	assert_int_equal(pool_statfs(&pool).pages, A + B + C);
	assert_int_equal(fsdax_ndevices(pool.fs), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(fsdax_device(pool.fs, i, &device), 0);
		assert_ptr_equal(device.pgmap, dax_pgmap(pool.parts[i].dax));
		assert_int_equal(device.pool_npages, sizes[i] / PAGE);
		assert_int_equal(device.used, i == 0 ? A : 0);
		assert_true(device.alive && !device.leaving);
	}
	struct fsdax_file *file = make_file(&pool, "after", (uint64_t)(B + C) * PAGE);
	struct fsdax_map *all = map_range(file, 0, (uint64_t)(B + C) * PAGE, NULL);
	assert_true(map_is_all(&pool, all, 0));
	fill_map(&pool, all, 9);
	assert_true(map_is_all(&pool, map, 7)); /* no page has two owners */
	assert_space(&pool, A + B + C, 0);
	assert_int_equal(fsdax_device(pool.fs, 1, &device), 0);
	assert_int_equal(device.used, B);
	fsdax_unmap(all);
	fsdax_close(file);
	assert_int_equal(fsdax_unlink(pool.fs, "after"), 0);
	fsdax_unmap(map);
	fsdax_close(before);
	assert_space(&pool, A, 0);
}

static void c4_1_every_holder_is_one_there_too(void **state)
{
	(void)state;
	struct fsdax_holder *before, *after;
	struct fsdax_map *maps[2];
	struct pgmap_charge charge;
	assert_int_equal(fsdax_holder_create(pool.fs, "before", &before), 0);
	assert_null(fsdax_holder_of(before, dax_pgmap(pool.parts[1].dax)));
	(void)add(1);
	(void)add(2);
	assert_int_equal(fsdax_holder_create(pool.fs, "after", &after), 0);
	for (int i = 0; i < 3; i++) {
		struct pgmap_holder *part = fsdax_holder_of(before, dax_pgmap(pool.parts[i].dax));
		assert_string_equal(pgmap_holder_name(part), "before");
		assert_non_null(fsdax_holder_of(after, dax_pgmap(pool.parts[i].dax)));
	}
	struct fsdax_file *file = make_file(&pool, "f", (uint64_t)(A + B + C) * PAGE);
	assert_int_equal(fsdax_map_for(file, 0, (uint64_t)(A + B + C) * PAGE, before, NULL, NULL, &maps[0]), 0);
	assert_int_equal(fsdax_map_for(file, 0, (uint64_t)(A + B) * PAGE, after, NULL, NULL, &maps[1]), 0);
	fsdax_holder_charge(before, &charge);
	assert_int_equal(charge.pages, A + B + C);
	assert_int_equal(fsdax_holder_end(before), 0); /* all of it, wherever it is */
	fsdax_unmap_ended(maps[0]);
	fsdax_unmap(maps[1]);
	assert_int_equal(fsdax_holder_end(after), 0);
	assert_int_equal(pool_live_pages(&pool), 0);
	fsdax_close(file);
}

static void what_cannot_come_is_refused_and_changes_nothing(void **state)
{
	(void)state;
	struct dax_device *fault, *stripe, *limited;
	struct pool_part big, odd;
	struct holder_of_nothing {
		int nothing;
	} other;
	const struct dax_holder_ops ops = {.ops_bytes = sizeof(ops)};
	const struct dax_part two[] = {{pool.parts[1].dax, 0, 77}, {pool.parts[2].dax, 0, 77}};
	const struct dax_params params = {
		.params_bytes = sizeof(params), .len_bytes = 8 * PAGE, .addr = pool.parts[1].mem, .fd = -1};
	unsigned index = 99;
	assert_int_equal(fsdax_add_device(NULL, pool.parts[1].dax, &index), -EINVAL);
	assert_int_equal(fsdax_add_device(pool.fs, NULL, &index), -EINVAL);
	assert_int_equal(fsdax_add_device(pool.fs, pool.parts[0].dax, &index), -EINVAL);
	assert_int_equal(dax_create_fault(pool.parts[0].dax, NULL, &fault), 0);
	assert_int_equal(fsdax_add_device(pool.fs, fault, &index), -EINVAL); /* at any depth */
	assert_int_equal(dax_destroy(fault), 0);
	assert_int_equal(dax_create_stripe(two, 2, 1, NULL, &stripe), 0);
	assert_int_equal(fsdax_add_device(pool.fs, stripe, &index), -EINVAL);
	assert_int_equal(dax_destroy(stripe), 0);
	assert_int_equal(dax_create(&params, &limited), 0);
	assert_int_equal(fsdax_add_device(pool.fs, limited, &index), -EINVAL);
	assert_int_equal(dax_destroy(limited), 0);
	assert_int_equal(dax_hold(pool.parts[1].dax, &other, &ops), 0);
	assert_int_equal(fsdax_add_device(pool.fs, pool.parts[1].dax, &index), -EBUSY);
	assert_int_equal(dax_release(pool.parts[1].dax, &other), 0);
	assert_int_equal(dax_kill(pool.parts[2].dax), 0);
	assert_int_equal(fsdax_add_device(pool.fs, pool.parts[2].dax, &index), -ENXIO);
	pool_part_open(&odd, 64 * PAGE, 3, 0);
	assert_int_equal(fsdax_add_device(pool.fs, odd.dax, NULL),
			 0); /* it begins anywhere, and nobody wants the number */
	pool_part_open(&big, 64 * PAGE, 0, 3);
	assert_int_equal(index, 99);
	assert_int_equal(pool_statfs(&pool).pages, A + 64);
	assert_int_equal(add(1), 2);
	assert_int_equal(dax_kill(pool.dax), 0);
	assert_int_equal(fsdax_add_device(pool.fs, big.dax, &index), -ENXIO);
	pool_close_stack(&pool);
	assert_int_equal(dax_destroy(odd.dax), 0);
	assert_int_equal(dax_destroy(big.dax), 0);
	(void)munmap(odd.mem, odd.bytes), (void)munmap(big.mem, big.bytes);
	dev_close(odd.dev);
	dev_close(big.dev);
	pool_open_first(&pool, sizes, 1, NULL);
}

/* What failed has left nothing behind that a holder would come across at its end, when the device has gone. */
static void c4_1_no_holder_has_a_part_of_what_did_not_come(void **state)
{
	(void)state;
	int err = -ENOMEM;
	for (unsigned long nth = 1; err; nth++) {
		struct fsdax_holder *holders[3];
		struct pool_part part;
		pool_part_open(&part, 8 * PAGE, 0, 0);
		for (int i = 0; i < 3; i++)
			assert_int_equal(fsdax_holder_create(pool.fs, "h", &holders[i]), 0);
		failing_begin(nth, true);
		err = fsdax_add_device(pool.fs, part.dax, NULL);
		assert_true(err == (failing_end() ? -ENOMEM : 0));
		if (!err)
			assert_int_equal(fsdax_leave_begin(pool.fs, 1, NULL), 0);
		if (!err)
			assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), 0);
		assert_int_equal(dax_destroy(part.dax), 0);
		assert_int_equal(munmap(part.mem, part.bytes), 0);
		dev_close(part.dev);
		for (int i = 0; i < 3; i++)
			assert_int_equal(fsdax_holder_end(holders[i]), 0);
	}
}

/* A bigger granule is the device's own; a smaller one becomes the pool's. */
static void each_device_keeps_a_granule_that_is_bigger(void **state)
{
	static const uint64_t small[] = {(uint64_t)64 * PAGE, (uint64_t)60 * PAGE, (uint64_t)59 * PAGE, 0};
	(void)state;
	struct pool other = {0};
	struct pool_part big;
	pool_parts_open(&other, small);
	pool_part_open(&big, 64 * PAGE, 0, 2);
	assert_int_equal(dax_create_linear(&(struct dax_part){big.dax, 0, 0}, 1, NULL, &other.dax), 0);
	assert_int_equal(fsdax_create(other.dax, NULL, &other.fs), 0);
	assert_int_equal(fsdax_add_device(other.fs, other.parts[2].dax, NULL), -EINVAL); /* 59 pages */
	assert_int_equal(fsdax_add_device(other.fs, other.parts[1].dax, NULL), 0);
	struct fsdax_file *file = make_file(&other, "f", (uint64_t)124 * PAGE);
	assert_space(&other, 124, 0);
	fsdax_close(file);
	pool_close_stack(&other);
	pool_open_first(&other, small, 1, NULL);
	assert_int_equal(fsdax_add_device(other.fs, big.dax, NULL), 0);
	file = make_file(&other, "f", (uint64_t)64 * PAGE);
	fsdax_close(file);
	file = make_file(&other, "g", (uint64_t)61 * PAGE);
	assert_space(&other, 125, 0);
	fsdax_close(file);
	pool_close_stack(&other);
	assert_int_equal(dax_destroy(big.dax), 0);
	(void)munmap(big.mem, big.bytes);
	dev_close(big.dev);
}

static void only_a_linear_stack_gets_devices(void **state)
{
	(void)state;
	struct pool other;
	pool_open(&other, MIB, 0, NULL);
	assert_int_equal(fsdax_add_device(other.fs, pool.parts[1].dax, NULL), -EOPNOTSUPP);
	pool_close(&other);
}

static void c6_5_what_is_bad_there_is_not_handed_out(void **state)
{
	(void)state;
	assert_int_equal(dax_notify_failure(pool.parts[1].dax, DAX_FAILURE_POISON, 10, 3), 0);
	(void)add(1);
	struct fsdax_statfs st = pool_statfs(&pool);
	assert_true(st.pages == A + B && st.lost == 3 && st.waiting == 3);
	struct fsdax_file *file = make_file(&pool, "f", (uint64_t)(A + B - 3) * PAGE);
	struct fsdax_map *map = map_range(file, 0, (uint64_t)(A + B - 3) * PAGE, NULL);
	fsdax_unmap(map);
	fsdax_close(file);
}

static void a_device_that_dies_takes_what_it_brought(void **state)
{
	(void)state;
	(void)add(1);
	assert_int_equal(dax_kill(pool.parts[1].dax), 0);
	struct fsdax_statfs st = pool_statfs(&pool);
	assert_true(st.pages == A + B && st.free == A && st.lost == B);
	assert_int_equal(dax_kill(pool.parts[0].dax), 0);
	assert_int_equal(fsdax_add_device(pool.fs, pool.parts[2].dax, NULL), -ENXIO);
}

/* Without memory all is as it was: the size, the holders, the stack; and it can come later. */
static void without_memory_nothing_has_changed(void **state)
{
	(void)state;
	struct fsdax_holder *holders[3];
	unsigned long nth = 1;
	int err = -ENOMEM;
	for (int i = 0; i < 3; i++)
		assert_int_equal(fsdax_holder_create(pool.fs, "h", &holders[i]), 0);
	for (; err; nth++) {
		failing_begin(nth, false);
		err = fsdax_add_device(pool.fs, pool.parts[1].dax, NULL);
		bool failed = failing_end();
		assert_true(err == (failed ? -ENOMEM : 0));
		assert_int_equal(pool_statfs(&pool).pages, err ? A : A + B);
		assert_int_equal(fsdax_ndevices(pool.fs), err ? 1 : 2);
		for (int i = 0; i < 3; i++)
			assert_true(!fsdax_holder_of(holders[i], dax_pgmap(pool.parts[1].dax)) == (err != 0));
	}
	assert_true(nth > 10);
	for (int i = 0; i < 3; i++)
		assert_int_equal(fsdax_holder_end(holders[i]), 0);
}

/* More numbers than the state of free pages had room for: all of it is there, and dirty pages stay so. */
static void the_state_of_what_was_free_is_kept(void **state)
{
	(void)state;
	static const uint64_t huge[] = {MIB, (uint64_t)3 << 30, (uint64_t)5 << 30, 0};
	struct pool other;
	pool_open_first(&other, huge, 1, NULL);
	assert_int_equal(fsdax_set_wiping(other.fs, 64 * MIB, 0), 0); /* what is free keeps its memory, as it is */
	struct fsdax_file *file = make_file(&other, "f", MIB);
	struct fsdax_map *map = map_range(file, 0, MIB, NULL);
	fill_map(&other, map, 5);
	fsdax_unmap(map);
	fsdax_close(file);
	assert_int_equal(fsdax_unlink(other.fs, "f"), 0);
	assert_int_equal(pool_statfs(&other).dirty, MIB / PAGE);
	assert_int_equal(fsdax_add_device(other.fs, other.parts[1].dax, NULL), 0);
	assert_int_equal(fsdax_add_device(other.fs, other.parts[2].dax, NULL), 0);
	assert_int_equal(pool_statfs(&other).dirty, MIB / PAGE);
	file = make_file(&other, "f", 3 * MIB);
	map = map_range(file, 0, 3 * MIB, NULL);
	assert_true(map_is_all(&other, map, 0)); /* c6.9 */
	fsdax_unmap(map);
	fsdax_close(file);
	assert_int_equal(fsdax_unlink(other.fs, "f"), 0);
	assert_int_equal(pool_statfs(&other).dirty, 3 * MIB / PAGE);
	pool_close_stack(&other);
}

/* Memory that is always there is dirty at first, and goes with its device; the watermark is for the other. */
static void what_comes_and_is_always_there_is_wiped_first(void **state)
{
	(void)state;
	struct dax_device *dax;
	const struct dax_params params = {.params_bytes = sizeof(params),
					  .type = PGMAP_FSDAX,
					  .len_bytes = (uint64_t)C * PAGE,
					  .addr = pool.parts[2].mem,
					  .fd = pool.parts[2].dev->fd,
					  .ops = pool.parts[2].dev->ops,
					  .ctx = pool.parts[2].dev,
					  .resident = 1};
	assert_int_equal(dax_create(&params, &dax), 0);
	memset(pool.parts[2].mem, 9, (uint64_t)C * PAGE);
	assert_int_equal(fsdax_set_wiping(pool.fs, (uint64_t)20 * PAGE, 0), 0);
	assert_int_equal(fsdax_add_device(pool.fs, dax, NULL), 0);
	struct fsdax_statfs st = pool_statfs(&pool);
	assert_true(st.keep == 20 && st.dirty == C);
	struct fsdax_file *file = make_file(&pool, "f", (uint64_t)(A + C) * PAGE);
	struct fsdax_map *map = map_range(file, 0, (uint64_t)(A + C) * PAGE, NULL);
	assert_true(map_is_all(&pool, map, 0)); /* c6.9 */
	fsdax_unmap(map);
	fsdax_close(file);
	assert_int_equal(fsdax_unlink(pool.fs, "f"), 0);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, NULL), 0);
	assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), 0);
	st = pool_statfs(&pool);
	assert_true(st.keep == 20 && st.dirty <= 20 && !pool.fs->space.nresident);
	assert_int_equal(dax_destroy(dax), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_one, close_it)
	static const struct CMUnitTest tests[] = {
		TEST(c6_10_the_pool_is_bigger_by_the_device),
		TEST(c4_1_every_holder_is_one_there_too),
		TEST(what_cannot_come_is_refused_and_changes_nothing),
		TEST(c4_1_no_holder_has_a_part_of_what_did_not_come),
		TEST(each_device_keeps_a_granule_that_is_bigger),
		TEST(only_a_linear_stack_gets_devices),
		TEST(c6_5_what_is_bad_there_is_not_handed_out),
		TEST(a_device_that_dies_takes_what_it_brought),
		TEST(without_memory_nothing_has_changed),
		TEST(what_comes_and_is_always_there_is_wiped_first),
		TEST(the_state_of_what_was_free_is_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
