/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_taking.c - truncate, punch and unlink of what this very client maps and pins, in threads of it, on a server and on
 * an embedded pool: who waits keeps nobody from the unmap that it waits for.
 */
#include "sys.h"

#include <pthread.h>

static struct sys_suite suite;
static struct pgmap_client *client;

enum { RW = PGMAP_MAP_READ | PGMAP_MAP_WRITE, BYTES = 4 * (1 << 20) };

static int set_up(void **state)
{
	(void)state;
	int err = sys_suite_begin(&suite);
	client = suite.client;
	return err;
}

static int tear_down(void **state)
{
	(void)state;
	return sys_suite_end(&suite);
}

struct call {
	pthread_t thread;
	struct pgmap_file *file; /* null: an unlink of /f */
	uint64_t offset, len;    /* len 0: a truncate to offset */
	int64_t timeout_ms;
	int err;
};

static void *make_call(void *arg)
{
	struct call *c = arg;
	if (!c->file)
		c->err = pgmap_unlink_how(client, "/f", PGMAP_WAIT, c->timeout_ms);
	else if (c->len)
		c->err = pgmap_punch(c->file, c->offset, c->len, PGMAP_WAIT, c->timeout_ms);
	else
		c->err = pgmap_truncate_how(c->file, c->offset, PGMAP_WAIT, c->timeout_ms);
	return NULL;
}

/* Comes back when it waits: pins are refused. */
static void begin_call(struct call *c, struct pgmap_mapping *mapping)
{
	int err;
	if (!c->timeout_ms)
		c->timeout_ms = -1;
	assert_int_equal(pthread_create(&c->thread, NULL, make_call, c), 0);
	while ((err = pgmap_pin(mapping, 0, 1, PGMAP_PIN_LOCAL)) == 0) {
		assert_int_equal(pgmap_unpin(mapping, 0, 1, PGMAP_PIN_LOCAL), 0);
		(void)sched_yield();
	}
	assert_int_equal(err, -EAGAIN);
}

static int end_call(struct call *c)
{
	assert_int_equal(pthread_join(c->thread, NULL), 0);
	return c->err;
}

static struct pgmap_file *open_f(void)
{
	struct pgmap_file *file;
	assert_int_equal(pgmap_open(client, "/f", 0, &file), 0);
	return file;
}

static void c6_7_who_waits_keeps_nobody_from_the_unmap(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = sys_map(client, "/f", BYTES), *none = NULL;
	struct call call = {.file = open_f()};
	struct pgmap_stat st;
	memset(pgmap_mapping_address(mapping), 'x', BYTES);
	assert_int_equal(pgmap_truncate_how(call.file, 0, PGMAP_FAIL, 0), -EBUSY);
	assert_int_equal(pgmap_truncate_how(call.file, 0, PGMAP_WAIT, 0), -ETIMEDOUT);
	begin_call(&call, mapping);
	assert_int_equal(pgmap_fstat(call.file, &st), 0);
	assert_int_equal(st.size_bytes, BYTES);
	assert_int_equal(pgmap_map(call.file, 0, 4096, RW, &none), -EAGAIN);
	assert_int_equal(pgmap_open_map(client, "/f", 0, 0, RW, &none), -EAGAIN);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(end_call(&call), 0);
	assert_int_equal(sys_info(client).used, 0);
	assert_int_equal(sys_info(client).waiting, 0);
	assert_int_equal(pgmap_close(call.file), 0);
	assert_int_equal(pgmap_unlink_how(client, "/f", PGMAP_FAIL, 0), 0);
}

static void c7_9_pins_that_are_there_stay_until_they_are_let_go(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = sys_map(client, "/f", BYTES);
	struct call call = {.file = open_f(), .len = BYTES};
	assert_int_equal(pgmap_pin(mapping, 0, BYTES, PGMAP_PIN_REMOTE), 0);
	begin_call(&call, mapping);
	assert_int_equal(pgmap_unmap(mapping), -EBUSY);
	assert_int_equal(pgmap_unpin(mapping, 0, BYTES, PGMAP_PIN_REMOTE), 0);
	assert_int_equal(sys_info(client).used, BYTES / 4096);
	assert_int_equal(pgmap_pin(mapping, 0, 1, PGMAP_PIN_REMOTE), -EAGAIN);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(end_call(&call), 0);
	assert_int_equal(sys_info(client).used, 0);
	mapping = sys_map(client, "/f", 0); /* the hole */
	assert_int_equal(pgmap_mapping_bytes(mapping), BYTES);
	assert_int_equal(sys_info(client).used, BYTES / 4096);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_close(call.file), 0);
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
}

static void c6_7_after_the_deadline_all_is_as_before(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = sys_map(client, "/f", BYTES), *again;
	struct call call = {.file = open_f(), .timeout_ms = 20};
	memset(pgmap_mapping_address(mapping), 'x', BYTES);
	assert_int_equal(pthread_create(&call.thread, NULL, make_call, &call), 0);
	assert_int_equal(end_call(&call), -ETIMEDOUT);
	assert_int_equal(pgmap_pin(mapping, 0, BYTES, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unpin(mapping, 0, BYTES, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_map(call.file, 0, 0, RW, &again), 0);
	assert_int_equal(((char *)pgmap_mapping_address(again))[BYTES - 1], 'x');
	assert_int_equal(pgmap_unmap(again), 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_close(call.file), 0);
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
}

static void c6_7_several_wait_for_one_unmap(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = sys_map(client, "/f", BYTES);
	struct pgmap_file *file = open_f();
	struct call calls[] = {{.file = file, .len = BYTES}, {.file = file, .offset = BYTES / 2}, {.file = NULL}};
	for (int i = 0; i < 3; i++)
		begin_call(&calls[i], mapping);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(end_call(&calls[0]), 0);
	assert_int_equal(end_call(&calls[1]), 0);
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(end_call(&calls[2]), 0);
	assert_int_equal(sys_info(client).files, 0);
	assert_int_equal(sys_info(client).used, 0);
}

static void c6_7_a_drain_ends_the_wait(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = sys_map(client, "/f", BYTES);
	struct call call = {.file = open_f()};
	begin_call(&call, mapping);
	assert_int_equal(pgmap_drain_pool(client, 0), -ETIMEDOUT);
	assert_int_equal(end_call(&call), -ENODEV);
	assert_int_equal(pgmap_pin(mapping, 0, 1, PGMAP_PIN_LOCAL), -ENODEV);
	assert_int_equal(pgmap_drain_cancel(client), 0);
	assert_int_equal(pgmap_pin(mapping, 0, 1, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unpin(mapping, 0, 1, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_close(call.file), 0);
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
}

/* Mappers write and find their bytes, takers wait or fail: none defers, so no pin is ever told that its range has gone. */
enum { MAPPERS = 2, TAKERS = 2, ROUNDS = 150 };
static _Atomic int errors;

static void *map_and_pin(void *arg)
{
	uint64_t offset = *(uint64_t *)arg * (BYTES / MAPPERS);
	struct pgmap_file *file;
	errors += pgmap_open(client, "/f", 0, &file) != 0;
	for (int i = 0; i < ROUNDS && !errors; i++) {
		struct pgmap_mapping *mapping;
		int err = pgmap_map(file, offset, 4096, RW, &mapping);
		if (err) {
			errors += err != -EAGAIN && err != -ERANGE;
			continue;
		}
		volatile char *at = pgmap_mapping_address(mapping);
		*at = (char)i;
		err = pgmap_pin(mapping, 0, 4096, PGMAP_PIN_LOCAL);
		errors += err && err != -EAGAIN;
		errors += *at != (char)i;
		errors += !err && pgmap_unpin(mapping, 0, 4096, PGMAP_PIN_LOCAL) != 0;
		errors += pgmap_unmap(mapping) != 0;
	}
	errors += pgmap_close(file) != 0;
	return NULL;
}

static void *take_and_give(void *arg)
{
	int mode = *(uint64_t *)arg % 2 ? PGMAP_WAIT : PGMAP_FAIL;
	struct pgmap_file *file;
	errors += pgmap_open(client, "/f", 0, &file) != 0;
	for (int i = 0; i < ROUNDS && !errors; i++) {
		int err = i % 2 ? pgmap_punch(file, 0, BYTES, mode, i % 3) : pgmap_truncate_how(file, 0, mode, i % 3);
		errors += err && err != -EBUSY && err != -ETIMEDOUT;
		errors += pgmap_truncate_how(file, BYTES, PGMAP_FAIL, 0) != 0;
	}
	errors += pgmap_close(file) != 0;
	return NULL;
}

static void c6_7_c6_8_nobody_loses_what_he_maps_to_who_waits_or_fails(void **state)
{
	(void)state;
	pthread_t threads[MAPPERS + TAKERS];
	uint64_t ids[MAPPERS + TAKERS];
	assert_int_equal(pgmap_unmap(sys_map(client, "/f", BYTES)), 0);
	for (uint64_t i = 0; i < MAPPERS + TAKERS; i++) {
		ids[i] = i % MAPPERS;
		assert_int_equal(pthread_create(&threads[i], NULL, i < MAPPERS ? map_and_pin : take_and_give, &ids[i]),
				 0);
	}
	for (int i = 0; i < MAPPERS + TAKERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(errors, 0);
	assert_int_equal(sys_info(client).waiting, 0);
	assert_int_equal(pgmap_unlink_how(client, "/f", PGMAP_FAIL, 0), 0);
	assert_int_equal(sys_info(client).used, 0);
}

static void an_unmap_takes_the_name_along(void **state)
{
	(void)state;
	uint64_t free_before = sys_info(client).free;
	struct pgmap_mapping *mapping = sys_map(client, "/f", BYTES), *other;
	struct pgmap_stat st;
	int unlinked = 1;
	assert_int_equal(pgmap_rename(client, "/f", "/elsewhere"), 0);
	other = sys_map(client, "/elsewhere", BYTES);
	assert_int_equal(pgmap_pin(mapping, 0, 1, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unmap_unlink(mapping, &unlinked), -EBUSY);
	assert_int_equal(unlinked, 1);
	assert_int_equal(pgmap_stat(client, "/elsewhere", &st), 0);
	assert_int_equal(pgmap_unpin(mapping, 0, 1, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unmap_unlink(mapping, &unlinked), 0);
	assert_int_equal(unlinked, 0);
	assert_int_equal(pgmap_stat(client, "/elsewhere", &st), -ENOENT);
	assert_true(sys_info(client).free < free_before); /* the other still maps it */
	assert_int_equal(pgmap_unmap_unlink(other, &unlinked), 0);
	assert_int_equal(unlinked, -ENOENT);
	assert_int_equal(sys_info(client).free, free_before);
	assert_int_equal(pgmap_unmap_unlink(sys_map(client, "/f", 1), NULL), 0);
	assert_int_equal(sys_info(client).free, free_before);
	assert_int_equal(pgmap_unmap_unlink(NULL, &unlinked), -EINVAL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(c6_7_who_waits_keeps_nobody_from_the_unmap),
		T(c7_9_pins_that_are_there_stay_until_they_are_let_go),
		T(c6_7_after_the_deadline_all_is_as_before),
		T(c6_7_several_wait_for_one_unmap),
		T(c6_7_a_drain_ends_the_wait),
		T(c6_7_c6_8_nobody_loses_what_he_maps_to_who_waits_or_fails),
		T(an_unmap_takes_the_name_along),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
