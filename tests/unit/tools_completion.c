/* SPDX-License-Identifier: BSD-3-Clause */
/* tools_completion.c - the shell is told every command that the help tells, with its options and what its arguments are. */
#include "cli.h"
#include "output.h"

static const struct cli_option some[] = {
	{'l', "long-one", "SIZE", "x"}, {'q', "quiet", NULL, "x"}, {0, "every", "[=S]", "x"},
	{0, "count", "N", "x"},         {0, NULL, NULL, NULL},
};
static const struct cli_command put = {.name = "put", .options = some, .args = CLI_ARGS_HERE_POOL};
static const struct cli_command get = {.name = "get", .args = CLI_ARGS_POOL_HERE};
static const struct cli_command list = {.name = "ls", .args = CLI_ARGS_POOL};
static const struct cli_command help = {.name = "help", .args = CLI_ARGS_COMMAND};
static const struct cli_command stop = {.name = "stop"};
static const struct cli_command part = {.name = "part", .hidden = true};

const struct cli_command *const cli_commands[] = {&put, &get, &list, &help, &stop, &part, NULL};
const struct cli_option cli_global_options[] = {
	{'s', "socket", "SOCKET", "x"}, {'V', "version", NULL, "x"}, {0, NULL, NULL, NULL}};

static void all_that_help_tells_is_told(void **state)
{
	(void)state;
	char text[2048];
	FILE *out = fmemopen(text, sizeof(text), "w");
	assert_non_null(out);
	cli_completion(out);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(text, "_pgmap_global=' -s --socket -V --version'\n"
				  "declare -gA _pgmap_options=() _pgmap_valued=() _pgmap_args=()\n"
				  "_pgmap_options[put]=' -l --long-one -q --quiet --every --count'; "
				  "_pgmap_valued[put]=' -l --long-one --count'; _pgmap_args[put]=here-pool\n"
				  "_pgmap_options[get]=''; _pgmap_valued[get]=''; _pgmap_args[get]=pool-here\n"
				  "_pgmap_options[ls]=''; _pgmap_valued[ls]=''; _pgmap_args[ls]=pool\n"
				  "_pgmap_options[help]=''; _pgmap_valued[help]=''; _pgmap_args[help]=command\n"
				  "_pgmap_options[stop]=''; _pgmap_valued[stop]=''; _pgmap_args[stop]=none\n");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_help_tells_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
