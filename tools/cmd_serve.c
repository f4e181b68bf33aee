/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_serve.c - `pgmap serve`, the pool server in the foreground; and `pgmap stop`, which drains its pool and ends it.
 */
#include "commands.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "dev/dev.h"
#include "server/server.h"
#include "text.h"
#include "who.h"

enum { SERVE_DEVICE, SERVE_LAYOUT, SERVE_OTHERS, SERVE_QUIET, SERVE_READY, SERVE_KEEP, SERVE_WIPE };

static int run_serve(struct cli *cli)
{
	struct server_options options = {
		.devices = cli->each,
		.ndevices = cli->neach,
		.layout = cli->option[SERVE_LAYOUT],
		.socket_path = cli->socket,
		.ready_fd = -1,
		.quiet = cli->option[SERVE_QUIET],
		.wipe_percent = SERVER_WIPE_PERCENT,
	};
	if (cli->option[SERVE_KEEP] && dev_parse_size(cli->option[SERVE_KEEP], &options.keep_bytes))
		return cli_usage(cli, "%s: no size (say 512M)", cli->option[SERVE_KEEP]);
	if (cli->option[SERVE_WIPE] && option_parse_percent(cli->option[SERVE_WIPE], &options.wipe_percent))
		return cli_usage(cli, "%s: no share in percent, 0 to 100", cli->option[SERVE_WIPE]);
	if (cli->option[SERVE_OTHERS] && server_parse_others(cli->option[SERVE_OTHERS], &options.others))
		return cli_usage(cli, "%s: others may: none, read or write", cli->option[SERVE_OTHERS]);
	if (cli->option[SERVE_READY] && option_parse_fd(cli->option[SERVE_READY], &options.ready_fd))
		return cli_usage(cli, "%s: no descriptor's number", cli->option[SERVE_READY]);
	return server_run(&options);
}

enum { STOP_DEADLINE, STOP_CANCEL };

static void holders(struct cli *cli, char *buf, size_t buf_bytes)
{
	struct who_list list = {0};
	struct pgmap_client *client = NULL;
	snprintf(buf, buf_bytes, "the holders cannot be asked for");
	if (pgmap_connect(cli->socket, &client) == 0) {
		if (who_read(client, NULL, &list) == 0)
			who_summary(&list, buf, buf_bytes);
		who_free(&list);
		pgmap_disconnect(client);
	}
}

static int64_t min_ms(int64_t a, int64_t b)
{
	return a >= 0 && a < b ? a : b;
}

/* On a terminal the wait is cut into pieces, to say in between whom it is for. Not a clock's decision: each piece ends at
 * once when the drain does. */
static int drain(struct cli *cli, struct pgmap_client *client, int64_t deadline_ms)
{
	char text[1024], shown[TEXT_SHOWN_MAX * sizeof(text)];
	bool shows = isatty(STDERR_FILENO);
	int64_t start = cli_now_ns();
	if (!shows)
		return pgmap_drain_pool(client, deadline_ms);
	for (;;) {
		int64_t left = deadline_ms < 0 ? -1 : deadline_ms - (cli_now_ns() - start) / 1000000;
		int64_t piece = left < 0 && deadline_ms >= 0 ? 0 : min_ms(left, 500);
		int err = pgmap_drain_pool(client, piece);
		if (err != -ETIMEDOUT || (deadline_ms >= 0 && left <= piece)) {
			fputs("\r\033[K", stderr);
			return err;
		}
		holders(cli, text, sizeof(text));
		fprintf(stderr, "\r\033[Kdraining: %.*s", 100, text_shown(shown, sizeof(shown), text));
		fflush(stderr);
	}
}

static int run_stop(struct cli *cli)
{
	char text[1024], waited[CLI_TEXT_MAX];
	int64_t deadline_ns = -1000000;
	if (cli->option[STOP_DEADLINE] && cli_parse_seconds(cli->option[STOP_DEADLINE], &deadline_ns))
		return cli_usage(cli, "%s: no number of seconds", cli->option[STOP_DEADLINE]);
	struct pgmap_client *client = cli_connect(cli);
	if (!client)
		return CLI_FAILED;
	int err = cli->option[STOP_CANCEL] ? pgmap_drain_cancel(client) : drain(cli, client, deadline_ns / 1000000);
	pgmap_disconnect(client);
	const char *pool = cli->socket ? cli->socket : "the pool";
	if (err == 0)
		return CLI_DONE;
	if (err == -ETIMEDOUT) {
		holders(cli, text, sizeof(text));
		return cli_fail(
			cli, "%s; still held after %s (the pool goes on draining: wait again, or pgmap stop --cancel)",
			text, cli_duration(waited, deadline_ns));
	}
	if (err == -ECANCELED)
		return cli_fail(cli,
				"%s: the drain was called off, the pool is live again (somebody said stop --cancel)",
				pool);
	if (cli->option[STOP_CANCEL] && err == -ENODEV)
		return cli_fail(cli, "%s: it is too late, the drain has ended (start a server with: pgmap serve)",
				pool);
	return cli_fail(cli, "%s: %s", pool, cli_why(err));
}

static const struct cli_option serve_options[] = {
	{'d', "device", "SPEC", "the memory of the pool (default: memfd, half of the free memory); up to 8 times"},
	{0, "layout", "HOW", "of several devices: linear (default) or stripe:SIZE"},
	{0, "others", "MAY", "none, read or write: what other users may do; sets the socket's mode"},
	{'q', "quiet", NULL, "say nothing but errors"},
	{0, "ready-fd", "N", "write one byte to this descriptor once clients may connect"},
	{0, "keep", "SIZE", "free memory that is kept ready, and not given back to the system (default: 0)"},
	{0, "wipe", "PERCENT", "of a CPU, to wipe free memory ahead of its use (default: 25; 0: when it is needed)"},
	{0, NULL, NULL, NULL},
};
static const struct cli_option stop_options[] = {
	{0, "deadline", "SECONDS", "fail if the pages are still held then; the pool goes on draining"},
	{0, "cancel", NULL, "call a drain off: the pool is live again"},
	{0, NULL, NULL, NULL},
};

const struct cli_command cmd_serve = {
	.name = "serve",
	.repeats = "device",
	.synopsis = "[--device SPEC]... [--layout HOW] [--others MAY] [--keep SIZE] [--wipe PERCENT] [--quiet]",
	.summary = "run a pool server in the foreground",
	.text = "Serves until the pool is drained: by pgmap stop, SIGINT or SIGTERM; a second signal ends it at once. "
		"Whatever "
		"ends it, memory that clients map stays theirs.",
	.options = serve_options,
	.run = run_serve,
};
const struct cli_command cmd_stop = {
	.name = "stop",
	.synopsis = "[--deadline SECONDS] [--cancel]",
	.summary = "drain the pool, then end its server",
	.text = "No new mapping is made; the command waits until the last page is let go, and on a terminal says for "
		"whom. "
		"Without a deadline it waits for ever. At the deadline it fails and names the holders.",
	.options = stop_options,
	.run = run_stop,
};
