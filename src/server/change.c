/* SPDX-License-Identifier: BSD-3-Clause */
/* change.c - see change.h; and service.h, for the calls that take the lock themselves. */
#include "server/change.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "port/abort.h"
#include "port/thread.h"
#include "server/pending.h"
#include "server/requests.h"

enum { LOOK_AGAIN_MS = 20, SHOWN_PATH_MAX = 100 };

__attribute__((format(printf, 3, 4))) static int refuse(char why[DEV_WHY_MAX], int err, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(why, DEV_WHY_MAX, format, args);
	va_end(args);
	return err;
}

static void tell(const struct service *service, enum service_event event, const char *spec)
{
	const struct service_whom whom = {.command = "", .device = spec};
	if (service->on_event)
		service->on_event(service->on_event_arg, event, &whom);
}

void change_forget(struct change *change)
{
	TAILQ_REMOVE(&change->service->changes, change, link);
	free(change->bytes);
	free(change);
}

static void end(struct change *change, int result)
{
	change->phase = CHANGE_ENDED;
	change->result = result;
	(void)pthread_cond_broadcast(&change->service->pending_cond);
	if (!change->waiters)
		change_forget(change);
}

/* Begun by a client that waits. */
static struct change *new_change(struct service *service, const char *spec)
{
	struct change *change = calloc(1, sizeof(*change));
	if (!change)
		return NULL;
	change->service = service;
	change->id = ++service->last_change;
	change->result = -EINPROGRESS;
	change->waiters = 1;
	(void)snprintf(change->spec, sizeof(change->spec), "%s", spec);
	return change;
}

/* By its thread, as the last: the service may go as soon as the lock is let go of. */
static void end_and_wake(struct service *service, struct change *change, int result)
{
	end(change, result);
	if (service->wake_fd >= 0)
		(void)!write(service->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
	(void)pthread_mutex_unlock(&service->lock);
}

static void close_device(struct change *change)
{
	struct opened *device = &change->device;
	if (dev_check(device->dev) == 0) /* of one that is gone there is nothing to give back */
		opened_discard(device);
	if (opened_close(device) != 0)
		port_abort("pgmapd: device %s has left the pool, and pages of it are held", change->spec);
}

static void *close_thread(void *arg)
{
	struct change *change = arg;
	struct service *service = change->service;
	close_device(change);
	(void)pthread_mutex_lock(&service->lock);
	tell(service, SERVICE_DEVICE_LEFT, change->spec);
	end_and_wake(service, change, 0);
	return NULL;
}

/* It is in no pool. Where no thread can be had, everybody waits. */
static void begin_to_close(struct change *change)
{
	change->phase = CHANGE_CLOSING;
	if (port_thread_start(NULL, 0, close_thread, change) == 0)
		return;
	close_device(change);
	tell(change->service, SERVICE_DEVICE_LEFT, change->spec);
	end(change, 0);
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static int note_leases(struct change *change)
{
	const struct session *session;
	const struct lease *lease;
	size_t n = 0;
	TAILQ_FOREACH (session, &change->service->sessions, link)
		n += session->nleases;
	change->bytes = calloc(n + 1, sizeof(*change->bytes));
	if (!change->bytes)
		return -ENOMEM;
	TAILQ_FOREACH (session, &change->service->sessions, link) {
		TAILQ_FOREACH (lease, &session->leases, of_session)
			change->bytes[change->nbytes++] = lease->byte;
	}
	qsort(change->bytes, change->nbytes, sizeof(*change->bytes), compare);
	return 0;
}

/* Why the file system does not take it. */
static int refuse_add(struct change *change, int err)
{
	switch (err) {
	case -EOPNOTSUPP:
		return refuse(change->why, err,
			      "the pool is striped: a stripe's devices are fixed (serve it anew with others)");
	case -EINVAL:
		return refuse(change->why, err, "its size must be a multiple of the pool's page");
	case -E2BIG:
		return refuse(change->why, err, "too many devices have come and gone: serve the pool anew");
	case -ENXIO:
		return refuse(change->why, err,
			      "all that the pool has is gone, and nothing can come to it (end it with: pgmap stop)");
	default:
		return refuse(change->why, err, "%s", strerror(-err));
	}
}

static int may_add(const struct service *service, char why[DEV_WHY_MAX])
{
	if (service->draining || devices_state(&service->devices) != PGMAP_LIVE)
		return refuse(why, -ENODEV, "the pool is draining (call it off with: pgmap stop --cancel)");
	if (devices_count(&service->devices) >= PROTO_DEVICES_MAX)
		return refuse(why, -E2BIG, "the pool has %d devices, and no pool has more (remove one first)",
			      PROTO_DEVICES_MAX);
	return 0;
}

static int join_pool(struct change *change)
{
	struct service *service = change->service;
	int err = may_add(service, change->why);
	if (err)
		return err;
	err = fsdax_add_device(service->fs, change->device.memory, &change->number);
	if (err)
		return refuse_add(change, err);
	if (change->number >= PROTO_DEVICES_MAX || service->devices.dev[change->number])
		port_abort("pgmapd: device %s has number %u, which is not free", change->spec, change->number);
	devices_put(&service->devices, change->number, &change->device);
	badblocks_watch(service, change->number);
	dev_stays(change->device.dev);
	change->device = (struct opened){0};
	tell(service, SERVICE_DEVICE_ADDED, service->devices.dev[change->number]->spec);
	return 0;
}

static bool any(const struct service *service, enum change_phase phase)
{
	const struct change *change;
	TAILQ_FOREACH (change, &service->changes, link) {
		if (change->phase == phase)
			break;
	}
	return change != NULL;
}

/* Until they are closed, those that have left have their numbers still, and their memory: what is to be opened may be it, or need it. */
static void wait_for_closed(struct service *service)
{
	while (any(service, CHANGE_CLOSING))
		(void)pthread_cond_wait(&service->pending_cond, &service->lock);
}

/* What can be refused by looking is, before it has lost what it holds. */
static int look_at_device(struct change *change)
{
	struct service *service = change->service;
	const struct dev_own own = {change->bytes, change->nbytes};
	int err = opened_look(change->spec, &own, &change->device, change->why);
	(void)pthread_mutex_lock(&service->lock);
	if (!err)
		err = may_add(service, change->why);
	if (!err && change->device.dev->size_bytes % (PGMAP_PAGE_SIZE << service->devices.granule_order))
		err = refuse_add(change, -EINVAL);
	(void)pthread_mutex_unlock(&service->lock);
	return err;
}

/* What is bad of it is known before it is the pool's: from then on only what is good of it is handed out. */
static int prepare_device(struct change *change)
{
	int err = look_at_device(change);
	if (!err)
		err = opened_begin(&change->device, change->why);
	if (err)
		return err;
	err = badblocks_read(change->device.dev, change->device.memory);
	return err ? refuse(change->why, err, "which of it is bad cannot be found out: %s", strerror(-err)) : 0;
}

static void *open_thread(void *arg)
{
	struct change *change = arg;
	struct service *service = change->service;
	(void)pthread_mutex_lock(&service->lock);
	wait_for_closed(service);
	(void)pthread_mutex_unlock(&service->lock);
	int err = prepare_device(change);
	(void)pthread_mutex_lock(&service->lock);
	wait_for_closed(service);
	if (!err)
		err = join_pool(change);
	if (err && change->device.dev) {
		(void)pthread_mutex_unlock(&service->lock);
		(void)opened_close(&change->device);
		(void)pthread_mutex_lock(&service->lock);
	}
	end_and_wake(service, change, err);
	return NULL;
}

int change_add(struct service *service, const char *spec, uint64_t *id, char why[DEV_WHY_MAX])
{
	if (service->devices.striped)
		return refuse(why, -EOPNOTSUPP,
			      "the pool is striped: a stripe's devices are fixed (serve it anew with others)");
	int err = may_add(service, why);
	if (err)
		return err;
	const char *own = strncmp(spec, "limited:", 8) == 0 ? spec + 8 : spec; /* of what is made limited */
	if (strncmp(own, "memfd:", 6) == 0 && (strncmp(own + 6, "fd=", 3) == 0 || strstr(own, ",fd=")))
		return refuse(why, -EINVAL, "a descriptor can be inherited only when the server starts (give size=)");
	bool has_path = !strncmp(own, "file:", 5) || !strncmp(own, "devdax:", 7) || !strncmp(own, "pmem:", 5);
	char first = own[strcspn(own, ":") + has_path];
	if (has_path && first && first != '/')
		return refuse(why, -EINVAL,
			      "the server looks for it from the root on (give the whole path, from / on)");
	if (strlen(spec) >= DEV_SPEC_MAX)
		return refuse(why, -ENAMETOOLONG, "the spec is too long (%d bytes at most)", DEV_SPEC_MAX - 1);
	if (devices_have(&service->devices, spec))
		return refuse(why, -EEXIST, "it is in this pool already (look with: pgmap device list)");
	struct change *change = new_change(service, spec);
	if (!change || note_leases(change) != 0 || port_thread_start(NULL, 0, open_thread, change) != 0) {
		free(change ? change->bytes : NULL);
		free(change);
		return refuse(why, -ENOMEM, "%s", strerror(ENOMEM));
	}
	TAILQ_INSERT_TAIL(&service->changes, change, link);
	*id = change->id;
	return 0;
}

/* The removal of this device. */
static struct change *leaving(const struct service *service, uint64_t number, enum change_phase phase, const char *spec)
{
	struct change *change;
	TAILQ_FOREACH (change, &service->changes, link) {
		if (change->phase == phase && change->number == number && (!*spec || strcmp(change->spec, spec) == 0))
			break;
	}
	return change;
}

static int find_device(const struct devices *devices, uint64_t number, const char *spec, char why[DEV_WHY_MAX])
{
	if (number < devices->n && devices->dev[number] && (!*spec || strcmp(devices->dev[number]->spec, spec) == 0))
		return 0;
	return refuse(why, -ENOENT, "the pool has no such device (look with: pgmap device list)");
}

/* others: the pool has some. */
static int refuse_remove(const struct fsdax_owned *owned, bool others, int err, char why[DEV_WHY_MAX])
{
	unsigned long long files = owned->files, kib = owned->bytes >> 10;
	if (err == -EBUSY && owned->bytes && !files)
		return refuse(why, -ENOTEMPTY, "%llu KiB there are just being given to a file (try again)", kib);
	if (err == -EBUSY && owned->bytes)
		return refuse(why, -ENOTEMPTY,
			      "%llu file%s %llu KiB there, like %.*s%s (remove %s: data is not moved off a device yet)",
			      files, files == 1 ? " has" : "s have", kib, SHOWN_PATH_MAX, owned->path,
			      strlen(owned->path) > SHOWN_PATH_MAX ? "..." : "", files == 1 ? "it" : "them");
	if (err == -EBUSY && others)
		return refuse(why, err,
			      "it is the last one that stays: the others are being removed, or are gone "
			      "(call a removal off, add a device, or end the pool with: pgmap stop)");
	if (err == -EBUSY)
		return refuse(why, err, "it is the last one that the pool has (end the pool with: pgmap stop)");
	return refuse(why, err, "%s", strerror(-err));
}

static void block_pins(struct service *service)
{
	struct session *session;
	TAILQ_FOREACH (session, &service->sessions, link)
		session_block_gone(session);
}

static int begin_to_leave(struct service *service, unsigned number, uint64_t *id, char why[DEV_WHY_MAX])
{
	struct devices *devices = &service->devices;
	struct fsdax_owned owned = {0};
	if (devices->striped)
		return refuse(why, -EOPNOTSUPP,
			      "the pool is striped: a stripe's devices are fixed (serve it anew with others)");
	if (service->draining)
		return refuse(why, -ENODEV, "the pool is draining (call it off with: pgmap stop --cancel)");
	struct change *change = new_change(service, devices->dev[number]->spec);
	if (!change)
		return refuse(why, -ENOMEM, "%s", strerror(ENOMEM));
	int err = fsdax_leave_begin(service->fs, number, &owned);
	if (err) {
		free(change);
		return refuse_remove(&owned, devices_count(devices) > 1, err, why);
	}
	change->phase = CHANGE_HELD;
	change->number = number;
	TAILQ_INSERT_TAIL(&service->changes, change, link);
	devices->leaving[number] = true;
	block_pins(service);
	tell(service, SERVICE_DEVICE_LEAVING, change->spec);
	*id = change->id;
	return 0;
}

int change_remove(struct service *service, uint64_t number, const char *spec, uint64_t *id, char why[DEV_WHY_MAX])
{
	struct change *change = leaving(service, number, CHANGE_CLOSING, spec);
	int err = change ? 0 : find_device(&service->devices, number, spec, why);
	if (err)
		return err;
	if (!change)
		change = leaving(service, number, CHANGE_HELD, spec);
	if (change) {
		change->waiters++;
		*id = change->id;
	} else {
		err = begin_to_leave(service, (unsigned)number, id, why);
	}
	if (!err)
		(void)changes_check(service);
	return err;
}

/* It stays. Where the pool drains, or it is gone, it is no better off than before. */
static int stay(struct change *change)
{
	struct service *service = change->service;
	struct devices *devices = &service->devices;
	struct session *session;
	int err = fsdax_leave_cancel(service->fs, change->number);
	if (err)
		return err;
	devices->leaving[change->number] = false;
	if (service->draining) {
		devices_kill(devices);
	} else if (!devices->gone[change->number]) {
		TAILQ_FOREACH (session, &service->sessions, link)
			session_open_on(session, dax_pgmap(devices->memory[change->number]));
	}
	tell(service, SERVICE_DEVICE_STAYS, change->spec);
	end(change, -ECANCELED);
	return 0;
}

/* One that is DEAD cannot stay, and cannot leave either. */
static void call_off(struct service *service, bool gone)
{
	struct change *change, *next;
	for (change = TAILQ_FIRST(&service->changes); change; change = next) {
		next = TAILQ_NEXT(change, link);
		if (change->phase == CHANGE_HELD && service->devices.gone[change->number] == gone && stay(change) != 0)
			end(change, -ECANCELED);
	}
}

/* Those that are gone can leave if one of the others stays now. */
void changes_call_off(struct service *service)
{
	for (int gone = 0; gone <= 1 && !devices_some_stay(&service->devices); gone++)
		call_off(service, gone);
}

int change_cancel(struct service *service, uint64_t number, const char *spec, char why[DEV_WHY_MAX])
{
	if (leaving(service, number, CHANGE_CLOSING, spec))
		return refuse(why, -ENODEV,
			      "it is too late, the device has left (add it again with: pgmap device add)");
	int err = find_device(&service->devices, number, spec, why);
	if (err)
		return err;
	struct change *change = leaving(service, number, CHANGE_HELD, spec);
	if (!change)
		return refuse(why, -EINVAL, "it is not being removed: there is nothing to call off");
	err = stay(change);
	return err ? refuse(why, err, "%s", strerror(-err)) : 0;
}

/* Nobody holds a page there: it is the pool's no more. False: the pool itself is not done with all of it. */
static bool let_go(struct change *change)
{
	struct service *service = change->service;
	struct dax_device *part;
	uint64_t pages;
	if (fsdax_leave_held(service->fs, change->number, &pages) != 0 || pages ||
	    fsdax_leave_end(service->fs, change->number, &part) != 0)
		return false;
	change->shown = request_show_device(service, change->number);
	badblocks_end(service, change->number);
	devices_take(&service->devices, change->number, &change->device);
	begin_to_close(change);
	return true;
}

/* By files that have no name any more: until nobody has them open, nothing of it can go, and that is a request. */
static bool is_owned(const struct change *change)
{
	struct fsdax_device device;
	return fsdax_device(change->service->fs, change->number, &device) == 0 && device.used;
}

uint64_t changes_check(struct service *service)
{
	struct change *change, *next;
	uint64_t again_ns = PGMAP_NO_DEADLINE;
	for (change = TAILQ_FIRST(&service->changes); change; change = next) {
		next = TAILQ_NEXT(change, link);
		if (change->phase == CHANGE_HELD && !devices_held_pages(&service->devices, change->number) &&
		    !is_owned(change) && !let_go(change))
			again_ns = pgmap_deadline_in(LOOK_AGAIN_MS);
	}
	return again_ns;
}

bool changes_run(const struct service *service)
{
	return any(service, CHANGE_OPENING) || any(service, CHANGE_CLOSING);
}

void changes_forget(struct service *service)
{
	struct change *change = TAILQ_FIRST(&service->changes), *next;
	TAILQ_INIT(&service->changes);
	for (; change; change = next) {
		next = TAILQ_NEXT(change, link);
		free(change->bytes);
		free(change);
	}
}

void service_wake_fd(struct service *service, int event_fd)
{
	service->wake_fd = event_fd;
}

uint64_t service_check_changes(struct service *service)
{
	(void)pthread_mutex_lock(&service->lock);
	uint64_t again_ns = changes_check(service);
	(void)pthread_mutex_unlock(&service->lock);
	return again_ns;
}

bool service_changes_run(struct service *service)
{
	(void)pthread_mutex_lock(&service->lock);
	bool run = changes_run(service);
	(void)pthread_mutex_unlock(&service->lock);
	return run;
}

void service_settle(struct service *service)
{
	(void)pthread_mutex_lock(&service->lock);
	while (changes_run(service))
		(void)pthread_cond_wait(&service->pending_cond, &service->lock);
	(void)pthread_mutex_unlock(&service->lock);
}
