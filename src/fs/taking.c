/* SPDX-License-Identifier: BSD-3-Clause */
/* taking.c - see taking.h: what is held, and the calls that wait for it or refuse. */
#include "fs/taking.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "fs/granule.h"
#include "fs/name.h"
#include "port/compiler.h"

/* 0: every page is idle. -EBUSY: one is held or quarantined. -ENODEV: their memory is going, and nobody is waited for. */
static int ask(struct fsdax *fs, const struct block *block)
{
	const struct places *places = &fs->space.places;
	struct folio *folio;
	if (pgmap_state(places_spot(places, block->off).pgmap) != PGMAP_LIVE)
		return -ENODEV;
	while (!places_idle(places, block->off, block->order)) {
		if (places_find_folio(places, block->off, &folio) == 0 ||
		    places_release_quarantined(places, block->off) == -EBUSY)
			return -EBUSY;
		map_check_alone(fs, block);
		(void)sched_yield(); /* its last put runs: it will be idle */
	}
	return 0;
}

static struct block *first_block(struct extents *extents, uint64_t page)
{
	struct block *block = block_covering(&extents->tree, page);
	return block ? block : block_at_or_after(&extents->tree, page);
}

/* Their device: who holds these pages is not waited for. */
static bool is_going(const struct fsdax *fs, const struct block *block)
{
	const struct places *places = &fs->space.places;
	return places_damaged(places) && places_error(places, block->off, block->off + block_pages(block)) == -ENODEV;
}

/* Blocks from taking->next on: the first that is held stays there. */
static int ask_on(struct taking *taking)
{
	struct fsdax *fs = taking->fs;
	struct block *block = first_block(&taking->file->inode->extents, taking->next);
	for (; block && block->key < taking->to; block = block_next(block)) {
		space_watch_set(&fs->space, &taking->watch, block->off, block->off + block_pages(block));
		int err = ask(fs, block);
		if (err) {
			taking->next = block->key;
			return err == -EBUSY && is_going(fs, block) ? -ENODEV : err;
		}
	}
	taking->next = taking->from;
	space_watch_set(&fs->space, &taking->watch, 0, 0); /* nothing is waited for */
	return 0;
}

static bool is_open_elsewhere(const struct taking *taking)
{
	const struct inode *inode = taking->file->inode;
	return taking->op == TAKING_UNLINK && inode->nhandles > inode->ntakings;
}

/* What the file has changes while it is waited for: then it is asked from the start. */
static void find_start(struct taking *taking)
{
	struct fsdax *fs = taking->fs;
	uint64_t pages = space_pages_for(&fs->space, taking->size_bytes);
	uint64_t from = granule_end(&fs->space.places, &taking->file->inode->extents, pages);
	if (from != taking->from)
		taking->from = taking->next = from;
}

/* Whether it can be done at all, as things are. */
static int check(struct taking *taking)
{
	struct inode *inode = taking->file->inode;
	struct name_at at;
	int err = 0;
	switch (taking->op) {
	case TAKING_SIZE:
		find_start(taking);
		break;
	case TAKING_PUNCH:
		return file_check_punch(taking->fs, inode, taking->from, taking->to);
	case TAKING_UNLINK:
		err = name_walk(taking->fs->root, taking->path, &at);
		return !err && at.inode != inode ? -ENOENT : err;
	}
	return err;
}

static int change(struct taking *taking)
{
	struct inode *inode = taking->file->inode;
	switch (taking->op) {
	case TAKING_SIZE:
		/* What waited only takes away: if another took more meanwhile, it is as if that had come later. */
		if (taking->told && inode->size_bytes <= taking->size_bytes)
			return 0;
		return file_truncate(taking->fs, inode, taking->size_bytes);
	case TAKING_PUNCH:
		return file_punch(taking->fs, inode, taking->from, taking->to);
	case TAKING_UNLINK:
		return fs_remove_name(taking->fs, inode);
	}
	return -EINVAL;
}

/* 0: done. -EINPROGRESS: held. */
static int try_locked(struct taking *taking)
{
	int err = check(taking);
	if (err)
		return err;
	space_watch_set(&taking->fs->space, &taking->watch, 0, 0);
	bool whole = taking->next == taking->from;
	err = ask_on(taking);
	if (!err && !whole)
		err = ask_on(taking);
	if (!err && is_open_elsewhere(taking))
		err = places_live(&taking->fs->space.places) ? -EBUSY : -ENODEV;
	if (!err)
		return change(taking);
	if (err == -EBUSY)
		err = atomic_load_explicit(&taking->fs->dead, memory_order_relaxed) ? -ENODEV : -EINPROGRESS;
	return err;
}

static void wake_taker(struct space_watch *watch)
{
	struct taking *taking = (struct taking *)(void *)((char *)watch - offsetof(struct taking, watch));
	if (taking->wake)
		taking->wake(taking->arg);
}

static int prepare(struct taking *taking, struct fsdax *fs, struct inode *inode, enum taking_op op)
{
	taking->fs = fs;
	taking->op = op;
	int err = file_new(fs, inode, &taking->file);
	if (!err)
		inode->ntakings++;
	return err;
}

int taking_size(struct taking *taking, struct fsdax_file *file, uint64_t size_bytes)
{
	if (!file)
		return -EINVAL;
	struct fsdax *fs = file->fs;
	taking->size_bytes = size_bytes;
	taking->from = space_pages_for(&fs->space, size_bytes);
	taking->to = UINT64_MAX;
	(void)pthread_mutex_lock(&fs->lock);
	bool grows = size_bytes > file->inode->size_bytes;
	int err = grows && size_bytes > fs->space.pages << PGMAP_PAGE_SHIFT ? -EFBIG : 0;
	if (!err)
		err = prepare(taking, fs, file->inode, TAKING_SIZE);
	(void)pthread_mutex_unlock(&fs->lock);
	return err;
}

int taking_punch(struct taking *taking, struct fsdax_file *file, uint64_t offset_bytes, uint64_t len_bytes)
{
	uint64_t end_bytes;
	if (!file || !len_bytes || __builtin_add_overflow(offset_bytes, len_bytes, &end_bytes))
		return -EINVAL;
	struct fsdax *fs = file->fs;
	uint64_t granule_bytes = PGMAP_PAGE_SIZE << fs->space.granule_order;
	if (offset_bytes % granule_bytes || len_bytes % granule_bytes)
		return -EINVAL;
	taking->from = offset_bytes >> PGMAP_PAGE_SHIFT;
	taking->to = end_bytes >> PGMAP_PAGE_SHIFT;
	(void)pthread_mutex_lock(&fs->lock);
	int err = prepare(taking, fs, file->inode, TAKING_PUNCH);
	(void)pthread_mutex_unlock(&fs->lock);
	return err;
}

int taking_unlink(struct taking *taking, struct fsdax *fs, const char *path)
{
	struct inode *inode;
	if (!fs)
		return -EINVAL;
	taking->to = UINT64_MAX;
	(void)pthread_mutex_lock(&fs->lock);
	int err = name_file(fs->root, path, &inode);
	if (!err)
		err = prepare(taking, fs, inode, TAKING_UNLINK);
	(void)pthread_mutex_unlock(&fs->lock);
	if (!err)
		memcpy(taking->path, path, strnlen(path, FSDAX_PATH_MAX) + 1);
	return err;
}

static void end_locked(struct taking *taking)
{
	struct inode *inode = taking->file->inode;
	space_watch_remove(&taking->fs->space, &taking->watch);
	LIST_REMOVE(taking, link);
	inode->ntakings--;
	if (taking->told)
		map_taken(taking->fs, inode);
	file_put(taking->file);
}

static int begin_locked(struct taking *taking, enum fsdax_mode mode)
{
	struct inode *inode = taking->file->inode;
	taking->next = taking->from;
	LIST_INSERT_HEAD(&inode->takings, taking, link);
	space_watch_add(&taking->fs->space, &taking->watch);
	int err = mode == FSDAX_DEFER ? check(taking) : try_locked(taking);
	if (!err && mode == FSDAX_DEFER)
		err = change(taking);
	if (err == -EINPROGRESS && mode == FSDAX_WAIT) {
		taking->told = true;
		map_taken(taking->fs, inode);
		return err;
	}
	end_locked(taking);
	return err == -EINPROGRESS ? -EBUSY : err;
}

int taking_begin(struct taking *taking, enum fsdax_mode mode, void (*wake)(void *arg), void *arg)
{
	struct fsdax *fs = taking->fs;
	taking->wake = wake;
	taking->arg = arg;
	taking->watch.wake = wake_taker;
	(void)pthread_mutex_lock(&fs->lock);
	int err = begin_locked(taking, mode);
	(void)pthread_mutex_unlock(&fs->lock);
	return err;
}

int taking_try(struct taking *taking)
{
	(void)pthread_mutex_lock(&taking->fs->lock);
	int err = try_locked(taking);
	(void)pthread_mutex_unlock(&taking->fs->lock);
	return err;
}

void taking_end(struct taking *taking)
{
	struct fsdax *fs = taking->fs;
	(void)pthread_mutex_lock(&fs->lock);
	end_locked(taking);
	(void)pthread_mutex_unlock(&fs->lock);
}

bool taking_woken(struct taking *taking)
{
	struct space *space = &taking->fs->space;
	(void)pthread_mutex_lock(&space->lock);
	bool woken = taking->watch.woken;
	(void)pthread_mutex_unlock(&space->lock);
	return woken;
}

bool taking_refuses(const struct inode *inode, struct extents *extents, uint64_t first, uint64_t end)
{
	const struct taking *taking;
	if (LIST_EMPTY(&inode->takings))
		return false;
	const struct block *from = block_covering(&extents->tree, first), *to = block_covering(&extents->tree, end - 1);
	if (from)
		first = from->key;
	if (to)
		end = block_end(to);
	LIST_FOREACH (taking, &inode->takings, link) {
		if (taking->from < end && first < taking->to)
			return true;
	}
	return false;
}

bool taking_has(struct inode *inode, uint64_t pgoff, unsigned order, uint64_t file_pgoff)
{
	const struct taking *taking;
	uint64_t pages = UINT64_C(1) << order, end = file_pgoff + pages;
	uint64_t start = file_pgoff < end ? file_pgoff : 0; /* a folio may begin before the file does */
	LIST_FOREACH (taking, &inode->takings, link) {
		uint64_t from = start > taking->from ? start : taking->from, to = end < taking->to ? end : taking->to;
		struct block *block = from < to ? first_block(&inode->extents, from) : NULL;
		for (; block && block->key < to; block = block_next(block))
			if (block->off - pgoff < pages)
				return true;
	}
	return false;
}

void taking_wake(struct fsdax *fs, struct inode *inode)
{
	struct taking *taking;
	LIST_FOREACH (taking, &inode->takings, link)
		space_watch_wake(&fs->space, &taking->watch);
}

/* A thread that waits. The lock of the condition is space.lock, under which it is woken. */
static void wake_thread(void *arg)
{
	(void)pthread_cond_signal(arg);
}

static bool sleep_until_woken(struct taking *taking, pthread_cond_t *cond, uint64_t deadline_ns)
{
	struct space *space = &taking->fs->space;
	const struct timespec until = {(time_t)(deadline_ns / 1000000000), (long)(deadline_ns % 1000000000)};
	int err = 0;
	(void)pthread_mutex_lock(&space->lock);
	while (!taking->watch.woken && err != ETIMEDOUT)
		err = deadline_ns == PGMAP_NO_DEADLINE ? pthread_cond_wait(cond, &space->lock)
						       : pthread_cond_timedwait(cond, &space->lock, &until);
	(void)pthread_mutex_unlock(&space->lock);
	return err == 0;
}

/* At the deadline it is looked at once more. */
static int wait_for(struct taking *taking, pthread_cond_t *cond, uint64_t deadline_ns)
{
	int err = -EINPROGRESS;
	bool in_time = true;
	while (err == -EINPROGRESS && in_time) {
		in_time = sleep_until_woken(taking, cond, deadline_ns);
		err = taking_try(taking);
	}
	taking_end(taking);
	return err == -EINPROGRESS ? -ETIMEDOUT : err;
}

static int take(struct taking *taking, enum fsdax_mode mode, uint64_t deadline_ns)
{
	pthread_condattr_t attr;
	pthread_cond_t cond;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&cond, &attr);
	(void)pthread_condattr_destroy(&attr);
	int err = taking_begin(taking, mode, wake_thread, &cond);
	if (err == -EINPROGRESS)
		err = wait_for(taking, &cond, deadline_ns);
	(void)pthread_cond_destroy(&cond);
	return err;
}

PGMAP_PUBLIC int fsdax_truncate_how(struct fsdax_file *file, uint64_t size_bytes, enum fsdax_mode mode,
				    uint64_t deadline_ns)
{
	struct taking taking = {0};
	if ((unsigned)mode > FSDAX_FAIL)
		return -EINVAL;
	if (mode == FSDAX_DEFER)
		return fsdax_truncate(file, size_bytes);
	int err = taking_size(&taking, file, size_bytes);
	return err ? err : take(&taking, mode, deadline_ns);
}

PGMAP_PUBLIC int fsdax_punch(struct fsdax_file *file, uint64_t offset_bytes, uint64_t len_bytes, enum fsdax_mode mode,
			     uint64_t deadline_ns)
{
	struct taking taking = {0};
	if ((unsigned)mode > FSDAX_FAIL)
		return -EINVAL;
	int err = taking_punch(&taking, file, offset_bytes, len_bytes);
	return err ? err : take(&taking, mode, deadline_ns);
}

PGMAP_PUBLIC int fsdax_unlink_how(struct fsdax *fs, const char *path, enum fsdax_mode mode, uint64_t deadline_ns)
{
	struct taking taking = {0};
	if ((unsigned)mode > FSDAX_FAIL)
		return -EINVAL;
	if (mode == FSDAX_DEFER)
		return fsdax_unlink(fs, path);
	int err = taking_unlink(&taking, fs, path);
	return err ? err : take(&taking, mode, deadline_ns);
}

PGMAP_PUBLIC void fsdax_on_taking(struct fsdax *fs, fsdax_taking_fn *taking)
{
	(void)pthread_mutex_lock(&fs->lock);
	fs->taking = taking;
	(void)pthread_mutex_unlock(&fs->lock);
}
