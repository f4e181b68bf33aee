/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * transport_socket.c - requests through the server's socket: one out, one back.
 *
 * A drain waits for long, and so may a truncate, and other threads must be able to unmap meanwhile, so each such wait has a
 * connection of its own, which says that it will hold nothing (PROTO_HELLO_CONTROL).
 */
#include "client/transport.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "port/polling.h"
#include "server/sockpath.h"

/* The most that the kernel passes with one message: so a list that it cuts short found no place in this process. */
enum { MOST_FDS = 253 };

struct socket_transport {
	struct transport transport;
	struct sockaddr_un addr;
	struct forkfd socket;
	struct polling polling;
	bool hung_up; /* under the connection's lock, as every call is */
};

static struct socket_transport *of(struct transport *transport)
{
	return (struct socket_transport *)transport;
}

static int make_socket(struct forkfd *out)
{
	forkfd_lock();
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int err = fd < 0 ? -errno : 0;
	if (!err)
		forkfd_add(out, fd);
	forkfd_unlock();
	return err;
}

static int connect_to(const struct sockaddr_un *addr, struct forkfd *out)
{
	int rc = make_socket(out);
	if (rc)
		return rc;
	do
		rc = connect(out->fd, (const struct sockaddr *)addr, sizeof(*addr));
	while (rc != 0 && errno == EINTR);
	if (rc != 0 && errno != EISCONN) {
		int err = errno == EPROTOTYPE ? -EPROTO : -errno;
		forkfd_close(out);
		return err;
	}
	return 0;
}

static int gone(int err)
{
	return err == ECONNRESET || err == EPIPE || err == ENOTCONN || err == EBADF ? -EPIPE : -err;
}

static int send_request(int fd, const struct proto_req *req)
{
	ssize_t n;
	do
		n = send(fd, req, sizeof(*req), MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? gone(errno) : 0;
}

static void drop_fds(struct transport_reply *reply, struct forkfd *keep)
{
	while (reply->nfds) {
		reply->nfds--;
		if (keep)
			forkfd_close(&keep[reply->nfds]);
		else
			(void)close(reply->fds[reply->nfds]);
	}
}

/* False: there were more than any reply has. */
static bool take_fds(struct msghdr *msg, struct transport_reply *reply, struct forkfd *keep)
{
	bool fit = true;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			fit = fit && reply->nfds < PROTO_MAX_FDS;
			if (fit && keep)
				forkfd_add(&keep[reply->nfds], fd);
			if (fit)
				reply->fds[reply->nfds++] = fd;
			else
				(void)close(fd);
		}
	}
	return fit;
}

/* What recvmsg() answers; the descriptors are taken. A fork of another thread need not wait until there is something. */
static ssize_t receive_kept(int fd, struct msghdr *msg, struct transport_reply *reply, struct forkfd *keep, bool *fit)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	(void)poll(&ready, 1, -1);
	forkfd_lock();
	ssize_t n = recvmsg(fd, msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	int err = errno;
	if (n > 0)
		*fit = take_fds(msg, reply, keep);
	forkfd_unlock();
	errno = err == EAGAIN ? EINTR : err;
	return n;
}

static ssize_t receive(int fd, struct msghdr *msg, struct transport_reply *reply, struct forkfd *keep, bool *fit)
{
	if (keep)
		return receive_kept(fd, msg, reply, keep, fit);
	ssize_t n = recvmsg(fd, msg, MSG_CMSG_CLOEXEC);
	if (n > 0)
		*fit = take_fds(msg, reply, NULL);
	return n;
}

/* A server that closes with our request unread resets the connection: that is said once, before what it has sent. */
static bool again(int err, bool *reset)
{
	bool first = err == ECONNRESET && !*reset;
	*reset = *reset || first;
	return first || err == EINTR;
}

static int receive_reply(int fd, struct transport_reply *reply, struct forkfd *keep)
{
	union {
		char bytes[CMSG_SPACE(MOST_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = &reply->rep, .iov_len = sizeof(reply->rep)};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control)};
	ssize_t n;
	bool fit = true, reset = false;
	do
		n = receive(fd, &msg, reply, keep, &fit);
	while (n < 0 && again(errno, &reset));
	if (n <= 0)
		return n < 0 ? gone(errno) : -EPIPE;
	if (!fit)
		return -EPROTO;
	if (msg.msg_flags & MSG_CTRUNC)
		return -EMFILE;
	bool whole = n >= PROTO_HEADER_BYTES && !(msg.msg_flags & MSG_TRUNC);
	return whole && reply->rep.magic == PROTO_MAGIC ? (int)n : -EPROTO;
}

/* A server that turns us away before it has read anything does not know our number. */
static bool belongs(const struct proto_req *req, const struct proto_rep *rep)
{
	return rep->seq == req->seq || (rep->seq == 0 && rep->error && req->type == PROTO_HELLO);
}

/* There is something to read, or it takes longer than it pays to poll. */
static void poll_for_reply(int fd, struct polling *polling)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	while (polling_goes_on(polling) && poll(&ready, 1, 0) == 0)
		polling_yield(polling);
}

/* polling: or null, for a request that is answered when something has happened. */
static int exchange(int fd, const struct proto_req *req, struct transport_reply *reply, struct forkfd *keep,
		    struct polling *polling)
{
	reply->nfds = 0;
	int sent = send_request(fd, req);
	if (sent && sent != -EPIPE)
		return sent;
	if (polling) {
		polling_begin(polling);
		poll_for_reply(fd, polling);
	}
	/* A server that turned us away may have said why before it closed. */
	int n = receive_reply(fd, reply, keep);
	if (polling)
		polling_end(polling);
	int err = n < 0 ? n : 0;
	if (sent && err)
		err = sent;
	if (!err && reply->rep.error == 0 && (n != (int)sizeof(reply->rep) || reply->rep.version != PROTO_VERSION))
		err = -EPROTO;
	if (!err && !belongs(req, &reply->rep))
		err = -EPROTO;
	if (err || (keep && reply->rep.error))
		drop_fds(reply, keep);
	return err;
}

static int socket_call(struct transport *transport, const struct proto_req *req, struct transport_reply *reply)
{
	reply->nfds = 0;
	return of(transport)->hung_up
		       ? -EPIPE
		       : exchange(of(transport)->socket.fd, req, reply, transport->keep, &of(transport)->polling);
}

static int control_exchange(int fd, struct proto_req *req, struct proto_rep *rep)
{
	struct transport_reply reply = {0}; /* of which some may not come */
	req->magic = PROTO_MAGIC;
	req->version = PROTO_VERSION;
	int err = exchange(fd, req, &reply, NULL, NULL);
	drop_fds(&reply, NULL);
	*rep = reply.rep;
	return err;
}

/* The server that this client knows may have gone, and another be there. */
static int control_hello(const struct socket_transport *t, int fd)
{
	struct proto_req hello = {.type = PROTO_HELLO, .flags = PROTO_HELLO_CONTROL};
	struct proto_rep rep;
	(void)snprintf(hello.path, sizeof(hello.path), "%s", program_invocation_short_name);
	int err = control_exchange(fd, &hello, &rep);
	if (!err)
		err = rep.error;
	return err || rep.u.hello.service_id == t->transport.service_id ? err : -EPIPE;
}

static int control_call(int fd, struct proto_req *req)
{
	struct proto_rep rep;
	int err = control_exchange(fd, req, &rep);
	return err ? err : rep.error;
}

static int socket_await_open(struct transport *transport, struct forkfd *control)
{
	int err = connect_to(&of(transport)->addr, control);
	if (err)
		return err == -ENOENT || err == -ECONNREFUSED ? -EPIPE : err;
	err = control_hello(of(transport), control->fd);
	if (err)
		forkfd_close(control);
	return err;
}

static int socket_await(struct transport *transport, const struct forkfd *control, uint64_t handle)
{
	struct proto_req req = {.type = PROTO_AWAIT, .handle = handle};
	(void)transport;
	int err = control_call(control->fd, &req);
	return err == -EBADF ? -EPIPE : err; /* it has ended with our other connection */
}

static int socket_drain(struct transport *transport, int64_t timeout_ms)
{
	struct proto_req drain = {.type = PROTO_DRAIN, .timeout_ms = timeout_ms};
	struct forkfd control = {.fd = -1};
	int err = socket_await_open(transport, &control);
	if (!err)
		err = control_call(control.fd, &drain);
	forkfd_close(&control);
	return err;
}

static int socket_wait(struct transport *transport, struct proto_req *req, struct proto_rep *rep)
{
	struct forkfd control = {.fd = -1};
	int err = socket_await_open(transport, &control);
	if (!err)
		err = control_exchange(control.fd, req, rep);
	forkfd_close(&control);
	return err;
}

static int socket_close(struct transport *transport)
{
	forkfd_close(&of(transport)->socket);
	return 0;
}

static void socket_free(struct transport *transport)
{
	free(transport);
}

/* The server sees the end of the file, and asks the kernel who still maps. What it has said already could still be read,
 * and belongs to no request that comes. */
static void socket_hang_up(struct transport *transport)
{
	of(transport)->hung_up = true;
	(void)shutdown(of(transport)->socket.fd, SHUT_RDWR);
}

static const struct transport_ops socket_ops = {socket_call,  socket_drain, socket_wait, socket_await_open,
						socket_await, socket_close, socket_free, socket_hang_up};

/* The same name from the root on: where the program goes later is not asked. Where it has none that fits, false. */
static bool from_root(const struct sockaddr_un *addr, struct sockaddr_un *out)
{
	char dir[sizeof(addr->sun_path)];
	if (addr->sun_path[0] == '/' || !getcwd(dir, sizeof(dir)) || dir[0] != '/')
		return false;
	out->sun_family = addr->sun_family;
	int n = snprintf(out->sun_path, sizeof(out->sun_path), "%s/%s", dir, addr->sun_path);
	return n > 0 && (size_t)n < sizeof(out->sun_path);
}

/* What cannot be reached by its name from the root may be from here. */
static int connect_first(struct socket_transport *t, const struct sockaddr_un *addr)
{
	if (from_root(addr, &t->addr) && connect_to(&t->addr, &t->socket) == 0)
		return 0;
	t->addr = *addr;
	return connect_to(addr, &t->socket);
}

int transport_socket_open(const char *path, struct transport **out)
{
	struct sockaddr_un addr;
	int err = sockpath_resolve(path, &addr);
	if (err)
		return err;
	struct socket_transport *t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->transport.ops = &socket_ops;
	t->socket.fd = -1;
	err = connect_first(t, &addr);
	if (err) {
		free(t);
		return err;
	}
	*out = &t->transport;
	return 0;
}
