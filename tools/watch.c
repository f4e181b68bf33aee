/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * watch.c - see watch.h. Between two rounds it waits with the signals let in by the same call that waits: one that comes
 * just before is not slept over.
 */
#include "watch.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* Lines of the terminal below the title; 0: it is none. */
static unsigned terminal_lines(void)
{
	struct winsize size = {0};
	if (!isatty(STDOUT_FILENO))
		return 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || size.ws_row < 8)
		return 6;
	return size.ws_row - 2u;
}

static void print_title(const struct watch *watch, bool terminal, uint64_t round)
{
	char now[CLI_TEXT_MAX];
	time_t seconds = (time_t)(cli_realtime_ns() / 1000000000);
	struct tm tm;
	if (terminal)
		fputs("\033[H\033[J", stdout);
	if (!watch->title)
		return;
	localtime_r(&seconds, &tm);
	strftime(now, sizeof(now), "%Y-%m-%d %H:%M:%S", &tm);
	printf("%s%s  %s\n", round && !terminal ? "\n" : "", now, watch->title);
}

/* False: it shall end, as it was interrupted, or as nobody reads any more. */
static bool wait_until(int64_t until_ns)
{
	sigset_t ours, before;
	struct pollfd out = {.fd = STDOUT_FILENO};
	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGHUP);
	sigprocmask(SIG_BLOCK, &ours, &before);
	bool reader = true;
	for (int64_t left; reader && !cli_stopped() && (left = until_ns - cli_now_ns()) > 0;) {
		struct timespec wait = {.tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000)};
		reader = ppoll(&out, 1, &wait, &before) <= 0; /* without events asked for: only its end is one */
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return reader && !cli_stopped();
}

int watch_run(const struct cli *cli, const struct watch *watch, watch_fn *fn, void *arg)
{
	cli_catch_signals();
	int64_t start = cli_now_ns();
	for (uint64_t round = 0;;) {
		unsigned lines = terminal_lines();
		print_title(watch, lines > 0, round++);
		int code = fn(arg, lines);
		if (code != CLI_DONE || fflush(stdout) || ferror(stdout))
			return code != CLI_DONE ? code : cli_flush(cli);
		if (round == watch->rounds)
			return CLI_DONE;
		/* A round that takes longer than the interval is followed by the next one that is due. */
		int64_t now = cli_now_ns(), due = start + ((now - start) / watch->interval_ns + 1) * watch->interval_ns;
		if (!wait_until(due))
			return CLI_DONE;
	}
}
