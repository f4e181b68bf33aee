/* SPDX-License-Identifier: BSD-3-Clause */
/* A pool whose memories have several granules: what a file gets from which, and what goes only together. */
#include "fs/granule.h"

#include <errno.h>

#include "fs/fs.h"
#include "fs/supply.h"

#include "pool.h"

enum { SMALL = 0, BIG = 1, HUGE = 2 }; /* the pool's devices */

static const uint64_t sizes[] = {4 * MIB, 16 * MIB, 0};
static const unsigned granules[] = {0, 9};
static struct pool pool;

static int open_pool(void **state)
{
	(void)state;
	pool_open_mixed(&pool, sizes, granules, NULL);
	return 0;
}

static int close_pool(void **state)
{
	(void)state;
	pool_close_stack(&pool);
	return 0;
}

/* Pages of a file on this device. */
static uint64_t pages_on(const struct fsdax_file *file, unsigned device)
{
	uint64_t pages = 0;
	struct block *block = block_first(&file->inode->extents.tree);
	for (; block; block = block_next(block))
		if (places_spot(&pool.fs->space.places, block->off).device == device)
			pages += block_pages(block);
	return pages;
}

/* All that the device of 4 KiB pages has left. */
static struct fsdax_file *fill_small(void)
{
	struct fsdax_file *file;
	assert_int_equal(fsdax_open(pool.fs, "small", FSDAX_CREATE, &file), 0);
	assert_int_equal(fsdax_set_order(pool.fs, "small", 0), 0);
	uint64_t pages = pool.fs->space.shelf.at[0].nfree;
	assert_int_equal(fsdax_truncate(file, pages * PAGE), 0);
	assert_int_equal(fsdax_truncate(file, (pages + 1) * PAGE), -ENOSPC);
	assert_int_equal(pages_on(file, SMALL), pages);
	return file;
}

static void a_file_gets_big_granules_where_they_fit_and_small_pages_for_the_rest(void **state)
{
	(void)state;
	struct fsdax_piece piece;
	assert_int_equal(pool_statfs(&pool).granule_order, 0);
	struct fsdax_file *file = make_file(&pool, "f", 3 * MIB);
	assert_int_equal(pages_on(file, BIG), 512);
	assert_int_equal(pages_on(file, SMALL), 256);
	assert_int_equal(stat_of(file).blocks, 768);
	assert_int_equal(stat_of(file).granule_order, 9);
	struct fsdax_map *map = map_range(file, 0, 3 * MIB, NULL);
	assert_int_equal(fsdax_map_npieces(map), 2);
	fsdax_map_piece(map, 0, &piece);
	assert_true(piece.device == BIG && piece.len_bytes == 2 * MIB && piece.granule_order == 9);
	fsdax_map_piece(map, 1, &piece);
	assert_true(piece.device == SMALL && piece.len_bytes == MIB && piece.granule_order == 0);
	fsdax_unmap(map);
	assert_int_equal(fsdax_truncate(file, 5 * MIB), 0); /* 3 MiB to 4 MiB are no granule any more */
	assert_int_equal(pages_on(file, SMALL), 768);
	assert_int_equal(fsdax_truncate(file, 8 * MIB), 0); /* and so are 5 MiB to 6 MiB */
	assert_true(pages_on(file, BIG) == 1024 && pages_on(file, SMALL) == 1024);
	fsdax_close(file);
}

static void small_files_leave_big_granules_whole(void **state)
{
	(void)state;
	char name[32];
	for (int i = 0; i < 1024; i++) {
		(void)snprintf(name, sizeof(name), "s%d", i);
		struct fsdax_file *file = make_file(&pool, name, 1 + (uint64_t)i);
		assert_int_equal(pages_on(file, SMALL), 1);
		fsdax_close(file);
	}
	assert_int_equal(pool_statfs(&pool).free, 4096);
	assert_int_equal(pool_statfs(&pool).free_by_order[12], 1);
	struct fsdax_file *file = make_file(&pool, "big", 16 * MIB);
	assert_int_equal(stat_of(file).max_order, 12);
	assert_int_equal(pool_statfs(&pool).free, 0);
	fsdax_close(file);
}

static void where_small_pages_have_gone_the_end_is_rounded_up(void **state)
{
	(void)state;
	struct fsdax_file *small = fill_small(), *file = make_file(&pool, "f", 100);
	assert_int_equal(stat_of(file).blocks, 512);
	assert_int_equal(pages_on(file, BIG), 512);
	assert_int_equal(pool_statfs(&pool).used, 1024 + 512);
	assert_int_equal(fsdax_truncate(file, 2 * MIB), 0); /* it has them */
	assert_int_equal(stat_of(file).blocks, 512);
	assert_int_equal(fsdax_truncate(file, 2 * MIB + 1), 0);
	assert_int_equal(stat_of(file).blocks, 1024);
	assert_int_equal(fsdax_truncate(file, MIB), 0);
	assert_int_equal(stat_of(file).blocks, 512);
	struct fsdax_map *map = map_range(file, 0, MIB, NULL);
	struct fsdax_piece piece;
	fsdax_map_piece(map, 0, &piece);
	assert_int_equal(piece.len_bytes, 2 * MIB);
	fsdax_unmap(map);
	assert_int_equal(fsdax_truncate(file, 0), 0);
	assert_int_equal(stat_of(file).blocks, 0);
	fsdax_close(file);
	fsdax_close(small);
}

/* What cannot be rounded: a beginning that lies elsewhere already, and a file that shall have no such folio. */
static void no_bigger_granule_is_given_than_fits_or_was_asked_for(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "f", MIB), *small = fill_small(), *tiny;
	assert_int_equal(fsdax_truncate(file, MIB + 1), -ENOSPC);
	assert_int_equal(fsdax_open(pool.fs, "tiny", FSDAX_CREATE, &tiny), 0);
	assert_int_equal(fsdax_set_order(pool.fs, "tiny", 8), 0);
	assert_int_equal(fsdax_truncate(tiny, 1), -ENOSPC);
	assert_int_equal(fsdax_set_order(pool.fs, "tiny", 9), 0);
	assert_int_equal(fsdax_truncate(tiny, 1), 0);
	assert_space(&pool, 1024 + 512, 0);
	fsdax_close(tiny);
	fsdax_close(small);
	fsdax_close(file);
}

/* The window's first pages were taken, and go back. */
static void c6_10_what_small_pages_cannot_end_goes_back(void **state)
{
	(void)state;
	struct fsdax_file *small = fill_small();
	assert_int_equal(fsdax_truncate(small, 3 * MIB), 0); /* 256 pages are free */
	struct fsdax_file *file = make_file(&pool, "f", 3 * MIB + MIB / 2);
	assert_int_equal(pages_on(file, BIG), 1024);
	assert_int_equal(pages_on(file, SMALL), 0);
	assert_space(&pool, 768 + 1024, 0);
	struct fsdax_file *fits = make_file(&pool, "g", 3 * MIB);
	assert_true(pages_on(fits, BIG) == 512 && pages_on(fits, SMALL) == 256);
	assert_space(&pool, 768 + 1024 + 768, 0);
	assert_int_equal(fsdax_truncate(fits, 15 * MIB), -ENOSPC);
	assert_space(&pool, 768 + 1024 + 768, 0);
	fsdax_close(fits);
	fsdax_close(file);
	fsdax_close(small);
}

/* What lies behind the end, in the same granule, can be written by who maps the file. */
static void c6_9_what_a_rounded_end_hides_reads_as_zero(void **state)
{
	(void)state;
	struct fsdax_file *small = fill_small(), *file = make_file(&pool, "f", MIB);
	struct fsdax_map *map = map_range(file, 0, MIB, NULL);
	char *at = piece_at(&pool, map, 0, NULL);
	fill_map(&pool, map, 'x');
	assert_int_equal(fsdax_truncate(file, MIB + MIB / 2), 0);
	assert_true(is_all(at, MIB, 'x') && is_all(at + MIB, MIB / 2, 0));
	fill_map(&pool, map, 'y');
	assert_int_equal(fsdax_truncate(file, MIB / 2), 0);
	assert_true(is_all(at, MIB / 2, 'y') && is_all(at + MIB / 2, MIB + MIB / 2, 0));
	fill_map(&pool, map, 'z');
	assert_int_equal(fsdax_truncate(file, 4 * MIB), 0);
	assert_true(is_all(at, MIB / 2, 'z') && is_all(at + MIB / 2, MIB + MIB / 2, 0));
	fsdax_unmap(map);
	assert_int_equal(fsdax_resize_map(file, MIB, FSDAX_TRUNC, NULL, NULL, NULL, &map), 0);
	assert_true(map_is_all(&pool, map, 0));
	assert_int_equal(stat_of(file).blocks, 512);
	fsdax_unmap(map);
	fsdax_close(file);
	fsdax_close(small);
}

/* A granule that has a bad page cannot be mapped before that is overwritten; its other pages are wiped all the same. */
static void c6_9_what_a_granule_with_a_bad_page_hides_reads_as_zero(void **state)
{
	(void)state;
	struct fsdax_file *file;
	struct fsdax_map *map;
	pool.parts[BIG].ops.clear_poison = pool.parts[BIG].ops.discard;
	assert_int_equal(fsdax_open(pool.fs, "f", FSDAX_CREATE, &file), 0);
	assert_int_equal(fsdax_truncate(file, 2 * MIB), 0);
	map = map_range(file, 0, 2 * MIB, NULL);
	const char *at = piece_at(&pool, map, 0, NULL);
	fill_map(&pool, map, 'x');
	fsdax_unmap(map);
	assert_int_equal(dax_notify_failure(pool.parts[BIG].dax, DAX_FAILURE_POISON,
					    (uint64_t)(at - pool.parts[BIG].mem) / PAGE + 300, 1),
			 0);
	assert_int_equal(fsdax_truncate(file, 100 * PAGE + 10), 0);
	assert_true(is_all(at, 100 * PAGE + 10, 'x') && is_all(at + 300 * PAGE, PAGE, 'x')); /* nobody touches it */
	assert_int_equal(fsdax_truncate(file, 2 * MIB), 0);
	assert_int_equal(fsdax_map(file, 0, 2 * MIB, NULL, NULL, &map), -EHWPOISON);
	assert_int_equal(fsdax_repair(file, 0, 2 * MIB), 0);
	map = map_range(file, 0, 2 * MIB, NULL);
	assert_true(is_all(at, 100 * PAGE + 10, 'x') && is_all(at + 100 * PAGE + 10, 2 * MIB - 100 * PAGE - 10, 0));
	fsdax_unmap(map);
	fsdax_close(file);
}

/* What is cut out of a file's block for the sake of a bad page is its granule, wherever in it the page lies. */
static void c6_5_a_granule_with_a_bad_page_stays_one_block(void **state)
{
	(void)state;
	struct fsdax_map *map;
	struct fsdax_file *file = make_file(&pool, "f", 8 * MIB);
	map = map_range(file, 0, 8 * MIB, NULL);
	const char *at = piece_at(&pool, map, 0, NULL);
	fsdax_unmap(map);
	assert_int_equal(pages_on(file, BIG), 2048);
	uint64_t page = (uint64_t)(at - pool.parts[BIG].mem) / PAGE;
	assert_int_equal(dax_notify_failure(pool.parts[BIG].dax, DAX_FAILURE_POISON, page, 1), 0);
	assert_int_equal(dax_notify_failure(pool.parts[BIG].dax, DAX_FAILURE_POISON, page + 1023, 1), 0);
	fsdax_unmap(map_range(file, 4 * MIB, 4 * MIB, NULL));
	assert_int_equal(fsdax_map(file, 2 * MIB, 2 * MIB, NULL, NULL, &map), -EHWPOISON);
	struct block *block = block_first(&file->inode->extents.tree);
	for (; block; block = block_next(block))
		assert_true(block->order >= 9);
	fsdax_close(file);
}

static void c6_7_a_punch_takes_whole_granules(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "f", 5 * MIB);
	assert_int_equal(pages_on(file, SMALL), 256);
	assert_int_equal(fsdax_punch(file, MIB, MIB, FSDAX_DEFER, 0), -EINVAL);
	assert_int_equal(fsdax_punch(file, 0, MIB, FSDAX_FAIL, 0), -EINVAL);
	assert_int_equal(fsdax_punch(file, 4 * MIB + PAGE, PAGE, FSDAX_WAIT, 0), 0); /* small pages there */
	assert_int_equal(stat_of(file).blocks, 1279);
	assert_int_equal(fsdax_punch(file, 2 * MIB, 2 * MIB + PAGE, FSDAX_FAIL, 0), 0);
	assert_int_equal(stat_of(file).blocks, 1279 - 513);
	struct fsdax_map *map = map_range(file, 2 * MIB, 2 * MIB, NULL); /* new ones */
	assert_int_equal(pages_on(file, BIG), 1024);
	assert_true(map_is_all(&pool, map, 0));
	fsdax_unmap(map);
	struct fsdax_file *small = fill_small(), *end = make_file(&pool, "end", 3 * MIB);
	assert_int_equal(stat_of(end).blocks, 1024);
	assert_int_equal(fsdax_punch(end, 2 * MIB, PAGE, FSDAX_DEFER, 0), -EINVAL);
	assert_int_equal(fsdax_punch(end, 2 * MIB, MIB, FSDAX_DEFER, 0), 0); /* it ends there */
	assert_int_equal(stat_of(end).blocks, 512);
	map = map_range(end, 0, 3 * MIB, NULL); /* the hole is rounded up like any end */
	assert_int_equal(stat_of(end).blocks, 1024);
	fsdax_unmap(map);
	fsdax_close(end);
	fsdax_close(small);
	fsdax_close(file);
}

/* Not beyond what follows the hole, which lies elsewhere. */
static void a_hole_is_filled_no_further_than_it_goes(void **state)
{
	(void)state;
	struct fsdax_map *map;
	struct fsdax_file *file = make_file(&pool, "f", MIB);
	assert_int_equal(fsdax_truncate(file, 2 * MIB), 0);
	assert_int_equal(fsdax_punch(file, 0, MIB, FSDAX_DEFER, 0), 0);
	struct fsdax_file *small = fill_small();
	assert_int_equal(fsdax_map(file, 0, PAGE, NULL, NULL, &map), -ENOSPC);
	assert_int_equal(fsdax_punch(file, MIB, MIB, FSDAX_DEFER, 0), 0);
	fsdax_close(small);
	assert_int_equal(fsdax_unlink(pool.fs, "small"), 0);
	assert_int_equal(fsdax_resize_map(file, 3 * MIB, 0, NULL, NULL, NULL, &map),
			 0); /* a hole, and more behind it */
	assert_true(pages_on(file, BIG) == 512 && pages_on(file, SMALL) == 256);
	fsdax_unmap(map);
	fsdax_close(file);
}

/* As many pages as the hole lacks lie beyond the end. */
static void a_hole_is_seen_beside_a_rounded_end(void **state)
{
	(void)state;
	struct fsdax_map *map;
	struct fsdax_file *file = make_file(&pool, "f", 3 * MIB);
	assert_int_equal(fsdax_truncate(file, 4 * MIB), 0);
	assert_int_equal(fsdax_punch(file, 2 * MIB, MIB, FSDAX_DEFER, 0), 0);
	struct fsdax_file *small = fill_small();
	assert_int_equal(fsdax_truncate(file, 5 * MIB), 0);
	assert_int_equal(stat_of(file).blocks, 5 * 256);
	assert_int_equal(fsdax_map(file, 0, 5 * MIB, NULL, NULL, &map), -ENOSPC);
	fsdax_close(small);
	assert_int_equal(fsdax_unlink(pool.fs, "small"), 0);
	map = map_range(file, 0, 5 * MIB, NULL);
	assert_int_equal(stat_of(file).blocks, 6 * 256);
	fsdax_unmap(map);
	fsdax_close(file);
}

static void a_mapping_begins_at_a_granule(void **state)
{
	(void)state;
	struct fsdax_map *map;
	struct fsdax_file *file = make_file(&pool, "f", 3 * MIB);
	assert_int_equal(fsdax_map(file, PAGE, PAGE, NULL, NULL, &map), -EINVAL);
	assert_int_equal(fsdax_map(file, MIB, 2 * MIB, NULL, NULL, &map), -EINVAL);
	map = map_range(file, 2 * MIB + PAGE, PAGE, NULL);
	assert_int_equal(pool_live_pages(&pool), 256);
	fsdax_unmap(map);
	map = map_range(file, 0, PAGE, NULL);
	struct fsdax_piece piece;
	fsdax_map_piece(map, 0, &piece);
	assert_int_equal(piece.len_bytes, 2 * MIB);
	fsdax_unmap(map);
	fsdax_close(file);
}

/* Who maps the granule that the file keeps is not waited for. */
static void c6_7_what_a_kept_granule_holds_is_not_waited_for(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "f", 8 * MIB);
	assert_int_equal(fsdax_set_order(pool.fs, "f", 9), 0);
	assert_int_equal(fsdax_truncate(file, 0), 0);
	assert_int_equal(fsdax_truncate(file, 8 * MIB), 0);
	struct fsdax_map *map = map_range(file, 2 * MIB, 2 * MIB, NULL);
	assert_int_equal(fsdax_truncate_how(file, 3 * MIB, FSDAX_FAIL, 0), 0);
	assert_int_equal(stat_of(file).blocks, 1024);
	assert_int_equal(fsdax_truncate_how(file, 2 * MIB, FSDAX_FAIL, 0), -EBUSY);
	fsdax_unmap(map);
	assert_int_equal(fsdax_truncate_how(file, 2 * MIB, FSDAX_WAIT, 0), 0);
	fsdax_close(file);
}

/* A granule is made ready for one page: long, so not under the lock. */
static void a_rounded_end_is_made_ready_beforehand(void **state)
{
	(void)state;
	struct supply supply;
	struct fsdax_file *file = make_file(&pool, "f", PAGE), *small = fill_small();
	assert_int_equal(fsdax_truncate(file, 0), 0);
	supply_init(&supply, pool.fs);
	supply_use(pool.fs, &supply);
	assert_int_equal(fsdax_truncate(file, PAGE), 0); /* the one that is left */
	assert_int_equal(fsdax_truncate(file, 0), 0);
	fsdax_close(small);
	assert_int_equal(fsdax_open(pool.fs, "small", 0, &small), 0);
	supply_use(pool.fs, NULL);
	assert_int_equal(fsdax_truncate(small, 4 * MIB), 0);
	supply_use(pool.fs, &supply);
	assert_int_equal(fsdax_truncate(file, PAGE), -ERESTART);
	assert_int_equal(stat_of(file).blocks, 0);
	supply_make(&supply);
	supply_use(pool.fs, &supply);
	assert_int_equal(fsdax_truncate(file, PAGE), 0);
	assert_int_equal(stat_of(file).blocks, 512);
	supply_end(&supply);
	supply_use(pool.fs, NULL);
	fsdax_close(small);
	fsdax_close(file);
}

/* Three granules: each takes what fits it, and an end goes up as far as it must. */
static void each_granule_takes_what_fits_it(void **state)
{
	static const uint64_t three[] = {(uint64_t)16 * PAGE, (uint64_t)64 * PAGE, (uint64_t)256 * PAGE, 0};
	static const unsigned orders[] = {0, 3, 6};
	(void)state;
	pool_open_mixed(&pool, three, orders, NULL);
	struct fsdax_file *file = make_file(&pool, "f", (uint64_t)(64 + 3 * 8 + 5) * PAGE);
	assert_true(pages_on(file, HUGE) == 64 && pages_on(file, BIG) == 24 && pages_on(file, SMALL) == 5);
	struct fsdax_file *small = fill_small();
	struct fsdax_file *next = make_file(&pool, "g", (uint64_t)(64 + 5 * 8 - 1) * PAGE);
	assert_true(pages_on(next, HUGE) == 64 && pages_on(next, BIG) == 40 && pages_on(next, SMALL) == 0);
	struct fsdax_file *last = make_file(&pool, "h", PAGE); /* nothing smaller is left */
	assert_int_equal(pages_on(last, HUGE), 64);
	assert_int_equal(pool_statfs(&pool).free, 64);
	assert_int_equal(fsdax_truncate(next, (uint64_t)(64 + 5 * 8 + 1) * PAGE), -ENOSPC);
	assert_int_equal(stat_of(last).granule_order, 6);
	assert_int_equal(stat_of(small).granule_order, 0);
	fsdax_close(last);
	fsdax_close(next);
	fsdax_close(small);
	fsdax_close(file);
	pool_close_stack(&pool);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, open_pool, close_pool)
	const struct CMUnitTest tests[] = {
		T(a_file_gets_big_granules_where_they_fit_and_small_pages_for_the_rest),
		T(small_files_leave_big_granules_whole),
		T(where_small_pages_have_gone_the_end_is_rounded_up),
		T(no_bigger_granule_is_given_than_fits_or_was_asked_for),
		T(c6_10_what_small_pages_cannot_end_goes_back),
		T(c6_9_what_a_rounded_end_hides_reads_as_zero),
		T(c6_9_what_a_granule_with_a_bad_page_hides_reads_as_zero),
		T(c6_5_a_granule_with_a_bad_page_stays_one_block),
		T(c6_7_a_punch_takes_whole_granules),
		T(a_hole_is_filled_no_further_than_it_goes),
		T(a_hole_is_seen_beside_a_rounded_end),
		T(a_mapping_begins_at_a_granule),
		T(c6_7_what_a_kept_granule_holds_is_not_waited_for),
		T(a_rounded_end_is_made_ready_beforehand),
		cmocka_unit_test(each_granule_takes_what_fits_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
