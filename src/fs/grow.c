/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * grow.c - a device comes to a pool that is in use: fsdax_add_device().
 *
 * First all that can fail, and that nobody sees: the table with the device in it, the blocks of its pages, its part of each
 * holder. Then the stack gets the part, which is the last that can fail; what the device says from then on of pages that the
 * pool does not know yet is let pass (fs.c). Then, in one step under the space's lock, they are the pool's, and free; whether
 * some are bad or dead is asked in that step.
 *
 * Under the lock of the holders and the namespace lock.
 */
#include <errno.h>

#include "dax/linear.h"
#include "fs/fs.h"
#include "fs/leaving.h"
#include "port/compiler.h"

static int add(struct fsdax *fs, struct dax_device *dax, struct places_table *table, unsigned index)
{
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	const struct dax_part part = {.dax = dax};
	int err = leaving_prepare(&fs->space, table, index, &blocks);
	if (!err)
		err = holders_add(fs, table->devices[index].span.pgmap, index);
	if (err) {
		block_free_list(&blocks);
		return err;
	}
	err = dax_linear_add(fs->dax, &part);
	if (err) {
		holders_remove(fs, index);
		block_free_list(&blocks);
		return err;
	}
	leaving_add(&fs->space, table, index, &blocks);
	return 0;
}

static int add_locked(struct fsdax *fs, struct dax_device *dax, unsigned *index)
{
	struct places_table *table;
	if (!linear_is(fs->dax))
		return -EOPNOTSUPP;
	if (!dax_alive(fs->dax) || !dax_alive(dax))
		return -ENXIO;
	int err = places_with(&fs->space.places, dax, &table, index);
	if (err)
		return err;
	err = add(fs, dax, table, *index);
	if (err)
		places_forget(table);
	return err;
}

PGMAP_PUBLIC int fsdax_add_device(struct fsdax *fs, struct dax_device *dax, unsigned *index)
{
	unsigned added;
	if (!fs || !dax)
		return -EINVAL;
	holders_lock(fs);
	(void)pthread_mutex_lock(&fs->lock);
	int err = add_locked(fs, dax, &added);
	(void)pthread_mutex_unlock(&fs->lock);
	holders_unlock(fs);
	if (!err && index)
		*index = added;
	return err;
}
