/* SPDX-License-Identifier: BSD-3-Clause */
/* lease_end.c - when a holder ends, and when it does not: what ARCHITECTURE 4 says about the lease, through a real server, on
 * the device that sys_begin() makes. */
#include "sys.h"

#include <pthread.h>
#include <sys/syscall.h>

static struct sys_server server;
static struct pgmap_client *watcher;
enum { RW = PGMAP_MAP_READ | PGMAP_MAP_WRITE, PAGE = 4096 };
static uint64_t granule; /* of the pool, in bytes */
static uint64_t unit;    /* 1 MiB, or a granule if that is more */
static uint64_t file_bytes;
#define FILE_PAGES (file_bytes / PAGE)

static int setup(void **state)
{
	(void)state;
	watcher = sys_begin(&server);
	granule = PAGE << sys_info(watcher).granule_order;
	unit = granule > MIB ? granule : MIB;
	file_bytes = 2 * unit;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(sys_info(watcher).live_pages, 0);
	sys_end(&server, watcher);
	return 0;
}

static struct pgmap_mapping *child_map(const struct sys_server *s, const char *path, uint64_t bytes,
				       struct pgmap_client **client)
{
	struct pgmap_mapping *mapping;
	CHILD_CHECK(pgmap_connect(s->path, client) == 0);
	CHILD_CHECK(pgmap_open_map(*client, path, PGMAP_O_CREATE, bytes, RW, &mapping) == 0);
	memset(pgmap_mapping_address(mapping), 0x5a, bytes);
	return mapping;
}

/* Nobody may get the pages of a file that is removed while this holder still maps it: fill the pool, and look. */
static void assert_never_reused(void)
{
	assert_int_equal(pgmap_unlink(watcher, "/f"), 0);
	struct pgmap_info info = sys_info(watcher);
	assert_int_equal(info.used + info.waiting, FILE_PAGES);
	struct pgmap_mapping *rest = sys_map(watcher, "/rest", info.free * 4096);
	memset(pgmap_mapping_address(rest), 0xee, info.free * 4096);
	assert_int_equal(pgmap_unmap(rest), 0);
	assert_int_equal(pgmap_unlink(watcher, "/rest"), 0);
}

/* In a child: says that it is there, and when it is told to, that its bytes are still its own; then it waits. */
static void look_when_told(const unsigned char *bytes, int said, int go)
{
	sys_say(said);
	sys_await(go);
	for (unsigned i = 0; i < file_bytes; i++)
		CHILD_CHECK(bytes[i] == 0x5a);
	sys_say(said);
	sys_await(go);
}

static void child_maps(const struct sys_server *s, int said, int go)
{
	struct pgmap_client *client;
	(void)child_map(s, "/f", file_bytes, &client);
	sys_say(said);
	sys_await(go);
}

static void c7_2_a_killed_process_holds_nothing(void **state)
{
	(void)state;
	struct sys_child child = sys_spawn_heard(child_maps, &server);
	assert_int_equal(sys_info(watcher).live_pages, FILE_PAGES);
	sys_kill_child(&child);
	sys_until_live(watcher, 0);
	sys_until_state(watcher, child.pid, 0);
	assert_int_equal(pgmap_unlink(watcher, "/f"), 0);
	assert_int_equal(sys_info(watcher).used, 0);
}

/* The mapping is inherited; the parent dies; the child reads its bytes until it is told to go. */
static void child_that_leaves_a_child(const struct sys_server *s, int said, int go)
{
	struct pgmap_client *client;
	struct pgmap_mapping *mapping = child_map(s, "/f", file_bytes, &client);
	if (fork() == 0) {
		struct pgmap_info info;
		const unsigned char *bytes = pgmap_mapping_address(mapping);
		(void)prctl(PR_SET_PDEATHSIG, 0);
		CHILD_CHECK(pgmap_info(client, &info) == -EPERM);
		CHILD_CHECK(pgmap_pin(mapping, 0, 1, PGMAP_PIN_LOCAL) == -EPERM);
		CHILD_CHECK(pgmap_unmap(mapping) == -EPERM);
		CHILD_CHECK(pgmap_disconnect(client) == -EPERM);
		look_when_told(bytes, said, go);
		_exit(0);
	}
	(void)pause();
}

static void c7_3_a_forked_child_that_still_maps_keeps_the_holder(void **state)
{
	(void)state;
	struct sys_child child = sys_spawn_heard(child_that_leaves_a_child, &server);
	assert_int_equal(kill(child.pid, SIGKILL), 0);
	(void)sys_wait_pid(child.pid);
	sys_until_state(watcher, child.pid, PGMAP_WHO_MAPPING);
	assert_int_equal(sys_info(watcher).live_pages, FILE_PAGES);
	assert_never_reused();
	sys_go_on(&child);
	sys_heard(&child);
	assert_int_equal(sys_who(watcher, NULL, child.pid).state, PGMAP_WHO_MAPPING);
	sys_go_on(&child);
	sys_until_live(watcher, 0);
	sys_close_child(&child);
}

static void child_that_closes_everything(const struct sys_server *s, int said, int go)
{
	struct pgmap_client *client;
	struct pgmap_mapping *mapping = child_map(s, "/f", file_bytes, &client);
	const unsigned char *bytes = pgmap_mapping_address(mapping);
	for (int fd = 3; fd < 256; fd++)
		if (fd != said && fd != go)
			CHILD_CHECK(syscall(SYS_close_range, fd, fd, 0) == 0);
	look_when_told(bytes, said, go);
}

static void c7_2_closing_all_descriptors_ends_nothing_that_is_mapped(void **state)
{
	(void)state;
	struct sys_child child = sys_spawn_heard(child_that_closes_everything, &server);
	sys_until_state(watcher, child.pid, PGMAP_WHO_MAPPING);
	assert_never_reused();
	sys_go_on(&child);
	sys_heard(&child);
	sys_kill_child(&child);
	sys_until_live(watcher, 0);
}

/* The lease is the third descriptor from the one that a connection begins with; it is found by what it is. */
static int find_lease(void)
{
	for (int fd = 3; fd < 256; fd++)
		if (sys_is_device(fd))
			return fd;
	return -1;
}

static int sent_on[2];

static void child_that_sends_its_lease(const struct sys_server *s, int said, int go)
{
	struct pgmap_client *client;
	(void)child_map(s, "/f", file_bytes, &client);
	int fd = find_lease();
	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(sys_send_fd(sent_on[1], &(char){0}, 1, fd) == 1);
	sys_say(said);
	sys_await(go);
}

static void c7_3_a_lease_that_was_sent_on_keeps_the_holder(void **state)
{
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sent_on), 0);
	struct sys_child child = sys_spawn_heard(child_that_sends_its_lease, &server);
	char byte;
	int lease;
	sys_receive_fds(sent_on[0], &byte, 1, &lease, 1);
	sys_kill_child(&child);
	sys_until_state(watcher, child.pid, PGMAP_WHO_MAPPING);
	/* Mapped, and the descriptor closed: still held. */
	void *at = mmap(NULL, granule, PROT_READ, MAP_SHARED, lease, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	assert_int_equal(close(lease), 0);
	assert_never_reused();
	assert_int_equal(sys_who(watcher, NULL, child.pid).state, PGMAP_WHO_MAPPING);
	assert_int_equal(munmap(at, granule), 0);
	sys_until_live(watcher, 0);
	(void)close(sent_on[0]);
	(void)close(sent_on[1]);
}

enum { THREADS = 32 };
#define THREAD_BYTES (file_bytes / THREADS)
static _Atomic int threads_up;

static void *touch_for_ever(void *arg)
{
	volatile unsigned char *bytes = arg;
	threads_up++;
	for (unsigned i = 0;; i++)
		bytes[i % THREAD_BYTES]++;
	return NULL;
}

static void child_with_threads(const struct sys_server *s, int said, int go)
{
	struct pgmap_client *client;
	pthread_t thread;
	struct pgmap_mapping *mapping = child_map(s, "/f", file_bytes, &client);
	for (size_t i = 0; i < THREADS; i++) {
		unsigned char *own = (unsigned char *)pgmap_mapping_address(mapping) + i * THREAD_BYTES;
		CHILD_CHECK(pthread_create(&thread, NULL, touch_for_ever, own) == 0);
	}
	while (threads_up < THREADS)
		(void)sched_yield();
	sys_say(said);
	sys_await(go);
}

/* Its pages get a new owner once it holds nothing, and that owner never sees one of its writes. */
static void c6_8_a_kill_of_many_threads_frees_nothing_early(void **state)
{
	(void)state;
	struct sys_child child = sys_spawn_heard(child_with_threads, &server);
	assert_int_equal(pgmap_unlink(watcher, "/f"), 0);
	assert_int_equal(kill(child.pid, SIGKILL), 0);
	sys_until_live(watcher, 0);
	struct pgmap_info info = sys_info(watcher);
	struct pgmap_mapping *all = sys_map(watcher, "/all", info.pages * 4096);
	const unsigned char *bytes = pgmap_mapping_address(all);
	for (uint64_t i = 0; i < info.pages * 4096; i += 512)
		assert_int_equal(bytes[i], 0);
	assert_int_equal(pgmap_unmap(all), 0);
	assert_int_equal(pgmap_unlink(watcher, "/all"), 0);
	(void)sys_wait_pid(child.pid);
	sys_close_child(&child);
}

/* An emulated machine ($SYS_EMULATED) takes a minute for 20,000. */
static unsigned many(void)
{
	return getenv("SYS_EMULATED") ? 1000 : 20000;
}

static void child_with_many_mappings(const struct sys_server *s, int said, int go)
{
	const unsigned granules = granule > MIB ? 16 : 1000;
	struct pgmap_client *client;
	struct pgmap_file *file;
	struct pgmap_mapping *mapping;
	CHILD_CHECK(pgmap_connect(s->path, &client) == 0);
	CHILD_CHECK(pgmap_open(client, "/many", PGMAP_O_CREATE, &file) == 0);
	CHILD_CHECK(pgmap_truncate(file, granules * granule) == 0);
	for (unsigned i = 0; i < many(); i++) {
		CHILD_CHECK(pgmap_map(file, i % granules * granule, granule, RW, &mapping) == 0);
		*(volatile char *)pgmap_mapping_address(mapping) = 1;
	}
	sys_say(said);
	sys_await(go);
}

static void c7_2_many_mappings_end_with_their_process(void **state)
{
	(void)state;
	struct sys_child child = sys_spawn_heard(child_with_many_mappings, &server);
	assert_int_equal(sys_who(watcher, "/many", child.pid).rows, many());
	sys_kill_child(&child);
	sys_until_live(watcher, 0);
	assert_int_equal(sys_who(watcher, "/many", 0).rows, 0);
	assert_int_equal(pgmap_unlink(watcher, "/many"), 0);
}

/* A child by vfork's rules: its maker stands still until it is killed, and the address space stays behind. The child runs
 * on its maker's stack and thread-local storage, so it makes bare system calls and nothing else. */
__attribute__((no_sanitize("thread"))) static void share_address_space(int said, int go)
{
	char byte;
	if (syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, NULL) != 0)
		return;
	(void)syscall(SYS_prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0);
	(void)syscall(SYS_write, said, "x", 1);
	(void)syscall(SYS_read, go, &byte, 1);
	(void)syscall(SYS_exit_group, 0);
}

static void child_that_shares_its_address_space(const struct sys_server *s, int said, int go)
{
	struct pgmap_client *client;
	(void)child_map(s, "/f", file_bytes, &client);
	share_address_space(said, go);
	_exit(93); /* it should have been killed in there */
}

static void c7_2_another_process_with_the_address_space_keeps_the_holder(void **state)
{
	(void)state;
	struct sys_child child = sys_spawn_heard(child_that_shares_its_address_space, &server);
	assert_int_equal(kill(child.pid, SIGKILL), 0);
	(void)sys_wait_pid(child.pid);
	assert_never_reused();
	assert_int_equal(sys_who(watcher, NULL, child.pid).refs > 0, 1);
	sys_go_on(&child);
	sys_until_live(watcher, 0);
	sys_close_child(&child);
}

/* A close of the connection's socket by mistake: disconnected, still mapping, and nothing else. */
static void child_with_a_stray_close(const struct sys_server *s, int said, int go)
{
	struct pgmap_client *client;
	struct pgmap_info info;
	struct pgmap_mapping *mapping = child_map(s, "/f", file_bytes, &client);
	for (int fd = 3; fd < 256; fd++) {
		struct stat st;
		if (fd != said && fd != go && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
			(void)close(fd);
	}
	CHILD_CHECK(pgmap_info(client, &info) == -EPIPE);
	sys_say(said);
	sys_await(go);
	CHILD_CHECK(*(unsigned char *)pgmap_mapping_address(mapping) == 0x5a);
	CHILD_CHECK(pgmap_unmap(mapping) == 0);
	CHILD_CHECK(pgmap_disconnect(client) == 0);
	sys_say(said);
	sys_await(go);
}

static void c7_3_a_stray_close_frees_nothing(void **state)
{
	(void)state;
	struct sys_child child = sys_spawn_heard(child_with_a_stray_close, &server);
	sys_until_state(watcher, child.pid, PGMAP_WHO_MAPPING);
	assert_never_reused();
	sys_go_on(&child);
	sys_heard(&child);
	sys_until_live(watcher, 0); /* though the process lives */
	sys_until_state(watcher, child.pid, 0);
	sys_kill_child(&child);
}

static void a_mapping_outlives_its_connection(void **state)
{
	(void)state;
	struct pgmap_client *client = sys_connect(&server);
	struct pgmap_mapping *mapping = sys_map(client, "/f", file_bytes);
	struct pgmap_mapping *other = sys_map(client, "/other", 4096);
	assert_int_equal(pgmap_disconnect(client), 0);
	sys_until_state(watcher, getpid(), PGMAP_WHO_MAPPING);
	memset(pgmap_mapping_address(mapping), 1, file_bytes);
	assert_int_equal(pgmap_pin(mapping, 0, 1, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unmap(mapping), -EBUSY);
	assert_int_equal(pgmap_unpin(mapping, 0, 1, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(sys_info(watcher).live_pages,
			 FILE_PAGES + granule / PAGE); /* nobody has told the server of the one */
	assert_int_equal(pgmap_unmap(other), 0);
	sys_until_live(watcher, 0);
	assert_int_equal(pgmap_unlink(watcher, "/f"), 0);
	assert_int_equal(pgmap_unlink(watcher, "/other"), 0);
}

static void child_with_remote_pins(const struct sys_server *s, int said, int go)
{
	struct pgmap_client *client;
	struct pgmap_mapping *mapping = child_map(s, "/f", 3 * unit, &client);
	CHILD_CHECK(pgmap_pin(mapping, 0, 1, PGMAP_PIN_REMOTE) == 0); /* of two folios, 2 units and 1: the first */
	CHILD_CHECK(pgmap_pin(mapping, 2 * unit, 1, PGMAP_PIN_LOCAL) == 0); /* ends with the process */
	sys_say(said);
	sys_await(go);
}

static void c7_5_remote_pins_of_the_dead_are_quarantined_until_fenced(void **state)
{
	(void)state;
	struct sys_child child = sys_spawn_heard(child_with_remote_pins, &server);
	sys_kill_child(&child);
	sys_until_state(watcher, child.pid, PGMAP_WHO_QUARANTINED);
	struct sys_who who = sys_who(watcher, "/f", child.pid);
	assert_int_equal(who.rows, 1);
	assert_int_equal(who.pages, FILE_PAGES);
	assert_int_equal(who.pins_remote, 1);
	assert_int_equal(sys_info(watcher).live_pages, FILE_PAGES);
	assert_int_equal(sys_info(watcher).quarantined_pages, FILE_PAGES);
	assert_int_equal(sys_info(watcher).holders, 2);
	struct pgmap_mapping *mapping;
	assert_int_equal(pgmap_open_map(watcher, "/f", 0, 0, RW, &mapping), -EBUSY);
	assert_never_reused();
	assert_string_equal(sys_who(watcher, NULL, child.pid).path, "");
	assert_int_equal(pgmap_drain_pool(watcher, 0), -ETIMEDOUT);
	assert_int_equal(pgmap_drain_cancel(watcher), 0);
	assert_int_equal(pgmap_fence(watcher, who.holder_id), 0);
	assert_int_equal(sys_info(watcher).live_pages, 0);
	assert_int_equal(sys_info(watcher).waiting, 0);
	assert_int_equal(sys_info(watcher).holders, 1);
	assert_int_equal(pgmap_fence(watcher, who.holder_id), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(c7_2_a_killed_process_holds_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(c7_3_a_forked_child_that_still_maps_keeps_the_holder, setup, teardown),
		cmocka_unit_test_setup_teardown(c7_2_closing_all_descriptors_ends_nothing_that_is_mapped, setup,
						teardown),
		cmocka_unit_test_setup_teardown(c7_3_a_lease_that_was_sent_on_keeps_the_holder, setup, teardown),
		cmocka_unit_test_setup_teardown(c6_8_a_kill_of_many_threads_frees_nothing_early, setup, teardown),
		cmocka_unit_test_setup_teardown(c7_2_many_mappings_end_with_their_process, setup, teardown),
		cmocka_unit_test_setup_teardown(c7_2_another_process_with_the_address_space_keeps_the_holder, setup,
						teardown),
		cmocka_unit_test_setup_teardown(c7_3_a_stray_close_frees_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_mapping_outlives_its_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(c7_5_remote_pins_of_the_dead_are_quarantined_until_fenced, setup,
						teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
