/* SPDX-License-Identifier: BSD-3-Clause */
/* Which pages a file gets: aligned first, then those that are ready; what is dirty is wiped, what is absent gets memory. */
#include "fs/pick.h"

#include "space_util.h"

enum { PAGES = 64 };

static int set_up(void **state)
{
	(void)state;
	space_open(PAGES, true);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	space_close();
	return 0;
}

static void give_back(struct block_list *blocks)
{
	space_lose(&t.space, blocks);
	assert_true(STAILQ_EMPTY(blocks));
}

/* Pages [page, page + npages) in this state; everything is free. */
static void make(uint64_t page, uint64_t npages, enum stock_state state)
{
	char *at = t.mem + page * PAGE;
	if (state == STOCK_DIRTY)
		memset(at, 'x', npages * PAGE);
	else
		assert_int_equal(t.dev->ops->populate(t.dev, page * PAGE, npages * PAGE), 0);
	stock_set(&t.space.stock, t.space.base + page, npages, state);
}

static void what_is_ready_is_preferred_then_what_has_memory(void **state)
{
	(void)state;
	struct block_list clean, dirty;
	space_set_keep(&t.space, PAGES);
	make(40, 8, STOCK_CLEAN);
	make(56, 8, STOCK_DIRTY);
	assert_free(8, 8, 48);
	take_and_fill(8, 'a', &clean);
	assert_int_equal(first_page(&clean), 40);
	give_back(&clean);
	assert_free(0, 16, 48);
	stock_set(&t.space.stock, t.space.base + 40, 8, STOCK_ABSENT);
	assert_int_equal(t.dev->ops->discard(t.dev, 40 * PAGE, 8 * PAGE), 0);
	take_and_fill(8, 'b', &dirty);
	assert_int_equal(first_page(&dirty), 56);
	assert_free(0, 0, 56);
	assert_int_equal(space_now().wiped_late, 8);
	give_back(&dirty);
}

static void alignment_comes_before_what_is_ready(void **state)
{
	(void)state;
	struct block_list whole, small, rest;
	space_set_keep(&t.space, PAGES);
	take_and_fill(32, 'a', &whole);
	take_and_fill(1, 'b', &small); /* in the upper half, which is broken now */
	give_back(&whole);
	t.space.keep = PAGES;
	stock_set(&t.space.stock, t.space.base, 32, STOCK_CLEAN);
	memset(t.mem, 0, 32 * PAGE);
	take_and_fill(4, 'c', &rest);
	assert_true(first_page(&rest) >= 32); /* though it has no memory, and the lower half is clean */
	assert_int_equal(space_now().free_by_order[5], 1);
	give_back(&small);
	give_back(&rest);
}

static void c6_9_a_block_of_all_states_is_made_zero(void **state)
{
	(void)state;
	struct block_list all;
	space_set_keep(&t.space, PAGES);
	make(3, 5, STOCK_DIRTY);
	make(8, 9, STOCK_CLEAN);
	make(30, 1, STOCK_DIRTY);
	assert_free(9, 6, 49);
	take_and_fill(64, 'a', &all);
	assert_free(0, 0, 0);
	assert_int_equal(pages_with_memory(), 64);
	give_back(&all);
	assert_free(0, 64, 0);
	take_and_fill(64, 'b', &all);
	give_back(&all);
}

static void below_the_watermark_memory_stays_and_above_it_goes(void **state)
{
	(void)state;
	struct block_list a, b, c;
	space_set_keep(&t.space, 16);
	take_and_fill(16, 'a', &a);
	take_and_fill(8, 'b', &b);
	take_and_fill(8, 'c', &c);
	give_back(&a);
	assert_free(0, 16, 32);
	give_back(&b); /* would be more than 16 */
	assert_free(0, 16, 40);
	assert_int_equal(pages_with_memory(), 24);
	space_set_keep(&t.space, 3);
	assert_free(0, 3, 53);
	assert_int_equal(pages_with_memory(), 11);
	space_set_keep(&t.space, 0);
	assert_free(0, 0, 56);
	give_back(&c);
	assert_int_equal(pages_with_memory(), 0);
}

static void blocks_are_no_bigger_than_asked_for(void **state)
{
	(void)state;
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	struct block *block;
	int n = 0;
	assert_int_equal(space_alloc(&t.space, 0, 13, 2, &blocks), 0);
	STAILQ_FOREACH (block, &blocks, list)
		assert_int_equal(block->order, n++ < 3 ? 2 : 0);
	assert_int_equal(n, 4);
	give_back(&blocks);
}

/* The system has no memory left but what lies free here. */
static void c7_11_memory_that_lies_free_is_given_back_before_it_is_short(void **state)
{
	(void)state;
	struct block_list small, big, other;
	space_set_keep(&t.space, PAGES);
	take_and_fill(8, 'a', &small);
	take_and_fill(1, 'b', &other);
	give_back(&small);
	assert_free(0, 8, 55);
	t.populates_left = 0;
	STAILQ_INIT(&big);
	assert_int_equal(space_alloc(&t.space, 0, 32, PGMAP_MAX_ORDER, &big), -ENOSPC);
	assert_true(STAILQ_EMPTY(&big));
	assert_free(0, 0, 63); /* it was worth a try */
	assert_int_equal(pages_with_memory(), 1);
	t.populates_left = 1000;
	take_and_fill(32, 'c', &big);
	give_back(&big);
	give_back(&other);
}

static void c7_11_what_got_memory_before_it_was_short_goes_back(void **state)
{
	(void)state;
	struct block_list hole = STAILQ_HEAD_INITIALIZER(hole), blocks = STAILQ_HEAD_INITIALIZER(blocks);
	assert_int_equal(space_take(&t.space, t.space.base + 8, 0, 0, &hole), 0); /* so that the rest is two runs */
	t.populates_left = 1;
	assert_int_equal(space_alloc(&t.space, 0, 63, PGMAP_MAX_ORDER, &blocks), -ENOSPC);
	assert_free(0, 0, 63);
	assert_int_equal(pages_with_memory(), 0);
	t.populates_left = 1;
	space_set_keep(&t.space, PAGES);
	assert_int_equal(space_alloc(&t.space, 0, 63, PGMAP_MAX_ORDER, &blocks), -ENOSPC);
	assert_int_equal(space_now().clean, pages_with_memory()); /* kept, and known to be zero */
	assert_true(space_now().clean > 0);
	give_back(&hole);
}

static void c7_11_what_the_device_got_before_it_was_short_goes_back(void **state)
{
	(void)state;
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	t.populates_left = 0;
	t.fails_half_way = true;
	assert_int_equal(space_alloc(&t.space, 0, 32, PGMAP_MAX_ORDER, &blocks), -ENOSPC);
	assert_free(0, 0, PAGES);
	assert_int_equal(pages_with_memory(), 0);
}

/* The device has no address, and does not discard: what cannot be wiped is set aside, the rest is handed out. */
static void c6_9_what_cannot_be_wiped_is_passed_over(void **state)
{
	(void)state;
	struct block_list a, b = STAILQ_HEAD_INITIALIZER(b);
	space_close();
	space_open(PAGES, false);
	space_set_keep(&t.space, PAGES);
	take_and_fill(16, 'a', &a);
	give_back(&a);
	t.discard_fails = 1;
	take_and_fill(32, 'b', &a);
	struct fsdax_statfs st = space_now();
	assert_true(st.used == 32 && st.waiting == 32); /* the half that has the dirty pages */
	assert_int_equal(space_alloc(&t.space, 0, 32, PGMAP_MAX_ORDER, &b), -ENOSPC);
	assert_true(space_now().waiting == 32 && STAILQ_EMPTY(&b));
	t.discard_fails = 0;
	take_and_fill(32, 'c', &b);
	assert_true(space_now().used == 64);
	give_back(&a);
	give_back(&b);
}

/* While the wiper works on a piece, nobody gets any page of it; it is free all the while. */
static void *alloc_all(void *arg)
{
	struct block_list *blocks = arg;
	take_and_fill(PAGES, 'z', blocks);
	return NULL;
}

static void c6_10_a_piece_that_is_being_wiped_is_free_and_waited_for(void **state)
{
	(void)state;
	struct block_list all, small;
	pthread_t thread;
	space_set_keep(&t.space, PAGES);
	make(0, 64, STOCK_DIRTY);
	(void)pthread_mutex_lock(&t.space.lock);
	assert_true(space_piece_begin(&t.space, NULL, STOCK_DIRTY, t.space.base, 16, UINT64_MAX));
	assert_int_equal(t.space.wiping_pages, 16);
	assert_false(space_piece_begin(&t.space, NULL, STOCK_DIRTY, t.space.base, 16, UINT64_MAX));
	(void)pthread_mutex_unlock(&t.space.lock);
	assert_int_equal(space_now().free, 64);
	assert_int_equal(pthread_create(&thread, NULL, alloc_all, &all), 0);
	(void)pthread_mutex_lock(&t.space.lock);
	while (!t.space.nstopped) { /* it has come to the piece */
		(void)pthread_mutex_unlock(&t.space.lock);
		(void)sched_yield();
		(void)pthread_mutex_lock(&t.space.lock);
	}
	assert_true(shelf_nfree(&t.space.shelf) == 64 && t.space.used == 0);
	memset(t.mem, 0, 16 * PAGE);
	space_piece_end(&t.space, STOCK_CLEAN);
	assert_false(space_piece_begin(&t.space, NULL, STOCK_DIRTY, t.space.base, 16,
				       UINT64_MAX)); /* who waits comes first */
	(void)pthread_mutex_unlock(&t.space.lock);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(space_now().used, 64);
	assert_int_equal(space_now().wiped_late, 48);
	give_back(&all);
	(void)pthread_mutex_lock(&t.space.lock);
	assert_true(space_piece_begin(&t.space, NULL, STOCK_DIRTY, t.space.base + 8, 8, UINT64_MAX));
	(void)pthread_mutex_unlock(&t.space.lock);
	take_and_fill(1, 'a', &small); /* elsewhere: not waited for */
	assert_int_equal(first_page(&small), 0);
	(void)pthread_mutex_lock(&t.space.lock);
	space_piece_end(&t.space, STOCK_DIRTY);
	(void)pthread_mutex_unlock(&t.space.lock);
	give_back(&small);
}

static void *pick_half(void *arg)
{
	const struct space_wish wish = {0, PAGES / 2, UINT64_MAX, PGMAP_MAX_ORDER};
	(void)pthread_mutex_lock(&t.space.lock);
	int err = pick_blocks(&t.space, &wish, arg);
	(void)pthread_mutex_unlock(&t.space.lock);
	return (void *)(intptr_t)err;
}

/* Who waited for a piece makes do with what others have left meanwhile. */
static void c6_10_what_breaks_while_a_piece_is_waited_for_is_no_lack_of_space(void **state)
{
	(void)state;
	struct block_list half = STAILQ_HEAD_INITIALIZER(half), taken = STAILQ_HEAD_INITIALIZER(taken);
	pthread_t thread;
	void *answer;
	space_set_keep(&t.space, PAGES);
	make(32, 32, STOCK_DIRTY);
	(void)pthread_mutex_lock(&t.space.lock);
	assert_true(space_piece_begin(&t.space, NULL, STOCK_DIRTY, t.space.base + 48, 16, UINT64_MAX));
	(void)pthread_mutex_unlock(&t.space.lock);
	assert_int_equal(pthread_create(&thread, NULL, pick_half, &half), 0);
	(void)pthread_mutex_lock(&t.space.lock);
	while (!t.space.nstopped) {
		(void)pthread_mutex_unlock(&t.space.lock);
		(void)sched_yield();
		(void)pthread_mutex_lock(&t.space.lock);
	}
	(void)pthread_mutex_unlock(&t.space.lock);
	assert_int_equal(space_take(&t.space, t.space.base, 0, 0, &taken), 0);
	assert_int_equal(space_take(&t.space, t.space.base + 32, 0, 1, &taken), 0);
	(void)pthread_mutex_lock(&t.space.lock);
	space_piece_end(&t.space, STOCK_DIRTY);
	(void)pthread_mutex_unlock(&t.space.lock);
	assert_int_equal(pthread_join(thread, &answer), 0);
	assert_int_equal((intptr_t)answer, 0);
	assert_int_equal(space_now().used, PAGES / 2 + 2);
	(void)pthread_mutex_lock(&t.space.lock);
	pick_put_back(&t.space, &half);
	(void)pthread_mutex_unlock(&t.space.lock);
	space_give_back(&t.space, &taken);
	assert_int_equal(space_now().free, PAGES);
}

/* One run of dirty pages, of which the first are taken: those behind them are found. */
static void c7_11_memory_that_lies_free_behind_what_is_being_made_ready_is_given_back(void **state)
{
	(void)state;
	struct block_list taken = STAILQ_HEAD_INITIALIZER(taken);
	const struct space_wish wish = {0, 8, UINT64_MAX, PGMAP_MAX_ORDER};
	space_set_keep(&t.space, PAGES);
	make(16, 32, STOCK_DIRTY);
	(void)pthread_mutex_lock(&t.space.lock);
	int err = pick_blocks(&t.space, &wish, &taken);
	(void)pthread_mutex_unlock(&t.space.lock);
	assert_int_equal(err, 0);
	assert_int_equal(first_page(&taken), 16);
	assert_int_equal(space_discard(&t.space, UINT64_MAX), 24);
	assert_free(0, 0, 56);
	(void)pthread_mutex_lock(&t.space.lock);
	pick_put_back(&t.space, &taken);
	(void)pthread_mutex_unlock(&t.space.lock);
	assert_free(0, 8, 56);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(what_is_ready_is_preferred_then_what_has_memory),
		T(alignment_comes_before_what_is_ready),
		T(c6_9_a_block_of_all_states_is_made_zero),
		T(below_the_watermark_memory_stays_and_above_it_goes),
		T(blocks_are_no_bigger_than_asked_for),
		T(c7_11_memory_that_lies_free_is_given_back_before_it_is_short),
		T(c7_11_what_got_memory_before_it_was_short_goes_back),
		T(c7_11_what_the_device_got_before_it_was_short_goes_back),
		T(c6_9_what_cannot_be_wiped_is_passed_over),
		T(c6_10_a_piece_that_is_being_wiped_is_free_and_waited_for),
		T(c6_10_what_breaks_while_a_piece_is_waited_for_is_no_lack_of_space),
		T(c7_11_memory_that_lies_free_behind_what_is_being_made_ready_is_given_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
