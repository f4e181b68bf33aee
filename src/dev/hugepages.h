/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hugepages.h - what the system has of huge pages, and how sizes of pages are written. Any thread; no state.
 */
#ifndef PGMAP_DEV_HUGEPAGES_H
#define PGMAP_DEV_HUGEPAGES_H

#include <stddef.h>
#include <stdint.h>

#include "dev/dev.h"

enum { HUGEPAGES_NSIZES = 2 };
static const uint64_t hugepages_sizes[HUGEPAGES_NSIZES] = {UINT64_C(1) << 30, UINT64_C(1)
										      << 21}; /* the biggest first */

/* Huge pages of this size that are free and that nobody has been promised; of one node: that are free there. */
uint64_t hugepages_to_have(uint64_t page_bytes, int node);

/* The refusal for too few of them: -ENOMEM, with the numbers and what to do, then more. */
int hugepages_refuse(uint64_t need, uint64_t page_bytes, int node, const char *more, char why[DEV_WHY_MAX]);

/* "4K", "2M", "1G" */
const char *page_name(uint64_t page_bytes, char buf[24]);

#endif
