/* SPDX-License-Identifier: BSD-3-Clause */
/* tools_target.c - where the sources of mv and cp go, and what is refused before anything is lost. */
#include "output.h"

#include "target.h"

static const struct cli_command command = {.name = "mv"};
static struct pgmap_client *client;
static char text[4096];

static void make_file(const char *path)
{
	struct pgmap_file *file;
	assert_int_equal(pgmap_open(client, path, PGMAP_O_CREATE, &file), 0);
	assert_int_equal(pgmap_close(file), 0);
}

/* /f, /g, /d/ (f, sub/ (g)), /dd/, /e/ (d/) */
static int set_up(void **state)
{
	(void)state;
	static const char *const dirs[] = {"/d", "/d/sub", "/dd", "/e", "/e/d"};
	static const char *const files[] = {"/f", "/g", "/d/f", "/d/sub/g"};
	assert_int_equal(pgmap_connect("embedded:memfd:size=1M,page=4K", &client), 0);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		assert_int_equal(pgmap_mkdir(client, dirs[i]), 0);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		make_file(files[i]);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return pgmap_disconnect(client);
}

/* The path that src goes to with this destination, or the error line. */
static const char *where(const char *src, const char *dst)
{
	static char path[CLI_PATH_MAX];
	char *args[] = {(char *)(uintptr_t)src, (char *)(uintptr_t)dst};
	struct cli cli = {.command = &command, .argc = 2, .argv = args};
	struct target target;
	struct pgmap_stat st;
	struct output output = output_begin(stderr);
	int code = target_open(&target, &cli, client);
	if (code == CLI_DONE)
		code = target_path(&target, src, path, &st);
	(void)output_end(&output, text, sizeof(text));
	assert_int_equal(code == CLI_DONE, text[0] == 0);
	return code == CLI_DONE ? path : text;
}

static void a_source_goes_to_a_name_or_into_a_directory(void **state)
{
	(void)state;
	static const char *const cases[][3] = {
		{"/f", "/new", "/new"},         {"/f", "/g", "/g"},
		{"/g", "/d", "/d/g"},           {"/g", "/d/", "/d/g"},
		{"/d/sub/g", "/", "/g"},        {"/d", "/new/", "/new"},
		{"/d///", "/dd", "/dd/d"},      {"/d", "/e", "/e/d"},
		{"/d", "/ddd", "/ddd"},         {"g", "d", "d/g"},
		{"/dd", "/d/sub", "/d/sub/dd"}, {"/d/sub", "/", "/sub"},
		{"/d/f", "/f", "/f"},           {"/d/sub/g", "/d", "/d/g"},
		{"/d/sub", "/d2", "/d2"},       {"/f", "/e//d/", "/e//d/f"},
		{"/d", "//new//", "//new"},     {"/e/d", "/dd//", "/dd//d"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(where(cases[i][0], cases[i][1]), cases[i][2]);
}

static void what_would_be_lost_is_refused(void **state)
{
	(void)state;
	static const char *const cases[][3] = {
		{"/f", "/f", "are the same"},     {"/f", "//f", "are the same"},
		{"/f", "/", "are the same"},      {"/d", "/d", "into itself"},
		{"/d", "/", "are the same"},      {"/d", "/d/new", "into itself"},
		{"/d", "/d/sub", "into itself"},  {"d//", "/d/sub/", "into itself"},
		{"/", "/dd", "into itself"},      {"/d", "/d/sub/new/deep", "into itself"},
		{"/d", "/f", "is a file"},        {"/none", "/f", "no such file"},
		{"", "/f", "no valid name"},      {"/f", "", "no valid name"},
		{"/f/", "/new", "no directory"},  {"/f", "/new/", "pgmap mkdir"},
		{"/f", "/f/new", "no directory"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!strstr(where(cases[i][0], cases[i][1]), cases[i][2]))
			fail_msg("%s to %s: %s", cases[i][0], cases[i][1], text);
	make_file("/e/g");
	assert_int_equal(pgmap_mkdir(client, "/dd/f"), 0);
	assert_non_null(strstr(where("/f", "/dd"), "/dd/f is a directory"));
	assert_int_equal(pgmap_mkdir(client, "/g2"), 0);
	assert_int_equal(pgmap_rename(client, "/g2", "/dd/g"), 0);
	assert_non_null(strstr(where("/dd/g", "/e"), "/e/g is a file"));
}

static int open_several(const char *a, const char *b, const char *dst)
{
	char *args[] = {(char *)(uintptr_t)a, (char *)(uintptr_t)b, (char *)(uintptr_t)dst};
	struct cli cli = {.command = &command, .argc = 3, .argv = args};
	struct target target;
	struct output output = output_begin(stderr);
	int code = target_open(&target, &cli, client);
	(void)output_end(&output, text, sizeof(text));
	return code;
}

static void several_sources_need_a_directory_and_names_of_their_own(void **state)
{
	(void)state;
	assert_int_equal(open_several("/f", "/g", "/dd"), CLI_DONE);
	assert_string_equal(text, "");
	assert_int_equal(open_several("/f", "/g", "/new"), CLI_FAILED);
	assert_non_null(strstr(text, "/new: no directory"));
	assert_int_equal(open_several("/d", "/dd", "/f"), CLI_FAILED);
	assert_non_null(strstr(text, "/f: no directory"));
	assert_int_equal(open_several("/f", "/d/f/", "/dd"), CLI_FAILED);
	assert_non_null(strstr(text, "f: two sources of this name for /dd"));
}

static void a_path_too_long_is_refused(void **state)
{
	(void)state;
	char longest[CLI_PATH_MAX + 10], part[201];
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	assert_non_null(strstr(where("/f", longest), "too long"));
	assert_non_null(strstr(where(longest, "/d"), "too long"));
	longest[0] = 0;
	memset(part, 'p', sizeof(part));
	part[0] = '/';
	part[200] = 0;
	for (unsigned i = 0; i < 5; i++) {
		(void)strcat(longest, part);
		assert_int_equal(pgmap_mkdir(client, longest), 0);
	}
	part[30] = 0;
	make_file(part);
	assert_non_null(strstr(where(part, longest), "too long"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_source_goes_to_a_name_or_into_a_directory),
		T(what_would_be_lost_is_refused),
		T(several_sources_need_a_directory_and_names_of_their_own),
		T(a_path_too_long_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
