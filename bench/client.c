/* SPDX-License-Identifier: BSD-3-Clause */
/* client.c - what a process pays that uses the server's pool. */
#include "subject.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "memory.h"
#include "pool.h"

static struct pgmap_mapping *mapping;
static uint64_t count;
static const char *path;

static double per_operation(void (*batch)(uint64_t n))
{
	uint64_t start = now_ns();
	batch(count);
	return (double)(now_ns() - start) / (double)count;
}

/* Pin and unpin of one folio. */
static void pin_batch(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		if (pgmap_pin(mapping, 0, 4096, PGMAP_PIN_LOCAL) != 0 ||
		    pgmap_unpin(mapping, 0, 4096, PGMAP_PIN_LOCAL) != 0)
			subject_fail("pin and unpin");
	}
}

static void pin_prepare(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	pool_make_file("/bench-pin", 2 << 20);
	mapping = pool_map("/bench-pin", 0, 0, PGMAP_MAP_READ);
	count = subject_calibrate(pin_batch);
}

static double pin_round(void)
{
	return per_operation(pin_batch);
}

/* Open, map, touch, unmap, close of a file that is there. */
static void map_batch(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		struct pgmap_mapping *m = pool_map(path, 0, 0, PGMAP_MAP_READ);
		keep((void *)(uintptr_t)(unsigned char)*(volatile char *)pgmap_mapping_address(m));
		if (pgmap_unmap(m) != 0)
			subject_fail("unmap");
	}
}

static void map_prepare(int argc, char **argv)
{
	path = "/bench-map";
	pool_make_file(path, subject_number(argc, argv, 0) << 20);
	bench_use_other_cpu();
	count = subject_calibrate(map_batch);
}

static double map_round(void)
{
	return per_operation(map_batch);
}

/* Random dependent reads of a mapped file. */
static void read_batch(uint64_t n)
{
	bench_random_reads(pgmap_mapping_address(mapping), pgmap_mapping_bytes(mapping), n);
}

static void read_prepare(int argc, char **argv)
{
	pool_make_file("/bench-map", subject_number(argc, argv, 0) << 20);
	mapping = pool_map("/bench-map", 0, 0, PGMAP_MAP_READ);
	/* Its page tables are there before anything is timed, as the limit's are. */
	for (uint64_t at = 0; at < pgmap_mapping_bytes(mapping); at += 4096)
		keep((void *)(uintptr_t)((volatile unsigned char *)pgmap_mapping_address(mapping))[at]);
	count = subject_calibrate(read_batch);
}

static double read_round(void)
{
	return per_operation(read_batch);
}

/*
 * The limit of the reads: the very same pages, mapped by hand with one mmap of the device. Other memory would not do: two
 * pieces of it differ by more than what is measured here (which host pages are under them, what lies in the caches).
 */
static const void *by_hand;

/* The descriptor that the mapping at this address was made from, and where in it the mapping begins. */
static int find_device(const void *address, off_t *offset)
{
	char line[512], name[64];
	unsigned long start, end, at, inode, found = 0;
	FILE *maps = fopen("/proc/self/maps", "re");
	while (maps && !found && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %*s %lx %*s %lu", &start, &end, &at, &inode) == 4 &&
		    start == (uintptr_t)address)
			found = inode;
	}
	if (!found || end - start < pgmap_mapping_bytes(mapping))
		subject_fail("the file is not one piece of the device");
	fclose(maps);
	*offset = (off_t)at;
	for (int fd = 3; fd < 256; fd++) {
		struct stat st;
		if (fstat(fd, &st) == 0 && st.st_ino == found)
			return fd;
	}
	snprintf(name, sizeof(name), "/proc/self/map_files/%lx-%lx", start, end);
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		subject_fail("%s: %s", name, strerror(errno));
	return fd;
}

static void read_by_hand_batch(uint64_t n)
{
	bench_random_reads(by_hand, pgmap_mapping_bytes(mapping), n);
}

static void read_by_hand_prepare(int argc, char **argv)
{
	off_t offset;
	read_prepare(argc, argv);
	int fd = find_device(pgmap_mapping_address(mapping), &offset);
	by_hand = mmap(NULL, pgmap_mapping_bytes(mapping), PROT_READ, MAP_SHARED | MAP_POPULATE, fd, offset);
	if (by_hand == MAP_FAILED)
		subject_fail("mmap: %s", strerror(errno));
}

static double read_by_hand_round(void)
{
	return per_operation(read_by_hand_batch);
}

int main(int argc, char **argv)
{
	static const struct subject table[] = {
		{"pin", "", pin_prepare, pin_round},
		{"map", "MIB", map_prepare, map_round},
		{"read", "MIB", read_prepare, read_round},
		{"read_by_hand", "MIB", read_by_hand_prepare, read_by_hand_round},
		{0},
	};
	return subject_main(argc, argv, table);
}
