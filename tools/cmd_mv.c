/* SPDX-License-Identifier: BSD-3-Clause */
/* cmd_mv.c - `pgmap mv`: other names for files and directories of the pool. */
#include "commands.h"

#include "target.h"

static int move_one(const struct target *target, const char *src)
{
	char path[CLI_PATH_MAX];
	struct pgmap_stat st;
	int code = target_path(target, src, path, &st);
	int err = code == CLI_DONE ? pgmap_rename(target->client, src, path) : 0;
	return err ? cli_fail(target->cli, "%s to %s: %s", src, path, cli_why(err)) : code;
}

static int run_mv(struct cli *cli)
{
	struct target target;
	struct pgmap_client *client = cli_connect(cli);
	if (!client)
		return CLI_FAILED;
	int code = target_open(&target, cli, client);
	for (int i = 0; i + 1 < cli->argc && code == CLI_DONE; i++)
		code = move_one(&target, cli->argv[i]);
	pgmap_disconnect(client);
	return code;
}

const struct cli_command cmd_mv = {
	.name = "mv",
	.synopsis = "SRC... DST",
	.summary = "rename files or directories, or move them into a directory",
	.text = "Sources go into DST when it is a directory, which it must be when there are several.\n"
		"A file that is there already is replaced at once; whoever maps it keeps its pages until the last "
		"unmap. A directory replaces only an empty one. Ends at the first that cannot be moved: those before "
		"it have moved.",
	.args = CLI_ARGS_POOL,
	.min_args = 2,
	.max_args = -1,
	.run = run_mv,
};
