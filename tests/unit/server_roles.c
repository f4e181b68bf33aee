/* SPDX-License-Identifier: BSD-3-Clause */
/* server_roles.c - what users other than the server's own may do: nothing, read, or write (service.h). */
#include "server_util.h"

static struct client me, control;

static int set_up(void **state)
{
	(void)state;
	open_service("memfd:size=2M,page=4K");
	me = join(0);
	control = join(PROTO_HELLO_CONTROL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	leave(&me);
	leave(&control);
	close_service();
	return 0;
}

/* What a user of that role is told, of a request that could be done. */
static int answer_to(enum service_role role, struct proto_req req)
{
	me.session->role = role;
	int err = ask(&me, &req);
	if (!err && req.type == PROTO_LEASE)
		assert_int_equal(close(reply.fds[0]), 0);
	me.session->role = SERVICE_WRITER;
	return err;
}

static void what_a_user_may_do_depends_on_his_role(void **state)
{
	(void)state;
	uint64_t file;
	assert_int_equal(open_file(&me, "/f", FSDAX_CREATE, &file), 0);
	assert_int_equal(truncate_file(&me, file, PAGE), 0);
	const struct {
		struct proto_req req;
		int reader, writer;
	} cases[] = {
		{{.type = PROTO_FSTAT, .handle = file}, 0, 0},
		{{.type = PROTO_STAT, .path = "/f"}, 0, 0},
		{{.type = PROTO_INFO}, 0, 0},
		{{.type = PROTO_OPEN, .path = "/f"}, 0, 0},
		{{.type = PROTO_OPEN, .path = "/f", .flags = FSDAX_CREATE}, -EACCES, 0},
		{{.type = PROTO_OPEN, .path = "/f", .flags = FSDAX_TRUNC}, -EACCES, 0},
		{{.type = PROTO_TRUNCATE, .handle = file, .len_bytes = PAGE}, -EACCES, 0},
		{{.type = PROTO_MAP, .handle = file, .prot = 1}, 0, 0},
		{{.type = PROTO_MAP, .handle = file, .prot = 2}, -EACCES, 0},
		{{.type = PROTO_MAP, .handle = file, .prot = 3}, -EACCES, 0},
		{{.type = PROTO_OPEN_MAP, .path = "/f", .prot = 1}, 0, 0},
		{{.type = PROTO_OPEN_MAP, .path = "/f", .prot = 3}, -EACCES, 0},
		{{.type = PROTO_OPEN_MAP, .path = "/f", .prot = 1, .len_bytes = PAGE}, -EACCES, 0},
		{{.type = PROTO_OPEN_MAP, .path = "/g", .prot = 1, .flags = FSDAX_CREATE, .len_bytes = PAGE},
		 -EACCES,
		 0},
		{{.type = PROTO_LEASE, .flags = PROTO_LEASE_WRITE}, -EACCES, 0},
		{{.type = PROTO_MKDIR, .path = "/d"}, -EACCES, 0},
		{{.type = PROTO_ORDER, .path = "/d"}, -EACCES, 0},
		{{.type = PROTO_RMDIR, .path = "/d"}, -EACCES, 0},
		{{.type = PROTO_RENAME, .path = "/g", .path2 = "/h"}, -EACCES, 0},
		{{.type = PROTO_UNLINK, .path = "/h"}, -EACCES, 0},
		{{.type = PROTO_FENCE, .handle = 99}, -EPERM, -EPERM},
		{{.type = PROTO_DRAIN_CANCEL}, -EPERM, -EPERM},
		{{.type = PROTO_DRAIN}, -EPERM, -EPERM},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct proto_req req = cases[i].req, head = request(cases[i].req.type);
		memcpy(&req, &head, PROTO_HEADER_BYTES - sizeof(uint32_t)); /* but for the flags */
		assert_int_equal(answer_to(SERVICE_NOBODY, req), -EACCES);
		assert_int_equal(answer_to(SERVICE_READER, req), cases[i].reader);
		assert_int_equal(answer_to(SERVICE_WRITER, req), cases[i].writer);
	}
	assert_int_equal(map_range(&me, file, 0, PAGE), 0);
	struct proto_req unmap = request(PROTO_UNMAP);
	unmap.handle = reply.rep.handle;
	unmap.flags = PROTO_UNMAP_UNLINK; /* the mapping ends in any case */
	assert_int_equal(answer_to(SERVICE_READER, unmap), 0);
	assert_int_equal(reply.rep.count, EACCES);
	assert_int_equal(ask(&me, &unmap), -EBADF);
	assert_int_equal(pgmap_state(dax_pgmap(service->devices.memory[0])), PGMAP_LIVE);
	assert_int_equal(ask_path(&control, PROTO_UNLINK, "/f"), 0);
}

static void others_are_who_is_neither_root_nor_the_servers_user(void **state)
{
	(void)state;
	const uid_t other = geteuid() + 1;
	service_set_others(service, SERVICE_READER);
	const struct {
		uid_t uid;
		enum service_role role;
	} users[] = {{0, SERVICE_OWNER}, {geteuid(), SERVICE_OWNER}, {other, SERVICE_READER}};
	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
		struct session *session = service_connect(service, 1, users[i].uid);
		assert_non_null(session);
		assert_int_equal(session->role, users[i].role);
		assert_true(service_disconnect(session));
	}
	service_set_others(service, SERVICE_NOBODY);
	struct client nobody = {.session = service_connect(service, 1, other)};
	struct proto_req hello = request(PROTO_HELLO);
	assert_int_equal(ask(&nobody, &hello), -EACCES);
	assert_true(service_disconnect(nobody.session));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(what_a_user_may_do_depends_on_his_role),
		T(others_are_who_is_neither_root_nor_the_servers_user),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
