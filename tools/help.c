/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * help.c - `pgmap --help`, `pgmap CMD --help` and the man pages, all made from the table of commands: what one of them
 * says, all of them say.
 */
#include "cli.h"

#include <string.h>

#include "dev/dev.h"

static const char exit_codes[] = "0 done; 1 failed: one line on stderr says what, why and what to do; 2 wrong usage.";
static const char socket_text[] =
	"Without --socket: $PGMAP_SOCKET, else $XDG_RUNTIME_DIR/pgmap/pgmapd.sock, else /run/pgmap/pgmapd.sock. "
	"embedded:SPEC makes a pool of its own that ends with the command.";

/* Words broken into lines, at a column that a terminal has; each line of text is a paragraph. */
static void wrapped(FILE *out, const char *text, unsigned indent)
{
	enum { COLUMNS = 100 };
	unsigned column = 0;
	for (const char *c = text; *c;) {
		size_t n = strcspn(c, " \n");
		if (column && column + 1 + n > COLUMNS) {
			fputc('\n', out);
			column = 0;
		}
		column += (unsigned)fprintf(out, "%*s%.*s", column ? 1 : (int)indent, "", (int)n, c);
		c += n;
		if (*c == '\n') {
			fputs("\n\n", out);
			column = 0;
		}
		if (*c)
			c++;
	}
	fputc('\n', out);
}

void cli_help(FILE *out)
{
	fputs("pgmap - device memory with an owner that can be trusted\n\n"
	      "usage: pgmap [-s SOCKET] COMMAND [OPTION]... [ARGUMENT]...\n\n",
	      out);
	for (const struct cli_command *const *c = cli_commands; *c; c++)
		if (!(*c)->hidden)
			fprintf(out, "  %-9s %s\n", (*c)->name, (*c)->summary);
	fputs("\noptions:\n", out);
	for (const struct cli_option *o = cli_global_options; o->name; o++)
		fprintf(out, "  -%c, --%s%s%s\n        %s\n", o->letter, o->name, o->arg ? " " : "",
			o->arg ? o->arg : "", o->help);
	fputc('\n', out);
	wrapped(out, socket_text, 0);
	fprintf(out, "\nexit codes: %s\n`pgmap COMMAND --help` says more about a command.\n", exit_codes);
}

static void print_kinds(FILE *out)
{
	for (size_t i = 0; dev_kind_at(i); i++)
		wrapped(out, dev_kind_at(i)->usage, 2);
}

/* The one command whose argument is a table of its own: which devices there are. */
static bool takes_spec(const struct cli_command *command)
{
	return strcmp(command->name, "serve") == 0;
}

void cli_command_help(FILE *out, const struct cli_command *command)
{
	fprintf(out, "pgmap %s - %s\n\nusage: pgmap [-s SOCKET] %s%s%s\n\n", command->name, command->summary,
		command->name, *command->synopsis ? " " : "", command->synopsis);
	wrapped(out, command->text, 0);
	fputs("\noptions:\n", out);
	for (const struct cli_option *o = command->options; o && o->name; o++)
		option_help(out, o);
	for (const struct cli_option *o = cli_global_options; o->name; o++)
		if (o->letter != 'V')
			option_help(out, o);
	if (takes_spec(command)) {
		fputs("\ndevices:\n", out);
		print_kinds(out);
	}
	fprintf(out, "\nexit codes: %s\n", exit_codes);
}

static void roff_options(FILE *out, const struct cli_option *options, bool version)
{
	for (const struct cli_option *o = options; o && o->name; o++)
		if (version || o->letter != 'V')
			option_roff(out, o);
}

/* What is the same on every page. */
static void roff_tail(FILE *out)
{
	fputs(".SH ENVIRONMENT\n", out);
	roff(out, socket_text);
	fputs("\n.SH EXIT STATUS\n", out);
	roff(out, exit_codes);
	fputs("\n.SH SEE ALSO\n", out);
}

void cli_command_man(FILE *out, const struct cli_command *command)
{
	fputs(".TH PGMAP\\-", out);
	for (const char *c = command->name; *c; c++)
		fputc(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c, out);
	fprintf(out, " 1 \"\" \"pgmap " PGMAP_VERSION "\" \"User Commands\"\n.SH NAME\npgmap\\-%s \\- ", command->name);
	roff(out, command->summary);
	fprintf(out, "\n.SH SYNOPSIS\n\\fBpgmap\\fR [\\fB\\-s\\fR \\fISOCKET\\fR] \\fB%s\\fR ", command->name);
	roff(out, command->synopsis);
	fputs("\n.SH DESCRIPTION\n", out);
	roff_paragraphs(out, command->text);
	fputs(".SH OPTIONS\n", out);
	roff_options(out, command->options, true);
	roff_options(out, cli_global_options, false);
	if (takes_spec(command))
		fputs(".SH DEVICES\n", out);
	for (size_t i = 0; takes_spec(command) && dev_kind_at(i); i++) {
		fputs(".TP\n", out);
		roff(out, dev_kind_at(i)->name);
		fputc('\n', out);
		roff(out, dev_kind_at(i)->usage);
		fputc('\n', out);
	}
	roff_tail(out);
	fputs("\\fBpgmap\\fR(1), \\fBpgmapd\\fR(8)\n", out);
}

void cli_man(FILE *out)
{
	fputs(".TH PGMAP 1 \"\" \"pgmap " PGMAP_VERSION "\" \"User Commands\"\n.SH NAME\n"
	      "pgmap \\- device memory with an owner that can be trusted\n.SH SYNOPSIS\n"
	      ".B pgmap\n[\\fB\\-s\\fR \\fISOCKET\\fR] \\fICOMMAND\\fR [\\fIOPTION\\fR]... [\\fIARGUMENT\\fR]...\n"
	      ".SH DESCRIPTION\n"
	      "The files of a pool of device memory, that many processes map with no copy; and who holds which of its "
	      "pages.\nEach command has a page of its own.\n"
	      ".SH OPTIONS\n",
	      out);
	roff_options(out, cli_global_options, true);
	fputs(".SH COMMANDS\n", out);
	for (const struct cli_command *const *c = cli_commands; *c; c++) {
		if ((*c)->hidden)
			continue;
		fprintf(out, ".TP\n\\fBpgmap\\-%s\\fR(1)\n", (*c)->name);
		roff(out, (*c)->summary);
		fputc('\n', out);
	}
	roff_tail(out);
	for (const struct cli_command *const *c = cli_commands; *c; c++)
		if (!(*c)->hidden)
			fprintf(out, "\\fBpgmap\\-%s\\fR(1),\n", (*c)->name);
	fputs("\\fBpgmapd\\fR(8), \\fBpgmap\\-client\\fR(7)\n", out);
}
