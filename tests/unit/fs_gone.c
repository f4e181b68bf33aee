/* SPDX-License-Identifier: BSD-3-Clause */
/* A part of a pool's device dies: nothing of it is handed out again, and the pool goes on with what is left. */
#include "stack_pool.h"

static struct stack_pool pool;

static int is_on(const struct fsdax_map *map, const struct dax_device *memory)
{
	for (uint64_t i = 0; i < fsdax_map_npieces(map); i++) {
		struct dax_span span;
		fsdax_map_where(map, i, &span);
		if (span.pgmap == dax_pgmap(memory))
			return 1;
	}
	return 0;
}

/* Memory 1 of three dies under a file that lies on all of them, with the wiper at work or without. */
static void part_dies(enum stack_shape shape, bool wiper)
{
	stack_open(&pool, shape, NULL);
	uint64_t all = dax_npages(pool.dax), third = all / 3;
	struct fsdax_map *map, *other;
	struct fsdax_file *file = stack_file(&pool, "/old", all - 64), *fresh;
	if (wiper)
		assert_int_equal(fsdax_set_wiping(pool.fs, all * PAGE, 50), 0);
	assert_int_equal(fsdax_map(file, 0, (all - 64) * PAGE, NULL, NULL, &map), 0);
	stack_fill(&pool, map, 1);
	assert_int_equal(dax_kill(pool.memory[1]), 0);
	assert_true(dax_alive(pool.dax));
	stack_statfs(&pool);
	stack_check(&pool, map, 1); /* what is mapped stays so */
	assert_int_equal(fsdax_map(file, 0, (all - 64) * PAGE, NULL, NULL, &other), -ENODEV);
	fsdax_unmap(map);
	assert_int_equal(fsdax_unlink(pool.fs, "/old"), 0);
	fsdax_close(file);
	struct fsdax_statfs st = stack_statfs(&pool);
	assert_int_equal(st.used, 0);
	assert_int_equal(st.waiting, third);
	assert_int_equal(st.free, all - third);
	assert_int_equal(fsdax_open(pool.fs, "/new", FSDAX_CREATE, &fresh), 0);
	assert_int_equal(fsdax_truncate(fresh, (all - third + 1) * PAGE), -ENOSPC);
	assert_int_equal(fsdax_truncate(fresh, (all - third) * PAGE), 0);
	assert_int_equal(fsdax_map(fresh, 0, (all - third) * PAGE, NULL, NULL, &map), 0);
	assert_false(is_on(map, pool.memory[1]));
	stack_check(&pool, map, 0);
	fsdax_unmap(map);
	assert_int_equal(fsdax_unlink(pool.fs, "/new"), 0);
	fsdax_close(fresh);
	assert_int_equal(stack_statfs(&pool).free, all - third);
	stack_close(&pool);
}

static void c6_10_the_pool_goes_on_with_what_is_left(void **state)
{
	(void)state;
	static const enum stack_shape shapes[] = {LINEAR, STRIPE_64, STRIPE_6, LINEAR_OF_STRIPE};
	for (int i = 0; i < 4; i++) {
		part_dies(shapes[i], false);
		part_dies(shapes[i], true);
	}
}

static void c6_3_the_last_part_is_the_whole(void **state)
{
	(void)state;
	struct fsdax_map *map = NULL;
	stack_open(&pool, LINEAR, NULL);
	struct fsdax_file *file = stack_file(&pool, "/file", 16);
	for (int i = 0; i < MEMORIES; i++)
		assert_int_equal(dax_kill(pool.memory[i]), 0);
	assert_int_equal(fsdax_map(file, 0, 16 * PAGE, NULL, NULL, &map), -ENODEV);
	assert_null(map);
	fsdax_close(file);
	stack_close(&pool);
}

/* The device dies in the access that the pool makes: what it was asked for comes from elsewhere. */
static void c6_3_death_while_memory_is_made_ready(void **state)
{
	(void)state;
	struct dax_device *fault;
	struct fsdax_file *file;
	struct fsdax_map *map;
	pool = (struct stack_pool){0};
	for (int i = 0; i < MEMORIES; i++)
		memory_open(&pool, i, 64, 0, 0);
	assert_int_equal(dax_create_fault(pool.memory[0], NULL, &fault), 0);
	pool.dax = stack_of((struct dax_device *[]){fault, pool.memory[1], pool.memory[2]}, 3, 0);
	assert_int_equal(fsdax_create(pool.dax, NULL, &pool.fs), 0);
	assert_int_equal(dax_fault_dead_after(fault, 0), 0);
	file = stack_file(&pool, "/file", 100);
	assert_false(dax_alive(fault));
	assert_int_equal(fsdax_map(file, 0, 100 * PAGE, NULL, NULL, &map), 0);
	assert_false(is_on(map, pool.memory[0]));
	struct fsdax_statfs st = stack_statfs(&pool);
	assert_true(st.used == 100 && st.waiting == 64 && st.free == 28);
	fsdax_unmap(map);
	fsdax_close(file);
	assert_int_equal(fsdax_destroy(pool.fs), 0);
	assert_int_equal(dax_destroy(pool.dax), 0);
	assert_int_equal(dax_destroy(fault), 0);
	for (int i = 0; i < MEMORIES; i++) {
		assert_int_equal(dax_destroy(pool.memory[i]), 0);
		assert_int_equal(munmap(pool.mem[i], pool.dev[i]->size_bytes), 0);
		dev_close(pool.dev[i]);
	}
}

/* What is free on it, with memory or without, is free no more, and counted as nothing else. */
static void c6_10_free_memory_of_a_dead_part(void **state)
{
	(void)state;
	stack_open(&pool, STRIPE_64, NULL);
	uint64_t all = dax_npages(pool.dax);
	assert_int_equal(fsdax_set_wiping(pool.fs, all * PAGE, 0), 0);
	struct fsdax_file *file = stack_file(&pool, "/file", all);
	assert_int_equal(fsdax_truncate(file, 0), 0);
	assert_int_equal(stack_statfs(&pool).dirty, all);
	struct space *space = &pool.fs->space;
	/* As the wiper does: a piece of the second memory is at work. */
	(void)pthread_mutex_lock(&space->lock);
	assert_true(space_piece_begin(space, STOCK_DIRTY, atlas_number(&space->atlas, 64), 64));
	(void)pthread_mutex_unlock(&space->lock);
	assert_int_equal(dax_kill(pool.memory[1]), 0);
	(void)pthread_mutex_lock(&space->lock);
	space_piece_end(space, STOCK_CLEAN);
	(void)pthread_mutex_unlock(&space->lock);
	struct fsdax_statfs st = stack_statfs(&pool);
	assert_true(st.free == all / 3 * 2 && st.waiting == all / 3 && st.used == 0);
	assert_true(st.dirty == st.free && st.clean == 0);
	fsdax_close(file);
	stack_close(&pool);
}

static void c7_9_who_asks_for_pages_of_a_dying_pgmap_is_told(void **state)
{
	(void)state;
	stack_open(&pool, LINEAR, NULL);
	struct fsdax_file *file = stack_file(&pool, "/file", 16);
	assert_int_equal(fsdax_unlink_how(pool.fs, "/file", FSDAX_FAIL, 0), -EBUSY); /* it is open */
	assert_int_equal(pgmap_kill(dax_pgmap(pool.memory[2])), 0);
	assert_int_equal(fsdax_unlink_how(pool.fs, "/file", FSDAX_FAIL, 0), -ENODEV);
	fsdax_close(file);
	stack_close(&pool);
}

static void c6_5_poison_alone_takes_nothing_away(void **state)
{
	(void)state;
	stack_open(&pool, LINEAR, NULL);
	uint64_t all = stack_statfs(&pool).free;
	assert_int_equal(dax_notify_failure(pool.memory[1], DAX_FAILURE_POISON, 0, 4), 0);
	assert_int_equal(stack_statfs(&pool).free, all);
	struct fsdax_file *file = stack_file(&pool, "/file", 16);
	fsdax_close(file);
	stack_close(&pool);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(c6_10_the_pool_goes_on_with_what_is_left),
		cmocka_unit_test(c6_3_the_last_part_is_the_whole),
		cmocka_unit_test(c6_3_death_while_memory_is_made_ready),
		cmocka_unit_test(c6_10_free_memory_of_a_dead_part),
		cmocka_unit_test(c7_9_who_asks_for_pages_of_a_dying_pgmap_is_told),
		cmocka_unit_test(c6_5_poison_alone_takes_nothing_away),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
