/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * caught.h - which memory is mapped where in this process, so that a memory error's address leads to a device and its pages.
 *
 * Lock: caught_lock, taken before the gates and the holder's callbacks, never inside of them.
 */
#ifndef PGMAP_DAX_CAUGHT_H
#define PGMAP_DAX_CAUGHT_H

#include "dax/device.h"

/* caught_add - a device on memory that is mapped here. caught_end - fn(dax) while nothing is told of it; where it answers 0, it
 * is known no more. Else the answer. */
void caught_add(struct dax_device *dax);
int caught_end(struct dax_device *dax, int (*fn)(struct dax_device *dax));

#endif
