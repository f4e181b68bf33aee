/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * persist.c - see persist.h. msync() writes back what anybody has changed in these pages of the file, by whatever mapping: so
 * one that is made for it will do.
 */
#include "dev/persist.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

static const uint64_t MOST_MAPPED = UINT64_C(1) << 30; /* at once */

void persist_init(struct persist *persist, int fd, uint64_t len_bytes, bool pages)
{
	persist->fd = fd;
	persist->granularity = pages ? DEV_PERSIST_PAGE : DEV_PERSIST_UNKNOWN;
	persist->map = persist_map(fd, len_bytes, &persist->granularity);
}

void persist_exit(struct persist *persist)
{
	if (persist->map)
		persist_unmap(persist->map);
	persist->map = NULL;
}

static int flush_pages(int fd, uint64_t offset_bytes, uint64_t len_bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end = offset_bytes + len_bytes;
	uint64_t from = offset_bytes / page * page;
	int err = 0;
	while (from < end && !err) {
		uint64_t n = end - from < MOST_MAPPED ? end - from : MOST_MAPPED;
		void *at = mmap(NULL, n, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, (off_t)from);
		if (at == MAP_FAILED)
			return -errno;
		err = msync(at, n, MS_SYNC) == 0 ? 0 : -errno;
		(void)munmap(at, n);
		from += n;
	}
	return err;
}

int persist_flush(const struct persist *persist, uint64_t offset_bytes, uint64_t len_bytes)
{
	switch (persist->granularity) {
	case DEV_PERSIST_NONE:
		return 0;
	case DEV_PERSIST_PAGE:
		return flush_pages(persist->fd, offset_bytes, len_bytes);
	case DEV_PERSIST_CACHE_LINE:
	case DEV_PERSIST_BYTE:
		persist_map_flush(persist->map, offset_bytes, len_bytes);
		return 0;
	case DEV_PERSIST_UNKNOWN:
		break;
	}
	return -EOPNOTSUPP;
}
