/* SPDX-License-Identifier: BSD-3-Clause */
/* server_waiting.c - leases that end and drains that are waited for: each gets its answer, once, when it is true. */
#include "server_util.h"

#include "server/change.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>

static struct loop loop;
static struct session *session;
static int fds[PROTO_MAX_FDS];

/* A loop without a socket, and a holder that maps a page. */
static int set_up(void **state)
{
	(void)state;
	struct fsdax_file *file;
	struct session_map *map;
	open_service("memfd:size=2M,page=4K");
	begin_loop(&loop, service);
	session = service_connect(loop.service, getpid(), getuid());
	assert_non_null(session);
	assert_int_equal(session_greet(session, fds), 0);
	assert_int_equal(fsdax_open(loop.service->fs, "f", FSDAX_CREATE, &file), 0);
	assert_int_equal(fsdax_truncate(file, PAGE), 0);
	assert_int_equal(session_map(session, file, &(struct session_range){0}, NULL, NULL, &map), 0);
	fsdax_close(file);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_true(LIST_EMPTY(&loop.drains) && TAILQ_EMPTY(&loop.unwatched) && TAILQ_EMPTY(&loop.answers));
	close_service();
	return close(loop.answers_fd);
}

static void let_go(void)
{
	for (unsigned i = 0; i < 1 + PROTO_HELLO_FDS; i++)
		assert_int_equal(close(fds[i]), 0);
}

static void c7_2_a_holder_ends_when_its_lease_does(void **state)
{
	(void)state;
	assert_false(service_disconnect(session));
	waiting_leases(&loop, session);
	assert_null(service_lease_wanted(session)); /* each once */
	assert_true(TAILQ_EMPTY(&loop.unwatched));
	waiting_answers(&loop); /* none yet, and none can be */
	assert_int_equal(loop.service->holders, 1);
	let_go();
	take_answer(&loop);
	assert_int_equal(loop.service->holders, 0);
}

static void a_lease_that_no_thread_watches_is_asked_for_again(void **state)
{
	(void)state;
	assert_false(service_disconnect(session));
	struct lease *lease = service_lease_wanted(session);
	assert_non_null(lease);
	assert_int_equal(waiting_timeout_ms(&loop), -1);
	lease->waiter = &loop;
	lease->answer = -ENOLCK; /* its thread got no lock */
	TAILQ_INSERT_TAIL(&loop.answers, lease, link);
	waiting_answers(&loop);
	assert_ptr_equal(TAILQ_FIRST(&loop.unwatched), lease);
	assert_int_equal(loop.service->holders, 1);
	assert_int_equal(waiting_timeout_ms(&loop), 1000);
	let_go();
	waiting_retry(&loop);
	assert_true(TAILQ_EMPTY(&loop.unwatched));
	assert_int_equal(loop.service->holders, 0);
	assert_int_equal(waiting_timeout_ms(&loop), -1);
}

static void a_lease_that_is_still_held_gets_a_thread(void **state)
{
	(void)state;
	assert_false(service_disconnect(session));
	struct lease *lease = service_lease_wanted(session);
	assert_non_null(lease);
	lease->waiter = &loop;
	TAILQ_INSERT_TAIL(&loop.unwatched, lease, link);
	waiting_retry(&loop);
	assert_true(TAILQ_EMPTY(&loop.unwatched));
	assert_int_equal(loop.service->holders, 1);
	let_go();
	take_answer(&loop);
	assert_int_equal(loop.service->holders, 0);
}

/* A client that waits for a drain: the server's end is the connection's, ours tells what it was told. */
struct waiter {
	struct conn conn;
	int fd;
};

static void wait_for_drain(struct waiter *waiter, int64_t timeout_ms, uint32_t seq)
{
	int ends[2];
	struct proto_req req = {.magic = PROTO_MAGIC, .type = PROTO_DRAIN, .seq = seq, .timeout_ms = timeout_ms};
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	*waiter = (struct waiter){.conn = {.fd = ends[0]}, .fd = ends[1]};
	waiting_drain(&loop, &waiter->conn, &req);
	assert_true(waiter->conn.drain_deadline_ns != 0);
}

/* The error that it was told, or 1: nothing. */
static int was_told(const struct waiter *waiter, uint32_t seq)
{
	struct proto_rep rep;
	ssize_t n = recv(waiter->fd, &rep, sizeof(rep), 0);
	if (n < 0)
		return errno == EAGAIN ? 1 : -errno;
	assert_int_equal(n, sizeof(rep));
	assert_int_equal(rep.type, PROTO_DRAIN);
	assert_int_equal(rep.seq, seq);
	return rep.error;
}

static void hang_up(const struct waiter *waiter)
{
	assert_int_equal(close(waiter->conn.fd), 0);
	assert_int_equal(close(waiter->fd), 0);
}

static void a_drain_answers_at_its_deadline_or_its_end(void **state)
{
	(void)state;
	struct waiter soon, ever;
	service_drain(loop.service);
	wait_for_drain(&ever, -1, 7);
	assert_int_equal(waiting_timeout_ms(&loop), -1);
	wait_for_drain(&soon, 0, 8);
	assert_int_equal(waiting_timeout_ms(&loop), 0);
	waiting_check_drains(&loop);
	assert_int_equal(was_told(&soon, 8), -ETIMEDOUT);
	assert_int_equal(was_told(&ever, 7), 1);
	assert_true(soon.conn.drain_deadline_ns == 0);
	assert_false(loop.ended);
	assert_true(loop.waits_for[0] != 0);
	let_go();
	assert_true(service_disconnect(session));
	waiting_check_drains(&loop);
	assert_true(loop.ended);
	assert_int_equal(was_told(&ever, 7), 0);
	assert_int_equal(was_told(&soon, 8), 1); /* once */
	hang_up(&soon);
	hang_up(&ever);
}

/* Otherwise this test never ends. */
static void whom_a_drain_waits_for_is_said_or_dropped(void **state)
{
	(void)state;
	char text[256] = "", full[PAGE] = "";
	int ends[2], was = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	assert_true(was >= 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	loop.quiet = false;
	service_drain(loop.service);
	waiting_check_drains(&loop);
	ssize_t n = read(ends[0], text, sizeof(text) - 1);
	while (write(ends[1], full, sizeof(full)) > 0)
		;
	assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
	loop.waits_for[0] = 0;
	waiting_check_drains(&loop);
	assert_int_equal(dup2(was, STDERR_FILENO), STDERR_FILENO);
	assert_true(n > 0 && loop.waits_for[0] != 0);
	assert_memory_equal(text, "pgmapd: draining: waiting for ", strlen("pgmapd: draining: waiting for "));
	assert_int_equal(close(was) | close(ends[0]) | close(ends[1]), 0);
	let_go();
	assert_true(service_disconnect(session));
}

/* A request whose memory a thread makes ready, a device that a thread closes: the loop ends after them. */
static void the_end_waits_for_threads_that_work(void **state)
{
	(void)state;
	struct change closing = {.service = loop.service, .phase = CHANGE_CLOSING, .result = -EINPROGRESS};
	let_go();
	assert_true(service_disconnect(session));
	service_drain(loop.service);
	loop.ngrowing = 1;
	waiting_check_drains(&loop);
	assert_false(loop.ended);
	loop.ngrowing = 0;
	TAILQ_INSERT_TAIL(&loop.service->changes, &closing, link);
	waiting_check_drains(&loop);
	assert_false(loop.ended);
	TAILQ_REMOVE(&loop.service->changes, &closing, link);
	waiting_check_drains(&loop);
	assert_true(loop.ended);
}

static void a_drain_that_is_cancelled_says_so(void **state)
{
	(void)state;
	struct waiter ever;
	service_drain(loop.service);
	wait_for_drain(&ever, INT64_MAX, 9);
	waiting_check_drains(&loop);
	assert_int_equal(service_drain_cancel(loop.service), 0);
	waiting_check_drains(&loop);
	assert_int_equal(was_told(&ever, 9), -ECANCELED);
	assert_false(loop.ended);
	assert_int_equal(loop.waits_for[0], 0);
	let_go();
	assert_true(service_disconnect(session));
	hang_up(&ever);
}

/* Both in one round of events: who waited for the first is told, and who waits for the second is not. */
static void a_drain_that_is_cancelled_says_so_though_another_has_begun(void **state)
{
	(void)state;
	struct waiter old, young;
	service_drain(loop.service);
	wait_for_drain(&old, -1, 7);
	waiting_check_drains(&loop);
	assert_true(loop.waits_for[0] != 0);
	loop.signals = 1;
	assert_int_equal(service_drain_cancel(loop.service), 0);
	waiting_begin_anew(&loop);
	assert_int_equal(loop.signals, 0); /* the next one drains, and does not end at once */
	service_drain(loop.service);
	wait_for_drain(&young, -1, 8);
	waiting_check_drains(&loop);
	assert_int_equal(was_told(&old, 7), -ECANCELED);
	assert_int_equal(was_told(&young, 8), 1);
	let_go();
	assert_true(service_disconnect(session));
	waiting_check_drains(&loop);
	assert_int_equal(was_told(&young, 8), 0);
	hang_up(&old);
	hang_up(&young);
}

static void *drain_for_ever(void *result)
{
	*(int *)result = service_drain_until(loop.service, PGMAP_NO_DEADLINE);
	return NULL;
}

/* As in an embedded pool. */
static void c2_6_so_does_one_that_is_waited_for_by_a_thread(void **state)
{
	(void)state;
	pthread_t thread;
	const struct proto_req now = {.type = PROTO_DRAIN};
	int result = 1;
	assert_int_equal(pthread_create(&thread, NULL, drain_for_ever, &result), 0);
	while (service_state(loop.service) != PGMAP_DYING)
		(void)sched_yield();
	(void)pthread_mutex_lock(&loop.service->lock); /* so it waits */
	assert_int_equal(request_drain_cancel(session, &now, &reply), 0);
	assert_int_equal(request_drain(session, &now, &reply), -ETIMEDOUT);
	(void)pthread_mutex_unlock(&loop.service->lock);
	let_go();
	assert_true(service_disconnect(session));
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(result, -ECANCELED);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(c7_2_a_holder_ends_when_its_lease_does),
		T(a_lease_that_no_thread_watches_is_asked_for_again),
		T(a_lease_that_is_still_held_gets_a_thread),
		T(a_drain_answers_at_its_deadline_or_its_end),
		T(the_end_waits_for_threads_that_work),
		T(a_drain_that_is_cancelled_says_so),
		T(whom_a_drain_waits_for_is_said_or_dropped),
		T(a_drain_that_is_cancelled_says_so_though_another_has_begun),
		T(c2_6_so_does_one_that_is_waited_for_by_a_thread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
