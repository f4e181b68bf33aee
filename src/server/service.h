/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * service.h - the pool as a service, whatever carries the messages: the socket server (server.c) and the embedded client
 * (client/transport_embedded.c) call the same functions.
 *
 * Thread safety: every call from any thread, under the service's own lock; a session is used by one thread at a time, and
 * ends with service_disconnect() or service_lease_gone().
 */
#ifndef PGMAP_SERVER_SERVICE_H
#define PGMAP_SERVER_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "dev/dev.h"
#include "server/protocol.h"

struct devices;
struct lease;
struct service;
struct session;

struct service_reply {
	struct proto_rep rep;
	int fds[PROTO_MAX_FDS]; /* whoever gets the reply passes them on, and closes them */
	unsigned nfds;
};

/* service_create - an empty pool on the device of this spec (null: memfd, half of the memory that is free). why gets the
 * clause for an error line. service_destroy - -EBUSY while anybody maps or is connected; null: 0. */
int service_create(const char *spec, struct service **out, char why[DEV_WHY_MAX]);
/* service_create_on - of several devices: as devices_open() (devices.h), and what service_create() says. */
int service_create_on(const char *const specs[], unsigned n, const char *layout, struct service **out, unsigned *which,
		      char why[DEV_WHY_MAX]);
int service_destroy(struct service *service);

/* service_set_wiping - as fsdax_set_wiping(); a service begins with no memory kept, and this share of a CPU. */
enum { SERVICE_WIPE_PERCENT = 25 };
int service_set_wiping(struct service *service, uint64_t keep_bytes, unsigned cpu_percent);

/* What a user may do here. The server's own user and root are owners: they alone fence and drain. What others may do, the
 * server's user says (default: write, for those who can reach the socket). */
enum service_role { SERVICE_UNSAID, SERVICE_NOBODY, SERVICE_READER, SERVICE_WRITER, SERVICE_OWNER };
void service_set_others(struct service *service, enum service_role role); /* before the first session */

/* What an operator wants to find in a log afterwards. */
enum service_event {
	SERVICE_STILL_MAPPED, /* a holder's connection has ended, and the kernel maps for it still */
	SERVICE_ENDED,        /* its last mapping has gone; not said of those that had none when they left */
	SERVICE_QUARANTINED,  /* it has left pages with REMOTE pins */
	SERVICE_FENCED,       /* somebody said that these are fenced: whose they were */
	SERVICE_DRAIN,        /* somebody drains the pool: who */
	SERVICE_DRAIN_CANCELLED,
	SERVICE_DEVICE_ADDED, /* a device has come to the pool: which */
	SERVICE_DEVICE_LEAVING,
	SERVICE_DEVICE_LEFT,
	SERVICE_DEVICE_STAYS, /* its removal was called off */
};
struct service_whom {
	uint64_t holder; /* 0: a connection that holds nothing */
	pid_t pid;
	uid_t uid;
	const char *command; /* without control characters; valid during the call */
	int64_t pages;       /* of QUARANTINED and FENCED */
	const char *device;  /* of DEVICE_...: its spec, and nobody */
};
typedef void service_event_fn(void *arg, enum service_event event, const struct service_whom *whom);
/* fn is called under the service's lock: it may neither call the service, nor wait. Before the first session. */
void service_on_event(struct service *service, service_event_fn *fn, void *arg);

/* A session that has not said HELLO: small, and without a descriptor. Null: no memory. */
struct session *service_connect(struct service *service, pid_t pid, uid_t uid);

enum service_next {
	SERVICE_REPLY = 0, /* send the reply */
	SERVICE_CLOSE = 1, /* send it, then end the connection: it does not speak this protocol */
	SERVICE_WAIT =
		2, /* DRAIN: reply when service_drained() says so; AWAIT: with service_pending_result(); else with
			    * service_change_result() of the reply's handle */
	SERVICE_LATER = 3 /* nothing has happened: service_supply(), then service_handle() with the same message */
};
/* service_handle - do what the message says. It may be anything: len_bytes of what came. */
enum service_next service_handle(struct session *session, const void *msg, size_t len_bytes, struct service_reply *out);
/* service_unhurried - this session's requests may be answered SERVICE_LATER, when they need more memory than can be made
 * ready while others wait. service_supply - make it ready: by any thread, and it takes as long as it takes. The session
 * neither sends another message nor ends before the first has its reply. */
void service_unhurried(struct session *session);
void service_supply(struct session *session);
void service_refuse(struct service_reply *out, const struct proto_req *req, int err); /* a reply that says only this */

/* service_disconnect - nobody will send for it any more. True: it has ended. False: the kernel still maps the device on its
 * behalf, and leases are wanted.
 * service_lease_wanted - after each request, and that: a lease that something waits for, each once; null: no more. Ask
 * with service_lease_probe() (as dev_lease_probe()), or wait with service_lease_wait() (as dev_lease_wait()), which takes no lock
 * while it waits; then call service_lease_gone(), which may end the session.
 * service_lease_unwatched - nobody can wait for it now, and it is wanted still. Whoever waits in the service itself (service_await(),
 * service_change_await(), service_drain_until()) asks about such leases, once a second. */
bool service_disconnect(struct session *session);
struct lease *service_lease_wanted(struct session *session);
void service_lease_unwatched(struct lease *lease);
int service_lease_probe(struct service *service, const struct lease *lease);
int service_lease_wait(struct service *service, const struct lease *lease);
void service_lease_gone(struct lease *lease);
/* The same for an embedded pool, where the kernel need not be asked. False, nothing changed: it maps. */
bool service_end_embedded(struct session *session);
int service_session_event(const struct session *session); /* the eventfd, or -1 before HELLO */

/*
 * Requests that wait for pages (pending.h), by the number that is the handle of their reply.
 * service_check_pending - after anything happened: those that can end do; the answer is the deadline at which it is to be
 * called again. service_pending_result - how it ended, once; -EINPROGRESS; -EBADF. service_pending_cancel - it shall not be.
 * service_await - wait for it, where no loop does.
 */
uint64_t service_check_pending(struct service *service);
int service_pending_result(struct service *service, uint64_t id);
void service_pending_cancel(struct service *service, uint64_t id);
int service_await(struct service *service, uint64_t id);

/*
 * Devices that come and go (change.h), by the number that SERVICE_WAIT gives.
 * service_check_changes - after anything happened: those that can go on do; when it is to be called again.
 * service_change_result - how it has ended (the error, and the rest of the reply), once; -EINPROGRESS; late: who waits for what is
 * still held waits no longer, -ETIMEDOUT. service_change_leave - who waited does not. service_change_await - wait, where no loop does.
 * service_wake_fd - an eventfd that is written when one has gone on. service_changes_run - a thread opens or
 * closes a device. service_settle - none does any more.
 */
uint64_t service_check_changes(struct service *service);
int service_change_result(struct service *service, uint64_t id, bool late, struct proto_rep *rep);
void service_change_leave(struct service *service, uint64_t id);
int service_change_await(struct service *service, uint64_t id, uint64_t deadline_ns, struct proto_rep *rep);
void service_wake_fd(struct service *service, int event_fd);
bool service_changes_run(struct service *service);
void service_settle(struct service *service);

/* service_check_devices - has the system taken a device away (dev_check)? Then there are no more mappings and no more pins of
 * what it has from now on (-ENODEV); what is held stays so until it is let go. True: one or more are gone. */
bool service_check_devices(struct service *service);

/* Pages that lose their data (c6.5). service_tell_lost - this eventfd is written when there is something to say of them (-1: none).
 * service_take_lost - that, as a line, without a newline; false: nothing more. Whoever pins them is told from then on (-EHWPOISON). */
void service_tell_lost(struct service *service, int event_fd);
bool service_take_lost(struct service *service, char *text, size_t text_bytes);

/* The system's lists of bad blocks (badblocks.h). service_badblocks_fd - readable when one has changed; the service's own; -1 and errno;
 * before the first session. service_check_badblocks - then: what is new on it has lost its data. Requests that ask what is lost look by
 * themselves. */
int service_badblocks_fd(struct service *service);
void service_check_badblocks(struct service *service);

/* service_drain - no new folios, no new pins (c7.9). service_drained - then: 0 nothing is held any more, and it is final;
 * -ETIMEDOUT something is; -ECANCELED the drain was called off. service_drains_called_off - how many were: who waits for one sees by
 * that that it was, though another has begun. */
void service_drain(struct service *service);
enum pgmap_state service_state(struct service *service); /* of the pool */
int service_drained(struct service *service);
uint64_t service_drains_called_off(struct service *service);
/* service_drain_until - both, where no loop does: waits until then. */
int service_drain_until(struct service *service, uint64_t deadline_ns);
int service_drain_cancel(struct service *service); /* -ENODEV: too late */
/* One line that names who is waited for, without a newline; empty: nobody. */
void service_waits_for(struct service *service, char *buf, size_t buf_bytes);

const struct devices *service_devices(const struct service *service);
uint64_t service_pages(struct service *service);

#endif
