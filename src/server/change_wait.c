/* SPDX-License-Identifier: BSD-3-Clause */
/* change_wait.c - those who wait for a change, each of whom is told once. See change.h; and service.h, for the calls that take the
 * lock themselves. */
#include <errno.h>
#include <stdio.h>

#include "server/change.h"
#include "server/pending.h"

static struct change *find(const struct service *service, uint64_t id)
{
	struct change *change;
	TAILQ_FOREACH (change, &service->changes, link) {
		if (change->id == id)
			break;
	}
	return change;
}

int change_result(struct service *service, uint64_t id, bool late, uint64_t *number, char why[DEV_WHY_MAX])
{
	struct change *change = find(service, id);
	if (!change)
		return -EBADF;
	int err = late && change->phase == CHANGE_HELD ? -ETIMEDOUT : change->result;
	if (err == -EINPROGRESS)
		return err;
	*number = change->number;
	/* Until then it may be its thread's. */
	(void)snprintf(why, DEV_WHY_MAX, "%s", change->phase == CHANGE_ENDED ? change->why : "");
	change_leave(service, id);
	return err;
}

void change_leave(struct service *service, uint64_t id)
{
	struct change *change = find(service, id);
	if (change && --change->waiters == 0 && change->phase == CHANGE_ENDED)
		change_forget(change);
}

int service_change_result(struct service *service, uint64_t id, bool late, struct proto_rep *rep)
{
	(void)pthread_mutex_lock(&service->lock);
	rep->error = change_result(service, id, late, &rep->handle, rep->u.why);
	(void)pthread_mutex_unlock(&service->lock);
	return rep->error;
}

void service_change_leave(struct service *service, uint64_t id)
{
	(void)pthread_mutex_lock(&service->lock);
	change_leave(service, id);
	(void)pthread_mutex_unlock(&service->lock);
}

int service_change_await(struct service *service, uint64_t id, uint64_t deadline_ns, struct proto_rep *rep)
{
	(void)pthread_mutex_lock(&service->lock);
	for (;;) {
		uint64_t ns = changes_check(service);
		bool late = deadline_ns != PGMAP_NO_DEADLINE && pgmap_deadline_in(0) >= deadline_ns;
		rep->error = change_result(service, id, late, &rep->handle, rep->u.why);
		if (rep->error != -EINPROGRESS)
			break;
		pending_sleep(service, late || ns < deadline_ns ? ns : deadline_ns);
	}
	(void)pthread_mutex_unlock(&service->lock);
	return rep->error;
}
