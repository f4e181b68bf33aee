/* SPDX-License-Identifier: BSD-3-Clause */
/* Lookups come at any time, of any page (c3.13): one that finds a folio which the pool has for a moment keeps its pages. */
#include <errno.h>

#include "pool.h"

static struct pool pool;
static bool looks;
static int nrequests, looked_for; /* which of the requests' folios is looked up */
static struct folio *found;

int __real_pgmap_request_folio(struct pgmap *pgmap, uint64_t pgoff, unsigned order, struct folio **out);
int __wrap_pgmap_request_folio(struct pgmap *pgmap, uint64_t pgoff, unsigned order, struct folio **out);

int __wrap_pgmap_request_folio(struct pgmap *pgmap, uint64_t pgoff, unsigned order, struct folio **out)
{
	int err = __real_pgmap_request_folio(pgmap, pgoff, order, out);
	if (looks && nrequests++ == looked_for && !err)
		(void)pgmap_get_folio(pgmap, pgoff, &found);
	return err;
}

static int set_up(void **state)
{
	(void)state;
	pool_open(&pool, 16 * MIB, 0, NULL);
	found = NULL;
	looks = false;
	nrequests = looked_for = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	looks = false;
	if (found)
		folio_put(found);
	pool_close(&pool);
	return 0;
}

static void assert_nobody_gets(uint64_t pgoff, uint64_t npages)
{
	uint64_t bytes = pool_statfs(&pool).free * PAGE;
	struct fsdax_file *file = make_file(&pool, "rest", bytes);
	struct fsdax_map *map = map_range(file, 0, bytes, NULL);
	for (uint64_t i = 0; i < fsdax_map_nspans(map); i++) {
		struct fsdax_span span;
		fsdax_map_span(map, i, &span);
		assert_true(span.pgoff + (UINT64_C(1) << span.order) <= pgoff || span.pgoff >= pgoff + npages);
	}
	fsdax_unmap(map);
	fsdax_close(file);
	assert_int_equal(fsdax_unlink(pool.fs, "rest"), 0);
}

static void c6_7_a_lookup_finds_nothing_of_what_is_being_taken_away(void **state)
{
	static const enum fsdax_mode modes[] = {FSDAX_DEFER, FSDAX_WAIT, FSDAX_FAIL};
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct fsdax_file *file = make_file(&pool, "a", MIB);
		looks = true;
		assert_int_equal(fsdax_punch(file, 0, MIB, modes[i], PGMAP_NO_DEADLINE), 0);
		looks = false;
		assert_null(found);
		assert_space(&pool, 0, 0);
		fsdax_close(file);
		assert_int_equal(fsdax_unlink(pool.fs, "a"), 0);
	}
}

static int refuse(void *cookie, struct fsdax_map *map)
{
	(void)cookie;
	(void)map;
	return -EPERM;
}

/* A mapping that fails had new pages for a moment. */
static void c6_8_what_a_lookup_keeps_is_nobodys_until_its_put(void **state)
{
	(void)state;
	for (int grows = 0; grows < 2; grows++) {
		struct fsdax_file *file = make_file(&pool, "a", 2 * MIB);
		struct fsdax_map *map;
		assert_int_equal(fsdax_truncate(file, grows ? 0 : 2 * MIB), 0);
		assert_int_equal(grows ? 0 : fsdax_punch(file, 0, 2 * MIB, FSDAX_FAIL, 0), 0);
		assert_space(&pool, 0, 0);
		nrequests = 0;
		looks = true;
		if (grows)
			assert_int_equal(fsdax_resize_map_for(file, 2 * MIB, 0, NULL, NULL, refuse, &map), -EPERM);
		else
			assert_int_equal(fsdax_map_for(file, 0, 2 * MIB, NULL, NULL, refuse, &map), -EPERM);
		looks = false;
		assert_non_null(found);
		assert_space(&pool, 0, folio_pages(found));
		assert_nobody_gets(folio_pgoff(found), folio_pages(found));
		folio_put(found);
		found = NULL;
		assert_space(&pool, 0, 0);
		fsdax_close(file);
		assert_int_equal(fsdax_unlink(pool.fs, "a"), 0);
	}
}

/* One that would have kept a part of a block had that part as folios of its own. */
static void c6_8_nor_is_a_part_of_a_block_another_mappings(void **state)
{
	(void)state;
	for (looked_for = 0; looked_for < 2; looked_for++) {
		struct fsdax_file *file = make_file(&pool, "a", 16 * PAGE);
		struct fsdax_map *map;
		nrequests = 0;
		looks = true;
		assert_int_equal(fsdax_resize_map_for(file, 12 * PAGE, FSDAX_TRUNC, NULL, NULL, refuse, &map), -EPERM);
		looks = false;
		assert_non_null(found);
		assert_int_equal(folio_order(found), looked_for == 0 ? 3 : 2);
		assert_int_equal(stat_of(file).size_bytes, 16 * PAGE);
		map = map_range(file, 0, 16 * PAGE, NULL);
		uint64_t pages = 0;
		for (uint64_t i = 0; i < fsdax_map_nspans(map); i++) {
			struct fsdax_span span;
			fsdax_map_span(map, i, &span);
			assert_int_equal(folio_refs(span.folio), span.folio == found ? 2 : 1);
			pages += folio_pages(span.folio);
		}
		assert_int_equal(pages, 16);
		fsdax_unmap(map);
		assert_int_equal(fsdax_truncate_how(file, 0, FSDAX_FAIL, 0), -EBUSY);
		assert_int_equal(fsdax_truncate(file, 0), 0);
		assert_space(&pool, 0, folio_pages(found));
		folio_put(found);
		found = NULL;
		assert_space(&pool, 0, 0);
		fsdax_close(file);
		assert_int_equal(fsdax_unlink(pool.fs, "a"), 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(c6_7_a_lookup_finds_nothing_of_what_is_being_taken_away),
		T(c6_8_what_a_lookup_keeps_is_nobodys_until_its_put),
		T(c6_8_nor_is_a_part_of_a_block_another_mappings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
