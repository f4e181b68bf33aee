/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * charge.h - who holds what: for each pair of folio and holder, the references and pins that are charged (c4.1).
 *
 * One table per pgmap: a tree by (folio, holder), so that a folio's holders are neighbours, and a list per holder. A
 * charge with `mark` belongs to an ended holder that had REMOTE pins on the folio (c7.5); it has no references.
 *
 * One lock per pgmap. folio_pin() and folio_unpin() may be called by a signal handler (c3.24): so all signals are blocked
 * while the lock is held, by whomever, and charges come from pages of the table's own, not from malloc.
 */
#ifndef PGMAP_CORE_CHARGE_H
#define PGMAP_CORE_CHARGE_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "port/tree.h"

#include "core/word.h"

struct pgmap;
struct pgmap_holder;

struct charge {
	RB_ENTRY(charge) by_folio;
	LIST_ENTRY(charge) by_holder; /* also links free ones */
	const word_t *word;
	struct pgmap_holder *holder;
	uint32_t refs; /* pins included */
	uint32_t pins[2];
	bool mark;
};

RB_HEAD(charge_tree, charge);
LIST_HEAD(charge_list, charge);

struct charge_chunk;

struct charge_table {
	pthread_mutex_t lock;
	struct charge_tree tree;
	struct charge_list free;
	struct charge_chunk *chunks;
	_Atomic uint64_t
		count; /* charges in the tree; read without the lock by puts that want to know whether to look */
	LIST_HEAD(, pgmap_holder) holders;
};

enum holder_state { HOLDER_ACTIVE, HOLDER_ENDING, HOLDER_ENDED };

struct pgmap_holder {
	struct pgmap *pgmap;
	LIST_ENTRY(pgmap_holder) all;
	struct charge_list charges;
	enum holder_state state;
	char name[64];
};

void charge_table_init(struct charge_table *table);
/* Frees everything, holders included. */
void charge_table_exit(struct charge_table *table);

void charge_lock(struct charge_table *table, sigset_t *saved);
void charge_unlock(struct charge_table *table, const sigset_t *saved);

/* All below: with the lock held. */
struct charge *charge_find(struct charge_table *table, const word_t *word, const struct pgmap_holder *holder);
/* The charge of the pair, made with no references if there was none; null: no memory. */
struct charge *charge_make(struct charge_table *table, const word_t *word, struct pgmap_holder *holder);
void charge_drop(struct charge_table *table, struct charge *charge);
/* The first charge of a folio, and the next one of the same folio; null: no more. */
struct charge *charge_first(struct charge_table *table, const word_t *word);
struct charge *charge_next(struct charge_table *table, struct charge *charge);
/* At least n charges can be made without asking for memory. 0 or -ENOMEM. */
int charge_provide(struct charge_table *table, uint64_t n);

#endif
