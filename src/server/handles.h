/* SPDX-License-Identifier: BSD-3-Clause */
/* handles.h - a session's small numbers for its files and mappings. Not thread-safe: the service's lock guards it. */
#ifndef PGMAP_SERVER_HANDLES_H
#define PGMAP_SERVER_HANDLES_H

#include <stdint.h>

struct handles {
	void **slots; /* id - 1 indexes it; null: free */
	uint64_t nslots;
	uint64_t *unused; /* a stack of free slots' indexes, as deep as nslots */
	uint64_t nunused;
};

int handles_reserve(struct handles *handles);                  /* so that the next add cannot fail. -ENOMEM */
uint64_t handles_add(struct handles *handles, void *what);     /* after a reserve; the id, above 0 */
void *handles_get(const struct handles *handles, uint64_t id); /* null: no such */
void handles_remove(struct handles *handles, uint64_t id);
void handles_exit(struct handles *handles); /* also of a zeroed one */

#endif
