/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_put.c - `pgmap put`: files, directories and standard input into the pool.
 *
 * A file is written under a temporary name in its directory and renamed when it is whole, so under its own name there is
 * only ever the old file or the new one, also after SIGKILL; whatever ends the command in another way takes the temporary
 * file away before the error line is printed, and its space is back by then.
 */
#include "commands.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "progress.h"
#include "temp.h"
#include "transfer.h"

enum { PUT_VERBOSE, PUT_QUIET };
#define STREAM_FIRST (UINT64_C(4) << 20)
#define STREAM_STEP  (UINT64_C(1) << 30)

struct put {
	struct cli *cli;
	struct pgmap_client *client;
	struct progress progress;
	uint64_t granule;
	char temp[CLI_PATH_MAX];
};

/* A known size: one message makes, sizes and maps the file; then the bytes go straight to where they will stay. */
static int put_sized(struct put *put, int fd, uint64_t size)
{
	struct pgmap_mapping *mapping = NULL;
	int err = pgmap_open_map(put->client, put->temp, PGMAP_O_CREATE | PGMAP_O_EXCL, size,
				 PGMAP_MAP_READ | PGMAP_MAP_WRITE, &mapping);
	if (err)
		return err;
	int64_t got = transfer_in(fd, pgmap_mapping_address(mapping), size, &put->progress);
	err = pgmap_unmap(mapping);
	if (got < 0 || err || (uint64_t)got == size)
		return got < 0 ? (int)got : err;
	/* It became shorter under us: what there was is what is put. */
	struct pgmap_file *file = NULL;
	err = pgmap_open(put->client, put->temp, 0, &file);
	if (err == 0) {
		err = pgmap_truncate(file, (uint64_t)got);
		pgmap_close(file);
	}
	return err;
}

/* Room for more at the end of a stream's file: twice as much each time, and, when the pool gets full, what there is. */
static int put_grow(struct pgmap_file *file, uint64_t size, uint64_t granule, uint64_t *grown)
{
	uint64_t step = size < STREAM_FIRST ? STREAM_FIRST : size < STREAM_STEP ? size : STREAM_STEP;
	step = (step + granule - 1) / granule * granule;
	for (;;) {
		int err = pgmap_truncate(file, size + step);
		if (err == 0)
			*grown = size + step;
		if ((err != -ENOSPC && err != -EFBIG) || step <= granule)
			return err;
		step = step / 2 / granule * granule;
		if (step < granule)
			step = granule;
	}
}

/* It may begin in what lies before it, in a granule that is bigger than the pool's. */
static int64_t put_piece(struct put *put, struct pgmap_file *file, int fd, uint64_t from, uint64_t to, char first)
{
	struct pgmap_mapping *mapping = NULL;
	struct pgmap_stat st;
	int err = pgmap_fstat(file, &st);
	if (err)
		return err;
	uint64_t before = from % (UINT64_C(4096) << st.granule_order);
	err = pgmap_map(file, from - before, to - from + before, PGMAP_MAP_READ | PGMAP_MAP_WRITE, &mapping);
	if (err)
		return err;
	char *addr = (char *)pgmap_mapping_address(mapping) + before;
	addr[0] = first;
	int64_t got = transfer_stream_in(fd, addr + 1, to - from - 1, &put->progress);
	err = pgmap_unmap(mapping);
	return got < 0 ? got : err ? err : got + 1;
}

/* Every piece begins with a byte that was read before it was made: whether there is more can only be found by reading. */
static int put_stream(struct put *put, int fd)
{
	struct pgmap_file *file = NULL;
	uint64_t size = 0, room = 0;
	char first;
	int64_t got = 0;
	int err = pgmap_open(put->client, put->temp, PGMAP_O_CREATE | PGMAP_O_EXCL, &file);
	if (err)
		return err;
	while (size == room) {
		got = transfer_stream_in(fd, &first, 1, &put->progress);
		if (got <= 0)
			break;
		err = put_grow(file, size, put->granule, &room);
		if (err)
			break;
		got = put_piece(put, file, fd, size, room, first);
		if (got < 0)
			break;
		size += (uint64_t)got;
	}
	if (err == 0 && got < 0)
		err = (int)got;
	if (err == 0)
		err = pgmap_truncate(file, size);
	pgmap_close(file);
	return err;
}

static int put_empty(struct put *put)
{
	struct pgmap_file *file = NULL;
	int err = pgmap_open(put->client, put->temp, PGMAP_O_CREATE | PGMAP_O_EXCL, &file);
	if (err == 0)
		pgmap_close(file);
	return err;
}

static int put_fail(struct put *put, const char *src, uint64_t size, int err)
{
	if (err == -EINTR)
		return cli_fail(put->cli, "%s: interrupted (nothing of it is in the pool: put it again)", src);
	if (err == -EEXIST)
		return cli_fail(put->cli, "%s: no name for a temporary file is free (look with: pgmap ls)", src);
	if (err == -ENOSPC || err == -EFBIG)
		return cli_fail_full(put->cli, put->client, src, size, err);
	return cli_fail(put->cli, "%s: %s", src, cli_why(err));
}

/* One file of this side. */
struct put_source {
	struct put *put;
	int fd;
	bool sized;
	uint64_t size;
};

/* All bytes under a temporary name, which is not there yet. */
static int put_bytes(void *arg, const char *temp)
{
	const struct put_source *from = arg;
	(void)temp; /* which is put->temp */
	if (!from->sized)
		return put_stream(from->put, from->fd);
	return from->size ? put_sized(from->put, from->fd, from->size) : put_empty(from->put);
}

/* One open file to one path. Answers the exit code. */
static int put_fd(struct put *put, int fd, const char *src, const char *dst)
{
	struct stat st;
	bool made;
	if (fstat(fd, &st))
		return cli_fail(put->cli, "%s: %s (look at it with: stat)", src, strerror(errno));
	bool sized = S_ISREG(st.st_mode) && fd != STDIN_FILENO;
	struct put_source from = {put, fd, sized, sized ? (uint64_t)st.st_size : 0};
	int err = temp_make(put->temp, sizeof(put->temp), dst, "put", put_bytes, &from, &made);
	if (err == 0 && cli_stopped())
		err = -EINTR;
	if (err == 0)
		err = pgmap_rename(put->client, put->temp, dst);
	if (err == 0)
		return CLI_DONE;
	if (made)
		pgmap_unlink(put->client, put->temp);
	if (err == -ENOENT || err == -ENOTDIR || err == -EISDIR || err == -ENAMETOOLONG)
		return cli_fail(put->cli, "%s: %s", dst, cli_why(err));
	return put_fail(put, src, from.size, err);
}

static int put_file(struct put *put, const char *src, const char *dst)
{
	int fd = open(src, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == EINTR ? put_fail(put, src, 0, -EINTR)
				      : cli_fail(put->cli, "%s: %s (look with: ls -l)", src, strerror(errno));
	int code = put_fd(put, fd, src, dst);
	close(fd);
	return code;
}

static int put_directory(struct put *put, const char *src, const char *dst)
{
	struct pgmap_stat st;
	int err = pgmap_mkdir(put->client, dst);
	if (err == -EEXIST && pgmap_stat(put->client, dst, &st) == 0)
		err = st.is_dir ? 0 : -ENOTDIR;
	return err ? cli_fail(put->cli, "%s: %s: %s", src, dst, cli_why(err)) : CLI_DONE;
}

/* An entry of a tree. Links to files are followed, as their bytes are what is wanted; links to directories could go in
 * circles, and sockets and the like hold no bytes: they are left out. */
static int put_entry(struct put *put, const FTSENT *entry, size_t root_len, const char *dst)
{
	char path[CLI_PATH_MAX];
	struct stat st;
	const char *under = entry->fts_path + root_len;
	while (*under == '/')
		under++;
	if (cli_join(path, dst, under))
		return cli_fail(put->cli, "%s: %s", entry->fts_path, cli_why(-ENAMETOOLONG));
	switch (entry->fts_info) {
	case FTS_D:
		return put_directory(put, entry->fts_path, *under ? path : dst);
	case FTS_F:
		return put_file(put, entry->fts_accpath, path);
	case FTS_SL:
		if (stat(entry->fts_accpath, &st) == 0 && S_ISREG(st.st_mode))
			return put_file(put, entry->fts_accpath, path);
		return CLI_DONE;
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		return cli_fail(put->cli, "%s: %s (look with: ls -l)", entry->fts_path, strerror(entry->fts_errno));
	default:
		return CLI_DONE;
	}
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int put_tree(struct put *put, const char *src, const char *dst)
{
	char *roots[2] = {(char *)(uintptr_t)src, NULL};
	FTS *fts = fts_open(roots, FTS_COMFOLLOW | FTS_PHYSICAL | FTS_NOCHDIR, by_name);
	if (!fts)
		return cli_fail(put->cli, "%s: %s (look with: ls -l)", src, strerror(errno));
	int code = CLI_DONE;
	for (FTSENT *entry; code == CLI_DONE && (entry = fts_read(fts)) != NULL;) {
		if (cli_stopped())
			code = put_fail(put, entry->fts_path, 0, -EINTR);
		else
			code = put_entry(put, entry, strlen(src), dst);
	}
	fts_close(fts);
	return code;
}

/* What "." or "/" hold goes into DST itself. */
static bool has_name(const char *name)
{
	size_t len = strcspn(name, "/");
	return len > 0 && !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

/* Where a source goes: into the directory DST under its own name, or to DST itself. */
static int put_argument(struct put *put, const char *src, const char *dst, bool dst_is_dir)
{
	char path[CLI_PATH_MAX];
	struct stat st;
	bool in = strcmp(src, "-") == 0;
	if (!in && stat(src, &st))
		return cli_fail(put->cli, "%s: %s (look with: ls -l)", src, strerror(errno));
	if (in && dst_is_dir)
		return cli_fail(put->cli, "%s: is a directory (name the file that standard input shall become)", dst);
	const char *name = cli_basename(src);
	snprintf(path, sizeof(path), "%s", dst);
	int err = strlen(dst) >= sizeof(path) ? -ENAMETOOLONG : 0;
	if (err == 0 && dst_is_dir && has_name(name))
		err = cli_join(path, dst, name);
	if (err)
		return cli_fail(put->cli, "%s: %s", dst, cli_why(err));
	for (size_t len = strlen(path); len > 1 && path[len - 1] == '/'; len--)
		path[len - 1] = '\0';
	if (in)
		return put_fd(put, STDIN_FILENO, "-", path);
	return S_ISDIR(st.st_mode) ? put_tree(put, src, path) : put_file(put, src, path);
}

static uint64_t tree_bytes(const char *src)
{
	uint64_t total = 0;
	char *roots[2] = {(char *)(uintptr_t)src, NULL};
	FTS *fts = fts_open(roots, FTS_COMFOLLOW | FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	for (FTSENT *entry; fts && !cli_stopped() && (entry = fts_read(fts)) != NULL;)
		total += entry->fts_info == FTS_F ? (uint64_t)entry->fts_statp->st_size : 0;
	if (fts)
		fts_close(fts);
	return total;
}

/* For the progress line; 0: not known, as standard input's. What cannot be read is said where it is put. */
static uint64_t total_bytes(int argc, char **argv)
{
	uint64_t total = 0;
	for (int i = 0; i < argc; i++) {
		struct stat st;
		if (strcmp(argv[i], "-") == 0 || stat(argv[i], &st) || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
			return 0;
		total += S_ISDIR(st.st_mode) ? tree_bytes(argv[i]) : (uint64_t)st.st_size;
	}
	return total;
}

static int run_put(struct cli *cli)
{
	struct put put = {.cli = cli};
	struct pgmap_info info;
	struct pgmap_stat st;
	const char *dst = cli->argv[cli->argc - 1];
	bool quiet = cli->option[PUT_QUIET];
	put.client = cli_connect(cli);
	if (!put.client)
		return CLI_FAILED;
	int err = pgmap_info(put.client, &info);
	int code = err ? cli_fail(cli, "%s: %s", dst, cli_why(err)) : CLI_DONE;
	put.granule = UINT64_C(4096) << info.granule_order;
	bool is_dir = code == CLI_DONE && pgmap_stat(put.client, dst, &st) == 0 && st.is_dir;
	if (code == CLI_DONE && cli->argc > 2 && !is_dir)
		code = cli_fail(cli, "%s: no directory of the pool, and several sources (make it with: pgmap mkdir)",
				dst);
	cli_catch_signals();
	progress_begin(&put.progress, quiet, progress_wanted(quiet) ? total_bytes(cli->argc - 1, cli->argv) : 0);
	for (int i = 0; i + 1 < cli->argc && code == CLI_DONE; i++)
		code = put_argument(&put, cli->argv[i], dst, is_dir);
	progress_end(&put.progress, code == CLI_DONE ? "put" : NULL, cli->option[PUT_VERBOSE]);
	pgmap_disconnect(put.client);
	return code;
}

static const struct cli_option put_options[] = {
	{'v', "verbose", NULL, "say bytes, seconds and GB/s also where stderr is no terminal"},
	{'q', "quiet", NULL, "show no progress"},
	{0, NULL, NULL, NULL},
};

const struct cli_command cmd_put = {
	.name = "put",
	.synopsis = "[-v] [-q] SRC... DST",
	.summary = "copy files, directories or standard input into the pool",
	.text = "SRC is a file, a directory (with all that is in it; links to files are followed, other links and "
		"special files "
		"left out) or - for standard input; DST a path in the pool. Sources go into DST when it is a "
		"directory.\n"
		"A file gets its name when it is whole: until then there is what was there before, and a put that is "
		"interrupted or "
		"does not fit leaves nothing behind. Only SIGKILL can leave a temporary file, named .put- and a "
		"number, in "
		"the directory.",
	.options = put_options,
	.args = CLI_ARGS_HERE_POOL,
	.min_args = 2,
	.max_args = -1,
	.run = run_put,
};
