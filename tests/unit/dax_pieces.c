/* SPDX-License-Identifier: BSD-3-Clause */
/* A device whose memory lies in several pieces behind contiguous offsets: folios and spans keep to one of them, and all that is
 * done with bytes goes on over their ends. */
#include "stack_util.h"

#include "dax/layout.h"

enum { START = 3, PAGES = 64, SHIFT = PGMAP_PAGE_SHIFT };

static const uint64_t lengths[] = {16 * PAGE, 8 * PAGE, 40 * PAGE};
static struct bottom bottom;

static int open_device(void **state)
{
	(void)state;
	bottom = (struct bottom){.pages = PAGES};
	bottom.bytes = aligned_alloc(PAGE, (size_t)(START + PAGES) * PAGE);
	assert_non_null(bottom.bytes);
	memset(bottom.bytes, 0, (size_t)(START + PAGES) * PAGE);
	uint64_t given[3];
	memcpy(given, lengths, sizeof(given));
	const struct dax_params params = {
		.params_bytes = sizeof(params),
		.type = PGMAP_FSDAX,
		.start_bytes = (uint64_t)START * PAGE,
		.len_bytes = (uint64_t)PAGES * PAGE,
		.addr = bottom.bytes,
		.fd = -1,
		.ops = &bottom_ops,
		.ctx = &bottom,
		.pieces_bytes = given,
		.npieces = 3,
	};
	assert_int_equal(dax_create(&params, &bottom.dax), 0);
	memset(given, 0, sizeof(given)); /* it has been copied */
	return 0;
}

static int close_device(void **state)
{
	(void)state;
	bottom_close(&bottom);
	return 0;
}

static void c6_4_a_span_ends_with_its_piece(void **state)
{
	(void)state;
	assert_lies(bottom.dax, 0, 64, &bottom, 0, 16);
	assert_lies(bottom.dax, 15, 64, &bottom, 15, 1);
	assert_lies(bottom.dax, 16, 64, &bottom, 16, 8);
	assert_lies(bottom.dax, 18, 2, &bottom, 18, 2);
	assert_lies(bottom.dax, 24, 64, &bottom, 24, 40);
	assert_lies(bottom.dax, 63, 64, &bottom, 63, 1);
}

/* Page 13 is where an aligned block of 16 pages begins, as the device begins 3 pages into its memory. */
static void c3_3_no_folio_lies_on_two_pieces(void **state)
{
	(void)state;
	struct folio *folio, *folios[PAGES];
	struct pgmap *pgmap = dax_pgmap(bottom.dax);
	size_t n;
	assert_int_equal(pgmap_request_folio(pgmap, START + 13, 4, &folio), -ERANGE);
	assert_int_equal(pgmap_request_folio(pgmap, START + 13, 1, &folio), 0);
	folio_put(folio);
	assert_int_equal(pgmap_request_folios(pgmap, START + 10, 10, folios, &n), -ERANGE);
	assert_int_equal(dax_request_folios(bottom.dax, 0, PAGES, folios, PAGES, &n), 0);
	for (size_t i = 0; i < n; i++) {
		uint64_t from = folio_pgoff(folios[i]) - START, end = from + folio_pages(folios[i]);
		assert_true(end <= 16 || (from >= 16 && end <= 24) || from >= 24);
		folio_put(folios[i]);
	}
	assert_int_equal(pgmap_live_pages(pgmap), 0);
}

static int note(uint64_t pgoff, uint64_t npages, void *arg)
{
	uint64_t *seen = arg;
	seen[0]++;
	seen[1] = pgoff;
	seen[2] = npages;
	return 0;
}

static void c6_5_poison_goes_over_the_ends_of_pieces(void **state)
{
	(void)state;
	struct holder holder = {0};
	struct dax_span span;
	uint64_t seen[3] = {0};
	static const char bytes[12 * PAGE] = "good again";
	char back[12 * PAGE];
	assert_int_equal(dax_hold(bottom.dax, &holder, &holder_ops), 0);
	assert_int_equal(dax_notify_failure(bottom.dax, DAX_FAILURE_POISON, 14, 12), 0);
	assert_int_equal(holder.calls, 1);
	assert_true(only_pages(holder.poisoned, 14, 12));
	assert_int_equal(dax_for_each_poisoned(bottom.dax, note, seen), 0);
	assert_true(seen[0] == 1 && seen[1] == 14 && seen[2] == 12);
	assert_int_equal(dax_direct_access(bottom.dax, 0, 64, &span), 14);
	assert_int_equal(dax_direct_access(bottom.dax, 20, 64, &span), -EHWPOISON);
	assert_int_equal(dax_copy_from(bottom.dax, (uint64_t)14 << SHIFT, back, sizeof(back)), -EIO);
	assert_int_equal(dax_recovery_write(bottom.dax, (uint64_t)14 << SHIFT, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(dax_copy_from(bottom.dax, (uint64_t)14 << SHIFT, back, sizeof(back)), sizeof(back));
	assert_memory_equal(back, bytes, sizeof(back));
	seen[0] = 0;
	assert_int_equal(dax_for_each_poisoned(bottom.dax, note, seen), 0);
	assert_int_equal(seen[0], 0);
	assert_int_equal(dax_release(bottom.dax, &holder), 0);
}

static void bytes_go_over_the_ends_of_pieces(void **state)
{
	(void)state;
	char bytes[20 * PAGE], back[20 * PAGE];
	memset(bytes, 0x5a, sizeof(bytes));
	assert_int_equal(dax_copy_to(bottom.dax, (uint64_t)10 << SHIFT, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(dax_copy_from(bottom.dax, (uint64_t)10 << SHIFT, back, sizeof(back)), sizeof(back));
	assert_memory_equal(back, bytes, sizeof(back));
	assert_memory_equal(bottom.bytes + (START + 10) * PAGE, bytes, sizeof(bytes));
	assert_int_equal(dax_zero_range(bottom.dax, 10, 20), 0);
	assert_int_equal(bottom.bytes[(START + 29) * PAGE], 0);
	assert_int_equal(dax_populate(bottom.dax, 10, 20), 0);
	assert_true(bottom.populates == 1 && bottom.offset == (START + 10) * PAGE && bottom.len == 20 * PAGE);
}

/* A stripe is one row of blocks of one size: none may lie on two pieces of any part. */
static void a_stripes_folios_are_as_small_as_the_pieces_demand(void **state)
{
	(void)state;
	struct bottom other;
	struct dax_device *dax;
	struct segments segments = {0};
	bottom_open_at(&other, START, PAGES, 0);
	const struct dax_part parts[] = {{bottom.dax, 5, 32}, {other.dax, 5, 32}};
	assert_int_equal(dax_create_stripe(parts, 2, 16, "stripe", &dax), 0);
	assert_lies(dax, 0, 64, &bottom, 5, 11); /* of the chunk's 16 */
	assert_lies(dax, 16, 64, &other, 5, 16);
	assert_int_equal(layout_of(dax, &segments), 0);
	assert_int_equal(segments.n, 1);
	assert_int_equal(segments.at[0].max_order, 0); /* a piece ends 11 pages into the part */
	layout_end(&segments);
	assert_int_equal(dax_destroy(dax), 0);
	bottom_close(&other);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(c6_4_a_span_ends_with_its_piece, open_device, close_device),
		cmocka_unit_test_setup_teardown(c3_3_no_folio_lies_on_two_pieces, open_device, close_device),
		cmocka_unit_test_setup_teardown(c6_5_poison_goes_over_the_ends_of_pieces, open_device, close_device),
		cmocka_unit_test_setup_teardown(bytes_go_over_the_ends_of_pieces, open_device, close_device),
		cmocka_unit_test_setup_teardown(a_stripes_folios_are_as_small_as_the_pieces_demand, open_device,
						close_device),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
