/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * opened.h - a device that is in no pool, yet or any more: its memory in this process, and the DAX device on it.
 *
 * Thread safety: nobody else knows it.
 */
#ifndef PGMAP_SERVER_OPENED_H
#define PGMAP_SERVER_OPENED_H

#include <pgmap/dax.h>

#include "dev/dev.h"

struct opened {
	struct dev *dev;
	void *base;
	struct dax_device *memory;
};

/* opened_look - as dev_look(): all that can be refused without a change is, and it holds what it held. -EOPNOTSUPP it is LIMITED;
 * and what dev_for_each_bad() says, as the list of bad blocks is read to its end once before anything goes.
 * opened_begin - what it held goes, and its memory is here; what dev_drop() and dax_create() say. opened_close - -EBUSY some page is held:
 * nothing happens. Also of what was only looked at. */
int opened_look(const char *spec, const struct dev_own *own, struct opened *out, char why[DEV_WHY_MAX]);
int opened_begin(struct opened *opened, char why[DEV_WHY_MAX]);
int opened_close(struct opened *opened);
/* opened_discard - what lies there is nobody's any more: but for pages that cannot be written (they have lost their data), what others
 * find there later is nothing of ours. */
void opened_discard(const struct opened *opened);

#endif
