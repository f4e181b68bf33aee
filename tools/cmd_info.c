/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_info.c - `pgmap info`: the pool's device, space and holders, and whether its accounts add up (c6.10). The sums are
 * made here, from the numbers that the server gives: a server that miscounts does not get to say that it counts right.
 */
#include "commands.h"

#include <inttypes.h>
#include <string.h>

#include <pgmap/pgmap.h>
#include "names.h"
#include "text.h"

static const char *state_name(uint32_t state)
{
	switch (state) {
	case PGMAP_LIVE:
		return "live";
	case PGMAP_DYING:
		return "draining";
	default:
		return "dead";
	}
}

/* Pages by which the accounts are off: 0, they add up. */
static int64_t off_by_pages(const struct pgmap_info *info)
{
	uint64_t by_order = 0;
	for (unsigned order = 0; order < 19; order++)
		by_order += info->free_by_order[order] << order;
	int64_t sum = (int64_t)(info->used + info->free + info->waiting) - (int64_t)info->pages;
	int64_t states = (int64_t)(info->clean + info->dirty + info->absent) - (int64_t)info->free;
	if (sum || states)
		return sum ? sum : states;
	return (int64_t)by_order - (int64_t)info->free;
}

static void print_json(const struct pgmap_info *info, int64_t off)
{
	struct json_object *o = json_object_new_object(), *orders = json_object_new_array();
	for (unsigned order = 0; order < 19; order++)
		json_object_array_add(orders, json_object_new_uint64(info->free_by_order[order]));
	cli_json_text(o, "device", info->device);
	cli_json_text(o, "state", state_name(info->state));
	cli_json_i64(o, "server_pid", info->server_pid);
	cli_json_u64(o, "protocol", info->protocol);
	cli_json_u64(o, "page_bytes", UINT64_C(4096) << info->granule_order);
	cli_json_text(o, "access", names_of_access(info->access)->json);
	cli_json_text(o, "persistence", names_of_persistence(info->persistence)->json);
	cli_json_u64(o, "pages", info->pages);
	cli_json_u64(o, "used", info->used);
	cli_json_u64(o, "free", info->free);
	cli_json_u64(o, "waiting", info->waiting);
	json_object_object_add(o, "free_by_order", orders);
	cli_json_u64(o, "free_clean", info->clean);
	cli_json_u64(o, "free_dirty", info->dirty);
	cli_json_u64(o, "free_absent", info->absent);
	cli_json_u64(o, "lost", info->lost);
	cli_json_u64(o, "keep", info->keep);
	cli_json_u64(o, "wiped_ahead", info->wiped_ahead);
	cli_json_u64(o, "wiped_late", info->wiped_late);
	cli_json_u64(o, "files", info->files);
	cli_json_u64(o, "dirs", info->dirs);
	cli_json_u64(o, "live_pages", info->live_pages);
	cli_json_u64(o, "quarantined_pages", info->quarantined_pages);
	cli_json_u64(o, "connections", info->connections);
	cli_json_u64(o, "holders", info->holders);
	json_object_object_add(o, "accounts_add_up", json_object_new_boolean(off == 0));
	cli_print_json(o);
}

static void print_pages(const char *what, uint64_t pages)
{
	char text[CLI_TEXT_MAX];
	printf("%-12s %10" PRIu64 " pages  %s\n", what, pages, cli_bytes(text, pages << PGMAP_PAGE_SHIFT));
}

static void print_text(const struct pgmap_info *info, int64_t off)
{
	char text[CLI_TEXT_MAX], device[TEXT_SHOWN_MAX * sizeof(info->device)];
	printf("device       %s\nstate        %s\nserver       pid %" PRId32 ", protocol %" PRIu32 "\n",
	       text_shown(device, sizeof(device), info->device), state_name(info->state), info->server_pid,
	       info->protocol);
	printf("page         %s\n", cli_bytes(text, UINT64_C(4096) << info->granule_order));
	printf("mapped       %s\npersistence  %s\n", names_of_access(info->access)->text,
	       names_of_persistence(info->persistence)->text);
	print_pages("size", info->pages);
	print_pages("used", info->used);
	print_pages("free", info->free);
	print_pages("  clean", info->clean);
	print_pages("  dirty", info->dirty);
	print_pages("  absent", info->absent);
	print_pages("waiting", info->waiting);
	print_pages("held", info->live_pages);
	print_pages("quarantined", info->quarantined_pages);
	print_pages("lost", info->lost);
	print_pages("keep", info->keep);
	printf("wiped        %" PRIu64 " pages ahead of their use, %" PRIu64 " when they were needed\n",
	       info->wiped_ahead, info->wiped_late);
	printf("files        %" PRIu64 " in %" PRIu64 " directories\n", info->files, info->dirs);
	printf("connections  %" PRIu32 "\nholders      %" PRIu32 "\n", info->connections, info->holders);
	fputs("free blocks ", stdout);
	for (unsigned order = 0; order < 19; order++)
		if (info->free_by_order[order])
			printf(" %s: %" PRIu64, cli_bytes(text, UINT64_C(4096) << order), info->free_by_order[order]);
	printf("\naccounts     %s\n", off == 0 ? "used + free + waiting = size" : "DO NOT ADD UP");
}

static int run_info(struct cli *cli)
{
	struct pgmap_info info;
	struct pgmap_client *client = cli_connect(cli);
	if (!client)
		return CLI_FAILED;
	int err = pgmap_info(client, &info);
	pgmap_disconnect(client);
	if (err)
		return cli_fail(cli, "%s: %s", cli->socket ? cli->socket : "the pool", cli_why(err));
	int64_t off = off_by_pages(&info);
	if (cli->option[0])
		print_json(&info, off);
	else
		print_text(&info, off);
	if (off)
		return cli_fail(cli, "%s: its accounts are off by %" PRId64 " pages (report it: this is a bug)",
				info.device, off);
	return cli_flush(cli);
}

static const struct cli_option info_options[] = {
	{'j', "json", NULL, "as JSON"},
	{0, NULL, NULL, NULL},
};

const struct cli_command cmd_info = {
	.name = "info",
	.synopsis = "[-j]",
	.summary = "the pool's device, space and holders",
	.text = "Says which device the pool is on, how many pages are used, free and waiting for their last holder, "
		"how many are "
		"held, quarantined and lost (pgmap lost), and whether the accounts add up: if not, that is a failure. "
		"Of the free pages, "
		"clean "
		"ones have memory that reads as zero, dirty ones are yet to be wiped, absent ones have no memory; as "
		"many "
		"as keep says may have some for good (see pgmap serve --keep). How the device is mapped is said, and "
		"what has "
		"to be flushed for a store to be there after a power cut; a pool is volatile on every device, yet.",
	.options = info_options,
	.run = run_info,
};
