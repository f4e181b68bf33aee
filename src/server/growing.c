/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * growing.c - requests that need much memory: it is made ready by threads, one a request, while the loop serves the others.
 *
 * The connection is not read meanwhile: one request at a time is the protocol, and a client that goes away is seen to have
 * gone when its memory is there, and gets none of it. Else the same message is handled again (service.h). GROWING_MAX threads
 * at most, and the requests beyond wait in the order in which they came; a client can neither start more of them, nor be
 * passed over. Where no thread can be had, the loop does it itself. They are of the scheduler's batch class: whoever wakes
 * up for a short time, as the loop does, comes first.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>

#include "server/loop.h"

enum { GROWING_MAX = 16 };

static void make(struct growing *growing)
{
	service_supply(growing->conn->session);
	waiting_answer_grown(growing);
}

static void *growing_thread(void *arg)
{
	struct growing *growing = arg;
	const struct sched_param param = {0};
	(void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &param);
	make(growing);
	return NULL;
}

static void start_queued(struct loop *loop)
{
	struct growing *growing;
	while (loop->ngrowing < GROWING_MAX && (growing = TAILQ_FIRST(&loop->queued)) != NULL) {
		TAILQ_REMOVE(&loop->queued, growing, link);
		loop->ngrowing++;
		if (!waiting_start_helper(growing_thread, growing))
			make(growing);
	}
}

bool growing_begin(struct loop *loop, struct conn *conn, const struct proto_req *req)
{
	struct growing *growing = malloc(sizeof(*growing));
	if (!growing)
		return false;
	*growing = (struct growing){.loop = loop, .conn = conn, .req = *req};
	conn_unwatch(loop, conn);
	TAILQ_INSERT_TAIL(&loop->queued, growing, link);
	start_queued(loop);
	return true;
}

/* Nobody is there any more to be answered: nothing is done. */
static bool has_gone(const struct conn *conn)
{
	struct pollfd peer = {.fd = conn->fd, .events = 0};
	return poll(&peer, 1, 0) == 1 && peer.revents & (POLLHUP | POLLERR);
}

void growing_answers(struct loop *loop, struct growing_list *grown)
{
	struct growing *growing;
	while ((growing = TAILQ_FIRST(grown)) != NULL) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): what was freed is no more on the list */
		struct conn *conn = growing->conn;
		const struct proto_req req = growing->req;
		TAILQ_REMOVE(grown, growing, link);
		free(growing);
		loop->ngrowing--;
		start_queued(loop);
		if (!has_gone(conn) && conn_watch(loop, conn))
			conn_handle(loop, conn, &req, sizeof(req));
		else
			conn_drop(loop, conn);
	}
}
