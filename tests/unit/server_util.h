/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * server_util.h - for tests of the server's floor: a service on a small memfd, a client of it that is a struct, and
 * requests as they come from a socket, through service_handle().
 */
#ifndef PGMAP_TESTS_SERVER_UTIL_H
#define PGMAP_TESTS_SERVER_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pgmap/folio.h>
#include <pgmap/pgmap.h>

#include "server/loop.h"
#include "server/requests.h"
#include "server/service.h"
#include "server/session.h"

enum { PAGE = 4096, CLIENT_UID = 4711 };
#define MIB (UINT64_C(1) << 20)

struct client {
	struct session *session;
	int fds[PROTO_MAX_FDS];
	unsigned nfds;
};

static struct service *service;
static struct service_reply reply; /* the last one; its descriptors are the test's */

static inline void open_service(const char *spec)
{
	char why[DEV_WHY_MAX];
	assert_int_equal(service_create(spec, &service, why), 0);
}

static inline void close_service(void)
{
	assert_int_equal(service->connections, 0);
	assert_int_equal(service->holders, 0);
	assert_int_equal(service->quarantined, 0);
	assert_int_equal(service_destroy(service), 0);
}

/* A loop as server.c makes it, but without a socket, signals, and an epoll of its own. */
static inline void begin_loop(struct loop *loop, struct service *of)
{
	*loop = (struct loop){.service = of, .quiet = true, .answers_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	assert_true(loop->answers_fd >= 0);
	TAILQ_INIT(&loop->conns);
	TAILQ_INIT(&loop->dropped);
	LIST_INIT(&loop->drains);
	LIST_INIT(&loop->awaits);
	LIST_INIT(&loop->changes);
	loop->changes_check_ns = PGMAP_NO_DEADLINE;
	TAILQ_INIT(&loop->held_back);
	loop->pending_deadline_ns = PGMAP_NO_DEADLINE;
	TAILQ_INIT(&loop->unwatched);
	TAILQ_INIT(&loop->answers);
	TAILQ_INIT(&loop->queued);
	TAILQ_INIT(&loop->grown);
	(void)pthread_mutex_init(&loop->answers_lock, NULL);
}

/* A helper's answer wakes the loop, and is taken. */
static inline void take_answer(struct loop *loop)
{
	struct pollfd wake = {.fd = loop->answers_fd, .events = POLLIN};
	assert_int_equal(poll(&wake, 1, -1), 1);
	waiting_answers(loop);
}

static inline struct proto_req request(enum proto_type type)
{
	return (struct proto_req){.magic = PROTO_MAGIC, .version = PROTO_VERSION, .type = (uint16_t)type, .seq = 77};
}

/* A request that speaks the protocol; the answer's error. */
static inline int ask(const struct client *client, const struct proto_req *req)
{
	memset(&reply, 0xee, sizeof(reply));
	assert_int_equal(service_handle(client->session, req, sizeof(*req), &reply), SERVICE_REPLY);
	assert_int_equal(reply.rep.magic, PROTO_MAGIC);
	assert_int_equal(reply.rep.version, PROTO_VERSION);
	assert_int_equal(reply.rep.type, req->type);
	assert_int_equal(reply.rep.seq, req->seq);
	if (reply.rep.error) {
		assert_int_equal(reply.nfds, 0);
		assert_int_equal(reply.rep.handle, 0);
		assert_int_equal(reply.rep.count, 0);
	}
	return reply.rep.error;
}

static inline int ask_path(const struct client *client, enum proto_type type, const char *path)
{
	struct proto_req req = request(type);
	(void)snprintf(req.path, sizeof(req.path), "%s", path);
	return ask(client, &req);
}

static inline int ask_handle(const struct client *client, enum proto_type type, uint64_t handle)
{
	struct proto_req req = request(type);
	req.handle = handle;
	return ask(client, &req);
}

static inline struct client join(uint32_t flags)
{
	uid_t uid = flags & PROTO_HELLO_CONTROL ? geteuid() : CLIENT_UID; /* who looks may do all */
	struct client client = {.session = service_connect(service, getpid(), uid)};
	struct proto_req req = request(PROTO_HELLO);
	req.flags = flags;
	assert_non_null(client.session);
	assert_int_equal(ask(&client, &req), 0);
	client.nfds = reply.nfds;
	memcpy(client.fds, reply.fds, sizeof(client.fds));
	return client;
}

/* The process goes: its lease falls. */
static inline void leave(struct client *client)
{
	while (client->nfds)
		assert_int_equal(close(client->fds[--client->nfds]), 0);
	assert_true(service_disconnect(client->session));
}

/* What most tests begin and end with: one client on 4 MiB, and at the end nobody and nothing. */
static __attribute__((unused)) struct client me;

static inline int set_up_one(void **state)
{
	(void)state;
	open_service("memfd:size=4M,page=4K");
	me = join(0);
	return 0;
}

static inline int tear_down_one(void **state)
{
	(void)state;
	leave(&me);
	close_service();
	return 0;
}

static inline int open_file(const struct client *client, const char *path, uint32_t flags, uint64_t *handle)
{
	struct proto_req req = request(PROTO_OPEN);
	req.flags = flags;
	(void)snprintf(req.path, sizeof(req.path), "%s", path);
	int err = ask(client, &req);
	*handle = reply.rep.handle;
	return err;
}

static inline int truncate_file(const struct client *client, uint64_t handle, uint64_t bytes)
{
	struct proto_req req = request(PROTO_TRUNCATE);
	req.handle = handle;
	req.len_bytes = bytes;
	return ask(client, &req);
}

static inline int open_map(const struct client *client, const char *path, uint32_t flags, uint64_t bytes)
{
	struct proto_req req = request(PROTO_OPEN_MAP);
	req.flags = flags;
	req.len_bytes = bytes;
	req.prot = 3;
	(void)snprintf(req.path, sizeof(req.path), "%s", path);
	return ask(client, &req);
}

static inline int map_range(const struct client *client, uint64_t handle, uint64_t offset, uint64_t len)
{
	struct proto_req req = request(PROTO_MAP);
	req.handle = handle;
	req.offset_bytes = offset;
	req.len_bytes = len;
	req.prot = 3;
	return ask(client, &req);
}

static inline struct fsdax_statfs space(void)
{
	struct fsdax_statfs st;
	fsdax_statfs(service->fs, &st);
	assert_int_equal(st.used + st.free + st.waiting, st.pages);
	return st;
}

static inline unsigned open_descriptors(void)
{
	unsigned n = 0;
	DIR *dir = opendir("/proc/self/fd");
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n;
}

/* So many more descriptors can be had; give the answer to descriptors_again(). */
static inline rlim_t few_descriptors(unsigned more)
{
	struct rlimit limit, none;
	int fd = dup(STDERR_FILENO); /* the lowest that is free */
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = (rlim_t)fd + more;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	return limit.rlim_cur;
}

static inline rlim_t no_descriptors(void)
{
	return few_descriptors(0);
}

static inline void descriptors_again(rlim_t was)
{
	struct rlimit limit;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = was;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* The bytes of the memfd that came with the last reply, which nobody can change. To be freed. */
static inline void *take_records(size_t bytes)
{
	struct stat st;
	char *copy = malloc(bytes + 1);
	assert_non_null(copy);
	assert_int_equal(reply.nfds, 1);
	assert_int_equal(fstat(reply.fds[0], &st), 0);
	assert_true((size_t)st.st_size >= bytes);
	assert_int_equal(pread(reply.fds[0], copy, bytes, 0), bytes);
	assert_int_equal(pwrite(reply.fds[0], "", 1, 0), -1);
	assert_int_equal(ftruncate(reply.fds[0], 0), -1);
	assert_int_equal(close(reply.fds[0]), 0);
	return copy;
}

#endif
