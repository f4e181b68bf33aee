/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_taking_away.c - a thread waits for the pages of a file, and another ends the connection, which the file's handle
 * outlives: on a server and on an embedded pool. The waiting thread stands still at a point of its way until the other has
 * gone as far as it goes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pgmap/client.h>

#include "server/server.h"
#include "server/service.h"

enum { PAGE = 4096, RW = PGMAP_MAP_READ | PGMAP_MAP_WRITE, ROUNDS = 50 };

static sem_t arrived, go;
static _Thread_local bool waits_here, ends_here; /* which thread this is */
static _Atomic bool stops, stands;               /* the waiting thread */
static _Atomic bool inside, used_after_end;

static void stop(void)
{
	if (!waits_here || !atomic_exchange(&stops, false))
		return;
	stands = true;
	(void)sem_post(&arrived);
	while (sem_wait(&go) != 0)
		;
}

static bool let_go(void)
{
	bool stood = atomic_exchange(&stands, false);
	if (stood)
		(void)sem_post(&go);
	return stood;
}

int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len);
int __real_connect(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_service_await(struct service *service, uint64_t id);
int __real_service_await(struct service *service, uint64_t id);
int __wrap_service_destroy(struct service *service);
int __real_service_destroy(struct service *service);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __real_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);

int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	struct sockaddr_un there = {0};
	stop();
	memcpy(&there, addr, len); /* a sanitizer looks whether it is there still: for the kernel it does not */
	return __real_connect(fd, (struct sockaddr *)&there, len);
}

int __wrap_service_await(struct service *service, uint64_t id)
{
	inside = true;
	stop();
	int err = __real_service_await(service, id);
	inside = false;
	return err;
}

/* Nobody is in it any more; if somebody is, he shall come out before it is freed. */
int __wrap_service_destroy(struct service *service)
{
	if (ends_here && let_go()) {
		used_after_end = true;
		while (inside)
			(void)sched_yield();
	}
	return __real_service_destroy(service);
}

/* Who ends the pool waits for him. */
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	if (ends_here)
		(void)let_go();
	return __real_pthread_cond_wait(cond, mutex);
}

static char folder[] = "/tmp/pgmap-taking-XXXXXX";
static char path[64];
static pid_t server;

static struct pgmap_client *client;
static struct pgmap_file *file;
static struct pgmap_mapping *mapping;

static void begin(const char *target)
{
	assert_int_equal(pgmap_connect(target, &client), 0);
	assert_int_equal(pgmap_open_map(client, "/f", PGMAP_O_CREATE, PAGE, RW, &mapping), 0);
	assert_int_equal(pgmap_open(client, "/f", 0, &file), 0);
	used_after_end = false;
}

static void *wait_for_page(void *err)
{
	waits_here = true;
	*(int *)err = pgmap_punch(file, 0, PAGE, PGMAP_WAIT, -1);
	return NULL;
}

static int disconnect(void)
{
	ends_here = true;
	int err = pgmap_disconnect(client);
	ends_here = false;
	return err;
}

static void c6_7_who_has_not_asked_yet_is_told_that_the_connection_has_ended(void **state)
{
	(void)state;
	pthread_t thread;
	int err = 0;
	begin(path);
	stops = true;
	assert_int_equal(pthread_create(&thread, NULL, wait_for_page, &err), 0);
	assert_int_equal(sem_wait(&arrived), 0);
	assert_int_equal(disconnect(), 0);
	assert_true(let_go());
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(err, -EPIPE);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_close(file), 0);
}

/* Nobody holds the page when an embedded pool ends: it is free, as the caller wanted it. */
static void c6_7_the_end_of_a_pool_waits_for_who_waits_in_it(void **state)
{
	(void)state;
	pthread_t thread;
	int err = 1;
	begin("embedded:memfd:size=1M,page=4K");
	stops = true;
	assert_int_equal(pthread_create(&thread, NULL, wait_for_page, &err), 0);
	assert_int_equal(sem_wait(&arrived), 0);
	assert_int_equal(pgmap_disconnect(client), -EBUSY);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(disconnect(), 0);
	assert_false(used_after_end);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(err, 0);
	assert_int_equal(pgmap_close(file), 0);
}

/* The same wherever it happens to be. */
static void wait_and_end(const char *target)
{
	pthread_t thread;
	int err = 1;
	begin(target);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_page, &err), 0);
	while (pgmap_pin(mapping, 0, 1, PGMAP_PIN_LOCAL) == 0) /* until it waits */
		assert_int_equal(pgmap_unpin(mapping, 0, 1, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_disconnect(client), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(err == 0 || err == -EPIPE);
	assert_int_equal(pgmap_close(file), 0);
}

static void c6_7_who_waits_ends_with_the_connection(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		wait_and_end(path);
		wait_and_end("embedded:memfd:size=1M,page=4K");
	}
}

static int start_server(void **state)
{
	static const char *const device = "memfd:size=4M,page=4K";
	int ready[2];
	char byte;
	(void)state;
	if (!mkdtemp(folder) || pipe(ready) != 0 || sem_init(&arrived, 0, 0) != 0 || sem_init(&go, 0, 0) != 0)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/s", folder);
	server = fork();
	if (server == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)close(ready[0]);
		const struct server_options options = {
			.devices = &device, .ndevices = 1, .socket_path = path, .ready_fd = ready[1], .quiet = true};
		_exit(server_run(&options));
	}
	(void)close(ready[1]);
	bool is_ready = read(ready[0], &byte, 1) == 1;
	(void)close(ready[0]);
	return is_ready ? 0 : -1;
}

static int stop_server(void **state)
{
	char lock[80];
	int status = 1;
	(void)state;
	(void)snprintf(lock, sizeof(lock), "%s.lock", path);
	(void)kill(server, SIGTERM); /* nothing is held */
	return waitpid(server, &status, 0) != server || status != 0 || unlink(lock) != 0 || rmdir(folder) != 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(c6_7_who_has_not_asked_yet_is_told_that_the_connection_has_ended),
		cmocka_unit_test(c6_7_the_end_of_a_pool_waits_for_who_waits_in_it),
		cmocka_unit_test(c6_7_who_waits_ends_with_the_connection),
	};
	return cmocka_run_group_tests(tests, start_server, stop_server);
}
