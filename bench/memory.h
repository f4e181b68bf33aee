/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory.h - bare shared memory to compare the pool with, and what is done with both.
 */
#ifndef PGMAP_BENCH_MEMORY_H
#define PGMAP_BENCH_MEMORY_H

#include <stddef.h>
#include <stdint.h>

struct bench_memory {
	int fd;
	size_t bytes;
};

/* A memfd with pages of that size (4 or a huge page's), all of them touched; or the end of the subject. */
void bench_memory_make(struct bench_memory *memory, size_t bytes, uint64_t page_kib);

/* n reads of 64 bytes, each at a place that is not known before the one before it has been read. */
void bench_random_reads(const void *base, size_t bytes, uint64_t n);

/* The process moves to another CPU than its parent, where PGMAP_BENCH_OTHER_CPU names one. */
void bench_use_other_cpu(void);

/* Bytes of this process that are in memory, by a walk of its pages: the kernel's quick counters are not exact. */
uint64_t bench_resident_bytes(void);

#endif
