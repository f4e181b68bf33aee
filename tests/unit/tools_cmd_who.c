/* SPDX-License-Identifier: BSD-3-Clause */
/* tools_cmd_who.c - who holds what: as a list, in one line, as a table and as JSON; and an operator's word, if it is one. */
#include "output.h"

#include <stdlib.h>

#include "commands.h"
#include "who.h"

enum { PAGE = 4096 };

static char text[8192];

static struct pgmap_who row(int pid, const char *command, const char *path, uint64_t pages)
{
	struct pgmap_who who = {.pid = pid, .pages = pages, .state = PGMAP_WHO_CONNECTED};
	(void)snprintf(who.command, sizeof(who.command), "%s", command);
	(void)snprintf(who.path, sizeof(who.path), "%s", path);
	return who;
}

static void a_state_has_a_name(void **state)
{
	(void)state;
	assert_string_equal(who_state(PGMAP_WHO_CONNECTED), "connected");
	assert_string_equal(who_state(PGMAP_WHO_MAPPING), "disconnected, still mapping");
	assert_string_equal(who_state(PGMAP_WHO_QUARANTINED), "quarantined");
	assert_string_equal(who_state(0), "unknown");
	assert_string_equal(who_state(99), "unknown");
}

static void a_summary_names_three_and_counts_the_rest(void **state)
{
	(void)state;
	struct pgmap_who rows[] = {row(12, "worker", "/a", 768), row(14, "x", "/b", 2048), row(0, "y", "/c", 1),
				   row(16, "z", "/d", 1), row(17, "z", "/e", 1)};
	struct who_list list = {rows, 2, 5};
	char buf[256];
	who_summary(&list, buf, sizeof(buf));
	assert_string_equal(buf, "pid 12 (worker) holds /a (3 MiB), pid 14 (x) holds /b (8 MiB)");
	list.n = 3;
	who_summary(&list, buf, sizeof(buf));
	assert_string_equal(
		buf, "pid 12 (worker) holds /a (3 MiB), pid 14 (x) holds /b (8 MiB), pid ? (y) holds /c (4 KiB)");
	list.n = 5;
	who_summary(&list, buf, sizeof(buf));
	assert_non_null(strstr(buf, "/c (4 KiB), and 2 more"));
	list.n = 0;
	who_summary(&list, buf, sizeof(buf));
	assert_string_equal(buf, "nobody that can be named holds any (a removed file that is open keeps its pages)");
}

static void a_summary_says_what_is_quarantined_and_what_has_no_name(void **state)
{
	(void)state;
	struct pgmap_who rows[] = {row(12, "dead", "", 1)};
	struct who_list list = {rows, 1, 1};
	char buf[256];
	rows[0].state = PGMAP_WHO_QUARANTINED;
	who_summary(&list, buf, sizeof(buf));
	assert_string_equal(buf, "pid 12 (dead) holds pages of a file that has gone (4 KiB, quarantined)");
}

static void a_summary_is_cut_to_its_room(void **state)
{
	(void)state;
	struct pgmap_who rows[] = {row(1, "a", "/a", 1), row(2, "b", "/b", 1), row(3, "c", "/c", 1),
				   row(4, "d", "/d", 1)};
	struct who_list list = {rows, 4, 4};
	char whole[256], buf[256];
	who_summary(&list, whole, sizeof(whole));
	for (size_t room = 1; room < sizeof(buf); room++) {
		memset(buf, '#', sizeof(buf));
		who_summary(&list, buf, room);
		size_t want = strlen(whole) < room ? strlen(whole) : room - 1;
		assert_int_equal(strlen(buf), want);
		assert_memory_equal(buf, whole, want);
		for (size_t at = room; at < sizeof(buf); at++)
			assert_int_equal(buf[at], '#');
	}
}

static void a_list_is_who_maps_now(void **state)
{
	(void)state;
	struct pgmap_client *client;
	struct pgmap_mapping *maps[40]; /* more than the list has room for at first */
	struct who_list list;
	assert_int_equal(pgmap_connect("embedded:memfd:size=1M,page=4K", &client), 0);
	assert_int_equal(who_read(client, NULL, &list), 0);
	assert_int_equal(list.n, 0);
	who_free(&list);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(pgmap_open_map(client, i == 39 ? "/b\033[2J\n" : "/a", PGMAP_O_CREATE, PAGE,
						PGMAP_MAP_READ, &maps[i]),
				 0);
	assert_int_equal(who_read(client, NULL, &list), 0);
	assert_int_equal(list.n, 40);
	who_free(&list);
	assert_int_equal(who_read(client, "/b\033[2J\n", &list), 0);
	assert_int_equal(list.n, 1);
	assert_string_equal(list.rows[0].path, "/b\033[2J\n");
	assert_int_equal(list.rows[0].pid, getpid());
	assert_int_equal(list.rows[0].pages, 1);
	who_free(&list);
	assert_null(list.rows);
	assert_int_equal(who_read(client, "/none", &list), -ENOENT);
	who_free(&list);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(pgmap_unmap(maps[i]), 0);
	assert_int_equal(pgmap_disconnect(client), 0);
}

/* A command with one argument, or none, on a pool of its own: its exit code, and what it wrote to both streams. */
static int run(const struct cli_command *command, const char *argument, const char *option)
{
	char copy[64], *argv[] = {copy, NULL};
	(void)snprintf(copy, sizeof(copy), "%s", argument ? argument : "");
	struct cli cli = {.command = command,
			  .socket = "embedded:memfd:size=1M,page=4K",
			  .argc = argument != NULL,
			  .argv = argv,
			  .option = {option}};
	struct output out = output_begin(stdout), err = output_begin(stderr);
	int code = command->run(&cli);
	(void)output_end(&err, text, sizeof(text) / 2);
	(void)output_end(&out, text + strlen(text), sizeof(text) / 2);
	return code;
}

static void nobody_is_an_answer(void **state)
{
	(void)state;
	assert_int_equal(run(&cmd_who, NULL, NULL), CLI_DONE);
	assert_string_equal(text, "nobody holds any page\n");
	assert_int_equal(run(&cmd_who, NULL, ""), CLI_DONE);
	struct json_object *json = json_tokener_parse(text);
	assert_true(json_object_is_type(json, json_type_array));
	assert_int_equal(json_object_array_length(json), 0);
	json_object_put(json);
	assert_int_equal(run(&cmd_who, "/none", NULL), CLI_FAILED);
	assert_string_equal(text, "pgmap who: /none: no such file or directory in the pool (look with: pgmap ls)\n");
}

static void what_is_no_holder_cannot_be_fenced(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "x", "1x", "-1", "0x5", "99999999999999999999999"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(run(&cmd_fence, bad[i], NULL), CLI_USAGE);
		assert_non_null(strstr(text, "no holder's number (pgmap who has them)"));
	}
	assert_int_equal(run(&cmd_fence, "4711", NULL), CLI_FAILED);
	assert_string_equal(text, "pgmap fence: 4711: no such holder (look with: pgmap who)\n");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_state_has_a_name),
		cmocka_unit_test(a_summary_names_three_and_counts_the_rest),
		cmocka_unit_test(a_summary_says_what_is_quarantined_and_what_has_no_name),
		cmocka_unit_test(a_summary_is_cut_to_its_room),
		cmocka_unit_test(a_list_is_who_maps_now),
		cmocka_unit_test(nobody_is_an_answer),
		cmocka_unit_test(what_is_no_holder_cannot_be_fenced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
