/* SPDX-License-Identifier: BSD-3-Clause */
/* server_handles.c - a number leads to what it was given for, and to nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/handles.h"

static void a_number_leads_to_its_own_and_nothing_else(void **state)
{
	(void)state;
	enum { N = 1000 };
	static char things[N];
	static uint64_t ids[N];
	struct handles handles = {0};
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(handles_reserve(&handles), 0);
		ids[i] = handles_add(&handles, &things[i]);
		assert_true(ids[i] > 0);
	}
	for (unsigned i = 0; i < N; i += 2)
		handles_remove(&handles, ids[i]);
	for (unsigned i = 0; i < N; i++)
		assert_ptr_equal(handles_get(&handles, ids[i]), i % 2 ? &things[i] : NULL);
	assert_null(handles_get(&handles, 0));
	assert_null(handles_get(&handles, handles.nslots + 1));
	assert_null(handles_get(&handles, UINT64_MAX));
	assert_int_equal(handles_reserve(&handles), 0);
	uint64_t again = handles_add(&handles, things);
	assert_ptr_equal(handles_get(&handles, again), things);
	handles_exit(&handles);
	assert_null(handles_get(&handles, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_number_leads_to_its_own_and_nothing_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
