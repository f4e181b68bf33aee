/* SPDX-License-Identifier: BSD-3-Clause */
/* client_lease.c - when a client asks for a new lease, and what it tells the server of an unmap. */
#include <fcntl.h>

#include "fake_map.h"

#include <pthread.h>
#include <sys/wait.h>

static void fork_once(void)
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* The nth piece from now on is put nowhere, and there is a fork just before; 0: all are as they should be. */
static unsigned failing_piece;
void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
void *__real_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);

void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	if (!failing_piece || !(flags & MAP_FIXED) || --failing_piece)
		return __real_mmap64(at, bytes, prot, flags, fd, offset);
	fork_once();
	errno = ENOMEM;
	return MAP_FAILED;
}

/* Another thread ends the connection, before the next allocation. */
static bool disconnects;
void *__wrap_malloc(size_t bytes);
void *__real_malloc(size_t bytes);

static void *disconnect(void *arg)
{
	return pgmap_disconnect(client) == 0 ? arg : NULL;
}

void *__wrap_malloc(size_t bytes)
{
	pthread_t thread;
	void *done = NULL;
	if (disconnects) {
		disconnects = false;
		assert_int_equal(pthread_create(&thread, NULL, disconnect, client), 0);
		assert_int_equal(pthread_join(thread, &done), 0);
		assert_non_null(done);
	}
	return __real_malloc(bytes);
}

static uint32_t unmap_it(struct pgmap_mapping *mapping)
{
	assert_int_equal(pgmap_unmap(mapping), 0);
	return fake.last[PROTO_UNMAP].flags;
}

static void without_a_fork_nobody_has_inherited_anything(void **state)
{
	(void)state;
	fork_once();
	struct pgmap_mapping *mapping = map_it(); /* after the fork */
	assert_int_equal(unmap_it(mapping), 0);
	assert_int_equal(fake.calls[PROTO_LEASE], 1); /* the fixture's */
}

static void c7_8_after_a_fork_the_server_is_told_and_one_lease_is_enough(void **state)
{
	(void)state;
	struct pgmap_mapping *first = map_it(), *second = map_it(), *third = map_it();
	fork_once();
	struct pgmap_mapping *later = map_it();
	assert_int_equal(unmap_it(first), PROTO_UNMAP_INHERITED);
	assert_int_equal(fake.last[PROTO_LEASE].flags, PROTO_LEASE_NEXT | PROTO_LEASE_WRITE);
	assert_int_equal(unmap_it(second), PROTO_UNMAP_INHERITED);
	assert_int_equal(unmap_it(later), 0);
	assert_int_equal(fake.calls[PROTO_LEASE], 2);
	fork_once();
	assert_int_equal(unmap_it(third), PROTO_UNMAP_INHERITED);
	assert_int_equal(fake.calls[PROTO_LEASE], 3);
}

static void a_lease_that_cannot_be_had_is_said(void **state)
{
	(void)state;
	struct pgmap_mapping *first = map_it(), *second = map_it();
	fork_once();
	fake.lease_error = -EUSERS;
	assert_int_equal(unmap_it(first), PROTO_UNMAP_INHERITED | PROTO_UNMAP_UNRENEWED);
	fake.lease_error = 0;
	assert_int_equal(unmap_it(second), PROTO_UNMAP_INHERITED); /* asked again */
}

/* The new lease of this test is another device: so one can see what a mapping was made from. */
static void what_is_mapped_moves_to_the_new_lease(void **state)
{
	(void)state;
	struct pgmap_mapping *gone = map_it(), *stays = map_it(), *read_only;
	assert_int_equal(pgmap_map(file, 2 * PAGE, BYTES, PGMAP_MAP_READ, &read_only), 0);
	char *bytes = pgmap_mapping_address(stays), *read_bytes = pgmap_mapping_address(read_only), back;
	int old = fcntl(client->lease.read[0].fd, F_DUPFD_CLOEXEC, 0),
	    fresh = fake_memfd((uint64_t)FAKE_DEVICE_PAGES * PAGE);
	bytes[0] = 'o';
	fork_once();
	int given = fake.lease_fd;
	fake.lease_fd = fresh;
	assert_int_equal(unmap_it(gone), PROTO_UNMAP_INHERITED);
	assert_int_equal(fcntl(given, F_GETFD), -1); /* closed here */
	assert_int_equal(bytes[0], 0);
	bytes[0] = 'n';
	bytes[4 * PAGE] = 'z';
	assert_int_equal(read_bytes[0], 'n');
	assert_int_equal(pread(old, &back, 1, 100 * PAGE), 1);
	assert_int_equal(back, 'o');
	assert_int_equal(pread(fresh, &back, 1, 9 * PAGE), 1);
	assert_int_equal(back, 'z');
	assert_int_equal(close(old), 0);
	assert_int_equal(close(fresh), 0);
	assert_int_equal(unmap_it(stays), PROTO_UNMAP_INHERITED);
	assert_int_equal(unmap_it(read_only), PROTO_UNMAP_INHERITED);
}

static void a_lease_with_another_number_of_descriptors_is_none(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = map_it();
	unsigned fds = fake_count_fds();
	fork_once();
	fake.lease_fds_less = 1;
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_true(fake.hung_up > 0); /* the server may go by it all the same */
	assert_int_equal(fake_count_fds(), fds);
}

/* A device has come, and the mapping lies on it. */
static void what_is_older_than_a_mapping_is_asked_for_first(void **state)
{
	(void)state;
	unsigned fds = fake_count_fds();
	assert_int_equal(fake.calls[PROTO_LEASE], 1); /* the fixture's */
	fake.hello.ndevices = 3;
	fake.hello.devices[1] = PROTO_DEVICE_NONE;
	fake.hello.generation = 5;
	fake.generation = 4; /* it has changed again meanwhile */
	for (unsigned i = 0; i < PIECES; i++)
		fake.rep.u.map.pieces[i].device = 2;
	struct pgmap_mapping *mapping = map_it();
	assert_int_equal(fake.last[PROTO_LEASE].flags, PROTO_LEASE_READ | PROTO_LEASE_WRITE);
	assert_int_equal(fake_count_fds(), fds + 2); /* one more device, to read and to write */
	assert_int_equal(client->lease.read[1].fd, -1);
	fake.generation = 5;
	assert_int_equal(unmap_it(mapping), 0);
	assert_int_equal(unmap_it(map_it()), 0);
	assert_int_equal(fake.calls[PROTO_LEASE], 2);
	fake.rep.u.map.pieces[0].device = 1; /* there is none */
	assert_refused(-EPROTO);
	fake.rep.u.map.pieces[0].device = 2;
	fake.hello.devices[0] = PROTO_DEVICE_NONE; /* it has gone */
	fake.hello.generation = fake.generation = 6;
	assert_int_equal(unmap_it(map_it()), 0);
	assert_int_equal(fake_count_fds(), fds);
	assert_int_equal(client->lease.read[0].fd, -1);
}

/* A program may have sent on what it maps through. */
static void what_can_be_read_through_stays_when_something_shall_be_written(void **state)
{
	(void)state;
	int before = client->lease.read[0].fd;
	assert_int_equal(fake.last[PROTO_LEASE].flags, PROTO_LEASE_WRITE); /* the fixture's */
	client->lease.writes = false;
	assert_int_equal(unmap_it(map_it()), 0);
	assert_int_equal(fake.last[PROTO_LEASE].flags, PROTO_LEASE_WRITE);
	assert_int_equal(client->lease.read[0].fd, before);
	client->lease.writes = false;
	fake.hello.generation = fake.generation = 3; /* but not of other devices */
	assert_int_equal(unmap_it(map_it()), 0);
	assert_int_equal(fake.last[PROTO_LEASE].flags, PROTO_LEASE_READ | PROTO_LEASE_WRITE);
	assert_int_equal(fake.calls[PROTO_LEASE], 4);
	assert_int_equal(client->lease.generation, 3);
}

static void what_cannot_be_had_or_stays_old_is_a_refusal(void **state)
{
	(void)state;
	fake.generation = 1;
	fake.lease_error = -EMFILE;
	assert_refused(-EMFILE);
	assert_int_equal(fake.calls[PROTO_LEASE], 2);
	fake.lease_error = 0;
	assert_refused(-EPROTO); /* it says that there is nothing new */
	fake.hello.generation = 1;
	assert_int_equal(unmap_it(map_it()), 0);
}

static bool loses; /* the descriptors of a lease */

static int answer_and_lose(struct fake *f, const struct proto_req *req, struct transport_reply *reply)
{
	if (req->type != PROTO_LEASE || !loses)
		return answer_map(f, req, reply);
	connection_close_fds(reply);
	f->lease_fd = client->lease.read[0].fd;
	return -EMFILE;
}

/* The server goes by a new lease, and what is mapped must be on it. */
static void c6_8_a_lease_that_got_lost_is_asked_for_before_something_is_mapped(void **state)
{
	(void)state;
	struct pgmap_mapping *first = map_it(), *second = map_it();
	fake.answer = answer_and_lose;
	fork_once();
	fake.lease_error = -EMFILE; /* there is none */
	assert_int_equal(unmap_it(first), PROTO_UNMAP_INHERITED | PROTO_UNMAP_UNRENEWED);
	assert_int_equal(unmap_it(map_it()), 0);
	assert_int_equal(fake.calls[PROTO_LEASE], 2);
	fake.lease_error = 0;
	loses = true;
	assert_int_equal(unmap_it(second), PROTO_UNMAP_INHERITED | PROTO_UNMAP_UNRENEWED);
	assert_refused(-EMFILE);
	assert_int_equal(fake.calls[PROTO_LEASE], 4);
	loses = false;
	assert_int_equal(unmap_it(map_it()), 0);
	assert_int_equal(fake.last[PROTO_LEASE].flags, PROTO_LEASE_READ | PROTO_LEASE_WRITE);
	assert_int_equal(unmap_it(map_it()), 0);
	assert_int_equal(fake.calls[PROTO_LEASE], 5);
}

/* It was there for a moment, and there was a fork. */
static void c6_8_a_mapping_that_was_made_in_part_may_have_been_inherited(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping, *stays = map_it();
	failing_piece = 2;
	assert_int_equal(pgmap_map(file, 2 * PAGE, BYTES, PGMAP_MAP_READ, &mapping), -ENOMEM);
	assert_int_equal(fake.last[PROTO_UNMAP].flags, PROTO_UNMAP_INHERITED);
	assert_int_equal(fake.calls[PROTO_LEASE], 2);
	failing_piece = 2;
	assert_int_equal(pgmap_remap(stays, BYTES), -ENOMEM);
	assert_int_equal(fake.last[PROTO_UNMAP].flags, PROTO_UNMAP_INHERITED);
	assert_int_equal(fake.calls[PROTO_LEASE], 3);
	assert_int_equal(*(char *)pgmap_mapping_address(stays), 0); /* as it was */
	assert_int_equal(unmap_it(stays), PROTO_UNMAP_INHERITED);
}

static int answer_and_disconnect(struct fake *f, const struct proto_req *req, struct transport_reply *reply)
{
	disconnects = disconnects || req->type == PROTO_MAP;
	return answer_map(f, req, reply);
}

static void a_connection_that_ends_meanwhile_maps_nothing(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping;
	uint64_t bytes = mapped_bytes();
	fake.answer = answer_and_disconnect;
	assert_int_equal(pgmap_map(file, 2 * PAGE, BYTES, PGMAP_MAP_READ, &mapping), -EPIPE);
	assert_int_equal(mapped_bytes(), bytes);
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(set_up(NULL), 0); /* for the tear-down */
}

static void a_connection_that_ends_meanwhile_leaves_a_mapping_as_it_was(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = map_it();
	uint64_t bytes = mapped_bytes();
	*(char *)pgmap_mapping_address(mapping) = 'm';
	fake.answer = answer_and_disconnect;
	assert_int_equal(pgmap_remap(mapping, BYTES), -EPIPE);
	assert_int_equal(mapped_bytes(), bytes);
	assert_int_equal(*(char *)pgmap_mapping_address(mapping), 'm');
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(set_up(NULL), 0); /* for the tear-down */
}

int main(void)
{
#define A_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		A_TEST(without_a_fork_nobody_has_inherited_anything),
		A_TEST(c7_8_after_a_fork_the_server_is_told_and_one_lease_is_enough),
		A_TEST(a_lease_that_cannot_be_had_is_said),
		A_TEST(what_is_mapped_moves_to_the_new_lease),
		A_TEST(a_lease_with_another_number_of_descriptors_is_none),
		A_TEST(what_is_older_than_a_mapping_is_asked_for_first),
		A_TEST(what_can_be_read_through_stays_when_something_shall_be_written),
		A_TEST(what_cannot_be_had_or_stays_old_is_a_refusal),
		A_TEST(c6_8_a_lease_that_got_lost_is_asked_for_before_something_is_mapped),
		A_TEST(c6_8_a_mapping_that_was_made_in_part_may_have_been_inherited),
		A_TEST(a_connection_that_ends_meanwhile_maps_nothing),
		A_TEST(a_connection_that_ends_meanwhile_leaves_a_mapping_as_it_was),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
