/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * connection.h - the inside of the client: a connection, and the handles that keep it.
 *
 * A struct pgmap_client lives as long as the user's handle on it, its files and its mappings, and its transport with it: a
 * thread that waits for a file's pages uses that while another disconnects. Its lock guards calls of the transport (but for
 * those that wait) and the sequence number; only the lock of forkfd.h is taken under it. Pins take no lock.
 *
 * Fork: the handles are the parent's. In the child, a handler that runs before fork() returns closes the connections'
 * descriptors (forkfd.h: also those of one that is being made), so that the server sees the parent's end when it comes,
 * and counts up client_generation; every call with a handle of an earlier generation answers -EPERM. The pin segment is
 * not inherited (MADV_DONTFORK); mappings are.
 */
#ifndef PGMAP_CLIENT_CONNECTION_H
#define PGMAP_CLIENT_CONNECTION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <pgmap/client.h>

#include "client/forkfd.h"
#include "client/lease.h"
#include "client/transport.h"
#include "core/pinword.h"

/* The descriptors that come with the hello: the lease's, one of each device, then these. The words' is closed when they are
 * mapped. */
enum { HELLO_WORDS, HELLO_EVENT };

struct pgmap_client {
	pthread_mutex_t lock;
	struct transport *transport;
	bool disconnected; /* the transport is closed */
	atomic_uint refs;
	unsigned generation;
	uint32_t seq;
	pinword_t *words;
	uint64_t nwords;
	_Atomic uint64_t granule_bytes; /* changes with the devices (lease.h) */
	struct forkfd event;
	struct client_lease lease;
};

struct pgmap_file {
	struct pgmap_client *client;
	uint64_t id;
	bool read_only;
};

static inline bool client_is_ours(const struct pgmap_client *client)
{
	return client->generation == atomic_load_explicit(&client_generation, memory_order_relaxed);
}

/* A connection that says hello; one reference. */
int connection_open(struct transport *transport, struct pgmap_client **out);
void connection_get(struct pgmap_client *client);
void connection_put(struct pgmap_client *client);
int connection_disconnect(struct pgmap_client *client);

/* A request, and its reply: 0, what the reply says, -EPIPE, -EPERM in a forked child. On an error the reply's descriptors
 * are closed. connection_ask: the same, when there is no descriptor to expect. What is no reply of this protocol is
 * -EPROTO, and ends the conversation: nobody knows what the next reply would belong to. */
int connection_call(struct pgmap_client *client, struct proto_req *req, struct transport_reply *reply);
int connection_ask(struct pgmap_client *client, struct proto_req *req, struct proto_rep *rep);
/* Under the client's lock, in its own process; the descriptors are in keep on success, and the caller's. keep: as in transport.h. */
int connection_call_locked(struct pgmap_client *client, struct proto_req *req, struct transport_reply *reply,
			   struct forkfd *keep);
/* A handle of the server's ends (PROTO_CLOSE, PROTO_UNMAP, flags as there): this cannot fail. A server that has gone need not be told, and
 * one that does not know what it gave does not speak this protocol: the conversation ends, and the lease settles the rest.
 * The answer is of what the flags ask for besides: -EPIPE, -EPROTO, or -errno of the reply's count. */
int connection_end_handle(struct pgmap_client *client, enum proto_type type, uint64_t handle, uint32_t flags);
void connection_close_fds(struct transport_reply *reply);
int connection_drain(struct pgmap_client *client, int64_t timeout_ms);
/* A request whose reply may come late; the connection can be used meanwhile. The reply is there also with its own error. */
int connection_wait(struct pgmap_client *client, struct proto_req *req, struct proto_rep *rep);

/* A request with a path; -EINVAL null, -ENAMETOOLONG. */
int connection_set_path(char field[PROTO_PATH_MAX], const char *path);

/* The bytes of a reply's memfd, mapped; the descriptor is closed. Less than min_bytes: -EPROTO. */
struct connection_bytes {
	const void *at;
	uint64_t len;
};
int connection_read_fd(struct transport_reply *reply, uint64_t min_bytes, struct connection_bytes *out);
/* A request that is answered with *count records of row_bytes each, and what follows them; none: out is empty. */
int connection_list(struct pgmap_client *client, struct proto_req *req, uint64_t row_bytes, uint64_t *count,
		    struct connection_bytes *out);
void connection_bytes_exit(struct connection_bytes *bytes);

#endif
