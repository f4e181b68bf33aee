/* SPDX-License-Identifier: BSD-3-Clause */
/* Address space that costs nothing until it is touched; and the ways in which the system refuses it. */
#include "port/reserve.h"

#include <stdint.h>
#include <sys/mman.h>

#include "core_util.h"

enum { PAGE = 4096, MIB = 1 << 20 };
#define GIB (UINT64_C(1) << 30)

/* The VmFlags of the mapping that starts at this address; "" if there is none. */
static void vm_flags(const void *at, char flags[512])
{
	char line[512];
	bool here = false;
	FILE *f = fopen("/proc/self/smaps", "re");
	assert_non_null(f);
	flags[0] = '\0';
	while (fgets(line, sizeof(line), f)) {
		unsigned long from, to;
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from <= (uintptr_t)at && (uintptr_t)at < to;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			memcpy(flags, line + 8, strlen(line + 8) + 1);
	}
	(void)fclose(f);
}

static bool is_mapped(void *page)
{
	unsigned char resident;
	return mincore(page, PAGE, &resident) == 0;
}

static void a_reservation_is_aligned_whatever_its_size(void **state)
{
	(void)state;
	static const size_t sizes[] = {PAGE, 3 * PAGE, 2 * MIB + PAGE, GIB, GIB + PAGE, 32 * GIB};
	static const size_t aligns[] = {PAGE, 2 * MIB, GIB};
	for (size_t a = 0; a < sizeof(aligns) / sizeof(aligns[0]); a++)
		for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
			bool on_demand = true;
			char *at = port_reserve(sizes[s], aligns[a], &on_demand);
			assert_non_null(at);
			assert_int_equal((uintptr_t)at % aligns[a], 0);
			assert_true(is_mapped(at));
			assert_true(is_mapped(at + sizes[s] - PAGE));
			port_unreserve(at, sizes[s]);
			assert_false(is_mapped(at));
			assert_false(is_mapped(at + sizes[s] - PAGE));
		}
}

static void a_reservation_is_aligned_where_its_place_is_taken(void **state)
{
	(void)state;
	bool on_demand;
	char *first = port_reserve(GIB, GIB, &on_demand);
	assert_non_null(first);
	/* The next one would lie behind it: put something into each gibibyte there. */
	char *blocks[8];
	for (size_t i = 0; i < 8; i++)
		blocks[i] = mmap(first + (i + 1) * GIB + 5 * PAGE, PAGE, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	uint64_t before = status_bytes("VmSize");
	char *second = port_reserve(GIB + PAGE, GIB, &on_demand);
	assert_non_null(second);
	assert_int_equal((uintptr_t)second % GIB, 0);
	assert_true(is_mapped(second + GIB));
	assert_true(status_bytes("VmSize") - before <= GIB + 64 * PAGE); /* no more than was asked for is kept */
	second[GIB] = 1;
	port_unreserve(second, GIB + PAGE);
	port_unreserve(first, GIB);
	for (size_t i = 0; i < 8; i++)
		if (blocks[i] != MAP_FAILED)
			munmap(blocks[i], PAGE);
}

static void c3_21_a_reservation_reads_as_zero_and_is_left_out_of_dumps_and_huge_pages(void **state)
{
	(void)state;
	bool on_demand;
	char flags[512];
	char *at = port_reserve(8 * MIB, 2 * MIB, &on_demand);
	assert_non_null(at);
	for (size_t i = 0; i < 8 * MIB; i += MIB)
		assert_int_equal(at[i], 0);
	vm_flags(at, flags);
	assert_non_null(strstr(flags, " dd")); /* MADV_DONTDUMP */
	assert_non_null(strstr(flags, " nh")); /* MADV_NOHUGEPAGE */
	assert_int_equal(port_commit(at, 2 * PAGE), 0);
	at[0] = 1;
	unsigned char resident[2];
	assert_int_equal(mincore(at, 2 * PAGE, resident), 0);
	assert_int_equal(resident[0] & 1, 1);
	port_unreserve(at, 8 * MIB);
}

static void one_that_becomes_longer_keeps_what_is_in_it(void **state)
{
	(void)state;
	bool on_demand;
	char flags[512];
	char *at = port_reserve(2 * PAGE, PAGE, &on_demand);
	assert_non_null(at);
	assert_false(on_demand);
	at[0] = 1;
	at[2 * PAGE - 1] = 2;
	assert_null(port_extend(at, 2 * PAGE, (size_t)1 << 52));
	assert_true(at[0] == 1 && at[2 * PAGE - 1] == 2);
	at = port_extend(at, 2 * PAGE, 8 * MIB);
	assert_non_null(at);
	assert_true(at[0] == 1 && at[2 * PAGE - 1] == 2 && at[2 * PAGE] == 0 && at[8 * MIB - 1] == 0);
	at[8 * MIB - 1] = 3;
	vm_flags(at + 4 * MIB, flags);
	assert_non_null(strstr(flags, " dd"));
	assert_non_null(strstr(flags, " nh"));
	port_unreserve(at, 8 * MIB);
}

static void too_much_is_refused(void **state)
{
	(void)state;
	bool on_demand;
	assert_null(port_reserve((size_t)1 << 52, GIB, &on_demand));
	assert_null(port_reserve(SIZE_MAX - 2 * GIB + 1, GIB, &on_demand));
}

static void short_of_address_space(void *arg)
{
	(void)arg;
	bool on_demand;
	limit_to(RLIMIT_AS, "VmSize", 16 * MIB);
	uint64_t before = status_bytes("VmSize");
	CHILD_CHECK(!port_reserve(32 * MIB, PAGE, &on_demand));
	CHILD_CHECK(!port_reserve(32 * MIB, GIB, &on_demand));
	CHILD_CHECK(status_bytes("VmSize") <= before);
}

static void without_address_space_nothing_is_kept(void **state)
{
	(void)state;
	expect_child_passes(short_of_address_space, NULL);
}

/* A process that may not have writable memory is told so, as one is on a system that forbids overcommit. */
static void on_demand_in_child(void *arg)
{
	(void)arg;
	bool on_demand = false;
	limit_to(RLIMIT_DATA, "VmData", 8 * MIB);
	char *at = port_reserve(64 * MIB, 2 * MIB, &on_demand);
	CHILD_CHECK(at && on_demand);
	for (size_t i = 0; i < 64 * MIB; i += MIB)
		CHILD_CHECK(at[i] == 0);
	CHILD_CHECK(port_commit(at + MIB, MIB) == 0);
	CHILD_CHECK(port_commit(at + MIB, MIB) == 0);
	memset(at + MIB, 1, MIB);
	CHILD_CHECK(at[MIB - 1] == 0 && at[2 * MIB] == 0);
	CHILD_CHECK(port_commit(at + 16 * MIB, 32 * MIB) == -ENOMEM);
	CHILD_CHECK(at[16 * MIB] == 0);
	CHILD_CHECK(port_commit(at + 4 * MIB, MIB) == 0); /* a smaller part still */
	at[4 * MIB] = 1;
	port_unreserve(at, 64 * MIB);
	CHILD_CHECK(!is_mapped(at));
}

static void where_memory_must_be_committed_it_is_said_and_can_be(void **state)
{
	(void)state;
	expect_child_passes(on_demand_in_child, NULL);
}

static void write_to_what_is_not_committed(void *arg)
{
	(void)arg;
	bool on_demand = false;
	limit_to(RLIMIT_DATA, "VmData", 8 * MIB);
	volatile char *at = port_reserve(64 * MIB, 2 * MIB, &on_demand);
	signal(SIGSEGV, SIG_DFL);
	if (at && on_demand)
		*at = 1;
}

static void what_is_not_committed_cannot_be_written_to(void **state)
{
	(void)state;
	char said[1024];
	int status = in_child(write_to_what_is_not_committed, NULL, said, sizeof(said));
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reservation_is_aligned_whatever_its_size),
		cmocka_unit_test(a_reservation_is_aligned_where_its_place_is_taken),
		cmocka_unit_test(c3_21_a_reservation_reads_as_zero_and_is_left_out_of_dumps_and_huge_pages),
		cmocka_unit_test(one_that_becomes_longer_keeps_what_is_in_it),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(without_address_space_nothing_is_kept),
		cmocka_unit_test(where_memory_must_be_committed_it_is_said_and_can_be),
		cmocka_unit_test(what_is_not_committed_cannot_be_written_to),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
