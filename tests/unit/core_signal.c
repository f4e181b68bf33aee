/* SPDX-License-Identifier: BSD-3-Clause */
/* Pin and unpin in a signal handler, which interrupts its thread in the middle of the same, and of requests and puts. */
#include "core_util.h"

#include <pthread.h>
#include <stdatomic.h>

enum { SIGNALS = 4000, SIGNALLED_ENOUGH = 200, LAST_UNPINS = 1000 };

static struct pgmap *pgmap;
static struct folio *folio;
static struct pgmap_holder *holder;
static _Atomic unsigned handled, failed;
static _Atomic bool stop;

static void pin_in_handler(int signo)
{
	int saved = errno;
	enum folio_pin_kind kind = signo == SIGUSR1 ? FOLIO_PIN_LOCAL : FOLIO_PIN_REMOTE;
	(void)signo;
	if (folio_pin(folio, holder, kind) != 0 || folio_pin(folio, NULL, kind) != 0) {
		atomic_fetch_add(&failed, 1);
	} else {
		folio_unpin(folio, holder, kind);
		folio_unpin(folio, NULL, kind);
	}
	atomic_fetch_add(&handled, 1);
	errno = saved;
}

/* Also charges of its own, requests of the blocks beside the pinned folio, and lookups of it. */
static void *work(void *arg)
{
	uint64_t mine = 1024 + 512 * (uint64_t)(uintptr_t)arg, i = 0;
	while (!atomic_load(&stop)) {
		struct folio *other;
		if (folio_pin(folio, holder, FOLIO_PIN_LOCAL) != 0)
			atomic_fetch_add(&failed, 1);
		if (pgmap_request_folio(pgmap, mine, i++ % 2 ? 0 : 9, &other) != 0 || folio_charge(other, holder) != 0)
			atomic_fetch_add(&failed, 1);
		else
			folio_put_holder(other, holder);
		if (pgmap_get_folio(pgmap, 600, &other) != 0)
			atomic_fetch_add(&failed, 1);
		else
			folio_put(other);
		folio_unpin(folio, holder, FOLIO_PIN_LOCAL);
	}
	return NULL;
}

static void c3_24_pin_and_unpin_in_handlers_that_interrupt_the_same(void **state)
{
	(void)state;
	pthread_t threads[2];
	struct sigaction action = {.sa_handler = pin_in_handler, .sa_flags = SA_RESTART};
	struct pgmap_charge charge;
	pgmap = make_generic(PUD_PAGES);
	folio = request(pgmap, 512, 9);
	holder = make_holder(pgmap, "interrupted");
	sigemptyset(&action.sa_mask);
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	assert_int_equal(sigaction(SIGUSR2, &action, NULL), 0);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i), 0);
	for (unsigned i = 0; i < SIGNALS || atomic_load(&handled) < SIGNALLED_ENOUGH; i++) {
		assert_int_equal(pthread_kill(threads[i % 2], i % 4 < 2 ? SIGUSR1 : SIGUSR2), 0);
		if (i % 8 == 0)
			sched_yield();
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(atomic_load(&failed), 0);
	assert_int_equal(folio_refs(folio), 1);
	assert_int_equal(folio_pins(folio), 0);
	pgmap_holder_charge(holder, &charge);
	assert_int_equal(charge.refs, 0);
	assert_int_equal(pgmap_holder_end(holder), 0);
	folio_put(folio);
	end_pgmap(pgmap);
}

/* The live count is right though handlers release folios in the middle of their thread's own counting. */
static struct folio *_Atomic to_unpin;
static struct pgmap_holder *to_unpin_of; /* written while nothing is offered */

static void unpin_what_is_offered(int signo)
{
	(void)signo;
	struct folio *offered = atomic_exchange(&to_unpin, NULL);
	if (offered)
		folio_unpin(offered, to_unpin_of, FOLIO_PIN_LOCAL);
}

/* Its requests and puts count pages in the thread's own slot, with plain instructions. */
static void *count_all_the_time(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		struct folio *mine = NULL;
		if (pgmap_request_folio(pgmap, 7, 0, &mine) != 0)
			atomic_fetch_add(&failed, 1);
		else
			folio_put(mine);
	}
	return NULL;
}

static void c3_24_the_last_unpin_may_be_a_handlers(void **state)
{
	(void)state;
	struct sigaction action = {.sa_handler = unpin_what_is_offered};
	pthread_t thread;
	pgmap = make_generic(PUD_PAGES);
	holder = make_holder(pgmap, "interrupted");
	sigemptyset(&action.sa_mask);
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&thread, NULL, count_all_the_time, NULL), 0);
	for (unsigned i = 0; i < LAST_UNPINS; i++) {
		struct folio *once;
		while (pgmap_request_folio(pgmap, 4096, 0, &once) != 0)
			sched_yield(); /* the handler's release of the former one is not over */
		to_unpin_of = i % 2 ? holder : NULL;
		assert_int_equal(folio_pin(once, to_unpin_of, FOLIO_PIN_LOCAL), 0);
		folio_put(once);
		atomic_store(&to_unpin, once);
		assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
		while (atomic_load(&to_unpin))
			sched_yield();
	}
	atomic_store(&stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(atomic_load(&failed), 0);
	assert_int_equal(pgmap_holder_end(holder), 0);
	end_pgmap(pgmap); /* wants the count to be 0 */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c3_24_pin_and_unpin_in_handlers_that_interrupt_the_same),
		cmocka_unit_test(c3_24_the_last_unpin_may_be_a_handlers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
