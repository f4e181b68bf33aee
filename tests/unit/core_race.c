/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one thread finds when another comes between two of its steps, where neither chance nor the torture gets to it each
 * time: the headers and claim.c are compiled into this program with a hook before each atomic operation, which runs the whole
 * of another call there; at each step in turn. What the other call would wait for, it does not begin with.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "port/barrier.h"

static void step(void);
static void relax(void);

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit
#ifdef __clang__
#define atomic_load_explicit(p, o)     (step(), __c11_atomic_load((p), (o)))
#define atomic_store_explicit(p, v, o) (step(), __c11_atomic_store((p), (v), (o)))
#define atomic_compare_exchange_strong_explicit(p, e, v, s, f)                                                         \
	(step(), __c11_atomic_compare_exchange_strong((p), (e), (v), (s), (f)))
#define atomic_compare_exchange_weak_explicit(p, e, v, s, f)                                                           \
	(step(), __c11_atomic_compare_exchange_weak((p), (e), (v), (s), (f)))
#else
#define atomic_load_explicit(p, o)     (step(), __atomic_load_n((p), (o)))
#define atomic_store_explicit(p, v, o) (step(), __atomic_store_n((p), (v), (o)))
#define atomic_compare_exchange_strong_explicit(p, e, v, s, f)                                                         \
	(step(), __atomic_compare_exchange_n((p), (e), (v), 0, (s), (f)))
#define atomic_compare_exchange_weak_explicit(p, e, v, s, f)                                                           \
	(step(), __atomic_compare_exchange_n((p), (e), (v), 1, (s), (f)))
#endif
#undef CLAIM_RELAX
#define CLAIM_RELAX() relax()

#include "core/claim.c" // NOLINT(bugprone-suspicious-include): the code under test, between whose steps we come
#include "core/pinword.h"

#include "core_util.h"

#include "core/map.h"

static void (*other)(void);  /* what comes between */
static unsigned long before; /* how many steps are left until then */
static void (*waiting)(void);
static unsigned came, relaxed; /* how often the other one did something; how often somebody waited */

static void step(void)
{
	if (!other || before-- != 0)
		return;
	void (*now)(void) = other;
	other = NULL;
	now();
}

static void relax(void)
{
	relaxed++;
	if (waiting)
		waiting();
}

/* From here on, `fn` runs before the nth atomic operation. */
static void come_between(unsigned long nth, void (*fn)(void))
{
	before = nth;
	other = fn;
}

/* Whether it ran: if not, there were not so many steps. */
static bool it_came(void)
{
	bool ran = !other;
	other = NULL;
	return ran;
}

static struct pgmap *pgmap;
static struct folio *folio, *second;

static int setup(void **state)
{
	(void)state;
	pgmap = make_generic(2 * PUD_PAGES);
	came = relaxed = 0;
	waiting = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	end_pgmap(pgmap);
	return 0;
}

static uint64_t word_at(unsigned level, uint64_t i)
{
	return word_load(claim_word(&pgmap->tree, level, i));
}

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

/* A lookup that had begun before the split meets one of its parts, which is undecided, and the count is no longer 1. */
static void meet_a_part(void)
{
	if (word_order(word_at(0, 8)) != 3 || !word_is_held(word_at(0, 10)))
		return;
	came++;
	(void)word_get(claim_word(&pgmap->tree, 0, 10), WORD_REF);
	folio_get(folio);
}

static void put_the_part(void)
{
	(void)word_put(claim_word(&pgmap->tree, 0, 10), 1, 0);
	waiting = NULL;
}

static void c3_18_a_split_that_fails_waits_for_lookups_of_its_parts(void **state)
{
	(void)state;
	for (unsigned long n = 0;; n++) {
		folio = request(pgmap, 8, 3);
		unsigned had = came;
		waiting = put_the_part;
		relaxed = 0;
		come_between(n, meet_a_part);
		int r = folio_split(folio, 1);
		bool ran = it_came(), met = came != had;
		assert_int_equal(r, met ? -EBUSY : 0);
		assert_int_equal(relaxed != 0, met);
		assert_int_equal(folio_order(folio), met ? 3 : 1);
		for (uint64_t pgoff = 10; pgoff < 16; pgoff += 2) {
			assert_int_equal(word_is_held(word_at(0, pgoff)), !met);
			if (!met)
				folio_put(find(pgmap, pgoff));
		}
		if (met)
			folio_put(folio);
		folio_put(folio);
		if (!ran)
			break;
	}
	assert_int_not_equal(came, 0);
}

/* A request passes through a block that a split has opened, and that is the splitter's still. */
static void pass_through(void)
{
	if (word_order(word_at(1, 0)) != 10 || !word_is_open(word_at(1, 1)))
		return;
	came++;
	assert_int_equal(refused(pgmap, 512 + 4, 1), -EBUSY);
	folio_get(folio);
}

static void c3_18_a_split_that_fails_closes_what_requests_have_passed(void **state)
{
	(void)state;
	/* From the end: it opens the block after all of its 512 pages. */
	for (unsigned long n = 500; came < 3; n++) {
		folio = request(pgmap, 0, 10);
		unsigned had = came;
		come_between(n, pass_through);
		int r = folio_split(folio, 0);
		assert_true(it_came());
		if (came != had) {
			assert_int_equal(r, -EBUSY);
			assert_int_equal(word_at(1, 1), word_make(WORD_CLOSED, 0, 0));
			folio_put(folio);
			folio_put(folio);
			continue;
		}
		assert_int_equal(r, 0);
		for (uint64_t pgoff = 0; pgoff < 1024; pgoff++)
			folio_put(find(pgmap, pgoff));
	}
}

static void take_another(void)
{
	second = request(pgmap, 260, 2);
}

static void c3_18_a_split_and_a_request_each_set_their_bit(void **state)
{
	(void)state;
	for (unsigned long n = 0;; n++) {
		folio = request(pgmap, 8, 3);
		come_between(n, take_another);
		assert_int_equal(folio_split(folio, 1), 0);
		bool ran = it_came();
		for (uint64_t pgoff = 8; pgoff < 16; pgoff += 2) {
			assert_int_equal(refused(pgmap, pgoff + 1, 0), -EBUSY); /* by the mask */
			folio_put(find(pgmap, pgoff));
		}
		if (!ran)
			break;
		assert_int_equal(refused(pgmap, 263, 0), -EBUSY); /* only its bit leads to 260 */
		folio_put(second);
		folio_put(request(pgmap, 0, PGMAP_ORDER_PMD)); /* closed again */
	}
}

/* As who tried to close the block does when it has met what is held there. */
static void open_again(void)
{
	if (relaxed > 2)
		word_store(claim_word(&pgmap->tree, 1, 0), word_make(WORD_OPEN, 0, claim_mask_bit(3)));
}

static void c3_18_a_split_waits_for_who_tries_to_close_its_block(void **state)
{
	(void)state;
	folio = request(pgmap, 8, 3);
	word_store(claim_word(&pgmap->tree, 1, 0), word_make(WORD_CLOSING, PGMAP_ORDER_PMD, claim_mask_bit(3)));
	waiting = open_again;
	assert_int_equal(folio_split(folio, 2), 0);
	assert_int_equal(relaxed, 3);
	assert_int_equal(word_at(1, 0), word_make(WORD_OPEN, 0, claim_mask_bit(3) | claim_mask_bit(2)));
	folio_put(find(pgmap, 12));
	folio_put(folio);
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
		TEST(c3_18_a_split_that_fails_waits_for_lookups_of_its_parts),
		TEST(c3_18_a_split_that_fails_closes_what_requests_have_passed),
		TEST(c3_18_a_split_and_a_request_each_set_their_bit),
		TEST(c3_18_a_split_waits_for_who_tries_to_close_its_block),
		cmocka_unit_test(c2_8_two_kills_and_two_revivals_at_once_are_one),
		cmocka_unit_test(a_pin_between_the_steps_of_a_block_is_seen_by_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
