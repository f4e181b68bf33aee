/* SPDX-License-Identifier: BSD-3-Clause */
/* server_growing.c - while memory is made ready for one client, the loop serves the others. */
#include "failing.h"
#include "server_loop.h"

#include <sched.h>
#include <semaphore.h>

#include "fs/supply.h"

enum { MANY = 18, AT_WORK = 16 };
#define BIG (3 * MIB) /* more than may be taken because it seems clean */

/* Memory is made ready when the test says so. */
static sem_t may_make;
static bool no_threads;

void __real_supply_make(struct supply *supply);
void __wrap_supply_make(struct supply *supply);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);

void __wrap_supply_make(struct supply *supply)
{
	assert_int_equal(sem_wait(&may_make), 0);
	__real_supply_make(supply);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	return no_threads ? EAGAIN : __real_pthread_create(thread, attr, fn, arg);
}

static void let_make(unsigned n)
{
	while (n--)
		assert_int_equal(sem_post(&may_make), 0);
}

static int set_up(void **state)
{
	(void)state;
	no_threads = false;
	return sem_init(&may_make, 0, 0) | begin_server("memfd:size=64M,page=4K");
}

static int tear_down(void **state)
{
	(void)state;
	assert_true(TAILQ_EMPTY(&loop.queued) && TAILQ_EMPTY(&loop.grown));
	assert_int_equal(loop.ngrowing, 0);
	end_server();
	return sem_destroy(&may_make);
}

/* Of a file of its own. Without an answer yet. */
static void ask_for(const struct peer *peer, uint64_t bytes)
{
	struct proto_req req = request(PROTO_OPEN_MAP);
	req.flags = FSDAX_CREATE;
	req.len_bytes = bytes;
	req.prot = 3;
	(void)snprintf(req.path, sizeof(req.path), "/%d", peer->fd);
	say(peer->fd, &req);
	round_for(peer->conn);
}

static void go(const struct peer *peer)
{
	close_fds(peer);
	hang_up(peer);
}

/* Its lease falls when its descriptors are closed: a thread says so. */
static void go_with_mapping(const struct peer *peer)
{
	uint32_t before = service->holders;
	go(peer);
	while (service->holders == before)
		take_answer(&loop);
}

static void others_are_served_meanwhile(void **state)
{
	(void)state;
	struct peer big = greet(0), other = greet(0);
	struct proto_req info = request(PROTO_INFO);
	ask_for(&big, 8 * MIB);
	say(big.fd, &info); /* of no interest before its first has been answered */
	assert_null(woken());
	say(other.fd, &info);
	round_for(other.conn);
	assert_int_equal(hear_error(other.fd), 0);
	ask_for(&other, PAGE);
	assert_int_equal(hear_error(other.fd), 0);
	assert_int_equal(hear_error(big.fd), 1);
	assert_int_equal(space().files, 1);
	let_make(1);
	take_answer(&loop);
	assert_int_equal(hear_error(big.fd), 0);
	assert_int_equal(space().used, 8 * MIB / PAGE + 1);
	round_for(big.conn);
	assert_int_equal(hear_error(big.fd), 0);
	go_with_mapping(&big);
	go_with_mapping(&other);
}

static void one_that_goes_is_seen_gone_when_its_memory_is_there(void **state)
{
	(void)state;
	struct peer big = greet(0);
	ask_for(&big, 8 * MIB);
	assert_int_equal(close(big.fd), 0);
	assert_null(woken());
	assert_int_equal(service->connections, 1);
	let_make(1);
	take_answer(&loop); /* no reply can be sent */
	assert_int_equal(big.conn->fd, -1);
	close_fds(&big);
	assert_int_equal(service->holders, 0); /* nothing was done for it */
	assert_int_equal(space().files, 0);
	assert_int_equal(space().used, 0);
}

static void no_more_threads_than_some(void **state)
{
	(void)state;
	struct peer peers[MANY];
	for (unsigned i = 0; i < MANY; i++) {
		peers[i] = greet(0);
		ask_for(&peers[i], BIG);
		assert_int_equal(loop.ngrowing, i < AT_WORK ? i + 1 : AT_WORK);
	}
	assert_ptr_equal(TAILQ_FIRST(&loop.queued)->conn, peers[AT_WORK].conn);
	let_make(MANY);
	while (loop.ngrowing)
		take_answer(&loop);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(hear_error(peers[i].fd), 0);
	assert_int_equal(space().used, MANY * BIG / PAGE);
	for (unsigned i = 0; i < MANY; i++)
		go_with_mapping(&peers[i]);
}

static void without_a_thread_or_memory_the_loop_does_it(void **state)
{
	(void)state;
	struct peer first = greet(0), second = greet(0);
	let_make(2);
	no_threads = true;
	int policy = sched_getscheduler(0);
	ask_for(&first, BIG);
	no_threads = false;
	assert_int_equal(sched_getscheduler(0), policy); /* the loop is no batch */
	take_answer(&loop);
	assert_int_equal(hear_error(first.fd), 0);
	bool failed = false;
	struct proto_req req = request(PROTO_OPEN);
	uint64_t file;
	req.flags = FSDAX_CREATE;
	assert_int_equal(open_file(&(struct client){.session = second.conn->session}, "/t", FSDAX_CREATE, &file), 0);
	req = request(PROTO_TRUNCATE);
	req.handle = file;
	req.len_bytes = BIG;
	say(second.fd, &req);
	/* What the request itself allocates comes before. */
	for (unsigned long nth = 1; !failed; nth++) {
		failing_begin(nth, false);
		int err = service_handle(second.conn->session, &req, sizeof(req), &reply);
		if (!failing_end()) {
			assert_int_equal(err, SERVICE_LATER);
			failing_begin(1, false); /* handled again, it has what it needs: the next is the loop's */
			round_for(second.conn);
			failed = failing_end();
			assert_true(failed);
		}
	}
	assert_int_equal(loop.ngrowing, 0);
	assert_int_equal(hear_error(second.fd), 0);
	assert_int_equal(space().used, 2 * BIG / PAGE);
	go_with_mapping(&first);
	go(&second);
}

static void what_cannot_be_had_is_said(void **state)
{
	(void)state;
	struct peer first = greet(0), second = greet(0);
	ask_for(&first, 40 * MIB);
	let_make(1);
	take_answer(&loop);
	assert_int_equal(hear_error(first.fd), 0);
	ask_for(&second, 40 * MIB);
	let_make(1);
	take_answer(&loop);
	assert_int_equal(hear_error(second.fd), -ENOSPC);
	assert_int_equal(space().files, 1);
	assert_int_equal(space().used, 40 * MIB / PAGE);
	go_with_mapping(&first);
	go(&second);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(others_are_served_meanwhile), T(one_that_goes_is_seen_gone_when_its_memory_is_there),
		T(no_more_threads_than_some),   T(without_a_thread_or_memory_the_loop_does_it),
		T(what_cannot_be_had_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
