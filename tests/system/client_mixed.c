/* SPDX-License-Identifier: BSD-3-Clause */
/* client_mixed.c - a server's pool of 4 KiB pages and of huge pages: which file lies on which, through real mappings. */
#include "sys.h"

static struct sys_server server;
static struct pgmap_client *client;
enum { RW = PGMAP_MAP_READ | PGMAP_MAP_WRITE, PAGE = 4096, HALF = 32 * (1 << 20) };

static int setup(void **state)
{
	(void)state;
	client = sys_begin(&server);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sys_end(&server, client);
	return 0;
}

/* The page size, in KiB, of the mapping that has this address. */
static uint64_t page_kib(const void *at)
{
	unsigned long from = 0, end = 0, kib = 0;
	char line[256];
	FILE *smaps = fopen("/proc/self/smaps", "re");
	assert_non_null(smaps);
	bool here = false;
	while (kib == 0 && fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &from, &end) == 2)
			here = (uintptr_t)at >= from && (uintptr_t)at < end;
		else if (here)
			(void)sscanf(line, "KernelPageSize: %lu kB", &kib);
	}
	(void)fclose(smaps);
	return kib;
}

static bool is_all(const char *at, uint64_t len, char byte)
{
	return at[0] == byte && memcmp(at, at + 1, len - 1) == 0;
}

static struct pgmap_stat stat_of(const char *path)
{
	struct pgmap_stat st;
	assert_int_equal(pgmap_stat(client, path, &st), 0);
	return st;
}

static void a_file_lies_on_huge_pages_and_its_end_on_small_ones(void **state)
{
	(void)state;
	assert_int_equal(sys_info(client).granule_order, 0);
	struct pgmap_mapping *mapping = sys_map(client, "/f", 5 * MIB + 1), *none = NULL, *part;
	struct pgmap_file *file;
	char *at = pgmap_mapping_address(mapping);
	assert_int_equal((uintptr_t)at % (2 * MIB), 0);
	assert_int_equal(stat_of("/f").blocks, 5 * 256 + 1);
	assert_int_equal(stat_of("/f").granule_order, 9);
	assert_true(page_kib(at) == 2048 && page_kib(at + 4 * MIB - 1) == 2048 && page_kib(at + 4 * MIB) == 4);
	assert_true(is_all(at, 5 * MIB + PAGE, 0));
	for (int i = 0; i < 5; i++)
		memset(at + i * MIB, 'a' + i, MIB);
	assert_int_equal(pgmap_open(client, "/f", 0, &file), 0);
	assert_int_equal(pgmap_map(file, MIB, MIB, RW, &none), -EINVAL);
	assert_int_equal(pgmap_punch(file, 3 * MIB, PAGE, PGMAP_DEFER, 0), -EINVAL);
	assert_int_equal(pgmap_map(file, 2 * MIB, 0, RW, &part), 0);
	const char *there = pgmap_mapping_address(part);
	assert_true(is_all(there, MIB, 'c') && is_all(there + MIB, MIB, 'd') && is_all(there + 2 * MIB, MIB, 'e'));
	assert_int_equal(pgmap_unmap(part), 0);
	assert_int_equal(pgmap_map(file, 4 * MIB + PAGE, 2 * PAGE, RW, &part), 0);
	assert_true(is_all(pgmap_mapping_address(part), 2 * PAGE, 'e'));
	assert_int_equal(pgmap_unmap(part), 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
}

static void where_small_pages_have_gone_a_file_ends_in_a_huge_one(void **state)
{
	(void)state;
	assert_int_equal(pgmap_mkdir(client, "/small"), 0);
	assert_int_equal(pgmap_set_order(client, "/small", 8), 0);
	struct pgmap_mapping *all = sys_map(client, "/small/all", HALF), *none = NULL;
	assert_int_equal(pgmap_open_map(client, "/small/one", PGMAP_O_CREATE, 1, RW, &none), -ENOSPC);
	struct pgmap_mapping *mapping = sys_map(client, "/f", 3 * MIB);
	char *at = pgmap_mapping_address(mapping);
	assert_int_equal(stat_of("/f").blocks, 1024);
	assert_int_equal(page_kib(at + 3 * MIB - 1), 2048);
	assert_true(is_all(at, 3 * MIB, 0));
	memset(at, 'x', 3 * MIB);
	memset(at + 3 * MIB, 'y', MIB); /* nothing keeps it from that */
	assert_int_equal(pgmap_unmap(mapping), 0);
	mapping = sys_map(client, "/f", 4 * MIB);
	assert_int_equal(stat_of("/f").blocks, 1024);
	at = pgmap_mapping_address(mapping);
	assert_true(is_all(at, 3 * MIB, 'x') && is_all(at + 3 * MIB, MIB, 0));
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_unmap(all), 0);
	assert_int_equal(pgmap_unlink(client, "/small/all"), 0);
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
	assert_int_equal(pgmap_rmdir(client, "/small"), 0);
}

/* Of a stream's file each piece is mapped that has come, wherever that begins: here in the middle of a huge page. */
static void a_stream_ends_in_a_huge_page(void **state)
{
	(void)state;
	char command[1024];
	assert_int_equal(pgmap_mkdir(client, "/small"), 0);
	assert_int_equal(pgmap_set_order(client, "/small", 8), 0);
	assert_int_equal(pgmap_unmap(sys_map(client, "/small/all", HALF)), 0);
	assert_int_equal(pgmap_unmap(sys_map(client, "/big", 6 * MIB)), 0);
	(void)snprintf(command, sizeof(command),
		       "export PGMAP_SOCKET=%s; head -c %u /dev/urandom >%s/bytes && \"$PGMAP\" put - /f <%s/bytes && "
		       "\"$PGMAP\" cat /f | cmp - %s/bytes; n=$?; rm -f %s/bytes; exit $n",
		       server.path, (unsigned)(26 * MIB - 5), server.dir, server.dir, server.dir, server.dir);
	assert_non_null(sys_env("PGMAP"));
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c,concurrency-mt-unsafe): a shell's words */
	assert_int_equal(stat_of("/f").blocks, 26 * 256);
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
	assert_int_equal(pgmap_unlink(client, "/big"), 0);
	assert_int_equal(pgmap_unlink(client, "/small/all"), 0);
	assert_int_equal(pgmap_rmdir(client, "/small"), 0);
}

/* So many small files come and go, and every big one still gets huge pages. */
static void small_files_leave_huge_pages_to_big_ones(void **state)
{
	(void)state;
	enum { FILES = 200, BIG = 16 };
	uint64_t seed = 7;
	char path[32];
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < FILES; i++) {
			seed = seed * 6364136223846793005 + 1442695040888963407;
			(void)snprintf(path, sizeof(path), "/s%u", (unsigned)(seed >> 33) % FILES);
			if (pgmap_unlink(client, path) == -ENOENT)
				assert_int_equal(pgmap_unmap(sys_map(client, path, 1 + (seed >> 40) % (32 * PAGE))), 0);
		}
		for (int i = 0; i < BIG; i++) {
			(void)snprintf(path, sizeof(path), "/b%d", i);
			struct pgmap_mapping *mapping = sys_map(client, path, 2 * MIB);
			assert_int_equal(page_kib(pgmap_mapping_address(mapping)), 2048);
			assert_int_equal(pgmap_unmap(mapping), 0);
		}
		for (int i = 0; i < BIG; i++) {
			(void)snprintf(path, sizeof(path), "/b%d", i);
			assert_int_equal(pgmap_unlink(client, path), 0);
		}
	}
	for (int i = 0; i < FILES; i++) {
		(void)snprintf(path, sizeof(path), "/s%d", i);
		(void)pgmap_unlink(client, path);
	}
	assert_int_equal(sys_info(client).used, 0);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_file_lies_on_huge_pages_and_its_end_on_small_ones),
		T(where_small_pages_have_gone_a_file_ends_in_a_huge_one),
		T(a_stream_ends_in_a_huge_page),
		T(small_files_leave_huge_pages_to_big_ones),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
