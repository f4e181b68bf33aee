/* SPDX-License-Identifier: BSD-3-Clause */
/* tools_walk.c - a directory is read whole, and a tree is walked in either order; whoever fails is named. */
#include "output.h"

#include <stdlib.h>

#include "walk.h"

static struct pgmap_client *client;

static void make_file(const char *path)
{
	struct pgmap_file *file;
	assert_int_equal(pgmap_open(client, path, PGMAP_O_CREATE, &file), 0);
	assert_int_equal(pgmap_close(file), 0);
}

/* /b/ (x, d/ (z), y), /a, /e/ */
static int set_up(void **state)
{
	(void)state;
	assert_int_equal(pgmap_connect("embedded:memfd:size=1M,page=4K", &client), 0);
	assert_int_equal(pgmap_mkdir(client, "/b"), 0);
	assert_int_equal(pgmap_mkdir(client, "/b/d"), 0);
	assert_int_equal(pgmap_mkdir(client, "/e"), 0);
	make_file("/b/y");
	make_file("/b/x");
	make_file("/b/d/z");
	make_file("/a");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return pgmap_disconnect(client);
}

static void a_directory_is_read_whole_and_in_order(void **state)
{
	(void)state;
	static const char *const names[] = {"d", "x", "y"};
	struct walk_list list;
	assert_int_equal(walk_read(client, "/b", &list), 0);
	assert_int_equal(list.n, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_string_equal(list.entries[i].name, names[i]);
		assert_int_equal(list.entries[i].st.is_dir, i == 0);
	}
	walk_free(&list);
	assert_int_equal(list.n, 0);
	assert_int_equal(walk_read(client, "/e", &list), 0);
	assert_int_equal(list.n, 0);
	walk_free(&list);
}

static void more_than_there_was_room_for_is_read(void **state)
{
	(void)state;
	struct walk_list list;
	char name[32];
	for (unsigned i = 0; i < 300; i++) {
		(void)snprintf(name, sizeof(name), "/e/%03u", i);
		make_file(name);
	}
	assert_int_equal(walk_read(client, "/e", &list), 0);
	assert_int_equal(list.n, 300);
	for (unsigned i = 0; i < 300; i++) {
		(void)snprintf(name, sizeof(name), "%03u", i);
		assert_string_equal(list.entries[i].name, name);
	}
	walk_free(&list);
}

static void what_is_no_directory_is_an_error(void **state)
{
	(void)state;
	struct walk_list list;
	assert_int_equal(walk_read(client, "/a", &list), -ENOTDIR);
	walk_free(&list);
	assert_int_equal(walk_read(client, "/none", &list), -ENOENT);
	walk_free(&list);
}

/* Paths in the order in which they came, a space after each. Fails at the path fail_at. */
struct seen {
	char text[256];
	const char *fail_at;
	int answer;
};

static int see(void *arg, const char *path, const struct pgmap_stat *st)
{
	struct seen *seen = arg;
	size_t len = strlen(seen->text);
	(void)snprintf(seen->text + len, sizeof(seen->text) - len, "%s%s ", path, st->is_dir ? "/" : "");
	return seen->fail_at && strcmp(path, seen->fail_at) == 0 ? seen->answer : 0;
}

static void a_tree_is_walked_from_above_or_from_below(void **state)
{
	(void)state;
	char failed[CLI_PATH_MAX] = "untouched";
	struct seen above = {{0}, NULL, 0}, below = above, file = above, root = above;
	assert_int_equal(walk_tree(client, "/b", false, see, &above, failed), 0);
	assert_string_equal(above.text, "/b/ /b/d/ /b/d/z /b/x /b/y ");
	assert_int_equal(walk_tree(client, "/b", true, see, &below, failed), 0);
	assert_string_equal(below.text, "/b/d/z /b/d/ /b/x /b/y /b/ ");
	assert_int_equal(walk_tree(client, "/a", true, see, &file, failed), 0);
	assert_string_equal(file.text, "/a ");
	assert_int_equal(walk_tree(client, "/", false, see, &root, failed), 0);
	assert_string_equal(root.text, "// /a /b/ /b/d/ /b/d/z /b/x /b/y /e/ ");
	assert_string_equal(failed, "");
}

static void the_first_that_fails_ends_it_and_is_named(void **state)
{
	(void)state;
	char failed[CLI_PATH_MAX];
	struct seen file = {.fail_at = "/b/d/z", .answer = -EIO}, dir = {.fail_at = "/b/d", .answer = 17};
	assert_int_equal(walk_tree(client, "/b", false, see, &file, failed), -EIO);
	assert_string_equal(file.text, "/b/ /b/d/ /b/d/z ");
	assert_string_equal(failed, "/b/d/z");
	assert_int_equal(walk_tree(client, "/b", true, see, &dir, failed), 17);
	assert_string_equal(dir.text, "/b/d/z /b/d/ ");
	assert_string_equal(failed, "/b/d");
}

static void what_is_not_there_is_named(void **state)
{
	(void)state;
	char failed[CLI_PATH_MAX];
	struct seen none = {{0}, NULL, 0};
	assert_int_equal(walk_tree(client, "/none", false, see, &none, failed), -ENOENT);
	assert_string_equal(failed, "/none");
	assert_string_equal(none.text, "");
}

/* What is removed while the walk goes on is not read again: the list was whole before. */
static int remove_it(void *arg, const char *path, const struct pgmap_stat *st)
{
	(void)arg;
	return st->is_dir ? pgmap_rmdir(client, path) : pgmap_unlink(client, path);
}

static void a_tree_can_be_removed_as_it_is_walked(void **state)
{
	(void)state;
	char failed[CLI_PATH_MAX];
	struct pgmap_stat st;
	assert_int_equal(walk_tree(client, "/b", true, remove_it, NULL, failed), 0);
	assert_int_equal(pgmap_stat(client, "/b", &st), -ENOENT);
	assert_int_equal(pgmap_stat(client, "/a", &st), 0);
}

/* A tree that was moved below a long path: its own parts can no longer be named. */
static void a_path_that_is_too_long_is_named_by_its_directory(void **state)
{
	(void)state;
	char deep[CLI_PATH_MAX] = "", moved[CLI_PATH_MAX], failed[CLI_PATH_MAX], part[256];
	struct seen *seen = calloc(1, sizeof(*seen));
	assert_non_null(seen);
	memset(part, 'p', sizeof(part));
	part[0] = '/';
	part[200] = 0;
	for (unsigned i = 0; i < 5; i++) {
		(void)strcat(deep, part);
		assert_int_equal(pgmap_mkdir(client, deep), 0);
	}
	assert_int_equal(pgmap_mkdir(client, "/t"), 0);
	part[100] = 0;
	(void)snprintf(moved, sizeof(moved), "/t%s", part);
	assert_int_equal(pgmap_mkdir(client, moved), 0);
	assert_int_equal(cli_join(moved, deep, "t"), 0);
	assert_int_equal(pgmap_rename(client, "/t", moved), 0);
	assert_int_equal(walk_tree(client, "/", true, see, seen, failed), -ENAMETOOLONG);
	assert_string_equal(failed, moved);
	free(seen);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_directory_is_read_whole_and_in_order),    T(more_than_there_was_room_for_is_read),
		T(what_is_no_directory_is_an_error),          T(a_tree_is_walked_from_above_or_from_below),
		T(the_first_that_fails_ends_it_and_is_named), T(what_is_not_there_is_named),
		T(a_tree_can_be_removed_as_it_is_walked),     T(a_path_that_is_too_long_is_named_by_its_directory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
