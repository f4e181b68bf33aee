/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a pgmap: creation and its ranges, kill, drain, revive, destroy, alone and by several threads. */
#include "core_util.h"

#include <linux/membarrier.h>
#include <malloc.h>

static int no_free(struct folio *folio, void *owner)
{
	(void)folio;
	(void)owner;
	return PGMAP_FREE_IDLE;
}

static const struct pgmap_ops free_ops = {.ops_bytes = sizeof(free_ops), .folio_free = no_free};
static const struct pgmap_ops migrate_ops = {.ops_bytes = sizeof(migrate_ops), .migrate_to_ram = no_free};
static const struct pgmap_ops all_ops = {
	.ops_bytes = sizeof(all_ops), .folio_free = no_free, .migrate_to_ram = no_free};

static struct pgmap_params params_of(const struct pgmap_range *ranges, size_t nranges)
{
	return (struct pgmap_params){.params_bytes = sizeof(struct pgmap_params),
				     .type = PGMAP_GENERIC,
				     .ranges = ranges,
				     .nranges = nranges};
}

/* The error of a creation that must fail, and make nothing. */
static int refuse(const struct pgmap_params *params)
{
	struct pgmap *const untouched = (struct pgmap *)(uintptr_t)0x5a5a;
	struct pgmap *pgmap = untouched;
	uint64_t before = status_bytes("VmSize");
	int r = pgmap_create(params, &pgmap);
	assert_ptr_equal(pgmap, untouched);
	assert_true(status_bytes("VmSize") <= before + (UINT64_C(1) << 20)); /* malloc's arena at most */
	return r;
}

static void c2_14_ranges_that_are_empty_unaligned_or_overlapping_are_refused(void **state)
{
	(void)state;
	static const struct pgmap_range wrong[][2] = {
		{{0, 0}, {1 << 20, 4096}},       {{0, 4096}, {1 << 20, 0}},
		{{1, 4096}, {1 << 20, 4096}},    {{0, 4097}, {1 << 20, 4096}},
		{{0, 4096}, {4096 + 512, 4096}}, {{0, 4096}, {1 << 20, 100}},
		{{0, 8192}, {4096, 4096}},       {{4096, 8192}, {4096, 8192}},
		{{1 << 20, 4096}, {0, 4096}},    {{0, UINT64_C(1) << 61}, {UINT64_C(1) << 61, 4096}},
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct pgmap_params params = params_of(wrong[i], 2);
		if (refuse(&params) != -EINVAL)
			fail_msg("ranges %zu", i);
	}
	static const struct pgmap_range touching[] = {{0, 4096}, {4096, 8192}};
	struct pgmap_params params = params_of(touching, 2);
	struct pgmap *pgmap;
	assert_int_equal(pgmap_create(&params, &pgmap), 0);
	end_pgmap(pgmap);
}

static void c2_14_wrong_parameters_are_refused(void **state)
{
	(void)state;
	static const struct pgmap_range range = {0, 4096};
	static const struct pgmap_ops wrong_size = {.ops_bytes = sizeof(wrong_size) - 8, .folio_free = no_free};
	struct pgmap_params params;
	struct pgmap *pgmap;
	assert_int_equal(pgmap_create(NULL, &pgmap), -EINVAL);
	params = params_of(&range, 1);
	assert_int_equal(pgmap_create(&params, NULL), -EINVAL);
	params.params_bytes--;
	assert_int_equal(refuse(&params), -EINVAL);
	params = params_of(&range, 0);
	assert_int_equal(refuse(&params), -EINVAL);
	params = params_of(NULL, 1);
	assert_int_equal(refuse(&params), -EINVAL);
	params = params_of(&range, 1);
	params.type = (enum pgmap_type)0;
	assert_int_equal(refuse(&params), -EINVAL);
	params.type = (enum pgmap_type)6;
	assert_int_equal(refuse(&params), -EINVAL);
	params = params_of(&range, 1);
	params.ops = &wrong_size;
	assert_int_equal(refuse(&params), -EINVAL);
}

static void c2_15_a_type_without_its_callbacks_is_refused(void **state)
{
	(void)state;
	static const struct pgmap_range range = {0, 4096};
	static const struct {
		enum pgmap_type type;
		const struct pgmap_ops *ops;
		int answer;
	} table[] = {
		{PGMAP_FSDAX, NULL, 0},
		{PGMAP_GENERIC, NULL, 0},
		{PGMAP_P2PDMA, NULL, 0},
		{PGMAP_GENERIC, &free_ops, 0},
		{PGMAP_COHERENT, NULL, -EINVAL},
		{PGMAP_COHERENT, &migrate_ops, -EINVAL},
		{PGMAP_COHERENT, &free_ops, 0},
		{PGMAP_PRIVATE, NULL, -EINVAL},
		{PGMAP_PRIVATE, &free_ops, -EINVAL},
		{PGMAP_PRIVATE, &migrate_ops, -EINVAL},
		{PGMAP_PRIVATE, &all_ops, 0},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct pgmap_params params = params_of(&range, 1);
		params.type = table[i].type;
		params.ops = table[i].ops;
		if (table[i].answer) {
			assert_int_equal(refuse(&params), table[i].answer);
			continue;
		}
		struct pgmap *pgmap;
		assert_int_equal(pgmap_create(&params, &pgmap), 0);
		end_pgmap(pgmap);
	}
}

static void expect_place(const struct pgmap *pgmap, uint64_t pgoff, uint64_t device_page)
{
	uint64_t offset = 0, back = 0;
	assert_int_equal(pgmap_pgoff_to_device(pgmap, pgoff, &offset), 0);
	assert_int_equal(offset, device_page * 4096);
	assert_int_equal(pgmap_device_to_pgoff(pgmap, offset, &back), 0);
	assert_int_equal(back, pgoff);
	assert_int_equal(pgmap_device_to_pgoff(pgmap, offset + 4095, &back), 0);
	assert_int_equal(back, pgoff);
	assert_int_equal(pgoff % PUD_PAGES, device_page % PUD_PAGES);
}

static void c2_14_ranges_keep_their_alignment_and_the_gaps_are_outside(void **state)
{
	(void)state;
	/* In pages: [5, 8), [2^18 + 3, 2^18 + 10), [2^18 + 12, 2^18 + 13), [7 * 2^18, 8 * 2^18), [2^30 + 1, 2^30 + 2) */
	static const uint64_t first[] = {5, PUD_PAGES + 3, PUD_PAGES + 12, 7 * PUD_PAGES, (UINT64_C(1) << 30) + 1};
	static const uint64_t n[] = {3, 7, 1, PUD_PAGES, 1};
	/* One after the other, each at the next pgoff that is congruent. */
	static const uint64_t at[] = {5, PUD_PAGES + 3, PUD_PAGES + 12, 2 * PUD_PAGES, 3 * PUD_PAGES + 1};
	struct pgmap_range ranges[5];
	for (size_t i = 0; i < 5; i++)
		ranges[i] = (struct pgmap_range){first[i] * 4096, n[i] * 4096};
	struct pgmap_params params = params_of(ranges, 5);
	struct pgmap *pgmap;
	struct folio *folio;
	uint64_t where = 77;
	assert_int_equal(pgmap_create(&params, &pgmap), 0);
	assert_int_equal(pgmap_end(pgmap), 3 * PUD_PAGES + 2);
	for (size_t i = 0; i < 5; i++) {
		expect_place(pgmap, at[i], first[i]);
		expect_place(pgmap, at[i] + n[i] - 1, first[i] + n[i] - 1);
		const uint64_t outside[] = {at[i] - 1, at[i] + n[i]};
		for (size_t j = 0; j < 2; j++) {
			assert_int_equal(pgmap_pgoff_to_device(pgmap, outside[j], &where), -ERANGE);
			assert_int_equal(refused(pgmap, outside[j], 0), -ERANGE);
			assert_int_equal(pgmap_get_folio(pgmap, outside[j], &folio), -ERANGE);
			assert_int_equal(pgmap_find_folio(pgmap, outside[j], &folio), -ERANGE);
			assert_int_equal(pgmap_release_quarantined(pgmap, outside[j]), -ERANGE);
		}
		const uint64_t off_device[] = {first[i] * 4096 - 1, (first[i] + n[i]) * 4096};
		for (size_t j = 0; j < 2; j++)
			assert_int_equal(pgmap_device_to_pgoff(pgmap, off_device[j], &where), -ERANGE);
		folio_put(request(pgmap, at[i], 0));
		folio_put(request(pgmap, at[i] + n[i] - 1, 0));
	}
	assert_int_equal(where, 77);                                 /* a call that fails leaves its result alone */
	assert_int_equal(refused(pgmap, PUD_PAGES + 8, 3), -ERANGE); /* out of the range and into the gap */
	folio_put(request(pgmap, PUD_PAGES + 4, 2));
	folio_put(request(pgmap, 2 * PUD_PAGES, 18));
	end_pgmap(pgmap);
}

static void c3_3_a_span_does_not_cross_from_one_range_into_another(void **state)
{
	(void)state;
	static const struct pgmap_range touching[] = {{0, 6 * 4096}, {6 * 4096, 10 * 4096}};
	struct pgmap_params params = params_of(touching, 2);
	struct pgmap *pgmap;
	assert_int_equal(pgmap_create(&params, &pgmap), 0);
	assert_int_equal(pgmap_end(pgmap), 16);
	assert_int_equal(refused(pgmap, 4, 2), -ERANGE);
	assert_int_equal(refused(pgmap, 0, 3), -ERANGE);
	folio_put(request(pgmap, 4, 1));
	folio_put(request(pgmap, 6, 1));
	folio_put(request(pgmap, 8, 3));
	end_pgmap(pgmap);
}

static void what_creation_was_told_can_be_asked_for(void **state)
{
	(void)state;
	static const struct pgmap_range range = {0, 4096 * 100};
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	struct pgmap_params params = params_of(&range, 1);
	struct pgmap *pgmap;
	int owner;
	assert_int_equal(pgmap_create(&params, &pgmap), 0);
	assert_string_equal(pgmap_name(pgmap), "pgmap");
	assert_null(pgmap_owner(pgmap));
	assert_int_equal(pgmap_end(pgmap), 100);
	assert_int_equal(pgmap_state(pgmap), PGMAP_LIVE);
	end_pgmap(pgmap);
	params.name = letters;
	params.owner = &owner;
	assert_int_equal(pgmap_create(&params, &pgmap), 0);
	assert_memory_equal(pgmap_name(pgmap), letters, 31);
	assert_int_equal(strlen(pgmap_name(pgmap)), 31);
	assert_ptr_equal(pgmap_owner(pgmap), &owner);
	end_pgmap(pgmap);
}

static void c2_1_to_3_what_each_state_answers(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(1024);
	struct folio *held = request(pgmap, 0, 3), *folio = NULL;
	assert_int_equal(pgmap_kill(pgmap), 0);
	assert_int_equal(pgmap_state(pgmap), PGMAP_DYING);
	assert_int_equal(refused(pgmap, 64, 0), -ENODEV);
	assert_int_equal(refused(pgmap, 512, 9), -ENODEV);
	assert_int_equal(refused(pgmap, 64, 1), -ENODEV);
	assert_int_equal(pgmap_get_folio(pgmap, 0, &folio), -ENODEV);
	assert_int_equal(pgmap_find_folio(pgmap, 1, &folio), 0); /* what is held stays valid */
	assert_ptr_equal(folio, held);
	folio_get(held);
	assert_int_equal(folio_pin(held, NULL, FOLIO_PIN_LOCAL), 0);
	assert_int_equal(folio_refs(held), 3);
	folio_unpin(held, NULL, FOLIO_PIN_LOCAL);
	folio_put(held);
	assert_int_equal(pgmap_drain(pgmap, 0), -ETIMEDOUT);
	folio_put(held);
	assert_int_equal(pgmap_drain(pgmap, 0), 0);
	assert_int_equal(pgmap_state(pgmap), PGMAP_DEAD);
	assert_int_equal(refused(pgmap, 64, 0), -ENODEV);
	assert_int_equal(pgmap_get_folio(pgmap, 0, &folio), -ENODEV);
	assert_int_equal(pgmap_drain(pgmap, 0), 0); /* c2.6: on a dead one 0 at once */
	assert_int_equal(pgmap_drain(pgmap, PGMAP_NO_DEADLINE), 0);
	assert_int_equal(pgmap_revive(pgmap), -ENODEV);
	assert_int_equal(pgmap_destroy(pgmap), 0);
}

static void c2_4_kill_twice_and_on_the_dead_does_nothing(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(1);
	assert_int_equal(pgmap_kill(pgmap), 0);
	assert_int_equal(pgmap_kill(pgmap), 0);
	assert_int_equal(pgmap_state(pgmap), PGMAP_DYING);
	assert_int_equal(pgmap_revive(pgmap), 0); /* one revival is enough for two kills */
	assert_int_equal(pgmap_state(pgmap), PGMAP_LIVE);
	assert_int_equal(pgmap_kill(pgmap), 0);
	assert_int_equal(pgmap_drain(pgmap, 0), 0);
	assert_int_equal(pgmap_kill(pgmap), 0);
	assert_int_equal(pgmap_state(pgmap), PGMAP_DEAD);
	assert_int_equal(pgmap_destroy(pgmap), 0);
}

static void c2_6_drain_on_a_live_pgmap_is_invalid_and_past_its_deadline_times_out(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(8);
	assert_int_equal(pgmap_drain(pgmap, 0), -EINVAL);
	assert_int_equal(pgmap_drain(pgmap, PGMAP_NO_DEADLINE), -EINVAL);
	assert_int_equal(pgmap_state(pgmap), PGMAP_LIVE);
	struct folio *folio = request(pgmap, 1, 0);
	assert_int_equal(pgmap_kill(pgmap), 0);
	uint64_t deadline = pgmap_deadline_in(5);
	assert_int_equal(pgmap_drain(pgmap, deadline), -ETIMEDOUT);
	assert_true(pgmap_deadline_in(0) >= deadline); /* not before */
	assert_int_equal(pgmap_state(pgmap), PGMAP_DYING);
	folio_put(folio);
	assert_int_equal(pgmap_drain(pgmap, 1), 0); /* nothing to wait for: a deadline long past does not matter */
	assert_int_equal(pgmap_destroy(pgmap), 0);
}

static void deadlines_do_not_overflow(void **state)
{
	(void)state;
	uint64_t now = pgmap_deadline_in(0), second = pgmap_deadline_in(1000);
	assert_in_range(second - now, 1000000000, 61000000000);
	assert_true(pgmap_deadline_in(UINT64_MAX) == PGMAP_NO_DEADLINE);
	assert_true(pgmap_deadline_in(UINT64_MAX / 1000000) == PGMAP_NO_DEADLINE);
	uint64_t most = (PGMAP_NO_DEADLINE - pgmap_deadline_in(0)) / 1000000;
	assert_int_equal(pgmap_deadline_in(most), PGMAP_NO_DEADLINE); /* so far away that it is none */
}

static void c2_8_revive_makes_it_live_again(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(8);
	struct folio *folio = request(pgmap, 0, 1);
	assert_int_equal(pgmap_revive(pgmap), 0);
	assert_int_equal(pgmap_kill(pgmap), 0);
	assert_int_equal(pgmap_revive(pgmap), 0);
	assert_int_equal(pgmap_state(pgmap), PGMAP_LIVE);
	assert_int_equal(pgmap_drain(pgmap, 0), -EINVAL);
	folio_put(request(pgmap, 4, 2));
	folio_put(folio);
	end_pgmap(pgmap);
}

static void c2_10_destroy_of_anything_but_the_dead_is_refused(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(8);
	struct folio *folio = request(pgmap, 3, 0);
	assert_int_equal(pgmap_destroy(NULL), 0);
	assert_int_equal(pgmap_destroy(pgmap), -EBUSY);
	assert_int_equal(pgmap_state(pgmap), PGMAP_LIVE);
	assert_int_equal(pgmap_kill(pgmap), 0);
	assert_int_equal(pgmap_destroy(pgmap), -EBUSY);
	assert_int_equal(pgmap_state(pgmap), PGMAP_DYING);
	assert_int_equal(folio_refs(folio), 1);
	folio_put(folio);
	assert_int_equal(pgmap_destroy(pgmap), -EBUSY); /* nothing is held, but no drain has said so */
	assert_int_equal(pgmap_drain(pgmap, 0), 0);
	assert_int_equal(pgmap_destroy(pgmap), 0);
}

static uint64_t pages_in_free;

static int keep_and_count(struct folio *folio, void *owner)
{
	(void)owner;
	pages_in_free = pgmap_live_pages(folio_pgmap(folio));
	return PGMAP_FREE_KEEP;
}

static void c2_11_the_live_count_counts_pages_also_releasing_and_quarantined_ones(void **state)
{
	(void)state;
	static const struct pgmap_ops ops = {.ops_bytes = sizeof(ops), .folio_free = keep_and_count};
	struct pgmap *pgmap = make_pgmap(PGMAP_GENERIC, 4 * PUD_PAGES, &ops, NULL);
	struct folio *small = request(pgmap, 0, 0), *large = request(pgmap, PUD_PAGES, 18);
	assert_int_equal(pgmap_live_pages(pgmap), 1 + PUD_PAGES);
	folio_get(large);
	assert_int_equal(folio_split(small, 0), 0);
	assert_int_equal(pgmap_live_pages(pgmap), 1 + PUD_PAGES);
	folio_put(large);
	assert_int_equal(folio_split(large, 9), 0);
	assert_int_equal(pgmap_live_pages(pgmap), 1 + PUD_PAGES);
	folio_put(find(pgmap, PUD_PAGES + 512));
	assert_int_equal(pages_in_free, 1 + PUD_PAGES);
	assert_int_equal(pgmap_live_pages(pgmap), 1 + PUD_PAGES);
	assert_int_equal(pgmap_release_quarantined(pgmap, PUD_PAGES + 512), 0);
	assert_int_equal(pgmap_live_pages(pgmap), 1 + PUD_PAGES - 512);
	folio_put(small);
	assert_int_equal(pgmap_kill(pgmap), 0);
	for (uint64_t at = PUD_PAGES; at < 2 * PUD_PAGES; at += 512)
		if (at != PUD_PAGES + 512)
			folio_put(find(pgmap, at));
	assert_int_equal(pgmap_drain(pgmap, 0), -ETIMEDOUT); /* quarantined pages are not gone */
	for (uint64_t at = PUD_PAGES; at < 2 * PUD_PAGES; at += 512)
		if (at != PUD_PAGES + 512)
			assert_int_equal(pgmap_release_quarantined(pgmap, at), 0);
	assert_int_equal(pgmap_drain(pgmap, 0), -ETIMEDOUT);
	assert_int_equal(pgmap_release_quarantined(pgmap, 0), 0);
	assert_int_equal(pgmap_drain(pgmap, 0), 0);
	assert_int_equal(pgmap_destroy(pgmap), 0);
}

static void create_without_address_space(void *arg)
{
	(void)arg;
	static const struct pgmap_range large = {0, UINT64_C(1) << 44};
	struct pgmap_params params = params_of(&large, 1);
	struct pgmap *pgmap = NULL;
	uint64_t limited = UINT64_C(64) << 20;
	CHILD_CHECK(pgmap_create(&params, &pgmap) == 0); /* what is kept for ever is there */
	CHILD_CHECK(pgmap_kill(pgmap) == 0 && pgmap_drain(pgmap, 0) == 0 && pgmap_destroy(pgmap) == 0);
	limit_to(RLIMIT_AS, "VmSize", limited);
	uint64_t before = status_bytes("VmSize");
	for (int i = 0; i < 1000; i++)
		CHILD_CHECK(pgmap_create(&params, &pgmap) == -ENOMEM);
	CHILD_CHECK(status_bytes("VmSize") < before + (UINT64_C(1) << 20));
}

static void no_address_space_is_told_and_nothing_leaks(void **state)
{
	(void)state;
	expect_child_passes(create_without_address_space, NULL);
}

static void c2_14_what_no_address_space_can_have_is_refused(void **state)
{
	(void)state;
	static const struct pgmap_range ranges[] = {{0, UINT64_C(1) << 60}};
	struct pgmap_params params = params_of(ranges, 1);
	assert_int_equal(refuse(&params), -ENOMEM); /* 2^48 pages: legal, but 2 PiB of words */
}

static void a_name_is_the_last_ones_own(void **state)
{
	(void)state;
	static const struct pgmap_range range = {0, 4096};
	struct pgmap_params params = params_of(&range, 1);
	static const char *const names[] = {"a rather long name", "ab", "", NULL};
	static const char *const said[] = {"a rather long name", "ab", "", "pgmap"};
	for (size_t i = 0; i < 4; i++) { /* each time in the memory of the one before */
		struct pgmap *pgmap = NULL;
		params.name = names[i];
		assert_int_equal(pgmap_create(&params, &pgmap), 0);
		assert_string_equal(pgmap_name(pgmap), said[i]);
		end_pgmap(pgmap);
	}
}

static void c3_23_ranges_end_below_2_to_the_48(void **state)
{
	(void)state;
	/* Each alone is legal; the second would have to begin or end behind. */
	const uint64_t half = UINT64_C(1) << 59;
	const struct pgmap_range wrong[][2] = {
		{{0, half}, {UINT64_C(3) << 59, half + 4096}},
		{{0, half}, {half, half + 4096}},
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct pgmap_params params = params_of(wrong[i], 2);
		if (refuse(&params) != -EINVAL)
			fail_msg("ranges %zu", i);
	}
}

/* Its table ends with its last range: what lies behind is somebody else's, and is no range. */
static void c3_3_what_is_before_the_first_range_is_outside(void **state)
{
	(void)state;
	const struct pgmap_range ranges[] = {{1000 * 4096, 4096}, {2000 * 4096, 4096}};
	struct pgmap_params params = params_of(ranges, 2);
	struct pgmap *pgmap = NULL;
	uint64_t at;
	assert_int_equal(pgmap_create(&params, &pgmap), 0);
	for (uint64_t page = 0; page < 1000; page++) {
		assert_int_equal(pgmap_pgoff_to_device(pgmap, page, &at), -ERANGE);
		assert_int_equal(pgmap_device_to_pgoff(pgmap, page * 4096, &at), -ERANGE);
	}
	end_pgmap(pgmap);
}

/* In a program of its own, before there is any other pgmap. */
static void first_creation(void *arg)
{
	(void)arg;
	(void)mallopt(M_PERTURB, 0x5a); /* no memory is zero by chance */
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	CHILD_CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0);
	CHILD_CHECK(pgmap_live_pages(pgmap) == 0);
	folio_put(request(pgmap, 0, 0));
	CHILD_CHECK(pgmap_kill(pgmap) == 0 && pgmap_drain(pgmap, 0) == 0 && pgmap_destroy(pgmap) == 0);
}

/* The first of all tests: the process has not asked for it yet, and the child inherits that. */
static void the_first_creation_needs_no_zeroed_memory_and_registers_for_the_heavy_barrier(void **state)
{
	(void)state;
	if ((syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) & MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0)
		return; /* a system without: every light barrier is a fence there (port/barrier.h) */
	assert_int_equal(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0), -1);
	expect_child_passes(first_creation, NULL);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_first_creation_needs_no_zeroed_memory_and_registers_for_the_heavy_barrier),
		TEST(c2_14_ranges_that_are_empty_unaligned_or_overlapping_are_refused),
		TEST(c2_14_wrong_parameters_are_refused),
		TEST(c2_15_a_type_without_its_callbacks_is_refused),
		TEST(c2_14_ranges_keep_their_alignment_and_the_gaps_are_outside),
		TEST(c3_3_a_span_does_not_cross_from_one_range_into_another),
		TEST(what_creation_was_told_can_be_asked_for),
		TEST(c2_1_to_3_what_each_state_answers),
		TEST(c2_4_kill_twice_and_on_the_dead_does_nothing),
		TEST(c2_6_drain_on_a_live_pgmap_is_invalid_and_past_its_deadline_times_out),
		TEST(deadlines_do_not_overflow),
		TEST(c2_8_revive_makes_it_live_again),
		TEST(c2_10_destroy_of_anything_but_the_dead_is_refused),
		TEST(c2_11_the_live_count_counts_pages_also_releasing_and_quarantined_ones),
		TEST(no_address_space_is_told_and_nothing_leaks),
		TEST(a_name_is_the_last_ones_own),
		TEST(c3_23_ranges_end_below_2_to_the_48),
		TEST(c3_3_what_is_before_the_first_range_is_outside),
		TEST(c2_14_what_no_address_space_can_have_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
