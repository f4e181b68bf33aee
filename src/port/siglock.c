/* SPDX-License-Identifier: BSD-3-Clause */
#include "port/siglock.h"

#include "port/abort.h"

void port_siglock(pthread_mutex_t *mutex, sigset_t *saved)
{
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
	int r = pthread_mutex_lock(mutex);
	if (r != 0)
		port_abort("pgmap: a lock of the library's: error %d", r);
}

void port_sigunlock(pthread_mutex_t *mutex, const sigset_t *saved)
{
	pthread_mutex_unlock(mutex);
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}
