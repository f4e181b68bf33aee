/* SPDX-License-Identifier: BSD-3-Clause */
/* A stripe: equal parts take turns; what it refuses; how big its folios can be; poison and death of a part. */
#include "stack_util.h"

#include "dax/layout.h"

static struct bottom a, b, c;

static int open_all(void **state)
{
	(void)state;
	bottom_open(&a, 64, 0);
	bottom_open(&b, 64, 0);
	bottom_open_at(&c, 3, 64, 0);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	bottom_close(&a);
	bottom_close(&b);
	bottom_close(&c);
	return 0;
}

static struct dax_device *stripe_of_three(uint64_t chunk)
{
	const struct dax_part parts[] = {{a.dax, 16, 24}, {b.dax, 0, 24}, {c.dax, 8, 24}};
	struct dax_device *dax = NULL;
	assert_int_equal(dax_create_stripe(parts, 3, chunk, NULL, &dax), 0);
	return dax;
}

static void c6_4_a_span_ends_with_its_chunk(void **state)
{
	(void)state;
	struct dax_device *dax = stripe_of_three(4);
	struct dax_span span;
	assert_int_equal(dax_npages(dax), 72);
	assert_null(dax_pgmap(dax));
	assert_string_equal(dax_name(dax), "stripe");
	assert_lies(dax, 0, 72, &a, 16, 4);
	assert_lies(dax, 3, 2, &a, 19, 1);
	assert_lies(dax, 4, 3, &b, 0, 3);
	assert_lies(dax, 10, 9, &c, 10, 2);
	assert_lies(dax, 12, 4, &a, 20, 4);
	assert_lies(dax, 71, 1, &c, 31, 1);
	assert_int_equal(dax_direct_access(dax, 72, 1, &span), -ERANGE);
	assert_int_equal(dax_destroy(dax), 0);
	dax = stripe_of_three(3); /* no power of two */
	assert_lies(dax, 0, 72, &a, 16, 3);
	assert_lies(dax, 8, 2, &c, 10, 1);
	assert_lies(dax, 9, 9, &a, 19, 3);
	assert_lies(dax, 69, 9, &c, 29, 3);
	assert_int_equal(dax_destroy(dax), 0);
}

static void bad_stripes_are_refused(void **state)
{
	(void)state;
	struct bottom big;
	struct dax_device *dax = NULL;
	bottom_open(&big, 64, 3);
	const struct dax_part good[] = {{a.dax, 0, 24}, {b.dax, 0, 24}}, unequal[] = {{a.dax, 0, 24}, {b.dax, 0, 16}};
	const struct dax_part twice[] = {{a.dax, 0, 16}, {a.dax, 16, 16}}, mixed[] = {{a.dax, 0, 24}, {big.dax, 0, 24}};
	assert_int_equal(dax_create_stripe(good, 2, 0, NULL, &dax), -EINVAL);
	assert_int_equal(dax_create_stripe(good, 2, 5, NULL, &dax), -EINVAL);  /* 24 is no multiple */
	assert_int_equal(dax_create_stripe(good, 2, 48, NULL, &dax), -EINVAL); /* nor of 48 */
	assert_int_equal(dax_create_stripe(good, 0, 8, NULL, &dax), -EINVAL);
	assert_int_equal(dax_create_stripe(NULL, 2, 8, NULL, &dax), -EINVAL);
	assert_int_equal(dax_create_stripe(good, 2, 8, NULL, NULL), -EINVAL);
	assert_int_equal(dax_create_stripe(unequal, 2, 8, NULL, &dax), -EINVAL);
	assert_int_equal(dax_create_stripe(twice, 2, 8, NULL, &dax), -EINVAL);
	assert_int_equal(dax_create_stripe(mixed, 2, 4, NULL, &dax), -EINVAL); /* chunk: no multiple of the granule */
	assert_null(dax);
	assert_int_equal(dax_create_stripe(mixed, 2, 8, NULL, &dax), 0);
	assert_true(dax_granule_order(dax) == 3 && dax_granule_order_at(dax, 7) == 0 &&
		    dax_granule_order_at(dax, 8) == 3);
	assert_int_equal(dax_destroy(dax), 0);
	bottom_close(&big);
}

static unsigned max_order(const struct dax_part *parts, size_t n, uint64_t chunk)
{
	struct dax_device *dax;
	struct segments segments = {0};
	assert_int_equal(dax_create_stripe(parts, n, chunk, NULL, &dax), 0);
	assert_int_equal(layout_of(dax, &segments), 0);
	assert_int_equal(segments.n, 1);
	unsigned order = segments.at[0].max_order;
	assert_true(segments.at[0].first % (UINT64_C(1) << order) == 0);
	layout_end(&segments);
	assert_int_equal(dax_destroy(dax), 0);
	return order;
}

static void folios_are_as_big_as_the_chunk_is_aligned(void **state)
{
	(void)state;
	struct bottom big[2];
	bottom_open(&big[0], 2048, 9);
	bottom_open(&big[1], 2048, 9);
	const struct dax_part whole[] = {{big[0].dax, 0, 0}, {big[1].dax, 0, 0}};
	const struct dax_part small[] = {{a.dax, 0, 48}, {b.dax, 0, 48}};
	const struct dax_part shifted[] = {{a.dax, 4, 48}, {b.dax, 0, 48}}, odd[] = {{a.dax, 0, 48}, {c.dax, 0, 48}};
	assert_int_equal(max_order(whole, 2, 512), 9); /* 2 MiB */
	assert_int_equal(max_order(whole, 2, 1024), 10);
	assert_int_equal(max_order(small, 2, 16), 4);
	assert_int_equal(max_order(small, 2, 12), 2);
	assert_int_equal(max_order(small, 2, 1), 0);
	assert_int_equal(max_order(shifted, 2, 16), 2);
	assert_int_equal(max_order(odd, 2, 16), 0); /* page 0 of c is page 3 of its memory */
	bottom_close(&big[0]);
	bottom_close(&big[1]);
}

static void c6_4_each_part_is_asked_once_in_ascending_order(void **state)
{
	(void)state;
	struct dax_device *dax = stripe_of_three(4);
	assert_int_equal(dax_populate(dax, 6, 20), 0); /* 6..7 of b, 8..11 c, 12..15 a, 16..19 b, 20..23 c, 24..25 a */
	assert_true(a.populates == 1 && a.offset == 20 * PAGE && a.len == 6 * PAGE);
	assert_true(b.populates == 1 && b.offset == 2 * PAGE && b.len == 6 * PAGE);
	assert_true(c.populates == 1 && c.offset == (3 + 8) * PAGE && c.len == 8 * PAGE);
	assert_int_equal(dax_populate(dax, 5, 1), 0);
	assert_true(a.populates == 1 && b.populates == 2 && c.populates == 1);
	assert_int_equal(dax_flush(dax, 4 * PAGE - 1, 2), 0);
	assert_true(a.flushes == 1 && a.offset == 20 * PAGE - 1 && a.len == 1 && b.flushes == 1 && b.len == 1);
	assert_int_equal(dax_destroy(dax), 0);
}

/* A row of chunks is one access of each part, but where it ends is a page of the stripe. */
static void c6_4_what_comes_before_the_failure_is_done(void **state)
{
	(void)state;
	struct dax_device *dax = stripe_of_three(4);
	memset(a.bytes + 16 * PAGE, 'x', 24 * PAGE);
	memset(b.bytes, 'x', 24 * PAGE);
	memset(c.bytes + 11 * PAGE, 'x', 24 * PAGE);
	b.answer = -EIO;
	assert_int_equal(dax_notify_failure(dax, DAX_FAILURE_POISON, 17, 1), 0); /* b, its second chunk */
	assert_int_equal(dax_zero_range(dax, 0, 72), -EIO);
	assert_true(b.bytes[0] == 0 && c.bytes[11 * PAGE] == 0 && a.bytes[20 * PAGE] == 0);
	assert_true(b.bytes[4 * PAGE] == 0 && b.bytes[5 * PAGE] == 'x' && c.bytes[15 * PAGE] == 'x');
	memset(b.bytes, 'x', 5 * PAGE);
	memset(c.bytes + 11 * PAGE, 'x', 4 * PAGE);
	assert_int_equal(dax_kill(a.dax), 0);
	assert_int_equal(dax_zero_range(dax, 4, 20), -ENXIO); /* chunks 1 and 2 come before one of a */
	assert_true(b.bytes[0] == 0 && c.bytes[11 * PAGE] == 0);
	assert_true(b.bytes[4 * PAGE] == 'x' && c.bytes[15 * PAGE] == 'x');
	assert_int_equal(dax_destroy(dax), 0);
}

static void c6_5_a_row_of_bad_pages_below_is_several_above(void **state)
{
	(void)state;
	struct dax_device *dax = stripe_of_three(4);
	struct holder h = {0};
	struct dax_span span;
	assert_int_equal(dax_hold(dax, &h, &holder_ops), 0);
	/* b's pages 2 to 9: 6..7, 16..19, 28..29 of the stripe. */
	assert_int_equal(dax_notify_failure(b.dax, DAX_FAILURE_POISON, 2, 8), 0);
	assert_int_equal(h.calls, 3);
	assert_int_equal(count_pages(h.poisoned, 0, HOLDER_PAGES), 8);
	assert_true(count_pages(h.poisoned, 6, 2) == 2 && count_pages(h.poisoned, 16, 4) == 4 &&
		    count_pages(h.poisoned, 28, 2) == 2);
	assert_int_equal(dax_direct_access(dax, 4, 4, &span), 2);
	assert_int_equal(dax_direct_access(dax, 6, 1, &span), -EHWPOISON);
	assert_int_equal(dax_release(dax, &h), 0);
	assert_int_equal(dax_destroy(dax), 0);
}

static void c6_3_a_dead_part_leaves_its_neighbours_chunks(void **state)
{
	(void)state;
	struct dax_device *dax = stripe_of_three(4);
	struct holder h = {0};
	struct dax_span span;
	assert_int_equal(dax_hold(dax, &h, &holder_ops), 0);
	assert_int_equal(dax_kill(b.dax), 0);
	assert_int_equal(count_pages(h.dead, 0, HOLDER_PAGES), 24);
	for (uint64_t i = 0; i < 72; i++) {
		assert_int_equal(h.dead[i], i / 4 % 3 == 1);
		assert_int_equal(dax_direct_access(dax, i, 1, &span), i / 4 % 3 == 1 ? -ENXIO : 1);
	}
	assert_int_equal(dax_release(dax, &h), 0);
	assert_int_equal(dax_destroy(dax), 0);
}

static void c6_8_the_last_put_of_a_folio_over_chunks_is_told_in_pieces(void **state)
{
	(void)state;
	struct dax_device *dax = stripe_of_three(4);
	struct holder h = {0};
	struct folio *folio;
	assert_int_equal(dax_hold(dax, &h, &holder_ops), 0);
	assert_int_equal(pgmap_request_folio(dax_pgmap(b.dax), 0, 3, &folio), 0); /* chunks 1 and 4 */
	folio_put(folio);
	for (uint64_t i = 0; i < 72; i++)
		assert_int_equal(h.freed[i], (i >= 4 && i < 8) || (i >= 16 && i < 20));
	assert_int_equal(dax_release(dax, &h), 0);
	assert_int_equal(dax_destroy(dax), 0);
}

static void bytes_go_through_all_chunks(void **state)
{
	(void)state;
	struct dax_device *dax = stripe_of_three(4);
	static char in[40 * PAGE], out[40 * PAGE];
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (char)(i * 31 + i / PAGE);
	assert_int_equal(dax_copy_to(dax, 5 * PAGE + 77, in, sizeof(in)), sizeof(in));
	assert_int_equal(dax_copy_from(dax, 5 * PAGE + 77, out, sizeof(out)), sizeof(out));
	assert_memory_equal(in, out, sizeof(in));
	assert_memory_equal(b.bytes + PAGE + 77, in, 3 * PAGE - 77);                 /* page 5 to 7 */
	assert_memory_equal(c.bytes + (3 + 8) * PAGE, in + 3 * PAGE - 77, 4 * PAGE); /* page 8 */
	assert_int_equal(dax_zero_range(dax, 7, 3), 0);
	assert_int_equal(b.bytes[3 * PAGE + 5] | c.bytes[11 * PAGE + 5] | c.bytes[12 * PAGE + 5], 0);
	assert_int_equal(dax_destroy(dax), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
	static const struct CMUnitTest tests[] = {
		TEST(c6_4_a_span_ends_with_its_chunk),
		TEST(bad_stripes_are_refused),
		TEST(folios_are_as_big_as_the_chunk_is_aligned),
		TEST(c6_4_each_part_is_asked_once_in_ascending_order),
		TEST(c6_4_what_comes_before_the_failure_is_done),
		TEST(c6_5_a_row_of_bad_pages_below_is_several_above),
		TEST(c6_3_a_dead_part_leaves_its_neighbours_chunks),
		TEST(c6_8_the_last_put_of_a_folio_over_chunks_is_told_in_pieces),
		TEST(bytes_go_through_all_chunks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
