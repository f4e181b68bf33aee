/* SPDX-License-Identifier: BSD-3-Clause */
/* client_transport_embedded.c - a pool of this program's own, asked by a call: begin, ask, drain, end. */
#include "fake.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <pgmap/pgmap.h>

static struct transport *transport;

static int set_up(void **state)
{
	(void)state;
	return transport_embedded_open("memfd:size=1M,page=4K", &transport);
}

static int tear_down(void **state)
{
	(void)state;
	return close_transport(transport);
}

static int call(struct proto_req *req, struct transport_reply *reply)
{
	static uint32_t seq;
	req->magic = PROTO_MAGIC;
	req->version = PROTO_VERSION;
	req->seq = ++seq;
	return transport->ops->call(transport, req, reply);
}

static void close_fds(struct transport_reply *reply)
{
	while (reply->nfds)
		assert_int_equal(close(reply->fds[--reply->nfds]), 0);
}

static void hello(void)
{
	struct proto_req req = {.type = PROTO_HELLO};
	struct transport_reply reply;
	assert_int_equal(call(&req, &reply), 0);
	assert_int_equal(reply.rep.error, 0);
	assert_int_equal(reply.nfds, 1 + PROTO_HELLO_FDS);
	close_fds(&reply);
}

static void ask_for_page(const char *path, struct transport_reply *reply)
{
	struct proto_req req = {
		.type = PROTO_OPEN_MAP, .flags = PGMAP_O_CREATE, .len_bytes = PAGE, .prot = PGMAP_MAP_READ};
	assert_int_equal(connection_set_path(req.path, path), 0);
	assert_int_equal(call(&req, reply), 0);
}

/* A mapping of one page; its handle. */
static uint64_t map_page(void)
{
	struct transport_reply reply;
	ask_for_page("f", &reply);
	assert_int_equal(reply.rep.error, 0);
	assert_int_equal(reply.rep.u.map.npieces, 1);
	return reply.rep.handle;
}

static void unmap(uint64_t handle)
{
	struct proto_req req = {.type = PROTO_UNMAP, .handle = handle};
	struct transport_reply reply;
	assert_int_equal(call(&req, &reply), 0);
	assert_int_equal(reply.rep.error, 0);
}

static void a_spec_that_is_none_is_refused_and_leaves_nothing(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "memfd:size=0", "memfd:size=4097", "tape:size=1M"};
	struct transport *none = (struct transport *)1;
	unsigned fds = fake_count_fds();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(transport_embedded_open(bad[i], &none), -EINVAL);
	assert_ptr_equal(none, (struct transport *)1);
	assert_int_equal(fake_count_fds(), fds);
}

static void a_device_that_cannot_be_made_leaves_nothing(void **state)
{
	(void)state;
	struct transport *none = (struct transport *)1;
	struct rlimit old, low;
	unsigned fds = fake_count_fds();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	int err = transport_embedded_open("memfd:size=1M,page=4K", &none);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(err, -EMFILE);
	assert_ptr_equal(none, (struct transport *)1);
	assert_int_equal(fake_count_fds(), fds);
}

static void an_answer_comes_back_with_its_request_s_number(void **state)
{
	(void)state;
	struct proto_req req = {.type = PROTO_INFO};
	struct transport_reply reply;
	hello();
	assert_int_equal(call(&req, &reply), 0);
	assert_int_equal(reply.rep.error, 0);
	assert_int_equal(reply.rep.seq, req.seq);
	assert_int_equal(reply.rep.type, PROTO_INFO);
	assert_int_equal(reply.rep.u.info.pages, 256);
	assert_int_equal(reply.nfds, 0);
	req.flags = 1;
	assert_int_equal(call(&req, &reply), 0); /* the service's answer is no fault of the transport */
	assert_int_equal(reply.rep.error, -EINVAL);
}

static void an_answer_s_descriptors_are_the_receiver_s(void **state)
{
	(void)state;
	struct proto_req req = {.type = PROTO_WHO};
	struct transport_reply reply;
	hello();
	uint64_t handle = map_page();
	unsigned fds = fake_count_fds();
	assert_int_equal(call(&req, &reply), 0);
	assert_int_equal(reply.rep.count, 1);
	assert_int_equal(reply.nfds, 1);
	assert_int_equal(fake_count_fds(), fds + 1);
	close_fds(&reply);
	unmap(handle);
}

static void an_end_is_refused_while_something_is_mapped(void **state)
{
	(void)state;
	unsigned fds = fake_count_fds();
	struct transport *first = transport;
	assert_int_equal(set_up(NULL), 0);
	hello();
	uint64_t handle = map_page();
	assert_int_equal(close_transport(transport), -EBUSY);
	unmap(handle); /* it still answers */
	assert_int_equal(close_transport(transport), 0);
	assert_int_equal(fake_count_fds(), fds);
	transport = first;
}

static void a_drain_waits_for_what_is_held_and_no_longer_than_it_may(void **state)
{
	(void)state;
	hello();
	uint64_t handle = map_page();
	assert_int_equal(transport->ops->drain(transport, 0), -ETIMEDOUT);
	assert_int_equal(transport->ops->drain(transport, 1), -ETIMEDOUT);
	struct transport_reply reply;
	ask_for_page("g", &reply);
	assert_int_equal(reply.rep.error, -ENODEV);
	unmap(handle);
	assert_int_equal(transport->ops->drain(transport, 0), 0);
	assert_int_equal(transport->ops->drain(transport, -1), 0); /* dead: at once */
}

static void c7_9_a_drain_keeps_new_pins_away_until_it_is_called_off(void **state)
{
	(void)state;
	struct pgmap_client *client;
	struct pgmap_mapping *mapping;
	assert_int_equal(pgmap_connect("embedded:memfd:size=1M,page=4K", &client), 0);
	assert_int_equal(pgmap_open_map(client, "f", PGMAP_O_CREATE, PAGE, PGMAP_MAP_READ, &mapping), 0);
	assert_int_equal(pgmap_drain_pool(client, 0), -ETIMEDOUT);
	assert_int_equal(pgmap_pin(mapping, 0, 1, PGMAP_PIN_LOCAL), -ENODEV);
	assert_int_equal(pgmap_drain_cancel(client), 0);
	assert_int_equal(pgmap_pin(mapping, 0, 1, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unpin(mapping, 0, 1, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_disconnect(client), 0);
}

static void *drain_for_ever(void *result)
{
	*(int *)result = transport->ops->drain(transport, INT64_MAX); /* as good as for ever: it must not wrap */
	return NULL;
}

/* Whichever comes first: a drain that is cancelled before it waits finds the pool alive again, and says the same. */
static void a_drain_without_a_deadline_ends_when_it_is_called_off(void **state)
{
	(void)state;
	pthread_t thread;
	int result = 0;
	struct transport_reply reply;
	hello();
	uint64_t handle = map_page();
	assert_int_equal(pthread_create(&thread, NULL, drain_for_ever, &result), 0);
	struct proto_req info = {.type = PROTO_INFO};
	do
		assert_int_equal(call(&info, &reply), 0);
	while (reply.rep.u.info.state != PGMAP_DYING);
	struct proto_req cancel = {.type = PROTO_DRAIN_CANCEL};
	assert_int_equal(call(&cancel, &reply), 0);
	assert_int_equal(reply.rep.error, 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(result, -ECANCELED);
	unmap(handle);
}

/* What the service says of a handle that it gave itself is this program's own broken invariant: one line, and the end. */
static void what_the_service_itself_forgot_ends_the_program(void **state)
{
	(void)state;
	int ends[2], status;
	char line[256] = {0};
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct rlimit none = {0};
		(void)setrlimit(RLIMIT_CORE, &none);
		(void)signal(SIGABRT, SIG_DFL);
		(void)dup2(ends[1], STDERR_FILENO);
		transport->ops->hang_up(transport);
		_exit(0);
	}
	assert_int_equal(close(ends[1]), 0);
	assert_true(read(ends[0], line, sizeof(line) - 1) > 0);
	assert_int_equal(close(ends[0]), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(line, "embedded pool"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_spec_that_is_none_is_refused_and_leaves_nothing),
		T(a_device_that_cannot_be_made_leaves_nothing),
		T(an_answer_comes_back_with_its_request_s_number),
		T(an_answer_s_descriptors_are_the_receiver_s),
		T(an_end_is_refused_while_something_is_mapped),
		T(a_drain_waits_for_what_is_held_and_no_longer_than_it_may),
		T(c7_9_a_drain_keeps_new_pins_away_until_it_is_called_off),
		T(a_drain_without_a_deadline_ends_when_it_is_called_off),
		T(what_the_service_itself_forgot_ends_the_program),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
