/* SPDX-License-Identifier: BSD-3-Clause */
/* cmd_truncate.c - `pgmap truncate, punch`: pages given to a file, and taken away from it. */
#include "commands.h"

#include <errno.h>

#include <pgmap/pgmap.h>
#include "dev/dev.h"
#include "how.h"

static int parse_size(struct cli *cli, const char *text, uint64_t *size)
{
	return dev_parse_size(text, size) ? cli_usage(cli, "%s: no size: a number with an optional K, M, G or T", text)
					  : CLI_DONE;
}

static int run_truncate(struct cli *cli)
{
	uint64_t size;
	struct how how;
	struct pgmap_file *file;
	const char *path = cli->argv[0];
	int code = parse_size(cli, cli->argv[1], &size);
	if (code == CLI_DONE)
		code = how_parse(cli, 0, &how);
	if (code != CLI_DONE)
		return code;
	struct pgmap_client *client = cli_connect(cli);
	if (!client)
		return CLI_FAILED;
	int err = pgmap_open(client, path, 0, &file);
	bool made = err == -ENOENT;
	if (made)
		err = pgmap_open(client, path, PGMAP_O_CREATE | PGMAP_O_EXCL, &file);
	if (err == 0) {
		err = pgmap_truncate_how(file, size, how.mode, how_timeout_ms(&how));
		if (err && made)
			(void)pgmap_unlink(client, path);
		pgmap_close(file);
	}
	code = how_answer(cli, client, path, err);
	pgmap_disconnect(client);
	return code;
}

static int punch(struct cli *cli, struct pgmap_client *client, uint64_t offset, uint64_t len, const struct how *how)
{
	const char *path = cli->argv[0];
	struct pgmap_file *file;
	struct pgmap_info info;
	struct pgmap_stat st;
	char page[CLI_TEXT_MAX];
	int err = pgmap_open(client, path, 0, &file);
	if (err)
		return how_answer(cli, client, path, err);
	err = pgmap_punch(file, offset, len, how->mode, how_timeout_ms(how));
	if (err == -EINVAL && pgmap_fstat(file, &st) == 0 && pgmap_info(client, &info) == 0) {
		pgmap_close(file);
		return cli_fail(cli, "%s %s: no range in whole pages of this %s, %s each (LEN is not 0)", cli->argv[1],
				cli->argv[2], st.granule_order > info.granule_order ? "file" : "pool",
				cli_bytes(page, (uint64_t)PGMAP_PAGE_SIZE << st.granule_order));
	}
	pgmap_close(file);
	return how_answer(cli, client, path, err);
}

static int run_punch(struct cli *cli)
{
	uint64_t offset, len;
	struct how how;
	int code = parse_size(cli, cli->argv[1], &offset);
	if (code == CLI_DONE)
		code = parse_size(cli, cli->argv[2], &len);
	if (code == CLI_DONE)
		code = how_parse(cli, 0, &how);
	if (code != CLI_DONE)
		return code;
	struct pgmap_client *client = cli_connect(cli);
	if (!client)
		return CLI_FAILED;
	code = punch(cli, client, offset, len, &how);
	pgmap_disconnect(client);
	return code;
}

static const struct cli_option how_options[] = {
	HOW_OPTIONS,
	{0, NULL, NULL, NULL},
};

const struct cli_command cmd_truncate = {
	.name = "truncate",
	.synopsis = "[--wait SECONDS | --fail] PATH SIZE",
	.summary = "set a file's size, making it if it is not there",
	.text = "New pages read as zero. SIZE is a number with an optional K, M, G or T.\n" HOW_TEXT,
	.options = how_options,
	.args = CLI_ARGS_POOL,
	.min_args = 2,
	.max_args = 2,
	.run = run_truncate,
};
const struct cli_command cmd_punch = {
	.name = "punch",
	.synopsis = "[--wait SECONDS | --fail] PATH OFFSET LEN",
	.summary = "give pages in the middle of a file back, and leave a hole",
	.text = "The file keeps its size; the hole reads as zero, and gets pages again when somebody maps it. OFFSET "
		"and "
		"LEN are whole pages of the pool, with an optional K, M, G or T; what lies beyond the end is left "
		"out.\n" HOW_TEXT,
	.options = how_options,
	.args = CLI_ARGS_POOL,
	.min_args = 3,
	.max_args = 3,
	.run = run_punch,
};
