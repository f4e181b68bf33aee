/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * record.h - which pages are bad: what a pgmap knows of poison, asked page by page. Header only; any thread.
 */
#ifndef PGMAP_DAX_RECORD_H
#define PGMAP_DAX_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/map.h"

struct record_query {
	uint64_t from, end; /* pgoffs: the first bad run in it is put there */
	bool found;
};

static inline int record_look(uint64_t pgoff, uint64_t npages, void *arg)
{
	struct record_query *query = arg;
	if (pgoff + npages <= query->from)
		return 0;
	if (pgoff < query->end) {
		query->found = true;
		query->from = pgoff > query->from ? pgoff : query->from;
		query->end = pgoff + npages < query->end ? pgoff + npages : query->end;
	}
	return 1;
}

static inline bool record_is_clean(const struct pgmap *pgmap)
{
	return __builtin_expect(!map_is(pgmap, SPECIAL_POISON), 1);
}

/* The first bad run in [*from, *end) of a pgmap, or false. */
static inline bool record_find(struct pgmap *pgmap, uint64_t *from, uint64_t *end)
{
	struct record_query query = {*from, *end, false};
	if (record_is_clean(pgmap) || *from >= *end)
		return false;
	(void)pgmap_for_each_poisoned(pgmap, record_look, &query);
	if (query.found) {
		*from = query.from;
		*end = query.end;
	}
	return query.found;
}

/* How many of these pages, from the first on, are all bad (*bad), or all good. */
static inline uint64_t record_run(struct pgmap *pgmap, uint64_t pgoff, uint64_t npages, bool *bad)
{
	uint64_t from = pgoff, end = pgoff + npages;
	bool found = record_find(pgmap, &from, &end);
	*bad = found && from == pgoff;
	return *bad ? end - pgoff : found ? from - pgoff : npages;
}

#endif
