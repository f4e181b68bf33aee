/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PGMAP_TRACK=1 where it has no memory, or has not seen everything: it says how many it did not record, and all else goes on.
 * And at exit it waits for who is in it. meson.build links this program so that mapping memory is this one's. Everything in children: what is tracked is the
 * process's.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "core_util.h"

void *__real_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);

static bool no_memory;
static void *wanted_at;               /* where a pgmap's words are to lie that wants them somewhere */
static _Atomic bool watched, mapping; /* a thread that maps memory is to wait for the main thread's sleep; it does */
static char said[65536];

/* By what the system says of it: as long as it has something to do, we are not at the end. */
static void wait_for_sleep_of_main(void)
{
	char path[64], text[512] = "";
	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)getpid());
	for (const char *state = "R"; *state != 'S';) {
		FILE *file = fopen(path, "r");
		CHILD_CHECK(file != NULL && fgets(text, sizeof(text), file) != NULL);
		(void)fclose(file);
		state = strrchr(text, ')') + 2;
	}
}

void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	if (atomic_load(&watched)) {
		atomic_store(&mapping, true);
		wait_for_sleep_of_main();
		dprintf(STDERR_FILENO, "pgmap: mapped\n");
	}
	if (!no_memory)
		return __real_mmap64(at && wanted_at ? wanted_at : at, bytes, prot, flags, fd, offset);
	errno = ENOMEM;
	return MAP_FAILED;
}

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

static void unrecorded(void *arg)
{
	const bool *by_exit = arg;
	struct pgmap *pgmap = tracked(4096);
	no_memory = true;
	struct folio *first = request(pgmap, 1, 0), *second = request(pgmap, 2, 0);
	no_memory = false;
	struct folio *third = request(pgmap, 40, 0);
	CHILD_CHECK(folio_charge(second, make_holder(pgmap, "nic")) == 0);
	folio_put(first);
	(void)third;
	if (*by_exit)
		exit(0);
	fail_a_drain(pgmap);
	CHILD_EXIT(0);
}

static void c4_3_what_there_was_no_memory_to_record_is_counted(void **state)
{
	(void)state;
	for (int by_exit = 0; by_exit < 2; by_exit++) {
		bool arg = by_exit;
		assert_int_equal(in_child(unrecorded, &arg, said, sizeof(said)), 0);
		assert_int_equal(count(said, "was taken"), 1);
		assert_int_equal(count(said, "pgoff 0x28: a reference was taken"), 1);
		assert_int_equal(count(said, "pgmap: 2 references were not recorded: no memory\n"), 1);
	}
}

static void split_without_memory(void *arg)
{
	(void)arg;
	struct pgmap *pgmap = tracked(4096);
	struct folio *folio = request(pgmap, 0, 12);
	no_memory = true;
	CHILD_CHECK(folio_split(folio, 0) == 0);
	no_memory = false;
	for (uint64_t pgoff = 0; pgoff < 4096; pgoff++) {
		struct folio *part;
		CHILD_CHECK(pgmap_find_folio(pgmap, pgoff, &part) == 0);
		if (pgoff != 7)
			folio_put(part);
	}
	fail_a_drain(pgmap);
	CHILD_EXIT(0);
}

/* The number before " references were not recorded". */
static unsigned long unrecorded_in(const char *text)
{
	const char *at = strstr(text, " references were not recorded");
	while (at && at > text && at[-1] >= '0' && at[-1] <= '9')
		at--;
	return at ? strtoul(at, NULL, 10) : 0;
}

static void c4_3_a_split_without_memory_for_records_splits(void **state)
{
	(void)state;
	assert_int_equal(in_child(split_without_memory, NULL, said, sizeof(said)), 0);
	assert_in_range(unrecorded_in(said), 1, 4095);
	assert_true(count(said, "was taken") <= 1);
}

/* Records of what is gone are used again: one chunk of memory does for any number of them. */
static void take_and_put_without_memory(void *arg)
{
	(void)arg;
	struct pgmap *pgmap = tracked(64);
	struct folio *folio = request(pgmap, 1, 0);
	no_memory = true;
	for (unsigned i = 0; i < 20000; i++) {
		folio_get(folio);
		folio_put(folio);
	}
	no_memory = false;
	fail_a_drain(pgmap);
	CHILD_EXIT(0);
}

static void c4_3_what_is_put_back_needs_no_memory(void **state)
{
	(void)state;
	assert_int_equal(in_child(take_and_put_without_memory, NULL, said, sizeof(said)), 0);
	assert_int_equal(count(said, "was taken"), 1);
	assert_int_equal(count(said, "not recorded"), 0);
}

static void take_and_put_two_without_memory(void *arg)
{
	(void)arg;
	struct pgmap *pgmap = tracked(4096);
	folio_put(request(pgmap, 1, 0)); /* now there are records */
	no_memory = true;
	for (unsigned i = 0; i < 10; i++) {
		struct folio *first = request(pgmap, 1, 0), *second = request(pgmap, 2, 0);
		folio_put(first);
		folio_put(second);
	}
	(void)request(pgmap, 3, 0);
	fail_a_drain(pgmap);
	CHILD_EXIT(0);
}

static void c4_3_all_that_is_put_back_serves_again(void **state)
{
	(void)state;
	assert_int_equal(in_child(take_and_put_two_without_memory, NULL, said, sizeof(said)), 0);
	assert_int_equal(count(said, "was taken"), 1);
	assert_int_equal(count(said, "not recorded"), 0);
}

static void *take_first(void *pgmap)
{
	(void)request(pgmap, 1, 0);
	return NULL;
}

static struct folio *put_late;

static void put_at_the_end(void)
{
	if (put_late)
		folio_put(put_late);
}

/* The end of the program comes while another thread is in the middle of a record, and what comes behind still uses folios. */
static void exit_meanwhile(void *arg)
{
	(void)arg;
	pthread_t thread;
	CHILD_CHECK(atexit(put_at_the_end) == 0); /* before track.c's, so it runs behind it */
	struct pgmap *pgmap = tracked(64);
	atomic_store(&watched, true);
	CHILD_CHECK(pthread_create(&thread, NULL, take_first, pgmap) == 0);
	CHILD_CHECK(pthread_detach(thread) == 0); /* nobody joins it: it may be at work when the program has ended */
	while (!atomic_load(&mapping))
		;
	atomic_store(&watched, false);
	exit(0);
}

static void c4_3_at_exit_it_waits_for_who_is_taking(void **state)
{
	(void)state;
	assert_int_equal(in_child(exit_meanwhile, NULL, said, sizeof(said)), 0);
	const char *mapped = strstr(said, "pgmap: mapped"), *held = strstr(said, "still held at exit");
	assert_non_null(mapped);
	assert_non_null(held);
	assert_true(mapped < held);
	assert_int_equal(count(said, "pgoff 0x1: a reference was taken"), 1);
}

static void put_behind_the_end(void *arg)
{
	(void)arg;
	CHILD_CHECK(atexit(put_at_the_end) == 0);
	put_late = request(tracked(64), 3, 0);
	exit(0);
}

static void c4_3_folios_can_be_put_behind_it_at_exit(void **state)
{
	(void)state;
	assert_int_equal(in_child(put_behind_the_end, NULL, said, sizeof(said)), 0);
	assert_int_equal(count(said, "pgoff 0x3: a reference was taken"), 1);
}

static void hold_in_two(void *arg)
{
	(void)arg;
	CHILD_CHECK(setenv("PGMAP_TRACK", "0", 1) == 0);
	struct pgmap *unseen = make_generic(64);
	struct pgmap *a = tracked(64), *b = tracked(64);
	folio_put(request(unseen, 1, 0));
	(void)request(unseen, 2, 0);
	(void)request(a, 5, 0);
	(void)request(a, 9, 0);
	(void)request(b, 3, 0);
	exit(0);
}

static void c4_3_at_exit_each_pgmap_is_named_once_and_only_those_that_are_tracked(void **state)
{
	(void)state;
	assert_int_equal(in_child(hold_in_two, NULL, said, sizeof(said)), 0);
	assert_int_equal(count(said, "still held at exit"), 2);
	assert_int_equal(count(said, "was taken"), 3);
	assert_int_equal(count(said, "pgoff 0x5: a reference was taken"), 1);
	assert_int_equal(count(said, "pgoff 0x9: a reference was taken"), 1);
	assert_int_equal(count(said, "pgoff 0x3: a reference was taken"), 1);
}

/* A pin that was dropped as one of the other kind is gone, but not from the records. */
static void destroy_with_records(void *arg)
{
	(void)arg;
	struct pgmap *gone = tracked(64), *other = make_generic(64);
	struct folio *folio = request(gone, 5, 0);
	(void)request(other, 6, 0);
	CHILD_CHECK(folio_pin(folio, NULL, FOLIO_PIN_LOCAL) == 0);
	folio_unpin(folio, NULL, FOLIO_PIN_REMOTE);
	folio_put(folio);
	CHILD_CHECK(pgmap_kill(gone) == 0 && pgmap_drain(gone, 0) == 0 && pgmap_destroy(gone) == 0);
	exit(0);
}

static void c4_3_nothing_is_said_of_a_pgmap_that_was_destroyed(void **state)
{
	(void)state;
	assert_int_equal(in_child(destroy_with_records, NULL, said, sizeof(said)), 0);
	assert_int_equal(count(said, "was taken"), 1);
	assert_int_equal(count(said, "pgoff 0x6: a reference was taken"), 1);
}

/* A pgmap that lies where another did: its handles are the same, what was dropped of the other one is not its own. */
static void put_twice_where_another_was(void *arg)
{
	(void)arg;
	struct pgmap *gone = tracked(64);
	struct folio *before = request(gone, 5, 0);
	folio_put(before);
	CHILD_CHECK(pgmap_kill(gone) == 0 && pgmap_drain(gone, 0) == 0 && pgmap_destroy(gone) == 0);
	wanted_at = (void *)((uintptr_t)before & ~(uintptr_t)(PGMAP_PAGE_SIZE - 1));
	struct folio *folio = request(tracked(64), 5, 0);
	CHILD_CHECK(folio == before);
	folio_put(folio);
	folio_put(folio);
}

static void c4_3_what_was_dropped_of_a_destroyed_pgmap_is_forgotten(void **state)
{
	(void)state;
	int status = in_child(put_twice_where_another_was, NULL, said, sizeof(said));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_int_equal(count(said, "pgoff 0x5: a reference was dropped"), 2);
}

/* Two folios of two pgmaps, and what was put lately of both: a wrong put is told only what is its own. */
static void put_wrongly_among_others(void *arg)
{
	(void)arg;
	struct pgmap *pgmap = tracked(64), *other = make_generic(64);
	struct folio *folio = request(pgmap, 5, 0);
	(void)request(pgmap, 6, 0);
	(void)request(other, 7, 0);
	CHILD_CHECK(folio_pin(folio, NULL, FOLIO_PIN_LOCAL) == 0);
	folio_put(folio);
	folio_put(folio);
}

static void c4_3_a_wrong_put_is_told_of_its_own_folio_alone(void **state)
{
	(void)state;
	int status = in_child(put_wrongly_among_others, NULL, said, sizeof(said));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_int_equal(count(said, "pgoff 0x5: a LOCAL pin was taken"), 1);
	assert_int_equal(count(said, "pgoff 0x5: a reference was dropped"), 2);
	assert_int_equal(count(said, "pgoff 0x6"), 0);
	assert_int_equal(count(said, "pgoff 0x7"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c4_3_what_there_was_no_memory_to_record_is_counted),
		cmocka_unit_test(c4_3_a_split_without_memory_for_records_splits),
		cmocka_unit_test(c4_3_what_is_put_back_needs_no_memory),
		cmocka_unit_test(c4_3_all_that_is_put_back_serves_again),
		cmocka_unit_test(c4_3_at_exit_it_waits_for_who_is_taking),
		cmocka_unit_test(c4_3_folios_can_be_put_behind_it_at_exit),
		cmocka_unit_test(c4_3_at_exit_each_pgmap_is_named_once_and_only_those_that_are_tracked),
		cmocka_unit_test(c4_3_nothing_is_said_of_a_pgmap_that_was_destroyed),
		cmocka_unit_test(c4_3_what_was_dropped_of_a_destroyed_pgmap_is_forgotten),
		cmocka_unit_test(c4_3_a_wrong_put_is_told_of_its_own_folio_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
