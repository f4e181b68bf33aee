/* SPDX-License-Identifier: BSD-3-Clause */
/* server_records.c - what was added leaves in a memfd that nobody can change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/records.h"

static void bytes_leave_in_order_and_sealed(void **state)
{
	(void)state;
	enum { N = 50000 };
	struct records records = {0};
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(records_add(&records, &i, sizeof(i)), 0);
	int fd = records_seal(&records);
	assert_true(fd >= 0);
	records_exit(&records);
	const unsigned *at = mmap(NULL, N * sizeof(*at), PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(at[i], i);
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, N * sizeof(*at));
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(munmap((void *)(uintptr_t)at, N * sizeof(*at)), 0);
	assert_int_equal(close(fd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_leave_in_order_and_sealed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
