/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * option.c - see option.h. In roff, a backslash is an escape, a dot or a quote at a line's start begins a request, and a
 * plain '-' may be set as a hyphen: what a user has to type would not be what he reads.
 */
#include "option.h"

#include <errno.h>
#include <stdbool.h>

int option_parse_fd(const char *text, int *fd)
{
	unsigned value = 0;
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9' || value > 100000)
			return -EINVAL;
		value = 10 * value + (unsigned)(*c - '0');
	}
	if (!*text)
		return -EINVAL;
	*fd = (int)value;
	return 0;
}

int option_parse_percent(const char *text, unsigned *percent)
{
	int value;
	if (option_parse_fd(text, &value) != 0 || value > 100)
		return -EINVAL;
	*percent = (unsigned)value;
	return 0;
}

void option_help(FILE *out, const struct cli_option *option)
{
	char name[64];
	const char *arg = option->arg ? option->arg : "";
	snprintf(name, sizeof(name), "--%s%s%s", option->name, *arg && *arg != '[' ? " " : "", arg);
	if (option->letter)
		fprintf(out, "  -%c, %-20s %s\n", option->letter, name, option->help);
	else
		fprintf(out, "      %-20s %s\n", name, option->help);
}

/* between: what separates two lines. */
static void roff_lines(FILE *out, const char *text, const char *between)
{
	bool start = true;
	for (const char *c = text; *c; c++) {
		if (start && (*c == '.' || *c == '\''))
			fputs("\\&", out);
		start = *c == '\n';
		if (*c == '\\')
			fputs("\\e", out);
		else if (*c == '-')
			fputs("\\-", out);
		else if (start)
			fputs(between, out);
		else
			fputc(*c, out);
	}
}

void roff(FILE *out, const char *text)
{
	roff_lines(out, text, "\n");
}

void roff_paragraphs(FILE *out, const char *text)
{
	roff_lines(out, text, "\n.PP\n");
	fputc('\n', out);
}

void option_roff(FILE *out, const struct cli_option *option)
{
	fputs(".TP\n\\fB", out);
	if (option->letter)
		fprintf(out, "\\-%c\\fR, \\fB", option->letter);
	fputs("\\-\\-", out);
	roff(out, option->name);
	fputs("\\fR", out);
	if (option->arg) {
		fputs(option->arg[0] == '[' ? "\\fI" : " \\fI", out);
		roff(out, option->arg);
		fputs("\\fR", out);
	}
	fputc('\n', out);
	roff(out, option->help);
	fputc('\n', out);
}
