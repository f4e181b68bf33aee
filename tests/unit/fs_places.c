/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a pool's pages lie: its numbers on one memory and on stacks; and files on stacks, byte by byte. */
#include "fs/places.h"

#include <errno.h>

#include "fs/fs.h"

#include "pool.h"

/* In pages: none is a multiple of a huge page. */
static const uint64_t sizes[] = {(uint64_t)1300 * PAGE, (uint64_t)700 * PAGE, (uint64_t)2055 * PAGE, 0};
static const uint64_t equal_sizes[] = {4 * MIB, 4 * MIB, 4 * MIB, 0};

static struct pool pool;
static struct places places;

static void assert_same_place(struct dax_device *dax, uint64_t page)
{
	struct dax_span span;
	char *addr;
	uint64_t off = places_off(&places, page), offset_bytes;
	struct spot spot = places_spot(&places, off);
	assert_int_equal(places_page(&places, off), page);
	assert_int_equal(dax_direct_access(dax, page, 1, &span), 1);
	assert_ptr_equal(spot.pgmap, span.pgmap);
	assert_int_equal(spot.pgoff, span.pgmap_pgoff);
	assert_ptr_equal(places_now(&places)->devices[spot.device].span.pgmap, span.pgmap);
	assert_int_equal(places_run(&places, off, 1, &addr), 1);
	assert_ptr_equal(addr, span.addr);
	assert_int_equal(places_descriptor(&places, off, &offset_bytes), span.fd);
	assert_int_equal(offset_bytes, span.fd_offset_bytes);
	unsigned order = places_order(&places, off, PGMAP_MAX_ORDER); /* alignment here is alignment there */
	assert_int_equal((off - spot.pgoff) % (UINT64_C(1) << order), 0);
}

static void assert_places(struct dax_device *dax)
{
	assert_int_equal(places_init(&places, dax), 0);
	assert_int_equal(places_now(&places)->npages, dax_npages(dax));
	for (uint64_t page = 0; page < places_now(&places)->npages; page++)
		assert_same_place(dax, page);
	for (size_t i = 1; i < places_now(&places)->nsegments; i++) {
		const struct places_segment *last = &places_now(&places)->segments[i - 1], *next = last + 1;
		assert_true(last->base + last->npages < next->base); /* free blocks do not meet */
	}
}

static void on_one_memory_numbers_are_pgoffs(void **state)
{
	static const uint64_t one[] = {(uint64_t)300 * PAGE, 0};
	(void)state;
	struct dax_device *fault;
	pool_parts_open(&pool, one);
	assert_places(pool.parts[0].dax);
	assert_ptr_equal(places.only, dax_pgmap(pool.parts[0].dax));
	assert_int_equal(places_off(&places, 7), places_spot(&places, places_off(&places, 7)).pgoff);
	places_exit(&places);
	assert_int_equal(dax_create_fault(pool.parts[0].dax, NULL, &fault), 0);
	assert_places(fault);
	assert_non_null(places.only);
	places_exit(&places);
	assert_int_equal(dax_destroy(fault), 0);
	pool_parts_close(&pool);
}

static void c6_4_parts_of_a_linear_stack_are_apart(void **state)
{
	(void)state;
	struct dax_device *dax;
	pool_parts_open(&pool, sizes);
	const struct dax_part parts[] = {
		{pool.parts[2].dax, 5, 1000}, {pool.parts[0].dax, 0, 0}, {pool.parts[1].dax, 513, 0}};
	assert_int_equal(dax_create_linear(parts, 3, NULL, &dax), 0);
	assert_places(dax);
	assert_null(places.only);
	assert_int_equal(places_now(&places)->nsegments, 3);
	assert_int_equal(places_now(&places)->ndevices, 3);
	assert_int_equal(places_now(&places)->max_order, PGMAP_MAX_ORDER);
	assert_ptr_equal(places_now(&places)->devices[0].span.pgmap, dax_pgmap(pool.parts[2].dax));
	places_exit(&places);
	assert_int_equal(dax_destroy(dax), 0);
	pool_parts_close(&pool);
}

/* Every block that may be handed out lies on one memory, one page after the other. */
static void assert_blocks_whole(unsigned order)
{
	char *addr;
	for (uint64_t page = 0; page < places_now(&places)->npages; page += UINT64_C(1) << order) {
		uint64_t off = places_off(&places, page);
		assert_int_equal(places_order(&places, off, PGMAP_MAX_ORDER), order);
		assert_int_equal(places_run(&places, off, UINT64_C(1) << order, &addr), UINT64_C(1) << order);
	}
}

static void c6_4_no_folio_leaves_a_chunk_of_a_stripe(void **state)
{
	(void)state;
	pool_open_stack(&pool, equal_sizes, 512, NULL);
	assert_places(pool.dax);
	assert_int_equal(places_now(&places)->max_order, 9);
	assert_blocks_whole(9);
	places_exit(&places);
	assert_int_equal(pool_statfs(&pool).free_by_order[9], 6);
	pool_close_stack(&pool);
	pool_open_stack(&pool, equal_sizes, 4, NULL);
	assert_places(pool.dax);
	assert_int_equal(places_now(&places)->max_order, 2);
	assert_blocks_whole(2);
	places_exit(&places);
	assert_int_equal(pool_statfs(&pool).free_by_order[2], 768);
	pool_close_stack(&pool);
}

/* A stripe of the first two, and then the third: chunks of so many pages. */
static struct dax_device *inner;
static void open_nested(const uint64_t size_bytes[], uint64_t chunk_pages)
{
	pool_parts_open(&pool, size_bytes);
	const struct dax_part two[] = {{.dax = pool.parts[0].dax}, {.dax = pool.parts[1].dax}};
	assert_int_equal(dax_create_stripe(two, 2, chunk_pages, NULL, &inner), 0);
	const struct dax_part both[] = {{.dax = inner}, {.dax = pool.parts[2].dax}};
	assert_int_equal(dax_create_linear(both, 2, NULL, &pool.dax), 0);
	assert_int_equal(fsdax_create(pool.dax, NULL, &pool.fs), 0);
}

static void close_nested(void)
{
	assert_int_equal(fsdax_destroy(pool.fs), 0);
	assert_int_equal(dax_destroy(pool.dax), 0);
	assert_int_equal(dax_destroy(inner), 0);
	pool_parts_close(&pool);
}

static void c6_4_each_part_has_the_orders_that_it_can(void **state)
{
	(void)state;
	open_nested(equal_sizes, 4);
	assert_places(pool.dax);
	assert_int_equal(places_order(&places, places_off(&places, 0), 18), 2);
	assert_int_equal(places_order(&places, places_off(&places, 2048), 18), 18);
	assert_int_equal(places_order(&places, places_off(&places, 0), 1), 1);
	places_exit(&places);
	struct fsdax_statfs st = pool_statfs(&pool);
	assert_int_equal(st.free_by_order[2], 512);
	assert_int_equal(st.free_by_order[10], 1);
	struct fsdax_file *file = make_file(&pool, "a", 12 * MIB);
	assert_int_equal(stat_of(file).max_order, 10);
	assert_int_equal(stat_of(file).extents, 512 + 1);
	struct fsdax_map *map = map_range(file, 0, 12 * MIB, NULL);
	fill_map(&pool, map, 'n');
	assert_true(map_is_all(&pool, map, 'n'));
	for (unsigned i = 0; i < 3; i++)
		assert_true(is_all(pool.parts[i].mem, 4 * MIB, 'n'));
	fsdax_unmap(map);
	fsdax_close(file);
	close_nested();
}

static void a_device_without_folios_is_refused(void **state)
{
	(void)state;
	struct dax_device *limited, *dax;
	struct fsdax *fs = NULL;
	static char bytes[4 * PAGE] __attribute__((aligned(PAGE)));
	const struct dax_params params = {
		.params_bytes = sizeof(params), .len_bytes = sizeof(bytes), .addr = bytes, .fd = -1, .name = "limited"};
	pool_parts_open(&pool, sizes);
	assert_int_equal(dax_create(&params, &limited), 0);
	const struct dax_part parts[] = {{.dax = pool.parts[0].dax}, {.dax = limited}};
	assert_int_equal(dax_create_linear(parts, 2, NULL, &dax), 0);
	assert_int_equal(fsdax_create(dax, NULL, &fs), -EINVAL);
	assert_int_equal(fsdax_create(limited, NULL, &fs), -EINVAL);
	assert_null(fs);
	assert_int_equal(dax_destroy(dax), 0);
	assert_int_equal(dax_destroy(limited), 0);
	pool_parts_close(&pool);
}

/* The pool's devices, as it says itself, and pieces that can be mapped from them. */
static void a_piece_says_where_to_map_it(void **state)
{
	(void)state;
	pool_open_stack(&pool, sizes, 0, NULL);
	struct fsdax_device device;
	struct fsdax_piece piece;
	assert_int_equal(fsdax_ndevices(pool.fs), 3);
	assert_int_equal(fsdax_device(pool.fs, 3, &device), -EINVAL);
	assert_int_equal(fsdax_device(pool.fs, 0, NULL), -EINVAL);
	struct fsdax_file *file = make_file(&pool, "a", (1300 + 700 + 2055) * (uint64_t)PAGE);
	struct fsdax_map *map = map_range(file, 0, stat_of(file).size_bytes, NULL);
	uint64_t end = 0, pages_on[3] = {0};
	for (uint64_t i = 0; i < fsdax_map_npieces(map); i++) {
		fsdax_map_piece(map, i, &piece);
		assert_int_equal(piece.file_offset_bytes, end);
		assert_int_equal(fsdax_device(pool.fs, piece.device, &device), 0);
		assert_int_equal(piece.fd, device.fd);
		assert_int_equal(piece.fd, pool.parts[piece.device].dev->fd);
		assert_true(device.alive && device.pgmap == dax_pgmap(pool.parts[piece.device].dax));
		char *p =
			mmap(NULL, piece.len_bytes, PROT_WRITE, MAP_SHARED, piece.fd, (off_t)piece.device_offset_bytes);
		assert_ptr_not_equal(p, MAP_FAILED);
		memset(p, (char)('a' + i % 26), piece.len_bytes);
		assert_int_equal(munmap(p, piece.len_bytes), 0);
		end += piece.len_bytes;
		pages_on[piece.device] += piece.len_bytes / PAGE;
	}
	assert_int_equal(end, stat_of(file).size_bytes);
	for (uint64_t i = 0, len; i < fsdax_map_npieces(map); i++) {
		char *p = piece_at(&pool, map, i, &len);
		assert_true(is_all(p, len, (char)('a' + i % 26)));
	}
	assert_true(pages_on[0] == 1300 && pages_on[1] == 700 && pages_on[2] == 2055);
	for (uint64_t i = 0; i < fsdax_map_nspans(map); i++) {
		struct fsdax_span span;
		fsdax_map_span(map, i, &span);
		assert_int_equal(fsdax_device(pool.fs, span.device, &device), 0);
		assert_ptr_equal(folio_pgmap(span.folio), device.pgmap);
		assert_int_equal(folio_pgoff(span.folio), span.pgoff);
	}
	assert_int_equal(pool_live_pages(&pool), 1300 + 700 + 2055);
	assert_int_equal(fsdax_destroy(pool.fs), -EBUSY);
	fsdax_close(file);
	assert_int_equal(fsdax_destroy(pool.fs), -EBUSY); /* held on whichever device */
	fsdax_unmap(map);
	pool_close_stack(&pool);
}

/* What a pool does with pages, on a stack that is open: three files, whole and in parts; all comes back. */
static void use_files(void)
{
	struct fsdax_statfs st = pool_statfs(&pool);
	uint64_t bytes = st.pages * PAGE, third = st.pages / 3 / 512 * 512 * PAGE;
	struct fsdax_file *file = make_file(&pool, "a", bytes), *other;
	assert_space(&pool, st.pages, 0);
	assert_int_equal(fsdax_open(pool.fs, "b", FSDAX_CREATE, &other), 0);
	assert_int_equal(fsdax_truncate(other, PAGE), -ENOSPC);
	struct fsdax_map *map = map_range(file, 0, bytes, NULL), *more;
	assert_true(map_is_all(&pool, map, 0));
	fill_map(&pool, map, 'a');
	/* wait, fail, defer */
	assert_int_equal(fsdax_punch(file, third, third, FSDAX_FAIL, 0), -EBUSY);
	assert_int_equal(fsdax_punch(file, third, third, FSDAX_WAIT, 0), -ETIMEDOUT);
	assert_int_equal(fsdax_punch(file, third, third, FSDAX_DEFER, 0), 0);
	assert_int_equal(stat_of(file).blocks, st.pages - third / PAGE);
	assert_space(&pool, st.pages - third / PAGE, third / PAGE);
	fsdax_unmap(map);
	assert_space(&pool, st.pages - third / PAGE, 0);
	assert_int_equal(fsdax_truncate(other, third), 0);
	more = map_range(other, 0, third, NULL);
	assert_true(map_is_all(&pool, more, 0)); /* c6.9 */
	fill_map(&pool, more, 'b');
	map = map_range(file, 0, third, NULL);
	assert_true(map_is_all(&pool, map, 'a'));
	fsdax_unmap(map);
	assert_int_equal(fsdax_truncate_how(file, PAGE / 2, FSDAX_FAIL, 0), 0);
	assert_int_equal(fsdax_truncate(file, third), 0);
	map = map_range(file, 0, third, NULL);
	char *p = piece_at(&pool, map, 0, NULL);
	assert_true(is_all(p, PAGE / 2, 'a') && is_all(p + PAGE / 2, PAGE / 2, 0));
	fsdax_unmap(map);
	assert_true(map_is_all(&pool, more, 'b'));
	assert_int_equal(fsdax_unlink(pool.fs, "b"), 0);
	fsdax_close(other);
	fsdax_unmap(more);
	assert_int_equal(fsdax_resize_map(file, bytes, FSDAX_TRUNC, NULL, NULL, NULL, &map), 0);
	assert_true(map_is_all(&pool, map, 0));
	fsdax_unmap(map);
	fsdax_close(file);
	assert_int_equal(fsdax_unlink_how(pool.fs, "a", FSDAX_FAIL, 0), 0);
	assert_space(&pool, 0, 0);
	struct fsdax_statfs now = pool_statfs(&pool);
	assert_memory_equal(now.free_by_order, st.free_by_order, sizeof(st.free_by_order));
	assert_int_equal(pool_live_pages(&pool), 0);
}

static void c6_7_c6_10_files_on_a_linear_stack(void **state)
{
	(void)state;
	pool_open_stack(&pool, sizes, 0, NULL);
	use_files();
	assert_int_equal(fsdax_set_wiping(pool.fs, pool_statfs(&pool).pages * PAGE, 0),
			 0); /* wiped late: memory stays */
	use_files();
	assert_int_equal(fsdax_set_wiping(pool.fs, 0, 0), 0);
	pool_close_stack(&pool);
}

static void c6_7_c6_10_files_on_a_stripe(void **state)
{
	(void)state;
	pool_open_stack(&pool, equal_sizes, 512, NULL);
	use_files();
	pool_close_stack(&pool);
	pool_open_stack(&pool, equal_sizes, 4, NULL);
	use_files();
	pool_close_stack(&pool);
}

static void c6_7_c6_10_files_on_a_nested_stack(void **state)
{
	(void)state;
	open_nested(equal_sizes, 512);
	use_files();
	close_nested();
	open_nested(equal_sizes, 4);
	use_files();
	close_nested();
}

/* Chunks that are no power of two; devices that begin anywhere in their memory, or whose granules differ. */
static void c6_7_c6_10_files_on_odd_stacks(void **state)
{
	static const uint64_t odd[] = {(uint64_t)2046 * PAGE, (uint64_t)2046 * PAGE, (uint64_t)2046 * PAGE, 0};
	(void)state;
	pool_open_stack(&pool, odd, 6, NULL);
	assert_places(pool.dax);
	assert_int_equal(places_now(&places)->max_order, 1);
	places_exit(&places);
	use_files();
	pool_close_stack(&pool);
	for (unsigned granule_order = 0; granule_order <= 3; granule_order += 3) {
		struct dax_part parts[3] = {0};
		pool = (struct pool){.nparts = 3};
		for (unsigned i = 0; i < 3; i++) {
			uint64_t start = granule_order ? 512 * i : 7 * i + 1;
			pool_part_open(&pool.parts[i], 4 * MIB, start, i == 1 ? granule_order : 0);
			parts[i].dax = pool.parts[i].dax;
		}
		assert_int_equal(dax_create_linear(parts, 3, NULL, &pool.dax), 0);
		assert_places(pool.dax);
		places_exit(&places);
		assert_int_equal(fsdax_create(pool.dax, NULL, &pool.fs), 0);
		assert_int_equal(pool_statfs(&pool).granule_order, 0); /* of the smallest */
		use_files();
		struct fsdax_file *file = make_file(&pool, "a", 3072 * (uint64_t)PAGE);
		struct fsdax_map *map = map_range(file, 0, 3072 * (uint64_t)PAGE, NULL);
		fill_map(&pool, map, 'g');
		assert_true(map_is_all(&pool, map, 'g'));
		fsdax_unmap(map);
		fsdax_close(file);
		pool_close_stack(&pool);
	}
}

static int refuse(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	(void)ctx, (void)offset_bytes, (void)len_bytes;
	return -EIO;
}

/* Whoever has the devices next finds zeros, but where a device does not give them. */
static void c6_9_a_device_that_fails_leaves_no_bytes_on_the_others(void **state)
{
	(void)state;
	static char bytes[64 * PAGE] __attribute__((aligned(PAGE)));
	static const uint64_t one[] = {64 * PAGE, 0};
	static const struct dax_device_ops ops = {.ops_bytes = sizeof(ops), .discard = refuse};
	const struct dax_params params = {.params_bytes = sizeof(params),
					  .type = PGMAP_FSDAX,
					  .len_bytes = sizeof(bytes),
					  .addr = bytes,
					  .fd = -1,
					  .ops = &ops,
					  .name = "fails"};
	struct dax_device *fails;
	pool_parts_open(&pool, one);
	assert_int_equal(dax_create(&params, &fails), 0);
	const struct dax_part parts[] = {{.dax = fails}, {.dax = pool.parts[0].dax}};
	assert_int_equal(dax_create_linear(parts, 2, NULL, &pool.dax), 0);
	assert_int_equal(fsdax_create(pool.dax, NULL, &pool.fs), 0);
	fsdax_close(make_file(&pool, "a", 128 * PAGE));
	memset(pool.parts[0].mem, 'x', 64 * PAGE);
	assert_int_equal(fsdax_destroy(pool.fs), 0);
	assert_true(is_all(pool.parts[0].mem, 64 * PAGE, 0));
	assert_int_equal(dax_destroy(pool.dax), 0);
	assert_int_equal(dax_destroy(fails), 0);
	pool_parts_close(&pool);
}

/* Whose pages they are, whatever device they are on: one that is held on each. */
static int count_busy(void *arg, const struct fsdax_busy *busy)
{
	uint64_t *pages = arg;
	assert_null(busy->holder);
	*pages += busy->len_bytes / PAGE;
	return 0;
}

static void c6_7_what_is_busy_is_found_on_every_device(void **state)
{
	(void)state;
	pool_open_stack(&pool, equal_sizes, 4, NULL);
	struct fsdax_file *file = make_file(&pool, "a", 200 * PAGE), *other = make_file(&pool, "b", 100 * PAGE);
	struct fsdax_map *map = map_range(file, 40 * PAGE, 40 * PAGE, NULL),
			 *more = map_range(other, 0, 100 * PAGE, NULL);
	uint64_t pages = 0;
	assert_int_equal(fsdax_for_each_busy(pool.fs, "a", count_busy, &pages), 0);
	assert_int_equal(pages, 40);
	assert_int_equal(fsdax_for_each_busy(pool.fs, NULL, count_busy, &pages), 0);
	assert_int_equal(pages, 40 + 140);
	fsdax_unmap(map);
	fsdax_unmap(more);
	fsdax_close(file);
	fsdax_close(other);
	pool_close_stack(&pool);
}

/* Numbers and pages of the device are as far apart as the first of them lies before a multiple of 1 GiB. */
static void c6_8_memory_goes_back_on_every_device_and_nobody_elses(void **state)
{
	enum { CHUNK = 16 * PAGE, CHUNKS = 24 };
	struct dax_part parts[2] = {0};
	struct fsdax_map *maps[CHUNKS / 2];
	(void)state;
	pool = (struct pool){.nparts = 2};
	pool_part_open(&pool.parts[0], 8 * CHUNK, (UINT64_C(1) << PGMAP_MAX_ORDER) - 9 * 16, 0);
	pool_part_open(&pool.parts[1], 16 * CHUNK, 0, 0);
	for (unsigned i = 0; i < 2; i++)
		parts[i].dax = pool.parts[i].dax;
	assert_int_equal(dax_create_linear(parts, 2, NULL, &pool.dax), 0);
	assert_int_equal(fsdax_create(pool.dax, NULL, &pool.fs), 0);
	assert_int_equal(fsdax_set_wiping(pool.fs, CHUNKS * CHUNK, 0), 0);
	assert_int_equal(fsdax_set_order(pool.fs, "/", 4), 0);
	struct fsdax_file *file = make_file(&pool, "a", CHUNKS * CHUNK);
	for (unsigned i = 0; i < CHUNKS; i += 2) {
		maps[i / 2] = map_range(file, (uint64_t)i * CHUNK, CHUNK, NULL);
		fill_map(&pool, maps[i / 2], 'a');
		assert_int_equal(fsdax_punch(file, (uint64_t)(i + 1) * CHUNK, CHUNK, FSDAX_DEFER, 0), 0);
	}
	assert_int_equal(pool_statfs(&pool).dirty, CHUNKS / 2 * 16);
	assert_int_equal(fsdax_set_wiping(pool.fs, 0, 0), 0);
	for (unsigned i = 0; i < CHUNKS / 2; i++) {
		assert_true(map_is_all(&pool, maps[i], 'a'));
		fsdax_unmap(maps[i]);
	}
	assert_int_equal(pool_statfs(&pool).dirty, 0);
	fsdax_close(file);
	pool_close_stack(&pool);
}

static void each_device_of_a_stripe_says_what_is_used_there(void **state)
{
	(void)state;
	pool_open_stack(&pool, equal_sizes, 512, NULL);
	struct fsdax_file *file = make_file(&pool, "a", 8 * MIB);
	struct fsdax_device device;
	uint64_t used = 0, most = 0;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(fsdax_device(pool.fs, i, &device), 0);
		used += device.used;
		most = device.used > most ? device.used : most;
	}
	assert_int_equal(used, stat_of(file).blocks);
	assert_int_equal(most, 4 * MIB / PAGE); /* four chunks on three devices */
	assert_int_equal(fsdax_unlink(pool.fs, "a"), 0);
	fsdax_close(file);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(fsdax_device(pool.fs, i, &device), 0);
		assert_int_equal(device.used, 0);
	}
	pool_close_stack(&pool);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(on_one_memory_numbers_are_pgoffs),
		cmocka_unit_test(c6_4_parts_of_a_linear_stack_are_apart),
		cmocka_unit_test(c6_4_no_folio_leaves_a_chunk_of_a_stripe),
		cmocka_unit_test(c6_4_each_part_has_the_orders_that_it_can),
		cmocka_unit_test(a_device_without_folios_is_refused),
		cmocka_unit_test(a_piece_says_where_to_map_it),
		cmocka_unit_test(each_device_of_a_stripe_says_what_is_used_there),
		cmocka_unit_test(c6_7_c6_10_files_on_a_linear_stack),
		cmocka_unit_test(c6_7_c6_10_files_on_a_stripe),
		cmocka_unit_test(c6_7_c6_10_files_on_a_nested_stack),
		cmocka_unit_test(c6_7_c6_10_files_on_odd_stacks),
		cmocka_unit_test(c6_9_a_device_that_fails_leaves_no_bytes_on_the_others),
		cmocka_unit_test(c6_7_what_is_busy_is_found_on_every_device),
		cmocka_unit_test(c6_8_memory_goes_back_on_every_device_and_nobody_elses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
