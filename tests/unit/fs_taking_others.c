/* SPDX-License-Identifier: BSD-3-Clause */
/* Taking pages away, and what others do meanwhile: who comes to map, renames what lies above, or takes the same file away. */
#include "fs/taking.h"

#include <errno.h>

#include "pool.h"

static struct pool pool;

static int set_up(void **state)
{
	(void)state;
	pool_open(&pool, 16 * MIB, 0, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(pgmap_live_pages(pool.pgmap), 0);
	assert_int_equal(pool_statfs(&pool).waiting, 0);
	pool_close(&pool);
	return 0;
}

static int try_map(struct fsdax_file *file, uint64_t page)
{
	struct fsdax_map *map;
	int err = fsdax_map(file, page * PAGE, PAGE, NULL, NULL, &map);
	if (!err)
		fsdax_unmap(map);
	return err;
}

/* A folio that is pinned is not cut by a punch: it is bigger than the blocks that are left of it. */
static void c6_7_the_rest_of_a_folio_that_is_taken_is_not_mapped(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 2 * MIB);
	assert_int_equal(fsdax_truncate(file, 4 * MIB), 0);
	struct fsdax_map *map = map_range(file, 0, PAGE, NULL);
	struct fsdax_span span;
	struct pgmap_holder *dma;
	struct taking taking = {0};
	assert_int_equal(pgmap_holder_create(pool.pgmap, "dma", &dma), 0);
	fsdax_map_span(map, 0, &span);
	assert_int_equal(folio_pin(span.folio, dma, FOLIO_PIN_LOCAL), 0);
	assert_int_equal(fsdax_punch(file, 100 * PAGE, 100 * PAGE, FSDAX_DEFER, 0), 0);
	assert_int_equal(taking_punch(&taking, file, 256 * PAGE, PAGE), 0);
	assert_int_equal(taking_begin(&taking, FSDAX_WAIT, NULL, NULL), -EINPROGRESS);
	uint64_t refs = folio_refs(span.folio);
	assert_int_equal(try_map(file, 0), -EAGAIN);
	assert_int_equal(try_map(file, 511), -EAGAIN);
	assert_int_equal(folio_refs(span.folio), refs);
	assert_int_equal(try_map(file, 512), 0); /* of another folio */
	assert_int_equal(try_map(file, 150), 0); /* the hole has pages of its own */
	assert_int_equal(taking_try(&taking), -EINPROGRESS);
	folio_unpin(span.folio, dma, FOLIO_PIN_LOCAL);
	fsdax_unmap(map);
	assert_int_equal(taking_try(&taking), 0);
	taking_end(&taking);
	assert_int_equal(try_map(file, 0), 0);
	assert_int_equal(pgmap_holder_end(dma), 0);
	fsdax_close(file);
}

static void c6_7_an_unlink_below_a_directory_that_is_renamed_is_told(void **state)
{
	(void)state;
	struct taking taking = {0};
	assert_int_equal(fsdax_mkdir(pool.fs, "d"), 0);
	assert_int_equal(fsdax_mkdir(pool.fs, "d/e"), 0);
	struct fsdax_file *file = make_file(&pool, "d/e/a", MIB);
	assert_int_equal(taking_unlink(&taking, pool.fs, "d/e/a"), 0);
	assert_int_equal(taking_begin(&taking, FSDAX_WAIT, NULL, NULL), -EINPROGRESS);
	assert_int_equal(fsdax_rename(pool.fs, "d", "f"), 0);
	assert_true(taking_woken(&taking));
	assert_int_equal(taking_try(&taking), -ENOENT);
	taking_end(&taking);
	assert_int_equal(stat_of(file).nlink, 1);
	fsdax_close(file);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(c6_7_the_rest_of_a_folio_that_is_taken_is_not_mapped),
		T(c6_7_an_unlink_below_a_directory_that_is_renamed_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
