/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wordpool.h - which numbers of a row are in use: ranges of pin words are handed out and taken back, best fit, merged with
 * their neighbours. Not thread-safe: the service's lock guards it.
 */
#ifndef PGMAP_SERVER_WORDPOOL_H
#define PGMAP_SERVER_WORDPOOL_H

#include <stdint.h>

struct wordpool;

struct wordpool *wordpool_create(uint64_t count); /* null: no memory */
void wordpool_destroy(struct wordpool *pool);

/* n > 0 numbers in a row. -ENOSPC, -ENOMEM. */
int wordpool_alloc(struct wordpool *pool, uint64_t n, uint64_t *first);
/* Exactly such a range. */
void wordpool_free(struct wordpool *pool, uint64_t first, uint64_t n);

uint64_t wordpool_available(const struct wordpool *pool);

#endif
