/* SPDX-License-Identifier: BSD-3-Clause */
/* forkfd.c - what a child of fork() must not keep, and the handlers that take it away. See forkfd.h. */
#include "client/forkfd.h"

#include <pthread.h>
#include <stddef.h>
#include <unistd.h>

#include "port/abort.h"

atomic_uint client_generation = 1;
static atomic_uint forks_begun, forks_over; /* changed under the lock */

static LIST_HEAD(, forkfd) forkfds = LIST_HEAD_INITIALIZER(forkfds);
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void forkfd_lock(void)
{
	(void)pthread_mutex_lock(&lock);
}

void forkfd_unlock(void)
{
	(void)pthread_mutex_unlock(&lock);
}

void forkfd_add(struct forkfd *forkfd, int fd)
{
	forkfd->fd = fd;
	LIST_INSERT_HEAD(&forkfds, forkfd, link);
}

/* Closed under the lock: or the number could be somebody else's by the time that a child closes it. */
void forkfd_close(struct forkfd *forkfd)
{
	if (forkfd->fd < 0)
		return;
	forkfd_lock();
	LIST_REMOVE(forkfd, link);
	(void)close(forkfd->fd);
	forkfd->fd = -1;
	forkfd_unlock();
}

unsigned client_forks_begun(void)
{
	return atomic_load_explicit(&forks_begun, memory_order_seq_cst);
}

unsigned client_forks_over(void)
{
	return atomic_load_explicit(&forks_over, memory_order_seq_cst);
}

void forkfd_move(struct forkfd *to, struct forkfd *from)
{
	forkfd_lock();
	LIST_REMOVE(from, link);
	forkfd_add(to, from->fd);
	from->fd = -1;
	forkfd_unlock();
}

static void before_fork(void)
{
	forkfd_lock();
	(void)atomic_fetch_add_explicit(&forks_begun, 1, memory_order_seq_cst);
}

static void after_fork(void)
{
	atomic_store_explicit(&forks_over, client_forks_begun(), memory_order_seq_cst);
	forkfd_unlock();
}

/* Another thread of the parent may have been anywhere: only what is stable under the lock is looked at. */
static void after_fork_child(void)
{
	struct forkfd *forkfd;
	(void)atomic_fetch_add_explicit(&client_generation, 1, memory_order_relaxed);
	LIST_FOREACH (forkfd, &forkfds, link) {
		(void)close(forkfd->fd);
		forkfd->fd = -1;
	}
	LIST_INIT(&forkfds); /* a grandchild has nothing left to close */
	after_fork();
}

/* At the first connection would be too late: a fork that has begun in another thread runs no handler that comes then. */
__attribute__((constructor)) static void install_fork_handlers(void)
{
	int err = pthread_atfork(before_fork, after_fork, after_fork_child);
	if (err)
		port_abort("client: no room for the handlers of fork: error=%d", err);
}
