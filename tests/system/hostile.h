/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hostile.h - honest clients of a real server that map, check and unmap for as long as a test of bad company runs, and what
 * must be true after each of it: the server serves, the accounts add up, the honest go on, and none saw a foreign byte.
 */
#ifndef PGMAP_TESTS_HOSTILE_H
#define PGMAP_TESTS_HOSTILE_H

#include "sys.h"

#include <stdatomic.h>

enum { HONEST = 4, HONEST_BYTES = 32 * 4096 };

struct hostile_table {
	_Atomic int stop;
	_Atomic uint64_t rounds[HONEST], wrong;
};

static struct sys_server server;
static struct pgmap_client *watcher;
static struct hostile_table *table;
static pid_t honest[HONEST];

static inline bool hostile_is_all(const void *bytes, unsigned char what, size_t len)
{
	const unsigned char *at = bytes;
	return len == 0 || (at[0] == what && memcmp(at, at + 1, len - 1) == 0);
}

/* A new file is zero, holds what was written to it, and so does the one that is kept all the time. */
static inline bool hostile_honest_round(struct pgmap_client *client, unsigned who, const void *kept)
{
	char path[32];
	struct pgmap_mapping *mapping;
	(void)snprintf(path, sizeof(path), "/honest-%u", who);
	if (pgmap_open_map(client, path, PGMAP_O_CREATE | PGMAP_O_EXCL, HONEST_BYTES, PGMAP_MAP_READ | PGMAP_MAP_WRITE,
			   &mapping))
		return false;
	bool good = hostile_is_all(pgmap_mapping_address(mapping), 0, HONEST_BYTES);
	memset(pgmap_mapping_address(mapping), (int)('0' + who), HONEST_BYTES);
	(void)sched_yield();
	good = good && hostile_is_all(pgmap_mapping_address(mapping), (unsigned char)('0' + who), HONEST_BYTES) &&
	       hostile_is_all(kept, (unsigned char)('a' + who), HONEST_BYTES);
	return pgmap_unmap(mapping) == 0 && pgmap_unlink(client, path) == 0 && good;
}

static inline _Noreturn void hostile_be_honest(unsigned who)
{
	char path[32];
	struct pgmap_client *client;
	struct pgmap_mapping *kept;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)snprintf(path, sizeof(path), "/kept-%u", who);
	CHILD_CHECK(pgmap_connect(server.path, &client) == 0);
	CHILD_CHECK(pgmap_open_map(client, path, PGMAP_O_CREATE, HONEST_BYTES, PGMAP_MAP_READ | PGMAP_MAP_WRITE,
				   &kept) == 0);
	memset(pgmap_mapping_address(kept), (int)('a' + who), HONEST_BYTES);
	while (!atomic_load(&table->stop)) {
		if (!hostile_honest_round(client, who, pgmap_mapping_address(kept)))
			atomic_fetch_add(&table->wrong, 1);
		atomic_fetch_add(&table->rounds[who], 1);
	}
	CHILD_CHECK(pgmap_unmap(kept) == 0 && pgmap_unlink(client, path) == 0 && pgmap_disconnect(client) == 0);
	_exit(0);
}

/* Each of the honest has made a whole round that began after this. */
static inline void hostile_honest_go_on(void)
{
	for (unsigned i = 0; i < HONEST; i++) {
		uint64_t now = atomic_load(&table->rounds[i]);
		while (atomic_load(&table->rounds[i]) < now + 2) {
			assert_int_equal(waitpid(honest[i], NULL, WNOHANG), 0);
			(void)sched_yield();
		}
	}
	assert_int_equal(atomic_load(&table->wrong), 0);
}

/* After a hostile client has gone: nothing of it is left, and the others have never noticed. */
static inline void hostile_all_is_well(void)
{
	hostile_honest_go_on();
	while (sys_info(watcher).connections != HONEST + 1 || sys_info(watcher).holders != HONEST + 1)
		(void)sched_yield();
	assert_int_equal(sys_info(watcher).quarantined_pages, 0);
	assert_int_equal(waitpid(server.pid, NULL, WNOHANG), 0);
	hostile_honest_go_on();
}

static inline int hostile_begin(void **state)
{
	(void)state;
	watcher = sys_begin(&server);
	table = mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(table, MAP_FAILED);
	for (unsigned i = 0; i < HONEST; i++) {
		honest[i] = fork();
		if (honest[i] == 0)
			hostile_be_honest(i);
	}
	hostile_honest_go_on();
	return 0;
}

static inline int hostile_end(void **state)
{
	(void)state;
	atomic_store(&table->stop, 1);
	for (unsigned i = 0; i < HONEST; i++)
		assert_int_equal(sys_exit_code(honest[i]), 0);
	assert_int_equal(atomic_load(&table->wrong), 0);
	sys_until_live(watcher, 0);
	assert_int_equal(sys_info(watcher).used + sys_info(watcher).waiting, 0);
	sys_end(&server, watcher);
	return 0;
}

#endif
