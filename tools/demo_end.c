/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * demo_end.c - how the demonstration ends: everybody goes, every file goes, every page must be free again; then a straggler
 * holds one file, the drain waits for it by name, it lets go, the drain ends, and the server with it.
 */
#include "demo.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pgmap/pgmap.h>
#include "walk.h"
#include "who.h"

/* True once cond(demo) is; false after seconds. For what must come about by itself, in another process. */
static bool wait_for(struct demo *demo, bool (*cond)(struct demo *demo), int seconds)
{
	int64_t end = cli_now_ns() + (int64_t)seconds * 1000000000;
	while (!cond(demo)) {
		if (cli_now_ns() > end)
			return false;
		demo_progress(demo);
		demo_pause(5);
	}
	return true;
}

static bool workers_gone(struct demo *demo)
{
	bool gone = true;
	for (unsigned i = 0; i < DEMO_WORKERS; i++) {
		int status;
		if (demo->workers[i] <= 0)
			continue;
		if (waitpid(demo->workers[i], &status, WNOHANG) != demo->workers[i]) {
			gone = false;
			continue;
		}
		demo->workers[i] = 0;
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			demo_error(demo, "worker %u did not end well (wait status %#x)", i, (unsigned)status);
	}
	return gone;
}

void demo_everybody_out(struct demo *demo)
{
	atomic_store(&demo->table->stop, 1);
	if (wait_for(demo, workers_gone, 10))
		return;
	for (unsigned i = 0; i < DEMO_WORKERS; i++)
		if (demo->workers[i] > 0) {
			demo_error(demo, "worker %u did not end in 10 s", i);
			kill(demo->workers[i], SIGKILL);
			waitpid(demo->workers[i], NULL, 0);
			demo->workers[i] = 0;
		}
}

static void check_ballast(struct demo *demo)
{
	struct pgmap_mapping *mapping;
	int err = pgmap_open_map(demo->client, "/ballast", 0, 0, PGMAP_MAP_READ, &mapping);
	if (err == -ENOENT)
		return;
	if (err) {
		demo_error(demo, "/ballast: %s", cli_why(err));
		return;
	}
	demo->reused_early +=
		demo_canary_wrong(pgmap_mapping_address(mapping), pgmap_mapping_bytes(mapping), DEMO_BALLAST_SEED);
	demo->verified++;
	pgmap_unmap(mapping);
}

static int remove_one(void *arg, const char *path, const struct pgmap_stat *st)
{
	if (!st->is_dir)
		return pgmap_unlink(arg, path);
	return *cli_basename(path) ? pgmap_rmdir(arg, path) : 0;
}

static bool all_free(struct demo *demo)
{
	struct pgmap_info info;
	demo_fence(demo);
	if (pgmap_info(demo->client, &info))
		return false;
	return info.free == info.pages && info.live_pages == 0 && info.quarantined_pages == 0;
}

void demo_nothing_left(struct demo *demo)
{
	char failed[CLI_PATH_MAX];
	struct pgmap_info info;
	check_ballast(demo);
	int err = walk_tree(demo->client, "/", true, remove_one, demo->client, failed);
	if (err)
		demo_error(demo, "%s: remove: %s", failed, cli_why(err));
	if (wait_for(demo, all_free, 5))
		return;
	err = pgmap_info(demo->client, &info);
	if (err) {
		demo_error(demo, "info: %s", cli_why(err));
		return;
	}
	uint64_t leaked = info.pages - info.free;
	if (info.live_pages > leaked)
		leaked = info.live_pages;
	if (leaked > demo->leaked_pages)
		demo->leaked_pages = leaked;
	demo_say(demo, "everybody has gone and every file is removed: %lu pages are not free, %lu are held",
		 (unsigned long)leaked, (unsigned long)info.live_pages);
}

static bool straggler_ready(struct demo *demo)
{
	return atomic_load(&demo->table->slots[DEMO_STRAGGLER].ready) != 0;
}

/* While it alone holds pages, who must name it, and what it holds must be all that is held. */
static void check_named(struct demo *demo)
{
	struct who_list list;
	struct pgmap_info info;
	char summary[1024];
	uint64_t pages = 0;
	bool named = false;
	int err = who_read(demo->client, NULL, &list);
	for (size_t i = 0; i < list.n && err == 0; i++) {
		pages += list.rows[i].pages;
		named |= list.rows[i].pid == demo->workers[DEMO_STRAGGLER] &&
			 strcmp(list.rows[i].path, "/straggler") == 0;
	}
	who_summary(&list, summary, sizeof(summary));
	who_free(&list);
	if (err == 0)
		err = pgmap_info(demo->client, &info);
	if (err) {
		demo_error(demo, "who: %s", cli_why(err));
		return;
	}
	demo_say(demo, "the drain waits: %s", summary);
	if (!named)
		demo_error(demo, "who does not name the straggler, pid %d, on /straggler",
			   (int)demo->workers[DEMO_STRAGGLER]);
	uint64_t off = pages > info.live_pages ? pages - info.live_pages : info.live_pages - pages;
	if (off > demo->leaked_pages)
		demo->leaked_pages = off;
}

static void reap_server(struct demo *demo)
{
	int status = -1;
	waitpid(demo->server, &status, 0); /* the watchdog is behind it */
	demo->server = 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		demo_error(demo, "the server did not end well (wait status %#x)", (unsigned)status);
}

static void drain_ends(struct demo *demo)
{
	struct pgmap_mapping *mapping;
	int err = pgmap_open_map(demo->client, "/straggler", 0, 0, PGMAP_MAP_READ, &mapping);
	if (err != -ENODEV)
		demo_error(demo, "a draining pool answers %d to a new mapping", err);
	atomic_store(&demo->table->let_go, 1);
	err = pgmap_drain_pool(demo->client, 5000);
	/* Where it lets go before we ask, the drain that was begun ends first, and the server with it: its exit code tells. */
	if (err && err != -EPIPE && err != -ECONNRESET) {
		demo_error(demo, "the straggler has let go, and the drain does not end: %s", cli_why(err));
		return;
	}
	demo_say(demo, "it has let go: the drain has ended");
	reap_server(demo);
}

void demo_drain(struct demo *demo)
{
	int err = demo_put(demo, &demo->table->sources[0], "/straggler");
	if (err == 0 && demo_spawn(demo, DEMO_STRAGGLER) == 0 && !wait_for(demo, straggler_ready, 10))
		demo_error(demo, "the straggler does not map its file");
	err = pgmap_drain_pool(demo->client, 300);
	if (err != -ETIMEDOUT)
		demo_error(demo, "a drain while a file is held: %s", err ? cli_why(err) : "it ended");
	check_named(demo);
	drain_ends(demo);
	if (demo->workers[DEMO_STRAGGLER] > 0) {
		if (demo->server)
			kill(demo->workers[DEMO_STRAGGLER], SIGKILL);
		waitpid(demo->workers[DEMO_STRAGGLER], NULL, 0);
		demo->workers[DEMO_STRAGGLER] = 0;
	}
}
