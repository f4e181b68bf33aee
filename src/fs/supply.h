/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * supply.h - memory for a change of size that needs more of it than may be made ready at once.
 *
 * Memory is allocated and wiped at the speed of memory: a GiB takes as long as thousands of other calls, and a change is
 * made under the pool's lock. Whoever carries the calls of many says that one may make little ready itself, with a supply
 * to use. A change that needs more answers -ERESTART, has changed nothing, and says in the supply what it lacks; supply_make()
 * gets that without any lock; then the same call is made again, and finds it by the page of the file. If the file has
 * changed meanwhile what is ready may not fit: then the call lacks something else, SUPPLY_ROUNDS times at most, and then it
 * fails with -EAGAIN: whoever keeps changing the file shall not get it done under the lock after all.
 *
 * What is ready counts as used. What no call has taken goes back with supply_end().
 *
 * Thread safety: a supply belongs to one call at a time. supply_use() sets the one of all calls of the pool until the next
 * supply_use(): for those who make one call at a time, whatever the thread.
 */
#ifndef PGMAP_FS_SUPPLY_H
#define PGMAP_FS_SUPPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/block.h"
#include "fs/space.h"

struct fsdax;

enum {
	SUPPLY_AT_ONCE_PAGES = 64, /* that a call may make ready itself: as long as a few calls */
	SUPPLY_CLEAN_PAGES = 512,  /* that it may take besides, where they seem to be clean */
	SUPPLY_ROUNDS = 8
};

struct supply {
	struct fsdax *fs;
	uint64_t at_once_pages, clean_pages; /* that this call may still take */
	struct space_wish *wants;            /* what it lacked */
	uint64_t nwants, wants_cap;
	unsigned max_order, rounds;
	int err; /* of making ready what failed: that call's answer */
	struct space_wish failed;
	bool is_short;           /* something failed: a call makes do with what the file has */
	struct block_tree ready; /* by the page of the file */
};

void supply_init(struct supply *supply, struct fsdax *fs);
/* supply_use - calls of this pool make little ready themselves; null: everything. */
void supply_use(struct fsdax *fs, struct supply *supply);
/* supply_make - what the last call lacked. Long; no lock is held. An error is the next call's. */
void supply_make(struct supply *supply);
void supply_end(struct supply *supply);

/* Under the namespace lock. supply_get - space_get(), or none, and they are lacked: what a call lacks altogether
 * supply_lacks() says at its end, -ERESTART or 0. supply_put - what a call that answers
 * -ERESTART has got already. supply_prefers_new - whether a file that gets so many pages anew had better get others than
 * its own, which would have to be wiped at once. */
int supply_get(struct fsdax *fs, const struct space_wish *wish, struct block_list *out);
void supply_put(struct fsdax *fs, struct block_list *blocks);
int supply_lacks(const struct fsdax *fs);
bool supply_prefers_new(struct fsdax *fs, uint64_t npages);

#endif
