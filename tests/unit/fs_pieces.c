/* SPDX-License-Identifier: BSD-3-Clause */
/* A pool on a device whose memory lies in several pieces: a file may lie on all of them, a folio on one. */
#include "pool.h"

static const uint64_t lengths[] = {6 * MIB, 4 * MIB, 22 * MIB};
static struct pool pool;

static int open_pool(void **state)
{
	(void)state;
	char why[DEV_WHY_MAX];
	pool = (struct pool){0};
	assert_int_equal(dev_open("memfd:size=32M,page=4K", &pool.dev, why), 0);
	pool.mem = mmap(NULL, 32 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, pool.dev->fd, 0);
	assert_ptr_not_equal(pool.mem, MAP_FAILED);
	const struct dax_params params = {
		.params_bytes = sizeof(params),
		.type = PGMAP_FSDAX,
		.len_bytes = 32 * MIB,
		.addr = pool.mem,
		.fd = pool.dev->fd,
		.ops = pool.dev->ops,
		.ctx = pool.dev,
		.pieces_bytes = lengths,
		.npieces = 3,
	};
	assert_int_equal(dax_create(&params, &pool.dax), 0);
	pool.pgmap = dax_pgmap(pool.dax);
	assert_int_equal(fsdax_create(pool.dax, NULL, &pool.fs), 0);
	return 0;
}

static int close_pool(void **state)
{
	(void)state;
	pool_close(&pool);
	return 0;
}

struct seen {
	uint64_t pages;
	unsigned most; /* order */
};

static int on_one_piece(const struct pgmap_held *held, void *arg)
{
	struct seen *seen = arg;
	uint64_t from = held->pgoff * PAGE, end = from + ((uint64_t)PAGE << held->order);
	assert_true(end <= 6 * MIB || (from >= 6 * MIB && end <= 10 * MIB) || from >= 10 * MIB);
	seen->pages += UINT64_C(1) << held->order;
	seen->most = held->order > seen->most ? held->order : seen->most;
	return 0;
}

/* In one piece of memory it would be one folio of 32 MiB. */
static void a_file_lies_on_all_pieces_and_a_folio_on_one(void **state)
{
	(void)state;
	struct seen seen = {0};
	struct fsdax_file *file = make_file(&pool, "/f", 32 * MIB);
	struct fsdax_map *map = map_range(file, 0, 32 * MIB, NULL);
	fill_map(&pool, map, 'x');
	assert_true(map_is_all(&pool, map, 'x'));
	assert_true(is_all(pool.mem, 32 * MIB, 'x'));
	assert_int_equal(pgmap_for_each_held(pool.pgmap, on_one_piece, &seen), 0);
	assert_int_equal(seen.pages, 32 * MIB / PAGE);
	assert_int_equal(seen.most, 12); /* 16 MiB, of the last one */
	assert_space(&pool, 32 * MIB / PAGE, 0);
	fsdax_unmap(map);
	assert_int_equal(fsdax_unlink(pool.fs, "/f"), 0);
	fsdax_close(file);
	assert_space(&pool, 0, 0);
}

static void c6_5_bad_pages_of_any_piece_are_not_handed_out(void **state)
{
	(void)state;
	assert_int_equal(dax_notify_failure(pool.dax, DAX_FAILURE_POISON, 6 * MIB / PAGE - 1, 2), 0);
	assert_space(&pool, 0, 2);
	struct fsdax_file *file = make_file(&pool, "/f", 32 * MIB - 2 * PAGE);
	struct fsdax_map *map = map_range(file, 0, 32 * MIB - 2 * PAGE, NULL);
	fill_map(&pool, map, 'x');
	assert_true(is_all(pool.mem + 6 * MIB - PAGE, 2 * PAGE, 0));
	fsdax_unmap(map);
	assert_int_equal(fsdax_unlink(pool.fs, "/f"), 0);
	fsdax_close(file);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_file_lies_on_all_pieces_and_a_folio_on_one, open_pool, close_pool),
		cmocka_unit_test_setup_teardown(c6_5_bad_pages_of_any_piece_are_not_handed_out, open_pool, close_pool),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
