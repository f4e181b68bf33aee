/* SPDX-License-Identifier: BSD-3-Clause */
/* What a split finds when another comes between two of its steps, and what comes between two looks of a lookup: as core_race.c. */
#include "core_between.h"

static struct folio *second;

static struct claim_split undecided;

static void begin_a_split(void)
{
	folio = request(pgmap, 8, 3);
	uint64_t held = word_get(claim_word(&pgmap->tree, 0, 8), WORD_REF); /* of the split's own */
	assert_int_equal(claim_split_begin(&undecided, &pgmap->tree, 8, held, 1), 0);
}

static void end_the_split(void)
{
	claim_split_cancel(&undecided);
	folio_put(folio);
	folio_put(folio);
	folio_put(request(pgmap, 0, PGMAP_ORDER_PMD));
}

/* A look that began before there was a folio meets parts of a split of it, which are none yet. */
static void c3_13_a_part_of_an_undecided_split_is_not_found(void **state)
{
	(void)state;
	unsigned found = 0;
	for (unsigned long n = 0;; n++) {
		struct folio *out = NULL;
		folio_put(request(pgmap, 100, 0)); /* open, with an empty mask */
		come_between(n, begin_a_split);
		int r = pgmap_find_folio(pgmap, 10, &out);
		if (!it_came())
			break;
		assert_true(r == -ENOENT || out == folio);
		found += r == 0;
		end_the_split();
	}
	assert_int_not_equal(found, 0);
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
	if (relaxed < 3)
		return;
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
		assert_int_equal(relaxed, met ? 3 : 0);
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

/* One that had begun before the split has the block in its hands, closes it, and opens it again. */
static void close_the_block(void)
{
	if (word_order(word_at(1, 0)) != 10 || !word_is_open(word_at(1, 1)))
		return;
	came++;
	word_store(claim_word(&pgmap->tree, 1, 1), word_make(WORD_CLOSING, PGMAP_ORDER_PMD, 0));
	folio_get(folio);
}

static void open_the_block(void)
{
	if (relaxed == 3)
		word_store(claim_word(&pgmap->tree, 1, 1), word_make(WORD_OPEN, 0, 0));
}

static void c3_18_a_split_that_fails_waits_for_who_closes_its_block(void **state)
{
	(void)state;
	for (unsigned long n = 500; came == 0; n++) {
		folio = request(pgmap, 0, 10);
		waiting = open_the_block;
		relaxed = 0;
		come_between(n, close_the_block);
		int r = folio_split(folio, 0);
		assert_true(it_came());
		assert_int_equal(relaxed, came ? 3 : 0);
		assert_int_equal(r, came ? -EBUSY : 0);
		for (uint64_t pgoff = 0; pgoff < 1024 && !came; pgoff++)
			folio_put(find(pgmap, pgoff));
	}
	assert_int_equal(word_at(1, 1), word_make(WORD_CLOSED, 0, 0));
	folio_put(folio);
	folio_put(folio);
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

/* A request that had begun before the split claims a page of it, finds the folio above, and withdraws. */
static void claim_a_page(void)
{
	if (word_order(word_at(0, 8)) != 3 || word_at(0, 14) != word_make(WORD_CLOSED, 0, 0))
		return;
	came++;
	word_store(claim_word(&pgmap->tree, 0, 14), word_make(WORD_CLAIM, 0, 0));
}

static void withdraw(void)
{
	if (relaxed == 3)
		word_store(claim_word(&pgmap->tree, 0, 14), word_make(WORD_CLOSED, 0, 0));
}

static void c3_18_a_split_waits_for_a_claim_that_is_withdrawn(void **state)
{
	(void)state;
	waiting = withdraw;
	for (unsigned long n = 0;; n++) {
		folio = request(pgmap, 8, 3);
		unsigned had = came;
		relaxed = 0;
		come_between(n, claim_a_page);
		assert_int_equal(folio_split(folio, 1), 0);
		bool ran = it_came();
		assert_int_equal(relaxed, came != had ? 3 : 0);
		for (uint64_t pgoff = 8; pgoff < 16; pgoff += 2)
			folio_put(find(pgmap, pgoff));
		if (!ran)
			break;
	}
	assert_int_not_equal(came, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(c3_13_a_part_of_an_undecided_split_is_not_found),
		TEST(c3_18_a_split_that_fails_waits_for_lookups_of_its_parts),
		TEST(c3_18_a_split_that_fails_closes_what_requests_have_passed),
		TEST(c3_18_a_split_that_fails_waits_for_who_closes_its_block),
		TEST(c3_18_a_split_and_a_request_each_set_their_bit),
		TEST(c3_18_a_split_waits_for_who_tries_to_close_its_block),
		TEST(c3_18_a_split_waits_for_a_claim_that_is_withdrawn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
