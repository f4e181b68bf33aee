/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that is always there, in a pool with memory that comes and goes: it is wiped and never given back, and keeps none of the other. */
#include <errno.h>
#include <sys/stat.h>

#include "fs/fs.h"
#include "fs/wiper.h"

#include "pool.h"

enum { RESIDENT, STUBBORN, OTHER }; /* the devices */
enum { R = 64, S = 32, O = 128, FILE_PAGES = 16, FILES = (S + O) / FILE_PAGES };
static const uint64_t sizes[] = {(uint64_t)R * PAGE, (uint64_t)S *PAGE, (uint64_t)O *PAGE, 0};
static const uint64_t equal_sizes[] = {(uint64_t)R * PAGE, (uint64_t)R *PAGE, 0};
static struct pool pool;
static int stubborn; /* that device takes nothing back now */

static int discard(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	struct dev *dev = ctx;
	assert_ptr_not_equal(dev, pool.parts[RESIDENT].dev);
	if (stubborn && dev == pool.parts[STUBBORN].dev)
		return -EIO;
	return dev->ops->discard(ctx, offset_bytes, len_bytes);
}

/* The first is resident, and an earlier owner's bytes are in it. */
static void open_parts(const uint64_t bytes[], struct dax_part parts[])
{
	stubborn = 0;
	pool_parts_open(&pool, bytes);
	for (unsigned i = 0; i < pool.nparts; i++) {
		struct pool_part *part = &pool.parts[i];
		part->ops.discard = discard;
		const struct dax_params params = {.params_bytes = sizeof(params),
						  .type = PGMAP_FSDAX,
						  .len_bytes = part->bytes,
						  .addr = part->mem,
						  .fd = part->dev->fd,
						  .ops = &part->ops,
						  .ctx = part->dev,
						  .resident = i == RESIDENT};
		assert_int_equal(dax_destroy(part->dax), 0);
		assert_int_equal(dax_create(&params, &part->dax), 0);
		parts[i].dax = part->dax;
	}
	memset(pool.parts[RESIDENT].mem, 9, bytes[RESIDENT]);
}

static int set_up(void **state)
{
	struct dax_part parts[POOL_PARTS] = {0};
	(void)state;
	open_parts(sizes, parts);
	assert_int_equal(dax_create_linear(parts, pool.nparts, NULL, &pool.dax), 0);
	assert_int_equal(fsdax_create(pool.dax, NULL, &pool.fs), 0);
	return 0;
}

/* The end of a pool wipes all, whatever it lies on. */
static int tear_down(void **state)
{
	(void)state;
	pool.parts[RESIDENT].ops.discard = pool.parts[RESIDENT].dev->ops->discard;
	pool_close_stack(&pool);
	return 0;
}

static uint64_t pages_with_memory(unsigned device)
{
	struct stat st;
	assert_int_equal(fstat(pool.parts[device].dev->fd, &st), 0);
	return (uint64_t)st.st_blocks / 8;
}

/* One on all that is resident, and the others on the rest: each is wiped. */
static void make_files(void)
{
	char path[16];
	for (int i = -1; i < FILES; i++) {
		uint64_t bytes = (i < 0 ? (uint64_t)R : (uint64_t)FILE_PAGES) * PAGE;
		(void)snprintf(path, sizeof(path), "%d", i);
		struct fsdax_file *file = make_file(&pool, path, bytes);
		struct fsdax_map *map = map_range(file, 0, bytes, NULL);
		struct fsdax_piece piece;
		fsdax_map_piece(map, 0, &piece);
		assert_true((piece.device == RESIDENT) == (i < 0));
		assert_true(map_is_all(&pool, map, 0));
		fill_map(&pool, map, 'x');
		fsdax_unmap(map);
		fsdax_close(file);
	}
}

static void unlink_files(int from)
{
	char path[16];
	for (int i = from; i < FILES; i++) {
		(void)snprintf(path, sizeof(path), "%d", i);
		assert_int_equal(fsdax_unlink(pool.fs, path), 0);
	}
}

static void assert_free(uint64_t clean, uint64_t dirty, uint64_t absent)
{
	struct fsdax_statfs st = pool_statfs(&pool);
	assert_int_equal(st.clean, clean);
	assert_int_equal(st.dirty, dirty);
	assert_int_equal(st.absent, absent);
}

static void the_watermark_is_for_the_other_alone(void **state)
{
	(void)state;
	assert_int_equal(fsdax_set_wiping(pool.fs, (uint64_t)(FILE_PAGES + 4) * PAGE, 0), 0);
	assert_int_equal(pool_statfs(&pool).keep, FILE_PAGES + 4);
	assert_free(0, R, S + O);
	make_files();
	unlink_files(0);
	assert_free(0, FILE_PAGES, S + O - FILE_PAGES);
	assert_int_equal(pages_with_memory(STUBBORN) + pages_with_memory(OTHER), FILE_PAGES);
	assert_int_equal(fsdax_unlink(pool.fs, "-1"), 0);
	assert_free(0, R + FILE_PAGES, S + O - FILE_PAGES);
	assert_int_equal(fsdax_set_wiping(pool.fs, 0, 0), 0);
	assert_free(0, R, S + O);
	assert_space(&pool, 0, 0);
}

static void where_memory_is_short_all_but_it_goes_back(void **state)
{
	(void)state;
	assert_int_equal(fsdax_set_wiping(pool.fs, (uint64_t)(S + O) * PAGE, 0), 0);
	make_files();
	unlink_files(-1);
	assert_free(0, R + S + O, 0);
	stubborn = 1; /* and what one device does not take keeps nothing of the others */
	assert_int_equal(space_discard(&pool.fs->space, UINT64_MAX), O);
	assert_free(0, R + S, O);
	stubborn = 0;
	assert_int_equal(space_discard(&pool.fs->space, UINT64_MAX), S);
	assert_free(0, R, S + O);
}

static uint64_t work_until_idle(void)
{
	uint64_t n, pages = 0, cursor = pool.fs->space.base;
	while ((n = wiper_work(&pool.fs->space, &cursor)) != 0)
		pages += n;
	return pages;
}

static void the_wiper_wipes_it_and_gives_back_the_other(void **state)
{
	(void)state;
	pool.fs->space.background = true; /* the test is the wiper */
	make_files();
	unlink_files(0);
	for (int i = 0; i < 3; i++) {
		wiper_end_period(&pool.fs->space);
		(void)work_until_idle();
	}
	assert_free(0, 0, S + O); /* though what is resident is all used */
	assert_int_equal(fsdax_unlink(pool.fs, "-1"), 0);
	assert_int_equal(work_until_idle(), R);
	for (int i = 0; i < 3; i++) {
		wiper_end_period(&pool.fs->space);
		assert_int_equal(work_until_idle(), 0);
	}
	assert_free(R, 0, S + O);
	assert_true(is_all(pool.parts[RESIDENT].mem, (uint64_t)R * PAGE, 0));
}

static void a_stripe_that_has_some_keeps_all(void **state)
{
	struct dax_part parts[POOL_PARTS] = {0};
	(void)tear_down(state);
	open_parts(equal_sizes, parts);
	assert_int_equal(dax_create_stripe(parts, pool.nparts, FILE_PAGES, NULL, &pool.dax), 0);
	assert_int_equal(fsdax_create(pool.dax, NULL, &pool.fs), 0);
	assert_free(0, R, R);
	struct space *space = &pool.fs->space;
	(void)pthread_mutex_lock(
		&space->lock); /* nor does the wiper get memory there: it would not be what it looks for */
	bool begun = space_piece_begin_absent(space, FILE_PAGES, FILE_PAGES);
	(void)pthread_mutex_unlock(&space->lock);
	assert_false(begun);
	struct fsdax_file *file = make_file(&pool, "f", 2ULL * R * PAGE);
	struct fsdax_map *map = map_range(file, 0, 2ULL * R * PAGE, NULL);
	assert_true(map_is_all(&pool, map, 0));
	fsdax_unmap(map);
	fsdax_close(file);
	assert_int_equal(fsdax_unlink(pool.fs, "f"), 0);
	assert_free(0, 2 * R, 0);
	assert_int_equal(space_discard(&pool.fs->space, UINT64_MAX), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(the_watermark_is_for_the_other_alone),
		T(where_memory_is_short_all_but_it_goes_back),
		T(the_wiper_wipes_it_and_gives_back_the_other),
		T(a_stripe_that_has_some_keeps_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
