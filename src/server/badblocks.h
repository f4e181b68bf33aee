/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * badblocks.h - the lists of bad blocks that the system keeps of devices (dev_for_each_bad): read when a device comes to the pool, and
 * again whenever the system says that one has changed.
 *
 * What is new on a list is told like any memory error: dax_notify_failure(), so it is recorded, not handed out, and said in one line
 * of the log (lost.h). What is no longer on a list stays as it is: pages become good when they are repaired, and not before.
 *
 * The lists are waited for in an epoll descriptor of their own, so that devices come and go without the loop's being told. They are
 * in it edge by edge: however often a list changes between two looks it is read once, and one that is ready for good, as that of
 * a device that has gone is, says so once. Where there is no loop (an embedded pool), the requests look that ask for it.
 *
 * Under service.lock, but for badblocks_init(), _exit(), and _fd() before there are threads.
 */
#ifndef PGMAP_SERVER_BADBLOCKS_H
#define PGMAP_SERVER_BADBLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/protocol.h"

struct dax_device;
struct dev;
struct service;

struct badblocks {
	int epoll_fd; /* of the lists; -1: none has been waited for yet */
	int failed
		[PROTO_DEVICES_MAX]; /* why the list of this device cannot be waited for, or could not be read again; or 0 */
	bool unsaid[PROTO_DEVICES_MAX];
};

void badblocks_init(struct badblocks *badblocks);
void badblocks_exit(struct badblocks *badblocks);

/* badblocks_read - what is on the list, and new, has lost its data: also of a device that is in no pool, without the lock. What
 * dev_for_each_bad() says, -ENOMEM. badblocks_watch - device i is in the pool, and was read: wait for more; where that cannot be, it is to
 * be said. badblocks_end - before it leaves; also of one that is not waited for. */
int badblocks_read(const struct dev *dev, struct dax_device *memory);
void badblocks_watch(struct service *service, unsigned i);
void badblocks_end(struct service *service, unsigned i);

/* badblocks_fd - readable when badblocks_check() has something to do; -1 it cannot be made (errno). */
int badblocks_fd(struct service *service);
/* badblocks_check - never waits: the lists that have changed are read again. One that cannot be read leaves all as it was, and is to be
 * said (lost_wake()), once until it can be again. badblocks_take_failure - that, as a line; false: nothing is to be said. */
void badblocks_check(struct service *service);
bool badblocks_take_failure(struct service *service, char *text, size_t text_bytes);

#endif
