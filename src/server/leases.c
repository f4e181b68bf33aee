/* SPDX-License-Identifier: BSD-3-Clause */
/* leases.c - the leases of a session, and what waits for them. See leases.h. */
#include "server/leases.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "port/abort.h"
#include "server/session.h"

static struct lease *in_use(const struct session *session)
{
	return TAILQ_LAST(&session->leases, lease_list);
}

static void forget(struct lease *lease)
{
	TAILQ_REMOVE(&lease->session->leases, lease, of_session);
	lease->session->nleases--;
	free(lease);
}

/* Those that have fallen, and nothing waits for. from: the first that is not looked at, or null. */
static void forget_fallen(struct session *session, const struct lease *from)
{
	struct lease *lease, *next;
	for (lease = TAILQ_FIRST(&session->leases); lease && lease != from; lease = next) {
		next = TAILQ_NEXT(lease, of_session);
		if (!lease->wanted && devices_lease_probe(&session->service->devices, lease->byte) == 1)
			forget(lease);
	}
}

/* Mappings wait for it that were unmapped while it was in use. */
static bool is_awaited(const struct lease *lease)
{
	const struct session_map *map;
	TAILQ_FOREACH (map, &lease->session->inherited, link) {
		if (lease->byte >= map->first_lease && lease->byte <= map->last_lease)
			return true;
	}
	return false;
}

/* Joined to the read-only ones of the same byte: all of these, or, as then nobody gets any, none of both. */
static int join_writable(const struct devices *devices, uint64_t byte, int fds[])
{
	unsigned n = devices_count(devices);
	int err = devices_join_lease(devices, byte, true, fds + n);
	for (unsigned i = 0; i < n && err; i++)
		(void)close(fds[i]);
	return err;
}

static int open_all(struct service *service, uint64_t byte, bool write, int fds[])
{
	const struct devices *devices = &service->devices;
	int err = devices_open_lease(devices, byte, false, fds);
	if (!err || devices_count(devices) > 1)
		service->last_id = byte; /* whatever comes now: it is not guarded any more, and a client can lock it */
	if (err)
		return err;
	return write ? join_writable(devices, byte, fds) : 0;
}

int lease_begin(struct session *session, bool write, int fds[])
{
	struct service *service = session->service;
	forget_fallen(session, in_use(session));
	if (session->nleases == LEASES_MAX)
		return -EUSERS;
	struct lease *lease = calloc(1, sizeof(*lease));
	if (!lease)
		return -ENOMEM;
	lease->session = session;
	lease->byte = service->last_id + 1;
	int err = open_all(service, lease->byte, write, fds);
	if (err) {
		free(lease);
		return err;
	}
	if (session->nleases)
		in_use(session)->wanted = is_awaited(in_use(session));
	TAILQ_INSERT_TAIL(&session->leases, lease, of_session);
	session->nleases++;
	return 0;
}

void lease_undo(struct session *session)
{
	forget(in_use(session));
}

int lease_join(struct session *session, bool read, bool write, int fds[])
{
	const struct devices *devices = &session->service->devices;
	uint64_t byte = in_use(session)->byte;
	if (!read)
		return devices_join_lease(devices, byte, true, fds);
	int err = devices_join_lease(devices, byte, false, fds);
	return err || !write ? err : join_writable(devices, byte, fds);
}

uint64_t lease_byte(const struct session *session)
{
	return in_use(session)->byte;
}

bool leases_hold(const struct session *session, const struct session_map *map)
{
	const struct lease *lease;
	TAILQ_FOREACH (lease, &session->leases, of_session) {
		if (lease->byte >= map->first_lease && lease->byte <= map->last_lease)
			return true;
	}
	return false;
}

bool leases_keep(struct session *session, struct session_map *map, bool also_this)
{
	struct lease *lease;
	forget_fallen(session, in_use(session));
	map->last_lease = lease_byte(session) - !also_this;
	TAILQ_FOREACH (lease, &session->leases, of_session) {
		if (lease != in_use(session) && lease->byte >= map->first_lease)
			lease->wanted = true;
	}
	return leases_hold(session, map);
}

bool leases_all_fallen(struct session *session)
{
	struct lease *lease;
	forget_fallen(session, NULL);
	TAILQ_FOREACH (lease, &session->leases, of_session)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): what was freed is no more on the list */
		lease->wanted = true;
	return TAILQ_EMPTY(&session->leases);
}

bool leases_look(struct session *session, bool *stand)
{
	struct lease *lease, *next;
	bool fell = false;
	for (lease = TAILQ_FIRST(&session->leases); lease; lease = next) {
		next = TAILQ_NEXT(lease, of_session);
		if (!lease->wanted || lease->handed)
			continue;
		if (devices_lease_probe(&session->service->devices, lease->byte) == 1) {
			forget(lease);
			fell = true;
		} else {
			*stand = true;
		}
	}
	if (fell) {
		session_lease_fallen(session);
		drain_wake(session->service);
	}
	return fell;
}

void lease_fallen(struct lease *lease)
{
	forget(lease);
}

void leases_exit(struct session *session)
{
	struct lease *lease;
	while ((lease = TAILQ_FIRST(&session->leases)) != NULL) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): what was freed is no more on the list */
		if (lease->handed)
			port_abort("pgmapd: holder %llu ends while its lease %llu is waited for",
				   (unsigned long long)session->id, (unsigned long long)lease->byte);
		forget(lease);
	}
}
