/* SPDX-License-Identifier: BSD-3-Clause */
/* server_listen.c - a socket's name has one live server; a dead one's is taken over, and nobody else's. */
#include "server_util.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>

#include "server/listen.h"

enum { PASSRIGHTS = 83 }; /* SO_PASSRIGHTS of Linux 6.16 */

static char dir[64], path[96], lock_path[104];
static char why[LISTEN_WHY_MAX];

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/pgmap-listen-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/s", dir);
	(void)snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
	why[0] = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	(void)unlink(path);
	(void)unlink(lock_path);
	return rmdir(dir);
}

static int connect_to(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	int err = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 ? 0 : -errno;
	assert_int_equal(close(fd), 0);
	return err;
}

static void a_socket_is_there_from_open_to_close(void **state)
{
	(void)state;
	struct listener listener;
	assert_int_equal(listener_open(&listener, path, why), 0);
	assert_string_equal(listener.addr.sun_path, path);
	assert_int_equal(connect_to(&listener.addr), 0);
	struct sockaddr_un addr = listener.addr;
	listener_close(&listener);
	assert_int_equal(connect_to(&addr), -ENOENT);
	assert_int_equal(access(lock_path, F_OK), 0); /* never removed */
	assert_int_equal(listener_open(&listener, path, why), 0);
	assert_int_equal(connect_to(&addr), 0);
	listener_close(&listener);
}

static void a_second_server_is_told_who_the_first_is(void **state)
{
	(void)state;
	struct listener first, second;
	char pid[32];
	(void)snprintf(pid, sizeof(pid), "pid %ld ", (long)getpid());
	assert_int_equal(listener_open(&first, path, why), 0);
	assert_int_equal(listener_open(&second, path, why), -EADDRINUSE);
	assert_non_null(strstr(why, pid));
	assert_int_equal(connect_to(&first.addr), 0);
	/* Without its lock file, too. */
	assert_int_equal(unlink(lock_path), 0);
	why[0] = 0;
	assert_int_equal(listener_open(&second, path, why), -EADDRINUSE);
	assert_non_null(strstr(why, pid));
	assert_int_equal(connect_to(&first.addr), 0);
	listener_close(&first);
	assert_int_equal(listener_open(&second, path, why), 0); /* what was refused let go of the lock */
	listener_close(&second);
}

static void a_name_that_a_dead_server_left_is_taken_over(void **state)
{
	(void)state;
	struct listener dead, listener;
	assert_int_equal(listener_open(&dead, path, why), 0);
	assert_int_equal(close(dead.fd), 0); /* as when its process ends: the name stays */
	assert_int_equal(close(dead.lock_fd), 0);
	assert_int_equal(connect_to(&dead.addr), -ECONNREFUSED);
	assert_int_equal(listener_open(&listener, path, why), 0);
	assert_int_equal(connect_to(&listener.addr), 0);
	listener_close(&listener);
}

/* Between its lock and its socket, and after its socket has gone. */
static void the_lock_alone_keeps_a_second_server_away(void **state)
{
	(void)state;
	struct listener listener;
	int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(listener_open(&listener, path, why), -EADDRINUSE);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(close(fd), 0);
	assert_int_equal(listener_open(&listener, path, why), 0);
	listener_close(&listener);
}

static void what_is_no_socket_is_left_alone(void **state)
{
	(void)state;
	struct listener listener;
	struct stat st;
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "data", 4), 4);
	assert_int_equal(close(fd), 0);
	assert_int_equal(listener_open(&listener, path, why), -EADDRINUSE);
	assert_non_null(strstr(why, "no socket"));
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode) && st.st_size == 4);
}

static void its_directory_is_made_but_not_those_above(void **state)
{
	(void)state;
	struct listener listener;
	struct stat st;
	char made[80], below[96], deep[112];
	(void)snprintf(made, sizeof(made), "%s/d", dir);
	(void)snprintf(below, sizeof(below), "%s/s", made);
	(void)snprintf(deep, sizeof(deep), "%s/no/no/s", dir);
	assert_int_equal(listener_open(&listener, deep, why), -ENOENT);
	assert_non_null(strstr(why, "directory"));
	assert_int_equal(listener_open(&listener, below, why), 0);
	assert_int_equal(stat(made, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	listener_close(&listener);
	(void)snprintf(deep, sizeof(deep), "%s.lock", below);
	assert_int_equal(unlink(deep), 0);
	assert_int_equal(rmdir(made), 0);
}

static void what_fails_leaves_no_name_and_no_lock(void **state)
{
	(void)state;
	struct listener listener;
	char target[96];
	unsigned before = open_descriptors(), more = 0;
	for (;; more++) {
		rlim_t was = few_descriptors(more);
		why[0] = 0;
		int err = listener_open(&listener, path, why);
		descriptors_again(was);
		if (!err)
			break;
		assert_int_equal(err, -EMFILE);
		assert_true(why[0] != 0);
		assert_int_equal(access(path, F_OK), -1);
		assert_int_equal(open_descriptors(), before);
	}
	assert_int_equal(more, 2); /* the lock's, the socket's */
	listener_close(&listener);
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(unlink(lock_path), 0);
	(void)snprintf(target, sizeof(target), "%s/target", dir);
	assert_int_equal(symlink(target, lock_path), 0); /* somebody's trap: it is not followed */
	assert_int_equal(listener_open(&listener, path, why), -ELOOP);
	assert_non_null(strstr(why, "lock file"));
	assert_int_equal(access(target, F_OK), -1);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(open_descriptors(), before);
}

static void a_name_that_is_no_sockets_is_refused(void **state)
{
	(void)state;
	struct listener listener;
	char longer[sizeof(listener.addr.sun_path) + 1];
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	assert_true(listener_open(&listener, "", why) < 0);
	assert_true(why[0] != 0);
	why[0] = 0;
	assert_true(listener_open(&listener, longer, why) < 0);
	assert_true(why[0] != 0);
}

/* Whether the kernel can refuse them for us. */
static bool kernel_refuses(void)
{
	int off = 0, fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	bool known = setsockopt(fd, SOL_SOCKET, PASSRIGHTS, &off, sizeof(off)) == 0;
	assert_int_equal(close(fd), 0);
	return known;
}

static int send_descriptor(int to)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t) "x", .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	*cmsg = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
	memcpy(CMSG_DATA(cmsg), &to, sizeof(to));
	return sendmsg(to, &msg, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

/* Before a connection is taken and after. */
static void no_descriptor_comes_in_where_the_kernel_can_say_so(void **state)
{
	(void)state;
	struct listener listener;
	int want = kernel_refuses() ? -EPERM : 0;
	assert_int_equal(listener_open(&listener, path, why), 0);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&listener.addr, sizeof(listener.addr)), 0);
	assert_int_equal(send_descriptor(fd), want);
	int taken = accept(listener.fd, NULL, NULL);
	assert_true(taken >= 0);
	assert_int_equal(send_descriptor(fd), want);
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(send_descriptor(taken), 0); /* the other way they go */
	assert_int_equal(close(fd) | close(taken), 0);
	listener_close(&listener);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_socket_is_there_from_open_to_close),
		T(a_second_server_is_told_who_the_first_is),
		T(a_name_that_a_dead_server_left_is_taken_over),
		T(the_lock_alone_keeps_a_second_server_away),
		T(what_is_no_socket_is_left_alone),
		T(no_descriptor_comes_in_where_the_kernel_can_say_so),
		T(its_directory_is_made_but_not_those_above),
		T(what_fails_leaves_no_name_and_no_lock),
		T(a_name_that_is_no_sockets_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
