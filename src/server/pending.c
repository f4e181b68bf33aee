/* SPDX-License-Identifier: BSD-3-Clause */
/* pending.c - see pending.h; and service.h, for the calls that take the lock themselves. */
#include "server/pending.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "server/service.h"

enum { LOOK_MS = 1000 };

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
	wake_waiters(service); /* one that ends the pool */
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

/* session: null, of all. */
static void end_waiting(struct service *service, const struct session *session, int why)
{
	struct pending *pending;
	TAILQ_FOREACH (pending, &service->pendings, link) {
		if (pending->result == -EINPROGRESS && (!session || pending->session == session)) {
			int err = taking_try(&pending->taking); /* what it waited for may just have gone */
			end(service, pending, err == -EINPROGRESS ? why : err);
		}
	}
}

void pending_drain(struct service *service)
{
	end_waiting(service, NULL, -ENODEV);
}

void pending_end_all(struct session *session)
{
	end_waiting(session->service, session, -EPIPE);
	while (count(session))
		(void)pthread_cond_wait(&session->service->pending_cond, &session->service->lock);
}

void pending_init(struct service *service)
{
	pthread_condattr_t attr;
	TAILQ_INIT(&service->pendings);
	TAILQ_INIT(&service->changes);
	service->wake_fd = -1;
	(void)pthread_mutex_init(&service->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&service->pending_cond, &attr);
	(void)pthread_condattr_destroy(&attr);
}

void pending_sleep(struct service *service, uint64_t until_ns)
{
	struct session *session;
	bool stand = false;
	TAILQ_FOREACH (session, &service->sessions, link) {
		if (leases_look(session, &stand))
			return;
	}
	uint64_t look_ns = stand ? pgmap_deadline_in(LOOK_MS) : PGMAP_NO_DEADLINE;
	uint64_t ns = look_ns < until_ns ? look_ns : until_ns;
	const struct timespec until = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
	if (ns == PGMAP_NO_DEADLINE)
		(void)pthread_cond_wait(&service->pending_cond, &service->lock);
	else
		(void)pthread_cond_timedwait(&service->pending_cond, &service->lock, &until);
}

uint64_t service_check_pending(struct service *service)
{
	(void)pthread_mutex_lock(&service->lock);
	uint64_t deadline_ns = pending_check(service);
	(void)pthread_mutex_unlock(&service->lock);
	return deadline_ns;
}

int service_pending_result(struct service *service, uint64_t id)
{
	(void)pthread_mutex_lock(&service->lock);
	int err = pending_result(service, id);
	(void)pthread_mutex_unlock(&service->lock);
	return err;
}

void service_pending_cancel(struct service *service, uint64_t id)
{
	(void)pthread_mutex_lock(&service->lock);
	pending_cancel(service, id);
	(void)pthread_mutex_unlock(&service->lock);
}

int service_await(struct service *service, uint64_t id)
{
	int err;
	(void)pthread_mutex_lock(&service->lock);
	for (;;) {
		uint64_t ns = pending_check(service);
		err = pending_result(service, id);
		if (err != -EINPROGRESS)
			break;
		pending_sleep(service, ns);
	}
	(void)pthread_mutex_unlock(&service->lock);
	return err;
}
