/* SPDX-License-Identifier: BSD-3-Clause */
/* peer_mimalloc.c - mimalloc: private memory, no owner; for the price of an allocation. */
#include "peer.h"

#include <mimalloc.h>

static size_t block_bytes;

static inline void *take(void)
{
	void *p = mi_malloc(block_bytes);
	if (!p)
		subject_fail("mi_malloc of %zu bytes", block_bytes);
	return p;
}

PEER_WINDOW(void *, take, mi_free)

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
