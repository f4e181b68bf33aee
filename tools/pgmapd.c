/* SPDX-License-Identifier: BSD-3-Clause */
/* pgmapd.c - the pool server as a program of its own. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/server.h"

static void usage(FILE *to)
{
	(void)fprintf(
		to, "usage: pgmapd [--device SPEC] [--socket PATH] [--ready-fd N] [--quiet]\n"
		    "  -d, --device SPEC   the memory of the pool, as memfd:size=4G,page=2M (default: half of the free "
		    "memory)\n"
		    "  -s, --socket PATH   default: $PGMAP_SOCKET, $XDG_RUNTIME_DIR/pgmap/pgmapd.sock or "
		    "/run/pgmap/pgmapd.sock\n"
		    "  -r, --ready-fd N    write one byte to this descriptor once clients may connect\n"
		    "  -q, --quiet         say nothing but errors\n");
}

static int parse_fd(const char *text, int *fd)
{
	char *end;
	long value = strtol(text, &end, 10);
	if (*end || end == text || value < 0 || value > 1 << 20)
		return -1;
	*fd = (int)value;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"device", required_argument, NULL, 'd'},   {"socket", required_argument, NULL, 's'},
		{"ready-fd", required_argument, NULL, 'r'}, {"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},           {0},
	};
	struct server_options options = {.ready_fd = -1};
	for (int c; (c = getopt_long(argc, argv, "d:s:r:qh", longs, NULL)) != -1;) {
		if (c == 'd')
			options.device = optarg;
		else if (c == 's')
			options.socket_path = optarg;
		else if (c == 'q')
			options.quiet = true;
		else if (c == 'h')
			return usage(stdout), 0;
		else if (c != 'r' || parse_fd(optarg, &options.ready_fd) != 0)
			return usage(stderr), 2;
	}
	if (optind != argc)
		return usage(stderr), 2;
	return server_run(&options);
}
