/* SPDX-License-Identifier: BSD-3-Clause */
/* transport_embedded.c - a pool of this program's own: the server's service, called directly. One session. */
#include "client/transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pgmap/pgmap.h>

#include "port/abort.h"
#include "server/service.h"

struct embedded_transport {
	struct transport transport;
	struct service *service;
	struct session *session;
};

static struct embedded_transport *of(struct transport *transport)
{
	return (struct embedded_transport *)transport;
}

static int embedded_call(struct transport *transport, const struct proto_req *req, struct transport_reply *reply)
{
	struct service_reply out;
	(void)service_handle(of(transport)->session, req, sizeof(*req), &out);
	reply->rep = out.rep;
	reply->nfds = out.nfds;
	memcpy(reply->fds, out.fds, out.nfds * sizeof(int));
	return 0;
}

static int embedded_drain(struct transport *transport, int64_t timeout_ms)
{
	struct service *service = of(transport)->service;
	uint64_t deadline_ns = timeout_ms < 0 ? PGMAP_NO_DEADLINE : pgmap_deadline_in((uint64_t)timeout_ms);
	service_drain(service);
	int err = pgmap_drain(service_pgmap(service), deadline_ns);
	return err == -EINVAL ? -ECANCELED : err; /* revived between the two calls */
}

static int embedded_close(struct transport *transport)
{
	struct embedded_transport *t = of(transport);
	if (!service_end_embedded(t->session))
		return -EBUSY;
	(void)service_destroy(t->service);
	free(t);
	return 0;
}

/* The service is this program's own: what it gave, it knows. */
static void embedded_hang_up(struct transport *transport)
{
	port_abort("embedded pool: the service does not know a handle that it gave: session=%p",
		   (void *)of(transport)->session);
}

static const struct transport_ops embedded_ops = {embedded_call, embedded_drain, embedded_close, embedded_hang_up};

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
