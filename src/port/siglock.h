/* SPDX-License-Identifier: BSD-3-Clause */
/* siglock.h - a mutex that a signal handler may take too: all signals are blocked while it is held, by whomever. */
#ifndef PGMAP_PORT_SIGLOCK_H
#define PGMAP_PORT_SIGLOCK_H

#include <pthread.h>
#include <signal.h>

void port_siglock(pthread_mutex_t *mutex, sigset_t *saved);
void port_sigunlock(pthread_mutex_t *mutex, const sigset_t *saved);

#endif
