/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fs.c - a pool of files: its beginning and end, and the calls that take paths.
 * Each call checks what it must under the namespace lock, and changes the pool through fs_apply() (log.h) only.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/fs.h"
#include "fs/granule.h"
#include "fs/name.h"
#include "port/compiler.h"

static int folio_freed(void *holder, uint64_t pgoff, uint64_t npages)
{
	struct fsdax *fs = holder;
	if (!places_has(&fs->space.places, pgoff))
		return PGMAP_FREE_IDLE; /* of a device that has just left, or is about to come */
	space_folio_free(&fs->space, places_off(&fs->space.places, pgoff), npages);
	return PGMAP_FREE_IDLE;
}

/* Populating and mapping answer by themselves, and pages still come back; free ones that are lost are handed out no more,
 * and who waits for pages looks again. */
static void device_failed(void *holder, enum dax_failure what, uint64_t pgoff, uint64_t npages)
{
	struct fsdax *fs = holder;
	if (what == DAX_FAILURE_DEAD && !dax_alive(fs->dax))
		atomic_store_explicit(&fs->dead, true, memory_order_relaxed); /* the wake's lock orders it */
	space_damage(&fs->space, pgoff, npages);
	if (what == DAX_FAILURE_POISON && fs->lost)
		fs->lost(fs->lost_arg, pgoff, npages);
	space_watch_wake(&fs->space, NULL);
}

static const struct dax_holder_ops holder_ops = {
	.ops_bytes = sizeof(struct dax_holder_ops),
	.notify_failure = device_failed,
	.folio_free = folio_freed,
};

static void tear_down(struct fsdax *fs)
{
	space_exit(&fs->space);
	if (fs->holder)
		(void)fsdax_holder_end(fs->holder);
	holders_exit(&fs->holders);
	(void)pthread_mutex_destroy(&fs->lock);
}

/* The parts of the pool that can fail. */
static int set_up(struct fsdax *fs)
{
	if (!dax_alive(fs->dax))
		return -ENXIO;
	int err = space_init(&fs->space, fs->dax);
	if (err)
		return err;
	(void)pthread_mutex_init(&fs->lock, NULL);
	holders_init(&fs->holders);
	err = fsdax_holder_create(fs, "fsdax", &fs->holder);
	if (!err) {
		fs->root = inode_alloc(1, FSDAX_DIR);
		err = fs->root ? 0 : -ENOMEM;
	}
	if (err) {
		tear_down(fs);
		return err;
	}
	fs->root->nlink = 1;
	fs->root->mtime_ns = file_now_ns();
	inode_insert(&fs->inodes, fs->root);
	fs->next_ino = 2;
	fs->ndirs = 1;
	return 0;
}

/* Whoever held the device before may have left bad pages. */
static int hold(struct fsdax *fs)
{
	int err = dax_hold(fs->dax, fs, &holder_ops);
	if (err)
		return err;
	err = space_find_damage(&fs->space);
	if (err)
		(void)dax_release(fs->dax, fs);
	return err;
}

PGMAP_PUBLIC int fsdax_create(struct dax_device *dax, fsdax_gone_fn *gone, struct fsdax **out)
{
	if (!dax || !out)
		return -EINVAL;
	struct fsdax *fs = calloc(1, sizeof(*fs));
	if (!fs)
		return -ENOMEM;
	fs->dax = dax;
	fs->gone = gone;
	int err = set_up(fs);
	if (err) {
		free(fs);
		return err;
	}
	err = hold(fs);
	if (err) {
		tear_down(fs);
		inode_free(fs->root);
		free(fs);
		return err;
	}
	*out = fs;
	return 0;
}

static void free_inode(struct fsdax *fs, struct inode *inode)
{
	struct block_list none = STAILQ_HEAD_INITIALIZER(none), blocks = STAILQ_HEAD_INITIALIZER(blocks);
	extents_cut(&inode->extents, 0, &none, &blocks);
	block_free_list(&blocks);
	inode_remove(&fs->inodes, inode);
	inode_free(inode);
}

/* A device that fails is no reason to leave old bytes on the others. */
static void discard_all(struct fsdax *fs)
{
	const struct places_table *table = places_now(&fs->space.places);
	for (size_t i = 0; i < table->nsegments; i++) {
		uint64_t page = table->segments[i].page, end = page + table->segments[i].npages, n;
		char *addr;
		if (dax_discard(fs->dax, page, end - page) == 0)
			continue;
		for (; page < end; page += n) {
			n = places_run(&fs->space.places, places_off(&fs->space.places, page), end - page, &addr);
			(void)dax_discard(fs->dax, page, n);
		}
	}
}

PGMAP_PUBLIC int fsdax_destroy(struct fsdax *fs)
{
	if (!fs)
		return 0;
	holders_lock(fs);
	(void)pthread_mutex_lock(&fs->lock);
	bool busy = fs->nhandles != 0 || holders_live(fs) || places_held(&fs->space.places);
	(void)pthread_mutex_unlock(&fs->lock);
	holders_unlock(fs);
	if (busy)
		return -EBUSY;
	leave_cancel_all(fs);
	wiper_stop(&fs->wiper);
	(void)dax_release(fs->dax, fs);
	if (fs->space.used || fs->space.nwaiting || fs->space.nresident || space_populated(&fs->space))
		discard_all(fs);
	struct inode *inode;
	while ((inode = inode_first(&fs->inodes)) != NULL)
		free_inode(fs, inode);
	tear_down(fs);
	free(fs);
	return 0;
}

PGMAP_PUBLIC int fsdax_set_wiping(struct fsdax *fs, uint64_t keep_bytes, unsigned cpu_percent)
{
	if (!fs || cpu_percent > 100)
		return -EINVAL;
	(void)pthread_mutex_lock(&fs->lock);
	wiper_stop(&fs->wiper);
	space_set_keep(&fs->space, keep_bytes >> PGMAP_PAGE_SHIFT);
	int err = cpu_percent ? wiper_start(&fs->wiper, &fs->space, cpu_percent) : 0;
	(void)pthread_mutex_unlock(&fs->lock);
	return err;
}

static int make(struct fsdax *fs, const struct name_at *at, enum fsdax_type type, struct inode **out)
{
	const struct fs_record record = {
		.op = FS_MAKE,
		.type = type,
		.ino = fs->next_ino,
		.parent = at->dir->ino,
		.name = {at->name, at->name_len},
		.mtime_ns = file_now_ns(),
	};
	int err = fs_apply(fs, &record, NULL);
	if (!err)
		*out = inode_find(&fs->inodes, record.ino);
	return err;
}

int fs_remove_name(struct fsdax *fs, struct inode *inode)
{
	const struct fs_record record = {
		.op = FS_REMOVE,
		.ino = inode->ino,
		.parent = inode->parent->ino,
		.name = {inode->name, inode->name_len},
	};
	int err = fs_apply(fs, &record, NULL);
	if (!err)
		file_drop_if_unused(fs, inode);
	return err;
}

static int open_locked(struct fsdax *fs, const char *path, unsigned flags, struct fsdax_file **out)
{
	struct name_at at;
	struct fsdax_file *file;
	int err = name_walk(fs->root, path, &at);
	if (err)
		return err;
	if (at.inode && (flags & FSDAX_CREATE) && (flags & FSDAX_EXCL))
		return -EEXIST;
	if (at.inode && at.inode->type == FSDAX_DIR)
		return -EISDIR;
	if (!at.inode && !(flags & FSDAX_CREATE))
		return -ENOENT;
	bool made = !at.inode;
	if (made)
		err = make(fs, &at, FSDAX_REG, &at.inode);
	if (err)
		return err;
	err = file_new(fs, at.inode, &file);
	if (err) {
		if (made)
			(void)fs_remove_name(fs, at.inode);
		return err;
	}
	if ((flags & FSDAX_TRUNC) && at.inode->size_bytes)
		err = file_truncate(fs, at.inode, 0);
	if (err)
		file_put(file);
	else
		*out = file;
	return err;
}

PGMAP_PUBLIC int fsdax_open(struct fsdax *fs, const char *path, unsigned flags, struct fsdax_file **out)
{
	if (!fs || !out || (flags & ~(unsigned)(FSDAX_CREATE | FSDAX_EXCL | FSDAX_TRUNC)))
		return -EINVAL;
	(void)pthread_mutex_lock(&fs->lock);
	int err = open_locked(fs, path, flags, out);
	(void)pthread_mutex_unlock(&fs->lock);
	return err;
}

PGMAP_PUBLIC int fsdax_stat(struct fsdax *fs, const char *path, struct fsdax_stat *out)
{
	struct name_at at;
	if (!fs || !out)
		return -EINVAL;
	(void)pthread_mutex_lock(&fs->lock);
	int err = name_walk(fs->root, path, &at);
	if (!err && !at.inode)
		err = -ENOENT;
	if (!err)
		granule_stat(&fs->space.places, at.inode, out);
	(void)pthread_mutex_unlock(&fs->lock);
	return err;
}

static int unlink_locked(struct fsdax *fs, const char *path)
{
	struct name_at at;
	int err = name_walk(fs->root, path, &at);
	if (err)
		return err;
	if (!at.inode)
		return -ENOENT;
	return at.inode->type == FSDAX_DIR ? -EISDIR : fs_remove_name(fs, at.inode);
}

PGMAP_PUBLIC int fsdax_set_order(struct fsdax *fs, const char *path, unsigned order)
{
	struct name_at at;
	if (!fs)
		return -EINVAL;
	(void)pthread_mutex_lock(&fs->lock);
	int err = name_walk(fs->root, path, &at);
	if (!err && !at.inode)
		err = -ENOENT;
	if (!err) {
		const struct fs_record record = {.op = FS_ORDER, .ino = at.inode->ino, .order = order};
		err = fs_apply(fs, &record, NULL);
	}
	(void)pthread_mutex_unlock(&fs->lock);
	return err;
}

PGMAP_PUBLIC int fsdax_unlink_file(struct fsdax_file *file)
{
	if (!file)
		return -EINVAL;
	(void)pthread_mutex_lock(&file->fs->lock);
	int err = file->inode->nlink ? fs_remove_name(file->fs, file->inode) : -ENOENT;
	(void)pthread_mutex_unlock(&file->fs->lock);
	return err;
}

static int rmdir_locked(struct fsdax *fs, const char *path)
{
	struct name_at at;
	int err = name_walk(fs->root, path, &at);
	if (err)
		return err;
	if (!at.inode)
		return -ENOENT;
	if (at.inode->type != FSDAX_DIR)
		return -ENOTDIR;
	if (at.inode == fs->root)
		return -EBUSY;
	return at.inode->nchildren ? -ENOTEMPTY : fs_remove_name(fs, at.inode);
}

static int mkdir_locked(struct fsdax *fs, const char *path)
{
	struct name_at at;
	int err = name_walk(fs->root, path, &at);
	if (err)
		return err;
	return at.inode ? -EEXIST : make(fs, &at, FSDAX_DIR, &at.inode);
}

static int with_path(struct fsdax *fs, const char *path, int (*fn)(struct fsdax *fs, const char *path))
{
	if (!fs)
		return -EINVAL;
	(void)pthread_mutex_lock(&fs->lock);
	int err = fn(fs, path);
	(void)pthread_mutex_unlock(&fs->lock);
	return err;
}

PGMAP_PUBLIC int fsdax_unlink(struct fsdax *fs, const char *path)
{
	return with_path(fs, path, unlink_locked);
}

PGMAP_PUBLIC int fsdax_rmdir(struct fsdax *fs, const char *path)
{
	return with_path(fs, path, rmdir_locked);
}

PGMAP_PUBLIC int fsdax_mkdir(struct fsdax *fs, const char *path)
{
	return with_path(fs, path, mkdir_locked);
}

static bool is_above(const struct inode *inode, const struct inode *dir)
{
	for (; dir; dir = dir->parent) {
		if (dir == inode)
			return true;
	}
	return false;
}

static int check_replace(const struct inode *from, const struct inode *to)
{
	if (from->type != FSDAX_DIR)
		return to->type == FSDAX_DIR ? -EISDIR : 0;
	if (to->type != FSDAX_DIR)
		return -ENOTDIR;
	return to->nchildren ? -ENOTEMPTY : 0;
}

static int check_rename(const struct fsdax *fs, const struct name_at *from, const struct name_at *to)
{
	if (!from->inode)
		return -ENOENT;
	if (from->inode == fs->root || to->inode == fs->root)
		return -EBUSY;
	if (from->inode == to->inode)
		return 0;
	if (is_above(from->inode, to->dir))
		return -EINVAL;
	return to->inode ? check_replace(from->inode, to->inode) : 0;
}

static int rename_locked(struct fsdax *fs, const char *from_path, const char *to_path)
{
	struct name_at from = {0}, to = {0};
	int err = name_walk(fs->root, from_path, &from);
	if (!err)
		err = name_walk(fs->root, to_path, &to);
	if (!err)
		err = check_rename(fs, &from, &to);
	if (err)
		return err;
	if (from.inode == to.inode)
		return 0;
	const struct fs_record record = {
		.op = FS_RENAME,
		.ino = from.inode->ino,
		.parent = from.dir->ino,
		.name = {from.name, from.name_len},
		.to_parent = to.dir->ino,
		.to_name = {to.name, to.name_len},
	};
	err = fs_apply(fs, &record, NULL);
	if (!err && to.inode)
		file_drop_if_unused(fs, to.inode);
	return err;
}

PGMAP_PUBLIC int fsdax_rename(struct fsdax *fs, const char *from, const char *to)
{
	if (!fs)
		return -EINVAL;
	(void)pthread_mutex_lock(&fs->lock);
	int err = rename_locked(fs, from, to);
	(void)pthread_mutex_unlock(&fs->lock);
	return err;
}

static int readdir_locked(struct fsdax *fs, const char *path,
			  int (*fn)(void *arg, const char *name, const struct fsdax_stat *st), void *arg)
{
	struct name_at at;
	struct fsdax_stat st;
	int err = name_walk(fs->root, path, &at);
	if (err)
		return err;
	if (!at.inode)
		return -ENOENT;
	if (at.inode->type != FSDAX_DIR)
		return -ENOTDIR;
	for (struct inode *child = inode_first_child(at.inode); child && !err; child = inode_next_child(child)) {
		granule_stat(&fs->space.places, child, &st);
		err = fn(arg, child->name, &st);
	}
	return err;
}

PGMAP_PUBLIC int fsdax_readdir(struct fsdax *fs, const char *path,
			       int (*fn)(void *arg, const char *name, const struct fsdax_stat *st), void *arg)
{
	if (!fs || !fn)
		return -EINVAL;
	(void)pthread_mutex_lock(&fs->lock);
	int err = readdir_locked(fs, path, fn, arg);
	(void)pthread_mutex_unlock(&fs->lock);
	return err;
}

PGMAP_PUBLIC unsigned fsdax_ndevices(const struct fsdax *fs)
{
	return places_now(&fs->space.places)->ndevices;
}

static int say_device(const struct space *space, unsigned i, struct fsdax_device *out)
{
	const struct places_table *table = places_now(&space->places);
	if (i >= table->ndevices || !table->devices[i].memory)
		return -EINVAL;
	const struct places_device *device = &table->devices[i];
	*out = (struct fsdax_device){
		.pgmap = device->span.pgmap,
		.name = dax_name(device->memory),
		.fd = device->span.fd,
		.alive = dax_alive(device->memory),
		.fd_offset_bytes = device->span.fd_offset_bytes,
		.npages = device->span.npages,
		.pool_npages = space->devices[i].npages,
		.used = space_used_on(space, i),
		.leaving = space->devices[i].leaving != NULL,
	};
	return 0;
}

/* Under the lock that a device leaves under, as it is asked. */
PGMAP_PUBLIC int fsdax_device(const struct fsdax *fs, unsigned i, struct fsdax_device *out)
{
	if (!fs || !out)
		return -EINVAL;
	pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&fs->space.lock;
	(void)pthread_mutex_lock(lock);
	int err = say_device(&fs->space, i, out);
	(void)pthread_mutex_unlock(lock);
	return err;
}

PGMAP_PUBLIC void fsdax_statfs(struct fsdax *fs, struct fsdax_statfs *out)
{
	(void)pthread_mutex_lock(&fs->lock);
	out->files = fs->nfiles;
	out->dirs = fs->ndirs;
	(void)pthread_mutex_unlock(&fs->lock);
	space_statfs(&fs->space, out);
}
