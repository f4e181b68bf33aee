/* SPDX-License-Identifier: BSD-3-Clause */
/* client_client.c - where a target leads to, and the calls about the pool: info, who, fence, drain. */
#include "fake.h"

#include <stdio.h>
#include <stdlib.h>

static struct fake fake;
static struct pgmap_client *client;

static int set_up(void **state)
{
	(void)state;
	fake_init(&fake);
	client = fake_connect(&fake);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return pgmap_disconnect(client);
}

static void a_target_that_leads_nowhere_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *target;
		int err;
	} bad[] = {
		{"/no/such/folder/socket", -ENOENT},
		{"unix:/no/such/folder/socket", -ENOENT},
		{"unix:", -EINVAL},
		{"", -EINVAL},
		{"embedded:", -EINVAL},
		{"embedded:bogus:size=1M", -EINVAL},
		{"embedded:memfd:size=1", -EINVAL},
		{"embedded:memfd:size=many", -EINVAL},
	};
	struct pgmap_client *none = (struct pgmap_client *)1;
	unsigned fds = fake_count_fds();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int err = pgmap_connect(bad[i].target, &none);
		if (err != bad[i].err)
			fail_msg("%s: %d, not %d", bad[i].target, err, bad[i].err);
	}
	assert_int_equal(pgmap_connect("embedded:memfd:size=1M", NULL), -EINVAL);
	assert_ptr_equal(none, (struct pgmap_client *)1);
	assert_int_equal(fake_count_fds(), fds);
}

static void no_target_is_the_one_of_the_environment(void **state)
{
	(void)state;
	struct pgmap_client *none;
	assert_int_equal(setenv("PGMAP_SOCKET", "/no/such/folder/of/the/environment", 1), 0);
	assert_int_equal(pgmap_connect(NULL, &none), -ENOENT);
	assert_int_equal(setenv("PGMAP_SOCKET", "/dev/null", 1), 0);
	assert_int_equal(pgmap_connect(NULL, &none), -ECONNREFUSED);
	assert_int_equal(unsetenv("PGMAP_SOCKET"), 0);
}

static void an_embedded_target_is_a_pool_of_ones_own(void **state)
{
	(void)state;
	struct pgmap_client *own;
	struct pgmap_info info;
	unsigned fds = fake_count_fds();
	assert_int_equal(pgmap_connect("embedded:memfd:size=2M,page=4K", &own), 0);
	assert_int_equal(pgmap_info(own, &info), 0);
	assert_int_equal(info.pages, 512);
	assert_int_equal(pgmap_disconnect(own), 0);
	assert_int_equal(fake_count_fds(), fds);
	assert_int_equal(pgmap_disconnect(NULL), 0);
}

static int answer_info(struct fake *f, const struct proto_req *req, struct transport_reply *reply)
{
	(void)f;
	if (req->type == PROTO_INFO)
		reply->rep.u.info = (struct proto_info){.pages = 10,
							.used = 1,
							.free = 2,
							.waiting = 7,
							.free_by_order = {[18] = 5},
							.quarantined_pages = 6,
							.holders = 8,
							.server_pid = -1,
							.protocol = 3,
							.device = "memfd:x"};
	return 0;
}

static void info_says_what_the_server_says(void **state)
{
	(void)state;
	struct pgmap_info info;
	fake.answer = answer_info;
	assert_int_equal(pgmap_info(client, &info), 0);
	assert_int_equal(info.pages, 10);
	assert_int_equal(info.used, 1);
	assert_int_equal(info.free, 2);
	assert_int_equal(info.waiting, 7);
	assert_int_equal(info.free_by_order[18], 5);
	assert_int_equal(info.quarantined_pages, 6);
	assert_int_equal(info.holders, 8);
	assert_int_equal(info.server_pid, -1);
	assert_int_equal(info.protocol, 3);
	assert_string_equal(info.device, "memfd:x");
	assert_int_equal(pgmap_info(client, NULL), -EINVAL);
	assert_int_equal(pgmap_info(NULL, &info), -EINVAL);
}

enum { ROWS = 2, STRINGS = 1200 };
static struct {
	struct proto_who rows[ROWS];
	char strings[STRINGS];
} answered;
static uint64_t who_count;
static size_t who_bytes;

/* What lies behind the end of what was sent, in the same page, is no zero: who reads on is found out. */
static int memfd_with_tail(const void *bytes, size_t len)
{
	int fd = fake_memfd_with(bytes, len);
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(page, MAP_FAILED);
	memset(page + len, 'z', PAGE - len);
	assert_int_equal(munmap(page, PAGE), 0);
	return fd;
}

static int answer_who(struct fake *f, const struct proto_req *req, struct transport_reply *reply)
{
	(void)f;
	if (req->type != PROTO_WHO)
		return 0;
	reply->rep.count = who_count;
	if (who_bytes)
		reply->fds[reply->nfds++] = memfd_with_tail(&answered, who_bytes);
	return 0;
}

/* "\0inference\0/a/b\0", then an endless 'z'. */
static void set_up_who(void)
{
	fake.answer = answer_who;
	memset(&answered, 0, sizeof(answered));
	memset(answered.strings, 'z', sizeof(answered.strings));
	memcpy(answered.strings, "\0inference\0/a/b", 16);
	answered.rows[0] = (struct proto_who){.holder_id = 9,
					      .pid = 1234,
					      .uid = 5,
					      .state = PROTO_WHO_MAPPING,
					      .command = 1,
					      .path = 11,
					      .offset_bytes = 4096,
					      .len_bytes = 8192,
					      .pages = 2,
					      .refs = 3,
					      .pins_local = 4,
					      .pins_remote = 6,
					      .since_ns = 77};
	who_count = ROWS;
	who_bytes = sizeof(answered);
}

static struct pgmap_who told[ROWS];
static unsigned ntold;
static int take_row(void *arg, const struct pgmap_who *who)
{
	told[ntold++] = *who;
	return *(int *)arg;
}

static int who(const char *path, int answer)
{
	ntold = 0;
	return pgmap_who(client, path, take_row, &answer);
}

static void a_row_says_what_the_server_says(void **state)
{
	(void)state;
	set_up_who();
	assert_int_equal(who("/a/b", 0), 0);
	assert_string_equal(fake.last[PROTO_WHO].path, "/a/b");
	assert_int_equal(ntold, ROWS);
	assert_int_equal(told[0].holder_id, 9);
	assert_int_equal(told[0].pid, 1234);
	assert_int_equal(told[0].uid, 5);
	assert_int_equal(told[0].state, PGMAP_WHO_MAPPING);
	assert_string_equal(told[0].command, "inference");
	assert_string_equal(told[0].path, "/a/b");
	assert_int_equal(told[0].offset_bytes, 4096);
	assert_int_equal(told[0].len_bytes, 8192);
	assert_int_equal(told[0].pages, 2);
	assert_int_equal(told[0].refs, 3);
	assert_int_equal(told[0].pins_local, 4);
	assert_int_equal(told[0].pins_remote, 6);
	assert_int_equal(told[0].since_ns, 77);
	assert_int_equal(who(NULL, 0), 0);
	assert_string_equal(fake.last[PROTO_WHO].path, "");
}

/* Strings are offsets that the server gave: those that lead nowhere are empty, those without an end are cut. */
static void a_string_is_never_read_beyond_what_was_sent(void **state)
{
	(void)state;
	const uint64_t to_pid = offsetof(struct proto_who, pid) - sizeof(struct proto_who); /* before the strings */
	const uint64_t nowhere[] = {STRINGS, STRINGS + 1, UINT64_MAX, to_pid};
	set_up_who();
	answered.rows[1].pid = 'z';
	for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
		answered.rows[1].command = answered.rows[1].path = nowhere[i];
		assert_int_equal(who(NULL, 0), 0);
		assert_string_equal(told[1].command, "");
		assert_string_equal(told[1].path, "");
	}
	answered.rows[1].command = answered.rows[1].path = 16;
	assert_int_equal(who(NULL, 0), 0);
	assert_int_equal(strlen(told[1].command), sizeof(told[1].command) - 1);
	assert_int_equal(strlen(told[1].path), sizeof(told[1].path) - 1);
	answered.rows[1].path = STRINGS - 3;
	assert_int_equal(who(NULL, 0), 0);
	assert_string_equal(told[1].path, "zzz"); /* all that there was */
	assert_int_equal(ntold, 2);
}

static void the_walk_ends_when_somebody_has_enough(void **state)
{
	(void)state;
	set_up_who();
	assert_int_equal(who(NULL, 23), 23);
	assert_int_equal(ntold, 1);
	who_count = 0;
	who_bytes = 0;
	assert_int_equal(who(NULL, 23), 0);
	assert_int_equal(ntold, 0);
}

static void rows_that_are_not_there_are_not_told(void **state)
{
	(void)state;
	/* The product of the last but one and a row's 96 bytes is small modulo 2^64. */
	static const uint64_t bad[] = {15, UINT32_MAX, (UINT64_C(1) << 59) + 1, UINT64_MAX};
	unsigned fds = fake_count_fds();
	set_up_who();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		who_count = bad[i];
		assert_int_equal(who(NULL, 0), -EPROTO);
	}
	who_count = 1;
	for (who_bytes = 0; who_bytes < sizeof(struct proto_who); who_bytes += 19)
		assert_int_equal(who(NULL, 0), -EPROTO);
	assert_int_equal(ntold, 0);
	assert_int_equal(fake_count_fds(), fds);
}

static void who_of_what_is_no_path_is_refused(void **state)
{
	(void)state;
	static char longest[PROTO_PATH_MAX + 1];
	int zero = 0;
	memset(longest, 'n', PROTO_PATH_MAX);
	assert_int_equal(pgmap_who(client, "", take_row, &zero), -EINVAL);
	assert_int_equal(pgmap_who(client, longest, take_row, &zero), -ENAMETOOLONG);
	assert_int_equal(pgmap_who(client, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(pgmap_who(NULL, NULL, take_row, &zero), -EINVAL);
	assert_int_equal(fake.calls[PROTO_WHO], 0);
}

static int answer_error(struct fake *f, const struct proto_req *req, struct transport_reply *reply)
{
	(void)req;
	reply->rep.error = f->rep.error;
	return 0;
}

static void an_operators_word_goes_to_the_server(void **state)
{
	(void)state;
	assert_int_equal(pgmap_fence(client, 4711), 0);
	assert_int_equal(fake.last[PROTO_FENCE].handle, 4711);
	assert_int_equal(pgmap_drain_cancel(client), 0);
	assert_int_equal(fake.calls[PROTO_DRAIN_CANCEL], 1);
	fake.answer = answer_error;
	fake.rep.error = -EBUSY;
	assert_int_equal(pgmap_fence(client, 1), -EBUSY);
	fake.rep.error = -ENODEV;
	assert_int_equal(pgmap_drain_cancel(client), -ENODEV);
	fake.drain_error = -ECANCELED;
	assert_int_equal(pgmap_drain_pool(client, -1), -ECANCELED);
	assert_int_equal(fake.drain_timeout_ms, -1);
	assert_int_equal(pgmap_fence(NULL, 1), -EINVAL);
	assert_int_equal(pgmap_drain_cancel(NULL), -EINVAL);
	assert_int_equal(pgmap_drain_pool(NULL, 0), -EINVAL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_target_that_leads_nowhere_is_refused),   T(no_target_is_the_one_of_the_environment),
		T(an_embedded_target_is_a_pool_of_ones_own), T(info_says_what_the_server_says),
		T(a_row_says_what_the_server_says),          T(a_string_is_never_read_beyond_what_was_sent),
		T(the_walk_ends_when_somebody_has_enough),   T(rows_that_are_not_there_are_not_told),
		T(who_of_what_is_no_path_is_refused),        T(an_operators_word_goes_to_the_server),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
