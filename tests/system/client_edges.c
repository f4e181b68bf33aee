/* SPDX-License-Identifier: BSD-3-Clause */
/* client_edges.c - every length, offset, order, flag, way and time at its bounds, through the public calls, on the target that
 * $SUITE_TARGET names. What is refused has changed nothing, and the accounts add up after each call (edges.h). */
#include "edges.h"

static const uint64_t numbers[] = {
	0,
	1,
	PAGE - 1,
	PAGE,
	PAGE + 1,
	2 * PAGE,
	3 * PAGE,
	3 * PAGE + 4,
	3 * PAGE + 5,
	3 * PAGE + 6,
	4 * PAGE,
	4 * PAGE + 1,
	2 * MIB - PAGE,
	2 * MIB - 1,
	2 * MIB,
	2 * MIB + 1,
	POOL_BYTES - PAGE,
	POOL_BYTES - 1,
	POOL_BYTES,
	POOL_BYTES + 1,
	POOL_BYTES + PAGE,
	INT32_MAX,
	UINT64_C(1) << 31,
	UINT32_MAX,
	UINT64_C(1) << 32,
	UINT64_C(1) << 44,
	UINT64_C(1) << 47,
	(UINT64_C(1) << 52) - PAGE,
	UINT64_C(1) << 52,
	INT64_MAX - PAGE + 1,
	INT64_MAX,
	UINT64_C(1) << 63,
	UINT64_MAX - PAGE + 1,
	UINT64_MAX,
};

static uint64_t pages_of(uint64_t bytes)
{
	return bytes / PAGE + (bytes % PAGE != 0);
}

static void a_file_has_every_size_up_to_the_pools_and_no_other(void **state)
{
	(void)state;
	struct pgmap_file *file = file_of("/f", 0);
	struct pgmap_mapping *mapping;
	struct pgmap_stat st;
	uint64_t size = 0;
	for (int mode = PGMAP_DEFER; mode <= PGMAP_FAIL; mode++) {
		for (unsigned i = 0; i < COUNT(numbers); i++) {
			int err = mode == PGMAP_DEFER ? pgmap_truncate(file, numbers[i])
						      : pgmap_truncate_how(file, numbers[i], mode, -1);
			size = err ? size : numbers[i];
			assert_int_equal(err, numbers[i] <= POOL_BYTES ? 0 : -EFBIG);
			assert_int_equal(pgmap_fstat(file, &st), 0);
			assert_int_equal(st.size_bytes, size);
			assert_int_equal(st.blocks, pages_of(size));
			accounts();
		}
	}
	assert_int_equal(pgmap_truncate(file, 0), 0);
	for (unsigned i = 0; i < COUNT(numbers); i++) {
		int err = pgmap_open_map(client, "/new", PGMAP_O_CREATE, numbers[i], RW, &mapping);
		assert_int_equal(err, numbers[i] == 0 ? -ERANGE : numbers[i] > POOL_BYTES ? -EFBIG : 0);
		accounts();
		assert_int_equal(sys_info(client).used, err ? 0 : pages_of(numbers[i]));
		if (!err)
			assert_int_equal(pgmap_unmap(mapping) | pgmap_unlink(client, "/new"), 0);
	}
	/* One page too many is no room, not too big. */
	assert_int_equal(pgmap_truncate(file, PAGE), 0);
	assert_int_equal(pgmap_open_map(client, "/new", PGMAP_O_CREATE, POOL_BYTES, RW, &mapping), -ENOSPC);
	assert_int_equal(accounts().names, 1);
	assert_int_equal(pgmap_close(file) | pgmap_unlink(client, "/f"), 0);
}

enum { RANGE_BYTES = 3 * PAGE + 5 };

/* Of a file of RANGE_BYTES. */
static int map_answer(uint64_t offset, uint64_t len)
{
	if (offset < RANGE_BYTES && len <= RANGE_BYTES - offset)
		return offset % PAGE ? -EINVAL : 0;
	return -ERANGE;
}

static void a_mapping_lies_within_the_file(void **state)
{
	(void)state;
	struct pgmap_file *file = file_of("/f", RANGE_BYTES);
	for (unsigned i = 0; i < COUNT(numbers); i++) {
		for (unsigned k = 0; k < COUNT(numbers); k++) {
			struct pgmap_mapping *mapping = NULL;
			uint64_t offset = numbers[i], len = numbers[k];
			int err = pgmap_map(file, offset, len, RW, &mapping);
			if (err != map_answer(offset, len) && !(err == -EINVAL && offset % PAGE))
				fail_msg("map of %llu bytes at %llu: %d", (unsigned long long)len,
					 (unsigned long long)offset, err);
			accounts();
			assert_int_equal(sys_info(client).live_pages > 0, !err);
			if (err)
				continue;
			assert_int_equal(pgmap_mapping_bytes(mapping), len ? len : RANGE_BYTES - offset);
			assert_int_equal(pgmap_unmap(mapping), 0);
		}
	}
	assert_int_equal(pgmap_close(file) | pgmap_unlink(client, "/f"), 0);
	accounts();
}

static void a_pin_lies_within_the_mapping(void **state)
{
	(void)state;
	static const int kinds[] = {PGMAP_PIN_LOCAL, PGMAP_PIN_REMOTE, -1, 2, INT32_MAX, INT32_MIN};
	struct pgmap_mapping *mapping = sys_map(client, "/f", RANGE_BYTES);
	for (unsigned i = 0; i < COUNT(numbers); i++) {
		for (unsigned k = 0; k < COUNT(numbers) * COUNT(kinds); k++) {
			uint64_t offset = numbers[i], len = numbers[k / COUNT(kinds)];
			int kind = kinds[k % COUNT(kinds)];
			bool good = k % COUNT(kinds) < 2 && len && offset < RANGE_BYTES && len <= RANGE_BYTES - offset;
			assert_int_equal(pgmap_pin(mapping, offset, len, kind), good ? 0 : -EINVAL);
			if (good)
				assert_int_equal(pgmap_unmap(mapping), -EBUSY);
			assert_int_equal(pgmap_unpin(mapping, offset, len, kind), good ? 0 : -EINVAL);
		}
	}
	struct sys_who who = sys_who(client, "/f", 0);
	assert_int_equal(who.pins_local + who.pins_remote, 0);
	accounts();
	assert_int_equal(pgmap_unmap(mapping) | pgmap_unlink(client, "/f"), 0);
}

static int punch_answer(uint64_t offset, uint64_t len, int mode)
{
	bool good = len && offset % PAGE == 0 && len % PAGE == 0 && offset <= UINT64_MAX - len;
	return good && mode >= PGMAP_DEFER && mode <= PGMAP_FAIL ? 0 : -EINVAL;
}

static void a_hole_is_whole_pages(void **state)
{
	(void)state;
	static const int modes[] = {PGMAP_DEFER, PGMAP_WAIT, PGMAP_FAIL, -1, 3, INT32_MAX, INT32_MIN};
	struct pgmap_file *file = file_of("/f", 4 * PAGE + 5);
	struct pgmap_stat st;
	for (unsigned i = 0; i < COUNT(numbers); i++) {
		for (unsigned k = 0; k < COUNT(numbers) * COUNT(modes); k++) {
			uint64_t offset = numbers[i], len = numbers[k / COUNT(modes)], blocks = 5;
			int mode = modes[k % COUNT(modes)], err = pgmap_punch(file, offset, len, mode, -1);
			if (err != punch_answer(offset, len, mode))
				fail_msg("punch of %llu bytes at %llu, %d: %d", (unsigned long long)len,
					 (unsigned long long)offset, mode, err);
			uint64_t first = pages_of(offset), end = pages_of(len) < 5 ? first + pages_of(len) : 5;
			if (!err && first < 5)
				blocks -= (end < 5 ? end : 5) - first;
			assert_int_equal(pgmap_fstat(file, &st), 0);
			assert_int_equal(st.size_bytes, 4 * PAGE + 5);
			assert_int_equal(st.blocks, blocks);
			accounts();
			if (blocks < 5) /* its pages come again */
				assert_int_equal(pgmap_unmap(sys_map(client, "/f", 0)), 0);
		}
	}
	assert_int_equal(pgmap_close(file) | pgmap_unlink(client, "/f"), 0);
}

/* Orders: of as many pages as a block of each, one fewer, one more. */
static void accounts_add_up_at_every_order(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping;
	struct pgmap_stat st;
	for (unsigned order = 0; UINT64_C(1) << order <= POOL_PAGES; order++) {
		uint64_t pages = UINT64_C(1) << order;
		for (uint64_t n = pages - 1; n <= pages + 1; n++) {
			int err = pgmap_open_map(client, "/f", PGMAP_O_CREATE, n * PAGE, RW, &mapping);
			assert_int_equal(err, n == 0 ? -ERANGE : n > POOL_PAGES ? -EFBIG : 0);
			accounts();
			if (err)
				continue;
			((char *)pgmap_mapping_address(mapping))[n * PAGE - 1] = 1;
			assert_int_equal(pgmap_stat(client, "/f", &st), 0);
			if (n == pages)
				assert_int_equal(st.max_order, order);
			assert_int_equal(pgmap_unlink(client, "/f"), 0);
			assert_int_equal(sys_info(client).free, POOL_PAGES - n); /* while it is mapped */
			assert_int_equal(pgmap_unmap(mapping), 0);
			accounts();
		}
	}
}

static void bits_that_mean_nothing_are_refused(void **state)
{
	(void)state;
	struct pgmap_file *file = file_of("/f", PAGE), *none;
	struct pgmap_mapping *mapping;
	struct tree before = accounts();
	for (unsigned bit = 0; bit < 32; bit++) {
		unsigned flag = 1U << bit;
		if (flag > PGMAP_O_RDONLY) {
			assert_int_equal(pgmap_open(client, "/f", flag, &none), -EINVAL);
			assert_int_equal(pgmap_open(client, "/g", flag | PGMAP_O_CREATE, &none), -EINVAL);
			assert_int_equal(pgmap_open_map(client, "/f", flag, 2 * PAGE, RW, &mapping), -EINVAL);
			assert_int_equal(pgmap_open_map(client, "/f", flag | PGMAP_O_TRUNC, PAGE, RW, &mapping),
					 -EINVAL);
		}
		if (flag & ~(unsigned)RW) {
			assert_int_equal(pgmap_map(file, 0, 0, flag, &mapping), -EINVAL);
			assert_int_equal(pgmap_map(file, 0, 0, flag | RW, &mapping), -EINVAL);
			assert_int_equal(pgmap_open_map(client, "/f", 0, 2 * PAGE, flag | RW, &mapping), -EINVAL);
		}
	}
	static const int modes[] = {-1, 3, 4, INT32_MAX, INT32_MIN};
	for (unsigned i = 0; i < COUNT(modes); i++) {
		assert_int_equal(pgmap_truncate_how(file, 0, modes[i], 0), -EINVAL);
		assert_int_equal(pgmap_unlink_how(client, "/f", modes[i], 0), -EINVAL);
	}
	assert_int_equal(pgmap_fence(client, 0), -ENOENT);
	for (uint64_t id = UINT32_MAX; id; id <<= 1)
		assert_int_equal(pgmap_fence(client, id), -ENOENT);
	assert_same(&before);
	assert_int_equal(pgmap_close(file) | pgmap_unlink(client, "/f"), 0);
}

/* What nobody holds is taken whatever the time; what is held is not, in none at all. */
static void a_time_of_any_length_is_understood(void **state)
{
	(void)state;
	static const int64_t times[] = {INT64_MIN, INT32_MIN, -1, 0, 1, INT32_MAX, INT64_MAX / 1000000, INT64_MAX};
	for (unsigned i = 0; i < COUNT(times); i++) {
		struct pgmap_file *file = file_of("/f", 2 * PAGE);
		assert_int_equal(pgmap_punch(file, 0, PAGE, PGMAP_WAIT, times[i]), 0);
		assert_int_equal(pgmap_truncate_how(file, 1, PGMAP_WAIT, times[i]), 0);
		accounts();
		assert_int_equal(pgmap_close(file), 0);
		struct pgmap_mapping *mapping = sys_map(client, "/f", PAGE);
		if (times[i] == 0 || times[i] == 1)
			assert_int_equal(pgmap_unlink_how(client, "/f", PGMAP_WAIT, times[i]), -ETIMEDOUT);
		assert_int_equal(pgmap_unlink_how(client, "/f", PGMAP_FAIL, times[i]), -EBUSY);
		assert_int_equal(pgmap_unmap(mapping), 0);
		assert_int_equal(pgmap_unlink_how(client, "/f", PGMAP_WAIT, times[i]), 0);
		assert_int_equal(accounts().names, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_has_every_size_up_to_the_pools_and_no_other),
		cmocka_unit_test(a_mapping_lies_within_the_file),
		cmocka_unit_test(a_pin_lies_within_the_mapping),
		cmocka_unit_test(a_hole_is_whole_pages),
		cmocka_unit_test(accounts_add_up_at_every_order),
		cmocka_unit_test(bits_that_mean_nothing_are_refused),
		cmocka_unit_test(a_time_of_any_length_is_understood),
	};
	return cmocka_run_group_tests(tests, edges_begin, edges_end);
}
