/* SPDX-License-Identifier: BSD-3-Clause */
/* client_taking.c - what is asked for, in which order, and what is waited with. */
#include "fake.h"

static struct fake fake;
static struct pgmap_client *client;
static struct pgmap_file *file;

/* Refuses what would wait with the test's error, and gives what waits the test's number. */
static int answer(struct fake *f, const struct proto_req *req, struct transport_reply *reply)
{
	if (req->type == PROTO_OPEN)
		reply->rep.handle = 41;
	if (req->type == PROTO_AWAIT) {
		reply->rep.error = f->cancel_error;
		return 0;
	}
	if (req->flags == PROTO_HOW_FAIL)
		reply->rep.error = f->rep.error;
	if (req->flags == PROTO_HOW_WAIT)
		reply->rep.handle = f->rep.handle;
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	fake_init(&fake);
	fake.answer = answer;
	fake.cancel_error = -EBADF; /* what was awaited is forgotten */
	client = fake_connect(&fake);
	assert_int_equal(pgmap_open(client, "/f", 0, &file), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return pgmap_close(file) | pgmap_disconnect(client);
}

static void c6_7_who_defers_says_nothing_of_it(void **state)
{
	(void)state;
	assert_int_equal(pgmap_truncate_how(file, 5, PGMAP_DEFER, 7), 0);
	assert_int_equal(fake.last[PROTO_TRUNCATE].flags, 0);
	assert_int_equal(fake.last[PROTO_TRUNCATE].handle, 41);
	assert_int_equal(fake.last[PROTO_TRUNCATE].len_bytes, 5);
	assert_int_equal(pgmap_punch(file, 4096, 8192, PGMAP_DEFER, 7), 0);
	assert_int_equal(fake.last[PROTO_PUNCH].flags, 0);
	assert_int_equal(fake.last[PROTO_PUNCH].handle, 41);
	assert_int_equal(fake.last[PROTO_PUNCH].offset_bytes, 4096);
	assert_int_equal(fake.last[PROTO_PUNCH].len_bytes, 8192);
	assert_int_equal(pgmap_unlink_how(client, "/f", PGMAP_DEFER, 7), 0);
	assert_int_equal(fake.last[PROTO_UNLINK].flags, 0);
	assert_string_equal(fake.last[PROTO_UNLINK].path, "/f");
	assert_int_equal(fake.awaits_opened, 0);
}

static void c6_7_who_fails_asks_once(void **state)
{
	(void)state;
	fake.rep.error = -EBUSY;
	assert_int_equal(pgmap_truncate_how(file, 5, PGMAP_FAIL, 7), -EBUSY);
	assert_int_equal(fake.calls[PROTO_TRUNCATE], 1);
	assert_int_equal(fake.last[PROTO_TRUNCATE].flags, PROTO_HOW_FAIL);
	assert_int_equal(fake.awaits_opened, 0);
}

static void c6_7_who_waits_has_something_to_wait_with_first(void **state)
{
	(void)state;
	assert_int_equal(pgmap_unlink_how(client, "/f", PGMAP_WAIT, 7), 0); /* nobody holds it: that was all */
	assert_int_equal(fake.calls[PROTO_UNLINK], 1);
	assert_int_equal(fake.awaits_opened, 0);
	fake.rep.error = -ENOENT;
	assert_int_equal(pgmap_unlink_how(client, "/f", PGMAP_WAIT, 7), -ENOENT);
	assert_int_equal(fake.awaits_opened, 0);
	fake.rep.error = -EBUSY;
	assert_int_equal(pgmap_punch(file, 0, 4096, PGMAP_WAIT, 0), -ETIMEDOUT);
	assert_int_equal(fake.awaits_opened, 0);
	fake.await_open_error = -EMFILE;
	assert_int_equal(pgmap_punch(file, 0, 4096, PGMAP_WAIT, 7), -EMFILE);
	assert_int_equal(fake.last[PROTO_PUNCH].flags, PROTO_HOW_FAIL); /* none was left behind */
	fake.await_open_error = 0;
	fake.rep.handle = UINT64_MAX;
	fake.await_error = -ETIMEDOUT;
	assert_int_equal(pgmap_punch(file, 0, 4096, PGMAP_WAIT, 7), -ETIMEDOUT);
	assert_int_equal(fake.last[PROTO_PUNCH].flags, PROTO_HOW_WAIT);
	assert_int_equal(fake.last[PROTO_PUNCH].timeout_ms, 7);
	assert_true(fake.awaited == UINT64_MAX);
	fake.await_error = 0;
	assert_int_equal(pgmap_truncate_how(file, 0, PGMAP_WAIT, -1), 0);
	assert_int_equal(fake.last[PROTO_TRUNCATE].timeout_ms, -1);
	fake.awaited = fake.rep.handle = 0; /* it has become free in between */
	assert_int_equal(pgmap_truncate_how(file, 0, PGMAP_WAIT, -1), 0);
	assert_int_equal(fake.awaited, 0);
}

/* The connection for it has gone, say, before it was asked anything. */
static void c6_7_what_cannot_be_awaited_is_called_off(void **state)
{
	(void)state;
	fake.rep.error = -EBUSY;
	fake.rep.handle = 77;
	fake.await_error = -EPIPE;
	fake.cancel_error = -ECANCELED;
	assert_int_equal(pgmap_punch(file, 0, 4096, PGMAP_WAIT, -1), -EPIPE);
	assert_int_equal(fake.last[PROTO_AWAIT].handle, 77);
	assert_int_equal(fake.last[PROTO_AWAIT].flags, PROTO_AWAIT_CANCEL);
	fake.cancel_error = -EBADF; /* it has ended, and that was its answer */
	fake.await_error = -ETIMEDOUT;
	assert_int_equal(pgmap_punch(file, 0, 4096, PGMAP_WAIT, -1), -ETIMEDOUT);
	fake.cancel_error = 0; /* it has ended in between, and this is how */
	fake.await_error = -EPIPE;
	assert_int_equal(pgmap_punch(file, 0, 4096, PGMAP_WAIT, -1), 0);
	fake.cancel_error = -ENODEV;
	assert_int_equal(pgmap_punch(file, 0, 4096, PGMAP_WAIT, -1), -ENODEV);
	fake.cancel_error = -EPIPE; /* the server has gone, and what waited with it */
	fake.await_error = -ENOBUFS;
	assert_int_equal(pgmap_punch(file, 0, 4096, PGMAP_WAIT, -1), -ENOBUFS);
	assert_int_equal(fake.calls[PROTO_AWAIT], 5);
	fake.await_error = 0;
	assert_int_equal(pgmap_punch(file, 0, 4096, PGMAP_WAIT, -1), 0);
	assert_int_equal(fake.calls[PROTO_AWAIT], 5); /* not what has succeeded */
}

static void wrong_arguments_are_not_sent(void **state)
{
	(void)state;
	for (int mode = -1; mode <= 3; mode += 4) {
		assert_int_equal(pgmap_truncate_how(file, 0, mode, 0), -EINVAL);
		assert_int_equal(pgmap_punch(file, 0, 4096, mode, 0), -EINVAL);
		assert_int_equal(pgmap_unlink_how(client, "/f", mode, 0), -EINVAL);
	}
	assert_int_equal(pgmap_truncate_how(NULL, 0, PGMAP_WAIT, 0), -EINVAL);
	assert_int_equal(pgmap_punch(NULL, 0, 4096, PGMAP_WAIT, 0), -EINVAL);
	assert_int_equal(pgmap_unlink_how(NULL, "/f", PGMAP_WAIT, 0), -EINVAL);
	assert_int_equal(pgmap_unlink_how(client, NULL, PGMAP_WAIT, 0), -EINVAL);
	assert_int_equal(fake.calls[PROTO_TRUNCATE] + fake.calls[PROTO_PUNCH] + fake.calls[PROTO_UNLINK], 0);
}

static void a_file_for_reading_only_loses_nothing(void **state)
{
	(void)state;
	struct pgmap_file *mine;
	assert_int_equal(pgmap_open(client, "/f", PGMAP_O_RDONLY, &mine), 0);
	assert_int_equal(pgmap_truncate_how(mine, 0, PGMAP_FAIL, 0), -EACCES);
	assert_int_equal(pgmap_punch(mine, 0, 4096, PGMAP_DEFER, 0), -EACCES);
	assert_int_equal(fake.calls[PROTO_TRUNCATE] + fake.calls[PROTO_PUNCH], 0);
	assert_int_equal(pgmap_close(mine), 0);
}

static void without_a_connection_nothing_waits(void **state)
{
	(void)state;
	struct pgmap_file *kept;
	struct pgmap_client *gone = fake_connect(&fake);
	assert_int_equal(pgmap_open(gone, "/f", 0, &kept), 0);
	assert_int_equal(pgmap_disconnect(gone), 0);
	assert_int_equal(fake.closed, 1);
	assert_int_equal(pgmap_truncate_how(kept, 0, PGMAP_WAIT, -1), -EPIPE);
	assert_int_equal(fake.freed, 0); /* who waits may still use it */
	assert_int_equal(pgmap_close(kept), 0);
	assert_int_equal(fake.freed, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(c6_7_who_defers_says_nothing_of_it),
		T(c6_7_who_fails_asks_once),
		T(c6_7_who_waits_has_something_to_wait_with_first),
		T(c6_7_what_cannot_be_awaited_is_called_off),
		T(wrong_arguments_are_not_sent),
		T(a_file_for_reading_only_loses_nothing),
		T(without_a_connection_nothing_waits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
