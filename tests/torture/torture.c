/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * torture - all operations of the core by several threads over a tiny set of offsets where all orders collide, and an
 * oracle that looks at the history afterwards.
 *
 *   torture SEED OPERATIONS-PER-THREAD THREADS
 *
 * Even seeds make no lookups: a lookup under way may hold a folio for a moment (claim.h, claim 5), which no event tells,
 * so that a wrong -EBUSY could not be told from a right one.
 *
 * Each operation is logged with the times before its call and after its return. A hold is known to exist from the
 * return of what took it to the call of what dropped it, and may exist from the call of the first to the return of the
 * second. The history is wrong
 *   - if a request succeeded while another hold of an overlapping span is known to exist during the whole request (c3.9);
 *   - if a request answered -EBUSY and no hold of an overlapping span may have existed during it (c3.9);
 *   - if a lookup answered -ENOENT for a page that a hold is known to cover during all of it, or found a page that no
 *     hold may have covered, or a folio that does not cover it (c3.13);
 *   - if a request or a lookup succeeded wholly between the return of a kill and the next revive (c2.5), or answered
 *     -ENODEV with no dying near;
 *   - if a drain succeeded while a hold is known to exist (c2.3), or folio_free ran more or less than once a life (c3.15);
 *   - if pages are live at the end.
 * Exit status: 0 the history is right, 1 it is not (one line says what), 2 usage.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pgmap/folio.h>

/* A call has returned while its last store still waits in its processor's store buffer: others see it that much later. */
enum { SLACK_NS = 2000, MAX_THREADS = 64 };

/* TAKEN and SHARED are holds: by a request, or one of its parts, and by a lookup. */
enum kind { TAKEN, SHARED, BUSY, NOENT, NODEV, FOUND, DYING, DRAINED };

struct event {
	enum kind kind;
	uint64_t pgoff;
	uint64_t npages;
	uint64_t call;      /* of what began it */
	uint64_t ret;       /* its return */
	uint64_t drop_call; /* holds, DYING: of what ended it */
	uint64_t drop_ret;
};

struct thread {
	pthread_t id;
	unsigned index;
	uint64_t seed;
	uint64_t nevents;
	struct event *events;
	uint64_t taken; /* folios requested, parts of splits included */
};

static struct pgmap *pgmap;
static uint64_t operations;
static unsigned nthreads;
static _Atomic uint64_t freed;
static _Atomic unsigned running;
static bool lookups;

static _Thread_local uint64_t delay_state = 88172645463325252u;

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Called before each atomic operation of the core in builds with delay.h. */
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

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static _Noreturn void wrong(const char *what, const struct event *a, const struct event *b)
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

static struct event *new_event(struct thread *t, enum kind kind, uint64_t pgoff, uint64_t npages, uint64_t call)
{
	struct event *e = &t->events[t->nevents++]; /* 10 an operation at most: a request, split by 8 */
	*e = (struct event){.kind = kind, .pgoff = pgoff, .npages = npages, .call = call, .ret = now()};
	e->drop_call = e->drop_ret = UINT64_MAX;
	return e;
}

static int count_free(struct folio *folio, void *owner)
{
	(void)owner;
	(void)folio_pgoff(folio);
	atomic_fetch_add(&freed, 1);
	return PGMAP_FREE_IDLE;
}

/* Where orders meet: the beginnings and ends of blocks of all levels. */
static uint64_t random_page(uint64_t *seed)
{
	static const uint64_t bases[] = {0, 0, 0, 4, 510, 512, 1022, 1024, 262140, 262144};
	return bases[next_random(seed) % 10] + next_random(seed) % 4;
}

static unsigned random_order(uint64_t *seed)
{
	static const unsigned orders[] = {0, 0, 0, 1, 1, 2, 3, 5, 8, 9, 9, 9, 10, 10, 11, 14, 17, 18};
	return orders[next_random(seed) % 18];
}

static void drop(struct folio *folio, struct event *e)
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

/* Split a folio that this thread requested, and drop the parts in any order. The hold's event becomes one a part. */
static bool split(struct thread *t, struct folio *folio, struct event *whole)
{
	unsigned order = folio_order(folio), by = 1 + (unsigned)(next_random(&t->seed) % 3);
	if (order == 9 || order == 18)
		by = 1; /* across a level: 2 parts */
	if (by > order)
		return false;
	uint64_t pgoff = whole->pgoff, call = whole->call, ret = whole->ret, part = (UINT64_C(1) << order) >> by;
	if (folio_split(folio, order - by) != 0)
		return false; /* a lookup holds it too */
	whole->npages = part;
	for (uint64_t i = 0; i < UINT64_C(1) << by; i++) {
		struct event *e = whole;
		if (i) {
			e = new_event(t, TAKEN, pgoff + i * part, part, call);
			e->ret = ret;
			t->taken++;
		}
		struct folio *f;
		if (pgmap_find_folio(pgmap, pgoff + i * part, &f) != 0 || folio_order(f) != order - by ||
		    folio_pgoff(f) != pgoff + i * part)
			wrong("a part of a split is not there", e, NULL);
		drop(f, e);
	}
	return true;
}

static void do_request(struct thread *t)
{
	unsigned order = random_order(&t->seed);
	uint64_t npages = UINT64_C(1) << order, pgoff = random_page(&t->seed) & ~(npages - 1);
	struct folio *folio;
	uint64_t call = now();
	int r = pgmap_request_folio(pgmap, pgoff, order, &folio);
	struct event *e = new_event(t, r == 0 ? TAKEN : r == -EBUSY ? BUSY : NODEV, pgoff, npages, call);
	if (r != 0 && r != -EBUSY && r != -ENODEV)
		wrong("a request answered with an error that it should not", e, NULL);
	if (r)
		return;
	t->taken++;
	if (folio_pgoff(folio) != pgoff || folio_order(folio) != order || folio_refs(folio) < 1)
		wrong("a request gave another folio", e, NULL);
	play(t, folio);
	if (next_random(&t->seed) % 4 == 0 && split(t, folio, e))
		return;
	drop(folio, e);
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
	play(t, folio);
	struct event *hold = new_event(t, SHARED, pgoff, npages, call);
	hold->ret = e->ret;
	drop(folio, hold);
}

/* Thread 0 only. Until near the end it holds a folio over it, so that the device survives. True: it is dead. */
static bool do_death(struct thread *t, bool near_end)
{
	struct folio *mine = NULL;
	uint64_t asked = now();
	if (!near_end && pgmap_request_folio(pgmap, 300, 0, &mine) != 0)
		return false;
	struct event *hold = mine ? new_event(t, TAKEN, 300, 1, asked) : NULL;
	uint64_t call = now();
	pgmap_kill(pgmap);
	struct event *e = new_event(t, DYING, 0, UINT64_MAX, call);
	call = now();
	bool dead = pgmap_drain(pgmap, pgmap_deadline_in(next_random(&t->seed) % 2)) == 0;
	if (dead) {
		new_event(t, DRAINED, 0, UINT64_MAX, call);
	} else {
		e->drop_call = now();
		if (pgmap_revive(pgmap) != 0)
			wrong("a revive after a drain that timed out failed", e, NULL);
		e->drop_ret = now();
	}
	if (hold) {
		t->taken++;
		drop(mine, hold);
	}
	return dead;
}

static void *run(void *arg)
{
	struct thread *t = arg;
	delay_state = t->seed | 1;
	atomic_fetch_add(&running, 1);
	while (atomic_load(&running) < nthreads)
		sched_yield();
	for (uint64_t i = 0; i < operations; i++) {
		uint64_t r = next_random(&t->seed) % 1000;
		if (t->index == 0 && r < 2 && do_death(t, i > operations - operations / 20))
			break;
		if (r < 700 || !lookups)
			do_request(t);
		else
			do_lookup(t);
	}
	return NULL;
}

static int by_call(const void *a, const void *b)
{
	const struct event *x = a, *y = b;
	return x->call < y->call ? -1 : x->call > y->call;
}

static bool is_hold(const struct event *e)
{
	return e->kind == TAKEN || e->kind == SHARED;
}

static bool overlap(const struct event *a, const struct event *b)
{
	return a->pgoff < b->pgoff + b->npages && b->pgoff < a->pgoff + a->npages;
}

/* What the holds say about one event: *known one exists all the time, *possible one may exist at some time of it. */
static void look(const struct event *all, uint64_t n, uint64_t at, uint64_t longest, bool *known, bool *possible,
		 const struct event **witness)
{
	const struct event *e = &all[at];
	*known = *possible = false;
	uint64_t i = at;
	while (i + 1 < n && all[i + 1].call <= e->ret)
		i++;
	for (;; i--) {
		const struct event *h = &all[i];
		if (h->call + longest + SLACK_NS < e->call)
			break;
		if (i != at && is_hold(h) && overlap(h, e) && h->drop_ret + SLACK_NS >= e->call) {
			*possible = true;
			if (h->ret + SLACK_NS < e->call && h->drop_call > e->ret) {
				*known = true;
				*witness = h;
			}
		}
		if (i == 0)
			break;
	}
}

static void judge_dying(const struct event *e, const struct event *dying, uint64_t ndying)
{
	bool near = false;
	for (uint64_t i = 0; i < ndying; i++) {
		if ((e->kind == TAKEN || e->kind == FOUND) && e->call > dying[i].ret && e->ret < dying[i].drop_call)
			wrong("a request or lookup succeeded after a kill had returned", e, &dying[i]);
		near = near || (e->ret >= dying[i].call - 1000000 && e->call <= dying[i].drop_ret);
	}
	if (e->kind == NODEV && !near)
		wrong("-ENODEV with no dying near", e, NULL);
}

static void judge(struct event *all, uint64_t n, const struct event *dying, uint64_t ndying)
{
	uint64_t longest = 0, counts[DRAINED + 1] = {0};
	for (uint64_t i = 0; i < n; i++)
		if (is_hold(&all[i]) && all[i].drop_ret - all[i].call > longest)
			longest = all[i].drop_ret - all[i].call;
	for (uint64_t i = 0; i < n; i++) {
		struct event *e = &all[i];
		const struct event *witness = NULL;
		bool known, possible;
		counts[e->kind]++;
		look(all, n, i, longest, &known, &possible, &witness);
		judge_dying(e, dying, ndying);
		if (e->kind == TAKEN && known)
			wrong("a request succeeded over a folio that was held", e, witness);
		if (e->kind == BUSY && !possible && !lookups)
			wrong("-EBUSY where no page can have been held", e, NULL);
		if (e->kind == NOENT && known)
			wrong("-ENOENT for a page that was held", e, witness);
		if (e->kind == FOUND && !possible)
			wrong("a lookup found a page that nobody can have held", e, NULL);
		if (e->kind == DRAINED && known)
			wrong("a drain succeeded while a folio was held", e, witness);
	}
	printf("torture: %llu taken, %llu shared, %llu busy, %llu noent, %llu nodev, %llu deaths\n",
	       (unsigned long long)counts[TAKEN], (unsigned long long)counts[SHARED], (unsigned long long)counts[BUSY],
	       (unsigned long long)counts[NOENT], (unsigned long long)counts[NODEV], (unsigned long long)ndying);
}

/* After all threads: the counts, and then the history. */
static void check(struct thread *threads)
{
	uint64_t n = 0, ndying = 0, taken = 0;
	for (unsigned i = 0; i < nthreads; i++) {
		n += threads[i].nevents;
		taken += threads[i].taken;
	}
	struct event none = {.call = taken, .ret = atomic_load(&freed)};
	if (pgmap_live_pages(pgmap) != 0)
		wrong("pages are live at the end", &none, NULL);
	if (taken != atomic_load(&freed))
		wrong("folio_free did not run once for each life", &none, NULL);
	struct event *all = calloc(n + 1, sizeof(*all)), *dying = calloc(n + 1, sizeof(*dying));
	if (!all || !dying)
		abort();
	n = 0;
	for (unsigned i = 0; i < nthreads; i++)
		for (uint64_t j = 0; j < threads[i].nevents; j++) {
			all[n++] = threads[i].events[j];
			if (all[n - 1].kind == DYING)
				dying[ndying++] = all[n - 1];
		}
	qsort(all, n, sizeof(*all), by_call);
	judge(all, n, dying, ndying);
	free(all);
	free(dying);
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
	struct pgmap_ops ops = {.ops_bytes = sizeof(ops), .folio_free = count_free};
	struct pgmap_params params = {.params_bytes = sizeof(params),
				      .type = PGMAP_GENERIC,
				      .ranges = &range,
				      .nranges = 1,
				      .ops = &ops,
				      .name = "torture"};
	if (pgmap_create(&params, &pgmap) != 0)
		return 2;
	static struct thread threads[MAX_THREADS];
	for (unsigned i = 0; i < nthreads; i++) {
		threads[i] =
			(struct thread){.index = i, .seed = (seed + 1) * 0x9e3779b97f4a7c15u + i * 0xbf58476d1ce4e5b9u};
		threads[i].events = calloc(operations * 10 + 10, sizeof(struct event));
		if (!threads[i].events || pthread_create(&threads[i].id, NULL, run, &threads[i]) != 0)
			return 2;
	}
	for (unsigned i = 0; i < nthreads; i++)
		pthread_join(threads[i].id, NULL);
	check(threads);
	printf("torture: seed %llu: the history is right\n", (unsigned long long)seed);
	pgmap_kill(pgmap);
	if (pgmap_drain(pgmap, 0) != 0 || pgmap_destroy(pgmap) != 0)
		return 1;
	for (unsigned i = 0; i < nthreads; i++)
		free(threads[i].events);
	return 0;
}
