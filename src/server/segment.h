/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * segment.h - a connection's pin words: a memfd of fixed size that its client and the server map (ARCHITECTURE 3). Sparse:
 * it costs memory for the words that were used. What stands in it is the client's claim (core/pinword.h).
 * Not thread-safe but for the words themselves: the service's lock guards it.
 */
#ifndef PGMAP_SERVER_SEGMENT_H
#define PGMAP_SERVER_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/pinword.h"
#include "server/wordpool.h"

struct segment {
	pinword_t *words;
	uint64_t count;
	struct wordpool *pool;
};

/* For a pool of so many pages; *fd is the caller's, to be passed on and closed. */
int segment_init(struct segment *segment, uint64_t pages, int *fd);
void segment_exit(struct segment *segment); /* also of a zeroed one */

/* A word of a mapping whose pages have lost their data, or have it again: PINWORD_UNUSED beside a reason, in a word that is used. */
void segment_mark_lost(struct segment *segment, uint64_t word, bool lost);

/* Words of a new mapping, without a pin, for this reason blocked or not. -ENOMEM. */
int segment_get(struct segment *segment, uint64_t n, enum pinword_reason reason, uint64_t *first);
void segment_put(struct segment *segment, uint64_t first, uint64_t n);

#endif
