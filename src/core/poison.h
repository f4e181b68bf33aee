/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * poison.h - which pages of a pgmap are poisoned: a property of pages, beside the states of folios (c3).
 *
 * Disjoint ranges that do not touch, in a tree by their first page, under a lock of their own (a leaf: nothing is taken
 * under it). Bad pages are few and come late, so a request asks only when there are any: map.h, SPECIAL_POISON.
 */
#ifndef PGMAP_CORE_POISON_H
#define PGMAP_CORE_POISON_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "port/tree.h"

struct poison_range;
RB_HEAD(poison_tree, poison_range);

struct poison {
	pthread_mutex_t lock;
	struct poison_tree ranges;
	uint64_t pages;
};

void poison_init(struct poison *poison);
void poison_exit(struct poison *poison);

/* A page of [pgoff, pgoff + npages) is poisoned. */
bool poison_covers(struct poison *poison, uint64_t pgoff, uint64_t npages);

uint64_t poison_pages(struct poison *poison);

#endif
