/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * how.h - what truncate, punch and rm do about pages that somebody holds: --wait SECONDS, --fail, or neither.
 *
 * Thread safety: one thread.
 */
#ifndef PGMAP_TOOLS_HOW_H
#define PGMAP_TOOLS_HOW_H

#include "cli.h"

/* For a command's table of options, the two one after the other. */
#define HOW_OPTIONS                                                                                                    \
	{0, "wait", "SECONDS", "only once nobody holds the pages: wait so long for that, then fail"},                  \
	{                                                                                                              \
		0, "fail", NULL, "only if nobody holds the pages"                                                      \
	}
/* What HOW_OPTIONS mean, for a command's text. */
#define HOW_TEXT                                                                                                       \
	"Pages that somebody maps or pins are lost at once, and free after their last holder. With --wait or --fail "  \
	"they are lost when nobody holds them any more, or not at all: then nothing has changed."

struct how {
	int mode; /* of client.h */
	int64_t deadline_ns;
};

/* From the options whose index is first, and the next. CLI_DONE, or CLI_USAGE after the error line. */
int how_parse(struct cli *cli, unsigned first, struct how *how);
/* What is left of the wait. */
int64_t how_timeout_ms(const struct how *how);
/* The answer to a call: 0 is CLI_DONE; where somebody holds the pages, the error line says who. */
int how_answer(struct cli *cli, struct pgmap_client *client, const char *path, int err);

#endif
