/* SPDX-License-Identifier: BSD-3-Clause */
/* lease.c - what a client maps with, and a new one after a fork. See lease.h for why, and the locks. */
#include "client/lease.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <pgmap/pgmap.h>

#include "client/connection.h"

void lease_init(struct client_lease *lease)
{
	for (unsigned i = 0; i < PROTO_DEVICES_MAX; i++)
		lease->read[i].fd = lease->write[i].fd = -1;
	lease->forks = client_forks_begun();
	(void)pthread_mutex_init(&lease->maps_lock, NULL);
	LIST_INIT(&lease->maps);
}

static void close_all(struct forkfd fds[PROTO_DEVICES_MAX])
{
	for (unsigned i = 0; i < PROTO_DEVICES_MAX; i++)
		forkfd_close(&fds[i]);
}

unsigned lease_ndescriptors(const struct proto_hello *hello)
{
	unsigned n = 0;
	if (hello->ndevices > PROTO_DEVICES_MAX || hello->granule_order > PGMAP_MAX_ORDER)
		return 0;
	for (unsigned i = 0; i < hello->ndevices; i++)
		n += !(hello->devices[i] & PROTO_DEVICE_NONE);
	return n;
}

static struct forkfd *take_fds(struct forkfd to[], const struct proto_hello *hello, struct forkfd from[])
{
	close_all(to);
	for (unsigned i = 0; i < hello->ndevices; i++)
		if (!(hello->devices[i] & PROTO_DEVICE_NONE))
			forkfd_move(&to[i], from++);
	return from;
}

void lease_take_devices(struct pgmap_client *client, const struct proto_hello *hello, struct forkfd fresh[], bool write)
{
	struct client_lease *lease = &client->lease;
	(void)pthread_mutex_lock(&lease->maps_lock);
	fresh = take_fds(lease->read, hello, fresh);
	if (write)
		(void)take_fds(lease->write, hello, fresh);
	lease->writes = write;
	memcpy(lease->devices, hello->devices, sizeof(lease->devices));
	lease->ndevices = hello->ndevices;
	atomic_store_explicit(&lease->lost, false, memory_order_release);
	atomic_store_explicit(&client->granule_bytes, (uint64_t)PGMAP_PAGE_SIZE << hello->granule_order,
			      memory_order_relaxed);
	atomic_store_explicit(&lease->generation, hello->generation, memory_order_release);
	(void)pthread_mutex_unlock(&lease->maps_lock);
}

void lease_close(struct client_lease *lease)
{
	(void)pthread_mutex_lock(&lease->maps_lock);
	close_all(lease->read);
	close_all(lease->write);
	(void)pthread_mutex_unlock(&lease->maps_lock);
}

void lease_exit(struct client_lease *lease)
{
	lease_close(lease);
	(void)pthread_mutex_destroy(&lease->maps_lock);
}

/* The descriptors that flags ask for, in fresh, and of which devices they are. Under the connection's lock. */
static int ask(struct pgmap_client *client, uint32_t flags, struct forkfd fresh[PROTO_MAX_FDS],
	       struct proto_hello *devices)
{
	struct proto_req req = {.type = PROTO_LEASE, .flags = flags};
	struct transport_reply reply = {0};
	for (unsigned i = 0; i < PROTO_MAX_FDS; i++)
		fresh[i].fd = -1;
	int err = connection_call_locked(client, &req, &reply, fresh);
	/* The server has made the lease, but its descriptors found no place here. */
	if (err == -EMFILE && reply.rep.error == 0 && flags & PROTO_LEASE_NEXT)
		atomic_store_explicit(&client->lease.lost, true, memory_order_release);
	if (err)
		return err;
	*devices = reply.rep.u.hello;
	unsigned n = lease_ndescriptors(devices);
	unsigned each = 0U + !!(flags & (PROTO_LEASE_READ | PROTO_LEASE_NEXT)) + !!(flags & PROTO_LEASE_WRITE);
	if (n && reply.nfds == n * each)
		return 0;
	for (unsigned i = 0; i < PROTO_MAX_FDS; i++)
		forkfd_close(&fresh[i]);
	client->transport->ops->hang_up(client->transport); /* the server may go by a lease that is not here */
	return -EPROTO;
}

/* Other descriptors of the lease in use, of the devices that there are now. Under the connection's lock. */
static int look_again(struct pgmap_client *client, bool write)
{
	struct forkfd fresh[PROTO_MAX_FDS];
	struct proto_hello devices;
	int err = ask(client, PROTO_LEASE_READ | (write ? PROTO_LEASE_WRITE : 0), fresh, &devices);
	if (!err)
		lease_take_devices(client, &devices, fresh, write);
	return err;
}

/* Those that can be written through, besides those that there are; of other devices than these, all anew. Under the connection's lock. */
static int add_writable(struct pgmap_client *client)
{
	struct client_lease *lease = &client->lease;
	struct forkfd fresh[PROTO_MAX_FDS];
	struct proto_hello devices;
	int err = ask(client, PROTO_LEASE_WRITE, fresh, &devices);
	if (err)
		return err;
	bool same = devices.generation == atomic_load_explicit(&lease->generation, memory_order_relaxed);
	(void)pthread_mutex_lock(&lease->maps_lock);
	if (same)
		(void)take_fds(lease->write, &devices, fresh);
	lease->writes = lease->writes || same;
	(void)pthread_mutex_unlock(&lease->maps_lock);
	for (unsigned i = 0; i < PROTO_MAX_FDS; i++)
		forkfd_close(&fresh[i]);
	return same ? 0 : look_again(client, true);
}

int lease_want_write(struct pgmap_client *client)
{
	struct client_lease *lease = &client->lease;
	if (!client_is_ours(client))
		return -EPERM;
	(void)pthread_mutex_lock(&client->lock);
	int err = lease->writes ? 0 : add_writable(client);
	(void)pthread_mutex_unlock(&client->lock);
	return err;
}

static bool is_behind(const struct client_lease *lease, uint64_t generation)
{
	return atomic_load_explicit(&lease->lost, memory_order_acquire) ||
	       atomic_load_explicit(&lease->generation, memory_order_acquire) < generation;
}

/* A mapping that was made at this generation keeps its devices, so any later table of them is right for it (protocol.h). So is a
 * later lease than that which was in use when it was made: the server waits for both. An earlier one is not. */
int lease_want_devices(struct pgmap_client *client, uint64_t generation)
{
	struct client_lease *lease = &client->lease;
	if (!is_behind(lease, generation))
		return 0;
	(void)pthread_mutex_lock(&client->lock);
	int err = is_behind(lease, generation) ? look_again(client, lease->writes) : 0;
	if (!err && is_behind(lease, generation))
		err = -EPROTO;
	(void)pthread_mutex_unlock(&client->lock);
	return err;
}

/* Under maps_lock, which keeps them open. */
static const struct forkfd *fds_for(const struct client_lease *lease, const struct address_plan *plan)
{
	return plan->prot & PROT_WRITE ? lease->write : lease->read;
}

static int keep_pieces(struct leased *leased, const struct address_plan *plan)
{
	struct proto_piece *to = leased->few_pieces;
	leased->many_pieces = NULL;
	if (plan->npieces > LEASE_FEW_PIECES) {
		to = leased->many_pieces = malloc(plan->npieces * sizeof(*to));
		if (!to)
			return -ENOMEM;
	}
	memcpy(to, plan->pieces, plan->npieces * sizeof(*to));
	leased->plan = *plan;
	leased->plan.pieces = to;
	return 0;
}

/* Where it is mapped: its pieces were checked then. */
static bool may_not_pin(const struct address_plan *plan)
{
	for (uint64_t i = 0; i < plan->npieces; i++)
		if (plan->devices[plan->pieces[i].device] & PROTO_DEVICE_NO_PINS)
			return true;
	return false;
}

/* One that cannot be moved stays on the old lease, which stands for as long as it is there: no page is free too early. */
static void move_all(struct client_lease *lease)
{
	struct leased *leased;
	LIST_FOREACH (leased, &lease->maps, link) {
		leased->plan.fds = fds_for(lease, &leased->plan);
		(void)address_move(&leased->plan, &leased->address);
	}
}

/* A lease that no child has: 0, or why there is none. The descriptors are put in their places under the connection's lock:
 * a mapping that the server made after it made the lease is then made from it here, too. */
static int renew(struct pgmap_client *client)
{
	struct client_lease *lease = &client->lease;
	struct forkfd fresh[PROTO_MAX_FDS];
	struct proto_hello devices;
	int err = 0;
	(void)pthread_mutex_lock(&client->lock);
	unsigned forks = client_forks_begun();
	if (forks != lease->forks) {
		uint32_t flags = PROTO_LEASE_NEXT | (lease->writes ? PROTO_LEASE_WRITE : 0);
		err = ask(client, flags, fresh, &devices);
		if (!err) {
			lease_take_devices(client, &devices, fresh, lease->writes);
			(void)pthread_mutex_lock(&lease->maps_lock);
			lease->forks = forks;
			move_all(lease);
			(void)pthread_mutex_unlock(&lease->maps_lock);
		}
	}
	(void)pthread_mutex_unlock(&client->lock);
	return err;
}

/* Under the lock: another thread that moves all mappings must not put it over what comes to lie at these addresses. */
static int take_away(struct client_lease *lease, struct leased *leased)
{
	(void)pthread_mutex_lock(&lease->maps_lock);
	int err = address_unmap(&leased->address);
	if (!err)
		LIST_REMOVE(leased, link);
	(void)pthread_mutex_unlock(&lease->maps_lock);
	return err;
}

/* What the server must be told of the end of something that was mapped when so many forks were over. */
static uint32_t inherited_since(struct pgmap_client *client, unsigned forks)
{
	if (client_forks_begun() == forks)
		return 0;
	return PROTO_UNMAP_INHERITED | (renew(client) ? PROTO_UNMAP_UNRENEWED : 0);
}

int lease_map(struct pgmap_client *client, const struct address_plan *plan, struct leased *out, uint32_t *inherited)
{
	struct client_lease *lease = &client->lease;
	int err = keep_pieces(out, plan);
	if (err)
		return err;
	(void)pthread_mutex_lock(&lease->maps_lock);
	out->forks = client_forks_over();
	out->plan.fds = fds_for(lease, plan);
	out->plan.ndevices = lease->ndevices;
	out->plan.devices = lease->devices;
	err = address_map(&out->plan, &out->address);
	if (!err) {
		out->no_pins = may_not_pin(&out->plan);
		LIST_INSERT_HEAD(&lease->maps, out, link);
	}
	(void)pthread_mutex_unlock(&lease->maps_lock);
	if (err) {
		*inherited = inherited_since(client, out->forks);
		free(out->many_pieces);
	}
	return err;
}

/* Takes the place of what is there. */
static void replace(struct leased *leased, const struct leased *fresh)
{
	free(leased->many_pieces);
	leased->forks = fresh->forks;
	leased->plan = fresh->plan;
	leased->no_pins = may_not_pin(&fresh->plan);
	leased->many_pieces = fresh->many_pieces;
	if (!leased->many_pieces) {
		memcpy(leased->few_pieces, fresh->few_pieces, sizeof(leased->few_pieces));
		leased->plan.pieces = leased->few_pieces;
	}
}

int lease_change(struct pgmap_client *client, const struct address_plan *plan, struct leased *leased,
		 uint32_t *inherited)
{
	struct client_lease *lease = &client->lease;
	struct leased fresh;
	int err = keep_pieces(&fresh, plan);
	if (err)
		return err;
	(void)pthread_mutex_lock(&lease->maps_lock);
	unsigned forks = leased->forks;
	fresh.forks = client_forks_over();
	fresh.plan.fds = fds_for(lease, plan);
	fresh.plan.ndevices = lease->ndevices;
	fresh.plan.devices = lease->devices;
	err = address_change(&leased->plan, &fresh.plan, &leased->address);
	if (!err)
		replace(leased, &fresh);
	(void)pthread_mutex_unlock(&lease->maps_lock);
	if (err)
		free(fresh.many_pieces);
	*inherited = inherited_since(client, err ? fresh.forks : forks);
	return err;
}

int lease_unmap(struct pgmap_client *client, struct leased *leased, uint32_t *inherited)
{
	int err = take_away(&client->lease, leased);
	if (err)
		return err;
	*inherited = inherited_since(client, leased->forks);
	free(leased->many_pieces);
	return 0;
}
