/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_mapping_replies.c - a mapping is what was asked for, or nothing: whatever a server answers, no index of it is followed
 * out of bounds, and what it gave is given back.
 */
#include "fake_map.h"

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
		{3 * PAGE, 100 * PAGE, 2 * PAGE, 0, 0}, {2 * PAGE, 100 * PAGE, PAGE, 0, 0},
		{2 * PAGE, 100 * PAGE, 0, 0, 0},        {2 * PAGE, 100 * PAGE + 1, PAGE, 0, 0},
		{2 * PAGE, 100 * PAGE, 2, 0, 0},        {2 * PAGE, 100 * PAGE, UINT64_MAX, 0, 0},
		{UINT64_MAX, 100 * PAGE, PAGE, 0, 0},   {2 * PAGE, 100 * PAGE, 3 * PAGE, 0, 0},
		{0, 100 * PAGE, 4 * PAGE, 0, 0},
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
		list.pieces[i] = (struct proto_piece){(2 + i) * PAGE, (200 - 2 * i) * PAGE, PAGE, 0, 0};
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
		assert_int_equal(pread(client->lease.read[0].fd, &back, 1, (off_t)((200 - 2 * i) * PAGE)), 1);
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

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(words_that_are_not_ours_are_refused),
		T(another_range_than_was_asked_for_is_refused),
		T(so_when_all_of_it_is_right_but_for_the_question),
		T(a_length_beyond_everything_is_refused),
		T(counts_of_pieces_and_runs_are_checked),
		T(runs_that_lead_out_of_the_mapping_are_refused),
		T(pieces_that_are_not_the_range_are_refused),
		T(a_first_run_that_is_not_the_first_span_is_refused),
		T(a_piece_that_cannot_be_mapped_leaves_nothing),
		T(a_long_answer_comes_in_a_descriptor),
		T(a_long_answer_that_is_not_whole_is_refused),
		T(descriptors_that_nobody_asked_for_are_closed),
		T(a_mapping_whose_descriptor_got_lost_is_given_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
