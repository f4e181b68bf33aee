/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * target.h - where the sources of `mv` and `cp` go, by the rules of mv(1) and cp(1): into the last argument when it is a
 * directory of the pool, which it must be when there are several sources; else to its name.
 *
 * What is refused here is what would lose something or never end: a file onto itself, a directory into itself, two sources
 * of one name into one directory, a file over a directory and the other way round. The pool's server has the last word,
 * whatever changes meanwhile. Thread safety: one thread.
 */
#ifndef PGMAP_TOOLS_TARGET_H
#define PGMAP_TOOLS_TARGET_H

#include "cli.h"

struct target {
	struct cli *cli;
	struct pgmap_client *client;
	const char *dst;
	bool is_dir;
};

/* Looks at all of the command's arguments. CLI_DONE, or CLI_FAILED after the error line. */
int target_open(struct target *target, struct cli *cli, struct pgmap_client *client);
/* Where src goes, and what src is. Same answers. */
int target_path(const struct target *target, const char *src, char path[CLI_PATH_MAX], struct pgmap_stat *st);

#endif
