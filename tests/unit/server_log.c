/* SPDX-License-Identifier: BSD-3-Clause */
/* server_log.c - what the server says: whole lines, and never a wait for room. Without that, these tests never end. */
#include "server_util.h"

#include <fcntl.h>
#include <signal.h>

#include "server/log.h"

static int reader, real_stderr;

/* stderr becomes a pipe that only the test reads. */
static int set_up(void **state)
{
	(void)state;
	int ends[2];
	real_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (real_stderr < 0 || pipe2(ends, O_CLOEXEC) != 0 || dup2(ends[1], STDERR_FILENO) < 0)
		return -1;
	reader = ends[0];
	return close(ends[1]) | fcntl(reader, F_SETFL, O_NONBLOCK);
}

static int tear_down(void **state)
{
	(void)state;
	int back = dup2(real_stderr, STDERR_FILENO);
	(void)close(real_stderr);
	if (reader >= 0)
		(void)close(reader);
	return back == STDERR_FILENO ? 0 : -1;
}

/* All that is in the pipe; how much. */
static size_t take(char *text, size_t text_bytes)
{
	size_t at = 0;
	for (ssize_t n; (n = read(reader, text + at, text_bytes - 1 - at)) > 0;)
		at += (size_t)n;
	text[at] = 0;
	return at;
}

static void a_line_is_said_whole(void **state)
{
	(void)state;
	static char text[4096], much[3000];
	memset(much, 'm', sizeof(much) - 1);
	log_line("%s %d", "one", 1);
	(void)take(text, sizeof(text));
	assert_string_equal(text, "pgmapd: one 1\n");
	log_line("%s", much);
	assert_int_equal(take(text, sizeof(text)), 1023);
	assert_string_equal(text + 1020, "mm\n");
	log_line("mapped: %s", "/a\npgmapd: event=\x1b[2J\x7f\t\xc3\xa4"); /* a file's name */
	(void)take(text, sizeof(text));
	assert_string_equal(text, "pgmapd: mapped: /a?pgmapd: event=?[2J??\xc3\xa4\n");
}

static void an_event_is_fields_that_a_program_can_take_apart(void **state)
{
	(void)state;
	char text[400];
	struct service_whom whom = {.holder = 7, .pid = 123, .uid = 4711, .command = "a \"b\\c", .pages = 12};
	log_event(NULL, SERVICE_QUARANTINED, &whom);
	whom.pages = 0;
	log_event(NULL, SERVICE_STILL_MAPPED, &whom);
	(void)take(text, sizeof(text));
	assert_string_equal(text, "pgmapd: event=quarantined holder=7 pid=123 uid=4711 command=\"a ?b?c\" pages=12\n"
				  "pgmapd: event=still-mapped holder=7 pid=123 uid=4711 command=\"a ?b?c\"\n");
	whom.device = "file:/a\" event=\"\nb";
	log_event(NULL, SERVICE_DEVICE_LEFT, &whom);
	(void)take(text, sizeof(text));
	assert_string_equal(text, "pgmapd: event=device-left device=\"file:/a? event=??b\"\n");
}

static void nothing_is_said_where_there_is_no_room(void **state)
{
	(void)state;
	static char text[1 << 20];
	size_t said = 0;
	for (unsigned i = 0; i < 100000; i++) /* more than any pipe takes here */
		log_line("%06u", i);
	size_t before = strlen("pgmapd: 000000\n"), got = take(text, sizeof(text));
	assert_true(got > 0 && got < 100000 * before && got % before == 0);
	for (char *line = text; *line; line += before)
		assert_int_equal(strtoul(line + strlen("pgmapd: "), NULL, 10), said++);
	assert_int_equal(said, got / before);
	log_line("there is room again");
	(void)take(text, sizeof(text));
	assert_string_equal(text, "pgmapd: there is room again\n");
}

static void nobody_to_read_is_no_harm(void **state)
{
	(void)state;
	void (*was)(int) = signal(SIGPIPE, SIG_IGN);
	assert_int_equal(close(reader), 0);
	reader = -1;
	log_line("to nobody");
	assert_int_equal(close(STDERR_FILENO), 0);
	log_line("to nothing");
	(void)signal(SIGPIPE, was);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_line_is_said_whole),
		T(an_event_is_fields_that_a_program_can_take_apart),
		T(nothing_is_said_where_there_is_no_room),
		T(nobody_to_read_is_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
