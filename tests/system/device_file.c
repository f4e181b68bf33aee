/* SPDX-License-Identifier: BSD-3-Clause */
/* device_file.c - servers that come and go on one file: while one has it, after one was killed with a client that maps, and
 * after one was drained. In $SYS_DIR, or /tmp. */
#include "sys.h"

static struct sys_server server;
enum { RW = PGMAP_MAP_READ | PGMAP_MAP_WRITE };

static char *name_in(const char *name)
{
	static char path[2][112];
	static unsigned at;
	char *here = path[at++ % 2];
	(void)snprintf(here, 112, "%s/%s", server.dir, name);
	return here;
}

static const char *device(const char *name, const char *args)
{
	static char spec[192];
	(void)snprintf(spec, sizeof(spec), "file:%s%s", name_in(name), args);
	return spec;
}

/* Another server, on a socket of its own in the same folder: it ends with exit code 1 and one line, which has these words. */
static void assert_refused(const char *spec, const char *words)
{
	struct sys_server other = server;
	char said[1024];
	(void)snprintf(other.path, sizeof(other.path), "%s/other", server.dir);
	assert_false(sys_start_at(&other, spec));
	assert_int_equal(sys_exit_code(other.pid), 1);
	sys_errors(&other, said, sizeof(said));
	if (!strstr(said, words) || strchr(said, '\n') != said + strlen(said) - 1)
		fail_msg("%s: \"%s\" is not one line with \"%s\"", spec, said, words);
	(void)close(other.err_fd);
	assert_int_equal(access(other.path, F_OK), -1);
}

static int setup(void **state)
{
	(void)state;
	sys_new_dir(&server);
	return symlink("pool", name_in("soft"));
}

static int teardown(void **state)
{
	(void)state;
	(void)unlink(name_in("other.lock"));
	(void)unlink(name_in("soft"));
	(void)unlink(name_in("hard"));
	sys_remove_dir(&server);
	return access(server.dir, F_OK) == 0; /* nothing is left in it */
}

static void client_that_maps(const struct sys_server *s, int said, int go)
{
	struct pgmap_client *client;
	struct pgmap_mapping *mapping;
	CHILD_CHECK(pgmap_connect(s->path, &client) == 0);
	CHILD_CHECK(pgmap_open_map(client, "/f", PGMAP_O_CREATE, 3 * MIB, RW, &mapping) == 0);
	memset(pgmap_mapping_address(mapping), 0x5a, 3 * MIB);
	sys_say(said);
	sys_await(go);
	for (unsigned i = 0; i < 3 * MIB; i++)
		CHILD_CHECK(((unsigned char *)pgmap_mapping_address(mapping))[i] == 0x5a);
	memset(pgmap_mapping_address(mapping), 0xa5, 3 * MIB);
	sys_say(said);
	sys_await(go);
}

static void c7_12_a_killed_servers_file_is_its_clients_until_they_have_gone(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping;
	assert_true(sys_start_at(&server, device("pool", ",size=64M,create")));
	assert_int_equal(link(name_in("pool"), name_in("hard")), 0);
	assert_refused(device("pool", ",size=64M,create"), "another server has it");
	struct sys_child child = sys_spawn_heard(client_that_maps, &server);
	sys_kill(&server);
	(void)close(server.err_fd);
	assert_refused(device("pool", ",overwrite"), "dead server still map it");
	assert_refused(device("soft", ",size=1M,overwrite"), "dead server still map it");
	assert_refused(device("hard", ",overwrite,create"), "dead server still map it");
	sys_go_on(&child);
	sys_heard(&child);
	sys_kill_child(&child);
	assert_refused(device("pool", ",size=64M,create"), "holds data");
	assert_true(sys_start_at(&server, device("soft", ",overwrite")));
	struct pgmap_client *client = sys_connect(&server);
	assert_int_equal(pgmap_open_map(client, "/f", 0, 0, RW, &mapping), -ENOENT);
	struct pgmap_info info = sys_info(client);
	assert_int_equal(info.used, 0);
	mapping = sys_map(client, "/all", info.pages * 4096);
	const unsigned char *bytes = pgmap_mapping_address(mapping);
	for (uint64_t i = 0; i < info.pages * 4096; i += 512)
		assert_int_equal(bytes[i], 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_disconnect(client), 0);
	client = sys_connect(&server);
	assert_int_equal(pgmap_drain_pool(client, -1), 0);
	assert_int_equal(pgmap_disconnect(client), 0);
	assert_int_equal(sys_exit_code(server.pid), 0);
}

static void a_drained_pool_leaves_a_hole_that_the_next_one_takes(void **state)
{
	(void)state;
	struct stat st;
	for (int i = 0; i < 2; i++) {
		assert_true(sys_start_at(&server, device("pool", ",size=64M,create")));
		struct pgmap_client *client = sys_connect(&server);
		struct pgmap_mapping *mapping = sys_map(client, "/f", 5 * MIB);
		memset(pgmap_mapping_address(mapping), 'x', 5 * MIB);
		assert_int_equal(pgmap_unmap(mapping), 0);
		assert_int_equal(pgmap_drain_pool(client, -1), 0);
		assert_int_equal(pgmap_disconnect(client), 0);
		assert_int_equal(sys_exit_code(server.pid), 0);
		assert_int_equal(stat(name_in("pool"), &st), 0);
		assert_int_equal(st.st_size, 64 << 20);
		assert_true(st.st_blocks <= 8); /* what a file system keeps for itself */
		if (i == 0)
			(void)close(server.err_fd);
	}
}

static void a_file_of_somebody_elses_is_refused_and_as_it_was(void **state)
{
	(void)state;
	char text[16] = "";
	FILE *f = fopen(name_in("pool"), "we");
	assert_non_null(f);
	assert_true(fputs("not a pool", f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_refused(device("pool", ",size=64M,create"), "overwrite");
	assert_refused("file:/dev/null,size=64M", "a device node, not a regular file");
	f = fopen(name_in("pool"), "re");
	assert_non_null(f);
	assert_int_equal(fread(text, 1, sizeof(text), f), 10);
	assert_string_equal(text, "not a pool");
	assert_int_equal(fclose(f), 0);
	server.err_fd = -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(c7_12_a_killed_servers_file_is_its_clients_until_they_have_gone, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_drained_pool_leaves_a_hole_that_the_next_one_takes, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_of_somebody_elses_is_refused_and_as_it_was, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
