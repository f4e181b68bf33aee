/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * week_containers.c - clients and servers in containers: pid and mount namespaces of their own, below each other's and
 * beside each other's. Namespaces need root: without it the program is skipped.
 */
#include "sys.h"

#include <sys/mount.h>

enum { SKIPPED = 77, PAGE = 4096, FILE_BYTES = 64 * PAGE, RW = PGMAP_MAP_READ | PGMAP_MAP_WRITE, SMALL = 512 };

/* As the system cuts it, and as the program is called. */
#define COMM "system_week_con"
#define NAME "system_week_containers"

static struct sys_server server;
static struct pgmap_client *watcher;

static int setup(void **state)
{
	(void)state;
	watcher = sys_begin(&server);
	return 0;
}

/* Whoever has come and gone: the accounts add up (sys_info()), and nothing is left. */
static int teardown(void **state)
{
	(void)state;
	sys_until_live(watcher, 0);
	struct pgmap_info info = sys_info(watcher);
	assert_int_equal(info.used + info.waiting, 0);
	sys_end(&server, watcher);
	return 0;
}

struct seen {
	const char *path;
	struct pgmap_who row;
	unsigned rows;
};

static int see_row(void *arg, const struct pgmap_who *row)
{
	struct seen *seen = arg;
	seen->row = *row;
	seen->rows++;
	return 0;
}

/* The one row of this file. */
static struct pgmap_who row_of(struct pgmap_client *client, const char *path)
{
	struct seen seen = {0};
	assert_int_equal(pgmap_who(client, path, see_row, &seen), 0);
	assert_int_equal(seen.rows, 1);
	return seen.row;
}

/* The bytes of a mapping are there, and are its own. */
static void use(struct pgmap_mapping *mapping)
{
	unsigned char *bytes = pgmap_mapping_address(mapping);
	for (uint64_t at = 0; at < pgmap_mapping_bytes(mapping); at += SMALL) {
		CHILD_CHECK(bytes[at] == 0);
		bytes[at] = (unsigned char)(at / SMALL);
	}
	for (uint64_t at = 0; at < pgmap_mapping_bytes(mapping); at += SMALL)
		CHILD_CHECK(bytes[at] == (unsigned char)(at / SMALL));
}

static void hold(const char *path, int said, int go)
{
	struct pgmap_client *client;
	struct pgmap_mapping *mapping;
	CHILD_CHECK(pgmap_connect(path, &client) == 0);
	CHILD_CHECK(pgmap_open_map(client, "/held", PGMAP_O_CREATE, FILE_BYTES, RW, &mapping) == 0);
	use(mapping);
	sys_say(said);
	sys_await(go);
	CHILD_CHECK(pgmap_unmap(mapping) == 0);
	CHILD_CHECK(pgmap_unlink(client, "/held") == 0);
	CHILD_CHECK(pgmap_disconnect(client) == 0);
}

static void child_holds(const struct sys_server *s, int said, int go)
{
	hold(s->path, said, go);
}

/* Held, seen, and let go of; then held again, and killed. */
static void is_a_client_as_any(void (*fn)(const struct sys_server *s, int said, int go))
{
	struct sys_child child = sys_spawn_heard(fn, &server);
	struct pgmap_who row = row_of(watcher, "/held");
	assert_int_equal(row.pid, child.pid);
	assert_string_equal(row.command, COMM);
	assert_int_equal(row.state, PGMAP_WHO_CONNECTED);
	assert_int_equal(row.pages, FILE_BYTES / PAGE);
	sys_go_on(&child);
	assert_int_equal(sys_exit_code(child.pid), 0);
	sys_close_child(&child);
	child = sys_spawn_heard(fn, &server);
	assert_int_equal(sys_info(watcher).live_pages, FILE_BYTES / PAGE);
	sys_kill_child(&child);
	sys_until_live(watcher, 0);
	assert_int_equal(pgmap_unlink(watcher, "/held"), 0);
}

/* Children that are made between the two are in a pid namespace of their own, of which the first is the init. */
static int pidns_enter(void)
{
	int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	assert_true(own >= 0);
	assert_int_equal(unshare(CLONE_NEWPID), 0);
	return own;
}

static void pidns_leave(int own)
{
	assert_int_equal(setns(own, CLONE_NEWPID), 0);
	assert_int_equal(close(own), 0);
}

static void child_in_a_pid_namespace(const struct sys_server *s, int said, int go)
{
	CHILD_CHECK(getpid() == 1);
	hold(s->path, said, go);
}

/* A container below the server's: the server sees it, under its own number for it. */
static void a_client_in_a_pid_namespace_is_shown_with_the_servers_number(void **state)
{
	(void)state;
	int own = pidns_enter();
	struct sys_child child = sys_spawn_heard(child_in_a_pid_namespace, &server);
	pidns_leave(own);
	struct pgmap_who row = row_of(watcher, "/held");
	assert_int_equal(row.pid, child.pid);
	assert_string_equal(row.command, COMM);
	sys_kill_child(&child);
	sys_until_live(watcher, 0);
	assert_int_equal(pgmap_unlink(watcher, "/held"), 0);
}

/* A container beside the server's: SO_PEERCRED says pid 0, and the client's word is all that there is. */
static void c7_2_a_client_that_the_server_has_no_number_for_is_shown_and_ends(void **state)
{
	(void)state;
	struct sys_server inside;
	int own = pidns_enter();
	sys_start(&inside, "memfd:size=16M,page=4K");
	pidns_leave(own);
	struct pgmap_client *client = sys_connect(&inside);
	assert_int_equal(sys_info(client).server_pid, 1);
	struct sys_child first = sys_spawn_heard(child_holds, &inside);
	struct pgmap_who row = row_of(client, "/held");
	assert_int_equal(row.pid, 0);
	assert_int_equal(row.uid, getuid());
	assert_string_equal(row.command, NAME);
	assert_int_equal(row.state, PGMAP_WHO_CONNECTED);
	assert_int_equal(row.pages, FILE_BYTES / PAGE);
	/* Number 0 is no name: the holder is told from others by its own number. */
	struct pgmap_mapping *mine = sys_map(client, "/mine", PAGE);
	assert_int_not_equal(row_of(client, "/mine").holder_id, row.holder_id);
	sys_kill_child(&first);
	sys_until_live(client, 1);
	assert_int_equal(pgmap_unmap(mine), 0);
	sys_end(&inside, client);
}

/* Both in one namespace, under a /proc of another: what that has under the client's number is another process. */
static void a_name_is_not_read_from_another_namespaces_proc(void **state)
{
	(void)state;
	struct sys_server inside;
	int own = pidns_enter();
	sys_start(&inside, "memfd:size=16M,page=4K");
	struct sys_child child = sys_spawn_heard(child_holds, &inside);
	pidns_leave(own);
	struct pgmap_client *client = sys_connect(&inside);
	struct pgmap_who row = row_of(client, "/held");
	assert_in_range(row.pid, 2, 99); /* the server, and its threads, have some */
	assert_string_equal(row.command, NAME);
	sys_go_on(&child);
	assert_int_equal(sys_exit_code(child.pid), 0);
	sys_close_child(&child);
	sys_end(&inside, client);
}

/* The socket under another name, all else of the server's folder hidden. */
static void child_in_a_mount_namespace(const struct sys_server *s, int said, int go)
{
	CHILD_CHECK(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHILD_CHECK(mount("tmpfs", "/mnt", "tmpfs", 0, "size=1M") == 0 && mkdir("/mnt/pool", 0700) == 0);
	CHILD_CHECK(mount(s->dir, "/mnt/pool", NULL, MS_BIND, NULL) == 0);
	CHILD_CHECK(mount("tmpfs", s->dir, "tmpfs", 0, "size=1M") == 0);
	CHILD_CHECK(access(s->path, F_OK) != 0);
	hold("/mnt/pool/s", said, go);
}

static void a_client_in_a_mount_namespace_is_one_as_any(void **state)
{
	(void)state;
	is_a_client_as_any(child_holds);
	is_a_client_as_any(child_in_a_mount_namespace);
}

int main(void)
{
#define A_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		A_TEST(a_client_in_a_pid_namespace_is_shown_with_the_servers_number),
		A_TEST(c7_2_a_client_that_the_server_has_no_number_for_is_shown_and_ends),
		A_TEST(a_name_is_not_read_from_another_namespaces_proc),
		A_TEST(a_client_in_a_mount_namespace_is_one_as_any),
	};
	if (geteuid() != 0) {
		(void)fprintf(stderr, "this process may not make namespaces\n");
		return SKIPPED;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
