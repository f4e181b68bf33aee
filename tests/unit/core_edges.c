/* SPDX-License-Identifier: BSD-3-Clause */
/* At the edges of the calls: the last sizes that fit, owners with some callbacks, calls from within a callback, and what the
 * short ways of requests leave to the long one. */
#include "core_util.h"

#include <pthread.h>

#include "port/slot.h"

static int create(const struct pgmap_range *ranges, size_t nranges)
{
	struct pgmap_params params = {.params_bytes = sizeof(params),
				      .type = PGMAP_GENERIC,
				      .ranges = ranges,
				      .nranges = nranges,
				      .name = "edge"};
	struct pgmap *pgmap = NULL;
	int r = pgmap_create(&params, &pgmap);
	assert_int_equal(r == 0, pgmap != NULL);
	if (r == -ENOMEM) /* as many pages are allowed, whether or not there is room for their words */
		return 0;
	if (pgmap)
		end_pgmap(pgmap);
	return r;
}

static void c2_14_ranges_that_pass_the_end_of_addresses_or_the_most_pages_are_refused(void **state)
{
	(void)state;
	const uint64_t page = PGMAP_PAGE_SIZE, most = PGMAP_MAX_PAGES * page;
	assert_int_equal(create((struct pgmap_range[]){{UINT64_MAX - page + 1, page}}, 1), -EINVAL);
	assert_int_equal(create((struct pgmap_range[]){{UINT64_MAX - page + 1, 2 * page}}, 1), -EINVAL);
	assert_int_equal(create((struct pgmap_range[]){{UINT64_MAX - 2 * page + 1, page}}, 1), 0);
	assert_int_equal(create((struct pgmap_range[]){{0, most}}, 1), 0);
	assert_int_equal(create((struct pgmap_range[]){{0, most + page}}, 1), -EINVAL);
	assert_int_equal(create((struct pgmap_range[]){{0, page}, {page, most - page}}, 2), 0);
	assert_int_equal(create((struct pgmap_range[]){{0, page}, {page, most}}, 2), -EINVAL);
	assert_int_equal(create((struct pgmap_range[]){{0, 2 * page}, {2 * page, most - page}}, 2), -EINVAL);
}

static unsigned moves;

static int count_moves(struct folio *folio, void *owner)
{
	(void)folio;
	(void)owner;
	moves++;
	return 0;
}

static void c3_22_an_owner_with_other_callbacks_than_folio_free_keeps_nothing(void **state)
{
	(void)state;
	static const struct pgmap_ops ops = {.ops_bytes = sizeof(ops), .migrate_to_ram = count_moves};
	struct pgmap *pgmap = make_pgmap(PGMAP_GENERIC, 16, &ops, NULL);
	folio_put(request(pgmap, 4, 2));
	folio_put(request(pgmap, 4, 2));
	assert_int_equal(moves, 0);
	end_pgmap(pgmap);
}

static struct pgmap_holder *ending;
static int64_t answers[2];

static int end_again(struct folio *folio, void *owner)
{
	(void)folio;
	(void)owner;
	answers[0] = pgmap_holder_end(ending);
	answers[1] = pgmap_holder_fence(ending);
	return PGMAP_FREE_IDLE;
}

static void c4_2_the_end_of_a_holder_that_is_ending_is_busy(void **state)
{
	(void)state;
	static const struct pgmap_ops ops = {.ops_bytes = sizeof(ops), .folio_free = end_again};
	struct pgmap *pgmap = make_pgmap(PGMAP_GENERIC, 16, &ops, NULL);
	ending = make_holder(pgmap, "ending");
	assert_int_equal(folio_charge(request(pgmap, 4, 2), ending), 0);
	assert_int_equal(pgmap_holder_end(ending), 0);
	assert_int_equal(answers[0], -EBUSY);
	assert_int_equal(answers[1], -EBUSY);
	end_pgmap(pgmap);
}

static void c7_5_a_fence_leaves_what_living_holders_have(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(16);
	struct pgmap_holder *dead = make_holder(pgmap, "dead"), *alive = make_holder(pgmap, "alive");
	struct folio *folio = request(pgmap, 4, 2);
	assert_int_equal(folio_charge(folio, alive), 0);
	assert_int_equal(folio_pin(folio, dead, FOLIO_PIN_REMOTE), 0);
	assert_int_equal(pgmap_holder_end(dead), 4);
	assert_int_equal(pgmap_holder_fence(dead), 0);
	assert_int_equal(folio_refs(folio), 1);
	assert_int_equal(folio_pins(folio), 0);
	folio_put_holder(folio, alive); /* nothing is quarantined: the mark went with the fence */
	folio_put(request(pgmap, 4, 2));
	end_pgmap(pgmap);
}

static void c3_4_the_short_ways_refuse_what_the_long_one_does(void **state)
{
	(void)state;
	const unsigned orders[] = {PGMAP_ORDER_PTE, PGMAP_ORDER_PMD, PGMAP_ORDER_PUD};
	struct pgmap *pgmap = make_generic(2 * PUD_PAGES);
	folio_put(request(pgmap, 0, 0)); /* this thread has a slot */
	for (unsigned i = 0; i < 3; i++) {
		struct folio *folio;
		assert_int_equal(pgmap_request_folio(NULL, 0, orders[i], &folio), -EINVAL);
		assert_int_equal(pgmap_request_folio(pgmap, 0, orders[i], NULL), -EINVAL);
		assert_int_equal(refused(pgmap, 2 * PUD_PAGES, orders[i]), -ERANGE);
		folio_put(request(pgmap, PUD_PAGES, orders[i])); /* its word is free, and its parent OPEN */
		if (orders[i])
			assert_int_equal(refused(pgmap, PUD_PAGES + 1, orders[i]), -EINVAL);
	}
	assert_int_equal(pgmap_kill(pgmap), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(refused(pgmap, 0, orders[i]), -ENODEV);
	assert_int_equal(pgmap_drain(pgmap, 0), 0);
	assert_int_equal(pgmap_destroy(pgmap), 0);
}

/* Its block is open, and the page before the first one of the range is in it. */
static void c3_3_the_short_ways_begin_where_the_first_range_does(void **state)
{
	(void)state;
	for (uint64_t first = 1; first < 1024; first = 2 * first + 1) {
		struct pgmap_range range = {first * PGMAP_PAGE_SIZE, 1024 * PGMAP_PAGE_SIZE};
		struct pgmap_params params = {.params_bytes = sizeof(params),
					      .type = PGMAP_GENERIC,
					      .ranges = &range,
					      .nranges = 1,
					      .name = "late"};
		struct pgmap *pgmap;
		assert_int_equal(pgmap_create(&params, &pgmap), 0);
		folio_put(request(pgmap, first, 0));
		assert_int_equal(refused(pgmap, first - 1, 0), -ERANGE);
		assert_int_equal(refused(pgmap, 0, PGMAP_ORDER_PMD), -ERANGE);
		folio_put(request(pgmap, first + 1023, 0));
		assert_int_equal(refused(pgmap, first + 1024, 0), -ERANGE);
		end_pgmap(pgmap);
	}
}

struct first {
	struct pgmap *pgmap;
	unsigned order;
	bool had_slot;
	int r;
};

static void *request_first(void *arg)
{
	struct first *first = arg;
	struct folio *folio;
	first->had_slot = port_slot_plus_one != 0;
	first->r = pgmap_request_folio(first->pgmap, 0, first->order, &folio);
	if (first->r == 0)
		folio_put(folio);
	return NULL;
}

static void c3_1_the_first_call_of_a_thread_may_be_a_request_of_any_order(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++) {
		struct first first = {pgmap, order, true, -1};
		pthread_t thread;
		assert_int_equal(pthread_create(&thread, NULL, request_first, &first), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_false(first.had_slot);
		assert_int_equal(first.r, 0);
	}
	end_pgmap(pgmap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c2_14_ranges_that_pass_the_end_of_addresses_or_the_most_pages_are_refused),
		cmocka_unit_test(c3_22_an_owner_with_other_callbacks_than_folio_free_keeps_nothing),
		cmocka_unit_test(c4_2_the_end_of_a_holder_that_is_ending_is_busy),
		cmocka_unit_test(c7_5_a_fence_leaves_what_living_holders_have),
		cmocka_unit_test(c3_4_the_short_ways_refuse_what_the_long_one_does),
		cmocka_unit_test(c3_3_the_short_ways_begin_where_the_first_range_does),
		cmocka_unit_test(c3_1_the_first_call_of_a_thread_may_be_a_request_of_any_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
