/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory.h - a device that lies directly on memory, for the files of this floor: its pages' numbers, and which are bad.
 *
 * Its pgmap is also the record of what is bad, so that requests see it. A LIMITED device, which has no pgmap to show, has
 * one of its own for that. Thread safety: as include/pgmap/pgmap.h says of poison.
 */
#ifndef PGMAP_DAX_MEMORY_H
#define PGMAP_DAX_MEMORY_H

#include "dax/device.h"

bool memory_is(const struct dax_device *dax);

/* memory_first - the pgoff, in its pgmap, of its page 0. memory_record - the pgmap that knows what is bad. */
uint64_t memory_first(const struct dax_device *dax);
struct pgmap *memory_record(const struct dax_device *dax);
/* memory_found_bad - pages of it are recorded as bad, and the holder told. 0; -ENOMEM: of the first ones only, if of any.
 * memory_find - its pages that are mapped at these addresses; false: none. */
int memory_found_bad(struct dax_device *dax, uint64_t pgoff, uint64_t npages);
bool memory_find(const struct dax_device *dax, const char *addr, uint64_t len_bytes, uint64_t *pgoff, uint64_t *npages);
/* memory_span - these pages, alive and good or not. */
void memory_span(const struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct dax_span *out);

#endif
