/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_transport_socket_wait.c - what waits has a connection of its own, to the server that the transport knows, and to
 * no other. A thread plays the server on it.
 */
#include "fake.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static char folder[] = "/tmp/pgmap-transport-XXXXXX";
static char path[64];
static int listener, server; /* the server's ends */
static struct transport *transport;

static int start_listening(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/socket", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

static int set_up(void **state)
{
	(void)state;
	listener = start_listening();
	assert_int_equal(transport_socket_open(path, &transport), 0);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	return server < 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(close_transport(transport), 0);
	assert_int_equal(close(server) | close(listener), 0);
	return unlink(path);
}

static struct proto_rep good_reply(void)
{
	return (struct proto_rep){.magic = PROTO_MAGIC, .version = PROTO_VERSION};
}

/* With a descriptor, or none. */
static void send_to_client(int to, const struct proto_rep *rep, bool with_fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {.align = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)rep, .iov_len = sizeof(*rep)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	if (with_fd) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control);
		memcpy(CMSG_DATA(&control.align), &listener, sizeof(int));
	}
	assert_int_equal(sendmsg(to, &msg, MSG_NOSIGNAL), sizeof(*rep));
}

/* The transport's own connection goes on. */
static void assert_works(void)
{
	struct proto_req req = {.magic = PROTO_MAGIC, .version = PROTO_VERSION, .type = PROTO_INFO};
	struct proto_rep rep = good_reply();
	struct transport_reply reply;
	send_to_client(server, &rep, false);
	assert_int_equal(transport->ops->call(transport, &req, &reply), 0);
}

/* The server's part in a drain: a connection of its own, a hello, the drain. */
struct drain {
	int hello_error, drain_error;
	uint64_t service_id;
	struct proto_req hello, drain;
};

static void *serve_drain(void *arg)
{
	struct drain *drain = arg;
	struct proto_rep rep = good_reply();
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	rep.error = drain->hello_error;
	rep.u.hello.service_id = drain->service_id;
	send_to_client(fd, &rep, true); /* nobody asked for a descriptor */
	(void)!recv(fd, &drain->hello, sizeof(drain->hello), 0);
	rep.error = drain->drain_error;
	if (!drain->hello_error && !drain->service_id)
		send_to_client(fd, &rep, false);
	(void)!recv(fd, &drain->drain, sizeof(drain->drain), 0);
	(void)close(fd);
	return NULL;
}

static int drain_with(struct drain *drain, int64_t timeout_ms)
{
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, serve_drain, drain), 0);
	int err = transport->ops->drain(transport, timeout_ms);
	assert_int_equal(pthread_join(thread, NULL), 0);
	return err;
}

static void a_drain_has_a_connection_of_its_own_that_holds_nothing(void **state)
{
	(void)state;
	static const int answers[] = {0, -ETIMEDOUT, -ECANCELED};
	unsigned fds = fake_count_fds();
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct drain drain = {.drain_error = answers[i]};
		assert_int_equal(drain_with(&drain, 1500 - (int64_t)i), answers[i]);
		assert_int_equal(drain.hello.type, PROTO_HELLO);
		assert_int_equal(drain.hello.flags, PROTO_HELLO_CONTROL);
		assert_int_equal(drain.drain.type, PROTO_DRAIN);
		assert_int_equal(drain.drain.timeout_ms, 1500 - (int64_t)i);
	}
	struct drain refused = {.hello_error = -EMFILE};
	assert_int_equal(drain_with(&refused, -1), -EMFILE);
	assert_int_equal(refused.drain.type, 0); /* it was not asked */
	assert_int_equal(fake_count_fds(), fds);
	assert_works();
}

/* Where the program was when it connected counts, and not where it is now. */
static void a_drain_finds_its_server_from_wherever_the_program_is(void **state)
{
	(void)state;
	struct transport *first = transport;
	struct drain drain = {.drain_error = -ETIMEDOUT};
	char was[256];
	assert_non_null(getcwd(was, sizeof(was)));
	assert_int_equal(chdir(folder), 0);
	assert_int_equal(transport_socket_open("socket", &transport), 0);
	assert_int_equal(close(accept4(listener, NULL, NULL, SOCK_CLOEXEC)), 0);
	assert_int_equal(chdir("/"), 0);
	int err = drain_with(&drain, -1);
	assert_int_equal(chdir(was), 0);
	assert_int_equal(err, -ETIMEDOUT);
	assert_int_equal(close_transport(transport), 0);
	transport = first;
}

/* A path that is too long for a socket's address, from the root on. */
static void a_server_in_a_deep_folder_is_reached_from_there(void **state)
{
	(void)state;
	static const char deep[] =
		"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";
	struct transport *first = transport;
	struct drain drain = {.drain_error = -ETIMEDOUT};
	char was[256];
	assert_non_null(getcwd(was, sizeof(was)));
	assert_int_equal(chdir(folder), 0);
	assert_int_equal(mkdir(deep, 0700), 0);
	assert_int_equal(chdir(deep), 0);
	assert_int_equal(symlink(path, "s"), 0);
	assert_int_equal(transport_socket_open("s", &transport), 0);
	assert_int_equal(close(accept4(listener, NULL, NULL, SOCK_CLOEXEC)), 0);
	assert_int_equal(drain_with(&drain, -1), -ETIMEDOUT);
	assert_int_equal(close_transport(transport), 0);
	transport = first;
	assert_int_equal(unlink("s"), 0);
	assert_int_equal(chdir(folder), 0);
	assert_int_equal(rmdir(deep), 0);
	assert_int_equal(chdir(was), 0);
}

static void a_drain_is_not_asked_of_another_server(void **state)
{
	(void)state;
	struct drain drain = {.service_id = 1};
	assert_int_equal(drain_with(&drain, -1), -EPIPE);
	assert_int_equal(drain.hello.type, PROTO_HELLO);
	assert_int_equal(drain.drain.type, 0);
	assert_works();
}

static void a_drain_of_a_server_that_has_gone_is_epipe(void **state)
{
	(void)state;
	assert_int_equal(close(listener), 0);
	assert_int_equal(transport->ops->drain(transport, 0), -EPIPE); /* refused */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(transport->ops->drain(transport, 0), -EPIPE); /* not there */
	listener = start_listening();
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_drain_has_a_connection_of_its_own_that_holds_nothing),
		T(a_drain_finds_its_server_from_wherever_the_program_is),
		T(a_server_in_a_deep_folder_is_reached_from_there),
		T(a_drain_is_not_asked_of_another_server),
		T(a_drain_of_a_server_that_has_gone_is_epipe),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
