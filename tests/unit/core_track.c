/* SPDX-License-Identifier: BSD-3-Clause */
/* PGMAP_TRACK=1 says where each reference that is still held was taken, and no other. */
#include <dlfcn.h>
#include <pthread.h>

#include "core_util.h"

#define NOINLINE __attribute__((noinline))

static NOINLINE struct folio *take_here(struct pgmap *pgmap, uint64_t pgoff)
{
	struct folio *folio = request(pgmap, pgoff, 0);
	__asm__ volatile("" ::: "memory"); /* no tail call */
	return folio;
}

static NOINLINE struct folio *take_there(struct pgmap *pgmap, uint64_t pgoff)
{
	struct folio *folio = NULL;
	CHILD_CHECK(pgmap_get_folio(pgmap, pgoff, &folio) == 0);
	__asm__ volatile("" ::: "memory");
	return folio;
}

static NOINLINE void pin_here(struct folio *folio, struct pgmap_holder *holder)
{
	CHILD_CHECK(folio_pin(folio, holder, FOLIO_PIN_REMOTE) == 0);
	__asm__ volatile("" ::: "memory");
}

static NOINLINE void drop_here(struct folio *folio)
{
	folio_put(folio);
	__asm__ volatile("" ::: "memory");
}

static void split_in_four(void *arg);
static void get_here(struct folio *folio);
static void get_and_put(void *arg);

static struct pgmap *tracked(void)
{
	CHILD_CHECK(setenv("PGMAP_TRACK", "1", 1) == 0);
	return make_generic(4096);
}

static void drain_fails(struct pgmap *pgmap)
{
	CHILD_CHECK(pgmap_kill(pgmap) == 0);
	CHILD_CHECK(pgmap_drain(pgmap, 0) == -ETIMEDOUT);
}

/* Which of the functions above has this address: the nearest that begins before it. */
static uintptr_t function_of(uintptr_t address)
{
	const uintptr_t all[] = {(uintptr_t)take_here,     (uintptr_t)take_there, (uintptr_t)pin_here,
				 (uintptr_t)drop_here,     (uintptr_t)tracked,    (uintptr_t)drain_fails,
				 (uintptr_t)split_in_four, (uintptr_t)get_here,   (uintptr_t)get_and_put};
	uintptr_t best = 0;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i] <= address && all[i] > best)
			best = all[i];
	return best;
}

/* How often `what` stands in the text with that function under it, before the next "pgmap:". */
static unsigned sites_of(const char *text, const char *what, uintptr_t function)
{
	Dl_info info;
	unsigned n = 0;
	assert_int_not_equal(dladdr((void *)function, &info), 0);
	for (const char *at = strstr(text, what); at; at = strstr(at + 1, what)) {
		const char *end = strstr(at, "\npgmap:");
		end = end ? end : at + strlen(at);
		bool found = false;
		for (const char *plus = strstr(at, "+0x"); plus && plus < end; plus = strstr(plus + 1, "+0x")) {
			uintptr_t address = (uintptr_t)info.dli_fbase + strtoull(plus + 1, NULL, 16);
			found = found || function_of(address) == function;
		}
		n += found;
	}
	return n;
}

#define sites(text, what, function) sites_of(text, what, (uintptr_t)(function))

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;
	for (const char *at = strstr(text, what); at; at = strstr(at + 1, what))
		n++;
	return n;
}

static char said[65536];

static void hold_two_and_drop_one(void *arg)
{
	(void)arg;
	struct pgmap *pgmap = tracked();
	struct folio *a = take_here(pgmap, 5), *b = take_here(pgmap, 6);
	(void)take_there(pgmap, 6);
	folio_put(a);
	(void)b;
	drain_fails(pgmap);
	CHILD_EXIT(0); /* not by exit(): that would print too */
}

static void c4_3_a_failed_drain_says_where_what_is_held_was_taken(void **state)
{
	(void)state;
	assert_int_equal(in_child(hold_two_and_drop_one, NULL, said, sizeof(said)), 0);
	assert_non_null(strstr(said, "pgmap: under-test: drain: still held at the deadline"));
	assert_int_equal(count(said, "was taken"), 2);
	assert_int_equal(sites(said, "pgoff 0x6: a reference was taken", take_here), 1);
	assert_int_equal(sites(said, "pgoff 0x6: a reference was taken", take_there), 1);
	assert_null(strstr(said, "pgoff 0x5"));
}

static void put_twice(void *arg)
{
	(void)arg;
	struct folio *folio = take_here(tracked(), 9);
	drop_here(folio);
	folio_put(folio);
}

static void c4_3_a_wrong_put_says_where_the_right_one_was(void **state)
{
	(void)state;
	int status = in_child(put_twice, NULL, said, sizeof(said));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_int_equal(sites(said, "pgoff 0x9: a reference was dropped", drop_here), 1);
	assert_int_equal(count(said, "was dropped"), 2); /* and where the wrong one is */
	assert_null(strstr(said, "was taken"));
	assert_non_null(strstr(said, "put without a reference: pgoff 0x9"));
}

/* What is dropped in a pgmap that is not tracked takes no place among what is remembered. */
static void put_twice_among_many(void *arg)
{
	(void)arg;
	struct folio *folio = take_here(tracked(), 9);
	CHILD_CHECK(unsetenv("PGMAP_TRACK") == 0);
	struct pgmap *other = make_generic(16);
	drop_here(folio);
	for (unsigned i = 0; i < 1000; i++)
		folio_put(request(other, 9, 0));
	folio_put(folio);
}

static void c4_3_a_pgmap_that_is_not_tracked_is_not_remembered(void **state)
{
	(void)state;
	int status = in_child(put_twice_among_many, NULL, said, sizeof(said));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_int_equal(sites(said, "pgoff 0x9: a reference was dropped", drop_here), 1);
}

static void exit_holding(void *arg)
{
	struct pgmap *pgmap = tracked();
	struct folio *folio = take_here(pgmap, 3);
	if (arg)
		folio_put(folio);
	exit(0);
}

static void c4_3_at_exit_it_says_what_is_still_held(void **state)
{
	(void)state;
	assert_int_equal(in_child(exit_holding, NULL, said, sizeof(said)), 0);
	assert_non_null(strstr(said, "pgmap: under-test: still held at exit:"));
	assert_int_equal(sites(said, "pgoff 0x3: a reference was taken", take_here), 1);
	assert_int_equal(in_child(exit_holding, said, said, sizeof(said)), 0);
	assert_string_equal(said, ""); /* nothing is held, nothing is said */
}

static void fork_holding(void *arg)
{
	(void)arg;
	(void)take_here(tracked(), 3);
	pid_t pid = fork();
	if (pid == 0)
		exit(0);
	int status;
	CHILD_CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	CHILD_EXIT(0);
}

static void c4_3_a_forked_child_does_not_speak_for_its_parent(void **state)
{
	(void)state;
	assert_int_equal(in_child(fork_holding, NULL, said, sizeof(said)), 0);
	assert_string_equal(said, "");
}

static void fork_and_hold_its_own(void *arg)
{
	(void)arg;
	(void)take_here(tracked(), 3);
	pid_t pid = fork();
	if (pid == 0) {
		(void)take_here(tracked(), 11);
		exit(0);
	}
	int status;
	CHILD_CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	CHILD_EXIT(0);
}

static void c4_3_a_forked_child_speaks_for_its_own(void **state)
{
	(void)state;
	assert_int_equal(in_child(fork_and_hold_its_own, NULL, said, sizeof(said)), 0);
	assert_int_equal(sites(said, "pgoff 0xb: a reference was taken", take_here), 1);
	assert_null(strstr(said, "pgoff 0x3"));
}

static void with_holders(void *arg)
{
	(void)arg;
	struct pgmap *pgmap = tracked();
	struct pgmap_holder *nic = make_holder(pgmap, "nic"), *gone = make_holder(pgmap, "gone");
	struct folio *folio = take_here(pgmap, 7);
	pin_here(folio, nic);
	CHILD_CHECK(folio_get_holder(folio, nic) == 0);
	folio_put_holder(folio, nic);
	CHILD_CHECK(folio_get_holder(folio, gone) == 0);
	CHILD_CHECK(folio_charge(folio, nic) == 0); /* what was taken anonymously, by take_here() */
	CHILD_CHECK(pgmap_holder_end(gone) == 0);
	drain_fails(pgmap);
	CHILD_EXIT(0);
}

static void c4_3_holders_and_kinds_are_named(void **state)
{
	(void)state;
	assert_int_equal(in_child(with_holders, NULL, said, sizeof(said)), 0);
	assert_int_equal(count(said, "was taken"), 2);
	assert_int_equal(sites(said, "pgoff 0x7: a REMOTE pin of nic was taken", pin_here), 1);
	assert_int_equal(sites(said, "pgoff 0x7: a reference of nic was taken", take_here), 1);
}

static void split_in_four(void *arg)
{
	(void)arg;
	struct pgmap *pgmap = tracked();
	struct folio *folios[2], *part;
	size_t n = 0;
	CHILD_CHECK(pgmap_request_folios(pgmap, 8, 5, folios, &n) == 0 && n == 2);
	CHILD_CHECK(folio_split(folios[0], 0) == 0);
	CHILD_CHECK(pgmap_find_folio(pgmap, 9, &part) == 0);
	folio_put(part);
	CHILD_CHECK(pgmap_find_folio(pgmap, 12, &part) == 0);
	folio_put(part);
	struct folio *big;
	CHILD_CHECK(pgmap_request_folio(pgmap, 512, 9, &big) == 0);
	CHILD_CHECK(folio_split(big, 8) == 0); /* to another level: the old handle is none of the parts */
	drain_fails(pgmap);
	CHILD_EXIT(0);
}

static void c4_3_the_parts_of_a_split_are_known_by_where_the_whole_was_taken(void **state)
{
	(void)state;
	assert_int_equal(in_child(split_in_four, NULL, said, sizeof(said)), 0);
	assert_int_equal(count(said, "was taken"), 5);
	const char *const parts[] = {"0x8", "0xa", "0xb", "0x200", "0x300"};
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		char what[64];
		(void)snprintf(what, sizeof(what), "pgoff %s: a reference was taken", parts[i]);
		assert_int_equal(sites(said, what, split_in_four), 1);
	}
}

static void *take_and_put(void *arg)
{
	struct pgmap *pgmap = arg;
	for (unsigned i = 0; i < 2000; i++) {
		struct folio *folio;
		CHILD_CHECK(pgmap_get_folio(pgmap, 1, &folio) == 0);
		CHILD_CHECK(folio_pin(folio, NULL, FOLIO_PIN_LOCAL) == 0);
		folio_put(folio);
		folio_unpin(folio, NULL, FOLIO_PIN_LOCAL);
	}
	return NULL;
}

static void many_threads(void *arg)
{
	(void)arg;
	struct pgmap *pgmap = tracked();
	pthread_t threads[3];
	(void)take_here(pgmap, 1);
	for (unsigned i = 0; i < 3; i++)
		CHILD_CHECK(pthread_create(&threads[i], NULL, take_and_put, pgmap) == 0);
	for (unsigned i = 0; i < 3; i++)
		CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
	drain_fails(pgmap);
	CHILD_EXIT(0);
}

static void c4_3_what_many_threads_took_and_gave_back_is_not_in_it(void **state)
{
	(void)state;
	assert_int_equal(in_child(many_threads, NULL, said, sizeof(said)), 0);
	assert_int_equal(count(said, "was taken"), 1);
	assert_int_equal(sites(said, "pgoff 0x1: a reference was taken", take_here), 1);
}

static NOINLINE void get_here(struct folio *folio)
{
	folio_get(folio);
	__asm__ volatile("" ::: "memory");
}

static void get_and_put(void *arg)
{
	(void)arg;
	struct pgmap *pgmap = tracked();
	struct pgmap_holder *holder = make_holder(pgmap, "nic");
	struct folio *folio = take_here(pgmap, 7);
	get_here(folio);
	CHILD_CHECK(folio_pin(folio, holder, FOLIO_PIN_REMOTE) == 0);
	pin_here(folio, NULL);
	folio_unpin(folio, holder, FOLIO_PIN_REMOTE);
	drain_fails(pgmap);
	CHILD_EXIT(0);
}

static void c4_3_each_kind_of_reference_is_its_own(void **state)
{
	(void)state;
	assert_int_equal(in_child(get_and_put, NULL, said, sizeof(said)), 0);
	assert_int_equal(count(said, "was taken"), 3);
	assert_int_equal(sites(said, "pgoff 0x7: a reference was taken", take_here), 1);
	assert_int_equal(sites(said, "pgoff 0x7: a reference was taken", get_here), 1);
	assert_int_equal(sites(said, "pgoff 0x7: a REMOTE pin was taken", pin_here), 1);
}

static void get_and_put_one(void *arg)
{
	(void)arg;
	struct pgmap *pgmap = tracked();
	struct folio *folio = take_here(pgmap, 7);
	get_here(folio);
	folio_put(folio);
	drain_fails(pgmap);
	CHILD_EXIT(0);
}

static void c4_3_a_put_drops_what_its_thread_took_last(void **state)
{
	(void)state;
	assert_int_equal(in_child(get_and_put_one, NULL, said, sizeof(said)), 0);
	assert_int_equal(count(said, "was taken"), 1);
	assert_int_equal(sites(said, "pgoff 0x7: a reference was taken", take_here), 1);
}

/* Nothing is held, whatever kind somebody said: the counts of nobody's pins know no kinds. */
static void unpin_another_kind(void *arg)
{
	(void)arg;
	struct pgmap *pgmap = tracked();
	struct folio *folio = take_here(pgmap, 7);
	CHILD_CHECK(folio_pin(folio, NULL, FOLIO_PIN_LOCAL) == 0);
	folio_unpin(folio, NULL, FOLIO_PIN_REMOTE);
	folio_put(folio);
	CHILD_CHECK(pgmap_kill(pgmap) == 0 && pgmap_drain(pgmap, 0) == 0 && pgmap_destroy(pgmap) == 0);
	exit(0);
}

static void c4_3_nothing_is_held_of_what_is_gone(void **state)
{
	(void)state;
	assert_int_equal(in_child(unpin_another_kind, NULL, said, sizeof(said)), 0);
	assert_string_equal(said, "");
}

static void untracked(void *arg)
{
	(void)arg;
	CHILD_CHECK(setenv("PGMAP_TRACK", "0", 1) == 0);
	struct pgmap *pgmap = make_generic(16);
	(void)take_here(pgmap, 1);
	drain_fails(pgmap);
	exit(0);
}

static void c4_3_unasked_it_says_nothing(void **state)
{
	(void)state;
	assert_int_equal(in_child(untracked, NULL, said, sizeof(said)), 0);
	assert_string_equal(said, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c4_3_a_failed_drain_says_where_what_is_held_was_taken),
		cmocka_unit_test(c4_3_a_wrong_put_says_where_the_right_one_was),
		cmocka_unit_test(c4_3_a_pgmap_that_is_not_tracked_is_not_remembered),
		cmocka_unit_test(c4_3_at_exit_it_says_what_is_still_held),
		cmocka_unit_test(c4_3_a_forked_child_does_not_speak_for_its_parent),
		cmocka_unit_test(c4_3_a_forked_child_speaks_for_its_own),
		cmocka_unit_test(c4_3_holders_and_kinds_are_named),
		cmocka_unit_test(c4_3_the_parts_of_a_split_are_known_by_where_the_whole_was_taken),
		cmocka_unit_test(c4_3_what_many_threads_took_and_gave_back_is_not_in_it),
		cmocka_unit_test(c4_3_each_kind_of_reference_is_its_own),
		cmocka_unit_test(c4_3_a_put_drops_what_its_thread_took_last),
		cmocka_unit_test(c4_3_nothing_is_held_of_what_is_gone),
		cmocka_unit_test(c4_3_unasked_it_says_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
