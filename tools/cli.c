/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cli.c - errors, sizes, times, progress, JSON and interruption for the commands: see cli.h.
 */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

static void on_signal(int signal)
{
	(void)signal;
	stopped = 1;
}

void cli_catch_signals(void)
{
	/* No SA_RESTART: a read that waits for its input must come back. */
	struct sigaction action = {.sa_handler = on_signal};
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

bool cli_stopped(void)
{
	return stopped != 0;
}

/* One line whatever the text holds: a name with a newline in it must not look like a second message. */
static void error_line(const char *command, const char *text, const char *tail)
{
	char line[2048];
	if (command)
		snprintf(line, sizeof(line), "pgmap %s: %s%s", command, text, tail);
	else
		snprintf(line, sizeof(line), "pgmap: %s%s", text, tail);
	fprintf(stderr, "%s\n", cli_printable(line));
}

int cli_fail(const struct cli *cli, const char *format, ...)
{
	char text[1600];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	error_line(cli->command ? cli->command->name : NULL, text, "");
	return CLI_FAILED;
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
	char text[1600], tail[128];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	const char *name = cli->command ? cli->command->name : NULL;
	snprintf(tail, sizeof(tail), " (see: pgmap %s%s--help)", name ? name : "", name ? " " : "");
	error_line(name, text, tail);
	return CLI_USAGE;
}

struct why {
	int err;
	const char *text;
};

static const struct why whys[] = {
	{-ENOENT, "no such file or directory in the pool (look with: pgmap ls)"},
	{-EEXIST, "already there (remove it first: pgmap rm)"},
	{-EISDIR, "is a directory (name a file, or use -r where there is one)"},
	{-ENOTDIR, "a part of the path is no directory (look with: pgmap ls)"},
	{-ENOTEMPTY, "the directory is not empty (remove it with: pgmap rm -r)"},
	{-ENAMETOOLONG, "the name is too long (255 bytes a component, 1023 a path)"},
	{-ENOSPC, "the pool is full (make room with: pgmap rm; look with: pgmap info)"},
	{-EFBIG, "larger than the whole pool (look with: pgmap info)"},
	{-ENODEV, "the pool is draining (call it off with: pgmap stop --cancel)"},
	{-EPIPE, "the server has gone (start one with: pgmap serve)"},
	{-ECONNRESET, "the server has gone (start one with: pgmap serve)"},
	{-EBUSY, "in use (see by whom: pgmap who)"},
	{-E2BIG, "more pieces than this process may map (raise vm.max_map_count)"},
	{-EPROTO, "the server speaks another protocol version (use its own pgmap)"},
	{-EMFILE, "too many open files (raise it with: ulimit -n)"},
	{-ENOMEM, "out of memory (free some, or raise the limit)"},
	{-EINVAL, "no valid name or value (a path has no \".\" or \"..\" in it)"},
};

const char *cli_why(int err)
{
	for (size_t i = 0; i < sizeof(whys) / sizeof(whys[0]); i++)
		if (whys[i].err == err)
			return whys[i].text;
	return strerror(-err);
}

static const char *connect_why(int err)
{
	switch (err) {
	case -ENOENT:
	case -ECONNREFUSED:
		return "no pool server answers there (start one with: pgmap serve)";
	case -EACCES:
		return "permission denied (ask who runs the server)";
	case -EINVAL:
		return "no valid socket path or device spec (see: pgmap serve --help)";
	default:
		return cli_why(err);
	}
}

struct pgmap_client *cli_connect(struct cli *cli)
{
	struct pgmap_client *client = NULL;
	int err = pgmap_connect(cli->socket, &client);
	if (err == 0)
		return client;
	const char *env = getenv("PGMAP_SOCKET");
	cli_fail(cli, "%s: %s", cli->socket ? cli->socket : env && *env ? env : "default socket", connect_why(err));
	return NULL;
}

const char *cli_bytes(char buf[CLI_TEXT_MAX], uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	if (bytes < 1024) {
		snprintf(buf, CLI_TEXT_MAX, "%" PRIu64 " B", bytes);
		return buf;
	}
	double value = (double)bytes / 1024;
	unsigned unit = 0;
	while (value >= 1023.95 && units[unit + 1]) {
		value /= 1024;
		unit++;
	}
	bool whole = fabs(value - nearbyint(value)) < 0.0005;
	snprintf(buf, CLI_TEXT_MAX, "%.*f %ciB", whole ? 0 : 1, value, units[unit]);
	return buf;
}

const char *cli_duration(char buf[CLI_TEXT_MAX], int64_t ns)
{
	double s = (double)(ns < 0 ? 0 : ns) / 1e9;
	if (s < 100)
		snprintf(buf, CLI_TEXT_MAX, "%.1f s", s);
	else if (s < 6000)
		snprintf(buf, CLI_TEXT_MAX, "%.0f min", s / 60);
	else if (s < 48 * 3600)
		snprintf(buf, CLI_TEXT_MAX, "%.0f h", s / 3600);
	else
		snprintf(buf, CLI_TEXT_MAX, "%.0f d", s / 86400);
	return buf;
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t cli_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int64_t cli_realtime_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

const char *cli_printable(char *text)
{
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	return text;
}

int cli_parse_seconds(const char *text, int64_t *ns)
{
	char *end;
	double value = strtod(text, &end);
	if (end == text || *end || !(value >= 0) || value > 1e9)
		return -EINVAL;
	*ns = (int64_t)(value * 1e9);
	return 0;
}

void cli_progress_begin(struct cli_progress *p, uint64_t total_bytes)
{
	*p = (struct cli_progress){
		.shown = isatty(STDERR_FILENO), .start_ns = cli_now_ns(), .total_bytes = total_bytes};
	p->drawn_ns = p->start_ns;
}

static void progress_draw(const struct cli_progress *p, int64_t now)
{
	char done[CLI_TEXT_MAX], total[CLI_TEXT_MAX];
	double seconds = (double)(now - p->start_ns) / 1e9;
	double rate = seconds > 0 ? (double)p->done_bytes / 1e9 / seconds : 0;
	cli_bytes(done, p->done_bytes);
	if (p->total_bytes)
		fprintf(stderr, "\r\033[K%s of %s  %3.0f %%  %.2f GB/s", done, cli_bytes(total, p->total_bytes),
			100 * (double)p->done_bytes / (double)p->total_bytes, rate);
	else
		fprintf(stderr, "\r\033[K%s  %.2f GB/s", done, rate);
	fflush(stderr);
}

void cli_progress_add(struct cli_progress *p, uint64_t bytes)
{
	p->done_bytes += bytes;
	if (!p->shown)
		return;
	int64_t now = cli_now_ns();
	if (now - p->drawn_ns < 100000000)
		return;
	p->drawn_ns = now;
	progress_draw(p, now);
}

void cli_progress_end(struct cli_progress *p, const char *what, bool report)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	if (!report && !p->shown)
		return;
	if (what == NULL)
		return;
	double seconds = (double)(cli_now_ns() - p->start_ns) / 1e9;
	fprintf(stderr, "%s %" PRIu64 " bytes in %.3f s, %.2f GB/s\n", what, p->done_bytes, seconds,
		seconds > 0 ? (double)p->done_bytes / 1e9 / seconds : 0);
}

int cli_join(char buf[CLI_PATH_MAX], const char *dir, const char *name)
{
	size_t len = strlen(dir);
	const char *slash = len && dir[len - 1] != '/' ? "/" : "";
	int n = snprintf(buf, CLI_PATH_MAX, "%s%s%s", dir, slash, name);
	return n < 0 || n >= CLI_PATH_MAX ? -ENAMETOOLONG : 0;
}

const char *cli_basename(const char *path)
{
	const char *end = path + strlen(path);
	while (end > path && end[-1] == '/')
		end--;
	if (end == path) /* the root has no name */
		return path + strlen(path);
	while (end > path && end[-1] != '/')
		end--;
	return end;
}

void *cli_grow(void *array, size_t n, size_t *room, size_t element_bytes)
{
	if (n < *room)
		return array;
	size_t bytes, more = *room ? 2 * *room : 16;
	void *longer = __builtin_mul_overflow(more, element_bytes, &bytes) ? NULL : realloc(array, bytes);
	if (longer)
		*room = more;
	return longer;
}

void cli_json_u64(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

void cli_json_i64(struct json_object *object, const char *key, int64_t value)
{
	json_object_object_add(object, key, json_object_new_int64(value));
}

void cli_json_text(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

int cli_print_json(struct json_object *json)
{
	puts(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(json);
	return CLI_DONE;
}

struct json_object *cli_stat_json(const char *path, const struct pgmap_stat *st)
{
	struct json_object *object = json_object_new_object();
	cli_json_text(object, "path", path);
	cli_json_text(object, "name", cli_basename(path));
	cli_json_text(object, "type", st->is_dir ? "dir" : "file");
	cli_json_u64(object, "ino", st->ino);
	cli_json_u64(object, "size_bytes", st->size_bytes);
	cli_json_u64(object, "blocks", st->blocks);
	cli_json_u64(object, "extents", st->extents);
	cli_json_u64(object, "max_order", st->max_order);
	cli_json_u64(object, "mappings", st->mappings);
	cli_json_u64(object, "nlink", st->nlink);
	cli_json_i64(object, "mtime_ns", st->mtime_ns);
	return object;
}

int cli_flush(const struct cli *cli)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return CLI_DONE;
	if (errno == EPIPE)
		return CLI_DONE;
	return cli_fail(cli, "standard output: %s (look at where it goes)", strerror(errno));
}
