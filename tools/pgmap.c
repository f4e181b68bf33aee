/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pgmap.c - the command: the table of its commands, its options, and which command runs. One table serves the dispatch,
 * --help and the man page (help.c).
 */
#include "cli.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "port/guard.h"

const struct cli_option cli_global_options[] = {
	{'s', "socket", "SOCKET", "the server's socket"},
	{'h', "help", NULL, "say what there is, and end"},
	{'V', "version", NULL, "say which version this is, and end"},
	{0, NULL, NULL, NULL},
};

static int run_help(struct cli *cli);

static const struct cli_command cmd_help = {
	.name = "help",
	.synopsis = "[COMMAND]",
	.summary = "what there is, or what a command does",
	.text = "The same as --help.",
	.args = CLI_ARGS_COMMAND,
	.max_args = 1,
	.run = run_help,
};

const struct cli_command *const cli_commands[] = {
	&cmd_serve, &cmd_stop,  &cmd_info,        &cmd_ls,   &cmd_stat,   &cmd_put,      &cmd_get,
	&cmd_cat,   &cmd_mkdir, &cmd_mv,          &cmd_cp,   &cmd_rm,     &cmd_truncate, &cmd_punch,
	&cmd_order, &cmd_who,   &cmd_fence,       &cmd_lost, &cmd_repair, &cmd_device,   &cmd_demo,
	&cmd_bench, &cmd_help,  &cmd_demo_worker, NULL,
};

const struct cli_command *cli_find(const char *name)
{
	for (const struct cli_command *const *c = cli_commands; *c; c++)
		if (strcmp((*c)->name, name) == 0)
			return *c;
	return NULL;
}

static int run_help(struct cli *cli)
{
	if (cli->argc == 0) {
		cli_help(stdout);
		return cli_flush(cli);
	}
	const struct cli_command *command = cli_find(cli->argv[0]);
	if (!command)
		return cli_usage(cli, "%s: no such command", cli->argv[0]);
	cli_command_help(stdout, command);
	return cli_flush(cli);
}

/* getopt's tables for the command's own options and the global ones. A long option's value is its letter or 256 + its
 * index, so that one switch serves both. */
static void getopt_tables(const struct cli_option *options, char *letters, struct option *longs)
{
	*letters++ = ':';
	for (size_t i = 0; options && options[i].name; i++) {
		if (options[i].letter) {
			*letters++ = options[i].letter;
			if (options[i].arg)
				*letters++ = ':';
			if (options[i].arg && options[i].arg[0] == '[')
				*letters++ = ':';
		}
		int has_arg = !options[i].arg            ? no_argument
			      : options[i].arg[0] == '[' ? optional_argument
							 : required_argument;
		*longs++ = (struct option){options[i].name, has_arg, NULL, 256 + (int)i};
	}
	*longs++ = (struct option){"socket", required_argument, NULL, 's'};
	*longs++ = (struct option){"help", no_argument, NULL, 'h'};
	*longs = (struct option){NULL, 0, NULL, 0};
	strcpy(letters, "s:h");
}

static int option_index(const struct cli_option *options, int found)
{
	if (found >= 256)
		return found - 256;
	for (int i = 0; options && options[i].name; i++)
		if (options[i].letter == found)
			return i;
	return -1;
}

static const char *option_text(char buf[64], char **argv)
{
	if (optopt && optopt < 256)
		snprintf(buf, 64, "-%c", optopt);
	else
		snprintf(buf, 64, "%s", argv[optind - 1]);
	return buf;
}

/* -1: run it. */
static int parse_command(struct cli *cli, int argc, char **argv)
{
	char letters[3 * CLI_OPTIONS_MAX + 8], text[64];
	struct option longs[CLI_OPTIONS_MAX + 4];
	const struct cli_command *command = cli->command;
	getopt_tables(command->options, letters, longs);
	opterr = 0;
	optind = 0; /* glibc: begin anew, with this vector */
	for (int found; (found = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
		if (found == ':')
			return cli_usage(cli, "%s: its argument is missing", option_text(text, argv));
		if (found == '?')
			return cli_usage(cli, "%s: no such option", option_text(text, argv));
		if (found == 's') {
			cli->socket = optarg;
		} else if (found == 'h') {
			cli_command_help(stdout, command);
			return cli_flush(cli);
		} else {
			int i = option_index(command->options, found);
			cli->option[i] = optarg ? optarg : "";
			if (!command->repeats || strcmp(command->repeats, command->options[i].name) != 0)
				continue;
			if (cli->neach == CLI_REPEATS_MAX)
				return cli_usage(cli, "%s: more than %d of them", option_text(text, argv),
						 CLI_REPEATS_MAX);
			cli->each[cli->neach++] = optarg;
		}
	}
	cli->argc = argc - optind;
	cli->argv = argv + optind;
	if (cli->argc < command->min_args)
		return cli_usage(cli, "%s: too few arguments: %s %s", cli->argc ? cli->argv[cli->argc - 1] : "(none)",
				 command->name, command->synopsis);
	if (command->max_args >= 0 && cli->argc > command->max_args)
		return cli_usage(cli, "%s: one argument too many", cli->argv[command->max_args]);
	return -1;
}

/* The page of a command, or of all of them. */
static int print_man(struct cli *cli, const char *name)
{
	const struct cli_command *command = name ? cli_find(name) : NULL;
	if (name && !command)
		return cli_usage(cli, "%s: no such command", name);
	if (command)
		cli_command_man(stdout, command);
	else
		cli_man(stdout);
	return cli_flush(cli);
}

/* Options before the command. Answers an exit code, or -1 with *first the command's index in argv. */
static int parse_global(struct cli *cli, int argc, char **argv, int *first)
{
	static const struct option longs[] = {
		{"socket", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},      {"man", no_argument, NULL, 'M'},
		{"completion", no_argument, NULL, 'C'},   {NULL, 0, NULL, 0},
	};
	char text[64];
	opterr = 0;
	for (int found; (found = getopt_long(argc, argv, "+:s:hV", longs, NULL)) != -1;) {
		switch (found) {
		case 's':
			cli->socket = optarg;
			break;
		case 'h':
			cli_help(stdout);
			return cli_flush(cli);
		case 'V':
			puts("pgmap " PGMAP_VERSION);
			return cli_flush(cli);
		case 'M':
			return print_man(cli, argv[optind]);
		case 'C':
			cli_completion(stdout);
			return cli_flush(cli);
		case ':':
			return cli_usage(cli, "%s: its argument is missing", option_text(text, argv));
		default:
			return cli_usage(cli, "%s: no such option", option_text(text, argv));
		}
	}
	*first = optind;
	if (optind == argc)
		return cli_usage(cli, "which command?");
	return -1;
}

int main(int argc, char **argv)
{
	struct cli cli = {0};
	int first = 0;
	/* A reader that goes away shows as EPIPE where it is written, once, and not as a silent death half-way. */
	signal(SIGPIPE, SIG_IGN);
	(void)guard_install(); /* of memory that is lost while it is copied */
	int code = parse_global(&cli, argc, argv, &first);
	if (code >= 0)
		return code;
	cli.command = cli_find(argv[first]);
	if (!cli.command)
		return cli_usage(&cli, "%s: no such command", argv[first]);
	code = parse_command(&cli, argc - first, argv + first);
	return code >= 0 ? code : cli.command->run(&cli);
}
