/* SPDX-License-Identifier: BSD-3-Clause */
/* tools_who_lines.c - the table of who, line by line, as printf() would make it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "text.h"
#include "who.h"
#include "who_lines.h"

enum { TEXT_MAX = 16384 };

static struct pgmap_who row(int pid, const char *command, const char *path, int64_t since_ns)
{
	struct pgmap_who who = {.holder_id = 7, .pid = pid, .state = PGMAP_WHO_CONNECTED, .since_ns = since_ns};
	(void)snprintf(who.command, sizeof(who.command), "%s", command);
	(void)snprintf(who.path, sizeof(who.path), "%s", path);
	return who;
}

static void expect(char *out, const struct who_lines *lines, const struct pgmap_who *r)
{
	char offset[CLI_TEXT_MAX], len[CLI_TEXT_MAX], since[CLI_TEXT_MAX];
	char command[TEXT_SHOWN_MAX * sizeof(r->command)], path[TEXT_SHOWN_MAX * sizeof(r->path)];
	const char *state = r->state == PGMAP_WHO_MAPPING ? "mapping" : who_state(r->state);
	size_t at = strlen(out);
	char pid[16] = "-"; /* of a process in another container */
	if (r->pid > 0)
		(void)snprintf(pid, sizeof(pid), "%" PRId32, r->pid);
	(void)snprintf(out + at, TEXT_MAX - at,
		       "%6" PRIu64 " %7s %-15.15s %-11s %9s %9s %6" PRIu64 " %6" PRIu64 "  %8s  %s\n", r->holder_id,
		       pid, text_shown(command, sizeof(command), r->command), state, cli_bytes(offset, r->offset_bytes),
		       cli_bytes(len, r->len_bytes), r->pins_local, r->pins_remote,
		       cli_duration(since, lines->now_ns - r->since_ns), text_shown(path, sizeof(path), r->path));
}

static void the_same(const struct pgmap_who *rows, size_t n)
{
	static char expected[TEXT_MAX];
	struct who_lines lines;
	assert_int_equal(who_lines_begin(&lines), 0);
	size_t heading = lines.len;
	expected[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		struct pgmap_who r = rows[i];
		r.since_ns = lines.now_ns - r.since_ns;
		assert_int_equal(who_lines_add(&lines, &r), 0);
		expect(expected, &lines, &r);
	}
	assert_int_equal(lines.n, n);
	assert_int_equal(lines.len - heading, strlen(expected));
	assert_memory_equal(lines.text + heading, expected, strlen(expected));
	who_lines_free(&lines);
}

static void a_line_is_what_printf_makes(void **state)
{
	struct pgmap_who rows[] = {
		row(12, "worker", "/a", 1200000000),
		row(0, "a-command-that-is-longer-than-its-column", "/b", 0),
		row(INT32_MAX, "", "", INT64_C(90000) * 1000000000),
		row(1, "x\n\x1b\\", "/\xc3\xa4\t\xff (deleted)", 99900000000),
	};
	(void)state;
	rows[1].state = PGMAP_WHO_MAPPING;
	rows[2].state = PGMAP_WHO_QUARANTINED;
	rows[2].holder_id = rows[2].pins_local = rows[2].pins_remote = UINT64_MAX;
	rows[2].offset_bytes = rows[2].len_bytes = UINT64_MAX;
	rows[3].state = 0;
	the_same(rows, sizeof(rows) / sizeof(rows[0]));
}

static void what_was_shown_last_is_not_shown_for_another_value(void **state)
{
	struct pgmap_who rows[6];
	static const int64_t tenths[6] = {0, 1, 1, 2, 2, 0};
	(void)state;
	for (size_t i = 0; i < 6; i++) {
		rows[i] = row(1, "c", "/p", tenths[i] * 100000000);
		rows[i].offset_bytes = i / 2 * 4096;
		rows[i].len_bytes = i / 3 * 1000;
	}
	the_same(rows, 6);
}

/* More than there is room for at first; the longest paths. */
static void the_text_grows(void **state)
{
	struct pgmap_who r = row(1, "c", "/", 0);
	struct who_lines lines;
	(void)state;
	memset(r.path, '\x01', sizeof(r.path) - 1);
	assert_int_equal(who_lines_begin(&lines), 0);
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(who_lines_add(&lines, &r), 0);
	assert_true(lines.len > 500 * 4 * (sizeof(r.path) - 1));
	assert_int_equal(lines.text[lines.len - 1], '\n');
	assert_int_equal(lines.n, 500);
	who_lines_free(&lines);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_what_printf_makes),
		cmocka_unit_test(what_was_shown_last_is_not_shown_for_another_value),
		cmocka_unit_test(the_text_grows),
	};
	return cmocka_run_group_tests_name("tools_who_lines", tests, NULL, NULL);
}
