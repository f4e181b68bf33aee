/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * torture - all operations of the core by several threads over a tiny set of offsets where all orders collide, and a
 * sequential model that looks at the history afterwards (history.c), and one of what each holder has, at once (bag.c).
 *
 *   torture SEED OPERATIONS-PER-THREAD THREADS
 *
 * Even seeds make no lookups: so each -EBUSY can be judged, and each count is exactly what the thread's own model says.
 * Besides what the history says, it is wrong if folio_free ran more or less than once a life (c3.15), if a new folio has
 * a private value (c3.19), or if pages are live at the end.
 * Exit status: 0 the history is right, 1 it is not (one line says what), 2 usage.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "torture.h"

enum { MOST_FOLIOS = 64, KEPT_AT_ONCE = 64, EVENTS_EACH = 48 };

struct pgmap *pgmap;
unsigned nthreads;
bool lookups;
_Atomic uint64_t freed;

static uint64_t operations;
static _Atomic unsigned running;
static _Thread_local struct thread *self;
static _Thread_local uint64_t delay_state = 88172645463325252u;

/* What folio_free kept, until somebody releases it. */
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static struct event *kept[KEPT_AT_ONCE];
static unsigned nkept;

uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Called before each atomic operation of the core, and for each lock, in builds with delay.h; where it is not this file's. */
#undef pthread_mutex_lock
void torture_delay(void);
void torture_delay(void)
{
	uint64_t r = next_random(&delay_state);
	if (r % 64 == 0)
		sched_yield();
	else if (r % 16 == 1)
		for (volatile unsigned i = 0; i < (r >> 20) % 200; i++)
			;
}

int torture_lock(pthread_mutex_t *mutex);
int torture_lock(pthread_mutex_t *mutex)
{
	torture_delay();
	return pthread_mutex_lock(mutex);
}

uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void wrong(const char *what, const struct event *a, const struct event *b)
{
	printf("torture: WRONG: %s: pgoff %#llx + %llu pages [%llu, %llu]", what, (unsigned long long)a->pgoff,
	       (unsigned long long)a->npages, (unsigned long long)a->call, (unsigned long long)a->ret);
	if (b)
		printf(" against %#llx + %llu [%llu %llu, %llu %llu]", (unsigned long long)b->pgoff,
		       (unsigned long long)b->npages, (unsigned long long)b->call, (unsigned long long)b->ret,
		       (unsigned long long)b->drop_call, (unsigned long long)b->drop_ret);
	printf("\n");
	fflush(stdout);
	_Exit(1);
}

struct event *new_event(struct thread *t, enum kind kind, uint64_t pgoff, uint64_t npages, uint64_t call)
{
	if (t->nevents == t->max_events)
		abort();
	struct event *e = &t->events[t->nevents++];
	*e = (struct event){.kind = kind, .pgoff = pgoff, .npages = npages, .call = call, .ret = now()};
	e->drop_call = e->drop_ret = e->fence_call = e->fence_ret = UINT64_MAX;
	return e;
}

/* The private value says of which life it is, and in its lowest bit whether the owner shall keep the pages. */
static int free_or_keep(struct folio *folio, void *owner)
{
	(void)owner;
	uint64_t call = now(), pgoff = folio_pgoff(folio);
	int answer = PGMAP_FREE_IDLE;
	atomic_fetch_add(&freed, 1);
	if (!(folio_private(folio) & 1))
		return answer;
	pthread_mutex_lock(&kept_lock);
	if (nkept < KEPT_AT_ONCE) {
		kept[nkept++] = new_event(self, KEPT, pgoff, folio_pages(folio), call);
		answer = PGMAP_FREE_KEEP;
	}
	pthread_mutex_unlock(&kept_lock);
	return answer;
}

/* The owner takes its word back for one that it kept. The folio may be RELEASING still: then it is not found yet. */
static bool release_kept(struct thread *t)
{
	pthread_mutex_lock(&kept_lock);
	struct event *e = nkept ? kept[--nkept] : NULL;
	pthread_mutex_unlock(&kept_lock);
	if (!e)
		return false;
	int r;
	e->drop_call = now();
	while ((r = pgmap_release_quarantined(pgmap, e->pgoff + next_random(&t->seed) % e->npages)) == -ENOENT)
		sched_yield();
	if (r != 0)
		wrong("kept pages could not be released", e, NULL);
	e->drop_ret = now();
	return true;
}

/* Where orders meet: the beginnings and ends of blocks of all levels. */
uint64_t random_page(uint64_t *seed)
{
	static const uint64_t bases[] = {0, 0, 0, 4, 510, 512, 1022, 1024, 262140, 262144};
	return bases[next_random(seed) % 10] + next_random(seed) % 4;
}

static unsigned random_order(uint64_t *seed)
{
	static const unsigned orders[] = {0, 0, 0,  1,  1,  2,  3,  4,  5,  6,  7,  8, 9,
					  9, 9, 10, 10, 11, 12, 13, 14, 15, 16, 17, 18};
	return orders[next_random(seed) % (sizeof(orders) / sizeof(orders[0]))];
}

void drop(struct folio *folio, struct event *e)
{
	e->drop_call = now();
	folio_put(folio);
	e->drop_ret = now();
}

/* Hold it for a moment, in one of several ways. */
static void play(struct thread *t, struct folio *folio)
{
	switch (next_random(&t->seed) % 8) {
	case 0:
		folio_get(folio);
		folio_put(folio);
		break;
	case 1:
		if (folio_pin(folio, NULL, FOLIO_PIN_LOCAL) == 0)
			folio_unpin(folio, NULL, FOLIO_PIN_LOCAL);
		break;
	case 2:
		sched_yield();
		break;
	default:
		break;
	}
}

unsigned split_order(struct thread *t, unsigned order)
{
	unsigned by = 1 + (unsigned)(next_random(&t->seed) % 3);
	if (order == 9 || order == 18)
		by = 1; /* across a level: 2 parts */
	return by > order ? order : order - by;
}

struct folio *part(struct thread *t, struct event *whole, uint64_t i, unsigned order, struct event **e)
{
	uint64_t npages = UINT64_C(1) << order, pgoff = whole->pgoff + i * npages;
	*e = whole;
	if (i) {
		*e = new_event(t, TAKEN, pgoff, npages, whole->call);
		(*e)->ret = whole->ret;
		(*e)->life = whole->life;
		t->taken++;
	}
	struct folio *folio;
	if (pgmap_find_folio(pgmap, pgoff, &folio) != 0 || folio_order(folio) != order || folio_pgoff(folio) != pgoff ||
	    folio_private(folio) != whole->life)
		wrong("a part of a split is not there", *e, NULL);
	return folio;
}

/* Split a folio that this thread requested, and drop the parts. */
static bool split(struct thread *t, struct folio *folio, struct event *whole)
{
	unsigned was = folio_order(folio), order = split_order(t, was);
	if (order >= was)
		return false;
	int r = folio_split(folio, order);
	if (r && (r != -EBUSY || !lookups)) /* a lookup may hold it too */
		wrong("a split by the sole holder failed", whole, NULL);
	if (r)
		return false;
	whole->npages = UINT64_C(1) << order;
	for (uint64_t i = 0; i < UINT64_C(1) << (was - order); i++) {
		struct event *e;
		struct folio *f = part(t, whole, i, order, &e);
		drop(f, e);
	}
	return true;
}

static void use(struct thread *t, struct folio *folio, struct event *e)
{
	t->taken++;
	if (folio_private(folio) != 0)
		wrong("a new folio has a private value", e, NULL);
	if (next_random(&t->seed) % 4 == 0) {
		e->life = (++t->lives * MAX_THREADS + t->index) << 1 | (next_random(&t->seed) & 1);
		if (folio_set_private(folio, e->life) != 0)
			wrong("a private value could not be set", e, NULL);
	}
	play(t, folio);
	if (next_random(&t->seed) % 4 == 0 && bag_take(t, folio, e))
		return;
	if (next_random(&t->seed) % 4 == 0 && split(t, folio, e))
		return;
	drop(folio, e);
}

static enum kind answer_kind(int r, enum kind good)
{
	struct event e = {.pgoff = (uint64_t)(int64_t)r};
	switch (r) {
	case 0:
		return good;
	case -EBUSY:
		return BUSY;
	case -EHWPOISON:
		return BAD;
	case -ENODEV:
		return NODEV;
	default:
		wrong("a request answered with an error that it should not", &e, NULL);
	}
}

static void do_request(struct thread *t)
{
	unsigned order = random_order(&t->seed);
	uint64_t npages = UINT64_C(1) << order, pgoff = random_page(&t->seed) & ~(npages - 1);
	struct folio *folio;
	uint64_t call = now();
	int r = pgmap_request_folio(pgmap, pgoff, order, &folio);
	struct event *e = new_event(t, answer_kind(r, TAKEN), pgoff, npages, call);
	if (r)
		return;
	if (folio_pgoff(folio) != pgoff || folio_order(folio) != order || folio_refs(folio) < 1)
		wrong("a request gave another folio", e, NULL);
	use(t, folio, e);
}

/* A span of pages, by several folios. */
static void do_request_span(struct thread *t)
{
	static const uint64_t lengths[] = {1, 2, 3, 5, 7, 8, 500, 513, 1023, 1030};
	struct folio *folios[MOST_FOLIOS];
	struct event *events[MOST_FOLIOS];
	uint64_t pgoff = random_page(&t->seed), npages = lengths[next_random(&t->seed) % 10], call = now();
	size_t n = 0;
	int r = pgmap_request_folios(pgmap, pgoff, npages, folios, &n);
	enum kind kind = answer_kind(r, TAKEN);
	if (r) {
		(void)new_event(t, kind, pgoff, npages, call);
		return;
	}
	uint64_t ret = now(), end = pgoff + npages;
	for (size_t i = 0; i < n; i++) {
		events[i] = new_event(t, TAKEN, pgoff, folio_pages(folios[i]), call);
		events[i]->ret = ret;
		if (folio_pgoff(folios[i]) != pgoff)
			wrong("a request of several folios left a gap", events[i], NULL);
		pgoff += events[i]->npages;
	}
	if (pgoff != end || n != pgmap_folios_in(end - npages, npages))
		/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): it has given one at least */
		wrong("a request of several folios is not of its span", events[0], NULL);
	for (size_t i = 0; i < n; i++)
		use(t, folios[i], events[i]);
}

static void do_lookup(struct thread *t)
{
	uint64_t page = random_page(&t->seed);
	struct folio *folio;
	uint64_t call = now();
	int r = pgmap_get_folio(pgmap, page, &folio);
	struct event *e = new_event(t, r == 0 ? FOUND : r == -ENOENT ? NOENT : NODEV, page, 1, call);
	if (r != 0 && r != -ENOENT && r != -ENODEV)
		wrong("a lookup answered with an error that it should not", e, NULL);
	if (r)
		return;
	uint64_t pgoff = folio_pgoff(folio), npages = folio_pages(folio);
	if (page < pgoff || page - pgoff >= npages)
		wrong("a lookup found a folio that does not cover the page", e, NULL);
	e->life = folio_private(folio);
	play(t, folio);
	struct event *hold = new_event(t, SHARED, pgoff, npages, call);
	hold->ret = e->ret;
	hold->life = folio_private(folio); /* it may have been set meanwhile, and this may be the last reference */
	if (next_random(&t->seed) % 4 || !bag_share(t, folio, hold))
		drop(folio, hold);
}

static void do_something(struct thread *t)
{
	uint64_t r = next_random(&t->seed) % 1000;
	if (r < 4)
		do_walk(t);
	else if (t->index == 0 && r < (t->poison ? 80 : 7))
		do_poison(t);
	else if (r < 10 && t->index == 1)
		do_drain(t);
	else if (r < 100)
		(void)release_kept(t);
	else if (r < 350)
		bag_step(t);
	else if (r < 400)
		do_request_span(t);
	else if (r < 750 || !lookups)
		do_request(t);
	else
		do_lookup(t);
}

static void *run(void *arg)
{
	struct thread *t = self = arg;
	delay_state = t->seed | 1;
	atomic_fetch_add(&running, 1);
	while (atomic_load(&running) < nthreads)
		sched_yield();
	for (uint64_t i = 0; i < operations; i++) {
		if (t->index == 0 && next_random(&t->seed) % 500 == 0 && do_death(t, i > operations - operations / 20))
			break;
		do_something(t);
	}
	if (t->poison)
		do_poison(t);
	bag_empty(t);
	return NULL;
}

/* After all threads: the counts, and then the history. */
static void check(struct thread *threads)
{
	self = &threads[0];
	while (release_kept(self))
		;
	uint64_t taken = 0;
	for (unsigned i = 0; i < nthreads; i++)
		taken += threads[i].taken;
	struct event none = {.call = taken, .ret = atomic_load(&freed)};
	if (pgmap_live_pages(pgmap) != 0)
		wrong("pages are live at the end", &none, NULL);
	if (taken != atomic_load(&freed))
		wrong("folio_free did not run once for each life", &none, NULL);
	judge_history(threads);
}

static void run_threads(uint64_t seed)
{
	static struct thread threads[MAX_THREADS];
	for (unsigned i = 0; i < nthreads; i++) {
		struct thread *t = &threads[i];
		*t = (struct thread){.index = i, .seed = (seed + 1) * 0x9e3779b97f4a7c15u + i * 0xbf58476d1ce4e5b9u};
		t->max_events = (operations + 100) * EVENTS_EACH;
		t->events = calloc(t->max_events, sizeof(struct event));
		if (!t->events || pthread_create(&t->id, NULL, run, t) != 0)
			abort();
	}
	for (unsigned i = 0; i < nthreads; i++)
		pthread_join(threads[i].id, NULL);
	check(threads);
	for (unsigned i = 0; i < nthreads; i++)
		free(threads[i].events);
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	operations = argc > 2 ? strtoull(argv[2], NULL, 0) : 20000;
	nthreads = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 0) : 4;
	if (argc > 4 || operations == 0 || nthreads == 0 || nthreads > MAX_THREADS) {
		fprintf(stderr, "usage: torture SEED OPERATIONS THREADS\n");
		return 2;
	}
	lookups = seed % 2 == 1;
	struct pgmap_range range = {0, UINT64_C(2) << 30};
	struct pgmap_ops ops = {.ops_bytes = sizeof(ops), .folio_free = free_or_keep};
	struct pgmap_params params = {.params_bytes = sizeof(params),
				      .type = PGMAP_GENERIC,
				      .ranges = &range,
				      .nranges = 1,
				      .ops = &ops,
				      .name = "torture"};
	if (pgmap_create(&params, &pgmap) != 0)
		return 2;
	run_threads(seed);
	printf("torture: seed %llu: the history is right\n", (unsigned long long)seed);
	pgmap_kill(pgmap);
	return pgmap_drain(pgmap, 0) != 0 || pgmap_destroy(pgmap) != 0;
}
