/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pmem.h - the kind pmem, for its test: a system that is looked at below some folder. Any thread; no state.
 */
#ifndef PGMAP_DEV_PMEM_H
#define PGMAP_DEV_PMEM_H

#include "dev/dev.h"

/* pmem_open_under - as dev_kind.open; ROOT/sys and ROOT/dev say what the node in args is. "": this system. */
int pmem_open_under(const char *root, const char *args, struct dev **out, char why[DEV_WHY_MAX]);

#endif
