/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * option.h - an option of a program or command, as --help and the man page say it: one table serves both, and getopt.
 *
 * Thread safety: one thread per stream.
 */
#ifndef PGMAP_TOOLS_OPTION_H
#define PGMAP_TOOLS_OPTION_H

#include <stdio.h>

struct cli_option {
	char letter;      /* 0: none */
	const char *name; /* null ends the list */
	const char *
		arg; /* what --help calls its argument, or null; "[=ARG]": it may be left out, and joins with '=' if not */
	const char *help;
};

/* The number of a descriptor. 0 or -EINVAL. */
int option_parse_fd(const char *text, int *fd);

/* A share in percent, 0 to 100. 0 or -EINVAL. */
int option_parse_percent(const char *text, unsigned *percent);

/* Its line of --help. */
void option_help(FILE *out, const struct cli_option *option);

/* The same for a man page. roff: text as it is, none of it a request; each line of the paragraphs is one. */
void option_roff(FILE *out, const struct cli_option *option);
void roff(FILE *out, const char *text);
void roff_paragraphs(FILE *out, const char *text);

#endif
