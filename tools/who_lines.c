/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * who_lines.c - see who_lines.h. Columns are put together by hand: printf() takes longer for a line than the server takes to
 * find it. A line has room for the longest one before it is begun.
 */
#include "who_lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"
#include "who.h"

enum { COLUMNS_MAX = 512, LINE_MAX_BYTES = COLUMNS_MAX + TEXT_SHOWN_MAX * sizeof(((struct pgmap_who *)0)->path) };

static int make_room(struct who_lines *lines)
{
	if (lines->room - lines->len >= LINE_MAX_BYTES)
		return 0;
	size_t room = lines->room ? 2 * lines->room : (size_t)16 * LINE_MAX_BYTES;
	char *text = realloc(lines->text, room);
	if (!text)
		return -ENOMEM;
	lines->text = text;
	lines->room = room;
	return 0;
}

static void put(struct who_lines *lines, const char *text, size_t len)
{
	memcpy(lines->text + lines->len, text, len);
	lines->len += len;
}

static void put_blanks(struct who_lines *lines, size_t n)
{
	memset(lines->text + lines->len, ' ', n);
	lines->len += n;
}

static void put_right(struct who_lines *lines, size_t width, const char *text)
{
	size_t len = strlen(text);
	put_blanks(lines, len < width ? width - len : 0);
	put(lines, text, len);
	put_blanks(lines, 1);
}

/* Cut at most bytes of it. */
static void put_left(struct who_lines *lines, size_t width, size_t most, const char *text)
{
	size_t len = strnlen(text, most);
	put(lines, text, len);
	put_blanks(lines, (len < width ? width - len : 0) + 1);
}

static void put_number(struct who_lines *lines, size_t width, uint64_t value)
{
	char digits[CLI_TEXT_MAX], *at = digits + sizeof(digits) - 1;
	*at = '\0';
	do
		*--at = (char)('0' + value % 10);
	while (value /= 10);
	put_right(lines, width, at);
}

static void put_bytes(struct who_lines *lines, struct who_memo *memo, uint64_t value)
{
	if (!memo->set || memo->value != value)
		cli_bytes(memo->shown, value);
	memo->set = true;
	memo->value = value;
	put_right(lines, 9, memo->shown);
}

/* Ages are shown in tenths of a second, or less exactly. */
static void put_age(struct who_lines *lines, int64_t ns)
{
	struct who_memo *memo = &lines->since;
	uint64_t tenths = ns > 0 ? ((uint64_t)ns + 50000000) / 100000000 : 0;
	if (!memo->set || memo->value != tenths)
		cli_duration(memo->shown, (int64_t)tenths * 100000000);
	memo->set = true;
	memo->value = tenths;
	put_blanks(lines, 1);
	put_right(lines, 8, memo->shown);
}

int who_lines_begin(struct who_lines *lines)
{
	*lines = (struct who_lines){.now_ns = cli_realtime_ns()};
	int err = make_room(lines);
	if (err == 0)
		lines->len = (size_t)snprintf(
			lines->text, lines->room, "%6s %7s %-15s %-11s %9s %9s %6s %6s  %8s  %s\n", "HOLDER", "PID",
			"COMMAND", "STATE", "OFFSET", "LENGTH", "PINS", "REMOTE", "SINCE", "PATH");
	return err;
}

int who_lines_add(struct who_lines *lines, const struct pgmap_who *row)
{
	char shown[TEXT_SHOWN_MAX * sizeof(row->path) + 1];
	int err = make_room(lines);
	if (err)
		return err;
	put_number(lines, 6, row->holder_id);
	if (row->pid > 0)
		put_number(lines, 7, (uint64_t)row->pid);
	else
		put_right(lines, 7, "-");
	put_left(lines, 15, 15, text_shown(shown, sizeof(shown), row->command));
	/* The long form of this state does not fit a column; the JSON has it. */
	put_left(lines, 11, 64, row->state == PGMAP_WHO_MAPPING ? "mapping" : who_state(row->state));
	put_bytes(lines, &lines->offset, row->offset_bytes);
	put_bytes(lines, &lines->length, row->len_bytes);
	put_number(lines, 6, row->pins_local);
	put_number(lines, 6, row->pins_remote);
	put_age(lines, lines->now_ns - row->since_ns);
	put_blanks(lines, 1);
	text_shown(shown, sizeof(shown), row->path);
	put(lines, shown, strlen(shown));
	put(lines, "\n", 1);
	lines->n++;
	return 0;
}

void who_lines_free(struct who_lines *lines)
{
	free(lines->text);
	*lines = (struct who_lines){0};
}
