/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pacing.c - whose turn it is, where more is asked than can be answered at once.
 *
 * In each round of events those come first who did not ask in the round before; then some of the others, those that have
 * waited longest: one of up to eight, two of up to sixteen. The rest stays ready, and the next round asks again who has come
 * meanwhile. So who asks seldom waits for few requests of those who ask without end, and asking the kernel anew costs
 * little for each request. A new connection counts as one of these.
 *
 * A client has one request under way. One that sends the next before it has the answer takes the time of others, and hides
 * how much it wants: all of these together are served once in a tick, and wait in their own sends meanwhile.
 * No client of ours does that.
 *
 * The loop's thread only.
 */
#include "server/loop.h"

#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include <pgmap/pgmap.h>

enum { TICK_MS = 1, BUSY_SHARE = 8 };

static bool is_busy(const struct loop *loop, struct watch *watch)
{
	bool again = watch->asked_in + 1 >= loop->round;
	watch->asked_in = loop->round;
	return watch->kind == WATCH_LISTENER || (watch->kind == WATCH_CONN && (again || watch->conn->ahead));
}

static void serve(struct loop *loop, struct epoll_event *event, pacing_serve_fn *dispatch)
{
	struct watch *watch = event->data.ptr;
	event->data.ptr = NULL;
	watch->served_in = loop->round;
	dispatch(loop, watch);
}

static struct epoll_event *longest_waiting(struct epoll_event *events, int n)
{
	struct epoll_event *first = NULL;
	for (int i = 0; i < n; i++) {
		const struct watch *watch = events[i].data.ptr;
		if (watch && (!first || watch->served_in < ((const struct watch *)first->data.ptr)->served_in))
			first = &events[i];
	}
	return first;
}

void pacing_serve(struct loop *loop, struct epoll_event *events, int n, pacing_serve_fn *dispatch)
{
	struct epoll_event *next;
	int nbusy = 0;
	loop->round++;
	for (int i = 0; i < n && !loop->ended; i++) {
		if (is_busy(loop, events[i].data.ptr))
			nbusy++;
		else
			serve(loop, &events[i], dispatch);
	}
	for (int left = (nbusy + BUSY_SHARE - 1) / BUSY_SHARE; left > 0 && !loop->ended; left--) {
		next = longest_waiting(events, n);
		if (next)
			serve(loop, next, dispatch);
	}
}

void pacing_look_ahead(struct conn *conn)
{
	int bytes = 0;
	conn->ahead = ioctl(conn->fd, SIOCINQ, &bytes) == 0 && bytes > 0;
}

void pacing_hold_back(struct loop *loop, struct conn *conn)
{
	if (!conn->ahead || conn->fd < 0 || !conn->watched)
		return;
	if (TAILQ_EMPTY(&loop->held_back))
		loop->tick_ns = pgmap_deadline_in(TICK_MS);
	conn_unwatch(loop, conn);
	conn->held_back = true;
	TAILQ_INSERT_TAIL(&loop->held_back, conn, back);
}

void pacing_stop(struct loop *loop, struct conn *conn)
{
	if (conn->held_back)
		TAILQ_REMOVE(&loop->held_back, conn, back);
	conn->held_back = false;
}

void pacing_tick(struct loop *loop)
{
	struct conn *conn = TAILQ_FIRST(&loop->held_back);
	if (!conn || pgmap_deadline_in(0) < loop->tick_ns)
		return;
	loop->tick_ns = pgmap_deadline_in(TICK_MS);
	pacing_stop(loop, conn);
	if (!conn_watch(loop, conn))
		conn_drop(loop, conn);
}
