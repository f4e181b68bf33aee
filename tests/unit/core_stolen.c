/* SPDX-License-Identifier: BSD-3-Clause */
/* Who puts what is another's, or writes over a word: it is found out where the account and the count no longer agree, at the
 * latest by the one whose reference it was. Each in a child, with the facts that it names. */
#include "core_util.h"

#include "core/map.h"

static struct pgmap *pgmap;
static struct folio *folio;
static struct pgmap_holder *holder;

static int setup(void **state)
{
	(void)state;
	pgmap = make_generic(PUD_PAGES);
	folio = request(pgmap, 0x40, 2);
	holder = make_holder(pgmap, "victim");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	folio_put(folio);
	end_pgmap(pgmap);
	return 0;
}

/* One reference is left, of a pin that is nobody's; the holder's account says that it has one. */
static void steal_a_reference(void)
{
	CHILD_CHECK(folio_get_holder(folio, holder) == 0);
	CHILD_CHECK(folio_pin(folio, NULL, FOLIO_PIN_LOCAL) == 0);
	folio_put(folio);
	folio_put(folio); /* the holder's */
}

/* A reference is left, and no pin; the holder's account says that it has one. */
static void steal_a_pin(void)
{
	CHILD_CHECK(folio_pin(folio, holder, FOLIO_PIN_LOCAL) == 0);
	folio_unpin(folio, NULL, FOLIO_PIN_REMOTE); /* the holder's */
}

static void put_what_was_stolen(void *arg)
{
	(void)arg;
	steal_a_reference();
	folio_put_holder(folio, holder);
}

static void unpin_what_was_stolen(void *arg)
{
	(void)arg;
	steal_a_pin();
	folio_unpin(folio, holder, FOLIO_PIN_LOCAL);
}

static void end_with_a_stolen_reference(void *arg)
{
	(void)arg;
	steal_a_reference();
	(void)pgmap_holder_end(holder);
}

static void end_with_a_stolen_pin(void *arg)
{
	(void)arg;
	steal_a_pin();
	(void)pgmap_holder_end(holder);
}

static void c4_1_a_put_of_a_reference_that_others_have_put_aborts(void **state)
{
	(void)state;
	ABORTS(put_what_was_stolen, NULL, "under-test", "put without a reference", "0x40", "1 references",
	       "1 of them pins", "victim");
	ABORTS(unpin_what_was_stolen, NULL, "under-test", "unpin without a pin", "0x40", "1 references",
	       "0 of them pins", "victim");
}

static void c4_2_the_end_of_a_holder_whose_references_others_have_put_aborts(void **state)
{
	(void)state;
	ABORTS(end_with_a_stolen_reference, NULL, "more charges than references", "0x40", "victim");
	ABORTS(end_with_a_stolen_pin, NULL, "more charges than references", "0x40", "victim");
}

static void put_after_scribbling(void *arg)
{
	const uint64_t *scribble = arg;
	atomic_store(map_word(folio), *scribble);
	folio_put(folio);
}

static void c3_17_a_word_that_was_written_over_is_called_what_it_looks_like(void **state)
{
	(void)state;
	const struct {
		enum word_state state;
		const char *name;
	} all[] = {{WORD_CLOSED, "is idle with"},        {WORD_OPEN, "is idle (open)"},
		   {WORD_CLAIM, "is being requested"},   {WORD_CLOSING, "is being requested (closing)"},
		   {WORD_QUARANTINED, "is quarantined"}, {(enum word_state)5, "is corrupt"},
		   {(enum word_state)7, "is corrupt"}};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		uint64_t word = word_make(all[i].state, 2, 5);
		ABORTS(put_after_scribbling, &word, "under-test", "put without a reference", "0x40", all[i].name);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(c4_1_a_put_of_a_reference_that_others_have_put_aborts),
		TEST(c4_2_the_end_of_a_holder_whose_references_others_have_put_aborts),
		TEST(c3_17_a_word_that_was_written_over_is_called_what_it_looks_like),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
