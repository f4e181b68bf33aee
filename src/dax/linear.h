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

bool linear_is(const struct dax_device *dax);
/* linear_part_on - the part that has this memory, at any depth; or null.
 * linear_is_part - it is itself a part of another stack: its own can neither come nor go. */
struct dax_device *linear_part_on(const struct dax_device *dax, const struct dax_device *memory);
bool linear_is_part(const struct dax_device *dax);

#endif
