/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_forkfd.c - a child of fork() has no descriptor of a connection of its parent's, whenever in the making of that
 * connection the fork comes, and no fork waits for a server.
 */
#include "fake.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { FDS = 256, CONNECTIONS = 1000, YIELDS = 10, MAPS_BYTES = 1 << 20 };

static char folder[] = "/tmp/pgmap-forkfd-XXXXXX";
static struct sockaddr_un addr = {.sun_family = AF_UNIX};
static int listener;
static bool known[FDS]; /* open before there was a connection */

/* Behind each step that makes something, and before the one that hides it, a fork gets its chance. */
int __wrap_socket(int domain, int type, int protocol);
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);
int __wrap_madvise(void *at, size_t bytes, int advice);
int __real_socket(int domain, int type, int protocol);
ssize_t __real_recvmsg(int fd, struct msghdr *msg, int flags);
int __real_madvise(void *at, size_t bytes, int advice);

static void give_way(void)
{
	for (unsigned i = 0; i < YIELDS; i++)
		(void)sched_yield();
}

int __wrap_socket(int domain, int type, int protocol)
{
	int fd = __real_socket(domain, type, protocol);
	give_way();
	return fd;
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t n = __real_recvmsg(fd, msg, flags);
	int err = errno;
	give_way();
	errno = err;
	return n;
}

int __wrap_madvise(void *at, size_t bytes, int advice)
{
	give_way();
	return __real_madvise(at, bytes, advice);
}

static int set_up(void **state)
{
	(void)state;
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	return listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(listener, 4) != 0;
}

static int tear_down(void **state)
{
	(void)state;
	return close(listener) != 0 || unlink(addr.sun_path) != 0;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) != -1;
}

static void look_what_is_open(void)
{
	for (int fd = 0; fd < FDS; fd++)
		known[fd] = is_open(fd);
}

/* Whether this process maps a segment of pin words. */
static bool has_words(void)
{
	static char maps[MAPS_BYTES];
	size_t len = 0;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	for (ssize_t n; (n = read(fd, maps + len, sizeof(maps) - 1 - len)) > 0;)
		len += (size_t)n;
	(void)close(fd);
	return len == 0 || strstr(maps, "memfd:words") != NULL;
}

/* In a child. What is left of the parent's connections: bit 0 a descriptor, bit 1 the words. */
static int look_for_leftovers(void)
{
	int left = 0;
	for (int fd = 0; fd < FDS; fd++)
		left |= is_open(fd) && !known[fd];
	return left | has_words() << 1;
}

static int leftovers_in_a_child(void)
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(look_for_leftovers());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void answer_hello(int fd)
{
	struct proto_req req;
	struct proto_rep rep = {.magic = PROTO_MAGIC, .version = PROTO_VERSION, .type = PROTO_HELLO};
	union {
		char bytes[CMSG_SPACE(1 + PROTO_HELLO_FDS * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = &rep, .iov_len = sizeof(rep)};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control)};
	int words = memfd_create("words", MFD_CLOEXEC);
	int fds[1 + PROTO_HELLO_FDS] = {fd, words, fd}; /* nobody looks at what lease and eventfd are */
	assert_int_equal(recv(fd, &req, sizeof(req), 0), sizeof(req));
	assert_int_equal(ftruncate(words, FAKE_WORDS * sizeof(pinword_t)), 0);
	rep.seq = req.seq;
	rep.u.hello.words = FAKE_WORDS;
	rep.u.hello.ndevices = 1;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), sizeof(rep));
	assert_int_equal(close(words), 0);
}

static void *connect_once(void *out)
{
	assert_int_equal(pgmap_connect(addr.sun_path, out), 0);
	return NULL;
}

static void what_is_on_the_list_is_closed_in_a_child(void **state)
{
	(void)state;
	struct forkfd kept = {.fd = -1};
	look_what_is_open();
	forkfd_close(&kept); /* of none */
	forkfd_lock();
	int fd = fake_memfd(PAGE);
	forkfd_add(&kept, fd);
	forkfd_unlock();
	assert_int_equal(leftovers_in_a_child(), 0);
	assert_true(is_open(fd));
	assert_int_equal(kept.fd, fd);
	forkfd_close(&kept);
	assert_int_equal(kept.fd, -1);
	assert_false(is_open(fd));
	assert_int_equal(leftovers_in_a_child(), 0);
}

/* The hello is there and is not answered: the fork waits neither for the server nor for the other thread. */
static void c7_8_a_child_has_no_socket_of_a_connection_that_is_being_made(void **state)
{
	(void)state;
	struct pgmap_client *client;
	struct proto_req req;
	pthread_t thread;
	look_what_is_open();
	assert_int_equal(pthread_create(&thread, NULL, connect_once, &client), 0);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0 && fd < FDS);
	known[fd] = true; /* the server's end */
	assert_int_equal(leftovers_in_a_child(), 0);
	assert_int_equal(recv(fd, &req, sizeof(req), MSG_PEEK), sizeof(req));
	assert_int_equal(leftovers_in_a_child(), 0);
	answer_hello(fd);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(leftovers_in_a_child(), 0);
	assert_int_equal(pgmap_disconnect(client), 0);
	assert_int_equal(close(fd), 0);
}

/* In a process of its own, as its ends must not be in the children. Until it is killed. */
static pid_t start_server(void)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	for (;;) {
		char byte;
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		answer_hello(fd);
		(void)!recv(fd, &byte, 1, 0); /* the client's end */
		(void)close(fd);
	}
}

static atomic_bool connected_all;

static pthread_barrier_t no_more_children;

static void *connect_often(void *arg)
{
	struct pgmap_client *client;
	(void)arg;
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		connect_once(&client);
		assert_int_equal(pgmap_disconnect(client), 0);
	}
	atomic_store(&connected_all, true);
	(void)pthread_barrier_wait(
		&no_more_children); /* in a child it is running, not ended and waiting to be joined */
	return NULL;
}

static void c7_8_a_child_has_nothing_of_a_connection_wherever_its_making_is(void **state)
{
	(void)state;
	pthread_t thread;
	int status, left = 0;
	pid_t server = start_server();
	assert_true(server > 0);
	atomic_init(&connected_all, false);
	assert_int_equal(pthread_barrier_init(&no_more_children, NULL, 2), 0);
	look_what_is_open();
	assert_int_equal(pthread_create(&thread, NULL, connect_often, NULL), 0);
	while (!atomic_load(&connected_all))
		left |= leftovers_in_a_child();
	(void)pthread_barrier_wait(&no_more_children);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(pthread_barrier_destroy(&no_more_children), 0);
	assert_int_equal(kill(server, SIGKILL), 0);
	assert_int_equal(waitpid(server, &status, 0), server);
	assert_int_equal(left, 0);
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
		T(what_is_on_the_list_is_closed_in_a_child),
		T(c7_8_a_child_has_no_socket_of_a_connection_that_is_being_made),
		T(c7_8_a_child_has_nothing_of_a_connection_wherever_its_making_is),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
