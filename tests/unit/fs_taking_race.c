/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Some map and unmap, others take: none of them defers, so no mapping may ever lose a page, whatever the order. Each
 * mapping writes its own byte into pages of its own range, and finds it again.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "pool.h"

enum { MAPPERS = 3, TAKERS = 3, RACE_ROUNDS = 400, RACE_PAGES = 1024 };

static struct pool pool;
static struct fsdax_file *raced;
static _Atomic int race_errors, race_lost, race_taken;

static void race_gone(void *cookie, uint64_t first_span, uint64_t nspans)
{
	(void)cookie;
	(void)first_span;
	(void)nspans;
	race_lost++;
}

static uint64_t rnd(uint64_t *seed, uint64_t n)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed % n;
}

static void *race_mapper(void *arg)
{
	uint64_t seed = 77 + *(int *)arg;
	uint64_t own = (uint64_t) * (int *)arg * (RACE_PAGES / MAPPERS); /* pages that only it maps and writes */
	struct fsdax_map *map;
	for (int i = 0; i < RACE_ROUNDS; i++) {
		uint64_t first = own + rnd(&seed, RACE_PAGES / MAPPERS);
		int err = fsdax_map(raced, first * PAGE, PAGE, NULL, NULL, &map);
		if (err) {
			race_errors += err != -EAGAIN && err != -ERANGE;
			continue;
		}
		fill_map(&pool, map, (char)(i + 1));
		(void)sched_yield();
		race_errors += !map_is_all(&pool, map, (char)(i + 1));
		fsdax_unmap(map);
	}
	return NULL;
}

static int race_take(uint64_t *seed)
{
	enum fsdax_mode mode = rnd(seed, 2) ? FSDAX_WAIT : FSDAX_FAIL;
	uint64_t page = rnd(seed, RACE_PAGES), deadline = pgmap_deadline_in(rnd(seed, 3));
	if (rnd(seed, 2))
		return fsdax_punch(raced, page * PAGE, (1 + rnd(seed, 200)) * PAGE, mode, deadline);
	int err = fsdax_truncate_how(raced, page * PAGE, mode, deadline);
	return err ? err : fsdax_truncate_how(raced, RACE_PAGES * PAGE, FSDAX_FAIL, 0);
}

static void *race_taker(void *arg)
{
	uint64_t seed = 1000 + *(int *)arg;
	for (int i = 0; i < RACE_ROUNDS; i++) {
		int err = race_take(&seed);
		race_taken += !err;
		race_errors += err && err != -EBUSY && err != -ETIMEDOUT;
	}
	return NULL;
}

static void c6_7_c6_8_no_mapping_loses_a_page_to_who_waits_or_fails(void **state)
{
	(void)state;
	pthread_t threads[MAPPERS + TAKERS];
	int ids[MAPPERS + TAKERS];
	pool_open(&pool, 16 * MIB, 0, race_gone);
	raced = make_file(&pool, "r", RACE_PAGES * PAGE);
	for (int i = 0; i < MAPPERS + TAKERS; i++) {
		ids[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, i < MAPPERS ? race_mapper : race_taker, &ids[i]), 0);
	}
	for (int i = 0; i < MAPPERS + TAKERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(race_errors, 0);
	assert_int_equal(race_lost, 0);
	assert_true(race_taken > 0);
	assert_int_equal(pool_statfs(&pool).used, stat_of(raced).blocks);
	assert_int_equal(pool_statfs(&pool).waiting, 0);
	fsdax_close(raced);
	pool_close(&pool);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(c6_7_c6_8_no_mapping_loses_a_page_to_who_waits_or_fails),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
