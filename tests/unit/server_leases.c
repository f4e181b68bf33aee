/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * server_leases.c - what a client unmaps that its forked children may have still: the pages stay until the leases have
 * fallen that the mapping can have been inherited with, and not longer. Here a descriptor of a lease is the child.
 */
#include "server_util.h"

static int ask_lease(const struct client *client, uint32_t flags)
{
	struct proto_req req = request(PROTO_LEASE);
	req.flags = flags;
	return ask(client, &req);
}

/* A new lease; the descriptors of the old one are the answer's, for a child to keep. */
static int renew(void)
{
	int old = me.fds[0];
	assert_int_equal(ask_lease(&me, PROTO_LEASE_NEXT), 0);
	assert_int_equal(reply.nfds, 1);
	me.fds[0] = reply.fds[0];
	return old;
}

static uint64_t map_new(const char *path, uint64_t pages)
{
	assert_int_equal(open_map(&me, path, FSDAX_CREATE, pages * PAGE), 0);
	return reply.rep.handle;
}

static int unmap(uint64_t handle, uint32_t inherited)
{
	struct proto_req req = request(PROTO_UNMAP);
	req.handle = handle;
	req.flags = inherited;
	return ask(&me, &req);
}

/* The lease that is wanted; nobody else's, and it has fallen. */
static void let_fall(int fd)
{
	struct lease *lease = service_lease_wanted(me.session);
	assert_non_null(lease);
	assert_int_equal(devices_lease_probe(&service->devices, lease->byte), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(service_lease_wait(service, lease), 0);
	service_lease_gone(lease);
}

static void c6_8_what_a_child_may_map_is_kept_until_its_lease_falls(void **state)
{
	(void)state;
	uint64_t a = map_new("/a", 4), b = map_new("/b", 2);
	int child = renew();
	assert_int_equal(unmap(a, PROTO_UNMAP_INHERITED), 0);
	assert_int_equal(unmap(a, 0), -EBADF); /* no more the client's */
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/a"), 0);
	assert_int_equal(space().used, 6);
	assert_int_equal(unmap(b, 0), 0); /* it says that no child has it */
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/b"), 0);
	assert_int_equal(space().used, 4);
	let_fall(child);
	assert_int_equal(space().used + space().waiting, 0);
	assert_null(service_lease_wanted(me.session));
}

static void what_was_mapped_after_the_fork_waits_for_nobody(void **state)
{
	(void)state;
	int child = renew();
	uint64_t a = map_new("/a", 4);
	assert_int_equal(unmap(a, PROTO_UNMAP_INHERITED), 0);
	assert_null(service_lease_wanted(me.session));
	assert_int_equal(pgmap_live_pages(dax_pgmap(service->devices.memory[0])), 0);
	assert_int_equal(close(child), 0);
}

/* The child is older than what goes, and the lease of both stands: what is asked for besides says nothing of a child. */
static void c6_8_what_no_child_may_map_is_free_at_once_when_its_name_goes_too(void **state)
{
	(void)state;
	uint64_t a = map_new("/a", 4), b = map_new("/b", 2);
	int child = renew();
	assert_int_equal(unmap(a, PROTO_UNMAP_INHERITED), 0);
	assert_int_equal(unmap(b, PROTO_UNMAP_UNLINK), 0);
	assert_int_equal(reply.rep.count, 0);
	assert_int_equal(space().used + space().waiting, 4);
	let_fall(child);
	assert_int_equal(pgmap_live_pages(dax_pgmap(service->devices.memory[0])), 0);
}

static void a_child_that_has_gone_already_keeps_nothing(void **state)
{
	(void)state;
	uint64_t a = map_new("/a", 4);
	assert_int_equal(close(renew()), 0);
	assert_int_equal(unmap(a, PROTO_UNMAP_INHERITED), 0);
	assert_null(service_lease_wanted(me.session));
	assert_int_equal(pgmap_live_pages(dax_pgmap(service->devices.memory[0])), 0);
	assert_int_equal(me.session->nleases, 1);
}

static void c6_8_of_several_children_the_last_one_counts(void **state)
{
	(void)state;
	uint64_t a = map_new("/a", 4);
	int first = renew();
	uint64_t b = map_new("/b", 1);
	int second = renew();
	assert_int_equal(unmap(a, PROTO_UNMAP_INHERITED), 0);
	assert_int_equal(unmap(b, PROTO_UNMAP_INHERITED), 0);
	struct lease *of_first = service_lease_wanted(me.session);
	assert_int_equal(of_first->byte, me.session->id);
	assert_int_equal(close(first), 0);
	service_lease_gone(of_first);
	assert_int_equal(pgmap_live_pages(dax_pgmap(service->devices.memory[0])),
			 5); /* the second child can have both */
	let_fall(second);
	assert_int_equal(pgmap_live_pages(dax_pgmap(service->devices.memory[0])), 0);
}

static void without_a_new_lease_it_waits_for_the_one_in_use(void **state)
{
	(void)state;
	uint64_t a = map_new("/a", 4);
	assert_int_equal(unmap(a, PROTO_UNMAP_INHERITED | PROTO_UNMAP_UNRENEWED), 0);
	assert_null(service_lease_wanted(me.session)); /* not while its client is there */
	assert_int_equal(pgmap_live_pages(dax_pgmap(service->devices.memory[0])), 4);
	assert_int_equal(close(me.fds[0]), 0); /* a client that gives up its lease can still ask for things */
	assert_int_equal(map_new("/b", 1), 1);
	assert_int_equal(unmap(1, 0), 0);
	assert_int_equal(ask_lease(&me, PROTO_LEASE_NEXT), 0);
	me.fds[0] = reply.fds[0];
	struct lease *lease = service_lease_wanted(me.session);
	assert_int_equal(devices_lease_probe(&service->devices, lease->byte), 1);
	service_lease_gone(lease);
	assert_int_equal(pgmap_live_pages(dax_pgmap(service->devices.memory[0])), 0);
}

static void c7_3_a_holder_ends_when_all_its_leases_have(void **state)
{
	(void)state;
	struct client mine = me;
	uint64_t a = map_new("/a", 4);
	(void)map_new("/b", 1);
	int child = renew();
	mine.fds[0] = me.fds[0];
	assert_int_equal(unmap(a, PROTO_UNMAP_INHERITED), 0);
	struct lease *first = service_lease_wanted(me.session);
	assert_false(service_disconnect(me.session));
	struct lease *second = service_lease_wanted(me.session);
	assert_ptr_not_equal(first, second);
	assert_null(service_lease_wanted(me.session));
	assert_int_equal(close(mine.fds[0]), 0);
	service_lease_gone(second);
	assert_int_equal(service->holders, 1); /* the child has both: it was made after /b */
	assert_int_equal(pgmap_live_pages(dax_pgmap(service->devices.memory[0])), 5);
	assert_int_equal(close(child), 0);
	service_lease_gone(first);
	assert_int_equal(service->holders, 0);
	assert_int_equal(pgmap_live_pages(dax_pgmap(service->devices.memory[0])), 0);
	assert_int_equal(close(mine.fds[1]), 0);
	assert_int_equal(close(mine.fds[2]), 0);
	me = join(0);
}

static void an_inherited_mapping_has_no_words_any_more(void **state)
{
	(void)state;
	uint64_t a = map_new("/a", 1), file, first_word = reply.rep.u.map.first_word;
	int child = renew();
	assert_int_equal(open_file(&me, "/a", 0, &file), 0);
	assert_int_equal(unmap(a, PROTO_UNMAP_INHERITED), 0);
	uint64_t b = map_new("/b", 1);
	assert_int_equal(reply.rep.u.map.first_word, first_word); /* they are another's now */
	assert_int_equal(truncate_file(&me, file, 0), 0);
	assert_int_equal(pinword_pin(&me.session->segment.words[first_word], 0), 0);
	assert_int_equal(unmap(b, 0), -EBUSY);
	assert_int_equal(pinword_unpin(&me.session->segment.words[first_word], 0), 0);
	assert_int_equal(unmap(b, 0), 0);
	assert_int_equal(ask_handle(&me, PROTO_CLOSE, file), 0);
	let_fall(child);
	assert_int_equal(space().waiting, 0);
}

static void who_shows_it_and_a_drain_names_it(void **state)
{
	(void)state;
	char text[200], want[200];
	uint64_t a = map_new("/a", 4);
	int child = renew();
	assert_int_equal(unmap(a, PROTO_UNMAP_INHERITED), 0);
	assert_int_equal(ask_path(&me, PROTO_WHO, ""), 0);
	assert_int_equal(reply.rep.count, 1);
	struct proto_who *row = take_records(sizeof(*row));
	assert_int_equal(row->state, PROTO_WHO_INHERITED);
	assert_int_equal(row->pages, 4);
	assert_int_equal(row->refs, 1);
	free(row);
	service_waits_for(service, text, sizeof(text));
	(void)snprintf(want, sizeof(want), "%s (pid %ld, unmapped, but not by its children)", me.session->command,
		       (long)getpid());
	assert_string_equal(text, want);
	let_fall(child);
}

static void a_writable_descriptor_is_of_the_lease_in_use(void **state)
{
	(void)state;
	char byte = 1;
	uint64_t a = map_new("/a", 1), device = reply.rep.u.map.pieces[0].device_offset_bytes;
	assert_int_equal(pwrite(me.fds[0], &byte, 1, (off_t)device), -1); /* what a hello gives can be read */
	assert_int_equal(errno, EBADF);
	assert_int_equal(ask_lease(&me, PROTO_LEASE_WRITE), 0);
	assert_int_equal(reply.nfds, 1);
	int child = reply.fds[0];
	assert_int_equal(pwrite(child, &byte, 1, (off_t)device), 1);
	assert_int_equal(ask_lease(&me, PROTO_LEASE_NEXT | PROTO_LEASE_WRITE), 0);
	assert_int_equal(reply.nfds, 2);
	assert_int_equal(pwrite(reply.fds[0], &byte, 1, (off_t)device), -1);
	assert_int_equal(pwrite(reply.fds[1], &byte, 1, (off_t)device), 1);
	assert_int_equal(close(reply.fds[1]), 0);
	assert_int_equal(close(me.fds[0]), 0);
	me.fds[0] = reply.fds[0];
	assert_int_equal(unmap(a, PROTO_UNMAP_INHERITED), 0);
	assert_int_equal(pgmap_live_pages(dax_pgmap(service->devices.memory[0])), 1);
	let_fall(child); /* the writable one alone keeps it */
	assert_int_equal(pgmap_live_pages(dax_pgmap(service->devices.memory[0])), 0);
}

static void leases_are_bounded_and_those_that_fell_are_forgotten(void **state)
{
	(void)state;
	int children[LEASES_MAX];
	unsigned n = 0;
	while (n < LEASES_MAX - 1)
		children[n++] = renew();
	assert_int_equal(ask_lease(&me, PROTO_LEASE_NEXT), -EUSERS);
	assert_int_equal(ask_lease(&me, PROTO_LEASE_WRITE), 0); /* that is not a new one */
	assert_int_equal(close(reply.fds[0]), 0);
	assert_int_equal(close(children[--n]), 0);
	children[n++] = renew();
	while (n)
		assert_int_equal(close(children[--n]), 0);
	assert_int_equal(close(renew()), 0);
	assert_int_equal(me.session->nleases, 2); /* the last one was still held when the next was asked for */
}

static void a_lease_that_cannot_be_had_leaves_nothing(void **state)
{
	(void)state;
	struct proto_req nothing = request(PROTO_LEASE);
	unsigned before = open_descriptors();
	for (unsigned room = 0; room < 2; room++) {
		rlim_t was = few_descriptors(room);
		int err = ask_lease(&me, PROTO_LEASE_NEXT | PROTO_LEASE_WRITE);
		descriptors_again(was);
		assert_int_equal(err, -EMFILE);
	}
	assert_int_equal(ask(&me, &nothing), -EINVAL);
	assert_int_equal(ask_lease(&me, PROTO_LEASE_NEXT | PROTO_LEASE_READ), -EINVAL);
	for (unsigned bit = 3; bit < 32; bit++)
		assert_int_equal(ask_lease(&me, UINT32_C(1) << bit), -EINVAL);
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(me.session->nleases, 1);
	struct client control = join(PROTO_HELLO_CONTROL);
	assert_int_equal(ask_lease(&control, PROTO_LEASE_NEXT), -EPERM);
	leave(&control);
}

int main(void)
{
#define A_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_one, tear_down_one)
	const struct CMUnitTest tests[] = {
		A_TEST(c6_8_what_a_child_may_map_is_kept_until_its_lease_falls),
		A_TEST(what_was_mapped_after_the_fork_waits_for_nobody),
		A_TEST(c6_8_what_no_child_may_map_is_free_at_once_when_its_name_goes_too),
		A_TEST(a_child_that_has_gone_already_keeps_nothing),
		A_TEST(c6_8_of_several_children_the_last_one_counts),
		A_TEST(without_a_new_lease_it_waits_for_the_one_in_use),
		A_TEST(c7_3_a_holder_ends_when_all_its_leases_have),
		A_TEST(an_inherited_mapping_has_no_words_any_more),
		A_TEST(who_shows_it_and_a_drain_names_it),
		A_TEST(a_writable_descriptor_is_of_the_lease_in_use),
		A_TEST(leases_are_bounded_and_those_that_fell_are_forgotten),
		A_TEST(a_lease_that_cannot_be_had_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
