/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * completion.c - what the shell's completion knows of the commands (completion/pgmap.bash), from the table that --help is
 * made from. Names of commands and options hold nothing that a shell would take for anything but a word.
 */
#include "cli.h"

static const char *args_word(enum cli_args args)
{
	switch (args) {
	case CLI_ARGS_POOL:
		return "pool";
	case CLI_ARGS_HERE_POOL:
		return "here-pool";
	case CLI_ARGS_POOL_HERE:
		return "pool-here";
	case CLI_ARGS_COMMAND:
		return "command";
	case CLI_ARGS_NONE:
		break;
	}
	return "none";
}

/* The options as words; with_value: only those whose value is a word of its own. */
static void print_options(FILE *out, const struct cli_option *options, bool with_value)
{
	for (const struct cli_option *o = options; o && o->name; o++) {
		if (with_value && (!o->arg || o->arg[0] == '['))
			continue;
		if (o->letter)
			fprintf(out, " -%c", o->letter);
		fprintf(out, " --%s", o->name);
	}
}

void cli_completion(FILE *out)
{
	fputs("_pgmap_global='", out);
	print_options(out, cli_global_options, false);
	fputs("'\ndeclare -gA _pgmap_options=() _pgmap_valued=() _pgmap_args=()\n", out);
	for (const struct cli_command *const *c = cli_commands; *c; c++) {
		if ((*c)->hidden)
			continue;
		fprintf(out, "_pgmap_options[%s]='", (*c)->name);
		print_options(out, (*c)->options, false);
		fprintf(out, "'; _pgmap_valued[%s]='", (*c)->name);
		print_options(out, (*c)->options, true);
		fprintf(out, "'; _pgmap_args[%s]=%s\n", (*c)->name, args_word((*c)->args));
	}
}
