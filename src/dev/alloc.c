/* SPDX-License-Identifier: BSD-3-Clause */
/* alloc.c - see alloc.h. */
#include "dev/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <sys/ioctl.h>

/* Never less than a page of hugetlbfs, which is punched whole or merely zeroed: ranges of 1 GiB pages are multiples of it. */
static uint64_t step_bytes(uint64_t from, uint64_t to)
{
	uint64_t most = UINT64_C(1) << ((from | to) % (UINT64_C(1) << 30) ? 28 : 30);
	return to - from < most ? to - from : most;
}

static int step(int fd, int mode, uint64_t from, uint64_t len)
{
	int err;
	do
		err = fallocate(fd, mode, (off_t)from, (off_t)len) == 0 ? 0 : -errno;
	while (err == -EINTR);
	return err;
}

static int steps(int fd, int mode, uint64_t from, uint64_t to)
{
	int err = 0;
	while (from < to && !err) {
		uint64_t n = step_bytes(from, to);
		err = step(fd, mode, from, n);
		from += n;
	}
	return err;
}

int alloc_fill(int fd, uint64_t from, uint64_t to)
{
	return steps(fd, 0, from, to);
}

int alloc_punch(int fd, uint64_t from, uint64_t to)
{
	return steps(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, to);
}

static int zero(int fd, uint64_t from, uint64_t to)
{
	return steps(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, from, to);
}

static uint64_t down(uint64_t bytes)
{
	return bytes / ALLOC_BLOCK * ALLOC_BLOCK;
}

static uint64_t up(uint64_t bytes, uint64_t size)
{
	uint64_t there = down(bytes + ALLOC_BLOCK - 1);
	return there < size ? there : size;
}

/* Extents lie behind all of it, written or not. SEEK_HOLE would call those that were never written holes. */
static bool has_room(int fd, uint64_t from, uint64_t to)
{
	while (from < to) {
		union {
			struct fiemap map;
			char bytes[sizeof(struct fiemap) + sizeof(struct fiemap_extent)];
		} ask = {.map = {.fm_start = from, .fm_length = to - from, .fm_extent_count = 1}};
		const struct fiemap_extent *extent = ask.map.fm_extents;
		if (ioctl(fd, FS_IOC_FIEMAP, &ask.map) != 0 || ask.map.fm_mapped_extents != 1 ||
		    extent->fe_logical > from || extent->fe_logical + extent->fe_length <= from)
			return false;
		from = extent->fe_logical + extent->fe_length;
	}
	return true;
}

/* On a full disk xfs has no room for the mere question, even where nothing is to be allocated. */
int alloc_fill_blocks(int fd, uint64_t from, uint64_t to, uint64_t size)
{
	from = down(from);
	to = up(to, size);
	int err = alloc_fill(fd, from, to);
	return (err == -ENOSPC || err == -EDQUOT) && has_room(fd, from, to) ? 0 : err;
}

int alloc_punch_blocks(int fd, uint64_t from, uint64_t to, uint64_t size)
{
	uint64_t first = up(from, size), last = to == size ? to : down(to);
	if (first >= last)
		return zero(fd, from, to);
	int err = zero(fd, from, first);
	if (!err)
		err = alloc_punch(fd, first, last);
	return err ? err : zero(fd, last, to);
}
