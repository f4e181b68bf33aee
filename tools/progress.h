/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * progress.h - long work, and how far it is: a line on stderr that is redrawn, on a terminal only, and one that says in the
 * end what has been moved, where somebody asked for it. The work is done by the caller, who says how many bytes it was.
 *
 * Thread safety: one thread.
 */
#ifndef PGMAP_TOOLS_PROGRESS_H
#define PGMAP_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
	bool shown;
	int64_t start_ns, drawn_ns;
	uint64_t done_bytes, total_bytes; /* total 0: not known */
};

/* Where stderr is no terminal, or with quiet, nothing is ever drawn: the total then need not be looked for. */
bool progress_wanted(bool quiet);
void progress_begin(struct progress *p, bool quiet, uint64_t total_bytes);
void progress_add(struct progress *p, uint64_t bytes);
/* Erase the line; with report, or where it was shown: what was done, bytes, seconds, GB/s. what null: it failed, say nothing. */
void progress_end(struct progress *p, const char *what, bool report);

enum { PROGRESS_LINE_MAX = 160 };
/* The line as it is at this time: a bar, bytes, their rate, and how long the rest will take at that rate. */
const char *progress_line(const struct progress *p, int64_t now_ns, char buf[PROGRESS_LINE_MAX]);

#endif
