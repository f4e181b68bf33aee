/* SPDX-License-Identifier: BSD-3-Clause */
/* client_threads.c - one connection, many threads: calls, pins on one mapping, a drain beside them. Run under TSan, too. */
#include "sys.h"

#include <pthread.h>

enum { THREADS = 6, ROUNDS = 300, RW = PGMAP_MAP_READ | PGMAP_MAP_WRITE };

static struct sys_suite suite;
static struct pgmap_client *client;
static struct pgmap_mapping *shared;

static int setup(void **state)
{
	(void)state;
	int err = sys_suite_begin(&suite);
	client = suite.client;
	return err;
}

static int teardown(void **state)
{
	(void)state;
	return sys_suite_end(&suite);
}

#define MUST(what)                                                                                                     \
	do {                                                                                                           \
		if (!(what))                                                                                           \
			return #what;                                                                                  \
	} while (0)

static const char *calls(unsigned id)
{
	char path[32];
	struct pgmap_mapping *mapping;
	struct pgmap_file *file;
	struct pgmap_stat st;
	(void)snprintf(path, sizeof(path), "/t%u", id);
	for (unsigned i = 0; i < ROUNDS; i++) {
		MUST(pgmap_open_map(client, path, PGMAP_O_CREATE, 8192 + i * 64, RW, &mapping) == 0);
		memset(pgmap_mapping_address(mapping), (int)id, 8192);
		MUST(pgmap_pin(mapping, 0, 8192, PGMAP_PIN_LOCAL) == 0);
		MUST(pgmap_open(client, path, 0, &file) == 0);
		MUST(pgmap_fstat(file, &st) == 0 && st.size_bytes == 8192 + i * 64);
		MUST(pgmap_close(file) == 0);
		for (unsigned k = 0; k < 8192; k++)
			MUST(((char *)pgmap_mapping_address(mapping))[k] == (char)id);
		MUST(pgmap_unmap(mapping) == -EBUSY);
		MUST(pgmap_unpin(mapping, 0, 8192, PGMAP_PIN_LOCAL) == 0);
		MUST(pgmap_unmap(mapping) == 0);
		if (i % 3 == 0)
			MUST(pgmap_unlink(client, path) == 0 && pgmap_stat(client, path, &st) == -ENOENT);
		else
			MUST(pgmap_stat(client, path, &st) == 0 && st.mappings == 0);
		if (i % 3 != 0)
			MUST(pgmap_unlink(client, path) == 0);
	}
	return NULL;
}

static const char *pins(unsigned id)
{
	uint64_t bytes = pgmap_mapping_bytes(shared);
	for (uint64_t i = 0; i < ROUNDS * 20; i++) {
		uint64_t at = (i * 4096 * (id + 3)) % bytes, len = bytes - at < 3 * MIB ? bytes - at : 3 * MIB;
		int kind = i & 1 ? PGMAP_PIN_REMOTE : PGMAP_PIN_LOCAL;
		MUST(pgmap_pin(shared, at, len, kind) == 0);
		MUST(pgmap_unpin(shared, at, len, kind) == 0);
	}
	return NULL;
}

struct job {
	const char *(*fn)(unsigned id);
	unsigned id;
	const char *failed;
};

static void *run_job(void *arg)
{
	struct job *job = arg;
	job->failed = job->fn(job->id);
	return NULL;
}

static void run_all(const char *(*odd)(unsigned id), const char *(*even)(unsigned id))
{
	pthread_t threads[THREADS];
	struct job jobs[THREADS];
	for (unsigned i = 0; i < THREADS; i++) {
		jobs[i] = (struct job){i % 2 ? odd : even, i, NULL};
		assert_int_equal(pthread_create(&threads[i], NULL, run_job, &jobs[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		if (jobs[i].failed)
			fail_msg("thread %u: %s", i, jobs[i].failed);
}

static void threads_share_a_connection(void **state)
{
	(void)state;
	run_all(calls, calls);
	assert_int_equal(sys_info(client).used, 0);
	assert_int_equal(sys_info(client).live_pages, 0);
}

static void threads_pin_one_mapping_and_leave_no_pin(void **state)
{
	(void)state;
	shared = sys_map(client, "/shared", 7 * MIB + 4096);
	run_all(pins, calls);
	struct sys_who who = sys_who(client, "/shared", 0);
	assert_int_equal(who.pins_local, 0);
	assert_int_equal(who.pins_remote, 0);
	assert_int_equal(pgmap_unmap(shared), 0);
	assert_int_equal(pgmap_unlink(client, "/shared"), 0);
}

static const char *truncates(unsigned id)
{
	struct pgmap_file *file;
	MUST(pgmap_open(client, "/shared", 0, &file) == 0);
	for (unsigned i = 0; i < ROUNDS; i++)
		MUST(pgmap_truncate(file, id == 0 && i % 2 ? 4096 : 2 * MIB) == 0);
	MUST(pgmap_close(file) == 0);
	return NULL;
}

/* A pin either holds or is told why not; either way the words come out even. */
static const char *pins_under_truncation(unsigned id)
{
	for (uint64_t i = 0; i < ROUNDS * 20; i++) {
		uint64_t at = i * 4096 * (id + 1) % (2 * MIB);
		int err = pgmap_pin(shared, at, 4096, PGMAP_PIN_LOCAL);
		MUST(err == 0 || err == -ESTALE);
		MUST(err || pgmap_unpin(shared, at, 4096, PGMAP_PIN_LOCAL) == 0);
	}
	return NULL;
}

static void threads_pin_while_the_file_shrinks(void **state)
{
	(void)state;
	shared = sys_map(client, "/shared", 2 * MIB);
	run_all(pins_under_truncation, truncates);
	assert_int_equal(sys_who(client, "/shared", 0).pins_local, 0);
	assert_int_equal(pgmap_unmap(shared), 0);
	assert_int_equal(pgmap_unlink(client, "/shared"), 0);
	assert_int_equal(sys_info(client).waiting, 0);
}

static void *drain(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)pgmap_drain_pool(client, -1);
}

static void a_thread_drains_while_another_unmaps(void **state)
{
	(void)state;
	pthread_t thread;
	void *answer;
	for (unsigned i = 0; i < 20; i++) {
		struct pgmap_mapping *mapping = sys_map(client, "/d", 4096);
		assert_int_equal(pthread_create(&thread, NULL, drain, NULL), 0);
		while (sys_info(client).state != PGMAP_DYING)
			(void)sched_yield();
		assert_int_equal(pgmap_drain_cancel(client), 0);
		assert_int_equal(pthread_join(thread, &answer), 0);
		assert_int_equal((intptr_t)answer, -ECANCELED);
		assert_int_equal(pgmap_unmap(mapping), 0);
	}
	assert_int_equal(pgmap_unlink(client, "/d"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_share_a_connection),
		cmocka_unit_test(threads_pin_one_mapping_and_leave_no_pin),
		cmocka_unit_test(threads_pin_while_the_file_shrinks),
		cmocka_unit_test(a_thread_drains_while_another_unmaps),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
