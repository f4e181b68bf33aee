/* SPDX-License-Identifier: BSD-3-Clause */
/* handles.c - a session's small numbers: a table that doubles, and a stack of the slots that are free. */
#include "server/handles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int handles_reserve(struct handles *handles)
{
	if (handles->nunused)
		return 0;
	uint64_t n = handles->nslots ? 2 * handles->nslots : 16;
	uint64_t *unused = realloc(handles->unused, n * sizeof(*unused));
	if (!unused)
		return -ENOMEM;
	handles->unused = unused;
	void **slots = realloc(handles->slots, n * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	memset(slots + handles->nslots, 0, (n - handles->nslots) * sizeof(*slots));
	handles->slots = slots;
	for (uint64_t i = n; i-- > handles->nslots;)
		handles->unused[handles->nunused++] = i;
	handles->nslots = n;
	return 0;
}

uint64_t handles_add(struct handles *handles, void *what)
{
	uint64_t i = handles->unused[--handles->nunused];
	handles->slots[i] = what;
	return i + 1;
}

void *handles_get(const struct handles *handles, uint64_t id)
{
	return id >= 1 && id <= handles->nslots ? handles->slots[id - 1] : NULL;
}

void handles_remove(struct handles *handles, uint64_t id)
{
	handles->slots[id - 1] = NULL;
	handles->unused[handles->nunused++] = id - 1;
}

void handles_exit(struct handles *handles)
{
	free(handles->slots);
	free(handles->unused);
	memset(handles, 0, sizeof(*handles));
}
