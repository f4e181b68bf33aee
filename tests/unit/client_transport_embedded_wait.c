/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_transport_embedded_wait.c - a thread waits in an embedded pool for what a forked child maps still, no thread can be
 * had that would wait for the child's end, and no other call is made: it ends all the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <pgmap/client.h>
#include <pgmap/pgmap.h>

#include "port/thread.h"

enum { PAGE = 4096, BYTES = 300 * PAGE };

static sem_t arrived;
static _Thread_local bool waits_here;
static _Atomic bool no_threads;
static struct pgmap_client *client;
static struct pgmap_file *file;
static struct pgmap_mapping *mapping;

int __wrap_port_thread_start(pthread_t *thread, size_t stack_bytes, void *(*fn)(void *), void *arg);
int __real_port_thread_start(pthread_t *thread, size_t stack_bytes, void *(*fn)(void *), void *arg);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __real_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);

int __wrap_port_thread_start(pthread_t *thread, size_t stack_bytes, void *(*fn)(void *), void *arg)
{
	return no_threads ? -EAGAIN : __real_port_thread_start(thread, stack_bytes, fn, arg);
}

static void say_that_it_waits(void)
{
	if (waits_here)
		(void)sem_post(&arrived);
	waits_here = false;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	say_that_it_waits();
	return __real_pthread_cond_wait(cond, mutex);
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
	say_that_it_waits();
	return __real_pthread_cond_timedwait(cond, mutex, until);
}

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(sem_init(&arrived, 0, 0), 0);
	assert_int_equal(pgmap_connect("embedded:memfd:size=1M,page=4K", &client), 0);
	assert_int_equal(pgmap_device_add(client, "memfd:size=1M,page=4K", NULL, NULL), 0);
	assert_int_equal(pgmap_open_map(client, "/f", PGMAP_O_CREATE, BYTES, PGMAP_MAP_READ, &mapping), 0);
	return pgmap_open(client, "/f", 0, &file);
}

static int tear_down(void **state)
{
	(void)state;
	return pgmap_disconnect(client);
}

static void *punch(void *err)
{
	waits_here = true;
	*(int *)err = pgmap_punch(file, 0, BYTES, PGMAP_WAIT, -1);
	return NULL;
}

static void *remove_device(void *err)
{
	waits_here = true;
	*(int *)err = pgmap_device_remove(client, 1, NULL, -1, NULL);
	return NULL;
}

static void *drain(void *err)
{
	waits_here = true;
	*(int *)err = pgmap_drain_pool(client, -1);
	return NULL;
}

/* In a child that has inherited the mapping, which is unmapped here; and then the child ends. */
static int wait_for_child(void *(*wait)(void *))
{
	pthread_t thread;
	int err = 1;
	pid_t pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			(void)pause();
	}
	no_threads = true;
	assert_int_equal(pgmap_unmap(mapping), 0);
	if (wait != punch) {
		assert_int_equal(pgmap_close(file), 0);
		assert_int_equal(pgmap_unlink(client, "/f"), 0);
	}
	assert_int_equal(pthread_create(&thread, NULL, wait, &err), 0);
	assert_int_equal(sem_wait(&arrived), 0);
	no_threads = false;
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(pthread_join(thread, NULL), 0);
	return err;
}

static void c7_8_a_taking_ends_with_the_child(void **state)
{
	(void)state;
	assert_int_equal(wait_for_child(punch), 0);
	assert_int_equal(pgmap_close(file), 0);
}

static void c7_8_a_removal_ends_with_the_child(void **state)
{
	(void)state;
	assert_int_equal(wait_for_child(remove_device), 0);
}

static void c7_8_a_drain_ends_with_the_child(void **state)
{
	(void)state;
	assert_int_equal(wait_for_child(drain), 0);
}

/* An end that is asked for before anything else sees it, too. */
static void c7_8_a_disconnect_sees_that_the_child_has_gone(void **state)
{
	(void)state;
	assert_int_equal(set_up(NULL), 0);
	pid_t pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			(void)pause();
	}
	no_threads = true;
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_disconnect(client), -EBUSY);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(pgmap_disconnect(client), 0);
	no_threads = false;
	assert_int_equal(pgmap_close(file), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(c7_8_a_taking_ends_with_the_child),
		T(c7_8_a_removal_ends_with_the_child),
		T(c7_8_a_drain_ends_with_the_child),
		cmocka_unit_test(c7_8_a_disconnect_sees_that_the_child_has_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
