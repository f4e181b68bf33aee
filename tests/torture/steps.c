/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * steps - two threads of operations on the real core, switched at every pair of steps: A runs n steps (atomic operations and
 * locks), B runs m, A goes on to its end, and then B; for all n and m that they have. What depends on a few instructions,
 * and random delays seldom find, is found here each time.
 *
 *   steps [SCENARIO [N M]]
 *
 * Both are coroutines of one thread of the system, each with a slot of its own in the live count (port/slot.h); delay.h calls
 * torture_delay() before each step, and a lock that the other has is a step too. Who waits for the other for long is
 * switched away from; when nothing moves any more, that is a hang.
 * Each scenario says what may come out; after each run nothing may be live, folio_free must have run once for each folio, and
 * all must be free to be requested as a whole.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "port/slot.h"

#include "core/map.h" /* before steps.h, whose pgmap is everybody's */

#include "steps.h"

#undef pthread_mutex_lock /* delay.h's is torture_lock(), below */

enum { STACK_BYTES = 256 * 1024, PATIENCE = 100, HANG = 2000000, MOST_STEPS = 200, LEAK_PAGES = 8192 };

struct coroutine {
	ucontext_t context;
	char *stack;
	void (*run)(void);
	unsigned slot_plus_one;
	bool done;
	uint64_t steps;
};

static struct coroutine both[2];
static ucontext_t outside;
static int current = -1;      /* -1: not in a coroutine */
static uint64_t budget;       /* steps until the next switch */
static uint64_t total;        /* steps of this run */
static uint64_t switch_at[2]; /* after so many steps of A; of B */
static unsigned switches;
static bool shared_slot;

static const char *scenario_name;
struct pgmap *pgmap;

void wrong(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	printf("steps: WRONG: %s, A stopped after %llu steps, B after %llu: ", scenario_name,
	       (unsigned long long)switch_at[0], (unsigned long long)switch_at[1]);
	vprintf(format, args);
	printf("\n");
	va_end(args);
	fflush(stdout);
	_Exit(1);
}

/* Let the other one run, if there is one. */
static void switch_over(void)
{
	int from = current, to = 1 - from;
	if (both[to].done)
		return;
	both[from].slot_plus_one = port_slot_plus_one;
	port_slot_plus_one = both[to].slot_plus_one;
	current = to;
	switches++;
	budget = switches == 1 ? switch_at[1] : PATIENCE;
	swapcontext(&both[from].context, &both[to].context);
}

void torture_delay(void);
void torture_delay(void)
{
	if (current < 0)
		return;
	if (++total > HANG)
		wrong("nothing moves any more");
	both[current].steps++;
	if (budget-- == 0) {
		budget = PATIENCE;
		switch_over();
	}
}

/* In the place of pthread_mutex_lock(), in the core (delay.h). */
int torture_lock(pthread_mutex_t *mutex);
int torture_lock(pthread_mutex_t *mutex)
{
	if (current < 0)
		return pthread_mutex_lock(mutex);
	torture_delay();
	while (pthread_mutex_trylock(mutex) != 0) {
		if (++total > HANG || both[1 - current].done)
			wrong("a lock is never released");
		switch_over();
	}
	return 0;
}

static void enter(void)
{
	struct coroutine *c = &both[current];
	c->run();
	c->done = true;
	int to = 1 - current;
	if (both[to].done) {
		current = -1;
		setcontext(&outside);
	}
	port_slot_plus_one = both[to].slot_plus_one;
	current = to;
	switches++;
	budget = UINT64_MAX;
	setcontext(&both[to].context);
}

static void start(int i, void (*run)(void))
{
	struct coroutine *c = &both[i];
	getcontext(&c->context);
	c->context.uc_stack.ss_sp = c->stack;
	c->context.uc_stack.ss_size = STACK_BYTES;
	c->run = run;
	c->done = false;
	c->steps = 0;
	c->slot_plus_one = shared_slot ? 0 : (unsigned)i + 1;
	makecontext(&c->context, enter, 0);
}

/* A runs n steps, B m, then A to its end, then B. */
static void run_both(void (*a)(void), void (*b)(void), uint64_t n, uint64_t m)
{
	start(0, a);
	start(1, b);
	switch_at[0] = n;
	switch_at[1] = m;
	unsigned own = port_slot_plus_one;
	switches = 0;
	total = 0;
	budget = n;
	current = 0;
	port_slot_plus_one = both[0].slot_plus_one;
	swapcontext(&outside, &both[0].context);
	current = -1;
	port_slot_plus_one = own;
}

static void make(void)
{
	static const struct pgmap_range range = {0, UINT64_C(2) << 30};
	const struct pgmap_params params = {.params_bytes = sizeof(params),
					    .type = PGMAP_GENERIC,
					    .ranges = &range,
					    .nranges = 1,
					    .ops = &scenario_ops,
					    .name = "steps"};
	MUST(pgmap_create(&params, &pgmap) == 0);
}

static void unmake(void)
{
	(void)pgmap_kill(pgmap);
	MUST(pgmap_drain(pgmap, 0) == 0);
	MUST(pgmap_destroy(pgmap) == 0);
	pgmap = NULL;
}

/* What a split that failed gave its parts has gone. */
static void expect_no_private(uint64_t from, uint64_t to, unsigned order)
{
	for (uint64_t at = from; at < to; at += UINT64_C(1) << order) {
		struct folio *f;
		MUST(pgmap_request_folio(pgmap, at, order, &f) == 0);
		MUST(folio_private(f) == 0);
		folio_put(f);
	}
}

static void run_once(const struct scenario *s, uint64_t n, uint64_t m)
{
	scenario_name = s->name;
	scenario_reset();
	shared_slot = s->kind == SHARED;
	if (s->set_up)
		s->set_up();
	run_both(s->a, s->b, n, m);
	if (s->look)
		s->look();
	MUST(live_sum(&pgmap->live) == 0);
	MUST(frees == lives);
	if (pgmap_state(pgmap) == PGMAP_LIVE) {
		struct folio *all;
		expect_no_private(0, 16, 0);
		expect_no_private(0, 4 * 512, 9);
		MUST(pgmap_request_folio(pgmap, 0, PGMAP_ORDER_PUD, &all) == 0);
		folio_put(all);
	}
}

/* With a new pgmap where the old one may be dead, or has what is made only once. */
static void run_new(const struct scenario *s, uint64_t n, uint64_t m)
{
	if (pgmap && (pgmap_state(pgmap) != PGMAP_LIVE || s->kind == FRESH))
		unmake();
	if (!pgmap)
		make();
	run_once(s, n, m);
}

static uint64_t most(uint64_t a, uint64_t b)
{
	uint64_t max = a > b ? a : b;
	return max < MOST_STEPS ? max : MOST_STEPS;
}

/* All that this process has mapped. */
static uint64_t mapped_pages(void)
{
	uint64_t n = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	MUST(f && fscanf(f, "%llu", (unsigned long long *)&n) == 1);
	(void)fclose(f);
	return n;
}

static void run_all(const struct scenario *s)
{
	/* How many steps they have: A before B, and B before A. */
	run_new(s, UINT64_MAX, UINT64_MAX);
	uint64_t steps_a = both[0].steps, steps_b = both[1].steps;
	run_new(s, 0, UINT64_MAX);
	steps_a = most(steps_a, both[0].steps);
	steps_b = most(steps_b, both[1].steps);
	uint64_t mapped = mapped_pages();
	for (uint64_t n = 0; n <= steps_a; n++)
		for (uint64_t m = 0; m <= steps_b; m++)
			run_new(s, n, m);
	if (s->kind == FRESH && mapped_pages() > mapped + LEAK_PAGES)
		wrong("address space leaks");
	printf("steps: %s: %llu and %llu steps\n", s->name, (unsigned long long)steps_a, (unsigned long long)steps_b);
}

int main(int argc, char **argv)
{
	both[0].stack = malloc(STACK_BYTES);
	both[1].stack = malloc(STACK_BYTES);
	for (unsigned i = 0; i < PORT_SLOTS; i++)
		(void)port_slot_take(); /* all of them: who has none shares the last */
	port_slot_plus_one = 3;
	bool ran = false;
	for (size_t i = 0; scenarios[i].name; i++) {
		if (argc > 1 && strcmp(argv[1], scenarios[i].name) != 0)
			continue;
		ran = true;
		if (argc == 4) {
			run_new(&scenarios[i], strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0));
			printf("steps: %s: right\n", scenarios[i].name);
		} else {
			run_all(&scenarios[i]);
		}
	}
	if (pgmap)
		unmake();
	free(both[0].stack);
	free(both[1].stack);
	return ran ? 0 : 2;
}
