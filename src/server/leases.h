/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leases.h - the leases of a session: one that its client maps with now, and those that its forked children may map with
 * still. Here is which of a session's mappings waits for which lease; the kernel says when one has fallen (dev/dev.h).
 *
 * A child of fork() inherits its parent's mappings, and with them the lease that they were made from. A parent that unmaps
 * afterwards must not free pages that a child still looks at (c6.8, c7.8). So a client that has forked asks for a new
 * lease (PROTO_LEASE) before it tells of such an unmap, moves what it still maps to it, and says of the unmap that a child
 * may have inherited the mapping. The mapping's references then stay until all leases that it can have been inherited with
 * have fallen: those that stood between its making and its unmap. They fall with the last such child, and no clock.
 *
 * Bytes rise, so a session's leases are in the order of their bytes, and the last is the one in use. A client that cannot get
 * a new lease says so with the unmap, which then waits for the one in use as well: until there is a new one all the same and
 * it falls, or for the client itself. Nobody waits for the one in use while its client is connected.
 *
 * All of it under service.lock. Whoever carries the messages asks for wanted leases after each of them
 * (service_lease_wanted), and waits for each: its memory is the lease's own, so waiting cannot fail for want of it.
 */
#ifndef PGMAP_SERVER_LEASES_H
#define PGMAP_SERVER_LEASES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct session;
struct session_map;

enum { LEASES_MAX = 64 }; /* of one session: each is a lock that the kernel compares others with */

struct lease {
	TAILQ_ENTRY(lease) of_session;
	struct session *session;
	uint64_t byte;
	bool wanted; /* something ends when it falls */
	bool handed; /* to whoever waits for it; whose the rest is */
	TAILQ_ENTRY(lease) link;
	void *waiter;
	bool watched; /* a thread waits for it */
	int answer;   /* of dev_lease_wait() */
};

TAILQ_HEAD(lease_list, lease);

/* lease_begin - a lease of a new byte, from now on the one in use; its descriptors, one of each device, read-only and (write)
 * then as many writable ones, are the caller's. -EUSERS too many are still held, -EMFILE, -ENFILE, -ENOMEM, -ENOLCK. lease_undo: it is not to be after all. */
int lease_begin(struct session *session, bool write, int fds[]);
void lease_undo(struct session *session);
/* Other descriptors of the one in use: (read) one of each device that can be read through, then (write) writable ones. */
int lease_join(struct session *session, bool read, bool write, int fds[]);
uint64_t lease_byte(const struct session *session); /* of the one in use */

/* A mapping is unmapped that children may have inherited: true, it waits for leases, which are wanted now; false: nobody has
 * it any more. also_this: the lease in use is one of them. */
bool leases_keep(struct session *session, struct session_map *map, bool also_this);
/* Whether a lease still stands that this kept mapping waits for. */
bool leases_hold(const struct session *session, const struct session_map *map);
/* The client has gone. True: none stands. False: those that do are wanted. */
bool leases_all_fallen(struct session *session);
/* Those that are wanted, and that nobody waits for: what waited for one that has fallen ends. True: one has. *stand: others have not. */
bool leases_look(struct session *session, bool *stand);
void lease_fallen(struct lease *lease);    /* it is freed */
void leases_exit(struct session *session); /* nobody waits for any */

#endif
