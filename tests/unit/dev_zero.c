/* SPDX-License-Identifier: BSD-3-Clause */
/* Zeros, and an error where there is no memory: never a signal. */
#include "dev/zero.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { PAGE = 4096 };

/* Two pages of addresses, over a file that has one: a store to the second is a SIGBUS. */
static char *map_half(void)
{
	int fd = memfd_create("zero", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	char *at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	assert_int_equal(close(fd), 0);
	memset(at, 'x', PAGE);
	return at;
}

static void check(const struct zero *zero)
{
	char *at = map_half();
	assert_int_equal(zero_bytes(zero, at + 10, PAGE - 20), 0);
	assert_true(at[9] == 'x' && at[10] == 0 && at[PAGE - 11] == 0 && at[PAGE - 10] == 'x');
	assert_int_equal(memcmp(at + 10, at + 11, PAGE - 21), 0);
	assert_int_equal(zero_bytes(zero, at, 2 * PAGE), -EFAULT);
	assert_int_equal(zero_bytes(zero, at + PAGE, 1), -EFAULT);
	assert_int_equal(zero_bytes(zero, at, 0), 0);
	assert_int_equal(munmap(at, 2 * PAGE), 0);
}

static void c7_11_missing_memory_is_an_error_and_no_signal(void **state)
{
	(void)state;
	struct zero zero;
	zero_init(&zero);
	assert_true(zero.fd >= 0);
	check(&zero);
	zero_exit(&zero);
	assert_int_equal(zero.fd, -1);
}

static void it_is_the_same_without_dev_zero(void **state)
{
	(void)state;
	const struct zero none = {-1};
	check(&none);
}

/* More than one read of /dev/zero gives. */
static void what_is_long_is_wiped_to_its_end(void **state)
{
	(void)state;
	size_t bytes = (size_t)65 << 20;
	struct zero zero;
	char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	memset(at + bytes - PAGE, 'x', PAGE);
	zero_init(&zero);
	assert_int_equal(zero_bytes(&zero, at, bytes - 1), 0);
	zero_exit(&zero);
	assert_true(at[bytes - 1] == 'x' && at[bytes - 2] == 0 && at[bytes - PAGE] == 0);
	assert_int_equal(munmap(at, bytes), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(c7_11_missing_memory_is_an_error_and_no_signal),
		cmocka_unit_test(it_is_the_same_without_dev_zero),
		cmocka_unit_test(what_is_long_is_wiped_to_its_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
