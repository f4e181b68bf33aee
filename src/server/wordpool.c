/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wordpool.c - free ranges in two trees: by where they begin, to merge neighbours, and by size, to find the smallest that
 * fits. Invariant: free ranges are disjoint and never adjacent, and each stands in both trees.
 */
#include "server/wordpool.h"

#include <errno.h>
#include <stdlib.h>

#include "port/tree.h"

struct hole {
	uint64_t first, n;
	RB_ENTRY(hole) by_first, by_size;
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
	if (!pool)
		return NULL;
	RB_INIT(&pool->by_first);
	RB_INIT(&pool->by_size);
	wordpool_free(pool, 0, count);
	if (pool->available != count) {
		free(pool);
		return NULL;
	}
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
	free(pool);
}

int wordpool_alloc(struct wordpool *pool, uint64_t n, uint64_t *first)
{
	struct hole key = {.n = n};
	struct hole *hole = RB_NFIND(size_tree, &pool->by_size, &key);
	if (n == 0 || !hole)
		return n ? -ENOSPC : -EINVAL;
	*first = hole->first;
	hole_remove(pool, hole);
	pool->available -= n;
	hole->first += n;
	hole->n -= n;
	if (hole->n)
		hole_add(pool, hole);
	else
		free(hole);
	return 0;
}

void wordpool_free(struct wordpool *pool, uint64_t first, uint64_t n)
{
	struct hole key = {.first = first};
	struct hole *after = RB_NFIND(first_tree, &pool->by_first, &key);
	struct hole *before = after ? RB_PREV(first_tree, &pool->by_first, after) : RB_MAX(first_tree, &pool->by_first);
	struct hole *hole = NULL;
	uint64_t freed = n;
	if (after && first + n == after->first) {
		hole_remove(pool, after);
		n += after->n;
		hole = after;
	}
	if (before && before->first + before->n == first) {
		hole_remove(pool, before);
		first = before->first;
		n += before->n;
		free(hole);
		hole = before;
	}
	if (!hole)
		hole = malloc(sizeof(*hole));
	if (!hole)
		return;
	hole->first = first;
	hole->n = n;
	hole_add(pool, hole);
	pool->available += freed;
}

uint64_t wordpool_available(const struct wordpool *pool)
{
	return pool->available;
}
