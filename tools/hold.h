/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hold.h - to wait until nobody holds the pool's pages any more, or those of a device, and to say meanwhile, on a terminal, for
 * whom. For `stop` and `device remove`. One thread's, which has a helper meanwhile.
 */
#ifndef PGMAP_TOOLS_HOLD_H
#define PGMAP_TOOLS_HOLD_H

#include "cli.h"

struct hold {
	struct cli *cli;
	const char *doing; /* "draining" */
	int device;        /* its number; -1: all of the pool */
	/* Wait so long at most (below 0: for ever): 0, -ETIMEDOUT they are still held, or what else ends it. Called once. */
	int (*wait)(void *arg, int64_t timeout_ms);
	void *arg;
};

/* deadline_ns below 0: for ever. What wait() answered. */
int hold_wait(const struct hold *hold, int64_t deadline_ns);
/* "pid 12 (worker) holds /a (3.0 MiB)": who it is waited for. */
void hold_whom(const struct hold *hold, char *buf, size_t buf_bytes);

#endif
