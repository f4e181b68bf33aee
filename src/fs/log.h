/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * log.h - every change of names, sizes and extents is a record, and goes through fs_apply(): the one place where a
 * metadata log hooks in, and the one that replay uses. The pool after any records is the pool after the calls that
 * made them, extents included.
 *
 * fs_apply() has three steps: prepare all memory that the change needs (may fail, changes nothing); hand the record to
 * the log (may fail, the same); change the pool (cannot fail). So what is logged is done, and what failed is neither.
 * The lengths of what a record points to are in it, and the pointers are valid during the call only.
 *
 * Thread safety: the namespace lock.
 */
#ifndef PGMAP_FS_LOG_H
#define PGMAP_FS_LOG_H

#include <stddef.h>
#include <stdint.h>

#include <pgmap/fsdax.h>

#include "fs/block.h"

enum fs_op {
	FS_MAKE = 1,   /* a file or directory `ino` of this type: name in parent */
	FS_REMOVE = 2, /* the name; `ino` lives on while used */
	FS_RENAME = 3, /* name in parent, to to_name in to_parent, replacing what is there */
	FS_SIZE = 4, /* size of `ino`: its pages from keep_pages on go, and it gets these extents, there and in holes */
	FS_DROP = 5, /* an unlinked `ino` is used no more, but by takings (taking.h): its pages go */
	FS_PUNCH = 6, /* pages [from_page, to_page) of `ino` go, and leave a hole */
	FS_ORDER = 7  /* the biggest folio of what `ino` gets from now on, or what is made in it */
};

struct fs_extent {
	uint64_t file_page;
	uint64_t page; /* of the device */
	unsigned order;
};

struct fs_name {
	const char *text;
	size_t len;
};

struct fs_record {
	enum fs_op op;
	enum fsdax_type type;
	uint64_t ino;
	uint64_t parent, to_parent; /* inos */
	struct fs_name name, to_name;
	uint64_t size_bytes;
	uint64_t keep_pages;  /* 0: up to the first extent; without extents, the size's granules */
	uint64_t wiped_pages; /* of SIZE: so many of the first that are kept have been wiped: they read as zero */
	uint64_t from_page, to_page;
	unsigned order; /* of ORDER */
	int64_t mtime_ns;
	const struct fs_extent *extents;
	uint64_t nextents;
};

typedef int fs_log_fn(void *arg, const struct fs_record *record);

/* fs_set_log - the hook: 0, or an error that the call then answers with. Null: none. */
void fs_set_log(struct fsdax *fs, fs_log_fn *log, void *arg);

/* fs_apply - blocks: the nodes of record->extents, which are taken when it succeeds. */
int fs_apply(struct fsdax *fs, const struct fs_record *record, struct block_list *blocks);

/* fs_replay - apply a record that was logged; its extents are taken from the free space (and hold what the device
 * holds). Takes the namespace lock. Besides fs_apply()'s: -EINVAL a record that does not fit the pool. */
int fs_replay(struct fsdax *fs, const struct fs_record *record);

#endif
