/* SPDX-License-Identifier: BSD-3-Clause */
/* cmd_lost.c - `pgmap lost`: which bytes of which files have been lost, and who maps them; `pgmap repair`: zeros in their place. */
#include "commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "dev/dev.h"
#include "text.h"

struct rows {
	struct pgmap_lost *at;
	size_t n, room;
};

static int add_row(void *arg, const struct pgmap_lost *lost)
{
	struct rows *rows = arg;
	struct pgmap_lost *more = cli_grow(rows->at, rows->n, &rows->room, sizeof(*more));
	if (!more)
		return -ENOMEM;
	rows->at = more;
	rows->at[rows->n++] = *lost;
	return 0;
}

static const char *what_name(uint32_t what)
{
	return what == PGMAP_LOST_DEVICE ? "device gone" : "data lost";
}

static void print_json(const struct rows *rows)
{
	struct json_object *array = json_object_new_array();
	for (size_t i = 0; i < rows->n; i++) {
		const struct pgmap_lost *row = &rows->at[i];
		struct json_object *o = json_object_new_object();
		cli_json_text(o, "path", row->path);
		cli_json_u64(o, "offset_bytes", row->offset_bytes);
		cli_json_u64(o, "len_bytes", row->len_bytes);
		cli_json_text(o, "what", what_name(row->what));
		cli_json_u64(o, "holders", row->holders);
		cli_json_text(o, "held_by", row->held_by);
		json_object_array_add(array, o);
	}
	cli_print_json(array);
}

static void print_text(const struct rows *rows)
{
	if (rows->n == 0)
		puts("nothing is lost");
	else
		printf("%14s %10s  %-11s  PATH  HELD BY\n", "OFFSET", "LENGTH", "WHAT");
	for (size_t i = 0; i < rows->n; i++) {
		const struct pgmap_lost *row = &rows->at[i];
		char size[CLI_TEXT_MAX], path[TEXT_SHOWN_MAX * sizeof(row->path)],
			held_by[TEXT_SHOWN_MAX * sizeof(row->held_by)];
		printf("%14" PRIu64 " %10s  %-11s  %s  %s\n", row->offset_bytes, cli_bytes(size, row->len_bytes),
		       what_name(row->what), text_shown(path, sizeof(path), row->path),
		       row->holders ? text_shown(held_by, sizeof(held_by), row->held_by) : "nobody");
	}
}

static int run_lost(struct cli *cli)
{
	struct rows rows = {0};
	const char *path = cli->argc ? cli->argv[0] : NULL;
	struct pgmap_client *client = cli_connect(cli);
	if (!client)
		return CLI_FAILED;
	int err = pgmap_for_each_lost(client, path, add_row, &rows);
	pgmap_disconnect(client);
	if (!err && cli->option[0])
		print_json(&rows);
	else if (!err)
		print_text(&rows);
	free(rows.at);
	return err ? cli_fail(cli, "%s: %s", path ? path : "the pool", cli_why(err)) : cli_flush(cli);
}

enum { REPAIR_OFFSET, REPAIR_LENGTH };

static int parse_size(struct cli *cli, int option, uint64_t *size)
{
	const char *text = cli->option[option];
	*size = 0;
	return text && dev_parse_size(text, size)
		       ? cli_usage(cli, "%s: no size: a number with an optional K, M, G or T", text)
		       : CLI_DONE;
}

static int say_repaired(struct cli *cli, const char *path, int64_t pages)
{
	switch (pages) {
	case -EOPNOTSUPP:
		return cli_fail(cli,
				"%s: its device cannot clear what is bad (remove the file: the pool keeps those "
				"pages out of use)",
				path);
	case -EIO:
		return cli_fail(cli, "%s: it is bad still (remove the file: the pool keeps those pages out of use)",
				path);
	default:
		if (pages < 0)
			return cli_fail(cli, "%s: %s", path, cli_why((int)pages));
		printf("%" PRId64 " pages of 4 KiB are good again, and zero\n", pages);
		return cli_flush(cli);
	}
}

static int run_repair(struct cli *cli)
{
	uint64_t offset, len;
	int code = parse_size(cli, REPAIR_OFFSET, &offset);
	if (code == CLI_DONE)
		code = parse_size(cli, REPAIR_LENGTH, &len);
	if (code != CLI_DONE)
		return code;
	if ((offset | len) % PGMAP_PAGE_SIZE)
		return cli_fail(cli, "%s: the offset and the length are multiples of 4K", cli->argv[0]);
	if (offset + len < offset)
		return cli_fail(cli, "%s: no file has so many bytes", cli->argv[0]);
	struct pgmap_client *client = cli_connect(cli);
	if (!client)
		return CLI_FAILED;
	code = say_repaired(cli, cli->argv[0], pgmap_repair(client, cli->argv[0], offset, len));
	pgmap_disconnect(client);
	return code;
}

static const struct cli_option lost_options[] = {
	{'j', "json", NULL, "as JSON: an array"},
	{0, NULL, NULL, NULL},
};
static const struct cli_option repair_options[] = {
	{0, "offset", "SIZE", "from here on (default: the beginning)"},
	{0, "length", "SIZE", "so much of it (default: to the end)"},
	{0, NULL, NULL, NULL},
};

const struct cli_command cmd_lost = {
	.name = "lost",
	.synopsis = "[-j] [PATH]",
	.summary = "which bytes of a file, or of all files, have been lost, and who maps them",
	.text = "One line for each range: where it begins in the file, how long it is, whether the memory has lost its "
		"data or its device is gone, the file, and who maps some of it. Who touches such bytes gets SIGBUS, "
		"and "
		"they cannot be mapped anew; the rest of the file can, and pgmap get gives what lies before them.",
	.options = lost_options,
	.args = CLI_ARGS_POOL,
	.max_args = 1,
	.run = run_lost,
};
const struct cli_command cmd_repair = {
	.name = "repair",
	.synopsis = "[--offset SIZE] [--length SIZE] PATH",
	.summary = "put zeros in the place of what a file has lost",
	.text = "Memory that has lost its data is exchanged for other memory, or written over, and read to see that it "
		"is good. Where the device can do neither (DAX nodes), it is refused: remove the file, and the pool "
		"goes on without those pages. Bytes that are not lost stay as they are. Refused while somebody has "
		"pins on the range.",
	.options = repair_options,
	.args = CLI_ARGS_POOL,
	.min_args = 1,
	.max_args = 1,
	.run = run_repair,
};
