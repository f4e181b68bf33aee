/* SPDX-License-Identifier: BSD-3-Clause */
/* server_request_pool.c - the pool's accounts, who holds what, and the end of a quarantine, as a client asks for them. */
#include "failing.h"
#include "server_util.h"

static const struct proto_info *info(const struct client *client)
{
	struct proto_req req = request(PROTO_INFO);
	assert_int_equal(ask(client, &req), 0);
	return &reply.rep.u.info;
}

static void info_says_what_the_pool_says(void **state)
{
	(void)state;
	struct client control = join(PROTO_HELLO_CONTROL), other = join(0);
	assert_int_equal(ask_path(&me, PROTO_MKDIR, "/d"), 0);
	assert_int_equal(open_map(&me, "/f", FSDAX_CREATE, 5 * PAGE), 0);
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/f"), 0);
	assert_int_equal(open_map(&me, "/d/g", FSDAX_CREATE, 2 * PAGE), 0);
	uint64_t map = reply.rep.handle, file;
	assert_int_equal(open_file(&me, "/d/g", FSDAX_TRUNC, &file), 0); /* 2 pages wait */
	struct fsdax_statfs st = space();
	struct proto_info got = *info(&me);
	const struct proto_info want = {
		.pages = 1024,
		.used = 5,
		.free = 1017,
		.waiting = 2,
		.files = 1,
		.dirs = 2,
		.live_pages = 7,
		.connections = 2,
		.holders = 2,
		.state = PGMAP_LIVE,
		.server_pid = (int32_t)getpid(),
		.protocol = PROTO_VERSION,
	};
	assert_memory_equal(got.free_by_order, st.free_by_order, sizeof(got.free_by_order));
	memset(got.free_by_order, 0, sizeof(got.free_by_order));
	assert_string_equal(got.device, "memfd:size=4194304,page=4K");
	memset(got.device, 0, sizeof(got.device));
	assert_memory_equal(&got, &want, offsetof(struct proto_info, device));
	service_drain(service);
	assert_int_equal(info(&control)->state, PGMAP_DYING); /* for a control connection too */
	assert_int_equal(service_drain_cancel(service), 0);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
	assert_int_equal(info(&me)->waiting, 0);
	leave(&control);
	leave(&other);
	assert_int_equal(info(&me)->holders, 1);
}

/* The rows of the last reply, and the strings behind them. */
struct rows {
	uint64_t count;
	struct proto_who *row;
	char *strings;
};

static struct rows who(const struct client *client, const char *path)
{
	struct rows rows = {0};
	struct stat st;
	assert_int_equal(ask_path(client, PROTO_WHO, path), 0);
	rows.count = reply.rep.count;
	if (rows.count == 0) {
		assert_int_equal(reply.nfds, 0);
		return rows;
	}
	assert_int_equal(fstat(reply.fds[0], &st), 0);
	size_t bytes = (size_t)st.st_size;
	assert_true(bytes > rows.count * sizeof(*rows.row));
	rows.row = take_records(bytes);
	rows.strings = (char *)(rows.row + rows.count);
	assert_int_equal(((char *)rows.row)[bytes - 1], 0);
	for (uint64_t i = 0; i < rows.count; i++) {
		assert_true(rows.row[i].path < bytes - rows.count * sizeof(*rows.row));
		assert_true(rows.row[i].command < bytes - rows.count * sizeof(*rows.row));
	}
	return rows;
}

static pinword_t *word(const struct client *client, uint64_t map)
{
	const struct session_map *mine = handles_get(&client->session->maps, map);
	return &client->session->segment.words[mine->first_word];
}

static void who_has_a_row_for_each_mapping(void **state)
{
	(void)state;
	struct client other = join(0), control = join(PROTO_HELLO_CONTROL);
	assert_int_equal(who(&me, "").count, 0);
	assert_int_equal(open_map(&me, "/f", FSDAX_CREATE, 3 * PAGE + 1), 0);
	uint64_t mine = reply.rep.handle, file, part;
	assert_int_equal(open_file(&other, "/f", 0, &file), 0);
	assert_int_equal(map_range(&other, file, PAGE, 2 * PAGE), 0);
	part = reply.rep.handle;
	assert_int_equal(open_map(&other, "/g", FSDAX_CREATE, PAGE), 0);
	uint64_t g = reply.rep.handle;
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/g"), 0);
	assert_int_equal(pinword_pin(word(&other, part), 0), 0);
	assert_int_equal(pinword_pin(word(&other, part), 1), 0);
	assert_int_equal(pinword_pin(word(&other, part), 1), 0);
	struct rows rows = who(&control, "");
	assert_int_equal(rows.count, 3);
	assert_int_equal(rows.row[0].holder_id, me.session->id);
	assert_int_equal(rows.row[0].pid, getpid());
	assert_int_equal(rows.row[0].uid, CLIENT_UID);
	assert_int_equal(rows.row[0].state, PROTO_WHO_CONNECTED);
	assert_string_equal(rows.strings + rows.row[0].path, "/f");
	assert_string_equal(rows.strings + rows.row[0].command, me.session->command);
	assert_int_equal(rows.row[0].len_bytes, 3 * PAGE + 1);
	assert_int_equal(rows.row[0].pages, 4);
	assert_int_equal(rows.row[0].refs, 1);
	assert_true(rows.row[0].since_ns > 0);
	assert_int_equal(rows.row[1].holder_id, other.session->id);
	assert_int_equal(rows.row[1].offset_bytes, PAGE);
	assert_int_equal(rows.row[1].len_bytes, 2 * PAGE);
	assert_int_equal(rows.row[1].pages, 4);
	assert_int_equal(rows.row[1].pins_local, 1);
	assert_int_equal(rows.row[1].pins_remote, 2);
	assert_string_equal(rows.strings + rows.row[2].path, "/g (deleted)");
	free(rows.row);
	rows = who(&me, "/f");
	assert_int_equal(rows.count, 2);
	assert_int_equal(rows.row[1].holder_id, other.session->id);
	free(rows.row);
	assert_int_equal(ask_path(&me, PROTO_WHO, "/g"), -ENOENT);
	assert_int_equal(ask_path(&me, PROTO_WHO, "/"), -EISDIR);
	rlim_t was = no_descriptors();
	int err = ask_path(&me, PROTO_WHO, "");
	descriptors_again(was);
	assert_int_equal(err, -EMFILE);
	for (unsigned long nth = 1;; nth++) {
		failing_begin(nth, true);
		err = ask_path(&me, PROTO_WHO, "");
		if (!failing_end()) {
			assert_true(nth > 2);
			assert_int_equal(err, 0);
			assert_int_equal(close(reply.fds[0]), 0);
			break;
		}
		assert_int_equal(err, -ENOMEM);
	}
	assert_int_equal(pinword_unpin(word(&other, part), 0), 0);
	assert_int_equal(pinword_unpin(word(&other, part), 1), 0);
	assert_int_equal(pinword_unpin(word(&other, part), 1), 0);
	assert_int_equal(ask_handle(&other, PROTO_UNMAP, g), 0);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, mine), 0);
	leave(&other);
	leave(&control);
	rows = who(&me, "");
	assert_int_equal(rows.count, 0);
}

/* A holder dies with REMOTE pins on two files; one file's name goes, and another file gets it. */
static void c7_5_a_quarantine_is_listed_until_its_fence(void **state)
{
	(void)state;
	me.session->role = SERVICE_OWNER; /* who fences is the operator */
	struct client other = join(0);
	uint64_t id = other.session->id;
	assert_int_equal(open_map(&other, "/f", FSDAX_CREATE, 3 * PAGE), 0);
	assert_int_equal(pinword_pin(word(&other, reply.rep.handle), 1), 0); /* its first folio: 2 pages */
	assert_int_equal(open_map(&other, "/g", FSDAX_CREATE, PAGE), 0);
	assert_int_equal(pinword_pin(word(&other, reply.rep.handle), 1), 0);
	assert_int_equal(ask_handle(&me, PROTO_FENCE, id), -EBUSY);
	assert_int_equal(ask_handle(&me, PROTO_FENCE, id + 1), -ENOENT);
	assert_int_equal(ask_handle(&me, PROTO_FENCE, 0), -ENOENT);
	leave(&other);
	assert_int_equal(info(&me)->quarantined_pages, 3);
	assert_int_equal(info(&me)->live_pages, 3);
	assert_int_equal(info(&me)->connections, 1);
	assert_int_equal(info(&me)->holders, 2);
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/g"), 0);
	uint64_t file;
	assert_int_equal(open_file(&me, "/g", FSDAX_CREATE, &file), 0);
	struct rows rows = who(&me, "");
	assert_int_equal(rows.count, 2);
	if (!rows.strings)
		abort(); /* for the analyser, which does not know that an assert does not return */
	for (uint64_t i = 0; i < 2; i++) {
		bool f = rows.strings[rows.row[i].path] != 0;
		assert_int_equal(rows.row[i].holder_id, id);
		assert_int_equal(rows.row[i].state, PROTO_WHO_QUARANTINED);
		assert_int_equal(rows.row[i].pins_remote, 1);
		assert_int_equal(rows.row[i].pins_local, 0);
		assert_int_equal(rows.row[i].pages, f ? 2 : 1);
		assert_int_equal(rows.row[i].len_bytes, f ? 2 * PAGE : PAGE);
		if (f)
			assert_string_equal(rows.strings + rows.row[i].path, "/f");
	}
	assert_int_not_equal(rows.strings[rows.row[0].path] != 0, rows.strings[rows.row[1].path] != 0);
	free(rows.row);
	rows = who(&me, "/g"); /* the new one is nobody's */
	assert_int_equal(rows.count, 0);
	rows = who(&me, "/f");
	assert_int_equal(rows.count, 1);
	free(rows.row);
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/f"), 0);
	assert_int_equal(space().waiting, 3);
	assert_int_equal(ask_handle(&me, PROTO_FENCE, id), 0);
	assert_int_equal(space().waiting, 0);
	assert_int_equal(info(&me)->quarantined_pages, 0);
	assert_int_equal(info(&me)->holders, 1);
	assert_int_equal(ask_handle(&me, PROTO_FENCE, id), -ENOENT);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up_one, tear_down_one)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(info_says_what_the_pool_says),
		T(who_has_a_row_for_each_mapping),
		T(c7_5_a_quarantine_is_listed_until_its_fence),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
