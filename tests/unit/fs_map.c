/* SPDX-License-Identifier: BSD-3-Clause */
/* Mapped files: references and pieces; truncate and unlink of what is held; nothing early, nothing lost, nothing seen. */
#include <errno.h>
#include <stdlib.h>

#include "core/word.h"
#include "pool.h"

static struct pool pool;
static struct {
	int calls;
	void *cookie;
	uint64_t first, n;
} gone;

static void note_gone(void *cookie, uint64_t first_span, uint64_t nspans)
{
	gone.calls++;
	gone.cookie = cookie;
	gone.first = first_span;
	gone.n = nspans;
}

static int set_up(void **state)
{
	(void)state;
	memset(&gone, 0, sizeof(gone));
	pool_open(&pool, 16 * MIB, 0, note_gone);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(pgmap_live_pages(pool.pgmap), 0);
	struct fsdax_statfs st = pool_statfs(&pool);
	assert_int_equal(st.waiting, st.lost);
	pool_close(&pool);
	return 0;
}

static struct pgmap_holder *holder(const char *name)
{
	struct pgmap_holder *h;
	assert_int_equal(pgmap_holder_create(pool.pgmap, name, &h), 0);
	return h;
}

static void end(struct pgmap_holder *h)
{
	assert_int_equal(pgmap_holder_end(h), 0);
}

static uint64_t refs_of(struct pgmap_holder *h)
{
	struct pgmap_charge charge;
	pgmap_holder_charge(h, &charge);
	return charge.refs;
}

static struct fsdax_span span_of(const struct fsdax_map *map, uint64_t i)
{
	struct fsdax_span span;
	fsdax_map_span(map, i, &span);
	return span;
}

static void c6_6_extents_are_owned_and_idle_until_mapped(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 3 * MIB);
	assert_int_equal(pgmap_live_pages(pool.pgmap), 0);
	assert_space(&pool, 768, 0);
	struct pgmap_holder *h = holder("h");
	struct fsdax_map *map = map_range(file, 0, 3 * MIB, h);
	assert_int_equal(pgmap_live_pages(pool.pgmap), 768);
	assert_int_equal(fsdax_map_nspans(map), 2); /* 2 MiB and 1 MiB */
	assert_int_equal(span_of(map, 0).order, 9);
	assert_int_equal(span_of(map, 1).order, 8);
	assert_int_equal(span_of(map, 1).file_pgoff, 512);
	assert_int_equal(refs_of(h), 2);
	assert_ptr_equal(fsdax_map_file(map), file);
	assert_int_equal(stat_of(file).mappings, 1);
	assert_int_equal(stat_of(file).max_order, 9);
	fsdax_unmap(map);
	assert_int_equal(refs_of(h), 0);
	assert_int_equal(pgmap_live_pages(pool.pgmap), 0);
	assert_space(&pool, 768, 0);
	end(h);
	fsdax_close(file);
}

static void a_part_maps_the_whole_folio_and_only_its_pieces(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 4 * MIB);
	struct fsdax_map *map = map_range(file, 2 * MIB + PAGE, 5000, NULL);
	struct fsdax_piece piece;
	assert_int_equal(fsdax_map_nspans(map), 1);
	assert_true(span_of(map, 0).file_pgoff == 512 || span_of(map, 0).file_pgoff == 0);
	assert_int_equal(fsdax_map_npieces(map), 1);
	fsdax_map_piece(map, 0, &piece);
	assert_int_equal(piece.file_offset_bytes, 2 * MIB + PAGE);
	assert_int_equal(piece.len_bytes, 2 * PAGE);
	assert_int_equal(piece.device_offset_bytes % (2 * MIB), PAGE);
	fsdax_unmap(map);
	fsdax_close(file);
}

static void neighbours_are_one_piece(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 7 * PAGE); /* orders 2, 1, 0: next to each other */
	struct fsdax_map *map = map_range(file, 0, 7 * PAGE, NULL);
	assert_int_equal(fsdax_map_nspans(map), 3);
	assert_int_equal(fsdax_map_npieces(map), 1);
	fsdax_unmap(map);
	fsdax_close(file);
}

static void two_maps_share_folios(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 2 * MIB);
	struct pgmap_holder *h = holder("h");
	struct fsdax_map *a = map_range(file, 0, 2 * MIB, h), *b = map_range(file, MIB, PAGE, h);
	assert_ptr_equal(span_of(a, 0).folio, span_of(b, 0).folio);
	assert_int_equal(folio_refs(span_of(a, 0).folio), 2);
	fsdax_unmap(a);
	assert_int_equal(folio_refs(span_of(b, 0).folio), 1);
	fsdax_unmap(b);
	end(h);
	fsdax_close(file);
}

static void maps_are_refused_with_reasons(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", PAGE + 1);
	struct fsdax_map *map = NULL;
	assert_int_equal(fsdax_map(NULL, 0, 1, NULL, NULL, &map), -EINVAL);
	assert_int_equal(fsdax_map(file, 0, 1, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(fsdax_map(file, 0, 0, NULL, NULL, &map), -EINVAL);
	assert_int_equal(fsdax_map(file, 1, 1, NULL, NULL, &map), -EINVAL);
	assert_int_equal(fsdax_map(file, 0, 2 * PAGE + 1, NULL, NULL, &map), -ERANGE);
	assert_int_equal(fsdax_map(file, 2 * PAGE, 1, NULL, NULL, &map), -ERANGE);
	assert_int_equal(fsdax_map(file, PAGE, UINT64_MAX, NULL, NULL, &map), -ERANGE);
	struct pool other;
	pool_open(&other, MIB, 0, NULL);
	struct pgmap_holder *stranger;
	assert_int_equal(pgmap_holder_create(other.pgmap, "stranger", &stranger), 0);
	assert_int_equal(fsdax_map(file, 0, 1, stranger, NULL, &map), -EINVAL);
	end(stranger);
	pool_close(&other);
	assert_int_equal(pgmap_live_pages(pool.pgmap), 0);
	assert_int_equal(pgmap_kill(pool.pgmap), 0);
	assert_int_equal(fsdax_map(file, 0, 1, NULL, NULL, &map), -ENODEV);
	assert_int_equal(pgmap_revive(pool.pgmap), 0);
	assert_null(map);
	map = map_range(file, 0, 2 * PAGE, NULL); /* up to the size rounded up to a page */
	fsdax_unmap(map);
	fsdax_close(file);
	fsdax_unmap(NULL);
	fsdax_unmap_ended(NULL);
	fsdax_close(NULL);
}

static void a_killed_device_maps_nothing_more(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", PAGE);
	struct fsdax_map *map = NULL;
	assert_int_equal(dax_kill(pool.dax), 0);
	assert_int_equal(fsdax_map(file, 0, 1, NULL, NULL, &map), -ENODEV);
	assert_int_equal(fsdax_truncate(file, 3 * PAGE), -ENXIO);
	assert_space(&pool, 1, 16 * MIB / PAGE - 1); /* what is free there is handed out no more */
	fsdax_close(file);
}

static void c3_14_no_client_brings_a_page_near_the_most_references(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", PAGE);
	struct fsdax_map *map = map_range(file, 0, PAGE, NULL), *more;
	word_t *word = (word_t *)(void *)span_of(map, 0).folio;
	(void)word_get(word, PGMAP_MAX_REFS / 16); /* as so many mappings would */
	assert_int_equal(fsdax_map(file, 0, PAGE, NULL, NULL, &more), -EUSERS);
	assert_int_equal(folio_refs(span_of(map, 0).folio), PGMAP_MAX_REFS / 16 + 1);
	(void)word_put(word, 2, 0);
	assert_int_equal(fsdax_map(file, 0, PAGE, NULL, NULL, &more), 0);
	(void)word_put(word, PGMAP_MAX_REFS / 16 - 2, 0);
	fsdax_unmap(more);
	fsdax_unmap(map);
	fsdax_close(file);
}

static void c6_7_truncate_defers_held_pages(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 4 * MIB);
	struct pgmap_holder *h = holder("h");
	struct fsdax_map *map;
	assert_int_equal(fsdax_map(file, 0, 4 * MIB, h, &gone, &map), 0);
	fill_map(&pool, map, 'x');
	assert_int_equal(fsdax_truncate(file, 0), 0);
	assert_int_equal(gone.calls, 1);
	assert_ptr_equal(gone.cookie, &gone);
	assert_int_equal(gone.first, 0);
	assert_int_equal(gone.n, fsdax_map_nspans(map));
	assert_space(&pool, 0, 1024);
	assert_true(map_is_all(&pool, map, 'x')); /* c6.8: still the holder's */
	struct fsdax_file *other = make_file(&pool, "b", 12 * MIB);
	assert_int_equal(fsdax_truncate(other, 12 * MIB + 1), -ENOSPC);
	fsdax_unmap(map);
	assert_space(&pool, 3072, 0);
	assert_int_equal(fsdax_truncate(other, 16 * MIB), 0);
	map = map_range(other, 0, 16 * MIB, h);
	assert_true(map_is_all(&pool, map, 0)); /* c6.9 */
	fsdax_unmap(map);
	end(h);
	fsdax_close(file);
	fsdax_close(other);
}

static void c6_8_pages_wait_for_the_last_reference_of_anyone(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 2 * MIB);
	struct fsdax_map *map = map_range(file, 0, 2 * MIB, NULL);
	struct folio *folio = span_of(map, 0).folio;
	folio_get(folio);
	assert_int_equal(folio_pin(folio, NULL, FOLIO_PIN_LOCAL), 0);
	fsdax_close(file);
	assert_int_equal(fsdax_unlink(pool.fs, "a"), 0);
	assert_space(&pool, 512, 0); /* mapped: it keeps its pages */
	fsdax_unmap(map);
	assert_space(&pool, 0, 512);
	assert_int_equal(fsdax_destroy(pool.fs), -EBUSY);
	folio_put(folio);
	assert_space(&pool, 0, 512);
	folio_unpin(folio, NULL, FOLIO_PIN_LOCAL);
	assert_space(&pool, 0, 0);
}

static void c6_8_pages_of_an_ended_holder_come_back(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 2 * MIB);
	struct pgmap_holder *h = holder("victim");
	struct fsdax_map *map = map_range(file, 0, 2 * MIB, h);
	fsdax_close(file);
	assert_int_equal(fsdax_unlink(pool.fs, "a"), 0);
	end(h);
	assert_space(&pool, 512, 0);
	fsdax_unmap_ended(map);
	assert_space(&pool, 0, 0);
}

static void c7_5_quarantined_pages_wait_for_the_fence(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 4 * MIB);
	struct pgmap_holder *h = holder("dma");
	struct fsdax_map *map = map_range(file, 0, 2 * MIB, h), *again = NULL;
	assert_int_equal(folio_pin(span_of(map, 0).folio, h, FOLIO_PIN_REMOTE), 0);
	uint64_t left = (uint64_t)pgmap_holder_end(h);
	fsdax_unmap_ended(map);
	assert_true(left >= 512);
	assert_int_equal(fsdax_map(file, 0, 1, NULL, NULL, &again), -EBUSY);
	assert_int_equal(fsdax_truncate(file, 0), 0);
	assert_space(&pool, 0, left);
	assert_int_equal(pgmap_holder_fence(h), 0);
	assert_space(&pool, 0, 0);
	fsdax_close(file);
}

static void a_cut_folio_is_split_and_its_lost_part_comes_back_first(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 2 * MIB);
	struct pgmap_holder *h = holder("h"), *k = holder("k");
	struct fsdax_map *map = map_range(file, 0, 2 * MIB, h);
	assert_int_equal(fsdax_truncate(file, 300 * PAGE), 0);
	assert_int_equal(gone.n, 1);
	assert_space(&pool, 300, 212);
	assert_int_equal(span_of(map, 0).order, 9); /* numbered as it was made */
	assert_int_equal(folio_order(span_of(map, 0).folio), 8);
	struct fsdax_map *kept = map_range(file, 0, 300 * PAGE, k); /* would hold all of it, had it not been split */
	fsdax_unmap(map);
	assert_space(&pool, 300, 0);
	assert_int_equal(refs_of(h), 0);
	fsdax_unmap(kept);
	end(h);
	end(k);
	fsdax_close(file);
}

static void folios_are_split_again_and_again(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 4 * MIB);
	struct pgmap_holder *h = holder("h"), *k = holder("k");
	struct fsdax_map *a = map_range(file, 0, 4 * MIB, h), *b = map_range(file, 0, 3 * MIB, k), *c;
	assert_int_equal(fsdax_truncate(file, 700 * PAGE), 0);
	assert_int_equal(gone.calls, 2);
	assert_int_equal(fsdax_truncate(file, 4 * MIB), 0); /* other pages from 700 on */
	c = map_range(file, 0, 4 * MIB, h);
	assert_int_equal(fsdax_truncate(file, 699 * PAGE), 0);
	assert_int_equal(gone.calls, 5);
	assert_int_equal(fsdax_truncate(file, 3 * PAGE), 0);
	assert_int_equal(gone.calls, 8);
	fsdax_unmap(b);
	assert_int_equal(refs_of(k), 0);
	fsdax_unmap(c);
	fsdax_unmap(a);
	assert_int_equal(refs_of(h), 0);
	assert_space(&pool, 3, 0);
	end(h);
	end(k);
	fsdax_close(file);
}

static void what_cannot_be_split_waits_as_a_whole(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 2 * MIB);
	struct pgmap_holder *h = holder("h");
	struct fsdax_map *map = map_range(file, 0, 2 * MIB, h);
	struct folio *folio = span_of(map, 0).folio;
	assert_int_equal(folio_pin(folio, h, FOLIO_PIN_LOCAL), 0);
	assert_int_equal(fsdax_truncate(file, 300 * PAGE), 0);
	assert_int_equal(folio_order(folio), 9);
	struct fsdax_map *kept = map_range(file, 0, 300 * PAGE, h);
	assert_int_equal(fsdax_map_nspans(kept), 1); /* several extents, one folio */
	assert_int_equal(fsdax_map_npieces(kept), 1);
	assert_int_equal(fsdax_truncate(file, 600 * PAGE), 0);
	struct fsdax_map *grown = map_range(file, 0, 600 * PAGE, h);
	assert_int_equal(span_of(grown, 0).order, 9);
	assert_int_equal(span_of(grown, 1).file_pgoff, 300);
	gone.calls = 0;
	assert_int_equal(fsdax_truncate(file, 400 * PAGE), 0);
	assert_int_equal(gone.calls, 1); /* only what was grown, and not the folio that nominally reaches so far */
	assert_true(gone.first > 1);
	assert_int_equal(gone.first + gone.n, fsdax_map_nspans(grown));
	fsdax_unmap(map);
	folio_unpin(folio, h, FOLIO_PIN_LOCAL);
	fsdax_unmap(grown);
	assert_int_equal(pool_statfs(&pool).waiting, 212);
	fsdax_unmap(kept);
	assert_space(&pool, 400, 0);
	end(h);
	fsdax_close(file);
}

static void only_the_lost_spans_of_a_map_are_told(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 8 * MIB);
	struct fsdax_map *head = map_range(file, 0, 2 * MIB, NULL), *map;
	assert_int_equal(fsdax_truncate(file, 0), 0);
	fsdax_unmap(head);
	for (uint64_t size = 2; size <= 8; size += 2) /* one folio at a time */
		assert_int_equal(fsdax_truncate(file, size * MIB), 0);
	map = map_range(file, 2 * MIB, 6 * MIB, NULL);
	uint64_t n = fsdax_map_nspans(map);
	gone.calls = 0;
	assert_int_equal(fsdax_truncate(file, 8 * MIB - PAGE), 0);
	assert_int_equal(gone.calls, 1);
	assert_int_equal(gone.first, n - 1);
	assert_int_equal(gone.n, 1);
	assert_int_equal(fsdax_truncate(file, 2 * MIB + PAGE), 0);
	assert_int_equal(gone.calls, 2);
	assert_int_equal(gone.first, 0);
	assert_int_equal(gone.n, n);
	assert_int_equal(fsdax_truncate(file, PAGE), 0);
	assert_int_equal(fsdax_truncate(file, 0), 0);
	assert_int_equal(gone.calls, 3); /* the last one lies before the mapping */
	fsdax_unmap(map);
	fsdax_close(file);
}

static void c2_2_pages_come_back_while_the_device_drains(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 4 * MIB), *idle = make_file(&pool, "b", MIB);
	struct fsdax_map *map = map_range(file, 0, 4 * MIB, NULL);
	assert_int_equal(pgmap_kill(pool.pgmap), 0);
	assert_int_equal(fsdax_truncate(file, MIB), 0);
	assert_int_equal(fsdax_truncate(idle, 0), 0);
	assert_int_equal(pool_statfs(&pool).used, 256);
	assert_int_equal(pool_statfs(&pool).waiting, 768);
	fsdax_unmap(map);
	assert_space(&pool, 256, 0);
	assert_int_equal(pgmap_drain(pool.pgmap, 0), 0);
	assert_int_equal(fsdax_truncate(file, 0), 0);
	assert_space(&pool, 0, 0);
	fsdax_close(file);
	fsdax_close(idle);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(c6_6_extents_are_owned_and_idle_until_mapped),
		T(a_part_maps_the_whole_folio_and_only_its_pieces),
		T(neighbours_are_one_piece),
		T(two_maps_share_folios),
		T(maps_are_refused_with_reasons),
		T(a_killed_device_maps_nothing_more),
		T(c3_14_no_client_brings_a_page_near_the_most_references),
		T(c6_7_truncate_defers_held_pages),
		T(c6_8_pages_wait_for_the_last_reference_of_anyone),
		T(c6_8_pages_of_an_ended_holder_come_back),
		T(c7_5_quarantined_pages_wait_for_the_fence),
		T(a_cut_folio_is_split_and_its_lost_part_comes_back_first),
		T(folios_are_split_again_and_again),
		T(what_cannot_be_split_waits_as_a_whole),
		T(only_the_lost_spans_of_a_map_are_told),
		T(c2_2_pages_come_back_while_the_device_drains),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
