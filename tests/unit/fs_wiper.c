/* SPDX-License-Identifier: BSD-3-Clause */
/* The wiper: what is soon needed is clean, what nobody needs goes back, and no page is called clean that is not. */
#include "fs/fs.h"
#include "fs/wiper.h"

#include <dirent.h>
#include <sched.h>

#include "space_util.h"

enum { PAGES = 16384 }; /* an eighth of which is provided for at most */

static uint64_t cursor;

static int set_up(void **state)
{
	(void)state;
	space_open(PAGES, true);
	t.space.background = true; /* the tests are the wiper */
	cursor = t.space.base;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	space_close();
	return 0;
}

static uint64_t work_until_idle(void)
{
	uint64_t n, pages = 0;
	while ((n = wiper_work(&t.space, &cursor)) != 0)
		pages += n;
	return pages;
}

static void what_was_taken_lately_is_wiped_ahead_and_no_more(void **state)
{
	(void)state;
	struct block_list a;
	take_and_fill(1024, 'a', &a);
	space_lose(&t.space, &a);
	assert_free(0, 1024, PAGES - 1024);
	wiper_end_period(&t.space);
	assert_int_equal(work_until_idle(), 1024); /* as many as were taken */
	assert_free(1024, 0, PAGES - 1024);
	assert_true(is_all(t.mem, 1024 * PAGE, 0));
	take_and_fill(512, 'b', &a);
	assert_int_equal(space_now().wiped_late, 0);
	space_lose(&t.space, &a);
	assert_int_equal(space_now().wiped_ahead, 1024);
	wiper_end_period(&t.space);
	wiper_end_period(&t.space); /* nobody takes any more: no demand */
	t.space.surplus = 0;
	assert_int_equal(work_until_idle(), 0);
	assert_free(512, 512, PAGES - 1024);
}

static void below_the_watermark_all_is_wiped(void **state)
{
	(void)state;
	struct block_list a;
	space_set_keep(&t.space, 1024);
	take_and_fill(2048, 'a', &a);
	space_lose(&t.space, &a);
	wiper_end_period(&t.space);
	wiper_end_period(&t.space);
	t.space.surplus = 0;
	assert_int_equal(work_until_idle(), 1024);
	assert_free(1024, 1024, PAGES - 2048);
}

static void what_lies_unused_for_a_period_goes_back(void **state)
{
	(void)state;
	struct block_list a, b;
	space_set_keep(&t.space, 256);
	take_and_fill(2048, 'a', &a);
	space_lose(&t.space, &a);
	wiper_end_period(&t.space); /* in the middle of which it was all in use */
	assert_int_equal(t.space.surplus, 0);
	take_and_fill(1024, 'b', &b);
	space_lose(&t.space, &b);
	wiper_end_period(&t.space); /* of 2048, 1024 lay there all the time: but as many may be taken again */
	assert_int_equal(t.space.surplus, 0);
	take_and_fill(512, 'c', &b);
	space_lose(&t.space, &b);
	wiper_end_period(&t.space); /* 1536 lay there, and 512 may be taken */
	assert_int_equal(t.space.surplus, 1536 - 512 - 256);
	(void)work_until_idle();
	assert_int_equal(pages_with_memory(), 2048 - 768);
	wiper_end_period(&t.space);
	(void)work_until_idle();
	assert_int_equal(pages_with_memory(), 256);
	wiper_end_period(&t.space);
	assert_int_equal(work_until_idle(), 0);
	assert_free(256, 0, PAGES - 256);
}

static void what_will_be_needed_gets_memory_ahead(void **state)
{
	(void)state;
	struct block_list a;
	space_set_keep(&t.space, 600);
	assert_int_equal(work_until_idle(), 600);
	assert_free(600, 0, PAGES - 600);
	assert_int_equal(pages_with_memory(), 600);
	take_and_fill(512, 'a', &a);
	assert_int_equal(first_page(&a), 0); /* the block that was made ready, whole */
	assert_int_equal(space_now().wiped_late, 0);
	assert_int_equal(work_until_idle(), 600 + 512 - 88);
	assert_int_equal(pages_with_memory(), 512 + 600 + 512);
	space_lose(&t.space, &a);
}

static void where_no_memory_is_it_asks_once_a_period(void **state)
{
	(void)state;
	space_set_keep(&t.space, 1024);
	t.populates_left = 1;
	assert_int_equal(work_until_idle(), 1024); /* the second half in vain */
	assert_free(512, 0, PAGES - 512);
	t.populates_left = 1000;
	assert_int_equal(work_until_idle(), 0);
	wiper_end_period(&t.space);
	assert_int_equal(work_until_idle(), 512);
	assert_free(1024, 0, PAGES - 1024);
}

static void what_it_got_before_it_was_short_goes_back(void **state)
{
	(void)state;
	space_set_keep(&t.space, 1024);
	t.populates_left = 0;
	t.fails_half_way = true;
	(void)work_until_idle();
	assert_free(0, 0, PAGES);
	assert_int_equal(pages_with_memory(), 0);
}

static void an_empty_pool_costs_no_memory_after_a_while(void **state)
{
	(void)state;
	struct block_list a;
	take_and_fill(PAGES, 'a', &a);
	space_lose(&t.space, &a);
	assert_int_equal(pages_with_memory(), PAGES);
	for (int i = 0; i < 2; i++) {
		wiper_end_period(&t.space);
		(void)work_until_idle();
	}
	assert_int_equal(pages_with_memory(), 0);
	assert_free(0, 0, PAGES);
}

/* Between the end of a period and the work, somebody takes the pages. */
static void what_is_needed_again_is_not_given_back(void **state)
{
	(void)state;
	struct block_list a;
	take_and_fill(1024, 'a', &a);
	space_lose(&t.space, &a);
	wiper_end_period(&t.space);
	wiper_end_period(&t.space);
	assert_int_equal(t.space.surplus, 1024);
	take_and_fill(1024, 'b', &a);
	assert_int_equal(work_until_idle(), 1024); /* as many again, for who comes next */
	assert_int_equal(pages_with_memory(), 2048);
	space_lose(&t.space, &a);
}

static void c6_9_what_cannot_be_wiped_stays_dirty(void **state)
{
	(void)state;
	struct block_list a;
	space_close();
	space_open(PAGES, false);
	t.space.background = true;
	cursor = t.space.base;
	space_set_keep(&t.space, 1024);
	take_and_fill(1024, 'a', &a);
	space_lose(&t.space, &a);
	wiper_end_period(&t.space);
	wiper_end_period(&t.space);
	t.discard_fails = 1;
	assert_int_equal(wiper_work(&t.space, &cursor), 512); /* tried */
	assert_int_equal(wiper_work(&t.space, &cursor), 512); /* another */
	assert_int_equal(wiper_work(&t.space, &cursor), 0);   /* and not on for ever */
	assert_free(0, 1024, PAGES - 1024);
	t.discard_fails = 0;
	assert_int_equal(work_until_idle(), 2048); /* without an address, wiping is giving back: and new memory */
	assert_free(1024, 0, PAGES - 1024);
}

static void pages_with_an_owner_are_left_alone(void **state)
{
	(void)state;
	struct block_list a, b;
	space_set_keep(&t.space, 512);
	take_and_fill(512, 'a', &a);
	take_and_fill(512, 'b', &b);
	space_lose(&t.space, &a);
	(void)work_until_idle();
	assert_true(is_all(t.mem, 512 * PAGE, 0));
	assert_true(is_all(bytes_of(STAILQ_FIRST(&b)), 512 * PAGE, 'b'));
	space_lose(&t.space, &b);
}

/* Threads of this process that say that they are a wiper. */
static unsigned wipers(void)
{
	unsigned n = 0;
	const struct dirent *entry;
	DIR *dir = opendir("/proc/self/task");
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		char path[300], name[32] = "";
		(void)snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		FILE *f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(name, sizeof(name), f))
			n += strcmp(name, "pgmap-wiper\n") == 0;
		(void)fclose(f);
	}
	assert_int_equal(closedir(dir), 0);
	return n;
}

static void until_free_is(uint64_t clean, uint64_t dirty)
{
	struct fsdax_statfs st;
	do {
		(void)sched_yield();
		st = space_now();
	} while (st.clean != clean || st.dirty != dirty);
}

/* As it is used: its own thread, woken by what becomes free. */
static void its_thread_wipes_gives_back_and_ends(void **state)
{
	(void)state;
	struct wiper wiper;
	struct block_list a;
	t.space.background = false;
	space_set_keep(&t.space, 1024);
	assert_int_equal(wiper_start(&wiper, &t.space, 100), 0);
	assert_int_equal(wipers(), 1);
	take_and_fill(1024, 'a', &a);
	space_lose(&t.space, &a);
	until_free_is(1024, 0);
	take_and_fill(2048, 'b', &a);
	space_lose(&t.space, &a);
	until_free_is(1024, 0); /* a second later */
	wiper_stop(&wiper);
	struct fsdax_statfs st = space_now();
	assert_int_equal(pages_with_memory(), st.clean + st.dirty);
	while (wipers() != 0) /* the system lists a thread for a moment after it was joined */
		(void)sched_yield();
	wiper_stop(&wiper);
	space_set_keep(&t.space, 0);
	assert_int_equal(pages_with_memory(), 0);
	take_and_fill(64, 'c', &a);
	space_lose(&t.space, &a);
	assert_int_equal(pages_with_memory(), 0); /* without a wiper: at once */
}

static _Atomic int taker_ends;

static void *take_on(void *arg)
{
	(void)arg;
	while (!taker_ends) {
		struct block_list a = STAILQ_HEAD_INITIALIZER(a);
		assert_int_equal(space_alloc(&t.space, 0, 8, 0, &a), 0);
		space_give_back(&t.space, &a);
	}
	return NULL;
}

/* What it goes by is written by whoever takes pages, too. */
static void it_starts_and_stops_while_others_take(void **state)
{
	(void)state;
	struct wiper wiper;
	pthread_t taker;
	taker_ends = 0;
	t.space.background = false;
	space_set_keep(&t.space, 1024);
	assert_int_equal(pthread_create(&taker, NULL, take_on, NULL), 0);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(wiper_start(&wiper, &t.space, 100), 0);
		wiper_stop(&wiper);
	}
	taker_ends = 1;
	assert_int_equal(pthread_join(taker, NULL), 0);
	assert_int_equal(space_now().used, 0);
}

/* As a DAX node is: nobody else could use its memory, and it holds what the last program left. */
static void memory_that_is_always_there_is_wiped_first_and_never_given_back(void **state)
{
	(void)state;
	struct block_list a;
	tear_down(state);
	space_is_resident = 1;
	space_open(PAGES, true);
	space_is_resident = 0;
	memset(t.mem, 'o', PAGES * PAGE); /* an earlier owner's */
	assert_free(0, PAGES, 0);
	take_and_fill(1024, 'a', &a); /* without a wiper: by who takes it; it looks whether it was all zero */
	assert_int_equal(space_now().wiped_late, 1024);
	space_lose(&t.space, &a);
	assert_free(0, PAGES, 0);
	space_set_keep(&t.space, 0); /* says nothing here */
	assert_free(0, PAGES, 0);
	t.space.background = true;
	cursor = t.space.base;
	assert_int_equal(work_until_idle(), PAGES);
	assert_free(PAGES, 0, 0);
	assert_true(is_all(t.mem, PAGES * PAGE, 0));
	wiper_end_period(&t.space);
	wiper_end_period(&t.space);
	assert_int_equal(work_until_idle(), 0);
	assert_int_equal(pages_with_memory(), PAGES);
}

static void a_dead_device_is_left_alone(void **state)
{
	(void)state;
	struct block_list a, b;
	space_set_keep(&t.space, 64);
	take_and_fill(64, 'a', &a);
	space_lose(&t.space, &a);
	take_and_fill(64, 'a', &a);
	wiper_end_period(&t.space);
	assert_int_equal(dax_kill(t.dax), 0);
	STAILQ_INIT(&b);
	assert_int_equal(space_alloc(&t.space, 0, 1, 0, &b), -ENXIO);
	space_lose(&t.space, &a);
	assert_free(0, 64, PAGES - 64);
	assert_int_equal(work_until_idle(), 0);
}

static void more_dirty_than_is_over_goes_back_and_nothing_clean(void **state)
{
	(void)state;
	struct pool one;
	pool_open(&one, 8 * MIB, 9, NULL);
	struct space *space = &one.fs->space;
	assert_int_equal(fsdax_set_wiping(one.fs, 8 * MIB, 0), 0);
	fsdax_close(make_file(&one, "a", 8 * MIB));
	assert_int_equal(fsdax_unlink(one.fs, "a"), 0);
	(void)pthread_mutex_lock(&space->lock);
	bool begun = space_piece_begin(space, NULL, STOCK_DIRTY, space->base, 512, UINT64_MAX);
	space_piece_end(space, STOCK_CLEAN); /* as the file wrote nothing */
	(void)pthread_mutex_unlock(&space->lock);
	assert_true(begun);
	assert_int_equal(fsdax_set_wiping(one.fs, 1000ULL * PAGE, 0),
			 0); /* so 1048 are over, but a granule is all or nothing */
	assert_int_equal(pool_statfs(&one).clean, 512);
	assert_int_equal(pool_statfs(&one).dirty, 0);
	pool_close(&one);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(what_was_taken_lately_is_wiped_ahead_and_no_more),
		T(below_the_watermark_all_is_wiped),
		T(what_lies_unused_for_a_period_goes_back),
		T(what_will_be_needed_gets_memory_ahead),
		T(where_no_memory_is_it_asks_once_a_period),
		T(what_it_got_before_it_was_short_goes_back),
		T(an_empty_pool_costs_no_memory_after_a_while),
		T(what_is_needed_again_is_not_given_back),
		T(c6_9_what_cannot_be_wiped_stays_dirty),
		T(pages_with_an_owner_are_left_alone),
		T(its_thread_wipes_gives_back_and_ends),
		T(it_starts_and_stops_while_others_take),
		T(a_dead_device_is_left_alone),
		T(memory_that_is_always_there_is_wiped_first_and_never_given_back),
		cmocka_unit_test(more_dirty_than_is_over_goes_back_and_nothing_clean),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
