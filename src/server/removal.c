/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * removal.c - the system takes the pool's device away: its driver is unbound, or it is pulled. Nobody asks before that, and it
 * cannot be undone. The kernel has ended all mappings, and who touches one gets SIGBUS. The server stays: it says what is lost,
 * makes no more mappings (-ENODEV), tells so whoever pins, and lets go of what is let go of.
 *
 * The kernel says it by an event of its own (netlink), which is only taken as a reason to look. Where no such events come (in
 * a container, or an embedded pool), it is the next client that connects, or a request that finds no pages it could wipe.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <pgmap/fsdax.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/log.h"
#include "server/loop.h"
#include "server/session.h"

enum { KERNEL_EVENTS = 1 }; /* the group of netlink */

bool removal_found(struct service *service)
{
	struct session *session;
	if (service->lost || dev_check(service->dev) == 0)
		return service->lost;
	service->lost = true;
	(void)dax_kill(service->dax);
	TAILQ_FOREACH (session, &service->sessions, link)
		session_block_all(session, PINWORD_GOING);
	return true;
}

bool service_check_device(struct service *service)
{
	(void)pthread_mutex_lock(&service->lock);
	bool lost = removal_found(service);
	(void)pthread_mutex_unlock(&service->lock);
	return lost;
}

int removal_open(const struct dev *dev)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_EVENTS};
	if (!dev->check)
		return -1;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	if (fd >= 0 && bind(fd, (const struct sockaddr *)&kernel, sizeof(kernel)) != 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

void removal_check(struct loop *loop)
{
	struct fsdax_statfs st;
	if (loop->said_gone || !service_check_device(loop->service))
		return;
	loop->said_gone = true;
	fsdax_statfs(loop->service->fs, &st);
	log_line(
		"device %s is gone (its driver was unbound): lost: all bytes of %llu files, %llu MiB; who touches them "
		"may get SIGBUS; no more is mapped: pgmap stop, and serve again when it is back",
		service_dev(loop->service)->spec, (unsigned long long)st.files,
		(unsigned long long)(st.used >> (20 - PGMAP_PAGE_SHIFT)));
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
