/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * who_lines.h - the table of `pgmap who` as text, line by line: a pool may have a hundred thousand mappings, and the rows
 * themselves are ten times as big as their lines. One thread's.
 */
#ifndef PGMAP_TOOLS_WHO_LINES_H
#define PGMAP_TOOLS_WHO_LINES_H

#include "cli.h"

/* A value that was shown last, and how: neighbours have the same lengths and ages. */
struct who_memo {
	bool set;
	uint64_t value;
	char shown[CLI_TEXT_MAX];
};

struct who_lines {
	char *text; /* not ended by a zero */
	size_t len, room, n;
	int64_t now_ns; /* CLOCK_REALTIME: what ages are counted from */
	struct who_memo offset, length, since;
};

/* The heading; n is 0. who_lines_free() in any case. -ENOMEM. */
int who_lines_begin(struct who_lines *lines);
/* One row more. -ENOMEM: it is not in the text. */
int who_lines_add(struct who_lines *lines, const struct pgmap_who *row);
void who_lines_free(struct who_lines *lines);

#endif
