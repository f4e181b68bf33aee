/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * walk.c - directories of the pool, read whole, and trees of them: see walk.h.
 */
#include "walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int add_entry(void *arg, const char *name, const struct pgmap_stat *st)
{
	struct walk_list *list = arg;
	struct walk_entry *entries = cli_grow(list->entries, list->n, &list->room, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	list->entries = entries;
	char *copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	list->entries[list->n++] = (struct walk_entry){copy, *st};
	return 0;
}

int walk_read(struct pgmap_client *client, const char *path, struct walk_list *list)
{
	*list = (struct walk_list){0};
	return pgmap_readdir(client, path, add_entry, list);
}

void walk_free(struct walk_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->entries[i].name);
	free(list->entries);
	*list = (struct walk_list){0};
}

struct walk {
	struct pgmap_client *client;
	bool children_first;
	walk_fn *fn;
	void *arg;
	char *failed;
};

static int walk_entry(const struct walk *walk, const char *path, const struct pgmap_stat *st);

static int failed_at(const struct walk *walk, const char *path, int err)
{
	if (err)
		snprintf(walk->failed, CLI_PATH_MAX, "%s", path);
	return err;
}

static int walk_children(const struct walk *walk, const char *path)
{
	struct walk_list list;
	int err = failed_at(walk, path, walk_read(walk->client, path, &list));
	for (size_t i = 0; i < list.n && err == 0; i++) {
		char child[CLI_PATH_MAX];
		err = failed_at(walk, path, cli_join(child, path, list.entries[i].name));
		if (err == 0)
			err = walk_entry(walk, child, &list.entries[i].st);
	}
	walk_free(&list);
	return err;
}

static int walk_entry(const struct walk *walk, const char *path, const struct pgmap_stat *st)
{
	int err = 0;
	if (st->is_dir && walk->children_first)
		err = walk_children(walk, path);
	if (err == 0)
		err = failed_at(walk, path, walk->fn(walk->arg, path, st));
	if (err == 0 && st->is_dir && !walk->children_first)
		err = walk_children(walk, path);
	return err;
}

int walk_tree(struct pgmap_client *client, const char *path, bool children_first, walk_fn *fn, void *arg, char *failed)
{
	struct walk walk = {client, children_first, fn, arg, failed};
	struct pgmap_stat st;
	failed[0] = '\0';
	int err = failed_at(&walk, path, pgmap_stat(client, path, &st));
	return err ? err : walk_entry(&walk, path, &st);
}
