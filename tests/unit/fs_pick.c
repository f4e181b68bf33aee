/* SPDX-License-Identifier: BSD-3-Clause */
/* Who is short of pages because some were lost while he got them looks again: what is left, or can be had again, is enough. */
#include "fs/pick.h"

#include <pthread.h>
#include <sched.h>

#include "fs/fs.h"

#include "space_util.h"

enum { PAGES = 64, HALF = 32, GRANULE = 512 };

static uint64_t fails_once[2]; /* pages */

static int discard(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	for (int i = 0; i < 2; i++) {
		if (fails_once[i] * PAGE >= offset_bytes && fails_once[i] * PAGE < offset_bytes + len_bytes) {
			fails_once[i] = PAGES;
			return -EIO;
		}
	}
	return t.dev->ops->discard(ctx, offset_bytes, len_bytes);
}

/* Each half cannot be wiped when its turn comes, and can be later. */
static void c6_10_what_is_lost_twice_can_be_had_again(void **state)
{
	(void)state;
	const struct space_wish wish = {0, PAGES, UINT64_MAX, 5};
	struct block_list all;
	space_open(PAGES, false);
	t.ops.discard = discard;
	fails_once[0] = fails_once[1] = PAGES;
	space_set_keep(&t.space, PAGES);
	take_and_fill(PAGES, 'a', &all);
	space_lose(&t.space, &all);
	assert_free(0, PAGES, 0);
	fails_once[0] = 3;
	fails_once[1] = HALF + 8;
	assert_int_equal(space_get(&t.space, &wish, &all), 0);
	assert_int_equal(space_now().used, PAGES);
	space_lose(&t.space, &all);
	space_close();
}

/* What never can be is looked at a few times, and no more. */
static void c6_9_what_cannot_be_had_again_is_short(void **state)
{
	(void)state;
	struct block_list all;
	space_open(PAGES, false);
	space_set_keep(&t.space, PAGES);
	take_and_fill(PAGES, 'a', &all);
	space_lose(&t.space, &all);
	t.discard_fails = 1;
	assert_int_equal(space_alloc(&t.space, 0, PAGES, 0, &all), -ENOSPC);
	assert_true(space_now().waiting > 0 && space_now().used == 0);
	t.discard_fails = 0;
	space_close();
}

static struct pool pool;

static void *pick_granule(void *arg)
{
	const struct space_wish wish = {0, GRANULE, UINT64_MAX, PGMAP_MAX_ORDER};
	(void)pthread_mutex_lock(&pool.fs->space.lock);
	int err = pick_blocks(&pool.fs->space, &wish, arg);
	(void)pthread_mutex_unlock(&pool.fs->space.lock);
	return (void *)(intptr_t)err;
}

/* He waits for the only granule, which is being wiped, and its device dies. */
static void c6_10_where_bigger_granules_have_gone_smaller_ones_will_do(void **state)
{
	(void)state;
	static const uint64_t sizes[] = {4 * MIB, (uint64_t)GRANULE * PAGE, 0};
	static const unsigned granules[] = {0, 9};
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	struct block *block;
	pthread_t thread;
	void *answer;
	pool_open_mixed(&pool, sizes, granules, NULL);
	struct space *space = &pool.fs->space;
	uint64_t base = places_now(&space->places)->segments[1].base;
	(void)pthread_mutex_lock(&space->lock);
	stock_set(&space->stock, base, GRANULE, STOCK_DIRTY);
	assert_true(space_piece_begin(space, NULL, STOCK_DIRTY, base, GRANULE, UINT64_MAX));
	(void)pthread_mutex_unlock(&space->lock);
	assert_int_equal(pthread_create(&thread, NULL, pick_granule, &blocks), 0);
	(void)pthread_mutex_lock(&space->lock);
	while (!space->nstopped) {
		(void)pthread_mutex_unlock(&space->lock);
		(void)sched_yield();
		(void)pthread_mutex_lock(&space->lock);
	}
	(void)pthread_mutex_unlock(&space->lock);
	assert_int_equal(dax_kill(pool.parts[1].dax), 0);
	(void)pthread_mutex_lock(&space->lock);
	space_piece_end(space, STOCK_DIRTY);
	(void)pthread_mutex_unlock(&space->lock);
	assert_int_equal(pthread_join(thread, &answer), 0);
	assert_int_equal((intptr_t)answer, 0);
	STAILQ_FOREACH (block, &blocks, list)
		assert_int_equal(places_spot(&space->places, block->off).device, 0);
	assert_space(&pool, GRANULE, GRANULE);
	(void)pthread_mutex_lock(&space->lock);
	pick_put_back(space, &blocks);
	(void)pthread_mutex_unlock(&space->lock);
	assert_space(&pool, 0, GRANULE);
	pool_close_stack(&pool);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(c6_10_what_is_lost_twice_can_be_had_again),
		cmocka_unit_test(c6_9_what_cannot_be_had_again_is_short),
		cmocka_unit_test(c6_10_where_bigger_granules_have_gone_smaller_ones_will_do),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
