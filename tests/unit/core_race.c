/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one thread finds when another comes between two of its steps, where neither chance nor the torture gets to it each
 * time: at each step in turn. What the other call would wait for, it does not begin with. core_race_split.c has the splits.
 */
#include "core_between.h"

#include "port/slot.h"

static struct folio *second;

/* The block of the first 512 pages is closed, and opened by somebody else: without the bit that a request has set there. */
static void close_and_open(void)
{
	if (!word_is_open(word_at(1, 0)) || word_is_undecided(word_at(0, 4)) || word_is_firm(word_at(0, 4)))
		return;
	came++;
	folio_put(request(pgmap, 0, PGMAP_ORDER_PMD));
	folio_put(request(pgmap, 100, 0));
}

static void c3_9_a_request_whose_block_was_closed_and_opened_is_seen_by_others(void **state)
{
	(void)state;
	for (unsigned long n = 0;; n++) {
		come_between(n, close_and_open);
		int r = pgmap_request_folio(pgmap, 4, 1, &folio);
		bool ran = it_came();
		assert_int_equal(r, 0);
		assert_int_equal(refused(pgmap, 5, 0), -EBUSY); /* by the mask: its own word says nothing */
		folio_put(folio);
		folio_put(request(pgmap, 0, PGMAP_ORDER_PUD)); /* all closed again */
		folio_put(request(pgmap, 100, 0));
		if (!ran)
			break;
	}
	assert_int_not_equal(came, 0);
}

/* Into a block that a request is about to close. */
static void take_two_pages(void)
{
	if (!word_is_open(word_at(1, 0)))
		return;
	came++;
	second = request(pgmap, 4, 1);
}

static void close_at_each_step(unsigned order)
{
	unsigned busy = 0;
	for (unsigned long n = 0;; n++) {
		folio_put(request(pgmap, 100, 0)); /* open, with an empty mask */
		second = NULL;
		come_between(n, take_two_pages);
		int r = pgmap_request_folio(pgmap, 0, order, &folio);
		bool ran = it_came();
		busy += r == -EBUSY;
		assert_int_equal(r, second ? -EBUSY : 0);
		if (second)
			assert_int_equal(refused(pgmap, 5, 0), -EBUSY); /* by the mask, which is what it was */
		folio_put(second ? second : folio);
		folio_put(request(pgmap, 0, PGMAP_ORDER_PUD));
		if (!ran)
			break;
	}
	assert_int_not_equal(busy, 0);
	assert_int_equal(busy, came);
}

static void c3_9_a_request_that_closes_a_block_sees_who_came_into_it(void **state)
{
	(void)state;
	close_at_each_step(PGMAP_ORDER_PMD);
	came = 0;
	close_at_each_step(PGMAP_ORDER_PUD);
}

static void find_nine(void)
{
	assert_ptr_equal(find(pgmap, 9), folio);
	came += word_state(word_at(1, 0)) == WORD_CLOSING;
}

static void c3_13_a_folio_in_a_block_that_somebody_tries_to_close_is_found(void **state)
{
	(void)state;
	folio = request(pgmap, 8, 2);
	for (unsigned long n = 0;; n++) {
		come_between(n, find_nine);
		assert_int_equal(pgmap_request_folio(pgmap, 0, PGMAP_ORDER_PMD, &second), -EBUSY);
		if (!it_came())
			break;
	}
	folio_put(folio);
	assert_int_not_equal(came, 0);
}

static void put_it(void)
{
	folio_put(folio);
	folio = NULL;
}

static void c3_13_a_folio_that_goes_while_it_is_looked_for_is_not_found(void **state)
{
	(void)state;
	unsigned gone = 0;
	for (;; gone++) {
		struct folio *out = NULL;
		folio = request(pgmap, 8, 2);
		come_between(gone, put_it);
		int r = pgmap_find_folio(pgmap, 9, &out);
		if (!it_came())
			break;
		assert_int_equal(r, -ENOENT);
		assert_null(out);
	}
	put_it();
	assert_true(gone > 6); /* it looks twice, on three levels */
}

static void take_the_block(void)
{
	folio = request(pgmap, 0, PGMAP_ORDER_PMD);
}

static void c3_13_what_comes_while_it_is_looked_for_is_found_or_not(void **state)
{
	(void)state;
	unsigned found = 0, missed = 0;
	for (;;) {
		struct folio *out = NULL;
		folio_put(request(pgmap, 9, 0)); /* open */
		come_between(found + missed, take_the_block);
		int r = pgmap_find_folio(pgmap, 9, &out);
		if (!it_came())
			break;
		found += r == 0;
		missed += r != 0;
		assert_int_equal(r, out ? 0 : -ENOENT);
		assert_true(!out || out == folio);
		put_it();
	}
	assert_int_not_equal(found, 0);
	assert_int_not_equal(missed, 0);
}

static void unpin_it(void)
{
	folio_unpin(folio, NULL, FOLIO_PIN_LOCAL);
}

/* As a signal handler does that interrupts its thread in the middle of a plain count. */
static void c3_24_the_last_unpin_may_come_between_the_steps_of_a_count(void **state)
{
	(void)state;
	for (unsigned long n = 0;; n++) {
		folio = request(pgmap, 8, 2);
		unsigned own = port_slot_plus_one - 1;
		assert_int_equal(folio_pin(folio, NULL, FOLIO_PIN_LOCAL), 0);
		folio_put(folio);
		come_between(n, unpin_it);
		live_add_own(&pgmap->live, own, 1);
		bool ran = it_came();
		if (!ran)
			unpin_it();
		assert_int_equal(pgmap_live_pages(pgmap), 1);
		live_add_own(&pgmap->live, own, -1);
		if (!ran)
			break;
		came++;
	}
	assert_int_equal(came, 2);
}

static struct live live;

static void kill_live(void)
{
	live_kill(&live);
}

static void revive_live(void)
{
	uint64_t found;
	came += live_revive(&live, &found);
}

static void c2_8_two_kills_and_two_revivals_at_once_are_one(void **state)
{
	(void)state;
	for (unsigned long n = 0; n < 2; n++) {
		atomic_store_explicit(&live.state, 5 << 2 | LIVE_LIVE, memory_order_seq_cst);
		come_between(n, kill_live);
		live_kill(&live);
		assert_true(it_came());
		assert_int_equal(live_state(&live), 5 << 2 | LIVE_DYING);
		uint64_t found = 0;
		came = 0;
		come_between(n, revive_live);
		bool did = live_revive(&live, &found);
		assert_true(it_came());
		assert_int_equal(came, 1);
		assert_false(did);
		assert_int_equal(found, 6 << 2 | LIVE_LIVE);
		assert_int_equal(live_state(&live), 6 << 2 | LIVE_LIVE);
	}
}

static pinword_t pinword;

static void pin(void)
{
	assert_int_equal(pinword_pin(&pinword, 0), 0);
}

static void a_pin_between_the_steps_of_a_block_is_seen_by_it(void **state)
{
	(void)state;
	for (unsigned long n = 0; n < 2; n++) {
		pinword_init(&pinword, PINWORD_OPEN);
		come_between(n, pin);
		assert_int_equal(pinword_block(&pinword, PINWORD_WAIT).local, 1);
		assert_true(it_came());
		pinword_init(&pinword, PINWORD_OPEN);
		come_between(n, pin);
		assert_int_equal(pinword_close(&pinword), -EBUSY);
		assert_true(it_came());
		pinword_init(&pinword, PINWORD_OPEN);
		come_between(n, pin);
		assert_int_equal(pinword_pin(&pinword, 0), 0);
		assert_true(it_came());
		assert_int_equal(pinword_read(&pinword).local, 2);
		come_between(n, pin);
		assert_int_equal(pinword_unpin(&pinword, 0), 0);
		assert_true(it_came());
		assert_int_equal(pinword_read(&pinword).local, 2);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(c3_9_a_request_whose_block_was_closed_and_opened_is_seen_by_others),
		TEST(c3_9_a_request_that_closes_a_block_sees_who_came_into_it),
		TEST(c3_13_a_folio_that_goes_while_it_is_looked_for_is_not_found),
		TEST(c3_13_a_folio_in_a_block_that_somebody_tries_to_close_is_found),
		TEST(c3_13_what_comes_while_it_is_looked_for_is_found_or_not),
		TEST(c3_24_the_last_unpin_may_come_between_the_steps_of_a_count),
		cmocka_unit_test(c2_8_two_kills_and_two_revivals_at_once_are_one),
		cmocka_unit_test(a_pin_between_the_steps_of_a_block_is_seen_by_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
