/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * waiting.c - what the loop waits for without standing still: leases that are still held, drains, devices that come and go.
 *
 * A lease: a thread blocks in service_lease_wait() until the kernel maps the device for that holder nowhere any more, and puts
 * the lease on the list of answers. There is no other way to end a holder, and no clock. Where no thread can be had, the
 * loop asks the kernel again (service_lease_probe) once a second until one can.
 *
 * A drain: whatever is let go of is, by a request or by the end of a lease, and both come through the loop, which looks after
 * each round. Deadlines of those who wait are the loop's timeout.
 *
 * A request that takes pages away (pending.h): all that can end it passes through the loop, which looks after each round.
 */
#include "server/loop.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include <pgmap/pgmap.h>

#include "port/thread.h"
#include "server/log.h"

enum { HELPER_STACK_BYTES = 64 * 1024, RETRY_MS = 1000 };

bool waiting_start_helper(void *(*fn)(void *), void *arg)
{
	return port_thread_start(NULL, HELPER_STACK_BYTES, fn, arg) == 0;
}

static void wake_loop(struct loop *loop)
{
	(void)!write(loop->answers_fd, &(uint64_t){1}, sizeof(uint64_t));
}

static void *lease_thread(void *arg)
{
	struct lease *lease = arg;
	struct loop *loop = lease->waiter;
	do
		lease->answer = service_lease_wait(loop->service, lease);
	while (lease->answer == -EINTR);
	(void)pthread_mutex_lock(&loop->answers_lock);
	TAILQ_INSERT_TAIL(&loop->answers, lease, link);
	wake_loop(loop);
	(void)pthread_mutex_unlock(&loop->answers_lock);
	return NULL;
}

static void watch_lease(struct loop *loop, struct lease *lease)
{
	lease->watched = true;
	if (waiting_start_helper(lease_thread, lease))
		return;
	lease->watched = false;
	TAILQ_INSERT_TAIL(&loop->unwatched, lease, link);
}

void waiting_leases(struct loop *loop, struct session *session)
{
	struct lease *lease;
	while ((lease = service_lease_wanted(session)) != NULL) {
		lease->waiter = loop;
		watch_lease(loop, lease);
	}
}

void waiting_retry(struct loop *loop)
{
	struct lease_list again = TAILQ_HEAD_INITIALIZER(again);
	struct lease *lease;
	TAILQ_CONCAT(&again, &loop->unwatched, link);
	while ((lease = TAILQ_FIRST(&again)) != NULL) {
		TAILQ_REMOVE(&again, lease, link);
		if (service_lease_probe(loop->service, lease) != 1) {
			watch_lease(loop, lease);
			continue;
		}
		service_lease_gone(lease);
	}
}

void waiting_answer_grown(struct growing *growing)
{
	struct loop *loop = growing->loop;
	(void)pthread_mutex_lock(&loop->answers_lock);
	TAILQ_INSERT_TAIL(&loop->grown, growing, link);
	wake_loop(loop);
	(void)pthread_mutex_unlock(&loop->answers_lock);
}

static void take_grown(struct loop *loop, struct growing_list *grown)
{
	uint64_t count;
	(void)pthread_mutex_lock(&loop->answers_lock);
	(void)!read(loop->answers_fd, &count, sizeof(count));
	TAILQ_CONCAT(grown, &loop->grown, link);
	(void)pthread_mutex_unlock(&loop->answers_lock);
}

static void take_answers(struct loop *loop, struct lease_list *answers)
{
	(void)pthread_mutex_lock(&loop->answers_lock);
	TAILQ_CONCAT(answers, &loop->answers, link);
	(void)pthread_mutex_unlock(&loop->answers_lock);
}

void waiting_answers(struct loop *loop)
{
	struct lease_list answers = TAILQ_HEAD_INITIALIZER(answers);
	struct lease *lease;
	struct growing_list grown = TAILQ_HEAD_INITIALIZER(grown);
	take_grown(loop, &grown); /* first: it empties answers_fd */
	take_answers(loop, &answers);
	while ((lease = TAILQ_FIRST(&answers)) != NULL) {
		TAILQ_REMOVE(&answers, lease, link);
		if (lease->answer == 0) {
			service_lease_gone(lease);
		} else {
			lease->watched = false; /* no lock to be had: ask again later */
			TAILQ_INSERT_TAIL(&loop->unwatched, lease, link);
		}
	}
	growing_answers(loop, &grown);
	removal_begin(loop);
}

void waiting_drain(struct loop *loop, struct conn *conn, const struct proto_req *req)
{
	conn->drain_deadline_ns = PGMAP_NO_DEADLINE;
	if (req->timeout_ms >= 0 && req->timeout_ms < INT64_MAX / 1000000)
		conn->drain_deadline_ns = pgmap_deadline_in((uint64_t)req->timeout_ms);
	conn->drains_called_off = service_drains_called_off(loop->service);
	memcpy(&conn->drain_req, req, PROTO_HEADER_BYTES);
	LIST_INSERT_HEAD(&loop->drains, conn, waiting);
}

static void answer(struct loop *loop, struct conn *conn, int err)
{
	struct service_reply reply;
	LIST_REMOVE(conn, waiting);
	conn->drain_deadline_ns = 0;
	conn->awaits = 0;
	service_refuse(&reply, &conn->drain_req, err);
	conn_reply(loop, conn, &reply);
}

void waiting_await(struct loop *loop, struct conn *conn, const struct proto_req *req)
{
	conn->awaits = req->handle;
	memcpy(&conn->drain_req, req, PROTO_HEADER_BYTES);
	LIST_INSERT_HEAD(&loop->awaits, conn, waiting);
}

void waiting_check_awaits(struct loop *loop)
{
	struct conn *conn, *next;
	loop->pending_deadline_ns = service_check_pending(loop->service);
	for (conn = LIST_FIRST(&loop->awaits); conn; conn = next) {
		next = LIST_NEXT(conn, waiting);
		int err = service_pending_result(loop->service, conn->awaits);
		if (err != -EINPROGRESS)
			answer(loop, conn, err);
	}
}

void waiting_change(struct loop *loop, struct conn *conn, const struct proto_req *req, uint64_t id)
{
	conn->change = id;
	conn->change_deadline_ns = PGMAP_NO_DEADLINE;
	if (req->type == PROTO_DEVICE_REMOVE && req->timeout_ms >= 0 && req->timeout_ms < INT64_MAX / 1000000)
		conn->change_deadline_ns = pgmap_deadline_in((uint64_t)req->timeout_ms);
	memcpy(&conn->drain_req, req, PROTO_HEADER_BYTES);
	LIST_INSERT_HEAD(&loop->changes, conn, waiting);
}

void waiting_check_changes(struct loop *loop)
{
	struct conn *conn, *next;
	loop->changes_check_ns = service_check_changes(loop->service);
	for (conn = LIST_FIRST(&loop->changes); conn; conn = next) {
		struct service_reply reply;
		next = LIST_NEXT(conn, waiting);
		bool late = conn->change_deadline_ns != PGMAP_NO_DEADLINE &&
			    conn->change_deadline_ns <= pgmap_deadline_in(0);
		service_refuse(&reply, &conn->drain_req, 0);
		if (service_change_result(loop->service, conn->change, late, &reply.rep) == -EINPROGRESS) {
			if (late) /* nothing is held, and it is only to be closed */
				conn->change_deadline_ns = PGMAP_NO_DEADLINE;
			continue;
		}
		LIST_REMOVE(conn, waiting);
		conn->change = 0;
		conn_reply(loop, conn, &reply);
	}
}

/* No thread has a device, or a request, for itself: what it does comes back to the loop, which can end when it has. */
static bool nobody_works(struct loop *loop)
{
	return !loop->ngrowing && TAILQ_EMPTY(&loop->queued) && !service_changes_run(loop->service);
}

/* The pool ends, and nothing of it is held: what was to leave it has. */
static void end_changes(struct loop *loop)
{
	struct conn *conn;
	while ((conn = LIST_FIRST(&loop->changes)) != NULL) {
		struct service_reply reply;
		service_refuse(&reply, &conn->drain_req, conn->drain_req.type == PROTO_DEVICE_REMOVE ? 0 : -ENODEV);
		LIST_REMOVE(conn, waiting);
		service_change_leave(loop->service, conn->change);
		conn->change = 0;
		conn_reply(loop, conn, &reply);
	}
}

void waiting_stop(struct loop *loop, struct conn *conn)
{
	if (conn->drain_deadline_ns || conn->awaits || conn->change)
		LIST_REMOVE(conn, waiting);
	if (conn->change)
		service_change_leave(loop->service, conn->change);
	conn->change = 0;
	if (conn->awaits)
		service_pending_cancel(loop->service, conn->awaits);
	conn->drain_deadline_ns = conn->awaits = 0;
}

static void say_whom(struct loop *loop)
{
	char now[sizeof(loop->waits_for)];
	service_waits_for(loop->service, now, sizeof(now));
	if (strcmp(now, loop->waits_for) == 0)
		return;
	memcpy(loop->waits_for, now, sizeof(now));
	if (!loop->quiet && now[0])
		log_line("draining: waiting for %s", now);
}

/* Whoever cancelled the drain took back the signal that had asked for it. */
void waiting_begin_anew(struct loop *loop)
{
	uint64_t called_off = service_drains_called_off(loop->service);
	if (loop->drains_called_off == called_off)
		return;
	loop->drains_called_off = called_off;
	loop->waits_for[0] = 0;
	loop->signals = 0;
}

/* What every client that waits for this drain is told now: 0, an error, or (-EINPROGRESS) nothing yet. */
static int drain_state(struct loop *loop)
{
	switch (service_state(loop->service)) {
	case PGMAP_DEAD:
		return 0;
	case PGMAP_LIVE:
		return -ECANCELED;
	default:
		return service_drained(loop->service) == 0 ? 0 : -EINPROGRESS;
	}
}

void waiting_check_drains(struct loop *loop)
{
	struct conn *conn, *next;
	waiting_begin_anew(loop);
	int state = drain_state(loop);
	uint64_t now_ns = LIST_EMPTY(&loop->drains) ? 0 : pgmap_deadline_in(0);
	for (conn = LIST_FIRST(&loop->drains); conn; conn = next) {
		next = LIST_NEXT(conn, waiting);
		if (conn->drains_called_off != loop->drains_called_off)
			answer(loop, conn, -ECANCELED);
		else if (state != -EINPROGRESS)
			answer(loop, conn, state);
		else if (conn->drain_deadline_ns <= now_ns)
			answer(loop, conn, -ETIMEDOUT);
	}
	if (state == 0) {
		loop->ended = nobody_works(loop);
		if (loop->ended)
			end_changes(loop);
	} else if (state == -EINPROGRESS) {
		say_whom(loop);
	}
}

/* A connection that ends here lets go of pages after those who wait for them were looked at: it stays on the list of those that
 * were dropped, and the next round comes at once for it. Each such round has ended a connection: they are not many. */
void waiting_check(struct loop *loop)
{
	conn_free_dropped(loop);
	waiting_check_awaits(loop);
	waiting_check_changes(loop);
	if (loop->exit_code == 0)
		waiting_check_drains(loop);
}

int waiting_timeout_ms(struct loop *loop)
{
	uint64_t first_ns = loop->pending_deadline_ns;
	struct conn *conn;
	if (!TAILQ_EMPTY(&loop->dropped))
		return 0;
	LIST_FOREACH (conn, &loop->drains, waiting) {
		if (conn->drain_deadline_ns < first_ns)
			first_ns = conn->drain_deadline_ns;
	}
	LIST_FOREACH (conn, &loop->changes, waiting) {
		if (conn->change_deadline_ns < first_ns)
			first_ns = conn->change_deadline_ns;
	}
	if (loop->changes_check_ns < first_ns)
		first_ns = loop->changes_check_ns;
	if (!TAILQ_EMPTY(&loop->held_back) && loop->tick_ns < first_ns)
		first_ns = loop->tick_ns;
	int timeout_ms = TAILQ_EMPTY(&loop->unwatched) && !loop->deaf ? -1 : RETRY_MS;
	if (first_ns == PGMAP_NO_DEADLINE)
		return timeout_ms;
	uint64_t now_ns = pgmap_deadline_in(0);
	uint64_t left_ms = first_ns > now_ns ? (first_ns - now_ns + 999999) / 1000000 : 0;
	if (timeout_ms >= 0 && left_ms > (uint64_t)timeout_ms)
		return timeout_ms;
	return left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}
