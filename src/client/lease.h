/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lease.h - what a client maps with: the descriptors of its lease, and the mappings that were made from them.
 *
 * A child of fork() inherits its parent's mappings. What the parent unmaps afterwards, a child may look at still, so the
 * server must keep those pages until it has gone (c6.8, c7.8): the kernel says when, by way of the lease that the child's
 * mapping was made from (server/leases.h). That works if nothing of the parent's is on the same lease. So at the first unmap
 * of an inherited mapping after a fork the client gets a new lease, and moves all that it still maps to it: the same pages
 * of the same device, put over the same addresses, with no moment at which an access would fail.
 *
 * Whether a child may have a mapping is known by counting forks: when as many were over before the mapping was made as have
 * begun after it was unmapped, no child has it. (A fork is over when its child is there: what is mapped between its beginning
 * and that, the child has.) A lease is new enough when no fork has begun since before it was asked for: fork() takes the
 * lock of forkfd.h, so the child of one that had begun already is there before the new lease's descriptors are here.
 *
 * Lock order: the connection's lock, maps_lock, forkfd.h's. maps_lock guards the descriptors' use and the list: a mapping
 * is on it exactly while its addresses are its own.
 */
#ifndef PGMAP_CLIENT_LEASE_H
#define PGMAP_CLIENT_LEASE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "client/address.h"
#include "client/forkfd.h"

struct pgmap_client;
struct pgmap_mapping;

enum { LEASE_FEW_PIECES = 2 };

struct client_lease {
	struct forkfd read[PROTO_DEVICES_MAX];  /* by the devices' numbers */
	struct forkfd write[PROTO_DEVICES_MAX]; /* from the first mapping that is written through on */
	bool writes;                            /* then */
	uint8_t devices[PROTO_DEVICES_MAX];     /* PROTO_DEVICE_... of each */
	unsigned ndevices;
	_Atomic uint64_t generation; /* of the devices (protocol.h) */
	atomic_bool lost;            /* the server's is a later one, whose descriptors did not come */
	unsigned forks;              /* that had begun before it was asked for */
	pthread_mutex_t maps_lock;
	LIST_HEAD(, leased) maps;
};

/* A mapping's part: what it takes to make it again. */
struct leased {
	LIST_ENTRY(leased) link;
	unsigned forks; /* that were over before it was made */
	struct address address;
	struct address_plan plan; /* but for the descriptors */
	struct proto_piece few_pieces[LEASE_FEW_PIECES];
	struct proto_piece *many_pieces; /* or null */
	bool no_pins;                    /* some of it lies on a device whose memory may not be pinned */
};

void lease_init(struct client_lease *lease);
void lease_exit(struct client_lease *lease); /* its descriptors are closed */
void lease_close(struct client_lease *lease);

/* What the reply to a HELLO or LEASE says of the devices. lease_ndescriptors - of how many of them a descriptor comes; 0: it makes no
 * sense. lease_take_devices - these are the devices now, and these the descriptors, first those for reading, then (write) writable ones;
 * what there was before is closed. Under the connection's lock. */
unsigned lease_ndescriptors(const struct proto_hello *hello);
void lease_take_devices(struct pgmap_client *client, const struct proto_hello *hello, struct forkfd fresh[],
			bool write);

/* There is a descriptor that can be written through; before a mapping is asked for. What a request answers. */
int lease_want_write(struct pgmap_client *client);
/* The devices are known as they are at this generation, or later, and the descriptors are of the lease that the server takes to be
 * in use: before what a reply of it says is mapped. */
int lease_want_devices(struct pgmap_client *client, uint64_t generation);
/* lease_map - a range of addresses as the plan says; its descriptors are not looked at. As address_map(), and -ENOMEM.
 * lease_change - what lies there becomes what another plan says (address_change()).
 * lease_unmap - the end of it. As address_unmap().
 * *inherited: what the server must be told with the PROTO_UNMAP of what is not mapped now: of what lay there before, or, on an
 * error of the first two, of what was to lie there, and may have been, in part, for a moment. */
int lease_map(struct pgmap_client *client, const struct address_plan *plan, struct leased *out, uint32_t *inherited);
int lease_change(struct pgmap_client *client, const struct address_plan *plan, struct leased *leased,
		 uint32_t *inherited);
int lease_unmap(struct pgmap_client *client, struct leased *leased, uint32_t *inherited);

#endif
