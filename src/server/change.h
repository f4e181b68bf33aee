/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * change.h - devices that come to the pool, or leave it, while it serves.
 *
 * Opening a device, and closing it (all its memory is given back), can take long; both are done by a helper thread that has
 * the device for itself: it is in no pool then. What is between is done under service.lock.
 *
 *   add     OPENING (a thread) ─────────────────▶ in the pool: ENDED 0
 *   remove  HELD (files own nothing there; whoever holds a page is waited for) ──▶ CLOSING (a thread) ──▶ ENDED 0
 *             └── cancelled, or the others are gone: ENDED -ECANCELED
 *
 * A file that has lost its name, and is open or mapped, owns its pages until it is neither: that is waited for as well.
 * HELD ends when nobody holds a page: every put of a page, and every close of a file, is made under service.lock, and whoever has it
 * calls changes_check() before it sleeps, as it does with pending_check(). Only what the pool gives back to the system by a thread of its own is not
 * heard of: then changes_check() says when to look again. Nobody's descriptors are waited for: a client that has some of a device
 * that has left can map it still, as it could map anything of it before (c7.6), and no pool's pages are there any more.
 *
 * A device is listed as one that leaves until it is closed: who sees it no more can take it out of the machine, or give it to
 * another server. Until then nobody has its number, and what comes to the pool waits before it is looked at.
 *
 * A change belongs to the pool, and not to who asked for it: a removal goes on when its client has gone. It is kept until it has
 * ended and all who wait for it have been told. All under service.lock, but for what is called by clients' threads (service.h).
 *
 * A drain kills the device with all others, and a removal that is called off while the pool drains leaves it so. What is removed
 * while it drains leaves, or the drain ends before: then nothing is held, and it has left as well.
 */
#ifndef PGMAP_SERVER_CHANGE_H
#define PGMAP_SERVER_CHANGE_H

#include "server/session.h"

enum change_phase { CHANGE_OPENING, CHANGE_HELD, CHANGE_CLOSING, CHANGE_ENDED };

struct change {
	TAILQ_ENTRY(change) link;
	struct service *service;
	uint64_t id;
	enum change_phase phase;
	unsigned number;           /* the device's, once it is in the pool; then that which it had */
	struct opened device;      /* OPENING, CLOSING: the thread's */
	struct proto_device shown; /* CLOSING: it is listed still */
	uint64_t *bytes;           /* of all leases, rising: whoever locks one of these is a client of ours */
	size_t nbytes;
	unsigned waiters;
	int result; /* -EINPROGRESS until it has ended */
	char spec[PROTO_PATH_MAX];
	char why[DEV_WHY_MAX];
};

/* change_add - begin to open it. change_remove - begin, or wait for one that has begun already. 0 and *id: to be asked for by
 * this number, once; or an error, and why, and nothing has happened. change_cancel - 0 it stays, -EINVAL it is not leaving,
 * -ENODEV too late. All: -ENOENT there is no such device. spec "": whatever it is called. */
int change_add(struct service *service, const char *spec, uint64_t *id, char why[DEV_WHY_MAX]);
int change_remove(struct service *service, uint64_t number, const char *spec, uint64_t *id, char why[DEV_WHY_MAX]);
int change_cancel(struct service *service, uint64_t number, const char *spec, char why[DEV_WHY_MAX]);

/* changes_check - what is held no more goes on; when to look again. */
uint64_t changes_check(struct service *service);
/* In change_wait.c. change_result - how it has ended, to one of those who wait, who then does so no more; -EINPROGRESS. late: who waits for something that is
 * held still waits no longer: -ETIMEDOUT. why and the device's number: of those that can have it. change_leave: it waits no more. */
int change_result(struct service *service, uint64_t id, bool late, uint64_t *number, char why[DEV_WHY_MAX]);
void change_leave(struct service *service, uint64_t id);
void change_forget(struct change *change); /* one that has ended, and for which nobody waits */

/* changes_call_off - a device is gone: where no other is left, those that are leaving stay; or are told that they do not leave. */
void changes_call_off(struct service *service);

bool changes_run(const struct service *service); /* a thread does */
void changes_forget(struct service *service);    /* the pool ends */

#endif
