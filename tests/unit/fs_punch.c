/* SPDX-License-Identifier: BSD-3-Clause */
/* Holes: made by a punch, filled by a mapping; who holds what was punched keeps it. */
#include <errno.h>

#include "fs/log.h"
#include "pool.h"

static struct pool pool;
static struct {
	int calls;
	uint64_t first, n;
} gone;

static void note_gone(void *cookie, uint64_t first_span, uint64_t nspans)
{
	(void)cookie;
	gone.calls++;
	gone.first = first_span;
	gone.n = nspans;
}

static int set_up(void **state)
{
	(void)state;
	memset(&gone, 0, sizeof(gone));
	pool_open(&pool, 16 * MIB, 0, note_gone);
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

static void punch(struct fsdax_file *file, uint64_t offset, uint64_t len)
{
	assert_int_equal(fsdax_punch(file, offset, len, FSDAX_DEFER, 0), 0);
}

static struct fsdax_file *make_full(const char *path, uint64_t bytes, char byte)
{
	struct fsdax_file *file = make_file(&pool, path, bytes);
	struct fsdax_map *map = map_range(file, 0, bytes, NULL);
	fill_map(&pool, map, byte);
	fsdax_unmap(map);
	return file;
}

static int range_is_all(struct fsdax_file *file, uint64_t offset, uint64_t len, char byte)
{
	struct fsdax_map *map = map_range(file, offset, len, NULL);
	int is = map_is_all(&pool, map, byte);
	fsdax_unmap(map);
	return is;
}

static void c6_7_a_punch_leaves_a_hole_that_reads_as_zero(void **state)
{
	(void)state;
	struct fsdax_file *file = make_full("a", 4 * MIB, 'x');
	punch(file, 333 * PAGE, 100 * PAGE);
	assert_space(&pool, 924, 0);
	assert_int_equal(stat_of(file).blocks, 924);
	assert_int_equal(stat_of(file).size_bytes, 4 * MIB);
	assert_true(range_is_all(file, 0, 333 * PAGE, 'x'));
	assert_true(range_is_all(file, 433 * PAGE, 4 * MIB - 433 * PAGE, 'x'));
	assert_int_equal(stat_of(file).blocks, 924); /* what is mapped beside it fills nothing */
	int64_t time = stat_of(file).mtime_ns;
	assert_true(range_is_all(file, 400 * PAGE, 10 * PAGE, 0));
	assert_int_equal(stat_of(file).blocks, 934);
	assert_true(range_is_all(file, 333 * PAGE, 100 * PAGE, 0));
	assert_space(&pool, 1024, 0);
	assert_int_equal(stat_of(file).mtime_ns, time); /* as nobody can tell */
	fsdax_close(file);
}

static void c6_7_who_holds_what_is_punched_keeps_it(void **state)
{
	(void)state;
	struct pgmap_holder *h, *k;
	assert_int_equal(pgmap_holder_create(pool.pgmap, "h", &h), 0);
	assert_int_equal(pgmap_holder_create(pool.pgmap, "k", &k), 0);
	struct fsdax_file *file = make_full("a", 2 * MIB, 'x');
	struct fsdax_map *map = map_range(file, 0, 2 * MIB, h), *other, *fresh;
	punch(file, 100 * PAGE, 200 * PAGE);
	assert_int_equal(gone.calls, 1);
	assert_int_equal(gone.first, 0);
	assert_int_equal(gone.n, 1);
	assert_space(&pool, 312, 200);
	other = map_range(file, 0, 100 * PAGE, k); /* cut on both sides: who comes holds nothing of the hole */
	fresh = map_range(file, 100 * PAGE, 200 * PAGE, k);
	assert_true(map_is_all(&pool, fresh, 0));
	fill_map(&pool, fresh, 'y');
	assert_true(map_is_all(&pool, map, 'x')); /* c6.8: other pages */
	assert_space(&pool, 512, 200);
	gone.calls = 0;
	punch(file, 150 * PAGE, PAGE); /* of the new ones: the old holder has lost nothing more */
	assert_int_equal(gone.calls, 1);
	fsdax_unmap(map);
	assert_space(&pool, 511, 1);
	fsdax_unmap(fresh);
	assert_space(&pool, 511, 0);
	fsdax_unmap(other);
	assert_int_equal(pgmap_holder_end(h), 0);
	assert_int_equal(pgmap_holder_end(k), 0);
	fsdax_close(file);
}

static void a_punch_of_whole_folios_tells_of_all_of_them_at_once(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 0);
	for (uint64_t size = 2; size <= 10; size += 2)
		assert_int_equal(fsdax_truncate(file, size * MIB), 0);
	struct fsdax_map *map = map_range(file, 2 * MIB, 6 * MIB, NULL);
	assert_int_equal(fsdax_map_nspans(map), 3);
	punch(file, 4 * MIB, 6 * MIB);
	assert_int_equal(gone.calls, 1);
	assert_int_equal(gone.first, 1);
	assert_int_equal(gone.n, 2);
	assert_space(&pool, 1024, 1024);
	punch(file, 0, 2 * MIB); /* before it */
	assert_int_equal(gone.calls, 1);
	fsdax_unmap(map);
	assert_space(&pool, 512, 0);
	fsdax_close(file);
}

/* A folio that nobody can cut keeps its lost middle, and a mapping of the refilled hole has it twice: before and behind. */
static void c7_9_who_maps_what_fills_a_hole_in_a_kept_folio_is_told(void **state)
{
	(void)state;
	struct fsdax_file *file = make_full("a", 2 * MIB, 'x');
	struct fsdax_map *keeper = map_range(file, 0, PAGE, NULL); /* charged to nobody: the folio stays whole */
	punch(file, 128 * PAGE, 128 * PAGE);
	struct fsdax_map *map = map_range(file, 0, 2 * MIB, NULL);
	fsdax_unmap(keeper);
	assert_int_equal(fsdax_map_nspans(map), 3);
	gone.calls = 0;
	punch(file, 128 * PAGE, PAGE);
	assert_int_equal(gone.calls, 1);
	assert_int_equal(gone.first, 1);
	assert_int_equal(gone.n, 1);
	punch(file, 300 * PAGE, PAGE);
	assert_int_equal(gone.calls, 2);
	assert_int_equal(gone.first, 2);
	punch(file, 100 * PAGE, PAGE);
	assert_int_equal(gone.calls, 3);
	assert_int_equal(gone.first, 0);
	punch(file, 0, 2 * MIB);
	assert_int_equal(gone.calls, 4);
	assert_int_equal(gone.first, 0);
	assert_int_equal(gone.n, 3);
	fsdax_unmap(map);
	fsdax_close(file);
}

static void what_has_no_pages_loses_none(void **state)
{
	(void)state;
	struct fsdax_file *file = make_full("a", 10 * PAGE + 1, 'x');
	punch(file, 10 * PAGE, PAGE); /* the last page whole, though the file ends in it */
	struct fsdax_stat before = stat_of(file);
	assert_int_equal(before.blocks, 10);
	punch(file, 10 * PAGE, 5 * PAGE);
	punch(file, 100 * PAGE, UINT64_MAX / PAGE * PAGE - 100 * PAGE);
	assert_int_equal(stat_of(file).mtime_ns, before.mtime_ns);
	assert_int_equal(stat_of(file).size_bytes, 10 * PAGE + 1);
	punch(file, 0, 100 * PAGE);
	assert_space(&pool, 0, 0);
	assert_int_equal(stat_of(file).extents, 0);
	assert_true(range_is_all(file, 0, 10 * PAGE + 1, 0));
	fsdax_close(file);
}

static void c7_11_a_hole_that_finds_no_space_is_not_mapped(void **state)
{
	(void)state;
	struct fsdax_file *file = make_full("a", 8 * MIB, 'x'), *other;
	struct fsdax_map *map = NULL;
	punch(file, PAGE, PAGE);
	punch(file, 5 * PAGE, 3 * PAGE);
	other = make_file(&pool, "b", 8 * MIB + 3 * PAGE);
	assert_int_equal(pool_statfs(&pool).free, 1);
	assert_int_equal(fsdax_map(file, 0, 8 * MIB, NULL, NULL, &map), -ENOSPC);
	assert_int_equal(pool_statfs(&pool).free, 1);
	assert_int_equal(pgmap_live_pages(pool.pgmap), 0);
	assert_true(range_is_all(file, PAGE, PAGE, 0));
	assert_int_equal(fsdax_map(file, 5 * PAGE, 1, NULL, NULL, &map), -ENOSPC);
	assert_int_equal(fsdax_truncate(other, 8 * MIB), 0);
	assert_true(range_is_all(file, 5 * PAGE, 3 * PAGE, 0));
	fsdax_close(file);
	fsdax_close(other);
}

static void c6_9_sizes_change_over_holes(void **state)
{
	(void)state;
	struct fsdax_file *file = make_full("a", 20 * PAGE, 'x');
	punch(file, 10 * PAGE, 10 * PAGE);
	assert_int_equal(fsdax_truncate(file, 15 * PAGE + 100), 0); /* its end lies in the hole */
	assert_int_equal(stat_of(file).blocks, 10);
	assert_int_equal(fsdax_truncate(file, 20 * PAGE), 0);
	assert_int_equal(stat_of(file).blocks, 14); /* what is new has pages, the hole has none */
	assert_true(range_is_all(file, 10 * PAGE, 10 * PAGE, 0));
	assert_int_equal(stat_of(file).blocks, 20);
	punch(file, 3 * PAGE, PAGE);
	assert_int_equal(fsdax_truncate(file, 3 * PAGE + 1), 0);
	assert_int_equal(fsdax_truncate(file, 3 * PAGE + 2), 0);
	assert_int_equal(stat_of(file).blocks, 3);
	assert_true(range_is_all(file, 0, 3 * PAGE, 'x'));
	fsdax_close(file);
}

static void a_file_with_holes_is_sized_and_mapped_in_one_step(void **state)
{
	(void)state;
	struct fsdax_file *file = make_full("a", 8 * PAGE, 'x');
	struct fsdax_map *map;
	punch(file, 2 * PAGE, 2 * PAGE);
	punch(file, 7 * PAGE, PAGE);
	assert_int_equal(fsdax_resize_map(file, 12 * PAGE, 0, NULL, NULL, NULL, &map), 0);
	assert_int_equal(stat_of(file).blocks, 12);
	fsdax_unmap(map);
	assert_true(range_is_all(file, 0, 2 * PAGE, 'x'));
	assert_true(range_is_all(file, 2 * PAGE, 2 * PAGE, 0));
	assert_true(range_is_all(file, 4 * PAGE, 3 * PAGE, 'x'));
	assert_true(range_is_all(file, 7 * PAGE, 5 * PAGE, 0));
	punch(file, 5 * PAGE, PAGE);
	assert_int_equal(fsdax_resize_map(file, 10 * PAGE, FSDAX_TRUNC, NULL, NULL, NULL, &map), 0);
	assert_true(map_is_all(&pool, map, 0));
	assert_int_equal(stat_of(file).blocks, 10);
	fsdax_unmap(map);
	punch(file, 0, PAGE);
	assert_int_equal(fsdax_resize_map(file, 3 * PAGE, FSDAX_TRUNC, NULL, NULL, NULL, &map), 0);
	assert_true(map_is_all(&pool, map, 0));
	assert_space(&pool, 3, 0);
	fsdax_unmap(map);
	fsdax_close(file);
}

static int refuse(void *arg, const struct fs_record *record)
{
	(void)arg;
	(void)record;
	return -EIO;
}

static void what_the_log_refuses_is_neither_punched_nor_filled(void **state)
{
	(void)state;
	struct fsdax_file *file = make_full("a", 8 * PAGE, 'x');
	struct fsdax_map *map = NULL;
	punch(file, PAGE, PAGE);
	fs_set_log(pool.fs, refuse, NULL);
	assert_int_equal(fsdax_punch(file, 0, 4 * PAGE, FSDAX_DEFER, 0), -EIO);
	assert_int_equal(fsdax_punch(file, 0, 4 * PAGE, FSDAX_FAIL, 0), -EIO);
	assert_int_equal(fsdax_map(file, 0, 8 * PAGE, NULL, NULL, &map), -EIO);
	assert_int_equal(pgmap_live_pages(pool.pgmap), 0);
	fs_set_log(pool.fs, NULL, NULL);
	assert_space(&pool, 7, 0);
	assert_true(range_is_all(file, 0, PAGE, 'x'));
	assert_true(range_is_all(file, 2 * PAGE, 6 * PAGE, 'x'));
	fsdax_close(file);
}

static void holes_are_whole_granules(void **state)
{
	(void)state;
	struct pool keep = pool;
	pool_open(&pool, 16 * MIB, 9, NULL);
	struct fsdax_file *file = make_full("a", 5 * MIB, 'x');
	assert_int_equal(fsdax_punch(file, MIB, 2 * MIB, FSDAX_DEFER, 0), -EINVAL);
	assert_int_equal(fsdax_punch(file, 0, MIB, FSDAX_DEFER, 0), -EINVAL);
	punch(file, 2 * MIB, 2 * MIB);
	assert_space(&pool, 1024, 0);
	struct fsdax_map *map = map_range(file, 0, 2 * MIB + PAGE, NULL);
	assert_space(&pool, 1536, 0);
	fsdax_unmap(map);
	assert_true(range_is_all(file, 2 * MIB, 2 * MIB, 0));
	assert_true(range_is_all(file, 4 * MIB, MIB, 'x'));
	fsdax_close(file);
	pool_close(&pool);
	pool = keep;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(c6_7_a_punch_leaves_a_hole_that_reads_as_zero),
		T(c6_7_who_holds_what_is_punched_keeps_it),
		T(a_punch_of_whole_folios_tells_of_all_of_them_at_once),
		T(c7_9_who_maps_what_fills_a_hole_in_a_kept_folio_is_told),
		T(what_has_no_pages_loses_none),
		T(c7_11_a_hole_that_finds_no_space_is_not_mapped),
		T(c6_9_sizes_change_over_holes),
		T(a_file_with_holes_is_sized_and_mapped_in_one_step),
		T(what_the_log_refuses_is_neither_punched_nor_filled),
		T(holes_are_whole_granules),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
