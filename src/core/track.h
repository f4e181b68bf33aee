/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * track.h - PGMAP_TRACK=1: where each reference and pin was taken (c4.3), for who looks for the one that is not given back.
 *
 * A record for each reference, of all pgmaps that were created while the environment said so, under one lock that signal
 * handlers may take. References of one folio, holder and kind are alike: a put takes back the one that this thread took
 * last, else the one that was taken last. So that is which record stays when one is forgotten; the number is right in any case.
 *
 * Order: a record is made after its reference, and goes before it: so the records of a word that somebody else may have
 * requested by now are that request's. A record for which there was no memory is missing, and counted.
 *
 * Called where map_is(pgmap, SPECIAL_TRACK), and only there, but for track_init().
 */
#ifndef PGMAP_CORE_TRACK_H
#define PGMAP_CORE_TRACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/word.h"

struct pgmap;
struct pgmap_holder;

/* Some pgmap is tracked: what gets and puts of all pgmaps look at. */
extern atomic_bool track_on;

static inline bool track_is_on(void)
{
	return atomic_load_explicit(&track_on, memory_order_relaxed);
}

enum { TRACK_REF = -1 }; /* else enum folio_pin_kind */

/* Does the environment ask for it? Then from now on. */
void track_init(struct pgmap *pgmap);
/* The pgmap is being destroyed: nothing is held in it. */
void track_exit(struct pgmap *pgmap);

void track_add(struct pgmap *pgmap, const word_t *word, const struct pgmap_holder *holder, int kind);
void track_remove(struct pgmap *pgmap, const word_t *word, const struct pgmap_holder *holder, int kind);
/* What nobody's was is the holder's. */
void track_charge(const word_t *word, const struct pgmap_holder *holder);
/* All of the holder's, on one word. */
void track_end(const word_t *word, const struct pgmap_holder *holder);
/* The number of the last record. */
uint64_t track_number(void);
/* A split: a part gets what the old head has, up to that record; and the old head, when it is none of them, has nothing. */
void track_copy(const word_t *from, const word_t *to, uint64_t upto);
void track_forget(const word_t *word);

/* On stderr: the records of one word, and of which references of it were dropped lately; or (null) of all words of the pgmap. */
void track_print(const struct pgmap *pgmap, const word_t *word, const char *why);

#endif
