/* SPDX-License-Identifier: BSD-3-Clause */
/* session_server.c - the server itself: its socket, its device, its signals, its drain, its death. */
#include "sys.h"

#include <pthread.h>

enum { RW = PGMAP_MAP_READ | PGMAP_MAP_WRITE };

static void assert_refused(struct sys_server *server, const char *device, const char *says)
{
	char said[1024];
	assert_false(sys_start_at(server, device));
	assert_int_equal(sys_exit_code(server->pid), 1);
	sys_errors(server, said, sizeof(said));
	if (!strstr(said, says) || strncmp(said, "pgmapd: ", 8) != 0 || strchr(said, '\n') != said + strlen(said) - 1)
		fail_msg("not one line with '%s': %s", says, said);
	(void)close(server->err_fd);
}

static void a_socket_in_use_is_refused_and_says_by_whom(void **state)
{
	(void)state;
	struct sys_server first, second;
	char says[64];
	sys_start(&first, "memfd:size=16M,page=4K");
	second = first;
	(void)snprintf(says, sizeof(says), "in use by pid %d", (int)first.pid);
	assert_refused(&second, "memfd:size=16M,page=4K", says);
	sys_stop(&first);
}

static void a_dead_servers_socket_is_taken_over(void **state)
{
	(void)state;
	struct sys_server server;
	sys_start(&server, "memfd:size=16M,page=4K");
	sys_kill(&server);
	struct pgmap_client *client;
	assert_int_equal(pgmap_connect(server.path, &client), -ECONNREFUSED);
	(void)close(server.err_fd);
	assert_true(sys_start_at(&server, "memfd:size=16M,page=4K"));
	sys_stop(&server);
}

static int count_device(void *arg, const struct pgmap_device *device)
{
	*(unsigned *)arg += device->state == PGMAP_DEVICE_LIVE;
	return 0;
}

/* What these ask is asked on a connection of its own: it must be the same server's. */
static void who_knew_a_dead_server_changes_nothing_of_its_successor(void **state)
{
	(void)state;
	static const char *const spec = "memfd:size=16M,page=4K|memfd:size=16M,page=4K|linear";
	struct sys_server server;
	uint32_t number;
	unsigned ndevices = 0;
	sys_start(&server, spec);
	struct pgmap_client *old = sys_connect(&server);
	sys_kill(&server);
	(void)close(server.err_fd);
	assert_true(sys_start_at(&server, spec));
	assert_int_equal(pgmap_device_add(old, "memfd:size=16M,page=4K", &number, NULL), -EPIPE);
	assert_int_equal(pgmap_device_remove(old, 1, NULL, -1, NULL), -EPIPE);
	assert_int_equal(pgmap_drain_pool(old, 0), -EPIPE);
	struct pgmap_client *client = sys_connect(&server);
	assert_int_equal(pgmap_for_each_device(client, count_device, &ndevices), 0);
	assert_int_equal(ndevices, 2);
	assert_int_equal(sys_info(client).state, PGMAP_LIVE);
	assert_int_equal(pgmap_disconnect(client), 0);
	assert_int_equal(pgmap_disconnect(old), 0);
	sys_stop(&server);
}

static void what_is_no_socket_is_left_alone(void **state)
{
	(void)state;
	struct sys_server server;
	struct stat st;
	sys_new_dir(&server);
	int fd = open(server.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "keep", 4), 4);
	assert_int_equal(close(fd), 0);
	assert_refused(&server, "memfd:size=16M,page=4K", "no socket");
	assert_int_equal(stat(server.path, &st), 0);
	assert_int_equal(st.st_size, 4);
	server.err_fd = -1;
	sys_remove_dir(&server);
}

static void a_bad_device_is_refused_in_one_line(void **state)
{
	(void)state;
	struct sys_server server;
	struct stat st;
	sys_new_dir(&server);
	assert_refused(&server, "tape:size=1M", "tape");
	assert_refused(&server, "memfd:size=4097", "memfd:size=4097");
	assert_refused(&server, "memfd:size=0", "memfd:size=0");
	assert_int_equal(stat(server.path, &st), -1); /* and its socket is not left behind */
	server.err_fd = -1;
	sys_remove_dir(&server);
}

static void a_missing_directory_is_made_for_its_owner_only(void **state)
{
	(void)state;
	struct sys_server server;
	struct stat st;
	sys_new_dir(&server);
	assert_int_equal(rmdir(server.dir), 0);
	assert_true(sys_start_at(&server, "memfd:size=16M,page=4K"));
	assert_int_equal(stat(server.dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	sys_stop(&server);
}

/* A memfd that servers inherit, one after the other. */
static int make_memfd(void)
{
	int fd = memfd_create("pool", MFD_ALLOW_SEALING);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(ftruncate(fd, 16 << 20), 0);
	return fd;
}

static void c7_12_a_second_server_on_the_device_is_refused(void **state)
{
	(void)state;
	struct sys_server first, second;
	char spec[32];
	int fd = make_memfd();
	(void)snprintf(spec, sizeof(spec), "memfd:fd=%d", fd);
	sys_start(&first, spec);
	sys_new_dir(&second);
	assert_refused(&second, spec, "another server");
	second.err_fd = -1;
	sys_remove_dir(&second);
	sys_stop(&first);
	assert_int_equal(close(fd), 0);
}

static void child_maps(const struct sys_server *s, int said, int go)
{
	struct pgmap_client *client;
	struct pgmap_mapping *mapping;
	CHILD_CHECK(pgmap_connect(s->path, &client) == 0);
	CHILD_CHECK(pgmap_open_map(client, "/f", PGMAP_O_CREATE, 4 * MIB, RW, &mapping) == 0);
	memset(pgmap_mapping_address(mapping), 0x77, 4 * MIB);
	sys_say(said);
	sys_await(go);
	for (uint64_t i = 0; i < 4 * MIB; i++)
		CHILD_CHECK(((unsigned char *)pgmap_mapping_address(mapping))[i] == 0x77);
	CHILD_CHECK(pgmap_unmap(mapping) == 0); /* though the server has gone */
	CHILD_CHECK(pgmap_disconnect(client) == 0);
	sys_say(said);
	sys_await(go);
}

static void c7_12_a_device_that_a_dead_servers_clients_map_is_refused_untouched(void **state)
{
	(void)state;
	struct sys_server server;
	char spec[32];
	int fd = make_memfd();
	(void)snprintf(spec, sizeof(spec), "memfd:fd=%d", fd);
	sys_start(&server, spec);
	struct sys_child child = sys_spawn(child_maps, &server);
	sys_heard(&child);
	sys_kill(&server);
	(void)close(server.err_fd);
	assert_refused(&server, spec, "still map");
	assert_int_equal(write(child.go, "x", 1), 1); /* it looks at every byte, and unmaps */
	sys_heard(&child);
	assert_true(sys_start_at(&server, spec));
	struct pgmap_client *client = sys_connect(&server);
	struct pgmap_mapping *mapping = sys_map(client, "/f", 16 * MIB);
	for (uint64_t i = 0; i < 16 * MIB; i += 512)
		assert_int_equal(((char *)pgmap_mapping_address(mapping))[i], 0); /* c6.9 */
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_disconnect(client), 0);
	sys_kill_child(&child);
	sys_stop(&server);
	assert_int_equal(close(fd), 0);
}

static void *drain(void *arg)
{
	struct pgmap_client *client = arg;
	return (void *)(intptr_t)pgmap_drain_pool(client, -1);
}

static void until_dying(struct pgmap_client *client)
{
	while (sys_info(client).state != PGMAP_DYING)
		(void)sched_yield();
}

/* A straggler: named, waited for, called off, waited for again, let go. Others are served meanwhile. */
static void c2_6_a_drain_waits_for_a_straggler_and_can_be_called_off(void **state)
{
	(void)state;
	struct sys_server server;
	pthread_t thread;
	void *answer;
	char said[4096];
	sys_start(&server, "memfd:size=16M,page=4K");
	struct pgmap_client *client = sys_connect(&server);
	struct sys_child child = sys_spawn(child_maps, &server);
	sys_heard(&child);
	assert_int_equal(pthread_create(&thread, NULL, drain, client), 0);
	until_dying(client);
	assert_string_equal(sys_who(client, NULL, child.pid).path, "/f");
	assert_int_equal(pgmap_drain_pool(client, 30), -ETIMEDOUT);
	assert_int_equal(pgmap_drain_cancel(client), 0);
	assert_int_equal(pthread_join(thread, &answer), 0);
	assert_int_equal((intptr_t)answer, -ECANCELED);
	assert_int_equal(pgmap_unmap(sys_map(client, "/g", 4096)), 0);
	assert_int_equal(pthread_create(&thread, NULL, drain, client), 0);
	until_dying(client);
	assert_int_equal(write(child.go, "x", 1), 1);
	assert_int_equal(pthread_join(thread, &answer), 0);
	assert_int_equal((intptr_t)answer, 0);
	assert_int_equal(sys_exit_code(server.pid), 0);
	struct pgmap_info info;
	assert_int_equal(pgmap_info(client, &info), -EPIPE);
	assert_int_equal(pgmap_disconnect(client), 0);
	sys_kill_child(&child);
	sys_errors(&server, said, sizeof(said));
	assert_non_null(strstr(said, "draining: waiting for "));
	assert_int_equal(access(server.path, F_OK), -1);
	sys_remove_dir(&server);
}

static void a_signal_drains_and_a_second_one_ends_at_once(void **state)
{
	(void)state;
	struct sys_server server;
	sys_start(&server, "memfd:size=16M,page=4K");
	assert_int_equal(kill(server.pid, SIGTERM), 0);
	assert_int_equal(sys_exit_code(server.pid), 0);
	sys_remove_dir(&server);

	sys_start(&server, "memfd:size=16M,page=4K");
	struct pgmap_client *client = sys_connect(&server);
	struct pgmap_mapping *mapping = sys_map(client, "/f", MIB);
	memset(pgmap_mapping_address(mapping), 3, MIB);
	assert_int_equal(kill(server.pid, SIGTERM), 0);
	until_dying(client);
	assert_int_equal(kill(server.pid, SIGINT), 0);
	assert_int_equal(sys_exit_code(server.pid), 1);
	for (uint64_t i = 0; i < MIB; i++)
		assert_int_equal(((char *)pgmap_mapping_address(mapping))[i], 3);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_disconnect(client), 0);
	sys_remove_dir(&server);
}

static void a_signal_waits_for_those_who_map(void **state)
{
	(void)state;
	struct sys_server server;
	sys_start(&server, "memfd:size=16M,page=4K");
	struct pgmap_client *client = sys_connect(&server);
	struct pgmap_mapping *mapping = sys_map(client, "/f", MIB);
	assert_int_equal(kill(server.pid, SIGINT), 0);
	until_dying(client);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(sys_exit_code(server.pid), 0);
	assert_int_equal(pgmap_disconnect(client), 0);
	sys_remove_dir(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_socket_in_use_is_refused_and_says_by_whom),
		cmocka_unit_test(a_dead_servers_socket_is_taken_over),
		cmocka_unit_test(who_knew_a_dead_server_changes_nothing_of_its_successor),
		cmocka_unit_test(what_is_no_socket_is_left_alone),
		cmocka_unit_test(a_bad_device_is_refused_in_one_line),
		cmocka_unit_test(a_missing_directory_is_made_for_its_owner_only),
		cmocka_unit_test(c7_12_a_second_server_on_the_device_is_refused),
		cmocka_unit_test(c7_12_a_device_that_a_dead_servers_clients_map_is_refused_untouched),
		cmocka_unit_test(c2_6_a_drain_waits_for_a_straggler_and_can_be_called_off),
		cmocka_unit_test(a_signal_drains_and_a_second_one_ends_at_once),
		cmocka_unit_test(a_signal_waits_for_those_who_map),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
