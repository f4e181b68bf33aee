/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_transport_socket_away.c - a server that goes between our request and our reading of its answer, with the request
 * unread: the kernel says that the connection was reset, and has what the server said before all the same.
 */
#include "fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

static char folder[] = "/tmp/pgmap-away-XXXXXX";
static struct sockaddr_un addr = {.sun_family = AF_UNIX};
static int listener, server; /* the server's ends */
static struct transport *transport;
static void (*before_recvmsg)(void); /* once; or null */

ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __real_recvmsg(int fd, struct msghdr *msg, int flags);

ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	void (*act)(void) = before_recvmsg;
	before_recvmsg = NULL;
	if (act)
		act();
	return __real_recvmsg(fd, msg, flags);
}

static int set_up(void **state)
{
	(void)state;
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 4), 0);
	assert_int_equal(transport_socket_open(addr.sun_path, &transport), 0);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	return server < 0;
}

static int tear_down(void **state)
{
	(void)state;
	return close_transport(transport) != 0 || close(listener) != 0 || unlink(addr.sun_path) != 0;
}

static void go_away(void)
{
	assert_int_equal(close(server), 0);
}

static void turn_us_away(void)
{
	struct proto_rep rep = {.magic = PROTO_MAGIC, .version = PROTO_VERSION, .error = -EMFILE};
	assert_int_equal(send(server, &rep, sizeof(rep), MSG_NOSIGNAL), sizeof(rep));
	go_away();
}

static int hello(struct transport_reply *reply)
{
	struct proto_req req = {.magic = PROTO_MAGIC, .version = PROTO_VERSION, .type = PROTO_HELLO, .seq = 1};
	return transport->ops->call(transport, &req, reply);
}

static void one_that_turns_us_away_without_reading_is_heard(void **state)
{
	(void)state;
	struct transport_reply reply;
	before_recvmsg = turn_us_away;
	assert_int_equal(hello(&reply), 0);
	assert_int_equal(reply.rep.error, -EMFILE);
	assert_int_equal(hello(&reply), -EPIPE);
}

static void one_that_goes_without_reading_is_epipe(void **state)
{
	(void)state;
	struct transport_reply reply;
	before_recvmsg = go_away;
	assert_int_equal(hello(&reply), -EPIPE);
	assert_int_equal(hello(&reply), -EPIPE);
}

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(one_that_turns_us_away_without_reading_is_heard),
		T(one_that_goes_without_reading_is_epipe),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
