/* SPDX-License-Identifier: BSD-3-Clause */
/* tools_progress.c - how far long work is: on a terminal only, and never wrong by a total that was none. */
#include "output.h"

#include <fcntl.h>
#include <stdlib.h>

#include "progress.h"

enum { SECOND = 1000000000 };

static void a_line_has_a_bar_bytes_rate_and_what_is_left(void **state)
{
	(void)state;
	static const struct {
		uint64_t done, total;
		int64_t ns;
		const char *line;
	} cases[] = {
		{0, 4 << 20, 0, "[........................]   0 %  0 B of 4 MiB  0.00 GB/s  ? left"},
		{1 << 20, 4 << 20, SECOND, "[######..................]  25 %  1 MiB of 4 MiB  0.00 GB/s  3.0 s left"},
		{3000000000, 6000000000, SECOND,
		 "[############............]  50 %  2.8 GiB of 5.6 GiB  3.00 GB/s  1.0 s left"},
		{4 << 20, 4 << 20, 2 * (int64_t)SECOND,
		 "[########################] 100 %  4 MiB of 4 MiB  0.00 GB/s  0.0 s left"},
		/* It grew while it was read. */
		{5 << 20, 4 << 20, SECOND, "[########################] 100 %  5 MiB of 4 MiB  0.01 GB/s  0.0 s left"},
		/* A byte in a second, of everything. */
		{1, UINT64_MAX, SECOND, "[........................]   0 %  1 B of 16 EiB  0.00 GB/s  11574 d left"},
		{3 << 20, 0, SECOND, "3 MiB  0.00 GB/s"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char buf[PROGRESS_LINE_MAX];
		struct progress p = {.start_ns = 77, .done_bytes = cases[i].done, .total_bytes = cases[i].total};
		assert_string_equal(progress_line(&p, 77 + cases[i].ns, buf), cases[i].line);
	}
}

static void in_a_pipe_it_is_quiet_and_counts(void **state)
{
	(void)state;
	char buf[512];
	struct progress p;
	struct output output = output_begin(stderr);
	progress_begin(&p, false, 100);
	assert_false(p.shown);
	p.drawn_ns = 0; /* long ago */
	progress_add(&p, 60);
	progress_add(&p, 40);
	progress_end(&p, "put", false);
	progress_end(&p, NULL, true);
	assert_string_equal(output_end(&output, buf, sizeof(buf)), "");
	assert_int_equal(p.done_bytes, 100);
	output = output_begin(stderr);
	progress_end(&p, "put", true);
	(void)output_end(&output, buf, sizeof(buf));
	assert_memory_equal(buf, "put 100 bytes in ", 17);
	assert_non_null(strstr(buf, " GB/s\n"));
}

/* On a terminal: what it wrote, in buf. */
static void on_a_terminal(bool quiet, const char *what, bool report, char *buf, size_t room)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), saved = dup(STDERR_FILENO);
	assert_true(master >= 0 && saved >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	int terminal = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(terminal >= 0);
	assert_int_equal(dup2(terminal, STDERR_FILENO), STDERR_FILENO);
	struct progress p;
	bool wanted = progress_wanted(quiet);
	progress_begin(&p, quiet, 4096);
	progress_add(&p, 1024); /* too soon to be drawn */
	p.drawn_ns = 0;
	progress_add(&p, 1024);
	progress_end(&p, what, report);
	(void)fputs("@", stderr); /* the end of it */
	(void)fflush(stderr);
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	size_t at = 0;
	do {
		ssize_t n = read(master, buf + at, room - 1 - at);
		assert_true(n > 0);
		at += (size_t)n;
	} while (buf[at - 1] != '@');
	buf[at] = 0;
	assert_int_equal(wanted, !quiet);
	assert_int_equal(close(saved), 0);
	assert_int_equal(close(terminal), 0);
	assert_int_equal(close(master), 0);
}

static void on_a_terminal_a_line_is_drawn_and_erased(void **state)
{
	(void)state;
	char buf[512];
	on_a_terminal(false, "put", false, buf, sizeof(buf));
	assert_memory_equal(buf, "\r\033[K[############", 16);
	char *erased = strstr(buf + 1, "\r\033[K");
	assert_non_null(erased);
	assert_memory_equal(erased, "\r\033[Kput 2048 bytes in ", 22);
	on_a_terminal(false, NULL, true, buf, sizeof(buf)); /* it failed: the error line is all that stays */
	assert_string_equal(buf + strlen(buf) - 5, "\r\033[K@");
	on_a_terminal(true, "put", false, buf, sizeof(buf));
	assert_string_equal(buf, "@");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_has_a_bar_bytes_rate_and_what_is_left),
		cmocka_unit_test(in_a_pipe_it_is_quiet_and_counts),
		cmocka_unit_test(on_a_terminal_a_line_is_drawn_and_erased),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
