/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hold.c - see hold.h. The wait is one: whatever ends it is told to it, and what was called off is not begun anew. On a terminal
 * a thread says meanwhile, again and again, whom it is for; it has a connection of its own.
 */
#include "hold.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <pgmap/pgmap.h>
#include "text.h"
#include "who.h"

enum { AGAIN_MS = 500, SHOWN = 100 };

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

struct teller {
	const struct hold *hold;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond; /* ended */
	bool ended;
};

/* False: the wait has ended. Under the lock. */
static bool goes_on(struct teller *teller)
{
	uint64_t ns = pgmap_deadline_in(AGAIN_MS);
	const struct timespec until = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
	while (!teller->ended && pthread_cond_timedwait(&teller->cond, &teller->lock, &until) != ETIMEDOUT)
		;
	return !teller->ended;
}

static void *tell(void *arg)
{
	struct teller *teller = arg;
	char text[1024], shown[TEXT_SHOWN_MAX * sizeof(text)];
	pthread_mutex_lock(&teller->lock);
	while (goes_on(teller)) {
		pthread_mutex_unlock(&teller->lock);
		hold_whom(teller->hold, text, sizeof(text));
		pthread_mutex_lock(&teller->lock);
		if (!teller->ended) {
			fprintf(stderr, "\r\033[K%s: %.*s", teller->hold->doing, SHOWN,
				text_shown(shown, sizeof(shown), text));
			fflush(stderr);
		}
	}
	pthread_mutex_unlock(&teller->lock);
	return NULL;
}

/* False: no thread is to be had, and nothing is said. */
static bool begin(struct teller *teller, const struct hold *hold)
{
	pthread_condattr_t attr;
	sigset_t all, before;
	*teller = (struct teller){.hold = hold, .lock = PTHREAD_MUTEX_INITIALIZER};
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&teller->cond, &attr);
	pthread_condattr_destroy(&attr);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before); /* signals are for the thread that waits */
	int err = pthread_create(&teller->thread, NULL, tell, teller);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err == 0;
}

static void end(struct teller *teller)
{
	pthread_mutex_lock(&teller->lock);
	teller->ended = true;
	pthread_cond_signal(&teller->cond);
	pthread_mutex_unlock(&teller->lock);
	pthread_join(teller->thread, NULL);
	fputs("\r\033[K", stderr);
}

int hold_wait(const struct hold *hold, int64_t deadline_ns)
{
	struct teller teller;
	bool tells = isatty(STDERR_FILENO) && begin(&teller, hold);
	int err = hold->wait(hold->arg, deadline_ns < 0 ? -1 : deadline_ns / 1000000);
	if (tells)
		end(&teller);
	return err;
}
