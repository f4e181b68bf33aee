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

static void they_come_and_go(void **state)
{
	(void)state;
	char why[PGMAP_WHY_MAX];
	uint32_t number = 9;
	struct pgmap_mapping *mapping;
	int answer = 0;
	assert_int_equal(pgmap_device_add(client, "memfd:size=4M,page=4K", &number, why), 0);
	assert_int_equal(number, 1);
	assert_int_equal(pgmap_for_each_device(client, see, &answer), 0);
	assert_int_equal(times, 2);
	assert_int_equal(
		pgmap_open_map(client, "/f", PGMAP_O_CREATE, 6 << 20, PGMAP_MAP_READ | PGMAP_MAP_WRITE, &mapping), 0);
	memset(pgmap_mapping_address(mapping), 'x', 6 << 20);
	assert_int_equal(pgmap_device_remove(client, 1, NULL, -1, why), -ENOTEMPTY);
	assert_non_null(strstr(why, "/f"));
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
	assert_int_equal(pgmap_device_remove(client, 1, "", 0, why), -ENOENT); /* no device is called so */
	assert_int_equal(pgmap_device_remove(client, 1, seen.spec, 0, why), -ETIMEDOUT);
	assert_int_equal(pgmap_device_cancel(client, 1, "", why), -ENOENT);
	assert_int_equal(pgmap_device_remove(client, 1, NULL, 1, NULL), -ETIMEDOUT);
	assert_int_equal(pgmap_device_cancel(client, 1, NULL, why), 0);
	assert_string_equal(why, "");
	assert_int_equal(pgmap_device_cancel(client, 1, NULL, why), -EINVAL);
	assert_true(why[0] != 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_device_remove(client, 1, NULL, -1, NULL), 0);
	assert_int_equal(pgmap_device_remove(client, 1, NULL, -1, NULL), -ENOENT);
	assert_int_equal(pgmap_device_remove(client, 0, NULL, -1, why), -EBUSY);
}

static void null_is_refused(void **state)
{
	(void)state;
	int answer = 0;
	assert_int_equal(pgmap_for_each_device(NULL, see, &answer), -EINVAL);
	assert_int_equal(pgmap_for_each_device(client, NULL, &answer), -EINVAL);
	assert_int_equal(times, 0);
	assert_int_equal(pgmap_device_add(NULL, "memfd:size=4M", NULL, NULL), -EINVAL);
	assert_int_equal(pgmap_device_add(client, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(pgmap_device_remove(NULL, 0, NULL, 0, NULL), -EINVAL);
	assert_int_equal(pgmap_device_cancel(NULL, 0, NULL, NULL), -EINVAL);
}

/* It is a string whatever is answered, and by whom. */
static void why_is_always_said(void **state)
{
	(void)state;
	char why[PGMAP_WHY_MAX], endless[2048] = "";
	memset(endless, 'x', sizeof(endless) - 1);
	const struct {
		struct pgmap_client *client;
		const char *spec;
		int add, remove;
	} calls[] = {
		{NULL, "memfd:size=4M", -EINVAL, -EINVAL},
		{client, NULL, -EINVAL, 0},
		{client, endless, -ENAMETOOLONG, -ENAMETOOLONG},
	};
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		memset(why, 'w', sizeof(why));
		assert_int_equal(pgmap_device_add(calls[i].client, calls[i].spec, NULL, why), calls[i].add);
		assert_string_equal(why, "");
		if (!calls[i].remove)
			continue;
		memset(why, 'w', sizeof(why));
		assert_int_equal(pgmap_device_remove(calls[i].client, 0, calls[i].spec, 0, why), calls[i].remove);
		assert_string_equal(why, "");
		memset(why, 'w', sizeof(why));
		assert_int_equal(pgmap_device_cancel(calls[i].client, 0, calls[i].spec, why), calls[i].remove);
		assert_string_equal(why, "");
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(each_is_told_once),
		T(they_come_and_go),
		T(null_is_refused),
		T(why_is_always_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
