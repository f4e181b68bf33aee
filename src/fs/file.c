/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * file.c - open files, and their size.
 *
 * A handle counts its open and its mappings; an inode counts its handles; an unlinked inode without handles is dropped,
 * and its pages go the way of all lost pages (space.h). So is one that only those have who wait to take pages from it: an unlink
 * that waited has its pages free, whoever else waits (c6.7). They find it empty. All under the namespace lock.
 *
 * Bytes behind a file's size are its own, and a mapping can write them as far as its last granule goes. They read as
 * zero all the same when the file grows over them: shrinking wipes them to the end of the granule, and growing wipes
 * what it makes part of the file. The address to wipe through is got before anything changes, so that this cannot fail;
 * and the memory behind it, which is there unless somebody with the device's descriptor punched it out: a touch would then
 * end the server where no huge page is left.
 *
 * A change of size goes in this order: the pages that it needs, the mapping of what the file will be (on copies of the
 * extents, which its pages are requested by), the record, and then only what cannot fail.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "fs/fs.h"
#include "fs/granule.h"
#include "fs/name.h"
#include "fs/supply.h"
#include "fs/taking.h"
#include "port/compiler.h"

int64_t file_now_ns(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int file_new(struct fsdax *fs, struct inode *inode, struct fsdax_file **out)
{
	struct fsdax_file *file = malloc(sizeof(*file));
	if (!file)
		return -ENOMEM;
	*file = (struct fsdax_file){.fs = fs, .inode = inode, .refs = 1};
	inode->nhandles++;
	fs->nhandles++;
	*out = file;
	return 0;
}

void file_drop_if_unused(struct fsdax *fs, struct inode *inode)
{
	if (inode->nlink || inode->nhandles > inode->ntakings)
		return;
	const struct fs_record record = {.op = FS_DROP, .ino = inode->ino};
	if (inode_find(&fs->inodes, inode->ino))
		(void)fs_apply(fs, &record, NULL);
	else if (!inode->nhandles)
		inode_free(inode);
}

void file_put(struct fsdax_file *file)
{
	if (--file->refs)
		return;
	file->inode->nhandles--;
	file->fs->nhandles--;
	taking_wake(file->fs, file->inode);
	file_drop_if_unused(file->fs, file->inode);
	free(file);
}

PGMAP_PUBLIC void fsdax_close(struct fsdax_file *file)
{
	if (!file)
		return;
	struct fsdax *fs = file->fs;
	(void)pthread_mutex_lock(&fs->lock);
	file_put(file);
	(void)pthread_mutex_unlock(&fs->lock);
}

/* These pages of the device can be touched: -ENOSPC. A dead device gives no memory, but is wiped as far as it is there. */
static int have_memory(struct fsdax *fs, uint64_t off, uint64_t npages)
{
	int err = dax_populate(fs->dax, places_page(&fs->space.places, off), npages);
	return err == -ENXIO ? 0 : err;
}

/* Bytes of one granule of a file, to be wiped once nothing can fail any more. */
struct wipe {
	char *from;
	uint64_t off; /* the first page */
	size_t len_bytes;
	void *mapped; /* null: the device is mapped anyway */
	size_t mapped_bytes;
};

/* [from, to) of the file's bytes, within one granule; in a hole there is nothing to wipe. */
static int wipe_prepare(struct fsdax *fs, struct inode *inode, uint64_t from, uint64_t to, struct wipe *out)
{
	*out = (struct wipe){0};
	if (from >= to)
		return 0;
	uint64_t file_page = from >> PGMAP_PAGE_SHIFT;
	const struct block *extent = block_covering(&inode->extents.tree, file_page);
	if (!extent)
		return 0;
	const struct places *places = &fs->space.places;
	uint64_t granule_pages = UINT64_C(1) << places_granule(places, extent->off);
	uint64_t off = extent->off + (file_page - extent->key), granule = off / granule_pages * granule_pages;
	uint64_t within = ((off - granule) << PGMAP_PAGE_SHIFT) + from % PGMAP_PAGE_SIZE; /* the granule */
	int lost = places_damaged(places) ? places_error(places, granule, granule + granule_pages) : 0;
	if (lost == -ENODEV)
		return 0; /* nobody sees it again */
	int err = have_memory(fs, granule, granule_pages);
	if (err && !lost) /* among bad pages: as far as it is there */
		return err;
	char *addr;
	uint64_t offset_bytes;
	out->len_bytes = to - from;
	out->off = off;
	(void)places_run(places, granule, granule_pages, &addr);
	if (addr) {
		out->from = addr + within;
		return 0;
	}
	int fd = places_descriptor(places, granule, &offset_bytes);
	if (fd < 0)
		return -EOPNOTSUPP;
	out->mapped_bytes = granule_pages << PGMAP_PAGE_SHIFT;
	out->mapped = mmap(NULL, out->mapped_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset_bytes);
	if (out->mapped == MAP_FAILED)
		return -errno;
	out->from = (char *)out->mapped + within;
	return 0;
}

/* What is not there any more, as its device has gone, needs none. */
static void wipe_end(struct fsdax *fs, struct wipe *wipe, int err)
{
	if (!err && wipe->from)
		space_zero(&fs->space, wipe->off, wipe->from, wipe->len_bytes);
	if (wipe->mapped)
		(void)munmap(wipe->mapped, wipe->mapped_bytes);
}

/* What a change of size makes visible or leaves behind in the granule that stays the file's last, or was it. */
static int wipe_for_size(struct fsdax *fs, struct inode *inode, uint64_t size, struct wipe *out)
{
	uint64_t old = inode->size_bytes, from = size < old ? size : old;
	unsigned granule = granule_at(&fs->space.places, &inode->extents, from >> PGMAP_PAGE_SHIFT);
	uint64_t granule_bytes = PGMAP_PAGE_SIZE << granule;
	uint64_t end = (from + granule_bytes - 1) / granule_bytes * granule_bytes;
	uint64_t seen = (size + PGMAP_PAGE_SIZE - 1) / PGMAP_PAGE_SIZE * PGMAP_PAGE_SIZE;
	if (size > old && seen < end)
		end = seen;
	return wipe_prepare(fs, inode, from, size == old ? from : end, out);
}

/* The record's extents; only when there is a log to write them to. */
static int list_extents(const struct fsdax *fs, struct block_list *blocks, struct fs_record *record)
{
	struct block *block;
	uint64_t n = 0;
	if (!fs->log || STAILQ_EMPTY(blocks))
		return 0;
	STAILQ_FOREACH (block, blocks, list)
		n++;
	struct fs_extent *extents = calloc(n, sizeof(*extents));
	if (!extents)
		return -ENOMEM;
	record->extents = extents;
	record->nextents = n;
	STAILQ_FOREACH (block, blocks, list)
		*extents++ = (struct fs_extent){block->key, places_page(&fs->space.places, block->off), block->order};
	return 0;
}

static int set_size(struct fsdax *fs, struct fs_record *record, struct block_list *blocks)
{
	int err = list_extents(fs, blocks, record);
	if (!err)
		err = fs_apply(fs, record, blocks);
	free((void *)(uintptr_t)record->extents);
	return err;
}

/* A block lies on one memory. */
static bool can_wipe(const struct fsdax *fs, const struct block *block)
{
	const struct places *places = &fs->space.places;
	char *addr;
	if (places_damaged(places) && places_error(places, block->off, block->off + block_pages(block)) != 0)
		return false;
	(void)places_run(places, block->off, block_pages(block), &addr);
	return addr != NULL;
}

/* How many of the file's first pages can be had anew by wiping them: whole blocks that nobody holds. Nobody comes to hold
 * them after the question, as that takes a mapping. */
static uint64_t reusable_pages(struct fsdax *fs, struct inode *inode, uint64_t most)
{
	uint64_t pages = 0;
	struct block *block = supply_prefers_new(fs, most) ? NULL : block_first(&inode->extents.tree);
	for (; block && block->key == pages && pages < most && can_wipe(fs, block); block = block_next(block)) {
		if (!places_idle(&fs->space.places, block->off, block->order) ||
		    pgmap_state(places_spot(&fs->space.places, block->off).pgmap) != PGMAP_LIVE)
			break;
		pages = block_end(block);
	}
	return pages < most ? pages : most;
}

static int have_memory_of_blocks(struct fsdax *fs, struct inode *inode, uint64_t end_page)
{
	struct block *block = block_first(&inode->extents.tree);
	int err = 0;
	for (; block && block->key < end_page && !err; block = block_next(block))
		err = have_memory(fs, block->off, block_pages(block));
	return err;
}

static void wipe_blocks(struct fsdax *fs, struct inode *inode, uint64_t end_page)
{
	struct block *block = block_first(&inode->extents.tree);
	for (; block && block->key < end_page; block = block_next(block)) {
		char *addr;
		(void)places_run(&fs->space.places, block->off, block_pages(block), &addr);
		space_zero(&fs->space, block->off, addr, block_pages(block) << PGMAP_PAGE_SHIFT);
	}
}

/* A mapping that comes with a change of size, or with memory for a hole. */
struct wanted_map {
	struct fsdax_file *file;
	uint64_t first_page, end_page;
	struct charged holder;
	void *cookie;
	fsdax_ready_fn *ready;
	struct fsdax_map *map; /* the answer */
};

static int add_copy(struct extents *extents, const struct block *block)
{
	struct block_list one = STAILQ_HEAD_INITIALIZER(one);
	struct block *copy = block_alloc();
	if (!copy)
		return -ENOMEM;
	copy->key = block->key;
	copy->off = block->off;
	copy->order = block->order;
	STAILQ_INSERT_TAIL(&one, copy, list);
	extents_add(extents, &one);
	return 0;
}

/* The extents that the file will have: the pages that it keeps, and those that are new. */
static int foresee(struct inode *inode, uint64_t keep, struct block_list *fresh, struct extents *then)
{
	struct block_list spares = STAILQ_HEAD_INITIALIZER(spares), rest = STAILQ_HEAD_INITIALIZER(rest);
	struct block *block = block_first(&inode->extents.tree);
	int err = 0;
	for (; block && block->key < keep && !err; block = block_next(block))
		err = add_copy(then, block);
	if (!err)
		err = block_spares_get(&spares, extents_cut_spares(then, keep));
	if (!err)
		extents_cut(then, keep, &spares, &rest);
	block_free_list(&rest);
	STAILQ_FOREACH (block, fresh, list) {
		if (!err)
			err = add_copy(then, block);
	}
	return err;
}

static int map_what_comes(struct inode *inode, uint64_t keep, struct block_list *fresh, struct wanted_map *want)
{
	struct block_list none = STAILQ_HEAD_INITIALIZER(none), copies = STAILQ_HEAD_INITIALIZER(copies);
	struct extents then;
	extents_init(&then);
	int err = foresee(inode, keep, fresh, &then);
	if (!err)
		err = map_make(want->file, &then, want->first_page, want->end_page, want->holder, want->cookie,
			       want->ready, &want->map);
	extents_cut(&then, 0, &none, &copies);
	block_free_list(&copies);
	return err;
}

/* Memory for what is to be mapped of pages that stay, where they are a hole; ascending. It may fill more of a hole than is
 * wanted, and go beyond the pages that stay where nothing else comes there. */
static int fill_holes(struct fsdax *fs, struct inode *inode, uint64_t keep, const struct wanted_map *want,
		      struct block_list *blocks)
{
	uint64_t from = want->first_page, to = want->end_page < keep ? want->end_page : keep, end;
	int err = 0;
	for (; !err && from < to && extents_hole(&inode->extents, &from, to, &end); from = end) {
		const struct block *next = block_at_or_after(&inode->extents.tree, end);
		const struct space_wish wish = {
			.file_page = from,
			.npages = end - from,
			.reach = next ? next->key : UINT64_MAX,
			.max_order = inode->order,
		};
		err = supply_get(fs, &wish, blocks);
	}
	return err;
}

/* The change that the record says, with the pages that it needs (*blocks: those that it did not take), and the mapping. */
static int change_size(struct fsdax *fs, struct inode *inode, struct fs_record *record, struct wanted_map *want,
		       struct block_list *blocks)
{
	uint64_t keep = record->keep_pages, pages = space_pages_for(&fs->space, record->size_bytes);
	const struct space_wish more = {keep, pages - keep, UINT64_MAX, inode->order};
	int err = want ? fill_holes(fs, inode, keep, want, blocks) : 0;
	if (!err && pages > keep)
		err = supply_get(fs, &more, blocks);
	if (!err)
		err = supply_lacks(fs);
	if (!err && want)
		err = map_what_comes(inode, keep, blocks, want);
	if (err)
		return err;
	err = set_size(fs, record, blocks);
	if (err && want)
		map_unmake(want->map);
	return err;
}

/* Of a file that shall have so many. What grows together with a hole at its end gets pages for both at once, if mapped. */
static uint64_t pages_to_keep(struct fsdax *fs, struct inode *inode, uint64_t pages, bool anew, bool mapped)
{
	const struct places *places = &fs->space.places;
	struct extents *extents = &inode->extents;
	uint64_t there = granule_file_end(places, extents, space_pages_for(&fs->space, inode->size_bytes));
	if (anew)
		return granule_end(places, extents, reusable_pages(fs, inode, pages));
	if (pages < there)
		return granule_end(places, extents, pages);
	return mapped && places_mixed(places) && pages > there ? granule_file_end(places, extents, 0) : there;
}

/* A mapping that failed had pages that would have been kept as folios of their own, as foresee() cuts: a lookup may hold one. */
static void cut_as_foreseen(struct fsdax *fs, struct inode *inode, uint64_t keep, struct block_list *spares)
{
	const struct block *block = block_covering(&inode->extents.tree, keep);
	if (block && !places_idle(&fs->space.places, block->off, block->order))
		extents_split(&inode->extents, keep, spares);
}

/* The new size, pages and all; anew: every byte of it zero. With a mapping of it, if one is wanted. */
static int resize(struct fsdax *fs, struct inode *inode, uint64_t size, bool anew, struct wanted_map *want)
{
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks), spares = STAILQ_HEAD_INITIALIZER(spares);
	struct wipe wipe = {0};
	/* What it has already may be more, where a device has left. */
	if ((anew || size > inode->size_bytes) && size > fs->space.pages << PGMAP_PAGE_SHIFT)
		return -EFBIG;
	if (want && !anew && size < inode->size_bytes)
		return -EINVAL; /* the mapping would have to be split with the folio at its end */
	uint64_t keep = pages_to_keep(fs, inode, space_pages_for(&fs->space, size), anew, want != NULL);
	int err = want && !anew ? damage_isolate(fs, &inode->extents, want->first_page, want->end_page) : 0;
	if (err)
		return err;
	struct fs_record record = {
		.op = FS_SIZE,
		.ino = inode->ino,
		.size_bytes = size,
		.keep_pages = keep,
		.wiped_pages = anew ? keep : 0,
		.mtime_ns = want && !anew && size == inode->size_bytes ? inode->mtime_ns : file_now_ns(),
	};
	err = anew ? have_memory_of_blocks(fs, inode, keep) : wipe_for_size(fs, inode, size, &wipe);
	if (!err && anew)
		err = block_spares_get(&spares, extents_cut_spares(&inode->extents, keep));
	if (err)
		return err;
	err = change_size(fs, inode, &record, want, &blocks);
	if (err && anew)
		cut_as_foreseen(fs, inode, keep, &spares);
	block_free_list(&spares);
	if (err == -ERESTART)
		supply_put(fs, &blocks);
	else
		space_lose(&fs->space, &blocks); /* a lookup may hold what a mapping that failed had for a moment */
	wipe_end(fs, &wipe, err);
	if (!err && anew)
		wipe_blocks(fs, inode, keep);
	if (!err && want)
		map_add(want->map);
	return err;
}

int file_truncate(struct fsdax *fs, struct inode *inode, uint64_t size)
{
	return resize(fs, inode, size, false, NULL);
}

int file_fill_map(struct fsdax_file *file, uint64_t first_page, uint64_t end_page, struct charged holder, void *cookie,
		  fsdax_ready_fn *ready, struct fsdax_map **out)
{
	struct wanted_map want = {file, first_page, end_page, holder, cookie, ready, NULL};
	int err = resize(file->fs, file->inode, file->inode->size_bytes, false, &want);
	if (!err)
		*out = want.map;
	return err;
}

int file_check_punch(struct fsdax *fs, struct inode *inode, uint64_t from_page, uint64_t to_page)
{
	const struct places *places = &fs->space.places;
	bool to_the_end = to_page >= space_pages_for(&fs->space, inode->size_bytes);
	return granule_is_cut(places, &inode->extents, from_page) ||
			       (!to_the_end && granule_is_cut(places, &inode->extents, to_page))
		       ? -EINVAL
		       : 0;
}

int file_punch(struct fsdax *fs, struct inode *inode, uint64_t from_page, uint64_t to_page)
{
	const struct places *places = &fs->space.places;
	uint64_t pages = space_pages_for(&fs->space, inode->size_bytes);
	const struct block *block = block_covering(&inode->extents.tree, from_page);
	const struct fs_record record = {
		.op = FS_PUNCH,
		.ino = inode->ino,
		.from_page = from_page,
		.to_page = to_page < pages ? to_page : granule_file_end(places, &inode->extents, pages),
		.mtime_ns = file_now_ns(),
	};
	if (file_check_punch(fs, inode, from_page, to_page) != 0)
		return -EINVAL;
	if (!block)
		block = block_at_or_after(&inode->extents.tree, from_page);
	return block && block->key < to_page ? fs_apply(fs, &record, NULL) : 0;
}

PGMAP_PUBLIC int fsdax_truncate(struct fsdax_file *file, uint64_t size_bytes)
{
	if (!file)
		return -EINVAL;
	(void)pthread_mutex_lock(&file->fs->lock);
	int err = file_truncate(file->fs, file->inode, size_bytes);
	(void)pthread_mutex_unlock(&file->fs->lock);
	return err;
}

static int resize_map(struct fsdax_file *file, uint64_t size, unsigned flags, struct charged holder, void *cookie,
		      fsdax_ready_fn *ready, struct fsdax_map **out)
{
	struct wanted_map want = {.file = file, .holder = holder, .cookie = cookie, .ready = ready};
	if (!file || !out || !size || (flags & ~(unsigned)FSDAX_TRUNC))
		return -EINVAL;
	want.end_page = space_pages_for(&file->fs->space, size);
	(void)pthread_mutex_lock(&file->fs->lock);
	int err = holder_check(file->fs, holder);
	if (!err)
		err = resize(file->fs, file->inode, size, flags & FSDAX_TRUNC, &want);
	(void)pthread_mutex_unlock(&file->fs->lock);
	if (!err)
		*out = want.map;
	return err;
}

PGMAP_PUBLIC int fsdax_resize_map(struct fsdax_file *file, uint64_t size_bytes, unsigned flags,
				  struct pgmap_holder *holder, void *cookie, fsdax_ready_fn *ready,
				  struct fsdax_map **out)
{
	return resize_map(file, size_bytes, flags, (struct charged){.one = holder}, cookie, ready, out);
}

PGMAP_PUBLIC int fsdax_resize_map_for(struct fsdax_file *file, uint64_t size_bytes, unsigned flags,
				      struct fsdax_holder *holder, void *cookie, fsdax_ready_fn *ready,
				      struct fsdax_map **out)
{
	return resize_map(file, size_bytes, flags, (struct charged){.all = holder}, cookie, ready, out);
}

PGMAP_PUBLIC int fsdax_stat_file(struct fsdax_file *file, struct fsdax_stat *out)
{
	if (!file || !out)
		return -EINVAL;
	(void)pthread_mutex_lock(&file->fs->lock);
	granule_stat(&file->fs->space.places, file->inode, out);
	(void)pthread_mutex_unlock(&file->fs->lock);
	return 0;
}

PGMAP_PUBLIC int fsdax_file_path(struct fsdax_file *file, char *buf, size_t buf_bytes)
{
	if (!file || !buf)
		return -EINVAL;
	(void)pthread_mutex_lock(&file->fs->lock);
	(void)name_path(file->inode, buf, buf_bytes);
	(void)pthread_mutex_unlock(&file->fs->lock);
	return 0;
}
