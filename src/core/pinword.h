/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pinword.h - one shared word per folio span of a mapping: pins counted where they are made, read where they matter.
 *
 * The word lies in a segment that a client process can write and the server can read and write:
 *
 *     63        60 59         30 29          0
 *    +------------+-------------+-------------+
 *    |   reason   | remote pins | local pins  |
 *    +------------+-------------+-------------+
 *
 * Who may change what: the client moves the two counts, the server alone sets and clears the reason.
 *
 * Claim 1: no pin succeeds after a block. Every change is a compare-and-swap of the whole word, so a pin that succeeds
 * found reason 0 in the very word that it replaced: in the word's modification order it stands before the block, and
 * pinword_block(), whose answer is the word that it replaced, has seen it. There is no moment at which a count stands
 * in the word that its maker does not own (a blind add that is taken back has such moments, and a process that is
 * killed in one leaves a phantom pin for ever).
 * Claim 2: the last unpin of a blocked word says so to its caller: the compare-and-swap that makes both counts 0 under
 * a reason returns PINWORD_DRAINED, exactly once for each such moment.
 * Claim 3: what the pinning side did before unpin happens before what the blocking side does after it has read counts
 * of 0: unpin releases (pairs with the acquire of pinword_read() and pinword_block()); what the server did before
 * clearing the reason happens before a later pin: pinword_unblock() releases, pinword_pin() acquires.
 *
 * To the server a word is a client's claim: the counts are clamped by their fields, and never used as an index, a
 * length or a pointer. A client can lie about its own pins; it can hurt nobody else with it.
 *
 * Nothing but the C11 standard headers, so that a model checker can run this very code.
 */
#ifndef PGMAP_CORE_PINWORD_H
#define PGMAP_CORE_PINWORD_H

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t pinword_t;

/* The server's reason, and two bits beside it: each side changes its own, and none is lost under the other's. */
enum pinword_reason {
	PINWORD_OPEN = 0,
	PINWORD_WAIT = 1,    /* a truncate waits: -EAGAIN */
	PINWORD_GOING = 2,   /* the device is going: -ENODEV */
	PINWORD_STALE = 3,   /* the range has gone from the file: -ESTALE */
	PINWORD_SERVERS = 3, /* the mask of these */
	PINWORD_CLOSING = 4, /* the client's: it is unmapping: -EINVAL */
	PINWORD_UNUSED = 8   /* no span uses this word: -EINVAL */
};

enum { PINWORD_DRAINED = 1 };

#define PINWORD_COUNT_BITS 30
#define PINWORD_COUNT_MASK ((UINT64_C(1) << PINWORD_COUNT_BITS) - 1)
#define PINWORD_MAX        ((UINT64_C(1) << 24) - 1)
#define PINWORD_REASON     (2 * PINWORD_COUNT_BITS)

struct pinword_counts {
	uint32_t local;
	uint32_t remote;
	enum pinword_reason reason;
};

static inline struct pinword_counts pinword_decode(uint64_t word)
{
	struct pinword_counts c = {
		.local = (uint32_t)(word & PINWORD_COUNT_MASK),
		.remote = (uint32_t)((word >> PINWORD_COUNT_BITS) & PINWORD_COUNT_MASK),
		.reason = (enum pinword_reason)(word >> PINWORD_REASON),
	};
	return c;
}

static inline int pinword_error(uint64_t word)
{
	/* With one of the two bits set it is none of these: -EINVAL. */
	switch (word >> PINWORD_REASON) {
	case PINWORD_WAIT:
		return -EAGAIN;
	case PINWORD_GOING:
		return -ENODEV;
	case PINWORD_STALE:
		return -ESTALE;
	default:
		return -EINVAL;
	}
}

static inline unsigned pinword_shift(int remote)
{
	return remote ? PINWORD_COUNT_BITS : 0;
}

/* Client: the first pin, or the only one back, of a word that has no reason: as most are. False: it is another word, and
 * nothing has changed; the two calls below do it. */
static inline int pinword_try_first(pinword_t *word, int remote)
{
	uint64_t old = 0;
	return atomic_compare_exchange_strong_explicit(word, &old, UINT64_C(1) << pinword_shift(remote),
						       memory_order_acquire, memory_order_relaxed);
}

static inline int pinword_try_only(pinword_t *word, int remote)
{
	uint64_t old = UINT64_C(1) << pinword_shift(remote);
	return atomic_compare_exchange_strong_explicit(word, &old, 0, memory_order_release, memory_order_relaxed);
}

/* Client: one more pin. 0, the reason's error, or -EUSERS at PINWORD_MAX. Async-signal-safe, never waits. */
static inline int pinword_pin(pinword_t *word, int remote)
{
	unsigned shift = pinword_shift(remote);
	uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
	do {
		if (old >> PINWORD_REASON)
			return pinword_error(old);
		if (((old >> shift) & PINWORD_COUNT_MASK) >= PINWORD_MAX)
			return -EUSERS;
	} while (!atomic_compare_exchange_weak_explicit(word, &old, old + (UINT64_C(1) << shift), memory_order_acquire,
							memory_order_relaxed));
	return 0;
}

/* Client: one pin less. 0, PINWORD_DRAINED when that was the last under a reason, -EINVAL when there is none. */
static inline int pinword_unpin(pinword_t *word, int remote)
{
	unsigned shift = pinword_shift(remote);
	uint64_t now, old = atomic_load_explicit(word, memory_order_relaxed);
	do {
		if (((old >> shift) & PINWORD_COUNT_MASK) == 0)
			return -EINVAL;
		now = old - (UINT64_C(1) << shift);
	} while (!atomic_compare_exchange_weak_explicit(word, &old, now, memory_order_release, memory_order_relaxed));
	return (now >> PINWORD_REASON) != 0 && (now << (64 - PINWORD_REASON)) == 0 ? PINWORD_DRAINED : 0;
}

/* Client, before its munmap: CLOSING, beside whatever reason there is. -EBUSY: it is pinned. */
static inline int pinword_close(pinword_t *word)
{
	uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
	do {
		if ((old << (64 - PINWORD_REASON)) != 0)
			return -EBUSY;
	} while (!atomic_compare_exchange_weak_explicit(word, &old, old | (uint64_t)PINWORD_CLOSING << PINWORD_REASON,
							memory_order_acq_rel, memory_order_relaxed));
	return 0;
}

/* Client: the unmap is called off. */
static inline void pinword_reopen(pinword_t *word)
{
	(void)atomic_fetch_and_explicit(word, ~((uint64_t)PINWORD_CLOSING << PINWORD_REASON), memory_order_release);
}

/* Server: no new pins, for this reason (or, PINWORD_OPEN: pins are welcome again); the answer is the word that it
 * replaced. Replaces an earlier reason of the server's, and leaves the other two bits as they are. */
static inline struct pinword_counts pinword_block(pinword_t *word, enum pinword_reason reason)
{
	const uint64_t servers = (uint64_t)PINWORD_SERVERS << PINWORD_REASON;
	uint64_t want, old = atomic_load_explicit(word, memory_order_relaxed);
	do {
		want = (old & ~servers) | (uint64_t)reason << PINWORD_REASON;
	} while (!atomic_compare_exchange_weak_explicit(word, &old, want, memory_order_acq_rel, memory_order_relaxed));
	return pinword_decode(old);
}

static inline void pinword_unblock(pinword_t *word)
{
	(void)pinword_block(word, PINWORD_OPEN);
}

/* Server: what stands in the word now. */
static inline struct pinword_counts pinword_read(const pinword_t *word)
{
	return pinword_decode(atomic_load_explicit(word, memory_order_acquire));
}

/* Server, for a span that begins or has ended: nobody else uses the word. */
static inline void pinword_init(pinword_t *word, enum pinword_reason reason)
{
	atomic_store_explicit(word, (uint64_t)reason << PINWORD_REASON, memory_order_release);
}

#endif
