/* SPDX-License-Identifier: BSD-3-Clause */
/* zero.c - see zero.h. A system without /dev/zero has memory looked for before it is written to: nearly as good. */
#include "dev/zero.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* So that a signal, or the end of the program, costs a part. */
enum { PART_BYTES = 64 << 20 };

void zero_init(struct zero *zero)
{
	zero->fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
}

void zero_exit(struct zero *zero)
{
	if (zero->fd >= 0)
		(void)close(zero->fd);
	zero->fd = -1;
}

/* A store to what is not there is a signal: so it is looked for first. A kernel that cannot look says EINVAL. */
static int store_zeros(void *at, size_t len_bytes)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)at / page * page;
	uintptr_t end = ((uintptr_t)at + len_bytes + page - 1) / page * page;
	if (madvise((char *)at - ((uintptr_t)at - from), end - from, MADV_POPULATE_WRITE) != 0 && errno != EINVAL)
		return -EFAULT;
	memset(at, 0, len_bytes);
	return 0;
}

int zero_bytes(const struct zero *zero, void *at, size_t len_bytes)
{
	char *to = at;
	if (zero->fd < 0)
		return store_zeros(at, len_bytes);
	while (len_bytes) {
		ssize_t n = read(zero->fd, to, len_bytes < PART_BYTES ? len_bytes : PART_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EFAULT;
		to += n;
		len_bytes -= (size_t)n;
	}
	return 0;
}
