/* SPDX-License-Identifier: BSD-3-Clause */
/* server_connection.c - a client's socket, round by round: what it may send, and what becomes of one that does not behave. */
#include "failing.h"
#include "server_loop.h"

#include "server/pending.h"

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

static void map_a_page(const struct peer *peer)
{
	struct proto_req req = request(PROTO_OPEN_MAP);
	req.flags = FSDAX_CREATE;
	req.len_bytes = PAGE;
	req.prot = 3;
	(void)snprintf(req.path, sizeof(req.path), "/f");
	say(peer->fd, &req);
	round_for(peer->conn);
	assert_int_equal(hear_error(peer->fd), 0);
}

static void a_client_is_known_and_answered(void **state)
{
	(void)state;
	struct proto_req info = request(PROTO_INFO);
	struct peer peer = greet(0);
	assert_int_equal(peer.conn->session->pid, getpid());
	assert_int_equal(peer.conn->session->uid, getuid());
	say(peer.fd, &info);
	say(peer.fd, &info);
	round_for(peer.conn); /* one answer a round */
	assert_int_equal(hear_error(peer.fd), 0);
	assert_int_equal(hear_error(peer.fd), 1);
	while (peer.conn->held_back) /* it has asked ahead */
		pacing_tick(&loop);
	round_for(peer.conn);
	assert_int_equal(hear_error(peer.fd), 0);
	conn_readable(&loop, peer.conn); /* woken for nothing: nothing happens */
	assert_true(peer.conn->fd >= 0);
	close_fds(&peer);
	hang_up(&peer);
	conn_readable(&loop, peer.conn); /* an event of the same round */
	conn_drop(&loop, peer.conn);
	assert_ptr_equal(TAILQ_FIRST(&loop.dropped), peer.conn);
	conn_free_dropped(&loop);
	assert_true(TAILQ_EMPTY(&loop.dropped));
}

static void a_client_that_says_nothing_costs_nothing_when_it_goes(void **state)
{
	(void)state;
	int fd = dial(), gone = dial();
	struct conn *silent = accept_one();
	assert_int_equal(close(gone), 0); /* before it is taken */
	struct conn *other = accept_one();
	assert_int_equal(service->connections, 0);
	round_for(other);
	assert_int_equal(other->fd, -1);
	assert_null(woken());
	assert_int_equal(close(fd), 0);
	round_for(silent);
	assert_int_equal(silent->fd, -1);
	conn_accept(&loop); /* nobody is there */
	assert_true(TAILQ_EMPTY(&loop.conns));
}

static void send_with_descriptor(int fd, const struct proto_req *req)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)req, sizeof(*req)};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	*cmsg = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), sizeof(*req));
}

static void what_is_no_request_is_answered_once_and_hung_up_on(void **state)
{
	(void)state;
	static char longer[sizeof(struct proto_req) + 100];
	for (int how = 0; how < 6; how++) {
		struct proto_req req = request(how < 4 ? PROTO_HELLO : PROTO_INFO);
		int fd = dial();
		struct conn *conn = accept_one();
		unsigned before = open_descriptors();
		memcpy(longer, &req, sizeof(req));
		if (how == 0)
			assert_int_equal(send(fd, longer, sizeof(longer), 0), sizeof(longer));
		else if (how == 1)
			assert_int_equal(send(fd, longer, 3, 0), 3);
		else if (how == 2)
			send_with_descriptor(fd, &req);
		else if (how == 3)
			req.version++;
		if (how >= 3)
			say(fd, &req);
		round_for(conn);
		assert_int_equal(hear_error(fd), -EPROTO);
		assert_int_equal(hear_error(fd), 2);
		assert_int_equal(conn->fd, -1);
		assert_int_equal(open_descriptors(), before - 1); /* its own, and none that it sent */
		assert_int_equal(close(fd), 0);
	}
	int fd = dial();
	struct conn *conn = accept_one();
	assert_int_equal(send(fd, "", 0, 0), 0); /* cannot be told from the end */
	round_for(conn);
	assert_int_equal(hear_error(fd), 2);
	assert_int_equal(close(fd), 0);
	assert_int_equal(service->holders, 0);
}

static void a_second_request_while_a_drain_is_waited_for_ends_both(void **state)
{
	(void)state;
	struct proto_req drain = request(PROTO_DRAIN), info = request(PROTO_INFO);
	struct peer peer = greet(0), waiter = greet(PROTO_HELLO_CONTROL);
	map_a_page(&peer);
	drain.timeout_ms = -1;
	say(waiter.fd, &drain);
	round_for(waiter.conn);
	assert_ptr_equal(LIST_FIRST(&loop.drains), waiter.conn);
	assert_int_equal(hear_error(waiter.fd), 1);
	say(waiter.fd, &info);
	round_for(waiter.conn);
	assert_true(LIST_EMPTY(&loop.drains));
	assert_int_equal(hear_error(waiter.fd), -EPROTO);
	assert_int_equal(hear_error(waiter.fd), 2);
	assert_int_equal(close(waiter.fd), 0);
	close_fds(&peer);
	hang_up(&peer); /* its lease is held by nothing any more */
	assert_int_equal(service->holders, 0);
}

static void a_client_that_does_not_read_is_hung_up_on(void **state)
{
	(void)state;
	struct proto_req info = request(PROTO_INFO);
	struct peer peer = greet(0);
	unsigned rounds = 0;
	for (; peer.conn->fd >= 0 && rounds < 10000; rounds++) {
		say(peer.fd, &info);
		round_for(peer.conn);
	}
	assert_int_equal(peer.conn->fd, -1);
	assert_true(rounds > 1);
	assert_int_equal(service->holders, 0);
	close_fds(&peer);
	assert_int_equal(close(peer.fd), 0);
}

static void a_descriptor_waits_for_nobody_to_read(void **state)
{
	(void)state;
	struct proto_req mkdir = request(PROTO_MKDIR), list = request(PROTO_READDIR);
	struct peer peer = greet(PROTO_HELLO_CONTROL);
	int fds[PROTO_MAX_FDS];
	unsigned nfds, before;
	(void)snprintf(mkdir.path, sizeof(mkdir.path), "/d");
	(void)snprintf(list.path, sizeof(list.path), "/");
	say(peer.fd, &mkdir);
	round_for(peer.conn);
	assert_int_equal(hear_error(peer.fd), 0);
	before = open_descriptors();
	for (int i = 0; i < 3; i++) { /* one that reads gets one each time */
		say(peer.fd, &list);
		round_for(peer.conn);
		assert_int_equal(hear(peer.fd, fds, &nfds), 0);
		assert_int_equal(nfds, 1);
		assert_int_equal(close(fds[0]), 0);
		assert_int_equal(open_descriptors(), before); /* the server keeps none */
	}
	for (int i = 0; i < 2; i++) {
		say(peer.fd, &list);
		round_for(peer.conn);
	}
	assert_int_equal(peer.conn->fd, -1);
	assert_int_equal(hear(peer.fd, fds, &nfds), 0);
	assert_int_equal(nfds, 1);
	assert_int_equal(close(fds[0]), 0);
	assert_int_equal(hear_error(peer.fd), 2);
	assert_int_equal(open_descriptors(), before - 1);
	assert_int_equal(close(peer.fd), 0);
}

static void without_descriptors_a_client_is_told_and_let_go(void **state)
{
	(void)state;
	struct proto_req hello = request(PROTO_HELLO);
	int first = dial(), second = dial();
	say(second, &hello);                      /* before it is taken, as clients do */
	for (int again = 0; again < 2; again++) { /* the spare one is there again */
		rlim_t was = no_descriptors();
		conn_accept(&loop);
		descriptors_again(was);
		assert_true(TAILQ_EMPTY(&loop.conns));
		assert_int_equal(hear_error(again ? second : first), -EMFILE);
		assert_int_equal(hear_error(again ? second : first), 2);
		assert_true(loop.spare_fd >= 0);
	}
	assert_int_equal(close(first) | close(second), 0);
	struct peer peer = greet(PROTO_HELLO_CONTROL);
	hang_up(&peer);
}

static bool is_listener_woken(void)
{
	return woken() == &loop.listener_watch;
}

static void lose_spare(void)
{
	assert_int_equal(close(loop.spare_fd), 0);
	loop.spare_fd = -1;
}

/* The spare one's place is somebody else's before the client has it: the loop must not be woken for it again and again. */
static void whom_it_can_not_even_turn_away_the_loop_leaves_alone_for_a_while(void **state)
{
	(void)state;
	struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = &loop.listener_watch}};
	assert_int_equal(epoll_ctl(loop.epoll_fd, EPOLL_CTL_ADD, loop.listener.fd, &event), 0);
	int first = dial();
	assert_true(is_listener_woken());
	assert_int_equal(waiting_timeout_ms(&loop), -1);
	for (int again = 0; again < 2; again++) {
		lose_spare();
		rlim_t was = no_descriptors();
		conn_accept(&loop);
		descriptors_again(was);
		assert_null(woken());
		assert_in_range(waiting_timeout_ms(&loop), 1, 1000);
		conn_listen_again(&loop);
		assert_true(is_listener_woken());
		assert_int_equal(waiting_timeout_ms(&loop), -1);
		assert_true(loop.spare_fd >= 0); /* for the next time */
	}
	assert_int_equal(hear_error(first), 1); /* nothing was said */
	lose_spare();
	conn_accept(&loop);
	assert_non_null(TAILQ_FIRST(&loop.conns));
	assert_null(woken());
	assert_true(loop.spare_fd >= 0);
	assert_int_equal(epoll_ctl(loop.epoll_fd, EPOLL_CTL_DEL, loop.listener.fd, NULL), 0);
	assert_int_equal(close(first), 0);
	round_for(TAILQ_FIRST(&loop.conns));
}

static void without_memory_a_client_is_let_go_or_told(void **state)
{
	(void)state;
	struct proto_req hello = request(PROTO_HELLO);
	for (unsigned long nth = 1; nth <= 2; nth++) {
		int fd = dial();
		failing_begin(nth, true);
		conn_accept(&loop);
		assert_true(failing_end());
		assert_true(TAILQ_EMPTY(&loop.conns));
		assert_int_equal(hear_error(fd), 2);
		assert_int_equal(close(fd), 0);
	}
	struct peer peer = {.fd = dial()};
	peer.conn = accept_one();
	for (unsigned long nth = 1;; nth++) { /* what its end will need is there before it holds anything */
		unsigned nfds;
		say(peer.fd, &hello);
		failing_begin(nth, false);
		round_for(peer.conn);
		bool failed = failing_end();
		int err = hear(peer.fd, peer.fds, &nfds);
		assert_int_equal(err, failed ? -ENOMEM : 0);
		assert_int_equal(nfds, failed ? 0 : 1 + PROTO_HELLO_FDS);
		assert_int_equal(service->holders, failed ? 0 : 1);
		if (!failed)
			break;
	}
	failing_begin(1, true);
	assert_int_equal(close(peer.fd), 0);
	round_for(peer.conn);
	assert_false(failing_end()); /* its end asks for none */
	close_fds(&peer);
	assert_int_equal(service->holders, 0);
}

static void c7_2_a_mapping_outlives_its_connection(void **state)
{
	(void)state;
	struct peer peer = greet(0);
	map_a_page(&peer);
	void *at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, peer.fds[0], 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	close_fds(&peer);
	failing_begin(1, true);
	hang_up(&peer);
	assert_false(failing_end());
	assert_int_equal(service->connections, 0);
	assert_int_equal(service->holders, 1);
	assert_int_equal(pgmap_live_pages(dax_pgmap(service->devices.memory[0])), 1);
	assert_int_equal(munmap(at, PAGE), 0);
	take_answer(&loop);
	assert_int_equal(service->holders, 0);
	assert_int_equal(pgmap_live_pages(dax_pgmap(service->devices.memory[0])), 0);
}

static void each_unpin_that_is_waited_for_wakes_the_loop(void **state)
{
	(void)state;
	struct peer peer = greet(0);
	uint64_t one = 1;
	assert_null(woken());
	for (int again = 0; again < 2; again++) {
		assert_int_equal(write(peer.fds[2], &one, sizeof(one)), sizeof(one));
		assert_ptr_equal(woken(), &peer.conn->pins_watch);
		assert_null(woken()); /* once each */
	}
	hang_up(&peer);
	assert_int_equal(write(peer.fds[2], &one, sizeof(one)), sizeof(one));
	assert_null(woken()); /* nobody listens to one who has gone */
	close_fds(&peer);
}

/* It waits until nobody holds /f, and says with a number of its own that it waits for this. */
static void take_away(const struct peer *peer)
{
	struct proto_req req = request(PROTO_UNLINK), await = request(PROTO_AWAIT);
	struct proto_rep rep;
	req.flags = PROTO_HOW_WAIT;
	req.timeout_ms = -1;
	(void)snprintf(req.path, sizeof(req.path), "/f");
	say(peer->fd, &req);
	round_for(peer->conn);
	assert_int_equal(recv(peer->fd, &rep, sizeof(rep), 0), sizeof(rep));
	assert_int_equal(rep.error, 0);
	await.handle = rep.handle;
	say(peer->fd, &await);
	round_for(peer->conn);
	assert_int_equal(peer->conn->awaits, rep.handle);
}

/* It maps a page, and does not read what it is told at its deadline. */
static void c6_7_who_goes_unanswered_frees_what_others_wait_for(void **state)
{
	(void)state;
	struct peer gone = greet(0), waits = greet(PROTO_HELLO_CONTROL);
	map_a_page(&gone);
	close_fds(&gone);
	take_away(&gone);
	take_away(&waits);
	TAILQ_FIRST(&service->pendings)->deadline_ns = 0; /* now */
	assert_int_equal(shutdown(gone.fd, SHUT_RD), 0);
	assert_null(woken());
	waiting_check(&loop);
	assert_int_equal(service->holders, 0);
	assert_int_equal(hear_error(waits.fd), 1);
	assert_int_equal(waiting_timeout_ms(&loop), 0); /* nothing else wakes it */
	waiting_check(&loop);
	assert_int_equal(hear_error(waits.fd), 0);
	assert_int_equal(waiting_timeout_ms(&loop), -1);
	assert_int_equal(space().used + space().waiting, 0);
	assert_int_equal(close(gone.fd), 0);
	hang_up(&waits);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_client_is_known_and_answered),
		T(a_client_that_says_nothing_costs_nothing_when_it_goes),
		T(what_is_no_request_is_answered_once_and_hung_up_on),
		T(a_second_request_while_a_drain_is_waited_for_ends_both),
		T(a_client_that_does_not_read_is_hung_up_on),
		T(a_descriptor_waits_for_nobody_to_read),
		T(without_descriptors_a_client_is_told_and_let_go),
		T(whom_it_can_not_even_turn_away_the_loop_leaves_alone_for_a_while),
		T(without_memory_a_client_is_let_go_or_told),
		T(c7_2_a_mapping_outlives_its_connection),
		T(c6_7_who_goes_unanswered_frees_what_others_wait_for),
		T(each_unpin_that_is_waited_for_wakes_the_loop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
