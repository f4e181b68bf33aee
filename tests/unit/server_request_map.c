/* SPDX-License-Identifier: BSD-3-Clause */
/* server_request_map.c - mappings as a client asks for them: all or nothing, and an answer that leads to every page. */
#include "failing.h"
#include "server_util.h"

static char *page_at(uint64_t device_offset)
{
	return (char *)service->devices.base[0] + device_offset;
}

static bool all_bytes(const struct proto_map *map, char byte)
{
	for (uint64_t i = 0; i < map->npieces; i++) {
		const char *p = page_at(map->pieces[i].device_offset_bytes);
		for (uint64_t at = 0; at < map->pieces[i].len_bytes; at++)
			if (p[at] != byte)
				return false;
	}
	return true;
}

/* A file full of this byte, mapped if *handle is asked for. */
static void make_full(const char *path, uint64_t bytes, char byte, uint64_t *handle)
{
	assert_int_equal(open_map(&me, path, FSDAX_CREATE, bytes), 0);
	const struct proto_map *map = &reply.rep.u.map;
	assert_true(map->npieces <= PROTO_INLINE_PIECES);
	for (uint64_t i = 0; i < map->npieces; i++)
		memset(page_at(map->pieces[i].device_offset_bytes), byte, map->pieces[i].len_bytes);
	uint64_t id = reply.rep.handle;
	if (handle)
		*handle = id;
	else
		assert_int_equal(ask_handle(&me, PROTO_UNMAP, id), 0);
}

/* All that can be seen of the pool and of this client. */
struct seen {
	struct fsdax_statfs space;
	struct fsdax_stat st;
	int missing;
	uint64_t live, words, maps, files;
	unsigned fds;
};

static struct seen look(const char *path)
{
	struct seen seen;
	memset(&seen, 0, sizeof(seen));
	seen.space = space();
	seen.missing = fsdax_stat(service->fs, path, &seen.st);
	seen.live = pgmap_live_pages(dax_pgmap(service->devices.memory[0]));
	seen.words = wordpool_available(me.session->segment.pool);
	seen.maps = me.session->maps.nslots - me.session->maps.nunused;
	seen.files = me.session->files.nslots - me.session->files.nunused;
	seen.fds = open_descriptors();
	return seen;
}

static void assert_same(const struct seen *before, const char *path)
{
	struct seen now = look(path);
	assert_memory_equal(&before->space, &now.space, offsetof(struct fsdax_statfs, granule_order));
	assert_int_equal(before->missing, now.missing);
	assert_int_equal(before->st.size_bytes, now.st.size_bytes);
	assert_int_equal(before->st.extents, now.st.extents);
	assert_int_equal(before->st.mappings, now.st.mappings);
	assert_int_equal(before->st.mtime_ns, now.st.mtime_ns);
	assert_int_equal(before->live, now.live);
	assert_int_equal(before->words, now.words);
	assert_int_equal(before->maps, now.maps);
	assert_int_equal(before->files, now.files);
	assert_int_equal(before->fds, now.fds);
}

static void map_answers_for_what_cannot_be_mapped(void **state)
{
	(void)state;
	uint64_t file;
	assert_int_equal(open_file(&me, "/f", FSDAX_CREATE, &file), 0);
	assert_int_equal(map_range(&me, file, 0, 0), -ERANGE); /* empty */
	assert_int_equal(truncate_file(&me, file, PAGE + 100), 0);
	struct seen before = look("/f");
	assert_int_equal(map_range(&me, file, 0, PAGE + 101), -ERANGE);
	assert_int_equal(map_range(&me, file, 2 * PAGE, 0), -ERANGE);
	assert_int_equal(map_range(&me, file, PAGE, UINT64_MAX), -ERANGE);
	assert_int_equal(map_range(&me, file, UINT64_MAX, 1), -ERANGE);
	assert_int_equal(map_range(&me, file, 100, 1), -EINVAL);
	assert_int_equal(map_range(&me, 0, 0, 0), -EBADF);
	assert_int_equal(map_range(&me, file + 1, 0, 0), -EBADF);
	assert_int_equal(map_range(&me, UINT64_MAX, 0, 0), -EBADF);
	service_drain(service);
	assert_int_equal(map_range(&me, file, 0, 0), -ENODEV);
	assert_int_equal(open_map(&me, "/f", 0, 0), -ENODEV);
	assert_int_equal(open_map(&me, "/new", FSDAX_CREATE, 1), -ENODEV);
	assert_int_equal(service_drain_cancel(service), 0);
	assert_same(&before, "/f");
	assert_int_equal(map_range(&me, file, PAGE, 0), 0);
	assert_int_equal(reply.rep.u.map.offset_bytes, PAGE);
	assert_int_equal(reply.rep.u.map.len_bytes, 100);
	assert_int_equal(reply.rep.u.map.nspans, 1);
	uint64_t map = reply.rep.handle;
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map + 1), -EBADF);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, 0), -EBADF);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), -EBADF);
	assert_same(&before, "/f");
}

static void open_map_answers_before_it_does_anything(void **state)
{
	(void)state;
	struct proto_req req = request(PROTO_OPEN_MAP);
	make_full("/f", 3 * PAGE, 'x', NULL);
	assert_int_equal(ask_path(&me, PROTO_MKDIR, "/d"), 0);
	struct seen before = look("/f");
	static const struct {
		const char *path;
		uint32_t flags;
		uint64_t bytes;
		int want;
	} calls[] = {
		{"/none", 0, PAGE, -ENOENT},
		{"/none", 0, 0, -ENOENT},
		{"/none", FSDAX_TRUNC, PAGE, -ENOENT},
		{"/none", FSDAX_CREATE, 0, -ERANGE},
		{"/none", FSDAX_CREATE, 4 * MIB, -ENOSPC},
		{"/none", FSDAX_CREATE, 4 * MIB + 1, -EFBIG},
		{"/none", FSDAX_CREATE, UINT64_MAX, -EFBIG},
		{"/none/a", FSDAX_CREATE, PAGE, -ENOENT},
		{"/f", FSDAX_TRUNC, 0, -ERANGE},
		{"/f", FSDAX_TRUNC, 4 * MIB + 1, -EFBIG},
		{"/f", 0, UINT64_MAX, -EFBIG},
		{"/f", FSDAX_CREATE | FSDAX_EXCL, PAGE, -EEXIST},
		{"/f", FSDAX_CREATE | FSDAX_EXCL | FSDAX_TRUNC, PAGE, -EEXIST},
		{"/f/a", FSDAX_CREATE, PAGE, -ENOTDIR},
		{"/d", 0, PAGE, -EISDIR},
		{"/d", FSDAX_TRUNC, PAGE, -EISDIR},
		{"/d", FSDAX_TRUNC, 0, -EISDIR},
		{"/f/g", FSDAX_TRUNC, 0, -ENOTDIR},
		{"/../f", 0, PAGE, -EINVAL},
	};
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		assert_int_equal(open_map(&me, calls[i].path, calls[i].flags, calls[i].bytes), calls[i].want);
	req.prot = 1;
	req.offset_bytes = PAGE;
	(void)snprintf(req.path, sizeof(req.path), "/f");
	assert_int_equal(ask(&me, &req), -EINVAL);
	assert_same(&before, "/f");
	struct fsdax_stat st;
	assert_int_equal(fsdax_stat(service->fs, "/none", &st), -ENOENT);
	assert_int_equal(open_map(&me, "/f", 0, PAGE), 0); /* it is longer: all of it */
	assert_int_equal(reply.rep.u.map.len_bytes, 3 * PAGE);
	assert_true(all_bytes(&reply.rep.u.map, 'x'));
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, reply.rep.handle), 0);
	assert_same(&before, "/f");
}

/* With every page in use and nobody else in the file, there is room all the same. */
static void a_file_is_truncated_and_mapped_anew_in_a_full_pool(void **state)
{
	(void)state;
	make_full("/f", 3 * MIB, 'x', NULL);
	make_full("/rest", MIB, 'r', NULL);
	assert_int_equal(space().free, 0);
	assert_int_equal(open_map(&me, "/f", FSDAX_TRUNC, 3 * MIB), 0);
	assert_true(all_bytes(&reply.rep.u.map, 0));
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, reply.rep.handle), 0);
	assert_int_equal(open_map(&me, "/f", FSDAX_TRUNC, MIB + 5), 0);
	assert_true(all_bytes(&reply.rep.u.map, 0));
	assert_int_equal(reply.rep.u.map.len_bytes, MIB + 5);
	assert_int_equal(space().free, 511);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, reply.rep.handle), 0);
}

/* Somebody maps the old contents, so the new ones need other pages, which are not there. */
static void a_truncation_that_finds_no_space_has_not_truncated(void **state)
{
	(void)state;
	uint64_t map;
	make_full("/f", 3 * MIB, 'x', &map);
	struct session_map *mapping = handles_get(&me.session->maps, map);
	struct seen before = look("/f");
	assert_int_equal(open_map(&me, "/f", FSDAX_TRUNC, 2 * MIB), -ENOSPC);
	assert_same(&before, "/f");
	pinword_t *word = &me.session->segment.words[mapping->first_word];
	assert_int_equal(pinword_pin(word, 0), 0); /* not told that anything had gone */
	assert_int_equal(pinword_unpin(word, 0), 0);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
	assert_int_equal(open_map(&me, "/f", 0, 0), 0);
	assert_true(all_bytes(&reply.rep.u.map, 'x'));
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, reply.rep.handle), 0);
}

/* Files of a page each, every second one of which goes: what comes next is in pieces. */
static void fragment(unsigned files)
{
	char path[16];
	for (unsigned i = 0; i < files; i++) {
		(void)snprintf(path, sizeof(path), "/%u", i);
		make_full(path, PAGE, 'o', NULL);
	}
	make_full("/rest", space().free * PAGE, 'r', NULL);
	for (unsigned i = 0; i < files; i += 2) {
		(void)snprintf(path, sizeof(path), "/%u", i);
		assert_int_equal(ask_path(&me, PROTO_UNLINK, path), 0);
	}
}

/* Each page of the answer, through its pieces and runs, is one that the pool says the file has, with its own folio. */
static void assert_leads_to_every_page(const struct proto_map *map, const struct proto_piece *pieces,
				       const struct proto_run *runs)
{
	const struct session_map *mine = handles_get(&me.session->maps, reply.rep.handle);
	uint64_t page = 0, run = 0;
	assert_non_null(mine);
	for (uint64_t i = 0; i < map->npieces; i++) {
		assert_int_equal(pieces[i].file_offset_bytes, page * PAGE);
		for (uint64_t at = 0; at < pieces[i].len_bytes; at += PAGE, page++) {
			struct fsdax_span span;
			while (run + 1 < map->nruns && runs[run + 1].file_pgoff <= page)
				run++;
			uint64_t n = runs[run].first_span + ((page - runs[run].file_pgoff) >> runs[run].order);
			fsdax_map_span(mine->map, n, &span);
			uint64_t device_page = (pieces[i].device_offset_bytes + at) / PAGE;
			assert_true(device_page >= span.pgoff);
			assert_true(device_page < span.pgoff + (UINT64_C(1) << span.order));
		}
	}
	assert_int_equal(page, (map->len_bytes + PAGE - 1) / PAGE);
	assert_int_equal(map->nspans, mine->nspans);
	assert_int_equal(map->first_word, mine->first_word);
}

static void a_long_answer_travels_in_a_memfd_and_a_short_one_does_not(void **state)
{
	(void)state;
	fragment(80);
	assert_int_equal(open_map(&me, "/pieces", FSDAX_CREATE, PROTO_INLINE_PIECES * PAGE), 0);
	assert_int_equal(reply.rep.u.map.npieces, PROTO_INLINE_PIECES);
	assert_int_equal(reply.rep.u.map.nruns, 1); /* all of one size */
	assert_int_equal(reply.nfds, 0);
	assert_leads_to_every_page(&reply.rep.u.map, reply.rep.u.map.pieces, reply.rep.u.map.runs);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, reply.rep.handle), 0);
	assert_int_equal(open_map(&me, "/pieces", 0, PROTO_INLINE_PIECES * PAGE + 1), 0);
	struct proto_map *map = &reply.rep.u.map;
	assert_int_equal(map->npieces, PROTO_INLINE_PIECES + 1);
	size_t bytes = map->npieces * sizeof(struct proto_piece) + map->nruns * sizeof(struct proto_run);
	struct proto_piece *pieces = take_records(bytes);
	assert_leads_to_every_page(map, pieces, (const struct proto_run *)(pieces + map->npieces));
	free(pieces);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, reply.rep.handle), 0);
}

/* Folios of 1, 1, 2, 1 and 1 pages, as the file grew: a run ends where the size does. */
static void a_run_has_folios_of_one_size(void **state)
{
	(void)state;
	static const uint64_t pages[] = {1, 2, 4, 5, 6};
	uint64_t file;
	assert_int_equal(open_file(&me, "/f", FSDAX_CREATE, &file), 0);
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		assert_int_equal(truncate_file(&me, file, pages[i] * PAGE), 0);
	assert_int_equal(map_range(&me, file, 0, 0), 0);
	assert_int_equal(reply.rep.u.map.nspans, 5);
	assert_int_equal(reply.rep.u.map.nruns, 3);
	assert_leads_to_every_page(&reply.rep.u.map, reply.rep.u.map.pieces, reply.rep.u.map.runs);
}

static void an_answer_without_a_descriptor_is_no_mapping(void **state)
{
	(void)state;
	uint64_t file;
	fragment(80);
	make_full("/pieces", PAGE, 'x', NULL);
	assert_int_equal(open_file(&me, "/pieces", 0, &file), 0);
	struct seen before = look("/pieces");
	for (unsigned flags = 0; flags <= FSDAX_TRUNC; flags += FSDAX_TRUNC) {
		rlim_t was = no_descriptors();
		int err = open_map(&me, "/pieces", flags, 20 * PAGE);
		descriptors_again(was);
		assert_int_equal(err, -EMFILE);
		assert_same(&before, "/pieces");
	}
	assert_int_equal(truncate_file(&me, file, 20 * PAGE), 0);
	before = look("/pieces");
	rlim_t was = no_descriptors();
	int err = map_range(&me, file, 0, 0);
	descriptors_again(was);
	assert_int_equal(err, -EMFILE);
	assert_same(&before, "/pieces");
}

static void words_that_are_not_there_are_said_before_anything_happens(void **state)
{
	(void)state;
	uint64_t first, left = wordpool_available(me.session->segment.pool) - 2;
	uint64_t file;
	make_full("/f", 2 * PAGE, 'x', NULL);
	assert_int_equal(open_file(&me, "/f", 0, &file), 0);
	assert_int_equal(wordpool_alloc(me.session->segment.pool, left, &first), 0);
	struct seen before = look("/f");
	assert_int_equal(open_map(&me, "/f", 0, 7 * PAGE), -ENOMEM); /* folios of 2, 1, 4 */
	assert_int_equal(open_map(&me, "/f", FSDAX_TRUNC, 7 * PAGE), -ENOMEM);
	assert_same(&before, "/f");
	wordpool_free(me.session->segment.pool, first, left);
	assert_int_equal(open_map(&me, "/f", 0, 7 * PAGE), 0);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, reply.rep.handle), 0);
}

/* Each allocation that these calls reach fails, alone or with all that come after it. */
static void without_memory_nothing_has_changed(void **state)
{
	(void)state;
	static const struct {
		const char *path;
		uint32_t flags;
		uint64_t bytes;
	} calls[] = {
		{"/f", FSDAX_TRUNC, 3 * PAGE},     {"/f", FSDAX_TRUNC, 3 * MIB}, {"/f", 0, 2 * MIB}, {"/f", 0, 0},
		{"/new", FSDAX_CREATE, 70 * PAGE},
	};
	for (size_t i = 0; i < 2 * sizeof(calls) / sizeof(calls[0]); i++) {
		size_t c = i / 2;
		unsigned long nth = 1;
		for (bool failed = true; failed; nth++) {
			make_full("/f", 5 * PAGE, 'x', NULL);
			struct seen before = look(calls[c].path);
			failing_begin(nth, i % 2);
			int err = open_map(&me, calls[c].path, calls[c].flags, calls[c].bytes);
			failed = failing_end();
			if (err) {
				assert_int_equal(err, -ENOMEM);
				assert_true(failed);
				assert_same(&before, calls[c].path);
				assert_int_equal(open_map(&me, "/f", 0, 0), 0);
				assert_true(all_bytes(&reply.rep.u.map, 'x'));
			}
			assert_int_equal(ask_handle(&me, PROTO_UNMAP, reply.rep.handle), 0);
			assert_int_equal(ask_path(&me, PROTO_UNLINK, "/f"), 0);
			if (!err && c == 4)
				assert_int_equal(ask_path(&me, PROTO_UNLINK, "/new"), 0);
		}

		assert_true(nth > 3);
	}
	assert_int_equal(space().used, 0);
}

/* A file of so many pages, all of them a hole. */
static uint64_t make_hole(const char *path, uint64_t pages)
{
	uint64_t file;
	struct proto_req req = request(PROTO_PUNCH);
	assert_int_equal(open_file(&me, path, FSDAX_CREATE, &file), 0);
	assert_int_equal(truncate_file(&me, file, pages * PAGE), 0);
	req.handle = file;
	req.len_bytes = pages * PAGE;
	assert_int_equal(ask(&me, &req), 0);
	return file;
}

/* No memory, no words, no descriptor for the answer. */
static void a_hole_whose_mapping_fails_stays_one(void **state)
{
	(void)state;
	uint64_t file = make_hole("/f", 7), first, left = wordpool_available(me.session->segment.pool) - 2;
	struct seen before = look("/f");
	assert_int_equal(before.st.extents, 0);
	assert_int_equal(wordpool_alloc(me.session->segment.pool, left, &first), 0);
	assert_int_equal(map_range(&me, file, 0, 0), -ENOMEM); /* folios of 4, 2, 1 */
	wordpool_free(me.session->segment.pool, first, left);
	assert_same(&before, "/f");
	unsigned long nth = 1;
	for (;; nth++) {
		failing_begin(nth, false);
		int err = map_range(&me, file, 0, 0);
		(void)failing_end();
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_same(&before, "/f");
	}
	assert_true(nth > 3);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, reply.rep.handle), 0);
	fragment(80);
	file = make_hole("/pieces", 20);
	before = look("/pieces");
	rlim_t was = no_descriptors();
	int err = map_range(&me, file, 0, 0);
	descriptors_again(was);
	assert_int_equal(err, -EMFILE);
	assert_same(&before, "/pieces");
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up_one, tear_down_one)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(map_answers_for_what_cannot_be_mapped),
		T(open_map_answers_before_it_does_anything),
		T(a_file_is_truncated_and_mapped_anew_in_a_full_pool),
		T(a_truncation_that_finds_no_space_has_not_truncated),
		T(a_long_answer_travels_in_a_memfd_and_a_short_one_does_not),
		T(a_run_has_folios_of_one_size),
		T(an_answer_without_a_descriptor_is_no_mapping),
		T(words_that_are_not_there_are_said_before_anything_happens),
		T(without_memory_nothing_has_changed),
		T(a_hole_whose_mapping_fails_stays_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
