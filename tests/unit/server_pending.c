/* SPDX-License-Identifier: BSD-3-Clause */
/* server_pending.c - requests that wait for pages: each ends once, when it can, or with who made it; pins are told why. */
#include "server/pending.h"
#include "server_util.h"

#include <pthread.h>
#include <sys/socket.h>

#include "failing.h"

static struct client other, control;
static uint64_t file; /* of me: /f, two pages, of which `other` maps the first */
static uint64_t map;  /* of other */

static int set_up(void **state)
{
	(void)set_up_one(state);
	other = join(0);
	control = join(PROTO_HELLO_CONTROL);
	assert_int_equal(open_file(&me, "/f", FSDAX_CREATE, &file), 0);
	assert_int_equal(truncate_file(&me, file, PAGE), 0);
	assert_int_equal(truncate_file(&me, file, 2 * PAGE), 0);
	uint64_t handle;
	assert_int_equal(open_file(&other, "/f", 0, &handle), 0);
	assert_int_equal(map_range(&other, handle, 0, PAGE), 0);
	map = reply.rep.handle;
	assert_int_equal(ask_handle(&other, PROTO_CLOSE, handle), 0);
	return 0;
}

static int tear_down(void **state)
{
	assert_true(TAILQ_EMPTY(&service->pendings));
	leave(&other);
	leave(&control);
	return tear_down_one(state);
}

static pinword_t *word(void)
{
	struct session_map *m = handles_get(&other.session->maps, map);
	return &other.session->segment.words[m->first_word];
}

static int how(const struct client *client, enum proto_type type, uint32_t flags, int64_t timeout_ms)
{
	struct proto_req req = request(type);
	req.flags = flags;
	req.timeout_ms = timeout_ms;
	req.handle = file;
	req.len_bytes = type == PROTO_PUNCH ? PAGE : 0;
	(void)snprintf(req.path, sizeof(req.path), "/f");
	return ask(client, &req);
}

/* The number of a request that waits. */
static uint64_t begin(const struct client *client, enum proto_type type, int64_t timeout_ms)
{
	assert_int_equal(how(client, type, PROTO_HOW_WAIT, timeout_ms), 0);
	assert_true(reply.rep.handle != 0);
	return reply.rep.handle;
}

/* What AWAIT says; 1: later. */
static int await(uint64_t id)
{
	struct proto_req req = request(PROTO_AWAIT);
	req.handle = id;
	return service_handle(control.session, &req, sizeof(req), &reply) == SERVICE_WAIT ? 1 : reply.rep.error;
}

static void let_go(void)
{
	assert_int_equal(ask_handle(&other, PROTO_UNMAP, map), 0);
}

static void c6_7_each_of_the_three_ways_is_asked_for(void **state)
{
	(void)state;
	assert_int_equal(how(&me, PROTO_TRUNCATE, PROTO_HOW_FAIL, 0), -EBUSY);
	assert_int_equal(how(&me, PROTO_PUNCH, PROTO_HOW_FAIL, 0), -EBUSY);
	assert_int_equal(how(&me, PROTO_UNLINK, PROTO_HOW_FAIL, 0), -EBUSY);
	assert_int_equal(how(&me, PROTO_TRUNCATE, PROTO_HOW_FAIL | PROTO_HOW_WAIT, 0), -EINVAL);
	assert_int_equal(how(&me, PROTO_PUNCH, PROTO_HOW_FAIL | PROTO_HOW_WAIT, 0), -EINVAL);
	assert_int_equal(how(&me, PROTO_UNLINK, PROTO_HOW_FAIL | PROTO_HOW_WAIT, 0), -EINVAL);
	assert_int_equal(how(&control, PROTO_UNLINK, PROTO_HOW_FAIL, 0), -EBUSY); /* a name needs no holder */
	assert_int_equal(space().used, 2);
	assert_int_equal(how(&me, PROTO_PUNCH, 0, 0), 0);
	assert_int_equal(space().waiting, 1);
	assert_int_equal(pinword_pin(word(), 0), -ESTALE);
	let_go();
	assert_int_equal(how(&me, PROTO_TRUNCATE, PROTO_HOW_WAIT, -1), 0);
	assert_int_equal(reply.rep.handle, 0); /* nothing to wait for */
	assert_int_equal(ask_handle(&me, PROTO_CLOSE, file), 0);
	assert_int_equal(how(&me, PROTO_UNLINK, PROTO_HOW_WAIT, -1), 0);
	assert_int_equal(reply.rep.handle, 0);
	file = 99;
	assert_int_equal(how(&me, PROTO_TRUNCATE, PROTO_HOW_WAIT, 0), -EBADF);
	assert_int_equal(how(&me, PROTO_PUNCH, PROTO_HOW_WAIT, 0), -EBADF);
	assert_int_equal(how(&me, PROTO_UNLINK, PROTO_HOW_WAIT, 0), -ENOENT);
}

static void c6_7_it_ends_with_the_unmap_and_is_told_once(void **state)
{
	(void)state;
	uint64_t id = begin(&me, PROTO_TRUNCATE, -1);
	assert_int_equal(await(id), 1);
	assert_int_equal(await(id + 1), -EBADF);
	assert_true(service_check_pending(service) == PGMAP_NO_DEADLINE);
	assert_int_equal(map_range(&me, file, 0, PAGE), -EAGAIN);
	let_go();
	assert_true(service_check_pending(service) == PGMAP_NO_DEADLINE);
	assert_int_equal(space().used, 0);
	assert_int_equal(await(id), 0);
	assert_int_equal(await(id), -EBADF);
}

static void c7_9_new_pins_answer_that_somebody_waits(void **state)
{
	(void)state;
	pinword_t *w = word();
	assert_int_equal(pinword_pin(w, 0), 0);
	uint64_t id = begin(&me, PROTO_PUNCH, -1);
	assert_int_equal(pinword_pin(w, 0), -EAGAIN);
	assert_int_equal(pinword_pin(w, 1), -EAGAIN);
	assert_int_equal(pinword_unpin(w, 0), PINWORD_DRAINED);
	service_pending_cancel(service, id);
	assert_int_equal(pinword_pin(w, 0), 0);
	assert_int_equal(pinword_unpin(w, 0), 0);
	assert_int_equal(await(id), -EBADF);
	service_pending_cancel(service, id);
	let_go();
}

static void c6_7_at_the_deadline_nothing_has_changed(void **state)
{
	(void)state;
	uint64_t now = pgmap_deadline_in(0), id = begin(&me, PROTO_UNLINK, 100000), soon = begin(&me, PROTO_PUNCH, 0);
	uint64_t deadline = service_check_pending(service);
	assert_true(deadline >= now + UINT64_C(100000) * 1000000 && deadline < PGMAP_NO_DEADLINE);
	assert_int_equal(await(soon), -ETIMEDOUT);
	assert_int_equal(pinword_pin(word(), 0), -EAGAIN); /* the other one */
	service_pending_cancel(service, id);
	assert_int_equal(pinword_read(word()).reason, PINWORD_OPEN);
	assert_int_equal(space().used, 2);
	assert_int_equal(space().files, 1);
	id = begin(&me, PROTO_PUNCH, INT64_MAX);
	assert_true(service_check_pending(service) == PGMAP_NO_DEADLINE);
	service_pending_cancel(service, id);
}

static void c6_7_whose_client_goes_it_is_called_off(void **state)
{
	(void)state;
	uint64_t id = begin(&me, PROTO_TRUNCATE, -1), named = begin(&control, PROTO_UNLINK, -1);
	assert_int_equal(pinword_read(word()).reason, PINWORD_WAIT);
	leave(&me);
	assert_int_equal(await(id), -EBADF);
	assert_int_equal(pinword_read(word()).reason, PINWORD_WAIT);
	me = join(0);
	leave(&control);
	control = join(PROTO_HELLO_CONTROL);
	assert_int_equal(await(named), -EBADF);
	assert_int_equal(pinword_read(word()).reason, PINWORD_OPEN);
	assert_int_equal(space().used, 2);
}

static int call_off(const struct client *client, uint64_t id)
{
	struct proto_req req = request(PROTO_AWAIT);
	req.handle = id;
	req.flags = PROTO_AWAIT_CANCEL;
	return ask(client, &req);
}

static void c6_7_who_cannot_await_it_calls_it_off(void **state)
{
	(void)state;
	uint64_t id = begin(&me, PROTO_TRUNCATE, -1);
	assert_int_equal(call_off(&me, id + 1), -EBADF);
	assert_int_equal(await(id), 1);
	assert_int_equal(call_off(&me, id), -ECANCELED);
	assert_int_equal(await(id), -EBADF);
	id = begin(&me, PROTO_TRUNCATE, -1);
	let_go();
	assert_int_equal(call_off(&me, id), 0); /* it has happened */
	assert_int_equal(call_off(&me, id), -EBADF);
}

static void c7_2_the_end_of_the_holder_is_what_is_waited_for(void **state)
{
	(void)state;
	uint64_t id = begin(&me, PROTO_TRUNCATE, -1);
	leave(&other);
	assert_int_equal(await(id), 0);
	assert_int_equal(space().used, 0);
	other = join(0);
}

static uint64_t awaited;

static void *await_it(void *err)
{
	*(int *)err = service_await(service, awaited);
	return NULL;
}

/* Only where somebody else holds the pages, which nobody does in a pool of one program. */
static void c6_7_an_embedded_pool_ends_when_its_waiters_have_heard(void **state)
{
	(void)state;
	pthread_t thread;
	int err = 1;
	struct client own = join(0);
	assert_int_equal(open_file(&own, "/f", 0, &file), 0);
	awaited = begin(&own, PROTO_TRUNCATE, -1);
	uint64_t others = begin(&me, PROTO_PUNCH, -1);
	assert_int_equal(pthread_create(&thread, NULL, await_it, &err), 0);
	assert_true(service_end_embedded(own.session));
	assert_int_equal(service_pending_result(service, awaited), -EBADF); /* it was told already */
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(err, -EPIPE);
	assert_int_equal(await(others), 1); /* goes on */
	while (own.nfds)
		assert_int_equal(close(own.fds[--own.nfds]), 0);
	let_go();
	assert_int_equal(await(others), 0);
}

static void c6_7_a_drain_ends_it(void **state)
{
	(void)state;
	uint64_t id = begin(&me, PROTO_TRUNCATE, -1);
	service_drain(service);
	assert_int_equal(await(id), -ENODEV);
	assert_int_equal(pinword_pin(word(), 0), -ENODEV);
	assert_int_equal(how(&me, PROTO_TRUNCATE, PROTO_HOW_WAIT, -1), -ENODEV);
	assert_int_equal(how(&me, PROTO_TRUNCATE, PROTO_HOW_FAIL, -1), -ENODEV);
	assert_int_equal(service_drain_cancel(service), 0);
	assert_int_equal(pinword_read(word()).reason, PINWORD_OPEN);
	assert_int_equal(space().used, 2);
}

static void c7_6_a_client_has_so_many_and_no_more(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PENDING_MAX; i++)
		(void)begin(&me, PROTO_PUNCH, -1);
	assert_int_equal(how(&me, PROTO_PUNCH, PROTO_HOW_WAIT, -1), -EUSERS);
	let_go(); /* that one has them: the others are free */
	(void)service_check_pending(service);
	assert_int_equal(how(&other, PROTO_UNLINK, PROTO_HOW_FAIL, 0), -EBUSY); /* open */
	leave(&me);
	me = join(0);
}

static void without_memory_nothing_waits(void **state)
{
	(void)state;
	for (unsigned long nth = 1;; nth++) {
		failing_begin(nth, true);
		int err = how(&me, PROTO_TRUNCATE, PROTO_HOW_WAIT, -1);
		if (!failing_end())
			break;
		assert_int_equal(err, -ENOMEM);
		assert_true(TAILQ_EMPTY(&service->pendings));
	}
	service_pending_cancel(service, reply.rep.handle);
	assert_int_equal(space().used, 2);
}

/* A connection of the loop that awaits: the server's end, and ours. */
static struct loop loop;
static struct conn conn;
static int ours;

static void connect_waiter(uint64_t id)
{
	int ends[2];
	struct proto_req req = request(PROTO_AWAIT);
	req.handle = id;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	conn = (struct conn){.fd = ends[0]};
	ours = ends[1];
	waiting_await(&loop, &conn, &req);
}

static void c6_7_the_loop_answers_when_it_has_ended(void **state)
{
	(void)state;
	struct proto_rep rep;
	begin_loop(&loop, service);
	connect_waiter(begin(&me, PROTO_TRUNCATE, 3600000));
	waiting_check_awaits(&loop);
	assert_int_equal(recv(ours, &rep, sizeof(rep), 0), -1);
	int timeout = waiting_timeout_ms(&loop);
	assert_true(timeout > 3000000 && timeout <= 3600000);
	let_go();
	waiting_check_awaits(&loop);
	assert_int_equal(recv(ours, &rep, sizeof(rep), 0), sizeof(rep));
	assert_int_equal(rep.type, PROTO_AWAIT);
	assert_int_equal(rep.seq, 77);
	assert_int_equal(rep.error, 0);
	assert_true(LIST_EMPTY(&loop.awaits) && conn.awaits == 0);
	assert_int_equal(waiting_timeout_ms(&loop), -1);
	assert_int_equal(close(conn.fd) | close(ours) | close(loop.answers_fd), 0);
}

static void c6_7_a_waiter_that_hangs_up_calls_it_off(void **state)
{
	(void)state;
	begin_loop(&loop, service);
	connect_waiter(begin(&me, PROTO_TRUNCATE, -1));
	waiting_stop(&loop, &conn);
	assert_true(LIST_EMPTY(&loop.awaits) && TAILQ_EMPTY(&service->pendings));
	assert_int_equal(pinword_read(word()).reason, PINWORD_OPEN);
	assert_int_equal(close(conn.fd) | close(ours) | close(loop.answers_fd), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(c6_7_each_of_the_three_ways_is_asked_for),
		T(c6_7_it_ends_with_the_unmap_and_is_told_once),
		T(c7_9_new_pins_answer_that_somebody_waits),
		T(c6_7_at_the_deadline_nothing_has_changed),
		T(c6_7_whose_client_goes_it_is_called_off),
		T(c6_7_who_cannot_await_it_calls_it_off),
		T(c7_2_the_end_of_the_holder_is_what_is_waited_for),
		T(c6_7_an_embedded_pool_ends_when_its_waiters_have_heard),
		T(c6_7_a_drain_ends_it),
		T(c7_6_a_client_has_so_many_and_no_more),
		T(without_memory_nothing_waits),
		T(c6_7_the_loop_answers_when_it_has_ended),
		T(c6_7_a_waiter_that_hangs_up_calls_it_off),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
