/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * room.h - is there memory left for so many bytes more? Pages of 4 KiB are promised by nobody: the kernel gives them until
 * there are none, and then ends some process. Asking first makes it -ENOSPC, for all but what others take in between, and
 * but for limits of a control group, which the answer does not know. Any thread.
 */
#ifndef PGMAP_DEV_ROOM_H
#define PGMAP_DEV_ROOM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { ROOM_LOOK_BYTES = 64 << 20 };

struct room {
	_Atomic uint64_t unlooked;  /* has been allocated since somebody looked */
	_Atomic uint64_t under_way; /* between room_begin() and room_end() */
};

/* room_begin - true if len_bytes more can be had, beside all that others have begun to take: then room_end() says that they
 * have been taken, or not. It looks once in ROOM_LOOK_BYTES, and each time after it said no, or when others are at it. Of one
 * node, or of all (NODE_ANY); with or without what can be swapped out. Where the system does not say, there is room. */
bool room_begin(struct room *room, uint64_t len_bytes, int node, bool swap);
void room_end(struct room *room, uint64_t len_bytes);

#endif
