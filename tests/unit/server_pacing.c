/* SPDX-License-Identifier: BSD-3-Clause */
/* server_pacing.c - who is served before whom, and that one who asks ahead of the answers is served once in a tick. */
#include "server_loop.h"

enum { MOST = 16 };

static const struct watch *served[MOST];
static unsigned nserved;

static int set_up(void **state)
{
	(void)state;
	return begin_server("memfd:size=2M,page=4K");
}

static int tear_down(void **state)
{
	(void)state;
	end_server();
	return 0;
}

static void note(struct loop *in, struct watch *watch)
{
	(void)in;
	assert_true(nserved < MOST);
	served[nserved++] = watch;
}

/* A round in which all of these are ready; what is served is noted. */
static void a_round(struct watch *const ready[], int n)
{
	struct epoll_event events[MOST];
	for (int i = 0; i < n; i++)
		events[i] = (struct epoll_event){.data.ptr = ready[i]};
	nserved = 0;
	pacing_serve(&loop, events, n, note);
}

static void who_asks_seldom_comes_first_and_of_the_others_one_in_turn(void **state)
{
	(void)state;
	struct conn conns[4] = {0};
	struct watch busy[3] = {
		{WATCH_CONN, &conns[0], 0, 0}, {WATCH_CONN, &conns[1], 0, 0}, {WATCH_CONN, &conns[2], 0, 0}};
	struct watch rare = {WATCH_CONN, &conns[3], 0, 0}, signals = {WATCH_SIGNAL, NULL, 0, 0};
	struct watch *const three[] = {&busy[0], &busy[1], &busy[2]};
	struct watch *const all[] = {&busy[0], &busy[1], &busy[2], &rare, &signals};
	loop.round = 10;
	a_round(three, 3);
	assert_int_equal(nserved, 3); /* none of them has asked for long */
	for (unsigned i = 0; i < 6; i++) {
		a_round(three, 3);
		assert_int_equal(nserved, 1);
		assert_ptr_equal(served[0], three[i % 3]);
	}
	a_round(all, 5);
	assert_int_equal(nserved, 3);
	assert_ptr_equal(served[0], &rare);
	assert_ptr_equal(served[1], &signals);
	assert_ptr_equal(served[2], &busy[0]);
}

static void nobody_is_left_out_for_ever(void **state)
{
	(void)state;
	struct conn conns[MOST] = {0};
	struct watch watches[MOST];
	struct watch *ready[MOST];
	unsigned times[MOST] = {0};
	for (unsigned i = 0; i < MOST; i++) {
		conns[i].ahead = true;
		watches[i] = (struct watch){WATCH_CONN, &conns[i], 0, 0};
		ready[i] = &watches[i];
	}
	for (unsigned i = 0; i < 10 * MOST / 2; i++) {
		a_round(ready, MOST);
		assert_int_equal(nserved, 2); /* one of eight */
		times[served[0] - watches]++;
		times[served[1] - watches]++;
	}
	for (unsigned i = 0; i < MOST; i++)
		assert_int_equal(times[i], 10);
}

static void one_that_comes_is_one_of_the_busy(void **state)
{
	(void)state;
	struct conn conn = {.ahead = true};
	struct watch listener = {WATCH_LISTENER, NULL, 0, 0}, ahead = {WATCH_CONN, &conn, 0, 0};
	struct watch *const ready[] = {&listener, &ahead};
	loop.round = 10;
	a_round(ready, 2);
	assert_int_equal(nserved, 1);
	assert_ptr_equal(served[0], &listener);
	a_round(ready, 2);
	assert_int_equal(nserved, 1);
	assert_ptr_equal(served[0], &ahead);
}

static void who_asks_ahead_of_the_answer_is_read_again_after_a_tick(void **state)
{
	(void)state;
	struct proto_req info = request(PROTO_INFO);
	struct peer first = greet(PROTO_HELLO_CONTROL), second = greet(PROTO_HELLO_CONTROL);
	const struct peer *both[] = {&first, &second};
	assert_int_equal(waiting_timeout_ms(&loop), -1);
	for (unsigned i = 0; i < 2; i++) {
		say(both[i]->fd, &info);
		say(both[i]->fd, &info);
		round_for(both[i]->conn);
		assert_int_equal(hear_error(both[i]->fd), 0);
		assert_true(both[i]->conn->held_back);
	}
	assert_null(woken());
	for (unsigned i = 0; i < 2; i++) { /* one a tick, in turn */
		assert_in_range(waiting_timeout_ms(&loop), 0, 1);
		while (both[i]->conn->held_back)
			pacing_tick(&loop);
		round_for(both[i]->conn);
		assert_int_equal(hear_error(both[i]->fd), 0);
		assert_false(both[i]->conn->held_back);
		assert_false(both[i]->conn->ahead);
		assert_null(woken());
	}
	assert_int_equal(waiting_timeout_ms(&loop), -1);
	say(first.fd, &info);
	say(first.fd, &info);
	round_for(first.conn);
	conn_drop(&loop, first.conn); /* while it is held back */
	pacing_tick(&loop);
	assert_int_equal(close(first.fd), 0);
	hang_up(&second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_asks_seldom_comes_first_and_of_the_others_one_in_turn, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(nobody_is_left_out_for_ever, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_comes_is_one_of_the_busy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_asks_ahead_of_the_answer_is_read_again_after_a_tick, set_up,
						tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
