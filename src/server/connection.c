/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * connection.c - the sockets of clients: what comes in is handed to the service, what goes out never waits.
 *
 * A client may connect and say nothing, stop reading, send anything, or vanish at any point: it costs its descriptor and
 * a small session. Descriptors that it sends are never installed here, as we offer no room for them. A reply that its
 * socket does not take at once ends the connection, as if it had closed it. A flood of requests gets one answer per round.
 */
#include "server/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/log.h"

enum { REPLIES_IN_FLIGHT_BYTES = 16384 };

static int watch_fd(struct loop *loop, int fd, uint32_t events, struct watch *watch)
{
	struct epoll_event event = {.events = events, .data = {.ptr = watch}};
	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

bool conn_watch(struct loop *loop, struct conn *conn)
{
	conn->watched = watch_fd(loop, conn->fd, EPOLLIN, &conn->watch) == 0;
	return conn->watched;
}

void conn_unwatch(struct loop *loop, struct conn *conn)
{
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
	conn->watched = false;
}

/* Once, until somebody finds room again: who asks and asks shall not fill the log. */
static void say_full(struct loop *loop, unsigned nothers)
{
	struct rlimit limit = {0};
	if (loop->said_full)
		return;
	loop->said_full = true;
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	log_line("a client is turned away: %u connections, at most %llu descriptors (raise it: ulimit -Hn)", nothers,
		 (unsigned long long)limit.rlim_cur);
}

/* What took its place may have gone since. */
static void keep_spare(struct loop *loop)
{
	if (loop->spare_fd < 0)
		loop->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Out of descriptors: the spare one lets us take the next client, tell it so, and let it go. False: somebody else, a thread or
 * (where the system's table is full) another process, has got it. */
static bool turn_away(struct loop *loop)
{
	struct service_reply reply;
	if (loop->spare_fd >= 0)
		(void)close(loop->spare_fd);
	loop->spare_fd = -1;
	int fd = accept4(loop->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		char byte;
		/* What it has said is taken in, and no more comes: closed with something unread, it would see that only. */
		(void)shutdown(fd, SHUT_RD);
		while (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_TRUNC) > 0)
			;
		service_refuse(&reply, NULL, -EMFILE);
		(void)send(fd, &reply.rep, sizeof(reply.rep), MSG_DONTWAIT | MSG_NOSIGNAL);
		(void)close(fd);
	}
	keep_spare(loop);
	return fd >= 0;
}

static void listen_for(struct loop *loop, uint32_t events)
{
	struct epoll_event event = {.events = events, .data = {.ptr = &loop->listener_watch}};
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, loop->listener.fd, &event);
	loop->deaf = !events;
}

void conn_listen_again(struct loop *loop)
{
	keep_spare(loop);
	if (loop->deaf)
		listen_for(loop, EPOLLIN);
}

static struct conn *conn_new(struct loop *loop, int fd)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);
	int sndbuf = REPLIES_IN_FLIGHT_BYTES;
	struct conn *conn = calloc(1, sizeof(*conn));
	if (!conn)
		return NULL;
	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf));
	conn->watch = (struct watch){WATCH_CONN, conn, loop->round, loop->round};
	conn->pins_watch = (struct watch){WATCH_PINS, conn, 0, 0};
	conn->fd = fd;
	conn->session = service_connect(loop->service, peer.pid, peer.uid);
	if (!conn->session || !conn_watch(loop, conn)) {
		if (conn->session)
			(void)service_disconnect(conn->session);
		free(conn);
		return NULL;
	}
	service_unhurried(conn->session);
	TAILQ_INSERT_TAIL(&loop->conns, conn, link);
	loop->nconns++;
	return conn;
}

void conn_accept(struct loop *loop)
{
	int fd = accept4(loop->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		bool full = errno == EMFILE || errno == ENFILE;
		if (full)
			say_full(loop, loop->nconns);
		if (!full || !turn_away(loop))
			listen_for(loop, 0); /* it is there still, and would wake us at once, for nothing */
		return;
	}
	keep_spare(loop);
	removal_check(loop);
	if (!conn_new(loop, fd))
		(void)close(fd);
}

void conn_drop(struct loop *loop, struct conn *conn)
{
	if (conn->fd < 0)
		return;
	waiting_stop(loop, conn);
	pacing_stop(loop, conn);
	int event_fd = service_session_event(conn->session);
	if (event_fd >= 0)
		(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, event_fd, NULL);
	(void)close(conn->fd);
	conn->fd = -1;
	TAILQ_REMOVE(&loop->conns, conn, link);
	loop->nconns--;
	TAILQ_INSERT_TAIL(&loop->dropped, conn, link);
	if (!service_disconnect(conn->session))
		waiting_leases(loop, conn->session);
	conn->session = NULL;
}

/* Events of this round may still point to them before. */
void conn_free_dropped(struct loop *loop)
{
	struct conn *conn;
	while ((conn = TAILQ_FIRST(&loop->dropped)) != NULL) {
		TAILQ_REMOVE(&loop->dropped, conn, link);
		free(conn);
	}
}

static bool send_reply(int fd, const struct service_reply *reply)
{
	union {
		char bytes[CMSG_SPACE(PROTO_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)&reply->rep, .iov_len = sizeof(reply->rep)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	if (reply->nfds) {
		size_t bytes = reply->nfds * sizeof(int);
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(bytes);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(cmsg), reply->fds, bytes);
	}
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(reply->rep);
}

/* A reply with descriptors waits for nobody: each could carry megabytes, and counts against the descriptors that a user
 * may have in flight. A client has one request under way, and has read its last reply. */
static bool may_send(int fd, const struct service_reply *reply)
{
	int unread = 0;
	return reply->nfds == 0 || (ioctl(fd, SIOCOUTQ, &unread) == 0 && unread == 0);
}

void conn_reply(struct loop *loop, struct conn *conn, struct service_reply *reply)
{
	bool sent = may_send(conn->fd, reply) && send_reply(conn->fd, reply);
	while (reply->nfds)
		(void)close(reply->fds[--reply->nfds]);
	if (!sent)
		conn_drop(loop, conn);
}

/*
 * The eventfd is edge-triggered and never read: each write of the client wakes the loop once. Client and server share its
 * open file description, so a client could make it block, and empty it under us: a read of it could wait for ever.
 */
static bool watch_pins(struct loop *loop, struct conn *conn)
{
	int event_fd = service_session_event(conn->session);
	return event_fd < 0 || watch_fd(loop, event_fd, EPOLLIN | EPOLLET, &conn->pins_watch) == 0;
}

void conn_handle(struct loop *loop, struct conn *conn, const struct proto_req *req, size_t len)
{
	struct service_reply reply;
	bool greeted = service_session_event(conn->session) >= 0;
	enum service_next next = service_handle(conn->session, req, len, &reply);
	while (next == SERVICE_LATER) {
		if (growing_begin(loop, conn, req))
			return;
		service_supply(conn->session);
		next = service_handle(conn->session, req, len, &reply);
	}
	if (next == SERVICE_WAIT) {
		if (req->type == PROTO_AWAIT)
			waiting_await(loop, conn, req);
		else if (req->type == PROTO_DRAIN)
			waiting_drain(loop, conn, req);
		else
			waiting_change(loop, conn, req, reply.rep.handle);
		return;
	}
	if (req->type == PROTO_HELLO && reply.rep.error == -EMFILE)
		say_full(loop, loop->nconns - 1);
	else if (req->type == PROTO_HELLO && reply.rep.error == 0)
		loop->said_full = false;
	waiting_leases(loop, conn->session);
	if (!greeted && !watch_pins(loop, conn))
		next = SERVICE_CLOSE;
	conn_reply(loop, conn, &reply);
	if (next == SERVICE_CLOSE)
		conn_drop(loop, conn);
}

void conn_readable(struct loop *loop, struct conn *conn)
{
	struct proto_req req;
	struct iovec iov = {.iov_base = &req, .iov_len = sizeof(req)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	if (conn->fd < 0)
		return;
	memset(&req, 0, PROTO_HEADER_BYTES);
	ssize_t n = recvmsg(conn->fd, &msg, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_drop(loop, conn);
		return;
	}
	/* Too long, with descriptors, or a second request while something is waited for: no client of ours does that. */
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || conn->drain_deadline_ns || conn->awaits || conn->change) {
		struct service_reply reply;
		service_refuse(&reply, (size_t)n >= PROTO_HEADER_BYTES ? &req : NULL, -EPROTO);
		conn_reply(loop, conn, &reply);
		conn_drop(loop, conn);
		return;
	}
	pacing_look_ahead(conn);
	conn_handle(loop, conn, &req, (size_t)n);
	pacing_hold_back(loop, conn);
}
