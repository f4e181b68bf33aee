/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * progress.c - see progress.h. Ten times a second is as often as an eye follows; work that ends before that shows nothing.
 */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

enum { DRAW_NS = 100000000, BAR = 24 };

bool progress_wanted(bool quiet)
{
	return !quiet && isatty(STDERR_FILENO);
}

void progress_begin(struct progress *p, bool quiet, uint64_t total_bytes)
{
	*p = (struct progress){.shown = progress_wanted(quiet), .start_ns = cli_now_ns(), .total_bytes = total_bytes};
	p->drawn_ns = p->start_ns;
}

const char *progress_line(const struct progress *p, int64_t now_ns, char buf[PROGRESS_LINE_MAX])
{
	char done[CLI_TEXT_MAX], total[CLI_TEXT_MAX], left[CLI_TEXT_MAX], bar[BAR + 1];
	double seconds = (double)(now_ns - p->start_ns) / 1e9;
	double rate = seconds > 0 ? (double)p->done_bytes / seconds : 0;
	cli_bytes(done, p->done_bytes);
	if (!p->total_bytes) {
		snprintf(buf, PROGRESS_LINE_MAX, "%s  %.2f GB/s", done, rate / 1e9);
		return buf;
	}
	/* A file that grew while it was read has more than its total. */
	uint64_t within = p->done_bytes < p->total_bytes ? p->done_bytes : p->total_bytes;
	double part = (double)within / (double)p->total_bytes;
	memset(bar, '.', BAR);
	memset(bar, '#', (size_t)(part * BAR));
	bar[BAR] = '\0';
	double left_s = rate > 0 ? (double)(p->total_bytes - within) / rate : 0;
	cli_duration(left, (int64_t)((left_s < 1e9 ? left_s : 1e9) * 1e9));
	snprintf(buf, PROGRESS_LINE_MAX, "[%s] %3.0f %%  %s of %s  %.2f GB/s  %s left", bar, 100 * part, done,
		 cli_bytes(total, p->total_bytes), rate / 1e9, rate > 0 ? left : "?");
	return buf;
}

void progress_add(struct progress *p, uint64_t bytes)
{
	char line[PROGRESS_LINE_MAX];
	p->done_bytes += bytes;
	if (!p->shown)
		return;
	int64_t now = cli_now_ns();
	if (now - p->drawn_ns < DRAW_NS)
		return;
	p->drawn_ns = now;
	fprintf(stderr, "\r\033[K%s", progress_line(p, now, line));
	fflush(stderr);
}

void progress_end(struct progress *p, const char *what, bool report)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	if ((!report && !p->shown) || !what)
		return;
	double seconds = (double)(cli_now_ns() - p->start_ns) / 1e9;
	fprintf(stderr, "%s %" PRIu64 " bytes in %.3f s, %.2f GB/s\n", what, p->done_bytes, seconds,
		seconds > 0 ? (double)p->done_bytes / 1e9 / seconds : 0);
}
