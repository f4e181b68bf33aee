/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mc_search.c - the search: from each state every step of every thread, and back.
 *
 * A state is the memory, the scenario's part, and the used part of each coroutine's stack: it can be put back, and one
 * that was seen before is not gone into again (by a hash of 128 bits; two states that share one would be taken for one:
 * of 10^7 states, one time in 10^24). An operation that has several outcomes is made again for each. From every state the
 * end must be reachable: if not, somebody waits for what does not come.
 *
 * Coroutines: x86-64, their code compiled without stack protectors and shadow stacks. What a coroutine keeps on its stack
 * over a yield() is compared: so the memories stop before they compute anything.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mc.h"

enum { STACK = 16384, DEPTH = 20000, MOVES = 2 * THREADS };

int self;
unsigned nthreads;
bool cut;
struct note note;
uint64_t max_states = 1500000, nedges;
uint32_t nstates;

static struct {
	void *sp[THREADS];
	uint8_t done[8];
	uint64_t alone;
} control;
static _Alignas(64) char stacks[THREADS][STACK];
static void *main_sp;
static const char *violation;
static unsigned asked, pick; /* outcomes of the step under way; the one to take */

struct snapshot {
	uint32_t used[THREADS + 2], total;
	char bytes[];
};
struct frame {
	struct snapshot *snapshot;
	uint32_t id;
	uint8_t move, pick, picks; /* what comes next: of move `move`, outcome `pick` of `picks` (0: not known yet) */
	struct note note;
};
static struct frame frames[DEPTH];
static struct {
	uint64_t hash[2];
} * table;
static uint32_t *ids, (*edges)[2];
static uint64_t table_size, max_edges;
static uint8_t *finals;

void mc_switch(void **save, void *load);
__asm__(".text\nmc_switch:\n push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
	" mov %rsp,(%rdi)\n mov %rsi,%rsp\n pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n");

void yield(void)
{
	mc_switch(&control.sp[self], main_sp);
}

unsigned choose(unsigned n)
{
	if (n == 0 || (n > 1 && asked > 1))
		__builtin_trap(); /* the newest message can always be read, and replaced; one question a step */
	if (n == 1)
		return 0;
	asked = n;
	return pick;
}

void fail(const char *what)
{
	violation = what;
	for (;;)
		yield();
}

bool thread_done(unsigned t)
{
	return control.done[t];
}

void setup_done(void)
{
	control.alone = 0;
	yield();
}

static void thread_main(void)
{
	scenario_run();
	control.done[self] = 1;
	for (;;)
		yield();
}

static uint64_t hash_bytes(uint64_t h[2], const void *p, size_t n)
{
	const uint64_t *w = p;
	for (size_t i = 0; i < n / 8; i++) {
		h[0] = (h[0] ^ w[i]) * UINT64_C(0x9e3779b97f4a7c15);
		h[0] ^= h[0] >> 29;
		h[1] = (h[1] + w[i]) * UINT64_C(0xd6e8feb86659fd93);
		h[1] ^= h[1] >> 32;
	}
	return h[0];
}

static struct part stack_part(unsigned t)
{
	return (struct part){control.sp[t], (size_t)(stacks[t] + STACK - (char *)control.sp[t])};
}

/* The number of the state that we are in; *is_new: never seen before. */
static uint32_t state_id(bool *is_new)
{
	uint64_t h[2] = {1, 2};
	hash_bytes(h, control.done, sizeof(control.done));
	hash_bytes(h, memory_part().at, memory_part().bytes);
	hash_bytes(h, scenario_part().at, scenario_part().bytes);
	for (unsigned t = 0; t < nthreads; t++)
		if (!control.done[t])
			hash_bytes(h, stack_part(t).at, stack_part(t).bytes);
	uint64_t at = h[0] & (table_size - 1);
	while (ids[at] && (table[at].hash[0] != h[0] || table[at].hash[1] != h[1]))
		at = (at + 1) & (table_size - 1);
	*is_new = !ids[at];
	if (*is_new) {
		memcpy(table[at].hash, h, sizeof(h));
		ids[at] = ++nstates;
	}
	return ids[at] - 1;
}

static void copy_out(struct snapshot *s, unsigned i, struct part part, size_t *at)
{
	s->used[i] = (uint32_t)part.bytes;
	memcpy(s->bytes + *at, part.at, part.bytes);
	*at += part.bytes;
}

static void save(struct frame *f)
{
	size_t n = sizeof(control) + memory_part().bytes + scenario_part().bytes, at = sizeof(control);
	for (unsigned t = 0; t < nthreads; t++)
		n += stack_part(t).bytes;
	if (!f->snapshot || f->snapshot->total < n) {
		f->snapshot = realloc(f->snapshot, sizeof(*f->snapshot) + 2 * n);
		if (!f->snapshot)
			abort();
		f->snapshot->total = (uint32_t)(2 * n);
	}
	memcpy(f->snapshot->bytes, &control, sizeof(control));
	copy_out(f->snapshot, THREADS, memory_part(), &at);
	copy_out(f->snapshot, THREADS + 1, scenario_part(), &at);
	for (unsigned t = 0; t < nthreads; t++)
		copy_out(f->snapshot, t, stack_part(t), &at);
	f->move = f->pick = f->picks = 0;
}

static void copy_in(const struct snapshot *s, unsigned i, void *to, size_t *at)
{
	memcpy(to, s->bytes + *at, s->used[i]);
	*at += s->used[i];
}

static void restore(const struct frame *f)
{
	size_t at = sizeof(control);
	memcpy(&control, f->snapshot->bytes, sizeof(control));
	copy_in(f->snapshot, THREADS, memory_part().at, &at);
	copy_in(f->snapshot, THREADS + 1, scenario_part().at, &at);
	for (unsigned t = 0; t < nthreads; t++)
		copy_in(f->snapshot, t, control.sp[t], &at);
}

static void step(unsigned move)
{
	asked = 1;
	self = (int)(move % THREADS);
	if (move >= THREADS)
		memory_move((unsigned)self);
	else
		mc_switch(&main_sp, control.sp[self]);
	memory_settle();
}

static void print_note(const struct note *n)
{
	static const char *const orders[] = {"rlx", "con", "acq", "rel", "a-r", "sc"};
	printf("   T%d %c %-3s ", n->thread, n->what, orders[n->order]);
	if (n->at)
		scenario_print(n->at, n->old);
	if (n->at && n->what != 'l') {
		printf(n->what != 'c' || n->ok ? " -> " : " -/> ");
		scenario_print(NULL, n->now);
	}
	printf(!n->ok && (n->what == 'l' || n->what == 's') ? "   (not the newest)\n" : "\n");
}

static bool report(const char *what, int depth)
{
	printf("VIOLATION: %s\n", what);
	for (int d = 1; d <= depth; d++)
		print_note(&frames[d].note);
	return true;
}

/* From every state the end can be reached. */
static uint64_t count_stuck(uint32_t *first)
{
	uint8_t *good = malloc(nstates);
	uint64_t stuck = 0;
	if (!good)
		abort();
	memcpy(good, finals, nstates);
	for (bool more = true; more;) {
		more = false;
		for (uint64_t e = nedges; e-- > 0;)
			if (!good[edges[e][0]] && good[edges[e][1]])
				good[edges[e][0]] = more = true;
	}
	for (uint32_t i = 0; i < nstates; i++)
		if (!good[i] && !stuck++)
			*first = i;
	free(good);
	return stuck;
}

static void add_edge(uint32_t from, uint32_t to)
{
	if (nedges == max_edges) {
		max_edges = max_edges ? 2 * max_edges : 1 << 20;
		edges = realloc(edges, max_edges * sizeof(*edges));
		if (!edges)
			abort();
	}
	edges[nedges][0] = from;
	edges[nedges++][1] = to;
}

static void start_thread(unsigned t)
{
	memset(stacks[t], 0, STACK);
	void **top = (void **)(void *)(stacks[t] + STACK - 64);
	top[0] = (void *)(uintptr_t)thread_main;
	control.sp[t] = top - 6;
}

/* The state in which the search begins: all threads before their first step, thread 0 behind its setup. */
static void start(void)
{
	memset(&control, 0, sizeof(control));
	memset(ids, 0, table_size * sizeof(*ids));
	memset(finals, 0, max_states);
	nstates = 0;
	nedges = 0;
	pick = 0;
	violation = NULL;
	cut = false;
	memory_reset();
	scenario_reset();
	for (unsigned t = 0; t < nthreads; t++)
		start_thread(t);
	control.alone = 1;
	while (control.alone && !control.done[0] && !violation)
		step(0);
	memory_fork();
	control.alone = 0;
	for (unsigned t = 1; t < nthreads && !violation; t++)
		step(t);
	memory_settle();
}

/* The next thing to try from a state; false: there is none. */
static bool next_try(struct frame *f)
{
	if (f->picks && f->pick == f->picks) {
		f->move++;
		f->pick = f->picks = 0;
	}
	for (; f->move < MOVES; f->move++) {
		unsigned t = f->move % THREADS;
		if (t < nthreads && (f->move < THREADS ? !control.done[t] : memory_can_move(t)))
			return true;
	}
	return false;
}

static bool all_done(void)
{
	for (unsigned t = 0; t < nthreads; t++)
		if (!control.done[t] || memory_can_move(t))
			return false;
	return true;
}

/* One step from the frame at *depth. True: a violation was found and reported. */
static bool explore(int *depth, uint32_t aim, bool *whole)
{
	struct frame *f = &frames[*depth];
	bool is_new;
	restore(f);
	if (!next_try(f)) {
		--*depth;
		return false;
	}
	pick = f->pick++;
	step(f->move);
	f->picks = (uint8_t)asked;
	frames[*depth + 1].note = note;
	if (violation)
		return report(violation, *depth + 1);
	if (cut) {
		cut = *whole = false;
		finals[f->id] = 1; /* what is behind it we do not know */
		return false;
	}
	uint32_t id = state_id(&is_new);
	add_edge(f->id, id);
	if (id == aim && is_new)
		return report("from here the end cannot be reached", *depth + 1);
	if (!is_new)
		return false;
	bool over = all_done();
	if (over)
		finals[id] = 1;
	const char *wrong = over ? scenario_end() : NULL;
	if (wrong)
		return report(wrong, *depth + 1);
	++*depth;
	frames[*depth].id = id;
	save(&frames[*depth]);
	return false;
}

/* True: a violation. `aim`: the state to print the way to, or UINT32_MAX. */
static bool search_for(uint32_t aim, bool *whole)
{
	bool is_new;
	int depth = 0;
	start();
	*whole = true;
	if (violation)
		return report(violation, 0);
	frames[0].id = state_id(&is_new);
	save(&frames[0]);
	while (depth >= 0) {
		if (explore(&depth, aim, whole))
			return true;
		if (nstates + 1 >= max_states || depth + 2 >= DEPTH) {
			*whole = false;
			return false;
		}
	}
	uint32_t first = 0;
	if (aim != UINT32_MAX)
		return report("from the very beginning the end cannot be reached", 0);
	return count_stuck(&first) ? search_for(first, whole) : false;
}

bool search(bool *whole)
{
	return search_for(UINT32_MAX, whole);
}

bool search_init(void)
{
	if (getenv("MC_STATES"))
		max_states = strtoull(getenv("MC_STATES"), NULL, 0);
	for (table_size = 1; table_size < 2 * max_states;)
		table_size *= 2;
	table = calloc(table_size, sizeof(*table));
	ids = calloc(table_size, sizeof(*ids));
	finals = calloc(max_states, 1);
	return table && ids && finals;
}
