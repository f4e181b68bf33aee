/* SPDX-License-Identifier: BSD-3-Clause */
/* Trees and lists of blocks: what has a page is found, and nothing else; two blocks of one page are the end. */
#include "fs/block.h"

#include "core_util.h"

static struct block low = {.key = 4, .off = 104, .order = 2};   /* pages 4 to 7 */
static struct block high = {.key = 16, .off = 116, .order = 3}; /* pages 16 to 23 */
static struct block one = {.key = 24, .off = 7, .order = 0};    /* page 24 */

static struct block_tree make_tree(void)
{
	struct block_tree tree = RB_INITIALIZER(&tree);
	block_insert(&tree, &high);
	block_insert(&tree, &one);
	block_insert(&tree, &low);
	return tree;
}

static void a_page_is_covered_by_the_block_that_has_it(void **state)
{
	(void)state;
	struct block_tree tree = make_tree();
	for (uint64_t page = 0; page < 30; page++) {
		struct block *want = NULL;
		if (page >= 4 && page < 8)
			want = &low;
		else if (page >= 16 && page < 24)
			want = &high;
		else if (page == 24)
			want = &one;
		assert_ptr_equal(block_covering(&tree, page), want);
		assert_ptr_equal(block_find(&tree, page), want && want->key == page ? want : NULL);
	}
}

static void keys_are_walked_both_ways_and_sought_from_anywhere(void **state)
{
	(void)state;
	struct block_tree tree = make_tree();
	assert_ptr_equal(block_first(&tree), &low);
	assert_ptr_equal(block_next(&low), &high);
	assert_ptr_equal(block_next(&high), &one);
	assert_null(block_next(&one));
	assert_ptr_equal(block_last(&tree), &one);
	assert_ptr_equal(block_previous(&one), &high);
	assert_null(block_previous(&low));
	assert_ptr_equal(block_at_or_after(&tree, 0), &low);
	assert_ptr_equal(block_at_or_after(&tree, 4), &low);
	assert_ptr_equal(block_at_or_after(&tree, 5), &high);
	assert_ptr_equal(block_at_or_after(&tree, 24), &one);
	assert_null(block_at_or_after(&tree, 25));
}

static void what_is_removed_is_not_found(void **state)
{
	(void)state;
	struct block_tree tree = make_tree();
	block_remove(&tree, &high);
	assert_null(block_covering(&tree, 20));
	assert_ptr_equal(block_next(&low), &one);
	block_insert(&tree, &high);
	assert_ptr_equal(block_covering(&tree, 20), &high);
	block_remove(&tree, &low);
	block_remove(&tree, &high);
	block_remove(&tree, &one);
	assert_null(block_first(&tree));
	assert_null(block_last(&tree));
	assert_null(block_covering(&tree, 4));
}

static void insert_twice(void *arg)
{
	(void)arg;
	struct block_tree tree = make_tree();
	struct block again = {.key = 16, .off = 512, .order = 9};
	block_insert(&tree, &again);
}

static void two_blocks_of_one_page_abort_with_both(void **state)
{
	(void)state;
	char said[256];
	int status = in_child(insert_twice, NULL, said, sizeof(said));
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_string_equal(said, "fsdax: two blocks at page 16: device page 116 order 3, and 512 order 9\n");
}

static void halves_are_neighbours_in_the_file_and_on_the_device(void **state)
{
	(void)state;
	struct block block = {.key = 64, .off = 1024, .order = 5}, upper;
	block_halve(&block, &upper);
	assert_int_equal(block.key, 64);
	assert_int_equal(block.off, 1024);
	assert_int_equal(block.order, 4);
	assert_int_equal(upper.key, 80);
	assert_int_equal(upper.off, 1040);
	assert_int_equal(upper.order, 4);
	assert_int_equal(block_end(&block), upper.key);
	struct block giant = {.key = 0, .off = 0, .order = BLOCK_MAX_ORDER};
	block_halve(&giant, &upper);
	assert_true(upper.off == UINT64_C(1) << 47 && block_end(&upper) == UINT64_C(1) << 48);
}

static void spares_are_as_many_as_asked_for(void **state)
{
	(void)state;
	struct block_list spares = STAILQ_HEAD_INITIALIZER(spares);
	assert_int_equal(block_spares_get(&spares, 0), 0);
	assert_true(STAILQ_EMPTY(&spares));
	assert_int_equal(block_spares_get(&spares, 5), 0);
	assert_int_equal(block_spares_get(&spares, 2), 0);
	unsigned n = 0;
	struct block *block;
	STAILQ_FOREACH (block, &spares, list)
		n++;
	assert_int_equal(n, 7);
	block_free_list(&spares);
	assert_true(STAILQ_EMPTY(&spares));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_is_covered_by_the_block_that_has_it),
		cmocka_unit_test(keys_are_walked_both_ways_and_sought_from_anywhere),
		cmocka_unit_test(what_is_removed_is_not_found),
		cmocka_unit_test(two_blocks_of_one_page_abort_with_both),
		cmocka_unit_test(halves_are_neighbours_in_the_file_and_on_the_device),
		cmocka_unit_test(spares_are_as_many_as_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
