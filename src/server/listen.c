/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * listen.c - the server's socket: made, guarded against a second server, taken over from a dead one.
 *
 * PATH.lock is locked (flock) before the socket's name is looked at, and until the end; it is never removed, so two
 * servers that start at once agree on the file that they lock. A server that has the lock and finds a socket on which
 * nobody listens owns the name: it is removed and bound anew. A socket on which somebody listens all the same (a server
 * whose lock file was removed, another program) is left alone.
 */
#include "server/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/sockpath.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16 */
#endif

enum { BACKLOG = 128 };

__attribute__((format(printf, 3, 4))) static int refuse(char why[LISTEN_WHY_MAX], int err, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(why, LISTEN_WHY_MAX, format, args);
	va_end(args);
	return err;
}

static int make_directory(const char *path, char why[LISTEN_WHY_MAX])
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	(void)snprintf(dir, sizeof(dir), "%s", path);
	char *slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = 0;
	if (mkdir(dir, 0700) == 0 || errno == EEXIST)
		return 0;
	int err = -errno;
	return refuse(why, err, "its directory cannot be made: %s (say another with --socket)", strerror(-err));
}

/* Whether somebody listens there: the process, 0 if the system does not tell, or -errno. */
static long listening_pid(const struct sockaddr_un *addr)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);
	long answer = 0;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) != 0)
		answer = -errno;
	else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		answer = peer.pid;
	(void)close(fd);
	return answer;
}

static int in_use(const struct sockaddr_un *addr, char why[LISTEN_WHY_MAX])
{
	long pid = listening_pid(addr);
	if (pid > 0)
		return refuse(why, -EADDRINUSE, "in use by pid %ld (stop it, or say another with --socket)", pid);
	return refuse(why, -EADDRINUSE, "in use by another process (stop it, or say another with --socket)");
}

static int take_lock(struct listener *listener, char why[LISTEN_WHY_MAX])
{
	char path[sizeof(listener->addr.sun_path) + 8];
	(void)snprintf(path, sizeof(path), "%s.lock", listener->addr.sun_path);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return refuse(why, -errno, "its lock file cannot be opened: %s", strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		int err = -errno;
		(void)close(fd);
		return err == -EWOULDBLOCK ? in_use(&listener->addr, why) : refuse(why, err, "%s", strerror(-err));
	}
	listener->lock_fd = fd;
	return 0;
}

/* With the lock held: a name that a dead server left goes. */
static int clear_name(const struct sockaddr_un *addr, char why[LISTEN_WHY_MAX])
{
	struct stat st;
	if (lstat(addr->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : refuse(why, -errno, "%s", strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return refuse(why, -EADDRINUSE, "there is something that is no socket (say another with --socket)");
	if (listening_pid(addr) != -ECONNREFUSED)
		return in_use(addr, why);
	return unlink(addr->sun_path) == 0 ? 0 : refuse(why, -errno, "%s", strerror(errno));
}

static int bind_and_listen(struct listener *listener, char why[LISTEN_WHY_MAX])
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return refuse(why, -errno, "%s", strerror(errno));
	/* No client's message may bring a descriptor: the last close of one can take as long as its sender likes (a socket
	 * that lingers), and it would be ours. The connections inherit this. An older kernel does not know it. */
	(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &(int){0}, sizeof(int));
	if (bind(fd, (const struct sockaddr *)&listener->addr, sizeof(listener->addr)) != 0 ||
	    listen(fd, BACKLOG) != 0) {
		int err = -errno;
		(void)close(fd);
		return refuse(why, err, "%s", strerror(-err));
	}
	listener->fd = fd;
	return 0;
}

int listener_open(struct listener *listener, const char *path, char why[LISTEN_WHY_MAX])
{
	int err = sockpath_resolve(path, &listener->addr);
	if (err)
		return refuse(why, err,
			      "it is empty or longer than a socket's name can be (say another with --socket)");
	err = make_directory(listener->addr.sun_path, why);
	if (!err)
		err = take_lock(listener, why);
	if (err)
		return err;
	err = clear_name(&listener->addr, why);
	if (!err)
		err = bind_and_listen(listener, why);
	if (err)
		(void)close(listener->lock_fd);
	return err;
}

int listener_set_mode(const struct listener *listener, mode_t mode)
{
	return chmod(listener->addr.sun_path, mode) == 0 ? 0 : -errno;
}

void listener_close(struct listener *listener)
{
	(void)unlink(listener->addr.sun_path);
	(void)close(listener->fd);
	(void)close(listener->lock_fd);
}
