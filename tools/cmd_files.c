/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_files.c - `pgmap ls, stat, mkdir, rm`: the names of the pool's files.
 */
#include "commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <pgmap/pgmap.h>
#include "how.h"
#include "text.h"
#include "walk.h"

/* One path's failure as the command's error line; 0 is CLI_DONE. */
static int answer(struct cli *cli, const char *path, int err)
{
	return err ? cli_fail(cli, "%s: %s", path, cli_why(err)) : CLI_DONE;
}

static const char *time_text(char buf[CLI_TEXT_MAX], int64_t ns)
{
	time_t seconds = (time_t)(ns / 1000000000);
	struct tm tm;
	localtime_r(&seconds, &tm);
	strftime(buf, CLI_TEXT_MAX, "%Y-%m-%d %H:%M:%S", &tm);
	return buf;
}

static void ls_long(const char *shown, const struct pgmap_stat *st)
{
	char size[CLI_TEXT_MAX], when[CLI_TEXT_MAX], extent[CLI_TEXT_MAX];
	if (st->is_dir)
		snprintf(size, sizeof(size), "%" PRIu64 " entries", st->size_bytes);
	else
		cli_bytes(size, st->size_bytes);
	printf("%12s %10" PRIu64 " %7" PRIu64 " %8s %8" PRIu64 "  %s  %s\n", size, st->blocks, st->extents,
	       st->blocks ? cli_bytes(extent, UINT64_C(4096) << st->max_order) : "-", st->mappings,
	       time_text(when, st->mtime_ns), shown);
}

/* One name a line for who reads it from a pipe, as it is; what a person looks at is shown (text.h). */
static void ls_line(bool is_long, const char *name, const struct pgmap_stat *st)
{
	char line[CLI_PATH_MAX + 1], shown[TEXT_SHOWN_MAX * sizeof(line)];
	snprintf(line, sizeof(line), "%s%s", name, st->is_dir && name[strlen(name) - 1] != '/' ? "/" : "");
	text_shown(shown, sizeof(shown), line);
	if (is_long)
		ls_long(shown, st);
	else
		puts(isatty(STDOUT_FILENO) ? shown : line);
}

enum { LS_LONG, LS_JSON };

static void ls_print(struct cli *cli, const char *path, const struct pgmap_stat *st, const struct walk_list *list)
{
	struct json_object *array = cli->option[LS_JSON] ? json_object_new_array() : NULL;
	bool is_long = cli->option[LS_LONG];
	if (is_long && !array)
		printf("%12s %10s %7s %8s %8s  %-19s  %s\n", "SIZE", "PAGES", "EXTENTS", "LARGEST", "MAPPINGS",
		       "CHANGED", "NAME");
	if (array && !st->is_dir)
		json_object_array_add(array, cli_stat_json(path, cli_basename(path), st));
	else if (!st->is_dir)
		ls_line(is_long, path, st);
	for (size_t i = 0; i < list->n; i++) {
		const struct walk_entry *entry = &list->entries[i];
		char child[CLI_PATH_MAX];
		bool named = cli_join(child, path, entry->name) == 0;
		if (!array)
			ls_line(is_long, entry->name, &entry->st);
		else
			json_object_array_add(array, cli_stat_json(named ? child : NULL, entry->name, &entry->st));
	}
	if (array)
		cli_print_json(array);
}

static int run_ls(struct cli *cli)
{
	const char *path = cli->argc ? cli->argv[0] : "/";
	struct pgmap_stat st;
	struct walk_list list = {0};
	struct pgmap_client *client = cli_connect(cli);
	if (!client)
		return CLI_FAILED;
	int err = pgmap_stat(client, path, &st);
	if (err == 0 && st.is_dir)
		err = walk_read(client, path, &list);
	if (err == 0)
		ls_print(cli, path, &st, &list);
	walk_free(&list);
	pgmap_disconnect(client);
	return err ? answer(cli, path, err) : cli_flush(cli);
}

static void stat_print(const char *path, const struct pgmap_stat *st)
{
	char size[CLI_TEXT_MAX], largest[CLI_TEXT_MAX], when[CLI_TEXT_MAX], shown[TEXT_SHOWN_MAX * CLI_PATH_MAX];
	char order[CLI_TEXT_MAX], granule[CLI_TEXT_MAX];
	printf("path      %s\ntype      %s\nino       %" PRIu64 "\nlinks     %" PRIu32 "\n",
	       text_shown(shown, sizeof(shown), path), st->is_dir ? "directory" : "file", st->ino, st->nlink);
	if (st->is_dir)
		printf("entries   %" PRIu64 "\n", st->size_bytes);
	else
		printf("size      %" PRIu64 " bytes, %s\npages     %" PRIu64 " in %" PRIu64
		       " extents, folios up to %s, granules up to %s\n"
		       "mappings  %" PRIu64 "\n",
		       st->size_bytes, cli_bytes(size, st->size_bytes), st->blocks, st->extents,
		       cli_bytes(largest, UINT64_C(4096) << st->max_order),
		       cli_bytes(granule, UINT64_C(4096) << st->granule_order), st->mappings);
	printf("order     %s\nchanged   %s\n", cli_bytes(order, UINT64_C(4096) << st->order),
	       time_text(when, st->mtime_ns));
}

/* All of them are asked for before one is printed: a failure prints nothing but its line. */
static int run_stat(struct cli *cli)
{
	size_t n = (size_t)cli->argc;
	struct pgmap_stat *stats = calloc(n, sizeof(*stats));
	struct pgmap_client *client = stats ? cli_connect(cli) : NULL;
	int i, err = 0;
	if (!client) {
		free(stats);
		return stats ? CLI_FAILED : answer(cli, cli->argv[0], -ENOMEM);
	}
	for (i = 0; i < cli->argc && err == 0; i++)
		err = pgmap_stat(client, cli->argv[i], &stats[i]);
	pgmap_disconnect(client);
	struct json_object *array = cli->option[0] && n > 1 && !err ? json_object_new_array() : NULL;
	for (size_t k = 0; k < n && err == 0; k++) {
		const char *path = cli->argv[k];
		if (array)
			json_object_array_add(array, cli_stat_json(path, cli_basename(path), &stats[k]));
		else if (cli->option[0])
			cli_print_json(cli_stat_json(path, cli_basename(path), &stats[k]));
		else
			stat_print(path, &stats[k]);
	}
	if (array)
		cli_print_json(array);
	free(stats);
	return err ? answer(cli, cli->argv[i - 1], err) : cli_flush(cli);
}

/* mkdir -p: every part of the path, those that are there already included. */
static int make_parents(struct pgmap_client *client, const char *path)
{
	char part[CLI_PATH_MAX];
	if (strlen(path) >= sizeof(part))
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= strlen(path); i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		int err = pgmap_mkdir(client, part);
		struct pgmap_stat st;
		if (err == -EEXIST)
			err = pgmap_stat(client, part, &st) == 0 && !st.is_dir ? -ENOTDIR : 0;
		if (err)
			return err;
	}
	return 0;
}

static int run_mkdir(struct cli *cli)
{
	struct pgmap_client *client = cli_connect(cli);
	if (!client)
		return CLI_FAILED;
	int err = 0, i;
	for (i = 0; i < cli->argc && err == 0; i++)
		err = cli->option[0] ? make_parents(client, cli->argv[i]) : pgmap_mkdir(client, cli->argv[i]);
	pgmap_disconnect(client);
	return answer(cli, i ? cli->argv[i - 1] : "", err);
}

enum { RM_RECURSIVE, RM_FORCE, RM_HOW };

struct removal {
	struct pgmap_client *client;
	struct how how;
};

static int remove_file(const struct removal *rm, const char *path)
{
	return pgmap_unlink_how(rm->client, path, rm->how.mode, how_timeout_ms(&rm->how));
}

static int remove_one(void *arg, const char *path, const struct pgmap_stat *st)
{
	const struct removal *rm = arg;
	if (!st->is_dir)
		return remove_file(rm, path);
	return *cli_basename(path) ? pgmap_rmdir(rm->client, path) : 0; /* the root stays */
}

static int remove_all(struct cli *cli, struct removal *rm)
{
	char failed[CLI_PATH_MAX] = "";
	int err = 0;
	for (int i = 0; i < cli->argc && err == 0; i++) {
		const char *path = cli->argv[i];
		if (cli->option[RM_RECURSIVE])
			err = walk_tree(rm->client, path, true, remove_one, rm, failed);
		else
			err = remove_file(rm, path);
		if (err && !failed[0])
			snprintf(failed, sizeof(failed), "%s", path);
		if (err == -ENOENT && cli->option[RM_FORCE])
			err = 0;
	}
	if (err == -EISDIR)
		return cli_fail(cli, "%s: is a directory (remove it with all that is in it: pgmap rm -r)", failed);
	return how_answer(cli, rm->client, failed, err);
}

static int run_rm(struct cli *cli)
{
	struct removal rm;
	int code = how_parse(cli, RM_HOW, &rm.how);
	if (code != CLI_DONE)
		return code;
	rm.client = cli_connect(cli);
	if (!rm.client)
		return CLI_FAILED;
	code = remove_all(cli, &rm);
	pgmap_disconnect(rm.client);
	return code;
}

static const struct cli_option ls_options[] = {
	{'l', "long", NULL, "size, pages, extents, largest folio, mappings, time of change"},
	{'j', "json", NULL, "as JSON: an array"},
	{0, NULL, NULL, NULL},
};
static const struct cli_option json_options[] = {
	{'j', "json", NULL, "as JSON"},
	{0, NULL, NULL, NULL},
};
static const struct cli_option mkdir_options[] = {
	{'p', "parents", NULL, "the directories above it too; one that is there is no error"},
	{0, NULL, NULL, NULL},
};
static const struct cli_option rm_options[] = {
	{'r', "recursive", NULL, "directories, with all that is in them"},
	{'f', "force", NULL, "what is not there is no error"},
	HOW_OPTIONS,
	{0, NULL, NULL, NULL},
};

const struct cli_command cmd_ls = {
	.name = "ls",
	.synopsis = "[-l] [-j] [PATH]",
	.summary = "list a directory of the pool, or a file",
	.text = "Without PATH: the root. Names are in byte order; a directory's ends with a slash.\n"
		"On a terminal and with -l, control characters in names are shown as \\n or \\x1b, bytes that are no "
		"UTF-8 likewise; in a pipe names are as they are. In JSON, a name that is no UTF-8 has its bytes in "
		"\"name_hex\" and \"path_hex\", too.",
	.options = ls_options,
	.args = CLI_ARGS_POOL,
	.max_args = 1,
	.run = run_ls,
};
const struct cli_command cmd_stat = {
	.name = "stat",
	.synopsis = "[-j] PATH...",
	.summary = "what the pool knows about files or directories",
	.text = "Size, pages, extents, the largest folio that they make, and how often it is mapped at this moment. As "
		"JSON: "
		"an object, or an array of them where there are several paths.",
	.options = json_options,
	.args = CLI_ARGS_POOL,
	.min_args = 1,
	.max_args = -1,
	.run = run_stat,
};
const struct cli_command cmd_mkdir = {
	.name = "mkdir",
	.synopsis = "[-p] DIR...",
	.summary = "make directories",
	.text = "Ends at the first that cannot be made.",
	.options = mkdir_options,
	.args = CLI_ARGS_POOL,
	.min_args = 1,
	.max_args = -1,
	.run = run_mkdir,
};
const struct cli_command cmd_rm = {
	.name = "rm",
	.synopsis = "[-r] [-f] [--wait SECONDS | --fail] PATH...",
	.summary = "remove files, and with -r directories",
	.text = "Ends at the first that cannot be removed.\n" HOW_TEXT
		" Who has a file open holds it, too: then its name "
		"goes at once, or, with --wait or --fail, not before it is closed. See who holds pages with: pgmap "
		"who.",
	.options = rm_options,
	.args = CLI_ARGS_POOL,
	.min_args = 1,
	.max_args = -1,
	.run = run_rm,
};
