/* SPDX-License-Identifier: BSD-3-Clause */
/* wiper.c - see wiper.h: what it does and how much of it. */
#include "fs/wiper.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "port/thread.h"

static const int64_t SECOND_NS = 1000000000;
static const int64_t PERIOD_NS = 1000000000; /* how long memory lies unused before it goes back */
static const int64_t TICK_NS = 10000000;     /* how often it looks, while there is something to come */
enum {
	PIECE_PAGES = 512,   /* 2 MiB, or a granule if that is more */
	AHEAD_PAGES = 32768, /* the demand that is provided for: at most 128 MiB, */
	AHEAD_SHARE = 8      /* and an eighth of the pool */
};

static int64_t now_ns(clockid_t clock)
{
	struct timespec now;
	(void)clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* Under the lock: so many free pages shall have memory, and be clean; and all whose memory is always there. */
static uint64_t wanted(const struct space *space)
{
	uint64_t pages = space->pages - space->nresident;
	uint64_t demand = space->taken_now > space->taken_before ? space->taken_now : space->taken_before;
	uint64_t most = pages / AHEAD_SHARE < AHEAD_PAGES ? pages / AHEAD_SHARE : AHEAD_PAGES;
	demand = demand < most ? demand : most;
	return space->keep > pages ? pages : space->keep + demand;
}

/* Under the lock: pages to give back now. */
static uint64_t excess(const struct space *space)
{
	uint64_t there = space_populated(space), most = wanted(space), over = there > most ? there - most : 0;
	return space->surplus < over ? space->surplus : over;
}

static uint64_t clean_pages(const struct space *space)
{
	return stock_free(&space->stock).clean;
}

enum job { NOTHING, DISCARD, WIPE, POPULATE };

/* Under the lock: what is to be done, on the piece that is begun. */
static enum job begin(struct space *space, uint64_t *cursor)
{
	if (!dax_alive(space->dax))
		return NOTHING;
	uint64_t granule = UINT64_C(1) << space->granule_order, over = excess(space) / granule * granule;
	const struct stock *stock = &space->stock, *resident = &space->resident;
	if (over && (space_piece_begin(space, stock, STOCK_DIRTY, *cursor, PIECE_PAGES, over) ||
		     space_piece_begin(space, stock, STOCK_CLEAN, space->base, PIECE_PAGES, over)))
		return DISCARD;
	bool enough = clean_pages(space) >= wanted(space);
	if ((over && !places_now(&space->places)->mixed) || (enough && !stock_free(resident).dirty))
		return NOTHING;
	if (space_piece_begin(space, enough ? resident : NULL, STOCK_DIRTY, *cursor, PIECE_PAGES, UINT64_MAX))
		return WIPE;
	uint64_t lacks = (wanted(space) - space_populated(space)) / granule * granule;
	if (space_populated(space) >= wanted(space) || !lacks || space->no_memory)
		return NOTHING;
	return space_piece_begin_absent(space, PIECE_PAGES, lacks) ? POPULATE : NOTHING;
}

/* What the pages are then. */
static enum stock_state work_on(struct space *space, uint64_t at, uint64_t npages, enum job job)
{
	enum stock_state state;
	switch (job) {
	case DISCARD:
		return dax_discard(space->dax, places_page(&space->places, at), npages) == 0 ? STOCK_ABSENT
											     : STOCK_DIRTY;
	case POPULATE:
		return space_populate(space, at, npages) == 0 ? STOCK_CLEAN : STOCK_ABSENT;
	default:
#ifdef PGMAP_FAULT_UNWIPED /* the planted bug: what the wiper calls clean is not */
		return STOCK_CLEAN;
#endif
		return space_wipe(space, at, npages, &state) == 0 ? state : STOCK_DIRTY;
	}
}

uint64_t wiper_work(struct space *space, uint64_t *cursor)
{
	(void)pthread_mutex_lock(&space->lock);
	enum job job = begin(space, cursor);
	uint64_t at = space->wiping, npages = space->wiping_pages;
	(void)pthread_mutex_unlock(&space->lock);
	if (job == NOTHING) {
		*cursor = space->base;
		return 0;
	}
	enum stock_state state = work_on(space, at, npages, job);
	(void)pthread_mutex_lock(&space->lock);
	space_piece_end(space, state);
	if (state == STOCK_DIRTY)
		*cursor = at + npages; /* not this one again, before all the others */
	else if (job == WIPE)
		space->wiped_ahead += npages;
	if (job == POPULATE && state == STOCK_ABSENT)
		space->no_memory = true;
	if (job == DISCARD)
		space->surplus -= npages < space->surplus ? npages : space->surplus;
	(void)pthread_mutex_unlock(&space->lock);
	return npages;
}

void wiper_end_period(struct space *space)
{
	(void)pthread_mutex_lock(&space->lock);
	uint64_t there = space_populated(space);
	uint64_t low = space->low < there ? space->low : there;
	space->taken_before = space->taken_now;
	space->taken_now = 0;
	uint64_t most = wanted(space);
	space->surplus = low > most ? low - most : 0;
	space->no_memory = false;
	space->low = there;
	(void)pthread_mutex_unlock(&space->lock);
}

/* Under the lock: a later tick will find something to do, without anybody's doing. */
static bool has_something_to_come(const struct space *space)
{
	if (!dax_alive(space->dax))
		return false;
	struct stock_count resident = stock_free(&space->resident);
	uint64_t free = shelf_nfree(&space->shelf) - resident.clean - resident.dirty;
	return space->taken_now || space->taken_before || space_populated(space) > space->keep || resident.dirty ||
	       clean_pages(space) < (wanted(space) < free ? wanted(space) : free);
}

/* Sleep for so long, or until woken where there is nothing to come. False: it shall end. */
static bool nap(struct space *space, int64_t ns, bool for_ever)
{
	int64_t until = now_ns(CLOCK_MONOTONIC) + ns;
	struct timespec deadline = {until / SECOND_NS, until % SECOND_NS};
	int err = 0;
	(void)pthread_mutex_lock(&space->lock);
	if (for_ever && !space->stop && !has_something_to_come(space)) {
		space->asleep = true;
		while (space->asleep && !space->stop)
			(void)pthread_cond_wait(&space->work, &space->lock);
		space->asleep = false;
	}
	while (!space->stop && err != ETIMEDOUT)
		err = pthread_cond_timedwait(&space->work, &space->lock, &deadline);
	bool go_on = !space->stop;
	(void)pthread_mutex_unlock(&space->lock);
	return go_on;
}

static void *run(void *arg)
{
	const struct wiper *wiper = arg;
	struct space *space = wiper->space;
	uint64_t cursor = space->base;
	int64_t period_end = now_ns(CLOCK_MONOTONIC) + PERIOD_NS;
	bool go_on = true;
	while (go_on) {
		int64_t before = now_ns(CLOCK_THREAD_CPUTIME_ID);
		uint64_t done = wiper_work(space, &cursor);
		int64_t took = now_ns(CLOCK_THREAD_CPUTIME_ID) - before;
		int64_t rest = took * (100 - (int64_t)wiper->percent) / (int64_t)wiper->percent;
		go_on = nap(space, done ? rest : TICK_NS, done == 0);
		if (now_ns(CLOCK_MONOTONIC) >= period_end) {
			wiper_end_period(space);
			period_end = now_ns(CLOCK_MONOTONIC) + PERIOD_NS;
		}
	}
	return NULL;
}

int wiper_start(struct wiper *wiper, struct space *space, unsigned percent)
{
	*wiper = (struct wiper){.space = space, .percent = percent};
	(void)pthread_mutex_lock(&space->lock);
	space->stop = false;
	space->low = 0;
	(void)pthread_mutex_unlock(&space->lock);
	int err = port_thread_start(&wiper->thread, 0, run, wiper);
	if (err) {
		wiper->percent = 0;
		return err;
	}
	(void)pthread_setname_np(wiper->thread, "pgmap-wiper");
	(void)pthread_mutex_lock(&space->lock);
	space->background = true;
	(void)pthread_mutex_unlock(&space->lock);
	return 0;
}

void wiper_stop(struct wiper *wiper)
{
	struct space *space = wiper->space;
	if (!wiper->percent)
		return;
	(void)pthread_mutex_lock(&space->lock);
	space->stop = true;
	space->background = false;
	(void)pthread_cond_signal(&space->work);
	(void)pthread_mutex_unlock(&space->lock);
	(void)pthread_join(wiper->thread, NULL);
	wiper->percent = 0;
	space_keep_to(space);
}
