/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * edges.h - a pool of 64 MiB on the target that $SUITE_TARGET names, and what must be true of its accounts after every call,
 * whatever the call was.
 */
#ifndef PGMAP_TESTS_SYSTEM_EDGES_H
#define PGMAP_TESTS_SYSTEM_EDGES_H

#include "sys.h"

enum { POOL_PAGES = 16384, RW = PGMAP_MAP_READ | PGMAP_MAP_WRITE, PAGE = 4096, PATH_BYTES = 1300 };
#define POOL_BYTES  ((uint64_t)POOL_PAGES * PAGE)
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static struct sys_suite suite;
static struct pgmap_client *client;

static inline int edges_begin(void **state)
{
	(void)state;
	int err = sys_suite_begin(&suite);
	client = suite.client;
	return err;
}

static inline int edges_end(void **state)
{
	(void)state;
	return sys_suite_end(&suite);
}

struct tree {
	const char *path;
	uint64_t blocks, names, sum; /* sum: of all paths and sizes */
};

static inline struct tree look(const char *path);

static inline int add_entry(void *arg, const char *name, const struct pgmap_stat *st)
{
	struct tree *tree = arg;
	char path[PATH_BYTES];
	(void)snprintf(path, sizeof(path), "%s/%s", tree->path, name);
	for (const char *p = path; *p; p++)
		tree->sum = (tree->sum ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
	tree->sum = (tree->sum ^ st->size_bytes ^ st->ino << 32) * UINT64_C(0x100000001b3);
	tree->blocks += st->blocks;
	tree->names++;
	if (st->is_dir) {
		struct tree below = look(path);
		tree->blocks += below.blocks;
		tree->names += below.names;
		tree->sum += below.sum;
	}
	return 0;
}

static inline struct tree look(const char *path)
{
	struct tree tree = {.path = path};
	assert_int_equal(pgmap_readdir(client, *path ? path : "/", add_entry, &tree), 0);
	return tree;
}

/* Space by what it is for, by order, and by what it holds; files by their names; pages by who holds them. Nobody maps two
 * ranges of one file here, nor has one that is unlinked. */
static inline struct tree accounts(void)
{
	struct pgmap_info info = sys_info(client);
	struct tree all = look("");
	uint64_t by_order = 0;
	for (unsigned order = 0; order < COUNT(info.free_by_order); order++)
		by_order += info.free_by_order[order] << order;
	assert_int_equal(info.pages, POOL_PAGES);
	assert_int_equal(by_order, info.free);
	assert_int_equal(info.clean + info.dirty + info.absent, info.free);
	assert_int_equal(info.used, all.blocks);
	assert_int_equal(info.files + info.dirs, all.names + 1); /* the root has no name */
	assert_int_equal(sys_who(client, NULL, 0).pages, info.live_pages);
	assert_true(info.live_pages <= info.used + info.waiting);
	return all;
}

static inline void assert_same(const struct tree *before)
{
	struct tree now = accounts();
	assert_int_equal(now.names, before->names);
	assert_int_equal(now.sum, before->sum);
	assert_int_equal(now.blocks, before->blocks);
}

static inline struct pgmap_file *file_of(const char *path, uint64_t bytes)
{
	struct pgmap_file *file;
	assert_int_equal(pgmap_open(client, path, PGMAP_O_CREATE, &file), 0);
	assert_int_equal(pgmap_truncate(file, bytes), 0);
	return file;
}

#endif
