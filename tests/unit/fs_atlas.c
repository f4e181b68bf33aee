/* SPDX-License-Identifier: BSD-3-Clause */
/* A pool on a stack of devices: its numbers, and files whose pages lie on several memories. */
#include "stack_pool.h"

static struct stack_pool pool;

static void numbers_are_aligned_where_the_pgmap_is(void **state)
{
	(void)state;
	for (int shape = 0; shape < SHAPES; shape++) {
		stack_open(&pool, (enum stack_shape)shape, NULL);
		const struct atlas *atlas = &pool.fs->space.atlas;
		uint64_t before = 0, last = 0, block = UINT64_C(1) << atlas->max_order;
		const struct pgmap *pgmap = NULL;
		assert_null(atlas->only);
		for (uint64_t page = 0; page < dax_npages(pool.dax); page++) {
			struct dax_span span;
			uint64_t number = atlas_number(atlas, page);
			assert_int_equal(atlas_page(atlas, number), page);
			assert_true(page == 0 || number > last);
			assert_true(atlas_span(atlas, number, 1, &span));
			assert_int_equal(number % block, span.pgmap_pgoff % block);
			assert_int_equal(atlas_number_in(atlas, span.pgmap, span.pgmap_pgoff), number);
			/* A block of numbers that are all pages lies together. */
			if (page && number / block == last / block && number == last + 1) {
				assert_int_equal(span.pgmap_pgoff, before + 1);
				assert_ptr_equal(span.pgmap, pgmap);
			}
			before = span.pgmap_pgoff;
			pgmap = span.pgmap;
			last = number;
		}
		assert_int_equal(atlas_end(atlas), last + 1);
		stack_close(&pool);
	}
}

static void one_memory_has_the_numbers_of_its_pgmap(void **state)
{
	(void)state;
	struct dax_device *fault, *part;
	struct fsdax *fs;
	memory_open(&pool, 0, 64, 5, 0);
	assert_int_equal(dax_create_fault(pool.memory[0], NULL, &fault), 0);
	assert_int_equal(dax_create_linear(&(struct dax_part){fault, 3, 20}, 1, NULL, &part), 0);
	assert_int_equal(fsdax_create(part, NULL, &fs), 0);
	assert_ptr_equal(fs->space.atlas.only, dax_pgmap(pool.memory[0]));
	assert_int_equal(atlas_begin(&fs->space.atlas) % (1 << PGMAP_MAX_ORDER), 8);
	assert_int_equal(atlas_end(&fs->space.atlas) - atlas_begin(&fs->space.atlas), 20);
	assert_int_equal(fsdax_destroy(fs), 0);
	assert_int_equal(dax_destroy(part), 0);
	assert_int_equal(dax_destroy(fault), 0);
	assert_int_equal(dax_destroy(pool.memory[0]), 0);
	assert_int_equal(munmap(pool.mem[0], pool.dev[0]->size_bytes), 0);
	dev_close(pool.dev[0]);
}

static void c5_6_a_stack_with_a_limited_part_is_refused(void **state)
{
	(void)state;
	struct dax_params params = {.params_bytes = sizeof(params), .len_bytes = 16 * PAGE, .fd = -1};
	struct dax_device *lower[2], *dax;
	struct fsdax *fs = NULL;
	assert_int_equal(dax_create(&params, &lower[0]), 0);
	params.type = PGMAP_FSDAX;
	assert_int_equal(dax_create(&params, &lower[1]), 0);
	dax = stack_of(lower, 2, 0);
	assert_int_equal(fsdax_create(dax, NULL, &fs), -EINVAL);
	assert_null(fs);
	assert_int_equal(dax_destroy(dax), 0);
	assert_int_equal(dax_destroy(lower[0]), 0);
	assert_int_equal(dax_destroy(lower[1]), 0);
}

/* A file over all memories: written, read back, punched, cut, grown, and unlinked. */
static void life_of_a_file(enum stack_shape shape)
{
	stack_open(&pool, shape, NULL);
	uint64_t all = dax_npages(pool.dax), granule = UINT64_C(1) << dax_granule_order(pool.dax);
	uint64_t pages = all - 4 * granule;
	struct fsdax_file *file = stack_file(&pool, "/file", pages);
	struct fsdax_map *map;
	assert_int_equal(fsdax_map(file, 0, pages * PAGE, NULL, NULL, &map), 0);
	stack_check(&pool, map, 0);
	stack_fill(&pool, map, 1);
	assert_true(fsdax_map_npieces(map) >= 2);
	assert_int_equal(atlas_live_pages(&pool.fs->space.atlas), pages);
	assert_int_equal(stack_statfs(&pool).used, pages);
	/* What is mapped is lost now and free later (c6.7, c6.8). */
	assert_int_equal(fsdax_punch(file, 992 * PAGE, 64 * PAGE, FSDAX_DEFER, 0), 0);
	assert_int_equal(fsdax_punch(file, 1984 * PAGE, 64 * PAGE, FSDAX_FAIL, 0), -EBUSY);
	assert_true(stack_statfs(&pool).waiting >= 64);
	fsdax_unmap(map);
	assert_int_equal(stack_statfs(&pool).waiting, 0);
	assert_int_equal(stack_statfs(&pool).used, pages - 64);
	assert_int_equal(fsdax_map(file, 0, 992 * PAGE, NULL, NULL, &map), 0);
	stack_check(&pool, map, 1);
	fsdax_unmap(map);
	assert_int_equal(fsdax_map(file, 992 * PAGE, 64 * PAGE, NULL, NULL, &map), 0);
	stack_check(&pool, map, 0); /* a hole gets new pages (c6.9) */
	fsdax_unmap(map);
	uint64_t middle = pages / 2 / granule * granule;
	assert_int_equal(fsdax_truncate(file, middle * PAGE - 100), 0);
	assert_int_equal(stack_statfs(&pool).used, middle);
	assert_int_equal(fsdax_truncate(file, pages * PAGE), 0);
	assert_int_equal(fsdax_map(file, middle * PAGE, (pages - middle) * PAGE, NULL, NULL, &map), 0);
	stack_check(&pool, map, 0);
	assert_int_equal(fsdax_unlink(pool.fs, "/file"), 0);
	fsdax_close(file);
	assert_int_equal(stack_statfs(&pool).used, pages); /* it lives on with its mapping */
	fsdax_unmap(map);
	struct fsdax_statfs st = stack_statfs(&pool);
	assert_true(st.free == all && st.used == 0 && st.waiting == 0);
	assert_int_equal(atlas_live_pages(&pool.fs->space.atlas), 0);
	stack_close(&pool);
}

static void c6_10_a_file_over_all_devices(void **state)
{
	(void)state;
	for (int shape = 0; shape < SHAPES; shape++)
		life_of_a_file((enum stack_shape)shape);
}

static void c6_4_extents_are_as_big_as_a_device_has_them(void **state)
{
	(void)state;
	stack_open(&pool, STRIPE_2M, NULL);
	struct fsdax_file *file = stack_file(&pool, "/big", 4 * 512);
	struct fsdax_stat st;
	struct fsdax_map *map;
	assert_int_equal(fsdax_stat_file(file, &st), 0);
	assert_true(st.max_order == 9 && st.extents == 4);
	assert_int_equal(fsdax_map(file, 0, 4 * 512 * PAGE, NULL, NULL, &map), 0);
	assert_int_equal(fsdax_map_npieces(map), 4); /* neighbours in the file, on different devices */
	for (uint64_t i = 0; i < 4; i++) {
		struct fsdax_span span;
		fsdax_map_span(map, i, &span);
		assert_int_equal(span.pgoff, folio_pgoff(span.folio));
		assert_int_equal(span.order, 9);
	}
	fsdax_unmap(map);
	fsdax_close(file);
	stack_close(&pool);
}

static int count_busy(void *arg, const struct fsdax_busy *busy)
{
	*(uint64_t *)arg += busy->len_bytes;
	return 0;
}

static void c6_7_a_folio_in_two_devices_files_is_split_and_found(void **state)
{
	(void)state;
	for (int shape = 0; shape < SHAPES; shape++) {
		uint64_t busy = 0;
		stack_open(&pool, (enum stack_shape)shape, NULL);
		uint64_t granule = UINT64_C(1) << dax_granule_order(pool.dax);
		struct fsdax_file *file = stack_file(&pool, "/split", 1024);
		struct pgmap_holder *holder;
		struct pgmap_charge charge;
		struct fsdax_map *map;
		assert_int_equal(fsdax_holder_create(pool.fs, "mapper", &holder), 0);
		assert_int_equal(fsdax_map(file, 0, 1024 * PAGE, holder, NULL, &map), 0);
		stack_fill(&pool, map, 3);
		assert_int_equal(fsdax_for_each_busy(pool.fs, "/split", count_busy, &busy), 0);
		assert_int_equal(busy, 1024 * PAGE);
		assert_int_equal(fsdax_holder_charge(pool.fs, holder, &charge), 0);
		assert_int_equal(charge.pages, 1024);
		assert_int_equal(fsdax_truncate(file, 3 * granule * PAGE), 0); /* through the middle of folios */
		stack_statfs(&pool);
		fsdax_unmap(map);
		assert_int_equal(fsdax_holder_charge(pool.fs, holder, &charge), 0);
		assert_int_equal(charge.refs, 0);
		assert_int_equal(stack_statfs(&pool).used, 3 * granule);
		assert_int_equal(stack_statfs(&pool).waiting, 0);
		assert_int_equal(fsdax_holder_end(pool.fs, holder), 0);
		fsdax_close(file);
		stack_close(&pool);
	}
}

/* A truncate in the middle of a folio splits it, on whichever device it lies: what the file loses is free at once when only the
 * rest is mapped. */
static void c3_18_folios_of_each_device_are_split(void **state)
{
	(void)state;
	stack_open(&pool, STRIPE_2M, NULL);
	for (uint64_t chunk = 0; chunk < 3; chunk++) {
		struct fsdax_file *file = stack_file(&pool, "/split", 3 * 512);
		struct fsdax_map *all, *rest;
		assert_int_equal(fsdax_map(file, 0, 3 * 512 * PAGE, NULL, NULL, &all), 0);
		fsdax_unmap(all);
		struct pgmap_holder *holder;
		assert_int_equal(fsdax_holder_create(pool.fs, "mapper", &holder), 0);
		assert_int_equal(fsdax_map(file, 0, 3 * 512 * PAGE, holder, NULL, &all), 0);
		assert_int_equal(fsdax_truncate(file, (chunk * 512 + 256) * PAGE), 0);
		assert_int_equal(fsdax_map(file, 0, (chunk * 512 + 256) * PAGE, holder, NULL, &rest), 0);
		assert_true(stack_statfs(&pool).waiting >= 256);
		fsdax_unmap(all);
		assert_int_equal(stack_statfs(&pool).waiting, 0);
		fsdax_unmap(rest);
		assert_int_equal(fsdax_holder_end(pool.fs, holder), 0);
		assert_int_equal(fsdax_unlink(pool.fs, "/split"), 0);
		fsdax_close(file);
	}
	stack_close(&pool);
}

static uint64_t seed = 88172645463325252;

static uint64_t rnd(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

enum { FILES = 5, STEPS = 400 };

/* Sizes, mappings and unlinks at random: each byte is what was written to it last, and the accounts add up. */
static void storm(enum stack_shape shape)
{
	struct fsdax_file *files[FILES] = {NULL};
	uint64_t pages[FILES] = {0};
	stack_open(&pool, shape, NULL);
	unsigned order = dax_granule_order(pool.dax);
	for (int step = 0; step < STEPS; step++) {
		int i = (int)rnd(FILES);
		char path[8];
		struct fsdax_map *map;
		(void)snprintf(path, sizeof(path), "/f%d", i);
		if (!files[i])
			assert_int_equal(fsdax_open(pool.fs, path, FSDAX_CREATE, &files[i]), 0);
		uint64_t what = rnd(4), size = rnd(1200 >> order)
					       << order; /* whole granules are mapped, with zeros behind the end */
		if (what == 0) {
			assert_int_equal(fsdax_unlink(pool.fs, path), 0);
			fsdax_close(files[i]);
			files[i] = NULL;
			pages[i] = 0;
		} else if (fsdax_truncate(files[i], size * PAGE) == 0) {
			uint64_t old = pages[i];
			pages[i] = size;
			if (size && fsdax_map(files[i], 0, size * PAGE, NULL, NULL, &map) == 0) {
				if (old == 0)
					stack_check(&pool, map, 0);
				else if (old >= size)
					stack_check(&pool, map, (uint64_t)i + 1);
				stack_fill(&pool, map, (uint64_t)i + 1);
				fsdax_unmap(map);
			}
		}
		stack_statfs(&pool);
	}
	for (int i = 0; i < FILES; i++)
		fsdax_close(files[i]);
	stack_close(&pool);
}

static void c6_9_random_sizes_on_all_shapes(void **state)
{
	(void)state;
	for (int shape = 0; shape < SHAPES; shape++)
		storm((enum stack_shape)shape);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_aligned_where_the_pgmap_is),
		cmocka_unit_test(one_memory_has_the_numbers_of_its_pgmap),
		cmocka_unit_test(c5_6_a_stack_with_a_limited_part_is_refused),
		cmocka_unit_test(c6_10_a_file_over_all_devices),
		cmocka_unit_test(c6_4_extents_are_as_big_as_a_device_has_them),
		cmocka_unit_test(c6_7_a_folio_in_two_devices_files_is_split_and_found),
		cmocka_unit_test(c3_18_folios_of_each_device_are_split),
		cmocka_unit_test(c6_9_random_sizes_on_all_shapes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
