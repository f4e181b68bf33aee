/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PGMAP_TRACK=1 where it has no memory, or has not seen everything: it says how many it did not record, and all else goes on.
 * meson.build links this program so that mapping memory is this one's. Everything in children: what is tracked is the
 * process's.
 */
#include <sys/mman.h>

#include "core_util.h"

void *__real_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);

static bool no_memory;
static char said[65536];

void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	if (!no_memory)
		return __real_mmap64(at, bytes, prot, flags, fd, offset);
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
		cmocka_unit_test(c4_3_at_exit_each_pgmap_is_named_once_and_only_those_that_are_tracked),
		cmocka_unit_test(c4_3_nothing_is_said_of_a_pgmap_that_was_destroyed),
		cmocka_unit_test(c4_3_a_wrong_put_is_told_of_its_own_folio_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
