/* SPDX-License-Identifier: BSD-3-Clause */
/* memory.c - see memory.h. */
#include "memory.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "subject.h"

void bench_memory_make(struct bench_memory *memory, size_t bytes, uint64_t page_kib)
{
	unsigned flags = MFD_CLOEXEC;
	if (page_kib > 4) {
		unsigned shift = (unsigned)__builtin_ctzll(page_kib << 10);
		flags |= MFD_HUGETLB | shift << MAP_HUGE_SHIFT;
	}
	memory->bytes = bytes;
	memory->fd = memfd_create("pgmap-bench", flags);
	if (memory->fd < 0 || ftruncate(memory->fd, (off_t)bytes) != 0)
		subject_fail("memfd of %zu bytes, pages of %lu KiB: %s", bytes, (unsigned long)page_kib,
			     strerror(errno));
	/* Written once before anything is timed: the first touch of a huge page costs more than all that is measured. */
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd, 0);
	if (p == MAP_FAILED)
		subject_fail("no %zu bytes in pages of %lu KiB: %s", bytes, (unsigned long)page_kib, strerror(errno));
	memset(p, 0, bytes);
	munmap(p, bytes);
}

void bench_random_reads(const void *base, size_t bytes, uint64_t n)
{
	/* Not the same places for all: the next subject would find in the cache what this one has read. */
	static struct rng rng;
	if (rng.state == 0)
		rng.state = now_ns() * UINT64_C(0x9e3779b97f4a7c15) | 1;
	const uint64_t *lines = base;
	uint64_t carried = 0;
	for (uint64_t i = 0; i < n; i++) {
		/* What was read is 0, but only the memory knows: the next address waits for it. */
		rng.state += carried;
		const uint64_t *line = lines + rng_below(&rng, bytes / 64) * 8;
		carried = line[0] | line[1] | line[2] | line[3] | line[4] | line[5] | line[6] | line[7];
	}
	keep((const void *)(uintptr_t)carried);
}

void bench_use_other_cpu(void)
{
	const char *cpus = getenv("PGMAP_BENCH_OTHER_CPU");
	if (!cpus)
		return;
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET((unsigned)atoi(cpus), &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		_exit(1);
}

uint64_t bench_resident_bytes(void)
{
	char line[256];
	unsigned long kib = 0;
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	if (!file)
		subject_fail("/proc/self/smaps_rollup: %s", strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, "Rss:", 4) == 0)
			kib = strtoul(line + 4, NULL, 10);
	}
	fclose(file);
	return (uint64_t)kib << 10;
}
