/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pgmapd.c - the pool server as a program of its own. One table of options serves getopt, --help and the man page (--man).
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "dev/dev.h"
#include "option.h"
#include "server/server.h"

enum { FAILED = 1, USAGE = 2 };

static const struct cli_option options[] = {
	{'d', "device", "SPEC",
	 "the memory of the pool, as memfd:size=4G,page=2M (default: half of the free memory); up to 8 times"},
	{'l', "layout", "HOW",
	 "of several devices: linear (default: one behind the other) or stripe:SIZE (they take turns)"},
	{'s', "socket", "PATH", "default: $PGMAP_SOCKET, $XDG_RUNTIME_DIR/pgmap/pgmapd.sock or /run/pgmap/pgmapd.sock"},
	{'o', "others", "MAY", "none, read or write: what other users may do; sets the socket's mode"},
	{'r', "ready-fd", "N", "write one byte to this descriptor once clients may connect, and close it"},
	{'k', "keep", "SIZE", "free memory that is kept ready, and not given back to the system (default: 0)"},
	{'w', "wipe", "PERCENT", "of a CPU, to wipe free memory ahead of its use (default: 25; 0: when it is needed)"},
	{'q', "quiet", NULL, "say nothing but errors"},
	{'h', "help", NULL, "say what there is, and end"},
	{'V', "version", NULL, "say which version this is, and end"},
	{0, NULL, NULL, NULL},
};
enum { NOPTIONS = sizeof(options) / sizeof(options[0]) - 1 };

static const char summary[] = "the pool server: device memory with an owner that can be trusted";
static const char synopsis[] = "[--device SPEC]... [--layout HOW] [--socket PATH] [--others MAY] [--ready-fd N] "
			       "[--keep SIZE] [--wipe PERCENT] [--quiet]";
static const char description[] =
	"Serves the files of one pool of device memory to the processes that connect to its socket: they map them with "
	"no copy, and it knows who holds which pages, since when. It stays in the foreground, and needs no root. What "
	"pgmap serve does is the same.\n"
	"SIGTERM and SIGINT drain the pool: there are no new mappings, and the server ends when the last one has gone, "
	"however long that takes; pgmap who names who is in the way, pgmap stop --cancel calls it off. A second signal "
	"ends the server at once, until nothing is held and it gives the memory back. What clients have mapped stays "
	"theirs in any case, also when the server is killed: a "
	"new server refuses a device that somebody still maps.";
static const char files[] =
	"Beside the socket PATH lies PATH.lock, which a server locks for as long as it serves: a "
	"second one for the same "
	"socket is refused, and a dead one's socket is taken over. The server's user and root may do all "
	"that there is. Other users who may connect to the socket may read, write and remove every "
	"file of the pool, or with --others read, only read; they cannot drain it, nor end a "
	"quarantine. What keeps them out is the mode of the socket, which --others sets, and its "
	"directory, which the server makes for its user alone where it is not there.";
static const char exit_codes[] = "0 drained: nothing was held when it ended; 1 it could not start, or was ended by a "
				 "second signal: one line on stderr says what, which, why; 2 wrong usage.";

static int help(FILE *out)
{
	fprintf(out, "pgmapd - %s\n\nusage: pgmapd %s\n\n", summary, synopsis);
	for (const struct cli_option *o = options; o->name; o++)
		option_help(out, o);
	fputs("\ndevices:\n", out);
	for (size_t i = 0; dev_kind_at(i); i++)
		fprintf(out, "  %s\n", dev_kind_at(i)->usage);
	fprintf(out, "\nexit codes: %s\n", exit_codes);
	return 0;
}

static int wrong(const char *what, const char *why)
{
	fprintf(stderr, "pgmapd: %s: %s (see: pgmapd --help)\n", what, why);
	return USAGE;
}

static void section(FILE *out, const char *name, const char *text)
{
	fprintf(out, ".SH %s\n", name);
	roff_paragraphs(out, text);
}

static int man(FILE *out)
{
	fputs(".TH PGMAPD 8 \"\" \"pgmap " PGMAP_VERSION "\" \"System Administration\"\n.SH NAME\npgmapd \\- ", out);
	roff(out, summary);
	fputs("\n.SH SYNOPSIS\n.B pgmapd\n", out);
	roff(out, synopsis);
	fputc('\n', out);
	section(out, "DESCRIPTION", description);
	fputs(".SH OPTIONS\n", out);
	for (const struct cli_option *o = options; o->name; o++)
		option_roff(out, o);
	fputs(".SH DEVICES\n", out);
	for (size_t i = 0; dev_kind_at(i); i++) {
		fprintf(out, ".TP\n%s\n", dev_kind_at(i)->name);
		roff(out, dev_kind_at(i)->usage);
		fputc('\n', out);
	}
	section(out, "FILES", files);
	section(out, "EXIT STATUS", exit_codes);
	fputs(".SH SEE ALSO\n.BR pgmap (1),\n.BR pgmap\\-client (7)\n", out);
	return 0;
}

/* A long option's value is its letter, so that one switch serves both. What is wrong is said by us. */
static void getopt_tables(char letters[2 * NOPTIONS + 2], struct option longs[NOPTIONS + 2])
{
	*letters++ = ':';
	for (const struct cli_option *o = options; o->name; o++) {
		*letters++ = o->letter;
		if (o->arg)
			*letters++ = ':';
		*longs++ = (struct option){o->name, o->arg ? required_argument : no_argument, NULL, o->letter};
	}
	*letters = '\0';
	*longs++ = (struct option){"man", no_argument, NULL, 'M'};
	*longs = (struct option){0};
}

static const char *the_devices[SERVER_DEVICES_MAX];

/* An option of the server's. 0, or the exit code. */
static int take(int c, struct server_options *server)
{
	switch (c) {
	case 'd':
		if (server->ndevices == SERVER_DEVICES_MAX)
			return wrong(optarg, "one device too many");
		the_devices[server->ndevices++] = optarg;
		return 0;
	case 'l':
		server->layout = optarg;
		return 0;
	case 's':
		server->socket_path = optarg;
		return 0;
	case 'q':
		server->quiet = true;
		return 0;
	case 'r':
		return option_parse_fd(optarg, &server->ready_fd) ? wrong(optarg, "no descriptor's number") : 0;
	case 'o':
		return server_parse_others(optarg, &server->others) ? wrong(optarg, "others may: none, read or write")
								    : 0;
	case 'k':
		return dev_parse_size(optarg, &server->keep_bytes) ? wrong(optarg, "no size (say 512M)") : 0;
	case 'w':
		return option_parse_percent(optarg, &server->wipe_percent)
			       ? wrong(optarg, "no share in percent, 0 to 100")
			       : 0;
	default:
		return USAGE; /* no letter of ours */
	}
}

/* What getopt has nothing for. */
static int wrong_option(int c, char **argv, const char *letters)
{
	const char letter[] = {'-', (char)optopt, '\0'};
	if (c == ':')
		return wrong(argv[optind - 1], "it needs a value");
	if (optopt && !strchr(letters, optopt)) /* others may stand behind it */
		return wrong(letter, "no such option");
	return wrong(argv[optind - 1], optopt ? "it takes no value" : "no such option");
}

int main(int argc, char **argv)
{
	struct server_options server = {.devices = the_devices, .ready_fd = -1, .wipe_percent = SERVER_WIPE_PERCENT};
	char letters[2 * NOPTIONS + 2];
	struct option longs[NOPTIONS + 2];
	getopt_tables(letters, longs);
	for (int c; (c = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
		if (c == 'h')
			return help(stdout);
		if (c == 'M')
			return man(stdout);
		if (c == 'V')
			return puts("pgmapd " PGMAP_VERSION) < 0 ? FAILED : 0;
		int rc = c == '?' || c == ':' ? wrong_option(c, argv, letters) : take(c, &server);
		if (rc)
			return rc;
	}
	return optind == argc ? server_run(&server) : wrong(argv[optind], "one argument too many");
}
