/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * extent.h - the blocks of a file, by file page. Each block is one extent and at most one folio (ARCHITECTURE 11); a
 * block's first file page is a multiple of its size, as its device page is, so that huge pages can map it.
 * Between the blocks there may be holes, which a punch left: pages of the file that have no memory, and read as zero.
 * Thread safety: the pool's namespace lock.
 */
#ifndef PGMAP_FS_EXTENT_H
#define PGMAP_FS_EXTENT_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/block.h"

struct extents {
	struct block_tree tree;
	uint64_t count;     /* blocks */
	uint64_t pages;     /* in them */
	unsigned max_order; /* of the blocks, while known */
	bool max_known;
	bool granule_known;
	unsigned granule_order; /* the biggest of the memories that they lie on, while known (granule.h) */
};

void extents_init(struct extents *extents);
/* extents_add - take all blocks of the list. */
void extents_add(struct extents *extents, struct block_list *blocks);
/* extents_take - blocks of pages [from, to) go to *lost, ascending; those that straddle an end are halved as often as it
 * takes, with spares of which extents_take_spares() are enough. extents_cut: from this page on. */
unsigned extents_take_spares(struct extents *extents, uint64_t from, uint64_t to);
void extents_take(struct extents *extents, uint64_t from, uint64_t to, struct block_list *spares,
		  struct block_list *lost);
unsigned extents_cut_spares(struct extents *extents, uint64_t page);
void extents_cut(struct extents *extents, uint64_t page, struct block_list *spares, struct block_list *lost);
/* extents_split - a block begins at this page, if one covers it; with spares of which extents_cut_spares() are enough. */
void extents_split(struct extents *extents, uint64_t page, struct block_list *spares);
/* extents_hole - the first run of pages in [*from, to) that no block has: *from and *end, or false. */
bool extents_hole(struct extents *extents, uint64_t *from, uint64_t to, uint64_t *end);
unsigned extents_max_order(struct extents *extents);

#endif
