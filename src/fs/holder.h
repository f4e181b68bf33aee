/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * holder.h - whom a pool charges: a holder of the core belongs to one pgmap, and a pool on a stack has several.
 *
 * Outside, a holder is the one that it has in the pool's first pgmap; the others are found by it. A set of them is an array
 * in the order of the atlas's pgmaps. With one pgmap every holder of it will do, and nothing is looked up.
 *
 * Thread safety: the set of a holder is there until it was ended, or fenced if it left pages to be quarantined; whoever
 * charges it keeps it from that. The table has a lock of its own, a leaf.
 */
#ifndef PGMAP_FS_HOLDER_H
#define PGMAP_FS_HOLDER_H

#include <pthread.h>
#include <sys/queue.h>

#include "fs/atlas.h"

struct holder_set {
	LIST_ENTRY(holder_set) link;
	struct pgmap_holder *name; /* what it is called outside; the one in the first pgmap, while that is there */
	struct pgmap_holder *of[]; /* null: nobody, or gone */
};

struct holder_table {
	pthread_mutex_t lock;
	const struct atlas *atlas;
	LIST_HEAD(, holder_set) sets; /* with several pgmaps only */
	struct holder_set *nobody;
};

/* -ENOMEM. holder_table_exit ends those that are left. */
int holder_table_init(struct holder_table *table, const struct atlas *atlas);
void holder_table_exit(struct holder_table *table);

/* holder_find - the set of this holder (null: nobody), or null: it has none here. Only with several pgmaps. */
const struct holder_set *holder_find(struct holder_table *table, const struct pgmap_holder *holder);

int holder_create(struct holder_table *table, const char *name, struct pgmap_holder **out);
int64_t holder_end(struct holder_table *table, struct pgmap_holder *holder);
int holder_fence(struct holder_table *table, struct pgmap_holder *holder);
int holder_charge(struct holder_table *table, const struct pgmap_holder *holder, struct pgmap_charge *out);

#endif
