/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * drain.c - the pool is drained: no new folios and no new pins (c7.9) from the moment on in which somebody asks for it, until
 * nothing is held, or somebody calls it off. And who is waited for.
 */
#include <errno.h>
#include <stdio.h>

#include <pgmap/pgmap.h>

#include "server/change.h"
#include "server/pending.h"
#include "server/requests.h"

/* by: null, the program itself. */
static void drain_begin(struct service *service, const struct session *by)
{
	struct session *session;
	devices_kill(&service->devices);
	if (service->draining)
		return;
	service->draining = true;
	TAILQ_FOREACH (session, &service->sessions, link)
		session_block_all(session, PINWORD_GOING);
	pending_drain(service);
	if (by)
		session_event(by, SERVICE_DRAIN);
}

static int drain_cancel(struct service *service, const struct session *by)
{
	struct session *session;
	int err = devices_revive(&service->devices);
	if (err || !service->draining)
		return err;
	service->draining = false;
	service->called_off++;
	(void)pthread_cond_broadcast(&service->pending_cond);
	TAILQ_FOREACH (session, &service->sessions, link) {
		session_block_all(session, PINWORD_OPEN);
		session_block_gone(session);
	}
	if (by)
		session_event(by, SERVICE_DRAIN_CANCELLED);
	return 0;
}

int request_drain(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	(void)out;
	drain_begin(session->service, session);
	int err = devices_drain(&session->service->devices);
	return err == -ETIMEDOUT && req->timeout_ms != 0 ? -EINPROGRESS : err;
}

int request_drain_cancel(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	(void)req;
	(void)out;
	return drain_cancel(session->service, session);
}

void service_drain(struct service *service)
{
	(void)pthread_mutex_lock(&service->lock);
	drain_begin(service, NULL);
	(void)pthread_mutex_unlock(&service->lock);
}

enum pgmap_state service_state(struct service *service)
{
	(void)pthread_mutex_lock(&service->lock);
	enum pgmap_state state = devices_state(&service->devices);
	(void)pthread_mutex_unlock(&service->lock);
	return state;
}

uint64_t service_drains_called_off(struct service *service)
{
	(void)pthread_mutex_lock(&service->lock);
	uint64_t called_off = service->called_off;
	(void)pthread_mutex_unlock(&service->lock);
	return called_off;
}

int service_drained(struct service *service)
{
	(void)pthread_mutex_lock(&service->lock);
	int err = devices_drain(&service->devices);
	(void)pthread_mutex_unlock(&service->lock);
	return err == -EINVAL ? -ECANCELED : err;
}

void drain_wake(struct service *service)
{
	if (service->wake_fd < 0) /* else the loop does */
		(void)changes_check(service);
	if (service->draining || !TAILQ_EMPTY(&service->changes))
		(void)pthread_cond_broadcast(&service->pending_cond);
}

int service_drain_until(struct service *service, uint64_t deadline_ns)
{
	int err;
	(void)pthread_mutex_lock(&service->lock);
	uint64_t called_off = service->called_off;
	drain_begin(service, NULL);
	for (;;) {
		bool late = deadline_ns != PGMAP_NO_DEADLINE && pgmap_deadline_in(0) >= deadline_ns;
		err = service->called_off != called_off ? -ECANCELED : devices_drain(&service->devices);
		if (err != -ETIMEDOUT || late)
			break;
		pending_sleep(service, deadline_ns);
	}
	(void)pthread_mutex_unlock(&service->lock);
	return err;
}

int service_drain_cancel(struct service *service)
{
	(void)pthread_mutex_lock(&service->lock);
	int err = drain_cancel(service, NULL);
	(void)pthread_mutex_unlock(&service->lock);
	return err;
}

static const char *why_waited_for(const struct session *session)
{
	switch (session->state) {
	case PROTO_WHO_MAPPING:
		return ", disconnected, still mapping";
	case PROTO_WHO_QUARANTINED:
		return ", dead, pages quarantined";
	default:
		return TAILQ_EMPTY(&session->map_list) ? ", unmapped, but not by its children" : "";
	}
}

void service_waits_for(struct service *service, char *buf, size_t buf_bytes)
{
	struct session *session;
	size_t at = 0;
	buf[0] = 0;
	(void)pthread_mutex_lock(&service->lock);
	TAILQ_FOREACH (session, &service->sessions, link) {
		if (session->state != PROTO_WHO_QUARANTINED && !session_holds(session))
			continue;
		char pid[32] = "no pid here"; /* of a container: its processes have none in our namespace */
		if (session->pid > 0)
			(void)snprintf(pid, sizeof(pid), "pid %ld", (long)session->pid);
		int n = snprintf(buf + at, buf_bytes - at, "%s%s (%s%s)", at ? ", " : "", session->command, pid,
				 why_waited_for(session));
		if (n < 0 || (size_t)n >= buf_bytes - at)
			break;
		at += (size_t)n;
	}
	(void)pthread_mutex_unlock(&service->lock);
}
