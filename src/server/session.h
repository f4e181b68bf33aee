/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * session.h - the inside of the service: one session per connection, its holder, its mappings and files, and its end.
 *
 * Everything here is called with service.lock held, except where a function says otherwise. Lock order: service.lock,
 * then the pool's (fsdax), then the core's. session_gone() is called under the pool's lock, which only the service's
 * calls take, so it has service.lock too.
 */
#ifndef PGMAP_SERVER_SESSION_H
#define PGMAP_SERVER_SESSION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include <pgmap/fsdax.h>

#include "fs/supply.h"
#include "server/badblocks.h"
#include "server/devices.h"
#include "server/handles.h"
#include "server/leases.h"
#include "server/lost.h"
#include "server/protocol.h"
#include "server/segment.h"
#include "server/service.h"

enum { SESSION_COMMAND_MAX = 64 };

struct service {
	pthread_mutex_t lock;
	uint64_t id; /* PROTO_HELLO says it */
	struct devices devices;
	struct fsdax *fs;
	TAILQ_HEAD(session_list, session) sessions; /* those with a holder */
	uint64_t last_id;
	uint64_t last_change;
	uint32_t connections;
	uint32_t holders;
	uint32_t quarantined; /* holders */
	bool draining;
	uint64_t called_off; /* drains that were */
	enum service_role others;
	TAILQ_HEAD(, pending) pendings;
	TAILQ_HEAD(, change) changes; /* devices that come and go */
	pthread_cond_t pending_cond;  /* of lock: some of them may have ended */
	int wake_fd;                  /* written when a change has gone on in another thread; or -1 */
	service_event_fn *on_event;   /* or null */
	void *on_event_arg;
	struct lost lost;
	struct badblocks badblocks;
};

/* drain.c, under service.lock: something was let go of, or called off; whoever waits where there is no loop looks again. */
void drain_wake(struct service *service);

/* removal.c, under service.lock: service_check_device(). */
bool removal_found(struct service *service);

/* The last word on a mapping that is complete, but not there yet: other than 0 is its error, and nothing has happened. */
struct session_map;
typedef int session_ready_fn(const struct session_map *map, void *arg);

/* A mapping of a session: an fsdax_map, and the pin words of its spans. */
struct session_map {
	TAILQ_ENTRY(session_map) link;
	struct session *session;
	struct fsdax_map *map;
	uint64_t id;
	uint64_t ino;
	uint64_t offset_bytes, len_bytes;
	uint64_t nspans, first_word, pages; /* its words go when it is unmapped: nspans 0 */
	uint64_t refs;
	uint64_t first_lease, last_lease; /* that it can have been inherited with; last: once it is unmapped */
	uint64_t *stale;                  /* a bit per span that has gone from the file; few_stale for up to 64 */
	uint64_t few_stale;
	int64_t since_ns;
	session_ready_fn *ready; /* while it is being made */
	void *ready_arg;
};

/* A folio that an ended holder left quarantined: what "who" shows of it. */
struct session_left {
	uint64_t pages;
	unsigned device;
	uint64_t ino;
	uint64_t offset_bytes;
	uint32_t pins_local, pins_remote;
	char *path; /* as it was; shared by the folios of one file, freed with the one that has own_path */
	bool own_path;
};

struct session {
	TAILQ_ENTRY(session) link;
	struct service *service;
	uint64_t id; /* the holder's, and the byte of its first lease; 0 without a holder */
	bool greeted;
	bool waited_for; /* disconnected, and its leases are */
	bool unhurried;  /* its requests may be told to come again (supply) */
	enum service_role role;
	enum proto_who_state state;
	struct fsdax_holder *holder;
	struct segment segment;
	int event_fd; /* the client writes it when its last pin under a reason goes; see server.c */
	struct supply supply;
	struct handles files;
	struct handles maps;
	TAILQ_HEAD(session_maps, session_map) map_list;
	struct session_maps inherited; /* unmapped here; children may have them still */
	struct lease_list leases;
	unsigned nleases;
	struct session_left *left;
	uint64_t nleft, left_cap;
	int64_t quarantined_pages;
	int64_t since_ns;
	pid_t pid;
	uid_t uid;
	char command[SESSION_COMMAND_MAX];
};

static inline bool session_is_stale(const struct session_map *map, uint64_t span)
{
	return map->stale[span / 64] >> (span % 64) & 1;
}

/* Holder, segment and lease; the descriptors (the lease's, one of each device; the segment; the eventfd) are the caller's to pass on and close. 0 or -errno. */
int session_greet(struct session *session, int fds[PROTO_MAX_FDS]);
/* The holder maps nothing any more: drop all that it has. The session is freed, but for a quarantined holder's. */
void session_end(struct session *session);
/* Its files, when nobody can name them any more. */
void session_close_files(struct session *session);
void session_close_event(struct session *session);
void session_free(struct session *session);

/* What is to be mapped of an open file. resize: all of it, once it has this size; flags as for fsdax_resize_map(). */
struct session_range {
	uint64_t offset_bytes, len_bytes; /* len_bytes 0: to the end */
	bool resize;
	unsigned flags;
};
/* ready may be null. What fails has changed nothing, neither here nor in the file. */
int session_map(struct session *session, struct fsdax_file *file, const struct session_range *range,
		session_ready_fn *ready, void *arg, struct session_map **out);
/* session_unmap - of a mapping that is not pinned; inherited: PROTO_UNMAP_INHERITED and PROTO_UNMAP_UNRENEWED, of protocol.h. */
bool session_is_pinned(const struct session_map *map);
void session_unmap(struct session *session, struct session_map *map, uint32_t inherited);
void session_lease_fallen(struct session *session); /* what waited for it ends */
bool session_holds(const struct session *session);  /* a mapping, its own or its children's */
/* reasons.c: the words of pins, and why new ones are refused. */
void session_gone(void *cookie, uint64_t first_span, uint64_t nspans);
void session_taking(void *cookie, uint64_t span, int taken);

/* Of all spans, but for stale ones; of those whose device has gone, or is leaving. session_open_on - these folios' device stays after all. */
void session_block_all(struct session *session, enum pinword_reason reason);
void session_block_gone(struct session *session);
void session_open_on(struct session *session, const struct pgmap *pgmap);
uint64_t session_pages_on(const struct session_map *map, unsigned device); /* that it holds there */
void session_count_pins(const struct session_map *map, uint64_t *local, uint64_t *remote);

/* Its process's name, as it is now. Where the system does not tell, what it said stays: command, at the greeting. */
void session_read_command(struct session *session);
void session_event(const struct session *session, enum service_event event);

int64_t session_now_ns(void); /* CLOCK_REALTIME */

#endif
