/* SPDX-License-Identifier: BSD-3-Clause */
/* tools_help.c - help and man page say what the table of commands says, and nothing in it is lost or becomes a request. */
#include "cli.h"
#include "output.h"

#include <stdlib.h>

/* A table of its own: the texts have what a terminal or roff could trip over. */
static int run_nothing(struct cli *cli)
{
	(void)cli;
	return CLI_DONE;
}

static const struct cli_option frob_options[] = {
	{'l', "long-one", "SIZE", "how .much"},
	{0, "quiet", NULL, "say nothing"},
	{0, NULL, NULL, NULL},
};
static const struct cli_command cmd_frob = {
	.name = "frob",
	.synopsis = "[-l SIZE] PATH...",
	.summary = "frobs a thing",
	.text = ".begins with a dot\n'begins with a quote, has a \\backslash and two words-with-hyphens",
	.options = frob_options,
	.min_args = 1,
	.max_args = -1,
	.run = run_nothing,
};
static const struct cli_command cmd_serve = {
	.name = "serve", .synopsis = "", .summary = "serves", .text = "Serves.", .run = run_nothing};
static const struct cli_command cmd_hidden = {.name = "hidden-part",
					      .synopsis = "",
					      .summary = "is not told",
					      .text = "x",
					      .hidden = true,
					      .run = run_nothing};

const struct cli_command *const cli_commands[] = {&cmd_frob, &cmd_serve, &cmd_hidden, NULL};
const struct cli_option cli_global_options[] = {
	{'s', "socket", "SOCKET", "the server's socket"},
	{'V', "version", NULL, "which version"},
	{0, NULL, NULL, NULL},
};

static char text[16384];

static const char *all_help(void)
{
	FILE *out = fmemopen(text, sizeof(text), "w");
	assert_non_null(out);
	cli_help(out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static const char *help_of(const struct cli_command *command)
{
	FILE *out = fmemopen(text, sizeof(text), "w");
	assert_non_null(out);
	cli_command_help(out, command);
	assert_int_equal(fclose(out), 0);
	return text;
}

static const char *man_of(const struct cli_command *command)
{
	FILE *out = fmemopen(text, sizeof(text), "w");
	assert_non_null(out);
	cli_command_man(out, command);
	assert_int_equal(fclose(out), 0);
	return text;
}

static const char *man(void)
{
	FILE *out = fmemopen(text, sizeof(text), "w");
	assert_non_null(out);
	cli_man(out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void assert_in(const char *in, const char *wanted)
{
	if (strstr(in, wanted))
		return;
	print_error("not in it: %s\n", wanted);
	assert_string_equal(in, wanted); /* which shows it */
}

static void help_lists_every_command_and_option(void **state)
{
	(void)state;
	const char *help = all_help();
	assert_in(help, "\n  frob      frobs a thing\n  serve     serves\n");
	assert_in(help, "\n  -s, --socket SOCKET\n        the server's socket\n  -V, --version\n");
	assert_in(help, "exit codes: 0 done; 1 failed");
	assert_in(help, "$PGMAP_SOCKET");
	assert_null(strstr(help, "hidden"));
}

static void a_command_s_help_has_its_options_and_the_common_ones(void **state)
{
	(void)state;
	const char *help = help_of(&cmd_frob);
	assert_memory_equal(help, "pgmap frob - frobs a thing\n\nusage: pgmap [-s SOCKET] frob [-l SIZE] PATH...\n\n",
			    75);
	assert_in(help, "\n.begins with a dot\n\n'begins with a quote");
	assert_in(help, "\n  -l, --long-one SIZE      how .much\n");
	assert_in(help, "\n      --quiet              say nothing\n");
	assert_in(help, "\n  -s, --socket SOCKET ");
	assert_null(strstr(help, "--version"));
	assert_null(strstr(help, "devices:"));
	assert_in(help, "\nexit codes: 0 done;");
}

static void the_command_that_takes_a_device_lists_the_kinds(void **state)
{
	(void)state;
	const char *help = help_of(&cmd_serve);
	assert_in(help, "usage: pgmap [-s SOCKET] serve\n");
	assert_in(help, "\ndevices:\n");
	assert_in(help, "memfd:size=");
}

static void long_text_is_broken_between_words(void **state)
{
	(void)state;
	char words[2000] = "", back[2000] = "";
	for (unsigned i = 0; i < 150; i++)
		(void)snprintf(words + strlen(words), sizeof(words) - strlen(words), "%sword%u", i ? " " : "", i);
	struct cli_command wordy = cmd_frob;
	wordy.text = words;
	wordy.options = NULL;
	const char *from = strstr(help_of(&wordy), "word0 ");
	assert_non_null(from);
	char *end = strstr(from, "\n\noptions:");
	assert_non_null(end);
	*end = 0;
	for (char *line = strtok((char *)(uintptr_t)from, "\n"); line; line = strtok(NULL, "\n")) {
		assert_true(strlen(line) <= 100);
		assert_true(strlen(line) > 85 || !strstr(line, "word0"));
		(void)snprintf(back + strlen(back), sizeof(back) - strlen(back), "%s%s", *back ? " " : "", line);
	}
	assert_string_equal(back, words);
}

static void the_man_page_leads_to_every_command_s(void **state)
{
	(void)state;
	const char *page = man();
	assert_memory_equal(page, ".TH PGMAP 1 ", 12);
	assert_in(page, ".TP\n\\fBpgmap\\-frob\\fR(1)\nfrobs a thing\n");
	assert_in(page, ".SH EXIT STATUS\n");
	assert_in(page, ".SH SEE ALSO\n\\fBpgmap\\-frob\\fR(1),\n\\fBpgmap\\-serve\\fR(1),\n");
	assert_null(strstr(page, "hidden"));
}

static void a_command_s_page_has_all_of_it_and_no_request_by_accident(void **state)
{
	(void)state;
	const char *page = man_of(&cmd_frob);
	assert_memory_equal(page, ".TH PGMAP\\-FROB 1 ", 18);
	assert_in(page, ".SH NAME\npgmap\\-frob \\- frobs a thing\n");
	assert_in(page, "\\fBfrob\\fR [\\-l SIZE] PATH...\n");
	assert_in(page, "\n\\&.begins with a dot\n.PP\n\\&'begins with a quote, has a \\ebackslash and two "
			"words\\-with\\-hyphens\n");
	assert_in(page, ".TP\n\\fB\\-l\\fR, \\fB\\-\\-long\\-one\\fR \\fISIZE\\fR\nhow .much\n");
	assert_in(page, ".TP\n\\fB\\-\\-quiet\\fR\nsay nothing\n");
	assert_in(page, "\\-\\-socket");
	assert_null(strstr(page, "version\\fR"));
	assert_null(strstr(page, ".SH DEVICES"));
	assert_in(page, ".SH EXIT STATUS\n");
	assert_in(man_of(&cmd_serve), ".SH DEVICES\n.TP\n");
	assert_in(text, ".TP\nmemfd\n");
}

/* Every line that begins with a dot is a request that man(7) has. */
static void every_request_is_one_that_man_has(void **state)
{
	(void)state;
	static const char *const known[] = {".TH ", ".SH ", ".TP", ".PP", ".B "};
	size_t len = strlen(man());
	char all[sizeof(text)];
	memcpy(all, text, len);
	(void)snprintf(all + len, sizeof(all) - len, "%s", man_of(&cmd_frob));
	for (char *line = strtok(all, "\n"); line; line = strtok(NULL, "\n")) {
		size_t k = 0;
		if (line[0] == '\'')
			fail_msg("a request: %s", line);
		while (line[0] == '.' && k < sizeof(known) / sizeof(known[0]) &&
		       strncmp(line, known[k], strlen(known[k])) != 0)
			k++;
		if (k == sizeof(known) / sizeof(known[0]))
			fail_msg("no request of man's: %s", line);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(help_lists_every_command_and_option),
		cmocka_unit_test(a_command_s_help_has_its_options_and_the_common_ones),
		cmocka_unit_test(the_command_that_takes_a_device_lists_the_kinds),
		cmocka_unit_test(long_text_is_broken_between_words),
		cmocka_unit_test(the_man_page_leads_to_every_command_s),
		cmocka_unit_test(a_command_s_page_has_all_of_it_and_no_request_by_accident),
		cmocka_unit_test(every_request_is_one_that_man_has),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
