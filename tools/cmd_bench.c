/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_bench.c - `pgmap bench`: runs the benchmark runner of the source tree that this program was built in.
 */
#include "commands.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* SOURCE/bench/run, SOURCE being a folder above this program's own: .../build/release/tools/pgmap. */
static bool find_runner(char runner[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		return false;
	self[n] = '\0';
	for (char *slash; (slash = strrchr(self, '/')) != NULL;) {
		*slash = '\0';
		int len = snprintf(runner, PATH_MAX, "%s/bench/run", self);
		if (len > 0 && len < PATH_MAX && access(runner, X_OK) == 0)
			return true;
	}
	return false;
}

static int run_bench(struct cli *cli)
{
	char runner[PATH_MAX];
	if (!find_runner(runner))
		return cli_fail(cli, "bench/run: not above this program (in the source tree: make bench)");
	char **argv = calloc((size_t)cli->argc + 2, sizeof(*argv));
	if (!argv)
		return cli_fail(cli, "%s: %s", runner, cli_why(-ENOMEM));
	argv[0] = runner;
	for (int i = 0; i < cli->argc; i++)
		argv[i + 1] = cli->argv[i];
	execv(runner, argv);
	free(argv);
	return cli_fail(cli, "%s: %s (in the source tree: make bench)", runner, strerror(errno));
}

const struct cli_command cmd_bench = {
	.name = "bench",
	.synopsis = "[-- ARGUMENT...]",
	.summary = "measure it, in the source tree (make bench builds it first)",
	.text = "Hands its arguments to bench/run. An installed program has no benchmarks: the source tree does.",
	.max_args = -1,
	.run = run_bench,
};
