/* SPDX-License-Identifier: BSD-3-Clause */
/* device_list.h - the pool's devices as a list, and the one that a user means. For `device` and `who`. One thread's. */
#ifndef PGMAP_TOOLS_DEVICE_LIST_H
#define PGMAP_TOOLS_DEVICE_LIST_H

#include "cli.h"

struct device_list {
	struct pgmap_device *rows;
	size_t n, room;
};

/* 0 or -errno; ends with device_list_free() in both cases. */
int device_list_read(struct pgmap_client *client, struct device_list *list);
void device_list_free(struct device_list *list);
/* The device of this name: its number, its spec, or a part of the spec that no other has. Null after the error line. */
const struct pgmap_device *device_list_find(const struct cli *cli, const struct device_list *list, const char *name);

#endif
