/* SPDX-License-Identifier: BSD-3-Clause */
/* Sizes: allocated whole or not at all, as big and aligned as they can be, zero beyond what was written. */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "fs/fs.h"
#include "pool.h"

static struct pool pool;

static int set_up(void **state)
{
	(void)state;
	pool_open(&pool, 8 * MIB, 0, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pool_close(&pool);
	return 0;
}

static void sizes_are_whole_pages_and_refused_when_too_big(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 1);
	struct fsdax_stat st = stat_of(file);
	assert_true(st.type == FSDAX_REG && st.size_bytes == 1 && st.blocks == 1 && st.extents == 1 && st.nlink == 1);
	assert_true(st.mtime_ns > 0);
	assert_int_equal(fsdax_truncate(file, PAGE), 0);
	assert_space(&pool, 1, 0);
	assert_int_equal(fsdax_truncate(file, PAGE + 1), 0);
	assert_space(&pool, 2, 0);
	assert_int_equal(fsdax_truncate(file, 8 * MIB + 1), -EFBIG);
	assert_int_equal(fsdax_truncate(file, UINT64_MAX), -EFBIG);
	assert_int_equal(stat_of(file).size_bytes, PAGE + 1);
	assert_int_equal(fsdax_truncate(file, 8 * MIB), 0);
	assert_space(&pool, 2048, 0);
	assert_int_equal(fsdax_truncate(NULL, 0), -EINVAL);
	assert_int_equal(fsdax_stat_file(file, NULL), -EINVAL);
	fsdax_close(file);
}

static void big_sizes_get_big_extents(void **state)
{
	(void)state;
	struct pool big; /* sparse: nothing is touched, and populate is left out */
	pool_open(&big, UINT64_C(5) << 30, 0, NULL);
	big.ops.populate = NULL;
	struct fsdax_file *small = make_file(&big, "s", PAGE);
	struct fsdax_file *file = make_file(&big, "a", (UINT64_C(2) << 30) + 2 * MIB + 3 * PAGE);
	struct fsdax_stat st = stat_of(file);
	assert_int_equal(st.max_order, 18);
	assert_int_equal(st.extents, 5); /* two of 1 GiB, one of 2 MiB, then 2 pages and 1 */
	struct fsdax_map *map = map_range(file, 0, st.size_bytes, NULL);
	for (uint64_t i = 0; i < fsdax_map_nspans(map); i++) {
		struct fsdax_span span;
		fsdax_map_span(map, i, &span);
		assert_true((span.file_pgoff - span.pgoff) % (UINT64_C(1) << span.order) ==
			    0); /* huge pages can map it */
	}
	fsdax_unmap(map);
	fsdax_close(file);
	fsdax_close(small);
	pool_close(&big);
}

static void enospc_in_the_middle_leaves_nothing(void **state)
{
	(void)state;
	struct fsdax_file *a = make_file(&pool, "a", 5 * MIB), *b = make_file(&pool, "b", 2 * MIB + 100);
	struct fsdax_statfs before = pool_statfs(&pool);
	assert_int_equal(fsdax_truncate(b, 4 * MIB), -ENOSPC);
	struct fsdax_statfs after = pool_statfs(&pool);
	assert_memory_equal(&before, &after, offsetof(struct fsdax_statfs, granule_order));
	assert_int_equal(stat_of(b).size_bytes, 2 * MIB + 100);
	assert_int_equal(fsdax_truncate(b, 3 * MIB), 0);
	assert_int_equal(pool_statfs(&pool).free, 0);
	fsdax_close(a);
	fsdax_close(b);
}

static int calls_until_failure, discard_fails;
static const struct dax_device_ops *real_ops;

static int failing_populate(void *ctx, uint64_t offset, uint64_t len)
{
	if (calls_until_failure-- == 0)
		return -ENOSPC;
	return real_ops->populate(ctx, offset, len);
}

static int failing_discard(void *ctx, uint64_t offset, uint64_t len)
{
	return discard_fails ? -EIO : real_ops->discard(ctx, offset, len);
}

static void c7_11_memory_that_is_not_there_is_said_at_once(void **state)
{
	(void)state;
	/* Free space in two pieces, so that populate is called twice, and fails the second time. */
	struct fsdax_file *a = make_file(&pool, "a", 2 * MIB), *b = make_file(&pool, "b", 2 * MIB);
	struct fsdax_file *c = make_file(&pool, "c", 4 * MIB);
	assert_int_equal(fsdax_truncate(a, 0), 0);
	assert_int_equal(fsdax_truncate(c, 0), 0);
	struct fsdax_statfs before = pool_statfs(&pool);
	real_ops = pool.dev->ops;
	pool.ops.populate = failing_populate;
	for (calls_until_failure = 0; calls_until_failure < 2;) {
		int n = calls_until_failure;
		assert_int_equal(fsdax_truncate(a, 6 * MIB), -ENOSPC);
		assert_int_equal(calls_until_failure, -1);
		struct fsdax_statfs after = pool_statfs(&pool);
		assert_memory_equal(&before, &after, offsetof(struct fsdax_statfs, granule_order));
		calls_until_failure = n + 1;
	}
	assert_int_equal(fsdax_truncate(a, 6 * MIB), 0);
	fsdax_close(a);
	fsdax_close(b);
	fsdax_close(c);
}

static void c6_9_what_cannot_be_wiped_is_not_handed_out(void **state)
{
	(void)state;
	struct fsdax_file *a = make_file(&pool, "a", 6 * MIB), *b = make_file(&pool, "b", PAGE);
	struct fsdax_map *map = map_range(a, 0, 6 * MIB, NULL);
	fill_map(&pool, map, 'x');
	fsdax_unmap(map);
	real_ops = pool.dev->ops;
	pool.ops.discard = failing_discard;
	discard_fails = 1;
	assert_int_equal(fsdax_truncate(a, 0), 0);
	assert_space(&pool, 1, 1536);
	assert_int_equal(fsdax_truncate(b, 4 * MIB), -ENOSPC);
	assert_space(&pool, 1, 1536);
	discard_fails = 0;
	assert_int_equal(fsdax_truncate(b, 8 * MIB), 0); /* tried again when space is short */
	map = map_range(b, 0, 8 * MIB, NULL);
	assert_true(map_is_all(&pool, map, 0));
	fsdax_unmap(map);
	fsdax_close(a);
	fsdax_close(b);
}

/* A file full of this byte, which nobody maps. */
static struct fsdax_file *make_full(struct pool *p, const char *path, uint64_t bytes, char byte)
{
	struct fsdax_file *file = make_file(p, path, bytes);
	struct fsdax_map *map = map_range(file, 0, bytes, NULL);
	fill_map(p, map, byte);
	fsdax_unmap(map);
	return file;
}

/* With the device's address and without: through a mapping of the moment. */
static void shrink_and_grow(struct pool *p)
{
	struct fsdax_file *file = make_file(p, "f", 2 * PAGE);
	struct fsdax_map *map = map_range(file, 0, 2 * PAGE, NULL);
	fill_map(p, map, 'x');
	assert_int_equal(fsdax_truncate(file, 100), 0);
	char *at = piece_at(p, map, 0, NULL);
	assert_true(is_all(at, 100, 'x'));
	assert_true(is_all(at + 100, PAGE - 100, 0));
	memset(at, 'y', PAGE); /* a mapping reaches to the end of its page */
	assert_int_equal(fsdax_truncate(file, 2 * PAGE), 0);
	assert_true(is_all(at, 100, 'y'));
	assert_true(is_all(at + 100, PAGE - 100, 0));
	fsdax_unmap(map);
	fsdax_close(file);
}

static void a_kept_last_page_is_zeroed_beyond_the_size(void **state)
{
	(void)state;
	shrink_and_grow(&pool);
}

static void the_same_on_a_device_that_is_not_mapped_here(void **state)
{
	(void)state;
	struct pool p = pool;
	const struct dax_params params = {
		.params_bytes = sizeof(params),
		.type = PGMAP_FSDAX,
		.len_bytes = 8 * MIB,
		.fd = p.dev->fd,
		.ops = &p.ops,
		.ctx = p.dev,
	};
	assert_int_equal(dax_create(&params, &p.dax), 0);
	assert_int_equal(fsdax_create(p.dax, NULL, &p.fs), 0);
	shrink_and_grow(&p);
	struct fsdax_map *map;
	struct fsdax_file *file = make_full(&p, "g", 2 * PAGE, 'x');
	assert_int_equal(fsdax_resize_map(file, 3 * PAGE, FSDAX_TRUNC, NULL, NULL, NULL, &map), 0);
	assert_true(map_is_all(&p, map, 0));
	fsdax_unmap(map);
	fsdax_close(file);
	assert_int_equal(fsdax_destroy(p.fs), 0);
	assert_int_equal(dax_destroy(p.dax), 0);
}

static void a_granule_is_owned_and_mapped_whole(void **state)
{
	(void)state;
	struct pool p;
	pool_open(&p, 8 * MIB, 9, NULL);
	assert_int_equal(pool_statfs(&p).granule_order, 9);
	struct fsdax_file *file = make_file(&p, "f", PAGE + 1);
	struct fsdax_map *map, *none = NULL;
	struct fsdax_piece piece;
	assert_space(&p, 512, 0);
	assert_int_equal(fsdax_map(file, PAGE, 1, NULL, NULL, &none), -EINVAL);
	assert_int_equal(fsdax_map(file, 0, 2 * PAGE + 1, NULL, NULL, &none), -ERANGE);
	map = map_range(file, 0, PAGE + 1, NULL);
	fsdax_map_piece(map, 0, &piece);
	assert_int_equal(piece.len_bytes, 2 * MIB);
	fill_map(&p, map, 'x');
	assert_int_equal(fsdax_truncate(file, 10), 0);
	assert_true(is_all(piece_at(&p, map, 0, NULL) + 10, 2 * MIB - 10, 0)); /* to the granule's end */
	assert_int_equal(fsdax_truncate(file, 2 * MIB + 1), 0);
	assert_space(&p, 1024, 0);
	fsdax_unmap(map);
	fsdax_close(file);
	pool_close(&p);
}

static uint64_t allocated_pages(void)
{
	struct stat st;
	assert_int_equal(fstat(pool.dev->fd, &st), 0);
	return (uint64_t)st.st_blocks * 512 / PAGE;
}

static void fresh_pages_have_memory_and_lost_ones_give_it_back(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 4 * MIB);
	assert_int_equal(allocated_pages(), 1024);
	assert_int_equal(fsdax_truncate(file, MIB), 0);
	assert_int_equal(allocated_pages(), 256);
	fsdax_close(file);
	assert_int_equal(fsdax_unlink(pool.fs, "a"), 0);
	assert_int_equal(allocated_pages(), 0);
}

/* Who has the device's descriptor can punch it: what is wiped has memory again before anything changes, or is left. */
static void c7_11_what_is_wiped_has_memory_behind_it_first(void **state)
{
	(void)state;
	struct fsdax_file *file = make_full(&pool, "a", 3 * MIB, 'x');
	struct fsdax_map *map = NULL;
	real_ops = pool.dev->ops;
	pool.ops.populate = failing_populate;
	assert_int_equal(real_ops->discard(pool.dev, 0, 8 * MIB), 0);
	for (int n = 0; n < 2; n++) { /* of two blocks */
		calls_until_failure = n;
		assert_int_equal(fsdax_resize_map(file, 3 * MIB, FSDAX_TRUNC, NULL, NULL, NULL, &map), -ENOSPC);
		assert_int_equal(allocated_pages(), n * 512);
	}
	calls_until_failure = 0;
	assert_int_equal(fsdax_truncate(file, PAGE + 1), -ENOSPC);
	assert_int_equal(stat_of(file).size_bytes, 3 * MIB);
	assert_null(map);
	calls_until_failure = -1;
	assert_int_equal(fsdax_resize_map(file, 3 * MIB, FSDAX_TRUNC, NULL, NULL, NULL, &map), 0);
	assert_int_equal(calls_until_failure, -3);
	fsdax_unmap(map);
	assert_int_equal(fsdax_truncate(file, 2 * MIB + 1), 0);
	assert_int_equal(calls_until_failure, -4);
	fsdax_close(file);
}

static uint64_t gone_spans;

static void count_gone(void *cookie, uint64_t first_span, uint64_t nspans)
{
	(void)cookie;
	(void)first_span;
	gone_spans += nspans;
}

static uint64_t device_offset(const struct fsdax_map *map)
{
	struct fsdax_piece piece;
	fsdax_map_piece(map, 0, &piece);
	return piece.device_offset_bytes;
}

/* From 5 MiB of 8 to each of these sizes: with the old pages gone there is room, and with them kept, too. */
static void contents_are_replaced_where_they_lie_when_nobody_holds_them(void **state)
{
	(void)state;
	static const uint64_t sizes[] = {5 * MIB, 8 * MIB, 3 * MIB + 5, 7 * PAGE, 1};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct fsdax_file *file = make_full(&pool, "a", 5 * MIB, 'x');
		struct fsdax_map *before = map_range(file, 0, PAGE, NULL), *map;
		uint64_t at = device_offset(before), pages = (sizes[i] + PAGE - 1) / PAGE;
		fsdax_unmap(before);
		assert_int_equal(fsdax_resize_map(file, sizes[i], FSDAX_TRUNC, NULL, NULL, NULL, &map), 0);
		assert_int_equal(stat_of(file).size_bytes, sizes[i]);
		assert_int_equal(stat_of(file).blocks, pages);
		assert_int_equal(stat_of(file).mappings, 1);
		assert_int_equal(device_offset(map), at);
		assert_true(map_is_all(&pool, map, 0));
		assert_int_equal(pgmap_live_pages(pool.pgmap), pages);
		assert_space(&pool, pages, 0);
		fsdax_unmap(map);
		assert_int_equal(fsdax_unlink(pool.fs, "a"), 0);
		fsdax_close(file);
		assert_space(&pool, 0, 0);
	}
}

static void c6_8_contents_that_somebody_holds_are_his_until_he_lets_go(void **state)
{
	(void)state;
	struct pool p;
	struct fsdax_map *map;
	pool_open(&p, 8 * MIB, 0, count_gone);
	struct fsdax_file *file = make_full(&p, "a", 3 * MIB, 'x'); /* 2 MiB and 1 */
	struct fsdax_map *held = map_range(file, 2 * MIB, MIB, NULL);
	gone_spans = 0;
	assert_int_equal(fsdax_resize_map(file, 3 * MIB, FSDAX_TRUNC, NULL, NULL, NULL, &map), 0);
	assert_int_equal(gone_spans, 1); /* his, and not the new one */
	assert_true(map_is_all(&p, held, 'x'));
	assert_true(map_is_all(&p, map, 0));
	fill_map(&p, map, 'y');
	assert_true(map_is_all(&p, held, 'x'));
	assert_space(&p, 768, 256);
	fsdax_unmap(held);
	assert_space(&p, 768, 0);
	assert_true(map_is_all(&p, map, 'y'));
	fsdax_unmap(map);
	fsdax_close(file);
	pool_close(&p);
}

static void a_size_that_grows_keeps_the_bytes_and_the_mappings(void **state)
{
	(void)state;
	struct pool p;
	struct fsdax_map *map, *none = NULL;
	pool_open(&p, 8 * MIB, 0, count_gone);
	struct fsdax_file *file = make_full(&p, "a", 2 * PAGE, 'x');
	assert_int_equal(fsdax_truncate(file, PAGE + 5), 0);
	struct fsdax_map *held = map_range(file, 0, 2 * PAGE, NULL);
	gone_spans = 0;
	assert_int_equal(fsdax_resize_map(file, MIB, 0, NULL, NULL, NULL, &map), 0);
	assert_int_equal(gone_spans, 0);
	assert_int_equal(stat_of(file).size_bytes, MIB);
	char *at = p.mem + device_offset(map);
	assert_true(is_all(at, PAGE + 5, 'x') && is_all(at + PAGE + 5, PAGE - 5, 0));
	assert_int_equal(device_offset(held), device_offset(map));
	assert_int_equal(fsdax_resize_map(file, MIB - 1, 0, NULL, NULL, NULL, &none), -EINVAL); /* it does not shrink */
	assert_int_equal(fsdax_resize_map(file, 0, FSDAX_TRUNC, NULL, NULL, NULL, &none), -EINVAL);
	assert_int_equal(fsdax_resize_map(file, MIB, FSDAX_CREATE, NULL, NULL, NULL, &none), -EINVAL);
	assert_int_equal(fsdax_resize_map(NULL, MIB, 0, NULL, NULL, NULL, &none), -EINVAL);
	assert_int_equal(fsdax_resize_map(file, 8 * MIB + 1, 0, NULL, NULL, NULL, &none), -EFBIG);
	assert_null(none);
	fsdax_unmap(held);
	fsdax_unmap(map);
	fsdax_close(file);
	pool_close(&p);
}

static bool same(const struct fsdax_stat *a, const struct fsdax_stat *b)
{
	return a->size_bytes == b->size_bytes && a->blocks == b->blocks && a->extents == b->extents &&
	       a->mappings == b->mappings && a->max_order == b->max_order && a->mtime_ns == b->mtime_ns;
}

static int ready_calls, ready_answer;

static int count_ready(void *cookie, struct fsdax_map *map)
{
	assert_ptr_equal(cookie, &ready_calls);
	assert_int_not_equal(fsdax_map_nspans(map), 0);
	ready_calls++;
	return ready_answer;
}

static int refuse_record(void *arg, const struct fs_record *record)
{
	(void)arg;
	assert_int_equal(record->op, FS_SIZE);
	return -EIO;
}

/* Every way to fail there is, on a file of which the second half is mapped: as if nothing had been asked. */
static void what_fails_has_changed_neither_size_nor_bytes_nor_mappings(void **state)
{
	(void)state;
	struct pool p;
	pool_open(&p, 8 * MIB, 0, count_gone);
	struct fsdax_file *file = make_full(&p, "a", 3 * MIB, 'x'), *other = make_file(&p, "b", 4 * MIB);
	struct fsdax_map *held = map_range(file, 2 * MIB, MIB, NULL), *none = NULL;
	struct fsdax_stat before = stat_of(file), after;
	struct fsdax_statfs space = pool_statfs(&p), space_after;
	real_ops = p.dev->ops;
	gone_spans = 0;
	for (int how = 0; how < 8; how++) {
		unsigned flags = how % 2 ? FSDAX_TRUNC : 0;
		uint64_t size = how < 2 ? 5 * MIB : flags ? 3 * MIB : 3 * MIB + 7 * PAGE;
		int want = how < 4 ? -ENOSPC : how < 6 ? -EMFILE : -EIO;
		calls_until_failure = 0;
		p.ops.populate = how == 2 || how == 3 ? failing_populate : p.dev->ops->populate;
		ready_answer = how == 4 || how == 5 ? -EMFILE : 0;
		ready_calls = 0;
		fs_set_log(p.fs, how >= 6 ? refuse_record : NULL, NULL);
		assert_int_equal(fsdax_resize_map(file, size, flags, NULL, &ready_calls, count_ready, &none), want);
		assert_int_equal(ready_calls, how >= 4);
		after = stat_of(file);
		space_after = pool_statfs(&p);
		assert_true(same(&before, &after));
		assert_memory_equal(&space, &space_after, offsetof(struct fsdax_statfs, granule_order));
		assert_int_equal(pgmap_live_pages(p.pgmap), 256);
	}
	assert_int_equal(pgmap_kill(p.pgmap), 0);
	assert_int_equal(fsdax_resize_map(file, MIB, FSDAX_TRUNC, NULL, NULL, NULL, &none), -ENODEV);
	assert_int_equal(pgmap_revive(p.pgmap), 0);
	after = stat_of(file);
	assert_true(same(&before, &after));
	assert_null(none);
	assert_int_equal(gone_spans, 0);
	struct fsdax_map *whole = map_range(file, 0, 3 * MIB, NULL);
	assert_true(map_is_all(&p, whole, 'x'));
	fs_set_log(p.fs, NULL, NULL);
	fsdax_unmap(whole);
	fsdax_unmap(held);
	fsdax_close(file);
	fsdax_close(other);
	pool_close(&p);
}

static int no_op(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	(void)ctx;
	(void)offset_bytes;
	(void)len_bytes;
	return 0;
}

/* Of others: this process has neither an address nor a descriptor. */
static void what_cannot_be_touched_is_cut_at_whole_pages_only(void **state)
{
	(void)state;
	static const struct dax_device_ops ops = {.ops_bytes = sizeof(ops), .discard = no_op};
	const struct dax_params params = {
		.params_bytes = sizeof(params), .type = PGMAP_FSDAX, .len_bytes = 1 * MIB, .fd = -1, .ops = &ops};
	struct pool far = {0};
	assert_int_equal(dax_create(&params, &far.dax), 0);
	assert_int_equal(fsdax_create(far.dax, NULL, &far.fs), 0);
	struct fsdax_file *file = make_file(&far, "a", 3 * PAGE);
	assert_int_equal(fsdax_truncate(file, 2 * PAGE + 1), -EOPNOTSUPP);
	assert_int_equal(fsdax_truncate_how(file, 1, FSDAX_FAIL, 0), -EOPNOTSUPP);
	assert_int_equal(stat_of(file).size_bytes, 3 * PAGE);
	assert_space(&far, 3, 0);
	assert_int_equal(fsdax_truncate(file, 2 * PAGE), 0);
	fsdax_close(file);
	assert_int_equal(fsdax_destroy(far.fs), 0);
	assert_int_equal(dax_destroy(far.dax), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(sizes_are_whole_pages_and_refused_when_too_big),
		T(big_sizes_get_big_extents),
		T(enospc_in_the_middle_leaves_nothing),
		T(c7_11_memory_that_is_not_there_is_said_at_once),
		T(c6_9_what_cannot_be_wiped_is_not_handed_out),
		T(a_kept_last_page_is_zeroed_beyond_the_size),
		T(the_same_on_a_device_that_is_not_mapped_here),
		T(a_granule_is_owned_and_mapped_whole),
		T(fresh_pages_have_memory_and_lost_ones_give_it_back),
		T(c7_11_what_is_wiped_has_memory_behind_it_first),
		T(contents_are_replaced_where_they_lie_when_nobody_holds_them),
		T(c6_8_contents_that_somebody_holds_are_his_until_he_lets_go),
		T(a_size_that_grows_keeps_the_bytes_and_the_mappings),
		T(what_fails_has_changed_neither_size_nor_bytes_nor_mappings),
		T(what_cannot_be_touched_is_cut_at_whole_pages_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
