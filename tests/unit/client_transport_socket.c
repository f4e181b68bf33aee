/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_transport_socket.c - a request goes out whole, and what comes back is its reply or an error: with all of its
 * descriptors or none. The server's replies lie in the socket before they are asked for, so one thread plays both ends.
 */
#include "fake.h"

#include <pthread.h>
#include <signal.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { SEQ = 7, MANY_FDS = 253 };

static char folder[] = "/tmp/pgmap-transport-XXXXXX";
static char path[64];
static int listener = -1, server = -1; /* the server's ends */
static struct transport *transport;

static int listen_at(const char *at, int type)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", at);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
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
	listener = listen_at(path, SOCK_SEQPACKET);
	assert_int_equal(transport_socket_open(path, &transport), 0);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(server >= 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(close_transport(transport), 0);
	if (server >= 0)
		assert_int_equal(close(server), 0);
	assert_int_equal(close(listener), 0);
	return unlink(path);
}

static struct proto_rep good_reply(void)
{
	return (struct proto_rep){
		.magic = PROTO_MAGIC, .version = PROTO_VERSION, .type = PROTO_INFO, .seq = SEQ, .handle = 99};
}

/* The first len_bytes of it, and copies of a descriptor. */
static void send_to_client(int fd, const void *bytes, size_t len_bytes, unsigned nfds)
{
	union {
		char bytes[CMSG_SPACE(MANY_FDS * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len_bytes};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	if (nfds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		for (unsigned i = 0; i < nfds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &listener, sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), len_bytes);
}

static int call_with(enum proto_type type, struct transport_reply *reply)
{
	struct proto_req req = {.magic = PROTO_MAGIC,
				.version = PROTO_VERSION,
				.type = (uint16_t)type,
				.seq = SEQ,
				.path = "p",
				.path2 = "q"};
	memset(reply, 0, sizeof(*reply));
	return transport->ops->call(transport, &req, reply);
}

static int call(struct transport_reply *reply)
{
	return call_with(PROTO_INFO, reply);
}

/* An answer to a call, which is refused with err: no descriptor of it stays. */
static void assert_refused(const void *bytes, size_t len_bytes, unsigned nfds, int err)
{
	struct transport_reply reply;
	unsigned fds = fake_count_fds();
	send_to_client(server, bytes, len_bytes, nfds);
	assert_int_equal(call(&reply), err);
	assert_int_equal(reply.nfds, 0);
	assert_int_equal(fake_count_fds(), fds);
}

static void assert_works(void)
{
	struct transport_reply reply;
	struct proto_rep rep = good_reply();
	send_to_client(server, &rep, sizeof(rep), 0);
	assert_int_equal(call(&reply), 0);
	assert_int_equal(reply.rep.handle, 99);
	assert_int_equal(reply.nfds, 0);
}

static void a_request_goes_out_whole(void **state)
{
	(void)state;
	struct proto_req got;
	char more[8];
	assert_works();
	assert_int_equal(recv(server, &got, sizeof(got), MSG_TRUNC), sizeof(got));
	assert_int_equal(got.type, PROTO_INFO);
	assert_int_equal(got.seq, SEQ);
	assert_string_equal(got.path, "p");
	assert_string_equal(got.path2, "q");
	assert_int_equal(recv(server, more, sizeof(more), MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

static void as_many_descriptors_as_a_pool_can_have_come_with_a_reply(void **state)
{
	(void)state;
	struct transport_reply reply;
	struct proto_rep rep = good_reply();
	for (unsigned n = 0; n <= PROTO_MAX_FDS; n++) {
		send_to_client(server, &rep, sizeof(rep), n);
		assert_int_equal(call(&reply), 0);
		assert_int_equal(reply.nfds, n);
		while (reply.nfds) {
			assert_int_equal(fcntl(reply.fds[reply.nfds - 1], F_GETFD), FD_CLOEXEC);
			assert_int_equal(close(reply.fds[--reply.nfds]), 0);
		}
	}
}

static void more_descriptors_are_refused_and_closed(void **state)
{
	(void)state;
	static const unsigned some[] = {PROTO_MAX_FDS + 1, PROTO_MAX_FDS + 2, 2 * PROTO_MAX_FDS, MANY_FDS};
	struct proto_rep rep = good_reply();
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
		assert_refused(&rep, sizeof(rep), some[i], -EPROTO);
	assert_works();
}

static void descriptors_without_a_place_here_are_emfile(void **state)
{
	(void)state;
	struct proto_rep rep = good_reply();
	struct rlimit old, low;
	struct transport_reply reply;
	unsigned fds = fake_count_fds();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	int next = dup(server); /* the lowest that is free */
	assert_int_equal(close(next), 0);
	for (rlim_t room = 0; room < PROTO_MAX_FDS; room++) {
		send_to_client(server, &rep, sizeof(rep), PROTO_MAX_FDS);
		low = old;
		low.rlim_cur = (rlim_t)next + room;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
		int err = call(&reply);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		assert_int_equal(err, -EMFILE);
		assert_int_equal(reply.nfds, 0);
		assert_int_equal(reply.rep.handle, 99); /* what was made is to be given back */
	}
	assert_int_equal(fake_count_fds(), fds);
	assert_works();
}

static void what_is_no_reply_is_refused(void **state)
{
	(void)state;
	char long_one[sizeof(struct proto_rep) + 1] = {0};
	struct proto_rep rep = good_reply(), other;
	static const size_t bad_len[] = {1, 4, 15, 16, 17, 32, sizeof(rep) - 1};
	for (size_t i = 0; i < sizeof(bad_len) / sizeof(bad_len[0]); i++)
		assert_refused(&rep, bad_len[i], i % 4, -EPROTO);
	memcpy(long_one, &rep, sizeof(rep));
	assert_refused(long_one, sizeof(long_one), 1, -EPROTO);
	other = rep;
	other.magic++;
	assert_refused(&other, sizeof(other), 2, -EPROTO);
	other.error = -ENOENT; /* whatever it says */
	assert_refused(&other, sizeof(other), 2, -EPROTO);
	other = rep;
	other.version++;
	assert_refused(&other, sizeof(other), 3, -EPROTO);
	other = rep;
	other.seq--; /* of an earlier request */
	assert_refused(&other, sizeof(other), 3, -EPROTO);
	assert_works();
}

/* A server of another version says so with the 16 bytes that every version keeps. */
static void an_error_is_understood_in_every_version(void **state)
{
	(void)state;
	struct transport_reply reply;
	struct proto_rep rep = good_reply();
	rep.version = 200;
	rep.error = -EPROTO;
	static const size_t len[] = {PROTO_HEADER_BYTES, 100, sizeof(rep)};
	for (size_t i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
		send_to_client(server, &rep, len[i], 0);
		assert_int_equal(call(&reply), 0);
		assert_int_equal(reply.rep.error, -EPROTO);
	}
	assert_refused(&rep, PROTO_HEADER_BYTES - 1, 0, -EPROTO);
}

/* One that turns us away before it reads anything has no number to say; later, whatever has another is not for us. */
static void an_error_is_for_the_request_whose_number_it_has(void **state)
{
	(void)state;
	static const uint32_t others[] = {1, SEQ - 1, SEQ + 1, UINT32_MAX, 0};
	struct transport_reply reply;
	struct proto_rep rep = good_reply();
	rep.error = -ENOSPC;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		rep.seq = others[i];
		assert_refused(&rep, sizeof(rep), 2, -EPROTO);
		send_to_client(server, &rep, sizeof(rep), 0);
		assert_int_equal(call_with(PROTO_HELLO, &reply), rep.seq ? -EPROTO : 0);
	}
	assert_int_equal(reply.rep.error, -ENOSPC);
	rep.error = 0; /* no number is no answer to what was asked */
	send_to_client(server, &rep, sizeof(rep), 0);
	assert_int_equal(call_with(PROTO_HELLO, &reply), -EPROTO);
	assert_works();
}

static void a_server_that_has_gone_is_epipe(void **state)
{
	(void)state;
	struct transport_reply reply;
	assert_int_equal(close(server), 0);
	server = -1;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(call(&reply), -EPIPE);
}

static void what_it_said_before_is_heard(void **state)
{
	(void)state;
	struct transport_reply reply;
	struct proto_rep rep = good_reply();
	rep.error = -EUSERS;
	send_to_client(server, &rep, sizeof(rep), 0);
	assert_int_equal(close(server), 0);
	server = -1;
	assert_int_equal(call(&reply), 0);
	assert_int_equal(reply.rep.error, -EUSERS);
	assert_int_equal(call(&reply), -EPIPE);
}

static void one_that_goes_without_an_answer_is_epipe(void **state)
{
	(void)state;
	struct transport_reply reply;
	assert_int_equal(shutdown(server, SHUT_WR), 0); /* it takes the request, and says nothing more */
	assert_int_equal(call(&reply), -EPIPE);
}

static void after_the_end_nothing_is_said(void **state)
{
	(void)state;
	struct transport_reply reply;
	char byte;
	transport->ops->hang_up(transport);
	assert_int_equal(recv(server, &byte, 1, MSG_DONTWAIT),
			 0); /* the server sees it, though the descriptor is open */
	assert_int_equal(call(&reply), -EPIPE);
	transport->ops->hang_up(transport); /* twice is harmless */
}

/* Also not what lies in the socket already: here with the very number of the next request. */
static void what_was_said_before_a_hang_up_answers_nothing(void **state)
{
	(void)state;
	struct transport_reply reply;
	struct proto_rep rep = good_reply();
	rep.error = -ENOSPC;
	send_to_client(server, &rep, sizeof(rep), 1);
	rep.error = 0;
	send_to_client(server, &rep, sizeof(rep), 1);
	unsigned fds = fake_count_fds();
	transport->ops->hang_up(transport);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(call(&reply), -EPIPE);
		assert_int_equal(reply.nfds, 0);
	}
	assert_int_equal(fake_count_fds(), fds);
}

static void a_forked_child_lets_go_of_the_socket(void **state)
{
	(void)state;
	char byte;
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		struct transport_reply reply;
		_exit(call(&reply) != -EPIPE || close_transport(transport) != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(recv(server, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN); /* it is no end for the server: the parent's is open */
	assert_works();
}

static void on_signal(int signal)
{
	(void)signal;
}

/* Signals while it waits, and only then the reply. */
static void *disturb_then_reply(void *waiting)
{
	struct proto_rep rep = good_reply();
	for (unsigned i = 0; i < 500; i++) {
		(void)pthread_kill(*(pthread_t *)waiting, SIGUSR1);
		(void)sched_yield();
	}
	send_to_client(server, &rep, sizeof(rep), 1);
	return NULL;
}

static void a_signal_does_not_disturb_a_call(void **state)
{
	(void)state;
	struct sigaction action = {.sa_handler = on_signal}, old;
	struct transport_reply reply;
	pthread_t thread, self = pthread_self();
	assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
	assert_int_equal(pthread_create(&thread, NULL, disturb_then_reply, &self), 0);
	assert_int_equal(call(&reply), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(reply.nfds, 1);
	assert_int_equal(close(reply.fds[0]), 0);
	assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
}

static void a_socket_where_nobody_serves_is_refused(void **state)
{
	(void)state;
	struct transport *none = (struct transport *)1;
	unsigned fds = fake_count_fds();
	char long_path[200];
	memset(long_path, 'x', sizeof(long_path));
	long_path[0] = '/';
	long_path[sizeof(long_path) - 1] = 0;
	assert_int_equal(transport_socket_open(path, &none), -ENOENT);
	assert_int_equal(close(listen_at(path, SOCK_SEQPACKET)), 0); /* a dead server's */
	assert_int_equal(transport_socket_open(path, &none), -ECONNREFUSED);
	assert_int_equal(unlink(path), 0);
	int stream = listen_at(path, SOCK_STREAM); /* another program's */
	assert_int_equal(transport_socket_open(path, &none), -EPROTO);
	assert_int_equal(close(stream), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(transport_socket_open("", &none), -EINVAL);
	assert_int_equal(transport_socket_open(long_path, &none), -ENAMETOOLONG);
	assert_ptr_equal(none, (struct transport *)1);
	assert_int_equal(fake_count_fds(), fds);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_request_goes_out_whole),
		T(as_many_descriptors_as_a_pool_can_have_come_with_a_reply),
		T(more_descriptors_are_refused_and_closed),
		T(descriptors_without_a_place_here_are_emfile),
		T(what_is_no_reply_is_refused),
		T(an_error_is_understood_in_every_version),
		T(an_error_is_for_the_request_whose_number_it_has),
		T(a_server_that_has_gone_is_epipe),
		T(what_it_said_before_is_heard),
		T(one_that_goes_without_an_answer_is_epipe),
		T(after_the_end_nothing_is_said),
		T(what_was_said_before_a_hang_up_answers_nothing),
		T(a_forked_child_lets_go_of_the_socket),
		T(a_signal_does_not_disturb_a_call),
		cmocka_unit_test(a_socket_where_nobody_serves_is_refused),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
