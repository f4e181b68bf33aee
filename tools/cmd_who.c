/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_who.c - `pgmap who`: who holds which pages, since when; and `pgmap fence`: the operator's word that a dead holder's
 * devices move no data any more (c7.5).
 */
#include "commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <pgmap/pgmap.h>
#include "device_list.h"
#include "text.h"
#include "watch.h"
#include "who.h"
#include "who_lines.h"

static int add_row(void *arg, const struct pgmap_who *who)
{
	struct who_list *list = arg;
	struct pgmap_who *rows = cli_grow(list->rows, list->n, &list->room, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	list->rows = rows;
	list->rows[list->n++] = *who;
	return 0;
}

int who_read(struct pgmap_client *client, const char *path, struct who_list *list)
{
	*list = (struct who_list){0};
	return pgmap_who(client, path, add_row, list);
}

int who_read_device(struct pgmap_client *client, uint32_t number, struct who_list *list)
{
	*list = (struct who_list){0};
	return pgmap_who_device(client, number, add_row, list);
}

void who_free(struct who_list *list)
{
	free(list->rows);
	*list = (struct who_list){0};
}

const char *who_state(uint32_t state)
{
	switch (state) {
	case PGMAP_WHO_CONNECTED:
		return "connected";
	case PGMAP_WHO_MAPPING:
		return "disconnected, still mapping";
	case PGMAP_WHO_QUARANTINED:
		return "quarantined";
	case PGMAP_WHO_INHERITED:
		return "inherited";
	default:
		return "unknown";
	}
}

void who_summary(const struct who_list *list, char *buf, size_t buf_bytes)
{
	size_t at = 0, shown = list->n < 3 ? list->n : 3;
	buf[0] = '\0';
	for (size_t i = 0; i < shown && at < buf_bytes; i++) {
		const struct pgmap_who *row = &list->rows[i];
		char size[CLI_TEXT_MAX], pid[16] = "?";
		if (row->pid > 0)
			snprintf(pid, sizeof(pid), "%" PRId32, row->pid);
		int n = snprintf(buf + at, buf_bytes - at, "%spid %s (%s) holds %s (%s%s)", i ? ", " : "", pid,
				 row->command, row->path[0] ? row->path : "pages of a file that has gone",
				 cli_bytes(size, row->pages << PGMAP_PAGE_SHIFT),
				 row->state == PGMAP_WHO_QUARANTINED ? ", quarantined" : "");
		at += n > 0 ? (size_t)n : 0;
	}
	if (list->n > shown && at < buf_bytes)
		snprintf(buf + at, buf_bytes - at, ", and %zu more", list->n - shown);
	if (list->n == 0)
		snprintf(buf, buf_bytes,
			 "nobody that can be named holds any (a removed file that is open keeps its pages)");
}

static struct json_object *rows_json(const struct who_list *list)
{
	struct json_object *array = json_object_new_array();
	for (size_t i = 0; i < list->n; i++) {
		const struct pgmap_who *row = &list->rows[i];
		struct json_object *o = json_object_new_object();
		cli_json_u64(o, "holder_id", row->holder_id);
		cli_json_i64(o, "pid", row->pid);
		cli_json_u64(o, "uid", row->uid);
		cli_json_text(o, "command", row->command);
		cli_json_text(o, "state", who_state(row->state));
		cli_json_text(o, "path", row->path);
		cli_json_u64(o, "offset_bytes", row->offset_bytes);
		cli_json_u64(o, "len_bytes", row->len_bytes);
		cli_json_u64(o, "pages", row->pages);
		cli_json_u64(o, "refs", row->refs);
		cli_json_u64(o, "pins_local", row->pins_local);
		cli_json_u64(o, "pins_remote", row->pins_remote);
		cli_json_i64(o, "since_ns", row->since_ns);
		json_object_array_add(array, o);
	}
	return array;
}

static int add_line(void *arg, const struct pgmap_who *row)
{
	return who_lines_add(arg, row);
}

/* most: at most as many lines, what is left out is counted; 0, all. */
static void print_lines(const struct who_lines *lines, unsigned most)
{
	const char *text = lines->text;
	size_t len = lines->len, shown = most == 0 || lines->n < most ? lines->n : most - 2;
	if (lines->n == 0) {
		puts("nobody holds any page");
		return;
	}
	if (shown < lines->n) {
		len = 0;
		for (size_t i = 0; i <= shown; i++) /* the heading too */
			len = (size_t)((const char *)memchr(text + len, '\n', lines->len - len) - text) + 1;
	}
	fwrite(text, 1, len, stdout);
	if (shown < lines->n)
		printf("... and %zu more\n", lines->n - shown);
}

struct who {
	struct cli *cli;
	struct pgmap_client *client;
	const char *path;
	int64_t device; /* its number, or -1 */
};

static int ask(const struct who *who, int (*fn)(void *arg, const struct pgmap_who *row), void *arg)
{
	return who->device < 0 ? pgmap_who(who->client, who->path, fn, arg)
			       : pgmap_who_device(who->client, (uint32_t)who->device, fn, arg);
}

/* Nothing is printed before all of it is there: an answer that breaks off is an error and no half table. */
static int print_table(const struct who *who, unsigned most)
{
	struct who_lines lines;
	int err = who_lines_begin(&lines);
	if (err == 0)
		err = ask(who, add_line, &lines);
	if (err == 0)
		print_lines(&lines, most);
	who_lines_free(&lines);
	return err;
}

enum { WHO_JSON, WHO_WATCH, WHO_COUNT, WHO_DEVICE };

/* One of several answers is a line. */
static int print_json(const struct who *who)
{
	struct who_list list = {0};
	int err = ask(who, add_row, &list);
	if (err == 0 && who->cli->option[WHO_WATCH]) {
		struct json_object *json = rows_json(&list);
		puts(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
		json_object_put(json);
	} else if (err == 0) {
		cli_print_json(rows_json(&list));
	}
	who_free(&list);
	return err;
}

static int show_who(void *arg, unsigned lines)
{
	const struct who *who = arg;
	int err = who->cli->option[WHO_JSON] ? print_json(who) : print_table(who, lines);
	return err ? cli_fail(who->cli, "%s: %s",
			      who->path                      ? who->path
			      : who->cli->option[WHO_DEVICE] ? who->cli->option[WHO_DEVICE]
							     : "the pool",
			      cli_why(err))
		   : CLI_DONE;
}

/* How often, and how many times. */
static int parse_watch(const struct cli *cli, struct watch *watch)
{
	const char *every = cli->option[WHO_WATCH], *count = cli->option[WHO_COUNT];
	char *end = NULL;
	if (*every && (cli_parse_seconds(every, &watch->interval_ns) || watch->interval_ns < 10000000))
		return cli_usage(cli, "%s: no number of seconds, 0.01 or more", every);
	if (!count)
		return CLI_DONE;
	errno = 0;
	watch->rounds = *count >= '0' && *count <= '9' ? strtoull(count, &end, 10) : 0;
	if (errno || !end || *end || watch->rounds == 0)
		return cli_usage(cli, "%s: no number of rounds, 1 or more", count);
	return CLI_DONE;
}

/* The device that is meant, if one is. */
static int find_device(struct who *who)
{
	const char *name = who->cli->option[WHO_DEVICE];
	struct device_list list;
	if (!name)
		return CLI_DONE;
	int err = device_list_read(who->client, &list);
	const struct pgmap_device *device = err ? NULL : device_list_find(who->cli, &list, name);
	if (err)
		cli_fail(who->cli, "%s: %s", name, cli_why(err));
	if (device)
		who->device = device->number;
	device_list_free(&list);
	return device ? CLI_DONE : CLI_FAILED;
}

static int run_who(struct cli *cli)
{
	struct who who = {.cli = cli, .path = cli->argc ? cli->argv[0] : NULL, .device = -1};
	struct watch watch = {.interval_ns = 2000000000,
			      .title = cli->option[WHO_JSON] ? NULL : "who holds which pages"};
	int code = cli->option[WHO_WATCH] ? parse_watch(cli, &watch) : CLI_DONE;
	if (cli->option[WHO_COUNT] && !cli->option[WHO_WATCH])
		code = cli_usage(cli, "--count: only with --watch");
	if (who.path && cli->option[WHO_DEVICE])
		code = cli_usage(cli, "%s: a path or --device, not both", who.path);
	if (code != CLI_DONE)
		return code;
	who.client = cli_connect(cli);
	if (!who.client)
		return CLI_FAILED;
	code = find_device(&who);
	if (code == CLI_DONE)
		code = cli->option[WHO_WATCH] ? watch_run(cli, &watch, show_who, &who) : show_who(&who, 0);
	pgmap_disconnect(who.client);
	return code == CLI_DONE ? cli_flush(cli) : code;
}

static int run_fence(struct cli *cli)
{
	int code = CLI_DONE;
	struct pgmap_client *client = cli_connect(cli);
	if (!client)
		return CLI_FAILED;
	for (int i = 0; i < cli->argc && code == CLI_DONE; i++) {
		char *end;
		errno = 0;
		unsigned long long id = strtoull(cli->argv[i], &end, 10);
		if (errno || end == cli->argv[i] || *end || cli->argv[i][0] == '-') {
			code = cli_usage(cli, "%s: no holder's number (pgmap who has them)", cli->argv[i]);
			break;
		}
		int err = pgmap_fence(client, id);
		if (err == -ENOENT)
			code = cli_fail(cli, "%s: no such holder (look with: pgmap who)", cli->argv[i]);
		else if (err == -EBUSY)
			code = cli_fail(cli, "%s: it is not dead, or still mapped (end its process first)",
					cli->argv[i]);
		else if (err)
			code = cli_fail(cli, "%s: %s", cli->argv[i], cli_why(err));
	}
	pgmap_disconnect(client);
	return code;
}

static const struct cli_option who_options[] = {
	{'j', "json", NULL, "as JSON: an array; with --watch one a line"},
	{'w', "watch", "[=SECONDS]", "again and again, every 2 s or as often as said"},
	{0, "count", "N", "with --watch: as many times"},
	{0, "device", "NAME", "of one device: its number, or a part of its spec (pgmap device list)"},
	{0, NULL, NULL, NULL},
};

const struct cli_command cmd_who = {
	.name = "who",
	.synopsis = "[-j] [--watch[=SECONDS] [--count N]] [PATH | --device NAME]",
	.summary = "who holds which pages, of one file, one device or the whole pool",
	.text = "One line for each mapping: the holder's number, process and command; whether it is connected, "
		"\"mapping\" "
		"(disconnected, but a child or a descriptor that was sent on still maps), or quarantined (dead, with "
		"remote pins); the "
		"range of the file; pins that end with the process, and remote ones; since when.\n"
		"A removed file's path ends with \" (deleted)\". A quarantined holder has a line for each folio that "
		"it left.\n"
		"With --watch a terminal's screen is redrawn; in a pipe one answer follows the other, each with its "
		"time. "
		"Ctrl-C ends it: that is no failure; the end of the server is one.",
	.options = who_options,
	.args = CLI_ARGS_POOL,
	.max_args = 1,
	.run = run_who,
};
const struct cli_command cmd_fence = {
	.name = "fence",
	.synopsis = "HOLDER...",
	.summary = "say that nothing moves a dead holder's data any more",
	.text = "A process that died with remote pins leaves pages that a device may still write: they are "
		"quarantined, until "
		"whoever stopped that device says so with this command. HOLDER is the number that pgmap who gives.",
	.min_args = 1,
	.max_args = -1,
	.run = run_fence,
};
