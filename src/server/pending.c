/* SPDX-License-Identifier: BSD-3-Clause */
/* pending.c - see pending.h. */
#include "server/pending.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static void wake_waiters(void *arg)
{
	struct service *service = arg;
	(void)pthread_cond_broadcast(&service->pending_cond);
}

static uint64_t count(const struct session *session)
{
	const struct pending *pending;
	uint64_t n = 0;
	TAILQ_FOREACH (pending, &session->service->pendings, link)
		n += pending->session == session;
	return n;
}

static struct pending *find(struct service *service, uint64_t id)
{
	struct pending *pending;
	TAILQ_FOREACH (pending, &service->pendings, link) {
		if (pending->id == id)
			break;
	}
	return pending;
}

int pending_new(struct session *session, struct pending **out)
{
	if (count(session) >= PENDING_MAX)
		return -EUSERS;
	struct pending *pending = calloc(1, sizeof(*pending));
	if (!pending)
		return -ENOMEM;
	while (pending->id == 0) {
		if (getrandom(&pending->id, sizeof(pending->id), GRND_NONBLOCK) < 0) {
			int err = -errno;
			free(pending);
			return err;
		}
	}
	pending->session = session;
	*out = pending;
	return 0;
}

void pending_free(struct pending *pending)
{
	free(pending);
}

int pending_begin(struct pending *pending, enum fsdax_mode mode, int64_t timeout_ms, uint64_t *id)
{
	struct service *service = pending->session->service;
	pending->deadline_ns = PGMAP_NO_DEADLINE;
	if (timeout_ms >= 0 && timeout_ms < INT64_MAX / 1000000)
		pending->deadline_ns = pgmap_deadline_in((uint64_t)timeout_ms);
	int err = taking_begin(&pending->taking, mode, wake_waiters, service);
	*id = 0;
	if (err != -EINPROGRESS) {
		free(pending);
		return err;
	}
	pending->result = err;
	*id = pending->id;
	TAILQ_INSERT_TAIL(&service->pendings, pending, link);
	return 0;
}

static void end(struct service *service, struct pending *pending, int result)
{
	taking_end(&pending->taking);
	pending->result = result;
	wake_waiters(service);
}

uint64_t pending_check(struct service *service)
{
	struct pending *pending;
	uint64_t first_ns = PGMAP_NO_DEADLINE, now_ns = TAILQ_EMPTY(&service->pendings) ? 0 : pgmap_deadline_in(0);
	TAILQ_FOREACH (pending, &service->pendings, link) {
		bool late = pending->deadline_ns <= now_ns;
		if (pending->result != -EINPROGRESS)
			continue;
		int err = late || taking_woken(&pending->taking) ? taking_try(&pending->taking) : -EINPROGRESS;
		if (err != -EINPROGRESS)
			end(service, pending, err);
		else if (late)
			end(service, pending, -ETIMEDOUT);
		else if (pending->deadline_ns < first_ns)
			first_ns = pending->deadline_ns;
	}
	return first_ns;
}

static void forget(struct service *service, struct pending *pending)
{
	if (pending->result == -EINPROGRESS)
		end(service, pending, -ECANCELED);
	TAILQ_REMOVE(&service->pendings, pending, link);
	free(pending);
}

int pending_result(struct service *service, uint64_t id)
{
	struct pending *pending = find(service, id);
	int err = pending ? pending->result : -EBADF;
	if (pending && err != -EINPROGRESS)
		forget(service, pending);
	return err;
}

void pending_cancel(struct service *service, uint64_t id)
{
	struct pending *pending = find(service, id);
	if (pending)
		forget(service, pending);
}

void pending_cancel_all(struct session *session)
{
	struct pending *pending, *next;
	for (pending = TAILQ_FIRST(&session->service->pendings); pending; pending = next) {
		next = TAILQ_NEXT(pending, link);
		if (pending->session == session)
			forget(session->service, pending);
	}
}

void pending_drain(struct service *service)
{
	struct pending *pending;
	TAILQ_FOREACH (pending, &service->pendings, link) {
		if (pending->result == -EINPROGRESS) {
			int err = taking_try(&pending->taking); /* what it waited for may just have gone */
			end(service, pending, err == -EINPROGRESS ? -ENODEV : err);
		}
	}
}
