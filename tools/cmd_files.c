/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_files.c - `pgmap ls, stat, mkdir, mv, rm, truncate`: the names and sizes of the pool's files.
 */
#include "commands.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include <pgmap/pgmap.h>
#include "dev/dev.h"
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

static void ls_line(bool is_long, const char *name, const struct pgmap_stat *st)
{
	char size[CLI_TEXT_MAX], when[CLI_TEXT_MAX], shown[CLI_PATH_MAX], extent[CLI_TEXT_MAX];
	snprintf(shown, sizeof(shown), "%s%s", name, st->is_dir && name[strlen(name) - 1] != '/' ? "/" : "");
	cli_printable(shown);
	if (!is_long) {
		puts(shown);
		return;
	}
	if (st->is_dir)
		snprintf(size, sizeof(size), "%" PRIu64 " entries", st->size_bytes);
	else
		cli_bytes(size, st->size_bytes);
	printf("%12s %10" PRIu64 " %7" PRIu64 " %8s %8" PRIu64 "  %s  %s\n", size, st->blocks, st->extents,
	       st->blocks ? cli_bytes(extent, UINT64_C(4096) << st->max_order) : "-", st->mappings,
	       time_text(when, st->mtime_ns), shown);
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
		json_object_array_add(array, cli_stat_json(path, st));
	else if (!st->is_dir)
		ls_line(is_long, path, st);
	for (size_t i = 0; i < list->n; i++) {
		char child[CLI_PATH_MAX];
		if (!array)
			ls_line(is_long, list->entries[i].name, &list->entries[i].st);
		else if (cli_join(child, path, list->entries[i].name) == 0)
			json_object_array_add(array, cli_stat_json(child, &list->entries[i].st));
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

static int run_stat(struct cli *cli)
{
	const char *path = cli->argv[0];
	char size[CLI_TEXT_MAX], largest[CLI_TEXT_MAX], when[CLI_TEXT_MAX], shown[CLI_PATH_MAX];
	struct pgmap_stat st;
	struct pgmap_client *client = cli_connect(cli);
	if (!client)
		return CLI_FAILED;
	int err = pgmap_stat(client, path, &st);
	pgmap_disconnect(client);
	if (err)
		return answer(cli, path, err);
	if (cli->option[0]) {
		cli_print_json(cli_stat_json(path, &st));
		return cli_flush(cli);
	}
	snprintf(shown, sizeof(shown), "%s", path);
	printf("path      %s\ntype      %s\nino       %" PRIu64 "\n", cli_printable(shown),
	       st.is_dir ? "directory" : "file", st.ino);
	if (st.is_dir)
		printf("entries   %" PRIu64 "\n", st.size_bytes);
	else
		printf("size      %" PRIu64 " bytes, %s\npages     %" PRIu64 " in %" PRIu64
		       " extents, folios up to %s\n"
		       "mappings  %" PRIu64 "\n",
		       st.size_bytes, cli_bytes(size, st.size_bytes), st.blocks, st.extents,
		       cli_bytes(largest, UINT64_C(4096) << st.max_order), st.mappings);
	printf("changed   %s\n", time_text(when, st.mtime_ns));
	return cli_flush(cli);
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

static int run_mv(struct cli *cli)
{
	char to[CLI_PATH_MAX];
	struct pgmap_stat st;
	const char *from = cli->argv[0];
	struct pgmap_client *client = cli_connect(cli);
	if (!client)
		return CLI_FAILED;
	snprintf(to, sizeof(to), "%s", cli->argv[1]);
	int err = strlen(cli->argv[1]) >= sizeof(to) ? -ENAMETOOLONG : 0;
	if (err == 0 && pgmap_stat(client, cli->argv[1], &st) == 0 && st.is_dir)
		err = cli_join(to, cli->argv[1], cli_basename(from));
	if (err == 0)
		err = pgmap_rename(client, from, to);
	pgmap_disconnect(client);
	return err ? cli_fail(cli, "%s to %s: %s", from, to, cli_why(err)) : CLI_DONE;
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
	.text = "Without PATH: the root. Names are in byte order; a directory's ends with a slash.",
	.options = ls_options,
	.max_args = 1,
	.run = run_ls,
};
const struct cli_command cmd_stat = {
	.name = "stat",
	.synopsis = "[-j] PATH",
	.summary = "what the pool knows about a file or directory",
	.text = "Size, pages, extents, the largest folio that they make, and how often it is mapped at this moment.",
	.options = json_options,
	.min_args = 1,
	.max_args = 1,
	.run = run_stat,
};
const struct cli_command cmd_mkdir = {
	.name = "mkdir",
	.synopsis = "[-p] PATH...",
	.summary = "make directories",
	.text = "Ends at the first that cannot be made.",
	.options = mkdir_options,
	.min_args = 1,
	.max_args = -1,
	.run = run_mkdir,
};
const struct cli_command cmd_mv = {
	.name = "mv",
	.synopsis = "FROM TO",
	.summary = "rename a file or directory, or move it into a directory",
	.text = "A file that is at TO is replaced at once; whoever maps it keeps its pages until the last unmap.",
	.min_args = 2,
	.max_args = 2,
	.run = run_mv,
};
const struct cli_command cmd_rm = {
	.name = "rm",
	.synopsis = "[-r] [-f] PATH...",
	.summary = "remove files, and with -r directories",
	.text = "The name goes at once. Pages that somebody still maps or pins are waiting, and are free after their "
		"last holder: "
		"see them with pgmap who. Ends at the first that cannot be removed.",
	.options = rm_options,
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
	.min_args = 2,
	.max_args = 2,
	.run = run_truncate,
};
