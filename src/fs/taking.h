/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * taking.h - a change that takes pages away from a file, once nobody holds them (c6.7 wait), or at once or not at all (fail).
 *
 * Held is what the core says: a page of a block that has a reference, is releasing, or quarantined, whoever has it; so 0
 * means that every page that the file lost is free. A block that straddles an end of the range counts as a whole, as its
 * folio does. An unlink also waits for everyone who has the file open: its pages would stay for them.
 * The question takes nothing (pgmap_check_idle()), so a lookup by a page's number finds nothing of it.
 *
 * While it waits, nothing has changed but this: new mappings of the range are refused (taking_refuses), and those who map
 * it are told (map_taken), so that nobody who comes can keep it waiting. What others take away meanwhile, by deferring, is
 * not waited for any more.
 *
 * Why it cannot be missed: the question, block by block, is asked under the namespace lock, under which mappings are made;
 * the range of the block is watched (space.h) before the question. The first block that is held ends the round, and the
 * next begins with it; a round that did not begin at the first block is followed by one that does, and only a whole round
 * that finds nothing held makes the change, under the same lock.
 *
 * Who waits: a thread (taking_wait), or a loop that calls taking_try() when it was woken and taking_end() when it will wait
 * no more. Thread safety: as said at each; a taking is used by one thread at a time.
 */
#ifndef PGMAP_FS_TAKING_H
#define PGMAP_FS_TAKING_H

#include "fs/fs.h"

enum taking_op { TAKING_SIZE = 1, TAKING_PUNCH, TAKING_UNLINK };

struct taking {
	LIST_ENTRY(taking) link; /* inode.takings */
	struct space_watch watch;
	struct fsdax *fs;
	struct fsdax_file *file; /* keeps the inode */
	enum taking_op op;
	uint64_t size_bytes;           /* of SIZE */
	uint64_t from, to;             /* pages of the file */
	uint64_t next;                 /* the page from which on to ask */
	bool told;                     /* those who map it */
	char path[FSDAX_PATH_MAX + 1]; /* of UNLINK */
	void (*wake)(void *arg);       /* as space_watch.wake */
	void *arg;
};

/*
 * What is to be done: one of these, on a zeroed taking, and, where it answered 0, taking_begin(). Or the error that the
 * call answers with.
 */
int taking_size(struct taking *taking, struct fsdax_file *file, uint64_t size_bytes);
int taking_punch(struct taking *taking, struct fsdax_file *file, uint64_t offset_bytes, uint64_t len_bytes);
int taking_unlink(struct taking *taking, struct fsdax *fs, const char *path);

/* taking_begin - do it: 0, or why not. -EINPROGRESS (mode FSDAX_WAIT only): somebody holds some of it;
 * wake is called with arg when taking_try() may have another answer, and taking_end() must follow. Any thread. */
int taking_begin(struct taking *taking, enum fsdax_mode mode, void (*wake)(void *arg), void *arg);
/* taking_try - again: 0 done, an error, or -EINPROGRESS. -ENODEV: the pool's device is going; -ENOENT: the path of an
 * UNLINK leads elsewhere now. taking_end - wait no more: what was not done will not be. */
int taking_try(struct taking *taking);
void taking_end(struct taking *taking);
/* taking_woken - whether it was, since it was last tried. */
bool taking_woken(struct taking *taking);

/* Under the namespace lock. */
/* taking_refuses - whether a mapping of pages [first, end) of these extents would share a block with what is being taken. */
bool taking_refuses(const struct inode *inode, struct extents *extents, uint64_t first, uint64_t end);
/* taking_has - whether this folio has pages of the file, from this page on, that are being taken. */
bool taking_has(struct inode *inode, uint64_t pgoff, unsigned order, uint64_t file_pgoff);
/* taking_wake - the inode's name, pages or handles have changed. */
void taking_wake(struct fsdax *fs, struct inode *inode);

#endif
