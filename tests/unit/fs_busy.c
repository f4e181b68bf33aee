/* SPDX-License-Identifier: BSD-3-Clause */
/* The busy list: every holder of every page of the files that are asked about, and nobody else. */
#include <errno.h>

#include "fs/taking.h"
#include "pool.h"

enum { MAX_ROWS = 16 };

static struct pool pool;
static struct {
	struct fsdax_busy rows[MAX_ROWS];
	char holder[MAX_ROWS][64];
	int n, stop_at;
} list;

static int note(void *arg, const struct fsdax_busy *busy)
{
	assert_ptr_equal(arg, &list);
	assert_true(list.n < MAX_ROWS);
	(void)snprintf(list.holder[list.n], sizeof(list.holder[0]), "%s", busy->holder ? busy->holder : "-");
	list.rows[list.n] = *busy;
	return ++list.n == list.stop_at ? -ECANCELED : 0;
}

static void look(const char *path, int want_rows)
{
	memset(&list, 0, sizeof(list));
	assert_int_equal(fsdax_for_each_busy(pool.fs, path, note, &list), 0);
	assert_int_equal(list.n, want_rows);
}

/* The one row of this holder that begins there in the file. */
static const struct fsdax_busy *row(const char *holder, uint64_t offset)
{
	const struct fsdax_busy *found = NULL;
	for (int i = 0; i < list.n; i++) {
		if (strcmp(list.holder[i], holder) != 0 || list.rows[i].offset_bytes != offset)
			continue;
		assert_null(found);
		found = &list.rows[i];
	}
	assert_non_null(found);
	return found;
}

static int set_up(void **state)
{
	(void)state;
	pool_open(&pool, 16 * MIB, 0, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	look(NULL, 0);
	pool_close(&pool);
	return 0;
}

static struct pgmap_holder *holder(const char *name)
{
	struct pgmap_holder *h;
	assert_int_equal(pgmap_holder_create(pool.pgmap, name, &h), 0);
	return h;
}

static void c6_7_who_holds_which_pages_of_a_file_is_listed(void **state)
{
	(void)state;
	struct pgmap_holder *h = holder("h"), *k = holder("k");
	struct fsdax_file *a = make_file(&pool, "a", 3 * MIB), *b = make_file(&pool, "b", MIB);
	look(NULL, 0);
	struct fsdax_map *all = map_range(a, 0, 3 * MIB, h), *part = map_range(a, 2 * MIB, PAGE, k),
			 *nobody = map_range(b, 0, MIB, NULL);
	look("a", 3);
	assert_int_equal(row("h", 0)->len_bytes, 2 * MIB);
	assert_int_equal(row("h", 0)->ino, stat_of(a).ino);
	assert_int_equal(row("h", 0)->refs, 1);
	assert_int_equal(row("h", 0)->state, PGMAP_HELD);
	assert_int_equal(row("h", 2 * MIB)->len_bytes, MIB);
	assert_int_equal(row("k", 2 * MIB)->len_bytes, MIB); /* the folio, whatever part of it is mapped */
	look("/b", 1);
	assert_int_equal(row("-", 0)->len_bytes, MIB);
	assert_int_equal(row("-", 0)->refs, 1);
	look(NULL, 4);
	struct fsdax_span span;
	fsdax_map_span(all, 0, &span);
	assert_int_equal(folio_pin(span.folio, h, FOLIO_PIN_LOCAL), 0);
	assert_int_equal(fsdax_unlink(pool.fs, "a"), 0);
	look(NULL, 4); /* unlinked, and still a file */
	assert_int_equal(row("h", 0)->pins_local, 1);
	assert_int_equal(row("h", 0)->refs, 2);
	folio_unpin(span.folio, h, FOLIO_PIN_LOCAL);
	fsdax_unmap(all);
	look(NULL, 2);
	fsdax_unmap(part);
	fsdax_unmap(nobody);
	assert_int_equal(pgmap_holder_end(h), 0);
	assert_int_equal(pgmap_holder_end(k), 0);
	fsdax_close(a);
	fsdax_close(b);
}

static void c7_5_a_quarantine_is_listed_until_its_fence(void **state)
{
	(void)state;
	struct pgmap_holder *h = holder("dma");
	struct fsdax_file *a = make_file(&pool, "a", MIB);
	struct fsdax_map *map = map_range(a, 0, MIB, h);
	struct fsdax_span span;
	fsdax_map_span(map, 0, &span);
	assert_int_equal(folio_pin(span.folio, h, FOLIO_PIN_REMOTE), 0);
	assert_int_equal(pgmap_holder_end(h), 256);
	fsdax_unmap_ended(map);
	look("a", 1);
	assert_int_equal(list.rows[0].state, PGMAP_QUARANTINED);
	assert_int_equal(list.rows[0].len_bytes, MIB);
	assert_int_equal(pgmap_holder_fence(h), 0);
	look("a", 0);
	fsdax_close(a);
}

static void what_the_file_has_lost_is_not_listed(void **state)
{
	(void)state;
	struct fsdax_file *a = make_file(&pool, "a", 2 * MIB);
	struct fsdax_map *map = map_range(a, 0, 2 * MIB, NULL); /* cannot be split */
	assert_int_equal(fsdax_punch(a, MIB / 2, MIB, FSDAX_DEFER, 0), 0);
	look("a", 2);
	assert_int_equal(row("-", 0)->len_bytes, MIB / 2);
	assert_int_equal(row("-", 3 * MIB / 2)->len_bytes, MIB / 2);
	assert_int_equal(fsdax_truncate(a, 0), 0);
	look("a", 0);
	fsdax_unmap(map);
	fsdax_close(a);
}

static void c6_7_those_who_wait_are_counted(void **state)
{
	(void)state;
	struct fsdax_file *a = make_file(&pool, "a", 2 * MIB);
	assert_int_equal(fsdax_truncate(a, 3 * MIB), 0);
	struct fsdax_map *map = map_range(a, 0, 3 * MIB, NULL);
	struct taking one = {0}, two = {0};
	assert_int_equal(taking_size(&one, a, 2 * MIB), 0);
	assert_int_equal(taking_begin(&one, FSDAX_WAIT, NULL, NULL), -EINPROGRESS);
	assert_int_equal(taking_size(&two, a, 0), 0);
	assert_int_equal(taking_begin(&two, FSDAX_WAIT, NULL, NULL), -EINPROGRESS);
	look("a", 2);
	assert_int_equal(row("-", 0)->waiting, 1);
	assert_int_equal(row("-", 2 * MIB)->waiting, 2);
	taking_end(&two);
	look("a", 2);
	assert_int_equal(row("-", 0)->waiting, 0);
	assert_int_equal(row("-", 2 * MIB)->waiting, 1);
	taking_end(&one);
	fsdax_unmap(map);
	fsdax_close(a);
}

static void it_ends_where_it_is_told_to_and_says_what_is_wrong(void **state)
{
	(void)state;
	struct fsdax_file *a = make_file(&pool, "a", MIB);
	struct fsdax_map *map = map_range(a, 0, MIB, NULL), *again = map_range(a, 0, MIB, NULL);
	memset(&list, 0, sizeof(list));
	list.stop_at = 1;
	assert_int_equal(fsdax_for_each_busy(pool.fs, NULL, note, &list), -ECANCELED);
	assert_int_equal(list.n, 1);
	assert_int_equal(fsdax_for_each_busy(NULL, NULL, note, &list), -EINVAL);
	assert_int_equal(fsdax_for_each_busy(pool.fs, NULL, NULL, &list), -EINVAL);
	assert_int_equal(fsdax_for_each_busy(pool.fs, "b", note, &list), -ENOENT);
	assert_int_equal(fsdax_for_each_busy(pool.fs, "/", note, &list), -EISDIR);
	assert_int_equal(fsdax_for_each_busy(pool.fs, "a/b", note, &list), -ENOTDIR);
	fsdax_unmap(map);
	fsdax_unmap(again);
	fsdax_close(a);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(c6_7_who_holds_which_pages_of_a_file_is_listed),
		T(c7_5_a_quarantine_is_listed_until_its_fence),
		T(what_the_file_has_lost_is_not_listed),
		T(c6_7_those_who_wait_are_counted),
		T(it_ends_where_it_is_told_to_and_says_what_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
