/* SPDX-License-Identifier: BSD-3-Clause */
/* Poison stops requests of every shape, and nothing else; its ranges merge, and are cut, as an array of pages would. */
#include "core_util.h"

#include "core/map.h"

enum { MODEL_PAGES = 96, ROUNDS = 20000 };

static int count_ranges(uint64_t pgoff, uint64_t npages, void *arg)
{
	uint64_t *n = arg;
	(void)pgoff;
	(void)npages;
	++*n;
	return 0;
}

static uint64_t nranges(struct pgmap *pgmap)
{
	uint64_t n = 0;
	assert_int_equal(pgmap_for_each_poisoned(pgmap, count_ranges, &n), 0);
	return n;
}

static void c3_5_a_poisoned_page_stops_every_request_over_it(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(2 * PUD_PAGES);
	assert_int_equal(pgmap_poison(pgmap, 700, 1), 0);
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++) {
		uint64_t head = 700 >> order << order;
		assert_int_equal(refused(pgmap, head, order), -EHWPOISON);
		if (order < PGMAP_MAX_ORDER)
			folio_put(request(pgmap, head ^ (UINT64_C(1) << order), order)); /* its buddy is good */
	}
	folio_put(request(pgmap, 699, 0));
	folio_put(request(pgmap, 701, 0));
	folio_put(request(pgmap, PUD_PAGES, PGMAP_ORDER_PUD));
	assert_int_equal(pgmap_clear_poison(pgmap, 700, 1), 0);
	folio_put(request(pgmap, 700, 0));
	folio_put(request(pgmap, 0, PGMAP_ORDER_PUD));
	end_pgmap(pgmap);
}

/* Whatever else keeps requests from their short ways, poison does not when there is none. */
static void c3_5_without_poison_requests_are_as_before(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(2 * PUD_PAGES);
	uint64_t ways[CLAIM_LEVELS];
	for (unsigned level = 0; level < CLAIM_LEVELS; level++) {
		ways[level] = atomic_load(&pgmap->short_ways[level]);
		assert_int_equal(ways[level], 2 * PUD_PAGES - (UINT64_C(1) << (level * CLAIM_LEVEL_BITS)) + 1);
	}
	assert_int_equal(pgmap_poison(pgmap, 5, 1), 0);
	assert_int_not_equal(map_is(pgmap, SPECIAL_POISON), 0);
	for (unsigned level = 0; level < CLAIM_LEVELS; level++)
		assert_int_equal(atomic_load(&pgmap->short_ways[level]), 0);
	assert_int_equal(pgmap_clear_poison(pgmap, 5, 1), 0);
	assert_int_equal(map_is(pgmap, SPECIAL_POISON), 0);
	for (unsigned level = 0; level < CLAIM_LEVELS; level++)
		assert_int_equal(atomic_load(&pgmap->short_ways[level]), ways[level]);
	end_pgmap(pgmap);
}

static int note_only(uint64_t pgoff, uint64_t npages, void *arg)
{
	uint64_t *only = arg;
	assert_int_equal(only[1], 0);
	assert_int_not_equal(npages, 0);
	only[0] = pgoff;
	only[1] = npages;
	return 0;
}

/* Whether any page is poisoned is counted, so each way of cutting and joining has to count right. */
static void c3_5_the_last_poisoned_page_is_known_to_be_the_last(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	static const struct {
		uint64_t poison[2][2], clear[2];
		uint64_t left[2]; /* the one range that is left */
	} cases[] = {
		{{{100, 50}, {140, 50}}, {110, 80}, {100, 10}}, /* joined, and its end cut off */
		{{{100, 10}, {100, 10}}, {50, 55}, {105, 5}},   /* twice; a cut from before it */
		{{{100, 10}, {104, 2}}, {100, 5}, {105, 5}},    /* within; a cut from its beginning */
		{{{100, 10}, {95, 30}}, {120, 50}, {95, 25}},   /* around; a cut beyond its end */
		{{{100, 10}, {200, 10}}, {100, 105}, {205, 5}}, /* one gone, the other cut */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t only[2] = {0, 0};
		for (size_t j = 0; j < 2; j++)
			assert_int_equal(pgmap_poison(pgmap, cases[i].poison[j][0], cases[i].poison[j][1]), 0);
		assert_int_equal(pgmap_clear_poison(pgmap, cases[i].clear[0], cases[i].clear[1]), 0);
		assert_int_equal(pgmap_for_each_poisoned(pgmap, note_only, only), 0);
		if (only[0] != cases[i].left[0] || only[1] != cases[i].left[1])
			fail_msg("case %zu: %" PRIu64 " + %" PRIu64, i, only[0], only[1]);
		assert_int_equal(poison_pages(&pgmap->poison), only[1]);
		assert_int_not_equal(map_is(pgmap, SPECIAL_POISON), 0);
		assert_int_equal(pgmap_clear_poison(pgmap, only[0], only[1]), 0);
		assert_int_equal(poison_pages(&pgmap->poison), 0);
		assert_int_equal(map_is(pgmap, SPECIAL_POISON), 0);
	}
	end_pgmap(pgmap);
}

static void c3_5_answers_are_checked_in_the_order_of_the_table(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(1024);
	struct folio *held = request(pgmap, 0, 0);
	assert_int_equal(pgmap_poison(pgmap, 0, 1024), 0);
	assert_int_equal(refused(pgmap, 0, 0), -EHWPOISON); /* before -EBUSY */
	assert_int_equal(refused(pgmap, 1, 1), -EINVAL);
	assert_int_equal(refused(pgmap, 1024, 0), -ERANGE);
	assert_int_equal(pgmap_kill(pgmap), 0);
	assert_int_equal(refused(pgmap, 0, 0), -ENODEV); /* before -EHWPOISON */
	assert_int_equal(pgmap_revive(pgmap), 0);
	assert_int_equal(pgmap_clear_poison(pgmap, 0, 1024), 0);
	assert_int_equal(refused(pgmap, 0, 0), -EBUSY);
	folio_put(held);
	end_pgmap(pgmap);
}

static void c3_5_what_is_held_over_poison_stays_held(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(1024);
	struct folio *folio = request(pgmap, 512, 9), *again;
	assert_int_equal(pgmap_poison(pgmap, 600, 2), 0);
	assert_int_equal(pgmap_get_folio(pgmap, 600, &again), 0);
	assert_ptr_equal(again, folio);
	assert_int_equal(folio_pin(folio, NULL, FOLIO_PIN_LOCAL), 0);
	folio_unpin(folio, NULL, FOLIO_PIN_LOCAL);
	folio_put(again);
	folio_put(folio);
	assert_int_equal(refused(pgmap, 512, 9), -EHWPOISON); /* it is a property of the pages, not of that folio */
	folio_put(request(pgmap, 512, 6));
	end_pgmap(pgmap);
}

static void c3_5_bad_arguments_change_nothing(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(1024);
	assert_int_equal(pgmap_poison(NULL, 0, 1), -EINVAL);
	assert_int_equal(pgmap_poison(pgmap, 0, 0), -EINVAL);
	assert_int_equal(pgmap_poison(pgmap, 1023, 2), -ERANGE);
	assert_int_equal(pgmap_poison(pgmap, UINT64_MAX, 1), -ERANGE);
	assert_int_equal(pgmap_poison(pgmap, 1, UINT64_MAX), -ERANGE);
	assert_int_equal(pgmap_clear_poison(NULL, 0, 1), -EINVAL);
	assert_int_equal(pgmap_clear_poison(pgmap, 0, 0), -EINVAL);
	assert_int_equal(pgmap_clear_poison(pgmap, 1024, 1), -ERANGE);
	assert_int_equal(pgmap_for_each_poisoned(NULL, count_ranges, NULL), -EINVAL);
	assert_int_equal(pgmap_for_each_poisoned(pgmap, NULL, NULL), -EINVAL);
	assert_int_equal(nranges(pgmap), 0);
	folio_put(request(pgmap, 0, 10));
	end_pgmap(pgmap);
}

struct expected {
	const bool *bad;
	uint64_t at;
	uint64_t nranges;
};

/* Each range is bad throughout, begins and ends where the model does, and comes after the one before. */
static int compare_range(uint64_t pgoff, uint64_t npages, void *arg)
{
	struct expected *e = arg;
	for (; e->at < pgoff; e->at++)
		assert_false(e->bad[e->at]);
	for (; e->at < pgoff + npages; e->at++)
		assert_true(e->bad[e->at]);
	if (e->at < MODEL_PAGES)
		assert_false(e->bad[e->at]); /* else it should have been one range with the next */
	e->nranges++;
	return 0;
}

static void c3_5_ranges_are_what_an_array_of_pages_says(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(MODEL_PAGES);
	bool bad[MODEL_PAGES] = {false};
	uint64_t seed = 2463534242, most = 0;
	for (unsigned round = 0; round < ROUNDS; round++) {
		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		uint64_t from = (seed >> 33) % MODEL_PAGES, n = 1 + (seed >> 43) % 12;
		n = n > MODEL_PAGES - from ? MODEL_PAGES - from : n;
		bool poison = (seed >> 60) % 2;
		assert_int_equal(poison ? pgmap_poison(pgmap, from, n) : pgmap_clear_poison(pgmap, from, n), 0);
		memset(bad + from, poison, n * sizeof(*bad));
		struct expected e = {.bad = bad};
		assert_int_equal(pgmap_for_each_poisoned(pgmap, compare_range, &e), 0);
		for (; e.at < MODEL_PAGES; e.at++)
			assert_false(bad[e.at]);
		most = e.nranges > most ? e.nranges : most;
		uint64_t probe = (seed >> 20) % MODEL_PAGES;
		struct folio *folio;
		int r = pgmap_request_folio(pgmap, probe, 0, &folio);
		assert_int_equal(r, bad[probe] ? -EHWPOISON : 0);
		if (r == 0)
			folio_put(folio);
	}
	assert_true(most > 5); /* the model has been to where ranges are many */
	end_pgmap(pgmap);
}

static int stop_at_second(uint64_t pgoff, uint64_t npages, void *arg)
{
	uint64_t *n = arg;
	(void)npages;
	return ++*n == 2 ? (int)pgoff : 0;
}

static void the_walk_ends_with_the_answer_of_fn(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(1024);
	uint64_t n = 0;
	assert_int_equal(pgmap_poison(pgmap, 10, 1), 0);
	assert_int_equal(pgmap_poison(pgmap, 20, 1), 0);
	assert_int_equal(pgmap_poison(pgmap, 30, 1), 0);
	assert_int_equal(pgmap_for_each_poisoned(pgmap, stop_at_second, &n), 20);
	assert_int_equal(n, 2);
	end_pgmap(pgmap);
}

static void a_new_pgmap_has_no_poison_of_an_old_one(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(1024);
	assert_int_equal(pgmap_poison(pgmap, 0, 1024), 0);
	end_pgmap(pgmap);
	pgmap = make_generic(1024); /* the same struct, most likely */
	assert_int_equal(nranges(pgmap), 0);
	folio_put(request(pgmap, 0, 10));
	end_pgmap(pgmap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c3_5_a_poisoned_page_stops_every_request_over_it),
		cmocka_unit_test(c3_5_answers_are_checked_in_the_order_of_the_table),
		cmocka_unit_test(c3_5_what_is_held_over_poison_stays_held),
		cmocka_unit_test(c3_5_bad_arguments_change_nothing),
		cmocka_unit_test(c3_5_ranges_are_what_an_array_of_pages_says),
		cmocka_unit_test(the_walk_ends_with_the_answer_of_fn),
		cmocka_unit_test(a_new_pgmap_has_no_poison_of_an_old_one),
		cmocka_unit_test(c3_5_without_poison_requests_are_as_before),
		cmocka_unit_test(c3_5_the_last_poisoned_page_is_known_to_be_the_last),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
