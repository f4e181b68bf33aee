/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * week_programs.c - programs with a mind of their own: that send their descriptor of the device on, handle SIGBUS
 * themselves, try to write through what is for reading, map parts of files that others make longer.
 */
#include "sys.h"

#include <setjmp.h>
#include <sys/syscall.h>

enum { PAGE = 4096, PAGES = 16, FILE_BYTES = PAGES * PAGE, RW = PGMAP_MAP_READ | PGMAP_MAP_WRITE };
#define POOL_BYTES (64 * MIB)

static struct sys_server server;
static struct pgmap_client *watcher;

static int setup(void **state)
{
	(void)state;
	watcher = sys_begin(&server);
	return 0;
}

/* At the end of each test: nothing is left, and the server ends. */
static void all_is_as_it_was(void)
{
	sys_until_live(watcher, 0);
	assert_int_equal(sys_info(watcher).used + sys_info(watcher).waiting, 0);
	sys_end(&server, watcher);
	server.pid = 0;
}

/* After a test that failed. */
static int teardown(void **state)
{
	(void)state;
	if (server.pid)
		sys_kill(&server);
	return 0;
}

/* All of the pool that is free gets a next owner, who writes it over. */
static void write_over_what_is_free(unsigned char what)
{
	uint64_t bytes = sys_info(watcher).free * PAGE;
	struct pgmap_mapping *rest = sys_map(watcher, "/rest", bytes);
	memset(pgmap_mapping_address(rest), what, bytes);
	assert_int_equal(pgmap_unmap(rest), 0);
	assert_int_equal(pgmap_unlink(watcher, "/rest"), 0);
}

/* The descriptors of the device in this process, by how they were opened. */
static unsigned device_fds(int *fds, unsigned most)
{
	struct stat st;
	unsigned n = 0;
	for (int fd = 3; fd < 64 && n < most; fd++)
		if (fstat(fd, &st) == 0 && (uint64_t)st.st_size == POOL_BYTES)
			fds[n++] = fd;
	return n;
}

/* Sent on. */

static int between[2]; /* from the client to the one that is none */

/* Where on the device a mapping lies: one of one piece. */
static off_t offset_on_device(const void *address)
{
	unsigned long from, to, offset;
	char line[512];
	off_t found = -1;
	FILE *maps = fopen("/proc/self/maps", "re");
	CHILD_CHECK(maps);
	while (found < 0 && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %*s %lx", &from, &to, &offset) == 3 && from <= (uintptr_t)address &&
		    (uintptr_t)address < to)
			found = (off_t)(offset + ((uintptr_t)address - from));
	(void)fclose(maps);
	return found;
}

/* Maps, sends its descriptor on, unmaps when it is told, and waits. */
static void child_sends_on(const struct sys_server *s, int said, int go)
{
	struct pgmap_client *client;
	struct pgmap_mapping *mapping;
	int fd;
	CHILD_CHECK(pgmap_connect(s->path, &client) == 0);
	CHILD_CHECK(device_fds(&fd, 1) == 1);
	CHILD_CHECK(pgmap_open_map(client, "/f", PGMAP_O_CREATE, FILE_BYTES, RW, &mapping) == 0);
	memset(pgmap_mapping_address(mapping), 'a', FILE_BYTES);
	off_t offset = offset_on_device(pgmap_mapping_address(mapping));
	CHILD_CHECK(sys_send_fd(between[1], &offset, sizeof(offset), fd) == sizeof(offset));
	sys_say(said);
	sys_await(go);
	CHILD_CHECK(pgmap_unmap(mapping) == 0);
	sys_say(said);
	sys_await(go);
}

/* No client: it has a descriptor, and the kernel. Each time that it is told to it says what it sees; at 'c' it lets go. */
static void child_is_sent(const struct sys_server *s, int said, int go)
{
	off_t offset;
	int fd;
	char command;
	(void)s;
	sys_receive_fds(between[0], &offset, sizeof(offset), &fd, 1);
	CHILD_CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset) == MAP_FAILED && errno == EACCES);
	char *bytes = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, fd, offset);
	CHILD_CHECK(bytes != MAP_FAILED);
	for (;;) {
		for (unsigned i = 1; i < FILE_BYTES; i++)
			CHILD_CHECK(bytes[i] == bytes[0]);
		CHILD_CHECK(write(said, bytes, 1) == 1);
		CHILD_CHECK(read(go, &command, 1) == 1);
		if (command == 'c')
			break;
	}
	CHILD_CHECK(munmap(bytes, FILE_BYTES) == 0);
	sys_say(said);
	sys_await(go); /* the descriptor is there still */
	CHILD_CHECK(close(fd) == 0);
	sys_say(said);
	sys_await(go);
}

static char seen_by(const struct sys_child *child)
{
	char byte;
	assert_int_equal(read(child->said, &byte, 1), 1);
	return byte;
}

static void send_on(struct sys_child *client, struct sys_child *other)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, between), 0);
	*client = sys_spawn_heard(child_sends_on, &server);
	*other = sys_spawn(child_is_sent, &server);
	assert_int_equal(seen_by(other), 'a');
	assert_int_equal(close(between[0]) | close(between[1]), 0);
}

static char looks_again(const struct sys_child *other)
{
	sys_go_on(other);
	return seen_by(other);
}

/* Nobody is a holder but who connected: its word ends the mapping, whoever else it let look. That one sees the next
 * owner's bytes, without a fault; nobody else is hurt. */
static void c7_4_a_live_holders_unmap_counts_for_those_it_sent_the_device_to(void **state)
{
	(void)state;
	struct sys_child client, other;
	send_on(&client, &other);
	write_over_what_is_free('n');
	assert_int_equal(looks_again(&other), 'a'); /* while it is mapped, nobody gets it */
	sys_go_on(&client);
	sys_heard(&client);
	assert_int_equal(sys_info(watcher).live_pages, 0);
	assert_int_equal(sys_who(watcher, NULL, 0).rows, 0);
	assert_int_equal(pgmap_unlink(watcher, "/f"), 0);
	uint64_t bytes = sys_info(watcher).free * PAGE;
	struct pgmap_mapping *next = sys_map(watcher, "/next", bytes);
	memset(pgmap_mapping_address(next), 'n', bytes);
	assert_int_equal(looks_again(&other), 'n');
	assert_int_equal(pgmap_unmap(next), 0);
	assert_int_equal(pgmap_unlink(watcher, "/next"), 0);
	sys_kill_child(&client);
	sys_kill_child(&other);
	all_is_as_it_was();
}

static uint64_t pages_in_use(void)
{
	struct pgmap_info info = sys_info(watcher);
	return info.used + info.waiting;
}

/* The dead say nothing: then the kernel's word counts, and it knows whom the device was sent to. */
static void c7_3_a_dead_holders_pages_wait_for_those_it_sent_the_device_to(void **state)
{
	(void)state;
	struct sys_child client, other;
	send_on(&client, &other);
	pid_t dead = client.pid;
	sys_kill_child(&client);
	sys_until_state(watcher, dead, PGMAP_WHO_MAPPING);
	assert_int_equal(pgmap_unlink(watcher, "/f"), 0);
	write_over_what_is_free('n');
	assert_int_equal(looks_again(&other), 'a');
	assert_int_equal(pages_in_use(), PAGES);
	assert_int_equal(write(other.go, "c", 1), 1); /* unmapped: the descriptor alone could be mapped again */
	sys_heard(&other);
	assert_int_equal(sys_who(watcher, NULL, dead).state, PGMAP_WHO_MAPPING);
	assert_int_equal(pages_in_use(), PAGES);
	sys_go_on(&other);
	sys_heard(&other); /* closed */
	sys_until_state(watcher, dead, 0);
	sys_kill_child(&other);
	all_is_as_it_was();
}

/* SIGBUS. */

static sigjmp_buf back;
static const void *volatile fault_at;

static void on_bus(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	fault_at = info->si_addr;
	siglongjmp(back, 1);
}

/* Of each signal: what is done, and how. */
struct actions {
	uintptr_t handler[NSIG];
	int flags[NSIG];
};

static void read_actions(struct actions *out)
{
	memset(out, 0, sizeof(*out));
	for (int i = 1; i < NSIG; i++) {
		struct sigaction action = {0};
		(void)sigaction(i, NULL, &action);
		out->handler[i] = (uintptr_t)action.sa_sigaction;
		out->flags[i] = action.sa_flags;
	}
}

static bool same_actions(const struct actions *a, const struct actions *b)
{
	for (int i = 1; i < NSIG; i++)
		if (a->handler[i] != b->handler[i] || a->flags[i] != b->flags[i])
			return false;
	return true;
}

/* Whatever the library does in between: what the program does with signals is the program's. */
static void use_the_library(struct pgmap_client *client)
{
	struct pgmap_mapping *a, *b;
	CHILD_CHECK(pgmap_open_map(client, "/a", PGMAP_O_CREATE, FILE_BYTES, RW, &a) == 0);
	CHILD_CHECK(pgmap_open_map(client, "/b", PGMAP_O_CREATE, FILE_BYTES, RW, &b) == 0);
	CHILD_CHECK(pgmap_pin(a, 0, FILE_BYTES, PGMAP_PIN_LOCAL) == 0);
	CHILD_CHECK(pgmap_unpin(a, 0, FILE_BYTES, PGMAP_PIN_LOCAL) == 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	CHILD_CHECK(waitpid(pid, NULL, 0) == pid);
	CHILD_CHECK(pgmap_unmap(a) == 0 && pgmap_unmap(b) == 0);
	CHILD_CHECK(pgmap_unlink(client, "/a") == 0 && pgmap_unlink(client, "/b") == 0);
}

static void child_handles_sigbus(const struct sys_server *s, int said, int go)
{
	static struct actions before, after;
	struct sigaction mine = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
	struct pgmap_client *client;
	struct pgmap_mapping *mapping;
	CHILD_CHECK(sigaction(SIGBUS, &mine, NULL) == 0);
	read_actions(&before);
	CHILD_CHECK(pgmap_connect(s->path, &client) == 0);
	use_the_library(client);
	CHILD_CHECK(pgmap_open_map(client, "/f", PGMAP_O_CREATE, FILE_BYTES, RW, &mapping) == 0);
	volatile char *bytes = pgmap_mapping_address(mapping);
	bytes[5] = 1;
	sys_say(said);
	sys_await(go); /* the device is cut short meanwhile */
	if (sigsetjmp(back, 1) == 0)
		for (;;)
			bytes[5] = 2;
	CHILD_CHECK(fault_at == &bytes[5]);
	CHILD_CHECK(pgmap_unmap(mapping) == 0);
	CHILD_CHECK(pgmap_unlink(client, "/f") == 0);
	CHILD_CHECK(pgmap_disconnect(client) == 0);
	read_actions(&after);
	CHILD_CHECK(same_actions(&before, &after));
	sys_say(said);
	sys_await(go);
}

static void child_leaves_sigbus_alone(const struct sys_server *s, int said, int go)
{
	struct pgmap_client *client;
	struct pgmap_mapping *mapping;
	(void)signal(SIGBUS, SIG_DFL); /* the test's framework has one */
	CHILD_CHECK(pgmap_connect(s->path, &client) == 0);
	CHILD_CHECK(pgmap_open_map(client, "/g", PGMAP_O_CREATE, FILE_BYTES, RW, &mapping) == 0);
	sys_say(said);
	sys_await(go);
	for (;;)
		*(volatile char *)pgmap_mapping_address(mapping) = 1;
}

/* A device that is a file, and somebody with the right to cut it short: the one thing that is a SIGBUS here. */
static void c7_10_a_programs_sigbus_is_its_own(void **state)
{
	(void)state;
	struct sys_server s;
	char spec[160], pool[112];
	sys_new_dir(&s);
	(void)snprintf(pool, sizeof(pool), "%s/pool", s.dir);
	(void)snprintf(spec, sizeof(spec), "file:%s,size=16M,create", pool);
	assert_true(sys_start_at(&s, spec));
	struct pgmap_client *client = sys_connect(&s);
	struct sys_child handles = sys_spawn_heard(child_handles_sigbus, &s);
	struct sys_child leaves = sys_spawn_heard(child_leaves_sigbus_alone, &s);
	/* What the server wipes meanwhile makes the file longer again: so again, until both have met it. */
	int status = 0;
	struct pollfd met = {.fd = handles.said, .events = POLLIN};
	sys_go_on(&leaves);
	sys_go_on(&handles);
	for (pid_t ended = 0; ended == 0 || poll(&met, 1, 0) == 0; (void)sched_yield()) {
		assert_int_equal(truncate(pool, 0), 0);
		if (ended == 0)
			ended = waitpid(leaves.pid, &status, WNOHANG);
	}
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	sys_heard(&handles);
	sys_go_on(&handles);
	assert_int_equal(sys_exit_code(handles.pid), 0);
	assert_int_equal(truncate(pool, 16 << 20), 0);
	sys_until_live(client, 0);
	assert_int_equal(pgmap_unlink(client, "/g"), 0);
	assert_int_equal(sys_info(client).free, sys_info(client).pages);
	sys_close_child(&handles);
	sys_close_child(&leaves);
	sys_end(&s, client);
	all_is_as_it_was();
}

/* Reading. */

static void child_only_reads(const struct sys_server *s, int said, int go)
{
	struct pgmap_client *client;
	struct pgmap_mapping *mapping;
	char byte = 'x';
	int fds[8];
	(void)said;
	(void)go;
	CHILD_CHECK(pgmap_connect(s->path, &client) == 0);
	CHILD_CHECK(pgmap_open_map(client, "/f", PGMAP_O_RDONLY, 0, PGMAP_MAP_READ, &mapping) == 0);
	CHILD_CHECK(device_fds(fds, 8) == 1);
	int fd = fds[0];
	CHILD_CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
	CHILD_CHECK(write(fd, &byte, 1) == -1 && errno == EBADF);
	CHILD_CHECK(pwrite(fd, &byte, 1, 0) == -1 && errno == EBADF);
	CHILD_CHECK(ftruncate(fd, 0) == -1 && errno == EINVAL);
	CHILD_CHECK(ftruncate(fd, 2 * POOL_BYTES) == -1 && errno == EINVAL);
	CHILD_CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE) == -1 && errno == EBADF);
	CHILD_CHECK(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
	CHILD_CHECK(fcntl(fd, F_SETFL, O_RDWR) == 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
	char *bytes = pgmap_mapping_address(mapping);
	CHILD_CHECK(mprotect(bytes, PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
	CHILD_CHECK(madvise(bytes, PAGE, MADV_REMOVE) == -1);
	for (unsigned i = 0; i < FILE_BYTES; i++)
		CHILD_CHECK(bytes[i] == 'f');
	CHILD_CHECK(pgmap_unmap(mapping) == 0);
	CHILD_CHECK(pgmap_disconnect(client) == 0);
}

static void a_reader_has_nothing_that_can_be_written_through(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = sys_map(watcher, "/f", FILE_BYTES);
	memset(pgmap_mapping_address(mapping), 'f', FILE_BYTES);
	struct sys_child child = sys_spawn(child_only_reads, &server);
	assert_int_equal(sys_exit_code(child.pid), 0);
	sys_close_child(&child);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_unlink(watcher, "/f"), 0);
	all_is_as_it_was();
}

/* Parts, and growth. */

static void assert_pages(const struct pgmap_mapping *mapping, unsigned first, unsigned n)
{
	const unsigned char *bytes = pgmap_mapping_address(mapping);
	assert_int_equal(pgmap_mapping_bytes(mapping), (uint64_t)n * PAGE);
	for (unsigned i = 0; i < n * PAGE; i++)
		assert_int_equal(bytes[i], first + i / PAGE < PAGES ? first + i / PAGE + 1 : 0);
}

static void part_of_a_file_stays_as_it_is_while_the_file_grows(void **state)
{
	(void)state;
	struct pgmap_client *other = sys_connect(&server);
	struct pgmap_mapping *all = sys_map(other, "/f", FILE_BYTES), *part, *tail;
	struct pgmap_file *file, *others;
	for (unsigned i = 0; i < PAGES; i++)
		memset((char *)pgmap_mapping_address(all) + (uint64_t)i * PAGE, (int)i + 1, PAGE);
	assert_int_equal(pgmap_open(watcher, "/f", 0, &file), 0);
	assert_int_equal(pgmap_open(other, "/f", 0, &others), 0);
	assert_int_equal(pgmap_map(file, 3 * PAGE, 5 * PAGE, RW, &part), 0);
	assert_pages(part, 3, 5);
	assert_int_equal(pgmap_map(file, 3 * PAGE, FILE_BYTES, RW, &tail), -ERANGE);
	const void *address = pgmap_mapping_address(part);
	for (unsigned times = 2; times <= 64; times *= 2) {
		assert_int_equal(pgmap_truncate(others, (uint64_t)times * FILE_BYTES), 0);
		assert_ptr_equal(pgmap_mapping_address(part), address);
		assert_pages(part, 3, 5);
		assert_pages(all, 0, PAGES);
		assert_int_equal(pgmap_map(file, 3 * PAGE, 0, RW, &tail), 0);
		assert_pages(tail, 3, times * PAGES - 3);
		assert_int_equal(pgmap_unmap(tail), 0);
	}
	/* One file, whoever maps which part of it. */
	((char *)pgmap_mapping_address(all))[(uint64_t)4 * PAGE] = 'z';
	assert_int_equal(((char *)pgmap_mapping_address(part))[PAGE], 'z');
	assert_int_equal(pgmap_unmap(part) | pgmap_unmap(all) | pgmap_close(file) | pgmap_close(others), 0);
	assert_int_equal(pgmap_unlink(watcher, "/f"), 0);
	assert_int_equal(pgmap_disconnect(other), 0);
	all_is_as_it_was();
}

/* errno. */

static void the_calls_of_the_data_path_leave_errno_alone(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = sys_map(watcher, "/f", FILE_BYTES);
	errno = 4711;
	assert_int_equal(pgmap_pin(mapping, 0, FILE_BYTES, PGMAP_PIN_REMOTE), 0);
	assert_int_equal(pgmap_pin(mapping, 0, 0, PGMAP_PIN_LOCAL), -EINVAL);
	assert_int_equal(pgmap_unpin(mapping, 0, PAGE, PGMAP_PIN_LOCAL), -EINVAL);
	assert_int_equal(pgmap_unpin(mapping, 0, FILE_BYTES, PGMAP_PIN_REMOTE), 0);
	assert_non_null(pgmap_mapping_address(mapping));
	assert_int_equal(pgmap_mapping_bytes(mapping), FILE_BYTES);
	assert_int_equal(errno, 4711);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_unlink(watcher, "/f"), 0);
	all_is_as_it_was();
}

int main(void)
{
#define A_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		A_TEST(c7_4_a_live_holders_unmap_counts_for_those_it_sent_the_device_to),
		A_TEST(c7_3_a_dead_holders_pages_wait_for_those_it_sent_the_device_to),
		A_TEST(c7_10_a_programs_sigbus_is_its_own),
		A_TEST(a_reader_has_nothing_that_can_be_written_through),
		A_TEST(part_of_a_file_stays_as_it_is_while_the_file_grows),
		A_TEST(the_calls_of_the_data_path_leave_errno_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
