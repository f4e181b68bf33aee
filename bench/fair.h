/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fair.h - the same workload on the pool and on leases that end by timeout (lease.h), and an oracle that counts for both
 * what went wrong. fair.c directs, fair_worker.c works, fair_sides.c is what differs.
 *
 * Workers take blocks, write them full of their tenure's number, use them, and give them back. Some are killed; some are
 * stopped for a while, as by a debugger, by swapping or by a pause of a garbage collector; some blocks are written by a
 * forked child that goes on when its parent has died, as a NIC or a GPU would. Times and victims come from one seed.
 *
 * The oracle looks at bytes, and believes neither side. A tenure's number is greater than that of each before it. Whoever
 * finds in its block the number of another tenure knows:
 *   greater than its own: the block was given to that one while the finder still had it: the finder's was reused early;
 *   smaller than its own: that one still wrote after the finder had filled the block: that one's was reused early, and
 *   the finder's bytes are corrupted, if its own lease was valid before and after it looked.
 * A tenure that was reused early counts once, whoever finds out. A dead holder's block has been reused early only if its
 * transfer still wrote.
 */
#ifndef PGMAP_BENCH_FAIR_H
#define PGMAP_BENCH_FAIR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "subject.h"

enum {
	WORKERS = 12,
	BLOCKS_EACH = 4, /* that a worker wants to have at the same time */
	BLOCKS = 64,     /* of the pool: a quarter of it is free when nobody is in trouble */
	BLOCK_BYTES = 256 << 10,
	PIECES = 16, /* in which a block is used, with a pause after each */
	IDS_MAX = 1 << 20
};

struct fair_block {
	char *address;
	uint64_t token; /* lease: which one */
	void *mapping;  /* pgmap */
};

/* What a worker has, where the director sees it: it must know what somebody had who died. */
struct fair_tenure {
	_Atomic uint64_t id; /* 0: none */
	_Atomic uint64_t token;
	_Atomic int transfer; /* the child that writes the block; 0: none */
};

struct fair_table {
	_Atomic int stop;
	_Atomic uint64_t last_id, takes, refused, told, corrupted, transfers;
	struct fair_tenure held[WORKERS][BLOCKS_EACH];
	_Atomic uint8_t early[IDS_MAX];
};

/* A worker that died, and what it had that nobody uses any more. */
struct fair_dead {
	pid_t pid;
	pid_t transfer;          /* still writes; 0: none, or it has ended */
	uint64_t transfer_token; /* what it writes */
	uint64_t tokens[BLOCKS_EACH];
	unsigned ntokens;
	uint64_t seen_ns;    /* until then it has been accounted for */
	uint64_t held_bytes; /* since then out of use */
};

struct fair_side {
	const char *name;
	void (*open)(int argc, char **argv);
	/* A worker's: its place at the table; a block or -ENOSPC; whether it may be used at this moment. */
	void (*attach)(unsigned worker);
	int (*take)(unsigned place, bool transfer, struct fair_block *block);
	bool (*mine)(const struct fair_block *block);
	void (*give)(unsigned place, const struct fair_block *block);
	/* In a transfer's process: it goes without this one, which is not what it writes. */
	void (*without)(const struct fair_block *block);
	/* The director's: add what the dead one keeps out of use to *leaked (byte nanoseconds); true: nothing any more. */
	bool (*settle)(struct fair_dead *dead, double *leaked);
	/* The bytes that are not free once everybody has gone. */
	uint64_t (*kept)(void);
};

extern const struct fair_side fair_pgmap, fair_lease;

/* Log-uniform: as many between 10 and 100 ms as between 100 ms and 1 s. */
uint64_t fair_time_ns(struct rng *rng, double least_s, double most_s);
void fair_pause_us(uint64_t us);

/* A worker's life, in a process of its own. */
_Noreturn void fair_worker(struct fair_table *table, const struct fair_side *side, unsigned worker, uint64_t seed);

#endif
