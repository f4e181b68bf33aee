/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leave.c - a device leaves a pool that is in use: begin, cancel, end; and what it still waits for. leaving.h says why nothing
 * slips through.
 *
 * All under the namespace lock, under which files get and lose pages; the end under that of the holders, too.
 */
#include <errno.h>

#include "dax/linear.h"
#include "dax/where.h"
#include "fs/fs.h"
#include "fs/leaving.h"
#include "fs/name.h"
#include "port/compiler.h"

/* There is one of this index. */
static const struct places_device *find(const struct fsdax *fs, unsigned index)
{
	const struct places_table *table = places_now(&fs->space.places);
	return index < table->ndevices && table->devices[index].memory ? &table->devices[index] : NULL;
}

/* `leaving` changes under the namespace lock, too. */
static const struct places_device *find_leaving(const struct fsdax *fs, unsigned index)
{
	const struct places_device *device = find(fs, index);
	return device && fs->space.devices[index].leaving ? device : NULL;
}

static int count_memory(const struct dax_device *memory, void *arg)
{
	(void)memory;
	return ++*(unsigned *)arg > 1;
}

/* What the stack stands on there, if that is this memory and nothing else, and has pages that are its alone; or null. */
static struct dax_device *part_of(const struct fsdax *fs, const struct places_device *device)
{
	unsigned memories = 0;
	const struct space_device *own = &fs->space.devices[device - places_now(&fs->space.places)->devices];
	struct dax_device *part = linear_is(fs->dax) && own->npages ? linear_part_on(fs->dax, device->memory) : NULL;
	return part && where_each_memory(part, count_memory, &memories) == 0 ? part : NULL;
}

/* By its part: what lies between it and its memory can be dead, too. */
static bool stays(const struct fsdax *fs, unsigned index)
{
	const struct places_device *device = &places_now(&fs->space.places)->devices[index];
	if (!device->memory || fs->space.devices[index].leaving)
		return false;
	const struct dax_device *part = linear_part_on(fs->dax, device->memory);
	return part && dax_alive(part);
}

static bool others_stay(const struct fsdax *fs, unsigned index)
{
	unsigned n = places_now(&fs->space.places)->ndevices;
	for (unsigned i = 0; i < n; i++) {
		if (i != index && stays(fs, i))
			return true;
	}
	return false;
}

static uint64_t owned_by(const struct fsdax *fs, struct inode *inode, unsigned index)
{
	uint64_t pages = 0;
	for (struct block *block = block_first(&inode->extents.tree); block; block = block_next(block))
		pages += places_spot(&fs->space.places, block->off).device == index ? block_pages(block) : 0;
	return pages;
}

/* Of files that have no name any more: somebody has them open, or maps them. */
static uint64_t owned_unlinked(struct fsdax *fs, unsigned index)
{
	uint64_t pages = 0;
	for (struct inode *inode = inode_first(&fs->inodes); inode; inode = inode_next(inode))
		pages += inode->nlink ? 0 : owned_by(fs, inode, index);
	return pages;
}

static void say_owned(struct fsdax *fs, unsigned index, uint64_t used, struct fsdax_owned *owned)
{
	owned->bytes = used << PGMAP_PAGE_SHIFT;
	for (struct inode *inode = inode_first(&fs->inodes); inode; inode = inode_next(inode)) {
		if (!inode->nlink || !owned_by(fs, inode, index))
			continue;
		if (!owned->files++)
			(void)name_path(inode, owned->path, sizeof(owned->path));
	}
}

static int begin(struct fsdax *fs, unsigned index, struct fsdax_owned *owned)
{
	uint64_t used = 0;
	const struct places_device *device = find(fs, index);
	if (!device)
		return -EINVAL;
	if (fs->space.devices[index].leaving)
		return -EALREADY;
	if (!part_of(fs, device))
		return -EOPNOTSUPP;
	if (!others_stay(fs, index))
		return -EBUSY;
	uint64_t unlinked = owned_unlinked(fs, index);
	int err = leaving_begin(&fs->space, index, unlinked, &used);
	if (err == -EBUSY)
		say_owned(fs, index, used - unlinked, owned);
	if (!err)
		(void)pgmap_kill(device->span.pgmap);
	return err;
}

PGMAP_PUBLIC int fsdax_leave_begin(struct fsdax *fs, unsigned index, struct fsdax_owned *owned)
{
	struct fsdax_owned found = {0};
	if (!fs)
		return -EINVAL;
	(void)pthread_mutex_lock(&fs->lock);
	int err = begin(fs, index, &found);
	(void)pthread_mutex_unlock(&fs->lock);
	if (owned)
		*owned = found;
	return err;
}

static uint64_t held(struct fsdax *fs, unsigned index, const struct places_device *device)
{
	uint64_t rest = leaving_rest(&fs->space, index), live = pgmap_live_pages(device->span.pgmap);
	return rest > live ? rest : live;
}

PGMAP_PUBLIC int fsdax_leave_held(struct fsdax *fs, unsigned index, uint64_t *pages)
{
	if (!fs || !pages)
		return -EINVAL;
	(void)pthread_mutex_lock(&fs->lock);
	const struct places_device *device = find_leaving(fs, index);
	if (device)
		*pages = held(fs, index, device);
	(void)pthread_mutex_unlock(&fs->lock);
	return device ? 0 : -EINVAL;
}

PGMAP_PUBLIC int fsdax_leave_for_each_held(struct fsdax *fs, unsigned index,
					   int (*fn)(const struct pgmap_held *held, void *arg), void *arg)
{
	if (!fs || !fn)
		return -EINVAL;
	(void)pthread_mutex_lock(&fs->lock);
	const struct places_device *device = find_leaving(fs, index);
	int err = device ? pgmap_for_each_held(device->span.pgmap, fn, arg) : -EINVAL;
	(void)pthread_mutex_unlock(&fs->lock);
	return err;
}

static int cancel(struct fsdax *fs, unsigned index)
{
	const struct places_device *device = find_leaving(fs, index);
	int err = device ? pgmap_revive(device->span.pgmap) : -EINVAL;
	if (!err)
		leaving_cancel(&fs->space, index);
	return err;
}

PGMAP_PUBLIC int fsdax_leave_cancel(struct fsdax *fs, unsigned index)
{
	if (!fs)
		return -EINVAL;
	(void)pthread_mutex_lock(&fs->lock);
	int err = cancel(fs, index);
	(void)pthread_mutex_unlock(&fs->lock);
	return err;
}

void leave_cancel_all(struct fsdax *fs)
{
	for (unsigned i = 0; i < fs->space.ndevices; i++)
		(void)cancel(fs, i);
}

/* Nobody has a page of it, and nobody can get one: DEAD is for good, so what can refuse it is asked before, or with it. */
static int end(struct fsdax *fs, unsigned index, struct dax_device **part)
{
	const struct places_device *device = find_leaving(fs, index);
	if (!device)
		return -EINVAL;
	if (leaving_rest(&fs->space, index) || !others_stay(fs, index))
		return -EBUSY;
	struct dax_device *lower = part_of(fs, device);
	struct places_table *table = places_without(&fs->space.places, index);
	if (!table)
		return -ENOMEM;
	int err = linear_remove(fs->dax, lower, device->span.pgmap);
	if (err) {
		places_forget(table);
		return err;
	}
	holders_remove(fs, index);
	leaving_end(&fs->space, table, index);
	*part = lower;
	return 0;
}

PGMAP_PUBLIC int fsdax_leave_end(struct fsdax *fs, unsigned index, struct dax_device **part)
{
	struct dax_device *lower = NULL;
	if (!fs)
		return -EINVAL;
	holders_lock(fs);
	(void)pthread_mutex_lock(&fs->lock);
	int err = end(fs, index, &lower);
	(void)pthread_mutex_unlock(&fs->lock);
	holders_unlock(fs);
	if (!err && part)
		*part = lower;
	return err;
}
