/* SPDX-License-Identifier: BSD-3-Clause */
/* A device that the system takes away under its pool: found out and said once, no more mappings and pins, and what is held is let
 * go of. With the real thing: tests/vm/machines/dax.sh. */
#include "output.h"
#include "server_util.h"

#include <sys/socket.h>

static bool gone;
static struct loop loop;

static int check(const struct dev *dev)
{
	(void)dev;
	return gone ? -ENXIO : 0;
}

static int set_up(void **state)
{
	gone = false;
	assert_int_equal(set_up_one(state), 0);
	service->devices.dev[0]->check = check;
	begin_loop(&loop, service);
	return 0;
}

static int tear_down(void **state)
{
	assert_int_equal(close(loop.answers_fd), 0);
	return tear_down_one(state);
}

/* What removal_check() writes to stderr. */
static void checked(char *said, size_t said_bytes)
{
	struct output output = output_begin(stderr);
	removal_check(&loop);
	(void)output_end(&output, said, said_bytes);
}

static enum pinword_reason reason(void)
{
	return pinword_read(&me.session->segment.words[0]).reason;
}

static void it_is_said_once_with_what_is_lost(void **state)
{
	(void)state;
	char said[400];
	assert_int_equal(open_map(&me, "/f", FSDAX_CREATE, 2 * MIB), 0);
	uint64_t map = reply.rep.handle;
	checked(said, sizeof(said));
	assert_string_equal(said, "");
	gone = true;
	checked(said, sizeof(said));
	assert_non_null(strstr(said, "device memfd:size=4194304,page=4K is gone"));
	assert_non_null(strstr(said, "all bytes of 1 files, 2 MiB"));
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
	checked(said, sizeof(said));
	assert_string_equal(said, "");
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
}

static void c7_9_no_more_mappings_and_pins_but_all_else_goes_on(void **state)
{
	(void)state;
	struct stat st;
	struct proto_req info = request(PROTO_INFO);
	assert_int_equal(open_map(&me, "/f", FSDAX_CREATE, MIB), 0);
	uint64_t map = reply.rep.handle;
	assert_int_equal(reason(), PINWORD_OPEN);
	gone = true;
	assert_true(service_check_devices(service));
	assert_true(service_check_devices(service));
	assert_int_equal(reason(), PINWORD_GOING);
	assert_int_equal(open_map(&me, "/f", 0, 0), -ENODEV);
	assert_int_equal(ask(&me, &info), 0);
	assert_string_equal(reply.rep.u.info.device, "memfd:size=4194304,page=4K (gone)");
	struct client late = join(0);
	assert_int_equal(fstat(late.fds[0], &st), 0);
	assert_int_equal(st.st_size, 0); /* nothing to map */
	assert_int_equal(open_map(&late, "/g", FSDAX_CREATE, MIB), -ENXIO);
	leave(&late);
	service_drain(service);
	assert_int_equal(service_drain_cancel(service), 0);
	assert_int_equal(reason(), PINWORD_GOING);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/f"), 0);
	assert_int_equal(space().used, 0);
}

/* Whatever they say, and however many. */
static void events_are_a_reason_to_look(void **state)
{
	(void)state;
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	loop.removal_fd = ends[0];
	for (int i = 0; i < 3; i++)
		assert_int_equal(send(ends[1], "unbind@/devices/x", 17, 0), 17);
	removal_events(&loop);
	assert_int_equal(recv(ends[0], &(char){0}, 1, 0), -1);
	assert_int_equal(service->devices.ngone, 0);
	gone = true;
	removal_events(&loop);
	assert_int_equal(service->devices.ngone, 1);
	assert_int_equal(close(ends[0]) | close(ends[1]), 0);
}

static void only_a_device_that_can_go_is_watched(void **state)
{
	(void)state;
	int fd = removal_open(service);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	service->devices.dev[0]->check = NULL;
	assert_int_equal(removal_open(service), -1);
}

/* Who asked for it has gone before it was there. */
static void a_device_that_comes_is_watched_though_nobody_waits_for_it(void **state)
{
	(void)state;
	struct proto_req req = request(PROTO_DEVICE_ADD);
	struct client root = join(PROTO_HELLO_CONTROL);
	(void)snprintf(req.path, sizeof(req.path), "memfd:size=4M,page=4K");
	loop.removal_fd = -1;
	loop.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	service_wake_fd(service, loop.answers_fd);
	assert_int_equal(service_handle(root.session, &req, sizeof(req), &reply), SERVICE_WAIT);
	service_change_leave(service, reply.rep.handle);
	take_answer(&loop);
	assert_true(loop.removal_fd >= 0);
	service_settle(service);
	service_wake_fd(service, -1);
	leave(&root);
	assert_int_equal(close(loop.removal_fd) | close(loop.epoll_fd), 0);
}

static void add_one(const struct client *root)
{
	struct proto_req req = request(PROTO_DEVICE_ADD);
	(void)snprintf(req.path, sizeof(req.path), "memfd:size=4M,page=4K");
	assert_int_equal(service_handle(root->session, &req, sizeof(req), &reply), SERVICE_WAIT);
	service_change_leave(service, reply.rep.handle);
	service_settle(service);
}

/* Its event came when it was not the pool's yet. */
static void a_device_that_goes_while_it_comes_is_looked_at(void **state)
{
	(void)state;
	struct client root = join(PROTO_HELLO_CONTROL);
	loop.removal_fd = loop.epoll_fd = -1;
	service_wake_fd(service, loop.answers_fd);
	add_one(&root);
	gone = true;
	take_answer(&loop);
	assert_int_equal(service->devices.ngone, 1);
	service_wake_fd(service, -1);
	leave(&root);
	assert_int_equal(close(loop.removal_fd), 0);
}

static void a_removal_is_called_off_where_the_other_device_goes(void **state)
{
	(void)state;
	struct proto_rep rep;
	struct client root = join(PROTO_HELLO_CONTROL);
	struct proto_req req = request(PROTO_DEVICE_REMOVE);
	add_one(&root);
	assert_int_equal(open_map(&me, "/held", FSDAX_CREATE, 6 * MIB), 0);
	uint64_t map = reply.rep.handle;
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/held"), 0);
	req.handle = 1;
	req.timeout_ms = -1;
	assert_int_equal(service_handle(root.session, &req, sizeof(req), &reply), SERVICE_WAIT);
	uint64_t id = reply.rep.handle;
	assert_true(service->devices.leaving[1]);
	gone = true;
	assert_true(service_check_devices(service));
	assert_int_equal(service_change_result(service, id, false, &rep), -ECANCELED);
	assert_false(service->devices.leaving[1]);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
	assert_int_equal(devices_count(&service->devices), 2);
	assert_int_equal(open_map(&me, "/f", FSDAX_CREATE, MIB), 0); /* there */
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, reply.rep.handle), 0);
	leave(&root);
}

/* A file that lies on both is lost once. */
static void two_that_go_at_once_are_said_with_one_sum(void **state)
{
	(void)state;
	char said[900];
	struct client root = join(PROTO_HELLO_CONTROL);
	loop.removal_fd = loop.epoll_fd = -1;
	add_one(&root);
	service->devices.dev[1]->check = check;
	assert_int_equal(open_map(&me, "/f", FSDAX_CREATE, 6 * MIB), 0);
	uint64_t map = reply.rep.handle;
	gone = true;
	checked(said, sizeof(said));
	const char *first = strstr(said, "device memfd:size=4194304,page=4K is gone");
	assert_non_null(first);
	assert_non_null(strstr(first + 1, "device memfd:size=4194304,page=4K is gone"));
	const char *sum = strstr(said, "all bytes of 1 files, 6 MiB");
	assert_non_null(sum);
	assert_null(strstr(sum + 1, "all bytes of"));
	assert_null(strstr(said, "the pool goes on"));
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
	leave(&root);
}

static struct conn waiter;
static int told_fd;

/* Of device 1, which somebody holds, and which is gone, by a client of the loop's. */
static void begin_removal_of_what_is_gone(const struct client *root)
{
	int ends[2];
	struct proto_req req = request(PROTO_DEVICE_REMOVE);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	waiter = (struct conn){.fd = ends[0]};
	told_fd = ends[1];
	req.handle = 1;
	req.timeout_ms = -1;
	service->devices.dev[0]->check = NULL;
	service->devices.dev[1]->check = check;
	gone = true;
	assert_true(service_check_devices(service));
	assert_int_equal(service_handle(root->session, &req, sizeof(req), &reply), SERVICE_WAIT);
	waiting_change(&loop, &waiter, &req, reply.rep.handle);
	waiting_check_changes(&loop);
	assert_true(waiter.change != 0);
}

static void assert_told_that_it_was_called_off(void)
{
	struct proto_rep rep;
	assert_int_equal(recv(told_fd, &rep, sizeof(rep), 0), sizeof(rep));
	assert_int_equal(rep.error, -ECANCELED);
	assert_int_equal(waiter.change, 0);
	assert_int_equal(close(told_fd) | close(waiter.fd), 0);
}

/* It could leave when one stayed. */
static void so_is_one_of_a_device_that_is_gone(void **state)
{
	(void)state;
	struct client root = join(PROTO_HELLO_CONTROL);
	add_one(&root);
	assert_int_equal(open_map(&me, "/held", FSDAX_CREATE, 6 * MIB), 0);
	uint64_t map = reply.rep.handle;
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/held"), 0);
	begin_removal_of_what_is_gone(&root);
	service->devices.dev[0]->check = check;
	assert_true(service_check_devices(service));
	waiting_check_changes(&loop);
	assert_told_that_it_was_called_off();
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
	leave(&root);
}

static void nor_is_it_said_to_have_left_when_the_pool_ends(void **state)
{
	(void)state;
	struct client root = join(PROTO_HELLO_CONTROL);
	add_one(&root);
	assert_int_equal(open_map(&me, "/held", FSDAX_CREATE, 6 * MIB), 0);
	uint64_t map = reply.rep.handle;
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/held"), 0);
	begin_removal_of_what_is_gone(&root);
	service_drain(service);
	service->devices.dev[0]->check = check;
	assert_true(service_check_devices(service));
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
	leave(&root);
	waiting_check_changes(&loop);
	waiting_check_drains(&loop);
	assert_true(loop.ended);
	assert_told_that_it_was_called_off();
}

/* Where no event comes, as in an embedded pool: a request that finds no pages asks. */
static void a_request_that_finds_no_pages_looks_for_the_device(void **state)
{
	(void)state;
	assert_int_equal(open_map(&me, "/f", FSDAX_CREATE, 3 * MIB), 0);
	uint64_t map = reply.rep.handle;
	assert_int_equal(open_map(&me, "/g", FSDAX_CREATE, 2 * MIB), -ENOSPC);
	gone = true;
	assert_int_equal(open_map(&me, "/g", FSDAX_CREATE, 2 * MIB), -ENXIO);
	assert_int_equal(service->devices.ngone, 1);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(it_is_said_once_with_what_is_lost),
		T(c7_9_no_more_mappings_and_pins_but_all_else_goes_on),
		T(a_device_that_goes_while_it_comes_is_looked_at),
		T(a_removal_is_called_off_where_the_other_device_goes),
		T(so_is_one_of_a_device_that_is_gone),
		T(nor_is_it_said_to_have_left_when_the_pool_ends),
		T(two_that_go_at_once_are_said_with_one_sum),
		T(events_are_a_reason_to_look),
		T(a_request_that_finds_no_pages_looks_for_the_device),
		T(only_a_device_that_can_go_is_watched),
		T(a_device_that_comes_is_watched_though_nobody_waits_for_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
