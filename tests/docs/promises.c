/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * promises.c - what docs/contract.md and docs/costs.md promise of the whole, and no single source file keeps: which calls
 * make no system call, which types can be pinned, that the accounts add up, and whom a mapping is charged to.
 *
 * One thread, public headers only: what an outside program can see.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/seccomp.h>

#include <cmocka.h>

#include <pgmap/client.h>
#include <pgmap/folio.h>

#define PAGES (UINT64_C(1) << 19)

static int free_at_once(struct folio *folio, void *owner)
{
	(void)folio;
	(void)owner;
	return PGMAP_FREE_IDLE;
}

static int stay(struct folio *folio, void *owner)
{
	(void)folio;
	(void)owner;
	return 0;
}

static struct pgmap *make(enum pgmap_type type)
{
	static const struct pgmap_ops ops = {sizeof(ops), free_at_once, stay};
	struct pgmap_range range = {0, PAGES * PGMAP_PAGE_SIZE};
	struct pgmap_params params = {
		.params_bytes = sizeof(params), .type = type, .ranges = &range, .nranges = 1, .ops = &ops};
	struct pgmap *pgmap;
	assert_int_equal(pgmap_create(&params, &pgmap), 0);
	return pgmap;
}

static void unmake(struct pgmap *pgmap)
{
	assert_int_equal(pgmap_kill(pgmap), 0);
	assert_int_equal(pgmap_drain(pgmap, 0), 0);
	assert_int_equal(pgmap_destroy(pgmap), 0);
}

/* Requests of every order, all that can be done with a folio, and its end: 0, or which call failed. */
static int live_and_die(struct pgmap *pgmap)
{
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++) {
		struct folio *folio, *again;
		uint64_t at = UINT64_C(1) << PGMAP_MAX_ORDER;
		if (pgmap_request_folio(pgmap, at, order, &folio) || !pgmap_request_folio(pgmap, at, 0, &again))
			return 1;
		if (pgmap_get_folio(pgmap, at, &again) || again != folio)
			return 2;
		folio_get(folio);
		if (folio_pin(folio, NULL, FOLIO_PIN_REMOTE))
			return 3;
		folio_unpin(folio, NULL, FOLIO_PIN_REMOTE);
		folio_put(folio);
		folio_put(folio);
		folio_put(folio);
	}
	return 0;
}

/* Strict seccomp: any system call but read, write and exit is the end. The child has a thread slot before. */
static void c3_10_claims_and_counts_make_no_system_call(void **state)
{
	(void)state;
	int status;
	struct pgmap *pgmap = make(PGMAP_GENERIC);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		int err = live_and_die(pgmap);
		if (err || prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
			_exit(100 + err);
		(void)syscall(SYS_exit, live_and_die(pgmap));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	unmake(pgmap);
}

/* A folio of this type can be pinned, with both kinds, or with neither. */
static void check_pins(enum pgmap_type type, int answer)
{
	struct pgmap *pgmap = make(type);
	struct folio *folio;
	assert_int_equal(pgmap_request_folio(pgmap, 0, PGMAP_ORDER_PMD, &folio), 0);
	for (int kind = FOLIO_PIN_LOCAL; kind <= FOLIO_PIN_REMOTE; kind++) {
		assert_int_equal(folio_pin(folio, NULL, (enum folio_pin_kind)kind), answer);
		assert_int_equal(folio_pins(folio), answer ? 0 : 1);
		if (!answer)
			folio_unpin(folio, NULL, (enum folio_pin_kind)kind);
	}
	assert_int_equal(folio_refs(folio), 1);
	folio_put(folio);
	unmake(pgmap);
}

static void c5_1_c5_2_files_and_generic_memory_can_be_pinned(void **state)
{
	(void)state;
	check_pins(PGMAP_FSDAX, 0);
	check_pins(PGMAP_GENERIC, 0);
}

static void c5_3_c5_4_c5_5_device_memory_cannot_be_pinned(void **state)
{
	(void)state;
	check_pins(PGMAP_COHERENT, -EPERM);
	check_pins(PGMAP_PRIVATE, -EPERM);
	check_pins(PGMAP_P2PDMA, -EPERM);
}

struct pool {
	struct pgmap_client *client;
	struct pgmap_mapping *mapping;
};

static struct pool open_pool(void)
{
	struct pool pool;
	assert_int_equal(pgmap_connect("embedded:memfd:size=64M,page=4K", &pool.client), 0);
	assert_int_equal(pgmap_open_map(pool.client, "/file", PGMAP_O_CREATE, 3 << 20, PGMAP_MAP_READ | PGMAP_MAP_WRITE,
					&pool.mapping),
			 0);
	return pool;
}

static void expect_space(const struct pool *pool, uint64_t used, uint64_t waiting)
{
	struct pgmap_info info;
	assert_int_equal(pgmap_info(pool->client, &info), 0);
	assert_int_equal(info.used, used);
	assert_int_equal(info.waiting, waiting);
	assert_int_equal(info.used + info.free + info.waiting, info.pages);
}

static void c6_10_used_free_and_waiting_are_all_there_is(void **state)
{
	(void)state;
	struct pool pool = open_pool();
	expect_space(&pool, 768, 0);
	assert_int_equal(pgmap_unlink(pool.client, "/file"), 0);
	expect_space(&pool, 768, 0); /* without a name, the mapped file still owns its pages */
	assert_int_equal(pgmap_unmap(pool.mapping), 0);
	expect_space(&pool, 0, 0);

	struct pgmap_file *file;
	assert_int_equal(pgmap_open_map(pool.client, "/two", PGMAP_O_CREATE, 2 << 20, PGMAP_MAP_READ, &pool.mapping),
			 0);
	assert_int_equal(pgmap_open(pool.client, "/two", 0, &file), 0);
	assert_int_equal(pgmap_truncate(file, 0), 0);
	expect_space(&pool, 0, 512); /* lost by the file, still held */
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(pgmap_unmap(pool.mapping), 0);
	expect_space(&pool, 0, 0);
	assert_int_equal(pgmap_disconnect(pool.client), 0);
}

static int sum_refs(void *arg, const struct pgmap_who *who)
{
	struct pgmap_who *sum = arg;
	sum->refs += who->refs;
	sum->pages += who->pages;
	sum->pins_remote += who->pins_remote;
	sum->pid = who->pid;
	return 0;
}

static void c7_1_what_a_connection_maps_and_pins_is_charged_to_it(void **state)
{
	(void)state;
	struct pool pool = open_pool();
	struct pgmap_who sum = {0};
	struct pgmap_info info;
	assert_int_equal(pgmap_pin(pool.mapping, 0, 4096, PGMAP_PIN_REMOTE), 0);
	assert_int_equal(pgmap_who(pool.client, "/file", sum_refs, &sum), 0);
	assert_int_equal(sum.pid, getpid());
	assert_int_equal(sum.refs, 2); /* 3 MiB: a folio of 2 MiB and one of 1 MiB */
	assert_int_equal(sum.pins_remote, 1);
	assert_int_equal(pgmap_info(pool.client, &info), 0);
	assert_int_equal(info.live_pages, sum.pages);
	assert_int_equal(pgmap_unpin(pool.mapping, 0, 4096, PGMAP_PIN_REMOTE), 0);
	assert_int_equal(pgmap_unmap(pool.mapping), 0);
	assert_int_equal(pgmap_disconnect(pool.client), 0);
}

static void c7_8_a_forked_child_inherits_memory_and_no_handles(void **state)
{
	(void)state;
	int status;
	struct pool pool = open_pool();
	char *bytes = pgmap_mapping_address(pool.mapping);
	bytes[0] = 'p';
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		int seen = bytes[0] == 'p' && pgmap_pin(pool.mapping, 0, 1, PGMAP_PIN_LOCAL) == -EPERM &&
			   pgmap_unlink(pool.client, "/file") == -EPERM;
		bytes[1] = 'c';
		_exit(!seen);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(bytes[1], 'c');
	assert_int_equal(pgmap_unmap(pool.mapping), 0);
	assert_int_equal(pgmap_disconnect(pool.client), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c3_10_claims_and_counts_make_no_system_call),
		cmocka_unit_test(c5_1_c5_2_files_and_generic_memory_can_be_pinned),
		cmocka_unit_test(c5_3_c5_4_c5_5_device_memory_cannot_be_pinned),
		cmocka_unit_test(c6_10_used_free_and_waiting_are_all_there_is),
		cmocka_unit_test(c7_1_what_a_connection_maps_and_pins_is_charged_to_it),
		cmocka_unit_test(c7_8_a_forked_child_inherits_memory_and_no_handles),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
