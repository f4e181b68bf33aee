/* SPDX-License-Identifier: BSD-3-Clause */
/* thread.c - see thread.h. */
#include "port/thread.h"

#include <errno.h>
#include <signal.h>

static void block_what_comes_from_others(sigset_t *before)
{
	static const int own[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
	sigset_t set;
	(void)sigfillset(&set);
	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		(void)sigdelset(&set, own[i]);
	(void)pthread_sigmask(SIG_BLOCK, &set, before);
}

int port_thread_start(pthread_t *thread, size_t stack_bytes, void *(*fn)(void *), void *arg)
{
	pthread_t detached;
	pthread_attr_t attr;
	sigset_t before;
	if (pthread_attr_init(&attr) != 0)
		return -EAGAIN;
	if (stack_bytes)
		(void)pthread_attr_setstacksize(&attr, stack_bytes);
	(void)pthread_attr_setdetachstate(&attr, thread ? PTHREAD_CREATE_JOINABLE : PTHREAD_CREATE_DETACHED);
	block_what_comes_from_others(&before);
	int err = pthread_create(thread ? thread : &detached, &attr, fn, arg);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
	return err ? -EAGAIN : 0;
}
