/* SPDX-License-Identifier: BSD-3-Clause */
/* The folio word: its fields, which counts are legal, and which exchanges happen. */
#include "core/word.h"

#include "core_util.h"

static uint64_t held(unsigned order, uint64_t refs, uint64_t pins)
{
	return word_make(WORD_HELD, order, refs * WORD_REF + pins * WORD_PIN);
}

static void c3_20_one_word_has_state_order_references_and_pins(void **state)
{
	(void)state;
	assert_int_equal(sizeof(word_t), 8);
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++) {
		uint64_t w = held(order, WORD_MAX, WORD_MAX - 1);
		assert_int_equal(word_state(w), WORD_HELD);
		assert_int_equal(word_order(w), order);
		assert_int_equal(word_refs(w), WORD_MAX);
		assert_int_equal(word_pins(w), WORD_MAX - 1);
		w |= WORD_FENCE;
		assert_int_equal(word_state(w), WORD_HELD);
		assert_int_equal(word_order(w), order);
		assert_int_equal(word_refs(w), WORD_MAX);
		assert_int_equal(word_pins(w), WORD_MAX - 1);
		assert_int_equal(word_state(held(order, 0, 0)), WORD_RELEASING);
	}
}

static void c3_1_idle_is_the_word_zero(void **state)
{
	(void)state;
	assert_true(word_make(WORD_CLOSED, 0, 0) == 0);
	assert_int_equal(word_state(0), WORD_CLOSED);
}

static void each_state_is_firm_undecided_or_open_as_the_table_says(void **state)
{
	(void)state;
	static const struct {
		enum word_state state;
		bool firm, undecided, open, held;
	} table[] = {
		{WORD_CLOSED, false, false, false, false},     {WORD_OPEN, false, false, true, false},
		{WORD_CLAIM, false, true, false, false},       {WORD_CLOSING, false, true, false, false},
		{WORD_QUARANTINED, true, false, false, false},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order += 9) {
			uint64_t w = word_make(table[i].state, order, table[i].state == WORD_OPEN ? 0x1fe : 0);
			assert_int_equal(word_state(w), table[i].state);
			assert_int_equal(word_order(w), order);
			assert_int_equal(word_is_firm(w), table[i].firm);
			assert_int_equal(word_is_undecided(w), table[i].undecided);
			assert_int_equal(word_is_open(w), table[i].open);
			assert_int_equal(word_is_held(w), table[i].held);
		}
	uint64_t one = held(18, 1, 0), none = held(18, 0, 0);
	assert_true(word_is_firm(one) && word_is_held(one) && !word_is_open(one) && !word_is_undecided(one));
	assert_true(word_is_firm(none) && !word_is_held(none) && !word_is_open(none) && !word_is_undecided(none));
}

static void c3_14_a_get_is_legal_on_a_held_word_below_the_maximum(void **state)
{
	(void)state;
	assert_true(word_get_ok(held(3, 1, 0)));
	assert_true(word_get_ok(held(3, WORD_MAX - 1, WORD_MAX - 1)));
	assert_false(word_get_ok(held(3, WORD_MAX, 0)));
	assert_false(word_get_ok(held(3, WORD_MAX + 1, 0)));
	assert_false(word_get_ok(held(3, 0, 0)));
	assert_false(word_get_ok(0));
	assert_false(word_get_ok(word_make(WORD_OPEN, 0, 2)));
	assert_false(word_get_ok(word_make(WORD_QUARANTINED, 3, 0)));
	assert_false(word_get_ok(word_make(WORD_CLAIM, 3, 0)));
}

static void c3_17_a_put_is_legal_with_more_references_than_pins(void **state)
{
	(void)state;
	assert_true(word_put_one_ok(held(0, 1, 0)));
	assert_true(word_put_one_ok(held(0, 3, 2)));
	assert_false(word_put_one_ok(held(0, 2, 2)));
	assert_false(word_put_one_ok(held(0, 0, 0)));
	assert_false(word_put_one_ok(0));
	assert_false(word_put_one_ok(word_make(WORD_OPEN, 0, 2)));
	assert_true(word_put_ok(held(0, 5, 2), 3, 0));
	assert_false(word_put_ok(held(0, 5, 2), 4, 0));
	assert_true(word_put_ok(held(0, 5, 2), 5, 2));
	assert_false(word_put_ok(held(0, 5, 2), 5, 3));
	assert_false(word_put_ok(held(0, 5, 2), 6, 2));
	assert_false(word_put_ok(held(0, 5, 0), 1, 1));
	assert_false(word_put_ok(0, 1, 1));
	assert_true(word_put_last(held(0, 5, 2), 5));
	assert_false(word_put_last(held(0, 5, 2), 4));
}

static void c3_23_counts_do_not_disturb_their_neighbours(void **state)
{
	(void)state;
	word_t word = held(18, 1, 0);
	for (uint64_t i = 0; i < 1000; i++)
		assert_true(word_get_ok(word_get(&word, WORD_REF | WORD_PIN)));
	assert_true(word_load(&word) == held(18, 1001, 1000));
	for (uint64_t i = 1000; i > 0; i--)
		assert_true(word_put_ok(word_put(&word, 1, 1), 1, 1));
	assert_true(word_put(&word, 1, 0) == held(18, 1, 0));
	assert_int_equal(word_state(word_load(&word)), WORD_RELEASING);
	assert_int_equal(word_order(word_load(&word)), 18);
	assert_true(WORD_MAX >= (1u << 24) - 1);
}

static void c3_13_tryget_takes_only_held_words_of_the_order_or_above(void **state)
{
	(void)state;
	word_t word = held(9, 1, 0);
	uint64_t old = word_load(&word);
	assert_int_equal(word_tryget(&word, &old, 9), 1);
	old = word_load(&word);
	assert_int_equal(word_refs(old), 2);
	assert_int_equal(word_tryget(&word, &old, 10), 0);
	assert_int_equal(word_tryget(&word, &old, 0), 1);
	old = held(9, 77, 0); /* what it believed has changed */
	assert_int_equal(word_tryget(&word, &old, 9), 1);
	assert_true(word_load(&word) == held(9, 4, 0));

	static const enum word_state others[] = {WORD_CLOSED, WORD_OPEN, WORD_CLAIM, WORD_CLOSING, WORD_QUARANTINED};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		uint64_t w = word_make(others[i], 9, 0);
		word = w;
		old = w;
		assert_int_equal(word_tryget(&word, &old, 9), 0);
		old = held(9, 1, 0);
		assert_int_equal(word_tryget(&word, &old, 9), 0);
		assert_true(old == w);
		assert_true(word_load(&word) == w);
	}
	word = old = held(9, 0, 0);
	assert_int_equal(word_tryget(&word, &old, 9), 0);
	word = old = held(9, WORD_MAX, 0);
	assert_int_equal(word_tryget(&word, &old, 9), -1);
	assert_true(word_load(&word) == held(9, WORD_MAX, 0));
}

static void c3_9_a_claim_replaces_only_what_it_expects(void **state)
{
	(void)state;
	word_t word = 0;
	uint64_t old = 0;
	assert_true(word_claim(&word, &old, word_make(WORD_CLAIM, 4, 0)));
	old = 0;
	assert_false(word_claim(&word, &old, word_make(WORD_CLAIM, 5, 0)));
	assert_true(old == word_make(WORD_CLAIM, 4, 0));
	word_store(&word, held(4, 1, 0));
	assert_true(word_load(&word) == held(4, 1, 0));
}

static void c7_5_a_mark_is_set_on_held_and_quarantined_words_only(void **state)
{
	(void)state;
	word_t word = held(2, 3, 1);
	assert_true(word_mark(&word, WORD_FENCE) == held(2, 3, 1));
	assert_true(word_load(&word) == (held(2, 3, 1) | WORD_FENCE));
	assert_true(word_mark(&word, 0) == (held(2, 3, 1) | WORD_FENCE));
	assert_true(word_load(&word) == held(2, 3, 1));
	word = word_make(WORD_QUARANTINED, 2, 0);
	(void)word_mark(&word, WORD_FENCE);
	assert_true(word_load(&word) == (word_make(WORD_QUARANTINED, 2, 0) | WORD_FENCE));
	static const enum word_state others[] = {WORD_CLOSED, WORD_OPEN, WORD_CLAIM, WORD_CLOSING};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		word = word_make(others[i], 0, 0);
		(void)word_mark(&word, WORD_FENCE);
		assert_true(word_load(&word) == word_make(others[i], 0, 0));
	}
	word = held(2, 0, 0);
	(void)word_mark(&word, WORD_FENCE);
	assert_true(word_load(&word) == held(2, 0, 0));
}

static void c3_17_a_put_is_legal_only_on_what_is_held(void **state)
{
	(void)state;
	assert_false(word_put_ok(word_make(WORD_OPEN, 0, 6), 1, 0)); /* a mask is no count */
	assert_false(word_put_ok(word_make(WORD_CLOSING, 0, 6), 2, 0));
	assert_true(word_put_ok(word_make(WORD_HELD, 0, 6), 2, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c3_20_one_word_has_state_order_references_and_pins),
		cmocka_unit_test(c3_1_idle_is_the_word_zero),
		cmocka_unit_test(each_state_is_firm_undecided_or_open_as_the_table_says),
		cmocka_unit_test(c3_14_a_get_is_legal_on_a_held_word_below_the_maximum),
		cmocka_unit_test(c3_17_a_put_is_legal_with_more_references_than_pins),
		cmocka_unit_test(c3_23_counts_do_not_disturb_their_neighbours),
		cmocka_unit_test(c3_13_tryget_takes_only_held_words_of_the_order_or_above),
		cmocka_unit_test(c3_9_a_claim_replaces_only_what_it_expects),
		cmocka_unit_test(c7_5_a_mark_is_set_on_held_and_quarantined_words_only),
		cmocka_unit_test(c3_17_a_put_is_legal_only_on_what_is_held),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
