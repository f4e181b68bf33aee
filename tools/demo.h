/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * demo.h - the demonstration's parts: a director (demo.c, demo_rounds.c, demo_end.c), the real files that it loads
 * (demo_load.c), and worker programs (demo_worker.c), which are killed at any moment.
 *
 * Everything is counted from outside of the pool. The table below is memory that the director shares with its workers,
 * apart from the pool; all that changes in it while workers run is atomic, and every single change leaves it right, so a
 * worker that is killed between two of them has lost nothing but what it did not do any more.
 *
 * reused_early: bytes of a mapping or a file that changed while somebody held it. Whoever gets pages next writes canaries
 *   all over them, so pages that were given away too early show it. Nobody writes to a file that it has removed.
 * foreign_bytes: bytes of a new file that were not zero before anything was written to it.
 * leaked_pages: pages that are not free when everybody has gone and every file is removed; and by how much used + free +
 *   waiting, or the sum over the holders, was ever off.
 */
#ifndef PGMAP_TOOLS_DEMO_H
#define PGMAP_TOOLS_DEMO_H

#include <stdatomic.h>
#include <sys/types.h>

#include "cli.h"

enum { DEMO_WORKERS = 8, DEMO_SOURCES = 512, DEMO_STRAGGLER = DEMO_WORKERS, DEMO_SLOTS };
#define DEMO_POOL     "1G"
#define DEMO_LOAD_MAX (UINT64_C(400) << 20)

/* What a file of the pool may hold: a real file, whole, or cut to its first half (truncated). */
struct demo_source {
	char path[1024];
	uint64_t size, half; /* bytes; half is a multiple of the granule, or 0 */
	uint64_t hash, half_hash;
	const void *data; /* the director's mapping of it */
};

/* What one worker tells, and is told. */
struct demo_slot {
	_Atomic int fork_wanted; /* told: leave a child behind */
	_Atomic int child;       /* the child's pid, once it maps alone */
	_Atomic int child_end;   /* told: the child may end */
	_Atomic int ready;       /* it has mapped something since it started */
	_Atomic uint64_t verified;
	_Atomic uint64_t reused_early, foreign_bytes;
	_Atomic uint64_t errors;
	_Atomic int noted;
	char note[256]; /* about the first error; valid when noted is 2 */
};

struct demo_table {
	_Atomic int stop;
	_Atomic int let_go; /* told to the straggler */
	uint32_t nsources;
	uint32_t nfiles; /* /files/0 and up */
	uint64_t granule;
	struct demo_slot slots[DEMO_SLOTS];
	struct demo_source sources[DEMO_SOURCES];
};

struct demo {
	struct cli *cli;
	struct pgmap_client *client;
	struct demo_table *table;
	int table_fd;
	char dir[64], socket[80];
	pid_t server;
	pid_t workers[DEMO_SLOTS];
	pid_t orphans[DEMO_WORKERS]; /* children left by killed workers */
	unsigned generation[DEMO_WORKERS];
	int64_t start_ns, deadline_ns;
	uint64_t random;
	uint64_t load_max; /* bytes of real files, at most */
	uint64_t bytes, killed, replaced, truncated, removed, full, fenced, left_children;
	uint64_t verified, reused_early, foreign_bytes, leaked_pages; /* the director's own share */
	uint64_t errors;
	_Atomic uint64_t said, files_loaded; /* for the watchdog, too */
	bool shows;
	int64_t drawn_ns;
	uint32_t removed_file; /* put back by the next round; or UINT32_MAX */
};

/* demo.c. demo_error: something else than the three counters went wrong: the demo fails, and says why. */
void demo_error(struct demo *demo, const char *format, ...) __attribute__((format(printf, 2, 3)));
void demo_say(struct demo *demo, const char *format, ...) __attribute__((format(printf, 2, 3)));
int demo_spawn(struct demo *demo, unsigned slot);
uint64_t demo_random(uint64_t *state);
void demo_pause(unsigned ms);

/* demo_load.c */
int demo_choose(struct demo *demo, const char *input);
int demo_hash_sources(struct demo *demo);
int demo_load(struct demo *demo);
/* A new file with these contents under path, replacing what is there. 0 or -errno: -ENOSPC is no error. */
int demo_put(struct demo *demo, const struct demo_source *source, const char *path);
/* How many of these bytes are not those of the canary that begins with seed. Writes them, and counts non-zero ones. */
void demo_canary_write(void *addr, uint64_t len_bytes, uint64_t seed);
uint64_t demo_canary_wrong(const void *addr, uint64_t len_bytes, uint64_t seed);
uint64_t demo_nonzero(const void *addr, uint64_t len_bytes);
#define DEMO_BALLAST_SEED UINT64_C(0x62616c6c61737400)

/* demo_rounds.c: kills, replacements, truncations, removals, until end_ns. */
void demo_rounds(struct demo *demo, int64_t end_ns);
void demo_progress(struct demo *demo);
void demo_check_accounts(struct demo *demo);
void demo_fence(struct demo *demo);

/* demo_end.c: nobody is left, nothing is left, and the drain. */
void demo_everybody_out(struct demo *demo);
void demo_nothing_left(struct demo *demo);
void demo_drain(struct demo *demo);

#endif
