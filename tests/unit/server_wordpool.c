/* SPDX-License-Identifier: BSD-3-Clause */
/* server_wordpool.c - ranges are disjoint while in use, and the pool is whole again when all are back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "failing.h"
#include "server/wordpool.h"

enum { COUNT = 1000, RANGES = 64, ROUNDS = 20000 };

static void ranges_never_overlap_and_merge_again(void **state)
{
	(void)state;
	struct wordpool *pool = wordpool_create(COUNT);
	unsigned char used[COUNT] = {0};
	struct {
		uint64_t first, n;
	} ranges[RANGES] = {0};
	uint64_t available = COUNT;
	unsigned seed = 1;
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned i = (unsigned)rand_r(&seed) % RANGES;
		if (ranges[i].n) {
			memset(used + ranges[i].first, 0, ranges[i].n);
			wordpool_free(pool, ranges[i].first, ranges[i].n);
			available += ranges[i].n;
			ranges[i].n = 0;
		} else {
			uint64_t n = 1 + (uint64_t)rand_r(&seed) % 40, first = UINT64_MAX;
			if (wordpool_alloc(pool, n, &first) != 0)
				continue;
			assert_true(first <= COUNT - n);
			for (uint64_t k = first; k < first + n; k++)
				assert_int_equal(used[k]++, 0);
			ranges[i].first = first;
			ranges[i].n = n;
			available -= n;
		}
		assert_int_equal(wordpool_available(pool), available);
	}
	for (unsigned i = 0; i < RANGES; i++)
		if (ranges[i].n)
			wordpool_free(pool, ranges[i].first, ranges[i].n);
	uint64_t first;
	assert_int_equal(wordpool_alloc(pool, COUNT, &first), 0); /* one hole again */
	assert_int_equal(first, 0);
	wordpool_free(pool, 0, COUNT);
	wordpool_destroy(pool);
}

static void the_smallest_hole_that_fits_is_taken(void **state)
{
	(void)state;
	struct wordpool *pool = wordpool_create(100);
	uint64_t a, b, c, d;
	assert_int_equal(wordpool_alloc(pool, 30, &a), 0);
	assert_int_equal(wordpool_alloc(pool, 10, &b), 0);
	assert_int_equal(wordpool_alloc(pool, 10, &c), 0);
	assert_int_equal(wordpool_alloc(pool, 10, &d), 0);
	wordpool_free(pool, a, 30);
	wordpool_free(pool, c, 10);
	assert_int_equal(wordpool_alloc(pool, 9, &d), 0);
	assert_int_equal(d, c);
	wordpool_destroy(pool);
}

static void what_does_not_fit_is_refused(void **state)
{
	(void)state;
	struct wordpool *pool = wordpool_create(10);
	uint64_t first = 77;
	assert_int_equal(wordpool_alloc(pool, 11, &first), -ENOSPC);
	assert_int_equal(wordpool_alloc(pool, 0, &first), -EINVAL);
	assert_int_equal(first, 77);
	wordpool_destroy(pool);
	wordpool_destroy(NULL);
}

/* Between ranges that are in use, where there is nothing to merge it with. */
static void what_is_put_back_needs_no_memory(void **state)
{
	(void)state;
	struct wordpool *pool = wordpool_create(100);
	uint64_t ranges[5], first = 77;
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(wordpool_alloc(pool, 20, &ranges[i]), 0);
	failing_begin(1, true);
	wordpool_free(pool, ranges[1], 20);
	wordpool_free(pool, ranges[3], 20);
	assert_int_equal(wordpool_available(pool), 40);
	assert_int_equal(wordpool_alloc(pool, 10, &first), -ENOMEM);
	assert_int_equal(first, 77);
	assert_int_equal(wordpool_available(pool), 40);
	wordpool_free(pool, ranges[2], 20);
	wordpool_free(pool, ranges[0], 20);
	wordpool_free(pool, ranges[4], 20);
	(void)failing_end();
	assert_int_equal(wordpool_alloc(pool, 100, &first), 0);
	assert_int_equal(first, 0);
	wordpool_destroy(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_never_overlap_and_merge_again),
		cmocka_unit_test(the_smallest_hole_that_fits_is_taken),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(what_is_put_back_needs_no_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
