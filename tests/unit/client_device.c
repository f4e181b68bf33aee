/* SPDX-License-Identifier: BSD-3-Clause */
/* client_device.c - the devices of a pool, as the library tells them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <pgmap/client.h>

static struct pgmap_client *client;
static struct pgmap_device seen;
static unsigned times;

static int set_up(void **state)
{
	(void)state;
	times = 0;
	return pgmap_connect("embedded:memfd:size=4M,page=4K", &client);
}

static int tear_down(void **state)
{
	(void)state;
	return pgmap_disconnect(client);
}

static int see(void *arg, const struct pgmap_device *device)
{
	seen = *device;
	times++;
	return *(int *)arg;
}

static void each_is_told_once(void **state)
{
	(void)state;
	int answer = 0;
	assert_int_equal(pgmap_for_each_device(client, see, &answer), 0);
	assert_int_equal(times, 1);
	assert_int_equal(seen.number, 0);
	assert_int_equal(seen.state, PGMAP_DEVICE_LIVE);
	assert_int_equal(seen.granule_order, 0);
	assert_int_equal(seen.access, PGMAP_ACCESS_MEMORY);
	assert_int_equal(seen.persistence, PGMAP_PERSIST_NONE);
	assert_int_equal(seen.pages, 1024);
	assert_int_equal(seen.held, 0);
	assert_string_equal(seen.spec, "memfd:size=4194304,page=4K");
	answer = 7;
	assert_int_equal(pgmap_for_each_device(client, see, &answer), 7);
}

static void null_is_refused(void **state)
{
	(void)state;
	int answer = 0;
	assert_int_equal(pgmap_for_each_device(NULL, see, &answer), -EINVAL);
	assert_int_equal(pgmap_for_each_device(client, NULL, &answer), -EINVAL);
	assert_int_equal(times, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(each_is_told_once),
		T(null_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
