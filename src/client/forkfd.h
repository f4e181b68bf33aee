/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * forkfd.h - descriptors that a child of fork() must not keep: a connection's socket, lease and eventfd. A child that had
 * them would hide the parent's end from the server, and would keep what the parent has given back.
 *
 * Such a descriptor is on a list from the moment it exists: who makes one calls forkfd_lock() before the system call that
 * does, and forkfd_add() before forkfd_unlock(). fork() takes the same lock, so what is done between the two must not
 * wait: a fork waits for one socket(), one recvmsg() that has its message, one mmap(), and never for a server. In the child
 * a handler closes what is on the list before fork() returns.
 *
 * The lock is the innermost of the client, and is not taken twice. The list's handlers are there before the program can
 * make a connection: when the library is loaded.
 */
#ifndef PGMAP_CLIENT_FORKFD_H
#define PGMAP_CLIENT_FORKFD_H

#include <stdatomic.h>
#include <sys/queue.h>

/* fd -1: none, and not on the list. */
struct forkfd {
	LIST_ENTRY(forkfd) link;
	int fd;
};

/* Counted up in every child: what an earlier one has made is not this process's. */
extern atomic_uint client_generation;
/* Forks that this process has begun, counted under the lock, before there is a child; and those of them that are over: the
 * child is there, or there will be none. */
unsigned client_forks_begun(void);
unsigned client_forks_over(void);

void forkfd_lock(void);
void forkfd_unlock(void);
void forkfd_add(struct forkfd *forkfd, int fd);           /* locked */
void forkfd_close(struct forkfd *forkfd);                 /* not locked; of none: nothing */
void forkfd_move(struct forkfd *to, struct forkfd *from); /* not locked; from another place, which has none then */

#endif
