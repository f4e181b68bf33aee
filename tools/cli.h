/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cli.h - what every command of `pgmap` shares: the table that --help and the man page come from, options, the one error
 * line, sizes and times for people, JSON, interruption.
 *
 * A command is a struct cli_command; pgmap.c lists them. A command's run function gets its parsed options and arguments
 * and answers with the exit code: 0 done, 1 failed, 2 wrong usage. Whoever answers 1 has printed exactly one line on
 * stderr, by cli_fail(), first failure first: nothing is carried on with after it.
 *
 * Thread safety: one thread, but for cli_stopped(), which signal handlers and every thread may look at.
 */
#ifndef PGMAP_TOOLS_CLI_H
#define PGMAP_TOOLS_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <json-c/json.h>

#include <pgmap/client.h>

#include "option.h"

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };
enum { CLI_OPTIONS_MAX = 16, CLI_REPEATS_MAX = 8, CLI_TEXT_MAX = 32 };

/* What the arguments are: for the shell's completion. */
enum cli_args {
	CLI_ARGS_NONE,
	CLI_ARGS_POOL,      /* paths in the pool */
	CLI_ARGS_HERE_POOL, /* files here, and a path in the pool as the last */
	CLI_ARGS_POOL_HERE, /* the other way round */
	CLI_ARGS_COMMAND,   /* a command's name */
};

struct cli;
struct cli_command {
	const char *name;
	const char *synopsis;             /* what follows the name */
	const char *summary;              /* one line, no full stop */
	const char *text;                 /* paragraphs, one a line */
	const struct cli_option *options; /* or null */
	enum cli_args args;
	int min_args, max_args; /* max -1: any number */
	const char *repeats;    /* the option that may be given up to CLI_REPEATS_MAX times; or null */
	bool hidden;            /* not in any help: a part of another command */
	int (*run)(struct cli *cli);
};

struct cli {
	const struct cli_command *command;
	const char *socket; /* null: the default */
	int argc;           /* arguments after the options */
	char **argv;
	const char *option[CLI_OPTIONS_MAX]; /* by index in command->options: null not given, else its argument or "" */
	const char *each[CLI_REPEATS_MAX];   /* of the option that may be repeated (command->repeats), in order */
	unsigned neach;
};

/* The table (pgmap.c). Ends with null. */
extern const struct cli_command *const cli_commands[];
extern const struct cli_option cli_global_options[];
const struct cli_command *cli_find(const char *name);

/* Help (help.c), all from the table. */
void cli_help(FILE *out);
void cli_command_help(FILE *out, const struct cli_command *command);
void cli_man(FILE *out);                                            /* pgmap(1) */
void cli_command_man(FILE *out, const struct cli_command *command); /* pgmap-COMMAND(1) */
/* What the shell's completion knows of the commands (completion.c): words of bash. */
void cli_completion(FILE *out);

/* "pgmap CMD: ..." on stderr, one line; answers CLI_FAILED. cli_usage adds where to read on, and answers CLI_USAGE. */
int cli_fail(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
int cli_usage(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* cli_fail for what does not fit into the pool (-ENOSPC, -EFBIG): how big it is (0: not known), and how much room there is. */
int cli_fail_full(const struct cli *cli, struct pgmap_client *client, const char *what, uint64_t size_bytes, int err);
/* What a negative errno of the client library means to the user of a pool, with what to do about it. */
const char *cli_why(int err);

/* Connected, or null after the error line. */
struct pgmap_client *cli_connect(struct cli *cli);

/* Text for people, in buf. 12.3 MiB; 4.5 s, 3 min, 2 h, 5 d. */
const char *cli_bytes(char buf[CLI_TEXT_MAX], uint64_t bytes);
const char *cli_duration(char buf[CLI_TEXT_MAX], int64_t ns);
int64_t cli_now_ns(void);      /* CLOCK_MONOTONIC */
int64_t cli_realtime_ns(void); /* CLOCK_REALTIME */
/* Seconds, with a fraction, to ns. 0 or -EINVAL. */
int cli_parse_seconds(const char *text, int64_t *ns);

/* After cli_catch_signals(), SIGINT, SIGTERM and SIGHUP only make cli_stopped() true and interrupt system calls. */
void cli_catch_signals(void);
bool cli_stopped(void);

/* Paths in the pool. dir/name into buf (1024 bytes): 0 or -ENAMETOOLONG. The last component. Its directory, with '/'. */
enum { CLI_PATH_MAX = 1024 };
int cli_join(char buf[CLI_PATH_MAX], const char *dir, const char *name);
const char *cli_basename(const char *path);

/* An array with room for one more than its n elements: itself, or a longer copy. Null, and the array as it was: no memory. */
void *cli_grow(void *array, size_t n, size_t *room, size_t element_bytes);

/* JSON, pretty, to stdout; frees it. Answers CLI_DONE. */
int cli_print_json(struct json_object *json);
/* path: null, it is too long to be named; then name is what there is. */
struct json_object *cli_stat_json(const char *path, const char *name, const struct pgmap_stat *st);
void cli_json_u64(struct json_object *object, const char *key, uint64_t value);
void cli_json_i64(struct json_object *object, const char *key, int64_t value);
/* A value that is no UTF-8 gets U+FFFD for each byte that is none, and a second key, KEY_hex, with all of its bytes. */
void cli_json_text(struct json_object *object, const char *key, const char *value);
/* Stdout has taken everything: CLI_DONE, or the error line. A reader that went away is no error. */
int cli_flush(const struct cli *cli);

#endif
