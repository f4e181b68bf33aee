/* SPDX-License-Identifier: BSD-3-Clause */
/* client_names.c - names that are none, names of any bytes, and renames that would lose a tree, through the public calls, on
 * the target that $SUITE_TARGET names. What is refused has changed nothing (edges.h). */
#include "edges.h"

/* Every call that takes a path; those that would make it come last. */
static int open_it(const char *path)
{
	struct pgmap_file *none;
	return pgmap_open(client, path, 0, &none);
}

static int open_map_it(const char *path)
{
	struct pgmap_mapping *none;
	return pgmap_open_map(client, path, 0, 0, RW, &none);
}

static int stat_it(const char *path)
{
	struct pgmap_stat st;
	return pgmap_stat(client, path, &st);
}

static int unlink_it(const char *path)
{
	return pgmap_unlink(client, path);
}

static int unlink_it_or_fail(const char *path)
{
	return pgmap_unlink_how(client, path, PGMAP_FAIL, 0);
}

static int rmdir_it(const char *path)
{
	return pgmap_rmdir(client, path);
}

static int no_entry(void *arg, const char *name, const struct pgmap_stat *st)
{
	(void)arg, (void)name, (void)st;
	return 1;
}

static int readdir_it(const char *path)
{
	return pgmap_readdir(client, path, no_entry, NULL);
}

static int no_row(void *arg, const struct pgmap_who *who)
{
	(void)arg, (void)who;
	return 1;
}

static int who_of_it(const char *path)
{
	return pgmap_who(client, path, no_row, NULL);
}

static int rename_it(const char *path)
{
	return pgmap_rename(client, path, "/new");
}

static int mkdir_it(const char *path)
{
	return pgmap_mkdir(client, path);
}

static int make_it(const char *path)
{
	struct pgmap_file *none;
	return pgmap_open(client, path, PGMAP_O_CREATE, &none);
}

static int make_and_map_it(const char *path)
{
	struct pgmap_mapping *none;
	return pgmap_open_map(client, path, PGMAP_O_CREATE, PAGE, RW, &none);
}

static int rename_to_it(const char *path)
{
	return pgmap_rename(client, "/file", path);
}

static int (*const calls[])(const char *path) = {open_it,  open_map_it,     stat_it,     unlink_it, unlink_it_or_fail,
						 rmdir_it, readdir_it,      who_of_it,   rename_it, mkdir_it,
						 make_it,  make_and_map_it, rename_to_it};
enum { CALLS_THAT_MAKE = 4 };

/* So many components of so many bytes; what is over goes to the last one. */
static const char *long_path(char *out, size_t bytes, size_t component)
{
	memset(out, 'n', bytes);
	for (size_t at = 0; at + component / 2 < bytes; at += component + 1)
		out[at] = '/';
	out[bytes] = 0;
	return out;
}

static void what_is_no_name_is_refused_by_every_call(void **state)
{
	(void)state;
	char name_256[PATH_BYTES], below_256[PATH_BYTES], path_1024[PATH_BYTES], path_1023[PATH_BYTES],
		endless[PATH_BYTES];
	const struct {
		const char *path;
		int err;
		bool is_there_or_not; /* where it is not there, it could be made */
	} cases[] = {
		{"", -EINVAL, false},
		{".", -EINVAL, false},
		{"..", -EINVAL, false},
		{"/.", -EINVAL, false},
		{"/dir/..", -EINVAL, false},
		{"/dir/../file", -EINVAL, false},
		{"//.//", -EINVAL, false},
		{"/none/./x", -EINVAL, false},
		{long_path(name_256, 257, 256), -ENAMETOOLONG, false},
		{long_path(below_256, 600, 256), -ENAMETOOLONG, false},
		{long_path(path_1024, 1024, 200), -ENAMETOOLONG, false},
		{long_path(endless, PATH_BYTES - 1, 100), -ENAMETOOLONG, false},
		{long_path(path_1023, 1023, 200), -ENOENT, false},
		{"/file/x", -ENOTDIR, false},
		{"/file/x/y", -ENOTDIR, false},
		{"/file//x/", -ENOTDIR, false},
		{"/dir/file/x", -ENOTDIR, false},
		{"/none/x", -ENOENT, false},
		{"/none//x/", -ENOENT, false},
		{"/none", -ENOENT, true},
		{"none///", -ENOENT, true},
	};
	assert_int_equal(pgmap_close(file_of("/file", PAGE)), 0);
	assert_int_equal(pgmap_mkdir(client, "/dir"), 0);
	assert_int_equal(pgmap_close(file_of("/dir/file", 1)), 0);
	struct tree before = accounts();
	for (unsigned i = 0; i < COUNT(cases); i++) {
		for (unsigned call = 0; call < COUNT(calls) - (cases[i].is_there_or_not ? CALLS_THAT_MAKE : 0);
		     call++) {
			int err = calls[call](cases[i].path);
			if (err != cases[i].err)
				fail_msg("call %u of %.40s (case %u): %d, not %d", call, cases[i].path, i, err,
					 cases[i].err);
			assert_same(&before);
		}
	}
	assert_int_equal(
		pgmap_unlink(client, "/dir/file") | pgmap_rmdir(client, "//dir/") | pgmap_unlink(client, "/file/"), 0);
}

struct bytes_seen {
	unsigned n;
	unsigned char last;
};

static int see_byte(void *arg, const char *name, const struct pgmap_stat *st)
{
	struct bytes_seen *seen = arg;
	unsigned char byte = (unsigned char)name[0];
	assert_true(name[1] == 0 && byte > seen->last && st->size_bytes == byte);
	seen->last = byte;
	seen->n++;
	return 0;
}

/* A name is bytes, not text; only NUL and the slash are none. */
static void a_name_has_any_other_bytes(void **state)
{
	(void)state;
	struct bytes_seen seen = {0};
	char longest[257] = "/", name[3] = "/";
	assert_int_equal(pgmap_mkdir(client, "/x"), 0);
	for (unsigned byte = 1; byte < 256; byte++) {
		name[1] = (char)byte;
		if (byte == '/' || byte == '.' || byte == 'x')
			continue;
		assert_int_equal(pgmap_close(file_of(name, byte)), 0);
	}
	accounts();
	for (unsigned byte = 1; byte < 256; byte++) {
		char below[8];
		name[1] = (char)byte;
		(void)snprintf(below, sizeof(below), "/x%s", name);
		if (byte != '/' && byte != '.' && byte != 'x')
			assert_int_equal(pgmap_rename(client, name, below), 0);
	}
	assert_int_equal(pgmap_readdir(client, "/x", see_byte, &seen), 0);
	assert_int_equal(seen.n, 252);
	accounts();
	for (unsigned byte = 1; byte < 256; byte++) {
		char below[8];
		(void)snprintf(below, sizeof(below), "/x/%c", (char)byte);
		if (byte != '/' && byte != '.' && byte != 'x')
			assert_int_equal(pgmap_unlink(client, below), 0);
	}
	assert_int_equal(pgmap_rmdir(client, "/x"), 0);
	memset(longest + 1, 0xff, 255);
	longest[256] = 0;
	assert_int_equal(pgmap_close(file_of(longest, 1)), 0);
	accounts();
	assert_int_equal(pgmap_unlink(client, longest), 0);
	assert_int_equal(accounts().names, 0);
}

static void nothing_is_renamed_into_its_own_child(void **state)
{
	(void)state;
	static const struct {
		const char *from, *to;
		int err;
	} cases[] = {
		{"/d", "/d/x", -EINVAL},
		{"/d", "/d/e", -EINVAL},
		{"/d", "/d/e/x", -EINVAL},
		{"/d/", "//d//e//f", -EINVAL},
		{"/d/e", "/d/e/f/x", -EINVAL},
		{"/d", "/d/e/f/x", -EINVAL},
		{"/d", "/d/e/g/x", -ENOTDIR},
		{"/d", "/d/none/x", -ENOENT},
		{"/d", "/d", 0},
		{"/d/", "//d", 0},
		{"/h", "/h", 0},
		{"/", "/x", -EBUSY},
		{"/", "/d/x", -EBUSY},
		{"/d", "/", -EBUSY},
		{"/", "/", -EBUSY},
		{"/h", "/", -EBUSY},
		{"/h", "/h/x", -ENOTDIR},
		{"/h", "/d", -EISDIR},
		{"/i", "/h", -ENOTDIR},
		{"/i", "/d", -ENOTEMPTY},
		{"/d/e", "/d", -ENOTEMPTY},
		{"/none", "/x", -ENOENT},
		{"/none", "/none/x", -ENOENT},
		{"/h", "/none/x", -ENOENT},
	};
	assert_int_equal(pgmap_mkdir(client, "/d") | pgmap_mkdir(client, "/d/e") | pgmap_mkdir(client, "/d/e/f"), 0);
	assert_int_equal(pgmap_mkdir(client, "/i"), 0);
	assert_int_equal(pgmap_close(file_of("/d/e/g", 3 * PAGE)) | pgmap_close(file_of("/h", 1)), 0);
	struct tree before = accounts();
	for (unsigned i = 0; i < COUNT(cases); i++) {
		int err = pgmap_rename(client, cases[i].from, cases[i].to);
		if (err != cases[i].err)
			fail_msg("%s to %s: %d, not %d", cases[i].from, cases[i].to, err, cases[i].err);
		assert_same(&before);
	}
	assert_int_equal(pgmap_unlink(client, "/d/e/g") | pgmap_unlink(client, "/h") | pgmap_rmdir(client, "/i"), 0);
	assert_int_equal(pgmap_rmdir(client, "/d/e/f") | pgmap_rmdir(client, "/d/e") | pgmap_rmdir(client, "/d"), 0);
	assert_int_equal(accounts().names, 0);
}

/* Moved below a path that is nearly as long as can be, what is in it has no path any more; until it is moved back. */
static void what_was_moved_out_of_reach_can_be_moved_back(void **state)
{
	(void)state;
	char path[PATH_BYTES];
	size_t at = 0;
	assert_int_equal(pgmap_mkdir(client, "/d"), 0);
	struct pgmap_mapping *mapping = sys_map(client, "/d/file", 2 * PAGE);
	for (; at < 1000; at += 101) {
		(void)snprintf(path + at, 102, "/%0100d", 0);
		assert_int_equal(pgmap_mkdir(client, path), 0);
	}
	at = strlen(path);
	strcpy(path + at, "/moved-there");
	assert_int_equal(pgmap_rename(client, "/d", path), 0);
	strcpy(path + at, "/moved-there/file");
	assert_int_equal(pgmap_unlink(client, path), -ENAMETOOLONG);
	assert_int_equal(strncmp(sys_who(client, NULL, 0).path, path, 1000), 0);
	assert_int_equal(sys_info(client).files, 1);
	strcpy(path + at, "/moved-there");
	assert_int_equal(pgmap_rename(client, path, "/d"), 0);
	assert_int_equal(pgmap_unmap(mapping) | pgmap_unlink(client, "/d/file") | pgmap_rmdir(client, "/d"), 0);
	for (; at > 0; at -= 101) {
		path[at] = 0;
		assert_int_equal(pgmap_rmdir(client, path), 0);
	}
	assert_int_equal(accounts().names, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_name_is_refused_by_every_call),
		cmocka_unit_test(a_name_has_any_other_bytes),
		cmocka_unit_test(nothing_is_renamed_into_its_own_child),
		cmocka_unit_test(what_was_moved_out_of_reach_can_be_moved_back),
	};
	return cmocka_run_group_tests(tests, edges_begin, edges_end);
}
