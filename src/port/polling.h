/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * polling.h - how long to look again and again before going to sleep, when an answer may come sooner than a wake-up takes.
 *
 * A process that sleeps on one CPU and is woken from another costs tens of microseconds; a message that is polled for
 * costs a few. So a wait begins with a window of polling, which is learned: it grows while waits end a little after it,
 * and goes when they end far from it. An idle process therefore polls for one window after its last message, then for half
 * of that, and soon not at all; the bound on what it wastes is the longest window per wait. The rule is that of the
 * kernel's halt polling (KVM's halt_poll_ns: grow, shrink), for messages instead of interrupts.
 *
 * Whoever polls yields its CPU each time: the other end may need it. Where a third one takes it that has much to do, as the
 * other end does under a flood of others' requests, a yield comes back after milliseconds, where a sleeper would have been
 * woken as soon as there was something for it. So a yield that was lost ends the polling for a number of waits, which doubles
 * with each that is lost, and falls with each wait that the polling has met.
 *
 * Thread safety: none; one struct per waiting thread.
 */
#ifndef PGMAP_PORT_POLLING_H
#define PGMAP_PORT_POLLING_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum { POLLING_FIRST_NS = 8000, POLLING_LONGEST_NS = 64000, POLLING_LOST_NS = 500000, POLLING_MOST_SKIPS = 4095 };

struct polling {
	uint64_t window_ns;   /* 0: sleep at once */
	uint64_t since_ns;    /* when this wait began */
	unsigned skips, skip; /* waits that sleep at once after a lost yield; those of them that are left */
};

static inline uint64_t polling_now_ns(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline void polling_begin(struct polling *polling)
{
	polling->since_ns = polling_now_ns();
}

/* The yield before this took so long. */
static inline bool polling_lost(struct polling *polling, uint64_t yielded_ns)
{
	if (yielded_ns < POLLING_LOST_NS)
		return false;
	polling->window_ns = 0;
	polling->skips = 2 * polling->skips + 1 < POLLING_MOST_SKIPS ? 2 * polling->skips + 1 : POLLING_MOST_SKIPS;
	polling->skip = polling->skips;
	return true;
}

/* Whoever else wants this CPU may have it: the other end, before all. */
static inline void polling_yield(struct polling *polling)
{
	if (polling->skip)
		return;
	uint64_t before_ns = polling_now_ns();
	(void)sched_yield();
	(void)polling_lost(polling, polling_now_ns() - before_ns);
}

/* Whether to look once more before going to sleep. */
static inline bool polling_goes_on(const struct polling *polling)
{
	return polling->window_ns && polling_now_ns() - polling->since_ns < polling->window_ns;
}

/* What was waited for has come, after this time. */
static inline void polling_learn(struct polling *polling, uint64_t waited_ns)
{
	if (polling->skip) {
		polling->skip--;
		return;
	}
	if (waited_ns <= polling->window_ns) {
		polling->skips -= polling->skips > 0;
		return;
	}
	if (waited_ns > POLLING_LONGEST_NS)
		polling->window_ns = polling->window_ns > POLLING_FIRST_NS ? polling->window_ns / 2 : 0;
	else if (polling->window_ns == 0)
		polling->window_ns = POLLING_FIRST_NS;
	else
		polling->window_ns =
			2 * polling->window_ns < POLLING_LONGEST_NS ? 2 * polling->window_ns : POLLING_LONGEST_NS;
}

static inline void polling_end(struct polling *polling)
{
	polling_learn(polling, polling_now_ns() - polling->since_ns);
}

#endif
