/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inode.h - a file or a directory in memory: its name, its place in the tree of names, its extents and who uses it.
 *
 * There are no hard links, so an inode has one name and one parent while linked (nlink 1), and none once unlinked
 * (nlink 0): then it lives on while there are handles (open files; a mapping keeps its file's handle), and has its pages while
 * one of these is not a taking's (taking.h).
 * Thread safety: everything here is guarded by the pool's namespace lock.
 */
#ifndef PGMAP_FS_INODE_H
#define PGMAP_FS_INODE_H

#include <stdint.h>
#include <bsd/sys/tree.h>
#include <sys/queue.h>

#include <pgmap/fsdax.h>

#include "fs/extent.h"

struct inode {
	RB_ENTRY(inode) by_ino;
	RB_ENTRY(inode) by_name; /* among its parent's children */
	uint64_t ino;
	enum fsdax_type type;
	uint8_t order; /* the biggest folio of what it gets; a directory's: of what is made in it */
	uint32_t nlink;
	struct inode *parent; /* null: the root, or unlinked */
	char *name;           /* once unlinked: its last path */
	size_t name_len;
	int64_t mtime_ns;
	uint64_t nhandles; /* struct fsdax_file */
	uint64_t nmaps;
	LIST_HEAD(inode_maps, fsdax_map) maps;
	LIST_HEAD(, taking) takings;
	uint64_t ntakings;                    /* each has a handle */
	RB_HEAD(inode_names, inode) children; /* of a directory */
	uint64_t nchildren;
	struct extents extents; /* of a file */
	uint64_t size_bytes;
};
RB_HEAD(inode_table, inode);

struct inode *inode_alloc(uint64_t ino, enum fsdax_type type); /* no name, no parent; or null */
void inode_free(struct inode *inode);

struct inode *inode_find(struct inode_table *table, uint64_t ino);
void inode_insert(struct inode_table *table, struct inode *inode);
void inode_remove(struct inode_table *table, struct inode *inode);
struct inode *inode_first(struct inode_table *table);
struct inode *inode_next(struct inode *inode);

/* Children, in byte order of their names. link and unlink also keep nlink, nchildren and parent. */
struct inode *inode_child(struct inode *dir, const char *name, size_t name_len);
struct inode *inode_first_child(struct inode *dir);
struct inode *inode_next_child(struct inode *child);
void inode_link(struct inode *dir, struct inode *child); /* by child->name */
void inode_unlink(struct inode *child);

void inode_stat(struct inode *inode, struct fsdax_stat *out);

#endif
