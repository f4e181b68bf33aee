/* SPDX-License-Identifier: BSD-3-Clause */
/* server_segment.c - pin words: both sides see the same, of a size that cannot change; used ones are closed afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/segment.h"

static void both_sides_see_the_same_words(void **state)
{
	(void)state;
	struct segment segment;
	uint64_t first;
	int fd;
	assert_int_equal(segment_init(&segment, 1000, &fd), 0);
	assert_int_equal(segment_get(&segment, 3, PINWORD_OPEN, &first), 0);
	pinword_t *theirs = mmap(NULL, segment.count * sizeof(*theirs), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(theirs, MAP_FAILED);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(close(fd), 0);
	assert_int_equal(pinword_pin(&theirs[first + 1], 1), 0);
	assert_int_equal(pinword_read(&segment.words[first + 1]).remote, 1);
	(void)pinword_block(&segment.words[first + 1], PINWORD_STALE);
	assert_int_equal(pinword_pin(&theirs[first + 1], 0), -ESTALE);
	segment_put(&segment, first, 3);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(pinword_pin(&theirs[first + i], 0), -EINVAL);
	assert_int_equal(segment_get(&segment, segment.count, PINWORD_OPEN, &first), 0);
	assert_int_equal(segment_get(&segment, 1, PINWORD_OPEN, &first), -ENOMEM);
	assert_int_equal(munmap((void *)theirs, segment.count * sizeof(*theirs)), 0);
	segment_exit(&segment);
}

static void its_size_has_bounds(void **state)
{
	(void)state;
	struct segment segment;
	int fd;
	assert_int_equal(segment_init(&segment, 1, &fd), 0);
	assert_int_equal(segment.count, 1 << 16);
	segment_exit(&segment);
	assert_int_equal(close(fd), 0);
	assert_int_equal(segment_init(&segment, UINT64_C(1) << 48, &fd), 0);
	assert_int_equal(segment.count, 1 << 24);
	segment_exit(&segment);
	assert_int_equal(close(fd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_sides_see_the_same_words),
		cmocka_unit_test(its_size_has_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
