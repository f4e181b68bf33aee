/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * room.c - see room.h. /proc/meminfo has the kernel's own estimate of what can be had without swapping. Of a node there is
 * none: what is free there, and what the page cache can let go.
 *
 * unlooked is not exact when threads race: it decides when to look, not the answer. under_way is: two who look at the same
 * moment each see what the other has asked for, or one of them does. What is under way may be there in part already, and is
 * counted all the same: for a moment, an answer may be no where it would be yes a little later.
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

bool room_begin(struct room *room, uint64_t len_bytes, int node, bool swap)
{
	uint64_t bytes;
	uint64_t under_way = atomic_fetch_add_explicit(&room->under_way, len_bytes, memory_order_relaxed) + len_bytes;
	uint64_t unlooked = atomic_fetch_add_explicit(&room->unlooked, len_bytes, memory_order_relaxed) + len_bytes;
	if (unlooked < ROOM_LOOK_BYTES && under_way == len_bytes)
		return true;
	if (left(node, swap, &bytes) && bytes < under_way) {
		room_end(room, len_bytes);
		return false;
	}
	atomic_store_explicit(&room->unlooked, 0, memory_order_relaxed);
	return true;
}

void room_end(struct room *room, uint64_t len_bytes)
{
	(void)atomic_fetch_sub_explicit(&room->under_way, len_bytes, memory_order_relaxed);
}
