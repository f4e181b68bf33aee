/* SPDX-License-Identifier: BSD-3-Clause */
/* What state each page is in: the sums, the searches and the best place agree with a plain array. */
#include "fs/stock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 88172645463325252u;

static uint64_t rnd(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

/* Units of the model; with this start, the origin of the stock lies before it. */
enum { UNITS = 5000, START = 3 * 512 };

static unsigned char model[UNITS];

static struct stock_count model_count(uint64_t from, uint64_t n)
{
	struct stock_count count = {0, 0};
	for (uint64_t i = from; i < from + n; i++) {
		count.clean += model[i] == STOCK_CLEAN;
		count.dirty += model[i] == STOCK_DIRTY;
	}
	return count;
}

static uint64_t model_next(uint64_t from, enum stock_state state)
{
	while (from < UNITS && model[from] != state)
		from++;
	return from;
}

static void check(const struct stock *stock, uint64_t from, uint64_t n)
{
	unsigned k = stock->unit_order;
	enum stock_state state, kind = rnd(2) ? STOCK_CLEAN : STOCK_DIRTY;
	uint64_t start = (uint64_t)START << k;
	struct stock_count want = model_count(from, n), got = stock_count(stock, start + (from << k), n << k);
	assert_int_equal(got.clean, want.clean << k);
	assert_int_equal(got.dirty, want.dirty << k);
	uint64_t next = model_next(from, kind);
	assert_true(stock_next(stock, start + (from << k), kind) == (next == UNITS ? UINT64_MAX : start + (next << k)));
	uint64_t run = 1;
	while (run < n && model[from + run] == model[from])
		run++;
	assert_int_equal(stock_run(stock, start + (from << k), start + ((from + n) << k), &state), run << k);
	assert_int_equal(state, model[from]);
}

static void compare_with_model(unsigned unit_order)
{
	struct stock stock;
	for (int i = 0; i < UNITS; i++)
		model[i] = STOCK_ABSENT;
	assert_int_equal(stock_init(&stock, (uint64_t)START << unit_order, (uint64_t)UNITS << unit_order, unit_order),
			 0);
	for (int round = 0; round < 20000; round++) {
		uint64_t from = rnd(UNITS), n = 1 + rnd(rnd(2) ? 100 : UNITS);
		enum stock_state state = (enum stock_state)rnd(3);
		if (n > UNITS - from)
			n = UNITS - from;
		stock_set(&stock, (START + from) << unit_order, n << unit_order, state);
		for (uint64_t i = from; i < from + n; i++)
			model[i] = (unsigned char)state;
		check(&stock, from, n);
		from = rnd(UNITS);
		check(&stock, from, 1 + rnd(UNITS - from));
	}
	struct stock_count all = model_count(0, UNITS);
	assert_true(stock.clean == all.clean && stock.dirty == all.dirty);
	stock_exit(&stock);
}

static void random_changes_agree_with_a_model(void **state)
{
	(void)state;
	compare_with_model(0);
	compare_with_model(9);
}

/* Two tops and a half: 4 KiB units of 2.5 GiB. */
static void far_apart_is_found_and_counted(void **state)
{
	(void)state;
	struct stock stock;
	uint64_t n = UINT64_C(5) << 17, far = n - 3;
	assert_int_equal(stock_init(&stock, 0, n, 0), 0);
	assert_true(stock_next(&stock, 0, STOCK_DIRTY) == UINT64_MAX);
	stock_set(&stock, far, 2, STOCK_DIRTY);
	assert_int_equal(stock_next(&stock, 1, STOCK_DIRTY), far);
	assert_true(stock_next(&stock, far + 2, STOCK_DIRTY) == UINT64_MAX);
	assert_true(stock_next(&stock, 0, STOCK_CLEAN) == UINT64_MAX);
	stock_set(&stock, 0, n, STOCK_CLEAN);
	struct stock_count count = stock_count(&stock, 1, n - 1);
	assert_true(count.clean == n - 1 && count.dirty == 0);
	stock_exit(&stock);
}

/* From some units to many, over the edge of a word, a sum and a top. */
static void what_grows_keeps_what_it_says(void **state)
{
	(void)state;
	static const uint64_t ends[] = {41, 64, 65, 700, 70000, (UINT64_C(1) << 18) + 1, UINT64_C(5) << 30};
	struct stock stock;
	assert_int_equal(stock_init(&stock, 9, 31, 0), 0);
	stock_set(&stock, 9, 31, STOCK_DIRTY);
	uint64_t dirty = 31;
	for (int i = 0; i < 7; i++) {
		uint64_t end = ends[i];
		assert_int_equal(stock_grow(&stock, end), 0);
		struct stock_count count = stock_count(&stock, 9, end - 9);
		assert_true(count.dirty == dirty && count.clean == 0 && stock.dirty == dirty);
		stock_set(&stock, end - 1, 1, STOCK_DIRTY);
		assert_int_equal(stock_next(&stock, end - 1, STOCK_DIRTY), end - 1);
		dirty++;
	}
	assert_int_equal(stock_grow(&stock, 50), 0); /* never shorter */
	assert_int_equal(stock_next(&stock, ends[6] - 1, STOCK_DIRTY), ends[6] - 1);
	assert_int_equal(stock_grow(&stock, UINT64_C(1) << 55), -ENOMEM);
	assert_int_equal(stock.dirty, dirty);
	assert_int_equal(stock_next(&stock, 41, STOCK_DIRTY), 63);
	stock_exit(&stock);
}

/* The best part of a block for each order, in a block of three sizes: within a sum, within a top, beyond. */
static void the_part_that_takes_the_least_work_is_found(void **state)
{
	(void)state;
	static const unsigned blocks[] = {8, 17, 20};
	struct stock stock;
	uint64_t cost;
	for (int i = 0; i < 3; i++) {
		unsigned order = blocks[i];
		uint64_t n = UINT64_C(1) << order, part = n / 4, two = 2 * part;
		assert_int_equal(stock_init(&stock, 0, n, 0), 0);
		assert_int_equal(stock_best(&stock, 0, order, order - 2, &cost), 0);
		assert_int_equal(cost, 4 * part); /* nothing has memory: the lowest */
		stock_set(&stock, 3 * part, part, STOCK_DIRTY);
		assert_int_equal(stock_best(&stock, 0, order, order - 2, &cost), 3 * part);
		assert_int_equal(cost, part);
		stock_set(&stock, two, part, STOCK_CLEAN);
		assert_int_equal(stock_best(&stock, 0, order, order - 2, &cost), two);
		assert_int_equal(cost, 0);
		assert_int_equal(stock_best(&stock, 0, order, 0, &cost), two);
		assert_int_equal(cost, 0);
		stock_set(&stock, two + 1, 1, STOCK_ABSENT);
		assert_int_equal(stock_best(&stock, two, order - 2, 1, &cost), two + 2);
		assert_int_equal(stock_best(&stock, 0, order, order, &cost), 0);
		assert_int_equal(cost, 4 * two + part + 4);
		stock_exit(&stock);
	}
}

static void a_device_too_big_for_the_address_space_is_refused(void **state)
{
	(void)state;
	struct stock stock;
	assert_int_equal(stock_init(&stock, 0, UINT64_C(1) << 58, 0), -ENOMEM);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_changes_agree_with_a_model),
		cmocka_unit_test(far_apart_is_found_and_counted),
		cmocka_unit_test(what_grows_keeps_what_it_says),
		cmocka_unit_test(the_part_that_takes_the_least_work_is_found),
		cmocka_unit_test(a_device_too_big_for_the_address_space_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
