/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_get.c - `pgmap get` and `pgmap cat`: files of the pool to files, directories and standard output.
 *
 * What is read is mapped, so it stays as it was when the command opened it, whatever happens to its name or size. A file
 * on this side gets its name when it is whole, by rename from a temporary name in the same directory.
 */
#include "commands.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "progress.h"
#include "temp.h"
#include "transfer.h"
#include "walk.h"

enum { GET_VERBOSE, GET_QUIET };

struct get {
	struct cli *cli;
	struct pgmap_client *client;
	struct progress progress;
	const char *src; /* the root of a tree that is fetched, and where it goes */
	const char *dst;
	uint64_t total_bytes;
	int code;
};

/* A file of the pool, mapped to read. */
struct source {
	struct pgmap_mapping *mapping; /* null: there is nothing to read */
	bool is_short;                 /* what lies behind it has lost its data */
	uint64_t bytes;
};

static int find_first(void *arg, const struct pgmap_lost *lost)
{
	uint64_t *first = arg;
	*first = lost->offset_bytes < *first ? lost->offset_bytes : *first;
	return 0;
}

/* What lies before the first byte that is lost. */
static int map_good(struct pgmap_client *client, const char *path, struct source *source)
{
	struct pgmap_file *file;
	source->bytes = UINT64_MAX;
	int err = pgmap_for_each_lost(client, path, find_first, &source->bytes);
	if (err || source->bytes == UINT64_MAX)
		return err ? err : -EHWPOISON;
	source->is_short = true;
	if (source->bytes == 0)
		return 0;
	err = pgmap_open(client, path, PGMAP_O_RDONLY, &file);
	if (err)
		return err;
	err = pgmap_map(file, 0, source->bytes, PGMAP_MAP_READ, &source->mapping);
	pgmap_close(file);
	return err;
}

/* The whole file, or as much of it as can be read. */
static int map_source(struct pgmap_client *client, const char *path, struct source *source)
{
	struct pgmap_stat st;
	*source = (struct source){0};
	int err = pgmap_stat(client, path, &st);
	if (err || (!st.is_dir && st.size_bytes == 0))
		return err;
	if (st.is_dir)
		return -EISDIR;
	err = pgmap_open_map(client, path, 0, 0, PGMAP_MAP_READ, &source->mapping);
	return err == -EHWPOISON ? map_good(client, path, source) : err;
}

static int say_short(const struct get *get, const char *path, const struct source *source)
{
	if (!source->is_short)
		return CLI_DONE;
	return cli_fail(get->cli,
			"%s: has lost its data from byte %llu on: only what lies before it was read (see: pgmap lost)",
			path, (unsigned long long)source->bytes);
}

static int to_stream(struct get *get, const char *path)
{
	struct source source;
	int err = map_source(get->client, path, &source);
	if (err)
		return cli_fail(get->cli, "%s: %s", path, cli_why(err));
	if (!source.mapping)
		return say_short(get, path, &source);
	err = transfer_stream_out(STDOUT_FILENO, pgmap_mapping_address(source.mapping),
				  pgmap_mapping_bytes(source.mapping), &get->progress);
	pgmap_unmap(source.mapping);
	if (err == -EPIPE || err == 0)
		return say_short(get, path, &source); /* or the reader has had enough */
	if (err == -EFAULT)
		return cli_fail(get->cli, "%s: some of it cannot be read (see: pgmap lost)", path);
	if (err == -EINTR)
		return cli_fail(get->cli, "%s: interrupted (fetch it again)", path);
	return cli_fail(get->cli, "%s: standard output: %s (look at where it goes)", path, strerror(-err));
}

static int open_temp(void *arg, const char *temp)
{
	int *fd = arg;
	*fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	return *fd < 0 ? -errno : 0;
}

/* All bytes of a mapping (or none) under a temporary name beside dst, and then under its own. Nothing is left if not. */
static int write_file(struct get *get, const struct pgmap_mapping *mapping, const char *dst)
{
	char temp[4096];
	int fd = -1;
	bool made;
	int err = temp_make(temp, sizeof(temp), dst, "get", open_temp, &fd, &made);
	if (fd < 0)
		return err;
	if (mapping)
		err = transfer_out(fd, pgmap_mapping_address(mapping), pgmap_mapping_bytes(mapping), &get->progress);
	if (close(fd) && err == 0)
		err = -errno;
	if (err == 0 && cli_stopped())
		err = -EINTR;
	if (err == 0 && rename(temp, dst))
		err = -errno;
	if (err)
		unlink(temp);
	return err;
}

static int to_file(struct get *get, const char *path, const char *dst)
{
	struct source source;
	int err = map_source(get->client, path, &source);
	if (err)
		return cli_fail(get->cli, "%s: %s", path, cli_why(err));
	err = write_file(get, source.mapping, dst);
	pgmap_unmap(source.mapping);
	if (err == 0)
		return say_short(get, path, &source);
	if (err == -EFAULT)
		return cli_fail(get->cli, "%s: some of it cannot be read (see: pgmap lost)", path);
	if (err == -EINTR)
		return cli_fail(get->cli, "%s: interrupted (nothing of it is left here: fetch it again)", path);
	if (err == -EEXIST)
		return cli_fail(get->cli, "%s: %s: no name for a temporary file is free (look with: ls -a)", path, dst);
	return cli_fail(get->cli, "%s: %s: %s (look at that folder)", path, dst, strerror(-err));
}

/* Errors have been said where they were found: -ECANCELED only ends the walk. */
static int get_entry(void *arg, const char *path, const struct pgmap_stat *st)
{
	struct get *get = arg;
	char dst[4096];
	const char *under = path + strlen(get->src);
	while (*under == '/')
		under++;
	int n = snprintf(dst, sizeof(dst), "%s%s%s", get->dst, *under ? "/" : "", under);
	if (n < 0 || n >= (int)sizeof(dst))
		get->code = cli_fail(get->cli, "%s: %s (choose a shorter one)", path, strerror(ENAMETOOLONG));
	else if (cli_stopped())
		get->code = cli_fail(get->cli, "%s: interrupted (fetch it again)", path);
	else if (!st->is_dir)
		get->code = to_file(get, path, dst);
	else if (mkdir(dst, 0777) && errno != EEXIST)
		get->code = cli_fail(get->cli, "%s: %s: %s (look at that folder)", path, dst, strerror(errno));
	return get->code == CLI_DONE ? 0 : -ECANCELED;
}

static int get_source(struct get *get, const char *src, const char *dst, bool dst_is_dir)
{
	char path[4096], failed[CLI_PATH_MAX];
	const char *name = cli_basename(src);
	if (strcmp(dst, "-") == 0)
		return to_stream(get, src);
	int n = snprintf(path, sizeof(path), "%s%s%s", dst, dst_is_dir && *name ? "/" : "", dst_is_dir ? name : "");
	if (n < 0 || n >= (int)sizeof(path))
		return cli_fail(get->cli, "%s: %s (choose a shorter one)", dst, strerror(ENAMETOOLONG));
	for (size_t len = strlen(path); len > 1 && path[len - 1] == '/'; len--)
		path[len - 1] = '\0';
	get->src = src;
	get->dst = path;
	get->code = CLI_DONE;
	int err = walk_tree(get->client, src, false, get_entry, get, failed);
	if (err && get->code == CLI_DONE)
		return cli_fail(get->cli, "%s: %s", failed, cli_why(err));
	return get->code;
}

static int add_bytes(void *arg, const char *path, const struct pgmap_stat *st)
{
	struct get *get = arg;
	(void)path;
	get->total_bytes += st->is_dir ? 0 : st->size_bytes;
	return cli_stopped() ? -EINTR : 0;
}

/* For the progress line: what cannot be read is said where it is fetched. */
static uint64_t total_bytes(struct get *get)
{
	char failed[CLI_PATH_MAX];
	for (int i = 0; i + 1 < get->cli->argc; i++)
		(void)walk_tree(get->client, get->cli->argv[i], false, add_bytes, get, failed);
	return get->total_bytes;
}

static int run_get(struct cli *cli)
{
	struct get get = {.cli = cli};
	struct stat st;
	const char *dst = cli->argv[cli->argc - 1];
	bool quiet = cli->option[GET_QUIET];
	bool is_dir = strcmp(dst, "-") != 0 && stat(dst, &st) == 0 && S_ISDIR(st.st_mode);
	if (cli->argc > 2 && !is_dir && strcmp(dst, "-") != 0)
		return cli_fail(cli, "%s: no directory, and several sources (make it with: mkdir)", dst);
	get.client = cli_connect(cli);
	if (!get.client)
		return CLI_FAILED;
	int code = CLI_DONE;
	cli_catch_signals();
	progress_begin(&get.progress, quiet, progress_wanted(quiet) ? total_bytes(&get) : 0);
	for (int i = 0; i + 1 < cli->argc && code == CLI_DONE; i++)
		code = get_source(&get, cli->argv[i], dst, is_dir);
	progress_end(&get.progress, code == CLI_DONE ? "got" : NULL, cli->option[GET_VERBOSE]);
	pgmap_disconnect(get.client);
	return code;
}

static int run_cat(struct cli *cli)
{
	struct get get = {.cli = cli};
	int code = CLI_DONE;
	get.client = cli_connect(cli);
	if (!get.client)
		return CLI_FAILED;
	for (int i = 0; i < cli->argc && code == CLI_DONE; i++)
		code = to_stream(&get, cli->argv[i]);
	pgmap_disconnect(get.client);
	return code;
}

static const struct cli_option get_options[] = {
	{'v', "verbose", NULL, "say bytes, seconds and GB/s also where stderr is no terminal"},
	{'q', "quiet", NULL, "show no progress"},
	{0, NULL, NULL, NULL},
};

const struct cli_command cmd_get = {
	.name = "get",
	.synopsis = "[-v] [-q] SRC... DST",
	.summary = "copy files or directories out of the pool",
	.text = "SRC is a path in the pool, a directory with all that is in it; DST a file or directory here, or - for "
		"standard "
		"output. Sources go into DST when it is a directory.\n"
		"A file gets its name when it is whole; an interrupted get leaves no half file. Of one that has lost "
		"some of "
		"its data (pgmap lost) what lies before that is fetched, and said to be short: that is a failure.",
	.options = get_options,
	.args = CLI_ARGS_POOL_HERE,
	.min_args = 2,
	.max_args = -1,
	.run = run_get,
};
const struct cli_command cmd_cat = {
	.name = "cat",
	.synopsis = "PATH...",
	.summary = "write files of the pool to standard output",
	.text = "The file is mapped and written from where it lies. A reader that goes away early is no error.",
	.args = CLI_ARGS_POOL,
	.min_args = 1,
	.max_args = -1,
	.run = run_cat,
};
