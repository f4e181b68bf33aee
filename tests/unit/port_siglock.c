/* SPDX-License-Identifier: BSD-3-Clause */
/* A lock that a signal handler may take: it never finds its own thread holding it. */
#include "port/siglock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { ROUNDS = 200000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long guarded[2]; /* always equal, but for who holds the lock */
static volatile sig_atomic_t handled, torn;
static atomic_bool stop;

static void change(void)
{
	sigset_t saved;
	/* NOLINTBEGIN(bugprone-signal-handler): this is the lock that a handler may take */
	port_siglock(&lock, &saved);
	torn = torn || guarded[0] != guarded[1];
	guarded[0]++;
	guarded[1]++;
	port_sigunlock(&lock, &saved);
	/* NOLINTEND(bugprone-signal-handler) */
}

static void on_signal(int signal)
{
	(void)signal;
	handled++;
	change();
}

static void all_signals_wait_until_it_is_given_back(void **state)
{
	(void)state;
	sigset_t saved, now;
	sigset_t none;
	sigemptyset(&none);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &none, NULL), 0);
	(void)signal(SIGUSR1, on_signal);
	port_siglock(&lock, &saved);
	assert_int_equal(sigismember(&saved, SIGUSR1), 0);
	assert_int_equal(pthread_kill(pthread_self(), SIGUSR1), 0);
	assert_int_equal(handled, 0);
	port_sigunlock(&lock, &saved);
	assert_int_equal(handled, 1);
	sigset_t one;
	sigemptyset(&one);
	sigaddset(&one, SIGUSR2);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &one, NULL), 0);
	port_siglock(&lock, &saved);
	port_sigunlock(&lock, &saved);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &now), 0); /* as it was, and no more open than that */
	assert_int_equal(sigismember(&now, SIGUSR2), 1);
	assert_int_equal(sigismember(&now, SIGUSR1), 0);
}

static void *send_signals(void *arg)
{
	while (!atomic_load(&stop))
		(void)pthread_kill(*(pthread_t *)arg, SIGUSR1);
	return NULL;
}

static void a_handler_that_takes_it_neither_waits_for_ever_nor_meets_half_a_change(void **state)
{
	(void)state;
	pthread_t self = pthread_self(), sender;
	handled = 0;
	assert_int_equal(pthread_create(&sender, NULL, send_signals, &self), 0);
	for (unsigned i = 0; i < ROUNDS || handled == 0; i++)
		change();
	atomic_store(&stop, true);
	assert_int_equal(pthread_join(sender, NULL), 0);
	assert_true(handled > 0);
	assert_false(torn);
	assert_int_equal(guarded[0], guarded[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_signals_wait_until_it_is_given_back),
		cmocka_unit_test(a_handler_that_takes_it_neither_waits_for_ever_nor_meets_half_a_change),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
