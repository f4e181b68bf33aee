/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space.h - who owns each page of the pool's device: a file (used), nobody (free), or nobody yet (waiting: taken from its
 * file, but still held, quarantined, not to be wiped, or on a device that is dead or bad there). used + free + waiting = pages whenever the lock is free (c6.10).
 *
 * The way back to free is one-way and exact (c6.8, c6.9). space_lose() first puts the block in the waiting set, under
 * the lock, and only then asks the core whether it is held. Whoever takes it out of the set again, under the lock,
 * frees it: the callback of a last put (space_folio_free), or space_lose() itself.
 *   - Idle: nobody can come to hold it, as that takes a mapping of a file that has it: space_lose() frees it, unless its
 *     callback just did.
 *   - Held when asked: its last put comes later than the question, so its callback finds the block waiting.
 *   - Releasing: the callback that runs may have looked before the block was there. It ends soon: ask again.
 *   - Quarantined: the callback runs when it is released.
 * The question takes no reference: one that did would be there for a lookup to find, which could keep it, on pages that the
 * callback has made free just before.
 *
 * Every block is covered by at most one folio: a folio is requested for a whole block, and a block is only cut where
 * its folio was cut first, or stays whole and covers the cut blocks (then they all wait for it).
 *
 * Pages have the numbers of places.h: a pgoff where there is one memory. What is lost (its device dead, its data gone) and would be
 * free waits; a block that is partly so is cut. What would be free on a device that is leaving waits, too (leaving.h).
 *
 * What is free may be dirty (stock.h). It is wiped after its last put and before the next owner has it: by the wiper
 * (wiper.h), or else by space_get(), for which a page stays free, and counted so, until it is taken. Three rules make
 * that exact. A page becomes dirty in the same step in which it becomes free. It is called clean only after the wipe, by
 * whoever wiped it. The wiper works on one piece at a time, `wiping`, which stays free: nobody takes any page of it before
 * the wiper has ended with it. So no account ever lacks a page that is being wiped, and nobody is told -ENOSPC for it.
 *
 * Memory that is always there (dax_params.resident) is dirty at first and never given back. Its pages have a stock of their own, and
 * nothing that is said of memory that comes and goes (keep, space_populated(), space_discard()) counts them. In a stripe that has
 * some, all of it stays.
 *
 * Without a wiper (space.background false) what is free beyond `keep` is discarded before it is free.
 *
 * Lock order: a pool's namespace lock, then the core's calls, then space.lock. No put is made under space.lock, nor
 * does memory come, go or get wiped under it. Thread safety: every call from any thread.
 */
#ifndef PGMAP_FS_SPACE_H
#define PGMAP_FS_SPACE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <pgmap/dax.h>
#include <pgmap/fsdax.h>

#include "dev/zero.h"
#include "fs/places.h"
#include "fs/shelf.h"
#include "fs/stock.h"

/* Somebody who waits until a page of a range may have become idle. */
struct space_watch {
	LIST_ENTRY(space_watch) link;
	uint64_t from, end; /* pages */
	bool woken;         /* since the range was set */
	/* Called under space.lock, in the context of whoever put last. Calls nothing of the pool. */
	void (*wake)(struct space_watch *watch);
};

/* One of the pool's devices. */
struct space_device {
	uint64_t npages;         /* in segments that lie on it alone */
	uint64_t used;           /* of `used`, if the pool has more than this device */
	struct leaving *leaving; /* leaving.h; null: it stays */
};

struct space {
	pthread_mutex_t lock;
	struct shelf shelf;        /* in the pool's numbers, so that alignment here is alignment of folios */
	struct stock stock;        /* the state of what is free, and of what space_get() has and makes ready (taken); */
	struct stock resident;     /* of what lies on memory that is always there */
	struct block_tree waiting; /* lost, and maybe held */
	struct block_list unwiped; /* held by nobody, but the device could not wipe them */
	struct block_tree gone;    /* held by nobody, but their device is dead (lost.c), */
	struct block_tree bad;     /* or their data is lost */
	LIST_HEAD(, space_watch) watches;
	uint64_t used;          /* pages */
	uint64_t nwaiting;      /* pages: in `waiting`, `unwiped`, `gone` or `bad`, or being discarded */
	uint64_t nlost;         /* of these: in `gone` or `bad` */
	_Atomic uint64_t pages; /* of all devices; changes under the lock */
	struct space_device *devices;
	unsigned ndevices, nleaving;
	uint64_t base;          /* the first page's number */
	unsigned granule_order; /* of the memory that has the smallest */
	struct dax_device *dax;
	struct places places;
	struct zero zero;
	uint64_t keep;       /* pages: so many free ones may keep their memory for good */
	uint64_t nresident;  /* pages that `resident` is for */
	bool background;     /* there is a wiper */
	pthread_cond_t done; /* the wiper has ended with its piece */
	unsigned nstopped;   /* calls that wait for `done`: the wiper begins no piece */
	uint64_t wiping;     /* the wiper's piece, wiping_pages 0: none */
	uint64_t wiping_pages;
	/* What the wiper goes by: pages taken, and the fewest free ones that had memory, since the period began. */
	uint64_t taken_now, taken_before, low, surplus;
	pthread_cond_t work; /* something became dirty while the wiper slept, or the wiper shall end */
	bool asleep;
	bool no_memory; /* the wiper has asked in this period, and there is none */
	bool stop;
	uint64_t wiped_ahead, wiped_late; /* pages ever: by the wiper, by space_get() */
};

/* The one that says the state of this page. */
static inline struct stock *space_stock(struct space *space, uint64_t off)
{
	return places_resident(&space->places, off) ? &space->resident : &space->stock;
}

/* space_init - -EINVAL some of the device cannot have folios, -ENOMEM. */
int space_init(struct space *space, struct dax_device *dax);
void space_exit(struct space *space);

/* Pages for a file, from its page file_page on; whole granules of the memory that has the smallest. */
struct space_wish {
	uint64_t file_page, npages;
	uint64_t reach;     /* the file's page up to which it may get more, where only bigger granules have room */
	unsigned max_order; /* of its folios */
};
/* space_get - what is wished for, with memory behind it that reads as zero: appended to *out in ascending order, keyed by file
 * page, as big and aligned as the size and max_order allow (pick.h). -ENOSPC, -ENOMEM, -ENXIO all of the device is dead, or what
 * it says: nothing changed. space_alloc: as far beyond as it takes. */
int space_get(struct space *space, const struct space_wish *wish, struct block_list *out);
static inline int space_alloc(struct space *space, uint64_t file_page, uint64_t npages, unsigned max_order,
			      struct block_list *out)
{
	const struct space_wish wish = {file_page, npages, UINT64_MAX, max_order};
	return space_get(space, &wish, out);
}
/* space_count_free - blocks that it could hand out, by order: free ones may be bigger. Under the lock.
 * space_take - the block at this pgoff, for replay; not populated. */
void space_count_free(struct space *space, uint64_t by_order[PGMAP_MAX_ORDER + 1]);
int space_take(struct space *space, uint64_t pgoff, unsigned order, uint64_t file_page, struct block_list *out);
/* space_give_back - blocks that no file ever had. space_lose - blocks that a file had. Both take the nodes. */
void space_give_back(struct space *space, struct block_list *blocks);
void space_lose(struct space *space, struct block_list *blocks);
/* space_folio_free - nobody holds these pages any more: those of them that are waiting become free. */
void space_folio_free(struct space *space, uint64_t pgoff, uint64_t npages);

/*
 * Watches. Whoever asks the core whether a page is held, and will wait if it is, sets the range first: then the last put
 * comes later than the question, and finds the watch. While the callback of that put runs the folio is RELEASING: it ends
 * soon. A range is empty where only space_watch_wake() is waited for.
 */
void space_watch_add(struct space *space, struct space_watch *watch);
void space_watch_set(struct space *space, struct space_watch *watch, uint64_t from, uint64_t end);
void space_watch_remove(struct space *space, struct space_watch *watch);
void space_watch_wake(struct space *space, struct space_watch *watch); /* null: all of them */

/* space_wipe - these pages of the device, which the caller has to itself, read as zero: 0, *state is clean or absent; or
 * an error, and what they hold is unknown. space_populate - such pages, that are absent, have memory that reads as zero: -ENOSPC,
 * and what the device says; they are absent still. space_unpopulate - their memory goes back. Not under the lock. */
int space_wipe(struct space *space, uint64_t pgoff, uint64_t npages, enum stock_state *state);
int space_populate(struct space *space, uint64_t pgoff, uint64_t npages);
int space_unpopulate(struct space *space, uint64_t pgoff, uint64_t npages);
/* space_set_keep - the watermark. Without a wiper, what lies above it is given back at once. */
void space_set_keep(struct space *space, uint64_t keep_pages);
/* Free pages that have memory. Under the lock. */
static inline uint64_t space_populated(const struct space *space)
{
	struct stock_count free = stock_free(&space->stock);
	return free.clean + free.dirty;
}
/* space_discard - give back so many free pages that have memory, if there are, in whole granules: dirty ones first. How many were. */
uint64_t space_discard(struct space *space, uint64_t npages);

/* The piece that the wiper works on, at this page or behind it: free pages of this stock (null: of either), all in one state; most_pages
 * of them, or a granule if that is more, and never more than the budget. Under the lock; false: none in that state, or somebody waits. space_piece_end: they are in this state now (dirty: it could not be done). */
bool space_piece_begin(struct space *space, const struct stock *in, enum stock_state state, uint64_t from,
		       uint64_t most_pages, uint64_t budget_pages);
bool space_piece_begin_absent(struct space *space, uint64_t most_pages,
			      uint64_t budget_pages); /* where an allocation would look */
void space_piece_end(struct space *space, enum stock_state state);

/* space_wait_for_piece - until nobody works on a piece; under the lock, which it lets go meanwhile.
 * space_keep_to - without a wiper: give back what lies above the watermark.
 * space_retry_unwiped - what the device could not wipe before: try again. */
void space_wait_for_piece(struct space *space);
void space_keep_to(struct space *space);
void space_retry_unwiped(struct space *space);

/*
 * Pages that are lost (lost.c). space_damage - so many pages of the device are dead, or have lost their data: those that are
 * free are handed out no more, nor are others once they come back. Calls nothing that waits. space_find_damage - what is
 * bad from the start: 0, -ENOMEM.
 * space_make_free - a block, counted nowhere, is free, or it is lost. Under the lock.
 * space_unstock_lost - of these pages, which are said to have memory, the lost ones have none. Under the lock.
 * space_look_for_lost - these pages could not be written to: what is bad of them is found out. Not under the lock.
 * space_zero - bytes of the page and those behind it, on one memory that is mapped here at addr (of the first byte), are zero where
 * they can be; what cannot is looked for. Not under the lock.
 * space_retry_lost - where space is short: what the device can make good again is free.
 */
void space_damage(struct space *space, uint64_t page, uint64_t npages);
int space_find_damage(struct space *space);
void space_make_free(struct space *space, struct block *block);
void space_unstock_lost(struct space *space, uint64_t from, uint64_t end);
void space_look_for_lost(struct space *space, uint64_t off, uint64_t npages);
void space_zero(struct space *space, uint64_t off, char *addr, uint64_t len_bytes);
void space_retry_lost(struct space *space);

/* space_count_used - a block becomes used, or (back) is it no more. space_used_on - the used pages of a
 * device. space_room_for_devices - in the accounts: -ENOMEM. Under the lock. */
uint64_t space_used_on(const struct space *space, unsigned index);
void space_count_used(struct space *space, const struct block *block, bool back);
int space_room_for_devices(struct space *space, unsigned n);

/* Whole granules for so many bytes. */
static inline uint64_t space_pages_for(const struct space *space, uint64_t bytes)
{
	unsigned shift = PGMAP_PAGE_SHIFT + space->granule_order;
	return (bytes + (UINT64_C(1) << shift) - 1) >> shift << space->granule_order;
}

void space_statfs(struct space *space, struct fsdax_statfs *out);

#endif
