/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cli.c - errors, sizes, times, JSON and interruption for the commands: see cli.h.
 */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

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

/* One line whatever the text holds: a name with a newline in it must not look like a second message; and what is wrong
 * with a name that fills pages stands behind it. */
static void error_line(const struct cli *cli, const char *tail, const char *format, va_list args)
{
	enum { LINE = 2000 };
	char shown[TEXT_SHOWN_MAX * LINE + 1], *text = NULL;
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	else
		text_elide(text, LINE);
	const char *name = cli->command ? cli->command->name : NULL;
	text_shown(shown, sizeof(shown), text ? text : format);
	/* A line begins with what it is about: also when that is an empty name. */
	fprintf(stderr, "pgmap%s%s: %s%s%s\n", name ? " " : "", name ? name : "", shown[0] == ':' ? "\"\"" : "", shown,
		tail);
	free(text);
}

int cli_fail(const struct cli *cli, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	error_line(cli, "", format, args);
	va_end(args);
	return CLI_FAILED;
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
	char tail[128];
	va_list args;
	const char *name = cli->command ? cli->command->name : NULL;
	snprintf(tail, sizeof(tail), " (see: pgmap %s%s--help)", name ? name : "", name ? " " : "");
	va_start(args, format);
	error_line(cli, tail, format, args);
	va_end(args);
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
	{-ENODEV, "the pool is draining (call it off with: pgmap stop --cancel), or its device is gone (pgmap info)"},
	{-ENXIO, "the pool's device is gone (look with: pgmap info; end it with: pgmap stop)"},
	{-EPIPE, "the server has gone (start one with: pgmap serve)"},
	{-ECONNRESET, "the server has gone (start one with: pgmap serve)"},
	{-EHWPOISON, "some of it has lost its data (see: pgmap lost; zeros in its place: pgmap repair)"},
	{-EPERM, "only the server's user and root may do that (ask who runs the server)"},
	{-EACCES, "this user may only read (ask who runs the server)"},
	{-EAGAIN, "somebody waits to take it away (try again; see who holds it: pgmap who)"},
	{-EBUSY, "in use (see by whom: pgmap who)"},
	{-E2BIG, "more pieces than this process may map (raise vm.max_map_count)"},
	{-EPROTO, "the server speaks another protocol version (use its own pgmap)"},
	{-EMFILE, "too many open files (raise it with: ulimit -n)"},
	{-ENOMEM, "out of memory (free some, or raise the limit)"},
	{-ERANGE, "that is beyond its end (look with: pgmap stat)"},
	{-EINVAL, "no valid name or value (a path has no \".\" or \"..\" in it)"},
};

const char *cli_why(int err)
{
	for (size_t i = 0; i < sizeof(whys) / sizeof(whys[0]); i++)
		if (whys[i].err == err)
			return whys[i].text;
	return strerror(-err);
}

int cli_fail_full(const struct cli *cli, struct pgmap_client *client, const char *what, uint64_t size_bytes, int err)
{
	char want[CLI_TEXT_MAX] = "the input", room[CLI_TEXT_MAX], pool[CLI_TEXT_MAX];
	struct pgmap_info info;
	if (pgmap_info(client, &info))
		return cli_fail(cli, "%s: %s", what, cli_why(err));
	if (size_bytes)
		cli_bytes(want, size_bytes);
	if (size_bytes && size_bytes <= info.free << 12)
		return cli_fail(
			cli,
			"%s: no memory, or no room on its disk, for %s, though the pool has %s free (free some for it)",
			what, want, cli_bytes(room, info.free << 12));
	return cli_fail(cli, "%s: the pool is full: %s does not fit into %s free of %s (make room with: pgmap rm)",
			what, want, cli_bytes(room, info.free << 12), cli_bytes(pool, info.pages << 12));
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

int cli_parse_seconds(const char *text, int64_t *ns)
{
	char *end;
	double value = strtod(text, &end);
	if (end == text || *end || !(value >= 0) || value > 1e9)
		return -EINVAL;
	*ns = (int64_t)(value * 1e9);
	return 0;
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

static void json_hex(struct json_object *object, const char *key, const char *value)
{
	char name[64];
	size_t len = strlen(value);
	char *hex = malloc(2 * len + 1);
	if (!hex)
		return;
	for (size_t i = 0; i < len; i++)
		snprintf(hex + 2 * i, 3, "%02x", (unsigned char)value[i]);
	snprintf(name, sizeof(name), "%s_hex", key);
	json_object_object_add(object, name, json_object_new_string(hex));
	free(hex);
}

void cli_json_text(struct json_object *object, const char *key, const char *value)
{
	bool whole = true;
	size_t at = 0;
	char *text = calloc(3, strlen(value) + 1);
	if (!text)
		return;
	for (const char *c = value; *c;) {
		size_t len = text_character(c);
		memcpy(text + at, len ? c : "\xef\xbf\xbd", len ? len : 3);
		at += len ? len : 3;
		c += len ? len : 1;
		whole = whole && len;
	}
	json_object_object_add(object, key, json_object_new_string_len(text, (int)at));
	free(text);
	if (!whole)
		json_hex(object, key, value);
}

int cli_print_json(struct json_object *json)
{
	puts(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(json);
	return CLI_DONE;
}

struct json_object *cli_stat_json(const char *path, const char *name, const struct pgmap_stat *st)
{
	struct json_object *object = json_object_new_object();
	if (path)
		cli_json_text(object, "path", path);
	else
		json_object_object_add(object, "path", NULL);
	cli_json_text(object, "name", name);
	cli_json_text(object, "type", st->is_dir ? "dir" : "file");
	cli_json_u64(object, "ino", st->ino);
	cli_json_u64(object, "size_bytes", st->size_bytes);
	cli_json_u64(object, "blocks", st->blocks);
	cli_json_u64(object, "extents", st->extents);
	cli_json_u64(object, "max_order", st->max_order);
	cli_json_u64(object, "order", st->order);
	cli_json_u64(object, "granule_order", st->granule_order);
	cli_json_u64(object, "mappings", st->mappings);
	cli_json_u64(object, "nlink", st->nlink);
	cli_json_i64(object, "mtime_ns", st->mtime_ns);
	return object;
}

/* What a write has failed with may be forgotten by now; a pipe whose reader has gone says so as long as it is there. */
static bool reader_has_gone(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
	return poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLHUP));
}

int cli_flush(const struct cli *cli)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return CLI_DONE;
	int err = errno;
	if (err == EPIPE || reader_has_gone())
		return CLI_DONE;
	return cli_fail(cli, "standard output: %s (look at where it goes)", strerror(err));
}
