/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_cp.c - `pgmap cp`: files and directories of the pool, copied from mapping to mapping: no byte passes through the
 * server, or a buffer.
 *
 * What is read is mapped, so it stays as it was when its copy began. The copy is written under a temporary name (temp.h)
 * and renamed when it is whole; whatever ends the command, but SIGKILL, takes the temporary file away before the error line
 * is printed.
 */
#include "commands.h"

#include <errno.h>
#include <string.h>

#include "progress.h"
#include "target.h"
#include "temp.h"
#include "transfer.h"
#include "walk.h"

enum { CP_RECURSIVE, CP_VERBOSE, CP_QUIET };

struct cp {
	struct cli *cli;
	struct pgmap_client *client;
	struct progress progress;
	uint64_t total_bytes;
	const char *src; /* the root of a tree that is copied, and where it goes */
	const char *dst;
	struct pgmap_mapping *from; /* the file in hand; null: it is empty */
	char temp[CLI_PATH_MAX];
	int code; /* of what failed inside of a walk */
};

static int make_copy(void *arg, const char *temp)
{
	struct cp *cp = arg;
	struct pgmap_mapping *to = NULL;
	struct pgmap_file *file = NULL;
	uint64_t len = cp->from ? pgmap_mapping_bytes(cp->from) : 0;
	if (!len) {
		int err = pgmap_open(cp->client, temp, PGMAP_O_CREATE | PGMAP_O_EXCL, &file);
		if (err == 0)
			pgmap_close(file);
		return err;
	}
	int err = pgmap_open_map(cp->client, temp, PGMAP_O_CREATE | PGMAP_O_EXCL, len, PGMAP_MAP_READ | PGMAP_MAP_WRITE,
				 &to);
	if (err)
		return err;
	err = transfer_copy(pgmap_mapping_address(to), pgmap_mapping_address(cp->from), len, &cp->progress);
	int unmapped = pgmap_unmap(to);
	return err ? err : unmapped;
}

static int write_copy(struct cp *cp, const char *dst)
{
	bool made;
	int err = temp_make(cp->temp, sizeof(cp->temp), dst, "cp", make_copy, cp, &made);
	if (err == 0 && cli_stopped())
		err = -EINTR;
	if (err == 0)
		err = pgmap_rename(cp->client, cp->temp, dst);
	if (err && made)
		pgmap_unlink(cp->client, cp->temp);
	return err;
}

static int copy_file(struct cp *cp, const char *src, const char *dst, const struct pgmap_stat *st)
{
	cp->from = NULL;
	int err = st->size_bytes ? pgmap_open_map(cp->client, src, 0, 0, PGMAP_MAP_READ, &cp->from) : 0;
	if (err)
		return cli_fail(cp->cli, "%s: %s", src, cli_why(err));
	err = write_copy(cp, dst);
	pgmap_unmap(cp->from);
	switch (err) {
	case 0:
		return CLI_DONE;
	case -EINTR:
		return cli_fail(cp->cli, "%s: interrupted (nothing of its copy is in the pool: copy it again)", src);
	case -EEXIST:
		return cli_fail(cp->cli, "%s: no name for a temporary file is free (look with: pgmap ls)", dst);
	case -ENOSPC:
	case -EFBIG:
		return cli_fail_full(cp->cli, cp->client, src, st->size_bytes, err);
	default:
		return cli_fail(cp->cli, "%s: %s", dst, cli_why(err));
	}
}

static int copy_directory(struct cp *cp, const char *src, const char *dst)
{
	struct pgmap_stat st;
	int err = pgmap_mkdir(cp->client, dst);
	if (err == -EEXIST && pgmap_stat(cp->client, dst, &st) == 0)
		err = st.is_dir ? 0 : -ENOTDIR;
	return err ? cli_fail(cp->cli, "%s: %s: %s", src, dst, cli_why(err)) : CLI_DONE;
}

/* Errors have been said where they were found: -ECANCELED only ends the walk. */
static int copy_entry(void *arg, const char *path, const struct pgmap_stat *st)
{
	struct cp *cp = arg;
	char dst[CLI_PATH_MAX];
	const char *under = path + strlen(cp->src);
	under += strspn(under, "/");
	snprintf(dst, sizeof(dst), "%s", cp->dst);
	int err = *under ? cli_join(dst, cp->dst, under) : 0;
	if (cli_stopped())
		cp->code = cli_fail(cp->cli, "%s: interrupted (the files before it are copied: copy it again)", path);
	else if (err)
		cp->code = cli_fail(cp->cli, "%s: %s", path, cli_why(err));
	else if (st->is_dir)
		cp->code = copy_directory(cp, path, dst);
	else
		cp->code = copy_file(cp, path, dst, st);
	return cp->code == CLI_DONE ? 0 : -ECANCELED;
}

static int copy_one(struct cp *cp, const struct target *target, const char *src)
{
	char path[CLI_PATH_MAX], failed[CLI_PATH_MAX];
	struct pgmap_stat st;
	int code = target_path(target, src, path, &st);
	if (code != CLI_DONE)
		return code;
	if (st.is_dir && !cp->cli->option[CP_RECURSIVE])
		return cli_fail(cp->cli, "%s: is a directory (copy it with all that is in it: pgmap cp -r)", src);
	cp->src = src;
	cp->dst = path;
	int err = walk_tree(cp->client, src, false, copy_entry, cp, failed);
	if (err && cp->code == CLI_DONE)
		return cli_fail(cp->cli, "%s: %s", failed, cli_why(err));
	return cp->code;
}

static int add_bytes(void *arg, const char *path, const struct pgmap_stat *st)
{
	struct cp *cp = arg;
	(void)path;
	cp->total_bytes += st->is_dir ? 0 : st->size_bytes;
	return cli_stopped() ? -EINTR : 0;
}

/* For the progress line: what cannot be read is said where it is copied. */
static uint64_t total_bytes(struct cp *cp)
{
	char failed[CLI_PATH_MAX];
	for (int i = 0; i + 1 < cp->cli->argc; i++)
		(void)walk_tree(cp->client, cp->cli->argv[i], false, add_bytes, cp, failed);
	return cp->total_bytes;
}

static int run_cp(struct cli *cli)
{
	struct cp cp = {.cli = cli};
	struct target target;
	bool quiet = cli->option[CP_QUIET];
	cp.client = cli_connect(cli);
	if (!cp.client)
		return CLI_FAILED;
	int code = target_open(&target, cli, cp.client);
	cli_catch_signals();
	progress_begin(&cp.progress, quiet, progress_wanted(quiet) ? total_bytes(&cp) : 0);
	for (int i = 0; i + 1 < cli->argc && code == CLI_DONE; i++)
		code = copy_one(&cp, &target, cli->argv[i]);
	progress_end(&cp.progress, code == CLI_DONE ? "copied" : NULL, cli->option[CP_VERBOSE]);
	pgmap_disconnect(cp.client);
	return code;
}

static const struct cli_option cp_options[] = {
	{'r', "recursive", NULL, "directories, with all that is in them"},
	{'v', "verbose", NULL, "say bytes, seconds and GB/s also where stderr is no terminal"},
	{'q', "quiet", NULL, "show no progress"},
	{0, NULL, NULL, NULL},
};

const struct cli_command cmd_cp = {
	.name = "cp",
	.synopsis = "[-r] [-v] [-q] SRC... DST",
	.summary = "copy files or directories within the pool",
	.text = "SRC and DST are paths in the pool. Sources go into DST when it is a directory, which it must be when "
		"there are several. A file that is there already is replaced, at once, when its copy is whole; a "
		"directory that is there already gets what it does not have.\n"
		"The bytes go from mapping to mapping. An interrupted copy, or one that does not fit, leaves nothing "
		"of "
		"the file in hand; files of a directory that were copied before it stay. Only SIGKILL can leave a "
		"temporary file, named .cp- and a number, in the directory.",
	.options = cp_options,
	.args = CLI_ARGS_POOL,
	.min_args = 2,
	.max_args = -1,
	.run = run_cp,
};
