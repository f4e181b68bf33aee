/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * transport_embedded.c - a pool of this program's own: the server's service, called directly. One session.
 *
 * There is no loop that could wait for leases (those of forked children that still map what was unmapped here), so each has
 * a thread that ends with it. Where no thread can be had, its lease is asked about at every call, and by who waits in the
 * service.
 */
#include "client/transport.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pgmap/pgmap.h>

#include "port/abort.h"
#include "port/thread.h"
#include "server/leases.h"
#include "server/service.h"

enum { RETRY_MS = 1000 };

struct embedded_transport {
	struct transport transport;
	struct service *service;
	struct session *session;
};

static struct embedded_transport *of(struct transport *transport)
{
	return (struct embedded_transport *)transport;
}

static void *lease_thread(void *arg)
{
	struct lease *lease = arg;
	while (service_lease_wait(lease->waiter, lease) != 0)
		(void)poll(NULL, 0, RETRY_MS); /* a signal, or the kernel has no room for a lock now */
	service_lease_gone(lease);
	return NULL;
}

static void watch_leases(struct embedded_transport *t)
{
	struct lease *lease;
	while ((lease = service_lease_wanted(t->session)) != NULL) {
		lease->waiter = t->service;
		if (port_thread_start(NULL, 0, lease_thread, lease) == 0)
			continue;
		service_lease_unwatched(lease);
		break;
	}
}

static int embedded_call(struct transport *transport, const struct proto_req *req, struct transport_reply *reply)
{
	struct service_reply out;
	(void)service_handle(of(transport)->session, req, sizeof(*req), &out);
	reply->rep = out.rep;
	reply->nfds = out.nfds;
	memcpy(reply->fds, out.fds, out.nfds * sizeof(int));
	watch_leases(of(transport));
	return 0;
}

static int embedded_drain(struct transport *transport, int64_t timeout_ms)
{
	struct service *service = of(transport)->service;
	uint64_t deadline_ns = timeout_ms < 0 ? PGMAP_NO_DEADLINE : pgmap_deadline_in((uint64_t)timeout_ms);
	return service_drain_until(service, deadline_ns);
}

static int embedded_wait(struct transport *transport, struct proto_req *req, struct proto_rep *rep)
{
	struct service_reply out;
	uint64_t deadline_ns = PGMAP_NO_DEADLINE;
	if (req->timeout_ms > 0 && req->timeout_ms < INT64_MAX / 1000000)
		deadline_ns = pgmap_deadline_in((uint64_t)req->timeout_ms);
	req->magic = PROTO_MAGIC;
	req->version = PROTO_VERSION;
	enum service_next next = service_handle(of(transport)->session, req, sizeof(*req), &out);
	if (next == SERVICE_WAIT)
		(void)service_change_await(of(transport)->service, out.rep.handle, deadline_ns, &out.rep);
	*rep = out.rep;
	return 0;
}

/* Nothing is needed: it is this thread that waits, in the service. */
static int embedded_await_open(struct transport *transport, struct forkfd *control)
{
	(void)transport;
	(void)control;
	return 0;
}

static int embedded_await(struct transport *transport, const struct forkfd *control, uint64_t handle)
{
	(void)control;
	return service_await(of(transport)->service, handle);
}

static int embedded_close(struct transport *transport)
{
	struct embedded_transport *t = of(transport);
	if (!service_end_embedded(t->session))
		return -EBUSY;
	service_settle(t->service);
	(void)service_destroy(t->service);
	return 0;
}

static void embedded_free(struct transport *transport)
{
	free(transport);
}

/* The service is this program's own: what it gave, it knows. */
static void embedded_hang_up(struct transport *transport)
{
	port_abort("embedded pool: the service does not know a handle that it gave: session=%p",
		   (void *)of(transport)->session);
}

static const struct transport_ops embedded_ops = {embedded_call,  embedded_drain, embedded_wait, embedded_await_open,
						  embedded_await, embedded_close, embedded_free, embedded_hang_up};

int transport_embedded_open(const char *spec, struct transport **out)
{
	char why[DEV_WHY_MAX];
	struct embedded_transport *t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->transport.ops = &embedded_ops;
	int err = service_create(spec, &t->service, why);
	if (err)
		goto no_service;
	t->session = service_connect(t->service, getpid(), getuid());
	err = t->session ? 0 : -ENOMEM;
	if (err)
		goto no_session;
	*out = &t->transport;
	return 0;
no_session:
	(void)service_destroy(t->service);
no_service:
	free(t);
	return err;
}
