/* SPDX-License-Identifier: BSD-3-Clause */
/* What pgmap_stats() counts is what pgmap_for_each_held() names, and what the requests, puts and pins have left. */
#include "core_util.h"

#include "core/map.h"

static struct pgmap_stats stats_of(struct pgmap *pgmap)
{
	struct pgmap_stats stats;
	memset(&stats, 0x5a, sizeof(stats));
	assert_int_equal(pgmap_stats(pgmap, &stats), 0);
	return stats;
}

static uint64_t nfolios(const struct pgmap_stats *stats)
{
	uint64_t n = 0;
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++)
		n += stats->folios[order];
	return n;
}

static void c2_12_counts_are_those_of_what_is_held(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(UINT64_C(1) << 32);
	struct folio *folios[PGMAP_MAX_ORDER + 1];
	struct pgmap_stats stats = stats_of(pgmap);
	assert_int_equal(nfolios(&stats), 0);
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++)
		folios[order] = request(pgmap, ((UINT64_C(1) << 31) + order * PUD_PAGES), order);
	folio_get(folios[3]);
	assert_int_equal(folio_pin(folios[9], NULL, FOLIO_PIN_REMOTE), 0);
	assert_int_equal(pgmap_poison(pgmap, 100, 7), 0);
	assert_int_equal(pgmap_poison(pgmap, UINT64_C(1) << 31, 1), 0); /* held, and poisoned */
	stats = stats_of(pgmap);
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++)
		assert_int_equal(stats.folios[order], 1);
	assert_int_equal(stats.pages_held, 2 * PUD_PAGES - 1);
	assert_int_equal(stats.pages_held, pgmap_live_pages(pgmap));
	assert_int_equal(stats.pages_releasing + stats.pages_quarantined, 0);
	assert_int_equal(stats.refs, PGMAP_MAX_ORDER + 1 + 2);
	assert_int_equal(stats.pins, 1);
	assert_int_equal(stats.pages_poisoned, 8);
	folio_unpin(folios[9], NULL, FOLIO_PIN_REMOTE);
	folio_put(folios[3]);
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++)
		folio_put(folios[order]);
	stats = stats_of(pgmap);
	assert_int_equal(nfolios(&stats) + stats.pages_held + stats.refs + stats.pins, 0);
	assert_int_equal(stats.pages_poisoned, 8);
	end_pgmap(pgmap);
}

static struct pgmap_stats seen_while_releasing;

static int keep_and_look(struct folio *folio, void *owner)
{
	(void)owner;
	seen_while_releasing = stats_of(folio_pgmap(folio));
	return PGMAP_FREE_KEEP;
}

static void c2_12_releasing_and_quarantined_pages_are_counted_apart(void **state)
{
	(void)state;
	static const struct pgmap_ops ops = {.ops_bytes = sizeof(ops), .folio_free = keep_and_look};
	struct pgmap *pgmap = make_pgmap(PGMAP_GENERIC, PUD_PAGES, &ops, NULL);
	struct folio *held = request(pgmap, 0, 0);
	folio_put(request(pgmap, 512, 9));
	assert_int_equal(seen_while_releasing.pages_releasing, 512);
	assert_int_equal(seen_while_releasing.pages_held, 1);
	struct pgmap_stats stats = stats_of(pgmap);
	assert_int_equal(stats.pages_releasing, 0);
	assert_int_equal(stats.pages_quarantined, 512);
	assert_int_equal(stats.pages_held, 1);
	assert_int_equal(stats.folios[9], 1);
	assert_int_equal(stats.refs, 1);
	assert_int_equal(pgmap_release_quarantined(pgmap, 512), 0);
	folio_put(held);
	assert_int_equal(pgmap_release_quarantined(pgmap, 0), 0);
	end_pgmap(pgmap);
}

static int count_calls(const struct pgmap_held *held, void *arg)
{
	uint64_t *pages = arg;
	*pages += UINT64_C(1) << held->order;
	return 0;
}

/* The parts stand in their words before a split is decided: the folio is still one. */
static void c2_12_an_undecided_split_is_one_folio(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(PUD_PAGES);
	const struct {
		unsigned order, new_order;
	} splits[] = {{3, 1}, {12, 9}, {10, 0}};
	for (size_t i = 0; i < sizeof(splits) / sizeof(splits[0]); i++) {
		struct folio *folio = request(pgmap, 1 << 12, splits[i].order);
		struct claim_split split;
		uint64_t held = word_load(map_word(folio)), pages = 0;
		assert_int_equal(claim_split_begin(&split, &pgmap->tree, 1 << 12, held, splits[i].new_order), 0);
		struct pgmap_stats stats = stats_of(pgmap);
		assert_int_equal(nfolios(&stats), 1);
		assert_int_equal(stats.pages_held, 1 << splits[i].order);
		assert_int_equal(pgmap_for_each_held(pgmap, count_calls, &pages), 0);
		assert_int_equal(pages, 1 << splits[i].order);
		claim_split_cancel(&split);
		folio_put(folio);
	}
	end_pgmap(pgmap);
}

static void bad_arguments_are_refused(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_generic(1);
	struct pgmap_stats stats;
	assert_int_equal(pgmap_stats(NULL, &stats), -EINVAL);
	assert_int_equal(pgmap_stats(pgmap, NULL), -EINVAL);
	assert_int_equal(pgmap_for_each_held(NULL, count_calls, NULL), -EINVAL);
	assert_int_equal(pgmap_for_each_held(pgmap, NULL, NULL), -EINVAL);
	end_pgmap(pgmap);
}

static int migrate(struct folio *folio, void *owner)
{
	*(struct folio **)owner = folio;
	return -EIO;
}

static int free_it(struct folio *folio, void *owner)
{
	(void)folio;
	(void)owner;
	return PGMAP_FREE_IDLE;
}

static void c5_4_what_the_cpu_cannot_touch_its_owner_brings(void **state)
{
	(void)state;
	static const struct pgmap_ops ops = {
		.ops_bytes = sizeof(ops), .folio_free = free_it, .migrate_to_ram = migrate};
	struct folio *asked = NULL;
	struct pgmap *pgmap = make_pgmap(PGMAP_PRIVATE, 16, &ops, &asked);
	struct folio *folio = request(pgmap, 4, 2);
	assert_int_equal(folio_migrate_to_ram(folio), -EIO); /* the owner's own answer */
	assert_ptr_equal(asked, folio);
	folio_put(folio);
	end_pgmap(pgmap);
	pgmap = make_pgmap(PGMAP_COHERENT, 16, &ops, &asked);
	folio = request(pgmap, 4, 2);
	asked = NULL;
	assert_int_equal(folio_migrate_to_ram(folio), 0); /* the CPU can touch it where it is */
	assert_null(asked);
	folio_put(folio);
	end_pgmap(pgmap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c2_12_counts_are_those_of_what_is_held),
		cmocka_unit_test(c2_12_releasing_and_quarantined_pages_are_counted_apart),
		cmocka_unit_test(c2_12_an_undecided_split_is_one_folio),
		cmocka_unit_test(bad_arguments_are_refused),
		cmocka_unit_test(c5_4_what_the_cpu_cannot_touch_its_owner_brings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
