/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a folio: each answer of each call and their order, pins, private values, release and quarantine. */
#include "core_util.h"

#include <pthread.h>

#include "core/map.h"

enum { HANDOVERS = 20000 };

static void c3_2_invalid_arguments_come_first(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	struct folio *folio = NULL, *held = request(pgmap, 0, 1);
	assert_int_equal(pgmap_kill(pgmap), 0); /* dying, held and out of range as well: -EINVAL still */
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++) {
		assert_int_equal(pgmap_request_folio(NULL, 0, order, &folio), -EINVAL);
		assert_int_equal(pgmap_request_folio(pgmap, 0, order, NULL), -EINVAL);
		for (unsigned bit = 0; bit < order; bit++) {
			assert_int_equal(refused(pgmap, UINT64_C(1) << bit, order), -EINVAL);
			assert_int_equal(refused(pgmap, UINT64_C(1) << 40 | UINT64_C(1) << bit, order), -EINVAL);
		}
	}
	assert_int_equal(refused(pgmap, 0, PGMAP_MAX_ORDER + 1), -EINVAL);
	assert_int_equal(refused(pgmap, 0, 63), -EINVAL);
	assert_int_equal(refused(pgmap, 0, 64), -EINVAL);
	assert_int_equal(refused(pgmap, 0, UINT32_MAX), -EINVAL);
	assert_int_equal(pgmap_get_folio(NULL, 0, &folio), -EINVAL);
	assert_int_equal(pgmap_get_folio(pgmap, 0, NULL), -EINVAL);
	assert_int_equal(pgmap_find_folio(NULL, 0, &folio), -EINVAL);
	assert_int_equal(pgmap_find_folio(pgmap, 0, NULL), -EINVAL);
	assert_int_equal(pgmap_release_quarantined(NULL, 0), -EINVAL);
	assert_null(folio);
	folio_put(held);
	end_pgmap(pgmap);
}

static void c3_3_out_of_range_comes_before_dying_and_busy(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(1000); /* no multiple of any order but 3 */
	struct folio *held = request(pgmap, 992, 3), *folio = NULL;
	for (int dying = 0; dying < 2; dying++) {
		assert_int_equal(refused(pgmap, 1000, 0), -ERANGE);
		assert_int_equal(refused(pgmap, 1000, 3), -ERANGE);
		assert_int_equal(refused(pgmap, 992, 5), -ERANGE); /* busy too, but it leaves the range */
		assert_int_equal(refused(pgmap, 512, 9), -ERANGE);
		assert_int_equal(refused(pgmap, 0, 18), -ERANGE);
		assert_int_equal(refused(pgmap, UINT64_MAX, 0), -ERANGE);
		assert_int_equal(refused(pgmap, UINT64_MAX << 18, 18), -ERANGE);
		assert_int_equal(refused(pgmap, UINT64_MAX << 9, 9), -ERANGE);
		assert_int_equal(pgmap_get_folio(pgmap, 1000, &folio), -ERANGE);
		assert_int_equal(pgmap_find_folio(pgmap, UINT64_MAX, &folio), -ERANGE);
		assert_int_equal(pgmap_kill(pgmap), 0);
	}
	assert_null(folio);
	folio_put(held);
	assert_int_equal(pgmap_drain(pgmap, 0), 0);
	assert_int_equal(refused(pgmap, 1000, 0), -ERANGE); /* dead as well */
	assert_int_equal(pgmap_destroy(pgmap), 0);
}

static void c3_4_dying_comes_before_busy(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(2 * PUD_PAGES);
	struct folio *held = request(pgmap, 0, 0), *folio = NULL;
	assert_int_equal(refused(pgmap, 0, 0), -EBUSY);
	assert_int_equal(pgmap_kill(pgmap), 0);
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++) {
		assert_int_equal(refused(pgmap, 0, order), -ENODEV);
		assert_int_equal(refused(pgmap, PUD_PAGES, order), -ENODEV);
	}
	assert_int_equal(pgmap_get_folio(pgmap, 0, &folio), -ENODEV);
	assert_int_equal(pgmap_get_folio(pgmap, 1, &folio), -ENODEV); /* idle, too */
	folio_put(held);
	end_pgmap(pgmap);
}

static void c3_6_every_order_is_busy_where_any_other_is_held(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(2 * PUD_PAGES);
	for (unsigned a = 0; a <= PGMAP_MAX_ORDER; a++) {
		uint64_t last = PUD_PAGES - (UINT64_C(1) << a);
		struct folio *held = request(pgmap, last, a);
		for (unsigned b = 0; b <= PGMAP_MAX_ORDER; b++) {
			assert_int_equal(refused(pgmap, last >> b << b, b), -EBUSY);
			assert_int_equal(refused(pgmap, (PUD_PAGES - 1) >> b << b, b), -EBUSY);
			folio_put(request(pgmap, PUD_PAGES, b));
		}
		folio_put(held);
	}
	end_pgmap(pgmap);
}

static void c3_8_a_request_gives_a_folio_held_once(void **state)
{
	(void)state;
	static char memory[4096];
	struct pgmap_range range = {64 * 4096, 3 * PUD_PAGES * 4096};
	struct pgmap_params params = {
		.params_bytes = sizeof(params), .type = PGMAP_GENERIC, .ranges = &range, .nranges = 1, .base = memory};
	struct pgmap *pgmap;
	assert_int_equal(pgmap_create(&params, &pgmap), 0);
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++) {
		struct folio *folio = request(pgmap, PUD_PAGES, order);
		assert_int_equal(folio_refs(folio), 1);
		assert_int_equal(folio_pins(folio), 0);
		assert_int_equal(folio_order(folio), order);
		assert_int_equal(folio_pages(folio), UINT64_C(1) << order);
		assert_int_equal(folio_pgoff(folio), PUD_PAGES);
		assert_ptr_equal(folio_pgmap(folio), pgmap);
		assert_int_equal(folio_private(folio), 0);
		assert_int_equal((char *)folio_address(folio) - memory, PUD_PAGES * 4096);
		assert_int_equal(pgmap_live_pages(pgmap), UINT64_C(1) << order);
		folio_put(folio);
	}
	struct folio *first = request(pgmap, 64, 6); /* pgoffs are congruent to device pages */
	assert_int_equal((char *)folio_address(first) - memory, 64 * 4096);
	folio_put(first);
	end_pgmap(pgmap);
}

static void c3_13_a_lookup_finds_what_covers_the_page_and_never_activates(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(2 * PUD_PAGES);
	struct folio *got = NULL;
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++) {
		uint64_t n = UINT64_C(1) << order, at = n == PUD_PAGES ? PUD_PAGES : PUD_PAGES - n;
		const uint64_t inside[] = {at, at + n / 2, at + n - 1};
		assert_int_equal(pgmap_get_folio(pgmap, at, &got), -ENOENT);
		assert_int_equal(pgmap_live_pages(pgmap), 0);
		struct folio *folio = request(pgmap, at, order);
		for (size_t i = 0; i < 3; i++) {
			assert_int_equal(pgmap_get_folio(pgmap, inside[i], &got), 0);
			assert_ptr_equal(got, folio);
			assert_int_equal(folio_refs(folio), 2 + i);
			assert_ptr_equal(find(pgmap, inside[i]), folio);
			assert_int_equal(folio_refs(folio), 2 + i);
		}
		if (at > 0)
			assert_int_equal(pgmap_get_folio(pgmap, at - 1, &got), -ENOENT);
		for (size_t i = 0; i < 4; i++)
			folio_put(folio);
		assert_int_equal(pgmap_find_folio(pgmap, at, &got), -ENOENT);
	}
	end_pgmap(pgmap);
}

static void c3_14_get_is_a_duplicate_dying_or_not(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(512);
	struct folio *folio = request(pgmap, 0, 9);
	for (uint64_t i = 2; i <= 1000; i++) {
		if (i == 500)
			assert_int_equal(pgmap_kill(pgmap), 0);
		folio_get(folio);
		assert_int_equal(folio_refs(folio), i);
	}
	assert_int_equal(folio_get_holder(folio, NULL), 0);
	folio_put_holder(folio, NULL);
	for (uint64_t i = 1000; i > 0; i--) {
		assert_int_equal(folio_refs(folio), i);
		assert_int_equal(pgmap_live_pages(pgmap), 512);
		folio_put(folio);
	}
	end_pgmap(pgmap);
}

struct freed {
	unsigned times;
	int answer;
	uint64_t pgoff, private, order, refs;
	int lookup, request;
	pthread_t thread;
};

static int note_free(struct folio *folio, void *owner)
{
	struct freed *freed = owner;
	struct folio *got;
	freed->times++;
	freed->pgoff = folio_pgoff(folio);
	freed->order = folio_order(folio);
	freed->private = folio_private(folio);
	freed->refs = folio_refs(folio);
	freed->lookup = pgmap_get_folio(folio_pgmap(folio), freed->pgoff, &got);
	freed->request = pgmap_request_folio(folio_pgmap(folio), freed->pgoff ^ UINT64_C(1) << freed->order,
					     (unsigned)freed->order, &got); /* its neighbour: allowed */
	if (freed->request == 0 && freed->times == 1)
		folio_put(got);
	freed->thread = pthread_self();
	return freed->answer;
}

static const struct pgmap_ops note_ops = {.ops_bytes = sizeof(note_ops), .folio_free = note_free};

static void c5_4_private_memory_has_no_address_and_neither_has_a_pgmap_without_base(void **state)
{
	(void)state;
	static char memory[4096];
	static const struct pgmap_ops ops = {
		.ops_bytes = sizeof(ops), .folio_free = note_free, .migrate_to_ram = note_free};
	static const struct pgmap_range range = {0, 16 * 4096};
	struct freed freed = {.times = 1};
	struct pgmap_params params = {.params_bytes = sizeof(params), .ranges = &range, .nranges = 1, .ops = &ops};
	params.owner = &freed;
	for (int with_base = 0; with_base < 2; with_base++) {
		struct pgmap *pgmap;
		params.base = with_base ? memory : NULL;
		params.type = with_base ? PGMAP_PRIVATE : PGMAP_COHERENT;
		assert_int_equal(pgmap_create(&params, &pgmap), 0);
		struct folio *folio = request(pgmap, 0, 2);
		assert_null(folio_address(folio));
		assert_int_equal(folio_pin(folio, NULL, FOLIO_PIN_LOCAL), -EPERM);
		assert_int_equal(pgmap_kill(pgmap), 0);
		folio_put(folio);
		end_pgmap(pgmap);
	}
}

static void c3_15_the_last_put_runs_folio_free_once_while_releasing(void **state)
{
	(void)state;
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order += 3) {
		struct freed freed = {.answer = PGMAP_FREE_IDLE};
		struct pgmap *pgmap = make_pgmap(PGMAP_COHERENT, 2 * PUD_PAGES, &note_ops, &freed);
		struct folio *folio = request(pgmap, 0, order);
		assert_int_equal(folio_set_private(folio, 0xfeed), 0);
		folio_get(folio);
		folio_put(folio);
		assert_int_equal(freed.times, 0);
		freed.times = 1; /* the neighbour that it requests stays held */
		folio_put(folio);
		assert_int_equal(freed.times, 2);
		assert_int_equal(freed.pgoff, 0);
		assert_int_equal(freed.order, order);
		assert_int_equal(freed.private, 0xfeed);
		assert_int_equal(freed.refs, 0);
		assert_int_equal(freed.lookup, -ENOENT);
		assert_int_equal(freed.request, 0);
		assert_true(pthread_equal(freed.thread, pthread_self()));
		folio = request(pgmap, 0, order);
		assert_int_equal(folio_private(folio), 0); /* a new life */
		assert_int_equal(pgmap_kill(pgmap), 0);    /* what it requests meanwhile is refused now */
		folio_put(folio);
		assert_int_equal(freed.times, 3);
		folio_put(find(pgmap, UINT64_C(1) << order));
		end_pgmap(pgmap);
	}
}

static void c3_15_what_the_owner_keeps_is_quarantined_until_it_says_so(void **state)
{
	(void)state;
	struct freed freed = {.times = 1, .answer = PGMAP_FREE_KEEP};
	struct pgmap *pgmap = make_pgmap(PGMAP_FSDAX, 2 * PUD_PAGES, &note_ops, &freed);
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++) {
		uint64_t last = (UINT64_C(1) << order) - 1, neighbour = UINT64_C(1) << order;
		struct folio *got = NULL;
		assert_int_equal(pgmap_release_quarantined(pgmap, last), -ENOENT);
		struct folio *folio = request(pgmap, 0, order);
		assert_int_equal(pgmap_release_quarantined(pgmap, last), -ENOENT); /* held */
		freed.times = 0;
		folio_put(folio);
		assert_int_equal(freed.times, 2); /* its own, and the neighbour's that it took and put */
		assert_int_equal(pgmap_live_pages(pgmap), 2 * neighbour);
		assert_int_equal(pgmap_get_folio(pgmap, last, &got), -ENOENT);
		assert_int_equal(pgmap_find_folio(pgmap, last, &got), -ENOENT);
		assert_int_equal(refused(pgmap, last, 0), -EBUSY);
		assert_int_equal(refused(pgmap, 0, order), -EBUSY);
		assert_int_equal(refused(pgmap, 0, 18), -EBUSY);
		if (order < PGMAP_MAX_ORDER) /* behind both, though their words are where a larger one's would be */
			assert_int_equal(pgmap_release_quarantined(pgmap, 2 * neighbour), -ENOENT);
		assert_int_equal(pgmap_release_quarantined(pgmap, last), 0);
		assert_int_equal(pgmap_release_quarantined(pgmap, last), -ENOENT);
		assert_int_equal(pgmap_release_quarantined(pgmap, neighbour), 0);
		assert_int_equal(freed.times, 2); /* folio_free had run */
		assert_int_equal(pgmap_live_pages(pgmap), 0);
	}
	end_pgmap(pgmap);
}

static void c3_16_pins_are_counted_apart_and_only_where_the_type_allows(void **state)
{
	(void)state;
	static const enum pgmap_type allowed[] = {PGMAP_FSDAX, PGMAP_GENERIC};
	static const enum pgmap_type forbidden[] = {PGMAP_COHERENT, PGMAP_P2PDMA};
	struct freed freed = {.times = 1};
	for (size_t i = 0; i < 2; i++) {
		struct pgmap *pgmap = make_pgmap(allowed[i], 1024, NULL, NULL);
		struct folio *folio = request(pgmap, 512, 9);
		assert_int_equal(folio_pin(folio, NULL, FOLIO_PIN_LOCAL), 0);
		assert_int_equal(folio_pin(folio, NULL, FOLIO_PIN_REMOTE), 0);
		assert_int_equal(folio_refs(folio), 3);
		assert_int_equal(folio_pins(folio), 2);
		assert_int_equal(folio_pin(folio, NULL, (enum folio_pin_kind)2), -EINVAL);
		folio_put(folio);
		folio_unpin(folio, NULL, FOLIO_PIN_LOCAL);
		assert_int_equal(pgmap_live_pages(pgmap), 512);
		folio_unpin(folio, NULL, FOLIO_PIN_REMOTE); /* a pin's reference can be the last */
		assert_int_equal(pgmap_live_pages(pgmap), 0);
		end_pgmap(pgmap);
		pgmap = make_pgmap(forbidden[i], 8, &note_ops, &freed);
		folio = request(pgmap, 0, 0);
		assert_int_equal(folio_pin(folio, NULL, FOLIO_PIN_LOCAL), -EPERM);
		assert_int_equal(folio_pin(folio, NULL, FOLIO_PIN_REMOTE), -EPERM);
		assert_int_equal(folio_pin(folio, NULL, (enum folio_pin_kind) - 1), -EINVAL);
		assert_int_equal(folio_refs(folio), 1);
		assert_int_equal(pgmap_kill(pgmap), 0);
		folio_put(folio);
		end_pgmap(pgmap);
	}
}

static uint64_t plain[2]; /* what the holders write, and folio_free and the next owner read: no atomics */
static uint64_t wrong;

static int check_plain(struct folio *folio, void *owner)
{
	(void)folio;
	(void)owner;
	wrong += plain[0] != plain[1];
	plain[0]++;
	plain[1]++;
	return PGMAP_FREE_IDLE;
}

static void *hand_over(void *arg)
{
	struct pgmap *pgmap = arg;
	for (unsigned i = 0; i < HANDOVERS;) {
		struct folio *folio;
		if (pgmap_request_folio(pgmap, 0, i % 2 ? 9 : 3, &folio) != 0) {
			sched_yield();
			continue;
		}
		plain[0] += 3;
		plain[1] += 3;
		folio_put(folio);
		i++;
	}
	return NULL;
}

static void c3_22_what_was_done_before_a_put_is_seen_by_folio_free_and_the_next_request(void **state)
{
	(void)state;
	static const struct pgmap_ops ops = {.ops_bytes = sizeof(ops), .folio_free = check_plain};
	struct pgmap *pgmap = make_pgmap(PGMAP_GENERIC, 512, &ops, NULL);
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, hand_over, pgmap), 0);
	(void)hand_over(pgmap);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(wrong, 0);
	assert_int_equal(plain[0], 2 * HANDOVERS * UINT64_C(4));
	assert_int_equal(plain[1], plain[0]);
	end_pgmap(pgmap);
}

static void what_is_not_found_leaves_the_argument_alone(void **state)
{
	(void)state;
	struct folio *const untouched = (struct folio *)(uintptr_t)0x5a5a;
	struct folio *folio = untouched;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	struct folio *held = request(pgmap, 8, 0);
	assert_int_equal(pgmap_find_folio(pgmap, 9, &folio), -ENOENT);
	assert_int_equal(pgmap_get_folio(pgmap, 9, &folio), -ENOENT);
	assert_ptr_equal(folio, untouched);
	/* Also by the short ways, which this thread may go now. */
	assert_int_equal(pgmap_request_folio(pgmap, 0, PGMAP_ORDER_PTE, NULL), -EINVAL);
	assert_int_equal(pgmap_request_folio(pgmap, 512, PGMAP_ORDER_PMD, NULL), -EINVAL);
	folio_put(held);
	folio_put(request(pgmap, 0, PGMAP_ORDER_PUD));
	assert_int_equal(pgmap_request_folio(pgmap, 0, PGMAP_ORDER_PUD, NULL), -EINVAL);
	end_pgmap(pgmap);
}

static void c2_15_an_owner_may_have_no_callback(void **state)
{
	(void)state;
	static const struct pgmap_ops none = {.ops_bytes = sizeof(none)};
	struct pgmap *pgmap = make_pgmap(PGMAP_FSDAX, PUD_PAGES, &none, NULL);
	struct folio *folio = request(pgmap, 3, 0);
	folio_put(folio);
	assert_int_equal(pgmap_live_pages(pgmap), 0);
	folio = request(pgmap, 512, 9);
	assert_null(folio_address(folio)); /* there is no base; not an address near 0 */
	folio_put(folio);
	end_pgmap(pgmap);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(c3_2_invalid_arguments_come_first),
		TEST(c3_3_out_of_range_comes_before_dying_and_busy),
		TEST(c3_4_dying_comes_before_busy),
		TEST(c3_6_every_order_is_busy_where_any_other_is_held),
		TEST(c3_8_a_request_gives_a_folio_held_once),
		TEST(what_is_not_found_leaves_the_argument_alone),
		TEST(c2_15_an_owner_may_have_no_callback),
		TEST(c5_4_private_memory_has_no_address_and_neither_has_a_pgmap_without_base),
		TEST(c3_13_a_lookup_finds_what_covers_the_page_and_never_activates),
		TEST(c3_14_get_is_a_duplicate_dying_or_not),
		TEST(c3_15_the_last_put_runs_folio_free_once_while_releasing),
		TEST(c3_15_what_the_owner_keeps_is_quarantined_until_it_says_so),
		TEST(c3_16_pins_are_counted_apart_and_only_where_the_type_allows),
		TEST(c3_22_what_was_done_before_a_put_is_seen_by_folio_free_and_the_next_request),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
