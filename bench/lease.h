/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lease.h - a pool of blocks in shared memory with leases that end by timeout: what serving engines do today to get back
 * what a dead process held. Small, and as good as its kind can be: it is what the pool is compared with in fair.c.
 *
 * What it promises: a block is one holder's alone for as long as that holder renews its lease before the timeout. Once the
 * timeout has passed without that, the block may be given to somebody else. A holder can ask whether a block is still its
 * own, and learns from its next renewal when it no longer is.
 * What it cannot promise, whoever writes it: that a holder which has just asked is not stopped before it acts; that
 * something which cannot ask (a NIC, a forked child, a copy under way) stops when the lease ends.
 *
 * Why it is right: a block is one word, its generation and the end of its lease in microseconds, 0 when it is free. Every
 * change is one compare-and-swap from what was looked at; each new owner gets a new generation. So no two owners have the
 * same block and generation, a late renewal or a late free of a former owner changes nothing, and no process can leave a
 * lock behind, or stop the others by being stopped. Time is CLOCK_MONOTONIC, one clock for all.
 *
 * In favour of the leases: a late renewal succeeds if nobody has got the block meanwhile, and a block that became free or
 * ran out long ago is given before one that did a moment ago.
 *
 * Thread safety: every call from any thread of any process that inherited the pool.
 */
#ifndef PGMAP_BENCH_LEASE_H
#define PGMAP_BENCH_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lease_pool; /* opaque; shared with the children of whoever made it */
struct lease {
	uint32_t block;
	uint32_t generation; /* 16 bits of it */
};

/* Null: no memory. */
struct lease_pool *lease_pool_create(uint32_t blocks, size_t block_bytes, uint64_t timeout_ns);

/* A block that is free, or whose lease has run out. -ENOSPC: there is none. */
int lease_take(struct lease_pool *pool, struct lease *out);

/* True: it is the caller's, for another timeout from now. */
bool lease_renew(struct lease_pool *pool, struct lease lease);

/* True: the lease has not ended at this moment. */
bool lease_valid(struct lease_pool *pool, struct lease lease);

/* -ESTALE: somebody else has the block meanwhile; nothing changes. */
int lease_free(struct lease_pool *pool, struct lease lease);

/* How long the block stays out of use if nobody renews this lease any more; 0: no longer. */
uint64_t lease_left_ns(struct lease_pool *pool, struct lease lease);

void *lease_address(struct lease_pool *pool, struct lease lease);

#endif
