/* SPDX-License-Identifier: BSD-3-Clause */
/* Whom a pool charges: one holder outside, one in each pgmap below a stack. */
#include "stack_pool.h"

static struct stack_pool pool;
static struct fsdax_file *file;
static struct pgmap_holder *holder;
static struct fsdax_map *map;

static int open_pool(void **state)
{
	(void)state;
	stack_open(&pool, STRIPE_64, NULL);
	file = stack_file(&pool, "/file", 256); /* 2 chunks of the first memory, 1 of each other */
	assert_int_equal(fsdax_holder_create(pool.fs, "who", &holder), 0);
	assert_int_equal(fsdax_map(file, 0, 256 * PAGE, holder, NULL, &map), 0);
	return 0;
}

static int close_pool(void **state)
{
	(void)state;
	assert_int_equal(stack_statfs(&pool).waiting, 0);
	fsdax_close(file);
	assert_int_equal(atlas_live_pages(&pool.fs->space.atlas), 0);
	stack_close(&pool);
	return 0;
}

static void c4_1_each_device_charges_its_own(void **state)
{
	(void)state;
	struct pgmap_charge charge;
	struct pgmap_holder *other, *foreign = NULL;
	struct fsdax_map *second = NULL;
	assert_int_equal(fsdax_holder_charge(pool.fs, holder, &charge), 0);
	assert_true(charge.pages == 256 && charge.refs == fsdax_map_nspans(map));
	pgmap_holder_charge(holder, &charge); /* the one in the first pgmap */
	assert_int_equal(charge.pages, 128);
	assert_string_equal(pgmap_holder_name(holder), "who");
	assert_int_equal(fsdax_holder_create(pool.fs, "other", &other), 0);
	assert_int_equal(fsdax_map(file, 0, 64 * PAGE, other, NULL, &second), 0);
	fsdax_unmap(second);
	assert_int_equal(fsdax_holder_end(pool.fs, other), 0);
	assert_int_equal(fsdax_map(file, 0, 64 * PAGE, NULL, NULL, &second), 0); /* to nobody */
	fsdax_unmap(second);
	/* A holder of one of the pgmaps is none of the pool's. */
	assert_int_equal(pgmap_holder_create(dax_pgmap(pool.memory[0]), "foreign", &foreign), 0);
	second = NULL;
	assert_int_equal(fsdax_map(file, 0, 64 * PAGE, foreign, NULL, &second), -EINVAL);
	assert_null(second);
	assert_int_equal(fsdax_holder_charge(pool.fs, foreign, &charge), -EINVAL);
	assert_int_equal(fsdax_holder_end(pool.fs, foreign), -EINVAL);
	assert_int_equal(fsdax_holder_fence(pool.fs, foreign), -EINVAL);
	assert_int_equal(pgmap_holder_end(foreign), 0);
	assert_int_equal(fsdax_holder_create(NULL, "x", &foreign), -EINVAL);
	assert_int_equal(fsdax_holder_create(pool.fs, NULL, &foreign), -EINVAL);
	assert_int_equal(fsdax_holder_end(pool.fs, NULL), -EINVAL);
	fsdax_unmap(map);
	assert_int_equal(fsdax_holder_end(pool.fs, holder), 0);
}

static void c4_2_its_end_drops_all_of_them(void **state)
{
	(void)state;
	assert_int_equal(atlas_live_pages(&pool.fs->space.atlas), 256);
	assert_int_equal(fsdax_holder_end(pool.fs, holder), 0);
	assert_int_equal(atlas_live_pages(&pool.fs->space.atlas), 0);
	fsdax_unmap_ended(map);
}

static struct pgmap_holder *part_of(uint64_t i)
{
	return holder_find(&pool.fs->holders, holder)->of[i];
}

static void c7_5_remote_pins_on_any_device_are_fenced_together(void **state)
{
	(void)state;
	struct fsdax_span span;
	uint64_t pinned = 0, pages = 0;
	/* On each folio but those of the first memory, whose holder goes, and with it the handle's own. */
	for (uint64_t i = 0; i < fsdax_map_nspans(map); i++) {
		fsdax_map_span(map, i, &span);
		size_t which = atlas_index(&pool.fs->space.atlas, folio_pgmap(span.folio));
		if (which == 0)
			continue;
		assert_int_equal(folio_pin(span.folio, part_of(which), FOLIO_PIN_REMOTE), 0);
		pinned++;
		pages += folio_pages(span.folio);
	}
	assert_true(pinned == 2 && pages == 128);
	assert_int_equal(fsdax_holder_fence(pool.fs, holder), -EBUSY); /* not ended yet */
	assert_int_equal(fsdax_holder_end(pool.fs, holder), 128);
	assert_int_equal(atlas_live_pages(&pool.fs->space.atlas), 128);
	fsdax_unmap_ended(map);
	/* The next ones get no handle that is still in use. */
	struct pgmap_holder *many[16];
	for (int i = 0; i < 16; i++) {
		assert_int_equal(fsdax_holder_create(pool.fs, "next", &many[i]), 0);
		assert_ptr_not_equal(many[i], holder);
	}
	assert_int_equal(fsdax_holder_end(pool.fs, holder), 128);
	assert_int_equal(fsdax_holder_fence(pool.fs, holder), 0);
	assert_int_equal(atlas_live_pages(&pool.fs->space.atlas), 0);
	assert_int_equal(fsdax_holder_fence(pool.fs, holder), -EINVAL); /* gone */
	for (int i = 0; i < 16; i++)
		assert_int_equal(fsdax_holder_end(pool.fs, many[i]), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_pool, close_pool)
	static const struct CMUnitTest tests[] = {
		TEST(c4_1_each_device_charges_its_own),
		TEST(c4_2_its_end_drops_all_of_them),
		TEST(c7_5_remote_pins_on_any_device_are_fenced_together),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
