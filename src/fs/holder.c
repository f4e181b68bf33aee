/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * holder.c - somebody whom references on pages of a pool are charged to, on whichever of its devices they lie: one holder of
 * each pgmap. What the core says of one, it says of all of them together.
 *
 * Thread safety: `on` changes only in fsdax_holder_end() and _fence(), of which `ending` lets one in at a time; after
 * them nothing may be charged any more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "port/compiler.h"

struct fsdax_holder {
	const struct fsdax *fs;
	atomic_bool ending, ended;
	char name[64];
	unsigned n;
	struct pgmap_holder *on[]; /* by device; null: gone */
};

struct pgmap_holder *holder_on(struct charged holder, unsigned device)
{
	return holder.all ? holder.all->on[device] : holder.one;
}

int holder_check(const struct fsdax *fs, struct charged holder)
{
	if (holder.one)
		return places_now(&fs->space.places)->ndevices > 1 ? -EINVAL : 0;
	if (holder.all && holder.all->fs != fs)
		return -EINVAL;
	return holder.all && atomic_load_explicit(&holder.all->ended, memory_order_relaxed) ? -ESHUTDOWN : 0;
}

/* All of them: the number of pages that are quarantined for it, or the first error. */
static int64_t end_all(struct fsdax_holder *holder)
{
	int64_t pages = 0;
	int err = 0;
	for (unsigned i = 0; i < holder->n; i++) {
		int64_t n = holder->on[i] ? pgmap_holder_end(holder->on[i]) : 0;
		if (n == 0)
			holder->on[i] = NULL;
		else if (n > 0)
			pages += n;
		else
			err = err ? err : (int)n;
	}
	return err ? err : pages;
}

PGMAP_PUBLIC int fsdax_holder_create(struct fsdax *fs, const char *name, struct fsdax_holder **out)
{
	if (!fs || !name || !out)
		return -EINVAL;
	const struct places_table *table = places_now(&fs->space.places);
	struct fsdax_holder *holder = calloc(1, sizeof(*holder) + table->ndevices * sizeof(struct pgmap_holder *));
	int err = holder ? 0 : -ENOMEM;
	for (; !err && holder->n < table->ndevices; holder->n += !err)
		err = pgmap_holder_create(table->devices[holder->n].span.pgmap, name, &holder->on[holder->n]);
	if (err && holder)
		(void)end_all(holder);
	if (err) {
		free(holder);
		return err;
	}
	holder->fs = fs;
	(void)snprintf(holder->name, sizeof(holder->name), "%s", name);
	*out = holder;
	return 0;
}

PGMAP_PUBLIC int64_t fsdax_holder_end(struct fsdax_holder *holder)
{
	if (!holder)
		return -EINVAL;
	if (atomic_exchange_explicit(&holder->ending, true, memory_order_acquire))
		return -EBUSY;
	atomic_store_explicit(&holder->ended, true, memory_order_relaxed);
	int64_t pages = end_all(holder);
	if (pages == 0)
		free(holder);
	else
		atomic_store_explicit(&holder->ending, false, memory_order_release);
	return pages;
}

PGMAP_PUBLIC int fsdax_holder_fence(struct fsdax_holder *holder)
{
	int err = 0;
	if (!holder)
		return -EINVAL;
	if (!atomic_load_explicit(&holder->ended, memory_order_relaxed) ||
	    atomic_exchange_explicit(&holder->ending, true, memory_order_acquire))
		return -EBUSY;
	for (unsigned i = 0; i < holder->n && !err; i++) {
		err = holder->on[i] ? pgmap_holder_fence(holder->on[i]) : 0;
		if (!err)
			holder->on[i] = NULL;
	}
	if (err)
		atomic_store_explicit(&holder->ending, false, memory_order_release);
	else
		free(holder);
	return err;
}

PGMAP_PUBLIC const char *fsdax_holder_name(const struct fsdax_holder *holder)
{
	return holder->name;
}

PGMAP_PUBLIC struct pgmap_holder *fsdax_holder_of(const struct fsdax_holder *holder, const struct pgmap *pgmap)
{
	const struct places_table *table = places_now(&holder->fs->space.places);
	for (unsigned i = 0; i < holder->n; i++) {
		if (table->devices[i].span.pgmap == pgmap)
			return holder->on[i];
	}
	return NULL;
}

PGMAP_PUBLIC void fsdax_holder_charge(const struct fsdax_holder *holder, struct pgmap_charge *out)
{
	*out = (struct pgmap_charge){0};
	for (unsigned i = 0; i < holder->n; i++) {
		struct pgmap_charge charge;
		if (!holder->on[i])
			continue;
		pgmap_holder_charge(holder->on[i], &charge);
		out->refs += charge.refs;
		out->pins_local += charge.pins_local;
		out->pins_remote += charge.pins_remote;
		out->pages += charge.pages;
	}
}
