/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fake.h - what the tests of the client share: a server that answers whatever a test wants, in place of a transport. It is
 * asked by one thread, keeps the last request of each type, and counts.
 */
#ifndef PGMAP_TESTS_FAKE_H
#define PGMAP_TESTS_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/connection.h"

enum { PAGE = 4096, FAKE_WORDS = 64, FAKE_DEVICE_PAGES = 256 };

struct fake {
	struct transport transport;
	/* The answer to a request, beyond an empty success; or null. What it returns is what the transport returns. */
	int (*answer)(struct fake *fake, const struct proto_req *req, struct transport_reply *reply);
	struct proto_req last[PROTO_NTYPES];
	unsigned calls[PROTO_NTYPES];
	unsigned hung_up, closed, freed;
	int close_error;
	int drain_error;
	int64_t drain_timeout_ms;
	int await_open_error, await_error, cancel_error;
	unsigned awaits_opened;
	uint64_t awaited; /* the handle */
	/* What the test wants to be answered, for its answer function. */
	struct proto_rep rep;
	int err;
	struct proto_hello hello;
	unsigned hello_fds;
	int lease_fd; /* as last given, and the client's */
	int lease_error;
	unsigned lease_fds_less;
	uint64_t generation; /* of a reply to MAP */
	uint64_t segment_bytes;
};

static inline int fake_memfd(uint64_t bytes)
{
	int fd = memfd_create("fake", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static inline int fake_memfd_with(const void *bytes, size_t len)
{
	int fd = fake_memfd(0);
	assert_int_equal(write(fd, bytes, len), len);
	return fd;
}

static inline void fake_answer_hello(struct fake *fake, struct transport_reply *reply)
{
	reply->rep.u.hello = fake->hello;
	for (reply->nfds = 0; reply->nfds < fake->hello_fds; reply->nfds++) {
		uint64_t bytes = reply->nfds == 0 ? (uint64_t)FAKE_DEVICE_PAGES * PAGE : fake->segment_bytes;
		reply->fds[reply->nfds] = reply->nfds == 2 ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : fake_memfd(bytes);
	}
	fake->lease_fd = reply->fds[0];
}

/* The same device again. */
static inline void fake_answer_lease(struct fake *fake, const struct proto_req *req, struct transport_reply *reply)
{
	unsigned n = !!(req->flags & (PROTO_LEASE_NEXT | PROTO_LEASE_READ)) + !!(req->flags & PROTO_LEASE_WRITE);
	reply->rep.u.hello = fake->hello;
	reply->rep.error = fake->lease_error;
	if (fake->lease_error)
		return;
	n *= lease_ndescriptors(&fake->hello);
	for (; reply->nfds < n - fake->lease_fds_less; reply->nfds++)
		reply->fds[reply->nfds] = fcntl(fake->lease_fd, F_DUPFD_CLOEXEC, 0);
	if (req->flags & (PROTO_LEASE_NEXT | PROTO_LEASE_READ))
		fake->lease_fd = reply->fds[0];
}

static inline int fake_call(struct transport *transport, const struct proto_req *req, struct transport_reply *reply)
{
	struct fake *fake = (struct fake *)transport;
	assert_true(req->type < PROTO_NTYPES);
	fake->last[req->type] = *req;
	fake->calls[req->type]++;
	memset(reply, 0, sizeof(*reply));
	if (fake->hung_up)
		return -EPIPE;
	reply->rep.magic = PROTO_MAGIC;
	reply->rep.version = PROTO_VERSION;
	reply->rep.type = req->type;
	reply->rep.seq = req->seq;
	if (req->type == PROTO_HELLO)
		fake_answer_hello(fake, reply);
	if (req->type == PROTO_LEASE)
		fake_answer_lease(fake, req, reply);
	return fake->answer ? fake->answer(fake, req, reply) : 0;
}

static inline int fake_drain(struct transport *transport, int64_t timeout_ms)
{
	struct fake *fake = (struct fake *)transport;
	fake->drain_timeout_ms = timeout_ms;
	return fake->drain_error;
}

static inline int fake_wait(struct transport *transport, struct proto_req *req, struct proto_rep *rep)
{
	struct fake *fake = (struct fake *)transport;
	fake->last[req->type] = *req;
	fake->calls[req->type]++;
	*rep = fake->rep;
	return fake->err;
}

static inline int fake_await_open(struct transport *transport, struct forkfd *control)
{
	struct fake *fake = (struct fake *)transport;
	assert_int_equal(control->fd, -1);
	fake->awaits_opened += fake->await_open_error == 0;
	return fake->await_open_error;
}

static inline int fake_await(struct transport *transport, const struct forkfd *control, uint64_t handle)
{
	struct fake *fake = (struct fake *)transport;
	assert_int_equal(control->fd, -1);
	fake->awaited = handle;
	return fake->await_error;
}

static inline int fake_close(struct transport *transport)
{
	struct fake *fake = (struct fake *)transport;
	fake->closed += fake->close_error == 0;
	return fake->close_error;
}

static inline void fake_free(struct transport *transport)
{
	((struct fake *)transport)->freed++;
}

static inline void fake_hang_up(struct transport *transport)
{
	((struct fake *)transport)->hung_up++;
}

static inline void fake_init(struct fake *fake)
{
	static const struct transport_ops ops = {fake_call,  fake_drain, fake_wait, fake_await_open,
						 fake_await, fake_close, fake_free, fake_hang_up};
	*fake = (struct fake){
		.transport = {.ops = &ops},
		.hello = {.holder_id = 1, .words = FAKE_WORDS, .server_pid = 1, .ndevices = 1},
		.hello_fds = 1 + PROTO_HELLO_FDS,
		.segment_bytes = FAKE_WORDS * sizeof(pinword_t),
	};
}

/* A real one's end, where no client has it. */
static inline int close_transport(struct transport *transport)
{
	int err = transport->ops->close(transport);
	if (!err)
		transport->ops->free(transport);
	return err;
}

static inline struct pgmap_client *fake_connect(struct fake *fake)
{
	struct pgmap_client *client;
	assert_int_equal(connection_open(&fake->transport, &client), 0);
	return client;
}

/* The descriptors that this process has: a reply that is refused must leave none behind. */
static inline unsigned fake_count_fds(void)
{
	unsigned n = 0;
	DIR *dir = opendir("/proc/self/fd");
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	assert_int_equal(closedir(dir), 0);
	return n;
}

#endif
