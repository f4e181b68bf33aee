/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * walk.h - a directory of the pool read whole, so that what is done to its entries cannot disturb the reading.
 *
 * Thread safety: one thread per list.
 */
#ifndef PGMAP_TOOLS_WALK_H
#define PGMAP_TOOLS_WALK_H

#include "cli.h"

struct walk_entry {
	char *name;
	struct pgmap_stat st;
};

struct walk_list {
	struct walk_entry *entries; /* in byte order of the names */
	size_t n, room;
};

/* 0 or -errno; ends the list's memory with walk_free() in both cases. */
int walk_read(struct pgmap_client *client, const char *path, struct walk_list *list);
void walk_free(struct walk_list *list);

/*
 * walk_tree - fn for everything under path, and for path itself: a directory before its entries, or after them with
 * children_first. A non-zero answer of fn ends the walk and is returned. failed, a buffer of CLI_PATH_MAX bytes, gets the
 * path at which the walk or fn failed.
 */
typedef int walk_fn(void *arg, const char *path, const struct pgmap_stat *st);
int walk_tree(struct pgmap_client *client, const char *path, bool children_first, walk_fn *fn, void *arg, char *failed);

#endif
