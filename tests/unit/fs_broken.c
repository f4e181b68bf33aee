/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that breaks under a pool, and that nobody has reported: whoever wipes it finds out, and takes other pages (c6.5). */
#include <errno.h>

#include "fs/fs.h"

#include "broken.h"
#include "pool.h"

enum { PAGES = 1024 };

static struct pool pool;
static uint64_t told_page, told_pages;
static int told, discard_fails;

static int test_discard(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	return discard_fails ? -EIO : pool.dev->ops->discard(ctx, offset_bytes, len_bytes);
}

static void on_lost(void *arg, uint64_t page, uint64_t npages)
{
	assert_ptr_equal(arg, &pool);
	told++;
	told_page = page;
	told_pages = npages;
}

static int catch (void **state)
{
	(void)state;
	int err = dax_catch_errors(NULL, NULL);
	broken_remember();
	return err;
}

static int open_with(unsigned granule_order)
{
	told = discard_fails = 0;
	pool_open(&pool, PAGES * PAGE, granule_order, NULL);
	pool.ops.discard = test_discard;
	assert_int_equal(fsdax_on_lost(NULL, on_lost, &pool), -EINVAL);
	return fsdax_on_lost(pool.fs, on_lost, &pool);
}

static int open_pool(void **state)
{
	(void)state;
	return open_with(0);
}

static int open_pool_of_16k(void **state)
{
	(void)state;
	return open_with(2);
}

static int close_pool(void **state)
{
	(void)state;
	broken_heal();
	discard_fails = 0;
	pool_close(&pool);
	return 0;
}

/* Where a page of a file lies, of the pool's device. */
static uint64_t page_under(struct fsdax_file *file, uint64_t page)
{
	struct fsdax_map *map = map_range(file, page * PAGE, PAGE, NULL);
	struct fsdax_piece piece;
	fsdax_map_piece(map, 0, &piece);
	fsdax_unmap(map);
	return piece.device_offset_bytes / PAGE;
}

static void fill(struct fsdax_file *file, char byte)
{
	struct fsdax_map *map = map_range(file, 0, stat_of(file).size_bytes, NULL);
	fill_map(&pool, map, byte);
	fsdax_unmap(map);
}

/* As many pages as a file had, free, with its bytes still there; the device gives no others in their place. */
static void make_dirty(uint64_t npages)
{
	assert_int_equal(fsdax_set_wiping(pool.fs, PAGES * PAGE, 0), 0);
	struct fsdax_file *file = make_file(&pool, "before", npages * PAGE);
	fill(file, 'o');
	assert_int_equal(fsdax_unlink(pool.fs, "before"), 0);
	fsdax_close(file);
	assert_int_equal(pool_statfs(&pool).dirty, npages);
	discard_fails = 1;
}

static void c6_5_an_allocation_that_meets_a_bad_page_takes_others(void **state)
{
	(void)state;
	make_dirty(PAGES);
	broken_make(pool.mem + 77 * PAGE, 3 * PAGE, 12);
	struct fsdax_file *file = make_file(&pool, "a", (PAGES - 3) * (uint64_t)PAGE);
	assert_true(told > 0);
	struct fsdax_statfs st = pool_statfs(&pool);
	assert_true(st.used == PAGES - 3 && st.free == 0 && st.waiting == 3 && st.lost == 3);
	struct fsdax_map *map = map_range(file, 0, (PAGES - 3) * (uint64_t)PAGE, NULL);
	for (uint64_t i = 0; i < fsdax_map_npieces(map); i++) {
		struct fsdax_piece piece;
		fsdax_map_piece(map, i, &piece);
		for (uint64_t at = 0; at < piece.len_bytes; at += PAGE)
			assert_int_equal(pool.mem[piece.device_offset_bytes + at], 0); /* and a bad one ends the test */
	}
	fsdax_unmap(map);
	/* Nor are they handed out later. */
	assert_int_equal(fsdax_truncate(file, (PAGES - 2) * (uint64_t)PAGE), -ENOSPC);
	assert_int_equal(fsdax_truncate(file, 0), 0);
	assert_int_equal(fsdax_truncate(file, (PAGES - 2) * (uint64_t)PAGE), -ENOSPC);
	assert_int_equal(pool_statfs(&pool).lost, 3);
	fsdax_close(file);
}

static int assert_page(void *arg, const struct fsdax_lost *lost)
{
	uint64_t *expected = arg;
	assert_int_equal(lost->offset_bytes, expected[0] * PAGE);
	assert_int_equal(lost->len_bytes, PAGE);
	assert_int_equal(lost->what, DAX_FAILURE_POISON);
	assert_int_equal(lost->page, expected[1]);
	expected[2]++;
	return 0;
}

static void c6_5_the_tail_of_a_truncate_finds_out_and_wipes_the_rest(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 4 * PAGE);
	fill(file, 'x');
	uint64_t page = page_under(file, 0), expected[3] = {2, page + 2, 0};
	char *at = pool.mem + page * PAGE;
	broken_make(at + 2 * PAGE, PAGE, 12);
	assert_int_equal(fsdax_truncate(file, PAGE + 5), 0);
	assert_true(told == 1 && told_page == page + 2 && told_pages == 1);
	assert_int_equal(fsdax_for_each_lost(pool.fs, "a", assert_page, expected), 0);
	assert_int_equal(expected[2], 1);
	assert_int_equal(at[PAGE + 4], 'x');
	for (int i = PAGE + 5; i < 4 * PAGE; i++)
		assert_true(i / PAGE == 2 || at[i] == 0);
	fsdax_close(file);
}

static void what_has_no_memory_behind_it_ends_nothing(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 4 * PAGE);
	fill(file, 'x');
	char *at = pool.mem + page_under(file, 0) * PAGE;
	broken_make(at + 2 * PAGE, PAGE, 12);
	broken.code = BUS_ADRERR; /* as of a hole, when no huge page is left to fill it */
	assert_int_equal(fsdax_truncate(file, PAGE + 5), 0);
	assert_int_equal(told, 0);
	for (int i = PAGE + 5; i < 4 * PAGE; i++)
		assert_true(i / PAGE == 2 || at[i] == 0);
	assert_int_equal(fsdax_verify(file, 0, 2 * PAGE), 0);
	assert_int_equal(fsdax_verify(file, 0, 4 * PAGE), -EIO);
	fsdax_close(file);
}

static void c6_5_a_file_is_read_to_find_out_what_is_lost(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 8 * PAGE);
	fill(file, 'x');
	uint64_t page = page_under(file, 5), expected[3] = {5, page, 0};
	assert_int_equal(fsdax_verify(NULL, 0, PAGE), -EINVAL);
	assert_int_equal(fsdax_verify(file, 1, PAGE), -EINVAL);
	assert_int_equal(fsdax_verify(file, 0, 8 * PAGE), 0);
	broken_make(pool.mem + page * PAGE, PAGE, 12);
	assert_int_equal(fsdax_verify(file, 0, 5 * PAGE), 0);
	assert_int_equal(told, 0);
	assert_int_equal(fsdax_verify(file, 4 * PAGE, 64 * PAGE), 1);
	assert_true(told == 1 && told_page == page);
	assert_int_equal(fsdax_verify(file, 0, 8 * PAGE), 1);
	assert_int_equal(told, 1);
	assert_int_equal(fsdax_for_each_lost(pool.fs, "a", assert_page, expected), 0);
	assert_int_equal(expected[2], 1);
	fsdax_close(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(c6_5_an_allocation_that_meets_a_bad_page_takes_others, open_pool,
						close_pool),
		cmocka_unit_test_setup_teardown(c6_5_the_tail_of_a_truncate_finds_out_and_wipes_the_rest,
						open_pool_of_16k, close_pool),
		cmocka_unit_test_setup_teardown(what_has_no_memory_behind_it_ends_nothing, open_pool_of_16k,
						close_pool),
		cmocka_unit_test_setup_teardown(c6_5_a_file_is_read_to_find_out_what_is_lost, open_pool, close_pool),
	};
	return cmocka_run_group_tests(tests, catch, NULL);
}
