/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guard.c - a program that has its own memory broken (MADV_HWPOISON), and touches it under guard (src/port/guard.h): vm_guard 4K|2M.
 * It says "short N", how many bytes came before the first that was lost, and how many the machine says are; "end" when all went
 * on as it should, or dies.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "port/guard.h"

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21 << 26)
#endif

int main(int argc, char **argv)
{
	enum { BYTES = 8 << 20, BAD = 5 << 20, PAGE = 4096 };
	bool huge = argc > 1 && strcmp(argv[1], "2M") == 0;
	static char to[BYTES];
	struct guard_fault fault;
	int fd = memfd_create("guard", huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0);
	if (fd < 0 || ftruncate(fd, BYTES) != 0)
		return 1;
	char *at = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED || guard_install() != 0)
		return 1;
	memset(at, 1, BYTES);
	if (madvise(at + BAD, PAGE, MADV_HWPOISON) != 0)
		return 1;
	size_t n = guard_read(to, at, BYTES, &fault);
	(void)printf("short %zu lost %zu %s\n", n, fault.len_bytes, guard_is_memory_error(&fault) ? "memory" : "other");
	n = guard_zero(at + n, BYTES - n, &fault);
	(void)printf("short %zu lost %zu %s\n", n, fault.len_bytes, guard_is_memory_error(&fault) ? "memory" : "other");
	(void)puts("end");
	return 0;
}
