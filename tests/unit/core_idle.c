/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether pages are idle: what a request would find, whatever the pgmap's state and what is poisoned; nothing is taken. */
#include "core_util.h"

#include "core/map.h"

static const struct {
	uint64_t pgoff;
	unsigned order;
} held[] = {{0, 0},     {1, 0},     {8, 3},       {256, 8},     {512, 9},    {4096, 12},
	    {8192, 13}, {65536, 4}, {131072, 17}, {262144, 18}, {524293, 0}, {786432, 18}};
enum { N = sizeof(held) / sizeof(held[0]), PAGES = 4 * 262144 };

static bool is_held(uint64_t pgoff, unsigned order)
{
	for (size_t i = 0; i < N; i++)
		if (held[i].pgoff < pgoff + (UINT64_C(1) << order) &&
		    held[i].pgoff + (UINT64_C(1) << held[i].order) > pgoff)
			return true;
	return false;
}

/* The spans of every order around the ends and the middle of every folio; and, to be idle, far from all. */
static void check_all(struct pgmap *pgmap)
{
	for (size_t i = 0; i < N; i++) {
		uint64_t at = held[i].pgoff, n = UINT64_C(1) << held[i].order;
		const uint64_t edges[] = {at ? at - 1 : 0, at, at + n / 2, at + n - 1, at + n};
		for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++) {
			for (size_t e = 0; e < 5; e++) {
				uint64_t pgoff = edges[e] >> order << order;
				if (pgoff >= PAGES)
					continue;
				assert_int_equal(pgmap_check_idle(pgmap, pgoff, order),
						 is_held(pgoff, order) ? -EBUSY : 0);
			}
		}
	}
}

static void c3_1_a_span_is_idle_where_no_folio_overlaps_it(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PAGES);
	struct folio *folios[N];
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++)
		assert_int_equal(pgmap_check_idle(pgmap, 0, order), 0);
	for (size_t i = 0; i < N; i++)
		folios[i] = request(pgmap, held[i].pgoff, held[i].order);
	check_all(pgmap);
	assert_int_equal(pgmap_poison(pgmap, 2, 1000), 0);
	check_all(pgmap);
	assert_int_equal(pgmap_kill(pgmap), 0);
	check_all(pgmap);
	for (size_t i = 0; i < N; i++)
		folio_put(folios[i]);
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++)
		assert_int_equal(pgmap_check_idle(pgmap, 0, order), 0);
	end_pgmap(pgmap);
}

static int ask_in_it(struct folio *folio, void *owner)
{
	int *answers = owner;
	struct pgmap *pgmap = folio_pgmap(folio);
	uint64_t pgoff = folio_pgoff(folio);
	answers[0] = pgmap_check_idle(pgmap, pgoff, folio_order(folio));
	answers[1] = pgmap_check_idle(pgmap, pgoff + folio_pages(folio) - 1, 0);
	answers[2] = pgmap_check_idle(pgmap, 0, PGMAP_MAX_ORDER);
	return PGMAP_FREE_KEEP;
}

static void c3_1_what_is_releasing_or_quarantined_is_not_idle(void **state)
{
	(void)state;
	static const struct pgmap_ops ops = {.ops_bytes = sizeof(ops), .folio_free = ask_in_it};
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order += 3) {
		int answers[3] = {0};
		struct pgmap *pgmap = make_pgmap(PGMAP_FSDAX, PUD_PAGES, &ops, answers);
		uint64_t pgoff = order == PGMAP_MAX_ORDER ? 0 : UINT64_C(1) << order;
		folio_put(request(pgmap, pgoff, order));
		for (int i = 0; i < 3; i++)
			assert_int_equal(answers[i], -EBUSY);
		assert_int_equal(pgmap_check_idle(pgmap, pgoff, order), -EBUSY);
		assert_int_equal(pgmap_check_idle(pgmap, pgoff, 0), -EBUSY);
		assert_int_equal(pgmap_release_quarantined(pgmap, pgoff), 0);
		assert_int_equal(pgmap_check_idle(pgmap, pgoff, order), 0);
		end_pgmap(pgmap);
	}
}

static void c3_1_the_parts_of_a_split_are_not_idle_until_each_is_put(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	assert_int_equal(folio_split(request(pgmap, 4096, 12), 2), 0);
	for (uint64_t pgoff = 4096; pgoff < 8192; pgoff += 4) {
		assert_int_equal(pgmap_check_idle(pgmap, pgoff + 3, 0), -EBUSY);
		assert_int_equal(pgmap_check_idle(pgmap, 4096, 12), -EBUSY);
		folio_put(find(pgmap, pgoff));
		assert_int_equal(pgmap_check_idle(pgmap, pgoff, 2), 0);
	}
	assert_int_equal(pgmap_check_idle(pgmap, 4096, 12), 0);
	assert_int_equal(pgmap_check_idle(pgmap, 0, 18), 0);
	end_pgmap(pgmap);
}

/* A larger request that is undecided has closed the way to what stands in it, or stands beside it. */
static void c3_1_what_lies_below_a_word_that_is_closing_is_not_idle(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	struct folio *folio = request(pgmap, 515, 0);
	word_t *parent = claim_word(&pgmap->tree, 1, 1);
	uint64_t open = word_load(parent);
	word_store(parent, word_make(WORD_CLOSING, 9, open & WORD_LOW_MASK));
	for (unsigned order = 0; order <= 9; order++) {
		assert_int_equal(pgmap_check_idle(pgmap, 515U >> order << order, order), -EBUSY);
		assert_int_equal(pgmap_check_idle(pgmap, (order == 9 ? 0U : 768U) >> order << order, order), 0);
	}
	word_store(parent, open);
	folio_put(folio);
	word_store(parent, word_make(WORD_CLAIM, 9, 0));
	assert_int_equal(pgmap_check_idle(pgmap, 512, 9), 0); /* as long as it is undecided */
	word_store(parent, open);
	end_pgmap(pgmap);
}

static void c3_2_the_arguments_are_those_of_a_request(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(1024);
	assert_int_equal(pgmap_check_idle(NULL, 0, 0), -EINVAL);
	assert_int_equal(pgmap_check_idle(pgmap, 0, PGMAP_MAX_ORDER + 1), -EINVAL);
	assert_int_equal(pgmap_check_idle(pgmap, 1, 1), -EINVAL);
	assert_int_equal(pgmap_check_idle(pgmap, 1024, 0), -ERANGE);
	assert_int_equal(pgmap_check_idle(pgmap, 0, 11), -ERANGE);
	assert_int_equal(pgmap_check_idle(pgmap, 0, PGMAP_MAX_ORDER), -ERANGE);
	assert_int_equal(pgmap_check_idle(pgmap, 1023, 0), 0);
	assert_int_equal(pgmap_check_idle(pgmap, 0, 10), 0);
	end_pgmap(pgmap);
}

static void c3_1_nothing_is_touched_below_what_is_not_open(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(64 * PUD_PAGES);
	struct folio *folio = request(pgmap, 0, 0);
	(void)pgmap_check_idle(pgmap, 0, 0);
	uint64_t faults = minor_faults();
	for (uint64_t i = 1; i < 64; i++) /* a page of level 1's words for each */
		assert_int_equal(pgmap_check_idle(pgmap, i * PUD_PAGES, 0), 0);
	for (uint64_t i = 1; i < 64; i++) /* and of level 0's */
		assert_int_equal(pgmap_check_idle(pgmap, i * 512, 0), 0);
	assert_true(minor_faults() - faults < 16);
	folio_put(folio);
	end_pgmap(pgmap);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(c3_1_a_span_is_idle_where_no_folio_overlaps_it),
		TEST(c3_1_what_is_releasing_or_quarantined_is_not_idle),
		TEST(c3_1_the_parts_of_a_split_are_not_idle_until_each_is_put),
		TEST(c3_1_what_lies_below_a_word_that_is_closing_is_not_idle),
		TEST(c3_2_the_arguments_are_those_of_a_request),
		TEST(c3_1_nothing_is_touched_below_what_is_not_open),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
