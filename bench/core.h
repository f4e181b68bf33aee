/* SPDX-License-Identifier: BSD-3-Clause */
/* core.h - a pgmap with nothing behind it: the core never touches the device's memory, so any size can be measured. */
#ifndef PGMAP_BENCH_CORE_H
#define PGMAP_BENCH_CORE_H

#include <pgmap/folio.h>

#include "subject.h"

static inline struct pgmap *bench_pgmap(uint64_t gib)
{
	struct pgmap_range range = {0, gib << 30};
	struct pgmap_params params = {
		.params_bytes = sizeof(params), .type = PGMAP_GENERIC, .ranges = &range, .nranges = 1, .name = "bench"};
	struct pgmap *pgmap = NULL;
	int rc = pgmap_create(&params, &pgmap);
	if (rc != 0)
		subject_fail("pgmap_create of %lu GiB: %d", (unsigned long)gib, rc);
	return pgmap;
}

static inline struct folio *bench_request(struct pgmap *pgmap, uint64_t pgoff, unsigned order)
{
	struct folio *folio = NULL;
	int rc = pgmap_request_folio(pgmap, pgoff, order, &folio);
	if (rc != 0)
		subject_fail("request of %lu, order %u: %d", (unsigned long)pgoff, order, rc);
	return folio;
}

static inline void bench_remove(struct pgmap *pgmap)
{
	pgmap_kill(pgmap);
	int rc = pgmap_drain(pgmap, 0);
	if (rc == 0)
		rc = pgmap_destroy(pgmap);
	if (rc != 0)
		subject_fail("drain and destroy: %d", rc);
}

#endif
