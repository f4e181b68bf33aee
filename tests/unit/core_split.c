/* SPDX-License-Identifier: BSD-3-Clause */
/* Splits: by the sole holder and by the owner of charged references; what is inherited, and what forbids it. */
#include "core_util.h"

#include <pthread.h>
#include <stdatomic.h>

static const struct {
	unsigned from, to;
} steps[] = {{1, 0}, {3, 1}, {8, 0}, {9, 8}, {9, 0}, {10, 9}, {17, 9}, {17, 12}, {18, 17}, {18, 9}, {18, 10}, {12, 5}};
enum { STEPS = sizeof(steps) / sizeof(steps[0]) };

static void expect_parts(struct pgmap *pgmap, uint64_t pgoff, unsigned from, unsigned to, uint64_t refs)
{
	for (uint64_t at = pgoff; at < pgoff + (UINT64_C(1) << from); at += UINT64_C(1) << to) {
		struct folio *part = find(pgmap, at + (UINT64_C(1) << to) - 1);
		assert_int_equal(folio_pgoff(part), at);
		assert_int_equal(folio_order(part), to);
		assert_int_equal(folio_refs(part), refs);
		assert_int_equal(folio_pins(part), 0);
	}
}

static void put_parts(struct pgmap *pgmap, uint64_t pgoff, unsigned from, unsigned to)
{
	for (uint64_t at = pgoff; at < pgoff + (UINT64_C(1) << from); at += UINT64_C(1) << to)
		folio_put(find(pgmap, at));
}

static void c3_18_the_sole_holder_gets_every_part_once(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(2 * PUD_PAGES);
	for (size_t i = 0; i < STEPS; i++) {
		uint64_t pgoff = PUD_PAGES;
		struct folio *folio = request(pgmap, pgoff, steps[i].from);
		assert_int_equal(folio_split(folio, steps[i].to), 0);
		assert_int_equal(pgmap_live_pages(pgmap), UINT64_C(1) << steps[i].from);
		expect_parts(pgmap, pgoff, steps[i].from, steps[i].to, 1);
		assert_int_equal(refused(pgmap, pgoff, steps[i].from), -EBUSY);
		put_parts(pgmap, pgoff, steps[i].from, steps[i].to);
		assert_int_equal(pgmap_live_pages(pgmap), 0);
		folio_put(request(pgmap, pgoff, steps[i].from)); /* merging needs no call */
	}
	end_pgmap(pgmap);
}

static void c3_18_what_is_held_no_more_is_busy(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	struct folio *folio = request(pgmap, 512, 9);
	folio_put(folio); /* by the last holder, before the owner came to split */
	assert_int_equal(folio_split(folio, 0), -EBUSY);
	folio_put(request(pgmap, 0, 18));
	end_pgmap(pgmap);
}

static void c3_18_a_gibibyte_falls_into_its_262144_pages(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(2 * PUD_PAGES);
	assert_int_equal(folio_split(request(pgmap, PUD_PAGES, 18), 0), 0);
	expect_parts(pgmap, PUD_PAGES, 18, 0, 1);
	assert_int_equal(pgmap_live_pages(pgmap), PUD_PAGES);
	put_parts(pgmap, PUD_PAGES, 18, 0);
	folio_put(request(pgmap, PUD_PAGES, 18));
	end_pgmap(pgmap);
}

static void c3_18_parts_are_split_again(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	struct folio *folio = request(pgmap, 0, 18);
	for (unsigned order = 18; order-- > 0;) {
		assert_int_equal(folio_split(folio, order), 0);
		folio = find(pgmap, 0);
		assert_int_equal(folio_order(folio), order);
	}
	folio_put(folio);
	for (unsigned order = 0; order < 18; order++)
		folio_put(find(pgmap, UINT64_C(1) << order));
	end_pgmap(pgmap);
}

static void c3_18_a_larger_order_is_invalid_and_the_same_is_nothing(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	struct folio *folio = request(pgmap, 512, 3);
	assert_int_equal(folio_split(folio, 4), -EINVAL);
	assert_int_equal(folio_split(folio, 18), -EINVAL);
	assert_int_equal(folio_split(folio, UINT32_MAX), -EINVAL);
	assert_int_equal(folio_split(folio, 3), 0);
	expect_parts(pgmap, 512, 3, 3, 1);
	folio_put(folio);
	end_pgmap(pgmap);
}

static void c3_18_with_somebody_else_or_a_pin_it_is_busy_and_nothing_changes(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(2 * PUD_PAGES);
	for (size_t i = 0; i < STEPS; i++) {
		struct pgmap_holder *holder = make_holder(pgmap, "holder");
		struct folio *folio = request(pgmap, 0, steps[i].from);
		folio_get(folio); /* two anonymous ones */
		assert_int_equal(folio_split(folio, steps[i].to), -EBUSY);
		assert_int_equal(folio_charge(folio, holder), 0); /* one of two is charged */
		assert_int_equal(folio_split(folio, steps[i].to), -EBUSY);
		folio_put(folio);
		assert_int_equal(folio_pin(folio, holder, FOLIO_PIN_LOCAL), 0); /* all charged, one a pin */
		assert_int_equal(folio_split(folio, steps[i].to), -EBUSY);
		folio_unpin(folio, holder, FOLIO_PIN_LOCAL);
		assert_int_equal(folio_pin(folio, NULL, FOLIO_PIN_REMOTE), 0);
		folio_put_holder(folio, holder);
		assert_int_equal(folio_split(folio, steps[i].to), -EBUSY); /* count 1, but it is a pin */
		assert_int_equal(folio_order(folio), steps[i].from);
		assert_ptr_equal(find(pgmap, (UINT64_C(1) << steps[i].from) - 1), folio);
		assert_int_equal(folio_refs(folio), 1);
		folio_unpin(folio, NULL, FOLIO_PIN_REMOTE);
		assert_int_equal(pgmap_holder_end(holder), 0);
		assert_int_equal(pgmap_live_pages(pgmap), 0);
		folio_put(request(pgmap, 0, 18));
	}
	end_pgmap(pgmap);
}

static void c3_18_charged_references_are_inherited_by_every_part(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(2 * PUD_PAGES);
	for (size_t i = 0; i < STEPS; i++) {
		struct pgmap_holder *a = make_holder(pgmap, "a"), *b = make_holder(pgmap, "b");
		struct pgmap_charge charge;
		uint64_t parts = UINT64_C(1) << (steps[i].from - steps[i].to), pages = UINT64_C(1) << steps[i].from;
		struct folio *folio = request(pgmap, PUD_PAGES, steps[i].from);
		assert_int_equal(folio_charge(folio, a), 0);
		assert_int_equal(folio_get_holder(folio, b), 0);
		assert_int_equal(folio_get_holder(folio, b), 0);
		assert_int_equal(folio_split(folio, steps[i].to), 0);
		expect_parts(pgmap, PUD_PAGES, steps[i].from, steps[i].to, 3);
		pgmap_holder_charge(a, &charge);
		assert_int_equal(charge.refs, parts);
		assert_int_equal(charge.pages, pages);
		pgmap_holder_charge(b, &charge);
		assert_int_equal(charge.refs, 2 * parts);
		assert_int_equal(charge.pages, pages);
		folio_put_holder(find(pgmap, PUD_PAGES), b);
		folio_put_holder(find(pgmap, PUD_PAGES + pages - 1), a);
		assert_int_equal(pgmap_holder_end(b), 0);
		assert_int_equal(pgmap_live_pages(pgmap), pages - (UINT64_C(1) << steps[i].to));
		assert_int_equal(pgmap_holder_end(a), 0);
		assert_int_equal(pgmap_live_pages(pgmap), 0);
	}
	end_pgmap(pgmap);
}

static void c3_18_a_charged_gibibyte_falls_into_its_pages(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	struct pgmap_holder *a = make_holder(pgmap, "a"), *b = make_holder(pgmap, "b");
	struct pgmap_charge charge;
	struct folio *folio = request(pgmap, 0, 18);
	assert_int_equal(folio_charge(folio, a), 0);
	assert_int_equal(folio_get_holder(folio, b), 0);
	assert_int_equal(folio_split(folio, 0), 0);
	pgmap_holder_charge(a, &charge);
	assert_int_equal(charge.refs, PUD_PAGES);
	pgmap_holder_charge(b, &charge);
	assert_int_equal(charge.pages, PUD_PAGES);
	assert_int_equal(folio_refs(find(pgmap, 12345)), 2);
	assert_int_equal(pgmap_holder_end(a), 0);
	assert_int_equal(pgmap_live_pages(pgmap), PUD_PAGES);
	assert_int_equal(pgmap_holder_end(b), 0);
	end_pgmap(pgmap);
}

static void c3_19_private_values_are_inherited_by_every_part(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(2 * PUD_PAGES);
	for (size_t i = 0; i < STEPS; i++) {
		struct folio *folio = request(pgmap, 0, steps[i].from);
		assert_int_equal(folio_set_private(folio, 0xabcd + i), 0);
		folio_get(folio);
		assert_int_equal(folio_split(folio, steps[i].to), -EBUSY);
		folio_put(folio);
		assert_int_equal(folio_private(folio), 0xabcd + i);
		assert_int_equal(folio_split(folio, steps[i].to), 0);
		for (uint64_t at = 0; at < UINT64_C(1) << steps[i].from; at += UINT64_C(1) << steps[i].to)
			assert_int_equal(folio_private(find(pgmap, at)), 0xabcd + i);
		put_parts(pgmap, 0, steps[i].from, steps[i].to);
	}
	end_pgmap(pgmap);
}

static void c3_19_after_a_split_the_next_folio_at_the_old_place_begins_at_0(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(2 * PUD_PAGES);
	for (size_t i = 0; i < STEPS; i++) {
		struct folio *folio = request(pgmap, 0, steps[i].from);
		assert_int_equal(folio_private(folio), 0);
		assert_int_equal(folio_set_private(folio, 7), 0);
		assert_int_equal(folio_split(folio, steps[i].to), 0);
		put_parts(pgmap, 0, steps[i].from, steps[i].to);
		for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++) {
			folio = request(pgmap, 0, order);
			assert_int_equal(folio_private(folio), 0);
			folio_put(folio);
		}
	}
	end_pgmap(pgmap);
}

static void c3_19_a_split_that_fails_leaves_no_private_value_behind(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	struct folio *folio = request(pgmap, 0, 9);
	assert_int_equal(folio_set_private(folio, 7), 0);
	folio_get(folio);
	assert_int_equal(folio_split(folio, 0), -EBUSY);
	folio_put(folio);
	folio_put(folio);
	for (uint64_t at = 0; at < 512; at++) {
		folio = request(pgmap, at, 0);
		assert_int_equal(folio_private(folio), 0);
		folio_put(folio);
	}
	end_pgmap(pgmap);
}

static unsigned freed;

static int count_free(struct folio *folio, void *owner)
{
	(void)folio;
	(void)owner;
	freed++;
	return PGMAP_FREE_IDLE;
}

static void c3_15_each_part_is_freed_once(void **state)
{
	(void)state;
	static const struct pgmap_ops ops = {.ops_bytes = sizeof(ops), .folio_free = count_free};
	struct pgmap *pgmap = make_pgmap(PGMAP_GENERIC, PUD_PAGES, &ops, NULL);
	for (size_t i = 0; i < STEPS; i++) {
		freed = 0;
		assert_int_equal(folio_split(request(pgmap, 0, steps[i].from), steps[i].to), 0);
		put_parts(pgmap, 0, steps[i].from, steps[i].to);
		assert_int_equal(freed, 1u << (steps[i].from - steps[i].to));
	}
	end_pgmap(pgmap);
}

static void c3_18_a_split_works_on_a_dying_pgmap(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	struct folio *folio = request(pgmap, 0, 10);
	assert_int_equal(pgmap_kill(pgmap), 0);
	assert_int_equal(folio_split(folio, 8), 0);
	assert_int_equal(pgmap_drain(pgmap, 0), -ETIMEDOUT);
	put_parts(pgmap, 0, 10, 8);
	end_pgmap(pgmap);
}

static _Atomic bool stop;
static unsigned missed;

/* Every page of [0, 512) is held all the time: no lookup may miss it, and what it finds covers the page. */
static void *look_up_all_the_time(void *arg)
{
	struct pgmap *pgmap = arg;
	for (uint64_t i = 0; !atomic_load(&stop); i++) {
		uint64_t at = i * 37 % 512;
		struct folio *folio;
		if (pgmap_get_folio(pgmap, at, &folio) != 0) {
			missed++;
			continue;
		}
		uint64_t pgoff = folio_pgoff(folio);
		missed += pgoff > at || at >= pgoff + folio_pages(folio);
		folio_put(folio);
	}
	return NULL;
}

static void c3_13_lookups_miss_nothing_while_it_is_split(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(1024);
	pthread_t thread;
	(void)request(pgmap, 0, 9);
	assert_int_equal(pthread_create(&thread, NULL, look_up_all_the_time, pgmap), 0);
	for (unsigned order = 9; order-- > 0;)
		for (uint64_t at = 0; at < 512; at += UINT64_C(2) << order)
			while (folio_split(find(pgmap, at), order) != 0)
				; /* a lookup had a reference */
	atomic_store(&stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(missed, 0);
	put_parts(pgmap, 0, 9, 0);
	end_pgmap(pgmap);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(c3_18_the_sole_holder_gets_every_part_once),
		TEST(c3_18_what_is_held_no_more_is_busy),
		TEST(c3_18_a_gibibyte_falls_into_its_262144_pages),
		TEST(c3_18_parts_are_split_again),
		TEST(c3_18_a_larger_order_is_invalid_and_the_same_is_nothing),
		TEST(c3_18_with_somebody_else_or_a_pin_it_is_busy_and_nothing_changes),
		TEST(c3_18_charged_references_are_inherited_by_every_part),
		TEST(c3_18_a_charged_gibibyte_falls_into_its_pages),
		TEST(c3_19_private_values_are_inherited_by_every_part),
		TEST(c3_19_after_a_split_the_next_folio_at_the_old_place_begins_at_0),
		TEST(c3_19_a_split_that_fails_leaves_no_private_value_behind),
		TEST(c3_15_each_part_is_freed_once),
		TEST(c3_18_a_split_works_on_a_dying_pgmap),
		TEST(c3_13_lookups_miss_nothing_while_it_is_split),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
