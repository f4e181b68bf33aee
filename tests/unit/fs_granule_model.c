/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pool of three granules against a model: files of random sizes are made, resized, punched, mapped, written and deleted,
 * and after each step everything is looked at: where the extents lie, whose each page is, the accounts (c6.10), and what the
 * files read as (c6.9). Two numbers of each page are written and compared. That it would find a fault is shown by one that
 * is planted: the granule of a memory is forgotten.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/fs.h"

#include "pool.h"

enum { FILES = 6, DEVICES = 3, MOST_PAGES = 800, STEPS = 1500, SLOTS = 2, HELD = 3 };

static const uint64_t sizes[] = {(uint64_t)96 * PAGE, (uint64_t)320 * PAGE, (uint64_t)384 * PAGE, 0};
static const unsigned granules[] = {0, 3, 6};
static const uint64_t slot_at[SLOTS] = {0, PAGE - 8}; /* in a page */

struct model {
	struct fsdax_file *file;
	uint64_t size;
	uint64_t slots[MOST_PAGES][SLOTS];
};

static struct pool pool;
static struct model models[FILES];
static struct fsdax_map *held[HELD];
static uint64_t seed, stamp;
static bool wipes;        /* in the background, as it were */
static const char *fault; /* what was found, or null */

static uint64_t any(uint64_t below)
{
	seed = seed * 6364136223846793005 + 1442695040888963407;
	return (seed >> 33) % below;
}

static void want(bool right, const char *what)
{
	if (!right && !fault)
		fault = what;
}

static uint64_t pages_of(uint64_t size)
{
	return (size + PAGE - 1) / PAGE;
}

static struct extents *extents_of(const struct model *model)
{
	return &model->file->inode->extents;
}

/* Of the memory, as it was made; not as the pool has it. */
static uint64_t granule_of(const struct block *block)
{
	return UINT64_C(1) << granules[places_spot(&pool.fs->space.places, block->off).device];
}

static bool is_cut(const struct model *model, uint64_t page)
{
	const struct block *block = block_covering(&extents_of(model)->tree, page);
	return block && page % granule_of(block);
}

static char *memory_of(const struct model *model, uint64_t page)
{
	const struct block *block = block_covering(&extents_of(model)->tree, page);
	if (!block)
		return NULL;
	struct spot spot = places_spot(&pool.fs->space.places, block->off + (page - block->key));
	return pool.parts[spot.device].mem + spot.pgoff * PAGE;
}

static uint64_t read_slot(const char *page, int slot)
{
	uint64_t value = 0;
	if (page)
		memcpy(&value, page + slot_at[slot], sizeof(value));
	return value;
}

static bool is_in_file(const struct model *model, uint64_t page, int slot)
{
	return page * PAGE + slot_at[slot] + 8 <= model->size;
}

/* Of every file, unlinked ones too, which are still mapped. */
static void look_at_extents(struct inode *inode, uint8_t owners[DEVICES][MOST_PAGES], uint64_t *used)
{
	for (struct block *block = block_first(&inode->extents.tree); block; block = block_next(block)) {
		struct spot spot = places_spot(&pool.fs->space.places, block->off);
		uint64_t granule = granule_of(block), pages = block_pages(block);
		want(pages % granule == 0, "an extent is not whole granules");
		want(spot.pgoff % granule == 0 && block->key % granule == 0, "an extent begins inside of a granule");
		want(spot.pgoff % pages == 0 && block->key % pages == 0, "an extent is not aligned");
		want(block->order <= inode->order, "a folio is bigger than the file shall have");
		for (uint64_t i = 0; i < pages; i++)
			want(owners[spot.device][spot.pgoff + i]++ == 0, "a page has two owners");
		*used += pages;
	}
}

static void look_at_bytes(const struct model *model)
{
	for (uint64_t page = 0; page < pages_of(model->size); page++) {
		const char *at = memory_of(model, page);
		for (int slot = 0; slot < SLOTS; slot++)
			if (is_in_file(model, page, slot))
				want(read_slot(at, slot) == model->slots[page][slot], "a file reads as something else");
	}
}

static void look_at_all(void)
{
	static uint8_t owners[DEVICES][MOST_PAGES];
	uint64_t used = 0;
	memset(owners, 0, sizeof(owners));
	for (struct inode *inode = inode_first(&pool.fs->inodes); inode; inode = inode_next(inode))
		look_at_extents(inode, owners, &used);
	for (struct model *model = models; model < models + FILES; model++) {
		if (!model->file)
			continue;
		look_at_bytes(model);
		want(stat_of(model->file).size_bytes == model->size, "a file has another size");
	}
	struct fsdax_statfs st;
	fsdax_statfs(pool.fs, &st);
	want(st.used + st.free + st.waiting == st.pages && st.used == used, "the accounts are wrong");
}

/* What was beyond the end reads as zero once it is in the file. */
static void set_size(struct model *model, uint64_t size)
{
	for (uint64_t page = 0; page < MOST_PAGES; page++)
		for (int slot = 0; slot < SLOTS; slot++)
			if (!is_in_file(model, page, slot) || page * PAGE + slot_at[slot] + 8 > size)
				model->slots[page][slot] = 0;
	model->size = size;
}

static uint64_t small_free(void)
{
	return pool.fs->space.shelf.at[0].nfree;
}

static uint64_t any_size(void)
{
	static const uint64_t most[] = {3, 20, 150, 400};
	return any(most[any(4)] * PAGE / 8) * 8;
}

static void make(struct model *model)
{
	char path[16];
	(void)snprintf(path, sizeof(path), "f%d", (int)(model - models));
	assert_int_equal(fsdax_open(pool.fs, path, FSDAX_CREATE | FSDAX_EXCL, &model->file), 0);
	assert_int_equal(fsdax_set_order(pool.fs, path, any(3) ? PGMAP_MAX_ORDER : (unsigned)any(7)), 0);
	model->size = 0;
	memset(model->slots, 0, sizeof(model->slots));
}

static void drop(struct model *model)
{
	assert_int_equal(fsdax_unlink_file(model->file), 0);
	fsdax_close(model->file);
	model->file = NULL;
}

static void resize(struct model *model)
{
	uint64_t size = any_size(), room = small_free(), had = stat_of(model->file).blocks;
	int64_t more = (int64_t)pages_of(size) - (int64_t)pages_of(model->size);
	int err = fsdax_truncate(model->file, size);
	want(!err || (err == -ENOSPC && more > 0), "a size is refused");
	if (more > 0 && (uint64_t)more <= room) {
		want(!err, "there is no space, where small pages are left");
		want(stat_of(model->file).blocks <= had + (uint64_t)more,
		     "small pages are left, and bigger ones are wasted");
	}
	if (!err)
		set_size(model, size);
}

static void punch(struct model *model)
{
	uint64_t from = any(pages_of(model->size) + 2), n = 1 + any(100), end = pages_of(model->size);
	if (any(2)) {
		from = from / 64 * 64;
		n = (n + 7) / 8 * 8;
	}
	bool cuts = is_cut(model, from) || (from + n < end && is_cut(model, from + n));
	int err = fsdax_punch(model->file, from * PAGE, n * PAGE, FSDAX_DEFER, 0);
	want(err == (cuts ? -EINVAL : 0), "a punch answers otherwise");
	for (uint64_t page = from; !err && page < from + n && page < end; page++)
		memset(model->slots[page], 0, sizeof(model->slots[page]));
}

static void look_at_piece(const struct model *model, const struct fsdax_piece *piece)
{
	uint64_t granule = (uint64_t)PAGE << granules[piece->device];
	want(piece->granule_order == granules[piece->device], "a piece has another granule");
	want((piece->file_offset_bytes | piece->device_offset_bytes | piece->len_bytes) % granule == 0,
	     "a piece is not whole granules");
	for (uint64_t at = 0; at < piece->len_bytes; at += PAGE) {
		char *page = pool.parts[piece->device].mem + piece->device_offset_bytes + at;
		want(memory_of(model, (piece->file_offset_bytes + at) / PAGE) == page, "a piece lies elsewhere");
	}
}

/* Whatever is mapped can be written, beyond the end, too. */
static void write_some(struct model *model, const struct fsdax_map *map)
{
	struct fsdax_piece piece;
	for (uint64_t i = 0; i < fsdax_map_npieces(map); i++) {
		fsdax_map_piece(map, i, &piece);
		look_at_piece(model, &piece);
		for (uint64_t at = any(4) * PAGE; at < piece.len_bytes; at += (1 + any(8)) * PAGE) {
			uint64_t page = (piece.file_offset_bytes + at) / PAGE;
			int slot = (int)any(SLOTS);
			stamp++;
			memcpy(pool.parts[piece.device].mem + piece.device_offset_bytes + at + slot_at[slot], &stamp,
			       sizeof(stamp));
			if (is_in_file(model, page, slot))
				model->slots[page][slot] = stamp;
		}
	}
}

static void keep_or_unmap(struct fsdax_map *map)
{
	uint64_t i = any(4 * HELD);
	if (i < HELD) {
		fsdax_unmap(held[i]);
		held[i] = map;
	} else {
		fsdax_unmap(map);
	}
}

static void map_some(struct model *model)
{
	struct fsdax_map *map;
	uint64_t pages = pages_of(model->size);
	if (!pages)
		return;
	uint64_t from = any(3) ? any(pages) / 64 * 64 : any(pages), n = 1 + any(pages - from);
	bool cut = is_cut(model, from);
	int err = fsdax_map(model->file, from * PAGE, n * PAGE, NULL, NULL, &map);
	want(cut ? err == -EINVAL : !err || err == -ENOSPC, "a mapping answers otherwise");
	if (err)
		return;
	write_some(model, map);
	keep_or_unmap(map);
}

static void resize_and_map(struct model *model)
{
	struct fsdax_map *map;
	unsigned flags = any(2) ? FSDAX_TRUNC : 0;
	uint64_t size = any_size() + 8;
	if (!flags && size < model->size)
		size = model->size + 8;
	int err = fsdax_resize_map(model->file, size, flags, NULL, NULL, NULL, &map);
	want(!err || err == -ENOSPC, "a mapping of what grows is refused");
	if (err)
		return;
	if (flags)
		set_size(model, 0);
	set_size(model, size);
	look_at_all();
	write_some(model, map);
	keep_or_unmap(map);
}

/* What is free changes its state by whole granules only, else memory would be given back in parts of a huge page. */
static void look_at_stock(void)
{
	const struct places_table *table = places_now(&pool.fs->space.places);
	for (size_t i = 0; i < table->nsegments; i++) {
		const struct places_segment *segment = &table->segments[i];
		uint64_t granule = UINT64_C(1) << granules[segment->device], end = segment->base + segment->npages;
		enum stock_state state;
		for (uint64_t at = segment->base; at < end;) {
			uint64_t n = stock_run(&pool.fs->space.stock, at, end, &state);
			want(n % granule == 0, "a part of a granule is wiped or given back");
			at += n;
		}
	}
}

/* A round of the wiper's, without its thread. */
static void wipe_some(void)
{
	uint64_t cursor = pool.fs->space.base;
	for (uint64_t i = any(4); i && wiper_work(&pool.fs->space, &cursor); i--)
		look_at_stock();
	if (any(5) == 0)
		wiper_end_period(&pool.fs->space);
}

static void step(void)
{
	struct model *model = &models[any(FILES)];
	if (!model->file) {
		make(model);
		return;
	}
	switch (any(10)) {
	case 0:
		drop(model);
		break;
	case 1:
	case 2:
	case 3:
		resize(model);
		break;
	case 4:
	case 5:
		punch(model);
		break;
	case 6:
		resize_and_map(model);
		break;
	default:
		map_some(model);
	}
}

/* What was found, or null. */
static const char *run(uint64_t from_seed, unsigned steps)
{
	seed = from_seed;
	fault = NULL;
	for (unsigned i = 0; i < steps && !fault; i++) {
		step();
		if (wipes)
			wipe_some();
		look_at_stock();
		look_at_all();
	}
	for (int i = 0; i < HELD; i++) {
		fsdax_unmap(held[i]);
		held[i] = NULL;
	}
	for (struct model *model = models; model < models + FILES; model++)
		if (model->file)
			drop(model);
	return fault;
}

static void c6_9_c6_10_files_on_three_granules(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 8; i++) {
		pool_open_mixed(&pool, sizes, granules, NULL);
		wipes = i % 3 == 0;
		pool.fs->space.background = wipes;
		if (i % 2) /* memory stays with what is free, and is wiped */
			assert_int_equal(fsdax_set_wiping(pool.fs, 100 * (uint64_t)PAGE, 0), 0);
		const char *found = run(i, STEPS);
		if (found)
			fail_msg("seed %d: %s", (int)i, found);
		pool.fs->space.background = false;
		assert_space(&pool, 0, 0);
		struct fsdax_statfs st = pool_statfs(&pool);
		assert_true(st.free_by_order[5] == 1 &&
			    st.free_by_order[8] == 2); /* 96 and 320 and 384 pages are whole again */
		pool_close_stack(&pool);
	}
}

static void a_granule_that_is_forgotten_is_found(void **state)
{
	(void)state;
	wipes = false;
	pool_open_mixed(&pool, sizes, granules, NULL);
	struct places_segment *segment = &places_now(&pool.fs->space.places)->segments[1];
	segment->granule_order = 0;
	assert_non_null(run(1, STEPS));
	segment->granule_order = granules[1];
	pool_close_stack(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c6_9_c6_10_files_on_three_granules),
		cmocka_unit_test(a_granule_that_is_forgotten_is_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
