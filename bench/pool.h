/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pool.h - what subjects do with the server's pool; $PGMAP_SOCKET names the server that bench/run started. Each call
 * ends the subject, with the reason, where it cannot do what it says.
 */
#ifndef PGMAP_BENCH_POOL_H
#define PGMAP_BENCH_POOL_H

#include <stdint.h>

#include <pgmap/client.h>

/* A connection, the same one for all who ask; pool_use() before the first of them: to this pool instead. */
void pool_use(const char *address);
struct pgmap_client *pool_client(void);

struct pgmap_mapping *pool_map(const char *name, unsigned flags, uint64_t bytes, unsigned prot);

/*
 * A file of that size, every page of it touched: what others then map must be there. Another subject of the figure may
 * have made it, and mapped it.
 */
void pool_make_file(const char *name, uint64_t bytes);

#endif
