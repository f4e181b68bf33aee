/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * watch.h - the same question, asked and shown again and again: a screen that is redrawn on a terminal, blocks one after
 * the other in a pipe. It ends with an interruption, after as many rounds as were asked for, or when whoever reads has gone:
 * all three are no failures.
 *
 * Thread safety: one thread; it catches signals (cli_catch_signals()).
 */
#ifndef PGMAP_TOOLS_WATCH_H
#define PGMAP_TOOLS_WATCH_H

#include "cli.h"

/* Ask and print to stdout, at most so many lines (0: any number). CLI_DONE, or another exit code, which ends it. */
typedef int watch_fn(void *arg, unsigned lines);

struct watch {
	int64_t interval_ns;
	uint64_t rounds;   /* 0: until something else ends it */
	const char *title; /* the line above each block; null: none, also no empty line between two (JSON) */
};

int watch_run(const struct cli *cli, const struct watch *watch, watch_fn *fn, void *arg);

#endif
