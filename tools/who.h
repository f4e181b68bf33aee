/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * who.h - the answer of pgmap_who() as a list, and its one-line summary: who holds what. For `who`, `stop` and `demo`.
 */
#ifndef PGMAP_TOOLS_WHO_H
#define PGMAP_TOOLS_WHO_H

#include "cli.h"

struct who_list {
	struct pgmap_who *rows;
	size_t n, room;
};

/* path null: the whole pool. 0 or -errno; ends with who_free() in both cases. */
int who_read(struct pgmap_client *client, const char *path, struct who_list *list);
int who_read_device(struct pgmap_client *client, uint32_t number, struct who_list *list); /* what lies on it */
void who_free(struct who_list *list);
const char *who_state(uint32_t state);
/* "pid 12 (worker) holds /a (3.0 MiB), pid 14 (x) holds /b (8.0 MiB), and 3 more"; at most three. */
void who_summary(const struct who_list *list, char *buf, size_t buf_bytes);

#endif
