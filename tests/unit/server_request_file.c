/* SPDX-License-Identifier: BSD-3-Clause */
/* server_request_file.c - names and files as a client asks for them: each errno that a request can answer, handles, lists. */
#include "failing.h"
#include "server_util.h"

static int ask_paths(enum proto_type type, const char *path, const char *path2)
{
	struct proto_req req = request(type);
	(void)snprintf(req.path, sizeof(req.path), "%s", path);
	(void)snprintf(req.path2, sizeof(req.path2), "%s", path2);
	return ask(&me, &req);
}

static uint64_t make(const char *path, uint64_t bytes)
{
	uint64_t file;
	assert_int_equal(open_file(&me, path, FSDAX_CREATE, &file), 0);
	assert_int_equal(truncate_file(&me, file, bytes), 0);
	return file;
}

/* A name of this many bytes. */
static const char *long_name(size_t len)
{
	static char name[PROTO_PATH_MAX];
	memset(name, 'n', len);
	name[len] = 0;
	return name;
}

static void open_says_why_it_fails(void **state)
{
	(void)state;
	uint64_t file, dir;
	assert_int_equal(open_file(&me, "/f", 0, &file), -ENOENT);
	assert_int_equal(open_file(&me, "/d/f", FSDAX_CREATE, &file), -ENOENT);
	assert_int_equal(open_file(&me, "", FSDAX_CREATE, &file), -EINVAL);
	assert_int_equal(open_file(&me, "/", 0, &dir), -EISDIR);
	assert_int_equal(open_file(&me, "/./f", FSDAX_CREATE, &file), -EINVAL);
	assert_int_equal(open_file(&me, long_name(256), FSDAX_CREATE, &file), -ENAMETOOLONG);
	assert_int_equal(open_file(&me, long_name(1023), FSDAX_CREATE, &file), -ENAMETOOLONG);
	assert_int_equal(space().files, 0);
	assert_int_equal(open_file(&me, long_name(255), FSDAX_CREATE, &file), 0);
	assert_int_equal(ask_path(&me, PROTO_UNLINK, long_name(255)), 0);
	assert_int_equal(ask_handle(&me, PROTO_CLOSE, file), 0);
	assert_int_equal(open_file(&me, "/f", FSDAX_CREATE | FSDAX_EXCL, &file), 0);
	assert_int_equal(open_file(&me, "/f", FSDAX_CREATE | FSDAX_EXCL, &dir), -EEXIST);
	assert_int_equal(open_file(&me, "/f/x", FSDAX_CREATE, &dir), -ENOTDIR);
	assert_int_equal(truncate_file(&me, file, 5000), 0);
	assert_int_equal(open_file(&me, "/f", FSDAX_TRUNC, &dir), 0);
	assert_int_not_equal(dir, file);
	assert_int_equal(ask_handle(&me, PROTO_FSTAT, file), 0);
	assert_int_equal(reply.rep.u.stat.size_bytes, 0);
}

static void a_handle_is_good_until_it_is_closed_and_for_nobody_else(void **state)
{
	(void)state;
	static const uint64_t bad[] = {0, 2, 16, 17, UINT64_C(1) << 32, UINT64_MAX};
	static const enum proto_type types[] = {PROTO_FSTAT, PROTO_TRUNCATE, PROTO_CLOSE};
	struct client other = join(0);
	uint64_t file = make("/f", 3 * PAGE);
	assert_int_equal(file, 1);
	for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
			assert_int_equal(ask_handle(&me, types[t], bad[i]), -EBADF);
		assert_int_equal(ask_handle(&other, types[t], file), -EBADF);
	}
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/f"), 0);
	assert_int_equal(ask_handle(&me, PROTO_FSTAT, file), 0);
	assert_int_equal(reply.rep.u.stat.nlink, 0);
	assert_int_equal(reply.rep.u.stat.size_bytes, 3 * PAGE); /* TRUNCATE with a bad handle did nothing */
	assert_int_equal(space().used, 3);
	assert_int_equal(ask_handle(&me, PROTO_CLOSE, file), 0);
	assert_int_equal(space().used, 0);
	for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++)
		assert_int_equal(ask_handle(&me, types[t], file), -EBADF);
	for (uint64_t i = 1; i <= 40; i++) { /* more than the first table has */
		assert_int_equal(open_file(&me, "/g", FSDAX_CREATE, &file), 0);
		assert_int_equal(ask_handle(&me, PROTO_FSTAT, file), 0);
	}
	assert_int_equal(me.session->files.nslots - me.session->files.nunused, 40);
	leave(&other);
}

static void truncate_and_stat_answer_as_the_pool_does(void **state)
{
	(void)state;
	uint64_t file = make("/f", 3 * PAGE + 1);
	struct proto_stat st;
	assert_int_equal(truncate_file(&me, file, 4 * MIB + 1), -EFBIG);
	assert_int_equal(truncate_file(&me, file, UINT64_MAX), -EFBIG);
	uint64_t rest = make("/rest", MIB);
	assert_int_equal(truncate_file(&me, file, 4 * MIB), -ENOSPC);
	assert_int_equal(ask_handle(&me, PROTO_FSTAT, file), 0);
	st = reply.rep.u.stat;
	assert_int_equal(ask_path(&me, PROTO_STAT, "f"), 0);
	assert_memory_equal(&st, &reply.rep.u.stat, sizeof(st));
	struct fsdax_stat pool;
	assert_int_equal(fsdax_stat(service->fs, "/f", &pool), 0);
	assert_true(st.ino == pool.ino && st.size_bytes == 3 * PAGE + 1 && st.blocks == 4);
	assert_true(st.extents == pool.extents && st.max_order == pool.max_order && st.mtime_ns == pool.mtime_ns);
	assert_true(st.nlink == 1 && st.is_dir == 0 && st.mappings == 0 && st.order == PGMAP_MAX_ORDER);
	assert_int_equal(map_range(&me, file, 0, 0), 0);
	assert_int_equal(ask_handle(&me, PROTO_FSTAT, file), 0);
	assert_int_equal(reply.rep.u.stat.mappings, 1);
	assert_int_equal(ask_path(&me, PROTO_STAT, "/"), 0);
	assert_true(reply.rep.u.stat.is_dir == 1 && reply.rep.u.stat.size_bytes == 2);
	assert_int_equal(ask_path(&me, PROTO_STAT, "/none"), -ENOENT);
	assert_int_equal(ask_path(&me, PROTO_STAT, "/f/x"), -ENOTDIR);
	assert_int_equal(ask_path(&me, PROTO_STAT, ".."), -EINVAL);
	assert_int_equal(ask_path(&me, PROTO_STAT, long_name(256)), -ENAMETOOLONG);
	assert_int_equal(ask_handle(&me, PROTO_CLOSE, rest), 0);
}

static void names_answer_as_the_pool_does(void **state)
{
	(void)state;
	uint64_t file = make("/f", PAGE);
	assert_int_equal(ask_path(&me, PROTO_MKDIR, "/d"), 0);
	assert_int_equal(ask_path(&me, PROTO_MKDIR, "/d"), -EEXIST);
	assert_int_equal(ask_path(&me, PROTO_MKDIR, "/f"), -EEXIST);
	assert_int_equal(ask_path(&me, PROTO_MKDIR, "/"), -EEXIST);
	assert_int_equal(ask_path(&me, PROTO_MKDIR, "/none/d"), -ENOENT);
	assert_int_equal(ask_path(&me, PROTO_MKDIR, "/f/d"), -ENOTDIR);
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/d"), -EISDIR);
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/none"), -ENOENT);
	assert_int_equal(ask_path(&me, PROTO_RMDIR, "/f"), -ENOTDIR);
	assert_int_equal(ask_path(&me, PROTO_RMDIR, "/none"), -ENOENT);
	assert_int_equal(ask_path(&me, PROTO_RMDIR, "/"), -EBUSY);
	assert_int_equal(ask_paths(PROTO_RENAME, "/f", "/d"), -EISDIR);
	assert_int_equal(ask_paths(PROTO_RENAME, "/d", "/f"), -ENOTDIR);
	assert_int_equal(ask_paths(PROTO_RENAME, "/d", "/d/d"), -EINVAL);
	assert_int_equal(ask_paths(PROTO_RENAME, "/none", "/f"), -ENOENT);
	assert_int_equal(ask_paths(PROTO_RENAME, "/", "/x"), -EBUSY);
	assert_int_equal(ask_paths(PROTO_RENAME, "/f", long_name(256)), -ENAMETOOLONG);
	assert_int_equal(ask_paths(PROTO_RENAME, "/f", "/d/g"), 0); /* from the first path to the second */
	assert_int_equal(ask_path(&me, PROTO_STAT, "/f"), -ENOENT);
	assert_int_equal(ask_path(&me, PROTO_STAT, "/d/g"), 0);
	assert_int_equal(ask_path(&me, PROTO_RMDIR, "/d"), -ENOTEMPTY);
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/d/g"), 0);
	assert_int_equal(ask_path(&me, PROTO_RMDIR, "/d"), 0);
	assert_int_equal(space().dirs, 1);
	assert_int_equal(space().files, 0);
	assert_int_equal(ask_handle(&me, PROTO_CLOSE, file), 0);
}

static void a_list_has_every_entry_in_order(void **state)
{
	(void)state;
	enum { FILES = 60 }; /* more than the records' first page */
	char path[16];
	assert_int_equal(ask_path(&me, PROTO_READDIR, "/"), 0);
	assert_int_equal(reply.rep.count, 0);
	assert_int_equal(reply.nfds, 0);
	for (unsigned i = FILES; i-- > 0;) {
		(void)snprintf(path, sizeof(path), "/n%02u", i);
		assert_int_equal(ask_handle(&me, PROTO_CLOSE, make(path, i)), 0);
	}
	assert_int_equal(ask_path(&me, PROTO_MKDIR, "/a"), 0);
	assert_int_equal(ask_path(&me, PROTO_MKDIR, long_name(255)), 0);
	assert_int_equal(ask_path(&me, PROTO_READDIR, "/"), 0);
	assert_int_equal(reply.rep.count, FILES + 2);
	struct proto_dirent *entries = take_records((FILES + 2) * sizeof(*entries));
	assert_string_equal(entries[0].name, "a");
	assert_int_equal(entries[0].stat.is_dir, 1);
	for (unsigned i = 0; i < FILES; i++) {
		(void)snprintf(path, sizeof(path), "n%02u", i);
		assert_string_equal(entries[1 + i].name, path);
		assert_int_equal(entries[1 + i].stat.size_bytes, i);
		assert_int_equal(entries[1 + i].stat.is_dir, 0);
	}
	assert_string_equal(entries[FILES + 1].name, long_name(255));
	free(entries);
	assert_int_equal(ask_path(&me, PROTO_READDIR, "/a"), 0);
	assert_int_equal(reply.rep.count, 0);
	assert_int_equal(ask_path(&me, PROTO_READDIR, "/n00"), -ENOTDIR);
	assert_int_equal(ask_path(&me, PROTO_READDIR, "/none"), -ENOENT);
	rlim_t was = no_descriptors();
	int err = ask_path(&me, PROTO_READDIR, "/");
	descriptors_again(was);
	assert_int_equal(err, -EMFILE);
}

/* Each request, with each allocation that it makes failing: -ENOMEM, and the same names, files and pages as before. */
static void without_memory_nothing_has_changed(void **state)
{
	(void)state;
	static const struct {
		enum proto_type type;
		const char *path, *path2;
		uint64_t bytes;
	} calls[] = {
		{PROTO_OPEN, "/new", "", 0},   {PROTO_TRUNCATE, "", "", MIB}, {PROTO_TRUNCATE, "", "", PAGE},
		{PROTO_MKDIR, "/dir", "", 0},  {PROTO_READDIR, "/", "", 0},   {PROTO_RENAME, "/f", "/g", 0},
		{PROTO_RENAME, "/f", "/h", 0}, {PROTO_UNLINK, "/f", "", 0},
	};
	for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
		struct proto_req req = request(calls[c].type);
		uint64_t file = make("/f", 7 * PAGE), other = make("/g", PAGE);
		unsigned long nth = 1;
		req.handle = file;
		req.flags = calls[c].type == PROTO_OPEN ? FSDAX_CREATE : 0;
		req.len_bytes = calls[c].bytes;
		(void)snprintf(req.path, sizeof(req.path), "%s", calls[c].path);
		(void)snprintf(req.path2, sizeof(req.path2), "%s", calls[c].path2);
		for (bool failed = true; failed; nth++) {
			struct fsdax_statfs before = space();
			uint64_t files = me.session->files.nslots - me.session->files.nunused;
			failing_begin(nth, true);
			int err = ask(&me, &req);
			failed = failing_end();
			assert_int_equal(err, failed ? -ENOMEM : 0);
			struct fsdax_statfs after = space();
			if (err) {
				assert_memory_equal(&before, &after, offsetof(struct fsdax_statfs, granule_order));
				assert_int_equal(me.session->files.nslots - me.session->files.nunused, files);
				assert_int_equal(ask_path(&me, PROTO_STAT, "/f"), 0);
				assert_int_equal(reply.rep.u.stat.size_bytes, 7 * PAGE);
				assert_int_equal(ask_path(&me, PROTO_STAT, "/g"), 0);
			}
		}
		assert_true(nth > 2);
		if (reply.nfds)
			assert_int_equal(close(reply.fds[0]), 0);
		assert_int_equal(ask_handle(&me, PROTO_CLOSE, file), 0);
		assert_int_equal(ask_handle(&me, PROTO_CLOSE, other), 0);
		(void)ask_path(&me, PROTO_UNLINK, "/f");
		(void)ask_path(&me, PROTO_UNLINK, "/g");
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up_one, tear_down_one)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(open_says_why_it_fails),
		T(a_handle_is_good_until_it_is_closed_and_for_nobody_else),
		T(truncate_and_stat_answer_as_the_pool_does),
		T(names_answer_as_the_pool_does),
		T(a_list_has_every_entry_in_order),
		T(without_memory_nothing_has_changed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
