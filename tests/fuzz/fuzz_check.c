/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_check.c - what must be true whatever clients do. See fuzz.h. */
#include "fuzz.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pgmap/pgmap.h>

enum { PAGE = 4096 };
#define KEPT UINT64_MAX /* the owner of a page in quarantine */

void fuzz_found(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)fprintf(stderr, "fuzz: found: ");
	(void)vfprintf(stderr, format, args);
	(void)fprintf(stderr, "\n");
	va_end(args);
	abort();
}

/* The page's mark, through the server's own mapping of the device. */
static uint64_t *mark_of(const struct fuzz_world *world, uint64_t page)
{
	return (uint64_t *)(void *)((char *)world->service->devices.base[0] + page * PAGE);
}

static void each_page(struct session_map *map, void (*fn)(void *arg, struct session_map *map, uint64_t page), void *arg)
{
	for (uint64_t i = 0; i < fsdax_map_npieces(map->map); i++) {
		struct fsdax_piece piece;
		fsdax_map_piece(map->map, i, &piece);
		uint64_t end = (piece.device_offset_bytes + piece.len_bytes + PAGE - 1) / PAGE;
		for (uint64_t page = piece.device_offset_bytes / PAGE; page < end; page++) {
			if (page >= FUZZ_POOL_PAGES)
				fuzz_found("page %" PRIu64 " is mapped, which is not there", page);
			fn(arg, map, page);
		}
	}
}

static void look_at_page(void *arg, struct session_map *map, uint64_t page)
{
	uint64_t mark = *mark_of(arg, page);
	if (mark != 0 && mark != map->ino)
		fuzz_found("page %" PRIu64 " of file %" PRIu64 " shows file %" PRIu64, page, map->ino, mark);
}

static void mark_page(void *arg, struct session_map *map, uint64_t page)
{
	struct fuzz_world *world = arg;
	*mark_of(world, page) = world->marked[page] = map->ino;
}

void fuzz_check_mapping(struct fuzz_world *world, struct session_map *map)
{
	each_page(map, look_at_page, world);
}

void fuzz_mark(struct fuzz_world *world, struct session_map *map)
{
	each_page(map, look_at_page, world);
	each_page(map, mark_page, world);
}

static void claim_page(void *arg, struct session_map *map, uint64_t page)
{
	uint64_t *owners = arg;
	if (owners[page] && owners[page] != map->ino)
		fuzz_found("page %" PRIu64 " is mapped for file %" PRIu64 " and for file %" PRIu64 " (-1: kept)", page,
			   map->ino, owners[page]);
	owners[page] = map->ino;
}

static int claim_kept(const struct pgmap_held *held, void *arg)
{
	uint64_t *owners = arg;
	for (uint64_t i = 0; i < UINT64_C(1) << held->order && held->state == PGMAP_QUARANTINED; i++)
		owners[held->pgoff + i] = KEPT;
	return 0;
}

static void check_owners(struct fuzz_world *world)
{
	const struct service *service = world->service;
	static uint64_t owners[FUZZ_POOL_PAGES];
	struct session *session;
	struct session_map *map;
	memset(owners, 0, sizeof(owners));
	if (service->quarantined)
		(void)pgmap_for_each_held(dax_pgmap(service->devices.memory[0]), claim_kept, owners);
	TAILQ_FOREACH (session, &service->sessions, link) {
		TAILQ_FOREACH (map, &session->map_list, link)
			each_page(map, claim_page, owners);
		TAILQ_FOREACH (map, &session->inherited, link)
			each_page(map, claim_page, owners);
	}
	for (uint64_t page = 0; page < FUZZ_POOL_PAGES; page++) {
		if (!owners[page])
			world->marked[page] = 0;
		if (world->marked[page] && *mark_of(world, page) != world->marked[page])
			fuzz_found("page %" PRIu64 " of file %" PRIu64 " has changed while it was mapped", page,
				   world->marked[page]);
	}
}

static void check_counts(const struct fuzz_world *world)
{
	const struct service *service = world->service;
	struct session *session;
	uint32_t holders = 0, connections = 0;
	TAILQ_FOREACH (session, &service->sessions, link)
		holders++;
	for (unsigned i = 0; i < FUZZ_CLIENTS; i++)
		connections += world->clients[i].session && world->clients[i].session->holder;
	if (holders != service->holders || connections != service->connections)
		fuzz_found("%u holders and %u connections, counted as %u and %u", holders, connections,
			   service->holders, service->connections);
}

void fuzz_check(struct fuzz_world *world)
{
	struct fsdax_statfs st;
	fsdax_statfs(world->service->fs, &st);
	uint64_t live = pgmap_live_pages(dax_pgmap(world->service->devices.memory[0]));
	if (st.used + st.free + st.waiting != st.pages || st.pages != FUZZ_POOL_PAGES || live > st.used + st.waiting)
		fuzz_found("used %" PRIu64 " + free %" PRIu64 " + waiting %" PRIu64 " of %" PRIu64 ", %" PRIu64 " held",
			   st.used, st.free, st.waiting, st.pages, live);
	check_counts(world);
	check_owners(world);
}

enum { DIRS_MAX = 256 };
static char dirs[DIRS_MAX][PROTO_PATH_MAX]; /* still to be walked */

struct tree {
	char path[PROTO_PATH_MAX];
	unsigned ndirs;
	uint64_t blocks;
};

static int add_blocks(void *arg, const char *name, const struct fsdax_stat *st)
{
	struct tree *tree = arg;
	tree->blocks += st->blocks;
	if (st->type != FSDAX_DIR)
		return 0;
	int n = tree->ndirs < DIRS_MAX ? snprintf(dirs[tree->ndirs], PROTO_PATH_MAX, "%s/%s", tree->path, name) : -1;
	if (n < 0 || n >= PROTO_PATH_MAX)
		fuzz_found("a tree too large to be walked at %s", tree->path);
	tree->ndirs++;
	return 0;
}

static uint64_t blocks_of_files(struct fsdax *fs)
{
	static struct tree tree;
	memset(&tree, 0, sizeof(tree));
	(void)fsdax_readdir(fs, "/", add_blocks, &tree);
	while (tree.ndirs) {
		memcpy(tree.path, dirs[--tree.ndirs], PROTO_PATH_MAX);
		(void)fsdax_readdir(fs, tree.path, add_blocks, &tree);
	}
	return tree.blocks;
}

void fuzz_check_empty(struct fuzz_world *world)
{
	struct service *service = world->service;
	struct fsdax_statfs st;
	fuzz_check(world);
	fsdax_statfs(service->fs, &st);
	uint64_t live = pgmap_live_pages(dax_pgmap(service->devices.memory[0])), blocks = blocks_of_files(service->fs);
	if (live || st.waiting || service->quarantined || service->holders)
		fuzz_found("nobody is left, and %" PRIu64 " pages are held, %" PRIu64
			   " wait, %u are quarantined, %u hold",
			   live, st.waiting, service->quarantined, service->holders);
	if (st.used != blocks)
		fuzz_found("%" PRIu64 " pages are used, and files have %" PRIu64, st.used, blocks);
}

unsigned fuzz_descriptors(void)
{
	unsigned n = 0;
	DIR *dir = opendir("/proc/self/fd");
	while (dir && readdir(dir))
		n++;
	if (dir)
		(void)closedir(dir);
	return n;
}
