/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wiper.h - a thread that wipes a pool's free pages ahead of their next owner, and gives memory back that nobody needs.
 *
 * What it does, it reads off the accounts once a period (PERIOD_NS in wiper.c):
 *   - wanted are as many clean pages as the watermark (space.keep) says, and the demand: what was taken in this period or
 *     in the last one, within bounds. Dirty pages are wiped for it, and where there are none, others get memory.
 *   - memory that is always there (dax_params.resident) is wiped, all of it, and counts in nothing else.
 *   - what lay free with memory all through a period, and is more than that, goes back to the system: dirty pages before
 *     clean ones. So a pool that nobody uses costs no memory a moment later but the watermark.
 * Its share of a CPU is bounded: after each piece it sleeps for as long as its own CPU time demands. It holds the space's
 * lock for no piece, but to choose it and to say that it is done.
 *
 * It takes no part in correctness: what it has not wiped, space_alloc() wipes. Thread safety: start and stop by one
 * thread at a time, and stop by the process that started it.
 */
#ifndef PGMAP_FS_WIPER_H
#define PGMAP_FS_WIPER_H

#include "fs/space.h"

struct wiper {
	struct space *space;
	pthread_t thread;
	unsigned percent; /* of one CPU; 0: no thread */
};

/* wiper_start - percent 1 to 100. -EAGAIN no thread can be had: then everything is wiped by whoever needs it. */
int wiper_start(struct wiper *wiper, struct space *space, unsigned percent);
/* wiper_stop - waits for the piece that it works on. What lies above the watermark is given back. */
void wiper_stop(struct wiper *wiper);

/* Its two steps, for its thread, and for tests. wiper_work: one piece; how many pages, 0: nothing is to be done.
 * wiper_end_period: the accounts of this period are closed. */
uint64_t wiper_work(struct space *space, uint64_t *cursor);
void wiper_end_period(struct space *space);

#endif
