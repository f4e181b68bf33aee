/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * demo_worker.c - one of the demonstration's processes: maps files of the pool with no copy, checks them again and again
 * for as long as it holds them, whatever happens to their names; makes, fills and removes files of its own, so that freed
 * pages are used again at once; pins some; and can be told to leave a child behind that still maps. It is killed at any
 * moment, and a new one takes its place.
 */
#include "demo.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "commands.h"

enum { HELD = 6, NO_PIN = -1 };

/* A mapping and what must be in it: a checksum, or a canary. */
struct held {
	struct pgmap_mapping *mapping;
	uint64_t len, expected; /* the checksum or the canary's seed */
	bool canary;
	int pin;
};

struct worker {
	struct pgmap_client *client;
	struct demo_table *table;
	struct demo_slot *slot;
	unsigned index;
	pid_t director;
	uint64_t random, serial;
	bool pinned; /* something, ever */
	struct held held[HELD];
};

static void note(struct worker *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note(struct worker *w, const char *format, ...)
{
	int none = 0;
	va_list args;
	if (!atomic_compare_exchange_strong(&w->slot->noted, &none, 1))
		return;
	va_start(args, format);
	vsnprintf(w->slot->note, sizeof(w->slot->note), format, args);
	va_end(args);
	atomic_store(&w->slot->noted, 2);
}

static void error(struct worker *w, const char *what, int err)
{
	note(w, "worker %u: %s: %s", w->index, what, cli_why(err));
	atomic_fetch_add(&w->slot->errors, 1);
}

static bool known(const struct demo_table *table, uint64_t size, uint64_t hash)
{
	for (uint32_t i = 0; i < table->nsources; i++) {
		const struct demo_source *source = &table->sources[i];
		if ((source->size == size && source->hash == hash) ||
		    (source->half == size && source->half_hash == hash))
			return true;
	}
	return false;
}

static void verify(struct worker *w, const struct held *held)
{
	const void *addr = pgmap_mapping_address(held->mapping);
	uint64_t wrong = held->canary ? demo_canary_wrong(addr, held->len, held->expected)
			 : XXH3_64bits(addr, held->len) == held->expected ? 0
									  : held->len;
	if (wrong) {
		note(w, "worker %u: a mapping of %lu bytes has changed while it was held", w->index,
		     (unsigned long)held->len);
		atomic_fetch_add(&w->slot->reused_early, wrong);
	}
	atomic_fetch_add(&w->slot->verified, 1);
}

/* Some of what is held is pinned too; one pin in eight is remote: its maker's death leaves the pages quarantined. */
static void pin_some(struct worker *w, struct held *held)
{
	uint64_t dice = demo_random(&w->random) % 24;
	held->pin = NO_PIN;
	if (dice >= 8)
		return;
	int kind = dice == 0 ? PGMAP_PIN_REMOTE : PGMAP_PIN_LOCAL;
	int err = pgmap_pin(held->mapping, 0, held->len, kind);
	/* It has been taken away meanwhile; or it is of a device without pins (c5.5), where none has ever succeeded. */
	bool expected = err == -ESTALE || (err == -EPERM && !w->pinned);
	if (err == 0) {
		held->pin = kind;
		w->pinned = true;
	} else if (!expected) {
		error(w, "pin", err);
	}
}

static void hold_file(struct worker *w, struct held *held)
{
	char path[64];
	snprintf(path, sizeof(path), "/files/%u", (unsigned)(demo_random(&w->random) % w->table->nfiles));
	int err = pgmap_open_map(w->client, path, 0, 0, PGMAP_MAP_READ, &held->mapping);
	if (err) {
		held->mapping = NULL;
		/* Removed at this moment, or truncated to nothing; or quarantined, as one who was killed left a REMOTE pin, and the
		 * director has not fenced it yet. */
		if (err != -ENOENT && err != -ERANGE && err != -EINVAL && err != -EBUSY)
			error(w, path, err);
		return;
	}
	held->canary = false;
	held->len = pgmap_mapping_bytes(held->mapping);
	held->expected = XXH3_64bits(pgmap_mapping_address(held->mapping), held->len);
	if (!known(w->table, held->len, held->expected)) {
		note(w, "worker %u: %s holds bytes that nobody put there", w->index, path);
		atomic_fetch_add(&w->slot->reused_early, held->len);
	}
	atomic_fetch_add(&w->slot->verified, 1);
	atomic_store(&w->slot->ready, 1);
	pin_some(w, held);
}

static void let_go(struct worker *w, struct held *held)
{
	verify(w, held);
	int err = held->pin == NO_PIN ? 0 : pgmap_unpin(held->mapping, 0, held->len, held->pin);
	if (err)
		error(w, "unpin", err);
	err = pgmap_unmap(held->mapping);
	if (err)
		error(w, "unmap", err);
	held->mapping = NULL;
}

/* A new file: all zero before anything is written; then its canary. False: there was no room. */
static bool make_canary(struct worker *w, struct held *held, char path[64])
{
	uint64_t granule = w->table->granule, pages = granule > 65536 ? 1 : 1 + demo_random(&w->random) % 128;
	uint64_t serial = w->serial++;
	snprintf(path, 64, "/churn/%u-%d-%lu", w->index, (int)getpid(), (unsigned long)serial);
	int err = pgmap_open_map(w->client, path, PGMAP_O_CREATE | PGMAP_O_EXCL, pages * granule,
				 PGMAP_MAP_READ | PGMAP_MAP_WRITE, &held->mapping);
	if (err) {
		held->mapping = NULL;
		(void)pgmap_unlink(w->client, path);
		if (err != -ENOSPC)
			error(w, path, err);
		return false;
	}
	held->canary = true;
	held->pin = NO_PIN;
	held->len = pages * granule;
	held->expected = (uint64_t)w->index << 56 ^ serial << 32 ^ (uint64_t)getpid() << 8;
	uint64_t foreign = demo_nonzero(pgmap_mapping_address(held->mapping), held->len);
	if (foreign)
		note(w, "worker %u: %s had bytes in it when it was new", w->index, path);
	atomic_fetch_add(&w->slot->foreign_bytes, foreign);
	demo_canary_write(pgmap_mapping_address(held->mapping), held->len, held->expected);
	return true;
}

static void lose(struct worker *w, const char *path, bool truncate)
{
	struct pgmap_file *file;
	int err = 0;
	if (truncate) {
		err = pgmap_open(w->client, path, 0, &file);
		if (err == 0) {
			err = pgmap_truncate(file, 0);
			pgmap_close(file);
		}
	}
	if (err == 0)
		err = pgmap_unlink(w->client, path);
	if (err)
		error(w, path, err);
}

/* A file is lost while it is mapped, the next one takes what is free: the first must keep every byte. */
static void churn(struct worker *w)
{
	struct held first, second;
	char first_path[64], second_path[64];
	if (!make_canary(w, &first, first_path))
		return;
	if (demo_random(&w->random) % 4 == 0 && pgmap_pin(first.mapping, 0, first.len, PGMAP_PIN_LOCAL) == 0)
		first.pin = PGMAP_PIN_LOCAL;
	lose(w, first_path, demo_random(&w->random) % 2);
	verify(w, &first);
	if (make_canary(w, &second, second_path)) {
		verify(w, &first);
		let_go(w, &second);
		lose(w, second_path, false);
	}
	let_go(w, &first);
}

/* The child has neither the parent's socket nor any other descriptor: it only maps. */
static void child_runs(struct worker *w)
{
	struct timespec pause = {.tv_nsec = 2000000};
	prctl(PR_SET_PDEATHSIG, 0);
	close_range(3, ~0U, 0);
	atomic_store(&w->slot->child, (int)getpid());
	pid_t parent = getppid();
	while (!atomic_load(&w->slot->child_end)) {
		for (unsigned i = 0; i < HELD; i++)
			if (w->held[i].mapping)
				verify(w, &w->held[i]);
		/* The director inherits it; if the director has gone as well, there is nobody to tell. */
		if (getppid() != parent && getppid() != w->director)
			_exit(0);
		nanosleep(&pause, NULL);
	}
	_exit(0);
}

/* What the child maps has no name any more: only the child's mapping keeps its pages. */
static void leave_child(struct worker *w)
{
	char path[64];
	struct held *held = &w->held[0];
	if (held->mapping)
		let_go(w, held);
	while (!make_canary(w, held, path))
		if (atomic_load(&w->table->stop))
			return;
	lose(w, path, false);
	atomic_store(&w->slot->fork_wanted, 0);
	if (fork() == 0)
		child_runs(w);
	for (;;) /* to be killed here */
		pause();
}

static void work(struct worker *w)
{
	for (unsigned i = 0; !atomic_load(&w->table->stop); i = (i + 1) % HELD) {
		struct held *held = &w->held[i];
		if (atomic_load(&w->slot->fork_wanted))
			leave_child(w);
		if (!held->mapping) {
			hold_file(w, held);
		} else {
			verify(w, held);
			if (demo_random(&w->random) % 3 == 0)
				let_go(w, held);
		}
		churn(w);
	}
	for (unsigned i = 0; i < HELD; i++)
		if (w->held[i].mapping)
			let_go(w, &w->held[i]);
}

/* Holds one file until it is told to let go. */
static void straggle(struct worker *w)
{
	struct timespec pause = {.tv_nsec = 2000000};
	int err = pgmap_open_map(w->client, "/straggler", 0, 0, PGMAP_MAP_READ, &w->held[0].mapping);
	if (err) {
		error(w, "/straggler", err);
		return;
	}
	atomic_store(&w->slot->ready, 1);
	while (!atomic_load(&w->table->let_go))
		nanosleep(&pause, NULL);
	pgmap_unmap(w->held[0].mapping);
}

/* demo-worker FD SLOT: FD is the table. */
static int run_worker(struct cli *cli)
{
	static struct worker worker;
	struct worker *w = &worker;
	w->index = (unsigned)atoi(cli->argv[1]);
	w->director = getppid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, w->index == DEMO_STRAGGLER ? "straggler" : "demo-worker"); /* who shows it */
	w->table = mmap(NULL, sizeof(*w->table), PROT_READ | PROT_WRITE, MAP_SHARED, atoi(cli->argv[0]), 0);
	if (w->table == MAP_FAILED || w->index >= DEMO_SLOTS)
		return cli_usage(cli, "%s: it is a part of pgmap demo", cli->argv[0]);
	w->slot = &w->table->slots[w->index];
	w->random = (uint64_t)getpid() * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)cli_now_ns();
	int err = pgmap_connect(cli->socket, &w->client);
	if (err)
		error(w, "connect", err);
	else if (w->index == DEMO_STRAGGLER)
		straggle(w);
	else
		work(w);
	pgmap_disconnect(w->client);
	return err ? CLI_FAILED : CLI_DONE;
}

const struct cli_command cmd_demo_worker = {
	.name = "demo-worker",
	.synopsis = "FD SLOT",
	.summary = "a part of demo",
	.text = "",
	.min_args = 2,
	.max_args = 2,
	.hidden = true,
	.run = run_worker,
};
