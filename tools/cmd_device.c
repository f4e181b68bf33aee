/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_device.c - `pgmap device`: the devices of the pool, one by one.
 */
#include "commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <pgmap/pgmap.h>
#include "names.h"
#include "text.h"

struct device_list {
	struct pgmap_device *rows;
	size_t n, room;
};

static int add_row(void *arg, const struct pgmap_device *device)
{
	struct device_list *list = arg;
	struct pgmap_device *rows = cli_grow(list->rows, list->n, &list->room, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	list->rows = rows;
	list->rows[list->n++] = *device;
	return 0;
}

static const char *state_name(uint32_t state)
{
	switch (state) {
	case PGMAP_DEVICE_LIVE:
		return "live";
	case PGMAP_DEVICE_LEAVING:
		return "leaving";
	case PGMAP_DEVICE_GONE:
		return "gone";
	default:
		return "unknown";
	}
}

static void print_json(const struct device_list *list)
{
	struct json_object *array = json_object_new_array();
	for (size_t i = 0; i < list->n; i++) {
		const struct pgmap_device *row = &list->rows[i];
		struct json_object *o = json_object_new_object();
		cli_json_u64(o, "number", row->number);
		cli_json_text(o, "device", row->spec);
		cli_json_text(o, "state", state_name(row->state));
		cli_json_u64(o, "page_bytes", UINT64_C(4096) << row->granule_order);
		cli_json_u64(o, "pages", row->pages);
		cli_json_u64(o, "held", row->held);
		cli_json_u64(o, "bad", row->bad);
		cli_json_text(o, "access", names_of_access(row->access)->json);
		cli_json_text(o, "persistence", names_of_persistence(row->persistence)->json);
		json_object_array_add(array, o);
	}
	cli_print_json(array);
}

static void print_table(const struct device_list *list)
{
	printf("%6s  %-8s %9s %9s %9s %6s  %-11s %-11s %s\n", "NUMBER", "STATE", "PAGE", "SIZE", "HELD", "BAD",
	       "MAPPED", "PERSISTENCE", "DEVICE");
	for (size_t i = 0; i < list->n; i++) {
		const struct pgmap_device *row = &list->rows[i];
		char page[CLI_TEXT_MAX], size[CLI_TEXT_MAX], held[CLI_TEXT_MAX],
			spec[TEXT_SHOWN_MAX * sizeof(row->spec)];
		printf("%6" PRIu32 "  %-8s %9s %9s %9s %6" PRIu64 "  %-11s %-11s %s\n", row->number,
		       state_name(row->state), cli_bytes(page, UINT64_C(4096) << row->granule_order),
		       cli_bytes(size, row->pages << PGMAP_PAGE_SHIFT), cli_bytes(held, row->held << PGMAP_PAGE_SHIFT),
		       row->bad, names_of_access(row->access)->json, names_of_persistence(row->persistence)->json,
		       text_shown(spec, sizeof(spec), row->spec));
	}
}

enum { DEVICE_JSON };

static int run_list(struct cli *cli, struct pgmap_client *client)
{
	struct device_list list = {0};
	int err = pgmap_for_each_device(client, add_row, &list);
	if (!err && cli->option[DEVICE_JSON])
		print_json(&list);
	else if (!err)
		print_table(&list);
	free(list.rows);
	return err ? cli_fail(cli, "%s: %s", cli->socket ? cli->socket : "the pool", cli_why(err)) : cli_flush(cli);
}

static int run_device(struct cli *cli)
{
	if (strcmp(cli->argv[0], "list") != 0)
		return cli_usage(cli, "%s: what is to be done: list", cli->argv[0]);
	struct pgmap_client *client = cli_connect(cli);
	if (!client)
		return CLI_FAILED;
	int code = run_list(cli, client);
	pgmap_disconnect(client);
	return code;
}

static const struct cli_option device_options[] = {
	{'j', "json", NULL, "as JSON: an array"},
	{0, NULL, NULL, NULL},
};

const struct cli_command cmd_device = {
	.name = "device",
	.synopsis = "list [-j]",
	.summary = "the devices of the pool",
	.text = "list: one line for each: its number; whether it is live, leaving (it is being removed) or gone (the "
		"system "
		"has "
		"taken it away); the smallest page that can be mapped of it; its size; how much of that somebody "
		"holds; "
		"how many "
		"pages of 4 KiB were bad when it came; how it is mapped, and what has to be flushed, as pgmap info has "
		"it.",
	.options = device_options,
	.args = CLI_ARGS_NONE,
	.min_args = 1,
	.max_args = 1,
	.run = run_device,
};
