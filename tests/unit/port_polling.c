/* SPDX-License-Identifier: BSD-3-Clause */
/* port_polling.c - the window grows with answers that come soon, goes when they do not, and is bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "port/polling.h"

static void who_never_waited_sleeps_at_once(void **state)
{
	(void)state;
	struct polling polling = {0};
	polling_begin(&polling);
	assert_false(polling_goes_on(&polling));
}

static void soon_answers_open_the_window_up_to_its_bound(void **state)
{
	(void)state;
	struct polling polling = {0};
	polling_learn(&polling, 5000);
	assert_int_equal(polling.window_ns, POLLING_FIRST_NS);
	polling_learn(&polling, 5000); /* it was met: nothing to learn */
	assert_int_equal(polling.window_ns, POLLING_FIRST_NS);
	for (uint64_t window = POLLING_FIRST_NS; window < POLLING_LONGEST_NS; window *= 2) {
		assert_int_equal(polling.window_ns, window);
		polling_learn(&polling, polling.window_ns + 1);
	}
	assert_int_equal(polling.window_ns, POLLING_LONGEST_NS);
	polling_learn(&polling, POLLING_LONGEST_NS);
	assert_int_equal(polling.window_ns, POLLING_LONGEST_NS);
}

static void late_answers_close_it(void **state)
{
	(void)state;
	struct polling polling = {.window_ns = POLLING_LONGEST_NS};
	unsigned waits = 0;
	while (polling.window_ns) {
		polling_learn(&polling, 1000000000);
		waits++;
	}
	assert_int_equal(waits, 4); /* 64, 32, 16 and 8 us */
	polling_learn(&polling, 1000000000);
	assert_int_equal(polling.window_ns, 0);
}

static void the_window_is_as_long_as_it_says(void **state)
{
	(void)state;
	struct polling polling = {.window_ns = POLLING_FIRST_NS};
	polling_begin(&polling);
	while (polling_goes_on(&polling))
		;
	assert_true(polling_now_ns() - polling.since_ns >= POLLING_FIRST_NS);
	polling_end(&polling);
	assert_true(polling.window_ns == 0 || polling.window_ns == 2 * POLLING_FIRST_NS ||
		    polling.window_ns == POLLING_FIRST_NS);
}

/* Somebody else had the CPU: so for ever more waits, while that goes on; and fewer, when it pays again. */
static void a_yield_that_is_lost_ends_it_for_a_while(void **state)
{
	(void)state;
	struct polling polling = {0};
	unsigned slept = 0;
	for (unsigned lost = 1; lost <= 20; lost++) {
		polling.window_ns = POLLING_LONGEST_NS;
		assert_false(polling_lost(&polling, POLLING_LOST_NS - 1));
		assert_true(polling_lost(&polling, POLLING_LOST_NS));
		assert_int_equal(polling.skips, lost < 12 ? (1U << lost) - 1 : POLLING_MOST_SKIPS);
		for (slept = 0; polling.window_ns == 0; slept++)
			polling_learn(&polling, 5000); /* as soon as it came, it was not polled for */
		assert_int_equal(slept, polling.skips + 1);
	}
	for (unsigned met = 0; met < POLLING_MOST_SKIPS; met++)
		polling_learn(&polling, 1);
	assert_int_equal(polling.skips, 0);
	assert_true(polling.window_ns > 0);
}

static void who_lost_a_yield_goes_to_sleep(void **state)
{
	(void)state;
	struct polling polling = {.window_ns = UINT64_MAX};
	polling_begin(&polling);
	assert_true(polling_goes_on(&polling));
	assert_true(polling_lost(&polling, POLLING_LOST_NS));
	assert_false(polling_goes_on(&polling));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_never_waited_sleeps_at_once),
		cmocka_unit_test(soon_answers_open_the_window_up_to_its_bound),
		cmocka_unit_test(late_answers_close_it),
		cmocka_unit_test(the_window_is_as_long_as_it_says),
		cmocka_unit_test(a_yield_that_is_lost_ends_it_for_a_while),
		cmocka_unit_test(who_lost_a_yield_goes_to_sleep),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
