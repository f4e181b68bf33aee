/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_serve.c - `pgmap serve`, the pool server in the foreground; and `pgmap stop`, which drains its pool and ends it.
 */
#include "commands.h"

#include <errno.h>

#include "dev/dev.h"
#include "hold.h"
#include "server/server.h"

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

static int drain(void *arg, int64_t timeout_ms)
{
	return pgmap_drain_pool(arg, timeout_ms);
}

static int run_stop(struct cli *cli)
{
	char text[1024], waited[CLI_TEXT_MAX];
	int64_t deadline_ns = -1000000;
	if (cli->option[STOP_DEADLINE] && cli_parse_seconds(cli->option[STOP_DEADLINE], &deadline_ns))
		return cli_usage(cli, "%s: no number of seconds", cli->option[STOP_DEADLINE]);
	if (cli->option[STOP_DEADLINE] && cli->option[STOP_CANCEL])
		return cli_usage(cli, "--cancel waits for nothing, so it takes no --deadline");
	struct pgmap_client *client = cli_connect(cli);
	if (!client)
		return CLI_FAILED;
	const struct hold hold = {cli, "draining", -1, drain, client};
	int err = cli->option[STOP_CANCEL] ? pgmap_drain_cancel(client) : hold_wait(&hold, deadline_ns);
	pgmap_disconnect(client);
	const char *pool = cli->socket ? cli->socket : "the pool";
	if (err == 0)
		return CLI_DONE;
	if (err == -ETIMEDOUT) {
		hold_whom(&hold, text, sizeof(text));
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
	.synopsis = "[--deadline SECONDS | --cancel]",
	.summary = "drain the pool, then end its server",
	.text = "No new mapping is made; the command waits until the last page is let go, and on a terminal says for "
		"whom. "
		"Without a deadline it waits for ever. At the deadline it fails and names the holders.",
	.options = stop_options,
	.run = run_stop,
};
