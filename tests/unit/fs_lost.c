/* SPDX-License-Identifier: BSD-3-Clause */
/* Devices that die under a pool, and pages that lose their data: what is free there is handed out no more, the rest goes on. */
#include <errno.h>
#include <pthread.h>

#include "fs/fs.h"

#include "failing.h"
#include "space_util.h"

static const uint64_t sizes[] = {(uint64_t)1300 * PAGE, (uint64_t)700 * PAGE, (uint64_t)2055 * PAGE, 0};
static const uint64_t equal_sizes[] = {4 * MIB, 4 * MIB, 4 * MIB, 0};
static struct pool pool;

static void assert_lost(uint64_t used, uint64_t waiting, uint64_t lost)
{
	struct fsdax_statfs st = pool_statfs(&pool);
	assert_int_equal(st.used, used);
	assert_int_equal(st.waiting, waiting);
	assert_int_equal(st.lost, lost);
	assert_int_equal(st.clean + st.dirty + st.absent, st.free);
}

/* Pages of a file on one of the devices. */
static uint64_t pages_on(struct fsdax_file *file, unsigned device)
{
	struct fsdax_map *map = map_range(file, 0, stat_of(file).size_bytes, NULL);
	uint64_t pages = 0;
	for (uint64_t i = 0; i < fsdax_map_npieces(map); i++) {
		struct fsdax_piece piece;
		fsdax_map_piece(map, i, &piece);
		pages += piece.device == device ? piece.len_bytes / PAGE : 0;
	}
	fsdax_unmap(map);
	return pages;
}

/* A page of a file that is not on this device. */
static uint64_t page_elsewhere(struct fsdax_file *file, unsigned device)
{
	struct fsdax_map *map = map_range(file, 0, stat_of(file).size_bytes, NULL);
	struct fsdax_piece piece = {.device = device};
	for (uint64_t i = 0; piece.device == device; i++)
		fsdax_map_piece(map, i, &piece);
	fsdax_unmap(map);
	return piece.file_offset_bytes / PAGE;
}

static void c6_3_free_pages_of_a_dead_part_are_not_handed_out(void **state)
{
	(void)state;
	pool_open_stack(&pool, sizes, 0, NULL);
	assert_int_equal(dax_kill(pool.parts[1].dax), 0);
	assert_lost(0, 700, 700);
	struct fsdax_file *file = make_file(&pool, "a", (1300 + 2055) * (uint64_t)PAGE);
	assert_int_equal(pages_on(file, 1), 0);
	assert_int_equal(fsdax_truncate(file, (1300 + 2056) * (uint64_t)PAGE), -ENOSPC);
	assert_lost(1300 + 2055, 700, 700);
	assert_int_equal(fsdax_truncate(file, 0), 0);
	assert_int_equal(dax_kill(pool.parts[0].dax), 0);
	assert_lost(0, 2000, 2000);
	assert_int_equal(dax_kill(pool.parts[2].dax), 0);
	assert_int_equal(fsdax_truncate(file, PAGE), -ENXIO); /* as on one device */
	fsdax_close(file);
	pool_close_stack(&pool);
}

static void c6_3_so_it_is_on_a_stripe(uint64_t chunk_pages)
{
	pool_open_stack(&pool, equal_sizes, chunk_pages, NULL);
	struct fsdax_file *file = make_file(&pool, "a", 6 * MIB);
	struct fsdax_map *map;
	uint64_t other = page_elsewhere(file, 1);
	assert_int_equal(pages_on(file, 1), 512);
	assert_int_equal(dax_kill(pool.parts[1].dax), 0);
	assert_lost(1536, 512, 512);
	assert_int_equal(fsdax_map(file, 0, 6 * MIB, NULL, NULL, &map), -ENODEV);
	assert_int_equal(fsdax_map(file, other * PAGE, PAGE, NULL, NULL, &map), 0);
	assert_int_equal(fsdax_truncate(file, 0), 0);
	assert_lost(0, 1024 + (chunk_pages < 512 ? chunk_pages : 512), 1024);
	fsdax_unmap(map);
	assert_lost(0, 1024, 1024);
	assert_int_equal(fsdax_truncate(file, 8 * MIB), 0);
	assert_int_equal(pages_on(file, 1), 0);
	assert_int_equal(fsdax_truncate(file, 8 * MIB + 1), -ENOSPC);
	fsdax_close(file);
	pool_close_stack(&pool);
}

static void c6_3_nor_those_of_a_dead_part_of_a_stripe(void **state)
{
	(void)state;
	c6_3_so_it_is_on_a_stripe(512);
	c6_3_so_it_is_on_a_stripe(4);
}

static void c6_8_what_comes_back_from_a_dead_part_stays_away(void **state)
{
	(void)state;
	pool_open_stack(&pool, sizes, 0, NULL);
	struct fsdax_file *file = make_file(&pool, "a", (1300 + 700 + 2055) * (uint64_t)PAGE);
	struct fsdax_map *map = map_range(file, 0, stat_of(file).size_bytes, NULL), *more;
	assert_int_equal(dax_kill(pool.parts[1].dax), 0);
	assert_lost(4055, 0, 0); /* it is the file's */
	assert_int_equal(fsdax_map(file, 0, stat_of(file).size_bytes, NULL, NULL, &more), -ENODEV);
	fsdax_unmap(map);
	fsdax_close(file);
	assert_int_equal(fsdax_unlink(pool.fs, "a"), 0);
	assert_lost(0, 700, 700);
	file = make_file(&pool, "b", 3355 * (uint64_t)PAGE);
	assert_int_equal(pages_on(file, 1), 0);
	fsdax_close(file);
	pool_close_stack(&pool);
}

/* Nobody is told -ENXIO while there are others: the one who finds out, before the pool is told, tries again. */
static void c6_3_death_in_the_middle_of_an_allocation_is_no_error(void **state)
{
	(void)state;
	struct dax_device *faults[3];
	for (uint64_t left = 0; left < 12; left++) {
		pool_parts_open(&pool, equal_sizes);
		struct dax_part parts[3] = {0};
		for (int i = 0; i < 3; i++) {
			assert_int_equal(dax_create_fault(pool.parts[i].dax, NULL, &faults[i]), 0);
			parts[i].dax = faults[i];
		}
		assert_int_equal(dax_create_stripe(parts, 3, 64, NULL, &pool.dax), 0);
		assert_int_equal(fsdax_create(pool.dax, NULL, &pool.fs), 0);
		assert_int_equal(dax_fault_dead_after(faults[1], left), 0);
		struct fsdax_file *file = make_file(&pool, "a", 0);
		int err = 0;
		for (uint64_t bytes = 1 * MIB; bytes <= 12 * MIB && !err; bytes += 1 * MIB)
			err = fsdax_truncate(file, bytes);
		assert_int_equal(err, left < 11 ? -ENOSPC : err);
		assert_true(!err || err == -ENOSPC);
		fsdax_close(file);
		(void)pool_statfs(&pool);
		assert_int_equal(fsdax_destroy(pool.fs), 0);
		assert_int_equal(dax_destroy(pool.dax), 0);
		for (int i = 0; i < 3; i++)
			assert_int_equal(dax_destroy(faults[i]), 0);
		pool_parts_close(&pool);
	}
}

/* Threads that make, map, fill, look and remove, while a part dies under them. */
enum { THREADS = 3, ROUNDS = 600 };
struct worker {
	pthread_t thread;
	int id;
	struct fsdax_holder *holder;
	const char *wrong;
};
static atomic_int rounds_done;

static void use_one(struct worker *w, const char *name)
{
	struct fsdax_file *file;
	struct fsdax_map *map = NULL;
	if (fsdax_open(pool.fs, name, FSDAX_CREATE | FSDAX_TRUNC, &file) != 0) {
		w->wrong = "open";
		return;
	}
	int err = fsdax_truncate(file, (uint64_t)(100 + 50 * w->id) * PAGE);
	if (err && err != -ENOSPC)
		w->wrong = "truncate";
	if (!err)
		err = fsdax_map_for(file, 0, 100 * PAGE, w->holder, NULL, NULL, &map);
	if (err && err != -ENOSPC && err != -ENODEV)
		w->wrong = "map";
	if (map) {
		if (!map_is_all(&pool, map, 0))
			w->wrong = "a fresh page is not zero";
		fill_map(&pool, map, (char)('a' + w->id));
		(void)fsdax_punch(file, 10 * PAGE, 20 * PAGE, FSDAX_DEFER, 0);
		if (!map_is_all(&pool, map, (char)('a' + w->id)))
			w->wrong = "a held page changed";
		fsdax_unmap(map);
	}
	fsdax_close(file);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	char name[8];
	for (int i = 0; i < ROUNDS && !w->wrong; i++) {
		(void)snprintf(name, sizeof(name), "%d.%d", w->id, i % 5);
		use_one(w, name);
		atomic_fetch_add(&rounds_done, 1);
	}
	return NULL;
}

static void kill_under_load(uint64_t chunk_pages, unsigned cpu_percent)
{
	struct worker workers[THREADS] = {0};
	pool_open_stack(&pool, equal_sizes, chunk_pages, NULL);
	assert_int_equal(fsdax_set_wiping(pool.fs, 4 * MIB, cpu_percent), 0);
	atomic_store(&rounds_done, 0);
	for (int i = 0; i < THREADS; i++) {
		workers[i].id = i;
		assert_int_equal(fsdax_holder_create(pool.fs, "w", &workers[i].holder), 0);
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	while (atomic_load(&rounds_done) < THREADS * ROUNDS / 3)
		(void)sched_yield();
	assert_int_equal(dax_kill(pool.parts[1].dax), 0);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
		if (workers[i].wrong)
			fail_msg("worker %d: %s", i, workers[i].wrong);
		assert_int_equal(fsdax_holder_end(workers[i].holder), 0);
	}
	for (int i = 0; i < THREADS * 5; i++) {
		char name[8];
		(void)snprintf(name, sizeof(name), "%d.%d", i / 5, i % 5);
		assert_int_equal(fsdax_unlink(pool.fs, name), 0);
	}
	assert_lost(0, 1024, 1024);
	assert_int_equal(pool_live_pages(&pool), 0);
	pool_close_stack(&pool);
}

static void c6_3_a_part_dies_under_load(void **state)
{
	(void)state;
	kill_under_load(0, 0);
	kill_under_load(64, 0);
	kill_under_load(4, 100);
}

static void c6_5_free_bad_pages_are_not_handed_out(void **state)
{
	(void)state;
	pool_open_stack(&pool, equal_sizes, 512, NULL);
	assert_int_equal(dax_notify_failure(pool.parts[2].dax, DAX_FAILURE_POISON, 77, 1), 0);
	assert_int_equal(dax_notify_failure(pool.parts[0].dax, DAX_FAILURE_POISON, 510, 5), 0);
	assert_lost(0, 6, 6);
	struct fsdax_file *file = make_file(&pool, "a", 3066 * (uint64_t)PAGE);
	struct fsdax_map *map = map_range(file, 0, 3066 * (uint64_t)PAGE, NULL);
	assert_int_equal(fsdax_truncate(file, 3067 * (uint64_t)PAGE), -ENOSPC); /* the device cannot clear them */
	assert_lost(3066, 6, 6);
	fsdax_unmap(map);
	assert_int_equal(fsdax_truncate(file, 0), 0);
	assert_int_equal(pgmap_clear_poison(dax_pgmap(pool.parts[2].dax), 77, 1), 0); /* now it can */
	assert_int_equal(fsdax_truncate(file, 3067 * (uint64_t)PAGE), 0);
	assert_lost(3067, 5, 5);
	fsdax_close(file);
	pool_close_stack(&pool);
}

/* A device that overwrites bad pages: they are cleared when space is short. */
static void c6_5_what_the_device_can_clear_is_used_when_space_is_short(void **state)
{
	static const uint64_t one[] = {4 * MIB, 0};
	(void)state;
	pool_parts_open(&pool, one);
	assert_int_equal(dax_create_fault(pool.parts[0].dax, NULL, &pool.dax), 0);
	memset(pool.parts[0].mem, 'x', 8 * PAGE);
	assert_int_equal(dax_notify_failure(pool.dax, DAX_FAILURE_POISON, 3, 2), 0); /* before there is a pool */
	assert_int_equal(fsdax_create(pool.dax, NULL, &pool.fs), 0);
	assert_lost(0, 2, 2);
	struct fsdax_file *file = make_file(&pool, "a", 1022 * (uint64_t)PAGE);
	assert_lost(1022, 2, 2);
	assert_int_equal(fsdax_truncate(file, 1024 * (uint64_t)PAGE), 0);
	assert_lost(1024, 0, 0);
	fsdax_close(file);
	assert_int_equal(fsdax_destroy(pool.fs), 0);
	assert_int_equal(dax_destroy(pool.dax), 0);
	pool_parts_close(&pool);
}

static void c6_5_bad_pages_that_come_back_stay_away(void **state)
{
	(void)state;
	pool_open_stack(&pool, equal_sizes, 512, NULL);
	struct fsdax_file *file = make_file(&pool, "a", 12 * MIB);
	struct fsdax_map *map = map_range(file, 0, 12 * MIB, NULL);
	assert_int_equal(dax_notify_failure(pool.parts[1].dax, DAX_FAILURE_POISON, 600, 3), 0);
	assert_lost(3072, 0, 0);
	assert_int_equal(fsdax_truncate(file, 0), 0);
	assert_lost(0, 3072, 0);
	fsdax_unmap(map);
	assert_lost(0, 3, 3);
	assert_int_equal(fsdax_truncate(file, 12 * MIB), -ENOSPC);
	assert_int_equal(fsdax_truncate(file, 12 * MIB - 3 * PAGE), 0);
	fsdax_close(file);
	pool_close_stack(&pool);
}

static void c6_5_without_memory_more_is_lost_for_a_while(void **state)
{
	(void)state;
	pool_open_stack(&pool, equal_sizes, 512, NULL);
	struct fsdax_file *file = make_file(&pool, "a", 0);
	assert_int_equal(pgmap_poison(dax_pgmap(pool.parts[1].dax), 600, 1), 0);
	failing_begin(1, true);
	space_damage(&pool.fs->space, 4 * 512 + 88, 1); /* as the pool would be told */
	assert_true(failing_end());
	struct fsdax_statfs st = pool_statfs(&pool);
	assert_true(st.lost >= 512 && st.lost == st.waiting);
	assert_int_equal(fsdax_truncate(file, 3071 * (uint64_t)PAGE), 0);
	assert_lost(3071, 1, 1);
	fsdax_close(file);
	pool_close_stack(&pool);
}

/* The wiper works on pages that are lost meanwhile: what it says of them then does not count. */
static void c6_5_pages_are_lost_while_they_are_wiped(void **state)
{
	(void)state;
	struct block_list blocks;
	space_open(64, true);
	space_set_keep(&t.space, 64);
	take_and_fill(64, 'x', &blocks);
	space_lose(&t.space, &blocks);
	assert_free(0, 64, 0);
	(void)pthread_mutex_lock(&t.space.lock);
	assert_true(space_piece_begin(&t.space, NULL, STOCK_DIRTY, t.space.base, 32, UINT64_MAX));
	(void)pthread_mutex_unlock(&t.space.lock);
	assert_int_equal(pgmap_poison(dax_pgmap(t.dax), t.space.base + 5, 2), 0);
	space_damage(&t.space, 5, 2);
	assert_int_equal(space_now().lost, 2);
	assert_free(0, 62, 0);
	(void)pthread_mutex_lock(&t.space.lock);
	space_piece_end(&t.space, STOCK_CLEAN);
	(void)pthread_mutex_unlock(&t.space.lock);
	assert_free(30, 32, 0);
	space_close();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(c6_3_free_pages_of_a_dead_part_are_not_handed_out),
		cmocka_unit_test(c6_3_nor_those_of_a_dead_part_of_a_stripe),
		cmocka_unit_test(c6_8_what_comes_back_from_a_dead_part_stays_away),
		cmocka_unit_test(c6_3_death_in_the_middle_of_an_allocation_is_no_error),
		cmocka_unit_test(c6_3_a_part_dies_under_load),
		cmocka_unit_test(c6_5_free_bad_pages_are_not_handed_out),
		cmocka_unit_test(c6_5_what_the_device_can_clear_is_used_when_space_is_short),
		cmocka_unit_test(c6_5_bad_pages_that_come_back_stay_away),
		cmocka_unit_test(c6_5_without_memory_more_is_lost_for_a_while),
		cmocka_unit_test(c6_5_pages_are_lost_while_they_are_wiped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
