/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PGMAP_TRACK=1 keeps apart what several threads and several pgmaps took and dropped. Everything in children: what is tracked is
 * the process's.
 */
#include <dlfcn.h>
#include <pthread.h>

#include "core_util.h"

static char said[65536];

static struct pgmap *tracked(uint64_t npages)
{
	CHILD_CHECK(setenv("PGMAP_TRACK", "1", 1) == 0);
	return make_generic(npages);
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;
	for (const char *at = strstr(text, what); at; at = strstr(at + 1, what))
		n++;
	return n;
}

static void fail_a_drain(struct pgmap *pgmap)
{
	CHILD_CHECK(pgmap_kill(pgmap) == 0);
	CHILD_CHECK(pgmap_drain(pgmap, 0) == -ETIMEDOUT);
}

static void end_and_destroy(struct pgmap *pgmap)
{
	CHILD_CHECK(pgmap_kill(pgmap) == 0 && pgmap_drain(pgmap, 0) == 0 && pgmap_destroy(pgmap) == 0);
}

static void *get_in_a_thread(void *folio)
{
	folio_get(folio);
	return NULL;
}

static void get_by_another_thread(struct folio *folio)
{
	pthread_t thread;
	CHILD_CHECK(pthread_create(&thread, NULL, get_in_a_thread, folio) == 0);
	CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

static void put_among_threads(void *arg)
{
	unsigned puts = *(unsigned *)arg;
	struct pgmap *pgmap = tracked(64);
	struct folio *folio = request(pgmap, 5, 0);
	get_by_another_thread(folio);
	if (puts == 2)
		folio_get(folio);
	for (unsigned i = 0; i < puts; i++)
		folio_put(folio);
	dprintf(STDERR_FILENO, "own: by thread %d at\n", (int)gettid());
	fail_a_drain(pgmap);
	CHILD_EXIT(0);
}

/* One is left each time, and it is the other thread's. */
static void c4_3_a_put_drops_what_its_own_thread_took(void **state)
{
	(void)state;
	for (unsigned puts = 1; puts <= 2; puts++) {
		char own[32];
		assert_int_equal(in_child(put_among_threads, &puts, said, sizeof(said)), 0);
		assert_int_equal(count(said, "was taken"), 1);
		const char *at = strstr(said, "own: ");
		assert_non_null(at);
		assert_int_equal(sscanf(at, "own: %31[^\n]", own), 1);
		assert_int_equal(count(said, own), 1); /* that line alone */
	}
}

static void put_of_another_threads(void *arg)
{
	(void)arg;
	struct pgmap *pgmap = tracked(64);
	struct folio *folio = request(pgmap, 5, 0);
	(void)request(pgmap, 6, 0);
	get_by_another_thread(folio);
	folio_put(folio);
	folio_put(folio);
	fail_a_drain(pgmap);
	CHILD_EXIT(0);
}

static void c4_3_a_put_of_what_another_thread_took_drops_that(void **state)
{
	(void)state;
	assert_int_equal(in_child(put_of_another_threads, NULL, said, sizeof(said)), 0);
	assert_int_equal(count(said, "was taken"), 1);
	assert_int_equal(count(said, "pgoff 0x6: a reference was taken"), 1);
}

static void hold_in_one_and_another(void *arg)
{
	(void)arg;
	struct pgmap *one = tracked(64);
	(void)request(one, 5, 0);
	struct pgmap *another = tracked(64);
	(void)request(another, 6, 0);
	fail_a_drain(one);
	CHILD_EXIT(0);
}

static void c4_3_a_failed_drain_speaks_of_its_own_pgmap_alone(void **state)
{
	(void)state;
	assert_int_equal(in_child(hold_in_one_and_another, NULL, said, sizeof(said)), 0);
	assert_int_equal(count(said, "was taken"), 1);
	assert_int_equal(count(said, "pgoff 0x5: a reference was taken"), 1);
	assert_int_equal(count(said, "not recorded"), 0);
}

/* What was dropped in one pgmap is remembered when another is gone. */
static void put_twice_beside_a_destroyed_one(void *arg)
{
	(void)arg;
	struct pgmap *pgmap = tracked(64), *other = tracked(64);
	struct folio *folio = request(pgmap, 5, 0);
	folio_put(folio);
	end_and_destroy(other);
	folio_put(folio);
}

static void c4_3_what_was_dropped_is_remembered_when_another_pgmap_goes(void **state)
{
	(void)state;
	int status = in_child(put_twice_beside_a_destroyed_one, NULL, said, sizeof(said));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_int_equal(count(said, "pgoff 0x5: a reference was dropped"), 2);
}

static void split_what_a_holder_has(void *arg)
{
	(void)arg;
	struct pgmap *pgmap = tracked(4096);
	struct folio *folio = request(pgmap, 512, 9);
	CHILD_CHECK(folio_charge(folio, make_holder(pgmap, "nic")) == 0);
	CHILD_CHECK(folio_split(folio, 8) == 0); /* to another level: the old handle is none of the parts */
	fail_a_drain(pgmap);
	CHILD_EXIT(0);
}

static void c4_3_a_split_leaves_no_record_of_the_whole(void **state)
{
	(void)state;
	assert_int_equal(in_child(split_what_a_holder_has, NULL, said, sizeof(said)), 0);
	assert_int_equal(count(said, "was taken"), 2);
	assert_int_equal(count(said, "pgoff 0x200: a reference of nic was taken"), 1);
	assert_int_equal(count(said, "pgoff 0x300: a reference of nic was taken"), 1);
}

/* The C library loads its unwinder at the first use: that shall not be in a signal handler that pins. */
static void load_before_the_first(void *arg)
{
	(void)arg;
	(void)tracked(64);
	CHILD_CHECK(dlopen("libgcc_s.so.1", RTLD_LAZY | RTLD_NOLOAD) != NULL);
	CHILD_EXIT(0);
}

static void c3_24_what_a_record_needs_is_loaded_before_the_first(void **state)
{
	(void)state;
	expect_child_passes(load_before_the_first, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c4_3_a_put_drops_what_its_own_thread_took),
		cmocka_unit_test(c4_3_a_put_of_what_another_thread_took_drops_that),
		cmocka_unit_test(c4_3_a_failed_drain_speaks_of_its_own_pgmap_alone),
		cmocka_unit_test(c4_3_what_was_dropped_is_remembered_when_another_pgmap_goes),
		cmocka_unit_test(c4_3_a_split_leaves_no_record_of_the_whole),
		cmocka_unit_test(c3_24_what_a_record_needs_is_loaded_before_the_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
