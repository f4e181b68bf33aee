/* SPDX-License-Identifier: BSD-3-Clause */
/* tools_option.c - what a table says is what help and man page say: whole, and none of it a request of roff's. */
#include "output.h"

#include <stdlib.h>

#include "option.h"

static const struct cli_option plain = {'l', "long-one", "SIZE", "how .much"}, no_letter = {0, "quiet", NULL, "say -n"};
static const struct cli_option may_have = {'w', "watch", "[=SECONDS]", "often"};
static char text[8192];

static FILE *begin(void)
{
	text[0] = 0; /* as it stays when nothing is written */
	FILE *out = fmemopen(text, sizeof(text), "w");
	assert_non_null(out);
	return out;
}

static void a_descriptor_is_a_small_number(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int fd;
	} good[] = {{"0", 0}, {"3", 3}, {"007", 7}, {"1000009", 1000009}};
	static const char *const bad[] = {"",   "-1",  "+1",  " 1",       "1 ",         "x",
					  "1x", "0x1", "1.0", "10000100", "4294967297", "99999999999999999999"};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		int fd = -1;
		assert_int_equal(option_parse_fd(good[i].text, &fd), 0);
		assert_int_equal(fd, good[i].fd);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd = -7;
		assert_int_equal(option_parse_fd(bad[i], &fd), -EINVAL);
		assert_int_equal(fd, -7);
	}
}

static void a_share_is_a_number_up_to_a_hundred(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "-1", "101", "5%", "x", "4294967297"};
	unsigned percent = 7;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(option_parse_percent(bad[i], &percent), -EINVAL);
		assert_int_equal(percent, 7);
	}
	assert_int_equal(option_parse_percent("0", &percent), 0);
	assert_int_equal(percent, 0);
	assert_int_equal(option_parse_percent("100", &percent), 0);
	assert_int_equal(percent, 100);
}

static void help_has_a_column_for_names_and_one_for_what_they_mean(void **state)
{
	(void)state;
	FILE *out = begin();
	option_help(out, &plain);
	option_help(out, &no_letter);
	option_help(out, &may_have);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(text, "  -l, --long-one SIZE      how .much\n      --quiet              say -n\n"
				  "  -w, --watch[=SECONDS]    often\n");
}

static void a_man_page_says_the_same(void **state)
{
	(void)state;
	FILE *out = begin();
	option_roff(out, &plain);
	option_roff(out, &no_letter);
	option_roff(out, &may_have);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(text, ".TP\n\\fB\\-l\\fR, \\fB\\-\\-long\\-one\\fR \\fISIZE\\fR\nhow .much\n"
				  ".TP\n\\fB\\-\\-quiet\\fR\nsay \\-n\n"
				  ".TP\n\\fB\\-w\\fR, \\fB\\-\\-watch\\fR\\fI[=SECONDS]\\fR\noften\n");
}

static void nothing_in_a_text_is_a_request(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"", ""},
		{"a.b", "a.b"},
		{".TH", "\\&.TH"},
		{"'quoted'", "\\&'quoted'"},
		{"a\n.b\n'c", "a\n\\&.b\n\\&'c"},
		{"\\fB", "\\efB"},
		{"--x", "\\-\\-x"},
		{"\n.", "\n\\&."},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		FILE *out = begin();
		roff(out, cases[i][0]);
		assert_int_equal(fclose(out), 0);
		assert_string_equal(text, cases[i][1]);
	}
}

static void each_line_is_a_paragraph_however_long(void **state)
{
	(void)state;
	char words[3000], want[3100];
	memset(words, 'w', sizeof(words));
	words[1500] = '\n';
	words[1501] = '.';
	words[sizeof(words) - 1] = 0;
	FILE *out = begin();
	roff_paragraphs(out, words);
	assert_int_equal(fclose(out), 0);
	(void)snprintf(want, sizeof(want), "%.1500s\n.PP\n\\&%s\n", words, words + 1501);
	assert_string_equal(text, want);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_descriptor_is_a_small_number),
		cmocka_unit_test(a_share_is_a_number_up_to_a_hundred),
		cmocka_unit_test(help_has_a_column_for_names_and_one_for_what_they_mean),
		cmocka_unit_test(a_man_page_says_the_same),
		cmocka_unit_test(nothing_in_a_text_is_a_request),
		cmocka_unit_test(each_line_is_a_paragraph_however_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
