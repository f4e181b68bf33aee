/* SPDX-License-Identifier: BSD-3-Clause */
/* pool.c - see pool.h. */
#include "pool.h"

#include <string.h>

#include "subject.h"

static const char *used; /* null: the server's */

void pool_use(const char *address)
{
	used = address;
}

struct pgmap_client *pool_client(void)
{
	static struct pgmap_client *client;
	int rc = client ? 0 : pgmap_connect(used, &client);
	if (rc != 0)
		subject_fail("connect: %s", strerror(-rc));
	return client;
}

struct pgmap_mapping *pool_map(const char *name, unsigned flags, uint64_t bytes, unsigned prot)
{
	struct pgmap_mapping *m = NULL;
	int rc = pgmap_open_map(pool_client(), name, flags, bytes, prot, &m);
	if (rc != 0)
		subject_fail("open_map %s: %s", name, strerror(-rc));
	return m;
}

void pool_make_file(const char *name, uint64_t bytes)
{
	struct pgmap_mapping *m = pool_map(name, PGMAP_O_CREATE, bytes, PGMAP_MAP_READ | PGMAP_MAP_WRITE);
	memset(pgmap_mapping_address(m), 0, bytes);
	int rc = pgmap_unmap(m);
	if (rc != 0)
		subject_fail("unmap: %s", strerror(-rc));
}
