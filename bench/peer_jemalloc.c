/* SPDX-License-Identifier: BSD-3-Clause */
/* peer_jemalloc.c - jemalloc: private memory, no owner; for the price of an allocation. */
#include "peer.h"

#include <jemalloc/jemalloc.h>

static size_t block_bytes;

static inline void *take(void)
{
	void *p = mallocx(block_bytes, 0);
	if (!p)
		subject_fail("mallocx of %zu bytes", block_bytes);
	return p;
}

static inline void release(void *p)
{
	dallocx(p, 0);
}

PEER_WINDOW(void *, take, release)

static void prepare(int argc, char **argv)
{
	block_bytes = subject_number(argc, argv, 0);
	window_start();
}

int main(int argc, char **argv)
{
	static const struct subject table[] = {{"window", "BYTES", prepare, window_round}, {0}};
	return subject_main(argc, argv, table);
}
