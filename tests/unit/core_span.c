/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of several folios at once: the fewest that cover a span, all or none, against each other and single requests. */
#include <pthread.h>
#include <stdatomic.h>

#include "core_util.h"

enum { SPAN_PAGES = 64, THREADS = 3, TURNS = 4000 };

/* The fewest aligned folios that cover [from, to), by trying all: nothing of the greedy rule is in it. */
static size_t fewest(uint64_t from, uint64_t to)
{
	size_t best[SPAN_PAGES + 1];
	best[to] = 0;
	for (uint64_t at = to; at-- > from;) {
		best[at] = SIZE_MAX;
		for (uint64_t n = 1; at % n == 0 && at + n <= to; n *= 2)
			if (best[at + n] + 1 < best[at])
				best[at] = best[at + n] + 1;
	}
	return best[from];
}

static void c3_12_the_fewest_aligned_folios_cover_the_span_exactly(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(SPAN_PAGES);
	for (uint64_t from = 0; from < SPAN_PAGES; from++)
		for (uint64_t to = from + 1; to <= SPAN_PAGES; to++) {
			struct folio *folios[SPAN_PAGES + 1] = {NULL};
			size_t n = 0;
			assert_int_equal(pgmap_request_folios(pgmap, from, to - from, folios, &n), 0);
			assert_int_equal(n, fewest(from, to));
			assert_int_equal(n, pgmap_folios_in(from, to - from));
			assert_null(folios[n]); /* no further than it said */
			assert_int_equal(pgmap_live_pages(pgmap), to - from);
			uint64_t at = from;
			for (size_t i = 0; i < n; at += folio_pages(folios[i]), i++) {
				assert_int_equal(folio_pgoff(folios[i]), at);
				assert_int_equal(folio_refs(folios[i]), 1);
			}
			assert_int_equal(at, to);
			for (size_t i = 0; i < n; i++)
				folio_put(folios[i]);
		}
	end_pgmap(pgmap);
}

static void c3_12_a_span_over_all_levels(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(4 * PUD_PAGES);
	struct folio *folios[64];
	size_t n;
	uint64_t from = PUD_PAGES - PMD_PAGES - 3, to = 3 * PUD_PAGES + PMD_PAGES + 5;
	assert_int_equal(pgmap_request_folios(pgmap, from, to - from, folios, &n), 0);
	/* 1 + 2 pages, 2 MiB; two of 1 GiB; 2 MiB, 4 + 1 pages */
	const unsigned orders[] = {0, 1, 9, 18, 18, 9, 2, 0};
	assert_int_equal(n, sizeof(orders) / sizeof(orders[0]));
	for (size_t i = 0; i < n; i++)
		assert_int_equal(folio_order(folios[i]), orders[i]);
	assert_int_equal(refused(pgmap, 0, 18), -EBUSY);
	assert_int_equal(pgmap_live_pages(pgmap), to - from);
	for (size_t i = 0; i < n; i++)
		folio_put(folios[i]);
	folio_put(request(pgmap, 0, 18));
	end_pgmap(pgmap);
}

/* The error of a span that must be refused, and touch nothing. */
static int span_refused(struct pgmap *pgmap, uint64_t pgoff, uint64_t npages)
{
	struct folio *untouched = (struct folio *)(uintptr_t)0x5a5a, *folios[SPAN_PAGES] = {untouched};
	size_t n = 77;
	uint64_t live = pgmap_live_pages(pgmap);
	int r = pgmap_request_folios(pgmap, pgoff, npages, folios, &n);
	assert_ptr_equal(folios[0], untouched);
	assert_int_equal(n, 77);
	assert_int_equal(pgmap_live_pages(pgmap), live);
	return r;
}

static void c3_12_errors_are_those_of_the_table_in_its_order(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(SPAN_PAGES);
	struct folio *one[1];
	size_t n;
	assert_int_equal(pgmap_request_folios(NULL, 0, 1, one, &n), -EINVAL);
	assert_int_equal(pgmap_request_folios(pgmap, 0, 1, NULL, &n), -EINVAL);
	assert_int_equal(pgmap_request_folios(pgmap, 0, 1, one, NULL), -EINVAL);
	assert_int_equal(span_refused(pgmap, 3, 0), -EINVAL);
	assert_int_equal(span_refused(pgmap, 3, SPAN_PAGES - 2), -ERANGE);
	assert_int_equal(span_refused(pgmap, UINT64_MAX, 2), -ERANGE);
	assert_int_equal(span_refused(pgmap, 2, UINT64_MAX), -ERANGE);
	struct folio *held = request(pgmap, 40, 0);
	assert_int_equal(pgmap_poison(pgmap, 41, 1), 0);
	assert_int_equal(span_refused(pgmap, 3, 50), -EHWPOISON);
	assert_int_equal(span_refused(pgmap, 3, 38), -EBUSY);
	assert_int_equal(pgmap_kill(pgmap), 0);
	assert_int_equal(span_refused(pgmap, 3, 50), -ENODEV);
	assert_int_equal(pgmap_revive(pgmap), 0);
	folio_put(held);
	end_pgmap(pgmap);
}

static void c3_12_a_span_does_not_cross_from_one_range_into_another(void **state)
{
	(void)state;
	struct pgmap_range ranges[] = {{0, 16 * PGMAP_PAGE_SIZE}, {PUD_PAGES * PGMAP_PAGE_SIZE, 16 * PGMAP_PAGE_SIZE}};
	struct pgmap_params params = {
		.params_bytes = sizeof(params), .type = PGMAP_GENERIC, .ranges = ranges, .nranges = 2};
	struct pgmap *pgmap;
	assert_int_equal(pgmap_create(&params, &pgmap), 0);
	assert_int_equal(span_refused(pgmap, 8, 16), -ERANGE);
	assert_int_equal(span_refused(pgmap, 8, PUD_PAGES), -ERANGE);
	struct folio *folios[4];
	size_t n;
	assert_int_equal(pgmap_request_folios(pgmap, PUD_PAGES + 1, 3, folios, &n), 0);
	assert_int_equal(n, 2);
	folio_put(folios[0]);
	folio_put(folios[1]);
	end_pgmap(pgmap);
}

/* c3.11, c3.15: nothing was ever given out, so nothing is freed. */
static int count_free(struct folio *folio, void *owner)
{
	(void)folio;
	atomic_fetch_add((atomic_uint *)owner, 1);
	return PGMAP_FREE_IDLE;
}

static void c3_11_a_span_that_fails_has_freed_and_held_nothing(void **state)
{
	(void)state;
	static const struct pgmap_ops ops = {.ops_bytes = sizeof(ops), .folio_free = count_free};
	atomic_uint freed = 0;
	struct pgmap *pgmap = make_pgmap(PGMAP_GENERIC, 2 * PMD_PAGES, &ops, &freed);
	struct folio *last = request(pgmap, 2 * PMD_PAGES - 1, 0), *found;
	assert_int_equal(span_refused(pgmap, 1, 2 * PMD_PAGES - 1), -EBUSY);
	assert_int_equal(atomic_load(&freed), 0);
	for (uint64_t at = 0; at < 2 * PMD_PAGES - 1; at++)
		assert_int_equal(pgmap_get_folio(pgmap, at, &found), -ENOENT);
	folio_put(last);
	folio_put(request(pgmap, 0, 10));
	end_pgmap(pgmap);
}

/* Each page has one owner at a time; all threads want spans that overlap, and single folios across them. */
static _Atomic unsigned owner_of[SPAN_PAGES];
static atomic_uint granted;
static struct pgmap *shared;

static void own(uint64_t from, uint64_t n, unsigned before, unsigned after)
{
	for (uint64_t at = from; at < from + n; at++)
		assert_int_equal(atomic_exchange(&owner_of[at], after), before);
}

static void *want_spans(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	uint64_t seed = me;
	for (unsigned turn = 0; turn < TURNS; turn++) {
		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		unsigned order = (unsigned)((seed >> 50) % 6);
		uint64_t from = (seed >> 33) % SPAN_PAGES, n = 1 + (seed >> 41) % (SPAN_PAGES - from);
		struct folio *folios[SPAN_PAGES];
		size_t count = 1;
		bool single = (seed >> 60) % 4 == 0;
		if (single) {
			from = from >> order << order;
			n = UINT64_C(1) << order;
		}
		int r = single ? pgmap_request_folio(shared, from, order, folios)
			       : pgmap_request_folios(shared, from, n, folios, &count);
		if (r) {
			assert_int_equal(r, -EBUSY);
			continue;
		}
		own(from, n, 0, me);
		atomic_fetch_add(&granted, 1);
		own(from, n, me, 0);
		for (size_t i = 0; i < count; i++)
			folio_put(folios[i]);
	}
	return NULL;
}

static void c3_9_spans_and_folios_that_overlap_never_both_succeed(void **state)
{
	(void)state;
	shared = make_generic(SPAN_PAGES);
	pthread_t threads[THREADS];
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, want_spans, (void *)(i + 1)), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_true(atomic_load(&granted) > TURNS);
	end_pgmap(shared);
}

static void c3_12_no_folio_of_a_span_is_larger_than_the_largest(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(4 * PUD_PAGES);
	struct folio *folios[5] = {NULL};
	size_t n = 0;
	assert_int_equal(pgmap_folios_in(0, 4 * PUD_PAGES), 4);
	assert_int_equal(pgmap_request_folios(pgmap, 0, 4 * PUD_PAGES, folios, &n), 0);
	assert_int_equal(n, 4);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(folio_order(folios[i]), PGMAP_ORDER_PUD);
		assert_int_equal(folio_pgoff(folios[i]), i * PUD_PAGES);
		folio_put(folios[i]);
	}
	end_pgmap(pgmap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c3_12_the_fewest_aligned_folios_cover_the_span_exactly),
		cmocka_unit_test(c3_12_a_span_over_all_levels),
		cmocka_unit_test(c3_12_no_folio_of_a_span_is_larger_than_the_largest),
		cmocka_unit_test(c3_12_errors_are_those_of_the_table_in_its_order),
		cmocka_unit_test(c3_12_a_span_does_not_cross_from_one_range_into_another),
		cmocka_unit_test(c3_11_a_span_that_fails_has_freed_and_held_nothing),
		cmocka_unit_test(c3_9_spans_and_folios_that_overlap_never_both_succeed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
