/* SPDX-License-Identifier: BSD-3-Clause */
/* session_many.c - 2,000 connections at once, each with a mapping; and a server that has no descriptors for more. */
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

enum { MANY = 2000, DESCRIPTORS_EACH = 4, ROOM = 64 };

static struct sys_server server;
static struct pgmap_client *watcher;
static struct pgmap_client *clients[MANY];
static struct pgmap_mapping *mappings[MANY];

static int setup(void **state)
{
	(void)state;
	watcher = sys_begin(&server);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(sys_info(watcher).live_pages, 0);
	sys_end(&server, watcher);
	return 0;
}

static void two_thousand_connections_map_at_once(void **state)
{
	(void)state;
	struct rlimit limit;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_true(limit.rlim_max >= MANY * DESCRIPTORS_EACH + ROOM);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (unsigned i = 0; i < MANY; i++) {
		char path[16];
		(void)snprintf(path, sizeof(path), "/%u", i);
		clients[i] = sys_connect(&server);
		mappings[i] = sys_map(clients[i], path, 4096);
		memcpy(pgmap_mapping_address(mappings[i]), &i, sizeof(i));
	}
	assert_int_equal(sys_info(watcher).connections, MANY + 1);
	assert_int_equal(sys_who(watcher, NULL, 0).rows, MANY);
	for (unsigned i = 0; i < MANY; i++) {
		assert_memory_equal(pgmap_mapping_address(mappings[i]), &i, sizeof(i));
		assert_int_equal(pgmap_unmap(mappings[i]), 0);
		char path[16];
		(void)snprintf(path, sizeof(path), "/%u", i);
		assert_int_equal(pgmap_unlink(clients[i], path), 0);
		assert_int_equal(pgmap_disconnect(clients[i]), 0);
	}
	while (sys_info(watcher).connections != 1)
		(void)sched_yield();
	assert_int_equal(sys_info(watcher).used, 0);
}

/* The line that it says of this, in what it has said so far. */
static void assert_said(const char *what)
{
	char text[4096];
	size_t at = 0;
	while (at + 1 < sizeof(text)) {
		ssize_t n = read(server.err_fd, text + at, sizeof(text) - 1 - at);
		assert_true(n > 0);
		at += (size_t)n;
		text[at] = 0;
		if (strstr(text, what))
			return;
	}
	fail_msg("not said: %s", what);
}

static void who_finds_no_room_is_refused_and_the_numbers_are_said(void **state)
{
	(void)state;
	struct rlimit few = {ROOM, ROOM};
	unsigned n = 0;
	struct pgmap_mapping *mapping = sys_map(watcher, "/mine", 4096);
	assert_int_equal(prlimit(server.pid, RLIMIT_NOFILE, &few, NULL), 0);
	int err;
	while ((err = pgmap_connect(server.path, &clients[n])) == 0)
		assert_true(++n < ROOM);
	assert_int_equal(err, -EMFILE);
	assert_true(n > ROOM / 4);
	char said[64];
	(void)snprintf(said, sizeof(said), "%u connections, at most %u descriptors", n + 1, (unsigned)ROOM);
	assert_said(said);
	for (unsigned again = 0; again < 10; again++) /* refused, and nothing leaks by it */
		assert_int_equal(pgmap_connect(server.path, &clients[n]), -EMFILE);
	assert_int_equal(pgmap_unmap(mapping), 0); /* those who are there go on */
	mapping = sys_map(watcher, "/mine", 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_unlink(watcher, "/mine"), 0);
	assert_int_equal(pgmap_disconnect(clients[--n]), 0);
	while (sys_info(watcher).connections != n + 1)
		(void)sched_yield();
	clients[n] = sys_connect(&server); /* the place of one who left */
	n++;
	while (n)
		assert_int_equal(pgmap_disconnect(clients[--n]), 0);
	while (sys_info(watcher).connections != 1)
		(void)sched_yield();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(two_thousand_connections_map_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(who_finds_no_room_is_refused_and_the_numbers_are_said, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
