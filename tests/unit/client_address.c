/* SPDX-License-Identifier: BSD-3-Clause */
/* client_address.c - pieces of a device at one range of addresses, placed so that big pages can be used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/address.h"

enum { PAGE = 4096 };
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static int fd;
static struct forkfd from;
static uint8_t device; /* PROTO_DEVICE_... */

static int setup(void **state)
{
	(void)state;
	fd = memfd_create("device", MFD_CLOEXEC);
	from.fd = fd;
	return fd < 0 || ftruncate(fd, (off_t)(4 * GIB)) != 0;
}

static int teardown(void **state)
{
	(void)state;
	return close(fd);
}

static struct address_plan plan_of(const struct proto_piece *pieces, uint64_t npieces, uint64_t len_bytes)
{
	return (struct address_plan){.pieces = pieces,
				     .npieces = npieces,
				     .offset_bytes = pieces[0].file_offset_bytes,
				     .len_bytes = len_bytes,
				     .granule_bytes = PAGE,
				     .fds = &from,
				     .devices = &device,
				     .ndevices = 1,
				     .prot = PROT_READ | PROT_WRITE};
}

static void put_mark(uint64_t device_offset_bytes, char mark)
{
	assert_int_equal(pwrite(fd, &mark, 1, (off_t)device_offset_bytes), 1);
}

static void pieces_lie_one_after_the_other(void **state)
{
	(void)state;
	const struct proto_piece pieces[] = {
		{8 * PAGE, 100 * PAGE, 2 * PAGE, 0, 0},
		{10 * PAGE, 7 * PAGE, PAGE, 0, 0},
		{11 * PAGE, 300 * PAGE, 100, 0, 0}, /* the file's end, inside of a page */
	};
	struct address_plan plan = plan_of(pieces, 3, 3 * PAGE + 100);
	struct address address;
	put_mark(100 * PAGE, 'a');
	put_mark(101 * PAGE, 'b');
	put_mark(7 * PAGE, 'c');
	put_mark(300 * PAGE + 99, 'd');
	assert_int_equal(address_map(&plan, &address), 0);
	const char *at = address.start;
	assert_int_equal(address.bytes, 4 * PAGE);
	assert_int_equal(at[0], 'a');
	assert_int_equal(at[PAGE], 'b');
	assert_int_equal(at[2 * PAGE], 'c');
	assert_int_equal(at[3 * PAGE + 99], 'd');
	assert_int_equal(address_unmap(&address), 0);
}

/* The memory here has no MAP_SYNC, and says so to who asks for it: in one piece, in several, and over the same addresses. */
static void what_is_to_be_in_step_with_a_file_system_is_mapped_so(void **state)
{
	(void)state;
	static const struct proto_piece pieces[] = {{0, 8 * PAGE, PAGE, 0, 0}, {PAGE, 4 * PAGE, PAGE, 0, 0}};
	struct address address;
	for (uint64_t n = 1; n <= 2; n++) {
		struct address_plan plan = plan_of(pieces, n, n * PAGE);
		device = PROTO_DEVICE_SYNC;
		assert_int_equal(address_map(&plan, &address), -EOPNOTSUPP);
		device = 0;
		assert_int_equal(address_map(&plan, &address), 0);
		device = PROTO_DEVICE_SYNC;
		assert_int_equal(address_move(&plan, &address), -EOPNOTSUPP);
		assert_int_equal(address_unmap(&address), 0);
	}
	device = 0;
}

static void addresses_are_congruent_to_the_device(void **state)
{
	(void)state;
	static const struct {
		uint64_t device_offset, len, modulus;
	} cases[] = {
		{2 * MIB, 2 * MIB, 2 * MIB},   {3 * MIB, 8 * MIB, 2 * MIB}, {GIB, GIB, GIB},
		{GIB + 6 * MIB, 2 * GIB, GIB}, {12 * PAGE, 4 * PAGE, PAGE},
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct proto_piece piece = {0, cases[i].device_offset, cases[i].len, 0, 0};
		struct address_plan plan = plan_of(&piece, 1, cases[i].len);
		struct address address;
		assert_int_equal(address_map(&plan, &address), 0);
		assert_int_equal(((uintptr_t)address.start - cases[i].device_offset) % cases[i].modulus, 0);
		assert_int_equal(address_unmap(&address), 0);
	}
}

/* A small piece first: the big one behind it decides where the range lies. */
static void the_first_big_piece_decides(void **state)
{
	(void)state;
	const struct proto_piece pieces[] = {{0, 5 * PAGE, PAGE, 0, 0}, {PAGE, 64 * MIB, 4 * MIB, 0, 0}};
	struct address_plan plan = plan_of(pieces, 2, PAGE + 4 * MIB);
	struct address address;
	assert_int_equal(address_map(&plan, &address), 0);
	assert_int_equal(((uintptr_t)address.start + PAGE) % (2 * MIB), 0);
	assert_int_equal(address_unmap(&address), 0);
}

/* What is as large, but of small pages that lie otherwise on their device, does not keep a huge page from its place. */
static void each_piece_is_congruent_modulo_its_own_granule(void **state)
{
	(void)state;
	const struct proto_piece pieces[] = {
		{6 * MIB, 3 * MIB + PAGE, 4 * MIB, 0, 0},
		{10 * MIB, 64 * MIB, 2 * MIB, 0, 9},
		{12 * MIB, 9 * PAGE, 100, 0, 0},
	};
	for (unsigned first = 0; first < 2; first++) {
		struct address_plan plan =
			plan_of(pieces + first, 3 - first, 12 * MIB + 100 - pieces[first].file_offset_bytes);
		struct address address;
		assert_int_equal(address_map(&plan, &address), 0);
		uintptr_t huge = (uintptr_t)address.start + 10 * MIB - pieces[first].file_offset_bytes;
		assert_int_equal(huge % (2 * MIB), 0);
		assert_int_equal(address.bytes, 12 * MIB + PAGE - pieces[first].file_offset_bytes);
		assert_int_equal(address_unmap(&address), 0);
	}
	/* It ends in one: all of it is mapped. */
	const struct proto_piece end = {2 * MIB, 6 * MIB, MIB, 0, 9};
	struct address_plan plan = plan_of(&end, 1, MIB);
	struct address address;
	assert_int_equal(address_map(&plan, &address), 0);
	assert_int_equal(address.bytes, 2 * MIB);
	assert_int_equal((uintptr_t)address.start % (2 * MIB), 0);
	assert_int_equal(address_unmap(&address), 0);
}

static void pieces_that_make_no_range_are_refused(void **state)
{
	(void)state;
	static const struct proto_piece bad[][2] = {
		{{0, 0, PAGE, 0, 0}, {2 * PAGE, PAGE, PAGE, 0, 0}},   /* a gap */
		{{0, 0, PAGE, 0, 0}, {0, PAGE, PAGE, 0, 0}},          /* twice */
		{{0, 0, 100, 0, 0}, {100, PAGE, PAGE, 0, 0}},         /* not whole granules */
		{{0, 1, PAGE, 0, 0}, {PAGE, PAGE, PAGE, 0, 0}},       /* unaligned on the device */
		{{0, 0, 0, 0, 0}, {0, PAGE, PAGE, 0, 0}},             /* empty */
		{{0, PAGE, 2 * MIB, 0, 9}, {2 * MIB, 0, PAGE, 0, 0}}, /* not at a granule of its device, */
		{{0, 0, PAGE, 0, 0}, {PAGE, 0, 2 * MIB, 0, 9}},       /* nor of the file, */
		{{0, 0, MIB, 0, 9}, {MIB, 0, PAGE, 0, 0}},            /* and not whole ones */
		{{0, 0, PAGE, 0, 19}, {PAGE, 0, PAGE, 0, 0}},         /* no granule at all */
		{{0, 0, PAGE, 0, 0}, {PAGE, PAGE, UINT64_MAX, 0, 0}}, /* beyond everything */
	};
	struct address address = {.bytes = 77};
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct address_plan plan = plan_of(bad[i], 2, 2 * PAGE);
		assert_int_equal(address_map(&plan, &address), -EPROTO);
	}
	const struct proto_piece small = {0, 0, PAGE, 0, 0};
	struct address_plan plan = plan_of(&small, 1, PAGE + 1);
	assert_int_equal(address_map(&plan, &address), -EPROTO);
	assert_int_equal(address.bytes, 77);
}

static uint64_t count_maps(void)
{
	uint64_t n = 0;
	FILE *maps = fopen("/proc/self/maps", "re");
	assert_non_null(maps);
	for (int c; (c = getc(maps)) != EOF;)
		n += c == '\n';
	(void)fclose(maps);
	return n;
}

/* The process is brought to its limit of mappings with a range whose pages have alternating protections. */
static void more_pieces_than_the_process_may_map_are_e2big(void **state)
{
	(void)state;
	enum { PIECES = 600 };
	unsigned long limit = 0;
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu", &limit), 1);
	(void)fclose(file);
	uint64_t fill = limit - count_maps() - PIECES / 2;
	char *filler = mmap(NULL, fill * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(filler, MAP_FAILED);
	for (uint64_t i = 1; i + 1 < fill; i += 2)
		assert_int_equal(mprotect(filler + i * PAGE, PAGE, PROT_READ), 0);
	static struct proto_piece pieces[PIECES];
	for (unsigned i = 0; i < PIECES; i++)
		pieces[i] = (struct proto_piece){i * PAGE, (uint64_t)(PIECES - i) * 2 * PAGE, PAGE, 0, 0};
	struct address_plan plan = plan_of(pieces, PIECES, PIECES * PAGE);
	struct address address;
	uint64_t before = count_maps();
	assert_int_equal(address_map(&plan, &address), -E2BIG);
	assert_int_equal(count_maps(), before);
	assert_int_equal(munmap(filler, fill * PAGE), 0);
	assert_int_equal(address_map(&plan, &address), 0);
	assert_int_equal(address_unmap(&address), 0);
}

/* What follows each other on the device follows each other here, and where one has gone the next one of its size lies. */
static void ranges_lie_one_behind_the_other(void **state)
{
	(void)state;
	enum { RANGES = 16 };
	struct proto_piece pieces[RANGES];
	struct address at[RANGES], again;
	for (unsigned i = 0; i < RANGES; i++) {
		pieces[i] = (struct proto_piece){0, i * PAGE, PAGE, 0, 0};
		struct address_plan plan = plan_of(&pieces[i], 1, PAGE);
		assert_int_equal(address_map(&plan, &at[i]), 0);
		if (i)
			assert_ptr_equal((char *)at[i].start, (char *)at[i - 1].start + PAGE);
	}
	for (unsigned i = 3; i < 7; i++)
		assert_int_equal(address_unmap(&at[i]), 0);
	for (unsigned i = 3; i < 7; i++) {
		struct address_plan plan = plan_of(&pieces[i], 1, PAGE);
		assert_int_equal(address_map(&plan, &again), 0);
		assert_ptr_equal(again.start, at[i].start);
	}
	for (unsigned i = 0; i < RANGES; i++)
		assert_int_equal(address_unmap(&at[i]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_lie_one_after_the_other),
		cmocka_unit_test(what_is_to_be_in_step_with_a_file_system_is_mapped_so),
		cmocka_unit_test(addresses_are_congruent_to_the_device),
		cmocka_unit_test(the_first_big_piece_decides),
		cmocka_unit_test(each_piece_is_congruent_modulo_its_own_granule),
		cmocka_unit_test(pieces_that_make_no_range_are_refused),
		cmocka_unit_test(ranges_lie_one_behind_the_other),
		cmocka_unit_test(more_pieces_than_the_process_may_map_are_e2big),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
