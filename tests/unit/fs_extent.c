/* SPDX-License-Identifier: BSD-3-Clause */
/* The blocks of a file: cut at any page, every page is kept or lost, once, in order, and aligned. */
#include "fs/extent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Pages 0 to 15 at device page 64, 16 to 19 at 8, 20 at 3: orders 4, 2 and 0. */
enum { PAGES = 21 };
static const struct {
	uint64_t key, off;
	unsigned order;
} shape[] = {{0, 64, 4}, {16, 8, 2}, {20, 3, 0}};

static uint64_t device_page(uint64_t page)
{
	if (page < 16)
		return 64 + page;
	return page < 20 ? 8 + page - 16 : 3;
}

static void make(struct extents *extents)
{
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	extents_init(extents);
	for (size_t i = 0; i < sizeof(shape) / sizeof(shape[0]); i++) {
		struct block *block = block_alloc();
		*block = (struct block){.key = shape[i].key, .off = shape[i].off, .order = shape[i].order};
		STAILQ_INSERT_TAIL(&blocks, block, list);
	}
	extents_add(extents, &blocks);
	assert_true(STAILQ_EMPTY(&blocks));
}

/* One block, the next of its list: from this page on, aligned, where the file's pages have always been. */
static uint64_t check_block(const struct block *block, uint64_t page)
{
	assert_int_equal(block->key, page);
	assert_int_equal(block->key % block_pages(block), 0);
	for (uint64_t i = 0; i < block_pages(block); i++)
		assert_int_equal(block->off + i, device_page(page + i));
	return block_end(block);
}

static unsigned count(const struct block_list *list)
{
	unsigned n = 0;
	struct block *block;
	STAILQ_FOREACH (block, list, list)
		n++;
	return n;
}

/* Cut at this page, then all the rest; the number of blocks on both sides. */
static void cut_at(uint64_t page, unsigned want_spares, unsigned want_kept, unsigned want_lost)
{
	struct extents extents;
	struct block_list spares = STAILQ_HEAD_INITIALIZER(spares), lost = STAILQ_HEAD_INITIALIZER(lost);
	uint64_t kept = page < PAGES ? page : PAGES, at = 0;
	make(&extents);
	assert_int_equal(extents_cut_spares(&extents, page), want_spares);
	assert_int_equal(block_spares_get(&spares, want_spares), 0);
	extents_cut(&extents, page, &spares, &lost);
	assert_true(STAILQ_EMPTY(&spares));
	assert_int_equal(extents.pages, kept);
	assert_int_equal(extents.count, want_kept);
	assert_int_equal(count(&lost), want_lost);
	for (struct block *block = block_first(&extents.tree); block; block = block_next(block))
		at = check_block(block, at);
	assert_int_equal(at, kept);
	struct block *block;
	STAILQ_FOREACH (block, &lost, list)
		at = check_block(block, at);
	assert_int_equal(at, PAGES);
	assert_int_equal(extents_cut_spares(&extents, 0), 0);
	extents_cut(&extents, 0, &spares, &lost);
	assert_int_equal(count(&lost), want_kept + want_lost);
	assert_int_equal(extents.pages, 0);
	assert_int_equal(extents.count, 0);
	assert_null(block_first(&extents.tree));
	block_free_list(&lost);
}

static void a_cut_between_blocks_halves_none(void **state)
{
	(void)state;
	cut_at(0, 0, 0, 3);
	cut_at(16, 0, 1, 2);
	cut_at(20, 0, 2, 1);
	cut_at(21, 0, 3, 0);
	cut_at(UINT64_C(1) << 40, 0, 3, 0);
}

static void a_cut_inside_of_a_block_halves_it_as_often_as_it_takes(void **state)
{
	(void)state;
	cut_at(8, 1, 1, 3);  /* 8 | 8 4 1 */
	cut_at(4, 2, 1, 4);  /* 4 | 4 8 4 1 */
	cut_at(5, 4, 2, 5);  /* 4 1 | 1 2 8 4 1 */
	cut_at(1, 4, 1, 6);  /* 1 | 1 2 4 8 4 1 */
	cut_at(15, 4, 4, 3); /* 8 4 2 1 | 1 4 1 */
	cut_at(17, 2, 2, 3); /* 16 1 | 1 2 1 */
	cut_at(18, 1, 2, 2); /* 16 2 | 2 1 */
}

static void take_range(uint64_t from, uint64_t to, unsigned want_kept, unsigned want_lost)
{
	struct extents extents;
	struct block_list spares = STAILQ_HEAD_INITIALIZER(spares), lost = STAILQ_HEAD_INITIALIZER(lost);
	const struct block *block;
	uint64_t page = from, hole = 0, hole_end;
	make(&extents);
	assert_int_equal(block_spares_get(&spares, extents_take_spares(&extents, from, to)), 0);
	extents_take(&extents, from, to, &spares, &lost);
	assert_int_equal(extents.count, want_kept);
	assert_int_equal(extents.pages, PAGES - (to - from));
	assert_int_equal(count(&lost), want_lost);
	STAILQ_FOREACH (block, &lost, list)
		page = check_block(block, page);
	assert_int_equal(page, to);
	for (page = 0; page < PAGES; page = page == from ? to : page)
		if (page != from)
			page = check_block(block_find(&extents.tree, page), page);
	assert_true(extents_hole(&extents, &hole, PAGES, &hole_end));
	assert_true(hole == from && hole_end == to);
	assert_true(extents_hole(&extents, &hole, from + 1, &hole_end));
	assert_true(hole == from && hole_end == from + 1);
	hole = to;
	assert_true(to == PAGES || !extents_hole(&extents, &hole, PAGES, &hole_end));
	block_free_list(&spares);
	block_free_list(&lost);
	extents_cut(&extents, 0, &spares, &lost);
	block_free_list(&lost);
}

static void a_range_is_taken_out_of_blocks_and_leaves_a_hole(void **state)
{
	(void)state;
	take_range(16, 20, 2, 1); /* 16 | 4 | 1 */
	take_range(4, 12, 4, 2);  /* 4 | 4 4 | 4, 4 1 */
	take_range(5, 6, 6, 1);   /* 4 1 | 1 | 2 8, 4 1 */
	take_range(1, 15, 4, 6);  /* 1 | 1 2 4 4 2 1 | 1, 4 1 */
	take_range(15, 17, 7, 2); /* 8 4 2 1 | 1, 1 | 1 2, 1 */
	take_range(0, 21, 0, 3);
}

static void the_biggest_order_is_that_of_what_is_there_now(void **state)
{
	(void)state;
	struct extents extents;
	struct block_list spares = STAILQ_HEAD_INITIALIZER(spares), lost = STAILQ_HEAD_INITIALIZER(lost);
	extents_init(&extents);
	assert_int_equal(extents_max_order(&extents), 0);
	make(&extents);
	assert_int_equal(extents_max_order(&extents), 4);
	assert_int_equal(block_spares_get(&spares, extents_cut_spares(&extents, 12)), 0);
	extents_cut(&extents, 12, &spares, &lost);
	assert_int_equal(extents_max_order(&extents), 3);
	struct block *big = STAILQ_FIRST(&lost);
	STAILQ_REMOVE_HEAD(&lost, list);
	*big = (struct block){.key = 512, .off = 512, .order = 9};
	STAILQ_INSERT_HEAD(&spares, big, list);
	extents_add(&extents, &spares);
	assert_int_equal(extents_max_order(&extents), 9);
	extents_cut(&extents, 0, &spares, &lost);
	assert_int_equal(extents_max_order(&extents), 0);
	block_free_list(&lost);
}

static void a_block_that_comes_while_the_biggest_is_unknown_counts(void **state)
{
	(void)state;
	struct extents extents;
	struct block_list spares = STAILQ_HEAD_INITIALIZER(spares), lost = STAILQ_HEAD_INITIALIZER(lost);
	make(&extents);
	extents_cut(&extents, 0, &spares, &lost); /* nobody asks in between */
	block_free_list(&lost);
	assert_int_equal(block_spares_get(&spares, 1), 0);
	*STAILQ_FIRST(&spares) = (struct block){.key = 0, .off = 2, .order = 1};
	extents_add(&extents, &spares);
	assert_int_equal(extents_max_order(&extents), 1);
	extents_cut(&extents, 0, &spares, &lost);
	block_free_list(&lost);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cut_between_blocks_halves_none),
		cmocka_unit_test(a_cut_inside_of_a_block_halves_it_as_often_as_it_takes),
		cmocka_unit_test(a_range_is_taken_out_of_blocks_and_leaves_a_hole),
		cmocka_unit_test(the_biggest_order_is_that_of_what_is_there_now),
		cmocka_unit_test(a_block_that_comes_while_the_biggest_is_unknown_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
