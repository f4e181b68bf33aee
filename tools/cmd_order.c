/* SPDX-License-Identifier: BSD-3-Clause */
/* cmd_order.c - `pgmap order`: how big the folios are that files are made of. */
#include "commands.h"

#include <errno.h>

#include <pgmap/pgmap.h>
#include "dev/dev.h"

/* A size as an order: 4K is 0, 2M is 9. False: none is so big, or it is no power of two. */
static bool order_of(const char *text, unsigned *order)
{
	uint64_t bytes;
	if (dev_parse_size(text, &bytes))
		return false;
	for (*order = 0; *order <= PGMAP_MAX_ORDER; ++*order) {
		if (bytes == PGMAP_PAGE_SIZE << *order)
			return true;
	}
	return false;
}

static int set_order(struct cli *cli, struct pgmap_client *client, const char *path, unsigned order)
{
	struct pgmap_info info;
	char page[CLI_TEXT_MAX];
	int err = pgmap_set_order(client, path, order);
	if (err == -EINVAL && pgmap_info(client, &info) == 0 && order < info.granule_order)
		return cli_fail(cli, "%s: %s: this pool has pages of %s", path, cli->argv[0],
				cli_bytes(page, PGMAP_PAGE_SIZE << info.granule_order));
	return err ? cli_fail(cli, "%s: %s", path, cli_why(err)) : CLI_DONE;
}

static int run_order(struct cli *cli)
{
	unsigned order;
	if (!order_of(cli->argv[0], &order))
		return cli_usage(cli, "%s: no size of a folio: a power of two from 4K to 1G", cli->argv[0]);
	struct pgmap_client *client = cli_connect(cli);
	if (!client)
		return CLI_FAILED;
	int code = CLI_DONE;
	for (int i = 1; i < cli->argc && code == CLI_DONE; i++)
		code = set_order(cli, client, cli->argv[i], order);
	pgmap_disconnect(client);
	return code;
}

static const struct cli_option no_options[] = {
	{0, NULL, NULL, NULL},
};

const struct cli_command cmd_order = {
	.name = "order",
	.synopsis = "SIZE PATH...",
	.summary = "how big the folios of a file may be, or of what is made in a directory",
	.text = "SIZE is a power of two from 4K, or the pool's page, to 1G. It holds for the pages that a file gets "
		"from now "
		"on; a directory's for the files and directories that are made in it from now on. Small folios can be "
		"taken "
		"away one by one, big ones need fewer pins and calls; without this they are as big as size and space "
		"allow. Ends at the first path that fails.",
	.options = no_options,
	.args = CLI_ARGS_POOL,
	.min_args = 2,
	.max_args = -1,
	.run = run_order,
};
