/* SPDX-License-Identifier: BSD-3-Clause */
/* log.c - see log.h: prepare, log, change. Under the namespace lock. */
#include "fs/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "fs/fs.h"
#include "fs/granule.h"
#include "fs/name.h"
#include "fs/taking.h"

void fs_set_log(struct fsdax *fs, fs_log_fn *log, void *arg)
{
	(void)pthread_mutex_lock(&fs->lock);
	fs->log = log;
	fs->log_arg = arg;
	(void)pthread_mutex_unlock(&fs->lock);
}

static int write_log(struct fsdax *fs, const struct fs_record *record)
{
	return fs->log ? fs->log(fs->log_arg, record) : 0;
}

static struct inode *find_dir(struct fsdax *fs, uint64_t ino)
{
	struct inode *dir = inode_find(&fs->inodes, ino);
	return dir && dir->type == FSDAX_DIR ? dir : NULL;
}

static uint64_t *counter(struct fsdax *fs, const struct inode *inode)
{
	return inode->type == FSDAX_DIR ? &fs->ndirs : &fs->nfiles;
}

static char *copy_name(const struct fs_name *name)
{
	char *copy = malloc(name->len + 1);
	if (copy) {
		memcpy(copy, name->text, name->len);
		copy[name->len] = 0;
	}
	return copy;
}

static int apply_make(struct fsdax *fs, const struct fs_record *r)
{
	struct inode *dir = find_dir(fs, r->parent);
	if (!dir || inode_find(&fs->inodes, r->ino) || inode_child(dir, r->name.text, r->name.len))
		return -EINVAL;
	struct inode *inode = inode_alloc(r->ino, r->type);
	if (!inode)
		return -ENOMEM;
	inode->name = copy_name(&r->name);
	inode->name_len = r->name.len;
	inode->mtime_ns = r->mtime_ns;
	inode->order = dir->order;
	int err = inode->name ? write_log(fs, r) : -ENOMEM;
	if (err) {
		inode_free(inode);
		return err;
	}
	inode_insert(&fs->inodes, inode);
	inode_link(dir, inode);
	++*counter(fs, inode);
	if (fs->next_ino <= r->ino)
		fs->next_ino = r->ino + 1;
	return 0;
}

/* The last path of one that is about to lose its name, to be kept in place of the name. */
static int prepare_last_path(const struct inode *inode, char **path, size_t *len)
{
	*len = name_path(inode, NULL, 0);
	*path = malloc(*len + 1);
	if (!*path)
		return -ENOMEM;
	(void)name_path(inode, *path, *len + 1);
	return 0;
}

static void take_name_away(struct fsdax *fs, struct inode *inode, char *last_path, size_t len)
{
	--*counter(fs, inode);
	inode_unlink(inode);
	free(inode->name);
	inode->name = last_path;
	inode->name_len = len;
	taking_wake(fs, inode);
}

static int apply_remove(struct fsdax *fs, const struct fs_record *r)
{
	struct inode *dir = find_dir(fs, r->parent);
	struct inode *inode = dir ? inode_child(dir, r->name.text, r->name.len) : NULL;
	char *path = NULL;
	size_t len = 0;
	if (!inode || inode->nchildren)
		return -EINVAL;
	/* Nobody can ask for the path of one that is not open: it goes, whatever memory there is. */
	int err = inode->nhandles ? prepare_last_path(inode, &path, &len) : 0;
	if (err)
		return err;
	err = write_log(fs, r);
	if (err)
		free(path);
	else
		take_name_away(fs, inode, path, len);
	return err;
}

static int apply_rename(struct fsdax *fs, const struct fs_record *r)
{
	struct inode *dir = find_dir(fs, r->parent), *to_dir = find_dir(fs, r->to_parent);
	struct inode *inode = dir ? inode_child(dir, r->name.text, r->name.len) : NULL;
	if (!inode || !to_dir)
		return -EINVAL;
	struct inode *old = inode_child(to_dir, r->to_name.text, r->to_name.len);
	char *path = NULL, *name = copy_name(&r->to_name);
	size_t len = 0;
	int err = name ? 0 : -ENOMEM;
	if (!err && old)
		err = prepare_last_path(old, &path, &len);
	if (!err)
		err = write_log(fs, r);
	if (err) {
		free(name);
		free(path);
		return err;
	}
	if (old)
		take_name_away(fs, old, path, len);
	inode_unlink(inode);
	free(inode->name);
	inode->name = name;
	inode->name_len = r->to_name.len;
	inode_link(to_dir, inode);
	if (inode->type == FSDAX_DIR)
		space_watch_wake(&fs->space, NULL); /* paths that lead through it do so no more */
	else
		taking_wake(fs, inode);
	return 0;
}

/* Pages [from, to) leave the file: those who map them are told, folios are cut, and the pages are let go. */
static void lose_pages(struct fsdax *fs, struct inode *inode, uint64_t from, uint64_t to, struct block_list *spares)
{
	struct block_list lost = STAILQ_HEAD_INITIALIZER(lost);
	const struct block *block = block_covering(&inode->extents.tree, to);
	bool cut_behind = block && block->key < to;
	uint64_t behind = cut_behind ? block->off + (to - block->key) : 0; /* on the device */
	extents_take(&inode->extents, from, to, spares, &lost);
	block_free_list(spares);
	if (STAILQ_EMPTY(&lost))
		return;
	map_lost(fs, inode, &lost);
	map_split_folio_at(fs, inode, STAILQ_FIRST(&lost)->off);
	if (cut_behind)
		map_split_folio_at(fs, inode, behind);
	space_lose(&fs->space, &lost);
	taking_wake(fs, inode);
}

static int apply_size(struct fsdax *fs, const struct fs_record *r, struct block_list *blocks)
{
	struct block_list spares = STAILQ_HEAD_INITIALIZER(spares);
	struct inode *inode = inode_find(&fs->inodes, r->ino);
	if (!inode || inode->type != FSDAX_REG)
		return -EINVAL;
	const struct block *first = STAILQ_FIRST(blocks);
	uint64_t keep = r->keep_pages;
	if (!keep)
		keep = first ? first->key : space_pages_for(&fs->space, r->size_bytes);
	keep = granule_end(&fs->space.places, &inode->extents, keep);
	int err = block_spares_get(&spares, extents_cut_spares(&inode->extents, keep));
	if (!err)
		err = write_log(fs, r);
	if (err) {
		block_free_list(&spares);
		return err;
	}
	lose_pages(fs, inode, keep, UINT64_MAX, &spares);
	extents_add(&inode->extents, blocks);
	inode->size_bytes = r->size_bytes;
	inode->mtime_ns = r->mtime_ns;
	return 0;
}

static int apply_punch(struct fsdax *fs, const struct fs_record *r)
{
	struct block_list spares = STAILQ_HEAD_INITIALIZER(spares);
	struct inode *inode = inode_find(&fs->inodes, r->ino);
	uint64_t granule_pages = UINT64_C(1) << fs->space.granule_order;
	if (!inode || inode->type != FSDAX_REG || r->from_page > r->to_page || r->from_page % granule_pages ||
	    r->to_page % granule_pages || granule_is_cut(&fs->space.places, &inode->extents, r->from_page) ||
	    granule_is_cut(&fs->space.places, &inode->extents, r->to_page))
		return -EINVAL;
	int err = block_spares_get(&spares, extents_take_spares(&inode->extents, r->from_page, r->to_page));
	if (!err)
		err = write_log(fs, r);
	if (err) {
		block_free_list(&spares);
		return err;
	}
	lose_pages(fs, inode, r->from_page, r->to_page, &spares);
	inode->mtime_ns = r->mtime_ns;
	return 0;
}

static int apply_drop(struct fsdax *fs, const struct fs_record *r)
{
	struct block_list none = STAILQ_HEAD_INITIALIZER(none);
	struct inode *inode = inode_find(&fs->inodes, r->ino);
	if (!inode || inode->nlink || inode->nhandles > inode->ntakings)
		return -EINVAL;
	(void)write_log(fs, r); /* if this is lost, recovery drops it: it has no name */
	lose_pages(fs, inode, 0, UINT64_MAX, &none);
	inode->size_bytes = 0;
	inode_remove(&fs->inodes, inode);
	if (!inode->nhandles)
		inode_free(inode);
	return 0;
}

static int apply_order(struct fsdax *fs, const struct fs_record *r)
{
	struct inode *inode = inode_find(&fs->inodes, r->ino);
	if (!inode || r->order < fs->space.granule_order || r->order > PGMAP_MAX_ORDER)
		return -EINVAL;
	int err = write_log(fs, r);
	if (!err)
		inode->order = (uint8_t)r->order;
	return err;
}

int fs_apply(struct fsdax *fs, const struct fs_record *record, struct block_list *blocks)
{
	switch (record->op) {
	case FS_MAKE:
		return apply_make(fs, record);
	case FS_REMOVE:
		return apply_remove(fs, record);
	case FS_RENAME:
		return apply_rename(fs, record);
	case FS_SIZE:
		return apply_size(fs, record, blocks);
	case FS_DROP:
		return apply_drop(fs, record);
	case FS_PUNCH:
		return apply_punch(fs, record);
	case FS_ORDER:
		return apply_order(fs, record);
	}
	return -EINVAL;
}

static int take_extents(struct fsdax *fs, const struct fs_record *record, struct block_list *blocks)
{
	int err = 0;
	for (uint64_t i = 0; i < record->nextents && !err; i++) {
		const struct fs_extent *extent = &record->extents[i];
		uint64_t off = places_off(&fs->space.places, extent->page);
		if (extent->order > PGMAP_MAX_ORDER ||
		    places_order(&fs->space.places, off, extent->order) < extent->order)
			return -EINVAL; /* no folio can be so big there */
		err = space_take(&fs->space, off, extent->order, extent->file_page, blocks);
	}
	return err == -ENOSPC ? -EINVAL : err;
}

int fs_replay(struct fsdax *fs, const struct fs_record *record)
{
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	(void)pthread_mutex_lock(&fs->lock);
	int err = take_extents(fs, record, &blocks);
	if (!err)
		err = fs_apply(fs, record, &blocks);
	if (!STAILQ_EMPTY(&blocks))
		space_give_back(&fs->space, &blocks);
	(void)pthread_mutex_unlock(&fs->lock);
	return err;
}
