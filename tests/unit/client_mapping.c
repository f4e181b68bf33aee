/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_mapping.c - a mapping is what was asked for, or nothing: whatever a server answers, no index of it is followed out
 * of bounds, and what it gave is given back. An unmap that has begun succeeds.
 */
#include "fake.h"

#include <stdio.h>

#include "client/mapping.h"

enum { PIECES = 3, RUNS = 3, BYTES = 5 * PAGE };

static struct fake fake;
static struct pgmap_client *client;
static struct pgmap_file *file;

/* A mapping that is right: 5 pages from page 2 of the file, in three pieces and three folios. */
static const struct proto_map good = {
	.offset_bytes = 2 * PAGE,
	.len_bytes = BYTES,
	.first_word = 10,
	.nspans = 3,
	.npieces = PIECES,
	.nruns = RUNS,
	.pieces = {{2 * PAGE, 100 * PAGE, 2 * PAGE}, {4 * PAGE, 50 * PAGE, PAGE}, {5 * PAGE, 8 * PAGE, 2 * PAGE}},
	.runs = {{2, 0, 1, 0}, {4, 1, 0, 0}, {5, 2, 1, 0}},
};

static int answer_map(struct fake *f, const struct proto_req *req, struct transport_reply *reply)
{
	if (req->type == PROTO_MAP || req->type == PROTO_OPEN_MAP) {
		reply->rep.handle = 77;
		reply->rep.u.map = f->rep.u.map;
		return f->err;
	}
	reply->rep.handle = req->type == PROTO_OPEN ? 5 : 0;
	reply->rep.error = req->type == PROTO_UNMAP ? f->rep.error : 0;
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	fake_init(&fake);
	fake.answer = answer_map;
	fake.rep.u.map = good;
	client = fake_connect(&fake);
	return pgmap_open(client, "f", 0, &file);
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(pgmap_close(file), 0);
	return pgmap_disconnect(client);
}

static struct pgmap_mapping *map_it(void)
{
	struct pgmap_mapping *mapping;
	assert_int_equal(pgmap_map(file, 2 * PAGE, BYTES, PGMAP_MAP_READ | PGMAP_MAP_WRITE, &mapping), 0);
	return mapping;
}

/* Bytes of address space that map the device, as the kernel says. */
static uint64_t mapped_bytes(void)
{
	char line[512];
	uint64_t bytes = 0;
	FILE *maps = fopen("/proc/self/maps", "re");
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long long from, to;
		if (strstr(line, "memfd:fake") && sscanf(line, "%llx-%llx", &from, &to) == 2)
			bytes += to - from;
	}
	(void)fclose(maps);
	return bytes;
}

/* Refused: nothing is mapped, no descriptor is left, the server is told to take its mapping back, and the file stays. */
static void assert_refused(int err)
{
	struct pgmap_mapping *mapping = (struct pgmap_mapping *)1;
	uint64_t bytes = mapped_bytes();
	unsigned fds = fake_count_fds(), unmaps = fake.calls[PROTO_UNMAP];
	assert_int_equal(pgmap_map(file, 2 * PAGE, BYTES, PGMAP_MAP_READ, &mapping), err);
	assert_ptr_equal(mapping, (struct pgmap_mapping *)1);
	assert_int_equal(mapped_bytes(), bytes);
	assert_int_equal(fake_count_fds(), fds);
	assert_int_equal(fake.calls[PROTO_UNMAP], unmaps + 1);
	assert_int_equal(fake.last[PROTO_UNMAP].handle, 77);
	assert_int_equal(fake.hung_up, 0);
}

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
		assert_int_equal(pread(client->lease_fd, &back, 1, (off_t)(device_page[i] * PAGE + 7)), 1);
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

static void words_that_are_not_ours_are_refused(void **state)
{
	(void)state;
	static const struct {
		uint64_t first_word, nspans;
	} bad[] = {{0, 0},          {FAKE_WORDS - 2, 3},  {FAKE_WORDS, 3},          {UINT64_MAX, 3},
		   {UINT64_MAX, 1}, {0, FAKE_WORDS + 1U}, {UINT64_MAX - 1, 3},      {1, UINT64_MAX},
		   {0, UINT64_MAX}, {UINT64_MAX / 8, 3},  {FAKE_WORDS, FAKE_WORDS}, {1, FAKE_WORDS}};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fake.rep.u.map.first_word = bad[i].first_word;
		fake.rep.u.map.nspans = bad[i].nspans;
		assert_refused(-EPROTO);
	}
	fake.rep.u.map = good;
	fake.rep.u.map.first_word = FAKE_WORDS - 3; /* the last that fit */
	assert_int_equal(pgmap_unmap(map_it()), 0);
}

static void another_range_than_was_asked_for_is_refused(void **state)
{
	(void)state;
	static const struct {
		uint64_t offset, len;
	} bad[] = {{PAGE, BYTES},         {3 * PAGE, BYTES},         {0, BYTES},
		   {2 * PAGE, BYTES - 1}, {2 * PAGE, BYTES + 1},     {2 * PAGE, 0},
		   {UINT64_MAX, BYTES},   {2 * PAGE, UINT64_MAX},    {2 * PAGE, (uint64_t)INT64_MAX + 1},
		   {2 * PAGE, INT64_MAX}, {UINT64_MAX - 4095, BYTES}};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fake.rep.u.map.offset_bytes = bad[i].offset;
		fake.rep.u.map.len_bytes = bad[i].len;
		assert_refused(-EPROTO);
	}
}

/* A whole and right answer, to another question. */
static void so_when_all_of_it_is_right_but_for_the_question(void **state)
{
	(void)state;
	fake.rep.u.map.offset_bytes += PAGE;
	for (unsigned i = 0; i < PIECES; i++) {
		fake.rep.u.map.pieces[i].file_offset_bytes += PAGE;
		fake.rep.u.map.runs[i].file_pgoff++;
	}
	assert_refused(-EPROTO);
}

/* "To the end" may be any length, but one that the file offsets and the address space have. */
static void a_length_beyond_everything_is_refused(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping;
	static const uint64_t bad[] = {0, BYTES + 1, INT64_MAX - PAGE, INT64_MAX, UINT64_MAX};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fake.rep.u.map.len_bytes = bad[i];
		assert_int_equal(pgmap_map(file, 2 * PAGE, 0, PGMAP_MAP_READ, &mapping), -EPROTO);
	}
	fake.rep.u.map.len_bytes = BYTES;
	assert_int_equal(pgmap_map(file, 2 * PAGE, 0, PGMAP_MAP_READ, &mapping), 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
}

static void counts_of_pieces_and_runs_are_checked(void **state)
{
	(void)state;
	static const struct {
		uint64_t npieces, nruns;
	} bad[] = {{0, RUNS},          {PIECES, 0}, {PIECES, 4}, {PIECES, UINT64_MAX}, {(uint64_t)UINT32_MAX + 1, RUNS},
		   {UINT64_MAX, RUNS}, {2, RUNS},   {4, RUNS}};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fake.rep.u.map.npieces = bad[i].npieces;
		fake.rep.u.map.nruns = bad[i].nruns;
		assert_refused(-EPROTO);
	}
	/* More than lie inline, and no descriptor with the rest. */
	fake.rep.u.map = good;
	fake.rep.u.map.npieces = PROTO_INLINE_PIECES + 1;
	assert_refused(-EPROTO);
	fake.rep.u.map = good;
	fake.rep.u.map.nspans = fake.rep.u.map.nruns = PROTO_INLINE_RUNS + 1;
	assert_refused(-EPROTO);
}

static void runs_that_lead_out_of_the_mapping_are_refused(void **state)
{
	(void)state;
	static const struct proto_run bad[][RUNS] = {
		{{3, 0, 1, 0}, {4, 1, 0, 0}, {5, 2, 1, 0}},             /* begins behind the mapping's start */
		{{2, 1, 1, 0}, {4, 1, 0, 0}, {5, 2, 1, 0}},             /* the first span is not 0 */
		{{2, 0, 19, 0}, {4, 1, 0, 0}, {5, 2, 1, 0}},            /* no such order */
		{{2, 0, 64, 0}, {4, 1, 0, 0}, {5, 2, 1, 0}},            /* a shift that C does not have */
		{{2, 0, UINT32_MAX, 0}, {4, 1, 0, 0}, {5, 2, 1, 0}},    /* nor this */
		{{2, 0, 0, 0}, {4, 1, 0, 0}, {5, 2, 1, 0}},             /* two pages, one span */
		{{2, 0, 1, 0}, {4, 1, 0, 0}, {5, 2, 0, 0}},             /* so at the end */
		{{2, 0, 1, 0}, {2, 1, 0, 0}, {5, 2, 1, 0}},             /* two runs at one page */
		{{2, 0, 1, 0}, {5, 1, 0, 0}, {4, 2, 1, 0}},             /* descending */
		{{2, 0, 1, 0}, {4, 0, 0, 0}, {5, 2, 1, 0}},             /* no span of its own */
		{{2, 0, 1, 0}, {4, 2, 0, 0}, {5, 1, 1, 0}},             /* spans descending */
		{{2, 0, 1, 0}, {4, 1, 0, 0}, {5, 3, 1, 0}},             /* a span that the mapping has not */
		{{2, 0, 1, 0}, {4, 1, 0, 0}, {7, 2, 1, 0}},             /* begins at the mapping's end */
		{{2, 0, 1, 0}, {4, 1, 0, 0}, {5, UINT64_MAX, 1, 0}},    /* far out */
		{{2, 0, 1, 0}, {UINT64_MAX, 1, 0, 0}, {5, 2, 1, 0}},    /* far out */
		{{2, 0, 1, 0}, {4, UINT64_MAX, 0, 0}, {5, 2, 1, 0}},    /* far out */
		{{UINT64_MAX, 0, 1, 0}, {4, 1, 0, 0}, {5, 2, 1, 0}},    /* far out */
		{{2, UINT64_MAX, 1, 0}, {4, 1, 0, 0}, {5, 2, 1, 0}},    /* far out */
		{{2, 0, 1, 0}, {4, 1, 0, 0}, {UINT64_MAX, 2, 18, 0}},   /* far out */
		{{2, 0, 1, 0}, {UINT64_MAX, 1, 18, 0}, {0, 2, 18, 0}}}; /* far out, and back */
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memcpy(fake.rep.u.map.runs, bad[i], sizeof(bad[i]));
		assert_refused(-EPROTO);
	}
}

static void pieces_that_are_not_the_range_are_refused(void **state)
{
	(void)state;
	static const struct proto_piece bad[] = {
		{3 * PAGE, 100 * PAGE, 2 * PAGE}, {2 * PAGE, 100 * PAGE, PAGE},     {2 * PAGE, 100 * PAGE, 0},
		{2 * PAGE, 100 * PAGE + 1, PAGE}, {2 * PAGE, 100 * PAGE, 2},        {2 * PAGE, 100 * PAGE, UINT64_MAX},
		{UINT64_MAX, 100 * PAGE, PAGE},   {2 * PAGE, 100 * PAGE, 3 * PAGE}, {0, 100 * PAGE, 4 * PAGE},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fake.rep.u.map.pieces[0] = bad[i];
		assert_refused(-EPROTO);
	}
}

static void a_first_run_that_is_not_the_first_span_is_refused(void **state)
{
	(void)state;
	fake.rep.u.map.nspans++;
	for (unsigned i = 0; i < RUNS; i++)
		fake.rep.u.map.runs[i].first_span++;
	assert_refused(-EPROTO);
}

/* The kernel's own word: an offset that no file can have. What was mapped before it goes again. */
static void a_piece_that_cannot_be_mapped_leaves_nothing(void **state)
{
	(void)state;
	fake.rep.u.map.pieces[2].device_offset_bytes = UINT64_MAX - PAGE + 1;
	assert_refused(-EOVERFLOW);
}

/* The long form: one page a piece, in descending order on the device; and one folio a page. */
enum { LONG = 20 };
static struct {
	struct proto_piece pieces[LONG];
	struct proto_run runs[LONG];
} list;
static size_t list_bytes;
static unsigned list_fds;

static int answer_long(struct fake *f, const struct proto_req *req, struct transport_reply *reply)
{
	int err = answer_map(f, req, reply);
	if (req->type == PROTO_MAP)
		while (reply->nfds < list_fds)
			reply->fds[reply->nfds++] = fake_memfd_with(&list, list_bytes);
	return err;
}

static void set_up_long(void)
{
	for (unsigned i = 0; i < LONG; i++) {
		list.pieces[i] = (struct proto_piece){(2 + i) * PAGE, (200 - 2 * i) * PAGE, PAGE};
		list.runs[i] = (struct proto_run){.file_pgoff = 2 + i, .first_span = i, .order = i % 2};
	}
	list_bytes = sizeof(list);
	list_fds = 1;
	fake.answer = answer_long;
	fake.rep.u.map = (struct proto_map){
		.offset_bytes = 2 * PAGE, .len_bytes = LONG * PAGE, .nspans = LONG, .npieces = LONG, .nruns = LONG};
}

static int map_long(struct pgmap_mapping **out)
{
	return pgmap_map(file, 2 * PAGE, LONG * PAGE, PGMAP_MAP_READ | PGMAP_MAP_WRITE, out);
}

static void a_long_answer_comes_in_a_descriptor(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping;
	set_up_long();
	unsigned fds = fake_count_fds();
	assert_int_equal(map_long(&mapping), 0);
	assert_int_equal(fake_count_fds(), fds);
	for (unsigned i = 0; i < LONG; i++) {
		char back;
		((char *)pgmap_mapping_address(mapping))[i * PAGE] = (char)('a' + i);
		assert_int_equal(pread(client->lease_fd, &back, 1, (off_t)((200 - 2 * i) * PAGE)), 1);
		assert_int_equal(back, 'a' + i);
		assert_int_equal(pgmap_pin(mapping, i * PAGE, 1, PGMAP_PIN_REMOTE), 0);
		assert_int_equal(pinword_read(&client->words[i]).remote, 1);
		assert_int_equal(pgmap_unpin(mapping, i * PAGE, 1, PGMAP_PIN_REMOTE), 0);
	}
	assert_int_equal(pgmap_unmap(mapping), 0);
}

static void a_long_answer_that_is_not_whole_is_refused(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping;
	set_up_long();
	unsigned fds = fake_count_fds();
	for (list_bytes = 0; list_bytes < sizeof(list); list_bytes += 24)
		assert_int_equal(map_long(&mapping), -EPROTO);
	list_bytes = sizeof(list) - 1;
	assert_int_equal(map_long(&mapping), -EPROTO);
	list_bytes = sizeof(list);
	for (list_fds = 0; list_fds <= PROTO_MAX_FDS; list_fds++)
		assert_int_equal(map_long(&mapping), list_fds == 1 ? 0 : -EPROTO);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(fake_count_fds(), fds);
}

static void descriptors_that_nobody_asked_for_are_closed(void **state)
{
	(void)state;
	set_up_long();
	list_fds = PROTO_MAX_FDS;
	fake.rep.u.map = good;
	unsigned fds = fake_count_fds();
	assert_int_equal(pgmap_unmap(map_it()), 0);
	fake.rep.u.map.nspans = 0;
	assert_refused(-EPROTO);
	assert_int_equal(fake_count_fds(), fds);
}

/* The server made it; the descriptor of the answer found no place here. */
static void a_mapping_whose_descriptor_got_lost_is_given_back(void **state)
{
	(void)state;
	fake.err = -EMFILE;
	assert_refused(-EMFILE);
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
					    .pieces = {{0, 8 * PAGE, 3 * PAGE}},
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
		T(words_that_are_not_ours_are_refused),
		T(another_range_than_was_asked_for_is_refused),
		T(so_when_all_of_it_is_right_but_for_the_question),
		T(a_length_beyond_everything_is_refused),
		T(counts_of_pieces_and_runs_are_checked),
		T(runs_that_lead_out_of_the_mapping_are_refused),
		T(a_first_run_that_is_not_the_first_span_is_refused),
		T(pieces_that_are_not_the_range_are_refused),
		T(a_piece_that_cannot_be_mapped_leaves_nothing),
		T(a_long_answer_comes_in_a_descriptor),
		T(a_long_answer_that_is_not_whole_is_refused),
		T(descriptors_that_nobody_asked_for_are_closed),
		T(a_mapping_whose_descriptor_got_lost_is_given_back),
		T(an_error_of_the_server_is_the_answer),
		T(what_cannot_be_meant_is_refused_without_a_message),
		T(open_map_says_all_of_it_in_one_message),
		T(a_mapping_for_reading_cannot_be_written),
		T(an_unmap_of_what_is_pinned_changes_nothing),
		T(the_addresses_go_before_the_references),
		T(an_unmap_that_has_unmapped_succeeds),
		T(so_when_the_server_has_gone),
		T(so_when_the_connection_has_ended),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
