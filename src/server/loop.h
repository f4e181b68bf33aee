/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loop.h - the inside of the server's loop: connections, drains that are waited for, leases that are waited for.
 *
 * One thread runs all of it. Helper threads wait for what can only be waited for by blocking (a lease's byte), or make memory ready for one request (growing.c); they touch no state but the list of answers under answers_lock, and wake the loop through answers_fd.
 */
#ifndef PGMAP_SERVER_LOOP_H
#define PGMAP_SERVER_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/queue.h>

#include "port/polling.h"
#include "server/leases.h"
#include "server/listen.h"
#include "server/service.h"

/* What an event of epoll is about. */
enum watch_kind {
	WATCH_LISTENER,
	WATCH_SIGNAL,
	WATCH_ANSWERS,
	WATCH_CONN,
	WATCH_PINS,
	WATCH_REMOVAL,
	WATCH_LOST,
	WATCH_BADBLOCKS
};
struct conn;
struct watch {
	enum watch_kind kind;
	struct conn *conn;            /* of CONN and PINS */
	uint64_t asked_in, served_in; /* the last rounds in which it was ready, and was served */
};

struct conn {
	struct watch watch;      /* the socket */
	struct watch pins_watch; /* the eventfd of its session */
	TAILQ_ENTRY(conn) link;
	LIST_ENTRY(conn) waiting; /* in loop.drains while drain_deadline_ns is not 0 */
	struct session *session;
	uint64_t drain_deadline_ns; /* of CLOCK_MONOTONIC; 0: it waits for no drain */
	uint64_t drains_called_off; /* when it began to wait */
	uint64_t awaits;            /* the request whose end it waits for; 0: none. Then it is in loop.awaits */
	uint64_t change;            /* the same of a device that comes or goes; then in loop.changes */
	uint64_t change_deadline_ns;
	struct proto_req drain_req; /* only its header: what the reply repeats */
	TAILQ_ENTRY(conn) back;     /* in loop.held_back, if held_back */
	bool watched, held_back;
	bool ahead; /* it had sent more than the request that it was last served for */
	int fd;     /* -1: it has gone, and is freed when this round of events is over */
};

TAILQ_HEAD(conn_list, conn);

/* A request that needs much memory, and that a thread makes ready. */
struct growing {
	TAILQ_ENTRY(growing) link; /* of loop.queued, then of loop.grown */
	struct loop *loop;
	struct conn *conn;
	struct proto_req req;
};

TAILQ_HEAD(growing_list, growing);

struct loop {
	struct service *service;
	struct polling polling;
	struct listener listener;
	struct watch listener_watch, signal_watch, answers_watch, removal_watch, lost_watch, badblocks_watch;
	uint64_t round;                                                     /* of events */
	int epoll_fd, signal_fd, answers_fd, spare_fd, lost_fd, removal_fd; /* removal_fd: or -1 */
	bool quiet, ended, said_full;
	bool deaf;                  /* a client that waits could neither be taken nor turned away: again in a second */
	unsigned said_gone;         /* a bit of each device */
	uint64_t generation;        /* of the devices, when they were looked at because one had come or gone */
	unsigned nconns, ngrowing;  /* ngrowing: threads at work */
	struct growing_list queued; /* no thread of their own yet */
	int signals;                /* for this drain */
	uint64_t drains_called_off; /* when what is of this drain was looked at */
	int exit_code;
	struct conn_list conns, dropped;
	LIST_HEAD(, conn) drains;
	LIST_HEAD(, conn) awaits;
	LIST_HEAD(, conn) changes;
	uint64_t changes_check_ns;  /* service_check_changes() */
	struct conn_list held_back; /* one of them goes on at tick_ns */
	uint64_t tick_ns;
	uint64_t pending_deadline_ns; /* service_check_pending() */
	struct lease_list unwatched;  /* no thread could be made: asked again, once a second */
	pthread_mutex_t answers_lock;
	struct lease_list answers; /* whose threads are done */
	struct growing_list grown;
	char waits_for[512]; /* as last said */
};

/* connection.c */
void conn_accept(struct loop *loop);
void conn_listen_again(struct loop *loop); /* where that could not be done */
void conn_readable(struct loop *loop, struct conn *conn);
void conn_handle(struct loop *loop, struct conn *conn, const struct proto_req *req, size_t len_bytes);
bool conn_watch(struct loop *loop, struct conn *conn); /* its socket is read; false: no memory for it */
void conn_unwatch(struct loop *loop, struct conn *conn);
void conn_drop(struct loop *loop, struct conn *conn);
void conn_free_dropped(struct loop *loop);
void conn_reply(struct loop *loop, struct conn *conn, struct service_reply *reply); /* closes its descriptors */

/* growing.c. growing_begin - false: no memory, do it here. */
bool growing_begin(struct loop *loop, struct conn *conn, const struct proto_req *req);
void growing_answers(struct loop *loop, struct growing_list *grown);

/* pacing.c. pacing_serve - a round: some of these events, in the order that is fair. pacing_look_ahead - whether it has sent
 * more than was read; pacing_hold_back - then it is not read until a tick lets it; pacing_stop - it goes. */
typedef void pacing_serve_fn(struct loop *loop, struct watch *watch);
void pacing_serve(struct loop *loop, struct epoll_event *events, int n, pacing_serve_fn *dispatch);
void pacing_look_ahead(struct conn *conn);
void pacing_hold_back(struct loop *loop, struct conn *conn);
void pacing_stop(struct loop *loop, struct conn *conn);
void pacing_tick(struct loop *loop);

/* removal.c. removal_open - a socket that is readable when some device of the system comes or goes; -1: there is none, or no
 * device of the pool can go. removal_events - it is readable; removal_check - look whether the device is there, and say if it is not. */
int removal_open(struct service *service);
void removal_begin(struct loop *loop); /* the same, and a look, if a device has come since the last time */
void removal_events(struct loop *loop);
void removal_check(struct loop *loop);

/* lost.c. lost_events - pages have lost their data: say so. */
void lost_events(struct loop *loop);

/* waiting.c */
bool waiting_start_helper(void *(*fn)(void *), void *arg);       /* a detached thread, or false */
void waiting_answer_grown(struct growing *growing);              /* by its thread: it is done */
void waiting_leases(struct loop *loop, struct session *session); /* those that are wanted */
void waiting_retry(struct loop *loop);                           /* the leases that no thread watches */
void waiting_answers(struct loop *loop);                         /* answers_fd has become readable */
void waiting_drain(struct loop *loop, struct conn *conn, const struct proto_req *req);
void waiting_begin_anew(
	struct loop *loop); /* what was said and counted of a drain that was called off since is forgotten */
void waiting_check_drains(struct loop *loop); /* after anything happened: who can be answered, who is waited for */
int waiting_timeout_ms(struct loop *loop);
void waiting_await(struct loop *loop, struct conn *conn, const struct proto_req *req);
void waiting_change(struct loop *loop, struct conn *conn, const struct proto_req *req, uint64_t id);
void waiting_check_changes(struct loop *loop);           /* after anything happened, and before the drains */
void waiting_check_awaits(struct loop *loop);            /* after anything happened, and before the drains */
void waiting_check(struct loop *loop);                   /* all three, at the end of a round */
void waiting_stop(struct loop *loop, struct conn *conn); /* the connection goes: it waits for nothing any more */

#endif
