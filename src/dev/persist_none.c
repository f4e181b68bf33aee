/* SPDX-License-Identifier: BSD-3-Clause */
/* persist_none.c - see persist.h, in a build without libpmem2: nothing smaller than a page is known. */
#include <stddef.h>

#include "dev/persist.h"

void *persist_map(int fd, uint64_t len_bytes, enum dev_persistence *granularity)
{
	(void)fd;
	(void)len_bytes;
	(void)granularity;
	return NULL;
}

void persist_unmap(void *map)
{
	(void)map;
}

void persist_map_flush(void *map, uint64_t offset_bytes, uint64_t len_bytes)
{
	(void)map;
	(void)offset_bytes;
	(void)len_bytes;
}
