/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * holder.c - somebody whom references on pages of a pool are charged to, on whichever of its devices they lie: one holder of
 * each pgmap. What the core says of one, it says of all of them together.
 *
 * Devices come and go: then each holder gets a part there, or loses it (holders_add, holders_remove), under fs->holders.lock for
 * writing. Whoever ends a holder has it for reading: so who is just being ended (long, and without the namespace lock) is not
 * lost sight of, and several can be. One that has been ended gets no more parts: it has some only where pages are
 * quarantined for it, and such a device cannot leave.
 *
 * `at` changes otherwise only in fsdax_holder_end() and _fence(), of which `ending` lets one in at a time, and which end the
 * parts that they take out. Who asks them all what is charged has the lock for writing. Who maps looks for a part under the
 * namespace lock, once he has found there that the holder is not `ended`, which is set under it before the first part ends: what
 * he charges is there before that, and is let go with the rest. That device stays, as he has a folio of it, and the arrays of
 * parts stay as long as the holder.
 *
 * Lock order: fs->holders.lock, then the namespace lock, which it is not taken under.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "port/abort.h"
#include "port/compiler.h"

/* By device; null: gone, or none yet. */
struct parts {
	struct parts *older; /* smaller ones, which somebody may still read */
	unsigned n;
	_Atomic(struct pgmap_holder *) at[];
};

struct fsdax_holder {
	LIST_ENTRY(fsdax_holder) link; /* fs->holders.all */
	struct fsdax *fs;
	atomic_bool ending, ended;
	char name[64];
	_Atomic(struct parts *) parts;
};

void holders_init(struct holders *holders)
{
	pthread_rwlockattr_t attr;
	(void)pthread_rwlockattr_init(&attr);
	(void)pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	(void)pthread_rwlock_init(&holders->lock, &attr);
	(void)pthread_rwlockattr_destroy(&attr);
	LIST_INIT(&holders->all);
}

void holders_exit(struct holders *holders)
{
	(void)pthread_rwlock_destroy(&holders->lock);
}

void holders_lock(struct fsdax *fs)
{
	(void)pthread_rwlock_wrlock(&fs->holders.lock);
}

void holders_unlock(struct fsdax *fs)
{
	(void)pthread_rwlock_unlock(&fs->holders.lock);
}

/* Its own was there first, so it is the last of the list. */
bool holders_live(const struct fsdax *fs)
{
	return LIST_FIRST(&fs->holders.all) != fs->holder;
}

static struct parts *parts_of(const struct fsdax_holder *holder)
{
	return atomic_load_explicit(&holder->parts, memory_order_acquire);
}

static struct pgmap_holder *part_at(const struct fsdax_holder *holder, unsigned device)
{
	struct parts *parts = parts_of(holder);
	return device < parts->n ? atomic_load_explicit(&parts->at[device], memory_order_acquire) : NULL;
}

static void set_part(struct fsdax_holder *holder, unsigned device, struct pgmap_holder *part)
{
	atomic_store_explicit(&parts_of(holder)->at[device], part, memory_order_release);
}

static struct parts *parts_alloc(unsigned n)
{
	struct parts *parts = calloc(1, sizeof(*parts) + n * sizeof(parts->at[0]));
	if (parts)
		parts->n = n;
	return parts;
}

/* Room for so many devices: -ENOMEM. */
static int make_room(struct fsdax_holder *holder, unsigned n)
{
	struct parts *now = parts_of(holder);
	if (n <= now->n)
		return 0;
	struct parts *then = parts_alloc(n > 2 * now->n ? n : 2 * now->n);
	if (!then)
		return -ENOMEM;
	for (unsigned i = 0; i < now->n; i++)
		atomic_init(&then->at[i], part_at(holder, i));
	then->older = now;
	atomic_store_explicit(&holder->parts, then, memory_order_release);
	return 0;
}

static void holder_free(struct fsdax_holder *holder)
{
	struct parts *parts = parts_of(holder);
	while (parts) {
		struct parts *older = parts->older;
		free(parts);
		parts = older;
	}
	free(holder);
}

struct pgmap_holder *holder_on(struct charged holder, unsigned device)
{
	return holder.all ? part_at(holder.all, device) : holder.one;
}

static bool has_several_devices(const struct places_table *table)
{
	unsigned n = 0;
	for (unsigned i = 0; i < table->ndevices; i++)
		n += table->devices[i].memory != NULL;
	return n > 1;
}

int holder_check(const struct fsdax *fs, struct charged holder)
{
	if (holder.one) /* whether it is of that pgmap the core says */
		return has_several_devices(places_now(&fs->space.places)) ? -EINVAL : 0;
	if (holder.all && holder.all->fs != fs)
		return -EINVAL;
	return holder.all && atomic_load_explicit(&holder.all->ended, memory_order_relaxed) ? -ESHUTDOWN : 0;
}

/* One that nobody charges to. */
static void drop_part(struct fsdax_holder *holder, unsigned device)
{
	struct pgmap_holder *part = part_at(holder, device);
	int64_t left = part ? pgmap_holder_end(part) : 0;
	if (left)
		port_abort("fsdax: holder %s has pages of device %u, which nobody has: %" PRId64, holder->name, device,
			   left);
	set_part(holder, device, NULL);
}

void holders_remove(struct fsdax *fs, unsigned device)
{
	struct fsdax_holder *holder;
	LIST_FOREACH (holder, &fs->holders.all, link) {
		if (device < parts_of(holder)->n)
			drop_part(holder, device);
	}
}

static int add_part(struct fsdax_holder *holder, struct pgmap *pgmap, unsigned device)
{
	struct pgmap_holder *part;
	int err = make_room(holder, device + 1);
	if (!err)
		err = pgmap_holder_create(pgmap, holder->name, &part);
	if (!err)
		set_part(holder, device, part);
	return err;
}

int holders_add(struct fsdax *fs, struct pgmap *pgmap, unsigned device)
{
	struct fsdax_holder *holder;
	int err = 0;
	LIST_FOREACH (holder, &fs->holders.all, link) {
		if (!err && !atomic_load_explicit(&holder->ended, memory_order_relaxed))
			err = add_part(holder, pgmap, device);
	}
	if (err)
		holders_remove(fs, device);
	return err;
}

/* All of them: the number of pages that are quarantined for it, or the first error. */
static int64_t end_all(struct fsdax_holder *holder)
{
	int64_t pages = 0;
	int err = 0;
	for (unsigned i = 0; i < parts_of(holder)->n; i++) {
		struct pgmap_holder *part = part_at(holder, i);
		int64_t n = part ? pgmap_holder_end(part) : 0;
		if (n == 0)
			set_part(holder, i, NULL);
		else if (n > 0)
			pages += n;
		else
			err = err ? err : (int)n;
	}
	return err ? err : pages;
}

static int add_parts(struct fsdax_holder *holder, const struct places_table *table)
{
	int err = 0;
	for (unsigned i = 0; i < table->ndevices && !err; i++)
		err = table->devices[i].memory ? add_part(holder, table->devices[i].span.pgmap, i) : 0;
	if (err)
		(void)end_all(holder);
	return err;
}

PGMAP_PUBLIC int fsdax_holder_create(struct fsdax *fs, const char *name, struct fsdax_holder **out)
{
	if (!fs || !name || !out)
		return -EINVAL;
	struct fsdax_holder *holder = calloc(1, sizeof(*holder));
	struct parts *parts = holder ? parts_alloc(1) : NULL;
	if (!parts) {
		free(holder);
		return -ENOMEM;
	}
	atomic_init(&holder->parts, parts);
	holder->fs = fs;
	(void)snprintf(holder->name, sizeof(holder->name), "%s", name);
	holders_lock(fs);
	int err = add_parts(holder, places_now(&fs->space.places));
	if (!err)
		LIST_INSERT_HEAD(&fs->holders.all, holder, link);
	holders_unlock(fs);
	if (err)
		holder_free(holder);
	else
		*out = holder;
	return err;
}

/* Its handle is gone. */
static void forget(struct fsdax_holder *holder)
{
	struct fsdax *fs = holder->fs;
	holders_lock(fs);
	LIST_REMOVE(holder, link);
	holders_unlock(fs);
	holder_free(holder);
}

PGMAP_PUBLIC int64_t fsdax_holder_end(struct fsdax_holder *holder)
{
	if (!holder)
		return -EINVAL;
	if (atomic_exchange_explicit(&holder->ending, true, memory_order_acquire))
		return -EBUSY;
	struct fsdax *fs = holder->fs;
	(void)pthread_rwlock_rdlock(&fs->holders.lock);
	(void)pthread_mutex_lock(&fs->lock);
	atomic_store_explicit(&holder->ended, true, memory_order_relaxed);
	(void)pthread_mutex_unlock(&fs->lock);
	int64_t pages = end_all(holder);
	(void)pthread_rwlock_unlock(&fs->holders.lock);
	if (pages == 0)
		forget(holder);
	else
		atomic_store_explicit(&holder->ending, false, memory_order_release);
	return pages;
}

static int fence_all(struct fsdax_holder *holder)
{
	int err = 0;
	for (unsigned i = 0; i < parts_of(holder)->n && !err; i++) {
		struct pgmap_holder *part = part_at(holder, i);
		err = part ? pgmap_holder_fence(part) : 0;
		if (!err)
			set_part(holder, i, NULL);
	}
	return err;
}

PGMAP_PUBLIC int fsdax_holder_fence(struct fsdax_holder *holder)
{
	if (!holder)
		return -EINVAL;
	if (!atomic_load_explicit(&holder->ended, memory_order_relaxed) ||
	    atomic_exchange_explicit(&holder->ending, true, memory_order_acquire))
		return -EBUSY;
	(void)pthread_rwlock_rdlock(&holder->fs->holders.lock);
	int err = fence_all(holder);
	(void)pthread_rwlock_unlock(&holder->fs->holders.lock);
	if (err)
		atomic_store_explicit(&holder->ending, false, memory_order_release);
	else
		forget(holder);
	return err;
}

PGMAP_PUBLIC const char *fsdax_holder_name(const struct fsdax_holder *holder)
{
	return holder->name;
}

PGMAP_PUBLIC struct pgmap_holder *fsdax_holder_of(const struct fsdax_holder *holder, const struct pgmap *pgmap)
{
	const struct places_table *table = places_now(&holder->fs->space.places);
	for (unsigned i = 0; i < table->ndevices; i++) {
		if (table->devices[i].memory && table->devices[i].span.pgmap == pgmap)
			return part_at(holder, i);
	}
	return NULL;
}

PGMAP_PUBLIC void fsdax_holder_charge(const struct fsdax_holder *holder, struct pgmap_charge *out)
{
	*out = (struct pgmap_charge){0};
	holders_lock(holder->fs);
	for (unsigned i = 0; i < parts_of(holder)->n; i++) {
		struct pgmap_holder *part = part_at(holder, i);
		struct pgmap_charge charge;
		if (!part)
			continue;
		pgmap_holder_charge(part, &charge);
		out->refs += charge.refs;
		out->pins_local += charge.pins_local;
		out->pins_remote += charge.pins_remote;
		out->pages += charge.pages;
	}
	holders_unlock(holder->fs);
}
