/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * storm_client.c - one client of the kill storm: random operations on files that all clients share, everything that it
 * maps checked again and again. See storm.h.
 */
#include "storm.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <pgmap/client.h>

enum { HELD = 4, NO_PIN = -1 };

struct held {
	struct pgmap_mapping *mapping;
	uint64_t pages;
	uint64_t id;                  /* of its written pages; 0: it has none */
	bool written[FILE_PAGES_MAX]; /* else the page is zero, and stays so */
	int pin;
	bool inherited; /* a child looked at it when it was made */
};

struct client {
	struct storm_table *table;
	struct storm_slot *slot;
	struct pgmap_client *pool;
	unsigned index;
	pid_t pid;
	const char *socket, *put; /* put: the command */
	uint64_t random;
	struct held held[HELD];
};

static unsigned dice(struct client *c, unsigned sides)
{
	return (unsigned)(storm_random(&c->random) % sides);
}

/* Errors that others cause by what they do at the same time, and a full pool. */
static void expect(struct client *c, const char *what, int err)
{
	bool leaves = err == -ENODEV && c->table->guests; /* a file that has lost its name, on a device that leaves */
	if (err && err != -ENOSPC && err != -ENOENT && err != -ERANGE && err != -EINVAL && err != -EBUSY && !leaves)
		storm_found(c->table, FOUND_ERROR, "%s answers %d", what, err);
}

static const char *page_at(const struct held *held, uint64_t page)
{
	return (const char *)pgmap_mapping_address(held->mapping) + page * PAGE;
}

/* What a mapping holds when it is made. */
static void take_stock(struct client *c, struct held *held)
{
	held->id = 0;
	held->pin = NO_PIN;
	held->inherited = false;
	held->pages = pgmap_mapping_bytes(held->mapping) / PAGE;
	if (held->pages > FILE_PAGES_MAX)
		held->pages = FILE_PAGES_MAX;
	for (uint64_t i = 0; i < held->pages; i++) {
		uint64_t id;
		memcpy(&id, page_at(held, i), sizeof(id));
		if (held->id == 0)
			held->id = id;
		int is = storm_page_is(page_at(held, i), id ? held->id : 0, i);
		if (is < 0)
			storm_found(c->table, FOUND_FOREIGN,
				    "page %" PRIu64 " of a whole file of id %" PRIx64 " holds bytes of %" PRIx64, i,
				    held->id, id);
		held->written[i] = is == 1;
	}
}

static void check(struct client *c, const struct held *held)
{
	for (uint64_t i = 0; i < held->pages; i++)
		if (storm_page_is(page_at(held, i), held->id, i) != (int)held->written[i])
			storm_found(c->table, FOUND_EARLY,
				    "page %" PRIu64 " of file %" PRIx64 " has changed while pid %d held it", i,
				    held->id, (int)getpid());
	atomic_fetch_add(&c->slot->operations, 1);
}

/* Where on the devices, one behind the other, the mapping's first page lies, as the kernel says; UINT64_MAX: it does not, or on a
 * guest. */
static uint64_t device_offset(const struct storm_table *table, const struct held *held)
{
	unsigned long from, to, offset, ino, wanted = (unsigned long)(uintptr_t)pgmap_mapping_address(held->mapping);
	char line[512];
	uint64_t found = UINT64_MAX;
	FILE *maps = fopen("/proc/self/maps", "re");
	while (maps && found == UINT64_MAX && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %*s %lx %*s %lu", &from, &to, &offset, &ino) == 4 && from <= wanted &&
		    wanted < to && (ino == table->first_ino || ino == table->second_ino))
			found = offset + (wanted - from) + (ino == table->second_ino ? POOL_PAGES / 2 * PAGE : 0);
	if (maps)
		(void)fclose(maps);
	return found;
}

/* Only one REMOTE pin at a time, of a file whose first page is written: the table has room for one. */
static void pin_remote(struct client *c, struct held *held)
{
	if (atomic_load(&c->slot->pin) != PIN_NONE || !held->pages || !held->written[0])
		return;
	c->slot->pin_device_offset = device_offset(c->table, held);
	c->slot->pin_id = held->id;
	c->slot->pin_page = 0;
	if (pgmap_pin(held->mapping, 0, PAGE, PGMAP_PIN_REMOTE))
		return;
	held->pin = PGMAP_PIN_REMOTE;
	atomic_store(&c->slot->pin, PIN_STANDS);
	atomic_fetch_add(&c->table->remote_pins, 1);
}

static void pin(struct client *c, struct held *held)
{
	if (held->pin != NO_PIN)
		return;
	if (dice(c, 4) == 0)
		pin_remote(c, held);
	else if (pgmap_pin(held->mapping, 0, PAGE, PGMAP_PIN_LOCAL) == 0)
		held->pin = PGMAP_PIN_LOCAL;
}

static void drop(struct client *c, struct held *held)
{
	check(c, held);
	if (held->pin == PGMAP_PIN_REMOTE)
		atomic_store(&c->slot->pin, PIN_NONE);
	if (held->pin != NO_PIN && pgmap_unpin(held->mapping, 0, PAGE, held->pin))
		storm_found(c->table, FOUND_ERROR, "unpin of a pin that stands is refused");
	if (pgmap_unmap(held->mapping))
		storm_found(c->table, FOUND_ERROR, "unmap of a mapping without pins is refused");
	atomic_fetch_add(&c->table->inherited, held->inherited);
	held->mapping = NULL;
}

static void random_path(struct client *c, char path[32])
{
	(void)snprintf(path, 32, "/f%02u", dice(c, FILES));
}

static void map_some(struct client *c, struct held *held)
{
	char path[32];
	random_path(c, path);
	int err = pgmap_open_map(c->pool, path, 0, 0, PGMAP_MAP_READ, &held->mapping);
	if (err) {
		held->mapping = NULL;
		expect(c, "open_map", err);
		return;
	}
	take_stock(c, held);
}

static uint64_t new_id(struct client *c)
{
	return UINT64_C(1) << 62 | atomic_fetch_add(&c->table->files, 1);
}

static void write_page(uint64_t *words, uint64_t id, uint64_t page)
{
	for (uint64_t w = 0; w < WORDS; w++)
		words[w] = storm_word(id, page, w);
}

/* A new file: zero, then written, then public. It stays mapped, to be checked when it has lost its name. */
static void make_one(struct client *c, struct held *held)
{
	char temp[64], path[32];
	uint64_t pages = 1 + dice(c, FILE_PAGES_MAX), id = new_id(c);
	(void)snprintf(temp, sizeof(temp), STORM_HOME "/t%" PRIx64, c->index, id);
	int err = pgmap_open_map(c->pool, temp, PGMAP_O_CREATE | PGMAP_O_EXCL, pages * PAGE,
				 PGMAP_MAP_READ | PGMAP_MAP_WRITE, &held->mapping);
	if (err) {
		held->mapping = NULL;
		expect(c, "create", err);
		(void)pgmap_unlink(c->pool, temp);
		return;
	}
	uint64_t *words = pgmap_mapping_address(held->mapping);
	for (uint64_t i = 0; i < pages; i++) {
		if (storm_page_is(words + i * WORDS, 0, 0) != 0)
			storm_found(c->table, FOUND_FOREIGN, "page %" PRIu64 " of a new file is not zero: %" PRIx64, i,
				    words[i * WORDS]);
		write_page(words + i * WORDS, id, i);
	}
	take_stock(c, held);
	random_path(c, path);
	expect(c, "rename", pgmap_rename(c->pool, temp, path));
}

/* Its pages are wiped and used again by the next one that needs some, unless somebody holds them: like this client. */
static void lose_one(struct client *c)
{
	char path[32];
	random_path(c, path);
	expect(c, "unlink", pgmap_unlink(c->pool, path));
}

static void resize_one(struct client *c)
{
	char path[32];
	struct pgmap_file *file;
	random_path(c, path);
	int err = pgmap_open(c->pool, path, 0, &file);
	expect(c, "open", err);
	if (err)
		return;
	expect(c, "truncate", pgmap_truncate(file, (uint64_t)dice(c, FILE_PAGES_MAX + 1) * PAGE));
	(void)pgmap_close(file);
}

/* A public file loses all its pages, but those that nobody holds are wiped and stay; all that is seen of it is zero. */
static void renew_one(struct client *c)
{
	char path[32];
	struct pgmap_mapping *mapping;
	uint64_t pages = 1 + dice(c, FILE_PAGES_MAX);
	random_path(c, path);
	int err = pgmap_open_map(c->pool, path, PGMAP_O_TRUNC, pages * PAGE, PGMAP_MAP_READ, &mapping);
	expect(c, "renew", err);
	if (err)
		return;
	const uint64_t *words = pgmap_mapping_address(mapping);
	for (uint64_t i = 0; i < pages; i++)
		if (storm_page_is(words + i * WORDS, 0, 0) != 0)
			storm_found(c->table, FOUND_FOREIGN, "page %" PRIu64 " of a renewed file is not zero: %" PRIx64,
				    i, words[i * WORDS]);
	if (pgmap_unmap(mapping)) /* no child of ours looks at it */
		storm_found(c->table, FOUND_ERROR, "unmap of a renewed file is refused");
}

/* In a child, which only looks at what it has inherited, for as long as this takes or for a little longer than its parent. */
static _Noreturn void look_on(struct client *c, unsigned rounds)
{
	struct timespec pause = {.tv_nsec = 500000};
	(void)prctl(PR_SET_PDEATHSIG, 0);
	(void)close_range(3, ~0U, 0);
	atomic_fetch_add(&c->table->children, 1);
	for (; rounds && !atomic_load(&c->table->stop); rounds--) {
		for (unsigned i = 0; i < HELD; i++)
			if (c->held[i].mapping)
				check(c, &c->held[i]);
		(void)nanosleep(&pause, NULL);
	}
	_exit(0);
}

/* A child that only maps: it has no socket, its parent goes on, unmaps, and may be killed any moment. Some are daemons. */
static void leave_child(struct client *c)
{
	unsigned rounds = 4 + dice(c, 60);
	bool daemon = dice(c, 4) == 0;
	pid_t pid = fork();
	if (pid == 0) {
		if (daemon) {
			(void)setsid();
			if (fork() != 0)
				_exit(0);
		}
		look_on(c, rounds);
	}
	for (unsigned i = 0; i < HELD && pid > 0; i++)
		c->held[i].inherited = c->held[i].mapping != NULL;
	if (daemon)
		(void)waitpid(pid, NULL, 0);
}

/* What a new file holds, in a descriptor of its own. */
static int make_source(struct client *c)
{
	uint64_t page[WORDS], pages = 1 + dice(c, FILE_PAGES_MAX), id = new_id(c);
	int fd = memfd_create("storm", MFD_CLOEXEC);
	for (uint64_t i = 0; i < pages && fd >= 0; i++) {
		write_page(page, id, i);
		if (write(fd, page, PAGE) != PAGE) {
			(void)close(fd);
			fd = -1;
		}
	}
	return fd;
}

/* The real command puts a file into its parent's directory; a kill of its parent is its own. */
static _Noreturn void run_put(const struct client *c, int source, const char *path, bool stream)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != c->pid || lseek(source, 0, SEEK_SET) != 0 || dup2(source, 0) != 0)
		_exit(1);
	(void)close(2);
	(void)execl(c->put, c->put, "--socket", c->socket, "put", stream ? "-" : "/dev/fd/0", path, (char *)NULL);
	_exit(127);
}

/* A new file from outside, by the real command: under its own name only when it is whole. */
static void put_one(struct client *c)
{
	char temp[64], path[32];
	bool stream = dice(c, 2);
	int status, source = make_source(c);
	(void)snprintf(temp, sizeof(temp), STORM_HOME "/put", c->index);
	random_path(c, path);
	pid_t pid = source >= 0 ? fork() : -1;
	if (pid == 0)
		run_put(c, source, temp, stream);
	(void)close(source);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return;
	if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
		storm_found(c->table, FOUND_ERROR, "pgmap put ends with %x", (unsigned)status);
	else if (WEXITSTATUS(status) == 0) /* 1: no room, mostly */
		atomic_fetch_add(&c->table->puts, pgmap_rename(c->pool, temp, path) == 0);
}

static void step(struct client *c)
{
	struct held *held = &c->held[dice(c, HELD)];
	unsigned what = dice(c, 100);
	if (held->mapping)
		check(c, held);
	if (what < 30 && !held->mapping)
		map_some(c, held);
	else if (what < 55 && !held->mapping)
		make_one(c, held);
	else if (what < 55)
		drop(c, held);
	else if (what < 65)
		lose_one(c);
	else if (what < 71)
		resize_one(c);
	else if (what < 75)
		renew_one(c);
	else if (what < 97 && held->mapping)
		pin(c, held);
	else if (what == 97)
		put_one(c);
	else if (what > 97)
		leave_child(c);
}

_Noreturn void storm_client(struct storm_table *table, const char *socket, unsigned slot, uint64_t seed)
{
	static struct client the_client;
	struct client *c = &the_client;
	*c = (struct client){
		.table = table,
		.slot = &table->slots[slot],
		.index = slot,
		.random = seed,
		.pid = getpid(),
		.socket = socket,
		.put = getenv("PGMAP"),
	};
	int err = pgmap_connect(socket, &c->pool);
	if (err) {
		storm_found(table, FOUND_ERROR, "connect answers %d", err);
		_exit(1);
	}
	while (!atomic_load(&table->stop))
		step(c);
	for (unsigned i = 0; i < HELD; i++)
		if (c->held[i].mapping)
			drop(c, &c->held[i]);
	(void)pgmap_disconnect(c->pool);
	_exit(0);
}
