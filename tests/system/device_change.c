/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_change.c - devices come to a pool and leave it while processes use it: a removal waits for exactly those who hold pages
 * there, however they came by them, and ends when the last of them does.
 */
#include "sys.h"

#include <pthread.h>

enum { FIRST_BYTES = 8 << 20, MORE_BYTES = 16 << 20, RW = PGMAP_MAP_READ | PGMAP_MAP_WRITE };
static const char first_spec[] = "memfd:size=8M,page=4K", more_spec[] = "memfd:size=16M,page=4K";

static struct sys_server server;
static struct pgmap_client *client;
static char why[PGMAP_WHY_MAX];

static int set_up(void **state)
{
	(void)state;
	sys_start(&server, first_spec);
	client = sys_connect(&server);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	sys_end(&server, client);
	return 0;
}

static uint32_t add(const char *spec)
{
	uint32_t number = 99;
	int err = pgmap_device_add(client, spec, &number, why);
	if (err)
		fail_msg("%s: %d: %s", spec, err, why);
	assert_string_equal(why, "");
	return number;
}

struct seen {
	uint32_t number;
	unsigned n;
	struct pgmap_device device;
};

static int see(void *arg, const struct pgmap_device *device)
{
	struct seen *seen = arg;
	seen->n++;
	if (device->number == seen->number)
		seen->device = *device;
	return 0;
}

static struct pgmap_device device_of(uint32_t number)
{
	struct seen seen = {.number = number};
	assert_int_equal(pgmap_for_each_device(client, see, &seen), 0);
	return seen.device;
}

static unsigned count_devices(void)
{
	struct seen seen = {.number = 99};
	assert_int_equal(pgmap_for_each_device(client, see, &seen), 0);
	return seen.n;
}

/* A file that fills the second device, and what it is bigger than lies on the first. */
static struct pgmap_mapping *map_on_both(struct pgmap_client *by, const char *path)
{
	struct pgmap_mapping *mapping;
	assert_int_equal(pgmap_open_map(by, path, PGMAP_O_CREATE, MORE_BYTES + FIRST_BYTES / 2, RW, &mapping), 0);
	return mapping;
}

static int remove_it(uint32_t number, int64_t timeout_ms)
{
	return pgmap_device_remove(client, number, NULL, timeout_ms, why);
}

/* A client that was there before maps what has come since. */
static void who_was_connected_before_maps_what_came_since(void **state)
{
	(void)state;
	struct pgmap_client *old = sys_connect(&server);
	struct pgmap_mapping *small = sys_map(old, "/small", MIB);
	memset(pgmap_mapping_address(small), 's', MIB);
	assert_int_equal(add(more_spec), 1);
	assert_int_equal(sys_info(client).pages, (FIRST_BYTES + MORE_BYTES) / 4096);
	struct pgmap_mapping *big = map_on_both(old, "/big");
	char *bytes = pgmap_mapping_address(big);
	for (uint64_t at = 0; at < pgmap_mapping_bytes(big); at += 4096) {
		assert_int_equal(bytes[at], 0);
		bytes[at] = 'b';
	}
	assert_int_equal(((char *)pgmap_mapping_address(small))[4096], 's');
	assert_true(device_of(1).held > 0);
	assert_int_equal(pgmap_unmap(big) | pgmap_unmap(small), 0);
	assert_int_equal(pgmap_unlink(old, "/big") | pgmap_unlink(old, "/small"), 0);
	assert_int_equal(remove_it(1, -1), 0);
	assert_int_equal(count_devices(), 1);
	assert_int_equal(sys_info(client).pages, FIRST_BYTES / 4096);
	/* Its number is another's now, and its descriptor is not taken for that one's. */
	assert_int_equal(add("memfd:size=32M,page=4K"), 1);
	assert_int_equal(pgmap_open_map(old, "/big", PGMAP_O_CREATE, 36 * MIB, RW, &big), 0);
	bytes = pgmap_mapping_address(big);
	for (uint64_t at = 0; at < pgmap_mapping_bytes(big); at += 4096)
		bytes[at]++;
	assert_int_equal(pgmap_unmap(big), 0);
	assert_int_equal(pgmap_unlink(old, "/big"), 0);
	assert_int_equal(pgmap_disconnect(old), 0);
	assert_int_equal(remove_it(1, -1), 0);
}

static void files_that_own_pages_there_keep_it(void **state)
{
	(void)state;
	(void)add(more_spec);
	assert_int_equal(pgmap_unmap(map_on_both(client, "/kept")), 0);
	assert_int_equal(remove_it(1, -1), -ENOTEMPTY);
	assert_non_null(strstr(why, "/kept"));
	assert_int_equal(device_of(1).state, PGMAP_DEVICE_LIVE);
	assert_int_equal(pgmap_unlink(client, "/kept"), 0);
	assert_int_equal(remove_it(1, -1), 0);
}

static void map_and_wait(const struct sys_server *at, int said, int go)
{
	struct pgmap_client *mine;
	struct pgmap_mapping *mapping;
	CHILD_CHECK(pgmap_connect(at->path, &mine) == 0);
	CHILD_CHECK(pgmap_open_map(mine, "/held", PGMAP_O_CREATE, MORE_BYTES + FIRST_BYTES / 2, RW, &mapping) == 0);
	memset(pgmap_mapping_address(mapping), 'h', 4096);
	sys_say(said);
	sys_await(go);
	CHILD_CHECK(((char *)pgmap_mapping_address(mapping))[0] == 'h');
	CHILD_CHECK(pgmap_pin(mapping, 0, 4096, PGMAP_PIN_LOCAL) == -ENODEV ||
		    pgmap_pin(mapping, pgmap_mapping_bytes(mapping) - 4096, 4096, PGMAP_PIN_LOCAL) == -ENODEV);
	CHILD_CHECK(pgmap_unmap(mapping) == 0);
	sys_say(said);
	sys_await(go);
}

/* The removal, waited for by a thread. */
struct removal {
	pthread_t thread;
	uint32_t number;
	int64_t timeout_ms;
	int err;
};

static void *remove_thread(void *arg)
{
	struct removal *removal = arg;
	removal->err = pgmap_device_remove(client, removal->number, NULL, removal->timeout_ms, NULL);
	return NULL;
}

static void begin_removal(struct removal *removal)
{
	assert_int_equal(pthread_create(&removal->thread, NULL, remove_thread, removal), 0);
	while (device_of(removal->number).state != PGMAP_DEVICE_LEAVING)
		(void)sched_yield();
}

static int end_of(struct removal *removal)
{
	assert_int_equal(pthread_join(removal->thread, NULL), 0);
	return removal->err;
}

static int count_pages(void *arg, const struct pgmap_who *who)
{
	*(uint64_t *)arg += who->pages;
	return 0;
}

static void c7_9_a_holder_is_waited_for_until_it_unmaps(void **state)
{
	(void)state;
	struct removal removal = {.number = add(more_spec), .timeout_ms = -1};
	struct sys_child child = sys_spawn_heard(map_and_wait, &server);
	uint64_t pages = 0;
	assert_int_equal(pgmap_unlink(client, "/held"), 0);
	begin_removal(&removal);
	assert_int_equal(remove_it(1, 0), -ETIMEDOUT);
	assert_int_equal(pgmap_who_device(client, 1, count_pages, &pages), 0);
	assert_int_equal(pages, device_of(1).held);
	assert_true(pages > 0);
	assert_int_equal(pgmap_unmap(sys_map(client, "/new", MIB)), 0); /* the pool goes on with the other one */
	assert_int_equal(pgmap_unlink(client, "/new"), 0);
	sys_go_on(&child);
	sys_heard(&child);
	assert_int_equal(end_of(&removal), 0);
	assert_int_equal(count_devices(), 1);
	sys_kill_child(&child);
}

static void c7_2_the_kill_of_the_holder_ends_the_wait(void **state)
{
	(void)state;
	struct removal removal = {.number = add(more_spec), .timeout_ms = 600000};
	struct sys_child child = sys_spawn_heard(map_and_wait, &server);
	assert_int_equal(pgmap_unlink(client, "/held"), 0);
	begin_removal(&removal);
	sys_kill_child(&child);
	assert_int_equal(end_of(&removal), 0);
}

static struct pgmap_mapping *inherited;
static const char *inherited_bytes;

static void look_at_inherited(const struct sys_server *at, int said, int go)
{
	(void)at;
	sys_say(said);
	sys_await(go);
	CHILD_CHECK(inherited_bytes[0] == 'i');
	sys_say(said);
	sys_await(go);
}

/* The parent has said that it unmapped; its child looks at the bytes still. */
static void c7_8_a_forked_child_is_waited_for(void **state)
{
	(void)state;
	struct removal removal = {.number = add(more_spec), .timeout_ms = -1};
	inherited = map_on_both(client, "/inherited");
	memset(pgmap_mapping_address(inherited), 'i', 4096);
	inherited_bytes = pgmap_mapping_address(inherited);
	struct sys_child child = sys_spawn_heard(look_at_inherited, &server);
	assert_int_equal(pgmap_unlink(client, "/inherited"), 0);
	begin_removal(&removal);
	assert_int_equal(pgmap_unmap(inherited), 0);
	assert_int_equal(remove_it(1, 0), -ETIMEDOUT);
	sys_go_on(&child);
	sys_heard(&child); /* it sees them */
	assert_int_equal(remove_it(1, 0), -ETIMEDOUT);
	sys_kill_child(&child);
	assert_int_equal(end_of(&removal), 0);
}

static void a_removal_can_be_called_off(void **state)
{
	(void)state;
	struct removal removal = {.number = add(more_spec), .timeout_ms = -1};
	assert_int_equal(pgmap_device_cancel(client, 1, NULL, why), -EINVAL);
	struct sys_child child = sys_spawn_heard(map_and_wait, &server);
	assert_int_equal(pgmap_unlink(client, "/held"), 0);
	begin_removal(&removal);
	assert_int_equal(pgmap_device_cancel(client, 1, NULL, why), 0);
	assert_int_equal(end_of(&removal), -ECANCELED);
	assert_int_equal(device_of(1).state, PGMAP_DEVICE_LIVE);
	sys_kill_child(&child);
	sys_until_live(client, 0);
	assert_int_equal(pgmap_unmap(map_on_both(client, "/again")), 0);
	assert_int_equal(pgmap_unlink(client, "/again"), 0);
	assert_int_equal(remove_it(1, -1), 0);
}

static void ask_and_die(const struct sys_server *at, int said, int go)
{
	struct pgmap_client *mine;
	CHILD_CHECK(pgmap_connect(at->path, &mine) == 0);
	CHILD_CHECK(pgmap_device_remove(mine, 1, NULL, 0, NULL) == -ETIMEDOUT);
	sys_say(said);
	sys_await(go);
}

static void it_goes_on_when_whoever_asked_has_gone(void **state)
{
	(void)state;
	(void)add(more_spec);
	struct sys_child holder = sys_spawn_heard(map_and_wait, &server);
	assert_int_equal(pgmap_unlink(client, "/held"), 0);
	struct sys_child asks = sys_spawn_heard(ask_and_die, &server);
	sys_kill_child(&asks);
	assert_int_equal(device_of(1).state, PGMAP_DEVICE_LEAVING);
	sys_kill_child(&holder);
	while (count_devices() != 1)
		(void)sched_yield();
}

/* An idle client has a descriptor of it still. */
static void the_same_device_can_come_again(void **state)
{
	(void)state;
	char spec[160];
	struct pgmap_client *idle = sys_connect(&server);
	(void)snprintf(spec, sizeof(spec), "file:%s/pool,size=16M,create", server.dir);
	(void)add(spec);
	struct pgmap_mapping *mapping = map_on_both(idle, "/f");
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_unlink(idle, "/f"), 0);
	uint32_t number = 99;
	assert_int_equal(pgmap_device_add(client, spec, &number, why), -EEXIST);
	assert_int_equal(number, 99);
	for (unsigned round = 0; round < 3; round++) {
		assert_int_equal(remove_it(1, -1), 0);
		(void)snprintf(spec, sizeof(spec), "file:%s/pool", server.dir);
		assert_int_equal(add(spec), 1); /* it holds nothing of ours any more */
	}
	mapping = map_on_both(idle, "/f");
	memset(pgmap_mapping_address(mapping), 'f', pgmap_mapping_bytes(mapping));
	assert_int_equal(pgmap_unlink(idle, "/f"), 0);
	assert_int_equal(remove_it(1, 0), -ETIMEDOUT);
	assert_int_equal(pgmap_unmap(mapping), 0);
	while (count_devices() != 1)
		(void)sched_yield();
	assert_int_equal(pgmap_disconnect(idle), 0);
}

/* Each adds, and takes away, while others map, write and unmap. */
static void use(const struct sys_server *at, int said, int go)
{
	struct pgmap_client *mine;
	char name[32];
	(void)go;
	CHILD_CHECK(pgmap_connect(at->path, &mine) == 0);
	(void)snprintf(name, sizeof(name), "/load-%d", (int)getpid());
	sys_say(said);
	for (;;) {
		struct pgmap_mapping *mapping;
		int err = pgmap_open_map(mine, name, PGMAP_O_CREATE, MIB + 4096, RW, &mapping);
		if (err == -ENOSPC || err == -EAGAIN)
			continue;
		CHILD_CHECK(err == 0);
		unsigned char *bytes = pgmap_mapping_address(mapping);
		for (uint64_t i = 0; i < pgmap_mapping_bytes(mapping); i += 4096) {
			CHILD_CHECK(bytes[i] == 0);
			bytes[i] = 'u';
		}
		CHILD_CHECK(pgmap_unmap_unlink(mapping, NULL) == 0);
	}
}

static void c6_9_under_load_nobody_sees_anothers_bytes(void **state)
{
	(void)state;
	enum { CHILDREN = 3, ROUNDS = 60 };
	struct sys_child children[CHILDREN];
	unsigned left = 0;
	for (unsigned i = 0; i < CHILDREN; i++)
		children[i] = sys_spawn_heard(use, &server);
	for (unsigned round = 0; round < ROUNDS; round++) {
		(void)add("memfd:size=4M,page=4K");
		for (int err = -ENOTEMPTY; err;) { /* a file has pages there: until it has none */
			err = remove_it(1, -1);
			assert_true(err == 0 || err == -ENOTEMPTY);
		}
		left++;
	}
	assert_int_equal(left, ROUNDS);
	for (unsigned i = 0; i < CHILDREN; i++) {
		assert_int_equal(waitpid(children[i].pid, NULL, WNOHANG), 0);
		sys_kill_child(&children[i]);
	}
	sys_until_live(client, 0);
	for (unsigned i = 0; i < CHILDREN; i++) {
		char name[32];
		(void)snprintf(name, sizeof(name), "/load-%d", (int)children[i].pid);
		(void)pgmap_unlink(client, name);
	}
	assert_int_equal(sys_info(client).used, 0);
}

static void a_drain_and_a_removal_end_together(void **state)
{
	(void)state;
	struct removal removal = {.number = add(more_spec), .timeout_ms = -1};
	struct sys_child child = sys_spawn_heard(map_and_wait, &server);
	assert_int_equal(pgmap_unlink(client, "/held"), 0);
	begin_removal(&removal);
	assert_int_equal(pgmap_drain_pool(client, 0), -ETIMEDOUT);
	assert_int_equal(pgmap_device_add(client, more_spec, NULL, why), -ENODEV);
	assert_int_equal(pgmap_drain_cancel(client), 0);
	assert_int_equal(device_of(1).state, PGMAP_DEVICE_LEAVING);
	assert_int_equal(pgmap_drain_pool(client, 0), -ETIMEDOUT);
	assert_int_equal(pgmap_device_cancel(client, 1, NULL, why), 0);
	assert_int_equal(end_of(&removal), -ECANCELED);
	assert_int_equal(remove_it(1, 0), -ENODEV); /* it drains with the others */
	assert_int_equal(pgmap_drain_cancel(client), 0);
	begin_removal(&removal);
	assert_int_equal(pgmap_drain_pool(client, 0), -ETIMEDOUT);
	sys_kill_child(&child);
	assert_int_equal(end_of(&removal), 0);
	assert_int_equal(sys_exit_code(server.pid), 0);
	assert_int_equal(pgmap_disconnect(client), 0);
	sys_remove_dir(&server);
}

static void a_striped_pool_keeps_its_devices(void **state)
{
	(void)state;
	struct sys_server striped;
	sys_start(&striped, "memfd:size=8M,page=4K|memfd:size=8M,page=4K|stripe:16K");
	struct pgmap_client *mine = sys_connect(&striped);
	assert_int_equal(pgmap_device_add(mine, more_spec, NULL, why), -EOPNOTSUPP);
	assert_non_null(strstr(why, "a stripe's devices are fixed"));
	assert_int_equal(pgmap_device_remove(mine, 1, NULL, -1, why), -EOPNOTSUPP);
	assert_non_null(strstr(why, "a stripe's devices are fixed"));
	assert_int_equal(pgmap_disconnect(mine), 0);
	sys_stop(&striped);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(who_was_connected_before_maps_what_came_since),
		T(files_that_own_pages_there_keep_it),
		T(c7_9_a_holder_is_waited_for_until_it_unmaps),
		T(c7_2_the_kill_of_the_holder_ends_the_wait),
		T(c7_8_a_forked_child_is_waited_for),
		T(a_removal_can_be_called_off),
		T(it_goes_on_when_whoever_asked_has_gone),
		T(the_same_device_can_come_again),
		T(c6_9_under_load_nobody_sees_anothers_bytes),
		cmocka_unit_test_setup(a_drain_and_a_removal_end_together, set_up),
		cmocka_unit_test(a_striped_pool_keeps_its_devices),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
