/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * room.c - see room.h. /proc/meminfo has the kernel's own estimate of what can be had without swapping. Of a node there is
 * none: what is free there, and what the page cache can let go.
 *
 * The count is not exact when threads race: two may look where one would do, or their bytes be forgotten with the other's
 * look. It decides when to look, not the answer.
 */
#include "dev/room.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dev/node.h"

/* The sum of these lines; false if the file is not there, or has none of them. */
static bool sum_of(const char *path, const char *const *names, uint64_t *bytes)
{
	char line[128], name[64];
	uint64_t kib;
	bool found = false;
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	*bytes = 0;
	while (fgets(line, sizeof(line), f)) {
		const char *at = strncmp(line, "Node ", 5) == 0 ? strchr(line + 5, ' ') : line;
		if (!at || sscanf(at, " %63[^:]: %" SCNu64 " kB", name, &kib) != 2)
			continue;
		for (const char *const *n = names; *n; n++) {
			if (strcmp(*n, name) == 0) {
				*bytes += kib << 10;
				found = true;
			}
		}
	}
	(void)fclose(f);
	return found;
}

static bool left(int node, bool swap, uint64_t *bytes)
{
	static const char *const all[] = {"MemAvailable", "SwapFree", NULL}, *const unswapped[] = {"MemAvailable",
												   NULL};
	static const char *const of_node[] = {"MemFree", "Active(file)", "Inactive(file)", NULL};
	char path[64];
	if (node == NODE_ANY)
		return sum_of("/proc/meminfo", swap ? all : unswapped, bytes);
	(void)snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/meminfo", node);
	return sum_of(path, of_node, bytes);
}

bool room_take(struct room *room, uint64_t len_bytes, int node, bool swap)
{
	uint64_t bytes;
	uint64_t unlooked = atomic_fetch_add_explicit(&room->unlooked, len_bytes, memory_order_relaxed) + len_bytes;
	if (unlooked < ROOM_LOOK_BYTES)
		return true;
	if (left(node, swap, &bytes) && bytes < len_bytes)
		return false;
	atomic_store_explicit(&room->unlooked, 0, memory_order_relaxed);
	return true;
}
