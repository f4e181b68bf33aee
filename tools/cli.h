/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cli.h - what every command of `pgmap` shares: the table that --help and the man page come from, options, the one error
 * line, sizes and times for people, progress, JSON, interruption.
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
enum { CLI_OPTIONS_MAX = 16, CLI_TEXT_MAX = 32 };

struct cli;
struct cli_command {
	const char *name;
	const char *synopsis;             /* what follows the name */
	const char *summary;              /* one line, no full stop */
	const char *text;                 /* paragraphs, one a line */
	const struct cli_option *options; /* or null */
	int min_args, max_args;           /* max -1: any number */
	bool hidden;                      /* not in any help: a part of another command */
	int (*run)(struct cli *cli);
};

struct cli {
	const struct cli_command *command;
	const char *socket; /* null: the default */
	int argc;           /* arguments after the options */
	char **argv;
	const char *option[CLI_OPTIONS_MAX]; /* by index in command->options: null not given, else its argument or "" */
};

/* The table (pgmap.c). Ends with null. */
extern const struct cli_command *const cli_commands[];
extern const struct cli_option cli_global_options[];
const struct cli_command *cli_find(const char *name);

/* Help (help.c), all from the table. */
void cli_help(FILE *out);
void cli_command_help(FILE *out, const struct cli_command *command);
void cli_man(FILE *out);

/* "pgmap CMD: ..." on stderr, one line; answers CLI_FAILED. cli_usage adds where to read on, and answers CLI_USAGE. */
int cli_fail(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
int cli_usage(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What a negative errno of the client library means to the user of a pool, with what to do about it. */
const char *cli_why(int err);

/* Connected, or null after the error line. */
struct pgmap_client *cli_connect(struct cli *cli);

/* Text for people, in buf. 12.3 MiB; 4.5 s, 3 min, 2 h, 5 d. */
const char *cli_bytes(char buf[CLI_TEXT_MAX], uint64_t bytes);
const char *cli_duration(char buf[CLI_TEXT_MAX], int64_t ns);
int64_t cli_now_ns(void);      /* CLOCK_MONOTONIC */
int64_t cli_realtime_ns(void); /* CLOCK_REALTIME */
/* Bytes that print as they are; control characters as '?': a file's name must not move the reader's cursor. */
const char *cli_printable(char *text);
/* Seconds, with a fraction, to ns. 0 or -EINVAL. */
int cli_parse_seconds(const char *text, int64_t *ns);

/* Long work: a line on stderr that is redrawn, on a terminal only. */
struct cli_progress {
	bool shown;
	int64_t start_ns, drawn_ns;
	uint64_t done_bytes, total_bytes; /* total 0: not known */
};
void cli_progress_begin(struct cli_progress *p, uint64_t total_bytes);
void cli_progress_add(struct cli_progress *p, uint64_t bytes);
/* Erase the line; with report: say bytes, seconds, GB/s. */
void cli_progress_end(struct cli_progress *p, const char *what, bool report);

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
struct json_object *cli_stat_json(const char *path, const struct pgmap_stat *st);
void cli_json_u64(struct json_object *object, const char *key, uint64_t value);
void cli_json_i64(struct json_object *object, const char *key, int64_t value);
void cli_json_text(struct json_object *object, const char *key, const char *value);
/* Stdout has taken everything: CLI_DONE, or the error line. A reader that went away is no error. */
int cli_flush(const struct cli *cli);

#endif
