/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peer_pmemobj.c - libpmemobj over a file on tmpfs: what hands out memory that can be shared. PMEM_IS_PMEM_FORCE=1 gives
 * it its quick path (flushes instead of msync), which it would not take on tmpfs by itself.
 */
#include "peer.h"

#include <libpmemobj.h>
#include <unistd.h>

static PMEMobjpool *pool;
static size_t block_bytes;

static inline PMEMoid take(void)
{
	PMEMoid oid;
	if (pmemobj_alloc(pool, &oid, block_bytes, 0, NULL, NULL) != 0)
		subject_fail("pmemobj_alloc: %s", pmemobj_errormsg());
	return oid;
}

static inline void release(PMEMoid oid)
{
	pmemobj_free(&oid);
}

PEER_WINDOW(PMEMoid, take, release)

static void prepare(int argc, char **argv)
{
	char path[] = "/dev/shm/pgmap-bench-XXXXXX";
	block_bytes = subject_number(argc, argv, 0);
	setenv("PMEM_IS_PMEM_FORCE", "1", 1);
	int fd = mkstemp(path);
	if (fd < 0)
		subject_fail("no file in /dev/shm");
	close(fd);
	unlink(path);
	pool = pmemobj_create(path, "bench", 64 << 20, 0600);
	/* Its memory goes with the process. */
	unlink(path);
	if (!pool)
		subject_fail("pmemobj_create: %s", pmemobj_errormsg());
	window_start();
}

int main(int argc, char **argv)
{
	static const struct subject table[] = {{"window", "BYTES", prepare, window_round}, {0}};
	return subject_main(argc, argv, table);
}
