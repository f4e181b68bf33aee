/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hold.c - see hold.h. On a terminal the wait is cut into pieces, to say in between whom it is for. Not a clock's decision: each
 * piece ends at once when the wait does.
 */
#include "hold.h"

#include <errno.h>
#include <unistd.h>

#include "text.h"
#include "who.h"

enum { PIECE_MS = 500, SHOWN = 100 };

void hold_whom(const struct hold *hold, char *buf, size_t buf_bytes)
{
	struct who_list list = {0};
	struct pgmap_client *client = NULL;
	snprintf(buf, buf_bytes, "the holders cannot be asked for");
	if (pgmap_connect(hold->cli->socket, &client) == 0) {
		int err = hold->device < 0 ? who_read(client, NULL, &list)
					   : who_read_device(client, (uint32_t)hold->device, &list);
		if (err == 0)
			who_summary(&list, buf, buf_bytes);
		who_free(&list);
		pgmap_disconnect(client);
	}
}

static int64_t min_ms(int64_t a, int64_t b)
{
	return a >= 0 && a < b ? a : b;
}

int hold_wait(const struct hold *hold, int64_t deadline_ns)
{
	char text[1024], shown[TEXT_SHOWN_MAX * sizeof(text)];
	int64_t start = cli_now_ns(), deadline_ms = deadline_ns < 0 ? -1 : deadline_ns / 1000000;
	if (!isatty(STDERR_FILENO))
		return hold->wait(hold->arg, deadline_ms);
	for (;;) {
		int64_t left = deadline_ms < 0 ? -1 : deadline_ms - (cli_now_ns() - start) / 1000000;
		int64_t piece = left < 0 && deadline_ms >= 0 ? 0 : min_ms(left, PIECE_MS);
		int err = hold->wait(hold->arg, piece);
		if (err != -ETIMEDOUT || (deadline_ms >= 0 && left <= piece)) {
			fputs("\r\033[K", stderr);
			return err;
		}
		hold_whom(hold, text, sizeof(text));
		fprintf(stderr, "\r\033[K%s: %.*s", hold->doing, SHOWN, text_shown(shown, sizeof(shown), text));
		fflush(stderr);
	}
}
