/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tools_temp.c - a temporary name lies beside the name that the file shall have, is random, and is nobody else's. The random
 * numbers are the test's.
 */
#include "output.h"

#include <sys/types.h>

#include "temp.h"

ssize_t __wrap_getrandom(void *to, size_t bytes, unsigned flags);

static uint64_t next;
static bool broken;

ssize_t __wrap_getrandom(void *to, size_t bytes, unsigned flags)
{
	assert_int_equal(flags, 0);
	if (broken) {
		errno = ENOSYS;
		return -1;
	}
	memcpy(to, &next, bytes);
	next++;
	return (ssize_t)bytes;
}

/* Names that end in a number below free_from are taken. */
struct folder {
	uint64_t free_from;
	int answer;
	unsigned asked;
	char last[64];
};

static int make(void *arg, const char *temp)
{
	struct folder *folder = arg;
	folder->asked++;
	(void)snprintf(folder->last, sizeof(folder->last), "%s", temp);
	return next - 1 < folder->free_from ? -EEXIST : folder->answer;
}

static int set_up(void **state)
{
	(void)state;
	next = 10;
	broken = false;
	return 0;
}

static void a_name_lies_beside_the_one_that_it_is_for(void **state)
{
	(void)state;
	static const char *const cases[][2] = {{"/d/file", "/d/.put-000000000000000a"},
					       {"/file", "/.put-000000000000000a"},
					       {"file", ".put-000000000000000a"},
					       {"d/e/file/", "d/e/.put-000000000000000a"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct folder folder = {0};
		char buf[64];
		bool made;
		next = 10;
		assert_int_equal(temp_make(buf, sizeof(buf), cases[i][0], "put", make, &folder, &made), 0);
		assert_string_equal(buf, cases[i][1]);
		assert_string_equal(folder.last, buf);
		assert_true(made);
	}
}

static void a_name_that_is_taken_is_left_alone(void **state)
{
	(void)state;
	struct folder folder = {.free_from = 13}, full = {.free_from = UINT64_MAX};
	char buf[64];
	bool made;
	assert_int_equal(temp_make(buf, sizeof(buf), "/f", "get", make, &folder, &made), 0);
	assert_string_equal(buf, "/.get-000000000000000d");
	assert_int_equal(folder.asked, 4);
	assert_true(made);
	assert_int_equal(temp_make(buf, sizeof(buf), "/f", "get", make, &full, &made), -EEXIST);
	assert_int_equal(full.asked, 16);
	assert_false(made);
}

/* It failed half-way, or before: the caller removes it if it is there. */
static void a_file_that_fails_is_the_caller_s_own(void **state)
{
	(void)state;
	struct folder folder = {.answer = -ENOSPC};
	char buf[64];
	bool made = false;
	assert_int_equal(temp_make(buf, sizeof(buf), "/f", "cp", make, &folder, &made), -ENOSPC);
	assert_true(made);
	assert_int_equal(folder.asked, 1);
}

static void without_a_name_nothing_is_made(void **state)
{
	(void)state;
	struct folder folder = {0};
	char buf[23];
	bool made = true;
	assert_int_equal(temp_make(buf, 22, "/f", "put", make, &folder, &made), -ENAMETOOLONG);
	assert_false(made);
	assert_int_equal(temp_make(buf, 23, "/f", "put", make, &folder, &made), 0);
	folder.asked = 0;
	broken = true;
	assert_int_equal(temp_make(buf, sizeof(buf), "/f", "put", make, &folder, &made), -ENOSYS);
	assert_false(made);
	assert_int_equal(folder.asked, 0);
}

#define T(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_name_lies_beside_the_one_that_it_is_for),
		T(a_name_that_is_taken_is_left_alone),
		T(a_file_that_fails_is_the_caller_s_own),
		T(without_a_name_nothing_is_made),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
