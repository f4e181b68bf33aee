/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * thread.h - a thread of the library's in a program that is somebody else's: the program's signals are not for it.
 */
#ifndef PGMAP_PORT_THREAD_H
#define PGMAP_PORT_THREAD_H

#include <pthread.h>
#include <stddef.h>

/*
 * Runs fn(arg) in a thread with all signals blocked but those that a thread gets for what it does itself (SIGBUS, SIGSEGV, SIGFPE,
 * SIGILL, SIGTRAP, SIGSYS): blocked, the kernel would end the process at a fault that a handler answers (guard.h). *thread is to be joined;
 * null: nobody joins it. stack_bytes 0: as the system has it. 0, or -EAGAIN: there is no thread. Any thread.
 */
int port_thread_start(pthread_t *thread, size_t stack_bytes, void *(*fn)(void *), void *arg);

#endif
