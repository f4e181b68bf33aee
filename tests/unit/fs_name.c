/* SPDX-License-Identifier: BSD-3-Clause */
/* Paths: the text alone is judged first, then what exists; and back from an inode to its path, cut to any buffer. */
#include "fs/name.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct inode *root, *dir, *file; /* "/", "/dir", "/dir/file" */

static struct inode *make(uint64_t ino, enum fsdax_type type, const char *name, struct inode *parent)
{
	struct inode *inode = inode_alloc(ino, type);
	assert_non_null(inode);
	inode->name = strdup(name);
	assert_non_null(inode->name);
	inode->name_len = strlen(name);
	inode_link(parent, inode);
	return inode;
}

static int set_up(void **state)
{
	(void)state;
	root = inode_alloc(1, FSDAX_DIR);
	assert_non_null(root);
	root->nlink = 1;
	dir = make(2, FSDAX_DIR, "dir", root);
	file = make(3, FSDAX_REG, "file", dir);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	inode_free(file);
	inode_free(dir);
	inode_free(root);
	return 0;
}

static void assert_walk(const char *path, const struct inode *in, const char *name, const struct inode *inode)
{
	struct name_at at;
	assert_int_equal(name_walk(root, path, &at), 0);
	assert_ptr_equal(at.dir, in);
	assert_ptr_equal(at.inode, inode);
	assert_int_equal(at.name_len, strlen(name));
	assert_memory_equal(at.name, name, strlen(name));
}

static void slashes_repeat_and_trail_as_they_like(void **state)
{
	(void)state;
	static const char *const same[] = {"/dir/file", "dir/file", "//dir///file", "dir/file/", "/dir//file//"};
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		assert_walk(same[i], dir, "file", file);
	assert_walk("dir", root, "dir", dir);
	assert_walk("dir//", root, "dir", dir);
	assert_walk("/", NULL, "", root);
	assert_walk("///", NULL, "", root);
}

static void only_the_last_component_may_be_missing(void **state)
{
	(void)state;
	struct name_at at;
	assert_walk("new", root, "new", NULL);
	assert_walk("/dir/new/", dir, "new", NULL);
	assert_walk("/dir/fil", dir, "fil", NULL);
	assert_walk("...", root, "...", NULL);
	assert_walk(".x", root, ".x", NULL);
	assert_int_equal(name_walk(root, "new/file", &at), -ENOENT);
	assert_int_equal(name_walk(root, "/dir/new/x/y", &at), -ENOENT);
	assert_int_equal(name_walk(root, "/dir/file/x", &at), -ENOTDIR);
	assert_int_equal(name_walk(root, "/dir/file/x/y", &at), -ENOTDIR);
}

static void the_text_is_judged_before_what_exists(void **state)
{
	(void)state;
	static const char *const bad[] = {"", ".", "..", "/.", "dir/..", "dir/./file", "gone/..", "gone/gone/."};
	struct name_at at, before;
	char path[FSDAX_PATH_MAX + 2];
	memset(&at, 0x5a, sizeof(at));
	before = at;
	assert_int_equal(name_walk(root, NULL, &at), -EINVAL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(name_walk(root, bad[i], &at), -EINVAL);
	memcpy(path, "gone/gone/", 10);
	memset(path + 10, 'n', FSDAX_NAME_MAX + 1);
	path[10 + FSDAX_NAME_MAX + 1] = 0;
	assert_int_equal(name_walk(root, path, &at), -ENAMETOOLONG);
	path[10 + FSDAX_NAME_MAX] = 0;
	assert_int_equal(name_walk(root, path, &at), -ENOENT);
	assert_walk(path + 10, root, path + 10, NULL); /* as long as a name can be */
	memset(path, '/', sizeof(path));
	path[FSDAX_PATH_MAX + 1] = 0;
	assert_int_equal(name_walk(root, path, &at), -ENAMETOOLONG);
	path[FSDAX_PATH_MAX] = 0;
	assert_walk(path, NULL, "", root);
	assert_memory_equal(&at, &before, sizeof(at)); /* what failed said nothing */
}

/* Into every size of buffer up to the whole: its beginning and a NUL, and nothing behind. */
static void assert_path(const struct inode *inode, const char *want)
{
	size_t len = strlen(want);
	char buf[64];
	assert_true(len + 2 < sizeof(buf));
	for (size_t n = 0; n <= len + 2; n++) {
		memset(buf, '#', sizeof(buf));
		assert_int_equal(name_path(inode, buf, n), len);
		size_t there = n <= len ? n : len + 1;
		if (there) {
			assert_memory_equal(buf, want, there - 1);
			assert_int_equal(buf[there - 1], 0);
		}
		for (size_t i = n; i < sizeof(buf); i++)
			assert_int_equal(buf[i], '#');
	}
	assert_int_equal(name_path(inode, NULL, 0), len);
}

static void a_path_is_cut_to_the_buffer_and_measured_whole(void **state)
{
	(void)state;
	assert_path(root, "/");
	assert_path(dir, "/dir");
	assert_path(file, "/dir/file");
}

static void what_is_unlinked_says_so(void **state)
{
	(void)state;
	inode_unlink(file);
	assert_path(file, "file (deleted)");
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(slashes_repeat_and_trail_as_they_like),
		T(only_the_last_component_may_be_missing),
		T(the_text_is_judged_before_what_exists),
		T(a_path_is_cut_to_the_buffer_and_measured_whole),
		T(what_is_unlinked_says_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
