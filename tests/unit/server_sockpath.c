/* SPDX-License-Identifier: BSD-3-Clause */
/* server_sockpath.c - which socket is meant when nobody, or somebody, says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/sockpath.h"

static void the_nearest_word_counts(void **state)
{
	(void)state;
	struct sockaddr_un addr;
	(void)unsetenv("PGMAP_SOCKET");
	(void)unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(sockpath_resolve(NULL, &addr), 0);
	assert_string_equal(addr.sun_path, "/run/pgmap/pgmapd.sock");
	(void)setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	assert_int_equal(sockpath_resolve(NULL, &addr), 0);
	assert_string_equal(addr.sun_path, "/run/user/7/pgmap/pgmapd.sock");
	(void)setenv("PGMAP_SOCKET", "/a/b", 1);
	assert_int_equal(sockpath_resolve(NULL, &addr), 0);
	assert_string_equal(addr.sun_path, "/a/b");
	assert_int_equal(sockpath_resolve("/c", &addr), 0);
	assert_string_equal(addr.sun_path, "/c");
}

static void what_is_no_path_is_refused(void **state)
{
	(void)state;
	struct sockaddr_un addr;
	char path[sizeof(addr.sun_path) + 1];
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	assert_int_equal(sockpath_resolve("", &addr), -EINVAL);
	assert_int_equal(sockpath_resolve(path, &addr), -ENAMETOOLONG);
	path[sizeof(path) - 2] = 0;
	assert_int_equal(sockpath_resolve(path, &addr), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nearest_word_counts),
		cmocka_unit_test(what_is_no_path_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
