/* SPDX-License-Identifier: BSD-3-Clause */
/* Holders: what is charged to whom, exactly; what ends with a holder, and what stays behind it. */
#include "core_util.h"

#include <pthread.h>

#include "core/map.h"

enum { CHARGERS = 3, CHARGES = 4000 };

static unsigned frees;
static int free_answer;

static int count_free(struct folio *folio, void *owner)
{
	(void)folio;
	(void)owner;
	frees++;
	return free_answer;
}

static const struct pgmap_ops ops = {.ops_bytes = sizeof(ops), .folio_free = count_free};

static struct pgmap *fresh(void)
{
	frees = 0;
	free_answer = PGMAP_FREE_IDLE;
	return make_pgmap(PGMAP_FSDAX, 4 * PUD_PAGES, &ops, NULL);
}

static void expect_charge(struct pgmap_holder *holder, uint64_t refs, uint64_t local, uint64_t remote, uint64_t pages)
{
	struct pgmap_charge c;
	pgmap_holder_charge(holder, &c);
	if (c.refs != refs || c.pins_local != local || c.pins_remote != remote || c.pages != pages)
		fail_msg("%s: %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, pgmap_holder_name(holder), c.refs,
			 c.pins_local, c.pins_remote, c.pages);
}

static void a_holder_has_a_name_of_63_bytes_at_most(void **state)
{
	(void)state;
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ!?+-*/";
	struct pgmap *pgmap = fresh();
	struct pgmap_holder *holder = NULL;
	assert_int_equal(pgmap_holder_create(NULL, "x", &holder), -EINVAL);
	assert_int_equal(pgmap_holder_create(pgmap, NULL, &holder), -EINVAL);
	assert_int_equal(pgmap_holder_create(pgmap, "x", NULL), -EINVAL);
	assert_null(holder);
	holder = make_holder(pgmap, letters);
	assert_int_equal(strlen(pgmap_holder_name(holder)), 63);
	assert_memory_equal(pgmap_holder_name(holder), letters, 63);
	expect_charge(holder, 0, 0, 0, 0);
	assert_int_equal(pgmap_holder_end(holder), 0);
	holder = make_holder(pgmap, "left to be freed with the pgmap");
	end_pgmap(pgmap);
}

static void c4_1_each_reference_and_pin_is_charged_to_its_holder(void **state)
{
	(void)state;
	struct pgmap *pgmap = fresh();
	struct pgmap_holder *a = make_holder(pgmap, "a"), *b = make_holder(pgmap, "b");
	struct folio *small = request(pgmap, 3, 0), *large = request(pgmap, 512, 9);
	assert_int_equal(folio_get_holder(small, a), 0);
	assert_int_equal(folio_get_holder(small, a), 0);
	assert_int_equal(folio_pin(small, a, FOLIO_PIN_LOCAL), 0);
	assert_int_equal(folio_pin(large, a, FOLIO_PIN_REMOTE), 0);
	assert_int_equal(folio_pin(large, b, FOLIO_PIN_REMOTE), 0);
	assert_int_equal(folio_charge(large, b), 0);
	expect_charge(a, 4, 1, 1, 513);
	expect_charge(b, 2, 0, 1, 512);
	assert_int_equal(folio_refs(small), 4); /* 3 of a's, 1 anonymous */
	assert_int_equal(folio_refs(large), 3); /* 1 of a's, 2 of b's: the anonymous one was charged */
	assert_int_equal(folio_charge(small, NULL), 0);
	folio_unpin(small, a, FOLIO_PIN_LOCAL);
	folio_put_holder(small, a);
	expect_charge(a, 2, 0, 1, 513);
	folio_put_holder(small, a);
	expect_charge(a, 1, 0, 1, 512);
	folio_unpin(large, a, FOLIO_PIN_REMOTE);
	expect_charge(a, 0, 0, 0, 0);
	folio_put_holder(large, b);
	assert_int_equal(frees, 0);
	folio_unpin(large, b, FOLIO_PIN_REMOTE);
	assert_int_equal(frees, 1);
	assert_int_equal(folio_refs(small), 1);
	folio_put(small);
	end_pgmap(pgmap);
}

static void c4_1_a_holder_of_another_pgmap_is_refused(void **state)
{
	(void)state;
	struct pgmap *pgmap = fresh(), *other = make_generic(8);
	struct pgmap_holder *stranger = make_holder(other, "stranger");
	struct folio *folio = request(pgmap, 0, 0);
	assert_int_equal(folio_get_holder(folio, stranger), -EINVAL);
	assert_int_equal(folio_charge(folio, stranger), -EINVAL);
	assert_int_equal(folio_pin(folio, stranger, FOLIO_PIN_LOCAL), -EINVAL);
	assert_int_equal(folio_refs(folio), 1);
	expect_charge(stranger, 0, 0, 0, 0);
	folio_put(folio);
	end_pgmap(pgmap);
	end_pgmap(other);
}

static void c4_2_the_end_of_a_holder_drops_all_that_it_holds(void **state)
{
	(void)state;
	struct pgmap *pgmap = fresh();
	struct pgmap_holder *a = make_holder(pgmap, "a"), *b = make_holder(pgmap, "b");
	struct folio *folios[600], *shared = request(pgmap, PUD_PAGES, 18);
	for (uint64_t i = 0; i < 600; i++) {
		folios[i] = request(pgmap, i * 2, i % 2);
		assert_int_equal(folio_charge(folios[i], a), 0);
		assert_int_equal(folio_pin(folios[i], a, FOLIO_PIN_LOCAL), 0);
	}
	assert_int_equal(folio_get_holder(shared, a), 0);
	assert_int_equal(folio_charge(shared, b), 0);
	expect_charge(a, 1201, 600, 0, 900 + PUD_PAGES);
	assert_int_equal(pgmap_holder_end(a), 0);
	assert_int_equal(frees, 600);
	assert_int_equal(pgmap_live_pages(pgmap), PUD_PAGES);
	assert_int_equal(folio_refs(shared), 1);
	expect_charge(b, 1, 0, 0, PUD_PAGES);
	assert_int_equal(pgmap_holder_end(b), 0);
	assert_int_equal(frees, 601);
	end_pgmap(pgmap);
}

static void c4_2_the_end_runs_folio_free_which_may_keep(void **state)
{
	(void)state;
	struct pgmap *pgmap = fresh();
	struct pgmap_holder *a = make_holder(pgmap, "a");
	struct folio *folio = request(pgmap, 512, 9);
	assert_int_equal(folio_charge(folio, a), 0);
	free_answer = PGMAP_FREE_KEEP;
	assert_int_equal(pgmap_holder_end(a), 0); /* kept by the owner, not for the holder */
	assert_int_equal(frees, 1);
	assert_int_equal(pgmap_live_pages(pgmap), 512);
	assert_int_equal(pgmap_release_quarantined(pgmap, 600), 0);
	end_pgmap(pgmap);
}

static void c7_5_remote_pins_leave_quarantine_until_they_are_fenced(void **state)
{
	(void)state;
	struct pgmap *pgmap = fresh();
	struct pgmap_holder *a = make_holder(pgmap, "a");
	struct folio *pinned = request(pgmap, 512, 9), *plain = request(pgmap, 0, 0), *folio = NULL;
	assert_int_equal(folio_pin(pinned, a, FOLIO_PIN_REMOTE), 0);
	assert_int_equal(folio_pin(pinned, a, FOLIO_PIN_LOCAL), 0);
	assert_int_equal(folio_charge(pinned, a), 0);
	assert_int_equal(folio_charge(plain, a), 0);
	assert_int_equal(pgmap_holder_fence(a), -EBUSY);
	expect_charge(a, 4, 1, 1, 513);
	assert_int_equal(pgmap_holder_end(a), 512);
	assert_int_equal(frees, 1); /* plain's */
	assert_int_equal(pgmap_live_pages(pgmap), 512);
	assert_string_equal(pgmap_holder_name(a), "a");
	expect_charge(a, 0, 0, 0, 512);
	assert_int_equal(refused(pgmap, 512, 9), -EBUSY);
	assert_int_equal(refused(pgmap, 700, 0), -EBUSY);
	assert_int_equal(pgmap_get_folio(pgmap, 700, &folio), -ENOENT);
	assert_int_equal(pgmap_release_quarantined(pgmap, 700), -EBUSY);
	assert_int_equal(pgmap_kill(pgmap), 0);
	assert_int_equal(pgmap_drain(pgmap, 0), -ETIMEDOUT);
	assert_int_equal(pgmap_revive(pgmap), 0);
	assert_int_equal(pgmap_holder_fence(a), 0);
	assert_int_equal(frees, 2);
	assert_int_equal(pgmap_live_pages(pgmap), 0);
	folio_put(request(pgmap, 512, 9));
	end_pgmap(pgmap);
}

static void c7_5_an_ended_holder_can_be_charged_no_more(void **state)
{
	(void)state;
	struct pgmap *pgmap = fresh();
	struct pgmap_holder *a = make_holder(pgmap, "a");
	struct folio *pinned = request(pgmap, 0, 0), *other = request(pgmap, 8, 0);
	assert_int_equal(folio_pin(pinned, a, FOLIO_PIN_REMOTE), 0);
	assert_int_equal(pgmap_holder_end(a), 1);
	assert_int_equal(pgmap_holder_end(a), 1); /* again: the marks stand */
	assert_int_equal(folio_refs(pinned), 1);
	assert_int_equal(folio_pins(pinned), 0);
	assert_int_equal(folio_get_holder(pinned, a), -ESHUTDOWN);
	assert_int_equal(folio_charge(other, a), -ESHUTDOWN);
	assert_int_equal(folio_pin(pinned, a, FOLIO_PIN_LOCAL), -ESHUTDOWN);
	assert_int_equal(folio_refs(pinned), 1);
	assert_int_equal(folio_split(pinned, 0), 0);
	folio_put(pinned);
	folio_put(other);
	assert_int_equal(frees, 1);
	assert_int_equal(pgmap_holder_fence(a), 0);
	assert_int_equal(frees, 2);
	end_pgmap(pgmap);
}

static void c7_5_a_marked_folio_that_is_held_is_quarantined_by_its_last_put(void **state)
{
	(void)state;
	struct pgmap *pgmap = fresh();
	struct pgmap_holder *a = make_holder(pgmap, "a"), *b = make_holder(pgmap, "b");
	struct folio *folio = request(pgmap, 4, 2), *got;
	assert_int_equal(folio_charge(folio, b), 0);
	assert_int_equal(folio_pin(folio, a, FOLIO_PIN_REMOTE), 0);
	assert_int_equal(pgmap_holder_end(a), 4);
	assert_int_equal(pgmap_get_folio(pgmap, 5, &got), 0); /* held by b, and alive */
	assert_int_equal(folio_split(folio, 0), -EBUSY);
	folio_put(got);
	assert_int_equal(folio_split(folio, 0), -EBUSY); /* the mark is the whole folio's */
	assert_int_equal(pgmap_holder_end(b), 0);
	assert_int_equal(frees, 0);
	assert_int_equal(pgmap_live_pages(pgmap), 4);
	assert_int_equal(pgmap_holder_fence(a), 0);
	assert_int_equal(frees, 1);
	end_pgmap(pgmap);
}

static void c7_5_a_fence_while_others_hold_takes_the_mark_away(void **state)
{
	(void)state;
	struct pgmap *pgmap = fresh();
	struct pgmap_holder *a = make_holder(pgmap, "a");
	struct folio *folio = request(pgmap, 4, 2);
	assert_int_equal(folio_pin(folio, a, FOLIO_PIN_REMOTE), 0);
	assert_int_equal(pgmap_holder_end(a), 4);
	assert_int_equal(pgmap_holder_fence(a), 0);
	assert_int_equal(frees, 0);
	assert_int_equal(folio_refs(folio), 1);
	assert_int_equal(folio_split(folio, 1), 0);
	folio_put(find(pgmap, 6));
	folio_put(folio);
	assert_int_equal(frees, 2);
	end_pgmap(pgmap);
}

static void c7_5_of_two_holders_marks_the_second_fence_releases(void **state)
{
	(void)state;
	for (int order = 0; order < 2; order++) {
		struct pgmap *pgmap = fresh();
		struct pgmap_holder *h[2] = {make_holder(pgmap, "a"), make_holder(pgmap, "b")};
		struct folio *folio = request(pgmap, PUD_PAGES, 18);
		for (int i = 0; i < 2; i++)
			assert_int_equal(folio_pin(folio, h[i], FOLIO_PIN_REMOTE), 0);
		folio_put(folio);
		for (int i = 0; i < 2; i++)
			assert_int_equal(pgmap_holder_end(h[i]), PUD_PAGES);
		assert_int_equal(pgmap_holder_fence(h[order]), 0);
		assert_int_equal(frees, 0);
		assert_int_equal(pgmap_live_pages(pgmap), PUD_PAGES);
		assert_int_equal(pgmap_release_quarantined(pgmap, PUD_PAGES), -EBUSY);
		expect_charge(h[!order], 0, 0, 0, PUD_PAGES);
		assert_int_equal(pgmap_holder_fence(h[!order]), 0);
		assert_int_equal(frees, 1);
		end_pgmap(pgmap);
	}
}

static void c7_5_the_owner_may_keep_what_was_fenced(void **state)
{
	(void)state;
	struct pgmap *pgmap = fresh();
	struct pgmap_holder *a = make_holder(pgmap, "a");
	struct folio *folio = request(pgmap, 0, 0);
	assert_int_equal(folio_pin(folio, a, FOLIO_PIN_REMOTE), 0);
	folio_put(folio);
	assert_int_equal(pgmap_holder_end(a), 1);
	free_answer = PGMAP_FREE_KEEP;
	assert_int_equal(pgmap_holder_fence(a), 0);
	assert_int_equal(frees, 1);
	assert_int_equal(pgmap_live_pages(pgmap), 1);
	assert_int_equal(pgmap_release_quarantined(pgmap, 0), 0);
	assert_int_equal(frees, 1);
	end_pgmap(pgmap);
}

struct charger {
	pthread_t thread;
	struct folio *folio;
	struct pgmap_holder *holder;
	unsigned refused;
};

static void *charge_in_a_loop(void *arg)
{
	struct charger *c = arg;
	for (unsigned i = 0; i < CHARGES; i++) {
		c->refused += folio_get_holder(c->folio, c->holder) != 0;
		c->refused += folio_pin(c->folio, c->holder, FOLIO_PIN_LOCAL) != 0;
		c->refused += folio_pin(c->folio, c->holder, FOLIO_PIN_REMOTE) != 0;
		folio_put_holder(c->folio, c->holder);
		folio_unpin(c->folio, c->holder, FOLIO_PIN_LOCAL);
		if (i % 2 == 0)
			folio_unpin(c->folio, c->holder, FOLIO_PIN_REMOTE);
	}
	return NULL;
}

static void c4_1_threads_of_one_holder_are_charged_exactly(void **state)
{
	(void)state;
	struct pgmap *pgmap = fresh();
	struct pgmap_holder *holders[2] = {make_holder(pgmap, "a"), make_holder(pgmap, "b")};
	struct folio *folio = request(pgmap, 0, 9);
	struct charger chargers[CHARGERS];
	for (size_t i = 0; i < CHARGERS; i++) {
		chargers[i] = (struct charger){.folio = folio, .holder = holders[i % 2]};
		assert_int_equal(pthread_create(&chargers[i].thread, NULL, charge_in_a_loop, &chargers[i]), 0);
	}
	for (size_t i = 0; i < CHARGERS; i++) {
		assert_int_equal(pthread_join(chargers[i].thread, NULL), 0);
		assert_int_equal(chargers[i].refused, 0);
	}
	expect_charge(holders[0], CHARGES, 0, CHARGES, 512); /* two threads, half of the pins each */
	expect_charge(holders[1], CHARGES / 2, 0, CHARGES / 2, 512);
	assert_int_equal(folio_refs(folio), CHARGES + CHARGES / 2 + 1);
	assert_int_equal(folio_pins(folio), CHARGES + CHARGES / 2);
	folio_put(folio);
	assert_int_equal(pgmap_holder_end(holders[0]), 512);
	assert_int_equal(pgmap_holder_end(holders[1]), 512);
	assert_int_equal(pgmap_holder_fence(holders[0]), 0);
	assert_int_equal(pgmap_holder_fence(holders[1]), 0);
	assert_int_equal(frees, 1);
	end_pgmap(pgmap);
}

#define TEST(name) cmocka_unit_test(name)

static struct pgmap_holder *ending;
static int64_t answer_within;

static int end_again(struct folio *folio, void *owner)
{
	(void)folio;
	(void)owner;
	answer_within = pgmap_holder_end(ending);
	return PGMAP_FREE_IDLE;
}

static void c4_2_a_holder_that_is_just_being_ended_is_busy(void **state)
{
	(void)state;
	static const struct pgmap_ops end_ops = {.ops_bytes = sizeof(end_ops), .folio_free = end_again};
	struct pgmap *pgmap = make_pgmap(PGMAP_FSDAX, PUD_PAGES, &end_ops, NULL);
	ending = make_holder(pgmap, "a");
	assert_int_equal(folio_charge(request(pgmap, 0, 0), ending), 0);
	assert_int_equal(pgmap_holder_end(ending), 0);
	assert_int_equal(answer_within, -EBUSY);
	end_pgmap(pgmap);
}

static void c4_2_an_ended_holder_is_gone_at_once(void **state)
{
	(void)state;
	struct pgmap *pgmap = fresh();
	struct pgmap_holder *a = make_holder(pgmap, "a"), *b = make_holder(pgmap, "b");
	struct folio *folio = request(pgmap, 0, 0);
	assert_int_equal(folio_charge(folio, b), 0);
	assert_int_equal(folio_pin(folio, b, FOLIO_PIN_REMOTE), 0);
	assert_int_equal(pgmap_holder_end(a), 0);
	assert_ptr_equal(LIST_FIRST(&pgmap->charges.holders), b);
	assert_null(LIST_NEXT(b, all));
	assert_int_equal(pgmap_holder_end(b), 1);
	assert_ptr_equal(LIST_FIRST(&pgmap->charges.holders), b);
	assert_int_equal(pgmap_holder_fence(b), 0);
	assert_true(LIST_EMPTY(&pgmap->charges.holders));
	end_pgmap(pgmap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_holder_has_a_name_of_63_bytes_at_most),
		TEST(c4_1_each_reference_and_pin_is_charged_to_its_holder),
		TEST(c4_1_a_holder_of_another_pgmap_is_refused),
		TEST(c4_2_the_end_of_a_holder_drops_all_that_it_holds),
		TEST(c4_2_the_end_runs_folio_free_which_may_keep),
		TEST(c7_5_remote_pins_leave_quarantine_until_they_are_fenced),
		TEST(c7_5_an_ended_holder_can_be_charged_no_more),
		TEST(c7_5_a_marked_folio_that_is_held_is_quarantined_by_its_last_put),
		TEST(c7_5_a_fence_while_others_hold_takes_the_mark_away),
		TEST(c7_5_of_two_holders_marks_the_second_fence_releases),
		TEST(c7_5_the_owner_may_keep_what_was_fenced),
		TEST(c4_1_threads_of_one_holder_are_charged_exactly),
		TEST(c4_2_a_holder_that_is_just_being_ended_is_busy),
		TEST(c4_2_an_ended_holder_is_gone_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
