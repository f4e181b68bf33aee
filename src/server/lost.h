/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lost.h - pages of the pool that lose their data while it serves (c6.5): what has been found out and not said yet, and whose pins
 * that concerns.
 *
 * Whoever finds out is in the middle of something, under whatever locks: so lost_note() only writes it down, and wakes who listens.
 * Lock: lost.lock, a leaf.
 */
#ifndef PGMAP_SERVER_LOST_H
#define PGMAP_SERVER_LOST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct service;
struct session;
struct session_map;

enum { LOST_RUNS = 16 };

/* Pages of the pool's device. */
struct lost_run {
	uint64_t page, npages;
};

struct lost {
	pthread_mutex_t lock;
	struct lost_run runs[LOST_RUNS]; /* not said yet */
	unsigned n;
	uint64_t more;    /* pages for which there was no room in it */
	atomic_bool news; /* that no pin word knows of */
	int event_fd;     /* written when there is something to say; or -1 */
};

void lost_init(struct lost *lost);
void lost_exit(struct lost *lost);
/* lost_note - a fsdax_lost_fn; arg is the struct lost. */
void lost_note(void *arg, uint64_t page, uint64_t npages);
/* lost_wake - something is to be said. */
void lost_wake(struct lost *lost);

/* Under service.lock. lost_mark - where there is news, or by force, the words of all mappings say which of their spans are lost now.
 * lost_holders - who maps some of these bytes of a file, as text: how many; pinned, which may be null: whether one of them has pins
 * there. */
void lost_mark(struct service *service, bool force);
unsigned lost_holders(const struct service *service, uint64_t ino, uint64_t offset_bytes, uint64_t len_bytes,
		      char *text, size_t text_bytes, bool *pinned);

#endif
