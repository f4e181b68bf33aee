/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_files.c - `pgmap ls, stat, mkdir, rm, truncate`: the names and sizes of the pool's files.
 */
#include "commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <pgmap/pgmap.h>
#include "dev/dev.h"
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
	printf("path      %s\ntype      %s\nino       %" PRIu64 "\nlinks     %" PRIu32 "\n",
	       text_shown(shown, sizeof(shown), path), st->is_dir ? "directory" : "file", st->ino, st->nlink);
	if (st->is_dir)
		printf("entries   %" PRIu64 "\n", st->size_bytes);
	else
		printf("size      %" PRIu64 " bytes, %s\npages     %" PRIu64 " in %" PRIu64
		       " extents, folios up to %s\n"
		       "mappings  %" PRIu64 "\n",
		       st->size_bytes, cli_bytes(size, st->size_bytes), st->blocks, st->extents,
		       cli_bytes(largest, UINT64_C(4096) << st->max_order), st->mappings);
	printf("changed   %s\n", time_text(when, st->mtime_ns));
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

enum { RM_RECURSIVE, RM_FORCE };

static int remove_one(void *arg, const char *path, const struct pgmap_stat *st)
{
	if (!st->is_dir)
		return pgmap_unlink(arg, path);
	return *cli_basename(path) ? pgmap_rmdir(arg, path) : 0; /* the root stays */
}

static int run_rm(struct cli *cli)
{
	char failed[CLI_PATH_MAX] = "";
	struct pgmap_client *client = cli_connect(cli);
	if (!client)
		return CLI_FAILED;
	int err = 0;
	for (int i = 0; i < cli->argc && err == 0; i++) {
		const char *path = cli->argv[i];
		if (cli->option[RM_RECURSIVE])
			err = walk_tree(client, path, true, remove_one, client, failed);
		else
			err = pgmap_unlink(client, path);
		if (err && !failed[0])
			snprintf(failed, sizeof(failed), "%s", path);
		if (err == -ENOENT && cli->option[RM_FORCE])
			err = 0;
	}
	pgmap_disconnect(client);
	if (err == -EISDIR)
		return cli_fail(cli, "%s: is a directory (remove it with all that is in it: pgmap rm -r)", failed);
	return answer(cli, failed, err);
}

static int run_truncate(struct cli *cli)
{
	uint64_t size;
	const char *path = cli->argv[0];
	if (dev_parse_size(cli->argv[1], &size))
		return cli_usage(cli, "%s: no size: a number with an optional K, M, G or T", cli->argv[1]);
	struct pgmap_file *file = NULL;
	struct pgmap_client *client = cli_connect(cli);
	if (!client)
		return CLI_FAILED;
	int err = pgmap_open(client, path, PGMAP_O_CREATE, &file);
	if (err == 0) {
		err = pgmap_truncate(file, size);
		pgmap_close(file);
	}
	pgmap_disconnect(client);
	return answer(cli, path, err);
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
	.synopsis = "[-r] [-f] PATH...",
	.summary = "remove files, and with -r directories",
	.text = "The name goes at once. Pages that somebody still maps or pins are waiting, and are free after their "
		"last holder: "
		"see them with pgmap who. Ends at the first that cannot be removed.",
	.options = rm_options,
	.args = CLI_ARGS_POOL,
	.min_args = 1,
	.max_args = -1,
	.run = run_rm,
};
const struct cli_command cmd_truncate = {
	.name = "truncate",
	.synopsis = "PATH SIZE",
	.summary = "set a file's size, making it if it is not there",
	.text = "New pages read as zero. Pages lost while somebody maps or pins them are free after their last holder. "
		"SIZE is a "
		"number with an optional K, M, G or T.",
	.args = CLI_ARGS_POOL,
	.min_args = 2,
	.max_args = 2,
	.run = run_truncate,
};
