/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * damage.c - what of files is lost, on devices that are dead or bad (c6.5): it cannot be mapped, can be listed, and, where it is
 * only bad, made good by overwriting.
 *
 * A bad page keeps no other page of its file from being mapped: a folio cannot be requested over it, so before the pages around
 * it are mapped, their extent is cut there. Extents may be cut at any time; what is held of them stays one folio, and found.
 *
 * All under the namespace lock.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "fs/name.h"
#include "port/compiler.h"

static int cut_at(struct extents *extents, uint64_t file_page)
{
	struct block_list spares = STAILQ_HEAD_INITIALIZER(spares);
	int err = block_spares_get(&spares, extents_cut_spares(extents, file_page));
	if (!err)
		extents_split(extents, file_page, &spares);
	block_free_list(&spares);
	return err;
}

/* An extent, of which only bad granules are extents then. */
static int cut_out(const struct fsdax *fs, struct extents *extents, uint64_t key, uint64_t off, uint64_t npages)
{
	uint64_t granule = UINT64_C(1) << places_granule(&fs->space.places, off), at = off, end = off + npages;
	struct places_lost lost;
	int err = 0;
	while (!err && at < end && places_find_lost(&fs->space.places, at, end, &lost)) {
		uint64_t from = lost.from / granule * granule;
		at = (lost.end + granule - 1) / granule * granule;
		err = cut_at(extents, key + (from - off));
		if (!err)
			err = cut_at(extents, key + (at - off));
	}
	return err;
}

/* What of an extent lies in [first, end) of the file. */
static int check_part(const struct places *places, const struct block *block, uint64_t first, uint64_t end)
{
	uint64_t from = block->key > first ? block->key : first, to = block_end(block) < end ? block_end(block) : end;
	return places_error(places, block->off + (from - block->key), block->off + (to - block->key));
}

static struct block *first_block(struct extents *extents, uint64_t page)
{
	struct block *block = block_covering(&extents->tree, page);
	return block ? block : block_at_or_after(&extents->tree, page);
}

int damage_isolate(struct fsdax *fs, struct extents *extents, uint64_t first_page, uint64_t end_page)
{
	int err = 0;
	if (!places_damaged(&fs->space.places))
		return 0;
	struct block *block = first_block(extents, first_page);
	for (; block && block->key < end_page && !err; block = block_next(block))
		err = check_part(&fs->space.places, block, first_page, end_page);
	for (uint64_t page = first_page; page < end_page && !err;) {
		block = first_block(extents, page);
		if (!block)
			break;
		page = block_end(block);
		err = cut_out(fs, extents, block->key, block->off, block_pages(block));
	}
	return err;
}

/* Neighbours that are lost in the same way are said at once. */
struct walk {
	struct fsdax_lost lost; /* len_bytes 0: none yet */
	int (*fn)(void *arg, const struct fsdax_lost *lost);
	void *arg;
	char path[FSDAX_PATH_MAX + 16]; /* of the file; "": not asked for yet */
};

static int say(struct walk *walk)
{
	int err = walk->lost.len_bytes ? walk->fn(walk->arg, &walk->lost) : 0;
	walk->lost.len_bytes = 0;
	return err;
}

static int add(struct walk *walk, const struct fsdax_lost *more)
{
	struct fsdax_lost *lost = &walk->lost;
	int err = 0;
	if (lost->len_bytes && lost->ino == more->ino && lost->what == more->what &&
	    lost->offset_bytes + lost->len_bytes == more->offset_bytes &&
	    lost->page + (lost->len_bytes >> PGMAP_PAGE_SHIFT) == more->page) {
		lost->len_bytes += more->len_bytes;
		return 0;
	}
	err = say(walk);
	*lost = *more;
	return err;
}

static int walk_block(const struct places *places, const struct inode *inode, const struct block *block,
		      struct walk *walk)
{
	struct places_lost lost;
	uint64_t at = block->off, end = at + block_pages(block);
	int err = 0;
	for (; !err && at < end && places_find_lost(places, at, end, &lost); at = lost.end) {
		if (!walk->path[0])
			(void)name_path(inode, walk->path, sizeof(walk->path));
		const struct fsdax_lost more = {
			.ino = inode->ino,
			.offset_bytes = (block->key + (lost.from - block->off)) << PGMAP_PAGE_SHIFT,
			.len_bytes = (lost.end - lost.from) << PGMAP_PAGE_SHIFT,
			.what = lost.what,
			.page = places_page(places, lost.from),
			.path = walk->path,
		};
		err = add(walk, &more);
	}
	return err;
}

static int walk_inode(const struct fsdax *fs, struct inode *inode, struct walk *walk)
{
	int err = say(walk); /* of the file before, while its path is there */
	walk->path[0] = 0;
	for (struct block *block = block_first(&inode->extents.tree); block && !err; block = block_next(block))
		err = walk_block(&fs->space.places, inode, block, walk);
	return err;
}

static int walk_locked(struct fsdax *fs, const char *path, struct walk *walk)
{
	struct inode *only = NULL, *inode;
	int err = path ? name_file(fs->root, path, &only) : 0;
	if (err || (!places_damaged(&fs->space.places) && dax_alive(fs->dax)))
		return err;
	if (only)
		err = walk_inode(fs, only, walk);
	for (inode = only ? NULL : inode_first(&fs->inodes); inode && !err; inode = inode_next(inode))
		err = walk_inode(fs, inode, walk);
	return err ? err : say(walk);
}

PGMAP_PUBLIC int fsdax_for_each_lost(struct fsdax *fs, const char *path,
				     int (*fn)(void *arg, const struct fsdax_lost *lost), void *arg)
{
	struct walk walk = {.fn = fn, .arg = arg};
	if (!fs || !fn)
		return -EINVAL;
	(void)pthread_mutex_lock(&fs->lock);
	int err = walk_locked(fs, path, &walk);
	(void)pthread_mutex_unlock(&fs->lock);
	return err;
}

/* Of a block, what lies in [first, end) of the file. */
typedef int64_t part_fn(const struct fsdax *fs, uint64_t at, uint64_t end);

/* Its bad pages. */
static int64_t repair_part(const struct fsdax *fs, uint64_t at, uint64_t end)
{
	const struct places *places = &fs->space.places;
	struct places_lost lost;
	int err = 0;
	for (; !err && at < end && places_find_lost(places, at, end, &lost); at = lost.end)
		err = lost.what == DAX_FAILURE_DEAD
			      ? -ENODEV
			      : dax_zero_range(fs->dax, places_page(places, lost.from), lost.end - lost.from);
	return err;
}

/* How many are bad; memory by memory, as neighbours may be far apart. */
static int64_t verify_part(const struct fsdax *fs, uint64_t at, uint64_t end)
{
	const struct places *places = &fs->space.places;
	int64_t bad = 0, more = 0;
	while (at < end && more >= 0) {
		char *addr;
		uint64_t n = places_run(places, at, end - at, &addr);
		more = dax_verify(fs->dax, places_page(places, at), n);
		bad += more;
		at += n;
	}
	return more == -ENXIO ? -ENODEV : more < 0 ? more : bad;
}

static int64_t walk_parts(struct fsdax_file *file, uint64_t first, uint64_t end, part_fn *fn)
{
	int64_t sum = 0, n = 0;
	struct block *block = first_block(&file->inode->extents, first);
	for (; block && block->key < end && n >= 0; block = block_next(block)) {
		uint64_t from = block->key > first ? block->key : first;
		uint64_t to = block_end(block) < end ? block_end(block) : end;
		n = fn(file->fs, block->off + (from - block->key), block->off + (to - block->key));
		sum += n;
	}
	return n < 0 ? n : sum;
}

static bool is_range(const struct fsdax_file *file, uint64_t offset_bytes, uint64_t len_bytes)
{
	uint64_t end_bytes;
	return file && len_bytes && !(offset_bytes % PGMAP_PAGE_SIZE) && !(len_bytes % PGMAP_PAGE_SIZE) &&
	       !__builtin_add_overflow(offset_bytes, len_bytes, &end_bytes);
}

/* Pages of a file in [first, end) that somebody who is no more may write to yet: nobody has said that it is fenced. */
struct unfenced {
	uint64_t first, end;
	struct page_range {
		uint64_t from, end;
	} * ranges;
	size_t n, room;
};

static int add_unfenced(void *arg, const struct fsdax_busy *busy)
{
	struct unfenced *list = arg;
	uint64_t from = busy->offset_bytes >> PGMAP_PAGE_SHIFT, end = from + (busy->len_bytes >> PGMAP_PAGE_SHIFT);
	if (!busy->holder || busy->refs || from >= list->end || end <= list->first)
		return 0;
	if (list->n == list->room) {
		size_t room = list->room ? 2 * list->room : 16;
		struct page_range *more = reallocarray(list->ranges, room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		list->ranges = more;
		list->room = room;
	}
	list->ranges[list->n++] =
		(struct page_range){from > list->first ? from : list->first, end < list->end ? end : list->end};
	return 0;
}

static int64_t lost_part(const struct fsdax *fs, uint64_t at, uint64_t end)
{
	struct places_lost lost;
	return places_find_lost(&fs->space.places, at, end, &lost) ? -EBUSY : 0;
}

/* What somebody's DMA may write to yet is not called zero. */
static int64_t check_fenced(struct fsdax_file *file, uint64_t first, uint64_t end)
{
	struct unfenced list = {.first = first, .end = end};
	int64_t err = busy_for_each(file->fs, file->inode, add_unfenced, &list);
	for (size_t i = 0; i < list.n && !err; i++)
		err = walk_parts(file, list.ranges[i].from, list.ranges[i].end, lost_part);
	free(list.ranges);
	return err;
}

PGMAP_PUBLIC int fsdax_repair(struct fsdax_file *file, uint64_t offset_bytes, uint64_t len_bytes)
{
	if (!is_range(file, offset_bytes, len_bytes))
		return -EINVAL;
	uint64_t first = offset_bytes >> PGMAP_PAGE_SHIFT, end = first + (len_bytes >> PGMAP_PAGE_SHIFT);
	(void)pthread_mutex_lock(&file->fs->lock);
	int64_t err = check_fenced(file, first, end);
	if (!err)
		err = walk_parts(file, first, end, repair_part);
	(void)pthread_mutex_unlock(&file->fs->lock);
	return (int)err;
}

PGMAP_PUBLIC int64_t fsdax_verify(struct fsdax_file *file, uint64_t offset_bytes, uint64_t len_bytes)
{
	if (!is_range(file, offset_bytes, len_bytes))
		return -EINVAL;
	uint64_t first = offset_bytes >> PGMAP_PAGE_SHIFT;
	(void)pthread_mutex_lock(&file->fs->lock);
	int64_t n = walk_parts(file, first, first + (len_bytes >> PGMAP_PAGE_SHIFT), verify_part);
	(void)pthread_mutex_unlock(&file->fs->lock);
	return n;
}

PGMAP_PUBLIC int fsdax_on_lost(struct fsdax *fs, fsdax_lost_fn *fn, void *arg)
{
	if (!fs)
		return -EINVAL;
	fs->lost_arg = arg;
	fs->lost = fn;
	return 0;
}
