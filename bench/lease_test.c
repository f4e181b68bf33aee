/* SPDX-License-Identifier: BSD-3-Clause */
/* lease_test.c - lease.h keeps what it promises: a comparison with something broken would show nothing. */
#include "lease.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>

enum { BLOCKS = 8, BYTES = 4096 };
/* Leases that do not end while a test runs, and such as have ended when they begin: no test waits. */
static const uint64_t LONG_NS = UINT64_C(3600) * 1000000000, NONE_NS = 0;

static struct lease_pool *make(uint64_t timeout_ns)
{
	struct lease_pool *pool = lease_pool_create(BLOCKS, BYTES, timeout_ns);
	assert_non_null(pool);
	return pool;
}

static struct lease take(struct lease_pool *pool)
{
	struct lease lease;
	assert_int_equal(lease_take(pool, &lease), 0);
	return lease;
}

static void no_block_has_two_owners(void **state)
{
	struct lease_pool *pool = make(LONG_NS);
	struct lease lease;
	unsigned seen = 0;
	(void)state;
	for (unsigned i = 0; i < BLOCKS; i++)
		seen |= 1U << take(pool).block;
	assert_int_equal(seen, (1U << BLOCKS) - 1);
	assert_int_equal(lease_take(pool, &lease), -ENOSPC);
}

static void blocks_do_not_overlap(void **state)
{
	struct lease_pool *pool = make(LONG_NS);
	struct lease a = take(pool), b = take(pool);
	(void)state;
	assert_int_equal((char *)lease_address(pool, b) - (char *)lease_address(pool, a), BYTES);
}

static void one_that_runs_is_its_holders(void **state)
{
	struct lease_pool *pool = make(LONG_NS);
	struct lease lease = take(pool);
	(void)state;
	assert_true(lease_valid(pool, lease));
	assert_true(lease_renew(pool, lease));
	assert_true(lease_left_ns(pool, lease) > LONG_NS / 2);
}

static void one_that_ended_is_given_to_another(void **state)
{
	struct lease_pool *pool = make(NONE_NS);
	struct lease old = take(pool), others[BLOCKS];
	(void)state;
	assert_false(lease_valid(pool, old));
	for (unsigned i = 0; i < BLOCKS; i++)
		others[i] = take(pool);
	assert_int_equal(others[BLOCKS - 1].block, old.block);
	assert_int_not_equal(others[BLOCKS - 1].generation, old.generation);
	assert_false(lease_renew(pool, old));
	assert_int_equal(lease_free(pool, old), -ESTALE);
	assert_int_equal(lease_left_ns(pool, old), 0);
	assert_int_equal(lease_free(pool, others[BLOCKS - 1]), 0);
}

static void a_late_renewal_is_in_time_when_nobody_came(void **state)
{
	struct lease_pool *pool = make(NONE_NS);
	(void)state;
	assert_true(lease_renew(pool, take(pool)));
}

static void what_was_freed_last_is_given_last(void **state)
{
	struct lease_pool *pool = make(LONG_NS);
	struct lease lease = take(pool);
	(void)state;
	assert_int_equal(lease_free(pool, lease), 0);
	assert_false(lease_valid(pool, lease));
	assert_false(lease_renew(pool, lease));
	for (unsigned i = 0; i + 1 < BLOCKS; i++)
		assert_int_not_equal(take(pool).block, lease.block);
	assert_int_equal(take(pool).block, lease.block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_block_has_two_owners),
		cmocka_unit_test(blocks_do_not_overlap),
		cmocka_unit_test(one_that_runs_is_its_holders),
		cmocka_unit_test(one_that_ended_is_given_to_another),
		cmocka_unit_test(a_late_renewal_is_in_time_when_nobody_came),
		cmocka_unit_test(what_was_freed_last_is_given_last),
	};
	return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
