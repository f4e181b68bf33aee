/* SPDX-License-Identifier: BSD-3-Clause */
/* client_file.c - each call on files and names is one message, with the right words in it; a listing is told whole. */
#include "fake.h"

#include <stdio.h>
#include <stdlib.h>

static struct fake fake;
static struct pgmap_client *client;

static const struct proto_stat a_stat = {.ino = 3,
					 .size_bytes = 5000,
					 .blocks = 2,
					 .extents = 1,
					 .mappings = 4,
					 .mtime_ns = -7,
					 .nlink = 1,
					 .is_dir = 1,
					 .max_order = 9};

static int answer(struct fake *f, const struct proto_req *req, struct transport_reply *reply)
{
	reply->rep.error = req->type == PROTO_HELLO ? 0 : f->rep.error;
	if (req->type == PROTO_OPEN)
		reply->rep.handle = 41;
	if (req->type == PROTO_STAT || req->type == PROTO_FSTAT)
		reply->rep.u.stat = a_stat;
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	fake_init(&fake);
	fake.answer = answer;
	client = fake_connect(&fake);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return pgmap_disconnect(client);
}

static void a_file_is_the_handle_that_the_server_gave(void **state)
{
	(void)state;
	struct pgmap_file *file;
	struct pgmap_stat st;
	assert_int_equal(pgmap_open(client, "/d/f", PGMAP_O_CREATE | PGMAP_O_EXCL, &file), 0);
	assert_string_equal(fake.last[PROTO_OPEN].path, "/d/f");
	assert_int_equal(fake.last[PROTO_OPEN].flags, PGMAP_O_CREATE | PGMAP_O_EXCL);
	assert_int_equal(pgmap_fstat(file, &st), 0);
	assert_int_equal(fake.last[PROTO_FSTAT].handle, 41);
	assert_int_equal(pgmap_truncate(file, UINT64_MAX), 0);
	assert_int_equal(fake.last[PROTO_TRUNCATE].handle, 41);
	assert_true(fake.last[PROTO_TRUNCATE].len_bytes == UINT64_MAX);
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(fake.last[PROTO_CLOSE].handle, 41);
}

static void a_stat_says_what_the_server_says(void **state)
{
	(void)state;
	struct pgmap_stat st;
	assert_int_equal(pgmap_stat(client, "x", &st), 0);
	assert_string_equal(fake.last[PROTO_STAT].path, "x");
	assert_int_equal(st.ino, 3);
	assert_int_equal(st.size_bytes, 5000);
	assert_int_equal(st.blocks, 2);
	assert_int_equal(st.extents, 1);
	assert_int_equal(st.mappings, 4);
	assert_int_equal(st.mtime_ns, -7);
	assert_int_equal(st.nlink, 1);
	assert_int_equal(st.is_dir, 1);
	assert_int_equal(st.max_order, 9);
}

static void names_go_as_they_are(void **state)
{
	(void)state;
	assert_int_equal(pgmap_unlink(client, "/u"), 0);
	assert_string_equal(fake.last[PROTO_UNLINK].path, "/u");
	assert_int_equal(pgmap_mkdir(client, "/m"), 0);
	assert_string_equal(fake.last[PROTO_MKDIR].path, "/m");
	assert_int_equal(pgmap_rmdir(client, "/r"), 0);
	assert_string_equal(fake.last[PROTO_RMDIR].path, "/r");
	assert_int_equal(pgmap_rename(client, "/from", "/to"), 0);
	assert_string_equal(fake.last[PROTO_RENAME].path, "/from");
	assert_string_equal(fake.last[PROTO_RENAME].path2, "/to");
}

static int no_row(void *arg, const char *name, const struct pgmap_stat *st)
{
	(void)arg, (void)name, (void)st;
	fail_msg("a row that nobody sent");
	return 0;
}

static void an_error_is_passed_on_and_nothing_is_written(void **state)
{
	(void)state;
	struct pgmap_file *file = (struct pgmap_file *)1;
	struct pgmap_stat st = {.ino = 99};
	fake.rep.error = -EIO;
	assert_int_equal(pgmap_open(client, "f", 0, &file), -EIO);
	assert_ptr_equal(file, (struct pgmap_file *)1);
	assert_int_equal(pgmap_stat(client, "f", &st), -EIO);
	assert_int_equal(st.ino, 99);
	assert_int_equal(pgmap_unlink(client, "f"), -EIO);
	assert_int_equal(pgmap_mkdir(client, "f"), -EIO);
	assert_int_equal(pgmap_rmdir(client, "f"), -EIO);
	assert_int_equal(pgmap_rename(client, "f", "g"), -EIO);
	assert_int_equal(pgmap_readdir(client, "f", no_row, NULL), -EIO);
	fake.rep.error = 0;
	assert_int_equal(pgmap_open(client, "f", 0, &file), 0);
	fake.rep.error = -ENOSPC;
	assert_int_equal(pgmap_fstat(file, &st), -ENOSPC);
	assert_int_equal(st.ino, 99);
	assert_int_equal(pgmap_truncate(file, 1), -ENOSPC);
	fake.rep.error = 0;
	assert_int_equal(pgmap_close(file), 0);
}

static unsigned messages(void)
{
	unsigned n = 0;
	for (unsigned type = PROTO_HELLO + 1; type < PROTO_NTYPES; type++)
		n += fake.calls[type];
	return n;
}

static void what_cannot_be_meant_is_refused_without_a_message(void **state)
{
	(void)state;
	struct pgmap_file *file;
	struct pgmap_stat st;
	static char longest[PROTO_PATH_MAX + 1];
	memset(longest, 'n', PROTO_PATH_MAX);
	const struct {
		struct pgmap_client *client;
		const char *path;
		int err;
	} bad[] = {{NULL, "f", -EINVAL}, {client, NULL, -EINVAL}, {client, longest, -ENAMETOOLONG}};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(pgmap_open(bad[i].client, bad[i].path, 0, &file), bad[i].err);
		assert_int_equal(pgmap_stat(bad[i].client, bad[i].path, &st), bad[i].err);
		assert_int_equal(pgmap_unlink(bad[i].client, bad[i].path), bad[i].err);
		assert_int_equal(pgmap_mkdir(bad[i].client, bad[i].path), bad[i].err);
		assert_int_equal(pgmap_rmdir(bad[i].client, bad[i].path), bad[i].err);
		assert_int_equal(pgmap_rename(bad[i].client, bad[i].path, "g"), bad[i].err);
		assert_int_equal(pgmap_rename(bad[i].client, "g", bad[i].path), bad[i].err);
		assert_int_equal(pgmap_readdir(bad[i].client, bad[i].path, no_row, NULL), bad[i].err);
	}
	assert_int_equal(pgmap_open(client, "f", 0, NULL), -EINVAL);
	assert_int_equal(pgmap_stat(client, "f", NULL), -EINVAL);
	assert_int_equal(pgmap_readdir(client, "f", NULL, NULL), -EINVAL);
	assert_int_equal(pgmap_fstat(NULL, &st), -EINVAL);
	assert_int_equal(pgmap_truncate(NULL, 0), -EINVAL);
	assert_int_equal(pgmap_close(NULL), 0);
	assert_int_equal(messages(), 0);
}

static void a_file_keeps_its_connection(void **state)
{
	(void)state;
	struct pgmap_file *file;
	struct pgmap_stat st;
	unsigned fds = fake_count_fds();
	assert_int_equal(pgmap_open(client, "f", 0, &file), 0);
	assert_int_equal(pgmap_disconnect(client), 0);
	assert_int_equal(pgmap_fstat(file, &st), -EPIPE);
	assert_int_equal(pgmap_truncate(file, 0), -EPIPE);
	assert_int_equal(pgmap_close(file), 0); /* the server knows from the connection's end */
	assert_int_equal(fake_count_fds(), fds - 2);
	assert_int_equal(set_up(NULL), 0);
}

enum { ROWS = 3 };
static struct proto_dirent rows[ROWS];
static uint64_t rows_count;
static int answer_rows(struct fake *f, const struct proto_req *req, struct transport_reply *reply)
{
	(void)f;
	if (req->type != PROTO_READDIR)
		return 0;
	reply->rep.count = rows_count;
	reply->fds[reply->nfds++] = fake_memfd_with(rows, sizeof(rows));
	return 0;
}

struct told {
	unsigned n, end_at;
	int answer;
};

static int take_row(void *arg, const char *name, const struct pgmap_stat *st)
{
	struct told *told = arg;
	struct pgmap_stat again;
	char want[8];
	(void)snprintf(want, sizeof(want), "n%u", told->n);
	assert_string_equal(name, want);
	assert_int_equal(st->ino, 100 + told->n);
	assert_int_equal(pgmap_stat(client, name, &again), 0); /* other calls may be made from here */
	return ++told->n == told->end_at ? told->answer : 0;
}

static void set_up_rows(void)
{
	fake.answer = answer_rows;
	rows_count = ROWS;
	memset(rows, 0, sizeof(rows));
	for (unsigned i = 0; i < ROWS; i++) {
		rows[i].stat.ino = 100 + i;
		(void)snprintf(rows[i].name, sizeof(rows[i].name), "n%u", i);
	}
}

static void a_listing_is_told_until_somebody_has_enough(void **state)
{
	(void)state;
	struct told all = {0}, some = {.end_at = 2, .answer = 17};
	unsigned fds = fake_count_fds();
	set_up_rows();
	assert_int_equal(pgmap_readdir(client, "/", take_row, &all), 0);
	assert_int_equal(all.n, ROWS);
	assert_int_equal(pgmap_readdir(client, "/", take_row, &some), 17);
	assert_int_equal(some.n, 2);
	assert_int_equal(fake_count_fds(), fds);
}

static void a_listing_that_is_not_whole_is_not_told(void **state)
{
	(void)state;
	static const uint64_t bad[] = {ROWS + 1, UINT32_MAX, (UINT64_C(1) << 58) + 1, UINT64_MAX};
	unsigned fds = fake_count_fds();
	set_up_rows();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		rows_count = bad[i];
		assert_int_equal(pgmap_readdir(client, "/", no_row, NULL), -EPROTO);
	}
	rows_count = ROWS;
	memset(rows[ROWS - 1].name, 'x', sizeof(rows[0].name)); /* a name without an end */
	assert_int_equal(pgmap_readdir(client, "/", no_row, NULL), -EPROTO);
	rows_count = 0;
	assert_int_equal(pgmap_readdir(client, "/", no_row, NULL), 0);
	assert_int_equal(fake_count_fds(), fds);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_file_is_the_handle_that_the_server_gave),
		T(a_stat_says_what_the_server_says),
		T(names_go_as_they_are),
		T(an_error_is_passed_on_and_nothing_is_written),
		T(what_cannot_be_meant_is_refused_without_a_message),
		T(a_file_keeps_its_connection),
		T(a_listing_is_told_until_somebody_has_enough),
		T(a_listing_that_is_not_whole_is_not_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
