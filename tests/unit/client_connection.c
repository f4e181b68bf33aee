/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_connection.c - a connection begins with a hello that is right or not at all, passes the server's errors on, ends
 * when nobody can know what is said, and is the parent's alone after a fork.
 */
#include "fake.h"

#include <sys/wait.h>

static struct fake fake;

static int set_up(void **state)
{
	(void)state;
	fake_init(&fake);
	return 0;
}

static void a_connection_has_what_the_hello_gave(void **state)
{
	(void)state;
	unsigned fds = fake_count_fds();
	fake.hello.granule_order = 9;
	fake.hello.devices[0] = PROTO_DEVICE_NO_PINS;
	struct pgmap_client *client = fake_connect(&fake);
	assert_int_equal(client->granule_bytes, 2 << 20);
	assert_int_equal(client->lease.devices[0], PROTO_DEVICE_NO_PINS);
	assert_int_equal(client->nwords, FAKE_WORDS);
	assert_int_equal(pinword_read(&client->words[FAKE_WORDS - 1]).local, 0);
	assert_int_equal(fake_count_fds(), fds + 2); /* lease and eventfd: the segment is mapped */
	assert_int_equal(fake.last[PROTO_HELLO].magic, PROTO_MAGIC);
	assert_int_equal(fake.last[PROTO_HELLO].version, PROTO_VERSION);
	assert_int_equal(connection_disconnect(client), 0);
	assert_int_equal(fake_count_fds(), fds);
	assert_int_equal(fake.closed, 1);
}

static void assert_no_hello(int err)
{
	struct pgmap_client *client = (struct pgmap_client *)1;
	unsigned fds = fake_count_fds();
	assert_int_equal(connection_open(&fake.transport, &client), err);
	assert_ptr_equal(client, (struct pgmap_client *)1);
	assert_int_equal(fake_count_fds(), fds);
	assert_int_equal(fake.closed, 0); /* the transport stays the caller's */
	fake_init(&fake);
}

static void a_hello_without_its_descriptors_is_refused(void **state)
{
	(void)state;
	for (unsigned n = 0; n <= PROTO_MAX_FDS; n++) {
		fake.hello_fds = n;
		if (n != 1 + PROTO_HELLO_FDS)
			assert_no_hello(-EPROTO);
	}
}

static void a_granule_that_no_folio_has_is_refused(void **state)
{
	(void)state;
	static const uint32_t bad[] = {19, 31, 32, 64, UINT32_MAX};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fake.hello.granule_order = bad[i];
		assert_no_hello(-EPROTO);
	}
	fake.hello.granule_order = 18;
	assert_int_equal(connection_disconnect(fake_connect(&fake)), 0);
}

static void more_words_than_the_segment_has_are_refused(void **state)
{
	(void)state;
	static const uint64_t bad[] = {0, FAKE_WORDS + 1, UINT64_MAX, UINT64_MAX / sizeof(pinword_t) + 2};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fake.hello.words = bad[i];
		assert_no_hello(-EPROTO);
	}
	fake.segment_bytes = 0;
	assert_no_hello(-EPROTO);
}

static int answer_error(struct fake *f, const struct proto_req *req, struct transport_reply *reply)
{
	(void)req;
	reply->rep.error = f->rep.error;
	return f->err;
}

static void a_server_that_says_no_is_heard(void **state)
{
	(void)state;
	static const int errors[] = {-ENOMEM, -EMFILE, -EPROTO, -ENODEV};
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		fake.answer = answer_error;
		fake.rep.error = errors[i];
		assert_no_hello(errors[i]);
		fake.answer = answer_error;
		fake.err = errors[i];
		fake.hello_fds = 0; /* a transport that fails leaves none */
		assert_no_hello(errors[i]);
	}
}

static int ask(struct pgmap_client *client, struct proto_rep *rep)
{
	struct proto_req req = {.type = PROTO_INFO};
	return connection_ask(client, &req, rep);
}

static void each_request_has_a_number_of_its_own(void **state)
{
	(void)state;
	struct proto_rep rep;
	struct pgmap_client *client = fake_connect(&fake);
	uint32_t last = fake.last[PROTO_HELLO].seq;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(ask(client, &rep), 0);
		assert_int_equal(fake.last[PROTO_INFO].seq, ++last);
		assert_int_equal(rep.seq, last);
		assert_int_equal(fake.last[PROTO_INFO].magic, PROTO_MAGIC);
	}
	assert_int_equal(connection_disconnect(client), 0);
}

static int answer_fds(struct fake *f, const struct proto_req *req, struct transport_reply *reply)
{
	if (req->type != PROTO_HELLO)
		while (reply->nfds < PROTO_MAX_FDS)
			reply->fds[reply->nfds++] = fake_memfd(PAGE);
	reply->rep.error = f->rep.error;
	return 0;
}

static void descriptors_of_an_answer_that_has_none_are_closed(void **state)
{
	(void)state;
	fake.answer = answer_fds;
	struct pgmap_client *client = fake_connect(&fake);
	unsigned fds = fake_count_fds();
	assert_int_equal(ask(client, NULL), 0);
	assert_int_equal(fake_count_fds(), fds);
	fake.rep.error = -ENOENT;
	struct transport_reply reply;
	struct proto_req req = {.type = PROTO_WHO};
	assert_int_equal(connection_call(client, &req, &reply), -ENOENT);
	assert_int_equal(reply.nfds, 0);
	assert_int_equal(fake_count_fds(), fds);
	assert_int_equal(connection_disconnect(client), 0);
}

static void what_is_no_reply_ends_the_conversation(void **state)
{
	(void)state;
	static const struct {
		int err, error, answer;
		unsigned hung_up;
	} cases[] = {{-EPROTO, 0, -EPROTO, 1}, {0, 17, -EPROTO, 1}, {0, -EPROTO, -EPROTO, 1},
		     {-EMFILE, 0, -EMFILE, 0}, {0, -EIO, -EIO, 0},  {-EPIPE, 0, -EPIPE, 0}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pgmap_client *client = fake_connect(&fake);
		fake.answer = answer_error;
		fake.err = cases[i].err;
		fake.rep.error = cases[i].error;
		assert_int_equal(ask(client, NULL), cases[i].answer);
		assert_int_equal(fake.hung_up, cases[i].hung_up);
		assert_int_equal(connection_disconnect(client), 0);
		fake_init(&fake);
	}
}

static void the_end_of_a_handle_is_said_once_and_cannot_fail(void **state)
{
	(void)state;
	static const struct {
		int error;
		unsigned hung_up;
	} cases[] = {{0, 0}, {-EPIPE, 0}, {-EBADF, 1}, {-EBUSY, 1}, {-ENOMEM, 1}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pgmap_client *client = fake_connect(&fake);
		fake.answer = answer_error;
		fake.rep.error = cases[i].error;
		(void)connection_end_handle(client, PROTO_CLOSE, 12, 0);
		assert_int_equal(fake.calls[PROTO_CLOSE], 1);
		assert_int_equal(fake.last[PROTO_CLOSE].handle, 12);
		assert_int_equal(fake.hung_up, cases[i].hung_up);
		assert_int_equal(connection_disconnect(client), 0);
		fake_init(&fake);
	}
}

static void what_is_left_of_a_connection_that_ended_gets_epipe(void **state)
{
	(void)state;
	unsigned fds = fake_count_fds();
	struct pgmap_client *client = fake_connect(&fake);
	connection_get(client); /* as a file, or a mapping, does */
	assert_int_equal(connection_disconnect(client), 0);
	assert_int_equal(fake_count_fds(), fds + 1); /* the eventfd, for unpins; the lease is what is mapped */
	assert_int_equal(ask(client, NULL), -EPIPE);
	(void)connection_end_handle(client, PROTO_UNMAP, 3, 0);
	assert_int_equal(fake.calls[PROTO_INFO] + fake.calls[PROTO_UNMAP] + fake.hung_up, 0);
	assert_int_equal(pinword_read(client->words).local, 0); /* pins still count */
	connection_put(client);
	assert_int_equal(fake_count_fds(), fds);
}

static void an_end_that_is_refused_changes_nothing(void **state)
{
	(void)state;
	struct pgmap_client *client = fake_connect(&fake);
	unsigned fds = fake_count_fds();
	fake.close_error = -EBUSY;
	assert_int_equal(connection_disconnect(client), -EBUSY);
	assert_int_equal(fake_count_fds(), fds);
	assert_int_equal(ask(client, NULL), 0);
	fake.close_error = 0;
	assert_int_equal(connection_disconnect(client), 0);
}

static void a_drain_goes_beside_the_calls(void **state)
{
	(void)state;
	struct pgmap_client *client = fake_connect(&fake);
	fake.drain_error = -ETIMEDOUT;
	assert_int_equal(connection_drain(client, 250), -ETIMEDOUT);
	assert_int_equal(fake.drain_timeout_ms, 250);
	assert_int_equal(connection_disconnect(client), 0);
}

/* What a child of fork() finds, as the bits of its exit status. Two connections: both are let go. */
static int look_from_child(struct pgmap_client *client, struct pgmap_client *other, struct pgmap_file *file,
			   int lease_fd, int event_fd)
{
	int status = 0;
	status |= (ask(client, NULL) != -EPERM || connection_disconnect(client) != -EPERM) << 0;
	status |= (connection_drain(other, 0) != -EPERM) << 1;
	status |= (fcntl(lease_fd, F_GETFD) != -1 || fcntl(event_fd, F_GETFD) != -1) << 2;
	status |= (msync((void *)client->words, PAGE, MS_ASYNC) == 0 || errno != ENOMEM) << 3;
	status |= (fake.calls[PROTO_INFO] != 0) << 4;
	int closed = pgmap_close(file), again = pgmap_close(file);
	status |= (closed != -EPERM || again != -EPERM || fake.calls[PROTO_CLOSE] != 0) << 5;
	return status;
}

static void c7_8_a_forked_child_has_mappings_but_no_connection_and_no_pins(void **state)
{
	(void)state;
	struct pgmap_client *client = fake_connect(&fake), *other = fake_connect(&fake);
	struct pgmap_file *file;
	int lease_fd = client->lease.read[0].fd, event_fd = client->event.fd, status;
	assert_int_equal(pgmap_open(client, "/f", 0, &file), 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(look_from_child(client, other, file, lease_fd, event_fd));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(ask(client, NULL), 0); /* the parent's goes on */
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(connection_disconnect(other), 0);
	assert_int_equal(connection_disconnect(client), 0);
}

static void c7_8_a_child_can_connect_itself(void **state)
{
	(void)state;
	struct pgmap_client *client = fake_connect(&fake);
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		struct pgmap_client *own;
		fake_init(&fake);
		_exit(connection_open(&fake.transport, &own) != 0 || ask(own, NULL) != 0 ||
		      connection_disconnect(own) != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(connection_disconnect(client), 0);
}

static void a_path_fits_or_is_refused(void **state)
{
	(void)state;
	static char field[PROTO_PATH_MAX], path[PROTO_PATH_MAX + 1];
	assert_int_equal(connection_set_path(field, NULL), -EINVAL);
	memset(path, 'p', PROTO_PATH_MAX);
	assert_int_equal(connection_set_path(field, path), -ENAMETOOLONG);
	path[PROTO_PATH_MAX - 1] = 0;
	assert_int_equal(connection_set_path(field, path), 0);
	assert_string_equal(field, path);
	assert_int_equal(connection_set_path(field, ""), 0);
	assert_string_equal(field, "");
}

static int read_reply(int fd, unsigned nfds, uint64_t min_bytes, struct connection_bytes *bytes)
{
	struct transport_reply reply = {.nfds = nfds};
	for (unsigned i = 0; i < nfds; i++)
		reply.fds[i] = i == 0 ? fd : fake_memfd(PAGE);
	int err = connection_read_fd(&reply, min_bytes, bytes);
	assert_int_equal(reply.nfds, 0);
	return err;
}

static void bytes_of_a_descriptor_are_whole_or_refused(void **state)
{
	(void)state;
	struct connection_bytes bytes;
	unsigned fds = fake_count_fds();
	int ends[2];
	assert_int_equal(read_reply(fake_memfd_with("12345", 5), 1, 5, &bytes), 0);
	assert_int_equal(bytes.len, 5);
	assert_memory_equal(bytes.at, "12345", 5);
	connection_bytes_exit(&bytes);
	assert_int_equal(read_reply(fake_memfd_with("12345", 5), 1, 6, &bytes), -EPROTO);
	assert_int_equal(read_reply(fake_memfd_with("12345", 5), 1, UINT64_MAX, &bytes), -EPROTO);
	assert_int_equal(read_reply(fake_memfd(0), 1, 0, &bytes), -EPROTO);
	assert_null(bytes.at);
	assert_int_equal(read_reply(-1, 0, 1, &bytes), -EPROTO);
	assert_int_equal(read_reply(fake_memfd(PAGE), 2, 1, &bytes), -EPROTO);
	assert_int_equal(read_reply(fake_memfd(PAGE), 3, 1, &bytes), -EPROTO);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(read_reply(ends[0], 1, 0, &bytes), -EPROTO);
	assert_int_equal(close(ends[1]), 0);
	connection_bytes_exit(&bytes); /* of nothing */
	assert_int_equal(fake_count_fds(), fds);
}

static uint64_t list_count;
static unsigned list_fds;
static int answer_list(struct fake *f, const struct proto_req *req, struct transport_reply *reply)
{
	(void)f;
	if (req->type != PROTO_WHO)
		return 0;
	reply->rep.count = list_count;
	while (reply->nfds < list_fds)
		reply->fds[reply->nfds++] = fake_memfd_with("0123456789abcdef", 16);
	return 0;
}

static void a_list_has_as_many_rows_as_it_says(void **state)
{
	(void)state;
	/* Rows of 8 bytes; 2^61 + 1 of them are 8 bytes modulo 2^64. */
	static const struct {
		uint64_t count;
		unsigned fds;
		int err;
	} cases[] = {{0, 0, 0},
		     {0, 2, 0},
		     {1, 1, 0},
		     {2, 1, 0},
		     {3, 1, -EPROTO},
		     {1, 0, -EPROTO},
		     {1, 2, -EPROTO},
		     {(UINT64_C(1) << 61) + 1, 1, -EPROTO},
		     {UINT64_MAX, 1, -EPROTO}};
	fake.answer = answer_list;
	struct pgmap_client *client = fake_connect(&fake);
	unsigned fds = fake_count_fds();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct connection_bytes bytes;
		struct proto_req req = {.type = PROTO_WHO};
		uint64_t count = 99;
		list_count = cases[i].count;
		list_fds = cases[i].fds;
		assert_int_equal(connection_list(client, &req, 8, &count, &bytes), cases[i].err);
		if (!cases[i].err)
			assert_int_equal(count, cases[i].count);
		assert_true((bytes.at != NULL) == (!cases[i].err && cases[i].count));
		connection_bytes_exit(&bytes);
		assert_int_equal(fake_count_fds(), fds);
	}
	assert_int_equal(connection_disconnect(client), 0);
}

#define T(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_connection_has_what_the_hello_gave),
		T(a_hello_without_its_descriptors_is_refused),
		T(a_granule_that_no_folio_has_is_refused),
		T(more_words_than_the_segment_has_are_refused),
		T(a_server_that_says_no_is_heard),
		T(each_request_has_a_number_of_its_own),
		T(descriptors_of_an_answer_that_has_none_are_closed),
		T(what_is_no_reply_ends_the_conversation),
		T(the_end_of_a_handle_is_said_once_and_cannot_fail),
		T(what_is_left_of_a_connection_that_ended_gets_epipe),
		T(an_end_that_is_refused_changes_nothing),
		T(a_drain_goes_beside_the_calls),
		T(c7_8_a_forked_child_has_mappings_but_no_connection_and_no_pins),
		T(c7_8_a_child_can_connect_itself),
		T(a_path_fits_or_is_refused),
		T(bytes_of_a_descriptor_are_whole_or_refused),
		T(a_list_has_as_many_rows_as_it_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
