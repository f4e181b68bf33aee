/* SPDX-License-Identifier: BSD-3-Clause */
/* peer_rte.c - DPDK's rte_mempool with its per-core cache, without huge pages: fixed sizes, one process here. */
#include "peer.h"

#include <sched.h>
#include <stdio.h>

#include <rte_eal.h>
#include <rte_mempool.h>

static struct rte_mempool *pool;

static inline void *take(void)
{
	void *p = NULL;
	if (rte_mempool_get(pool, &p) != 0)
		subject_fail("the mempool is empty");
	return p;
}

static inline void release(void *p)
{
	rte_mempool_put(pool, p);
}

PEER_WINDOW(void *, take, release)

static void prepare(int argc, char **argv)
{
	/* The core that this process has been put on is core 0 to DPDK. */
	char lcores[32];
	snprintf(lcores, sizeof(lcores), "--lcores=0@%d", sched_getcpu());
	char *eal[] = {"peer_rte", "--no-huge", "--no-shconf",       "--no-pci", "--no-telemetry",
		       "-m",       "128",       "--log-level=emerg", lcores,     NULL};
	size_t block_bytes = subject_number(argc, argv, 0);
	if (rte_eal_init(sizeof(eal) / sizeof(*eal) - 1, eal) < 0)
		subject_fail("rte_eal_init");
	pool = rte_mempool_create("bench", 8191, (unsigned)block_bytes, 256, 0, NULL, NULL, NULL, NULL, SOCKET_ID_ANY,
				  0);
	if (!pool)
		subject_fail("rte_mempool_create");
	window_start();
}

int main(int argc, char **argv)
{
	static const struct subject table[] = {{"window", "BYTES", prepare, window_round}, {0}};
	return subject_main(argc, argv, table);
}
