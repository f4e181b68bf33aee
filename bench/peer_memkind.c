/* SPDX-License-Identifier: BSD-3-Clause */
/* peer_memkind.c - memkind: private memory, or memory of a file on tmpfs, which others could map; no owner in either. */
#include "peer.h"

#include <string.h>

#include <memkind.h>

static memkind_t kind;
static size_t block_bytes;

static inline void *take(void)
{
	void *p = memkind_malloc(kind, block_bytes);
	if (!p)
		subject_fail("memkind_malloc of %zu bytes", block_bytes);
	return p;
}

static inline void release(void *p)
{
	memkind_free(kind, p);
}

PEER_WINDOW(void *, take, release)

static void prepare(int argc, char **argv)
{
	block_bytes = subject_number(argc, argv, 0);
	kind = MEMKIND_REGULAR;
	if (argc > 1 && strcmp(argv[1], "file") == 0) {
		int rc = memkind_create_pmem("/dev/shm", (size_t)1 << 30, &kind);
		if (rc != 0)
			subject_fail("memkind_create_pmem: error %d", rc);
	}
	window_start();
}

int main(int argc, char **argv)
{
	static const struct subject table[] = {{"window", "BYTES private|file", prepare, window_round}, {0}};
	return subject_main(argc, argv, table);
}
