/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fs.h - the pool's own structures, for the files of this floor only.
 *
 * Lock order:
 *   0. fsdax.holders.lock: whom references are charged to, when they or devices come and go (holder.c).
 *   1. fsdax.lock, the namespace: names, inodes, extents, handles, maps. Taken by every public call.
 *   2. the core's calls (requests, puts, charges), which may run the folio_free callback:
 *   3. space.lock: free, waiting, the accounts. The callback takes no other lock, since it runs under any.
 *      The wiper's thread takes this one only.
 */
#ifndef PGMAP_FS_FS_H
#define PGMAP_FS_FS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <pgmap/folio.h>
#include <pgmap/fsdax.h>

#include "fs/inode.h"
#include "fs/log.h"
#include "fs/space.h"
#include "fs/wiper.h"

struct holders {
	pthread_rwlock_t lock;
	LIST_HEAD(, fsdax_holder) all;
};

struct fsdax {
	pthread_mutex_t lock;
	struct holders holders;
	struct dax_device *dax;
	struct fsdax_holder *holder; /* the pool's own, for the moment of a split */
	struct space space;
	struct wiper wiper; /* none until fsdax_set_wiping() */
	struct inode_table inodes;
	struct inode *root;
	uint64_t next_ino;
	uint64_t nfiles, ndirs; /* linked */
	uint64_t nhandles;
	fsdax_gone_fn *gone;
	fsdax_taking_fn *taking; /* or null */
	fsdax_lost_fn *lost;     /* or null */
	void *lost_arg;
	struct supply *supply; /* or null: calls make ready what they need */
	_Atomic bool dead;     /* all of the device: nobody waits for pages any more */
	fs_log_fn *log;        /* null on a volatile pool */
	void *log_arg;
};

struct fsdax_file {
	struct fsdax *fs;
	struct inode *inode;
	uint64_t refs; /* 1 while open, and 1 a mapping */
};

/* To whom references are charged: a holder of the pool's only pgmap, or one of all of its pgmaps, or, both null, nobody. */
struct charged {
	struct pgmap_holder *one;
	struct fsdax_holder *all;
};

struct map_span {
	uint64_t first_page; /* of the file, in its folio, when it was mapped: ascending from span to span */
	uint64_t file_pgoff; /* of the folio's first page: in one that is several spans, the same of each */
	uint64_t off;        /* the folio's first page (places.h) */
	uint8_t order;
	uint8_t taken;          /* the pool's user has been told that it is being taken away; namespace lock */
	_Atomic unsigned split; /* the folio has been split since: its parts are found by their pages */
	struct folio *folio;
};

struct fsdax_map {
	LIST_ENTRY(fsdax_map) link; /* inode.maps */
	struct fsdax_file *file;
	struct charged holder;
	void *cookie;
	uint64_t first_page; /* the range, in file pages */
	uint64_t end_page;
	uint64_t nspans, npieces;
	struct map_span *spans; /* never renumbered */
	struct fsdax_piece *pieces;
};

/* map.c. All under the namespace lock. */
/* map_make - a mapping of pages of these extents, which the file has or is about to have, and which ready (or null) has nothing
 * against. Nobody else knows of it before map_add(); until then it can be unmade. */
int map_make(struct fsdax_file *file, struct extents *extents, uint64_t first_page, uint64_t end_page,
	     struct charged holder, void *cookie, fsdax_ready_fn *ready, struct fsdax_map **out);
void map_unmake(struct fsdax_map *map);
void map_add(struct fsdax_map *map);
/* map_lost - these blocks have left this file: say so to those who map them. */
void map_lost(struct fsdax *fs, struct inode *inode, const struct block_list *lost);
/* map_taken - say whose spans are being taken away by what waits for it (taking.h), and whose are no more. */
void map_taken(struct fsdax *fs, struct inode *inode);
/* map_check_alone - aborts where a folio begins inside of this extent. */
void map_check_alone(struct fsdax *fs, const struct block *extent);
/* map_split_folio_at - cut the folio that covers this page, if it is held and can be, so that one begins there. */
void map_split_folio_at(struct fsdax *fs, struct inode *inode, uint64_t off);

/* holder.c. holder_on - whom references on this device's folios are charged to, or null. holder_check - whether that is
 * somebody of this pool: -EINVAL, -ESHUTDOWN it has been ended. */
struct pgmap_holder *holder_on(struct charged holder, unsigned device);
int holder_check(const struct fsdax *fs, struct charged holder);
/* holders_lock - nobody else creates, ends or asks a holder; before the namespace lock. Under it: holders_add - each has a part on
 * this device, or none, and -ENOMEM; holders_remove - none any more, where nobody holds a page of it. */
/* holders_live - others than the pool's own; under the lock. */
bool holders_live(const struct fsdax *fs);
void holders_init(struct holders *holders);
void holders_exit(struct holders *holders);
void holders_lock(struct fsdax *fs);
void holders_unlock(struct fsdax *fs);
int holders_add(struct fsdax *fs, struct pgmap *pgmap, unsigned device);
void holders_remove(struct fsdax *fs, unsigned device);

/* leave.c. leave_cancel_all - no device is leaving. */
void leave_cancel_all(struct fsdax *fs);

/* busy.c. busy_for_each - fsdax_for_each_busy(), of a file, or of all. */
int busy_for_each(struct fsdax *fs, const struct inode *only, int (*fn)(void *arg, const struct fsdax_busy *busy),
		  void *arg);
/* damage.c. damage_isolate - of pages [first, end) of a file, which shall be mapped: -ENODEV, -EHWPOISON some are lost;
 * where only others of their extents are, these are cut off (-ENOMEM). Under the namespace lock. */
int damage_isolate(struct fsdax *fs, struct extents *extents, uint64_t first_page, uint64_t end_page);

/* fs.c. Under the namespace lock. The name of a file or an empty directory. */
int fs_remove_name(struct fsdax *fs, struct inode *inode);

/* file.c. Under the namespace lock. */
int file_new(struct fsdax *fs, struct inode *inode, struct fsdax_file **out);
void file_put(struct fsdax_file
		      *file); /* one reference of a handle; the last on an unlinked inode, but of takings, drops it */
int file_truncate(struct fsdax *fs, struct inode *inode, uint64_t size_bytes);
int file_punch(struct fsdax *fs, struct inode *inode, uint64_t from_page, uint64_t to_page);
/* file_check_punch - -EINVAL: it would cut a granule of the file's. The last one goes with what its size says it ends with. */
int file_check_punch(struct fsdax *fs, struct inode *inode, uint64_t from_page, uint64_t to_page);
/* file_fill_map - fsdax_map() of these pages, some of which are a hole: they get memory. */
int file_fill_map(struct fsdax_file *file, uint64_t first_page, uint64_t end_page, struct charged holder, void *cookie,
		  fsdax_ready_fn *ready, struct fsdax_map **out);
void file_drop_if_unused(struct fsdax *fs, struct inode *inode);
int64_t file_now_ns(void);

#endif
