/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mc_tree.h - a small tree of claim words with a live count, what we know of it beside the words (the ghosts), and the
 * operations on it as folio.c, pgmap.c, split.c and holder.c make them.
 *
 *   mc_tree.c   programs: text, threads, end           mc_folio.c     the operations, and what is checked in them
 *                                                      mc_death.c     kill, revive, drain
 *                                                      mc_special.c   private values, poison
 */
#ifndef MC_TREE_H
#define MC_TREE_H

#include "mc.h"

#ifndef BITS
#define BITS 2
#endif
#ifndef LEVELS
#define LEVELS 2
#endif
enum { PAGES = 1 << (BITS * (LEVELS - 1)), OPS = 16, HOLDS = 24, GIVEN = 3 };
#define LIVE_SLOTS       (THREADS + 1)
#define CLAIM_LEVEL_BITS BITS
#define CLAIM_LEVELS     LEVELS
#define CLAIM_RELAX()    ((void)0)
#include "live.h"
#include "word.h"

#include "claim.h"

/* An operation under way, and what was true meanwhile. */
struct running {
	uint8_t kind, page, npages, firm, bare, killed, dead, poisoned;
};

/* A reference that a program has: on the folio with this word, or (null) on the part of a split that begins at this page. */
struct hold {
	unsigned page, order;
	uint32_t pin, valued; /* it is a pin; its private value was set */
	word_t *word;
};

struct tree_state {
	word_t words[LEVELS][PAGES];
	_Atomic uint64_t wake;
	_Atomic uint64_t lock; /* the charge lock */
	struct live live;
	_Atomic uint64_t special, short_way; /* map.h: enum map_special; requests may go their short ways */
	_Atomic uint64_t poison_lock, poison;
	_Atomic uint64_t private_words, private_on_demand, values[LEVELS * PAGES];
	uint64_t held;       /* ghost: a bit for each page that is not idle */
	uint64_t referenced; /* ghost: and that has a reference */
	uint64_t freed;      /* ghost: folio_free has run, and no request since */
	uint64_t killed;     /* ghost: a kill has returned, and no revive has begun */
	uint64_t dead;       /* ghost: a drain has found it dead */
	uint64_t poisoning;  /* ghost: a bit for each page of which a poison has begun */
	uint64_t poisoned;   /* ghost: has returned, and no clearing of it has begun */
	word_t *marked;      /* under the lock: the folio that an ended holder's mark is on */
	uint64_t marked_span;
	struct running run[THREADS];
	struct hold given[THREADS][GIVEN]; /* what a program has from the setup */
	uint64_t ngiven[THREADS];
};
extern struct tree_state g;
extern struct claim_tree tree;
extern bool uses_private, uses_poison; /* else nothing of that is touched, nor are they words of the memory */

/* Plain cells of a page: written by each thread while it has a reference, when it is requested, and when it is released. */
enum { CELL_REQUESTED = 6, CELL_RELEASED = 7, CELL_KILLED = 8 * 8, CELL_POISONED };

void folio_begin(char kind, unsigned page, unsigned npages);
void folio_end(void);
void look_at_words(void);
uint64_t pages_of(uint64_t from, uint64_t n);
uint64_t pages_of_word(const word_t *word, uint64_t w);

int folio_request(char how, unsigned page, unsigned order, word_t **word);
/* All folios of a span, into holds: how many, or an error. */
int folio_request_span(unsigned page, unsigned npages, struct hold *holds);
bool folio_lookup(unsigned page, word_t **word);
word_t *folio_find(const struct hold *h);
void folio_get(const struct hold *h, uint64_t what);
void folio_put(const struct hold *h, bool keep);
void folio_split(struct hold *holds, unsigned *nholds, unsigned order);
void folio_end_holder(const struct hold *h);
void folio_fence(void);
void folio_release_quarantined(unsigned page);
void tree_kill(void);
void tree_drain(void);
void tree_revive(void);

enum { SPECIAL_POISON = 1, SPECIAL_PRIVATE = 2 };
bool map_is(uint64_t special);
void lock(_Atomic uint64_t *at);
void unlock(_Atomic uint64_t *at);
void private_clear(const word_t *word);
void check_new_private(const word_t *word);
void check_valued(const word_t *word);
void folio_set_private(word_t *word, uint64_t value);
bool poison_covers(uint64_t span);
void tree_poison(uint64_t span, bool poisoned);

#endif
