/* SPDX-License-Identifier: BSD-3-Clause */
/* A pool's holder: one of each device; what it holds, and its end. */
#include <errno.h>

#include "failing.h"
#include "pool.h"

static const uint64_t sizes[] = {2 * MIB, 2 * MIB, 0};
static struct pool pool;

static int open_pool(void **state)
{
	(void)state;
	pool_open_stack(&pool, sizes, 4, NULL);
	return 0;
}

static int close_pool(void **state)
{
	(void)state;
	pool_close_stack(&pool);
	return 0;
}

static struct fsdax_holder *holder(const char *name)
{
	struct fsdax_holder *holder = NULL;
	assert_int_equal(fsdax_holder_create(pool.fs, name, &holder), 0);
	return holder;
}

static struct fsdax_map *map_for(struct fsdax_file *file, uint64_t len, struct fsdax_holder *holder)
{
	struct fsdax_map *map;
	assert_int_equal(fsdax_map_for(file, 0, len, holder, NULL, NULL, &map), 0);
	return map;
}

static void c4_1_references_are_charged_on_every_device(void **state)
{
	(void)state;
	struct fsdax_holder *h = holder("h");
	struct fsdax_file *file = make_file(&pool, "a", 1 * MIB);
	struct fsdax_map *map = map_for(file, 1 * MIB, h), *more;
	struct pgmap_charge charge, each;
	fsdax_holder_charge(h, &charge);
	assert_int_equal(charge.pages, 256);
	assert_int_equal(charge.refs, fsdax_map_nspans(map));
	for (unsigned i = 0; i < 2; i++) {
		struct pgmap_holder *part = fsdax_holder_of(h, dax_pgmap(pool.parts[i].dax));
		pgmap_holder_charge(part, &each);
		assert_int_equal(each.pages, 128);
		assert_string_equal(pgmap_holder_name(part), "h");
	}
	assert_string_equal(fsdax_holder_name(h), "h");
	assert_int_equal(fsdax_resize_map_for(file, 2 * MIB, 0, h, NULL, NULL, &more), 0);
	fsdax_holder_charge(h, &charge);
	assert_int_equal(charge.pages, 512);
	fsdax_unmap(more);
	fsdax_unmap(map);
	fsdax_holder_charge(h, &charge);
	assert_int_equal(charge.refs, 0);
	assert_int_equal(fsdax_holder_end(h), 0);
	fsdax_close(file);
}

static void c4_2_its_end_lets_go_on_every_device(void **state)
{
	(void)state;
	struct fsdax_holder *h = holder("h"), *other = holder("other");
	struct fsdax_file *file = make_file(&pool, "a", 1 * MIB);
	struct fsdax_map *map = map_for(file, 1 * MIB, h), *others = map_for(file, 64 * KIB, other);
	assert_int_equal(pool_live_pages(&pool), 256);
	assert_int_equal(fsdax_holder_end(h), 0);
	fsdax_unmap_ended(map);
	assert_int_equal(pool_live_pages(&pool), 16);
	fsdax_unmap(others);
	assert_int_equal(pool_live_pages(&pool), 0);
	assert_int_equal(fsdax_holder_end(other), 0);
	fsdax_close(file);
}

static void c7_5_remote_pins_on_two_devices_are_quarantined_until_fenced(void **state)
{
	(void)state;
	struct fsdax_holder *h = holder("dma");
	struct fsdax_file *file = make_file(&pool, "a", 1 * MIB);
	struct fsdax_map *map = map_for(file, 1 * MIB, h), *more = NULL;
	for (uint64_t i = 0; i < 2; i++) { /* neighbours lie on different devices */
		struct fsdax_span span;
		fsdax_map_span(map, i, &span);
		struct pgmap_holder *part = fsdax_holder_of(h, folio_pgmap(span.folio));
		assert_int_equal(folio_pin(span.folio, part, FOLIO_PIN_REMOTE), 0);
	}
	assert_int_equal(fsdax_holder_fence(h), -EBUSY);
	assert_int_equal(fsdax_holder_end(h), 8);
	fsdax_unmap_ended(map);
	assert_int_equal(fsdax_holder_end(h), 8);
	assert_int_equal(fsdax_map_for(file, 0, 1 * MIB, h, NULL, NULL, &more), -ESHUTDOWN);
	assert_int_equal(fsdax_map(file, 0, PAGE, NULL, NULL, &more), -EBUSY);
	fsdax_close(file);
	assert_int_equal(fsdax_unlink(pool.fs, "a"), 0);
	assert_space(&pool, 0, 8);
	assert_int_equal(fsdax_destroy(pool.fs), -EBUSY);
	assert_int_equal(fsdax_holder_fence(h), 0);
	assert_space(&pool, 0, 0);
}

static void a_holder_of_one_pgmap_or_another_pool_is_refused(void **state)
{
	(void)state;
	struct pool other;
	struct pgmap_holder *one;
	struct fsdax_holder *stranger, *own;
	struct fsdax_map *map = NULL;
	struct fsdax_file *file = make_file(&pool, "a", PAGE), *others;
	assert_int_equal(pgmap_holder_create(dax_pgmap(pool.parts[0].dax), "one", &one), 0);
	assert_int_equal(fsdax_map(file, 0, PAGE, one, NULL, &map), -EINVAL);
	assert_int_equal(fsdax_resize_map(file, 2 * PAGE, 0, one, NULL, NULL, &map), -EINVAL);
	assert_int_equal(pgmap_holder_end(one), 0);
	pool_open(&other, 1 * MIB, 0, NULL);
	assert_int_equal(fsdax_holder_create(other.fs, "stranger", &stranger), 0);
	assert_int_equal(fsdax_truncate(file, 8 * PAGE), 0); /* on both devices */
	assert_int_equal(fsdax_map_for(file, 0, PAGE, stranger, NULL, NULL, &map), -EINVAL);
	assert_int_equal(fsdax_map_for(file, 4 * PAGE, PAGE, stranger, NULL, NULL, &map), -EINVAL);
	assert_null(map);
	others = make_file(&other, "b", PAGE); /* where there is one pgmap, both kinds are good */
	assert_int_equal(fsdax_map_for(others, 0, PAGE, stranger, NULL, NULL, &map), 0);
	assert_ptr_equal(fsdax_holder_of(stranger, other.pgmap), fsdax_holder_of(stranger, other.pgmap));
	assert_null(fsdax_holder_of(stranger, dax_pgmap(pool.parts[0].dax)));
	fsdax_unmap(map);
	fsdax_close(others);
	assert_int_equal(fsdax_holder_end(stranger), 0);
	pool_close(&other);
	assert_int_equal(stat_of(file).size_bytes, 8 * PAGE);
	own = holder("own");
	assert_int_equal(fsdax_holder_end(own), 0);
	assert_int_equal(fsdax_holder_end(NULL), -EINVAL);
	assert_int_equal(fsdax_holder_fence(NULL), -EINVAL);
	assert_int_equal(fsdax_holder_create(pool.fs, NULL, &own), -EINVAL);
	fsdax_close(file);
}

static void without_memory_there_is_no_holder_and_none_left(void **state)
{
	(void)state;
	struct fsdax_holder *h = NULL;
	int err = -ENOMEM;
	for (unsigned long nth = 1; err; nth++) {
		failing_begin(nth, true);
		err = fsdax_holder_create(pool.fs, "h", &h);
		(void)failing_end();
		assert_true(!err || err == -ENOMEM);
	}
	assert_int_equal(fsdax_holder_end(h), 0);
}

/* A punch splits what several hold, on whichever device it is: each keeps its references. */
static void c3_18_a_split_keeps_every_holders_references(void **state)
{
	(void)state;
	struct fsdax_holder *h = holder("h"), *g = holder("g");
	struct fsdax_file *file = make_file(&pool, "a", 16 * 4 * PAGE);
	struct fsdax_map *map = map_for(file, 64 * PAGE, h), *more = map_for(file, 64 * PAGE, g);
	assert_int_equal(fsdax_punch(file, 5 * PAGE, 6 * PAGE, FSDAX_DEFER, 0), 0);
	assert_space(&pool, 58, 6);
	fsdax_unmap(map);
	assert_space(&pool, 58, 6);
	assert_int_equal(fsdax_holder_end(g), 0);
	fsdax_unmap_ended(more);
	assert_space(&pool, 58, 0);
	assert_int_equal(fsdax_holder_end(h), 0);
	fsdax_close(file);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(c4_1_references_are_charged_on_every_device, open_pool, close_pool),
		cmocka_unit_test_setup_teardown(c4_2_its_end_lets_go_on_every_device, open_pool, close_pool),
		cmocka_unit_test_setup_teardown(c7_5_remote_pins_on_two_devices_are_quarantined_until_fenced, open_pool,
						close_pool),
		cmocka_unit_test_setup_teardown(a_holder_of_one_pgmap_or_another_pool_is_refused, open_pool,
						close_pool),
		cmocka_unit_test_setup_teardown(without_memory_there_is_no_holder_and_none_left, open_pool, close_pool),
		cmocka_unit_test_setup_teardown(c3_18_a_split_keeps_every_holders_references, open_pool, close_pool),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
