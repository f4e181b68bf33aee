/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What metadata costs: 8 bytes a folio, nothing for tail pages and for what is idle; and what happens where memory has to
 * be committed before it is used, as on a system that forbids overcommit: here, in a child that may have little of it.
 */
#include "core_util.h"

#include <malloc.h>
#include <sys/mman.h>

#include "core/map.h"

enum { MIB = 1 << 20 };

static uint64_t resident_pages(const char *from, const char *to)
{
	unsigned char resident[4096];
	uint64_t n = 0;
	for (; from < to; from += sizeof(resident) * 4096) {
		size_t bytes =
			(size_t)(to - from) < sizeof(resident) * 4096 ? (size_t)(to - from) : sizeof(resident) * 4096;
		assert_int_equal(mincore((void *)(uintptr_t)from, bytes, resident), 0);
		for (size_t i = 0; i < bytes / 4096; i++)
			n += resident[i] & 1;
	}
	return n;
}

static uint64_t metadata_pages(const struct pgmap *pgmap)
{
	return resident_pages(pgmap->meta, pgmap->meta + pgmap->meta_bytes);
}

static void c3_1_idle_pages_cost_no_memory(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(UINT64_C(1) << 28);
	assert_int_equal(metadata_pages(pgmap), 0);
	end_pgmap(pgmap);
}

static void c3_21_a_device_full_of_large_folios_costs_words_not_pages_of_words(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(64 * PUD_PAGES);
	for (uint64_t at = 0; at < 64 * PUD_PAGES; at += PMD_PAGES)
		(void)request(pgmap, at, PGMAP_ORDER_PMD);
	/* 2^15 folios of 8 bytes, and a page for the 64 words above them; nothing below. */
	assert_int_equal(metadata_pages(pgmap), 64 + 1);
	for (uint64_t at = 0; at < 64 * PUD_PAGES; at += PMD_PAGES)
		folio_put(find(pgmap, at));
	for (uint64_t at = 0; at < 64 * PUD_PAGES; at += PUD_PAGES) {
		struct folio *folio = request(pgmap, at, PGMAP_ORDER_PUD);
		assert_int_equal((uintptr_t)folio % 8, 0);
		folio_put(folio);
	}
	end_pgmap(pgmap);
}

static void c3_20_a_full_gibibyte_of_pages_costs_8_bytes_each(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(4 * PUD_PAGES);
	for (uint64_t at = 0; at < PUD_PAGES; at++)
		(void)request(pgmap, at, 0);
	assert_int_equal(metadata_pages(pgmap), PUD_PAGES * 8 / 4096 + 1 + 1);
	for (uint64_t at = 0; at < PUD_PAGES; at++)
		folio_put(find(pgmap, at));
	end_pgmap(pgmap);
}

static void c3_21_the_largest_folios_cost_one_word(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(512 * PUD_PAGES);
	for (uint64_t at = 0; at < 512 * PUD_PAGES; at += PUD_PAGES)
		(void)request(pgmap, at, 18);
	assert_int_equal(metadata_pages(pgmap), 1);
	for (uint64_t at = 0; at < 512 * PUD_PAGES; at += PUD_PAGES)
		folio_put(find(pgmap, at));
	end_pgmap(pgmap);
}

static void c3_19_private_values_cost_nothing_until_used_and_then_a_page(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(64 * PUD_PAGES);
	struct folio *folio = request(pgmap, PUD_PAGES + 5, 0);
	assert_int_equal(folio_private(folio), 0);
	assert_null(atomic_load(&pgmap->private_words));
	assert_int_equal(folio_set_private(folio, 1), 0);
	const char *words = atomic_load(&pgmap->private_words);
	assert_int_equal(resident_pages(words, words + pgmap->meta_bytes), 1);
	folio_put(folio);
	for (uint64_t at = 0; at < PUD_PAGES; at += 512)
		folio_put(request(pgmap, at, 9)); /* what was never set is not cleared either: no page */
	assert_in_range(resident_pages(words, words + pgmap->meta_bytes), 1, 2);
	end_pgmap(pgmap);
}

static void c2_13_a_device_of_16_tib_costs_what_a_small_one_costs(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(UINT64_C(1) << 32);
	uint64_t before = status_bytes("VmRSS");
	struct folio *first = request(pgmap, 0, 0), *last = request(pgmap, (UINT64_C(1) << 32) - 1, 0);
	struct folio *middle = request(pgmap, UINT64_C(1) << 31, 18);
	assert_int_equal(pgmap_live_pages(pgmap), 2 + PUD_PAGES);
	assert_true(status_bytes("VmRSS") < before + 4 * MIB);
	for (unsigned level = 0; level < CLAIM_LEVELS; level++)
		assert_in_range(resident_pages(pgmap->meta + pgmap->level_at[level],
					       level == CLAIM_TOP ? pgmap->meta + pgmap->meta_bytes
								  : pgmap->meta + pgmap->level_at[level] + 32 * MIB),
				1, 3);
	folio_put(first);
	folio_put(middle);
	folio_put(last);
	end_pgmap(pgmap);
}

static struct pgmap *create_on_demand(uint64_t npages)
{
	struct pgmap_range range = {0, npages * PGMAP_PAGE_SIZE};
	struct pgmap_params params = {
		.params_bytes = sizeof(params), .type = PGMAP_GENERIC, .ranges = &range, .nranges = 1};
	struct pgmap *pgmap = NULL;
	CHILD_CHECK(pgmap_create(&params, &pgmap) == 0);
	CHILD_CHECK(pgmap->on_demand);
	return pgmap;
}

static int try_request(struct pgmap *pgmap, uint64_t pgoff, unsigned order, struct folio **folio)
{
	return pgmap_request_folio(pgmap, pgoff, order, folio);
}

/* Words for 1 GiB of pages are 2 MiB: more than there is. */
static void no_memory_for_words(void *arg)
{
	struct folio *folio, *small;
	(void)arg;
	limit_to(RLIMIT_DATA, "VmData", MIB);
	struct pgmap *pgmap = create_on_demand(8 * PUD_PAGES);
	for (unsigned order = 0; order < 18; order++)
		CHILD_CHECK(try_request(pgmap, PUD_PAGES, order, &folio) == -ENOMEM);
	CHILD_CHECK(pgmap_live_pages(pgmap) == 0);
	CHILD_CHECK(pgmap_get_folio(pgmap, PUD_PAGES, &folio) == -ENOENT);
	CHILD_CHECK(try_request(pgmap, PUD_PAGES, 18, &folio) == 0); /* needs none */
	CHILD_CHECK(folio_split(folio, 9) == -ENOMEM);
	CHILD_CHECK(folio_order(folio) == 18 && folio_refs(folio) == 1);
	folio_put(folio);
	limit_to(RLIMIT_DATA, "VmData", UINT64_MAX);
	CHILD_CHECK(try_request(pgmap, PUD_PAGES, 0, &small) == 0);
	CHILD_CHECK(try_request(pgmap, 2 * PUD_PAGES - 512, 9, &folio) == 0);
	CHILD_CHECK(pgmap_live_pages(pgmap) == 513);
	folio_put(small);
	folio_put(folio);
	CHILD_CHECK(try_request(pgmap, 0, 18, &folio) == 0);
	CHILD_CHECK(folio_split(folio, 0) == 0);
	CHILD_CHECK(pgmap_find_folio(pgmap, PUD_PAGES - 1, &small) == 0);
	for (uint64_t at = 0; at < PUD_PAGES; at++) {
		CHILD_CHECK(pgmap_find_folio(pgmap, at, &small) == 0);
		folio_put(small);
	}
	CHILD_CHECK(pgmap_kill(pgmap) == 0 && pgmap_drain(pgmap, 0) == 0 && pgmap_destroy(pgmap) == 0);
}

static void c3_7_no_memory_for_words_is_told_and_leaves_no_trace(void **state)
{
	(void)state;
	expect_child_passes(no_memory_for_words, NULL);
}

/* With memory the same split succeeds, and each part has the value. */
static void split_with_memory(struct pgmap *pgmap, struct folio *folio)
{
	struct folio *part;
	limit_to(RLIMIT_DATA, "VmData", UINT64_MAX);
	CHILD_CHECK(folio_split(folio, 9) == 0);
	for (uint64_t at = 0; at < PUD_PAGES; at += 512) {
		CHILD_CHECK(pgmap_find_folio(pgmap, at, &part) == 0);
		CHILD_CHECK(folio_private(part) == 1);
		folio_put(part);
	}
	CHILD_CHECK(pgmap_kill(pgmap) == 0 && pgmap_drain(pgmap, 0) == 0 && pgmap_destroy(pgmap) == 0);
}

static void no_memory_for_private_values(void *arg)
{
	struct folio *folio;
	(void)arg;
	limit_to(RLIMIT_DATA, "VmData", MIB);
	struct pgmap *pgmap = create_on_demand(8 * PUD_PAGES);
	CHILD_CHECK(try_request(pgmap, 0, 18, &folio) == 0);
	CHILD_CHECK(folio_private(folio) == 0);
	limit_to(RLIMIT_DATA, "VmData", 0);
	CHILD_CHECK(folio_set_private(folio, 1) == -ENOMEM);
	CHILD_CHECK(folio_private(folio) == 0);
	limit_to(RLIMIT_DATA, "VmData", MIB);
	CHILD_CHECK(folio_set_private(folio, 1) == 0);
	CHILD_CHECK(folio_split(folio, 0) == -ENOMEM); /* nothing changed, the value neither */
	CHILD_CHECK(folio_private(folio) == 1 && folio_order(folio) == 18);
	split_with_memory(pgmap, folio);
}

static void c3_19_no_memory_for_private_values_is_told(void **state)
{
	(void)state;
	expect_child_passes(no_memory_for_private_values, NULL);
}

/* There is memory for the parts' words, but none for their values. */
static void no_memory_for_the_parts_values(void *arg)
{
	struct folio *folio, *next;
	(void)arg;
	limit_to(RLIMIT_DATA, "VmData", MIB);
	struct pgmap *pgmap = create_on_demand(8 * PUD_PAGES);
	limit_to(RLIMIT_DATA, "VmData", 8 * MIB);
	CHILD_CHECK(try_request(pgmap, PUD_PAGES, 9, &next) == 0);
	CHILD_CHECK(folio_set_private(next, 2) == 0);
	CHILD_CHECK(try_request(pgmap, 0, 0, &folio) == 0); /* commits the words of this GiB */
	folio_put(folio);
	CHILD_CHECK(try_request(pgmap, 0, 18, &folio) == 0);
	CHILD_CHECK(folio_set_private(folio, 1) == 0);
	limit_to(RLIMIT_DATA, "VmData", 0);
	CHILD_CHECK(folio_split(folio, 9) == -ENOMEM);
	CHILD_CHECK(folio_private(folio) == 1 && folio_order(folio) == 18 && folio_refs(folio) == 1);
	CHILD_CHECK(folio_private(next) == 2); /* what is taken back is the parts' */
	folio_put(next);
	split_with_memory(pgmap, folio);
}

static void c3_18_no_memory_for_the_parts_private_values_is_told(void **state)
{
	(void)state;
	expect_child_passes(no_memory_for_the_parts_values, NULL);
}

static void no_memory_for_charges(void *arg)
{
	struct pgmap_range range = {0, PUD_PAGES * PGMAP_PAGE_SIZE};
	struct pgmap_params params = {
		.params_bytes = sizeof(params), .type = PGMAP_GENERIC, .ranges = &range, .nranges = 1};
	struct pgmap *pgmap = NULL;
	struct pgmap_holder *holder;
	struct folio *folio;
	(void)arg;
	CHILD_CHECK(pgmap_create(&params, &pgmap) == 0);
	CHILD_CHECK(pgmap_holder_create(pgmap, "poor", &holder) == 0);
	CHILD_CHECK(try_request(pgmap, 0, 9, &folio) == 0);
	limit_to(RLIMIT_DATA, "VmData", 0);
	CHILD_CHECK(folio_get_holder(folio, holder) == -ENOMEM);
	CHILD_CHECK(folio_charge(folio, holder) == -ENOMEM);
	CHILD_CHECK(folio_pin(folio, holder, FOLIO_PIN_LOCAL) == -ENOMEM);
	CHILD_CHECK(folio_refs(folio) == 1 && folio_pins(folio) == 0);
	limit_to(RLIMIT_DATA, "VmData", 128 * 1024); /* for one chunk of charges, not for 512 * n */
	CHILD_CHECK(folio_charge(folio, holder) == 0);
	limit_to(RLIMIT_DATA, "VmData", 0);
	CHILD_CHECK(folio_get_holder(folio, holder) == 0); /* never -ENOMEM when it has one on this folio */
	folio_put_holder(folio, holder);
	CHILD_CHECK(pgmap_holder_end(holder) == 0);
	CHILD_CHECK(pgmap_live_pages(pgmap) == 0);
}

static void c4_1_no_memory_for_a_charge_is_told_and_nothing_is_counted(void **state)
{
	(void)state;
	expect_child_passes(no_memory_for_charges, NULL);
}

enum { LEAK_FOLIOS = 2000, LEAK_ROUNDS = 64 };

/* A life in which everything that a pgmap can have was had; some of it is there still when it goes. */
static void live_and_die(void)
{
	const struct pgmap_range ranges[] = {{0, UINT64_C(1) << 30}, {UINT64_C(5) << 30, UINT64_C(1) << 30}};
	const struct pgmap_params params = {
		.params_bytes = sizeof(params), .type = PGMAP_GENERIC, .ranges = ranges, .nranges = 2};
	struct pgmap *pgmap = NULL, *none = NULL;
	assert_int_equal(pgmap_create(&params, &pgmap), 0);
	const struct pgmap_range wrong[] = {{0, 1 << 30}, {0, 1 << 30}}, huge[] = {{0, UINT64_C(1) << 60}};
	assert_int_equal(pgmap_create(&(struct pgmap_params){params.params_bytes, PGMAP_GENERIC, wrong, 2, NULL, NULL,
							     NULL, NULL},
				      &none),
			 -EINVAL);
	assert_int_equal(pgmap_create(&(struct pgmap_params){params.params_bytes, PGMAP_GENERIC, huge, 1, NULL, NULL,
							     NULL, NULL},
				      &none),
			 -ENOMEM);
	struct pgmap_holder *ended = make_holder(pgmap, "ended"), *fenced = make_holder(pgmap, "fenced");
	(void)make_holder(pgmap, "never ended");
	for (uint64_t i = 0; i < LEAK_FOLIOS; i++) {
		struct folio *folio = request(pgmap, i, 0);
		assert_int_equal(folio_charge(folio, i % 2 ? ended : fenced), 0);
		assert_int_equal(folio_set_private(folio, i), 0);
	}
	assert_int_equal(folio_pin(find(pgmap, 0), fenced, FOLIO_PIN_REMOTE), 0);
	assert_int_equal(pgmap_poison(pgmap, 100, 50), 0);
	assert_int_equal(pgmap_poison(pgmap, 140, 50), 0);
	assert_int_equal(pgmap_clear_poison(pgmap, 120, 10), 0);
	assert_int_equal(pgmap_clear_poison(pgmap, 180, 100), 0);
	assert_int_equal(pgmap_poison(pgmap, 1000, 1), 0);
	assert_int_equal(pgmap_clear_poison(pgmap, 1000, 1), 0);
	assert_int_equal(pgmap_holder_end(ended), 0);
	assert_int_equal(pgmap_holder_end(fenced), 1);
	assert_int_equal(pgmap_holder_fence(fenced), 0);
	end_pgmap(pgmap);
}

static void what_a_pgmap_had_is_given_back_when_it_is_gone(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++)
		live_and_die();
	uint64_t mapped = status_bytes("VmSize");
	size_t allocated = mallinfo2().uordblks;
	for (int i = 0; i < LEAK_ROUNDS; i++)
		live_and_die();
	/* Less than the least that a round could leak: malloc counts what its caches hold as allocated. */
	assert_true(mallinfo2().uordblks < allocated + LEAK_ROUNDS * (size_t)16);
	/* Much less than the least that is mapped for it: malloc's own, or a sanitizer's. */
	assert_true(status_bytes("VmSize") < mapped + LEAK_ROUNDS * UINT64_C(32) * 1024);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(c3_1_idle_pages_cost_no_memory),
		TEST(c3_21_a_device_full_of_large_folios_costs_words_not_pages_of_words),
		TEST(c3_20_a_full_gibibyte_of_pages_costs_8_bytes_each),
		TEST(c3_21_the_largest_folios_cost_one_word),
		TEST(c3_19_private_values_cost_nothing_until_used_and_then_a_page),
		TEST(c2_13_a_device_of_16_tib_costs_what_a_small_one_costs),
		TEST(c3_7_no_memory_for_words_is_told_and_leaves_no_trace),
		TEST(c3_19_no_memory_for_private_values_is_told),
		TEST(c3_18_no_memory_for_the_parts_private_values_is_told),
		TEST(c4_1_no_memory_for_a_charge_is_told_and_nothing_is_counted),
		TEST(what_a_pgmap_had_is_given_back_when_it_is_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
