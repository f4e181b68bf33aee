/* SPDX-License-Identifier: BSD-3-Clause */
/* names.c - see names.h. What a later server says is "unknown". */
#include "names.h"

#include <stddef.h>

#include <pgmap/client.h>

const struct names *names_of_access(uint32_t access)
{
	static const struct names names[] = {
		[PGMAP_ACCESS_MEMORY] = {"the system's memory", "memory"},
		[PGMAP_ACCESS_CACHED] = {"through the page cache", "page-cache"},
		[PGMAP_ACCESS_DIRECT] = {"direct", "direct"},
		[PGMAP_ACCESS_SYNC] = {"direct, with MAP_SYNC", "direct-sync"},
	};
	static const struct names other = {"unknown", "unknown"};
	return access < sizeof(names) / sizeof(names[0]) ? &names[access] : &other;
}

const struct names *names_of_persistence(uint32_t persistence)
{
	static const struct names names[] = {
		[PGMAP_PERSIST_NONE] = {"none: volatile memory", "none"},
		[PGMAP_PERSIST_UNKNOWN] = {"unknown: this was built without libpmem2", "unknown"},
		[PGMAP_PERSIST_PAGE] = {"by the page (msync)", "page"},
		[PGMAP_PERSIST_CACHE_LINE] = {"by the cache line", "cache-line"},
		[PGMAP_PERSIST_BYTE] = {"by the byte: nothing has to be flushed", "byte"},
	};
	return persistence < sizeof(names) / sizeof(names[0]) ? &names[persistence] : &names[PGMAP_PERSIST_UNKNOWN];
}
