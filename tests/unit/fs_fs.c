/* SPDX-License-Identifier: BSD-3-Clause */
/* Names: paths, directories, rename, unlink, open; every errno of fsdax.h; what lives on without a name. */
#include <errno.h>
#include <stdlib.h>

#include "pool.h"

static struct pool pool;

static int set_up(void **state)
{
	(void)state;
	pool_open(&pool, 4 * MIB, 0, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pool_close(&pool);
	return 0;
}

static int open_path(const char *path, unsigned flags)
{
	struct fsdax_file *file;
	int err = fsdax_open(pool.fs, path, flags, &file);
	if (!err)
		fsdax_close(file);
	return err;
}

static int exists(const char *path)
{
	struct fsdax_stat st;
	int err = fsdax_stat(pool.fs, path, &st);
	assert_true(err == 0 || err == -ENOENT || err == -ENOTDIR);
	return err == 0;
}

static void a_name(char *buf, size_t len)
{
	memset(buf, 'n', len);
	buf[len] = 0;
}

static void paths_are_read_as_documented(void **state)
{
	(void)state;
	char name[1100];
	assert_int_equal(open_path(NULL, FSDAX_CREATE), -EINVAL);
	assert_int_equal(open_path("", FSDAX_CREATE), -EINVAL);
	assert_int_equal(open_path(".", FSDAX_CREATE), -EINVAL);
	assert_int_equal(open_path("a/../b", FSDAX_CREATE), -EINVAL);
	assert_int_equal(open_path("/", 0), -EISDIR);
	assert_int_equal(open_path("///", FSDAX_CREATE), -EISDIR);
	assert_int_equal(open_path("...", FSDAX_CREATE), 0);
	assert_int_equal(open_path("//a//", FSDAX_CREATE), 0);
	assert_int_equal(open_path("/a", FSDAX_CREATE | FSDAX_EXCL), -EEXIST);
	assert_int_equal(open_path("a", 0), 0);
	assert_int_equal(open_path("a", 64), -EINVAL);
	assert_int_equal(open_path("b", 0), -ENOENT);
	assert_int_equal(open_path("b/c", FSDAX_CREATE), -ENOENT);
	assert_int_equal(open_path("a/c", FSDAX_CREATE), -ENOTDIR);
	a_name(name, 255);
	assert_int_equal(open_path(name, FSDAX_CREATE), 0);
	a_name(name, 256);
	assert_int_equal(open_path(name, FSDAX_CREATE), -ENAMETOOLONG);
	for (size_t i = 0; i < 1024; i++)
		name[i] = '/';
	name[1022] = 'a';
	name[1023] = 0;
	assert_int_equal(open_path(name, 0), 0);
	name[1023] = 'a';
	name[1024] = 0;
	assert_int_equal(open_path(name, 0), -ENAMETOOLONG);
	assert_int_equal(open_path("sp ace\n\xff", FSDAX_CREATE), 0);
	assert_int_equal(fsdax_open(NULL, "a", 0, NULL), -EINVAL);
	assert_int_equal(fsdax_open(pool.fs, "a", 0, NULL), -EINVAL);
	assert_int_equal(fsdax_stat(pool.fs, "a", NULL), -EINVAL);
}

static void directories_hold_and_refuse(void **state)
{
	(void)state;
	struct fsdax_stat st;
	assert_int_equal(fsdax_mkdir(pool.fs, "d"), 0);
	assert_int_equal(fsdax_mkdir(pool.fs, "d"), -EEXIST);
	assert_int_equal(fsdax_mkdir(pool.fs, "/"), -EEXIST);
	assert_int_equal(fsdax_mkdir(pool.fs, "x/y"), -ENOENT);
	assert_int_equal(open_path("d", FSDAX_CREATE), -EISDIR);
	assert_int_equal(open_path("d/f", FSDAX_CREATE), 0);
	assert_int_equal(fsdax_stat(pool.fs, "d", &st), 0);
	assert_true(st.type == FSDAX_DIR && st.size_bytes == 1 && st.nlink == 1 && st.ino > 1);
	assert_int_equal(fsdax_unlink(pool.fs, "d"), -EISDIR);
	assert_int_equal(fsdax_unlink(pool.fs, "/"), -EISDIR);
	assert_int_equal(fsdax_unlink(pool.fs, "d/g"), -ENOENT);
	assert_int_equal(fsdax_rmdir(pool.fs, "d"), -ENOTEMPTY);
	assert_int_equal(fsdax_rmdir(pool.fs, "d/f"), -ENOTDIR);
	assert_int_equal(fsdax_rmdir(pool.fs, "/"), -EBUSY);
	assert_int_equal(fsdax_rmdir(pool.fs, "e"), -ENOENT);
	struct fsdax_statfs fs = pool_statfs(&pool);
	assert_true(fs.files == 1 && fs.dirs == 2);
	assert_int_equal(fsdax_unlink(pool.fs, "d/f"), 0);
	assert_int_equal(fsdax_rmdir(pool.fs, "d"), 0);
	fs = pool_statfs(&pool);
	assert_true(fs.files == 0 && fs.dirs == 1);
	assert_int_equal(fsdax_mkdir(NULL, "d"), -EINVAL);
}

struct listing {
	char text[256];
	int stop_after;
};

static int list(void *arg, const char *name, const struct fsdax_stat *st)
{
	struct listing *l = arg;
	size_t at = strlen(l->text);
	(void)snprintf(l->text + at, sizeof(l->text) - at, "%s%s ", name, st->type == FSDAX_DIR ? "/" : "");
	return --l->stop_after == 0 ? 42 : 0;
}

static void readdir_lists_in_byte_order(void **state)
{
	(void)state;
	static const char *const names[] = {"b", "ab", "a", "B", "\xc3", "a b", "aa"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(open_path(names[i], FSDAX_CREATE), 0);
	assert_int_equal(fsdax_mkdir(pool.fs, "0"), 0);
	struct listing l = {.stop_after = -1};
	assert_int_equal(fsdax_readdir(pool.fs, "/", list, &l), 0);
	assert_string_equal(l.text, "0/ B a a b aa ab b \xc3 ");
	l = (struct listing){.stop_after = 2};
	assert_int_equal(fsdax_readdir(pool.fs, "/", list, &l), 42);
	assert_string_equal(l.text, "0/ B ");
	assert_int_equal(fsdax_readdir(pool.fs, "a", list, &l), -ENOTDIR);
	assert_int_equal(fsdax_readdir(pool.fs, "z", list, &l), -ENOENT);
	assert_int_equal(fsdax_readdir(pool.fs, "/", NULL, &l), -EINVAL);
}

static void rename_moves_and_replaces(void **state)
{
	(void)state;
	struct fsdax_file *a = make_file(&pool, "a", 3 * PAGE), *b = make_file(&pool, "b", 5 * PAGE);
	uint64_t ino = stat_of(a).ino;
	char path[32];
	fsdax_close(b);
	assert_int_equal(fsdax_rename(pool.fs, "a", "b"), 0);
	assert_space(&pool, 3, 0); /* what was b has gone */
	assert_false(exists("a"));
	struct fsdax_stat st;
	assert_int_equal(fsdax_stat(pool.fs, "b", &st), 0);
	assert_true(st.ino == ino && st.blocks == 3);
	assert_int_equal(fsdax_mkdir(pool.fs, "d"), 0);
	assert_int_equal(fsdax_rename(pool.fs, "b", "d/c"), 0);
	assert_int_equal(fsdax_rename(pool.fs, "d", "e"), 0);
	assert_int_equal(fsdax_file_path(a, path, sizeof(path)), 0);
	assert_string_equal(path, "/e/c");
	assert_int_equal(fsdax_rename(pool.fs, "e/c", "/e//c/"), 0); /* onto itself */
	assert_true(exists("e/c"));
	fsdax_close(a);
}

static void rename_refuses(void **state)
{
	(void)state;
	assert_int_equal(fsdax_mkdir(pool.fs, "d"), 0);
	assert_int_equal(fsdax_mkdir(pool.fs, "d/e"), 0);
	assert_int_equal(fsdax_mkdir(pool.fs, "empty"), 0);
	assert_int_equal(open_path("f", FSDAX_CREATE), 0);
	assert_int_equal(fsdax_rename(pool.fs, "x", "y"), -ENOENT);
	assert_int_equal(fsdax_rename(pool.fs, "f", "x/y"), -ENOENT);
	assert_int_equal(fsdax_rename(pool.fs, "f", "f/y"), -ENOTDIR);
	assert_int_equal(fsdax_rename(pool.fs, "f", ".."), -EINVAL);
	assert_int_equal(fsdax_rename(pool.fs, "d", "d/e/g"), -EINVAL);
	assert_int_equal(fsdax_rename(pool.fs, "d", "d/e"), -EINVAL);
	assert_int_equal(fsdax_rename(pool.fs, "d/e", "d"), -ENOTEMPTY);
	assert_int_equal(fsdax_rename(pool.fs, "empty", "d"), -ENOTEMPTY);
	assert_int_equal(fsdax_rename(pool.fs, "f", "d"), -EISDIR);
	assert_int_equal(fsdax_rename(pool.fs, "d", "f"), -ENOTDIR);
	assert_int_equal(fsdax_rename(pool.fs, "/", "x"), -EBUSY);
	assert_int_equal(fsdax_rename(pool.fs, "f", "/"), -EBUSY);
	assert_int_equal(fsdax_rename(NULL, "f", "g"), -EINVAL);
	assert_int_equal(fsdax_rename(pool.fs, "d", "empty"), 0); /* an empty directory is replaced */
	assert_true(exists("empty/e") && !exists("d"));
}

static void an_unlinked_file_lives_until_closed_and_unmapped(void **state)
{
	(void)state;
	char path[64], cut[6];
	assert_int_equal(fsdax_mkdir(pool.fs, "d"), 0);
	struct fsdax_file *file = make_file(&pool, "d/f", MIB);
	struct fsdax_map *map = map_range(file, 0, PAGE, NULL);
	uint64_t ino = stat_of(file).ino;
	assert_int_equal(fsdax_unlink(pool.fs, "d/f"), 0);
	assert_int_equal(fsdax_rmdir(pool.fs, "d"), 0);
	assert_int_equal(pool_statfs(&pool).files, 0);
	assert_int_equal(stat_of(file).nlink, 0);
	assert_int_equal(fsdax_file_path(file, path, sizeof(path)), 0);
	assert_string_equal(path, "/d/f (deleted)");
	assert_int_equal(fsdax_file_path(file, cut, sizeof(cut)), 0);
	assert_string_equal(cut, "/d/f ");
	assert_int_equal(fsdax_file_path(file, cut, 0), 0);
	assert_int_equal(fsdax_truncate(file, 2 * MIB), 0); /* still a file */
	assert_space(&pool, 512, 0);
	assert_int_equal(fsdax_destroy(pool.fs), -EBUSY);
	fsdax_close(file);
	assert_int_equal(fsdax_stat_file(fsdax_map_file(map), &(struct fsdax_stat){0}), 0);
	assert_int_equal(fsdax_destroy(pool.fs), -EBUSY);
	assert_space(&pool, 512, 0);
	fsdax_unmap(map);
	assert_space(&pool, 0, 0);
	file = make_file(&pool, "new", 0);
	assert_true(stat_of(file).ino > ino); /* never reused */
	assert_int_equal(fsdax_file_path(file, path, sizeof(path)), 0);
	assert_string_equal(path, "/new");
	fsdax_close(file);
}

static void two_handles_of_a_file_are_one_file(void **state)
{
	(void)state;
	struct fsdax_file *a = make_file(&pool, "a", PAGE), *b;
	assert_int_equal(fsdax_open(pool.fs, "a", 0, &b), 0);
	assert_int_equal(fsdax_unlink(pool.fs, "a"), 0);
	assert_int_equal(fsdax_truncate(a, 2 * PAGE), 0);
	assert_int_equal(stat_of(b).size_bytes, 2 * PAGE);
	fsdax_close(a);
	assert_space(&pool, 2, 0);
	fsdax_close(b);
	assert_space(&pool, 0, 0);
}

static void open_can_truncate(void **state)
{
	(void)state;
	fsdax_close(make_file(&pool, "a", 2 * MIB));
	assert_int_equal(open_path("a", FSDAX_TRUNC), 0);
	assert_space(&pool, 0, 0);
}

static void c6_2_a_pool_is_its_devices_only_holder(void **state)
{
	(void)state;
	struct fsdax *second = NULL;
	assert_int_equal(fsdax_create(pool.dax, NULL, &second), -EBUSY);
	assert_int_equal(fsdax_create(NULL, NULL, &second), -EINVAL);
	assert_int_equal(fsdax_create(pool.dax, NULL, NULL), -EINVAL);
	assert_int_equal(dax_destroy(pool.dax), -EBUSY);
	assert_int_equal(fsdax_destroy(NULL), 0);
	fsdax_close(make_file(&pool, "kept", MIB));
	assert_int_equal(fsdax_destroy(pool.fs), 0);
	assert_int_equal(dax_kill(pool.dax), 0);
	assert_int_equal(fsdax_create(pool.dax, NULL, &second), -ENXIO);
	assert_null(second);
	assert_int_equal(dax_destroy(pool.dax), 0);
	(void)munmap(pool.mem, pool.dev->size_bytes);
	dev_close(pool.dev);
	pool_open(&pool, 4 * MIB, 0, NULL);
}

static void what_a_file_gets_has_the_order_that_was_set(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "f", MIB);
	assert_int_equal(stat_of(file).order, PGMAP_MAX_ORDER);
	assert_int_equal(stat_of(file).max_order, 8);
	assert_int_equal(fsdax_set_order(pool.fs, "/f", 3), 0);
	assert_int_equal(fsdax_truncate(file, 2 * MIB), 0);
	assert_int_equal(stat_of(file).extents, 1 + MIB / (8 * PAGE));
	fsdax_close(file);
	assert_int_equal(fsdax_mkdir(pool.fs, "/d"), 0);
	assert_int_equal(fsdax_set_order(pool.fs, "/d", 4), 0);
	assert_int_equal(fsdax_mkdir(pool.fs, "/d/e"), 0);
	file = make_file(&pool, "/d/e/f", MIB);
	assert_int_equal(stat_of(file).order, 4);
	assert_int_equal(stat_of(file).max_order, 4);
	fsdax_close(file);
	assert_int_equal(fsdax_set_order(pool.fs, "/d", PGMAP_MAX_ORDER + 1), -EINVAL);
	assert_int_equal(fsdax_set_order(pool.fs, "/none", 0), -ENOENT);
	assert_int_equal(fsdax_set_order(pool.fs, "/f/x", 0), -ENOTDIR);
	assert_int_equal(fsdax_set_order(NULL, "/f", 0), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(paths_are_read_as_documented),
		T(what_a_file_gets_has_the_order_that_was_set),
		T(directories_hold_and_refuse),
		T(readdir_lists_in_byte_order),
		T(rename_moves_and_replaces),
		T(rename_refuses),
		T(an_unlinked_file_lives_until_closed_and_unmapped),
		T(two_handles_of_a_file_are_one_file),
		T(open_can_truncate),
		T(c6_2_a_pool_is_its_devices_only_holder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
