/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * errors.c - see errors.h.
 *
 * SIGBUS is blocked in the thread and read from a signalfd, so it is never delivered there. Signals of one kind do not queue: of
 * two errors in the same moment the second may be lost. Who touches that page finds it out again.
 */
#include "port/errors.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;
static bool started;
static errors_fn *tell;
static int signal_fd = -1, pipe_fds[2] = {-1, -1};

static void take_signals(void)
{
	struct signalfd_siginfo info;
	while (read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		/* NOLINTNEXTLINE(performance-no-int-to-ptr): that is how the kernel says it */
		struct guard_fault fault =
			guard_fault_at(info.ssi_code, (void *)(uintptr_t)info.ssi_addr, info.ssi_addr_lsb);
		if (guard_is_memory_error(&fault))
			tell(&fault);
	}
}

static void take_faults(void)
{
	struct guard_fault fault;
	while (read(pipe_fds[0], &fault, sizeof(fault)) == (ssize_t)sizeof(fault))
		tell(&fault);
}

static void *listen_for_errors(void *unused)
{
	struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN}, {.fd = pipe_fds[0], .events = POLLIN}};
	(void)unused;
	/* Where the kernel does not know memory errors it refuses, and there are none. */
	(void)prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0);
	for (;;) {
		(void)poll(fds, 2, -1);
		take_signals();
		take_faults();
	}
	return NULL;
}

static int start_thread(void)
{
	pthread_t thread;
	sigset_t all, old;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &old);
	int err = pthread_create(&thread, NULL, listen_for_errors, NULL);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -EAGAIN;
	(void)pthread_setname_np(thread, "pgmap-errors");
	(void)pthread_detach(thread);
	return 0;
}

static void close_all(void)
{
	if (signal_fd >= 0)
		(void)close(signal_fd);
	if (pipe_fds[0] >= 0) {
		(void)close(pipe_fds[0]);
		(void)close(pipe_fds[1]);
	}
	signal_fd = pipe_fds[0] = pipe_fds[1] = -1;
}

static int start(errors_fn *fn)
{
	sigset_t set;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGBUS);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	int err = signal_fd < 0 || pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) != 0 ? -errno : 0;
	tell = fn;
	if (!err)
		err = guard_install();
	if (!err)
		err = start_thread();
	if (err)
		close_all();
	else
		guard_tell(pipe_fds[1]);
	return err;
}

int errors_listen(errors_fn *fn)
{
	int err = 0;
	(void)pthread_mutex_lock(&starting);
	if (!started)
		err = start(fn);
	started = started || !err;
	(void)pthread_mutex_unlock(&starting);
	return err;
}
