/* SPDX-License-Identifier: BSD-3-Clause */
/* What is held, and by whom: every folio in ascending order, a call for each holder, and the same sums as the counts. */
#include "core_util.h"

#include "core/map.h"

enum { SEEN_MAX = 2048 };

struct seen {
	struct pgmap_held held[SEEN_MAX];
	size_t n;
	size_t stop_after;
};

static int note(const struct pgmap_held *held, void *arg)
{
	struct seen *seen = arg;
	if (seen->n < SEEN_MAX)
		seen->held[seen->n] = *held;
	seen->n++;
	return seen->n == seen->stop_after ? 4711 : 0;
}

static struct seen *walk(struct pgmap *pgmap)
{
	static struct seen seen;
	seen = (struct seen){0};
	assert_int_equal(pgmap_for_each_held(pgmap, note, &seen), 0);
	assert_true(seen.n <= SEEN_MAX);
	return &seen;
}

static int keep(struct folio *folio, void *owner)
{
	(void)folio;
	(void)owner;
	return PGMAP_FREE_KEEP;
}

static void c2_12_nothing_held_is_nothing_said(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(UINT64_C(1) << 32);
	assert_int_equal(walk(pgmap)->n, 0);
	folio_put(request(pgmap, 77, 0));
	folio_put(request(pgmap, UINT64_C(1) << 31, 9));
	assert_int_equal(walk(pgmap)->n, 0);
	end_pgmap(pgmap);
	pgmap = make_generic(1);
	assert_int_equal(walk(pgmap)->n, 0);
	end_pgmap(pgmap);
}

static void c2_12_folios_of_every_order_are_said_in_ascending_order(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(64 * PUD_PAGES);
	struct folio *folios[2 * (PGMAP_MAX_ORDER + 1)];
	/* From above, so that the order of requests is not the order of offsets: 2^k, and one in a GiB of its own. */
	for (unsigned k = 0; k <= PGMAP_MAX_ORDER; k++) {
		unsigned order = PGMAP_MAX_ORDER - k;
		folios[2 * k] = request(pgmap, UINT64_C(1) << order, order);
		folios[2 * k + 1] = request(pgmap, (2 + order) * PUD_PAGES, order);
		folio_get(folios[2 * k + 1]);
	}
	for (int dying = 0; dying < 2; dying++) {
		struct seen *seen = walk(pgmap);
		assert_int_equal(seen->n, 2 * (PGMAP_MAX_ORDER + 1));
		for (unsigned i = 0; i < seen->n; i++) {
			const struct pgmap_held *h = &seen->held[i];
			unsigned order = i % (PGMAP_MAX_ORDER + 1);
			bool second = i > PGMAP_MAX_ORDER;
			assert_int_equal(h->pgoff, second ? (2 + order) * PUD_PAGES : UINT64_C(1) << order);
			assert_int_equal(h->order, order);
			assert_int_equal(h->state, PGMAP_HELD);
			assert_int_equal(h->refs, second ? 2 : 1);
			assert_int_equal(h->anon, second ? 2 : 1);
			assert_int_equal(h->pins, 0);
			assert_null(h->holder);
			assert_int_equal(h->charge.pages, UINT64_C(1) << order);
			assert_int_equal(h->charge.refs, h->anon);
		}
		assert_int_equal(pgmap_kill(pgmap), 0);
	}
	for (unsigned i = 0; i < 2 * (PGMAP_MAX_ORDER + 1); i++) {
		folio_put(folios[i]);
		if (i % 2)
			folio_put(folios[i]);
	}
	end_pgmap(pgmap);
}

static const struct pgmap_held *said_of(const struct seen *seen, uint64_t pgoff, const char *holder)
{
	const struct pgmap_held *found = NULL;
	for (size_t i = 0; i < seen->n; i++) {
		const struct pgmap_held *h = &seen->held[i];
		if (h->pgoff == pgoff && (holder ? h->holder && strcmp(h->holder, holder) == 0 : !h->holder)) {
			assert_null(found);
			found = h;
		}
	}
	return found;
}

static void c4_1_the_sum_over_holders_and_anonymous_references_is_the_count(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	struct pgmap_holder *a = make_holder(pgmap, "alice"), *b = make_holder(pgmap, "bob");
	struct folio *mixed = request(pgmap, 512, 9), *charged = request(pgmap, 4, 2);
	folio_get(mixed);
	assert_int_equal(folio_pin(mixed, NULL, FOLIO_PIN_REMOTE), 0);
	assert_int_equal(folio_get_holder(mixed, a), 0);
	assert_int_equal(folio_pin(mixed, a, FOLIO_PIN_LOCAL), 0);
	assert_int_equal(folio_pin(mixed, b, FOLIO_PIN_REMOTE), 0);
	assert_int_equal(folio_charge(charged, b), 0);
	const struct seen *seen = walk(pgmap);
	assert_int_equal(seen->n, 4);
	const struct pgmap_held *of_a = said_of(seen, 512, "alice"), *of_b = said_of(seen, 512, "bob");
	const struct pgmap_held *anon = said_of(seen, 512, NULL), *other = said_of(seen, 4, "bob");
	if (!of_a || !of_b || !anon || !other) {
		fail_msg("a holder is not told of");
		return;
	}
	assert_true(of_a->refs == 6 && of_b->refs == 6 && anon->refs == 6);
	assert_true(of_a->pins == 3 && of_a->anon == 3 && anon->anon == 3);
	assert_int_equal(of_a->charge.refs + of_b->charge.refs + anon->charge.refs, folio_refs(mixed));
	assert_true(of_a->charge.refs == 2 && of_a->charge.pins_local == 1 && of_a->charge.pins_remote == 0);
	assert_true(of_b->charge.refs == 1 && of_b->charge.pins_local == 0 && of_b->charge.pins_remote == 1);
	assert_true(of_a->charge.pages == 512 && of_b->charge.pages == 512);
	assert_true(other->refs == 1 && other->anon == 0 && other->charge.refs == 1 && other->charge.pages == 4);
	assert_null(said_of(seen, 4, NULL));
	folio_unpin(mixed, NULL, FOLIO_PIN_REMOTE);
	folio_put(mixed);
	folio_put(mixed);
	assert_int_equal(pgmap_holder_end(a), 0);
	assert_int_equal(pgmap_holder_end(b), 512);
	assert_int_equal(pgmap_holder_fence(b), 0);
	end_pgmap(pgmap);
}

static void c2_12_quarantined_folios_are_said_with_the_name_they_are_charged_to(void **state)
{
	(void)state;
	static const struct pgmap_ops ops = {.ops_bytes = sizeof(ops), .folio_free = keep};
	struct pgmap *pgmap = make_pgmap(PGMAP_FSDAX, PUD_PAGES, &ops, NULL);
	struct pgmap_holder *dead = make_holder(pgmap, "the-late-dave");
	struct folio *fenced = request(pgmap, 512, 9), *kept = request(pgmap, 3, 0);
	assert_int_equal(folio_pin(fenced, dead, FOLIO_PIN_REMOTE), 0);
	folio_put(fenced);
	assert_int_equal(pgmap_holder_end(dead), 512);
	folio_put(kept);
	const struct seen *seen = walk(pgmap);
	assert_int_equal(seen->n, 2);
	const struct pgmap_held *of_dead = said_of(seen, 512, "the-late-dave"), *of_owner = said_of(seen, 3, NULL);
	assert_true(of_dead && of_owner);
	assert_int_equal(of_dead->state, PGMAP_QUARANTINED);
	assert_int_equal(of_owner->state, PGMAP_QUARANTINED);
	assert_true(of_dead->order == 9 && of_dead->refs == 0 && of_dead->pins == 0 && of_dead->anon == 0);
	assert_int_equal(pgmap_release_quarantined(pgmap, 3), 0);
	assert_int_equal(pgmap_holder_fence(dead), 0); /* its owner keeps this one too */
	assert_int_equal(walk(pgmap)->n, 1);
	assert_int_equal(pgmap_release_quarantined(pgmap, 512), 0);
	end_pgmap(pgmap);
}

static void c2_12_an_answer_of_the_callback_ends_the_walk_and_is_returned(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	struct pgmap_holder *a = make_holder(pgmap, "a");
	struct folio *folios[10];
	for (uint64_t i = 0; i < 10; i++) {
		folios[i] = request(pgmap, i * 1024, (unsigned)i % 3 * 4);
		assert_int_equal(folio_get_holder(folios[i], a), 0);
	}
	for (size_t stop = 1; stop <= 20; stop++) {
		struct seen seen = {.stop_after = stop};
		assert_int_equal(pgmap_for_each_held(pgmap, note, &seen), 4711);
		assert_int_equal(seen.n, stop);
	}
	assert_int_equal(walk(pgmap)->n, 20);
	assert_int_equal(pgmap_holder_end(a), 0);
	for (uint64_t i = 0; i < 10; i++)
		folio_put(folios[i]);
	end_pgmap(pgmap);
}

static void c2_12_the_parts_of_a_split_are_said_one_by_one(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	assert_int_equal(folio_split(request(pgmap, 0, 18), 9), 0);
	assert_int_equal(folio_split(find(pgmap, 512), 0), 0);
	const struct seen *seen = walk(pgmap);
	assert_int_equal(seen->n, 511 + 512);
	uint64_t at = 0;
	for (size_t i = 0; i < seen->n; i++) {
		assert_int_equal(seen->held[i].pgoff, at);
		at += UINT64_C(1) << seen->held[i].order;
	}
	assert_int_equal(at, PUD_PAGES);
	for (size_t i = 0; i < seen->n; i++)
		folio_put(find(pgmap, seen->held[i].pgoff));
	end_pgmap(pgmap);
}

static int walk_it(struct folio *folio, void *owner)
{
	struct pgmap_held *said = owner;
	struct seen seen = {0};
	assert_int_equal(pgmap_for_each_held(folio_pgmap(folio), note, &seen), 0);
	assert_int_equal(seen.n, 1);
	*said = seen.held[0];
	return PGMAP_FREE_IDLE;
}

static void c2_12_a_folio_that_is_being_released_is_said_as_such(void **state)
{
	(void)state;
	static const struct pgmap_ops ops = {.ops_bytes = sizeof(ops), .folio_free = walk_it};
	struct pgmap_held said = {0};
	struct pgmap *pgmap = make_pgmap(PGMAP_GENERIC, PUD_PAGES, &ops, &said);
	folio_put(request(pgmap, 512, 9));
	assert_int_equal(said.state, PGMAP_RELEASING);
	assert_true(said.pgoff == 512 && said.order == 9 && said.refs == 0 && said.anon == 0 && !said.holder);
	end_pgmap(pgmap);
}

/* A larger request that is undecided has closed the way to what stands in it. */
static void c2_12_what_lies_below_a_word_that_is_closing_is_said(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	struct folio *folio = request(pgmap, 515, 0);
	word_t *parent = claim_word(&pgmap->tree, 1, 1);
	uint64_t open = word_load(parent);
	word_store(parent, word_make(WORD_CLOSING, 9, open & WORD_LOW_MASK));
	const struct seen *seen = walk(pgmap);
	word_store(parent, open);
	assert_int_equal(seen->n, 1);
	assert_int_equal(seen->held[0].pgoff, 515);
	folio_put(folio);
	end_pgmap(pgmap);
}

static void c2_12_an_answer_ends_the_walk_also_before_the_next_gibibyte(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(4 * PUD_PAGES);
	struct folio *folios[3];
	for (uint64_t i = 0; i < 3; i++)
		folios[i] = request(pgmap, i * PUD_PAGES, 18);
	struct seen seen = {.stop_after = 1};
	assert_int_equal(pgmap_for_each_held(pgmap, note, &seen), 4711);
	assert_int_equal(seen.n, 1);
	for (size_t i = 0; i < 3; i++)
		folio_put(folios[i]);
	end_pgmap(pgmap);
}

/* A put of a reference that a holder has is found out when its holder ends; a walk before that makes no number up. */
static void c4_1_no_anonymous_reference_is_said_where_charges_are_too_many(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	struct pgmap_holder *a = make_holder(pgmap, "a");
	struct folio *folio = request(pgmap, 0, 0);
	assert_int_equal(folio_charge(folio, a), 0);
	assert_int_equal(folio_get_holder(folio, a), 0);
	folio_put(folio); /* wrong */
	const struct seen *seen = walk(pgmap);
	assert_int_equal(seen->n, 1);
	assert_true(seen->held[0].anon == 0 && seen->held[0].refs == 1 && seen->held[0].charge.refs == 2);
	folio_get(folio); /* as if it had not been */
	assert_int_equal(pgmap_holder_end(a), 0);
	end_pgmap(pgmap);
}

static void c2_12_a_walk_touches_nothing_below_what_is_not_open(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(UINT64_C(1) << 32);
	struct folio *folio = request(pgmap, 5 * PUD_PAGES, 9);
	(void)walk(pgmap);
	uint64_t faults = minor_faults();
	assert_int_equal(walk(pgmap)->n, 1);
	assert_true(minor_faults() - faults < 64); /* there are 16384 words of the top level */
	folio_put(folio);
	end_pgmap(pgmap);
	pgmap = make_generic(UINT64_C(1) << 32);
	faults = minor_faults();
	assert_int_equal(walk(pgmap)->n, 0);
	assert_true(minor_faults() - faults < 64 + 16384 * sizeof(word_t) / PGMAP_PAGE_SIZE);
	end_pgmap(pgmap);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(c2_12_nothing_held_is_nothing_said),
		TEST(c2_12_folios_of_every_order_are_said_in_ascending_order),
		TEST(c4_1_the_sum_over_holders_and_anonymous_references_is_the_count),
		TEST(c2_12_quarantined_folios_are_said_with_the_name_they_are_charged_to),
		TEST(c2_12_an_answer_of_the_callback_ends_the_walk_and_is_returned),
		TEST(c2_12_the_parts_of_a_split_are_said_one_by_one),
		TEST(c2_12_a_folio_that_is_being_released_is_said_as_such),
		TEST(c2_12_what_lies_below_a_word_that_is_closing_is_said),
		TEST(c2_12_an_answer_ends_the_walk_also_before_the_next_gibibyte),
		TEST(c4_1_no_anonymous_reference_is_said_where_charges_are_too_many),
		TEST(c2_12_a_walk_touches_nothing_below_what_is_not_open),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
