/* SPDX-License-Identifier: BSD-3-Clause */
/* core.c - what a reference, a request and a put cost; by one thread, and by two (core_space.c: what a pgmap costs). */
#include "subject.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <pgmap/folio.h>

#include "core.h"
#include "memory.h"

static uint64_t count;
static struct pgmap *pgmap;
static struct folio *held;

static double per_operation(void (*batch)(uint64_t n))
{
	uint64_t start = now_ns();
	batch(count);
	return (double)(now_ns() - start) / (double)count;
}

/* folio_get and folio_put of a folio that is held anyway. */
static void get_put_batch(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		folio_get(held);
		folio_put(held);
	}
}

static void get_put_prepare(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	pgmap = bench_pgmap(1);
	held = bench_request(pgmap, 0, 0);
	count = subject_calibrate(get_put_batch);
}

static double get_put_round(void)
{
	return per_operation(get_put_batch);
}

/*
 * A window: `size` folios are held; each step requests the spare place and puts a random member, whose place is the
 * next spare one. So each folio lives for a random time, and at each moment size + 1 places are in use or about to be.
 */
struct window {
	_Alignas(256) struct pgmap *pgmap; /* two threads' windows share no cache line */
	struct folio **folios;
	uint64_t *pgoffs;
	uint64_t size;
	uint64_t spare;
	unsigned order;
	struct rng rng;
};

static struct window window = {.rng = RNG_SEED};

/* Member i lies at first + i * stride pages. */
static void window_fill(struct window *w, uint64_t size, unsigned order, uint64_t first, uint64_t stride)
{
	w->size = size;
	w->order = order;
	w->folios = calloc(size, sizeof(*w->folios));
	w->pgoffs = calloc(size, sizeof(*w->pgoffs));
	if (!w->folios || !w->pgoffs)
		subject_fail("no memory for a window of %lu", (unsigned long)size);
	for (uint64_t i = 0; i < size; i++) {
		w->pgoffs[i] = first + i * stride;
		w->folios[i] = bench_request(w->pgmap, w->pgoffs[i], order);
	}
	w->spare = first + size * stride;
}

static void window_steps(struct window *w, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t slot = rng_below(&w->rng, w->size);
		uint64_t pgoff = w->spare;
		struct folio *fresh = bench_request(w->pgmap, pgoff, w->order);
		folio_put(w->folios[slot]);
		w->spare = w->pgoffs[slot];
		w->pgoffs[slot] = pgoff;
		w->folios[slot] = fresh;
	}
}

static void window_batch(uint64_t n)
{
	window_steps(&window, n);
}

static void window_prepare(int argc, char **argv)
{
	unsigned order = (unsigned)subject_number(argc, argv, 0);
	uint64_t size = subject_number(argc, argv, 1);
	window.pgmap = bench_pgmap((((size + 1) << order) >> 18) + 1);
	window_fill(&window, size, order, 0, UINT64_C(1) << order);
	count = subject_calibrate(window_batch);
}

/* The same with the folios spread evenly over a device of so many GiB: each in a block, and a page of words, of its own. */
static void spread_prepare(int argc, char **argv)
{
	uint64_t gib = subject_number(argc, argv, 0);
	window.pgmap = bench_pgmap(gib);
	window_fill(&window, WINDOW, 0, 0, (gib << 18) / (WINDOW + 1));
	count = subject_calibrate(window_batch);
}

static double window_round(void)
{
	return per_operation(window_batch);
}

/* The same over blocks in which small folios lived just before: 1 in each 2 MiB of each block. Only the big are timed. */
enum { OPENED_BLOCKS = 64 };

static double opened_round(void)
{
	struct folio *folios[OPENED_BLOCKS];
	uint64_t pages = UINT64_C(1) << window.order;
	for (uint64_t pgoff = 0; pgoff < OPENED_BLOCKS * pages; pgoff += 512)
		folio_put(bench_request(window.pgmap, pgoff + 5, 0));
	uint64_t start = now_ns();
	for (uint64_t i = 0; i < OPENED_BLOCKS; i++)
		folios[i] = bench_request(window.pgmap, i * pages, window.order);
	for (uint64_t i = 0; i < OPENED_BLOCKS; i++)
		folio_put(folios[i]);
	return (double)(now_ns() - start) / OPENED_BLOCKS;
}

static void opened_prepare(int argc, char **argv)
{
	window.order = (unsigned)subject_number(argc, argv, 0);
	window.pgmap = bench_pgmap(OPENED_BLOCKS);
}

/*
 * One or two threads, each over a window of its own (of WINDOW folios, if not told): "interleaved", every second page of the same 2 MiB blocks;
 * "disjoint", each in a GiB of its own. The answer is the wall time for one request and put of all threads together.
 */
static unsigned threads;
static struct window windows[2] = {{.rng = RNG_SEED}, {.rng = {UINT64_C(0xd1b54a32d192ed03)}}};
static pthread_barrier_t round_begins;
static _Atomic unsigned arrived, finished;

static void *second_thread(void *unused)
{
	(void)unused;
	bench_use_other_cpu();
	for (;;) {
		pthread_barrier_wait(&round_begins);
		/* Nobody starts before both run. */
		atomic_fetch_add(&arrived, 1);
		while (atomic_load(&arrived) != 2)
			;
		window_steps(&windows[1], count);
		atomic_fetch_add(&finished, 1);
	}
	return NULL;
}

static void scale_batch(uint64_t n)
{
	window_steps(&windows[0], n);
}

static void scale_prepare(int argc, char **argv)
{
	threads = (unsigned)subject_number(argc, argv, 0);
	int interleaved = argc > 1 && strcmp(argv[1], "interleaved") == 0;
	uint64_t size = argc > 2 ? subject_number(argc, argv, 2) : WINDOW;
	uint64_t gib = (size >> 18) + 1; /* of a window */
	pgmap = bench_pgmap(2 * gib);
	for (unsigned t = 0; t < 2; t++) {
		windows[t].pgmap = pgmap;
		window_fill(&windows[t], size, 0, interleaved ? t : (t * gib) << 18, interleaved ? 2 : 1);
	}
	count = subject_calibrate(scale_batch);
	pthread_t thread;
	pthread_barrier_init(&round_begins, NULL, 2);
	if (threads == 2 && pthread_create(&thread, NULL, second_thread, NULL) != 0)
		subject_fail("pthread_create");
}

static double scale_round(void)
{
	if (threads == 1)
		return per_operation(scale_batch);
	atomic_store(&arrived, 0);
	atomic_store(&finished, 0);
	pthread_barrier_wait(&round_begins);
	atomic_fetch_add(&arrived, 1);
	while (atomic_load(&arrived) != 2)
		;
	uint64_t start = now_ns();
	window_steps(&windows[0], count);
	while (atomic_load(&finished) != 1)
		;
	return (double)(now_ns() - start) / (double)(2 * count);
}

int main(int argc, char **argv)
{
	static const struct subject table[] = {
		{"get_put", "", get_put_prepare, get_put_round},
		{"window", "ORDER SIZE", window_prepare, window_round},
		{"opened", "ORDER", opened_prepare, opened_round},
		{"spread", "GIB", spread_prepare, window_round},
		{"scale", "THREADS interleaved|disjoint [SIZE]", scale_prepare, scale_round},
		{0},
	};
	return subject_main(argc, argv, table);
}
