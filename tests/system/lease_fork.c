/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lease_fork.c - a parent that forks, and goes on mapping and unmapping: its children see their bytes for as long as they
 * look, and their pages are free when they have gone. SUITE_TARGET: socket, or an embedded pool.
 */
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>

static struct sys_suite suite;
static struct pgmap_client *client;
enum { FILE_BYTES = 64 * 4096, POOL_BYTES = 64 << 20, RW = PGMAP_MAP_READ | PGMAP_MAP_WRITE };

static int teardown(void **state)
{
	(void)state;
	sys_until_live(client, 0);
	assert_int_equal(sys_info(client).used + sys_info(client).waiting, 0);
	return 0;
}

static bool is_all(const unsigned char *bytes, unsigned char what)
{
	for (unsigned i = 0; i < FILE_BYTES; i++)
		if (bytes[i] != what)
			return false;
	return true;
}

static struct pgmap_mapping *map_filled(const char *path, unsigned char what)
{
	struct pgmap_mapping *mapping = sys_map(client, path, FILE_BYTES);
	memset(pgmap_mapping_address(mapping), what, FILE_BYTES);
	return mapping;
}

/* All of the pool that is free, written over by its next owner. */
static void write_over_what_is_free(void)
{
	uint64_t bytes = sys_info(client).free * 4096;
	struct pgmap_mapping *rest = sys_map(client, "/rest", bytes);
	memset(pgmap_mapping_address(rest), 0xee, bytes);
	assert_int_equal(pgmap_unmap(rest), 0);
	assert_int_equal(pgmap_unlink(client, "/rest"), 0);
}

static const unsigned char *looked_at;
static unsigned char seen;

static void child_looks(const struct sys_server *server, int said, int go)
{
	(void)server;
	for (;;) {
		CHILD_CHECK(is_all(looked_at, seen));
		sys_say(said);
		sys_await(go);
	}
}

static struct sys_child spawn_looking(const struct pgmap_mapping *mapping, unsigned char what)
{
	looked_at = pgmap_mapping_address(mapping);
	seen = what;
	return sys_spawn_heard(child_looks, NULL);
}

static void assert_still_sees(const struct sys_child *child)
{
	sys_go_on(child);
	sys_heard(child);
}

static void c6_8_a_child_sees_its_bytes_after_its_parent_unmapped(void **state)
{
	(void)state;
	struct pgmap_mapping *a = map_filled("/a", 'a'), *b = map_filled("/b", 'b');
	unsigned char *bytes = pgmap_mapping_address(b);
	struct sys_child child = spawn_looking(a, 'a');
	assert_int_equal(pgmap_unmap(a), 0);
	assert_int_equal(pgmap_unlink(client, "/a"), 0);
	assert_true(is_all(bytes, 'b')); /* what is kept is where it was */
	memset(bytes, 'c', FILE_BYTES);
	write_over_what_is_free();
	assert_still_sees(&child);
	assert_int_equal(sys_who(client, NULL, getpid()).rows, 2);
	assert_int_equal(sys_who(client, NULL, getpid()).state, PGMAP_WHO_INHERITED);
	sys_kill_child(&child);
	sys_until_live(client, FILE_BYTES / 4096); /* its parent still has the other mapping */
	assert_true(is_all(bytes, 'c'));
	assert_int_equal(pgmap_unmap(b), 0);
	assert_int_equal(pgmap_unlink(client, "/b"), 0);
}

static void c7_8_each_of_several_children_keeps_what_it_can_see(void **state)
{
	(void)state;
	struct pgmap_mapping *a = map_filled("/a", 'a');
	struct sys_child first = spawn_looking(a, 'a');
	struct pgmap_mapping *b = map_filled("/b", 'b'); /* not the first child's */
	struct sys_child second = spawn_looking(b, 'b');
	assert_int_equal(pgmap_unmap(b), 0);
	assert_int_equal(pgmap_unlink(client, "/b"), 0);
	assert_int_equal(pgmap_unmap(a), 0);
	assert_int_equal(pgmap_unlink(client, "/a"), 0);
	write_over_what_is_free();
	assert_still_sees(&first);
	assert_still_sees(&second);
	sys_kill_child(&second);
	assert_still_sees(&first);
	write_over_what_is_free();
	assert_still_sees(&first);
	sys_kill_child(&first);
}

/* What is done while a fork has begun, and there is no child yet: the constructor of this program comes before the library's, so
 * this handler runs after its own. */
static void (*in_between)(void);
static pthread_t other;
static struct pgmap_mapping *inherited;

static void before_the_child(void)
{
	void (*what)(void) = in_between;
	in_between = NULL;
	if (what)
		what();
}

__attribute__((constructor(101))) static void come_before_the_library(void)
{
	(void)pthread_atfork(before_the_child, NULL, NULL);
}

static void *map_one(void *arg)
{
	inherited = map_filled("/a", 'a');
	looked_at = pgmap_mapping_address(inherited);
	seen = 'a';
	return arg;
}

static void another_thread_maps(void)
{
	if (pthread_create(&other, NULL, map_one, NULL) != 0 || pthread_join(other, NULL) != 0)
		abort();
}

static void *remap(void *arg)
{
	return pgmap_remap(inherited, 0) == 0 ? NULL : arg;
}

/* Asked of the kernel, which answers where an access would fail. */
static bool can_be_read(const unsigned char *at)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0)
		abort();
	bool there = write(ends[1], at, 1) == 1;
	(void)close(ends[0]);
	(void)close(ends[1]);
	return there;
}

/* It gets to its end only when there is a child: it wants a new lease. */
static void another_thread_remaps(void)
{
	if (pthread_create(&other, NULL, remap, inherited) != 0)
		abort();
	while (!can_be_read(looked_at))
		(void)sched_yield();
	memset((unsigned char *)pgmap_mapping_address(inherited) + FILE_BYTES, seen, FILE_BYTES);
}

static void resize(const char *path, uint64_t bytes)
{
	struct pgmap_file *file;
	assert_int_equal(pgmap_open(client, path, 0, &file), 0);
	assert_int_equal(pgmap_truncate(file, bytes), 0);
	assert_int_equal(pgmap_close(file), 0);
}

static void unmap_under(const struct sys_child *child)
{
	assert_int_equal(pgmap_unmap(inherited), 0);
	resize("/a", 0);
	assert_int_equal(pgmap_unlink(client, "/a"), 0);
	write_over_what_is_free();
	assert_still_sees(child);
	sys_kill_child(child);
}

static void c6_8_what_is_mapped_while_a_fork_begins_is_kept_for_the_child(void **state)
{
	(void)state;
	assert_int_equal(pgmap_unmap(map_filled("/a", 'x')), 0); /* what can be written through is here */
	in_between = another_thread_maps;
	struct sys_child child = sys_spawn_heard(child_looks, NULL);
	unmap_under(&child);
}

static void c6_8_so_is_what_a_mapping_gets_while_a_fork_begins(void **state)
{
	(void)state;
	void *wrong;
	inherited = map_filled("/a", 'a');
	resize("/a", 2 * FILE_BYTES);
	looked_at = (unsigned char *)pgmap_mapping_address(inherited) + FILE_BYTES;
	seen = 'b';
	in_between = another_thread_remaps;
	struct sys_child child = sys_spawn_heard(child_looks, NULL);
	assert_int_equal(pthread_join(other, &wrong), 0);
	assert_null(wrong);
	unmap_under(&child);
}

/* The server has made a new lease, and its descriptors find no place here. */
static void unmap_without_a_new_lease(struct pgmap_mapping *mapping)
{
	struct rlimit enough, none;
	int next = dup(STDERR_FILENO);
	assert_int_equal(close(next), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &enough), 0);
	none = enough;
	none.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	int err = pgmap_unmap(mapping);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &enough), 0);
	assert_int_equal(err, 0);
}

static void c6_8_what_is_mapped_after_a_lease_got_lost_is_kept_for_children(void **state)
{
	(void)state;
	struct pgmap_mapping *a = map_filled("/a", 'a');
	struct sys_child child = spawn_looking(a, 'a');
	sys_kill_child(&child);
	unmap_without_a_new_lease(a);
	assert_int_equal(pgmap_unlink(client, "/a"), 0);
	inherited = map_filled("/a", 'b');
	child = spawn_looking(inherited, 'b');
	unmap_under(&child);
}

static void child_execs(const struct sys_server *server, int said, int go)
{
	(void)server;
	(void)said;
	CHILD_CHECK(dup2(go, 0) == 0);
	(void)execlp("cat", "cat", (char *)NULL); /* until its parent lets go */
	_exit(93);
}

static void a_child_that_execs_keeps_nothing(void **state)
{
	(void)state;
	struct pgmap_mapping *a = map_filled("/a", 'a');
	struct sys_child child = sys_spawn(child_execs, NULL);
	assert_int_equal(pgmap_unmap(a), 0);
	sys_until_live(client, 0); /* said is closed by the exec, and "cat" still runs */
	assert_int_equal(waitpid(child.pid, NULL, WNOHANG), 0);
	assert_int_equal(pgmap_unlink(client, "/a"), 0);
	sys_close_child(&child);
	assert_int_equal(sys_exit_code(child.pid), 0);
}

/* Threads that read what is mapped while all of it moves: no access fails, and none sees another page. */
static atomic_bool stop;

static void *reader(void *arg)
{
	const unsigned char *bytes = arg;
	while (!atomic_load(&stop))
		if (!is_all(bytes, 'm'))
			return arg;
	return NULL;
}

static void what_moves_can_be_used_meanwhile(void **state)
{
	(void)state;
	enum { ROUNDS = 50 };
	struct pgmap_mapping *kept = map_filled("/m", 'm');
	pthread_t thread;
	void *wrong;
	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&thread, NULL, reader, pgmap_mapping_address(kept)), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct pgmap_mapping *a = map_filled("/a", 'a');
		struct sys_child child = spawn_looking(a, 'a');
		assert_int_equal(pgmap_unmap(a), 0);
		assert_int_equal(pgmap_unlink(client, "/a"), 0);
		struct pgmap_mapping *next = map_filled("/next", 'n');
		assert_still_sees(&child);
		assert_int_equal(pgmap_unmap(next), 0);
		assert_int_equal(pgmap_unlink(client, "/next"), 0);
		sys_kill_child(&child);
	}
	atomic_store(&stop, true);
	assert_int_equal(pthread_join(thread, &wrong), 0);
	assert_null(wrong);
	assert_int_equal(pgmap_unmap(kept), 0);
	assert_int_equal(pgmap_unlink(client, "/m"), 0);
}

/* Threads that map, check and unmap while another forks: whenever the fork comes, a child sees its bytes. */
static void *churn(void *arg)
{
	unsigned char what = (unsigned char)(uintptr_t)arg;
	char path[] = {'/', (char)what, 0};
	while (!atomic_load(&stop)) {
		struct pgmap_mapping *mapping;
		if (pgmap_open_map(client, path, PGMAP_O_CREATE, FILE_BYTES, RW, &mapping) != 0)
			return arg;
		memset(pgmap_mapping_address(mapping), what, FILE_BYTES);
		if (!is_all(pgmap_mapping_address(mapping), what) || pgmap_unmap(mapping) != 0 ||
		    pgmap_unlink(client, path) != 0)
			return arg;
	}
	return NULL;
}

static void forks_beside_maps_and_unmaps_leave_nothing(void **state)
{
	(void)state;
	enum { FORKS = 60 };
	pthread_t threads[2];
	atomic_store(&stop, false);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)(uintptr_t)('t' + i)), 0);
	for (unsigned i = 0; i < FORKS; i++) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		assert_int_equal(sys_exit_code(pid), 0);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 2; i++) {
		void *wrong;
		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
}

static void a_file_opened_for_reading_is_only_read(void **state)
{
	(void)state;
	struct pgmap_file *file;
	struct pgmap_mapping *mapping;
	assert_int_equal(pgmap_unmap(map_filled("/a", 'a')), 0);
	assert_int_equal(pgmap_open(client, "/a", PGMAP_O_RDONLY | PGMAP_O_TRUNC, &file), -EINVAL);
	assert_int_equal(pgmap_open(client, "/new", PGMAP_O_RDONLY | PGMAP_O_CREATE, &file), -EINVAL);
	assert_int_equal(pgmap_open(client, "/a", PGMAP_O_RDONLY, &file), 0);
	assert_int_equal(pgmap_truncate(file, 0), -EACCES);
	assert_int_equal(pgmap_map(file, 0, 0, RW, &mapping), -EACCES);
	assert_int_equal(pgmap_map(file, 0, 0, PGMAP_MAP_WRITE, &mapping), -EACCES);
	assert_int_equal(pgmap_map(file, 0, 0, PGMAP_MAP_READ, &mapping), 0);
	assert_true(is_all(pgmap_mapping_address(mapping), 'a'));
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(pgmap_open_map(client, "/a", PGMAP_O_RDONLY, 4096, PGMAP_MAP_READ, &mapping), -EINVAL);
	assert_int_equal(pgmap_open_map(client, "/a", PGMAP_O_RDONLY, 0, RW, &mapping), -EACCES);
	assert_int_equal(pgmap_open_map(client, "/a", PGMAP_O_RDONLY, 0, PGMAP_MAP_READ, &mapping), 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_unlink(client, "/a"), 0);
}

static void what_is_mapped_to_be_read_cannot_be_written(void **state)
{
	(void)state;
	struct pgmap_mapping *writes = map_filled("/a", 'a'), *reads;
	assert_int_equal(pgmap_open_map(client, "/a", 0, 0, PGMAP_MAP_READ, &reads), 0);
	assert_true(is_all(pgmap_mapping_address(reads), 'a'));
	assert_int_equal(mprotect(pgmap_mapping_address(reads), 4096, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(pgmap_unmap(reads), 0);
	assert_int_equal(pgmap_unmap(writes), 0);
	assert_int_equal(pgmap_unlink(client, "/a"), 0);
}

/* Descriptors of the device that this process has, and that can be written through. */
static unsigned writable_descriptors(void)
{
	unsigned n = 0;
	for (int fd = 3; fd < 64; fd++)
		n += sys_is_device(fd) && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
	return n;
}

static void child_reads(const struct sys_server *server, int said, int go)
{
	struct pgmap_client *own;
	struct pgmap_mapping *mapping;
	(void)said;
	(void)go;
	CHILD_CHECK(pgmap_connect(server->path, &own) == 0);
	CHILD_CHECK(pgmap_open_map(own, "/a", 0, 0, PGMAP_MAP_READ, &mapping) == 0);
	CHILD_CHECK(is_all(pgmap_mapping_address(mapping), 'a'));
	CHILD_CHECK(writable_descriptors() == 0);
	CHILD_CHECK(pgmap_unmap(mapping) == 0);
	CHILD_CHECK(pgmap_open_map(own, "/a", 0, 0, PGMAP_MAP_WRITE, &mapping) == 0);
	CHILD_CHECK(writable_descriptors() == (sys_has_two_devices() ? 2 : 1)); /* one of each device */
}

static void who_only_reads_gets_nothing_to_write_through(void **state)
{
	(void)state;
	assert_int_equal(pgmap_unmap(map_filled("/a", 'a')), 0);
	if (suite.server.pid) { /* an embedded pool is this program's own: there is nobody else */
		struct sys_child child = sys_spawn(child_reads, &suite.server);
		assert_int_equal(sys_exit_code(child.pid), 0);
		sys_close_child(&child);
	}
	assert_int_equal(pgmap_unlink(client, "/a"), 0);
}

int main(void)
{
#define A_TEST(name) cmocka_unit_test_teardown(name, teardown)
	const struct CMUnitTest tests[] = {
		A_TEST(c6_8_a_child_sees_its_bytes_after_its_parent_unmapped),
		A_TEST(c7_8_each_of_several_children_keeps_what_it_can_see),
		A_TEST(c6_8_what_is_mapped_while_a_fork_begins_is_kept_for_the_child),
		A_TEST(c6_8_so_is_what_a_mapping_gets_while_a_fork_begins),
		A_TEST(c6_8_what_is_mapped_after_a_lease_got_lost_is_kept_for_children),
		A_TEST(a_child_that_execs_keeps_nothing),
		A_TEST(what_moves_can_be_used_meanwhile),
		A_TEST(forks_beside_maps_and_unmaps_leave_nothing),
		A_TEST(a_file_opened_for_reading_is_only_read),
		A_TEST(what_is_mapped_to_be_read_cannot_be_written),
		A_TEST(who_only_reads_gets_nothing_to_write_through),
	};
	if (sys_suite_begin(&suite) != 0)
		return 1;
	client = suite.client;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	return sys_suite_end(&suite) || failed;
}
