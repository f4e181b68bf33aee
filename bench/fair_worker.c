/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fair_worker.c - what a worker does: see fair.h. It is a careful user of leases: it looks whether a block is still its
 * own before each use and after it, throws away what it read when it is not, and writes no more.
 */
#include "fair.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = BLOCK_BYTES / 8, PIECE_WORDS = WORDS / PIECES, VERSION_BITS = 16 };

static const double HOLD_S[2] = {0.02, 1}, TRANSFER_S[2] = {0.05, 5};

struct place {
	struct fair_block block;
	uint64_t id, end_ns, version;
	pid_t transfer;
};

struct worker {
	struct fair_table *table;
	const struct fair_side *side;
	struct fair_tenure *held;
	struct place places[BLOCKS_EACH];
	struct rng rng;
};

uint64_t fair_time_ns(struct rng *rng, double least_s, double most_s)
{
	double part = (double)rng_below(rng, UINT32_MAX) / (double)UINT32_MAX;
	return (uint64_t)(least_s * pow(most_s / least_s, part) * 1e9);
}

void fair_pause_us(uint64_t us)
{
	struct timespec pause = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
	(void)nanosleep(&pause, NULL);
}

static void note_early(struct fair_table *table, uint64_t id)
{
	if (id < IDS_MAX)
		atomic_store(&table->early[id], 1);
}

static volatile uint64_t *piece_of(const struct fair_block *block, unsigned piece)
{
	return (volatile uint64_t *)(void *)block->address + (size_t)piece * PIECE_WORDS;
}

static void write_piece(const struct fair_block *block, unsigned piece, uint64_t word)
{
	volatile uint64_t *words = piece_of(block, piece);
	for (size_t i = 0; i < PIECE_WORDS; i++)
		words[i] = word;
}

/* Whether that piece holds what this tenure did not write: another's number, or 0 where it has been wiped. */
static bool stranger(const struct fair_block *block, unsigned piece, uint64_t id, uint64_t *other)
{
	volatile const uint64_t *words = piece_of(block, piece);
	for (size_t i = 0; i < PIECE_WORDS; i++) {
		*other = words[i] >> VERSION_BITS;
		if (*other != id)
			return true;
	}
	return false;
}

/* Whose block was reused early, now that this one has found the other's number in it. */
static void found(struct fair_table *table, uint64_t id, uint64_t other, bool valid)
{
	note_early(table, other > id || other == 0 ? id : other);
	if (valid)
		atomic_fetch_add(&table->corrupted, 1);
}

/* The transfer: writes its block until its time is over; it asks nobody, as a NIC would not. */
static _Noreturn void transfer(struct worker *w, unsigned place)
{
	struct place *p = &w->places[place];
	atomic_store(&w->held[place].transfer, (int)getpid());
	for (unsigned i = 0; i < BLOCKS_EACH; i++) {
		if (i != place && w->places[i].id)
			w->side->without(&w->places[i].block);
	}
	while (now_ns() < p->end_ns) {
		p->version++;
		for (unsigned piece = 0; piece < PIECES; piece++) {
			uint64_t other;
			if (stranger(&p->block, piece, p->id, &other))
				found(w->table, p->id, other, false);
			write_piece(&p->block, piece, p->id << VERSION_BITS | (p->version & UINT16_MAX));
			fair_pause_us(500);
		}
	}
	_exit(0);
}

static void start_transfer(struct worker *w, unsigned place)
{
	struct place *p = &w->places[place];
	p->end_ns = now_ns() + fair_time_ns(&w->rng, TRANSFER_S[0], TRANSFER_S[1]);
	pid_t pid = fork();
	if (pid < 0)
		return;
	if (pid == 0)
		transfer(w, place);
	p->transfer = pid;
	atomic_store(&w->held[place].transfer, (int)pid);
	atomic_fetch_add(&w->table->transfers, 1);
}

static bool transfers(const struct worker *w)
{
	for (unsigned i = 0; i < BLOCKS_EACH; i++) {
		if (w->places[i].transfer)
			return true;
	}
	return false;
}

static void drop(struct worker *w, unsigned place)
{
	w->side->give(place, &w->places[place].block);
	w->places[place] = (struct place){0};
	atomic_store(&w->held[place].id, 0);
	atomic_store(&w->held[place].token, 0);
}

/* The block is not its own any more, and it has been told so: what does the oracle find there? */
static void lost(struct worker *w, unsigned place)
{
	struct place *p = &w->places[place];
	uint64_t other;
	atomic_fetch_add(&w->table->told, 1);
	for (unsigned piece = 0; piece < PIECES; piece++) {
		if (stranger(&p->block, piece, p->id, &other))
			found(w->table, p->id, other, false);
	}
	drop(w, place);
}

static void take(struct worker *w, unsigned place)
{
	struct place *p = &w->places[place];
	bool moves = !transfers(w) && rng_below(&w->rng, 4) == 0;
	int rc = w->side->take(place, moves, &p->block);
	if (rc == -ENOSPC) {
		atomic_fetch_add(&w->table->refused, 1);
		fair_pause_us(5000);
		return;
	}
	if (rc != 0)
		_exit(2);
	/* After the block is the worker's: the greater number has the block later. */
	p->id = atomic_fetch_add(&w->table->last_id, 1) + 1;
	p->end_ns = now_ns() + fair_time_ns(&w->rng, HOLD_S[0], HOLD_S[1]);
	atomic_store(&w->held[place].token, p->block.token);
	atomic_store(&w->held[place].id, p->id);
	atomic_fetch_add(&w->table->takes, 1);
	if (!w->side->mine(&p->block)) {
		atomic_fetch_add(&w->table->told, 1);
		drop(w, place);
		return;
	}
	for (unsigned piece = 0; piece < PIECES; piece++)
		write_piece(&p->block, piece, p->id << VERSION_BITS);
	if (moves)
		start_transfer(w, place);
}

static void use(struct worker *w, unsigned place)
{
	struct place *p = &w->places[place];
	bool writes = rng_below(&w->rng, 2) == 0, strange = false;
	uint64_t other = 0, first = 0;
	if (!w->side->mine(&p->block)) {
		lost(w, place);
		return;
	}
	p->version++;
	for (unsigned piece = 0; piece < PIECES; piece++) {
		if (!strange && stranger(&p->block, piece, p->id, &other)) {
			strange = true;
			first = other;
		}
		if (writes)
			write_piece(&p->block, piece, p->id << VERSION_BITS | (p->version & UINT16_MAX));
		fair_pause_us(500);
	}
	bool valid = w->side->mine(&p->block);
	if (strange)
		found(w->table, p->id, first, valid);
	if (!valid)
		lost(w, place);
	else if (strange)
		drop(w, place); /* found once is enough */
}

static void step(struct worker *w, unsigned place)
{
	struct place *p = &w->places[place];
	if (!p->id) {
		take(w, place);
	} else if (p->transfer) {
		if (waitpid(p->transfer, NULL, WNOHANG) == p->transfer) {
			p->transfer = 0;
			atomic_store(&w->held[place].transfer, 0);
			p->end_ns = 0;
			use(w, place);
		}
	} else if (now_ns() > p->end_ns) {
		drop(w, place);
	} else {
		use(w, place);
	}
}

_Noreturn void fair_worker(struct fair_table *table, const struct fair_side *side, unsigned worker, uint64_t seed)
{
	struct worker w = {.table = table, .side = side, .held = table->held[worker], .rng = {seed}};
	side->attach(worker);
	while (!atomic_load(&table->stop)) {
		step(&w, (unsigned)rng_below(&w.rng, BLOCKS_EACH));
		fair_pause_us(1000);
	}
	_exit(0);
}
