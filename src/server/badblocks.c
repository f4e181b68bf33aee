/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * badblocks.c - see badblocks.h.
 *
 * What is new: what is on the list, and was not recorded as bad before the list was read. In this order a page that is being
 * repaired meanwhile, by whatever thread, is not found bad anew: it is recorded until its device has cleared it, and the device's
 * list has lost it by then.
 *
 * A list is read to its end before anything is told of it.
 */
#include "server/badblocks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "server/lost.h"
#include "server/session.h"

/* Pages of a device. */
struct run {
	uint64_t from, end;
};

struct runs {
	struct run *at;
	size_t n, room;
};

/* In rising order, as the system gives them; of two sectors on one page only the first counts. */
static int add_run(struct runs *runs, uint64_t from, uint64_t end)
{
	if (runs->n && from >= runs->at[runs->n - 1].from && from <= runs->at[runs->n - 1].end) {
		struct run *last = &runs->at[runs->n - 1];
		last->end = end > last->end ? end : last->end;
		return 0;
	}
	if (!runs->at || runs->n == runs->room) {
		size_t room = runs->room ? 2 * runs->room : 16;
		struct run *more = realloc(runs->at, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		runs->at = more;
		runs->room = room;
	}
	runs->at[runs->n++] = (struct run){from, end};
	return 0;
}

static int add_listed(uint64_t offset_bytes, uint64_t len_bytes, void *arg)
{
	uint64_t from = offset_bytes >> PGMAP_PAGE_SHIFT;
	return add_run(arg, from, from + (len_bytes >> PGMAP_PAGE_SHIFT));
}

static int add_recorded(uint64_t pgoff, uint64_t npages, void *arg)
{
	return add_run(arg, pgoff, pgoff + npages);
}

static int tell(struct dax_device *memory, uint64_t from, uint64_t end)
{
	return from < end ? dax_notify_failure(memory, DAX_FAILURE_POISON, from, end - from) : 0;
}

/* What of a run is not among those that are known, which rise. */
static int tell_new(struct dax_device *memory, const struct run *run, const struct runs *known)
{
	uint64_t at = run->from;
	int err = 0;
	for (size_t i = 0; i < known->n && at < run->end && !err; i++) {
		if (known->at[i].end <= at)
			continue;
		err = tell(memory, at, known->at[i].from < run->end ? known->at[i].from : run->end);
		at = known->at[i].end;
	}
	return err ? err : tell(memory, at, run->end);
}

int badblocks_read(const struct dev *dev, struct dax_device *memory)
{
	struct runs known = {0}, listed = {0};
	int err = dax_for_each_poisoned(memory, add_recorded, &known);
	if (!err)
		err = dev_for_each_bad(dev, add_listed, &listed);
	for (size_t i = 0; i < listed.n && !err; i++)
		err = tell_new(memory, &listed.at[i], &known);
	free(known.at);
	free(listed.at);
	return err;
}

void badblocks_init(struct badblocks *badblocks)
{
	*badblocks = (struct badblocks){.epoll_fd = -1};
}

void badblocks_exit(struct badblocks *badblocks)
{
	if (badblocks->epoll_fd >= 0)
		(void)close(badblocks->epoll_fd);
	badblocks->epoll_fd = -1;
}

int badblocks_fd(struct service *service)
{
	struct badblocks *badblocks = &service->badblocks;
	if (badblocks->epoll_fd < 0)
		badblocks->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return badblocks->epoll_fd;
}

/* A list that is no file of the kernel's (-EPERM) does not change by itself. */
static int watch(struct service *service, unsigned i)
{
	struct epoll_event event = {.events = EPOLLPRI | EPOLLET, .data = {.u32 = i}};
	int list = dev_bad_fd(service->devices.dev[i]);
	if (list < 0)
		return 0;
	if (badblocks_fd(service) < 0)
		return -errno;
	if (epoll_ctl(service->badblocks.epoll_fd, EPOLL_CTL_ADD, list, &event) == 0 || errno == EPERM)
		return 0;
	return -errno;
}

static void note(struct service *service, unsigned i, int err)
{
	struct badblocks *badblocks = &service->badblocks;
	bool first = err && !badblocks->failed[i];
	badblocks->failed[i] = err;
	badblocks->unsaid[i] = err && (first || badblocks->unsaid[i]);
	if (first)
		lost_wake(&service->lost);
}

void badblocks_watch(struct service *service, unsigned i)
{
	note(service, i, 0); /* what was said of that number was another's */
	note(service, i, watch(service, i));
}

void badblocks_end(struct service *service, unsigned i)
{
	int list = dev_bad_fd(service->devices.dev[i]);
	if (list >= 0 && service->badblocks.epoll_fd >= 0)
		(void)epoll_ctl(service->badblocks.epoll_fd, EPOLL_CTL_DEL, list, NULL);
}

static void check_one(struct service *service, unsigned i)
{
	const struct devices *devices = &service->devices;
	if (i >= devices->n || !devices->dev[i] || devices->gone[i])
		return;
	int err = badblocks_read(devices->dev[i], devices->memory[i]);
	if (err && dev_check(devices->dev[i]) != 0)
		return; /* it has gone, which is said otherwise */
	note(service, i, err);
}

void badblocks_check(struct service *service)
{
	struct epoll_event events[PROTO_DEVICES_MAX];
	if (service->badblocks.epoll_fd < 0)
		return;
	int n = epoll_wait(service->badblocks.epoll_fd, events, PROTO_DEVICES_MAX, 0);
	for (int j = 0; j < n; j++)
		check_one(service, events[j].data.u32);
}

bool badblocks_take_failure(struct service *service, char *text, size_t text_bytes)
{
	struct badblocks *badblocks = &service->badblocks;
	const struct devices *devices = &service->devices;
	for (unsigned i = 0; i < devices->n; i++) {
		if (!devices->dev[i] || !badblocks->unsaid[i])
			continue;
		badblocks->unsaid[i] = false;
		(void)snprintf(
			text, text_bytes,
			"device %s: what has become bad of it cannot be found out: %s (it is, when it is touched)",
			devices->dev[i]->spec, strerror(-badblocks->failed[i]));
		return true;
	}
	return false;
}

void service_check_badblocks(struct service *service)
{
	(void)pthread_mutex_lock(&service->lock);
	badblocks_check(service);
	(void)pthread_mutex_unlock(&service->lock);
}

int service_badblocks_fd(struct service *service)
{
	return badblocks_fd(service);
}
