/* SPDX-License-Identifier: BSD-3-Clause */
/* Taking pages away, and what others do meanwhile: who comes to map, renames what lies above, or takes the same file away. */
#include "fs/taking.h"

#include <errno.h>

#include "fs/log.h"
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

static void begin_unlink(struct taking *taking)
{
	assert_int_equal(taking_unlink(taking, pool.fs, "a"), 0);
	assert_int_equal(taking_begin(taking, FSDAX_WAIT, NULL, NULL), -EINPROGRESS);
}

static void c6_7_an_unlink_is_done_when_all_is_free_whoever_else_waits(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", MIB);
	struct taking one = {0}, two = {0};
	begin_unlink(&one);
	begin_unlink(&two);
	fsdax_close(file);
	assert_int_equal(taking_try(&one), 0);
	taking_end(&one);
	assert_space(&pool, 0, 0);
	assert_true(taking_woken(&two));
	assert_int_equal(taking_try(&two), -ENOENT);
	taking_end(&two);
	file = make_file(&pool, "a", MIB);
	one = (struct taking){0};
	begin_unlink(&one);
	fsdax_close(file);
	assert_int_equal(fsdax_unlink_how(pool.fs, "a", FSDAX_FAIL, 0), 0);
	assert_space(&pool, 0, 0);
	assert_int_equal(taking_try(&one), -ENOENT);
	taking_end(&one);
}

static int count_drops(void *arg, const struct fs_record *record)
{
	*(int *)arg += record->op == FS_DROP;
	return 0;
}

/* They have nothing left to take, whatever they asked for. */
static void c6_7_who_waits_for_pages_of_a_file_that_is_gone_has_waited(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 4 * MIB);
	struct fsdax_map *map = map_range(file, 0, 4 * MIB, NULL);
	struct taking size = {0}, punch = {0}, unlink = {0};
	int drops = 0;
	fs_set_log(pool.fs, count_drops, &drops);
	assert_int_equal(taking_size(&size, file, MIB), 0);
	assert_int_equal(taking_begin(&size, FSDAX_WAIT, NULL, NULL), -EINPROGRESS);
	assert_int_equal(taking_punch(&punch, file, MIB, MIB), 0);
	assert_int_equal(taking_begin(&punch, FSDAX_WAIT, NULL, NULL), -EINPROGRESS);
	begin_unlink(&unlink);
	fsdax_close(file);
	fsdax_unmap(map);
	assert_int_equal(taking_try(&unlink), 0);
	taking_end(&unlink);
	assert_space(&pool, 0, 0);
	assert_true(taking_woken(&size));
	assert_int_equal(taking_try(&size), 0);
	taking_end(&size);
	assert_true(taking_woken(&punch));
	assert_int_equal(taking_try(&punch), 0);
	taking_end(&punch);
	assert_int_equal(drops, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(c6_7_the_rest_of_a_folio_that_is_taken_is_not_mapped),
		T(c6_7_an_unlink_below_a_directory_that_is_renamed_is_told),
		T(c6_7_an_unlink_is_done_when_all_is_free_whoever_else_waits),
		T(c6_7_who_waits_for_pages_of_a_file_that_is_gone_has_waited),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
