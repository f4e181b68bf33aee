/* SPDX-License-Identifier: BSD-3-Clause */
/* inode.c - see inode.h: guarded by the pool's namespace lock. */
#include "fs/inode.h"

#include <stdlib.h>
#include <string.h>

static int by_ino(const struct inode *a, const struct inode *b)
{
	return a->ino < b->ino ? -1 : a->ino > b->ino;
}

static int by_name(const struct inode *a, const struct inode *b)
{
	size_t n = a->name_len < b->name_len ? a->name_len : b->name_len;
	int order = memcmp(a->name, b->name, n);
	if (order)
		return order;
	return a->name_len < b->name_len ? -1 : a->name_len > b->name_len;
}

RB_GENERATE_INTERNAL(inode_table, inode, by_ino, by_ino, __attribute__((unused)) static)
RB_GENERATE_INTERNAL(inode_names, inode, by_name, by_name, __attribute__((unused)) static)

struct inode *inode_alloc(uint64_t ino, enum fsdax_type type)
{
	struct inode *inode = calloc(1, sizeof(*inode));
	if (!inode)
		return NULL;
	inode->ino = ino;
	inode->type = type;
	inode->order = PGMAP_MAX_ORDER;
	LIST_INIT(&inode->maps);
	LIST_INIT(&inode->takings);
	RB_INIT(&inode->children);
	extents_init(&inode->extents);
	return inode;
}

void inode_free(struct inode *inode)
{
	free(inode->name);
	free(inode);
}

struct inode *inode_find(struct inode_table *table, uint64_t ino)
{
	struct inode at = {.ino = ino};
	return RB_FIND(inode_table, table, &at);
}

void inode_insert(struct inode_table *table, struct inode *inode)
{
	(void)RB_INSERT(inode_table, table, inode);
}

void inode_remove(struct inode_table *table, struct inode *inode)
{
	(void)RB_REMOVE(inode_table, table, inode);
}

struct inode *inode_first(struct inode_table *table)
{
	return RB_MIN(inode_table, table);
}

struct inode *inode_next(struct inode *inode)
{
	return RB_NEXT(inode_table, NULL, inode);
}

struct inode *inode_child(struct inode *dir, const char *name, size_t name_len)
{
	union {
		const char *in;
		char *out;
	} text = {.in = name};
	struct inode at = {.name = text.out, .name_len = name_len};
	return RB_FIND(inode_names, &dir->children, &at);
}

struct inode *inode_first_child(struct inode *dir)
{
	return RB_MIN(inode_names, &dir->children);
}

struct inode *inode_next_child(struct inode *child)
{
	return RB_NEXT(inode_names, NULL, child);
}

void inode_link(struct inode *dir, struct inode *child)
{
	(void)RB_INSERT(inode_names, &dir->children, child);
	dir->nchildren++;
	child->parent = dir;
	child->nlink = 1;
}

void inode_unlink(struct inode *child)
{
	(void)RB_REMOVE(inode_names, &child->parent->children, child);
	child->parent->nchildren--;
	child->parent = NULL;
	child->nlink = 0;
}

void inode_stat(struct inode *inode, struct fsdax_stat *out)
{
	*out = (struct fsdax_stat){
		.ino = inode->ino,
		.type = inode->type,
		.size_bytes = inode->type == FSDAX_DIR ? inode->nchildren : inode->size_bytes,
		.blocks = inode->extents.pages,
		.extents = inode->extents.count,
		.mappings = inode->nmaps,
		.nlink = inode->nlink,
		.max_order = extents_max_order(&inode->extents),
		.order = inode->order,
		.mtime_ns = inode->mtime_ns,
	};
}
