/* SPDX-License-Identifier: BSD-3-Clause */
/* server.c - the pool server: start, the loop, signals, the end. See loop.h for the threads. */
#include "server/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <pgmap/pgmap.h>

#include "server/devices.h"
#include "server/log.h"
#include "server/loop.h"

enum { EVENTS_PER_ROUND = 64 };

static int complain(const char *what, const char *which, const char *why)
{
	(void)fprintf(stderr, "pgmapd: %s: %s: %s\n", what, which, why);
	return 1;
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static bool watch(struct loop *loop, int fd, struct watch *watch, enum watch_kind kind)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = watch}};
	watch->kind = kind;
	return fd >= 0 && epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Before any helper thread is made, so that these signals come to the loop only. */
static int open_signals(void)
{
	sigset_t set;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool loop_init(struct loop *loop)
{
	TAILQ_INIT(&loop->conns);
	TAILQ_INIT(&loop->dropped);
	TAILQ_INIT(&loop->unwatched);
	TAILQ_INIT(&loop->answers);
	TAILQ_INIT(&loop->queued);
	TAILQ_INIT(&loop->grown);
	LIST_INIT(&loop->drains);
	LIST_INIT(&loop->awaits);
	LIST_INIT(&loop->changes);
	loop->changes_check_ns = PGMAP_NO_DEADLINE;
	TAILQ_INIT(&loop->held_back);
	loop->pending_deadline_ns = PGMAP_NO_DEADLINE;
	(void)pthread_mutex_init(&loop->answers_lock, NULL);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->signal_fd = open_signals();
	loop->answers_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	loop->lost_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	service_tell_lost(loop->service, loop->lost_fd);
	service_wake_fd(loop->service, loop->answers_fd);
	loop->removal_fd = removal_open(loop->service);
	loop->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return loop->epoll_fd >= 0 && watch(loop, loop->lost_fd, &loop->lost_watch, WATCH_LOST) &&
	       watch(loop, service_badblocks_fd(loop->service), &loop->badblocks_watch, WATCH_BADBLOCKS) &&
	       (loop->removal_fd < 0 || watch(loop, loop->removal_fd, &loop->removal_watch, WATCH_REMOVAL)) &&
	       loop->spare_fd >= 0 && watch(loop, loop->listener.fd, &loop->listener_watch, WATCH_LISTENER) &&
	       watch(loop, loop->signal_fd, &loop->signal_watch, WATCH_SIGNAL) &&
	       watch(loop, loop->answers_fd, &loop->answers_watch, WATCH_ANSWERS);
}

/* The first signal drains, the second ends at once: what clients have mapped stays theirs. */
static void take_signal(struct loop *loop)
{
	struct signalfd_siginfo info;
	waiting_begin_anew(loop);
	while (read(loop->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		loop->signals++;
	if (loop->signals > 1) {
		loop->ended = true;
		loop->exit_code = 1;
		log_line("second signal: %s: ended without a drain (mappings stay, a new server waits for them)",
			 loop->listener.addr.sun_path);
		return;
	}
	service_drain(loop->service);
	(void)service_drained(loop->service); /* nothing held: at once */
}

static void dispatch(struct loop *loop, struct watch *watch)
{
	switch (watch->kind) {
	case WATCH_LISTENER:
		conn_accept(loop);
		break;
	case WATCH_SIGNAL:
		take_signal(loop);
		break;
	case WATCH_ANSWERS:
		waiting_answers(loop);
		break;
	case WATCH_CONN:
		conn_readable(loop, watch->conn);
		break;
	case WATCH_REMOVAL:
		removal_events(loop);
		break;
	case WATCH_BADBLOCKS:
		service_check_badblocks(loop->service);
		break;
	case WATCH_LOST:
		lost_events(loop);
		break;
	case WATCH_PINS:
		break; /* what is waited for is looked at after every round */
	}
}

/* Events, as epoll_wait() gives them. A client that asks and asks is answered without a sleep in between, and without one
 * CPU's being kept from those who were just answered. */
static int wait_for_events(struct loop *loop, struct epoll_event *events)
{
	polling_begin(&loop->polling);
	polling_yield(&loop->polling);
	int n = epoll_wait(loop->epoll_fd, events, EVENTS_PER_ROUND, 0);
	while (n == 0 && polling_goes_on(&loop->polling)) {
		polling_yield(&loop->polling);
		n = epoll_wait(loop->epoll_fd, events, EVENTS_PER_ROUND, 0);
	}
	if (n == 0)
		n = epoll_wait(loop->epoll_fd, events, EVENTS_PER_ROUND, waiting_timeout_ms(loop));
	polling_end(&loop->polling);
	return n;
}

static void run(struct loop *loop)
{
	struct epoll_event events[EVENTS_PER_ROUND];
	uint64_t next_retry = 0; /* once a second, however many messages come */
	while (!loop->ended) {
		int n = wait_for_events(loop, events);
		pacing_serve(loop, events, n, dispatch);
		if ((loop->deaf || !TAILQ_EMPTY(&loop->unwatched)) && pgmap_deadline_in(0) >= next_retry) {
			conn_listen_again(loop);
			waiting_retry(loop);
			next_retry = pgmap_deadline_in(1000);
		}
		pacing_tick(loop);
		waiting_check(loop);
	}
}

static void say_ready(const struct server_options *options, struct loop *loop, int ready_fd)
{
	const struct devices *devices = service_devices(loop->service);
	char names[512];
	for (unsigned i = 0; i < devices->n; i++) {
		uint64_t bad = devices->dev[i] ? devices_bad_pages(devices, i) : 0;
		if (bad)
			log_line("device %s has bad blocks: %llu pages of 4 KiB are not handed out",
				 devices->dev[i]->spec, (unsigned long long)bad);
	}
	if (!options->quiet) {
		devices_name(devices, names, sizeof(names));
		(void)fprintf(stderr, "pgmapd: ready: %s%s: %llu MiB, page %llu KiB, socket %s\n", names,
			      options->ndevices ? "" : " (half of the memory that is free; --device says another)",
			      (unsigned long long)(dax_npages(devices->dax) >> (20 - PGMAP_PAGE_SHIFT)),
			      4ULL << devices->granule_order, loop->listener.addr.sun_path);
	}
	if (ready_fd >= 0) {
		(void)!write(ready_fd, "", 1);
		(void)close(ready_fd);
	}
}

static void loop_exit(struct loop *loop)
{
	struct conn *conn;
	while ((conn = TAILQ_FIRST(&loop->conns)) != NULL)
		conn_drop(loop, conn);
	conn_free_dropped(loop);
	listener_close(&loop->listener);
	/* Where a lease is still held (but nothing by it), the process's end does it. */
	(void)service_destroy(loop->service);
}

int server_parse_others(const char *text, enum service_role *out)
{
	static const struct {
		const char *text;
		enum service_role role;
	} roles[] = {{"none", SERVICE_NOBODY}, {"read", SERVICE_READER}, {"write", SERVICE_WRITER}};
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (strcmp(text, roles[i].text) == 0) {
			*out = roles[i].role;
			return 0;
		}
	}
	return -EINVAL;
}

static int admit_others(struct loop *loop, enum service_role others)
{
	if (others == SERVICE_UNSAID)
		return 0;
	service_set_others(loop->service, others);
	return listener_set_mode(&loop->listener, others == SERVICE_NOBODY ? 0600 : 0666);
}

/* Started with descriptors 0 to 2 closed, the device would get one of them, and what is said to stderr be said to it. */
static void have_standard_descriptors(void)
{
	int fd;
	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		(void)close(fd);
}

/* Of what was inherited, before anything is opened: a number of nothing would become that of a descriptor of ours. The standard ones
 * stay open. */
static int take_ready(int fd, int *own)
{
	int flags = fd < 0 ? O_WRONLY : fcntl(fd, F_GETFL);
	*own = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || (fd >= 0 && *own < 0))
		return -EBADF;
	if (fd > STDERR_FILENO)
		(void)close(fd);
	return 0;
}

/* Of what could not be opened. */
static const char *name_of(const struct server_options *options, unsigned which)
{
	if (which < options->ndevices)
		return options->devices[which];
	return options->ndevices ? "all of them" : "default";
}

/* Also where it can be none. */
static const char *name_of_socket(const struct loop *loop, const struct server_options *options)
{
	if (loop->listener.addr.sun_path[0])
		return loop->listener.addr.sun_path;
	return options->socket_path && *options->socket_path ? options->socket_path : "path";
}

int server_run(const struct server_options *options)
{
	char why[DEV_WHY_MAX];
	static struct loop the_loop; /* static: helper threads may still point to it at the end */
	struct loop *loop = &the_loop;
	int ready_fd, err = take_ready(options->ready_fd, &ready_fd);
	have_standard_descriptors();
	if (err)
		return complain("ready-fd", "its descriptor",
				"is not open for writing (give one that the server inherits)");
	(void)signal(SIGPIPE, SIG_IGN);            /* stderr may be a pipe whose reader has gone */
	int caught = dax_catch_errors(NULL, NULL); /* the holder of what is lost is the pool, which is told */
	if (caught)
		return complain("start", "memory errors cannot be caught", strerror(-caught));
	raise_descriptor_limit();
	loop->quiet = options->quiet;
	err = listener_open(&loop->listener, options->socket_path, why);
	if (err)
		return complain("socket", name_of_socket(loop, options), why);
	unsigned which;
	err = service_create_on(options->devices, options->ndevices, options->layout, &loop->service, &which, why);
	if (err) {
		listener_close(&loop->listener);
		return complain("device", name_of(options, which), why);
	}
	(void)service_set_wiping(loop->service, options->keep_bytes, options->wipe_percent);
	err = admit_others(loop, options->others);
	if (err) {
		listener_close(&loop->listener);
		return complain("socket", loop->listener.addr.sun_path, strerror(-err));
	}
	if (!loop_init(loop)) {
		err = errno;
		listener_close(&loop->listener);
		return complain("start", "descriptors", strerror(err));
	}
	if (!options->quiet)
		service_on_event(loop->service, log_event, NULL);
	say_ready(options, loop, ready_fd);
	run(loop);
	if (loop->exit_code)
		listener_close(&loop->listener);
	else
		loop_exit(loop);
	return loop->exit_code;
}
