/* SPDX-License-Identifier: BSD-3-Clause */
/* Drains that wait in threads: woken by the last put, told of a revival, and raced by both. */
#include "core_util.h"

#include <pthread.h>

#include "core/map.h"

enum { DRAINERS = 3, RACES = 300, STORMS = 300 };

struct drainer {
	pthread_t thread;
	struct pgmap *pgmap;
	_Atomic pid_t tid;
	int answer;
};

static void *drain(void *arg)
{
	struct drainer *d = arg;
	atomic_store(&d->tid, gettid());
	d->answer = pgmap_drain(d->pgmap, PGMAP_NO_DEADLINE);
	return NULL;
}

/* Drainers that are known to wait. */
static void start_drainers(struct pgmap *pgmap, struct drainer *drainers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		drainers[i] = (struct drainer){.pgmap = pgmap, .answer = 1};
		assert_int_equal(pthread_create(&drainers[i].thread, NULL, drain, &drainers[i]), 0);
	}
	for (size_t i = 0; i < n; i++) {
		pid_t tid;
		while ((tid = atomic_load(&drainers[i].tid)) == 0)
			sched_yield();
		await_futex(tid, (const void *)&pgmap->live.wake);
	}
}

static void join_drainers(struct drainer *drainers, size_t n, int answer)
{
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(pthread_join(drainers[i].thread, NULL), 0);
		assert_int_equal(drainers[i].answer, answer);
	}
}

static void c2_6_drain_wakes_when_the_last_folio_goes(void **state)
{
	(void)state;
	struct drainer d;
	struct pgmap *pgmap = make_generic(2 * PUD_PAGES);
	struct folio *first = request(pgmap, 0, 0), *last = request(pgmap, PUD_PAGES, 18);
	folio_get(last);
	assert_int_equal(pgmap_kill(pgmap), 0);
	start_drainers(pgmap, &d, 1);
	folio_put(last);
	folio_put(first);
	await_futex(atomic_load(&d.tid), (const void *)&pgmap->live.wake);
	folio_put(last);
	join_drainers(&d, 1, 0);
	assert_int_equal(pgmap_state(pgmap), PGMAP_DEAD);
	assert_int_equal(pgmap_destroy(pgmap), 0);
}

static void c2_7_several_drains_wake_at_once(void **state)
{
	(void)state;
	struct drainer drainers[DRAINERS];
	struct pgmap *pgmap = make_generic(8);
	struct folio *folio = request(pgmap, 0, 3);
	assert_int_equal(pgmap_kill(pgmap), 0);
	start_drainers(pgmap, drainers, DRAINERS);
	folio_put(folio);
	join_drainers(drainers, DRAINERS, 0);
	assert_int_equal(pgmap_destroy(pgmap), 0);
}

static void c2_6_a_drain_wakes_also_by_an_unpin_a_holders_end_and_a_release_from_quarantine(void **state)
{
	(void)state;
	for (int how = 0; how < 3; how++) {
		struct drainer d;
		struct pgmap *pgmap = make_generic(8);
		struct folio *folio = request(pgmap, 5, 0);
		struct pgmap_holder *holder = make_holder(pgmap, "holder");
		enum folio_pin_kind kind = how == 2 ? FOLIO_PIN_REMOTE : FOLIO_PIN_LOCAL;
		assert_int_equal(folio_pin(folio, holder, kind), 0);
		folio_put(folio);
		assert_int_equal(pgmap_kill(pgmap), 0);
		start_drainers(pgmap, &d, 1);
		if (how == 0) {
			folio_unpin(folio, holder, kind);
		} else if (how == 1) {
			assert_int_equal(pgmap_holder_end(holder), 0);
		} else {
			assert_int_equal(pgmap_holder_end(holder), 1);
			assert_int_equal(pgmap_holder_fence(holder), 0);
		}
		join_drainers(&d, 1, 0);
		assert_int_equal(pgmap_destroy(pgmap), 0);
	}
}

static void c2_6_a_drain_that_is_cancelled_by_a_revival_says_so(void **state)
{
	(void)state;
	struct drainer drainers[DRAINERS];
	struct pgmap *pgmap = make_generic(8);
	struct folio *folio = request(pgmap, 0, 0);
	assert_int_equal(pgmap_kill(pgmap), 0);
	start_drainers(pgmap, drainers, DRAINERS);
	assert_int_equal(pgmap_revive(pgmap), 0);
	assert_int_equal(pgmap_kill(pgmap), 0); /* another dying is not what they wait for */
	join_drainers(drainers, DRAINERS, -ECANCELED);
	folio_put(folio);
	assert_int_equal(pgmap_drain(pgmap, 0), 0);
	assert_int_equal(pgmap_destroy(pgmap), 0);
}

static pthread_barrier_t gate;

static void *put_at_the_gate(void *arg)
{
	struct folio *folio = arg;
	pthread_barrier_wait(&gate);
	folio_put(folio);
	return NULL;
}

static void c2_9_of_revive_and_drain_one_wins_and_all_are_told(void **state)
{
	(void)state;
	assert_int_equal(pthread_barrier_init(&gate, NULL, 2), 0);
	for (unsigned race = 0; race < RACES; race++) {
		struct drainer drainers[2];
		pthread_t putter;
		struct pgmap *pgmap = make_generic(8);
		struct folio *folio = request(pgmap, 0, 0);
		assert_int_equal(pgmap_kill(pgmap), 0);
		start_drainers(pgmap, drainers, 2);
		assert_int_equal(pthread_create(&putter, NULL, put_at_the_gate, folio), 0);
		pthread_barrier_wait(&gate);
		for (volatile unsigned wait = 0; wait < race * 97; wait++)
			;
		int revived = pgmap_revive(pgmap);
		assert_int_equal(pthread_join(putter, NULL), 0);
		if (revived == 0) {
			join_drainers(drainers, 2, -ECANCELED);
			assert_int_equal(pgmap_state(pgmap), PGMAP_LIVE);
			end_pgmap(pgmap);
		} else {
			assert_int_equal(revived, -ENODEV);
			join_drainers(drainers, 2, 0);
			assert_int_equal(pgmap_state(pgmap), PGMAP_DEAD);
			assert_int_equal(pgmap_destroy(pgmap), 0);
		}
	}
	pthread_barrier_destroy(&gate);
}

struct requester {
	pthread_t thread;
	struct pgmap *pgmap;
	uint64_t pgoff;
	unsigned order;
	int last;              /* its last request's answer */
	_Atomic bool killed;   /* the kill has returned */
	_Atomic uint64_t live; /* pages it holds */
	unsigned wrong;
};

static void *request_until_refused(void *arg)
{
	struct requester *r = arg;
	struct folio *folio;
	pthread_barrier_wait(&gate);
	for (;;) {
		bool late = atomic_load(&r->killed);
		r->last = pgmap_request_folio(r->pgmap, r->pgoff, r->order, &folio);
		if (r->last)
			return NULL;
		r->wrong += late;
		atomic_store(&r->live, 1);
		if (pgmap_state(r->pgmap) == PGMAP_DEAD)
			r->wrong++;
		atomic_store(&r->live, 0);
		folio_put(folio);
	}
}

/* A request that raced the kill either succeeded before, and the drain waited for it, or failed. */
static void c2_5_after_kill_no_request_succeeds_and_the_drain_waits_for_those_before(void **state)
{
	(void)state;
	static const unsigned orders[] = {0, 9, 3};
	assert_int_equal(pthread_barrier_init(&gate, NULL, 2), 0);
	for (unsigned storm = 0; storm < STORMS; storm++) {
		unsigned order = orders[storm % 3];
		struct requester r = {.pgmap = make_generic(PMD_PAGES), .pgoff = 0, .order = order};
		assert_int_equal(pthread_create(&r.thread, NULL, request_until_refused, &r), 0);
		pthread_barrier_wait(&gate);
		for (volatile unsigned wait = 0; wait < storm * 31; wait++)
			;
		assert_int_equal(pgmap_kill(r.pgmap), 0);
		atomic_store(&r.killed, true);
		assert_int_equal(pgmap_drain(r.pgmap, PGMAP_NO_DEADLINE), 0);
		assert_int_equal(atomic_load(&r.live), 0);
		assert_int_equal(pthread_join(r.thread, NULL), 0);
		assert_int_equal(r.last, -ENODEV);
		assert_int_equal(r.wrong, 0);
		assert_int_equal(pgmap_live_pages(r.pgmap), 0);
		assert_int_equal(pgmap_destroy(r.pgmap), 0);
	}
	pthread_barrier_destroy(&gate);
}

static uint32_t wakes(struct pgmap *pgmap)
{
	return atomic_load(&pgmap->live.wake);
}

/* The wake word is what a drainer that is about to sleep looks at: without a change it sleeps on. */
static void c2_6_drainers_are_woken_by_what_concerns_them_and_by_nothing_else(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	uint32_t before = wakes(pgmap);
	folio_put(request(pgmap, 0, 0));
	folio_put(request(pgmap, 8, 3));
	assert_int_equal(refused(pgmap, PUD_PAGES, 0), -ERANGE);
	struct pgmap_holder *holder = make_holder(pgmap, "a");
	struct folio *a = request(pgmap, 0, 0), *b = request(pgmap, 8, 3), *c = request(pgmap, 512, 9);
	assert_int_equal(folio_charge(c, holder), 0);
	folio_put(b);
	b = request(pgmap, 8, 3);
	assert_int_equal(wakes(pgmap), before); /* it is alive */
	assert_int_equal(pgmap_kill(pgmap), 0);
	folio_put(b);
	assert_int_equal(wakes(pgmap), before); /* some are held still */
	assert_int_equal(pgmap_revive(pgmap), 0);
	assert_int_not_equal(wakes(pgmap), before);
	assert_int_equal(pgmap_kill(pgmap), 0);
	assert_int_equal(pgmap_holder_end(holder), 0);
	before = wakes(pgmap);
	folio_put(a);
	assert_int_not_equal(wakes(pgmap), before); /* the last one */
	before = wakes(pgmap);
	assert_int_equal(pgmap_drain(pgmap, 0), 0);
	assert_int_not_equal(wakes(pgmap), before); /* dead: the other drainers */
	assert_int_equal(pgmap_destroy(pgmap), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c2_6_drain_wakes_when_the_last_folio_goes),
		cmocka_unit_test(c2_7_several_drains_wake_at_once),
		cmocka_unit_test(c2_6_a_drain_wakes_also_by_an_unpin_a_holders_end_and_a_release_from_quarantine),
		cmocka_unit_test(c2_6_a_drain_that_is_cancelled_by_a_revival_says_so),
		cmocka_unit_test(c2_9_of_revive_and_drain_one_wins_and_all_are_told),
		cmocka_unit_test(c2_5_after_kill_no_request_succeeds_and_the_drain_waits_for_those_before),
		cmocka_unit_test(c2_6_drainers_are_woken_by_what_concerns_them_and_by_nothing_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
