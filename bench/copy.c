/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * copy.c - how fast bytes get into memory, one after the other, by the CPU's own copy: into a mapped file of the pool,
 * into anonymous memory of that page size, and by write(2) into a file of tmpfs. In GB/s.
 *
 * All copy from the same kind of memory, all pages of which were touched before. The target begins 2 MiB beyond a multiple
 * of 256 MiB after the source: copies between addresses that are such a multiple apart run at two thirds of the speed, and
 * where the kernel puts a mapping would decide who is hit.
 */
#include "subject.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "pool.h"

#define ALIAS   (UINT64_C(256) << 20) /* addresses that far apart get in each other's way */
#define STAGGER (UINT64_C(2) << 20)

static char *source, *target;
static uint64_t bytes;
static int file = -1;

static int huge_flags(uint64_t page_kib)
{
	return page_kib > 4 ? MAP_HUGETLB | __builtin_ctzll(page_kib << 10) << MAP_HUGE_SHIFT : 0;
}

/* Anonymous memory, every page of it touched; at that address, or anywhere. */
static char *anonymous(void *at, uint64_t page_kib)
{
	uint64_t page = page_kib << 10, len = (bytes + page - 1) / page * page;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | huge_flags(page_kib) | (at ? MAP_FIXED : 0);
	char *p = mmap(at, len, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (p == MAP_FAILED)
		subject_fail("no %lu bytes in pages of %lu KiB: %s", (unsigned long)len, (unsigned long)page_kib,
			     strerror(errno));
	memset(p, 1, len);
	return p;
}

/* The source, STAGGER before a multiple of ALIAS from the target (which may be null: anywhere). */
static void make_source(uint64_t page_kib)
{
	uint64_t room = bytes + ALIAS;
	char *p = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		subject_fail("mmap: %s", strerror(errno));
	source = anonymous(p + ((uintptr_t)target - STAGGER - (uintptr_t)p) % ALIAS, page_kib);
}

static double copied(uint64_t start)
{
	return (double)bytes / (double)(now_ns() - start);
}

static double copy_round(void)
{
	uint64_t start = now_ns();
	memcpy(target, source, bytes);
	keep(target);
	return copied(start);
}

static void pool_prepare(int argc, char **argv)
{
	bytes = subject_number(argc, argv, 0) << 20;
	pool_make_file("/bench-map", bytes);
	target = pgmap_mapping_address(pool_map("/bench-map", 0, 0, PGMAP_MAP_READ | PGMAP_MAP_WRITE));
	memset(target, 1, bytes);
	make_source(subject_number(argc, argv, 1));
}

/* A pool of the subject's own, on that device. */
static void one_prepare(int argc, char **argv)
{
	if (argc < 3)
		subject_fail("which device?");
	pool_use(argv[2]);
	pool_prepare(argc, argv);
}

static void memory_prepare(int argc, char **argv)
{
	bytes = subject_number(argc, argv, 0) << 20;
	target = anonymous(NULL, subject_number(argc, argv, 2));
	make_source(subject_number(argc, argv, 1));
}

/* A memfd of plain pages is a file of tmpfs. Its pages are there before anything is timed, as the others' are. */
static double write_round(void)
{
	uint64_t start = now_ns();
	for (uint64_t at = 0; at < bytes;) {
		ssize_t n = pwrite(file, source + at, bytes - at, (off_t)at);
		if (n <= 0)
			subject_fail("write: %s", strerror(errno));
		at += (uint64_t)n;
	}
	return copied(start);
}

static void write_prepare(int argc, char **argv)
{
	struct bench_memory memory;
	bytes = subject_number(argc, argv, 0) << 20;
	bench_memory_make(&memory, bytes, 4);
	file = memory.fd;
	make_source(subject_number(argc, argv, 1));
}

int main(int argc, char **argv)
{
	static const struct subject table[] = {
		{"pool", "MIB SOURCE_PAGE_KIB", pool_prepare, copy_round},
		{"one", "MIB SOURCE_PAGE_KIB ADDRESS", one_prepare, copy_round},
		{"memory", "MIB SOURCE_PAGE_KIB PAGE_KIB", memory_prepare, copy_round},
		{"write", "MIB SOURCE_PAGE_KIB", write_prepare, write_round},
		{0},
	};
	return subject_main(argc, argv, table);
}
