/* SPDX-License-Identifier: BSD-3-Clause */
/* server_server.c - server_run(), in a process of its own each time: its start, its signals, its end, what it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pgmap/fsdax.h>
#include <pgmap/pgmap.h>

#include "server/protocol.h"
#include "server/server.h"

static char dir[64], path[96], lock_path[104];
static pid_t pid;
static int said_fd, ready_fd;

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/pgmap-server-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/s", dir);
	(void)snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(access(path, F_OK), -1); /* a server that has ended leaves no name */
	(void)unlink(lock_path);
	return rmdir(dir);
}

static void serve(struct server_options options, bool bare)
{
	static const struct rlimit few = {.rlim_cur = 64, .rlim_max = 128};
	int said[2], ready[2];
	assert_int_equal(pipe2(said, O_CLOEXEC), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)setrlimit(RLIMIT_NOFILE, &few);
		(void)dup2(said[1], STDERR_FILENO);
		for (int fd = 0; bare && fd <= STDERR_FILENO; fd++)
			(void)close(fd);
		options.ready_fd = ready[1];
		_exit(server_run(&options));
	}
	assert_int_equal(close(said[1]) | close(ready[1]), 0);
	said_fd = said[0];
	ready_fd = ready[0];
}

static struct server_options options(bool quiet)
{
	static const char *const device = "memfd:size=4M,page=4K";
	return (struct server_options){.devices = &device, .ndevices = 1, .socket_path = path, .quiet = quiet};
}

/* True: it serves; false: it has ended instead. */
static bool is_ready(void)
{
	char bytes[2];
	bool ready = read(ready_fd, bytes, 1) == 1;
	assert_int_equal(read(ready_fd, bytes, 2), 0); /* one byte, and closed */
	assert_int_equal(close(ready_fd), 0);
	return ready;
}

static int exit_code(void)
{
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* All that it said. */
static const char *said(void)
{
	static char text[4096];
	size_t at = 0;
	for (ssize_t n; (n = read(said_fd, text + at, sizeof(text) - 1 - at)) > 0;)
		at += (size_t)n;
	text[at] = 0;
	assert_int_equal(close(said_fd), 0);
	return text;
}

static void assert_one_line(const char *text, const char *begins)
{
	assert_memory_equal(text, begins, strlen(begins));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	assert_true(strlen(text) > strlen(begins) + 4);
}

/* A socket to it; its reads wait. */
static int dial(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void say(int fd, enum proto_type type, uint32_t flags)
{
	struct proto_req req = {.magic = PROTO_MAGIC, .version = PROTO_VERSION, .type = (uint16_t)type, .flags = flags};
	if (type == PROTO_OPEN_MAP)
		(void)snprintf(req.path, sizeof(req.path), "/f");
	req.len_bytes = 4096;
	req.prot = 1;
	req.timeout_ms = -1;
	assert_int_equal(send(fd, &req, sizeof(req), MSG_NOSIGNAL), sizeof(req));
}

static int hear(int fd, enum proto_type type)
{
	struct proto_rep rep;
	assert_int_equal(recv(fd, &rep, sizeof(rep), 0), sizeof(rep));
	assert_int_equal(rep.type, type);
	return rep.error;
}

static int ask(int fd, enum proto_type type, uint32_t flags)
{
	say(fd, type, flags);
	return hear(fd, type);
}

static int control(void)
{
	int fd = dial();
	assert_int_equal(ask(fd, PROTO_HELLO, PROTO_HELLO_CONTROL), 0);
	return fd;
}

/* A client that maps a page, to the pool at least: its lease is closed when the socket's buffer is. */
static int holder(void)
{
	int fd = dial();
	assert_int_equal(ask(fd, PROTO_HELLO, 0), 0); /* the descriptors were not taken: they are gone */
	assert_int_equal(ask(fd, PROTO_OPEN_MAP, FSDAX_CREATE), 0);
	return fd;
}

static void assert_hung_up(int fd)
{
	char byte;
	assert_true(recv(fd, &byte, 1, 0) <= 0);
	assert_int_equal(close(fd), 0);
}

static void a_drain_ends_it_with_0_and_hangs_up_on_all(void **state)
{
	(void)state;
	serve(options(false), false);
	assert_true(is_ready());
	int silent = dial(), idle = control(), fd = control();
	assert_int_equal(ask(fd, PROTO_DRAIN, 0), 0);
	assert_int_equal(exit_code(), 0);
	assert_hung_up(fd);
	assert_hung_up(idle);
	assert_hung_up(silent);
	char text[4096];
	(void)snprintf(text, sizeof(text), "%s", said());
	char *event = strchr(text, '\n') + 1;
	assert_memory_equal(event, "pgmapd: event=drain holder=0 pid=", 33); /* and who asked for it */
	*event = 0;
	assert_one_line(text, "pgmapd: ready: memfd:size=4194304,page=4K: 4 MiB, page 4 KiB, socket ");
	assert_non_null(strstr(text, path));
}

static void a_signal_drains_and_says_nothing_when_quiet(void **state)
{
	(void)state;
	static const int signals[] = {SIGTERM, SIGINT};
	for (int i = 0; i < 2; i++) {
		serve(options(true), false);
		assert_true(is_ready());
		assert_int_equal(kill(pid, signals[i]), 0);
		assert_int_equal(exit_code(), 0);
		assert_string_equal(said(), "");
	}
}

static uint32_t state_of(int fd)
{
	struct proto_rep rep;
	say(fd, PROTO_INFO, 0);
	assert_int_equal(recv(fd, &rep, sizeof(rep), 0), sizeof(rep));
	return rep.u.info.state;
}

static void until_state(int fd, uint32_t want)
{
	while (state_of(fd) != want)
		;
}

static void a_second_signal_ends_it_at_once_with_1(void **state)
{
	(void)state;
	serve(options(false), false);
	assert_true(is_ready());
	int fd = holder(), other = control();
	assert_int_equal(kill(pid, SIGTERM), 0);
	until_state(other, PGMAP_DYING);
	assert_int_equal(kill(pid, SIGINT), 0);
	assert_int_equal(exit_code(), 1);
	assert_hung_up(fd);
	assert_hung_up(other);
	const char *text = said();
	assert_non_null(strstr(text, "pgmapd: draining: waiting for "));
	assert_non_null(strstr(text, "pgmapd: second signal: "));
}

static void a_drain_that_is_cancelled_takes_the_signal_back(void **state)
{
	(void)state;
	serve(options(true), false);
	assert_true(is_ready());
	int fd = holder(), other = control();
	for (int again = 0; again < 3; again++) {
		assert_int_equal(kill(pid, SIGTERM), 0);
		until_state(other, PGMAP_DYING);
		assert_int_equal(ask(other, PROTO_DRAIN_CANCEL, 0), 0);
		assert_int_equal(state_of(other), PGMAP_LIVE);
	}
	assert_int_equal(kill(pid, SIGTERM), 0);
	until_state(other, PGMAP_DYING);
	assert_int_equal(close(fd), 0); /* the holder goes: that was all */
	assert_int_equal(exit_code(), 0);
	assert_hung_up(other);
	assert_string_equal(said(), "");
}

static void what_cannot_start_says_one_line_and_leaves_no_socket(void **state)
{
	(void)state;
	struct server_options bad = options(false);
	static const char *const odd = "memfd:size=5000";
	bad.devices = &odd;
	serve(bad, false);
	assert_false(is_ready());
	assert_int_equal(exit_code(), 1);
	assert_one_line(said(), "pgmapd: device: memfd:size=5000: ");
	assert_int_equal(access(path, F_OK), -1);
	bad = options(true); /* errors are said all the same */
	bad.socket_path = "";
	serve(bad, false);
	assert_false(is_ready());
	assert_int_equal(exit_code(), 1);
	assert_one_line(said(), "pgmapd: socket: path: ");
	serve(options(true), false);
	assert_true(is_ready());
	pid_t first = pid;
	int first_said = said_fd;
	serve(options(true), false); /* a second one */
	assert_false(is_ready());
	assert_int_equal(exit_code(), 1);
	const char *text = said();
	assert_one_line(text, "pgmapd: socket: ");
	assert_non_null(strstr(text, "in use by pid "));
	pid = first;
	said_fd = first_said;
	int fd = control(); /* the first one has noticed nothing */
	assert_int_equal(ask(fd, PROTO_DRAIN, 0), 0);
	assert_int_equal(exit_code(), 0);
	assert_hung_up(fd);
	assert_string_equal(said(), "");
}

static void proc_text(const char *name, char *text, size_t bytes)
{
	char at[64];
	(void)snprintf(at, sizeof(at), "/proc/%ld/%s", (long)pid, name);
	int fd = open(at, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	ssize_t n = read(fd, text, bytes - 1);
	assert_true(n > 0);
	text[n] = 0;
	assert_int_equal(close(fd), 0);
}

static void it_makes_itself_at_home(void **state)
{
	(void)state;
	char text[8192], target[64];
	unsigned long long ignored = 0, blocked = 0;
	serve(options(true), true);
	assert_true(is_ready());
	for (int fd = 0; fd <= STDERR_FILENO; fd++) { /* the device is none of these */
		char at[64];
		(void)snprintf(at, sizeof(at), "/proc/%ld/fd/%d", (long)pid, fd);
		ssize_t n = readlink(at, target, sizeof(target) - 1);
		assert_true(n > 0);
		target[n] = 0;
		assert_string_equal(target, "/dev/null");
	}
	proc_text("status", text, sizeof(text));
	const char *line = strstr(text, "SigIgn:");
	assert_non_null(line);
	assert_int_equal(sscanf(line, "SigIgn: %llx", &ignored), 1);
	line = strstr(text, "SigBlk:");
	assert_non_null(line);
	assert_int_equal(sscanf(line, "SigBlk: %llx", &blocked), 1);
	assert_true(ignored >> (SIGPIPE - 1) & 1);
	assert_true((blocked >> (SIGTERM - 1) & 1) && (blocked >> (SIGINT - 1) & 1));
	unsigned soft = 0;
	proc_text("limits", text, sizeof(text));
	line = strstr(text, "Max open files");
	assert_non_null(line);
	assert_int_equal(sscanf(line, "Max open files %u", &soft), 1);
	assert_int_equal(soft, 128); /* as many descriptors as it may have */
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(exit_code(), 0);
	assert_int_equal(close(said_fd), 0);
}

/* More than one round of events takes, all of which have something to say when it looks. */
static void many_clients_at_once_all_get_their_answers(void **state)
{
	(void)state;
	enum { CLIENTS = 90 };
	int fds[CLIENTS];
	serve(options(true), false);
	assert_true(is_ready());
	for (int i = 0; i < CLIENTS; i++)
		fds[i] = control();
	assert_int_equal(kill(pid, SIGSTOP), 0);
	for (int i = 0; i < CLIENTS; i++)
		say(fds[i], PROTO_INFO, 0);
	assert_int_equal(kill(pid, SIGCONT), 0);
	for (int i = 0; i < CLIENTS; i++)
		assert_int_equal(hear(fds[i], PROTO_INFO), 0);
	assert_int_equal(ask(fds[0], PROTO_DRAIN, 0), 0);
	assert_int_equal(exit_code(), 0);
	for (int i = 0; i < CLIENTS; i++)
		assert_hung_up(fds[i]);
	assert_string_equal(said(), "");
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_drain_ends_it_with_0_and_hangs_up_on_all),
		T(a_signal_drains_and_says_nothing_when_quiet),
		T(a_second_signal_ends_it_at_once_with_1),
		T(a_drain_that_is_cancelled_takes_the_signal_back),
		T(what_cannot_start_says_one_line_and_leaves_no_socket),
		T(it_makes_itself_at_home),
		T(many_clients_at_once_all_get_their_answers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
