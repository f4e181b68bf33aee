/* SPDX-License-Identifier: BSD-3-Clause */
/* A wrong count is never carried on with: each abort of c3.17 in a child, with the facts that it names. */
#include "core_util.h"

#include "core/map.h"

enum { FOLIOS_PGOFF = 0x208 };

/* What each child does something wrong to: a folio of order 3 at 0x208, held by nobody but us. */
struct scene {
	struct pgmap *pgmap;
	struct folio *folio;
	struct pgmap_holder *holder;
	struct pgmap_holder *other;
};

static struct scene scene;

static int setup(void **state)
{
	(void)state;
	scene.pgmap = make_generic(PUD_PAGES);
	scene.folio = request(scene.pgmap, FOLIOS_PGOFF, 3);
	scene.holder = make_holder(scene.pgmap, "mallory");
	scene.other = make_holder(scene.pgmap, "bob");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	folio_put(scene.folio);
	end_pgmap(scene.pgmap);
	return 0;
}

static void put_twice(void *arg)
{
	(void)arg;
	folio_put(scene.folio);
	folio_put(scene.folio);
}

static void put_a_pin(void *arg)
{
	(void)arg;
	CHILD_CHECK(folio_pin(scene.folio, NULL, FOLIO_PIN_LOCAL) == 0);
	folio_put(scene.folio);
	folio_put(scene.folio);
}

static void get_after_the_last_put(void *arg)
{
	(void)arg;
	folio_put(scene.folio);
	folio_get(scene.folio);
}

static void unpin_without_a_pin(void *arg)
{
	(void)arg;
	folio_unpin(scene.folio, NULL, FOLIO_PIN_LOCAL);
}

static void unpin_of_no_kind(void *arg)
{
	(void)arg;
	CHILD_CHECK(folio_pin(scene.folio, NULL, FOLIO_PIN_LOCAL) == 0);
	folio_unpin(scene.folio, NULL, (enum folio_pin_kind)7);
}

static void pin_after_the_last_put(void *arg)
{
	(void)arg;
	folio_put(scene.folio);
	(void)folio_pin(scene.folio, NULL, FOLIO_PIN_REMOTE);
}

static void charge_after_the_last_put(void *arg)
{
	(void)arg;
	struct pgmap_holder *holder = make_holder(folio_pgmap(scene.folio), "late");
	folio_put(scene.folio);
	(void)folio_charge(scene.folio, holder);
}

static void charge_one_reference_to_two(void *arg)
{
	(void)arg;
	struct pgmap_holder *first = make_holder(folio_pgmap(scene.folio), "first");
	CHILD_CHECK(folio_charge(scene.folio, first) == 0);
	(void)folio_charge(scene.folio, make_holder(folio_pgmap(scene.folio), "second"));
}

static void c3_17_a_put_without_a_reference_aborts_with_the_facts(void **state)
{
	(void)state;
	ABORTS(put_twice, NULL, "under-test", "put", "0x208", "order", "idle", "0 references");
	ABORTS(put_a_pin, NULL, "under-test", "put", "0x208", "order 3", "held", "1 references", "1 of them pins");
	ABORTS(get_after_the_last_put, NULL, "under-test", "get", "0x208", "order", "idle");
}

static void c3_17_an_unpin_without_a_pin_aborts_with_the_facts(void **state)
{
	(void)state;
	ABORTS(unpin_without_a_pin, NULL, "under-test", "unpin", "0x208", "order 3", "held", "1 references",
	       "0 of them");
	ABORTS(unpin_of_no_kind, NULL, "under-test", "unpin", "kind", "0x208", "order 3", "held");
	ABORTS(pin_after_the_last_put, NULL, "under-test", "pin", "0x208", "idle");
	ABORTS(charge_after_the_last_put, NULL, "under-test", "charge", "0x208", "idle", "late");
	ABORTS(charge_one_reference_to_two, NULL, "under-test", "charge", "0x208", "1 references", "second");
}

static void put_of_a_holder_without(void *arg)
{
	(void)arg;
	CHILD_CHECK(folio_get_holder(scene.folio, scene.other) == 0);
	folio_put_holder(scene.folio, scene.holder);
}

static void put_of_a_holders_pin(void *arg)
{
	(void)arg;
	CHILD_CHECK(folio_pin(scene.folio, scene.holder, FOLIO_PIN_LOCAL) == 0);
	folio_put_holder(scene.folio, scene.holder);
}

static void unpin_of_the_other_kind(void *arg)
{
	(void)arg;
	CHILD_CHECK(folio_pin(scene.folio, scene.holder, FOLIO_PIN_LOCAL) == 0);
	folio_unpin(scene.folio, scene.holder, FOLIO_PIN_REMOTE);
}

static void unpin_of_another_holder(void *arg)
{
	(void)arg;
	CHILD_CHECK(folio_pin(scene.folio, scene.other, FOLIO_PIN_LOCAL) == 0);
	folio_unpin(scene.folio, scene.holder, FOLIO_PIN_LOCAL);
}

static void c3_17_a_wrong_holder_is_named(void **state)
{
	(void)state;
	ABORTS(put_of_a_holder_without, NULL, "put", "0x208", "order 3", "held", "mallory");
	ABORTS(put_of_a_holders_pin, NULL, "put", "0x208", "order 3", "held", "mallory");
	ABORTS(unpin_of_the_other_kind, NULL, "unpin", "0x208", "order 3", "held", "mallory");
	ABORTS(unpin_of_another_holder, NULL, "unpin", "0x208", "order 3", "held", "mallory");
}

static void charged_more_than_held(void *arg)
{
	(void)arg;
	CHILD_CHECK(folio_charge(scene.folio, scene.holder) == 0);
	folio_put(scene.folio); /* the charged one, behind the holder's back: before anybody can have the pages */
	CHILD_EXIT(3);
}

static void c4_1_the_last_put_of_a_charged_reference_aborts(void **state)
{
	(void)state;
	ABORTS(charged_more_than_held, NULL, "under-test", "0x208");
}

/* Each call, with a handle that is none. */
static void use(void *arg)
{
	struct {
		unsigned call;
		struct folio *folio;
	} *what = arg;
	struct folio *f = what->folio;
	switch (what->call) {
	case 0:
		folio_get(f);
		break;
	case 1:
		folio_put(f);
		break;
	case 2:
		(void)folio_pin(f, NULL, FOLIO_PIN_LOCAL);
		break;
	case 3:
		folio_unpin(f, NULL, FOLIO_PIN_LOCAL);
		break;
	case 4:
		(void)folio_get_holder(f, scene.holder);
		break;
	case 5:
		folio_put_holder(f, scene.holder);
		break;
	case 6:
		(void)folio_charge(f, scene.holder);
		break;
	case 7:
		(void)folio_split(f, 0);
		break;
	case 8:
		(void)folio_pgoff(f);
		break;
	case 9:
		(void)folio_order(f);
		break;
	case 10:
		(void)folio_private(f);
		break;
	case 11:
		(void)folio_set_private(f, 1);
		break;
	case 12:
		(void)folio_address(f);
		break;
	case 13:
		(void)folio_refs(f);
		break;
	case 14:
		(void)folio_pins(f);
		break;
	case 15:
		(void)folio_pages(f);
		break;
	default:
		(void)folio_pgmap(f);
	}
}

/* One who put a reference or a pin of somebody else's, which the counts allowed: found out when the other puts it. */
static void unpin_of_what_another_unpinned(void *arg)
{
	(void)arg;
	CHILD_CHECK(folio_pin(scene.folio, scene.holder, FOLIO_PIN_LOCAL) == 0);
	folio_unpin(scene.folio, NULL, FOLIO_PIN_LOCAL);
	folio_unpin(scene.folio, scene.holder, FOLIO_PIN_LOCAL);
}

/* The holder has the only reference that is no pin, and somebody puts it. */
static void put_anothers_reference(void)
{
	CHILD_CHECK(folio_charge(scene.folio, scene.holder) == 0);
	CHILD_CHECK(folio_pin(scene.folio, NULL, FOLIO_PIN_LOCAL) == 0);
	folio_put(scene.folio);
}

static void put_of_what_another_put(void *arg)
{
	(void)arg;
	put_anothers_reference();
	folio_put_holder(scene.folio, scene.holder);
}

static void end_of_whose_reference_another_put(void *arg)
{
	(void)arg;
	put_anothers_reference();
	(void)pgmap_holder_end(scene.holder);
}

static void last_unpin_while_a_charge_stands(void *arg)
{
	(void)arg;
	put_anothers_reference();
	folio_unpin(scene.folio, NULL, FOLIO_PIN_LOCAL);
}

static void c4_1_who_put_a_reference_of_anothers_is_found_out(void **state)
{
	(void)state;
	ABORTS(unpin_of_what_another_unpinned, NULL, "unpin without a pin", "0x208", "mallory");
	ABORTS(put_of_what_another_put, NULL, "put without a reference", "0x208", "mallory");
	ABORTS(end_of_whose_reference_another_put, NULL, "more charges than references", "0x208", "mallory");
	ABORTS(last_unpin_while_a_charge_stands, NULL, "charged to a holder", "0x208", "mallory");
}

static void put_it(void *arg)
{
	folio_put(arg);
}

static void c3_17_addresses_around_the_words_are_no_folios(void **state)
{
	(void)state;
	char *words = scene.pgmap->meta;
	ABORTS(put_it, words + scene.pgmap->meta_bytes, "no folio of any pgmap");
	ABORTS(put_it, words + scene.pgmap->meta_bytes + PGMAP_PAGE_SIZE, "no folio of any pgmap");
	ABORTS(put_it, words - sizeof(word_t), "no folio of any pgmap");
	ABORTS(put_it, (void *)(uintptr_t)(MAP_SLOTS * MAP_SLOT_BYTES), "no folio of any pgmap");
}

static void c3_17_a_handle_that_is_no_folio_aborts_in_every_call(void **state)
{
	(void)state;
	static uint64_t ours;
	char *word = (char *)scene.folio;
	char *const no_folios[] = {NULL, (char *)&ours, word + 1, (char *)UINTPTR_MAX - 7};
	for (unsigned call = 0; call <= 16; call++) {
		struct {
			unsigned call;
			struct folio *folio;
		} what = {call, (struct folio *)(void *)no_folios[call % 4]};
		ABORTS(use, &what, "no folio of any pgmap");
	}
	for (size_t i = 0; i < 4; i++) {
		struct {
			unsigned call;
			struct folio *folio;
		} what = {1, (struct folio *)(void *)no_folios[i]};
		ABORTS(use, &what, "no folio of any pgmap");
	}
}

static void put_after_destroy(void *arg)
{
	struct folio *stale = scene.folio;
	(void)arg;
	folio_put(scene.folio);
	CHILD_CHECK(pgmap_kill(scene.pgmap) == 0 && pgmap_drain(scene.pgmap, 0) == 0 &&
		    pgmap_destroy(scene.pgmap) == 0);
	folio_put(stale);
}

static void put_of_a_tail(void *arg)
{
	(void)arg;
	folio_put(map_folio(claim_word(&scene.pgmap->tree, 0, FOLIOS_PGOFF + 5)));
}

/* The block of the former folio is open, and has a larger folio than of one page: bits where a count would be. */
static void charge_of_an_open_block(void *arg)
{
	(void)arg;
	struct folio *block = request(scene.pgmap, 1024, PGMAP_ORDER_PMD);
	folio_put(block);
	(void)request(scene.pgmap, 1024, 3);
	(void)folio_charge(block, scene.holder);
}

static void c3_17_stale_handles_and_tail_pages_abort(void **state)
{
	(void)state;
	ABORTS(put_after_destroy, NULL, "no folio of any pgmap");
	ABORTS(put_of_a_tail, NULL, "under-test", "0x20d", "idle");
	ABORTS(charge_of_an_open_block, NULL, "charge without a reference", "0x400", "idle (open)", "mallory");
}

static void fill(uint64_t refs, uint64_t pins)
{
	atomic_store(map_word(scene.folio), word_make(WORD_HELD, 3, refs * WORD_REF + pins * WORD_PIN));
}

static void get_beyond(void *arg)
{
	(void)arg;
	fill(PGMAP_MAX_REFS - 1, 0);
	folio_get(scene.folio); /* the last that there is */
	CHILD_CHECK(folio_refs(scene.folio) == PGMAP_MAX_REFS);
	folio_get(scene.folio);
}

static void get_holder_beyond(void *arg)
{
	(void)arg;
	fill(PGMAP_MAX_REFS, 0);
	(void)folio_get_holder(scene.folio, scene.holder);
}

static void lookup_beyond(void *arg)
{
	struct folio *folio;
	(void)arg;
	fill(PGMAP_MAX_REFS - 1, 0);
	CHILD_CHECK(pgmap_get_folio(scene.pgmap, FOLIOS_PGOFF + 7, &folio) == 0);
	(void)pgmap_get_folio(scene.pgmap, FOLIOS_PGOFF + 7, &folio);
}

static void pin_beyond(void *arg)
{
	(void)arg;
	fill(PGMAP_MAX_REFS - 1, PGMAP_MAX_REFS - 2);
	CHILD_CHECK(folio_pin(scene.folio, NULL, FOLIO_PIN_REMOTE) == 0);
	CHILD_CHECK(folio_pins(scene.folio) == PGMAP_MAX_REFS - 1);
	(void)folio_pin(scene.folio, NULL, FOLIO_PIN_REMOTE);
}

/* A reference that is there already is charged: one more is not taken. */
static void charge_at_the_maximum(void *arg)
{
	(void)arg;
	fill(PGMAP_MAX_REFS, 0);
	CHILD_CHECK(folio_charge(scene.folio, scene.holder) == 0);
	CHILD_CHECK(folio_refs(scene.folio) == PGMAP_MAX_REFS);
	CHILD_EXIT(0);
}

static void c4_1_at_the_maximum_a_reference_can_be_charged(void **state)
{
	char said[1024];
	(void)state;
	assert_int_equal(in_child(charge_at_the_maximum, NULL, said, sizeof(said)), 0);
}

static void c3_14_references_never_wrap_at_the_maximum_it_aborts(void **state)
{
	(void)state;
	ABORTS(get_beyond, NULL, "under-test", "maximum", "0x208", "order 3", "held", "16777215 references");
	ABORTS(get_holder_beyond, NULL, "maximum", "0x208", "order 3", "held", "16777215", "mallory");
	ABORTS(lookup_beyond, NULL, "maximum", "0x208", "order 3", "held", "16777215 references");
	ABORTS(pin_beyond, NULL, "maximum", "0x208", "order 3", "held", "16777214 of them pins");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(c3_17_a_put_without_a_reference_aborts_with_the_facts),
		TEST(c3_17_an_unpin_without_a_pin_aborts_with_the_facts),
		TEST(c3_17_a_wrong_holder_is_named),
		TEST(c4_1_the_last_put_of_a_charged_reference_aborts),
		TEST(c3_17_a_handle_that_is_no_folio_aborts_in_every_call),
		TEST(c4_1_who_put_a_reference_of_anothers_is_found_out),
		TEST(c3_17_addresses_around_the_words_are_no_folios),
		TEST(c3_17_stale_handles_and_tail_pages_abort),
		TEST(c3_14_references_never_wrap_at_the_maximum_it_aborts),
		TEST(c4_1_at_the_maximum_a_reference_can_be_charged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
