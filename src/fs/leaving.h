/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leaving.h - the free pages of a device that comes to a pool or leaves it: the space's part of grow.c and leave.c.
 *
 * What becomes free on a device that is leaving is kept apart, in blocks that no allocation and no wiper ever sees, with the
 * state of its memory, so that all can be as before. It counts as waiting. Each change is one step under the lock, so used +
 * free + waiting is the size of the pool at every moment (c6.10).
 *
 * Why no page slips through: a page is used, free, or on its way to free. leaving_begin() refuses while one is used: whether a
 * file has it, or a call that makes it ready for one. Only those of files that have lost their name may be: they have them until
 * nobody has the file open or maps it any more, and then they become free as any other. In the same step it takes what is free, and what is kept aside because it is
 * bad or could not be wiped. From then on no page there can be taken, as none is free; and whatever is on its way comes past
 * space_make_free(), which looks here. The piece that is being wiped is waited for before, as its state is not known.
 *
 * So the pages that are kept apart only become more. When they are all, nobody has any: each page that somebody holds belongs to
 * a block that waits for its last put.
 *
 * Thread safety: any thread; leaving_keep() and leaving_on() under the space's lock. All changes, and leaving_all(), under the namespace lock.
 */
#ifndef PGMAP_FS_LEAVING_H
#define PGMAP_FS_LEAVING_H

#include "fs/space.h"

/* A device that leaves. */
struct leaving {
	struct block_tree blocks;
	uint64_t npages;    /* in them */
	struct stock stock; /* the state of their memory */
};

/* leaving_add - a device comes with this table (places_with()), which has its segments behind all others, and this index: its pages,
 * in these blocks, are free. Cannot fail: leaving_prepare() has been there. leaving_prepare - -ENOMEM, nothing changed; what
 * it got is not lost if nothing comes of it. */
int leaving_prepare(struct space *space, const struct places_table *table, unsigned index, struct block_list *blocks);
void leaving_add(struct space *space, struct places_table *table, unsigned index, struct block_list *blocks);

/* leaving_begin - 0; -EBUSY *used pages there are used, which is more than those of unlinked files; -ENOMEM. */
int leaving_begin(struct space *space, unsigned index, uint64_t unlinked, uint64_t *used);
/* leaving_rest - pages of it that are yet to come. leaving_cancel - it stays. leaving_end - all have come: it is gone, and this is
 * the table without it. */
uint64_t leaving_rest(struct space *space, unsigned index);
void leaving_cancel(struct space *space, unsigned index);
void leaving_end(struct space *space, struct places_table *table, unsigned index);

/* leaving_on - what this page's device has apart, or null: it stays. leaving_free - a block of its own, counted nowhere. */
struct leaving *leaving_find(struct space *space, uint64_t off);
static inline struct leaving *leaving_on(struct space *space, uint64_t off)
{
	return space->nleaving ? leaving_find(space, off) : NULL;
}
void leaving_keep(struct space *space, struct leaving *leaving, struct block *block);

/* The whole of a device that is leaving: none is, at the end of a pool. */
void leaving_exit(struct space *space);

#endif
