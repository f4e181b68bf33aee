/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * demo_rounds.c - what the director does to its workers and their files while they run: kills one a second, replaces,
 * truncates and removes files, says that dead holders are fenced, and looks at the pool's accounts all the time.
 */
#include "demo.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "walk.h"
#include "who.h"

#define NOBODY UINT32_MAX

void demo_check_accounts(struct demo *demo)
{
	struct pgmap_info info;
	int err = pgmap_info(demo->client, &info);
	if (err) {
		demo_error(demo, "info: %s", cli_why(err));
		return;
	}
	uint64_t sum = info.used + info.free + info.waiting;
	uint64_t off = sum > info.pages ? sum - info.pages : info.pages - sum;
	if (off > demo->leaked_pages)
		demo->leaked_pages = off;
}

void demo_fence(struct demo *demo)
{
	struct who_list list;
	int err = who_read(demo->client, NULL, &list);
	if (err)
		demo_error(demo, "who: %s", cli_why(err));
	for (size_t i = 0; i < list.n && err == 0; i++) {
		if (list.rows[i].state != PGMAP_WHO_QUARANTINED ||
		    (i && list.rows[i].holder_id == list.rows[i - 1].holder_id))
			continue;
		int answer = pgmap_fence(demo->client, list.rows[i].holder_id);
		if (answer == 0)
			demo->fenced++;
		else if (answer != -ENOENT) /* one of its rows before had it fenced */
			demo_error(demo, "fence: %s", cli_why(answer));
	}
	who_free(&list);
}

/* A dead worker's files are nobody's. Those that its successor has made since bear another pid. */
static void remove_residue(struct demo *demo, unsigned slot, pid_t pid)
{
	struct walk_list list;
	char mine[64], path[CLI_PATH_MAX];
	snprintf(mine, sizeof(mine), "%u-%d-", slot, (int)pid);
	int err = walk_read(demo->client, "/churn", &list);
	for (size_t i = 0; i < list.n && err == 0; i++) {
		if (strncmp(list.entries[i].name, mine, strlen(mine)) == 0 &&
		    cli_join(path, "/churn", list.entries[i].name) == 0)
			err = pgmap_unlink(demo->client, path);
		if (err == -ENOENT) /* its last message may have been to remove it, and be read now */
			err = 0;
	}
	walk_free(&list);
	if (err)
		demo_error(demo, "/churn: %s", cli_why(err));
}

/* A worker's end that nobody ordered. */
static void look_after(struct demo *demo)
{
	for (unsigned i = 0; i < DEMO_WORKERS; i++) {
		int status;
		if (demo->workers[i] <= 0 || waitpid(demo->workers[i], &status, WNOHANG) != demo->workers[i])
			continue;
		demo_error(demo, "worker %u has ended by itself: %s %d", i,
			   WIFSIGNALED(status) ? "signal" : "exit code",
			   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		remove_residue(demo, i, demo->workers[i]);
		demo_spawn(demo, i);
	}
}

static void kill_worker(struct demo *demo, unsigned slot)
{
	pid_t pid = demo->workers[slot];
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	demo->killed++;
	remove_residue(demo, slot, pid);
}

/* The parent is dead and its child maps: the pool must still name the parent, as one that maps (c7.3). */
static void check_still_named(struct demo *demo, pid_t pid)
{
	struct who_list list;
	bool named = false;
	int64_t end = cli_now_ns() + 3000000000;
	while (!named && cli_now_ns() < end) {
		if (who_read(demo->client, NULL, &list) == 0)
			for (size_t i = 0; i < list.n; i++)
				named |= list.rows[i].pid == pid && list.rows[i].state == PGMAP_WHO_MAPPING;
		who_free(&list);
		if (!named)
			demo_pause(10);
	}
	if (!named)
		demo_error(demo, "who does not name pid %d, whose child still maps", (int)pid);
}

/* Told to leave a child behind, it makes its last file, forks and waits for the kill. */
static void kill_and_leave_child(struct demo *demo, unsigned slot)
{
	struct demo_slot *told = &demo->table->slots[slot];
	pid_t pid = demo->workers[slot];
	int64_t end = cli_now_ns() + 5000000000;
	atomic_store(&told->child, 0);
	atomic_store(&told->child_end, 0);
	atomic_store(&told->fork_wanted, 1);
	while (!atomic_load(&told->child) && cli_now_ns() < end)
		demo_pause(2);
	demo->orphans[slot] = atomic_load(&told->child);
	kill_worker(demo, slot);
	atomic_store(&told->fork_wanted, 0);
	if (demo->orphans[slot] <= 0) {
		demo_error(demo, "worker %u left no child in 5 s", slot);
		return;
	}
	demo->left_children++;
	check_still_named(demo, pid);
}

static void end_orphan(struct demo *demo, unsigned slot)
{
	if (demo->orphans[slot] <= 0)
		return;
	atomic_store(&demo->table->slots[slot].child_end, 1);
	waitpid(demo->orphans[slot], NULL, 0);
	demo->orphans[slot] = 0;
}

/* One a second. Every third leaves a child, which the next kill but one ends. */
static void kill_one(struct demo *demo)
{
	unsigned slot = (unsigned)(demo_random(&demo->random) % DEMO_WORKERS);
	if (demo->killed % 3 == 2) {
		for (unsigned i = 0; i < DEMO_WORKERS; i++)
			end_orphan(demo, i);
		kill_and_leave_child(demo, slot);
		/* Its slot's words belong to the child now: the successor must not be told what the child is told. */
		demo_spawn(demo, slot);
		return;
	}
	kill_worker(demo, slot);
	demo_spawn(demo, slot);
}

static void truncate_file(struct demo *demo, const char *path)
{
	struct pgmap_file *file;
	struct pgmap_stat st;
	int err = pgmap_open(demo->client, path, 0, &file);
	if (err) {
		demo_error(demo, "%s: %s", path, cli_why(err));
		return;
	}
	err = pgmap_fstat(file, &st);
	/* Only what is whole can be cut to a size whose checksum is known. */
	for (uint32_t i = 0; i < demo->table->nsources && err == 0; i++)
		if (demo->table->sources[i].size == st.size_bytes) {
			err = pgmap_truncate(file, demo->table->sources[i].half);
			demo->truncated++;
			break;
		}
	if (err)
		demo_error(demo, "%s: truncate: %s", path, cli_why(err));
	pgmap_close(file);
}

static void change_one(struct demo *demo)
{
	struct demo_table *table = demo->table;
	uint32_t file = (uint32_t)(demo_random(&demo->random) % table->nfiles);
	const struct demo_source *source = &table->sources[demo_random(&demo->random) % table->nsources];
	uint64_t dice = demo_random(&demo->random) % 10;
	char path[64];
	if (demo->removed_file != NOBODY)
		file = demo->removed_file;
	snprintf(path, sizeof(path), "/files/%u", file);
	if (demo->removed_file != NOBODY || dice < 5) {
		int err = demo_put(demo, source, path);
		demo->full += err == -ENOSPC;
		demo->replaced += err == 0;
		if (err == 0)
			demo->removed_file = NOBODY;
	} else if (dice < 8) {
		truncate_file(demo, path);
	} else {
		int err = pgmap_unlink(demo->client, path);
		if (err)
			demo_error(demo, "%s: %s", path, cli_why(err));
		demo->removed++;
		demo->removed_file = file;
	}
}

void demo_progress(struct demo *demo)
{
	int64_t now = cli_now_ns();
	if (!demo->shows || now - demo->drawn_ns < 200000000)
		return;
	uint64_t verified = 0;
	for (unsigned i = 0; i < DEMO_SLOTS; i++)
		verified += atomic_load(&demo->table->slots[i].verified);
	demo->drawn_ns = now;
	fprintf(stderr,
		"\r\033[K%4.1f s  verified %lu  killed %lu  replaced %lu  truncated %lu  removed %lu  fenced %lu  "
		"children %lu",
		(double)(now - demo->start_ns) / 1e9, (unsigned long)verified, (unsigned long)demo->killed,
		(unsigned long)demo->replaced, (unsigned long)demo->truncated, (unsigned long)demo->removed,
		(unsigned long)demo->fenced, (unsigned long)demo->left_children);
	fflush(stderr);
}

void demo_rounds(struct demo *demo, int64_t end_ns)
{
	int64_t next_kill = cli_now_ns() + 1000000000;
	demo->removed_file = NOBODY;
	while (cli_now_ns() < end_ns && !cli_stopped()) {
		look_after(demo);
		change_one(demo);
		demo_check_accounts(demo);
		if (cli_now_ns() >= next_kill) {
			next_kill += 1000000000;
			kill_one(demo);
			demo_fence(demo);
		}
		demo_progress(demo);
		demo_pause(15);
	}
	for (unsigned i = 0; i < DEMO_WORKERS; i++)
		end_orphan(demo, i);
}
