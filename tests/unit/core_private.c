/* SPDX-License-Identifier: BSD-3-Clause */
/* folio_private: 8 bytes of each folio's own, 0 at first, kept while it is held, and no memory before the first is set. */
#include <pthread.h>
#include <stdatomic.h>

#include "core_util.h"

#include "core/map.h"

/* The code under test, which says here when it is about to note in the pgmap that there are private words. */
static void (*_Atomic before_special)(void);

static void note_special(struct pgmap *pgmap, uint32_t special, bool on)
{
	void (*hook)(void) = atomic_exchange(&before_special, NULL);
	if (hook)
		hook();
	map_special(pgmap, special, on);
}

#define map_special note_special
#include "core/private.c" /* NOLINT(bugprone-suspicious-include): instead of the library's */
#undef map_special

enum { THREADS = 4, EACH = 600, ROUNDS = 50 };

static void c3_19_private_values_are_each_folios_own_and_cost_nothing_until_used(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(4 * PUD_PAGES);
	struct folio *folios[3] = {request(pgmap, 5, 0), request(pgmap, 1024, 9), request(pgmap, PUD_PAGES, 18)};
	assert_null(atomic_load(&pgmap->private_words));
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(folio_private(folios[i]), 0);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(folio_set_private(folios[i], ~i), 0);
	for (uint64_t i = 0; i < 3; i++)
		assert_true(folio_private(folios[i]) == ~i);
	for (uint64_t i = 0; i < 3; i++)
		folio_put(folios[i]);
	for (unsigned order = 0; order <= 18; order++) {
		struct folio *folio = request(pgmap, PUD_PAGES, order);
		assert_int_equal(folio_private(folio), 0);
		folio_put(folio);
	}
	end_pgmap(pgmap);
}

static void c3_19_what_a_put_ends_the_next_folio_does_not_see(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	struct folio *folio = request(pgmap, 512, 9);
	folio_get(folio);
	assert_int_equal(folio_set_private(folio, 4711), 0);
	folio_put(folio);
	assert_int_equal(folio_private(folio), 4711); /* while held */
	folio_put(folio);
	folio = request(pgmap, 512, 9);
	assert_int_equal(folio_private(folio), 0);
	folio_put(folio);
	end_pgmap(pgmap);
	pgmap = make_generic(PUD_PAGES); /* the same struct, most likely */
	assert_null(atomic_load(&pgmap->private_words));
	end_pgmap(pgmap);
}

static uint64_t seen_by_owner;

static int look(struct folio *folio, void *owner)
{
	(void)owner;
	seen_by_owner = folio_private(folio);
	return PGMAP_FREE_IDLE;
}

static void c3_19_the_owner_finds_it_when_it_gets_the_pages_back(void **state)
{
	(void)state;
	static const struct pgmap_ops ops = {.ops_bytes = sizeof(ops), .folio_free = look};
	struct pgmap *pgmap = make_pgmap(PGMAP_GENERIC, 16, &ops, NULL);
	struct folio *folio = request(pgmap, 8, 3);
	assert_int_equal(folio_set_private(folio, 815), 0);
	folio_put(folio);
	assert_int_equal(seen_by_owner, 815);
	folio = request(pgmap, 8, 3);
	folio_put(folio);
	assert_int_equal(seen_by_owner, 0);
	end_pgmap(pgmap);
}

static struct pgmap *shared;
static pthread_barrier_t together;

/* All threads set their first value at the same time: one of them makes the words, and all find theirs in them. */
static void *set_many(void *arg)
{
	uint64_t first = (uint64_t)(uintptr_t)arg * EACH;
	struct folio *folios[EACH];
	for (uint64_t i = 0; i < EACH; i++)
		folios[i] = request(shared, first + i, 0);
	(void)pthread_barrier_wait(&together);
	for (uint64_t i = 0; i < EACH; i++)
		assert_int_equal(folio_set_private(folios[i], ~(first + i)), 0);
	for (uint64_t i = 0; i < EACH; i++) {
		assert_true(folio_private(folios[i]) == ~(first + i));
		folio_put(folios[i]);
	}
	return NULL;
}

static void c3_19_threads_that_set_the_first_ones_at_once_all_keep_theirs(void **state)
{
	(void)state;
	assert_int_equal(pthread_barrier_init(&together, NULL, THREADS), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		pthread_t threads[THREADS];
		shared = make_generic(THREADS * EACH);
		for (uintptr_t i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, set_many, (void *)i), 0);
		for (unsigned i = 0; i < THREADS; i++)
			assert_int_equal(pthread_join(threads[i], NULL), 0);
		end_pgmap(shared);
	}
	assert_int_equal(pthread_barrier_destroy(&together), 0);
}

/* All of it while another thread is at its first set: what it sets is cleared by its own put. */
static void *set_and_put(void *arg)
{
	(void)arg;
	struct folio *folio = request(shared, 4096, 0);
	assert_int_equal(folio_set_private(folio, 7), 0);
	folio_put(folio);
	folio = request(shared, 4096, 0);
	assert_int_equal(folio_private(folio), 0);
	folio_put(folio);
	return NULL;
}

static void set_elsewhere(void)
{
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, set_and_put, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void c3_19_a_put_clears_what_was_set_while_the_words_were_made(void **state)
{
	(void)state;
	shared = make_generic(PUD_PAGES);
	struct folio *folio = request(shared, 0, 0);
	atomic_store(&before_special, set_elsewhere);
	assert_int_equal(folio_set_private(folio, 1), 0);
	assert_true(atomic_load(&before_special) == NULL);
	assert_int_equal(folio_private(folio), 1);
	folio_put(folio);
	end_pgmap(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c3_19_private_values_are_each_folios_own_and_cost_nothing_until_used),
		cmocka_unit_test(c3_19_what_a_put_ends_the_next_folio_does_not_see),
		cmocka_unit_test(c3_19_the_owner_finds_it_when_it_gets_the_pages_back),
		cmocka_unit_test(c3_19_a_put_clears_what_was_set_while_the_words_were_made),
		cmocka_unit_test(c3_19_threads_that_set_the_first_ones_at_once_all_keep_theirs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
