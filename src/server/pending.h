/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pending.h - requests that wait until nobody holds the pages that they take away (PROTO_HOW_WAIT).
 *
 * Such a request belongs to the connection that made it, and has an answer at once: 0, an error, or the number under which
 * its end can be asked for with AWAIT, on another connection, as this one goes on to be used: for the unmap, say, that the
 * request waits for. It ends by itself when the pages are free, at its deadline (-ETIMEDOUT), when the pool drains
 * (-ENODEV); and is called off (nothing has changed) when its connection ends, or the one that awaits it. What has ended is
 * kept until it is asked for. Numbers are random: nobody awaits another's.
 *
 * While it waits, the words of the spans have the reason PINWORD_WAIT (session_taking), so that new pins answer -EAGAIN.
 *
 * All puts of a pool's pages are made under service.lock; whoever holds it and may have put some calls pending_check()
 * before it goes to sleep: the loop after each round, an embedded client's thread that waits for pending_cond.
 * All under service.lock.
 */
#ifndef PGMAP_SERVER_PENDING_H
#define PGMAP_SERVER_PENDING_H

#include <stdint.h>

#include "fs/taking.h"
#include "server/session.h"

enum { PENDING_MAX = 64 }; /* of one connection */

struct pending {
	TAILQ_ENTRY(pending) link;
	struct session *session;
	uint64_t id;
	uint64_t deadline_ns;
	int result; /* -EINPROGRESS: it waits */
	struct taking taking;
};

void pending_init(struct service *service); /* also its lock, which the condition is of */

/* pending_new - for a taking that is to be prepared in it; -ENOMEM, -EUSERS too many. pending_free: it could not be.
 * pending_begin - do what it says: 0 and *id 0, an error (and it is free), or 0 and the number of one that waits. */
int pending_new(struct session *session, struct pending **out);
void pending_free(struct pending *pending);
int pending_begin(struct pending *pending, enum fsdax_mode mode, int64_t timeout_ms, uint64_t *id);

/* pending_check - those that can end do. The answer: the first deadline of the rest. */
uint64_t pending_check(struct service *service);
/* pending_result - how it ended, once; -EINPROGRESS not yet; -EBADF: no such number. */
int pending_result(struct service *service, uint64_t id);
void pending_cancel(struct service *service, uint64_t id);
void pending_cancel_all(struct session *session);
/* pending_end_all - an embedded pool ends, in which nothing is held: what waits ends too, or is told -EPIPE; and who awaits it
 * has heard of that when this returns. */
void pending_end_all(struct session *session);
/* pending_sleep - where no loop does: until something has happened that may be waited for, or until_ns. Leases that nobody watches
 * are asked about, once a second. */
void pending_sleep(struct service *service, uint64_t until_ns);
/* pending_drain - the pool is dying: all of them end. */
void pending_drain(struct service *service);

#endif
