/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sys.h - for whole-path tests: a real server process ($PGMAPD), child processes that report through a pipe, and questions
 * that are asked again until the answer is there (never a sleep; the test runner's timeout is the only clock).
 */
#ifndef PGMAP_TESTS_SYSTEM_SYS_H
#define PGMAP_TESTS_SYSTEM_SYS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pgmap/client.h>
#include <pgmap/pgmap.h>

#include "server/protocol.h"

#define MIB (UINT64_C(1) << 20)

/* The analyser does not know that cmocka's asserts do not return. */
static inline const char *sys_env(const char *name)
{
	const char *value = getenv(name);
	if (!value) {
		(void)fprintf(stderr, "%s is not set: run through meson test\n", name);
		exit(1);
	}
	return value;
}

static inline void *sys_cmsg_data(struct msghdr *msg)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	if (!cmsg)
		abort();
	return CMSG_DATA(cmsg);
}

/* These bytes with one descriptor; what sendmsg() answers. */
static inline ssize_t sys_send_fd(int socket, void *bytes, size_t len, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = bytes, .iov_len = len};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	control.align = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.align), &fd, sizeof(int));
	return sendmsg(socket, &msg, 0);
}

/* A message of exactly these bytes with nfds descriptors. */
static inline void sys_receive_fds(int socket, void *bytes, size_t len, int *fds, size_t nfds)
{
	union {
		char bytes[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = bytes, .iov_len = len};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	assert_int_equal(recvmsg(socket, &msg, MSG_CMSG_CLOEXEC), len);
	const void *data = sys_cmsg_data(&msg);
	assert_int_equal(control.align.cmsg_len, CMSG_LEN(nfds * sizeof(int)));
	memcpy(fds, data, nfds * sizeof(int));
}

struct sys_server {
	char dir[64];
	char path[96];
	pid_t pid;
	int err_fd; /* its stderr, to be read */
};

static inline void sys_new_dir(struct sys_server *server)
{
	const char *parent = getenv("SYS_DIR");
	(void)snprintf(server->dir, sizeof(server->dir), "%s/pgmap-test-XXXXXX", parent ? parent : "/tmp");
	assert_non_null(mkdtemp(server->dir));
	(void)snprintf(server->path, sizeof(server->path), "%s/s", server->dir);
}

/* What a server's process does before it becomes one; or null. */
static void (*sys_in_server)(void);

/* The server's arguments for a device: its spec, or several and a layout, with bars in between. */
static inline void sys_run_server(const struct sys_server *server, const char *device, const char *ready_fd)
{
	char text[256], *bar;
	const char *args[24] = {"pgmapd", "--socket", server->path, "--ready-fd", ready_fd};
	unsigned n = 5;
	(void)snprintf(text, sizeof(text), "%s", device);
	for (char *at = text; at && n < 20; at = bar) {
		bar = strchr(at, '|');
		if (bar)
			*bar++ = 0;
		args[n++] = bar || at == text ? "--device" : "--layout";
		args[n++] = at;
	}
	(void)execv(sys_env("PGMAPD"), (char *const *)(uintptr_t)args);
	_exit(127);
}

/* A server on a socket; true once clients may connect, false when it ended instead. */
static inline bool sys_start_at(struct sys_server *server, const char *device)
{
	int ready[2], errors[2];
	char fd_text[16], byte;
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe2(errors, O_CLOEXEC), 0);
	server->pid = fork();
	if (server->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)close(ready[0]);
		(void)dup2(errors[1], STDERR_FILENO);
		if (sys_in_server)
			sys_in_server();
		(void)snprintf(fd_text, sizeof(fd_text), "%d", ready[1]);
		sys_run_server(server, device, fd_text);
	}
	(void)close(ready[1]);
	(void)close(errors[1]);
	server->err_fd = errors[0];
	bool is_ready = read(ready[0], &byte, 1) == 1;
	(void)close(ready[0]);
	return is_ready;
}

static inline void sys_start(struct sys_server *server, const char *device)
{
	sys_new_dir(server);
	assert_true(sys_start_at(server, device));
}

static inline int sys_wait_pid(pid_t pid)
{
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static inline int sys_exit_code(pid_t pid)
{
	int status = sys_wait_pid(pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* All that it said, after it ended. */
static inline void sys_errors(struct sys_server *server, char *buf, size_t buf_bytes)
{
	size_t at = 0;
	for (ssize_t n; at + 1 < buf_bytes && (n = read(server->err_fd, buf + at, buf_bytes - 1 - at)) > 0;)
		at += (size_t)n;
	buf[at] = 0;
}

static inline void sys_remove_dir(struct sys_server *server)
{
	char lock[112], pool[112];
	(void)snprintf(lock, sizeof(lock), "%s.lock", server->path);
	(void)snprintf(pool, sizeof(pool), "%s/pool", server->dir);
	(void)unlink(pool);
	(void)unlink(server->path);
	(void)unlink(lock);
	(void)rmdir(server->dir);
	(void)close(server->err_fd);
}

static inline struct pgmap_client *sys_connect(const struct sys_server *server)
{
	struct pgmap_client *client;
	assert_int_equal(pgmap_connect(server->path, &client), 0);
	return client;
}

/* The end of a test: nobody holds anything, so a drain ends the server, with no leak that a sanitizer would report. */
static inline void sys_stop(struct sys_server *server)
{
	struct pgmap_client *client = sys_connect(server);
	assert_int_equal(pgmap_drain_pool(client, -1), 0);
	assert_int_equal(pgmap_disconnect(client), 0);
	assert_int_equal(sys_exit_code(server->pid), 0);
	sys_remove_dir(server);
}

static inline bool sys_has_two_devices(void)
{
	const char *kind = getenv("SYS_DEVICE");
	return kind && (strcmp(kind, "linear") == 0 || strncmp(kind, "stripe:", 7) == 0 || strcmp(kind, "mixed") == 0);
}

/* A device of 64 MiB: as $SYS_DEVICE says, "file", one in the server's folder (in $SYS_DIR), "hugetlb", in pages of 2 MiB,
 * a layout, two of plain memory together, "mixed", one of plain memory and one in pages of 2 MiB, or a whole spec; without it plain memory. */
static inline void sys_device(const struct sys_server *server, char *spec, size_t spec_bytes)
{
	const char *kind = getenv("SYS_DEVICE");
	if (!kind)
		(void)snprintf(spec, spec_bytes, "memfd:size=64M,page=4K");
	else if (strcmp(kind, "file") == 0)
		(void)snprintf(spec, spec_bytes, "file:%s/pool,size=64M,create", server->dir);
	else if (strcmp(kind, "mixed") == 0)
		(void)snprintf(spec, spec_bytes, "memfd:size=32M,page=4K|hugetlb:size=32M,page=2M|linear");
	else if (sys_has_two_devices())
		(void)snprintf(spec, spec_bytes, "memfd:size=32M,page=4K|memfd:size=32M,page=4K|%s", kind);
	else if (strchr(kind, ':'))
		(void)snprintf(spec, spec_bytes, "%s", kind);
	else
		(void)snprintf(spec, spec_bytes, "%s:size=64M,page=2M", kind);
}

/* Whether this descriptor is of the device that sys_device() says. */
static inline bool sys_is_device(int fd)
{
	const char *kind = getenv("SYS_DEVICE"), *path = kind ? strchr(kind, ':') : NULL;
	struct stat st, node;
	if (fstat(fd, &st) != 0)
		return false;
	if (path && stat(path + 1, &node) == 0 && (S_ISCHR(node.st_mode) || S_ISBLK(node.st_mode)))
		return (st.st_mode & S_IFMT) == (node.st_mode & S_IFMT) && st.st_rdev == node.st_rdev;
	return S_ISREG(st.st_mode) && st.st_size == (sys_has_two_devices() ? 32 << 20 : 64 << 20);
}

/* A server of 64 MiB, and a client of it to look and to ask. */
static inline struct pgmap_client *sys_begin(struct sys_server *server)
{
	char device[128];
	sys_new_dir(server);
	sys_device(server, device, sizeof(device));
	assert_true(sys_start_at(server, device));
	return sys_connect(server);
}

static inline void sys_end(struct sys_server *server, struct pgmap_client *client)
{
	assert_int_equal(pgmap_disconnect(client), 0);
	sys_stop(server);
}

/* The client of a suite that runs on whatever $SUITE_TARGET names: "socket", a server of its own; "embedded", a pool on the
 * device that sys_device() says; or an embedded pool. */
struct sys_suite {
	struct sys_server server; /* its pid is 0 when embedded */
	struct pgmap_client *client;
};

static inline int sys_suite_begin(struct sys_suite *suite)
{
	const char *target = sys_env("SUITE_TARGET");
	char own[160] = "embedded:";
	*suite = (struct sys_suite){.server = {.err_fd = -1}};
	if (strcmp(target, "embedded") == 0) {
		sys_new_dir(&suite->server);
		sys_device(&suite->server, own + strlen(own), sizeof(own) - strlen(own));
		target = own;
	}
	if (strcmp(target, "socket") != 0)
		return pgmap_connect(target, &suite->client);
	suite->client = sys_begin(&suite->server);
	return 0;
}

static inline int sys_suite_end(struct sys_suite *suite)
{
	if (!suite->server.pid) {
		int err = pgmap_disconnect(suite->client);
		if (suite->server.dir[0])
			sys_remove_dir(&suite->server);
		return err;
	}
	sys_end(&suite->server, suite->client);
	return 0;
}

static inline void sys_kill(struct sys_server *server)
{
	assert_int_equal(kill(server->pid, SIGKILL), 0);
	(void)sys_wait_pid(server->pid);
}

/* A child that reports by bytes, and ends when the parent closes its end of go (or kills it). */
struct sys_child {
	pid_t pid;
	int said; /* read here what it says */
	int go;   /* write here to let it go on */
};

static inline void sys_say(int fd)
{
	if (write(fd, "x", 1) != 1)
		_exit(90);
}

static inline void sys_await(int fd)
{
	char byte;
	if (read(fd, &byte, 1) != 1)
		_exit(91);
}

/* For the parent: its child has said that it got there. */
static inline void sys_heard(const struct sys_child *child)
{
	char byte;
	assert_int_equal(read(child->said, &byte, 1), 1);
}

static inline struct sys_child sys_spawn(void (*fn)(const struct sys_server *server, int said, int go),
					 const struct sys_server *server)
{
	int said[2], go[2];
	struct sys_child child;
	assert_int_equal(pipe2(said, O_CLOEXEC), 0);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	child.pid = fork();
	assert_true(child.pid >= 0);
	if (child.pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)close(said[0]);
		(void)close(go[1]);
		fn(server, said[1], go[0]);
		_exit(0);
	}
	(void)close(said[1]);
	(void)close(go[0]);
	child.said = said[0];
	child.go = go[1];
	return child;
}

/* Spawned, and got to where it says so. */
static inline struct sys_child sys_spawn_heard(void (*fn)(const struct sys_server *server, int said, int go),
					       const struct sys_server *server)
{
	struct sys_child child = sys_spawn(fn, server);
	sys_heard(&child);
	return child;
}

static inline void sys_go_on(const struct sys_child *child)
{
	assert_int_equal(write(child->go, "x", 1), 1);
}

static inline void sys_close_child(const struct sys_child *child)
{
	(void)close(child->said);
	(void)close(child->go);
}

static inline void sys_kill_child(const struct sys_child *child)
{
	assert_int_equal(kill(child->pid, SIGKILL), 0);
	(void)sys_wait_pid(child->pid);
	sys_close_child(child);
}

/* In children, where cmocka's asserts cannot be used. */
#define CHILD_CHECK(what)                                                                                              \
	do {                                                                                                           \
		if (!(what)) {                                                                                         \
			(void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                               \
			_exit(92);                                                                                     \
		}                                                                                                      \
	} while (0)

static inline struct pgmap_info sys_info(struct pgmap_client *client)
{
	struct pgmap_info info;
	assert_int_equal(pgmap_info(client, &info), 0);
	assert_int_equal(info.used + info.free + info.waiting, info.pages);
	return info;
}

struct sys_who {
	unsigned rows;
	uint64_t refs, pins_local, pins_remote, pages, holder_id;
	unsigned state; /* of the last row */
	char path[1024];
};

struct sys_who_filter {
	struct sys_who *who;
	pid_t pid;
};

static inline int sys_who_row(void *arg, const struct pgmap_who *row)
{
	struct sys_who_filter *filter = arg;
	struct sys_who *who = filter->who;
	if (filter->pid && row->pid != filter->pid)
		return 0;
	who->rows++;
	who->refs += row->refs;
	who->pages += row->pages;
	who->pins_local += row->pins_local;
	who->pins_remote += row->pins_remote;
	who->holder_id = row->holder_id;
	who->state = row->state;
	(void)snprintf(who->path, sizeof(who->path), "%s", row->path);
	return 0;
}

/* pid 0: everybody */
static inline struct sys_who sys_who(struct pgmap_client *client, const char *path, pid_t pid)
{
	struct sys_who who = {0};
	struct sys_who_filter filter = {&who, pid};
	assert_int_equal(pgmap_who(client, path, sys_who_row, &filter), 0);
	return who;
}

/* Asks until that process is listed in this state; 0: until it is not listed any more. */
static inline void sys_until_state(struct pgmap_client *client, pid_t pid, unsigned state)
{
	while (sys_who(client, NULL, pid).state != state)
		(void)sched_yield();
}

static inline void sys_until_live(struct pgmap_client *client, uint64_t pages)
{
	while (sys_info(client).live_pages != pages)
		(void)sched_yield();
}

static inline struct pgmap_mapping *sys_map(struct pgmap_client *client, const char *path, uint64_t bytes)
{
	struct pgmap_mapping *mapping;
	assert_int_equal(pgmap_open_map(client, path, bytes ? PGMAP_O_CREATE : 0, bytes,
					PGMAP_MAP_READ | PGMAP_MAP_WRITE, &mapping),
			 0);
	return mapping;
}

#endif
