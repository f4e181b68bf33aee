/* SPDX-License-Identifier: BSD-3-Clause */
/* tools_cli.c - what every command shares: one line for an error, sizes and times for people, paths, JSON, interruption. */
#include "cli.h"
#include "output.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

static const struct cli_command command = {.name = "frob"};

static void sizes_read_as_people_write_them(void **state)
{
	(void)state;
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{0, "0 B"},
		{1, "1 B"},
		{1023, "1023 B"},
		{1024, "1 KiB"},
		{1536, "1.5 KiB"},
		{4096, "4 KiB"},
		{1047527, "1023.0 KiB"},
		{1048575, "1 MiB"},
		{1 << 20, "1 MiB"},
		{24 << 20, "24 MiB"},
		{(UINT64_C(1) << 30) + (UINT64_C(1) << 29), "1.5 GiB"},
		{UINT64_C(1) << 40, "1 TiB"},
		{UINT64_C(1) << 50, "1 PiB"},
		{UINT64_MAX, "16 EiB"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char buf[CLI_TEXT_MAX];
		assert_string_equal(cli_bytes(buf, cases[i].bytes), cases[i].text);
	}
}

static void so_do_durations(void **state)
{
	(void)state;
	static const struct {
		double seconds;
		const char *text;
	} cases[] = {{-5, "0.0 s"},     {0, "0.0 s"},  {4.5, "4.5 s"},  {99.9, "99.9 s"}, {100, "2 min"},
		     {5999, "100 min"}, {6000, "2 h"}, {86400, "24 h"}, {172800, "2 d"},  {1e9, "11574 d"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char buf[CLI_TEXT_MAX];
		assert_string_equal(cli_duration(buf, (int64_t)(cases[i].seconds * 1e9)), cases[i].text);
	}
	char buf[CLI_TEXT_MAX];
	assert_string_equal(cli_duration(buf, INT64_MIN), "0.0 s");
	assert_string_equal(cli_duration(buf, INT64_MAX), "106752 d");
}

static void seconds_are_numbers_that_a_clock_has(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {{"0", 0}, {"1", 1000000000}, {"0.25", 250000000}, {".5", 500000000}, {"1e9", 1000000000000000000}};
	static const char *const bad[] = {"",    " ",   "s",    "1s",  "1 ", "-1",  "-0.001",
					  "nan", "inf", "-inf", "2e9", "--", "1,5", "1.2.3"};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		int64_t ns = -1;
		assert_int_equal(cli_parse_seconds(good[i].text, &ns), 0);
		assert_int_equal(ns, good[i].ns);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int64_t ns = 77;
		assert_int_equal(cli_parse_seconds(bad[i], &ns), -EINVAL);
		assert_int_equal(ns, 77);
	}
}

static void a_path_is_joined_with_one_slash(void **state)
{
	(void)state;
	static const struct {
		const char *dir, *name, *path;
	} cases[] = {{"/", "a", "/a"}, {"/d", "a", "/d/a"}, {"/d/", "a", "/d/a"}, {"", "a", "a"}, {"d", "", "d/"}};
	char buf[CLI_PATH_MAX], dir[CLI_PATH_MAX];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(cli_join(buf, cases[i].dir, cases[i].name), 0);
		assert_string_equal(buf, cases[i].path);
	}
	memset(dir, 'd', sizeof(dir));
	dir[CLI_PATH_MAX - 3] = 0;
	assert_int_equal(cli_join(buf, dir, "n"), 0); /* 1023 bytes */
	assert_int_equal(strlen(buf), CLI_PATH_MAX - 1);
	assert_int_equal(cli_join(buf, dir, "nn"), -ENAMETOOLONG);
}

static void a_path_s_last_part_is_its_name(void **state)
{
	(void)state;
	static const char *const cases[][2] = {{"/a/b", "b"}, {"b", "b"}, {"/b", "b"}, {"a/b/", "b/"},
					       {"//", ""},    {"/", ""},  {"", ""},    {"/a//", "a//"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(cli_basename(cases[i][0]), cases[i][1]);
}

static void a_failure_is_one_line(void **state)
{
	(void)state;
	char buf[8192], long_name[4000];
	struct cli cli = {.command = &command}, none = {0};
	struct output output = output_begin(stderr);
	assert_int_equal(cli_fail(&cli, "%s: %d", "a\nb", 5), CLI_FAILED);
	assert_string_equal(output_end(&output, buf, sizeof(buf)), "pgmap frob: a\\nb: 5\n");
	output = output_begin(stderr);
	assert_int_equal(cli_fail(&none, "why"), CLI_FAILED);
	assert_string_equal(output_end(&output, buf, sizeof(buf)), "pgmap: why\n");
	memset(long_name, 'n', sizeof(long_name));
	long_name[sizeof(long_name) - 1] = 0;
	output = output_begin(stderr);
	assert_int_equal(cli_fail(&cli, "%s: too long (choose a shorter one)", long_name), CLI_FAILED);
	(void)output_end(&output, buf, sizeof(buf));
	assert_ptr_equal(strchr(buf, '\n'), buf + strlen(buf) - 1);
	assert_true(strlen(buf) < 2100);
	assert_non_null(
		strstr(buf, "n: too long (choose a shorter one)\n")); /* the middle of the name is what is left out */
	output = output_begin(stderr);
	assert_int_equal(cli_fail(&cli, "%s: %s", "", "no name"), CLI_FAILED);
	assert_string_equal(output_end(&output, buf, sizeof(buf)), "pgmap frob: \"\": no name\n");
}

static void wrong_usage_says_where_to_read(void **state)
{
	(void)state;
	char buf[512];
	struct cli cli = {.command = &command}, none = {0};
	struct output output = output_begin(stderr);
	assert_int_equal(cli_usage(&cli, "-x: no such option"), CLI_USAGE);
	assert_int_equal(cli_usage(&none, "which?"), CLI_USAGE);
	assert_string_equal(output_end(&output, buf, sizeof(buf)),
			    "pgmap frob: -x: no such option (see: pgmap frob --help)\n"
			    "pgmap: which? (see: pgmap --help)\n");
}

static void every_error_says_what_to_do(void **state)
{
	(void)state;
	static const int common[] = {-ENOENT, -EEXIST, -EISDIR,     -ENOTDIR, -ENOTEMPTY, -ENAMETOOLONG, -ENOSPC,
				     -EFBIG,  -ENODEV, -EPIPE,      -EBUSY,   -E2BIG,     -EPROTO,       -EMFILE,
				     -ENOMEM, -EINVAL, -ECONNRESET, -EPERM,   -EACCES};
	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++) {
		assert_non_null(strchr(cli_why(common[i]), '('));
		assert_string_not_equal(cli_why(common[i]), strerror(-common[i]));
	}
	assert_non_null(strstr(cli_why(-ENOSPC), "full"));
	assert_non_null(strstr(cli_why(-ENODEV), "draining"));
	assert_string_equal(cli_why(-EXDEV), strerror(EXDEV));
}

static void a_server_that_is_not_there_is_named(void **state)
{
	(void)state;
	char buf[512];
	struct cli cli = {.command = &command, .socket = "/no/such/folder/socket"};
	struct output output = output_begin(stderr);
	assert_null(cli_connect(&cli));
	cli.socket = "embedded:tape:size=1M";
	assert_null(cli_connect(&cli));
	assert_int_equal(setenv("PGMAP_SOCKET", "/no/such/socket/of/the/environment", 1), 0);
	cli.socket = NULL;
	assert_null(cli_connect(&cli));
	assert_int_equal(unsetenv("PGMAP_SOCKET"), 0);
	assert_string_equal(
		output_end(&output, buf, sizeof(buf)),
		"pgmap frob: /no/such/folder/socket: no pool server answers there (start one with: pgmap serve)\n"
		"pgmap frob: embedded:tape:size=1M: no valid socket path or device spec (see: pgmap serve --help)\n"
		"pgmap frob: /no/such/socket/of/the/environment: no pool server answers there (start one with: pgmap "
		"serve)\n");
	cli.socket = "embedded:memfd:size=1M,page=4K";
	struct pgmap_client *client = cli_connect(&cli);
	assert_non_null(client);
	assert_int_equal(pgmap_disconnect(client), 0);
}

static void an_array_grows_and_keeps_what_it_has(void **state)
{
	(void)state;
	uint32_t *numbers = NULL;
	size_t room = 0, moves = 0;
	for (uint32_t n = 0; n < 1000; n++) {
		size_t before = room;
		numbers = cli_grow(numbers, n, &room, sizeof(*numbers));
		assert_non_null(numbers);
		assert_true(room > n);
		moves += room != before;
		numbers[n] = n;
	}
	for (uint32_t n = 0; n < 1000; n++)
		assert_int_equal(numbers[n], n);
	assert_int_equal(moves, 7); /* 16 to 1024, doubling */
	size_t full = room;
	assert_null(cli_grow(numbers, full, &room, SIZE_MAX / 64)); /* the product does not fit a size_t */
	assert_int_equal(room, full);
	assert_int_equal(numbers[999], 999);
	free(numbers);
}

static void a_file_s_json_has_all_that_stat_says(void **state)
{
	(void)state;
	char buf[1024];
	struct pgmap_stat st = {.ino = 3,
				.size_bytes = UINT64_MAX,
				.blocks = 4,
				.extents = 5,
				.mappings = 6,
				.mtime_ns = -7,
				.nlink = 8,
				.is_dir = 0,
				.max_order = 9};
	struct output output = output_begin(stdout);
	assert_int_equal(cli_print_json(cli_stat_json("/d/\"name\"", "\"name\"", &st)), CLI_DONE);
	(void)output_end(&output, buf, sizeof(buf));
	struct json_object *json = json_tokener_parse(buf);
	assert_non_null(json);
	static const struct {
		const char *key;
		int64_t value;
	} numbers[] = {{"ino", 3},   {"blocks", 4},    {"extents", 5},  {"mappings", 6},
		       {"nlink", 8}, {"mtime_ns", -7}, {"max_order", 9}};
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		assert_int_equal(json_object_get_int64(json_object_object_get(json, numbers[i].key)), numbers[i].value);
	assert_true(json_object_get_uint64(json_object_object_get(json, "size_bytes")) == UINT64_MAX);
	assert_string_equal(json_object_get_string(json_object_object_get(json, "path")), "/d/\"name\"");
	assert_string_equal(json_object_get_string(json_object_object_get(json, "name")), "\"name\"");
	assert_string_equal(json_object_get_string(json_object_object_get(json, "type")), "file");
	json_object_put(json);
}

/* Whatever the bytes: JSON that a strict parser takes, from which they can be had back. */
static void text_that_is_no_utf8_is_json_all_the_same(void **state)
{
	(void)state;
	struct json_object *json = json_object_new_object();
	cli_json_text(json, "good", "\xc3\xa4\n\"");
	cli_json_text(json, "empty", "");
	cli_json_text(json, "bad", "a\xff\xc3(");
	struct json_tokener *strict = json_tokener_new();
	assert_non_null(strict);
	json_tokener_set_flags(strict, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	const char *text = json_object_to_json_string(json);
	struct json_object *back = json_tokener_parse_ex(strict, text, (int)strlen(text) + 1);
	assert_non_null(back);
	assert_int_equal(json_object_object_length(back), 4);
	assert_string_equal(json_object_get_string(json_object_object_get(back, "good")), "\xc3\xa4\n\"");
	assert_string_equal(json_object_get_string(json_object_object_get(back, "empty")), "");
	assert_string_equal(json_object_get_string(json_object_object_get(back, "bad")), "a\xef\xbf\xbd\xef\xbf\xbd(");
	assert_string_equal(json_object_get_string(json_object_object_get(back, "bad_hex")), "61ffc328");
	json_object_put(back);
	json_object_put(json);
	json_tokener_free(strict);
}

static void a_path_too_long_to_be_named_is_null(void **state)
{
	(void)state;
	struct pgmap_stat st = {.is_dir = 1};
	struct json_object *json = cli_stat_json(NULL, "n", &st), *path;
	assert_true(json_object_object_get_ex(json, "path", &path));
	assert_null(path);
	assert_string_equal(json_object_get_string(json_object_object_get(json, "name")), "n");
	json_object_put(json);
}

/* In a child, whose streams and signals are its own: its exit status. */
static int in_child(int (*run)(void))
{
	int status;
	(void)fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(run());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int write_to_a_full_device(void)
{
	char buf[512];
	struct cli cli = {.command = &command};
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	(void)dup2(full, STDOUT_FILENO);
	struct output output = output_begin(stderr);
	(void)puts("text");
	int code = cli_flush(&cli);
	(void)output_end(&output, buf, sizeof(buf));
	return code == CLI_FAILED && strstr(buf, "standard output: No space left on device") ? 42 : 1;
}

/* More than the stream's buffer: what failed did so long before the end, and errno has been something else since. */
static int write_much_to_who_has_gone(void)
{
	int ends[2];
	struct cli cli = {.command = &command};
	(void)signal(SIGPIPE, SIG_IGN);
	if (pipe(ends))
		return 1;
	(void)dup2(ends[1], STDOUT_FILENO);
	(void)close(ends[0]);
	for (int i = 0; i < 100000; i++)
		(void)puts("text");
	(void)fflush(stdout);
	errno = EAGAIN;
	return cli_flush(&cli) == CLI_DONE ? 42 : 1;
}

static int write_to_who_has_gone(void)
{
	int ends[2];
	struct cli cli = {.command = &command};
	(void)signal(SIGPIPE, SIG_IGN);
	if (pipe(ends))
		return 1;
	(void)dup2(ends[1], STDOUT_FILENO);
	(void)close(ends[0]);
	(void)puts("text");
	return cli_flush(&cli) == CLI_DONE ? 42 : 1;
}

static void output_that_got_lost_is_a_failure_but_not_for_who_has_gone(void **state)
{
	(void)state;
	assert_int_equal(in_child(write_to_a_full_device), 42);
	assert_int_equal(in_child(write_to_who_has_gone), 42);
	assert_int_equal(in_child(write_much_to_who_has_gone), 42);
}

static int be_interrupted(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	cli_catch_signals();
	if (cli_stopped())
		return 1;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (raise(signals[i]) || !cli_stopped())
			return 2;
	/* A read that waits comes back. */
	struct sigaction action;
	if (sigaction(SIGTERM, NULL, &action) || action.sa_flags & SA_RESTART)
		return 3;
	return 42;
}

static void an_interruption_is_a_flag(void **state)
{
	(void)state;
	assert_int_equal(in_child(be_interrupted), 42);
	assert_false(cli_stopped());
}

static void the_clocks_go_forward(void **state)
{
	(void)state;
	int64_t first = cli_now_ns();
	assert_true(cli_now_ns() >= first);
	assert_true(cli_realtime_ns() > INT64_C(1000000000) * 86400 * 365 * 50); /* after 2020 */
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_read_as_people_write_them),
		cmocka_unit_test(so_do_durations),
		cmocka_unit_test(seconds_are_numbers_that_a_clock_has),
		cmocka_unit_test(a_path_is_joined_with_one_slash),
		cmocka_unit_test(a_path_s_last_part_is_its_name),
		cmocka_unit_test(a_failure_is_one_line),
		cmocka_unit_test(wrong_usage_says_where_to_read),
		cmocka_unit_test(every_error_says_what_to_do),
		cmocka_unit_test(a_server_that_is_not_there_is_named),
		cmocka_unit_test(an_array_grows_and_keeps_what_it_has),
		cmocka_unit_test(a_file_s_json_has_all_that_stat_says),
		cmocka_unit_test(text_that_is_no_utf8_is_json_all_the_same),
		cmocka_unit_test(a_path_too_long_to_be_named_is_null),
		cmocka_unit_test(output_that_got_lost_is_a_failure_but_not_for_who_has_gone),
		cmocka_unit_test(an_interruption_is_a_flag),
		cmocka_unit_test(the_clocks_go_forward),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
