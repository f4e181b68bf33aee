/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/poison.h"

#include <errno.h>
#include <stdlib.h>

#include "core/map.h"

struct poison_range {
	RB_ENTRY(poison_range) link;
	uint64_t pgoff;
	uint64_t end;
};

static int poison_compare(const struct poison_range *a, const struct poison_range *b)
{
	return a->pgoff < b->pgoff ? -1 : a->pgoff > b->pgoff;
}

TREE_GENERATE(poison_tree, poison_range, link, poison_compare)

void poison_init(struct poison *poison)
{
	pthread_mutex_init(&poison->lock, NULL);
	RB_INIT(&poison->ranges);
	poison->pages = 0;
}

void poison_exit(struct poison *poison)
{
	struct poison_range *range;
	while ((range = RB_ROOT(&poison->ranges)) != NULL) {
		RB_REMOVE(poison_tree, &poison->ranges, range);
		free(range);
	}
	pthread_mutex_destroy(&poison->lock);
}

/* The first range that ends at this page or behind it. */
static struct poison_range *first_ending_at(struct poison *poison, uint64_t pgoff)
{
	struct poison_range key = {.pgoff = pgoff};
	struct poison_range *next = RB_NFIND(poison_tree, &poison->ranges, &key);
	struct poison_range *before =
		next ? RB_PREV(poison_tree, &poison->ranges, next) : RB_MAX(poison_tree, &poison->ranges);
	return before && before->end >= pgoff ? before : next;
}

bool poison_covers(struct poison *poison, uint64_t pgoff, uint64_t npages)
{
	pthread_mutex_lock(&poison->lock);
	const struct poison_range *range = first_ending_at(poison, pgoff + 1);
	bool covers = range && range->pgoff < pgoff + npages;
	pthread_mutex_unlock(&poison->lock);
	return covers;
}

uint64_t poison_pages(struct poison *poison)
{
	pthread_mutex_lock(&poison->lock);
	uint64_t pages = poison->pages;
	pthread_mutex_unlock(&poison->lock);
	return pages;
}

/* With the lock held: `spare` becomes the range, with all that overlap or touch it. */
static void add_range(struct poison *poison, struct poison_range *spare, uint64_t pgoff, uint64_t end)
{
	struct poison_range *range;
	while ((range = first_ending_at(poison, pgoff)) != NULL && range->pgoff <= end) {
		pgoff = range->pgoff < pgoff ? range->pgoff : pgoff;
		end = range->end > end ? range->end : end;
		poison->pages -= range->end - range->pgoff;
		RB_REMOVE(poison_tree, &poison->ranges, range);
		free(range);
	}
	spare->pgoff = pgoff;
	spare->end = end;
	poison->pages += end - pgoff;
	RB_INSERT(poison_tree, &poison->ranges, spare);
}

/* With the lock held: the pages go out of all ranges. True: `spare` became the second part of one. */
static bool cut_range(struct poison *poison, struct poison_range *spare, uint64_t pgoff, uint64_t end)
{
	struct poison_range *range;
	while ((range = first_ending_at(poison, pgoff + 1)) != NULL && range->pgoff < end) {
		uint64_t from = range->pgoff > pgoff ? range->pgoff : pgoff, to = range->end < end ? range->end : end;
		poison->pages -= to - from;
		if (range->pgoff < from && range->end > to) {
			spare->pgoff = to;
			spare->end = range->end;
			range->end = from;
			RB_INSERT(poison_tree, &poison->ranges, spare);
			return true;
		}
		if (range->pgoff < from) {
			range->end = from;
		} else if (range->end > to) {
			range->pgoff = to; /* no other range begins between: the tree's order stands */
		} else {
			RB_REMOVE(poison_tree, &poison->ranges, range);
			free(range);
		}
	}
	return false;
}

/* Poison the pages, or clear them. */
static int change(struct pgmap *pgmap, uint64_t pgoff, uint64_t npages, bool poisoned)
{
	if (!pgmap || npages == 0)
		return -EINVAL;
	if (!map_contains(pgmap, pgoff, npages))
		return -ERANGE;
	struct poison_range *spare = malloc(sizeof(*spare));
	if (!spare)
		return -ENOMEM;
	struct poison *poison = &pgmap->poison;
	pthread_mutex_lock(&poison->lock);
	if (poisoned) {
		add_range(poison, spare, pgoff, pgoff + npages);
		spare = NULL;
	} else if (cut_range(poison, spare, pgoff, pgoff + npages)) {
		spare = NULL;
	}
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the spare is in the tree */
	map_special(pgmap, SPECIAL_POISON, poison->pages != 0);
	map_open_short_ways(pgmap, !map_is(pgmap, SPECIAL_POISON | SPECIAL_TRACK));
	pthread_mutex_unlock(&poison->lock);
	free(spare);
	return 0;
}

PGMAP_PUBLIC int pgmap_poison(struct pgmap *pgmap, uint64_t pgoff, uint64_t npages)
{
	return change(pgmap, pgoff, npages, true);
}

PGMAP_PUBLIC int pgmap_clear_poison(struct pgmap *pgmap, uint64_t pgoff, uint64_t npages)
{
	return change(pgmap, pgoff, npages, false);
}

PGMAP_PUBLIC int pgmap_for_each_poisoned(struct pgmap *pgmap, int (*fn)(uint64_t pgoff, uint64_t npages, void *arg),
					 void *arg)
{
	if (!pgmap || !fn)
		return -EINVAL;
	int r = 0;
	struct poison_range *range;
	pthread_mutex_lock(&pgmap->poison.lock);
	RB_FOREACH (range, poison_tree, &pgmap->poison.ranges) {
		r = fn(range->pgoff, range->end - range->pgoff, arg);
		if (r)
			break;
	}
	pthread_mutex_unlock(&pgmap->poison.lock);
	return r;
}
