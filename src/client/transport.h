/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * transport.h - how a request reaches the service, and its reply comes back: through a socket, or by a call.
 *
 * A transport is used by one thread at a time (the connection's lock), but for drain(), wait(), await_open() and await(), which
 * may run beside call().
 */
#ifndef PGMAP_CLIENT_TRANSPORT_H
#define PGMAP_CLIENT_TRANSPORT_H

#include <stdint.h>

#include "client/forkfd.h"
#include "server/protocol.h"

/* A reply, and the descriptors that came with it: the receiver's to close. */
struct transport_reply {
	struct proto_rep rep;
	int fds[PROTO_MAX_FDS];
	unsigned nfds;
};

struct transport;

struct transport_ops {
	/* 0, and the reply's own error in it; -EPIPE nobody answers; -EPROTO what answers is something else. On an error no
	 * descriptor is left in the reply. */
	int (*call)(struct transport *transport, const struct proto_req *req, struct transport_reply *reply);
	/* pgmap_drain_pool(): may wait. */
	int (*drain)(struct transport *transport, int64_t timeout_ms);
	/* A request whose reply may come late, and brings no descriptor: as call(), and what else getting there answers. */
	int (*wait)(struct transport *transport, struct proto_req *req, struct proto_rep *rep);
	/* What a request that waits is waited for with, before it is made; and the wait for the handle of its reply. */
	int (*await_open)(struct transport *transport, struct forkfd *control);
	int (*await)(struct transport *transport, const struct forkfd *control, uint64_t handle);
	/* The end. -EBUSY, nothing changed: an embedded pool whose files are mapped. Threads may be in await_open() and
	 * await() meanwhile, or come there afterwards. */
	int (*close)(struct transport *transport);
	/* Then: nobody will call it any more. */
	void (*free)(struct transport *transport);
	/* Nothing can be said any more: later calls answer -EPIPE. What is held stays with the lease. */
	void (*hang_up)(struct transport *transport);
};

struct transport {
	const struct transport_ops *ops;
	uint64_t service_id; /* of the reply to the hello: what else answers there is another server */
	/* PROTO_MAX_FDS, or null: where a transport that gets the descriptors of a reply from another process puts
	 * them too, the moment it has them. Then they are closed there; on a reply's own error they are by then. */
	struct forkfd *keep;
};

int transport_socket_open(const char *path, struct transport **out); /* path null: the default */
int transport_embedded_open(const char *spec, struct transport **out);

#endif
