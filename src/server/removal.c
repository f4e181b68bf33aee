/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * removal.c - the system takes a device of the pool away: its driver is unbound, or it is pulled. Nobody asks before that, and it
 * cannot be undone. The kernel has ended all mappings, and who touches one gets SIGBUS. The server stays: it says what is lost,
 * makes no more mappings (-ENODEV), tells so whoever pins, and lets go of what is let go of.
 *
 * The kernel says it by an event of its own (netlink), which is only taken as a reason to look. Where no such events come (in
 * a container), the next client that connects is the reason.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <pgmap/fsdax.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/change.h"
#include "server/devices.h"
#include "server/log.h"
#include "server/loop.h"
#include "server/session.h"

enum { KERNEL_EVENTS = 1 }; /* the group of netlink */

bool removal_found(struct service *service)
{
	struct session *session;
	bool found = false;
	while (devices_check(&service->devices) >= 0)
		found = true;
	if (found) {
		TAILQ_FOREACH (session, &service->sessions, link)
			session_block_gone(session);
		changes_call_off(service);
	}
	return service->devices.ngone > 0;
}

bool service_check_devices(struct service *service)
{
	(void)pthread_mutex_lock(&service->lock);
	bool gone = removal_found(service);
	(void)pthread_mutex_unlock(&service->lock);
	return gone;
}

static bool can_go(struct service *service)
{
	const struct devices *devices = &service->devices;
	bool can = false;
	(void)pthread_mutex_lock(&service->lock);
	for (unsigned i = 0; i < devices->n; i++)
		can = can || (devices->dev[i] && devices->dev[i]->check);
	(void)pthread_mutex_unlock(&service->lock);
	return can;
}

int removal_open(struct service *service)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_EVENTS};
	if (!can_go(service))
		return -1;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	if (fd >= 0 && bind(fd, (const struct sockaddr *)&kernel, sizeof(kernel)) != 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

/* sum: it is the last that has gone, and nothing is left. */
static void say_gone(struct loop *loop, const char *spec, bool all, bool sum)
{
	struct fsdax_statfs st;
	if (!sum) {
		log_line("device %s is gone (unbound, removed, or a driver's now): lost: all bytes that lay on it; who "
			 "touches them "
			 "may get SIGBUS%s",
			 spec, all ? "" : "; the pool goes on with its other devices");
		return;
	}
	fsdax_statfs(loop->service->fs, &st);
	log_line("device %s is gone (unbound, removed, or a driver's now): lost: all bytes of %llu files, %llu MiB; "
		 "who touches them "
		 "may get SIGBUS; no more is mapped: pgmap stop, and end who maps it, before it comes back; then serve "
		 "again",
		 spec, (unsigned long long)st.files, (unsigned long long)(st.used >> (20 - PGMAP_PAGE_SHIFT)));
}

/* A bit for each device that is gone. */
static unsigned find_gone(const struct devices *devices)
{
	unsigned gone = 0;
	for (unsigned i = 0; i < devices->n; i++)
		gone |= devices->dev[i] && devices->gone[i] ? 1U << i : 0;
	return gone;
}

void removal_check(struct loop *loop)
{
	const struct devices *devices = &loop->service->devices;
	(void)pthread_mutex_lock(&loop->service->lock);
	(void)removal_found(loop->service);
	unsigned gone = find_gone(devices), unsaid = gone & ~loop->said_gone;
	bool all = devices_all_gone(devices);
	loop->said_gone = gone; /* the number of one that has left may be another's later */
	for (unsigned i = 0; unsaid; unsaid &= ~(1U << i++)) {
		if (unsaid & 1U << i)
			say_gone(loop, devices->dev[i]->spec, all, all && !(unsaid & ~(1U << i)));
	}
	(void)pthread_mutex_unlock(&loop->service->lock);
}

static uint64_t generation_of(struct service *service)
{
	(void)pthread_mutex_lock(&service->lock);
	uint64_t generation = service->devices.generation;
	(void)pthread_mutex_unlock(&service->lock);
	return generation;
}

/* What has come may have gone while it came: its event came before anybody could tell whose it is. */
void removal_begin(struct loop *loop)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = &loop->removal_watch}};
	uint64_t generation = generation_of(loop->service);
	if (loop->generation == generation)
		return;
	loop->generation = generation;
	if (loop->removal_fd < 0) {
		loop->removal_watch.kind = WATCH_REMOVAL;
		loop->removal_fd = removal_open(loop->service);
		if (loop->removal_fd >= 0)
			(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->removal_fd, &event);
	}
	removal_check(loop);
}

/* What they say does not matter, nor how many were missed. */
void removal_events(struct loop *loop)
{
	char event[4096];
	ssize_t n;
	do
		n = recv(loop->removal_fd, event, sizeof(event), 0);
	while (n > 0 || (n < 0 && (errno == EINTR || errno == ENOBUFS)));
	removal_check(loop);
}
