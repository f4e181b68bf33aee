/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * persist_pmem2.c - see persist.h, with libpmem2.
 *
 * It maps the device itself, with MAP_SYNC where there is that, since only a mapping says what it needs: a byte, where the
 * platform writes its caches back when the power fails; a cache line, where a store must be pushed out of them; else a page of
 * the page cache. In the last case its mapping is let go: msync() is ours, as its own ends the program where it fails.
 */
#include <libpmem2.h>

#include "dev/persist.h"

static struct pmem2_map *map_all(int fd, uint64_t len_bytes)
{
	struct pmem2_source *source = NULL;
	struct pmem2_config *config = NULL;
	struct pmem2_map *map = NULL;
	if (pmem2_source_from_fd(&source, fd) == 0 && pmem2_config_new(&config) == 0 &&
	    pmem2_config_set_required_store_granularity(config, PMEM2_GRANULARITY_PAGE) == 0 &&
	    pmem2_config_set_length(config, len_bytes) == 0 && pmem2_map_new(&map, config, source) != 0)
		map = NULL;
	(void)pmem2_config_delete(&config);
	(void)pmem2_source_delete(&source);
	return map;
}

void *persist_map(int fd, uint64_t len_bytes, enum dev_persistence *granularity)
{
	struct pmem2_map *map = map_all(fd, len_bytes);
	if (!map)
		return NULL;
	switch (pmem2_map_get_store_granularity(map)) {
	case PMEM2_GRANULARITY_BYTE:
		*granularity = DEV_PERSIST_BYTE;
		return map;
	case PMEM2_GRANULARITY_CACHE_LINE:
		*granularity = DEV_PERSIST_CACHE_LINE;
		return map;
	default:
		persist_unmap(map);
		return NULL;
	}
}

void persist_unmap(void *map)
{
	struct pmem2_map *gone = map;
	(void)pmem2_map_delete(&gone);
}

void persist_map_flush(void *map, uint64_t offset_bytes, uint64_t len_bytes)
{
	pmem2_get_persist_fn(map)((char *)pmem2_map_get_address(map) + offset_bytes, len_bytes);
}
