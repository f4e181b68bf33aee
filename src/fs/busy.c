/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * busy.c - which pages of files somebody holds, and who waits for them.
 *
 * The core knows what is held, by the device's pages, and by whom, whether the pool made the reference or not; the pool
 * knows whose the pages are. So the core's walk is looked up in the list of the files' blocks, in the device's order. It
 * costs what is held, and the blocks of the files that are asked about. On a stack, one device after the other. Under the namespace lock, then the core's.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "fs/name.h"
#include "fs/taking.h"
#include "port/compiler.h"

struct owned {
	uint64_t off, pages; /* of the pgmap */
	uint64_t file_page;
	const struct inode *inode;
	unsigned device;
};

struct walk {
	struct owned *blocks; /* ascending, by device and page */
	uint64_t n;
	int (*fn)(void *arg, const struct fsdax_busy *busy);
	void *arg;
};

static int compare(const void *a, const void *b)
{
	const struct owned *x = a, *y = b;
	if (x->device != y->device)
		return x->device < y->device ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

static void add(const struct fsdax *fs, struct walk *walk, struct inode *inode)
{
	struct block *block = block_first(&inode->extents.tree);
	for (; block; block = block_next(block)) {
		struct spot spot = places_spot(&fs->space.places, block->off);
		walk->blocks[walk->n++] =
			(struct owned){spot.pgoff, block_pages(block), block->key, inode, spot.device};
	}
}

static uint64_t count_waiting(const struct inode *inode, uint64_t from, uint64_t end)
{
	const struct taking *taking;
	uint64_t n = 0;
	LIST_FOREACH (taking, &inode->takings, link)
		n += taking->told && taking->from < end && from < taking->to;
	return n;
}

static int tell(struct walk *walk, const struct owned *block, const struct pgmap_held *held)
{
	uint64_t end = held->pgoff + (UINT64_C(1) << held->order), block_end = block->off + block->pages;
	uint64_t from = held->pgoff > block->off ? held->pgoff : block->off;
	if (block_end < end)
		end = block_end;
	uint64_t page = block->file_page + (from - block->off);
	const struct fsdax_busy busy = {
		.ino = block->inode->ino,
		.offset_bytes = page << PGMAP_PAGE_SHIFT,
		.len_bytes = (end - from) << PGMAP_PAGE_SHIFT,
		.holder = held->holder,
		.state = held->state,
		.refs = held->holder ? held->charge.refs : held->anon,
		.pins_local = held->charge.pins_local,
		.pins_remote = held->charge.pins_remote,
		.waiting = count_waiting(block->inode, page, page + (end - from)),
	};
	return walk->fn(walk->arg, &busy);
}

static int look_up(const struct pgmap_held *held, void *arg)
{
	struct walk *walk = arg;
	uint64_t low = 0, high = walk->n, end = held->pgoff + (UINT64_C(1) << held->order);
	int err = 0;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		if (walk->blocks[middle].off + walk->blocks[middle].pages > held->pgoff)
			high = middle;
		else
			low = middle + 1;
	}
	for (; low < walk->n && walk->blocks[low].off < end && !err; low++)
		err = tell(walk, &walk->blocks[low], held);
	return err;
}

/* Each device's pgmap, with the blocks that lie on it. */
static int walk_devices(const struct fsdax *fs, const struct walk *all)
{
	struct walk walk = *all;
	uint64_t end = 0;
	int err = 0;
	while (end < all->n && !err) {
		uint64_t first = end;
		while (end < all->n && all->blocks[end].device == all->blocks[first].device)
			end++;
		walk.blocks = all->blocks + first;
		walk.n = end - first;
		err = pgmap_for_each_held(places_now(&fs->space.places)->devices[walk.blocks->device].span.pgmap,
					  look_up, &walk);
	}
	return err;
}

int busy_for_each(struct fsdax *fs, const struct inode *only, int (*fn)(void *arg, const struct fsdax_busy *busy),
		  void *arg)
{
	struct walk walk = {.fn = fn, .arg = arg};
	struct inode *inode;
	uint64_t n = 0;
	for (inode = inode_first(&fs->inodes); inode; inode = inode_next(inode))
		n += !only || inode == only ? inode->extents.count : 0;
	if (!n)
		return 0;
	walk.blocks = calloc(n, sizeof(*walk.blocks));
	if (!walk.blocks)
		return -ENOMEM;
	for (inode = inode_first(&fs->inodes); inode; inode = inode_next(inode)) {
		if (!only || inode == only)
			add(fs, &walk, inode);
	}
	qsort(walk.blocks, walk.n, sizeof(*walk.blocks), compare);
	int err = walk_devices(fs, &walk);
	free(walk.blocks);
	return err;
}

PGMAP_PUBLIC int fsdax_for_each_busy(struct fsdax *fs, const char *path,
				     int (*fn)(void *arg, const struct fsdax_busy *busy), void *arg)
{
	struct inode *only = NULL;
	if (!fs || !fn)
		return -EINVAL;
	(void)pthread_mutex_lock(&fs->lock);
	int err = path ? name_file(fs->root, path, &only) : 0;
	if (!err)
		err = busy_for_each(fs, only, fn, arg);
	(void)pthread_mutex_unlock(&fs->lock);
	return err;
}
