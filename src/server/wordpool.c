/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wordpool.c - free ranges in two trees: by where they begin, to merge neighbours, and by size, to find the smallest that
 * fits. Invariants: free ranges are disjoint and never adjacent, and each stands in both trees; there is a spare for each range
 * in use, so that to put it back needs no memory.
 */
#include "server/wordpool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "port/abort.h"
#include "port/tree.h"

struct hole {
	uint64_t first, n;
	RB_ENTRY(hole) by_first, by_size;
	SLIST_ENTRY(hole) link;
};

static int compare_first(const struct hole *a, const struct hole *b)
{
	return a->first < b->first ? -1 : a->first > b->first;
}

static int compare_size(const struct hole *a, const struct hole *b)
{
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	return compare_first(a, b);
}

RB_HEAD(first_tree, hole);
RB_HEAD(size_tree, hole);
TREE_GENERATE(first_tree, hole, by_first, compare_first)
TREE_GENERATE(size_tree, hole, by_size, compare_size)

struct wordpool {
	struct first_tree by_first;
	struct size_tree by_size;
	SLIST_HEAD(, hole) spares;
	uint64_t available;
};

static void hole_add(struct wordpool *pool, struct hole *hole)
{
	(void)RB_INSERT(first_tree, &pool->by_first, hole);
	(void)RB_INSERT(size_tree, &pool->by_size, hole);
}

static void hole_remove(struct wordpool *pool, struct hole *hole)
{
	(void)RB_REMOVE(first_tree, &pool->by_first, hole);
	(void)RB_REMOVE(size_tree, &pool->by_size, hole);
}

struct wordpool *wordpool_create(uint64_t count)
{
	struct wordpool *pool = calloc(1, sizeof(*pool));
	struct hole *hole = malloc(sizeof(*hole));
	if (!pool || !hole) {
		free(pool);
		free(hole);
		return NULL;
	}
	RB_INIT(&pool->by_first);
	RB_INIT(&pool->by_size);
	SLIST_INIT(&pool->spares);
	SLIST_INSERT_HEAD(&pool->spares, hole, link);
	wordpool_free(pool, 0, count);
	return pool;
}

void wordpool_destroy(struct wordpool *pool)
{
	struct hole *hole;
	if (!pool)
		return;
	while ((hole = RB_ROOT(&pool->by_first)) != NULL) {
		hole_remove(pool, hole);
		free(hole);
	}
	while ((hole = SLIST_FIRST(&pool->spares)) != NULL) {
		SLIST_REMOVE_HEAD(&pool->spares, link);
		free(hole);
	}
	free(pool);
}

int wordpool_alloc(struct wordpool *pool, uint64_t n, uint64_t *first)
{
	struct hole key = {.n = n};
	struct hole *hole = RB_NFIND(size_tree, &pool->by_size, &key);
	if (n == 0 || !hole)
		return n ? -ENOSPC : -EINVAL;
	struct hole *spare = hole->n > n ? malloc(sizeof(*spare)) : hole;
	if (!spare)
		return -ENOMEM;
	*first = hole->first;
	hole_remove(pool, hole);
	pool->available -= n;
	hole->first += n;
	hole->n -= n;
	if (hole != spare)
		hole_add(pool, hole);
	SLIST_INSERT_HEAD(&pool->spares, spare, link);
	return 0;
}

void wordpool_free(struct wordpool *pool, uint64_t first, uint64_t n)
{
	struct hole key = {.first = first};
	struct hole *after = RB_NFIND(first_tree, &pool->by_first, &key);
	struct hole *before = after ? RB_PREV(first_tree, &pool->by_first, after) : RB_MAX(first_tree, &pool->by_first);
	struct hole *hole = SLIST_FIRST(&pool->spares);
	if (!hole)
		port_abort("pgmapd: words %" PRIu64 " and the next %" PRIu64 " are put back, and none are in use",
			   first, n);
	SLIST_REMOVE_HEAD(&pool->spares, link);
	*hole = (struct hole){.first = first, .n = n};
	pool->available += n;
	if (after && first + n == after->first) {
		hole_remove(pool, after);
		hole->n += after->n;
		free(after);
	}
	if (before && before->first + before->n == first) {
		hole_remove(pool, before);
		hole->first = before->first;
		hole->n += before->n;
		free(before);
	}
	hole_add(pool, hole);
}

uint64_t wordpool_available(const struct wordpool *pool)
{
	return pool->available;
}
