/* SPDX-License-Identifier: BSD-3-Clause */
/* A linear stack: parts one after the other; what it refuses; its holder, and the death of a part. */
#include "linear_util.h"

static void c6_4_a_span_ends_with_its_part(void **state)
{
	(void)state;
	struct dax_device *dax = three();
	struct dax_span span;
	assert_int_equal(dax_npages(dax), 16 + 32 + 56);
	assert_null(dax_pgmap(dax));
	assert_string_equal(dax_name(dax), "linear");
	assert_lies(dax, 0, 200, &a, 16, 16);
	assert_lies(dax, 15, 2, &a, 31, 1);
	assert_lies(dax, 16, INT64_MAX, &b, 0, 32);
	assert_lies(dax, 47, 3, &b, 31, 1);
	assert_lies(dax, 48, 1, &c, 8, 1);
	assert_lies(dax, 103, 9, &c, 63, 1);
	assert_int_equal(dax_direct_access(dax, 104, 1, &span), -ERANGE);
	assert_int_equal(dax_direct_access(dax, 104, 0, &span), -EINVAL);
	assert_int_equal(dax_destroy(dax), 0);
}

/* Parts that begin anywhere, short ones among long ones: a share of the table has pages of several. */
static void c6_4_every_part_of_a_long_stack_is_found(void **state)
{
	(void)state;
	static const uint64_t lengths[] = {301, 5, 1, 700, 2, 3, 999, 1};
	enum { N = sizeof(lengths) / sizeof(lengths[0]) };
	struct bottom bottoms[N];
	struct dax_part parts[N];
	uint64_t first = 0;
	for (int i = 0; i < N; i++) {
		bottom_open(&bottoms[i], lengths[i], 0);
		parts[i] = (struct dax_part){bottoms[i].dax, 0, 0};
	}
	struct dax_device *dax = linear(parts, N);
	for (int i = 0; i < N; i++) {
		for (uint64_t page = 0; page < lengths[i]; page++)
			assert_lies(dax, first + page, 5000, &bottoms[i], page, (int64_t)(lengths[i] - page));
		first += lengths[i];
	}
	assert_int_equal(dax_destroy(dax), 0);
	for (int i = 0; i < N; i++)
		bottom_close(&bottoms[i]);
}

static void bad_parts_are_refused_and_change_nothing(void **state)
{
	(void)state;
	struct dax_device *dax = NULL, *inner = three();
	const struct dax_part good = {a.dax, 0, 0}, twice[] = {{a.dax, 0, 16}, {a.dax, 32, 16}};
	const struct dax_part deep[] = {{inner, 0, 0}, {b.dax, 0, 8}}, none = {NULL, 0, 0};
	const struct dax_part beyond = {a.dax, 64, 0}, longer = {a.dax, 60, 5}, most = {a.dax, 1, UINT64_MAX};
	assert_int_equal(dax_create_linear(NULL, 1, NULL, &dax), -EINVAL);
	assert_int_equal(dax_create_linear(&good, 0, NULL, &dax), -EINVAL);
	assert_int_equal(dax_create_linear(&good, 1, NULL, NULL), -EINVAL);
	assert_int_equal(dax_create_linear(&none, 1, NULL, &dax), -EINVAL);
	assert_int_equal(dax_create_linear(twice, 2, NULL, &dax), -EINVAL);
	assert_int_equal(dax_create_linear(deep, 2, NULL, &dax), -EINVAL);
	assert_int_equal(dax_create_linear(&beyond, 1, NULL, &dax), -ERANGE);
	assert_int_equal(dax_create_linear(&longer, 1, NULL, &dax), -ERANGE);
	assert_int_equal(dax_create_linear(&most, 1, NULL, &dax), -ERANGE);
	assert_null(dax);
	assert_int_equal(dax_destroy(a.dax), -EBUSY); /* part of a stack */
	assert_int_equal(dax_destroy(inner), 0);
	assert_int_equal(dax_kill(b.dax), 0);
	const struct dax_part dead = {b.dax, 0, 0};
	assert_int_equal(dax_create_linear(&dead, 1, NULL, &dax), -ENXIO);
}

static void parts_are_whole_granules_of_what_they_lie_on(void **state)
{
	(void)state;
	struct bottom big, odd;
	struct dax_device *dax = NULL, *inner;
	bottom_open_at(&big, 8, 64, 3);
	bottom_open_at(&odd, 5, 64, 0);
	const struct dax_part start[] = {{a.dax, 8, 16}, {big.dax, 4, 16}};
	const struct dax_part len[] = {{a.dax, 8, 16}, {big.dax, 8, 12}};
	const struct dax_part good[] = {{a.dax, 7, 9}, {big.dax, 8, 16}, {odd.dax, 1, 3}};
	assert_int_equal(dax_create_linear(start, 2, NULL, &dax), -EINVAL);
	assert_int_equal(dax_create_linear(len, 2, NULL, &dax), -EINVAL);
	assert_int_equal(dax_create_linear(good, 3, NULL, &dax), 0);
	assert_int_equal(dax_npages(dax), 28);
	assert_int_equal(dax_granule_order(dax), 3);
	assert_int_equal(dax_granule_order_at(dax, 0), 0);
	assert_int_equal(dax_granule_order_at(dax, 8), 0);
	assert_int_equal(dax_granule_order_at(dax, 9), 3);
	assert_int_equal(dax_granule_order_at(dax, 24), 3);
	assert_int_equal(dax_granule_order_at(dax, 25), 0);
	assert_int_equal(dax_granule_order_at(dax, 28), 3); /* beyond: the stack's */
	inner = dax;
	/* A part of it: its own granules count, wherever they lie in the stack below. */
	const struct dax_part cut[] = {{inner, 8, 9}, {b.dax, 0, 1}}, whole[] = {{inner, 8, 10}, {b.dax, 0, 1}};
	const struct dax_part turns[] = {{inner, 9, 16}, {b.dax, 0, 16}}, apart[] = {{inner, 8, 16}, {b.dax, 0, 16}};
	assert_int_equal(dax_create_linear(cut, 2, NULL, &dax), 0);
	assert_int_equal(dax_destroy(dax), 0);
	assert_int_equal(dax_create_linear(whole, 2, NULL, &dax), -EINVAL);
	assert_int_equal(dax_create_stripe(turns, 2, 8, NULL, &dax), 0);
	assert_int_equal(dax_destroy(dax), 0);
	assert_int_equal(dax_create_stripe(turns, 2, 4, NULL, &dax), -EINVAL);
	assert_int_equal(dax_create_stripe(apart, 2, 8, NULL, &dax), -EINVAL);
	assert_int_equal(dax_destroy(inner), 0);
	bottom_close(&big);
	bottom_close(&odd);
}

static void c6_2_the_holder_of_a_stack_holds_all_below(void **state)
{
	(void)state;
	struct dax_device *lower = three();
	struct dax_device *dax = linear(&(struct dax_part){lower, 0, 0}, 1);
	struct dax_device *rest = linear(&(struct dax_part){a.dax, 0, 16}, 1); /* other pages of a */
	struct holder h = {0}, other = {0};
	assert_int_equal(dax_hold(b.dax, &other, &holder_ops), 0);
	assert_int_equal(dax_hold(dax, &h, &holder_ops), -EBUSY);
	assert_int_equal(dax_hold(a.dax, &h, &holder_ops), 0); /* the refusal held nothing */
	assert_int_equal(dax_release(a.dax, &h), 0);
	assert_int_equal(dax_release(b.dax, &other), 0);
	assert_int_equal(dax_hold(dax, &h, &holder_ops), 0);
	assert_int_equal(dax_hold(lower, &other, &holder_ops), -EBUSY);
	assert_int_equal(dax_hold(c.dax, &other, &holder_ops), -EBUSY);
	assert_int_equal(dax_hold(rest, &other, &holder_ops), -EBUSY);
	assert_int_equal(dax_release(dax, &other), -EINVAL);
	assert_int_equal(dax_release(c.dax, &h), -EINVAL);
	assert_int_equal(dax_destroy(dax), -EBUSY);
	assert_int_equal(dax_release(dax, &h), 0);
	assert_int_equal(dax_hold(rest, &other, &holder_ops), 0);
	assert_int_equal(dax_release(rest, &other), 0);
	assert_int_equal(dax_destroy(rest), 0);
	assert_int_equal(dax_destroy(lower), -EBUSY);
	assert_int_equal(dax_destroy(dax), 0);
	assert_int_equal(dax_destroy(lower), 0);
}

static void c6_8_the_last_put_is_told_by_the_stacks_pages(void **state)
{
	(void)state;
	struct dax_device *dax = three();
	struct holder h = {0};
	struct folio *folio;
	assert_int_equal(dax_hold(dax, &h, &holder_ops), 0);
	touch_page(dax, 20);
	assert_int_equal(h.freed[20], 1);
	/* A folio of a that lies half in the stack, half before it. */
	assert_int_equal(pgmap_request_folio(dax_pgmap(a.dax), 0, 5, &folio), 0);
	folio_put(folio);
	for (int i = 0; i < 16; i++)
		assert_int_equal(h.freed[i], 1);
	assert_int_equal(h.freed[16], 0);
	touch_page(a.dax, 40); /* not of the stack */
	for (int i = 21; i < 104; i++)
		assert_int_equal(h.freed[i], 0);
	h.answer = PGMAP_FREE_KEEP;
	touch_page(dax, 3);
	assert_int_equal(pgmap_live_pages(dax_pgmap(a.dax)), 1);
	h.answer = PGMAP_FREE_IDLE;
	assert_int_equal(pgmap_release_quarantined(dax_pgmap(a.dax), 19), 0);
	assert_int_equal(dax_release(dax, &h), 0);
	touch_page(dax, 20);
	assert_int_equal(h.freed[20], 1);
	assert_int_equal(dax_destroy(dax), 0);
}

static void c6_3_a_dead_part_is_gone_and_the_others_go_on(void **state)
{
	(void)state;
	struct dax_device *dax = three();
	struct holder h = {0}, other = {0};
	struct dax_span span;
	char byte;
	assert_int_equal(dax_hold(dax, &h, &holder_ops), 0);
	assert_int_equal(dax_kill(b.dax), 0);
	assert_int_equal(dax_kill(b.dax), 0);
	assert_true(h.calls == 1 && only_pages(h.dead, 16, 32));
	assert_int_equal(dax_direct_access(dax, 15, 5, &span), 1);
	assert_int_equal(dax_direct_access(dax, 16, 1, &span), -ENXIO);
	assert_int_equal(dax_direct_access(dax, 47, 1, &span), -ENXIO);
	assert_int_equal(dax_direct_access(dax, 48, 1, &span), 1);
	assert_int_equal(dax_copy_from(dax, 17 * PAGE, &byte, 1), -ENXIO);
	assert_int_equal(dax_populate(dax, 40, 10), -ENXIO);
	assert_int_equal(dax_discard(dax, 40, 10), 0); /* a dying device takes pages back */
	assert_true(b.discards == 1 && b.offset == 24 * PAGE && c.discards == 1 && c.len == 2 * PAGE);
	assert_true(dax_alive(dax));
	assert_int_equal(dax_kill(a.dax), 0);
	assert_int_equal(dax_kill(c.dax), 0);
	assert_true(h.calls == 3 && only_pages(h.dead, 0, 104));
	assert_false(dax_alive(dax));
	assert_int_equal(dax_release(dax, &h), 0);
	assert_int_equal(dax_hold(dax, &other, &holder_ops), -ENXIO);
	assert_int_equal(dax_hold(a.dax, &other, &holder_ops), -ENXIO);
	assert_int_equal(dax_destroy(dax), 0);
}

static void c6_3_a_killed_stack_leaves_what_it_stands_on(void **state)
{
	(void)state;
	struct dax_device *dax = three();
	struct holder h = {0};
	struct dax_span span;
	assert_int_equal(dax_hold(dax, &h, &holder_ops), 0);
	assert_int_equal(dax_kill(dax), 0);
	assert_true(h.calls == 1 && only_pages(h.dead, 0, 104));
	assert_int_equal(dax_direct_access(dax, 0, 1, &span), -ENXIO);
	assert_int_equal(dax_direct_access(dax, 104, 1, &span), -ERANGE);
	assert_true(dax_alive(a.dax) && !dax_alive(dax));
	assert_int_equal(dax_direct_access(a.dax, 0, 1, &span), 1);
	assert_int_equal(dax_release(dax, &h), 0);
	assert_int_equal(dax_destroy(dax), 0);
}

static void c6_4_requests_go_in_ascending_order_all_or_none(void **state)
{
	(void)state;
	struct dax_device *dax = three();
	struct folio *folios[16] = {NULL}, *held;
	struct holder h = {0};
	size_t n = 0;
	assert_int_equal(dax_hold(dax, &h, &holder_ops), 0);
	assert_int_equal(dax_request_folios(NULL, 0, 1, folios, 16, &n), -EINVAL);
	assert_int_equal(dax_request_folios(dax, 0, 0, folios, 16, &n), -EINVAL);
	assert_int_equal(dax_request_folios(dax, 0, 1, folios, 16, NULL), -EINVAL);
	assert_int_equal(dax_request_folios(dax, 100, 5, folios, 16, &n), -ERANGE);
	assert_int_equal(dax_request_folios(dax, 8, 56, NULL, 0, &n), 0);
	assert_int_equal(
		n, 7); /* 8 pages of a; 32 of b; of c, whose pages count from 3: 11, 12 to 15, 16 to 23, 24 to 25, 26 */
	assert_int_equal(pgmap_request_folio(dax_pgmap(c.dax), 15, 0, &held), 0);
	assert_int_equal(dax_request_folios(dax, 8, 56, folios, 16, &n), -EBUSY);
	assert_true(pgmap_live_pages(dax_pgmap(a.dax)) == 0 && pgmap_live_pages(dax_pgmap(b.dax)) == 0);
	assert_true(h.freed[8] == 1 && h.freed[47] == 1 && h.freed[48] == 0);
	folio_put(held);
	assert_int_equal(dax_request_folios(dax, 8, 56, folios, 6, &n), -E2BIG);
	assert_int_equal(dax_request_folios(dax, 8, 56, folios, 16, &n), 0);
	assert_int_equal(n, 7);
	assert_ptr_equal(folio_pgmap(folios[0]), dax_pgmap(a.dax));
	assert_true(folio_pgoff(folios[0]) == 24 && folio_order(folios[0]) == 3);
	assert_true(folio_pgmap(folios[1]) == dax_pgmap(b.dax) && folio_order(folios[1]) == 5);
	assert_true(folio_pgoff(folios[2]) == 11 && folio_pgmap(folios[2]) == dax_pgmap(c.dax));
	while (n--)
		folio_put(folios[n]);
	assert_int_equal(dax_release(dax, &h), 0);
	assert_int_equal(dax_destroy(dax), 0);
}

static void what_is_asked_of_a_range_is_asked_of_each_part(void **state)
{
	(void)state;
	struct dax_device *dax = three();
	assert_int_equal(dax_populate(dax, 10, 50), 0);
	assert_true(a.populates == 1 && a.offset == 26 * PAGE && a.len == 6 * PAGE);
	assert_true(b.populates == 1 && b.offset == 0 && b.len == 32 * PAGE);
	assert_true(c.populates == 1 && c.offset == (3 + 8) * PAGE && c.len == 12 * PAGE);
	assert_int_equal(dax_flush(dax, 15 * PAGE + 100, PAGE), 0);
	assert_true(a.flushes == 1 && a.offset == 31 * PAGE + 100 && a.len == PAGE - 100);
	assert_true(b.flushes == 1 && b.offset == 0 && b.len == 100);
	b.answer = -ENOSPC;
	assert_int_equal(dax_populate(dax, 10, 50), -ENOSPC);
	assert_true(a.populates == 2 && b.populates == 2 && c.populates == 1);
	assert_int_equal(dax_destroy(dax), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
	static const struct CMUnitTest tests[] = {
		TEST(c6_4_a_span_ends_with_its_part),
		TEST(c6_4_every_part_of_a_long_stack_is_found),
		TEST(bad_parts_are_refused_and_change_nothing),
		TEST(parts_are_whole_granules_of_what_they_lie_on),
		TEST(c6_2_the_holder_of_a_stack_holds_all_below),
		TEST(c6_8_the_last_put_is_told_by_the_stacks_pages),
		TEST(c6_3_a_dead_part_is_gone_and_the_others_go_on),
		TEST(c6_3_a_killed_stack_leaves_what_it_stands_on),
		TEST(c6_4_requests_go_in_ascending_order_all_or_none),
		TEST(what_is_asked_of_a_range_is_asked_of_each_part),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
