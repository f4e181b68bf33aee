/* SPDX-License-Identifier: BSD-3-Clause */
/* Free space in blocks of every order: never handed out twice, aligned, whole again in the end, big blocks kept whole. */
#include "fs/buddy.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t seed = 88172645463325252u;

static uint64_t rnd(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

static void a_range_of_any_size_is_cut_into_maximal_blocks(void **state)
{
	(void)state;
	struct buddy buddy;
	assert_int_equal(buddy_init(&buddy, 5, 1000), 0); /* [5, 1005) */
	assert_true(buddy.nfree == 1000);
	assert_true(buddy.count[0] == 2 && buddy.count[1] == 1 && buddy.count[3] == 2 && buddy.count[8] == 2);
	assert_int_equal(buddy_max_order(&buddy), 8);
	buddy_exit(&buddy);
	assert_int_equal(buddy_init(&buddy, 0, UINT64_C(1) << 34), 0); /* 64 TiB of pages: one node */
	assert_true(buddy.count[34] == 1);
	buddy_exit(&buddy);
	assert_int_equal(buddy_init(&buddy, 0, 0), 0);
	assert_int_equal(buddy_max_order(&buddy), -1);
	struct block *block = NULL;
	assert_int_equal(buddy_alloc(&buddy, 0, &block), -ENOSPC);
	assert_int_equal(buddy_alloc(&buddy, 64, &block), -ENOSPC);
	assert_null(block);
}

static void small_requests_fill_broken_blocks_first(void **state)
{
	(void)state;
	struct buddy buddy;
	struct block *a, *b, *small[511];
	assert_int_equal(buddy_init(&buddy, 0, 4 * 512), 0);
	assert_int_equal(buddy_alloc(&buddy, 9, &a), 0);
	assert_int_equal(buddy_alloc(&buddy, 9, &b), 0);
	assert_true(a->off == 0 && b->off == 512);
	buddy_free(&buddy, a);
	for (unsigned i = 0; i < 511; i++) {
		assert_int_equal(buddy_alloc(&buddy, 0, &small[i]), 0);
		assert_true(small[i]->off == i); /* one block is broken, from its start, and no other */
	}
	assert_true(buddy.count[10] == 1 && buddy.count[0] == 1);
	buddy_free(&buddy, b);
	for (unsigned i = 0; i < 511; i++)
		buddy_free(&buddy, small[i]);
	assert_true(buddy.count[11] == 1);
	buddy_exit(&buddy);
}

static void a_block_may_come_back_in_parts(void **state)
{
	(void)state;
	struct buddy buddy;
	struct block *block, *upper = block_alloc();
	assert_int_equal(buddy_init(&buddy, 0, 64), 0);
	assert_int_equal(buddy_alloc(&buddy, 5, &block), 0);
	block_halve(block, upper);
	assert_true(upper->off == 16 && upper->order == 4 && block->order == 4);
	buddy_free(&buddy, upper);
	assert_true(buddy.nfree == 48);
	buddy_free(&buddy, block);
	assert_true(buddy.count[6] == 1);
	buddy_exit(&buddy);
}

static void a_given_block_can_be_taken_once(void **state)
{
	(void)state;
	struct buddy buddy;
	struct block *block, *other;
	assert_int_equal(buddy_init(&buddy, 0, 1024), 0);
	assert_int_equal(buddy_take(&buddy, 712, 3, &block), 0);
	assert_true(block->off == 712 && block->order == 3 && buddy.nfree == 1016);
	assert_int_equal(buddy_take(&buddy, 712, 3, &other), -ENOSPC);
	assert_int_equal(buddy_take(&buddy, 512, 9, &other), -ENOSPC);
	assert_int_equal(buddy_take(&buddy, 715, 0, &other), -ENOSPC);
	assert_int_equal(buddy_take(&buddy, 4096, 0, &other), -ENOSPC);
	buddy_free(&buddy, block);
	assert_true(buddy.count[10] == 1);
	buddy_exit(&buddy);
}

enum { START = 7 * 512, UNITS = 5000, SLOTS = 400, ROUNDS = 200000 };

/* Random allocations and frees against a map of the units. */
static void no_overlap_aligned_and_whole_in_the_end(void **state)
{
	(void)state;
	static unsigned char taken[UNITS];
	static struct block *slot[SLOTS];
	struct buddy buddy;
	uint64_t nfree = UNITS;
	assert_int_equal(buddy_init(&buddy, START, UNITS), 0);
	uint64_t fresh[BLOCK_MAX_ORDER + 1];
	memcpy(fresh, buddy.count, sizeof(fresh));
	for (int i = 0; i < ROUNDS; i++) {
		struct block **at = &slot[rnd(SLOTS)];
		if (*at) {
			memset(taken + (*at)->off - START, 0, block_pages(*at));
			nfree += block_pages(*at);
			buddy_free(&buddy, *at);
			*at = NULL;
		} else {
			unsigned order = (unsigned)rnd(8);
			int err = buddy_alloc(&buddy, order, at);
			if (err) {
				assert_int_equal(err, -ENOSPC);
				assert_true(buddy_max_order(&buddy) < (int)order);
				continue;
			}
			assert_int_equal((*at)->order, order);
			assert_true((*at)->off % block_pages(*at) == 0);
			assert_true((*at)->off >= START && (*at)->off + block_pages(*at) <= START + UNITS);
			for (uint64_t u = 0; u < block_pages(*at); u++)
				assert_int_equal(taken[(*at)->off - START + u]++, 0);
			nfree -= block_pages(*at);
		}
		assert_true(buddy.nfree == nfree);
	}
	for (int i = 0; i < SLOTS; i++) {
		if (slot[i])
			buddy_free(&buddy, slot[i]);
	}
	assert_memory_equal(fresh, buddy.count, sizeof(fresh));
	buddy_exit(&buddy);
	assert_true(buddy.nfree == 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_range_of_any_size_is_cut_into_maximal_blocks),
		cmocka_unit_test(small_requests_fill_broken_blocks_first),
		cmocka_unit_test(a_block_may_come_back_in_parts),
		cmocka_unit_test(a_given_block_can_be_taken_once),
		cmocka_unit_test(no_overlap_aligned_and_whole_in_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
