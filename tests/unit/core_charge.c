/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of who holds what: one charge a pair, a folio's charges are neighbours, and no memory is an error. */
#include "core/charge.h"

#include "core_util.h"

enum { MANY = 3000 };

static struct charge_table table;
static word_t words[MANY];

static struct pgmap_holder *add_holder(void)
{
	struct pgmap_holder *holder = calloc(1, sizeof(*holder));
	assert_non_null(holder);
	LIST_INIT(&holder->charges);
	LIST_INSERT_HEAD(&table.holders, holder, all);
	return holder;
}

static int setup(void **state)
{
	(void)state;
	charge_table_init(&table);
	return 0;
}

/* Frees the holders too: what is left is for the leak checker to see. */
static int teardown(void **state)
{
	(void)state;
	charge_table_exit(&table);
	return 0;
}

static void c4_1_a_pair_has_one_charge_that_begins_empty(void **state)
{
	(void)state;
	struct pgmap_holder *a = add_holder(), *b = add_holder();
	assert_null(charge_find(&table, &words[0], a));
	struct charge *charge = charge_make(&table, &words[0], a);
	assert_non_null(charge);
	assert_int_equal(charge->refs, 0);
	assert_int_equal(charge->pins[0] + charge->pins[1], 0);
	assert_false(charge->mark);
	assert_ptr_equal(charge->word, &words[0]);
	assert_ptr_equal(charge->holder, a);
	charge->refs = 5;
	charge->mark = true;
	assert_ptr_equal(charge_make(&table, &words[0], a), charge);
	assert_int_equal(charge->refs, 5);
	assert_ptr_equal(charge_find(&table, &words[0], a), charge);
	assert_null(charge_find(&table, &words[0], b));
	assert_null(charge_find(&table, &words[1], a));
	charge_drop(&table, charge);
	assert_null(charge_find(&table, &words[0], a));
	assert_true(LIST_EMPTY(&a->charges));
	charge =
		charge_make(&table, &words[0], a); /* the same memory, perhaps: nothing of the former charge is in it */
	assert_int_equal(charge->refs, 0);
	assert_false(charge->mark);
}

static void c4_1_a_folios_charges_are_neighbours(void **state)
{
	(void)state;
	struct pgmap_holder *holders[5];
	for (size_t i = 0; i < 5; i++)
		holders[i] = add_holder();
	for (size_t i = 0; i < 5; i++)
		for (size_t w = 0; w < 10; w++)
			if ((i + w) % 2 == 0)
				assert_non_null(charge_make(&table, &words[w], holders[i]));
	for (size_t w = 0; w < 10; w++) {
		unsigned seen = 0;
		for (struct charge *c = charge_first(&table, &words[w]); c; c = charge_next(&table, c)) {
			assert_ptr_equal(c->word, &words[w]);
			for (size_t i = 0; i < 5; i++)
				if (c->holder == holders[i])
					seen |= 1u << i;
		}
		assert_int_equal(seen, w % 2 == 0 ? 0x15 : 0x0a);
	}
	assert_null(charge_first(&table, &words[10]));
}

static void c4_1_a_holder_can_have_very_many(void **state)
{
	(void)state;
	struct pgmap_holder *a = add_holder(), *b = add_holder();
	for (uint32_t i = 0; i < MANY; i++) {
		uint32_t at = i * 7 % MANY;
		charge_make(&table, &words[at], a)->refs = at + 1;
		charge_make(&table, &words[at], b)->refs = 1;
	}
	uint64_t sum = 0, n = 0;
	struct charge *charge;
	LIST_FOREACH (charge, &a->charges, by_holder) {
		sum += charge->refs;
		n++;
	}
	assert_int_equal(n, MANY);
	assert_int_equal(sum, (uint64_t)MANY * (MANY + 1) / 2);
	for (uint32_t i = 0; i < MANY; i++) {
		charge = charge_find(&table, &words[i], a);
		assert_int_equal(charge->refs, i + 1);
		charge_drop(&table, charge);
	}
	assert_true(LIST_EMPTY(&a->charges));
	for (uint32_t i = 0; i < MANY; i++)
		assert_ptr_equal(charge_first(&table, &words[i])->holder, b);
}

static sigset_t mask_now(void)
{
	sigset_t now;
	sigemptyset(&now);
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	return now;
}

static void c3_24_signals_are_blocked_under_the_lock_and_as_before_after_it(void **state)
{
	(void)state;
	sigset_t before, saved, now;
	sigemptyset(&before);
	sigaddset(&before, SIGUSR2);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	charge_lock(&table, &saved);
	now = mask_now();
	charge_unlock(&table, &saved);
	assert_true(sigismember(&now, SIGUSR1) && sigismember(&now, SIGALRM) && sigismember(&now, SIGTERM));
	now = mask_now();
	assert_true(sigismember(&now, SIGUSR2));
	assert_false(sigismember(&now, SIGUSR1));
	sigemptyset(&before);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void c3_18_what_is_provided_can_be_made_without_memory(void **state)
{
	(void)state;
	struct pgmap_holder *a = add_holder();
	assert_int_equal(charge_provide(&table, 0), 0);
	assert_int_equal(charge_provide(&table, MANY), 0);
	struct charge_chunk *chunks = table.chunks;
	for (size_t i = 0; i < MANY; i++)
		assert_non_null(charge_make(&table, &words[i], a));
	assert_ptr_equal(table.chunks, chunks);
}

static uint64_t count_free(void)
{
	uint64_t n = 0;
	struct charge *charge;
	LIST_FOREACH (charge, &table.free, by_holder)
		n++;
	return n;
}

static void exactly_enough_memory(void *arg)
{
	(void)arg;
	CHILD_CHECK(charge_provide(&table, 1) == 0);
	uint64_t each = count_free();
	struct charge_chunk *chunks = table.chunks;
	CHILD_CHECK(charge_provide(&table, each) == 0);
	CHILD_CHECK(table.chunks == chunks); /* they are there already */
	limit_to(RLIMIT_DATA, "VmData", 64 * 1024);
	CHILD_CHECK(charge_provide(&table, 2 * each) == 0);
	CHILD_CHECK(count_free() == 2 * each);
}

static void c3_18_no_more_is_provided_than_is_needed(void **state)
{
	(void)state;
	expect_child_passes(exactly_enough_memory, NULL);
}

static void c4_1_charges_that_went_are_used_again_and_counted(void **state)
{
	(void)state;
	struct pgmap_holder *a = add_holder();
	assert_non_null(charge_make(&table, &words[0], a));
	struct charge_chunk *chunks = table.chunks;
	for (size_t i = 0; i < 2 * MANY; i++) {
		struct charge *charge = charge_make(&table, &words[1 + i % 2], a);
		assert_int_equal(atomic_load(&table.count), 2);
		charge_drop(&table, charge);
		assert_int_equal(atomic_load(&table.count), 1);
	}
	assert_ptr_equal(table.chunks, chunks);
}

static void without_memory(void *arg)
{
	(void)arg;
	struct pgmap_holder *a = calloc(1, sizeof(*a));
	CHILD_CHECK(a);
	limit_to(RLIMIT_DATA, "VmData", 0);
	CHILD_CHECK(charge_provide(&table, 1) == -ENOMEM);
	CHILD_CHECK(!charge_make(&table, &words[0], a));
	CHILD_CHECK(LIST_EMPTY(&a->charges) && !charge_find(&table, &words[0], a));
	limit_to(RLIMIT_DATA, "VmData", UINT64_MAX);
	CHILD_CHECK(charge_provide(&table, 1) == 0);
	limit_to(RLIMIT_DATA, "VmData", 0);
	CHILD_CHECK(charge_provide(&table, UINT64_C(1) << 20) == -ENOMEM);
	CHILD_CHECK(charge_make(&table, &words[0], a));
	CHILD_CHECK(charge_make(&table, &words[0], a)); /* one that is there needs no memory */
}

static void c3_7_without_memory_there_is_no_charge_and_no_trace(void **state)
{
	(void)state;
	expect_child_passes(without_memory, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(c4_1_a_pair_has_one_charge_that_begins_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(c4_1_a_folios_charges_are_neighbours, setup, teardown),
		cmocka_unit_test_setup_teardown(c4_1_a_holder_can_have_very_many, setup, teardown),
		cmocka_unit_test_setup_teardown(c3_24_signals_are_blocked_under_the_lock_and_as_before_after_it, setup,
						teardown),
		cmocka_unit_test_setup_teardown(c3_18_what_is_provided_can_be_made_without_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(c3_18_no_more_is_provided_than_is_needed, setup, teardown),
		cmocka_unit_test_setup_teardown(c4_1_charges_that_went_are_used_again_and_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(c3_7_without_memory_there_is_no_charge_and_no_trace, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
