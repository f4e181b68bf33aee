/* SPDX-License-Identifier: BSD-3-Clause */
/* client_lost.c - pages that have lost their data, as the library tells them: listed, no pins of them, repaired. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <pgmap/client.h>
#include <pgmap/dax.h>

#include "broken.h"

enum { PAGE = 4096, BYTES = 3 << 20 };

static struct pgmap_client *client;
static struct pgmap_mapping *mapping;
static struct pgmap_lost seen;
static unsigned times;
static int caught_fds[2];

static void on_caught(void *arg, const struct dax_caught *caught)
{
	(void)arg;
	(void)!write(caught_fds[1], caught, sizeof(*caught));
}

static int catch (void **state)
{
	sigset_t bus;
	(void)state;
	(void)sigemptyset(&bus);
	(void)sigaddset(&bus, SIGBUS);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &bus, NULL), 0);
	assert_int_equal(pipe2(caught_fds, O_CLOEXEC), 0);
	return dax_catch_errors(on_caught, NULL);
}

static int set_up(void **state)
{
	(void)state;
	times = 0;
	assert_int_equal(pgmap_connect("embedded:memfd:size=3M,page=4K", &client), 0);
	return pgmap_open_map(client, "/f", PGMAP_O_CREATE, BYTES, PGMAP_MAP_READ | PGMAP_MAP_WRITE, &mapping);
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(pgmap_unmap(mapping), 0);
	return pgmap_disconnect(client);
}

/* The pool is embedded, so that its own mapping of the device, all of it, is in this process too. */
static char *pool_memory(void)
{
	char line[256];
	unsigned long from, to, offset;
	char *own = pgmap_mapping_address(mapping), *at = NULL;
	FILE *maps = fopen("/proc/self/maps", "re");
	assert_non_null(maps);
	while (!at && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx rw-s %lx", &from, &to, &offset) == 3 && to - from == BYTES && offset == 0 &&
		    strstr(line, "memfd") && from != (unsigned long)(uintptr_t)own)
			at = (char *)(uintptr_t)from;
	(void)fclose(maps);
	assert_non_null(at);
	return at;
}

/* The kernel says that a page of the file is broken: which one on the device is found by what stands in it. */
static void lose(uint64_t page)
{
	struct dax_caught caught;
	char *memory = pool_memory(), *own = pgmap_mapping_address(mapping);
	uint64_t on_device = 0;
	(void)strcpy(own + page * PAGE, "here");
	while (strcmp(memory + on_device * PAGE, "here") != 0)
		on_device++;
	assert_int_equal(broken_tell_early(memory + on_device * PAGE, 12), 0);
	assert_int_equal(read(caught_fds[0], &caught, sizeof(caught)), sizeof(caught));
	assert_non_null(caught.dax);
	assert_int_equal(caught.npages, 1);
}

static int see(void *arg, const struct pgmap_lost *lost)
{
	seen = *lost;
	times++;
	return *(int *)arg;
}

static void c6_5_what_is_lost_is_told(void **state)
{
	(void)state;
	int answer = 0;
	assert_int_equal(pgmap_for_each_lost(NULL, NULL, see, &answer), -EINVAL);
	assert_int_equal(pgmap_for_each_lost(client, NULL, NULL, &answer), -EINVAL);
	assert_int_equal(pgmap_for_each_lost(client, "", see, &answer), -EINVAL);
	assert_int_equal(pgmap_for_each_lost(client, "/none", see, &answer), -ENOENT);
	assert_int_equal(pgmap_for_each_lost(client, NULL, see, &answer), 0);
	assert_int_equal(times, 0);
	lose(5);
	assert_int_equal(pgmap_for_each_lost(client, NULL, see, &answer), 0);
	assert_int_equal(times, 1);
	assert_true(seen.offset_bytes == (uint64_t)5 * PAGE && seen.len_bytes == PAGE);
	assert_true(seen.what == PGMAP_LOST_DATA && seen.holders == 1);
	assert_string_equal(seen.path, "/f");
	answer = 7;
	assert_int_equal(pgmap_for_each_lost(client, "/f", see, &answer), 7);
}

static void c7_9_it_cannot_be_pinned_until_it_is_repaired(void **state)
{
	(void)state;
	struct pgmap_info info;
	lose(5);
	assert_int_equal(pgmap_info(client, &info), 0); /* any request */
	assert_int_equal(info.lost, 1);
	assert_int_equal(pgmap_pin(mapping, 5 * PAGE, PAGE, PGMAP_PIN_LOCAL), -EHWPOISON);
	assert_int_equal(pgmap_pin(mapping, 0, BYTES, PGMAP_PIN_REMOTE), -EHWPOISON);
	assert_int_equal(pgmap_unpin(mapping, 5 * PAGE, PAGE, PGMAP_PIN_LOCAL), -EINVAL);
	assert_int_equal(pgmap_repair(NULL, "/f", 0, 0), -EINVAL);
	assert_int_equal(pgmap_repair(client, "/none", 0, 0), -ENOENT);
	assert_int_equal(pgmap_repair(client, "/f", 0, 5 * PAGE), 0);
	assert_int_equal(pgmap_pin(mapping, 5 * PAGE, PAGE, PGMAP_PIN_LOCAL), -EHWPOISON);
	assert_int_equal(pgmap_repair(client, "/f", 5 * PAGE, PAGE), 1);
	assert_int_equal(pgmap_pin(mapping, 0, BYTES, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unpin(mapping, 0, BYTES, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(((char *)pgmap_mapping_address(mapping))[5 * PAGE], 0);
}

static void c7_6_the_servers_own_finding_counts(void **state)
{
	(void)state;
	assert_int_equal(pgmap_notify_failure(NULL, 0, PAGE), -EINVAL);
	assert_int_equal(pgmap_notify_failure(mapping, BYTES, PAGE), -EINVAL);
	assert_int_equal(pgmap_notify_failure(mapping, 5 * PAGE, PAGE), 0); /* it is good */
	lose(5);
	assert_int_equal(pgmap_notify_failure(mapping, 5 * PAGE + 3, 1), 1);
	assert_int_equal(pgmap_notify_failure(mapping, 0, BYTES), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(c6_5_what_is_lost_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(c7_9_it_cannot_be_pinned_until_it_is_repaired, set_up, tear_down),
		cmocka_unit_test_setup_teardown(c7_6_the_servers_own_finding_counts, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, catch, NULL);
}
