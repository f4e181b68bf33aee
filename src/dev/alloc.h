/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * alloc.h - room behind a range [from, to) of a file: had, emptied, given back. All in steps, so that a signal costs a step
 * and not the work so far (an interrupted fallocate() undoes itself). Any thread; no state. 0 or -errno; an empty range: 0.
 */
#ifndef PGMAP_DEV_ALLOC_H
#define PGMAP_DEV_ALLOC_H

#include <stdint.h>

int alloc_fill(int fd, uint64_t from, uint64_t to);  /* there is room for all of it; what was there stays */
int alloc_punch(int fd, uint64_t from, uint64_t to); /* it reads as zero, and whole pages of it are given back */

/*
 * For a file on a disk. The page cache makes folios of up to ALLOC_BLOCK, aligned to their size, and the first write to one
 * of them through a mapping has the file system find room for all of it. So a page that has room is a SIGBUS on a full
 * disk if a hole lies beside it in its folio (seen on ext4 and xfs). Hence no block of that size has both, ever, in a file
 * that is used through these two: filling fills the whole blocks that it touches; emptying punches the blocks that it
 * covers, and zeroes what is left at its ends without giving up the room. Such a block goes when one emptying covers it.
 * size: of the file; its end ends the last block.
 */
enum { ALLOC_BLOCK = 2 << 20 };
int alloc_fill_blocks(int fd, uint64_t from, uint64_t to, uint64_t size);
int alloc_punch_blocks(int fd, uint64_t from, uint64_t to, uint64_t size);

#endif
