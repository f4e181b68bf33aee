/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * holder.c - see holder.h.
 *
 * The handle outside is the address of a holder in the first pgmap. That one may be gone, and its address another's, while
 * the rest of its set still has pages in quarantine: so a new one that gets such an address is put aside until there is
 * another.
 */
#include "fs/holder.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "port/compiler.h"

static struct holder_set *set_new(const struct holder_table *table)
{
	return calloc(1, sizeof(struct holder_set) + table->atlas->npgmaps * sizeof(struct pgmap_holder *));
}

int holder_table_init(struct holder_table *table, const struct atlas *atlas)
{
	*table = (struct holder_table){.atlas = atlas};
	LIST_INIT(&table->sets);
	table->nobody = set_new(table);
	if (!table->nobody)
		return -ENOMEM;
	(void)pthread_mutex_init(&table->lock, NULL);
	return 0;
}

/* How many pages all of them left to be quarantined; those that left none are gone. */
static int64_t end_all(const struct holder_table *table, struct holder_set *set)
{
	int64_t left = 0;
	for (size_t i = 0; i < table->atlas->npgmaps; i++) {
		int64_t n = set->of[i] ? pgmap_holder_end(set->of[i]) : 0;
		if (n < 0)
			return n;
		if (!n)
			set->of[i] = NULL;
		left += n;
	}
	return left;
}

/* Whoever left pages in quarantine stays the pgmap's: its end forgets them (pgmap_destroy). */
void holder_table_exit(struct holder_table *table)
{
	struct holder_set *set;
	while ((set = LIST_FIRST(&table->sets)) != NULL) {
		LIST_REMOVE(set, link);
		(void)end_all(table, set);
		free(set);
	}
	free(table->nobody);
	(void)pthread_mutex_destroy(&table->lock);
}

static struct holder_set *find(struct holder_table *table, const struct pgmap_holder *holder)
{
	struct holder_set *set;
	(void)pthread_mutex_lock(&table->lock);
	LIST_FOREACH (set, &table->sets, link) {
		if (set->name == holder)
			break;
	}
	(void)pthread_mutex_unlock(&table->lock);
	return set;
}

const struct holder_set *holder_find(struct holder_table *table, const struct pgmap_holder *holder)
{
	return holder ? find(table, holder) : table->nobody;
}

/* In the first pgmap, by an address that no other set is called by. */
static int create_first(struct holder_table *table, const char *name, struct pgmap_holder **out)
{
	struct pgmap_holder *aside;
	int err = pgmap_holder_create(table->atlas->pgmaps[0], name, out);
	if (err || !find(table, *out))
		return err;
	aside = *out;
	err = create_first(table, name, out);
	(void)pgmap_holder_end(aside);
	return err;
}

static int create_all(struct holder_table *table, const char *name, struct holder_set *set)
{
	int err = create_first(table, name, &set->of[0]);
	for (size_t i = 1; i < table->atlas->npgmaps && !err; i++)
		err = pgmap_holder_create(table->atlas->pgmaps[i], name, &set->of[i]);
	if (err)
		(void)end_all(table, set);
	return err;
}

int holder_create(struct holder_table *table, const char *name, struct pgmap_holder **out)
{
	if (table->atlas->npgmaps == 1)
		return pgmap_holder_create(table->atlas->pgmaps[0], name, out);
	struct holder_set *set = set_new(table);
	if (!set)
		return -ENOMEM;
	int err = create_all(table, name, set);
	if (err) {
		free(set);
		return err;
	}
	set->name = *out = set->of[0];
	(void)pthread_mutex_lock(&table->lock);
	LIST_INSERT_HEAD(&table->sets, set, link);
	(void)pthread_mutex_unlock(&table->lock);
	return 0;
}

static void forget(struct holder_table *table, struct holder_set *set)
{
	(void)pthread_mutex_lock(&table->lock);
	LIST_REMOVE(set, link);
	(void)pthread_mutex_unlock(&table->lock);
	free(set);
}

int64_t holder_end(struct holder_table *table, struct pgmap_holder *holder)
{
	if (table->atlas->npgmaps == 1)
		return pgmap_holder_end(holder);
	struct holder_set *set = find(table, holder);
	if (!set)
		return -EINVAL;
	int64_t left = end_all(table, set);
	if (!left)
		forget(table, set);
	return left;
}

int holder_fence(struct holder_table *table, struct pgmap_holder *holder)
{
	if (table->atlas->npgmaps == 1)
		return pgmap_holder_fence(holder);
	struct holder_set *set = find(table, holder);
	if (!set)
		return -EINVAL;
	for (size_t i = 0; i < table->atlas->npgmaps; i++) {
		int err = set->of[i] ? pgmap_holder_fence(set->of[i]) : 0;
		if (err)
			return err;
		set->of[i] = NULL;
	}
	forget(table, set);
	return 0;
}

int holder_charge(struct holder_table *table, const struct pgmap_holder *holder, struct pgmap_charge *out)
{
	*out = (struct pgmap_charge){0};
	if (table->atlas->npgmaps == 1) {
		pgmap_holder_charge(holder, out);
		return 0;
	}
	const struct holder_set *set = find(table, holder);
	for (size_t i = 0; set && i < table->atlas->npgmaps; i++) {
		struct pgmap_charge charge = {0};
		if (set->of[i])
			pgmap_holder_charge(set->of[i], &charge);
		out->refs += charge.refs;
		out->pins_local += charge.pins_local;
		out->pins_remote += charge.pins_remote;
		out->pages += charge.pages;
	}
	return set ? 0 : -EINVAL;
}

PGMAP_PUBLIC int fsdax_holder_create(struct fsdax *fs, const char *name, struct pgmap_holder **out)
{
	return fs && name && out ? holder_create(&fs->holders, name, out) : -EINVAL;
}

PGMAP_PUBLIC int64_t fsdax_holder_end(struct fsdax *fs, struct pgmap_holder *holder)
{
	return fs && holder ? holder_end(&fs->holders, holder) : -EINVAL;
}

PGMAP_PUBLIC int fsdax_holder_fence(struct fsdax *fs, struct pgmap_holder *holder)
{
	return fs && holder ? holder_fence(&fs->holders, holder) : -EINVAL;
}

PGMAP_PUBLIC int fsdax_holder_charge(struct fsdax *fs, const struct pgmap_holder *holder, struct pgmap_charge *out)
{
	return fs && holder && out ? holder_charge(&fs->holders, holder, out) : -EINVAL;
}
