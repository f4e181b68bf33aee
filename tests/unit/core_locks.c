/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The locks of the core: each is released by who took it, none is taken twice, none is left behind by any call, and none is
 * held while the owner's callbacks run. This program has its own pthread_mutex_lock() and _unlock(), which look and go on.
 */
#include <dlfcn.h>
#include <pthread.h>

#include "core_util.h"

enum { MOST_LOCKS = 8 };

static pthread_mutex_t *held[MOST_LOCKS];
static unsigned nheld, most_held, ntaken;
static bool watching;
static void (*before_lock)(unsigned nth); /* called before the nth lock from now on */
static unsigned nth_lock;
static int (*real_lock)(pthread_mutex_t *mutex), (*real_unlock)(pthread_mutex_t *mutex);

static void look_up(void)
{
	*(void **)&real_lock = dlsym(RTLD_NEXT, "pthread_mutex_lock");
	*(void **)&real_unlock = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
}

static void end_with(const char *what)
{
	dprintf(STDERR_FILENO, "core_locks: %s\n", what);
	_exit(1);
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
	if (!real_lock)
		look_up();
	if (watching) {
		for (unsigned i = 0; i < nheld; i++)
			if (held[i] == mutex)
				end_with("a lock is taken twice");
		if (nheld == MOST_LOCKS)
			end_with("too many locks");
		if (before_lock)
			before_lock(++nth_lock);
		held[nheld++] = mutex;
		ntaken++;
		most_held = nheld > most_held ? nheld : most_held;
	}
	int r = real_lock(mutex);
	if (watching && r != 0)
		end_with("a lock could not be taken");
	return r;
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	if (!real_unlock)
		look_up();
	if (watching) {
		unsigned i = 0;
		while (i < nheld && held[i] != mutex)
			i++;
		if (i == nheld)
			end_with("a lock is released that was not taken");
		held[i] = held[--nheld];
	}
	return real_unlock(mutex);
}

static int free_answer;

static int free_without_locks(struct folio *folio, void *owner)
{
	(void)folio;
	(void)owner;
	assert_int_equal(nheld, 0);
	return free_answer;
}

static int count_held(const struct pgmap_held *one, void *arg)
{
	(void)one;
	assert_int_equal(nheld, 1);
	++*(unsigned *)arg;
	return 0;
}

static int count_poisoned(uint64_t pgoff, uint64_t npages, void *arg)
{
	(void)pgoff;
	(void)npages;
	++*(unsigned *)arg;
	return 0;
}

/* A call, after which no lock is left. */
#define CALL(expression)                                                                                               \
	do {                                                                                                           \
		expression;                                                                                            \
		assert_int_equal(nheld, 0);                                                                            \
	} while (0)

static struct pgmap *make_two_ranges(void)
{
	static const struct pgmap_ops ops = {.ops_bytes = sizeof(ops), .folio_free = free_without_locks};
	const struct pgmap_range ranges[] = {{0, UINT64_C(1) << 30}, {UINT64_C(3) << 30, UINT64_C(1) << 30}};
	const struct pgmap_params params = {
		.params_bytes = sizeof(params), .type = PGMAP_GENERIC, .ranges = ranges, .nranges = 2, .ops = &ops};
	struct pgmap *pgmap = NULL;
	CALL(assert_int_equal(pgmap_create(&params, &pgmap), 0));
	return pgmap;
}

static void use_folios(struct pgmap *pgmap)
{
	struct folio *folio, *folios[8];
	size_t n;
	unsigned poisoned = 0;
	CALL(assert_int_equal(pgmap_poison(pgmap, 100, 10), 0));
	CALL(assert_int_equal(refused(pgmap, 105, 0), -EHWPOISON));
	CALL(assert_int_equal(pgmap_for_each_poisoned(pgmap, count_poisoned, &poisoned), 0));
	assert_int_equal(poisoned, 1);
	CALL(assert_int_equal(pgmap_clear_poison(pgmap, 102, 2), 0));
	CALL(assert_int_equal(pgmap_clear_poison(pgmap, 0, 512), 0));
	CALL(assert_int_equal(pgmap_request_folios(pgmap, 3, 6, folios, &n), 0));
	for (size_t i = 0; i < n; i++)
		CALL(folio_put(folios[i]));
	folio = request(pgmap, 0, 9);
	CALL(assert_int_equal(pgmap_get_folio(pgmap, 5, &folios[0]), 0));
	CALL(folio_get(folio));
	CALL(folio_put(folio));
	CALL(assert_int_equal(folio_split(folio, 3), -EBUSY));
	CALL(folio_put(folio));
	CALL(assert_int_equal(folio_pin(folio, NULL, FOLIO_PIN_LOCAL), 0));
	CALL(folio_unpin(folio, NULL, FOLIO_PIN_LOCAL));
	CALL(assert_int_equal(folio_set_private(folio, 7), 0));
	CALL(assert_int_equal(folio_split(folio, 8), 0));
	CALL(folio_put(find(pgmap, 0)));
	free_answer = PGMAP_FREE_KEEP;
	CALL(folio_put(find(pgmap, 256)));
	free_answer = PGMAP_FREE_IDLE;
	CALL(assert_int_equal(pgmap_release_quarantined(pgmap, 256), 0));
}

static void use_holders(struct pgmap *pgmap)
{
	struct pgmap_holder *a, *b;
	struct pgmap_charge charge;
	unsigned seen = 0;
	CALL(a = make_holder(pgmap, "a"));
	CALL(b = make_holder(pgmap, "b"));
	struct folio *folio = request(pgmap, 512, 9);
	CALL(assert_int_equal(folio_charge(folio, a), 0));
	CALL(assert_int_equal(folio_get_holder(folio, b), 0));
	CALL(assert_int_equal(pgmap_for_each_held(pgmap, count_held, &seen), 0));
	assert_int_equal(seen, 2);
	struct pgmap_stats stats;
	CALL(assert_int_equal(pgmap_stats(pgmap, &stats), 0));
	CALL(pgmap_holder_charge(a, &charge));
	CALL(assert_int_equal(folio_split(folio, 8), 0));
	folio = find(pgmap, 512);
	CALL(folio_put_holder(find(pgmap, 768), b));
	CALL(folio_put_holder(find(pgmap, 768), a));
	CALL(assert_int_equal(folio_pin(folio, a, FOLIO_PIN_LOCAL), 0));
	CALL(folio_unpin(folio, a, FOLIO_PIN_LOCAL));
	CALL(assert_int_equal(folio_pin(folio, a, FOLIO_PIN_REMOTE), 0));
	CALL(assert_int_equal(pgmap_holder_fence(a), -EBUSY));
	CALL(assert_int_equal(pgmap_holder_end(b), 0));
	CALL(assert_int_equal(pgmap_holder_end(a), 256));
	CALL(assert_int_equal(pgmap_holder_end(a), 256));
	CALL(assert_int_equal(pgmap_release_quarantined(pgmap, 512), -EBUSY));
	CALL(assert_int_equal(pgmap_holder_fence(a), 0));
	/* A put of the last anonymous reference looks into the accounts, as there are some. */
	CALL(a = make_holder(pgmap, "a"));
	struct folio *other = request(pgmap, 0, 0);
	folio = request(pgmap, 1, 0);
	CALL(assert_int_equal(folio_charge(folio, a), 0));
	CALL(assert_int_equal(folio_charge(folio, b = NULL), 0));
	CALL(folio_put(other));
	CALL(folio_put_holder(folio, a));
}

static struct folio *splitting;
static struct pgmap_holder *leaver;
static unsigned frees_seen;

/* The third lock of a split is the accounts', to decide: the last holder goes before. */
static void leave_before_the_decision(unsigned nth)
{
	if (nth != 3)
		return;
	before_lock = NULL;
	folio_put_holder(splitting, leaver);
}

static int count_free_without_locks(struct folio *folio, void *owner)
{
	(void)folio;
	(void)owner;
	assert_int_equal(nheld, 0);
	frees_seen++;
	return PGMAP_FREE_IDLE;
}

static void c3_18_a_split_that_fails_late_puts_its_own_reference_under_no_lock(void **state)
{
	(void)state;
	static const struct pgmap_ops ops = {.ops_bytes = sizeof(ops), .folio_free = count_free_without_locks};
	struct pgmap *pgmap = make_pgmap(PGMAP_GENERIC, PUD_PAGES, &ops, NULL);
	leaver = make_holder(pgmap, "leaver");
	splitting = request(pgmap, 512, 9);
	assert_int_equal(folio_charge(splitting, leaver), 0);
	watching = true;
	nth_lock = 0;
	before_lock = leave_before_the_decision;
	CALL(assert_int_equal(folio_split(splitting, 3), -EBUSY));
	watching = false;
	assert_null(before_lock);
	assert_int_equal(frees_seen, 1);
	assert_int_equal(pgmap_holder_end(leaver), 0);
	end_pgmap(pgmap);
}

static struct folio *looked_up;

/* The fifth lock of a split that is tracked is for the record of a part: a lookup comes before, and finds the first part. */
static void look_up_after_the_decision(unsigned nth)
{
	if (nth != 5)
		return;
	before_lock = NULL;
	CHILD_CHECK(pgmap_get_folio(folio_pgmap(splitting), 8, &looked_up) == 0);
}

static void split_and_put_all(void *arg)
{
	(void)arg;
	CHILD_CHECK(setenv("PGMAP_TRACK", "1", 1) == 0);
	struct pgmap *pgmap = make_generic(64);
	splitting = request(pgmap, 8, 3);
	watching = true;
	nth_lock = 0;
	before_lock = look_up_after_the_decision;
	CHILD_CHECK(folio_split(splitting, 2) == 0);
	watching = false;
	CHILD_CHECK(looked_up && folio_order(looked_up) == 2);
	folio_put(looked_up);
	folio_put(find(pgmap, 8));
	folio_put(find(pgmap, 12));
	CHILD_CHECK(pgmap_live_pages(pgmap) == 0);
	exit(0);
}

static void c4_3_a_lookup_during_a_split_is_recorded_once(void **state)
{
	(void)state;
	char said[4096];
	assert_int_equal(in_child(split_and_put_all, NULL, said, sizeof(said)), 0);
	assert_string_equal(said, "");
}

static void no_call_leaves_a_lock_or_takes_it_twice(void **state)
{
	(void)state;
	watching = true;
	for (int round = 0; round < 2; round++) {
		struct pgmap *pgmap = make_two_ranges();
		use_folios(pgmap);
		use_holders(pgmap);
		CALL((void)pgmap_kill(pgmap));
		CALL(assert_int_equal(pgmap_drain(pgmap, 0), 0));
		CALL(assert_int_equal(pgmap_destroy(pgmap), 0));
	}
	watching = false;
	assert_int_equal(most_held, 2); /* split_lock, and then the charges' */
}

/* The same, where each reference is recorded. */
static void no_call_leaves_a_lock_where_references_are_tracked(void **state)
{
	(void)state;
	assert_int_equal(setenv("PGMAP_TRACK", "1", 1), 0);
	watching = true;
	struct pgmap *pgmap = make_two_ranges();
	use_folios(pgmap);
	use_holders(pgmap);
	struct folio *folio = request(pgmap, 0, 0);
	CALL((void)pgmap_kill(pgmap));
	CALL(assert_int_equal(pgmap_drain(pgmap, 0), -ETIMEDOUT));
	CALL(folio_put(folio));
	CALL(assert_int_equal(pgmap_drain(pgmap, 0), 0));
	CALL(assert_int_equal(pgmap_destroy(pgmap), 0));
	watching = false;
	assert_int_equal(unsetenv("PGMAP_TRACK"), 0);
}

/* How many locks it took. */
#define LOCKS(expression) (ntaken = 0, (expression), ntaken)

static void c3_10_calls_without_a_holder_take_no_lock_and_those_with_one_take_one(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	struct pgmap_holder *a = make_holder(pgmap, "a");
	struct folio *folio = NULL, *folios[4];
	size_t n;
	watching = true;
	assert_int_equal(LOCKS(folio = request(pgmap, 0, 0)), 0);
	assert_int_equal(LOCKS(folio_get(folio)), 0);
	assert_int_equal(LOCKS(folio_put(folio)), 0);
	assert_int_equal(LOCKS((void)folio_pin(folio, NULL, FOLIO_PIN_LOCAL)), 0);
	assert_int_equal(LOCKS(folio_unpin(folio, NULL, FOLIO_PIN_LOCAL)), 0);
	assert_int_equal(LOCKS((void)pgmap_get_folio(pgmap, 0, &folio)), 0);
	assert_int_equal(LOCKS(folio_put(folio)), 0);
	assert_int_equal(LOCKS(folio_put(folio)), 0); /* the last: there is a holder, but nothing is charged */
	assert_int_equal(LOCKS((void)pgmap_request_folios(pgmap, 0, 3, folios, &n)), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(LOCKS(folio_put(folios[i])), 0);
	folio = request(pgmap, 0, 0);
	assert_int_equal(LOCKS((void)folio_get_holder(folio, a)), 1);
	assert_int_equal(LOCKS((void)folio_charge(folio, a)), 1);
	assert_int_equal(LOCKS((void)folio_pin(folio, a, FOLIO_PIN_LOCAL)), 1);
	assert_int_equal(LOCKS(folio_put_holder(folio, a)), 1);
	assert_int_equal(LOCKS(folio_put_holder(folio, a)), 1);
	/* The last; though another folio is charged, nobody looks whether this one is. */
	struct folio *other = request(pgmap, 1, 0);
	assert_int_equal(folio_charge(other, a), 0);
	assert_int_equal(LOCKS(folio_unpin(folio, a, FOLIO_PIN_LOCAL)), 1);
	folio_put_holder(other, a);
	folio = request(pgmap, 0, 0);
	assert_int_equal(folio_charge(folio, a), 0);
	/* To mark it as ending; again when all has been released; and to take it out of the list. */
	assert_int_equal(LOCKS((void)pgmap_holder_end(a)), 3);
	assert_int_equal(pgmap_kill(pgmap) + pgmap_drain(pgmap, 0), 0);
	assert_int_equal(LOCKS((void)pgmap_destroy(pgmap)), 1); /* of the memory for the next one */
	watching = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c3_10_calls_without_a_holder_take_no_lock_and_those_with_one_take_one),
		cmocka_unit_test(c3_18_a_split_that_fails_late_puts_its_own_reference_under_no_lock),
		cmocka_unit_test(c4_3_a_lookup_during_a_split_is_recorded_once),
		cmocka_unit_test(no_call_leaves_a_lock_or_takes_it_twice),
		cmocka_unit_test(no_call_leaves_a_lock_where_references_are_tracked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
