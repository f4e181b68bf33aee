/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a pgmap (c2): create, kill, drain, revive, destroy; its ranges. live.h has the proof of death. */
#include <pgmap/pgmap.h>

#include <stdlib.h>
#include <string.h>

#include "port/futex.h"
#include "port/reserve.h"
#include "port/slot.h"

#include "core/map.h"
#include "core/track.h"

_Static_assert(LIVE_SHARED == PORT_SLOTS, "a thread's slot number is an index of live.slots");
_Static_assert((int)LIVE_LIVE == PGMAP_LIVE && (int)LIVE_DYING == PGMAP_DYING && (int)LIVE_DEAD == PGMAP_DEAD, "");

struct map_slot map_slots[MAP_SLOTS];

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pgmap *pool_free; /* destroyed ones, for reuse: see map.h */

static struct pgmap *pool_get(void)
{
	pthread_mutex_lock(&pool_lock);
	struct pgmap *pgmap = pool_free;
	if (pgmap)
		pool_free = pgmap->next_free;
	pthread_mutex_unlock(&pool_lock);
	if (!pgmap) {
		pgmap = aligned_alloc(_Alignof(struct pgmap), sizeof(*pgmap));
		if (!pgmap)
			return NULL;
		memset(pgmap, 0, sizeof(*pgmap));
		atomic_store_explicit(&pgmap->live.state, LIVE_DEAD, memory_order_relaxed);
	}
	return pgmap;
}

static void pool_put(struct pgmap *pgmap)
{
	pthread_mutex_lock(&pool_lock);
	pgmap->next_free = pool_free;
	pool_free = pgmap;
	pthread_mutex_unlock(&pool_lock);
}

static bool params_ok(const struct pgmap_params *p)
{
	if (p->params_bytes != sizeof(*p) || p->type < PGMAP_FSDAX || p->type > PGMAP_P2PDMA || !p->ranges ||
	    !p->nranges)
		return false;
	if (p->ops && p->ops->ops_bytes != sizeof(*p->ops))
		return false;
	if ((p->type == PGMAP_COHERENT || p->type == PGMAP_PRIVATE) && (!p->ops || !p->ops->folio_free))
		return false;
	return p->type != PGMAP_PRIVATE || p->ops->migrate_to_ram;
}

/* Device ranges to pgoffs: each starts at the next pgoff that is congruent to its device page modulo the grid. */
static int lay_out(struct pgmap *pgmap, const struct pgmap_params *params)
{
	uint64_t pgoff = 0, device_end = 0;
	for (size_t i = 0; i < params->nranges; i++) {
		const struct pgmap_range *r = &params->ranges[i];
		uint64_t page = r->start_bytes >> PGMAP_PAGE_SHIFT, npages = r->len_bytes >> PGMAP_PAGE_SHIFT;
		if ((r->start_bytes | r->len_bytes) % PGMAP_PAGE_SIZE || npages == 0 || page < device_end ||
		    r->len_bytes > UINT64_MAX - r->start_bytes)
			return -EINVAL;
		uint64_t at = pgoff + ((page - pgoff) & (MAP_GRID_PAGES - 1));
		if (npages > PGMAP_MAX_PAGES || at > PGMAP_MAX_PAGES - npages)
			return -EINVAL;
		pgmap->ranges[i] = (struct map_range){.pgoff = at, .npages = npages, .device_page = page};
		pgoff = at + npages;
		device_end = page + npages;
	}
	pgmap->nranges = params->nranges;
	pgmap->end = pgoff;
	return 0;
}

/* All words of the 2^18 pages under a word of the top level. A level's words under it are whole pages of metadata. */
static int commit_words(struct claim_tree *tree, uint64_t top_index)
{
	for (unsigned level = 0; level < CLAIM_TOP; level++) {
		uint64_t n = UINT64_C(1) << ((CLAIM_TOP - level) * CLAIM_LEVEL_BITS);
		if (port_commit(&tree->words[level][top_index * n], n * sizeof(word_t)) != 0)
			return -ENOMEM;
	}
	return 0;
}

static int reserve_words(struct pgmap *pgmap)
{
	uint64_t top = (pgmap->end + MAP_GRID_PAGES - 1) / MAP_GRID_PAGES;
	size_t bytes = 0;
	for (unsigned level = 0; level < CLAIM_LEVELS; level++) {
		size_t want = (top << ((CLAIM_TOP - level) * CLAIM_LEVEL_BITS)) * sizeof(word_t);
		pgmap->level_at[level] = bytes;
		bytes += (want + PGMAP_PAGE_SIZE - 1) & ~(PGMAP_PAGE_SIZE - 1);
	}
	pgmap->meta = port_reserve(bytes, MAP_SLOT_BYTES, &pgmap->on_demand);
	if (!pgmap->meta)
		return -ENOMEM;
	if (((uintptr_t)pgmap->meta + bytes - 1) >> MAP_SLOT_SHIFT >= MAP_SLOTS) {
		port_unreserve(pgmap->meta, bytes); /* a system with more address bits gave us some of those */
		return -ENOMEM;
	}
	pgmap->meta_bytes = bytes;
	for (unsigned level = 0; level < CLAIM_LEVELS; level++)
		pgmap->tree.words[level] = (word_t *)(void *)(pgmap->meta + pgmap->level_at[level]);
	pgmap->tree.commit = pgmap->on_demand ? commit_words : NULL;
	size_t top_at = pgmap->level_at[CLAIM_TOP];
	if (pgmap->on_demand && port_commit(pgmap->meta + top_at, bytes - top_at) != 0) {
		port_unreserve(pgmap->meta, bytes);
		return -ENOMEM;
	}
	return 0;
}

/* Handles of this pgmap are some from here on, or are none any more. Who it was stays, as does every struct pgmap. */
static void map_register(struct pgmap *pgmap, bool valid)
{
	uintptr_t end = (uintptr_t)pgmap->meta + pgmap->meta_bytes;
	for (uintptr_t slot = (uintptr_t)pgmap->meta >> MAP_SLOT_SHIFT; slot <= (end - 1) >> MAP_SLOT_SHIFT; slot++) {
		if (valid)
			atomic_store_explicit(&map_slots[slot].pgmap, pgmap, memory_order_relaxed);
		atomic_store_explicit(&map_slots[slot].end, valid ? end : 0,
				      memory_order_release); /* pairs with map_of() */
	}
}

static void copy_name(char *to, size_t bytes, const char *name)
{
	size_t n = strnlen(name, bytes - 1);
	memcpy(to, name, n);
	to[n] = '\0';
}

void map_open_short_ways(struct pgmap *pgmap, bool open)
{
	for (unsigned level = 0; level < CLAIM_LEVELS; level++) {
		uint64_t npages = UINT64_C(1) << (level * CLAIM_LEVEL_BITS), all = pgmap->ranges[0].npages;
		atomic_store_explicit(&pgmap->short_ways[level], open && all >= npages ? all - npages + 1 : 0,
				      memory_order_relaxed);
	}
}

static int map_init(struct pgmap *pgmap, const struct pgmap_params *params)
{
	pgmap->ranges = calloc(params->nranges, sizeof(*pgmap->ranges));
	if (!pgmap->ranges)
		return -ENOMEM;
	int r = lay_out(pgmap, params);
	if (r == 0)
		r = reserve_words(pgmap);
	if (r) {
		free(pgmap->ranges);
		return r;
	}
	pgmap->type = params->type;
	pgmap->ops = params->ops;
	pgmap->owner = params->owner;
	pgmap->base = params->base;
	copy_name(pgmap->name, sizeof(pgmap->name), params->name ? params->name : "pgmap");
	atomic_store_explicit(&pgmap->private_words, NULL, memory_order_relaxed);
	atomic_store_explicit(&pgmap->private_on_demand, pgmap->on_demand, memory_order_relaxed);
	pgmap->first_pgoff = pgmap->ranges[0].pgoff;
	atomic_store_explicit(&pgmap->special, pgmap->ops ? SPECIAL_OPS : 0, memory_order_relaxed);
	charge_table_init(&pgmap->charges);
	poison_init(&pgmap->poison);
	track_init(pgmap);
	map_open_short_ways(pgmap, !map_is(pgmap, SPECIAL_TRACK));
	pthread_mutex_init(&pgmap->split_lock, NULL);
	return 0;
}

PGMAP_PUBLIC int pgmap_create(const struct pgmap_params *params, struct pgmap **out)
{
	if (!params || !out || !params_ok(params))
		return -EINVAL;
	port_barrier_init();
	struct pgmap *pgmap = pool_get();
	if (!pgmap)
		return -ENOMEM;
	int r = map_init(pgmap, params);
	if (r) {
		pool_put(pgmap);
		return r;
	}
	map_register(pgmap, true);
	/* A new generation, and slots that sum to 0: they did when the previous pgmap died here, and each belongs to a
	 * thread that may own it still. */
	uint64_t state = live_state(&pgmap->live);
	atomic_store_explicit(&pgmap->live.state, ((state >> 2) + 1) << 2 | LIVE_LIVE, memory_order_seq_cst);
	*out = pgmap;
	return 0;
}

static void wake_drainers(struct pgmap *pgmap)
{
	atomic_fetch_add_explicit(&pgmap->live.wake, 1, memory_order_seq_cst);
	port_futex_wake_all(&pgmap->live.wake);
}

void map_wake_if_last(struct pgmap *pgmap)
{
	if (live_was_last(&pgmap->live))
		wake_drainers(pgmap);
}

PGMAP_PUBLIC int pgmap_kill(struct pgmap *pgmap)
{
	live_kill(&pgmap->live);
	return 0;
}

PGMAP_PUBLIC int pgmap_drain(struct pgmap *pgmap, uint64_t deadline_ns)
{
	uint64_t entered = live_state(&pgmap->live);
	if (live_state_of(entered) == LIVE_LIVE)
		return -EINVAL;
	LIVE_HEAVY(); /* after the load of DYING: live.h, claim 1 and 2 */
	for (;;) {
		/* Before the state: whoever moves it, or uncounts the last page, bumps the word after that. */
		uint32_t wake = atomic_load_explicit(&pgmap->live.wake, memory_order_seq_cst);
		uint64_t state = live_state(&pgmap->live);
		if (state >> 2 != entered >> 2)
			return -ECANCELED;
		if (live_state_of(state) == LIVE_DEAD)
			return 0;
		int r = live_try_die(&pgmap->live, state);
		if (r > 0)
			wake_drainers(pgmap);
		if (r != 0)
			continue;
		if (deadline_ns != PGMAP_NO_DEADLINE && port_now_ns() >= deadline_ns) {
			if (map_is(pgmap, SPECIAL_TRACK))
				track_print(pgmap, NULL, "drain: still held at the deadline");
			return -ETIMEDOUT;
		}
		(void)port_futex_wait(&pgmap->live.wake, wake, deadline_ns);
	}
}

PGMAP_PUBLIC int pgmap_revive(struct pgmap *pgmap)
{
	uint64_t found;
	if (live_revive(&pgmap->live, &found)) {
		wake_drainers(pgmap);
		return 0;
	}
	return live_state_of(found) == LIVE_DEAD ? -ENODEV : 0;
}

PGMAP_PUBLIC int pgmap_destroy(struct pgmap *pgmap)
{
	if (!pgmap)
		return 0;
	if (live_state_of(live_state(&pgmap->live)) != LIVE_DEAD)
		return -EBUSY;
	if (map_is(pgmap, SPECIAL_TRACK))
		track_exit(pgmap);
	map_register(pgmap, false);
	char *private_words = atomic_load_explicit(&pgmap->private_words, memory_order_acquire);
	if (private_words)
		port_unreserve(private_words, pgmap->meta_bytes);
	port_unreserve(pgmap->meta, pgmap->meta_bytes);
	charge_table_exit(&pgmap->charges);
	poison_exit(&pgmap->poison);
	pthread_mutex_destroy(&pgmap->split_lock);
	free(pgmap->ranges);
	pool_put(pgmap);
	return 0;
}

PGMAP_PUBLIC enum pgmap_state pgmap_state(const struct pgmap *pgmap)
{
	return (enum pgmap_state)live_state_of(live_state(&pgmap->live));
}

PGMAP_PUBLIC uint64_t pgmap_live_pages(const struct pgmap *pgmap)
{
	LIVE_HEAVY();
	int64_t sum = live_sum(&pgmap->live);
	return sum > 0 ? (uint64_t)sum : 0; /* below 0 only while a request and its put pass the reader by */
}

PGMAP_PUBLIC uint64_t pgmap_end(const struct pgmap *pgmap)
{
	return pgmap->end;
}

PGMAP_PUBLIC const char *pgmap_name(const struct pgmap *pgmap)
{
	return pgmap->name;
}

PGMAP_PUBLIC void *pgmap_owner(const struct pgmap *pgmap)
{
	return pgmap->owner;
}

bool map_in_ranges(const struct pgmap *pgmap, uint64_t pgoff, uint64_t npages)
{
	uint64_t low = 0, high = pgmap->nranges; /* the last range that starts at pgoff or before */
	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;
		if (pgmap->ranges[middle].pgoff <= pgoff)
			low = middle;
		else
			high = middle;
	}
	return map_in_range(&pgmap->ranges[low], pgoff, npages);
}

PGMAP_PUBLIC int pgmap_pgoff_to_device(const struct pgmap *pgmap, uint64_t pgoff, uint64_t *offset_bytes)
{
	for (uint64_t i = 0; i < pgmap->nranges; i++) {
		const struct map_range *r = &pgmap->ranges[i];
		if (map_in_range(r, pgoff, 1)) {
			*offset_bytes = (r->device_page + (pgoff - r->pgoff)) << PGMAP_PAGE_SHIFT;
			return 0;
		}
	}
	return -ERANGE;
}

PGMAP_PUBLIC int pgmap_device_to_pgoff(const struct pgmap *pgmap, uint64_t offset_bytes, uint64_t *pgoff)
{
	uint64_t page = offset_bytes >> PGMAP_PAGE_SHIFT;
	for (uint64_t i = 0; i < pgmap->nranges; i++) {
		const struct map_range *r = &pgmap->ranges[i];
		if (page >= r->device_page && page - r->device_page < r->npages) {
			*pgoff = r->pgoff + (page - r->device_page);
			return 0;
		}
	}
	return -ERANGE;
}

PGMAP_PUBLIC uint64_t pgmap_deadline_in(uint64_t ms)
{
	uint64_t now = port_now_ns();
	return ms >= (PGMAP_NO_DEADLINE - now) / 1000000 ? PGMAP_NO_DEADLINE : now + ms * 1000000;
}
