/* SPDX-License-Identifier: BSD-3-Clause */
/* mapping.h - the inside of a mapping: where it is, and which pin word an offset has. mapping.c makes it, pins.c pins. */
#ifndef PGMAP_CLIENT_MAPPING_H
#define PGMAP_CLIENT_MAPPING_H

#include "client/connection.h"

enum { MAPPING_FEW_RUNS = 2 };

struct pgmap_mapping {
	struct pgmap_client *client;
	unsigned generation; /* the client's: of which process this is */
	pinword_t *words;    /* one per span */
	uint64_t nspans;
	uint64_t bytes;
	/* Of a mapping whose folios have one order: the word of an offset is only_words[(only_from + offset) >> only_shift]. */
	pinword_t *only_words; /* null: it has several runs, or may not be pinned */
	uint64_t only_from;
	unsigned only_shift;
	uint64_t file_offset_bytes; /* of the mapping's first byte */
	const struct proto_run *runs;
	uint64_t nruns;
	struct proto_run few_runs[MAPPING_FEW_RUNS];
	struct proto_run *many_runs; /* or null */
	uint64_t id;
	struct leased leased;
};

/* All words closed to pins (so that the range may go), or -EBUSY and nothing changed. mapping_reopen: undo it. */
int mapping_close_words(struct pgmap_mapping *mapping);
void mapping_reopen_words(struct pgmap_mapping *mapping, uint64_t nwords);

#endif
