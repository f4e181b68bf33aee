/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fs.h - the pool's own structures, for the files of this floor only.
 *
 * Lock order:
 *   1. fsdax.lock, the namespace: names, inodes, extents, handles, maps. Taken by every public call.
 *   2. the core's calls (requests, puts, charges), which may run the folio_free callback:
 *   3. space.lock: free, waiting, the accounts. The callback takes no other lock, since it runs under any.
 */
#ifndef PGMAP_FS_FS_H
#define PGMAP_FS_FS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include <pgmap/folio.h>
#include <pgmap/fsdax.h>

#include "fs/inode.h"
#include "fs/log.h"
#include "fs/space.h"

struct fsdax {
	pthread_mutex_t lock;
	struct dax_device *dax;
	struct pgmap *pgmap;
	struct pgmap_holder *holder; /* the pool's own, for the moment of a split */
	struct dax_span span;        /* the whole device */
	struct space space;
	struct inode_table inodes;
	struct inode *root;
	uint64_t next_ino;
	uint64_t nfiles, ndirs; /* linked */
	uint64_t nhandles;
	fsdax_gone_fn *gone;
	fs_log_fn *log; /* null on a volatile pool */
	void *log_arg;
};

struct fsdax_file {
	struct fsdax *fs;
	struct inode *inode;
	uint64_t refs; /* 1 while open, and 1 a mapping */
};

struct map_span {
	uint64_t file_pgoff;
	uint64_t pgoff;
	unsigned order;
	_Atomic unsigned split; /* the folio has been split since: its parts are found by pgoff */
	struct folio *folio;
};

struct fsdax_map {
	LIST_ENTRY(fsdax_map) link; /* inode.maps */
	struct fsdax_file *file;
	struct pgmap_holder *holder;
	void *cookie;
	uint64_t first_page; /* the range, in file pages */
	uint64_t end_page;   /* what lies behind has gone from the file since */
	uint64_t nspans, npieces;
	struct map_span *spans; /* ascending in the file; never renumbered */
	struct fsdax_piece *pieces;
};

/* map.c. All under the namespace lock. */
/* map_make - a mapping of pages of these extents, which the file has or is about to have. Nobody knows of it before
 * map_add(); until then it can be unmade. */
int map_make(struct fsdax_file *file, struct extents *extents, uint64_t first_page, uint64_t end_page,
	     struct pgmap_holder *holder, void *cookie, struct fsdax_map **out);
void map_unmake(struct fsdax_map *map);
void map_add(struct fsdax_map *map);
/* map_lost - file pages [from, to) have left this file: say so to those who map them. */
void map_lost(struct fsdax *fs, struct inode *inode, uint64_t from, uint64_t to);
/* map_split_folio_at - cut the folio that covers this pgoff, if it is held and can be, so that one begins there. */
void map_split_folio_at(struct fsdax *fs, struct inode *inode, uint64_t pgoff);

/* file.c. Under the namespace lock. */
int file_new(struct fsdax *fs, struct inode *inode, struct fsdax_file **out);
void file_put(struct fsdax_file *file); /* one reference of a handle; the last on an unlinked inode drops it */
int file_truncate(struct fsdax *fs, struct inode *inode, uint64_t size_bytes);
void file_drop_if_unused(struct fsdax *fs, struct inode *inode);
int64_t file_now_ns(void);

#endif
