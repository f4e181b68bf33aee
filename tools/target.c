/* SPDX-License-Identifier: BSD-3-Clause */
/* target.c - see target.h. The pool's paths have no links and no "..": one that begins with another's parts lies in it. */
#include "target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The length of path without the slashes at its end. */
static size_t trimmed(const char *path)
{
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		len--;
	return len;
}

static bool is_inside(const char *path, const char *dir)
{
	for (;;) {
		path += strspn(path, "/");
		dir += strspn(dir, "/");
		size_t len = strcspn(dir, "/");
		if (len == 0)
			return true;
		if (strcspn(path, "/") != len || memcmp(path, dir, len) != 0)
			return false;
		path += len;
		dir += len;
	}
}

/* The last part of a path, without the slashes behind it. */
static void last_part(char name[CLI_PATH_MAX], const char *path)
{
	const char *base = cli_basename(path);
	snprintf(name, CLI_PATH_MAX, "%.*s", (int)strcspn(base, "/"), base);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Two sources of one name would leave only the later one. *twice: such a name, the caller's to free; null, there is none. */
static int find_twice(const struct cli *cli, char **twice)
{
	size_t n = (size_t)cli->argc - 1, made = 0;
	char **names = calloc(n, sizeof(*names));
	*twice = NULL;
	while (names && made < n) {
		char name[CLI_PATH_MAX];
		last_part(name, cli->argv[made]);
		names[made] = strdup(name);
		if (!names[made])
			break;
		made++;
	}
	if (names && made == n)
		qsort(names, n, sizeof(*names), by_text);
	for (size_t i = 1; i < n && made == n && !*twice; i++)
		if (strcmp(names[i - 1], names[i]) == 0)
			*twice = strdup(names[i]);
	for (size_t i = 0; i < made; i++)
		free(names[i]);
	free(names);
	return made == n ? 0 : -ENOMEM;
}

int target_open(struct target *target, struct cli *cli, struct pgmap_client *client)
{
	struct pgmap_stat st;
	char *twice;
	const char *dst = cli->argv[cli->argc - 1];
	*target = (struct target){cli, client, dst, false};
	int err = pgmap_stat(client, dst, &st);
	if (err && err != -ENOENT)
		return cli_fail(cli, "%s: %s", dst, cli_why(err));
	target->is_dir = err == 0 && st.is_dir;
	if (cli->argc == 2)
		return CLI_DONE;
	if (!target->is_dir)
		return cli_fail(cli, "%s: no directory of the pool, and several sources (make it with: pgmap mkdir)",
				dst);
	err = find_twice(cli, &twice);
	if (err)
		return cli_fail(cli, "%s: %s", dst, cli_why(err));
	if (twice)
		cli_fail(cli, "%s: two sources of this name for %s (one would replace the other: one at a time)", twice,
			 dst);
	free(twice);
	return twice ? CLI_FAILED : CLI_DONE;
}

/* What there is at path must be of the same kind, and not the source itself. */
static int check_there(const struct target *target, const char *src, const struct pgmap_stat *st, const char *path)
{
	struct pgmap_stat there;
	int err = pgmap_stat(target->client, path, &there);
	if (st->is_dir && !(err == 0 && there.ino == st->ino) && is_inside(path, src))
		return cli_fail(target->cli, "%s: cannot go into itself: %s (choose a directory outside of it)", src,
				path);
	if (err == -ENOENT)
		return CLI_DONE;
	if (err)
		return cli_fail(target->cli, "%s to %s: %s", src, path, cli_why(err));
	if (there.ino == st->ino)
		return cli_fail(target->cli, "%s: it and %s are the same (choose another name)", src, path);
	if (there.is_dir && !st->is_dir)
		return cli_fail(target->cli, "%s: %s is a directory, which a file cannot replace (choose another name)",
				src, path);
	if (!there.is_dir && st->is_dir)
		return cli_fail(target->cli, "%s: %s is a file, which a directory cannot replace (remove it: pgmap rm)",
				src, path);
	return CLI_DONE;
}

int target_path(const struct target *target, const char *src, char path[CLI_PATH_MAX], struct pgmap_stat *st)
{
	char name[CLI_PATH_MAX];
	size_t len = trimmed(target->dst);
	int err = pgmap_stat(target->client, src, st);
	if (err == 0 && !st->is_dir && src[strlen(src) - 1] == '/')
		err = -ENOTDIR;
	if (err)
		return cli_fail(target->cli, "%s: %s", src, cli_why(err));
	if (!target->is_dir && !st->is_dir && target->dst[len] == '/')
		return cli_fail(target->cli, "%s: no directory of the pool (make it with: pgmap mkdir)", target->dst);
	last_part(name, src);
	if (target->is_dir)
		err = cli_join(path, target->dst, name);
	else
		snprintf(path, CLI_PATH_MAX, "%.*s", (int)len, target->dst);
	if (err)
		return cli_fail(target->cli, "%s to %s: %s", src, target->dst, cli_why(err));
	return check_there(target, src, st, path);
}
