/* SPDX-License-Identifier: BSD-3-Clause */
/* Pools on stacks that few would build: on a part that lies on the second memory alone, on a stripe of one part; and on one whose only
 * memory dies. */
#include <pgmap/fsdax.h>

#include "stack_util.h"

enum { PAGES = 64 };
static struct bottom a, b;

static int open_both(void **state)
{
	(void)state;
	bottom_open(&a, PAGES, 0);
	bottom_open(&b, PAGES, 0);
	return 0;
}

static int close_both(void **state)
{
	(void)state;
	bottom_close(&a);
	bottom_close(&b);
	return 0;
}

static struct fsdax *pool_on(struct dax_device *dax)
{
	struct fsdax *fs = NULL;
	assert_int_equal(fsdax_create(dax, NULL, &fs), 0);
	return fs;
}

static struct fsdax_file *make_file(struct fsdax *fs, uint64_t pages)
{
	struct fsdax_file *file = NULL;
	assert_int_equal(fsdax_open(fs, "/f", FSDAX_CREATE, &file), 0);
	assert_int_equal(fsdax_truncate(file, pages * PAGE), 0);
	return file;
}

static void drop(struct fsdax *fs, struct fsdax_file *file)
{
	fsdax_close(file);
	assert_int_equal(fsdax_unlink(fs, "/f"), 0);
}

static uint64_t used(const struct fsdax *fs, unsigned index)
{
	struct fsdax_device device;
	assert_int_equal(fsdax_device(fs, index, &device), 0);
	return device.used;
}

static void assert_accounts(const struct fsdax *fs, uint64_t pages, uint64_t in_use, uint64_t waiting)
{
	struct fsdax_statfs st;
	fsdax_statfs((struct fsdax *)(uintptr_t)fs, &st);
	assert_int_equal(st.pages, pages);
	assert_int_equal(st.used, in_use);
	assert_int_equal(st.waiting, waiting);
	assert_int_equal(st.used + st.free + st.waiting, st.pages);
}

static void c6_8_a_pool_whose_pages_all_lie_on_the_second_memory(void **state)
{
	(void)state;
	struct dax_device *both, *top;
	const struct dax_part parts[] = {{a.dax, 0, 0}, {b.dax, 0, 0}};
	assert_int_equal(dax_create_linear(parts, 2, "both", &both), 0);
	const struct dax_part second = {both, PAGES, 0};
	assert_int_equal(dax_create_linear(&second, 1, "top", &top), 0);
	struct fsdax *fs = pool_on(top);
	struct fsdax_file *file = make_file(fs, 50);
	struct fsdax_holder *holder;
	struct fsdax_map *map;
	struct fsdax_span span;
	struct fsdax_piece piece;
	assert_int_equal(fsdax_holder_create(fs, "holder", &holder), 0);
	assert_int_equal(fsdax_map_for(file, 0, 50 * PAGE, holder, NULL, NULL, &map), 0);
	fsdax_map_span(map, 0, &span);
	fsdax_map_piece(map, 0, &piece);
	assert_ptr_equal(folio_pgmap(span.folio), dax_pgmap(b.dax));
	assert_int_equal(span.device, 1);
	assert_int_equal(piece.device, 1);
	assert_int_equal(used(fs, 0), 0);
	assert_int_equal(used(fs, 1), 50);
	fsdax_unmap(map);
	assert_int_equal(fsdax_holder_end(holder), 0);
	drop(fs, file);
	assert_int_equal(fsdax_destroy(fs), 0);
	assert_int_equal(dax_destroy(top), 0);
	assert_int_equal(dax_destroy(both), 0);
}

static struct dax_device *stripe_of(struct dax_device *dax)
{
	struct dax_device *stripe = NULL;
	const struct dax_part part = {dax, 0, 0};
	assert_int_equal(dax_create_stripe(&part, 1, 8, "one", &stripe), 0);
	return stripe;
}

static void c6_10_a_stripe_of_one_part_does_not_leave(void **state)
{
	(void)state;
	struct dax_device *stripe = stripe_of(a.dax), *top;
	const struct dax_part parts[] = {{stripe, 0, 0}, {b.dax, 0, 0}};
	assert_int_equal(dax_create_linear(parts, 2, "top", &top), 0);
	struct fsdax *fs = pool_on(top);
	assert_int_equal(fsdax_leave_begin(fs, 0, NULL), -EOPNOTSUPP);
	assert_accounts(fs, 2 * PAGES, 0, 0);
	assert_int_equal(fsdax_leave_begin(fs, 1, NULL), 0);
	assert_accounts(fs, 2 * PAGES, 0, PAGES);
	assert_int_equal(fsdax_leave_cancel(fs, 1), 0);
	drop(fs, make_file(fs, 2 * PAGES));
	assert_int_equal(fsdax_destroy(fs), 0);
	assert_int_equal(dax_destroy(top), 0);
	assert_int_equal(dax_destroy(stripe), 0);
}

static void c6_10_a_stripe_of_one_part_is_not_added(void **state)
{
	(void)state;
	struct dax_device *stripe = stripe_of(b.dax), *top;
	const struct dax_part part = {a.dax, 0, 0};
	assert_int_equal(dax_create_linear(&part, 1, "top", &top), 0);
	struct fsdax *fs = pool_on(top);
	assert_int_equal(fsdax_add_device(fs, stripe, NULL), -EINVAL);
	assert_accounts(fs, PAGES, 0, 0);
	assert_int_equal(dax_destroy(stripe), 0);
	assert_int_equal(fsdax_add_device(fs, b.dax, NULL), 0);
	assert_accounts(fs, 2 * PAGES, 0, 0);
	assert_int_equal(fsdax_destroy(fs), 0);
	assert_int_equal(dax_destroy(top), 0);
}

/* As it would of one of several. */
static void c6_10_what_is_free_on_a_dead_device_waits(void **state)
{
	(void)state;
	struct fsdax *fs = pool_on(a.dax);
	struct fsdax_file *file = make_file(fs, 10), *other = NULL;
	struct fsdax_statfs st;
	assert_int_equal(dax_kill(a.dax), 0);
	assert_accounts(fs, PAGES, 10, PAGES - 10);
	assert_int_equal(fsdax_open(fs, "/other", FSDAX_CREATE, &other), 0);
	assert_int_equal(fsdax_truncate(other, PAGE), -ENXIO);
	fsdax_close(other);
	drop(fs, file);
	assert_accounts(fs, PAGES, 0, PAGES);
	fsdax_statfs(fs, &st);
	assert_int_equal(st.lost, PAGES);
	assert_int_equal(fsdax_destroy(fs), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_both, close_both)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(c6_8_a_pool_whose_pages_all_lie_on_the_second_memory),
		T(c6_10_a_stripe_of_one_part_does_not_leave),
		T(c6_10_a_stripe_of_one_part_is_not_added),
		T(c6_10_what_is_free_on_a_dead_device_waits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
