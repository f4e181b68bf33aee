/* SPDX-License-Identifier: BSD-3-Clause */
/* The shared pin word: every pin and unpin under every reason, and no pin after a block. */
#include "core/pinword.h"

#include <pthread.h>
#include <stdbool.h>

#include "core_util.h"

enum { PINNERS = 2, ROUNDS = 3000 };

static void expect(const pinword_t *word, uint32_t local, uint32_t remote, enum pinword_reason reason)
{
	struct pinword_counts c = pinword_read(word);
	assert_int_equal(c.local, local);
	assert_int_equal(c.remote, remote);
	assert_int_equal(c.reason, reason);
}

static void pins_of_both_kinds_are_counted_apart(void **state)
{
	(void)state;
	pinword_t word;
	pinword_init(&word, PINWORD_OPEN);
	for (uint32_t i = 1; i <= 100; i++) {
		assert_int_equal(pinword_pin(&word, 0), 0);
		assert_int_equal(pinword_pin(&word, 1), 0);
		assert_int_equal(pinword_pin(&word, 1), 0);
		expect(&word, i, 2 * i, PINWORD_OPEN);
	}
	for (uint32_t i = 100; i-- > 0;) {
		assert_int_equal(pinword_unpin(&word, 1), 0);
		assert_int_equal(pinword_unpin(&word, 0), 0);
		expect(&word, i, 100 + i, PINWORD_OPEN);
	}
	assert_int_equal(pinword_unpin(&word, 0), -EINVAL);
	expect(&word, 0, 100, PINWORD_OPEN);
}

static void c7_9_a_blocked_word_refuses_pins_with_its_reason(void **state)
{
	(void)state;
	static const struct {
		enum pinword_reason reason;
		int error;
	} table[] = {{PINWORD_WAIT, -EAGAIN}, {PINWORD_GOING, -ENODEV}, {PINWORD_STALE, -ESTALE}};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		for (int remote = 0; remote < 2; remote++) {
			pinword_t word;
			pinword_init(&word, PINWORD_OPEN);
			assert_int_equal(pinword_pin(&word, remote), 0);
			struct pinword_counts found = pinword_block(&word, table[i].reason);
			assert_int_equal(found.local, !remote);
			assert_int_equal(found.remote, remote);
			assert_int_equal(found.reason, PINWORD_OPEN);
			assert_int_equal(pinword_pin(&word, 0), table[i].error);
			assert_int_equal(pinword_pin(&word, 1), table[i].error);
			expect(&word, !remote, (uint32_t)remote, table[i].reason);
			pinword_unblock(&word);
			assert_int_equal(pinword_pin(&word, remote), 0);
		}
}

static void neither_side_loses_its_reason_under_the_others(void **state)
{
	(void)state;
	pinword_t word;
	pinword_init(&word, PINWORD_OPEN);
	assert_int_equal(pinword_close(&word), 0);
	(void)pinword_block(&word, PINWORD_STALE);
	assert_int_equal(pinword_pin(&word, 0), -EINVAL);
	pinword_reopen(&word); /* the unmap is called off: the range has gone all the same */
	assert_int_equal(pinword_pin(&word, 0), -ESTALE);
	(void)pinword_block(&word, PINWORD_GOING);
	assert_int_equal(pinword_close(&word), 0);
	pinword_unblock(&word); /* the drain is cancelled while the client closes */
	assert_int_equal(pinword_pin(&word, 0), -EINVAL);
	pinword_reopen(&word);
	assert_int_equal(pinword_pin(&word, 0), 0);
	pinword_init(&word, PINWORD_UNUSED);
	(void)pinword_block(&word, PINWORD_GOING);
	pinword_unblock(&word);
	expect(&word, 0, 0, PINWORD_UNUSED);
}

static void a_block_replaces_an_earlier_reason_and_tells_it(void **state)
{
	(void)state;
	pinword_t word;
	pinword_init(&word, PINWORD_WAIT);
	assert_int_equal(pinword_block(&word, PINWORD_GOING).reason, PINWORD_WAIT);
	expect(&word, 0, 0, PINWORD_GOING);
}

static void the_last_unpin_under_a_reason_says_so_once(void **state)
{
	(void)state;
	pinword_t word;
	pinword_init(&word, PINWORD_OPEN);
	assert_int_equal(pinword_pin(&word, 0), 0);
	assert_int_equal(pinword_pin(&word, 0), 0);
	assert_int_equal(pinword_pin(&word, 1), 0);
	(void)pinword_block(&word, PINWORD_WAIT);
	assert_int_equal(pinword_unpin(&word, 0), 0);
	assert_int_equal(pinword_unpin(&word, 0), 0);
	assert_int_equal(pinword_unpin(&word, 1), PINWORD_DRAINED);
	assert_int_equal(pinword_unpin(&word, 1), -EINVAL);
	pinword_unblock(&word);
	assert_int_equal(pinword_pin(&word, 1), 0);
	assert_int_equal(pinword_unpin(&word, 1), 0);
}

static void a_count_ends_at_the_maximum_and_not_in_its_neighbour(void **state)
{
	(void)state;
	pinword_t word = PINWORD_MAX - 1;
	assert_int_equal(pinword_pin(&word, 0), 0);
	assert_int_equal(pinword_pin(&word, 0), -EUSERS);
	expect(&word, PINWORD_MAX, 0, PINWORD_OPEN);
	assert_int_equal(pinword_pin(&word, 1), 0);
	word = PINWORD_MAX << PINWORD_COUNT_BITS;
	assert_int_equal(pinword_pin(&word, 1), -EUSERS);
	assert_int_equal(pinword_pin(&word, 0), 0);
	expect(&word, 1, PINWORD_MAX, PINWORD_OPEN);
	assert_true(PINWORD_MAX >= (1u << 20) - 1);
}

static void c7_6_whatever_a_client_writes_is_clamped_by_its_fields(void **state)
{
	(void)state;
	pinword_t word = UINT64_MAX;
	struct pinword_counts c = pinword_read(&word);
	assert_int_equal(c.local, PINWORD_COUNT_MASK);
	assert_int_equal(c.remote, PINWORD_COUNT_MASK);
	assert_int_equal(c.reason, 15);
	c = pinword_block(&word, PINWORD_GOING);
	assert_int_equal(c.local, PINWORD_COUNT_MASK);
	assert_int_equal(pinword_pin(&word, 0), -EINVAL);
	word = (uint64_t)9 << PINWORD_REASON; /* a reason that there is not */
	assert_int_equal(pinword_pin(&word, 0), -EINVAL);
}

static void a_word_is_closed_only_without_pins(void **state)
{
	(void)state;
	pinword_t word;
	pinword_init(&word, PINWORD_OPEN);
	for (int remote = 0; remote < 2; remote++) {
		assert_int_equal(pinword_pin(&word, remote), 0);
		assert_int_equal(pinword_close(&word), -EBUSY);
		expect(&word, !remote, (uint32_t)remote, PINWORD_OPEN);
		assert_int_equal(pinword_unpin(&word, remote), 0);
	}
	assert_int_equal(pinword_close(&word), 0);
	expect(&word, 0, 0, PINWORD_CLOSING);
	assert_int_equal(pinword_pin(&word, 0), -EINVAL);
	pinword_init(&word, PINWORD_WAIT);
	assert_int_equal(pinword_close(&word), 0);
	expect(&word, 0, 0, PINWORD_CLOSING | PINWORD_WAIT);
}

static pinword_t shared;
static pthread_barrier_t gate;
static _Atomic bool blocked;
static _Atomic unsigned drained, late;

static void *pin_until_blocked(void *arg)
{
	int remote = (int)(intptr_t)arg;
	for (unsigned round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&gate);
		for (;;) {
			bool was_blocked = atomic_load(&blocked);
			if (pinword_pin(&shared, remote) != 0)
				break;
			if (was_blocked)
				atomic_fetch_add(&late, 1);
			if (pinword_unpin(&shared, remote) == PINWORD_DRAINED)
				atomic_fetch_add(&drained, 1);
		}
		pthread_barrier_wait(&gate);
	}
	return NULL;
}

/* What a block found is what is drained afterwards: exactly one unpin says so if there were pins, none if not. */
static void c7_9_no_pin_succeeds_after_a_block_and_one_unpin_is_the_last(void **state)
{
	(void)state;
	pthread_t threads[PINNERS];
	unsigned wrong = 0;
	assert_int_equal(pthread_barrier_init(&gate, NULL, PINNERS + 1), 0);
	for (intptr_t i = 0; i < PINNERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, pin_until_blocked, (void *)i), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		pinword_init(&shared, PINWORD_OPEN);
		atomic_store(&drained, 0);
		atomic_store(&blocked, false);
		pthread_barrier_wait(&gate);
		for (volatile unsigned wait = 0; wait < round % 500; wait++)
			;
		struct pinword_counts found = pinword_block(&shared, PINWORD_WAIT);
		atomic_store(&blocked, true);
		pthread_barrier_wait(&gate);
		struct pinword_counts after = pinword_read(&shared);
		wrong += atomic_load(&drained) != (found.local + found.remote ? 1 : 0);
		wrong += after.local + after.remote != 0 || after.reason != PINWORD_WAIT;
	}
	for (unsigned i = 0; i < PINNERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	pthread_barrier_destroy(&gate);
	assert_int_equal(wrong, 0);
	assert_int_equal(atomic_load(&late), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pins_of_both_kinds_are_counted_apart),
		cmocka_unit_test(c7_9_a_blocked_word_refuses_pins_with_its_reason),
		cmocka_unit_test(a_block_replaces_an_earlier_reason_and_tells_it),
		cmocka_unit_test(the_last_unpin_under_a_reason_says_so_once),
		cmocka_unit_test(a_count_ends_at_the_maximum_and_not_in_its_neighbour),
		cmocka_unit_test(neither_side_loses_its_reason_under_the_others),
		cmocka_unit_test(c7_6_whatever_a_client_writes_is_clamped_by_its_fields),
		cmocka_unit_test(a_word_is_closed_only_without_pins),
		cmocka_unit_test(c7_9_no_pin_succeeds_after_a_block_and_one_unpin_is_the_last),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
