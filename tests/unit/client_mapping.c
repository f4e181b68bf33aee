/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_mapping.c - a mapping is the pieces that the server gave, at one range; a server that has made one that cannot be
 * used is told; an unmap that has begun succeeds. What is no right answer: client_mapping_replies.c.
 */
#include "fake_map.h"

static void what_is_mapped_is_what_the_pieces_say(void **state)
{
	(void)state;
	static const uint64_t device_page[] = {100, 101, 50, 8, 9};
	struct pgmap_mapping *mapping = map_it();
	char *at = pgmap_mapping_address(mapping);
	assert_int_equal(pgmap_mapping_bytes(mapping), BYTES);
	for (unsigned i = 0; i < 5; i++) {
		char back;
		at[i * PAGE + 7] = (char)('a' + i);
		assert_int_equal(pread(client->lease.read[0].fd, &back, 1, (off_t)(device_page[i] * PAGE + 7)), 1);
		assert_int_equal(back, 'a' + i);
	}
	assert_int_equal(fake.last[PROTO_MAP].handle, 5);
	assert_int_equal(fake.last[PROTO_MAP].offset_bytes, 2 * PAGE);
	assert_int_equal(fake.last[PROTO_MAP].len_bytes, BYTES);
	assert_int_equal(fake.last[PROTO_MAP].prot, PGMAP_MAP_READ | PGMAP_MAP_WRITE);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(fake.last[PROTO_UNMAP].handle, 77);
}

static void a_pin_counts_in_the_word_that_the_runs_say(void **state)
{
	(void)state;
	static const unsigned word[] = {10, 10, 11, 12, 12};
	struct pgmap_mapping *mapping = map_it();
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(pgmap_pin(mapping, i * PAGE, PAGE, PGMAP_PIN_LOCAL), 0);
		for (unsigned w = 0; w < FAKE_WORDS; w++)
			assert_int_equal(pinword_read(&client->words[w]).local, w == word[i]);
		assert_int_equal(pgmap_unpin(mapping, i * PAGE, PAGE, PGMAP_PIN_LOCAL), 0);
	}
	assert_int_equal(pgmap_unmap(mapping), 0);
}

static void an_error_of_the_server_is_the_answer(void **state)
{
	(void)state;
	static const int errors[] = {-ENOENT, -ERANGE, -ENODEV, -EBUSY, -EUSERS, -ENOSPC, -EPIPE};
	struct pgmap_mapping *mapping = (struct pgmap_mapping *)1;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		fake.err = errors[i];
		assert_int_equal(pgmap_map(file, 0, 0, PGMAP_MAP_READ, &mapping), errors[i]);
		assert_int_equal(pgmap_open_map(client, "f", 0, 0, PGMAP_MAP_READ, &mapping), errors[i]);
	}
	assert_ptr_equal(mapping, (struct pgmap_mapping *)1);
	assert_int_equal(fake.calls[PROTO_UNMAP], 0);
}

static void what_cannot_be_meant_is_refused_without_a_message(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping;
	static const unsigned bad_prot[] = {0, 4, 7, UINT32_MAX};
	char long_path[1100];
	memset(long_path, 'x', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = 0;
	for (size_t i = 0; i < sizeof(bad_prot) / sizeof(bad_prot[0]); i++) {
		assert_int_equal(pgmap_map(file, 0, 0, bad_prot[i], &mapping), -EINVAL);
		assert_int_equal(pgmap_open_map(client, "f", 0, 0, bad_prot[i], &mapping), -EINVAL);
	}
	assert_int_equal(pgmap_map(NULL, 0, 0, PGMAP_MAP_READ, &mapping), -EINVAL);
	assert_int_equal(pgmap_map(file, 0, 0, PGMAP_MAP_READ, NULL), -EINVAL);
	assert_int_equal(pgmap_open_map(NULL, "f", 0, 0, PGMAP_MAP_READ, &mapping), -EINVAL);
	assert_int_equal(pgmap_open_map(client, NULL, 0, 0, PGMAP_MAP_READ, &mapping), -EINVAL);
	assert_int_equal(pgmap_open_map(client, "f", 0, 0, PGMAP_MAP_READ, NULL), -EINVAL);
	assert_int_equal(pgmap_open_map(client, long_path, 0, 0, PGMAP_MAP_READ, &mapping), -ENAMETOOLONG);
	assert_int_equal(fake.calls[PROTO_MAP] + fake.calls[PROTO_OPEN_MAP], 0);
	assert_int_equal(pgmap_unmap(NULL), 0);
}

static void open_map_says_all_of_it_in_one_message(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping;
	fake.rep.u.map = (struct proto_map){.len_bytes = 3 * PAGE,
					    .nspans = 1,
					    .npieces = 1,
					    .nruns = 1,
					    .pieces = {{0, 8 * PAGE, 3 * PAGE, 0, 0}},
					    .runs = {{0, 0, 2, 0}}};
	assert_int_equal(pgmap_open_map(client, "/a/b", PGMAP_O_CREATE, 2 * PAGE, PGMAP_MAP_READ, &mapping), 0);
	const struct proto_req *req = &fake.last[PROTO_OPEN_MAP];
	assert_string_equal(req->path, "/a/b");
	assert_int_equal(req->flags, PGMAP_O_CREATE);
	assert_int_equal(req->len_bytes, 2 * PAGE);
	assert_int_equal(req->offset_bytes, 0);
	assert_int_equal(pgmap_mapping_bytes(mapping), 3 * PAGE); /* the file was longer */
	assert_int_equal(pgmap_unmap(mapping), 0);
	/* Shorter than what it was to become. */
	assert_int_equal(pgmap_open_map(client, "/a/b", PGMAP_O_CREATE, 4 * PAGE, PGMAP_MAP_READ, &mapping), -EPROTO);
	assert_int_equal(fake.calls[PROTO_UNMAP], 2);
}

/* The memory behind this connection has no MAP_SYNC, and says so. */
static void a_device_that_says_so_is_mapped_with_sync(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping;
	client->lease.devices[0] = PROTO_DEVICE_SYNC;
	assert_int_equal(pgmap_map(file, 2 * PAGE, BYTES, PGMAP_MAP_READ, &mapping), -EOPNOTSUPP);
	client->lease.devices[0] = 0;
	assert_int_equal(pgmap_map(file, 2 * PAGE, BYTES, PGMAP_MAP_READ, &mapping), 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
}

/* Of one folio, and of several. */
static void c5_5_what_a_device_says_may_not_be_pinned_is_not(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping;
	client->lease.devices[0] = PROTO_DEVICE_NO_PINS;
	for (int one = 0; one < 2; one++) {
		if (one)
			fake.rep.u.map = (struct proto_map){.len_bytes = PAGE,
							    .nspans = 1,
							    .npieces = 1,
							    .nruns = 1,
							    .pieces = {{0, 8 * PAGE, PAGE, 0, 0}},
							    .runs = {{0, 0, 0, 0}}};
		assert_int_equal(pgmap_map(file, one ? 0 : 2 * PAGE, one ? PAGE : BYTES, PGMAP_MAP_READ, &mapping), 0);
		assert_int_equal(pgmap_pin(mapping, 0, PAGE, PGMAP_PIN_LOCAL), -EPERM);
		assert_int_equal(pgmap_pin(mapping, 0, PAGE, PGMAP_PIN_REMOTE), -EPERM);
		assert_int_equal(pgmap_pin(mapping, 0, 0, PGMAP_PIN_LOCAL), -EINVAL);
		assert_int_equal(pgmap_unpin(mapping, 0, PAGE, PGMAP_PIN_LOCAL), -EINVAL);
		for (uint64_t i = 0; i < mapping->nspans; i++)
			assert_int_equal(pinword_read(&mapping->words[i]).local, 0);
		assert_int_equal(pgmap_unmap(mapping), 0);
	}
}

/* Such a device has come to the pool: what lies on the others can be pinned as before. */
static void c5_5_what_lies_on_other_devices_can_be_pinned(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = map_it();
	fake.hello.ndevices = 2;
	fake.hello.devices[1] = PROTO_DEVICE_NO_PINS;
	fake.hello.generation = fake.generation = 2;
	struct pgmap_mapping *later = map_it();
	assert_int_equal(client->lease.ndevices, 2);
	assert_int_equal(pgmap_pin(mapping, 0, BYTES, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unpin(mapping, 0, BYTES, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_pin(later, 0, BYTES, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unpin(later, 0, BYTES, PGMAP_PIN_LOCAL), 0);
	fake.rep.u.map.pieces[1].device = 1;
	assert_int_equal(pgmap_remap(later, BYTES), 0);
	assert_int_equal(pgmap_pin(later, 0, PAGE, PGMAP_PIN_LOCAL), -EPERM);
	fake.rep.u.map.pieces[1].device = 0;
	assert_int_equal(pgmap_remap(later, BYTES), 0);
	for (unsigned i = 10; i < 13; i++)
		pinword_init(&client->words[i], PINWORD_OPEN); /* as a server gives them */
	assert_int_equal(pgmap_pin(later, 0, PAGE, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unpin(later, 0, PAGE, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unmap(later), 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
}

static void a_mapping_for_reading_cannot_be_written(void **state)
{
	(void)state;
	char line[512], found = 0;
	struct pgmap_mapping *mapping;
	assert_int_equal(pgmap_map(file, 2 * PAGE, BYTES, PGMAP_MAP_READ, &mapping), 0);
	FILE *maps = fopen("/proc/self/maps", "re");
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long long from;
		char rights[8];
		if (sscanf(line, "%llx-%*x %7s", &from, rights) == 2 &&
		    from == (uintptr_t)pgmap_mapping_address(mapping)) {
			assert_string_equal(rights, "r--s");
			found = 1;
		}
	}
	(void)fclose(maps);
	assert_true(found);
	assert_int_equal(pgmap_unmap(mapping), 0);
}

static void an_unmap_of_what_is_pinned_changes_nothing(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = map_it();
	assert_int_equal(pgmap_pin(mapping, 4 * PAGE, 1, PGMAP_PIN_LOCAL), 0);
	uint64_t bytes = mapped_bytes();
	assert_int_equal(pgmap_unmap(mapping), -EBUSY);
	assert_int_equal(mapped_bytes(), bytes);
	assert_int_equal(fake.calls[PROTO_UNMAP], 0);
	assert_int_equal(pgmap_unpin(mapping, 4 * PAGE, 1, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(mapped_bytes(), bytes - BYTES);
}

/* The server is asked only when nothing is mapped any more: its answer to UNMAP lets others have the pages. */
static uint64_t mapped_at_unmap;
static int answer_unmap(struct fake *f, const struct proto_req *req, struct transport_reply *reply)
{
	if (req->type == PROTO_UNMAP)
		mapped_at_unmap = mapped_bytes();
	return answer_map(f, req, reply);
}

static void the_addresses_go_before_the_references(void **state)
{
	(void)state;
	uint64_t before = mapped_bytes();
	fake.answer = answer_unmap;
	struct pgmap_mapping *mapping = map_it();
	assert_int_equal(mapped_bytes(), before + BYTES);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(mapped_at_unmap, before);
}

/* Whatever the server says: the addresses have gone. A server that does not know what it gave is not spoken to again. */
static void an_unmap_that_has_unmapped_succeeds(void **state)
{
	(void)state;
	static const int errors[] = {-EBADF, -EBUSY, -ENOMEM, -EPERM, -EPROTO, 5};
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		uint64_t bytes = mapped_bytes();
		struct pgmap_mapping *mapping = map_it();
		fake.rep.error = errors[i];
		assert_int_equal(pgmap_unmap(mapping), 0);
		assert_int_equal(mapped_bytes(), bytes);
		assert_true(fake.hung_up > 0);
		assert_int_equal(pgmap_map(file, 0, 0, PGMAP_MAP_READ, &mapping), -EPIPE);
		fake.hung_up = 0;
		fake.rep.error = 0;
	}
}

static void so_when_the_server_has_gone(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = map_it();
	uint64_t bytes = mapped_bytes();
	fake.hung_up = 1;
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(mapped_bytes(), bytes - BYTES);
}

static void so_when_the_connection_has_ended(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = map_it();
	unsigned unmaps = fake.calls[PROTO_UNMAP];
	assert_int_equal(pgmap_disconnect(client), 0);
	assert_int_equal(*(char *)pgmap_mapping_address(mapping), 0); /* it is still there */
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(fake.calls[PROTO_UNMAP], unmaps);
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(set_up(NULL), 0); /* for the tear-down */
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(what_is_mapped_is_what_the_pieces_say),
		T(a_pin_counts_in_the_word_that_the_runs_say),
		T(an_error_of_the_server_is_the_answer),
		T(what_cannot_be_meant_is_refused_without_a_message),
		T(open_map_says_all_of_it_in_one_message),
		T(a_mapping_for_reading_cannot_be_written),
		T(an_unmap_of_what_is_pinned_changes_nothing),
		T(the_addresses_go_before_the_references),
		T(an_unmap_that_has_unmapped_succeeds),
		T(so_when_the_server_has_gone),
		T(so_when_the_connection_has_ended),
		T(c5_5_what_a_device_says_may_not_be_pinned_is_not),
		T(c5_5_what_lies_on_other_devices_can_be_pinned),
		T(a_device_that_says_so_is_mapped_with_sync),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
