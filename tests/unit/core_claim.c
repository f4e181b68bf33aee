/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Claims over a tree of the test's own, in one thread, against a model that is a list of spans: requests of every order,
 * lookups, splits, blocks opened and closed, and memory that has to be committed. tests/torture has the threads.
 */
#include "core/claim.h"

#include "port/futex.h"

#include "core_util.h"

enum { TOPS = 2, PAGES = TOPS << 18, MODEL_MAX = 4096 };
#define ORDERS (CLAIM_MAX_ORDER + 1)

struct span {
	uint64_t pgoff;
	unsigned order;
};

/* A split by somebody whose references are all there are; in the core, split.c has one more of its own. */
static int split_all(struct claim_tree *in, uint64_t pgoff, uint64_t held, unsigned new_order)
{
	struct claim_split split;
	if (claim_split_begin(&split, in, pgoff, held, new_order) != 0)
		return -ENOMEM;
	if (claim_split_decide(&split, held))
		return 0;
	claim_split_cancel(&split);
	return -EBUSY;
}

static struct claim_tree tree;
static struct live live;
static struct span model[MODEL_MAX];
static size_t nmodel;

static uint64_t words_of(unsigned level)
{
	return (uint64_t)PAGES >> (level * CLAIM_LEVEL_BITS);
}

static int setup(void **state)
{
	(void)state;
	memset(&live, 0, sizeof(live));
	memset(&tree, 0, sizeof(tree));
	nmodel = 0;
	for (unsigned level = 0; level < CLAIM_LEVELS; level++) {
		tree.words[level] = calloc(words_of(level), sizeof(word_t));
		if (!tree.words[level])
			return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned level = 0; level < CLAIM_LEVELS; level++)
		free((void *)tree.words[level]);
	return 0;
}

static void expect_untouched(void)
{
	for (unsigned level = 0; level < CLAIM_LEVELS; level++)
		for (uint64_t i = 0; i < words_of(level); i++)
			if (word_load(&tree.words[level][i]) != 0)
				fail_msg("level %u word %" PRIu64 " is %#" PRIx64, level, i,
					 word_load(&tree.words[level][i]));
}

/* No word is undecided or held; open words, and their masks, may stay. */
static void expect_idle(void)
{
	for (unsigned level = 0; level < CLAIM_LEVELS; level++)
		for (uint64_t i = 0; i < words_of(level); i++) {
			uint64_t w = word_load(&tree.words[level][i]);
			if (w != 0 && (level == 0 || !word_is_open(w)))
				fail_msg("level %u word %" PRIu64 " is %#" PRIx64, level, i, w);
		}
}

static bool overlaps(const struct span *s, uint64_t pgoff, unsigned order)
{
	return s->pgoff < pgoff + (UINT64_C(1) << order) && pgoff < s->pgoff + (UINT64_C(1) << s->order);
}

static struct span *model_find(uint64_t pgoff, unsigned order)
{
	for (size_t i = 0; i < nmodel; i++)
		if (overlaps(&model[i], pgoff, order))
			return &model[i];
	return NULL;
}

static word_t *head_of(const struct span *s)
{
	unsigned level = claim_level(s->order);
	return claim_word(&tree, level, s->pgoff >> (level * CLAIM_LEVEL_BITS));
}

static int claim(uint64_t pgoff, unsigned order)
{
	word_t *word = NULL;
	int expected = model_find(pgoff, order) ? -EBUSY : 0;
	int r = claim_request(&tree, &live, pgoff, order, &word);
	if (r != expected)
		fail_msg("request of %#" PRIx64 " order %u: %d, not %d", pgoff, order, r, expected);
	if (r == 0) {
		assert_true(nmodel < MODEL_MAX);
		model[nmodel++] = (struct span){pgoff, order};
		assert_ptr_equal(word, head_of(&model[nmodel - 1]));
		assert_true(word_load(word) == word_make(WORD_HELD, order, WORD_REF));
	}
	return r;
}

static void release(struct span *s)
{
	word_t *word = head_of(s);
	assert_true(word_load(word) == word_make(WORD_HELD, s->order, WORD_REF));
	word_store(word, 0);
	*s = model[--nmodel];
}

static void look(uint64_t pgoff)
{
	word_t *word = NULL;
	const struct span *s = model_find(pgoff, 0);
	int r = claim_lookup(&tree, pgoff, false, &word);
	if (r != (s ? 0 : -ENOENT) || (s && word != head_of(s)))
		fail_msg("lookup of %#" PRIx64 ": %d", pgoff, r);
	if (!s)
		return;
	assert_int_equal(claim_lookup(&tree, pgoff, true, &word), 0);
	assert_ptr_equal(word, head_of(s));
	assert_int_equal(word_refs(word_load(word)), 2);
	(void)word_put(word, 1, 0);
}

static void split(struct span *s, unsigned new_order)
{
	struct span old = *s;
	assert_int_equal(split_all(&tree, old.pgoff, word_make(WORD_HELD, old.order, WORD_REF), new_order), 0);
	*s = model[--nmodel];
	assert_true(nmodel + (UINT64_C(1) << (old.order - new_order)) <= MODEL_MAX);
	for (uint64_t i = 0; i < UINT64_C(1) << (old.order - new_order); i++)
		model[nmodel++] = (struct span){old.pgoff + (i << new_order), new_order};
}

static void c3_20_places_of_words_are_a_permutation_that_keeps_neighbours_apart(void **state)
{
	(void)state;
	for (unsigned level = 0; level < CLAIM_LEVELS; level++)
		for (uint64_t i = 0; i < 4 * CLAIM_BLOCK; i++) {
			uint64_t place = claim_place(level, i);
			assert_int_equal(claim_unplace(level, place), i);
			assert_int_equal(place / CLAIM_BLOCK, i / CLAIM_BLOCK);
			if (level == 0 && i % CLAIM_BLOCK + 1 < CLAIM_BLOCK)
				assert_int_not_equal(place / 8, claim_place(0, i + 1) / 8);
		}
}

/* Every pair of orders: one held, the other requested at, below and above each edge of it. */
static void c3_9_every_order_excludes_every_other_exactly_where_they_overlap(void **state)
{
	(void)state;
	for (unsigned a = 0; a < ORDERS; a++) {
		uint64_t at = (UINT64_C(1) << 18) - (UINT64_C(1) << a), n = UINT64_C(1) << a;
		for (unsigned b = 0; b < ORDERS; b++) {
			const uint64_t near[] = {at, at + n - 1, at + n / 2, at - (at ? 1 : 0), at + n};
			assert_int_equal(claim(at, a), 0);
			for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++) {
				uint64_t head = near[i] >> b << b;
				if (claim(head, b) == 0)
					release(&model[nmodel - 1]);
				look(near[i]);
			}
			release(&model[0]);
			look(at);
			assert_int_equal(claim(at >> b << b, b), 0); /* blocks that were opened are closed again */
			look(at);
			release(&model[0]);
		}
	}
	expect_idle();
}

static void c3_11_a_request_that_fails_leaves_no_trace(void **state)
{
	(void)state;
	for (unsigned a = 0; a < ORDERS; a++) {
		for (unsigned b = 0; b < ORDERS; b++) {
			word_t *word;
			uint64_t before[3], top = 0;
			assert_int_equal(claim(0, a), 0);
			for (unsigned level = 0; level < CLAIM_LEVELS; level++)
				before[level] = word_load(claim_word(&tree, level, 0));
			assert_int_equal(claim_request(&tree, &live, 0, b, &word), -EBUSY);
			for (unsigned level = 0; level < CLAIM_LEVELS; level++) {
				uint64_t w = word_load(claim_word(&tree, level, 0));
				top = word_is_open(before[level]) ? WORD_LOW_MASK
								  : 0; /* an open word's mask may grow */
				assert_true((w & ~top) == (before[level] & ~top));
			}
			release(&model[0]);
			assert_int_equal(claim(0, 18), 0);
			release(&model[0]);
		}
		expect_untouched();
	}
}

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 11) % below;
}

/* Offsets where the edges of all orders are. */
static uint64_t random_pgoff(void)
{
	static const uint64_t edges[] = {0, 0, 1, 2, 3, 7, 255, 256, 510, 511};
	uint64_t n = sizeof(edges) / sizeof(edges[0]);
	return next_random(TOPS) << 18 | edges[next_random(n)] << 9 | edges[next_random(n)];
}

static void random_step(void)
{
	/* The largest are seldom, or nothing else would come about. */
	unsigned order = (unsigned)next_random(next_random(50) ? 13 : ORDERS);
	uint64_t pgoff = random_pgoff();
	struct span *s = model_find(pgoff, 0);
	switch (next_random(4)) {
	case 0:
		if (s && s->order > 0 && nmodel < MODEL_MAX / 4) {
			unsigned down = (unsigned)next_random(s->order < 8 ? s->order : 8) + 1;
			split(s, s->order - down);
		}
		break;
	case 1:
		if (s)
			release(s);
		break;
	default:
		if (nmodel < MODEL_MAX / 4)
			(void)claim(pgoff >> order << order, order);
	}
	look(pgoff);
	look(random_pgoff());
}

static void c3_8_random_sequences_are_what_the_model_says(void **state)
{
	(void)state;
	uint64_t end = port_now_ns() + UINT64_C(1500000000);
	do {
		for (unsigned i = 0; i < 3000; i++)
			random_step();
		while (nmodel > 0)
			release(&model[nmodel - 1]);
		for (uint64_t top = 0; top < TOPS; top++)
			assert_int_equal(claim(top << 18, 18), 0);
		while (nmodel > 0)
			release(&model[0]);
		expect_untouched();
	} while (port_now_ns() < end);
}

static void c3_18_every_split_leaves_all_of_its_parts_and_nothing_else(void **state)
{
	(void)state;
	for (unsigned order = 1; order < ORDERS; order++)
		for (unsigned new_order = order > 11 ? order - 11 : 0; new_order < order; new_order++) {
			uint64_t pgoff = (UINT64_C(1) << 18) - (UINT64_C(1) << order);
			assert_int_equal(claim(pgoff, order), 0);
			split(&model[0], new_order);
			for (uint64_t i = 0; i < UINT64_C(1) << order;
			     i += UINT64_C(1) << (new_order ? new_order - 1 : 0))
				look(pgoff + i);
			assert_int_equal(claim(pgoff, order), -EBUSY);
			while (nmodel > 0)
				release(&model[nmodel - 1]);
			assert_int_equal(claim(pgoff, order), 0);
			release(&model[0]);
		}
	expect_idle();
}

static void c3_18_a_split_of_another_word_than_expected_changes_nothing(void **state)
{
	(void)state;
	for (unsigned order = 1; order < 13; order++) {
		for (unsigned new_order = 0; new_order < order; new_order++) {
			assert_int_equal(claim(0, order), 0);
			uint64_t two = word_make(WORD_HELD, order, 2 * WORD_REF);
			assert_int_equal(split_all(&tree, 0, two, new_order), -EBUSY);
			for (uint64_t i = 0; i < UINT64_C(1) << order; i++)
				look(i);
			release(&model[0]);
			assert_int_equal(claim(0, 18), 0);
			release(&model[0]);
		}
		expect_untouched();
	}
}

static void c3_4_a_request_on_a_dying_tree_leaves_no_trace(void **state)
{
	(void)state;
	word_t *word;
	live_kill(&live);
	for (unsigned order = 0; order < ORDERS; order++)
		assert_int_equal(claim_request(&tree, &live, 0, order, &word), -ENODEV);
	for (unsigned level = 0; level < CLAIM_LEVELS; level++)
		assert_false(claim_request_base(&tree, &live, level, 0, WORD_REF, &word));
	expect_untouched();
}

static void c3_13_a_lookup_stops_at_the_maximum(void **state)
{
	(void)state;
	word_t *word;
	assert_int_equal(claim(512, 9), 0);
	word_store(head_of(&model[0]), word_make(WORD_HELD, 9, WORD_MAX));
	assert_int_equal(claim_lookup(&tree, 600, true, &word), -EUSERS);
	assert_int_equal(claim_lookup(&tree, 600, false, &word), 0);
	assert_true(word_load(head_of(&model[0])) == word_make(WORD_HELD, 9, WORD_MAX));
}

static void c3_6_quarantined_and_releasing_words_are_busy_and_not_found(void **state)
{
	(void)state;
	word_t *word;
	for (unsigned a = 0; a < ORDERS; a++) {
		assert_int_equal(claim(0, a), 0);
		const uint64_t firm[] = {word_make(WORD_QUARANTINED, a, 0), word_make(WORD_HELD, a, 0)};
		for (size_t i = 0; i < 2; i++) {
			word_store(head_of(&model[0]), firm[i]);
			for (unsigned b = 0; b < ORDERS; b++)
				assert_int_equal(claim_request(&tree, &live, 0, b, &word), -EBUSY);
			assert_int_equal(claim_lookup(&tree, 0, true, &word), -ENOENT);
			assert_true(word_load(head_of(&model[0])) == firm[i]);
		}
		word_store(head_of(&model[0]), word_make(WORD_HELD, a, WORD_REF));
		release(&model[0]);
	}
}

/* The short way says yes only where it has all to say, and then no more than the long way does. */
static void c3_8_the_short_way_is_for_open_blocks_without_larger_folios(void **state)
{
	(void)state;
	word_t *word = NULL;
	uint64_t held = word_make(WORD_HELD, 0, WORD_REF);
	assert_false(claim_request_base(&tree, &live, 0, 5, held, &word)); /* closed above */
	expect_untouched();
	assert_int_equal(claim(4, 0), 0);
	assert_true(claim_request_base(&tree, &live, 0, 5, held, &word));
	assert_ptr_equal(word, claim_word(&tree, 0, 5));
	assert_false(claim_request_base(&tree, &live, 0, 5, held, &word));
	model[nmodel++] = (struct span){5, 0};
	assert_int_equal(claim(8, 3), 0); /* a larger one in the block */
	assert_false(claim_request_base(&tree, &live, 0, 9, held, &word));
	assert_false(claim_request_base(&tree, &live, 0, 100, held, &word));
	look(9);
	assert_true(claim_request_base(&tree, &live, 2, 1, word_make(WORD_HELD, 18, WORD_REF), &word));
	assert_false(claim_request_base(&tree, &live, 2, 1, word_make(WORD_HELD, 18, WORD_REF), &word));
	assert_false(claim_request_base(&tree, &live, 2, 0, word_make(WORD_HELD, 18, WORD_REF), &word));
}

static unsigned commits;
static uint64_t committed_top;
static uint64_t word_at_commit;
static int commit_answer;

static int commit(struct claim_tree *of, uint64_t top_index)
{
	assert_ptr_equal(of, &tree);
	commits++;
	committed_top = top_index;
	word_at_commit = word_load(claim_word(&tree, CLAIM_TOP, top_index));
	return commit_answer;
}

static void c3_7_no_memory_for_metadata_is_told_and_leaves_no_trace(void **state)
{
	(void)state;
	word_t *word;
	tree.commit = commit;
	commit_answer = -ENOMEM;
	for (unsigned order = 0; order < 18; order++) {
		commits = 0;
		assert_int_equal(claim_request(&tree, &live, UINT64_C(1) << 18, order, &word), -ENOMEM);
		assert_int_equal(commits, 1);
		assert_int_equal(committed_top, 1);
		assert_int_equal(word_state(word_at_commit), WORD_CLAIM);
		expect_untouched();
	}
	commits = 0;
	assert_int_equal(claim(UINT64_C(1) << 18, 18), 0); /* its word is of the top level: nothing to commit */
	assert_int_equal(commits, 0);
	uint64_t held = word_make(WORD_HELD, 18, WORD_REF);
	assert_int_equal(split_all(&tree, UINT64_C(1) << 18, held, 9), -ENOMEM);
	assert_int_equal(commits, 1);
	assert_true(word_load(head_of(&model[0])) == held);
	release(&model[0]);
	expect_untouched();
}

static void c3_7_memory_is_committed_once_for_each_opening(void **state)
{
	(void)state;
	tree.commit = commit;
	commit_answer = 0;
	commits = 0;
	assert_int_equal(claim(3, 0), 0);
	assert_int_equal(claim(1024, 9), 0);
	assert_int_equal(claim(64, 5), 0);
	assert_int_equal(commits, 1);
	assert_int_equal(committed_top, 0);
	assert_int_equal(claim((UINT64_C(1) << 18) + 7, 0), 0);
	assert_int_equal(commits, 2);
	assert_int_equal(committed_top, 1);
	while (nmodel > 0)
		release(&model[0]);
	assert_int_equal(claim(0, 18), 0); /* closes */
	assert_int_equal(commits, 2);
	split(&model[0], 17);
	assert_int_equal(commits, 3);
	split(&model[0], 8); /* its memory is there */
	assert_int_equal(commits, 3);
	look(0);
	look(UINT64_C(1) << 17);
}

static void a_word_stands_for_its_folios_span_or_for_itself(void **state)
{
	(void)state;
	assert_int_equal(claim_word_k(word_make(WORD_HELD, 3, WORD_REF), 0), 3);
	assert_int_equal(claim_word_k(word_make(WORD_CLAIM, 11, 0), 1), 2);
	assert_int_equal(claim_word_k(word_make(WORD_HELD, 9, WORD_REF), 1), 0);
	assert_int_equal(claim_word_k(word_make(WORD_CLOSING, 0, 6), 1), 0); /* closed by a larger request above */
	assert_int_equal(claim_word_k(word_make(WORD_CLOSING, 0, 6), 2), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(c3_20_places_of_words_are_a_permutation_that_keeps_neighbours_apart),
		TEST(c3_9_every_order_excludes_every_other_exactly_where_they_overlap),
		TEST(c3_11_a_request_that_fails_leaves_no_trace),
		TEST(c3_8_random_sequences_are_what_the_model_says),
		TEST(c3_18_every_split_leaves_all_of_its_parts_and_nothing_else),
		TEST(c3_18_a_split_of_another_word_than_expected_changes_nothing),
		TEST(c3_4_a_request_on_a_dying_tree_leaves_no_trace),
		TEST(c3_13_a_lookup_stops_at_the_maximum),
		TEST(c3_6_quarantined_and_releasing_words_are_busy_and_not_found),
		TEST(c3_8_the_short_way_is_for_open_blocks_without_larger_folios),
		TEST(c3_7_no_memory_for_metadata_is_told_and_leaves_no_trace),
		TEST(c3_7_memory_is_committed_once_for_each_opening),
		TEST(a_word_stands_for_its_folios_span_or_for_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
