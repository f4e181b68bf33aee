/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * linear.h - what a linear stack says of itself to who holds it, and lets parts come and go (fs).
 *
 * Thread safety: any thread; the part that is answered stays one until dax_linear_remove(), which is the caller's to know of.
 */
#ifndef PGMAP_DAX_LINEAR_H
#define PGMAP_DAX_LINEAR_H

#include <stdbool.h>

struct dax_device;
struct pgmap;

bool linear_is(const struct dax_device *dax);
/* linear_part_on - the part that has this memory, at any depth; or null. */
struct dax_device *linear_part_on(const struct dax_device *dax, const struct dax_device *memory);
/* linear_remove - dax_linear_remove() of a part, or null, of a linear stack. ends (or null): its pgmap, which is DYING and for good
 * DEAD if this answers 0, and only then; -EBUSY also where it cannot be. */
int linear_remove(struct dax_device *linear, struct dax_device *lower, struct pgmap *ends);

#endif
