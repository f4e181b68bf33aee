/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * service.c - the pool as a service: its making and end, and what every message passes on its way in.
 *
 * Nothing that comes from a client is believed before check() has passed it: length, magic, version, type, known flags,
 * reserved fields, terminated paths, a greeting first and only once. What does not speak the protocol is told so once,
 * and its connection ends; a well-formed request for something that is not there gets an error, and no more happens.
 */
#include "server/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "server/change.h"
#include "server/pending.h"
#include "server/records.h"
#include "server/requests.h"

/* All places are in use. Before there is a pool on them: where this fails there is nothing of the pool's to discard, and what is wiped
 * from the beginning on is only what is good. */
static int tell_all_bad(struct service *service, unsigned *which, char why[DEV_WHY_MAX])
{
	const struct devices *devices = &service->devices;
	for (unsigned i = 0; i < devices->n; i++) {
		int err = badblocks_read(devices->dev[i], devices->memory[i]);
		badblocks_watch(service, i);
		if (err) {
			*which = i;
			(void)snprintf(why, DEV_WHY_MAX, "has bad blocks, and which pages these are cannot be read: %s",
				       strerror(-err));
			return err;
		}
	}
	return 0;
}

static int open_pool(struct service *service, unsigned *which, char why[DEV_WHY_MAX])
{
	int err = tell_all_bad(service, which, why);
	if (!err)
		err = fsdax_create(service->devices.dax, session_gone, &service->fs);
	if (!err)
		(void)fsdax_set_wiping(service->fs, 0,
				       SERVICE_WIPE_PERCENT); /* without a thread, by those who need it */
	if (!err)
		fsdax_on_taking(service->fs, session_taking);
	return err ? err : fsdax_on_lost(service->fs, lost_note, &service->lost); /* what is known is said otherwise */
}

/* While the system starts, the kernel may have no random bytes yet: they are waited for. */
static int make_id(uint64_t *id)
{
	ssize_t n;
	do
		n = getrandom(id, sizeof(*id), 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int service_create_on(const char *const specs[], unsigned n, const char *layout, struct service **out, unsigned *which,
		      char why[DEV_WHY_MAX])
{
	*which = n;
	why[0] = 0;
	struct service *service = calloc(1, sizeof(*service));
	if (!service)
		return -ENOMEM;
	service->others = SERVICE_WRITER;
	TAILQ_INIT(&service->sessions);
	pending_init(service);
	lost_init(&service->lost);
	badblocks_init(&service->badblocks);
	int err = make_id(&service->id);
	if (!err)
		err = devices_open(&service->devices, specs, n, layout, which, why);
	if (!err)
		err = open_pool(service, which, why);
	if (err) {
		if (!why[0])
			(void)snprintf(why, DEV_WHY_MAX, "%s", strerror(-err));
		(void)service_destroy(service);
		return err;
	}
	devices_stay(&service->devices);
	*out = service;
	return 0;
}

int service_create(const char *spec, struct service **out, char why[DEV_WHY_MAX])
{
	unsigned which;
	return service_create_on(&spec, spec != NULL, NULL, out, &which, why);
}

int service_destroy(struct service *service)
{
	if (!service)
		return 0;
	if (!TAILQ_EMPTY(&service->sessions) || changes_run(service))
		return -EBUSY;
	changes_forget(service);
	int err = service->fs ? fsdax_destroy(service->fs) : 0;
	if (err)
		return err;
	service->fs = NULL;
	err = devices_close(&service->devices);
	if (err)
		return err;
	(void)pthread_cond_destroy(&service->pending_cond);
	(void)pthread_mutex_destroy(&service->lock);
	lost_exit(&service->lost);
	badblocks_exit(&service->badblocks);
	free(service);
	return 0;
}

void service_set_others(struct service *service, enum service_role role)
{
	service->others = role;
}

void service_on_event(struct service *service, service_event_fn *fn, void *arg)
{
	service->on_event = fn;
	service->on_event_arg = arg;
}

struct session *service_connect(struct service *service, pid_t pid, uid_t uid)
{
	struct session *session = calloc(1, sizeof(*session));
	if (!session)
		return NULL;
	session->service = service;
	session->event_fd = -1;
	session->pid = pid;
	session->uid = uid;
	supply_init(&session->supply, service->fs);
	session->role = uid == 0 || uid == geteuid() ? SERVICE_OWNER : service->others;
	TAILQ_INIT(&session->map_list);
	TAILQ_INIT(&session->inherited);
	TAILQ_INIT(&session->leases);
	return session;
}

static int request_hello(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	struct service *service = session->service;
	(void)snprintf(session->command, sizeof(session->command), "%.*s", SESSION_COMMAND_MAX - 1, req->path);
	if (req->flags & PROTO_HELLO_CONTROL)
		session_read_command(session);
	if (!(req->flags & PROTO_HELLO_CONTROL)) {
		int err = session_greet(session, out->fds);
		if (err)
			return err;
		out->nfds = devices_count(&service->devices) + PROTO_HELLO_FDS;
	}
	session->greeted = true;
	out->rep.u.hello.holder_id = session->id;
	out->rep.u.hello.words = session->segment.count;
	out->rep.u.hello.service_id = service->id;
	request_say_devices(&service->devices, out);
	return 0;
}

enum { OPEN_FLAGS = FSDAX_CREATE | FSDAX_EXCL | FSDAX_TRUNC, HOW_FLAGS = PROTO_HOW_WAIT | PROTO_HOW_FAIL };
enum {
	NEEDS_HOLDER = 1,
	NEEDS_PROT = 2,
	NEEDS_WRITER = 4,
	NEEDS_OWNER = 8,
	LOOKS = 16
}; /* LOOKS: it asks for what is lost */

static const struct {
	request_fn *fn;
	uint32_t flags;
	unsigned npaths;
	unsigned needs;
} requests[PROTO_NTYPES] = {
	[PROTO_HELLO] = {request_hello, PROTO_HELLO_CONTROL, 0, 0},
	[PROTO_OPEN] = {request_open, OPEN_FLAGS, 1, NEEDS_HOLDER},
	[PROTO_CLOSE] = {request_close, 0, 0, NEEDS_HOLDER},
	[PROTO_FSTAT] = {request_fstat, 0, 0, NEEDS_HOLDER},
	[PROTO_TRUNCATE] = {request_truncate, HOW_FLAGS, 0, NEEDS_HOLDER | NEEDS_WRITER},
	[PROTO_MAP] = {request_map, PROTO_MAP_AGAIN, 0, NEEDS_HOLDER | NEEDS_PROT},
	[PROTO_OPEN_MAP] = {request_open_map, OPEN_FLAGS, 1, NEEDS_HOLDER | NEEDS_PROT},
	[PROTO_UNMAP] = {request_unmap, PROTO_UNMAP_INHERITED | PROTO_UNMAP_UNRENEWED | PROTO_UNMAP_UNLINK, 0,
			 NEEDS_HOLDER},
	[PROTO_LEASE] = {request_lease, PROTO_LEASE_NEXT | PROTO_LEASE_WRITE | PROTO_LEASE_READ, 0, NEEDS_HOLDER},
	[PROTO_STAT] = {request_stat, 0, 1, 0},
	[PROTO_UNLINK] = {request_unlink, HOW_FLAGS, 1, NEEDS_WRITER},
	[PROTO_RENAME] = {request_rename, 0, 2, NEEDS_WRITER},
	[PROTO_MKDIR] = {request_mkdir, 0, 1, NEEDS_WRITER},
	[PROTO_RMDIR] = {request_rmdir, 0, 1, NEEDS_WRITER},
	[PROTO_READDIR] = {request_readdir, 0, 1, 0},
	[PROTO_INFO] = {request_info, 0, 0, LOOKS},
	[PROTO_WHO] = {request_who, PROTO_WHO_DEVICE, 1, 0},
	[PROTO_FENCE] = {request_fence, 0, 0, NEEDS_OWNER},
	[PROTO_DRAIN] = {request_drain, 0, 0, NEEDS_OWNER},
	[PROTO_DRAIN_CANCEL] = {request_drain_cancel, 0, 0, NEEDS_OWNER},
	[PROTO_PUNCH] = {request_punch, HOW_FLAGS, 0, NEEDS_HOLDER | NEEDS_WRITER},
	[PROTO_ORDER] = {request_order, 0, 1, NEEDS_WRITER},
	[PROTO_AWAIT] = {request_await, PROTO_AWAIT_CANCEL, 0, 0},
	[PROTO_LOST] = {request_lost, 0, 1, LOOKS},
	[PROTO_REPAIR] = {request_repair, 0, 1, NEEDS_WRITER | LOOKS},
	[PROTO_VERIFY] = {request_verify, 0, 0, NEEDS_HOLDER | LOOKS},
	[PROTO_DEVICES] = {request_devices, 0, 0, LOOKS},
	[PROTO_DEVICE_ADD] = {request_device_add, 0, 1, NEEDS_OWNER},
	[PROTO_DEVICE_REMOVE] = {request_device_remove, 0, 1, NEEDS_OWNER},
	[PROTO_DEVICE_CANCEL] = {request_device_cancel, 0, 1, NEEDS_OWNER},
};

static void begin_reply(struct service_reply *out, const struct proto_req *req)
{
	memset(&out->rep, 0, sizeof(out->rep));
	out->nfds = 0;
	out->rep.magic = PROTO_MAGIC;
	out->rep.version = PROTO_VERSION;
	if (req) {
		out->rep.type = req->type;
		out->rep.seq = req->seq;
	}
}

void service_refuse(struct service_reply *out, const struct proto_req *req, int err)
{
	begin_reply(out, req);
	out->rep.error = err;
}

/* Whether it speaks the protocol at all. */
static bool check_protocol(const struct session *session, const struct proto_req *req, size_t len_bytes)
{
	return len_bytes == sizeof(*req) && req->magic == PROTO_MAGIC && req->version == PROTO_VERSION &&
	       (req->type == PROTO_HELLO) != session->greeted;
}

static bool path_ends(const char path[PROTO_PATH_MAX])
{
	return memchr(path, 0, PROTO_PATH_MAX) != NULL;
}

/* Whether a request that is well formed would write: to names, or through what is mapped. */
static bool writes(const struct proto_req *req)
{
	switch (req->type) {
	case PROTO_OPEN:
		return req->flags & (FSDAX_CREATE | FSDAX_TRUNC);
	case PROTO_OPEN_MAP:
		return req->flags & (FSDAX_CREATE | FSDAX_TRUNC) || req->len_bytes || req->prot & PROTO_PROT_WRITE;
	case PROTO_MAP:
		return req->prot & PROTO_PROT_WRITE;
	case PROTO_LEASE:
		return req->flags & PROTO_LEASE_WRITE;
	default:
		return requests[req->type].needs & NEEDS_WRITER;
	}
}

static int check_role(const struct session *session, const struct proto_req *req)
{
	if (session->role == SERVICE_NOBODY)
		return -EACCES;
	if (session->role == SERVICE_READER && writes(req))
		return -EACCES;
	return session->role < SERVICE_OWNER && requests[req->type].needs & NEEDS_OWNER ? -EPERM : 0;
}

static int check(const struct session *session, const struct proto_req *req)
{
	if (req->type >= PROTO_NTYPES || !requests[req->type].fn)
		return -EOPNOTSUPP;
	if ((req->flags & ~requests[req->type].flags) || req->reserved[0] || req->reserved[1] || req->reserved[2])
		return -EINVAL;
	if ((requests[req->type].npaths >= 1 && !path_ends(req->path)) ||
	    (requests[req->type].npaths >= 2 && !path_ends(req->path2)))
		return -ENAMETOOLONG;
	if ((requests[req->type].needs & NEEDS_HOLDER) && !session->holder)
		return -EPERM;
	if ((requests[req->type].needs & NEEDS_PROT) && (req->prot == 0 || req->prot > 3))
		return -EINVAL;
	return check_role(session, req);
}

static void close_fds(struct service_reply *out)
{
	while (out->nfds)
		(void)close(out->fds[--out->nfds]);
}

int request_reply_with(const struct records *records, struct service_reply *out)
{
	int fd = records_seal(records);
	if (fd < 0)
		return fd;
	out->fds[out->nfds++] = fd;
	return 0;
}

static int do_request(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	struct fsdax *fs = session->service->fs;
	if (!session->unhurried)
		return requests[req->type].fn(session, req, out);
	supply_use(fs, &session->supply);
	int err = requests[req->type].fn(session, req, out);
	supply_use(fs, NULL);
	if (err != -ERESTART)
		supply_end(&session->supply);
	return err;
}

void service_unhurried(struct session *session)
{
	session->unhurried = true;
}

void service_supply(struct session *session)
{
	supply_make(&session->supply);
}

static bool says_why(const struct proto_req *req)
{
	return req->type == PROTO_DEVICE_ADD || req->type == PROTO_DEVICE_REMOVE || req->type == PROTO_DEVICE_CANCEL;
}

enum service_next service_handle(struct session *session, const void *msg, size_t len_bytes, struct service_reply *out)
{
	const struct proto_req *req = msg;
	if (!check_protocol(session, req, len_bytes)) {
		service_refuse(out, len_bytes >= PROTO_HEADER_BYTES ? req : NULL, -EPROTO);
		return SERVICE_CLOSE;
	}
	begin_reply(out, req);
	int err = check(session, req);
	if (!err) {
		(void)pthread_mutex_lock(&session->service->lock);
		if (requests[req->type].needs & LOOKS)
			badblocks_check(session->service);
		lost_mark(session->service, false);
		err = do_request(session, req, out);
		/* Pages that cannot be wiped are none: ask why. */
		if (err == -ENOSPC && removal_found(session->service) && devices_all_gone(&session->service->devices))
			err = -ENXIO;
		drain_wake(session->service);
		(void)pthread_mutex_unlock(&session->service->lock);
	}
	if (err == -ERESTART) {
		close_fds(out);
		return SERVICE_LATER;
	}
	if (err == -EINPROGRESS)
		return SERVICE_WAIT;
	if (err) {
		char why[PROTO_WHY_MAX] = "";
		if (says_why(req))
			memcpy(why, out->rep.u.why, sizeof(why));
		close_fds(out);
		service_refuse(out, req, err);
		memcpy(out->rep.u.why, why, sizeof(why));
	}
	return SERVICE_REPLY;
}

bool service_disconnect(struct session *session)
{
	struct service *service = session->service;
	bool ended = true;
	(void)pthread_mutex_lock(&service->lock);
	pending_cancel_all(session);
	supply_end(&session->supply); /* of a request that was never handled again */
	if (!session->holder) {
		(void)pthread_mutex_unlock(&service->lock);
		session_free(session);
		return true;
	}
	service->connections--;
	session_close_files(session); /* nobody can name them any more */
	session->state = PROTO_WHO_MAPPING;
	/* Without a mapping it holds nothing that its leases could protect. */
	ended = !session_holds(session) || leases_all_fallen(session);
	if (ended) {
		session_end(session);
	} else {
		session->waited_for = true;
		session_event(session, SERVICE_STILL_MAPPED);
		session_close_event(session); /* nobody listens to its unpins but the lease */
	}
	drain_wake(service);
	(void)pthread_mutex_unlock(&service->lock);
	return ended;
}

struct lease *service_lease_wanted(struct session *session)
{
	struct lease *lease;
	(void)pthread_mutex_lock(&session->service->lock);
	TAILQ_FOREACH (lease, &session->leases, of_session) {
		if (lease->wanted && !lease->handed)
			break;
	}
	if (lease)
		lease->handed = true;
	(void)pthread_mutex_unlock(&session->service->lock);
	return lease;
}

void service_lease_unwatched(struct lease *lease)
{
	struct session *session = lease->session;
	bool stand = false;
	(void)pthread_mutex_lock(&session->service->lock);
	lease->handed = false;
	(void)leases_look(session, &stand);
	(void)pthread_cond_broadcast(&session->service->pending_cond); /* who sleeps with no end shall look, too */
	(void)pthread_mutex_unlock(&session->service->lock);
}

int service_lease_probe(struct service *service, const struct lease *lease)
{
	(void)pthread_mutex_lock(&service->lock);
	int fallen = devices_lease_probe(&service->devices, lease->byte);
	(void)pthread_mutex_unlock(&service->lock);
	return fallen;
}

int service_lease_wait(struct service *service, const struct lease *lease)
{
	int err = 0;
	for (unsigned i = 0; i < PROTO_DEVICES_MAX && !err; i++) {
		(void)pthread_mutex_lock(&service->lock);
		int waiter = devices_waiter(&service->devices, i);
		(void)pthread_mutex_unlock(&service->lock);
		err = waiter >= 0 ? dev_waiter_wait(waiter, lease->byte) : waiter == -ENOENT ? 0 : waiter;
		if (waiter >= 0)
			(void)close(waiter);
	}
	return err;
}

void service_lease_gone(struct lease *lease)
{
	struct session *session = lease->session;
	struct service *service = session->service;
	(void)pthread_mutex_lock(&service->lock);
	lease_fallen(lease);
	if (session->state == PROTO_WHO_MAPPING && TAILQ_EMPTY(&session->leases))
		session_end(session);
	else
		session_lease_fallen(session);
	drain_wake(service);
	(void)pthread_mutex_unlock(&service->lock);
}

bool service_end_embedded(struct session *session)
{
	struct service *service = session->service;
	if (!session->holder) {
		session_free(session);
		return true;
	}
	(void)pthread_mutex_lock(&service->lock);
	bool stand = false;
	(void)leases_look(session, &stand);
	bool idle = !session_holds(session);
	if (idle) {
		pending_end_all(session);
		service->connections--;
		session_end(session);
	}
	(void)pthread_mutex_unlock(&service->lock);
	return idle;
}

int service_session_event(const struct session *session)
{
	return session->event_fd;
}

int service_set_wiping(struct service *service, uint64_t keep_bytes, unsigned cpu_percent)
{
	return fsdax_set_wiping(service->fs, keep_bytes, cpu_percent);
}

const struct devices *service_devices(const struct service *service)
{
	return &service->devices;
}

uint64_t service_pages(struct service *service)
{
	return dax_npages(service->devices.dax);
}
