/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * log.c - what a server that runs says, on stderr.
 *
 * A client can make it say things as often as it likes, and stderr may be a pipe that nobody reads, or a terminal that is
 * stopped: a write that waited would stop the pool for all. So it is asked first whether there is room. A pipe with room
 * takes a line at once, as a line is shorter than PIPE_BUF. stderr is not made non-blocking: others share it. A file's name is what its
 * maker likes: no character of it begins a line, or moves a terminal's cursor.
 */
#include "server/log.h"

#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024 };
_Static_assert(LINE_MAX_BYTES <= PIPE_BUF, "a line is written whole, or waits for room");

void log_line(const char *format, ...)
{
	char line[LINE_MAX_BYTES] = "pgmapd: ";
	size_t at = strlen(line);
	va_list args;
	struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
	if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT))
		return;
	va_start(args, format);
	(void)vsnprintf(line + at, sizeof(line) - 1 - at, format, args); /* 1: the newline */
	va_end(args);
	for (at = 0; line[at]; at++)
		if ((unsigned char)line[at] < ' ' || line[at] == 0x7f)
			line[at] = '?';
	line[at++] = '\n';
	(void)!write(STDERR_FILENO, line, at);
}

/* What stands between quotes. */
static void quoted(char *out, size_t out_bytes, const char *text)
{
	(void)snprintf(out, out_bytes, "%s", text);
	for (char *c = out; *c; c++)
		if (*c == '"' || *c == '\\')
			*c = '?';
}

void log_event(void *unused, enum service_event event, const struct service_whom *whom)
{
	static const char *const names[] = {
		[SERVICE_STILL_MAPPED] = "still-mapped",
		[SERVICE_ENDED] = "ended",
		[SERVICE_QUARANTINED] = "quarantined",
		[SERVICE_FENCED] = "fenced",
		[SERVICE_DRAIN] = "drain",
		[SERVICE_DRAIN_CANCELLED] = "drain-cancelled",
		[SERVICE_DEVICE_ADDED] = "device-added",
		[SERVICE_DEVICE_LEAVING] = "device-leaving",
		[SERVICE_DEVICE_LEFT] = "device-left",
		[SERVICE_DEVICE_STAYS] = "device-stays",
	};
	char command[64], device[DEV_SPEC_MAX], pages[32] = "";
	(void)unused;
	if (whom->device) {
		quoted(device, sizeof(device), whom->device);
		log_line("event=%s device=\"%s\"", names[event], device);
		return;
	}
	quoted(command, sizeof(command), whom->command);
	if (whom->pages > 0)
		(void)snprintf(pages, sizeof(pages), " pages=%lld", (long long)whom->pages);
	log_line("event=%s holder=%llu pid=%ld uid=%lu command=\"%s\"%s", names[event],
		 (unsigned long long)whom->holder, (long)whom->pid, (unsigned long)whom->uid, command, pages);
}
