/* SPDX-License-Identifier: BSD-3-Clause */
/* Pin and unpin in a signal handler, which interrupts its thread in the middle of the same, and of requests and puts. */
#include "core_util.h"

#include <pthread.h>
#include <stdatomic.h>

enum { SIGNALS = 4000, SIGNALLED_ENOUGH = 200 };

static struct pgmap *pgmap;
static struct folio *folio;
static struct pgmap_holder *holder;
static _Atomic unsigned handled, failed, frees;
static _Atomic bool stop;

static int count_free(struct folio *f, void *owner)
{
	(void)f;
	(void)owner;
	atomic_fetch_add(&frees, 1);
	return PGMAP_FREE_IDLE;
}

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

static void unpin_in_handler(int signo)
{
	(void)signo;
	folio_unpin(folio, NULL, FOLIO_PIN_LOCAL);
	atomic_fetch_add(&handled, 1);
}

/* The live count is right though handlers release folios in the middle of their thread's own counting. */
static void c3_24_the_last_unpin_may_be_a_handlers(void **state)
{
	(void)state;
	static const struct pgmap_ops ops = {.ops_bytes = sizeof(ops), .folio_free = count_free};
	struct sigaction action = {.sa_handler = unpin_in_handler};
	pthread_t thread;
	pgmap = make_pgmap(PGMAP_FSDAX, PUD_PAGES, &ops, NULL);
	folio = request(pgmap, 512, 9);
	holder = make_holder(pgmap, "interrupted");
	sigemptyset(&action.sa_mask);
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	atomic_store(&stop, false);
	struct folio *kept = folio; /* what the thread pins all the time */
	assert_int_equal(pthread_create(&thread, NULL, work, NULL), 0);
	for (unsigned i = 0; i < 500; i++) {
		struct folio *once = request(pgmap, 4096 + i, 0);
		assert_int_equal(folio_pin(kept, NULL, FOLIO_PIN_LOCAL), 0);
		unsigned before = atomic_load(&handled);
		assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
		while (atomic_load(&handled) == before)
			sched_yield();
		folio_put(once);
	}
	/* And now the very last: the thread holds nothing between its rounds, and may be interrupted anywhere. */
	atomic_store(&stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(folio_pin(folio, NULL, FOLIO_PIN_LOCAL), 0);
	folio_put(folio);
	unsigned before = atomic_load(&frees);
	assert_int_equal(raise(SIGUSR1), 0);
	assert_int_equal(atomic_load(&frees), before + 1);
	assert_int_equal(atomic_load(&failed), 0);
	assert_int_equal(pgmap_holder_end(holder), 0);
	end_pgmap(pgmap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c3_24_pin_and_unpin_in_handlers_that_interrupt_the_same),
		cmocka_unit_test(c3_24_the_last_unpin_may_be_a_handlers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
