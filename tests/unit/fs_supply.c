/* SPDX-License-Identifier: BSD-3-Clause */
/* fs_supply.c - a change that needs much memory says what it lacks, changes nothing, and finds it when it is made again. */
#include <errno.h>

#include "fs/fs.h"
#include "fs/supply.h"
#include "pool.h"

enum { AT_ONCE = SUPPLY_AT_ONCE_PAGES * PAGE, BIG = 4 * MIB, POOL = 16 * MIB };

static struct pool pool;
static struct supply supply;
static int fail_populate; /* the error that the device answers */

static int populate(void *ctx, uint64_t pgoff, uint64_t npages)
{
	struct dev *dev = ctx;
	return fail_populate ? fail_populate : dev->ops->populate(ctx, pgoff, npages);
}

static int set_up(void **state)
{
	(void)state;
	fail_populate = 0;
	pool_open(&pool, POOL, 0, NULL);
	pool.ops.populate = populate;
	supply_init(&supply, pool.fs);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	supply_end(&supply);
	pool_close(&pool);
	return 0;
}

/* A change of size as one who has a supply makes it, once. */
static int truncate_to(struct fsdax_file *file, uint64_t bytes)
{
	supply_use(pool.fs, &supply);
	int err = fsdax_truncate(file, bytes);
	supply_use(pool.fs, NULL);
	return err;
}

static int map_anew(struct fsdax_file *file, uint64_t bytes, struct fsdax_map **map)
{
	supply_use(pool.fs, &supply);
	int err = fsdax_resize_map(file, bytes, FSDAX_TRUNC, NULL, NULL, NULL, map);
	supply_use(pool.fs, NULL);
	return err;
}

static void what_is_lacked_is_named_and_found_again(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "f", PAGE), *other = make_file(&pool, "g", 0);
	assert_int_equal(truncate_to(file, BIG), -ERESTART);
	assert_int_equal(stat_of(file).size_bytes, PAGE);
	assert_space(&pool, 1, 0);
	assert_int_equal(supply.wants[0].file_page, 1);
	assert_int_equal(supply.wants[0].npages, BIG / PAGE - 1);
	supply_make(&supply);
	assert_int_equal(supply.err, 0);
	assert_space(&pool, BIG / PAGE, 0); /* nobody else gets them */
	assert_int_equal(fsdax_truncate(other, POOL - BIG), 0);
	assert_int_equal(truncate_to(file, BIG), 0);
	assert_int_equal(stat_of(file).size_bytes, BIG);
	supply_end(&supply);
	assert_space(&pool, POOL / PAGE, 0);
	struct fsdax_map *map = map_range(file, 0, stat_of(file).size_bytes, NULL);
	assert_true(map_is_all(&pool, map, 0));
	fsdax_unmap(map);
	fsdax_close(file);
	fsdax_close(other);
}

static void the_same_big_folios_as_without(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "f", 0);
	assert_int_equal(truncate_to(file, BIG), -ERESTART);
	supply_make(&supply);
	assert_int_equal(truncate_to(file, BIG), 0);
	assert_int_equal(stat_of(file).extents, 1);
	fsdax_close(file);
}

static void a_call_makes_little_ready_itself(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "f", 0);
	assert_int_equal(truncate_to(file, AT_ONCE), 0);
	assert_int_equal(truncate_to(file, 2 * AT_ONCE), 0); /* each call so much */
	assert_int_equal(truncate_to(file, 3 * AT_ONCE + PAGE), -ERESTART);
	assert_int_equal(fsdax_truncate(file, 8 * AT_ONCE), 0); /* who has no supply waits */
	supply_end(&supply);
	assert_space(&pool, 8 * SUPPLY_AT_ONCE_PAGES, 0);
	fsdax_close(file);
}

/* What lies free and clean is no work: as the wiper leaves it. */
static void what_is_clean_already_is_taken_at_once(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "f", 0);
	const uint64_t bytes = (uint64_t)SUPPLY_CLEAN_PAGES * PAGE;
	assert_int_equal(truncate_to(file, bytes), -ERESTART);
	space_set_keep(&pool.fs->space, SUPPLY_CLEAN_PAGES);
	supply_make(&supply);
	struct fsdax_statfs st = pool_statfs(&pool);
	assert_int_equal(st.used, SUPPLY_CLEAN_PAGES);
	supply_end(&supply);
	st = pool_statfs(&pool);
	assert_int_equal(st.used, 0);
	assert_int_equal(st.clean + st.dirty, SUPPLY_CLEAN_PAGES);
	assert_int_equal(truncate_to(file, bytes), st.clean ? 0 : -ERESTART);
	fsdax_close(file);
}

/* Holes that are lacked are all made ready in one round. */
static void a_mapping_over_holes_gets_all_of_them(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "f", 8 * MIB);
	struct fsdax_map *map = NULL;
	for (uint64_t at = 0; at < 8; at += 2)
		assert_int_equal(fsdax_punch(file, at * MIB, MIB, FSDAX_DEFER, 0), 0);
	assert_space(&pool, 1024, 0);
	supply_use(pool.fs, &supply);
	assert_int_equal(fsdax_map(file, 0, 8 * MIB, NULL, NULL, &map), -ERESTART);
	supply_use(pool.fs, NULL);
	assert_int_equal(supply.nwants, 4);
	assert_int_equal(supply.wants[3].file_page, 1536);
	assert_int_equal(supply.wants[3].npages, 256);
	supply_make(&supply);
	assert_space(&pool, 2048, 0);
	supply_use(pool.fs, &supply);
	assert_int_equal(fsdax_map(file, 0, 8 * MIB, NULL, NULL, &map), 0);
	supply_use(pool.fs, NULL);
	supply_end(&supply);
	assert_space(&pool, 2048, 0);
	fsdax_unmap(map);
	fsdax_close(file);
}

static void what_does_not_fit_any_more_goes_back(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "f", 0);
	assert_int_equal(truncate_to(file, BIG), -ERESTART);
	supply_make(&supply);
	assert_int_equal(fsdax_truncate(file, 5 * PAGE), 0); /* somebody else's call */
	assert_int_equal(truncate_to(file, BIG), -ERESTART);
	assert_space(&pool, 5, 0);
	assert_int_equal(supply.wants[0].file_page, 5);
	supply_make(&supply);
	assert_int_equal(fsdax_truncate(file, BIG), 0); /* and the other has done it all */
	assert_int_equal(truncate_to(file, BIG), 0);
	supply_end(&supply);
	assert_space(&pool, BIG / PAGE, 0);
	fsdax_close(file);
}

static void it_ends_after_some_rounds(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "f", 0);
	for (unsigned i = 0; i < SUPPLY_ROUNDS; i++) {
		assert_int_equal(truncate_to(file, BIG), -ERESTART);
		supply_make(&supply);
		assert_int_equal(fsdax_truncate(file, (2 * i + 1) * (uint64_t)PAGE), 0);
	}
	assert_int_equal(truncate_to(file, BIG), -EAGAIN);
	supply_end(&supply);
	assert_int_equal(supply.rounds, 0);
	assert_space(&pool, 2 * SUPPLY_ROUNDS - 1, 0);
	fsdax_close(file);
}

static void an_error_of_making_ready_is_the_calls(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "f", PAGE);
	assert_int_equal(truncate_to(file, BIG), -ERESTART);
	fail_populate = -ENOSPC;
	supply_make(&supply);
	fail_populate = 0;
	assert_int_equal(truncate_to(file, BIG), -ENOSPC);
	assert_int_equal(stat_of(file).size_bytes, PAGE);
	supply_end(&supply);
	assert_space(&pool, 1, 0);
	assert_int_equal(truncate_to(file, BIG), -ERESTART); /* the next call begins anew */
	supply_end(&supply);
	assert_int_equal(truncate_to(file, 2 * POOL), -EFBIG);
	fsdax_close(file);
}

/* Emptied and mapped anew: other pages, so that nobody waits for the wipe of its own. */
static void a_big_file_anew_gets_new_pages(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "f", BIG);
	struct fsdax_map *map = map_range(file, 0, stat_of(file).size_bytes, NULL);
	fill_map(&pool, map, 'x');
	const char *before = piece_at(&pool, map, 0, NULL);
	fsdax_unmap(map);
	assert_int_equal(map_anew(file, BIG, &map), -ERESTART);
	supply_make(&supply);
	assert_int_equal(map_anew(file, BIG, &map), 0);
	supply_end(&supply);
	assert_ptr_not_equal(piece_at(&pool, map, 0, NULL), before);
	assert_true(map_is_all(&pool, map, 0));
	fsdax_unmap(map);
	assert_space(&pool, BIG / PAGE, 0);
	fsdax_close(file);
}

static void but_its_own_where_there_are_no_others(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "f", 12 * MIB);
	struct fsdax_map *map = map_range(file, 0, stat_of(file).size_bytes, NULL);
	fill_map(&pool, map, 'x');
	fsdax_unmap(map);
	assert_int_equal(map_anew(file, 12 * MIB, &map), 0);
	assert_true(map_is_all(&pool, map, 0));
	fsdax_unmap(map);
	assert_space(&pool, 12 * MIB / PAGE, 0);
	fsdax_close(file);
}

/* No memory for other pages: then its own, and only what these do not cover is lacked. */
static void an_error_is_of_what_failed_only(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "f", BIG);
	struct fsdax_map *map;
	assert_int_equal(map_anew(file, BIG + MIB, &map), -ERESTART);
	assert_int_equal(supply.wants[0].npages, (BIG + MIB) / PAGE);
	fail_populate = -ENOSPC;
	supply_make(&supply);
	fail_populate = 0;
	assert_int_equal(map_anew(file, BIG + MIB, &map), -ERESTART);
	assert_int_equal(supply.wants[0].file_page, BIG / PAGE);
	assert_int_equal(supply.wants[0].npages, MIB / PAGE);
	supply_make(&supply);
	assert_int_equal(map_anew(file, BIG + MIB, &map), 0);
	supply_end(&supply);
	fsdax_unmap(map);
	assert_space(&pool, (BIG + MIB) / PAGE, 0);
	fsdax_close(file);
}

static void an_order_that_was_set_meanwhile_holds(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "f", 0);
	assert_int_equal(truncate_to(file, BIG), -ERESTART);
	supply_make(&supply);
	assert_int_equal(fsdax_set_order(pool.fs, "/f", 4), 0);
	assert_int_equal(truncate_to(file, BIG), -ERESTART);
	supply_make(&supply);
	assert_int_equal(truncate_to(file, BIG), 0);
	assert_int_equal(stat_of(file).max_order, 4);
	supply_end(&supply);
	fsdax_close(file);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(what_is_lacked_is_named_and_found_again),
		T(the_same_big_folios_as_without),
		T(a_call_makes_little_ready_itself),
		T(what_is_clean_already_is_taken_at_once),
		T(a_mapping_over_holes_gets_all_of_them),
		T(what_does_not_fit_any_more_goes_back),
		T(it_ends_after_some_rounds),
		T(an_error_of_making_ready_is_the_calls),
		T(an_error_is_of_what_failed_only),
		T(an_order_that_was_set_meanwhile_holds),
		T(a_big_file_anew_gets_new_pages),
		T(but_its_own_where_there_are_no_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
