/* SPDX-License-Identifier: BSD-3-Clause */
/* how.c - see how.h. */
#include "how.h"

#include <errno.h>

#include "who.h"

int how_parse(struct cli *cli, unsigned first, struct how *how)
{
	const char *seconds = cli->option[first];
	int64_t ns = 0;
	bool fail = cli->option[first + 1] != NULL;
	if (seconds && fail)
		return cli_usage(cli, "--wait and --fail: one of them");
	if (seconds && cli_parse_seconds(seconds, &ns))
		return cli_usage(cli, "--wait %s: no number of seconds", seconds);
	how->mode = seconds ? PGMAP_WAIT : fail ? PGMAP_FAIL : PGMAP_DEFER;
	how->deadline_ns = seconds && ns > INT64_MAX - cli_now_ns() ? INT64_MAX : cli_now_ns() + ns;
	return CLI_DONE;
}

int64_t how_timeout_ms(const struct how *how)
{
	int64_t left_ns = how->deadline_ns - cli_now_ns();
	return left_ns > 0 ? left_ns / 1000000 + (left_ns % 1000000 != 0) : 0;
}

int how_answer(struct cli *cli, struct pgmap_client *client, const char *path, int err)
{
	char text[512] = "";
	struct who_list list;
	if (err == 0)
		return CLI_DONE;
	if (err != -EBUSY && err != -ETIMEDOUT)
		return cli_fail(cli, "%s: %s", path, cli_why(err));
	if (who_read(client, path, &list) == 0)
		who_summary(&list, text, sizeof(text));
	bool nobody = list.n == 0;
	who_free(&list);
	return cli_fail(cli, "%s: %s: %s (nothing has changed; %s)", path, err == -EBUSY ? "in use" : "still in use",
			nobody ? "somebody has it open, or has just let go" : text,
			err == -EBUSY ? "wait for them with: --wait SECONDS" : "without --wait it is done now");
}
