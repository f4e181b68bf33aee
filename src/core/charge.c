/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/charge.h"

#include <errno.h>
#include <stdlib.h>

#include "port/reserve.h"
#include "port/siglock.h"

enum { CHARGE_CHUNK_BYTES = 64 * 1024 };

struct charge_chunk {
	struct charge_chunk *next;
	struct charge charges[];
};

static int charge_compare(const struct charge *a, const struct charge *b)
{
	if (a->word != b->word)
		return (uintptr_t)a->word < (uintptr_t)b->word ? -1 : 1;
	if (a->holder != b->holder)
		return (uintptr_t)a->holder < (uintptr_t)b->holder ? -1 : 1;
	return 0;
}

TREE_GENERATE(charge_tree, charge, by_folio, charge_compare)

void charge_table_init(struct charge_table *table)
{
	pthread_mutex_init(&table->lock, NULL);
	RB_INIT(&table->tree);
	LIST_INIT(&table->free);
	LIST_INIT(&table->holders);
	table->chunks = NULL;
	atomic_store_explicit(&table->count, 0, memory_order_relaxed);
}

void charge_table_exit(struct charge_table *table)
{
	while (table->chunks) {
		struct charge_chunk *chunk = table->chunks;
		table->chunks = chunk->next;
		port_unreserve(chunk, CHARGE_CHUNK_BYTES);
	}
	struct pgmap_holder *holder;
	while ((holder = LIST_FIRST(&table->holders)) != NULL) {
		LIST_REMOVE(holder, all);
		free(holder);
	}
	pthread_mutex_destroy(&table->lock);
}

void charge_lock(struct charge_table *table, sigset_t *saved)
{
	port_siglock(&table->lock, saved);
}

void charge_unlock(struct charge_table *table, const sigset_t *saved)
{
	port_sigunlock(&table->lock, saved);
}

struct charge *charge_find(struct charge_table *table, const word_t *word, const struct pgmap_holder *holder)
{
	struct charge key = {.word = word, .holder = (struct pgmap_holder *)(uintptr_t)holder};
	return RB_FIND(charge_tree, &table->tree, &key);
}

static int charge_more(struct charge_table *table)
{
	struct charge_chunk *chunk = port_pages(CHARGE_CHUNK_BYTES);
	if (!chunk)
		return -ENOMEM;
	chunk->next = table->chunks;
	table->chunks = chunk;
	size_t n = (CHARGE_CHUNK_BYTES - sizeof(*chunk)) / sizeof(struct charge);
	for (size_t i = 0; i < n; i++)
		LIST_INSERT_HEAD(&table->free, &chunk->charges[i], by_holder);
	return 0;
}

int charge_provide(struct charge_table *table, uint64_t n)
{
	uint64_t have = 0;
	struct charge *charge;
	LIST_FOREACH (charge, &table->free, by_holder)
		if (++have >= n)
			return 0;
	size_t each = (CHARGE_CHUNK_BYTES - sizeof(struct charge_chunk)) / sizeof(struct charge);
	for (; have < n; have += each)
		if (charge_more(table) != 0)
			return -ENOMEM;
	return 0;
}

struct charge *charge_make(struct charge_table *table, const word_t *word, struct pgmap_holder *holder)
{
	struct charge *charge = charge_find(table, word, holder);
	if (charge)
		return charge;
	if (LIST_EMPTY(&table->free) && charge_more(table) != 0)
		return NULL;
	charge = LIST_FIRST(&table->free);
	LIST_REMOVE(charge, by_holder);
	*charge = (struct charge){.word = word, .holder = holder};
	RB_INSERT(charge_tree, &table->tree, charge);
	atomic_fetch_add_explicit(&table->count, 1, memory_order_relaxed);
	LIST_INSERT_HEAD(&holder->charges, charge, by_holder);
	return charge;
}

void charge_drop(struct charge_table *table, struct charge *charge)
{
	RB_REMOVE(charge_tree, &table->tree, charge);
	atomic_fetch_sub_explicit(&table->count, 1, memory_order_relaxed);
	LIST_REMOVE(charge, by_holder);
	LIST_INSERT_HEAD(&table->free, charge, by_holder);
}

struct charge *charge_first(struct charge_table *table, const word_t *word)
{
	struct charge key = {.word = word};
	struct charge *charge = RB_NFIND(charge_tree, &table->tree, &key);
	return charge && charge->word == word ? charge : NULL;
}

struct charge *charge_next(struct charge_table *table, struct charge *charge)
{
	(void)table;
	const word_t *word = charge->word;
	charge = RB_NEXT(charge_tree, &table->tree, charge);
	return charge && charge->word == word ? charge : NULL;
}
