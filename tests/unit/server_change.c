/* SPDX-License-Identifier: BSD-3-Clause */
/* server_change.c - devices that come and go: each who waits is told once, when it is true, and what is refused changes nothing. */
#include "failing.h"
#include "change_util.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

static int refused(enum proto_type type, uint64_t number, const char *path, int64_t timeout_ms, const char *words)
{
	struct proto_req req = about(type, number, path, timeout_ms);
	struct devices before = service->devices;
	int err = ask(&root, &req);
	assert_non_null(strstr(reply.rep.u.why, words));
	assert_null(strchr(reply.rep.u.why, '\n'));
	assert_int_equal(before.generation, service->devices.generation);
	return err;
}

static const char spec[] = "memfd:size=4M,page=4K";

/* A mapping of me that lies on both devices; the file has no name. */
static uint64_t hold_both(void)
{
	assert_int_equal(open_map(&me, "/held", FSDAX_CREATE, 6 * MIB), 0);
	uint64_t handle = reply.rep.handle;
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/held"), 0);
	return handle;
}

static void one_comes_and_goes(void **state)
{
	(void)state;
	uint64_t generation = service->devices.generation;
	assert_int_equal(add(spec), 0);
	assert_int_equal(rep.handle, 1);
	assert_int_equal(devices_count(&service->devices), 2);
	assert_true(service->devices.generation > generation);
	assert_int_equal(space().pages, 2048);
	generation = service->devices.generation;
	struct proto_req req = about(PROTO_DEVICE_REMOVE, 1, service->devices.dev[1]->spec, -1);
	assert_int_equal(wait_for(begin(&req)), 0);
	assert_int_equal(devices_count(&service->devices), 1);
	assert_true(service->devices.generation > generation);
	assert_int_equal(space().pages, 1024);
	assert_true(TAILQ_EMPTY(&service->changes));
}

static void who_waits_for_nothing_is_told_too_once_it_is_closed(void **state)
{
	(void)state;
	assert_int_equal(add(spec), 0);
	struct proto_req req = about(PROTO_DEVICE_REMOVE, 1, "", 0);
	uint64_t id = begin(&req); /* nothing is held; its thread has yet to close it */
	assert_int_equal(wait_for(id), 0);
	assert_int_equal(rep.handle, 1);
	assert_true(TAILQ_EMPTY(&service->changes));
}

static void what_cannot_be_says_why(void **state)
{
	(void)state;
	struct proto_req req = about(PROTO_DEVICE_ADD, 0, "memfd:size=5000", 0);
	assert_int_equal(wait_for(begin(&req)), -EINVAL);
	assert_non_null(strstr(rep.u.why, "5000"));
	assert_int_equal(refused(PROTO_DEVICE_REMOVE, 0, "", -1, "the last"), -EBUSY);
	assert_int_equal(refused(PROTO_DEVICE_REMOVE, 1, "", -1, "no such device"), -ENOENT);
	assert_int_equal(refused(PROTO_DEVICE_REMOVE, UINT64_MAX, "", -1, "no such device"), -ENOENT);
	assert_int_equal(refused(PROTO_DEVICE_REMOVE, 0, "memfd:", -1, "no such device"), -ENOENT);
	assert_int_equal(refused(PROTO_DEVICE_CANCEL, 0, "", 0, "nothing to call off"), -EINVAL);
	assert_int_equal(refused(PROTO_DEVICE_CANCEL, 1, "", 0, "no such device"), -ENOENT);
	assert_int_equal(refused(PROTO_DEVICE_ADD, 0, "memfd:fd=0", 0, "inherited"), -EINVAL);
	assert_int_equal(refused(PROTO_DEVICE_ADD, 0, "limited:memfd:fd=0", 0, "inherited"), -EINVAL);
	assert_int_equal(refused(PROTO_DEVICE_ADD, 0, "limited:file:pool.img", 0, "the whole path"), -EINVAL);
	assert_int_equal(refused(PROTO_DEVICE_ADD, 0, "memfd:node=0,fd=0", 0, "inherited"), -EINVAL);
	assert_int_equal(add("memfd:size=5000,page=4K,name=fd=x"), -EINVAL); /* a name as any other: its size is why */
	assert_non_null(strstr(rep.u.why, "5000"));
	assert_int_equal(refused(PROTO_DEVICE_ADD, 0, "file:pool.img", 0, "the whole path"), -EINVAL);
	assert_int_equal(refused(PROTO_DEVICE_ADD, 0, "devdax:dax0.0,align=2M", 0, "the whole path"), -EINVAL);
	assert_int_equal(refused(PROTO_DEVICE_ADD, 0, "limited:pmem:pmem0", 0, "the whole path"), -EINVAL);
	service_drain(service);
	assert_int_equal(refused(PROTO_DEVICE_ADD, 0, spec, 0, "draining"), -ENODEV);
	assert_int_equal(refused(PROTO_DEVICE_REMOVE, 0, "", -1, "draining"), -ENODEV);
	assert_int_equal(service_drain_cancel(service), 0);
	failing_begin(1, false);
	req = about(PROTO_DEVICE_ADD, 0, spec, 0);
	assert_int_equal(ask(&root, &req), -ENOMEM);
	assert_true(failing_end());
	assert_true(TAILQ_EMPTY(&service->changes));
}

static void only_the_servers_user_and_root_may(void **state)
{
	(void)state;
	const enum proto_type types[] = {PROTO_DEVICE_ADD, PROTO_DEVICE_REMOVE, PROTO_DEVICE_CANCEL};
	for (unsigned i = 0; i < 3; i++) {
		struct proto_req req = about(types[i], 0, spec, 0);
		assert_int_equal(ask(&me, &req), -EPERM);
		assert_string_equal(reply.rep.u.why, "");
	}
}

static void all_who_wait_are_told_once(void **state)
{
	(void)state;
	assert_int_equal(add(spec), 0);
	uint64_t map = hold_both();
	struct proto_req req = about(PROTO_DEVICE_REMOVE, 1, "", -1), soon = about(PROTO_DEVICE_REMOVE, 1, "", 0);
	uint64_t first = begin(&req), second = begin(&req);
	assert_int_equal(ask(&root, &soon), -ETIMEDOUT); /* it goes on leaving */
	assert_int_equal(service_change_result(service, first, false, &rep), -EINPROGRESS);
	assert_int_equal(service_change_result(service, first, true, &rep), -ETIMEDOUT);
	struct proto_req cancel = about(PROTO_DEVICE_CANCEL, 1, "", 0);
	assert_int_equal(ask(&root, &cancel), 0);
	assert_int_equal(wait_for(second), -ECANCELED);
	assert_true(TAILQ_EMPTY(&service->changes));
	assert_int_equal(service_change_result(service, second, false, &rep), -EBADF);
	assert_int_equal(ask(&root, &soon), -ETIMEDOUT);
	first = begin(&req);
	service_change_leave(service, first); /* its client has gone, and the removal goes on */
	assert_true(service->devices.leaving[1]);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
	(void)service_check_changes(service);
	service_settle(service);
	assert_int_equal(devices_count(&service->devices), 1);
	assert_true(TAILQ_EMPTY(&service->changes));
}

/* As in an embedded pool, which has no loop. */
static void a_removal_goes_on_where_nobody_waits_and_no_loop_looks(void **state)
{
	(void)state;
	assert_int_equal(add(spec), 0);
	uint64_t map = hold_both();
	struct proto_req req = about(PROTO_DEVICE_REMOVE, 1, "", 0);
	assert_int_equal(ask(&root, &req), -ETIMEDOUT);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
	service_settle(service);
	assert_int_equal(devices_count(&service->devices), 1);
	assert_true(TAILQ_EMPTY(&service->changes));
}

/* Another thread has called the drain off before it looks: what is leaving is not killed for good. */
static void a_drain_that_was_called_off_does_not_kill_what_leaves(void **state)
{
	(void)state;
	assert_int_equal(add(spec), 0);
	uint64_t map = hold_both();
	struct proto_req req = about(PROTO_DEVICE_REMOVE, 0, "", 0), cancel = about(PROTO_DEVICE_CANCEL, 0, "", 0);
	assert_int_equal(ask(&root, &req), -ETIMEDOUT);
	service_wake_fd(service, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); /* a loop that does not look */
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
	assert_int_equal(devices_held_pages(&service->devices, 0), 0);
	assert_int_equal(service_drained(service), -ECANCELED);
	assert_int_equal(ask(&root, &cancel), 0);
	assert_int_equal(pgmap_state(dax_pgmap(service->devices.memory[0])), PGMAP_LIVE);
	assert_int_equal(close(service->wake_fd), 0);
	service_wake_fd(service, -1);
}

static enum pinword_reason reason_on(const struct session_map *map, unsigned device)
{
	for (uint64_t i = 0; i < map->nspans; i++) {
		struct fsdax_span span;
		fsdax_map_span(map->map, i, &span);
		if (span.device == device)
			return pinword_read(&me.session->segment.words[map->first_word + i]).reason;
	}
	fail();
	return 0;
}

static void the_last_one_that_stays_is_refused_with_what_the_others_do(void **state)
{
	(void)state;
	assert_int_equal(add(spec), 0);
	uint64_t map = hold_both();
	struct proto_req soon = about(PROTO_DEVICE_REMOVE, 1, "", 0), cancel = about(PROTO_DEVICE_CANCEL, 1, "", 0);
	assert_int_equal(ask(&root, &soon), -ETIMEDOUT);
	assert_int_equal(refused(PROTO_DEVICE_REMOVE, 0, "", -1, "the others are being removed"), -EBUSY);
	assert_int_equal(ask(&root, &cancel), 0);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
	assert_int_equal(open_map(&me, "/one", FSDAX_CREATE, 6 * MIB), 0);
	map = reply.rep.handle;
	assert_int_equal(refused(PROTO_DEVICE_REMOVE, 1, "", -1, "1 file has "), -ENOTEMPTY);
	assert_int_equal(refused(PROTO_DEVICE_REMOVE, 1, "", -1, "like /one (remove it:"), -ENOTEMPTY);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
}

static void c7_9_no_new_pins_on_what_leaves(void **state)
{
	(void)state;
	assert_int_equal(add(spec), 0);
	uint64_t handle = hold_both();
	const struct session_map *map = handles_get(&me.session->maps, handle);
	struct proto_req soon = about(PROTO_DEVICE_REMOVE, 1, "", 0), cancel = about(PROTO_DEVICE_CANCEL, 1, "", 0);
	assert_int_equal(ask(&root, &soon), -ETIMEDOUT);
	assert_int_equal(reason_on(map, 1), PINWORD_GOING);
	assert_int_equal(reason_on(map, 0), PINWORD_OPEN);
	assert_int_equal(ask(&root, &cancel), 0);
	assert_int_equal(reason_on(map, 1), PINWORD_OPEN);
	assert_int_equal(ask(&root, &soon), -ETIMEDOUT);
	for (uint64_t i = 0; i < map->nspans; i++) /* it is just being mapped elsewhere, and stays where it is */
		assert_int_equal(pinword_close(&me.session->segment.words[map->first_word + i]), 0);
	assert_int_equal(ask(&root, &cancel), 0);
	for (uint64_t i = 0; i < map->nspans; i++)
		pinword_reopen(&me.session->segment.words[map->first_word + i]);
	assert_int_equal(reason_on(map, 1), PINWORD_OPEN);
	assert_int_equal(ask(&root, &soon), -ETIMEDOUT);
	service_drain(service);
	assert_int_equal(ask(&root, &cancel), 0);
	assert_int_equal(reason_on(map, 1), PINWORD_GOING); /* the pool drains */
	assert_int_equal(pgmap_state(dax_pgmap(service->devices.memory[1])), PGMAP_DYING);
	assert_int_equal(service_drain_cancel(service), 0);
	assert_int_equal(reason_on(map, 1), PINWORD_OPEN);
	assert_int_equal(pgmap_state(dax_pgmap(service->devices.memory[1])), PGMAP_LIVE);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, handle), 0);
}

static void who_lists_what_lies_on_one_device(void **state)
{
	(void)state;
	assert_int_equal(add(spec), 0);
	uint64_t handle = hold_both();
	struct proto_req req = request(PROTO_WHO);
	req.flags = PROTO_WHO_DEVICE;
	uint64_t pages = 0;
	for (req.handle = 0; req.handle < 2; req.handle++) {
		assert_int_equal(ask(&root, &req), 0);
		assert_int_equal(reply.rep.count, 1);
		struct proto_who *row = take_records(sizeof(*row));
		pages += row->pages;
		assert_int_equal(row->pages, devices_held_pages(&service->devices, (unsigned)req.handle));
		free(row);
	}
	assert_int_equal(pages, 1536);
	assert_int_equal(ask(&root, &req), -ENODEV);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, handle), 0);
}

static int is_gone(const struct dev *dev)
{
	(void)dev;
	return -ENXIO;
}

static void one_that_is_gone_can_be_removed(void **state)
{
	(void)state;
	assert_int_equal(add(spec), 0);
	service->devices.dev[1]->check = is_gone;
	assert_true(service_check_devices(service));
	struct proto_req req = about(PROTO_DEVICE_REMOVE, 1, "", -1);
	assert_int_equal(wait_for(begin(&req)), 0);
	assert_false(service_check_devices(service));
	assert_int_equal(devices_count(&service->devices), 1);
	assert_int_equal(open_map(&me, "/f", FSDAX_CREATE, MIB), 0);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, reply.rep.handle), 0);
}

/* A file that the pool cannot have keeps its bytes, and one that would have been made for it is not there. */
static void what_cannot_join_was_only_looked_at(void **state)
{
	(void)state;
	char file[] = "/tmp/pgmap-change-XXXXXX", bytes[4] = "", made[64], path[100];
	int fd = mkstemp(file);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "here", 4), 4);
	service->devices.granule_order = 1; /* pages of 8 KiB */
	(void)snprintf(path, sizeof(path), "file:%s,size=12K,overwrite", file);
	assert_int_equal(add(path), -EINVAL);
	assert_non_null(strstr(rep.u.why, "multiple of the pool's page"));
	assert_int_equal(pread(fd, bytes, 4, 0), 4);
	assert_memory_equal(bytes, "here", 4);
	(void)snprintf(made, sizeof(made), "%s.made", file);
	(void)snprintf(path, sizeof(path), "file:%s,size=12K,create", made);
	assert_int_equal(add(path), -EINVAL);
	assert_int_equal(access(made, F_OK), -1);
	service->devices.granule_order = 0;
	assert_int_equal(add(path), 0);
	struct proto_req req = about(PROTO_DEVICE_REMOVE, 1, "", -1);
	assert_int_equal(wait_for(begin(&req)), 0);
	assert_int_equal(unlink(made) | unlink(file) | close(fd), 0);
}

/* Who waits for a lease on a device that leaves meanwhile does so on, and ends with whoever has a descriptor of it. */
static void *wait_for_lease(void *arg)
{
	assert_int_equal(service_lease_wait(service, arg), 0);
	return NULL;
}

static void a_lease_may_be_waited_for_while_its_device_leaves(void **state)
{
	(void)state;
	pthread_t thread;
	assert_int_equal(add(spec), 0);
	struct client other = join(0);
	assert_int_equal(open_map(&other, "/f", FSDAX_CREATE, PAGE), 0);
	unsigned at = reply.rep.u.map.pieces[0].device;
	assert_int_equal(ask_path(&other, PROTO_UNLINK, "/f"), 0);
	assert_int_equal(close(other.fds[at]), 0); /* it has descriptors of the other one only */
	assert_int_equal(close(other.fds[2]) | close(other.fds[3]), 0);
	assert_false(service_disconnect(other.session));
	struct lease *lease = service_lease_wanted(other.session);
	assert_non_null(lease);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_lease, lease), 0);
	struct proto_req req = about(PROTO_DEVICE_REMOVE, !at, "", -1);
	assert_int_equal(wait_for(begin(&req)), 0);
	assert_int_equal(service_lease_probe(service, lease), 1); /* of those that are left */
	assert_int_equal(close(other.fds[!at]), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	service_lease_gone(lease);
}

static void the_loop_answers_when_it_has_left(void **state)
{
	(void)state;
	struct loop loop;
	int ends[2];
	struct proto_rep told;
	assert_int_equal(add(spec), 0);
	uint64_t map = hold_both();
	begin_loop(&loop, service);
	service_wake_fd(service, loop.answers_fd);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	struct conn conn = {.fd = ends[0]};
	struct proto_req req = about(PROTO_DEVICE_REMOVE, 1, "", INT64_MAX);
	waiting_change(&loop, &conn, &req, begin(&req));
	waiting_check_changes(&loop);
	assert_int_equal(recv(ends[1], &told, sizeof(told), 0), -1);
	assert_int_equal(waiting_timeout_ms(&loop), -1);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
	for (waiting_check_changes(&loop); conn.change; waiting_check_changes(&loop))
		take_answer(&loop);
	assert_int_equal(recv(ends[1], &told, sizeof(told), 0), sizeof(told));
	assert_int_equal(told.error, 0);
	assert_int_equal(told.type, PROTO_DEVICE_REMOVE);
	assert_int_equal(told.seq, 77);
	service_wake_fd(service, -1);
	assert_int_equal(close(ends[0]) | close(ends[1]) | close(loop.answers_fd), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(one_comes_and_goes),
		T(who_waits_for_nothing_is_told_too_once_it_is_closed),
		T(what_cannot_be_says_why),
		T(only_the_servers_user_and_root_may),
		T(all_who_wait_are_told_once),
		T(a_removal_goes_on_where_nobody_waits_and_no_loop_looks),
		T(a_drain_that_was_called_off_does_not_kill_what_leaves),
		T(the_last_one_that_stays_is_refused_with_what_the_others_do),
		T(c7_9_no_new_pins_on_what_leaves),
		T(who_lists_what_lies_on_one_device),
		T(one_that_is_gone_can_be_removed),
		T(what_cannot_join_was_only_looked_at),
		T(a_lease_may_be_waited_for_while_its_device_leaves),
		T(the_loop_answers_when_it_has_left),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
