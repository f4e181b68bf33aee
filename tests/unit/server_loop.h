/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * server_loop.h - for tests of the server's loop: as server.c makes it, round by round, and clients on real sockets.
 */
#ifndef PGMAP_TESTS_SERVER_LOOP_H
#define PGMAP_TESTS_SERVER_LOOP_H

#include "server_util.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct loop loop;
static struct sockaddr_un address;
static socklen_t address_len;
static unsigned descriptors; /* that were open before a test */

/* As server.c makes it, with a socket that has no file. */
static inline int begin_server(const char *spec)
{
	descriptors = open_descriptors();
	open_service(spec);
	begin_loop(&loop, service);
	loop.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop.spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	loop.listener.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	address = (struct sockaddr_un){.sun_family = AF_UNIX};
	address_len = sizeof(address);
	assert_int_equal(bind(loop.listener.fd, (struct sockaddr *)&address, sizeof(address.sun_family)), 0);
	assert_int_equal(getsockname(loop.listener.fd, (struct sockaddr *)&address, &address_len), 0);
	return listen(loop.listener.fd, 8);
}

static inline void end_server(void)
{
	conn_free_dropped(&loop);
	assert_true(TAILQ_EMPTY(&loop.conns) && LIST_EMPTY(&loop.drains) && TAILQ_EMPTY(&loop.unwatched));
	close_service();
	assert_int_equal(close(loop.epoll_fd) | close(loop.answers_fd) | close(loop.spare_fd) | close(loop.listener.fd),
			 0);
	assert_int_equal(open_descriptors(), descriptors);
}

static inline int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, address_len), 0);
	return fd;
}

/* A client whose connection has been taken: the last one. */
static inline struct conn *accept_one(void)
{
	conn_accept(&loop);
	struct conn *conn = TAILQ_LAST(&loop.conns, conn_list);
	assert_non_null(conn);
	return conn;
}

/* What the loop is woken for; null: nothing. */
static inline struct watch *woken(void)
{
	struct epoll_event event;
	return epoll_wait(loop.epoll_fd, &event, 1, 0) == 1 ? event.data.ptr : NULL;
}

/* One round, as the loop makes it, for a message that is there. */
static inline void round_for(struct conn *conn)
{
	assert_ptr_equal(woken(), &conn->watch);
	conn_readable(&loop, conn);
}

static inline void say(int fd, const struct proto_req *req)
{
	assert_int_equal(send(fd, req, sizeof(*req), MSG_NOSIGNAL), sizeof(*req));
}

/* The next reply's error; its descriptors go to fds, which has room for three. 1: nothing is there, 2: hung up. */
static inline int hear(int fd, int fds[PROTO_MAX_FDS], unsigned *nfds)
{
	union {
		char bytes[CMSG_SPACE(PROTO_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct proto_rep rep;
	struct iovec iov = {&rep, sizeof(rep)};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	*nfds = 0;
	if (n <= 0)
		return n == 0 || errno == ECONNRESET ? 2 : 1;
	assert_int_equal(n, sizeof(rep));
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg) {
		*nfds = (unsigned)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(cmsg), *nfds * sizeof(int));
	}
	return rep.error;
}

static inline int hear_error(int fd)
{
	int fds[PROTO_MAX_FDS];
	unsigned nfds;
	int err = hear(fd, fds, &nfds);
	assert_int_equal(nfds, 0);
	return err;
}

/* A client that has been greeted: its end, its connection, and what it got. */
struct peer {
	int fd;
	struct conn *conn;
	int fds[PROTO_MAX_FDS];
};

static inline struct peer greet(uint32_t flags)
{
	struct proto_req hello = request(PROTO_HELLO);
	struct peer peer = {.fd = dial()};
	unsigned nfds;
	hello.flags = flags;
	peer.conn = accept_one();
	say(peer.fd, &hello);
	round_for(peer.conn);
	assert_int_equal(hear(peer.fd, peer.fds, &nfds), 0);
	assert_int_equal(nfds, flags ? 0 : 1 + PROTO_HELLO_FDS);
	return peer;
}

static inline void close_fds(const struct peer *peer)
{
	for (unsigned i = 0; i < 1 + PROTO_HELLO_FDS; i++)
		assert_int_equal(close(peer->fds[i]), 0);
}

static inline void hang_up(const struct peer *peer)
{
	assert_int_equal(close(peer->fd), 0);
	round_for(peer->conn);
	assert_int_equal(peer->conn->fd, -1);
}

#endif
