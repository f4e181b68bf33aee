/* SPDX-License-Identifier: BSD-3-Clause */
/* The end of a program: one line, one write, SIGABRT. */
#include "port/abort.h"

#include "core_util.h"

static void say_numbers(void *arg)
{
	(void)arg;
	port_abort("folio %#x of %s", 0xbeefu, "somebody");
}

static void say_much(void *arg)
{
	char text[4096];
	(void)arg;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	port_abort("%s", text);
}

static void say_nothing_to_anybody(void *arg)
{
	(void)arg;
	close(STDERR_FILENO);
	port_abort("nobody hears this");
}

static void c3_17_abort_says_one_formatted_line(void **state)
{
	(void)state;
	char said[256];
	int status = in_child(say_numbers, NULL, said, sizeof(said));
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_string_equal(said, "folio 0xbeef of somebody\n");
}

static void c3_17_abort_cuts_what_is_too_long_and_ends_the_line(void **state)
{
	(void)state;
	char said[8192];
	int status = in_child(say_much, NULL, said, sizeof(said));
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	size_t n = strlen(said);
	assert_in_range(n, 256, 512);
	assert_int_equal(strspn(said, "x"), n - 1);
	assert_int_equal(said[n - 1], '\n');
}

static void c3_17_abort_needs_no_stderr(void **state)
{
	(void)state;
	char said[256];
	int status = in_child(say_nothing_to_anybody, NULL, said, sizeof(said));
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_string_equal(said, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c3_17_abort_says_one_formatted_line),
		cmocka_unit_test(c3_17_abort_cuts_what_is_too_long_and_ends_the_line),
		cmocka_unit_test(c3_17_abort_needs_no_stderr),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
