/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hostile_lack.c - a client that runs out of descriptors, of address space, of memory, in the middle of any call; and a server
 * that has no descriptors: beside four honest clients (hostile.h). A call that lacks something says so and has changed
 * nothing; when it can be had again, the same connection goes on.
 */
#include "hostile.h"

#include <sys/resource.h>

#include "../unit/failing.h"

enum { BYTES = 16 * 4096, RW = PGMAP_MAP_READ | PGMAP_MAP_WRITE, STEP_BYTES = 192 * 1024 };

/* So little of it is left from here on: n is how little. Then there is enough again. */
struct lack {
	void (*begin)(unsigned n);
	void (*end)(void);
	unsigned most; /* with so much all succeeds */
	int err;
};

static struct pgmap_client *mine;
static const char *socket_path;

static void limit(__rlimit_resource_t resource, uint64_t soft)
{
	struct rlimit now;
	CHILD_CHECK(getrlimit(resource, &now) == 0);
	now.rlim_cur = soft < now.rlim_max ? soft : now.rlim_max;
	CHILD_CHECK(setrlimit(resource, &now) == 0);
}

static void few_descriptors(unsigned n)
{
	int next = dup(STDERR_FILENO);
	CHILD_CHECK(next >= 0 && close(next) == 0);
	limit(RLIMIT_NOFILE, (unsigned)next + n);
}

static void enough_descriptors(void)
{
	limit(RLIMIT_NOFILE, 1024);
}

/* Read without malloc(), and with no more address space. */
static uint64_t address_space_bytes(void)
{
	char text[128] = "";
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	CHILD_CHECK(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && close(fd) == 0);
	return strtoull(text, NULL, 10) * 4096;
}

static void few_addresses(unsigned n)
{
	limit(RLIMIT_AS, address_space_bytes() + (uint64_t)n * STEP_BYTES);
}

static void enough_addresses(void)
{
	limit(RLIMIT_AS, RLIM_INFINITY);
}

static void few_allocations(unsigned n)
{
	failing_begin(n + 1, true);
}

static void enough_allocations(void)
{
	(void)failing_end();
}

/* One call of each kind while something lacks: what it answers. What was made is undone where nothing lacks. */
static int connect_again(const struct lack *lack, unsigned n)
{
	struct pgmap_client *other;
	lack->begin(n);
	int err = pgmap_connect(socket_path, &other);
	lack->end();
	CHILD_CHECK(err || pgmap_disconnect(other) == 0);
	return err;
}

static int map_first(const struct lack *lack, unsigned n)
{
	struct pgmap_client *fresh; /* which has no descriptor yet that could be written through */
	struct pgmap_mapping *mapping;
	CHILD_CHECK(pgmap_connect(socket_path, &fresh) == 0);
	lack->begin(n);
	int err = pgmap_open_map(fresh, "/poor", PGMAP_O_CREATE, BYTES, RW, &mapping);
	lack->end();
	CHILD_CHECK(err || (memset(pgmap_mapping_address(mapping), 'p', BYTES) && pgmap_unmap(mapping) == 0));
	int gone = pgmap_unlink(fresh, "/poor");
	CHILD_CHECK(gone == 0 || (err && gone == -ENOENT)); /* it may have been made */
	CHILD_CHECK(pgmap_disconnect(fresh) == 0);
	return err;
}

static int map_again(const struct lack *lack, unsigned n)
{
	struct pgmap_mapping *mapping;
	lack->begin(n);
	int err = pgmap_open_map(mine, "/held", 0, 0, RW, &mapping);
	lack->end();
	CHILD_CHECK(err || (hostile_is_all(pgmap_mapping_address(mapping), 'h', BYTES) && pgmap_unmap(mapping) == 0));
	return err;
}

static int unmap(const struct lack *lack, unsigned n)
{
	struct pgmap_mapping *mapping;
	CHILD_CHECK(pgmap_open_map(mine, "/held", 0, 0, RW, &mapping) == 0);
	lack->begin(n);
	int err = pgmap_unmap(mapping);
	lack->end();
	CHILD_CHECK(!err || (hostile_is_all(pgmap_mapping_address(mapping), 'h', BYTES) && pgmap_unmap(mapping) == 0));
	return err;
}

static int open_and_close(const struct lack *lack, unsigned n)
{
	struct pgmap_file *file;
	lack->begin(n);
	int err = pgmap_open(mine, "/held", 0, &file);
	lack->end();
	CHILD_CHECK(err || pgmap_close(file) == 0);
	return err;
}

static int seen(void *arg, const char *name, const struct pgmap_stat *st)
{
	(void)name, (void)st;
	++*(unsigned *)arg;
	return 0;
}

static int list(const struct lack *lack, unsigned n)
{
	unsigned names = 0;
	lack->begin(n);
	int err = pgmap_readdir(mine, "/", seen, &names);
	lack->end();
	CHILD_CHECK(err ? names == 0 : names > 0);
	return err;
}

static int row(void *arg, const struct pgmap_who *who)
{
	(void)who;
	++*(unsigned *)arg;
	return 0;
}

static int ask_who(const struct lack *lack, unsigned n)
{
	unsigned rows = 0;
	lack->begin(n);
	int err = pgmap_who(mine, "/held", row, &rows);
	lack->end();
	CHILD_CHECK(rows == !err);
	return err;
}

static int wait_for_pages(const struct lack *lack, unsigned n)
{
	lack->begin(n);
	int err = pgmap_unlink_how(mine, "/held", PGMAP_WAIT, 1);
	lack->end();
	return err == -ETIMEDOUT ? 0 : err; /* it is held */
}

static int (*const calls[])(const struct lack *lack, unsigned n) = {
	connect_again, map_first, map_again, unmap, open_and_close, list, ask_who, wait_for_pages};

/* Each call with nothing left, and with a little more, up to enough; and then again with enough. */
static void run_out(const struct sys_server *s, const struct lack *lack)
{
	struct pgmap_mapping *held;
	unsigned refused = 0;
	socket_path = s->path;
	CHILD_CHECK(pgmap_connect(s->path, &mine) == 0);
	CHILD_CHECK(pgmap_open_map(mine, "/held", PGMAP_O_CREATE, BYTES, RW, &held) == 0);
	memset(pgmap_mapping_address(held), 'h', BYTES);
	for (unsigned n = 0; n <= lack->most; n++) {
		for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
			int err = calls[i](lack, n);
			if (err && (err != lack->err || n == lack->most))
				(void)fprintf(stderr, "call %u with %u left: %d\n", i, n, err);
			CHILD_CHECK(err == 0 || (err == lack->err && n < lack->most));
			refused += err != 0;
			CHILD_CHECK(map_again(&(struct lack){few_descriptors, enough_descriptors, 0, 0}, 64) == 0);
		}
	}
	CHILD_CHECK(refused >= 3);
	CHILD_CHECK(hostile_is_all(pgmap_mapping_address(held), 'h', BYTES));
	CHILD_CHECK(pgmap_unmap(held) == 0 && pgmap_unlink(mine, "/held") == 0 && pgmap_disconnect(mine) == 0);
}

static void without_descriptors(const struct sys_server *s, int said, int go)
{
	(void)said, (void)go;
	run_out(s, &(struct lack){few_descriptors, enough_descriptors, 12, -EMFILE});
}

static void without_addresses(const struct sys_server *s, int said, int go)
{
	(void)said, (void)go;
	run_out(s, &(struct lack){few_addresses, enough_addresses, 64, -ENOMEM});
}

static void without_memory(const struct sys_server *s, int said, int go)
{
	(void)said, (void)go;
	run_out(s, &(struct lack){few_allocations, enough_allocations, 12, -ENOMEM});
}

static void run(void (*fn)(const struct sys_server *s, int said, int go))
{
	uint64_t files = sys_info(watcher).files;
	struct sys_child child = sys_spawn(fn, &server);
	hostile_honest_go_on(); /* meanwhile */
	assert_int_equal(sys_exit_code(child.pid), 0);
	sys_close_child(&child);
	hostile_all_is_well();
	assert_true(sys_info(watcher).files <= files + HONEST); /* one more of each comes and goes */
}

static void a_client_runs_out_of_descriptors(void **state)
{
	(void)state;
	run(without_descriptors);
}

static void a_client_runs_out_of_address_space(void **state)
{
	(void)state;
	run(without_addresses);
}

static void a_client_runs_out_of_memory(void **state)
{
	(void)state;
	run(without_memory);
}

static void map_and_pause(const struct sys_server *s, int said, int go)
{
	struct pgmap_client *client;
	struct pgmap_mapping *mapping;
	CHILD_CHECK(pgmap_connect(s->path, &client) == 0);
	CHILD_CHECK(pgmap_open_map(client, "/dies", PGMAP_O_CREATE, MIB, RW, &mapping) == 0);
	sys_say(said);
	sys_await(go);
}

/* A client that says hello and no more, which takes one descriptor of the server; or -1, it had none. */
static int connect_idly(void)
{
	struct proto_req req = {.magic = PROTO_MAGIC, .version = PROTO_VERSION, .type = PROTO_HELLO};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct proto_rep rep;
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", server.path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	req.flags = PROTO_HELLO_CONTROL;
	(void)send(fd, &req, sizeof(req), MSG_NOSIGNAL);
	ssize_t n;
	do
		n = recv(fd, &rep, sizeof(rep), 0);
	while (n < 0 && errno == ECONNRESET); /* said once, before what it has said */
	assert_int_equal(n, sizeof(rep));
	if (rep.error == 0)
		return fd;
	assert_int_equal(rep.error, -EMFILE);
	(void)close(fd);
	return -1;
}

/* Those who are there go on, who dies is noticed, and only what needs a descriptor of the server is refused. */
static void c7_2_the_server_runs_out_of_descriptors(void **state)
{
	(void)state;
	enum { ROOM = 64 };
	struct pgmap_client *others[ROOM];
	struct pgmap_mapping *mapping;
	struct rlimit before, few;
	unsigned n = 0, nidle = 0, rows = 0;
	int err, idle[ROOM];
	struct sys_child child = sys_spawn_heard(map_and_pause, &server);
	assert_int_equal(prlimit(server.pid, RLIMIT_NOFILE, NULL, &before), 0);
	few = before;
	few.rlim_cur = ROOM;
	assert_int_equal(prlimit(server.pid, RLIMIT_NOFILE, &few, NULL), 0);
	while ((err = pgmap_connect(server.path, &others[n])) == 0)
		assert_true(++n < ROOM);
	assert_int_equal(err, -EMFILE);
	while ((idle[nidle] = connect_idly()) >= 0) /* a greeting takes several: single ones may be left */
		assert_true(++nidle < ROOM);
	assert_int_equal(pgmap_open_map(others[0], "/new", PGMAP_O_CREATE, BYTES, RW, &mapping), -EMFILE);
	assert_int_equal(pgmap_stat(watcher, "/new", &(struct pgmap_stat){0}), -ENOENT);
	assert_int_equal(pgmap_who(watcher, NULL, row, &rows), -EMFILE);
	assert_int_equal(pgmap_readdir(watcher, "/", seen, &rows), -EMFILE);
	assert_int_equal(rows, 0);
	hostile_honest_go_on();
	sys_kill_child(&child); /* its own two are back, when it has ended */
	while ((err = pgmap_who(watcher, NULL, row, &rows)) != 0)
		assert_int_equal(err, -EMFILE);
	sys_until_state(watcher, child.pid, 0);
	assert_int_equal(pgmap_unlink(watcher, "/dies"), 0);
	while (nidle)
		assert_int_equal(close(idle[--nidle]), 0);
	while (n)
		assert_int_equal(pgmap_disconnect(others[--n]), 0);
	assert_int_equal(prlimit(server.pid, RLIMIT_NOFILE, &before, NULL), 0);
	hostile_all_is_well();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_runs_out_of_descriptors),
		cmocka_unit_test(a_client_runs_out_of_address_space),
		cmocka_unit_test(a_client_runs_out_of_memory),
		cmocka_unit_test(c7_2_the_server_runs_out_of_descriptors),
	};
	return cmocka_run_group_tests(tests, hostile_begin, hostile_end);
}
