/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mc - explores every interleaving of claim.c and live.h, as compiled, for a few threads on a small tree.
 *
 *   mc [-v] SCENARIO            one scenario: a program per thread, separated by '|'
 *   mc [-v] -r SEED N THREADS   N random scenarios
 *
 * A program is a list of: Rp.o request of order o at page p (Fp.o: the short way first); Lp look page p up and keep the
 * reference; P put the last reference; G one more of it; So split it into order o; Kd kill, Dd drain, Vd revive
 * (the digit is not used). What a program holds at its end, it puts.
 * Build (x86-64): cc -O1 -fno-stack-protector -fcf-protection=none -fno-strict-aliasing -DBITS=2 -DLEVELS=2 [-DTSO]
 *                    -I src/core -I . '-DLIVE_BARRIERS="mc.c"' mc.c -o mc
 * With -DTSO plain stores wait in a FIFO buffer per thread, and the light barrier is none: as on x86.
 * MC_STATES=n in the environment: give a scenario up after n states (1,500,000).
 *
 * Each thread is a coroutine that stops before each atomic operation. A state is the memory, the oracle's ghosts, the store
 * buffers and the used part of each coroutine's stack: it can be put back, and one that was seen before is not gone into again.
 * Checked: no request succeeds over pages that are held; every -EBUSY ran while a word over its span was firm; a lookup that
 * answers -ENOENT ran while no held word covered its page, for a moment at least; what it finds covers the page; each put
 * is legal, each life ends once; nothing succeeds after a kill; DEAD only when nothing is held; at the end all is closed and
 * the live count 0; and from every state the end can be reached (no deadlock, no lost wake-up).
 */
#ifdef MC_BARRIERS /* live.h includes this very file again, for these three */
#define LIVE_LIGHT() ((void)0)
#define LIVE_HEAVY() mc_drain_all()
#define LIVE_FENCE() ((void)mc_add(&fence_word, 0))
#else
#define MC_BARRIERS
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef BITS
#define BITS 2
#endif
#ifndef LEVELS
#define LEVELS 2
#endif
#ifndef TOPS
#define TOPS 1
#endif
#ifdef TSO
enum { BUFFERED = 1 };
#else
enum { BUFFERED = 0 };
#endif
enum { THREADS = 4, STACK = 8192, PAGES = TOPS << (BITS * (LEVELS - 1)), OPS = 16, HOLDS = 24, BUFFER = 6 };

static uint64_t mc_load(const volatile void *p);
static void mc_store(volatile void *p, uint64_t v);
static bool mc_cas(volatile void *p, void *old, uint64_t want);
static uint64_t mc_add(volatile void *p, uint64_t n);
static void mc_drain_all(void);
static uint64_t fence_word;
#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#define atomic_load_explicit(p, o)                                  mc_load(p)
#define atomic_store_explicit(p, v, o)                              mc_store(p, (uint64_t)(v))
#define atomic_compare_exchange_strong_explicit(p, old, want, o, q) mc_cas(p, old, want)
#define atomic_compare_exchange_weak_explicit(p, old, want, o, q)   mc_cas(p, old, want)
#define atomic_fetch_add_explicit(p, n, o)                          mc_add(p, (uint64_t)(n))
#define atomic_fetch_sub_explicit(p, n, o)                          mc_add(p, -(uint64_t)(n))
#define LIVE_SLOTS                                                  (THREADS + 1)
#define CLAIM_LEVEL_BITS                                            BITS
#define CLAIM_LEVELS                                                LEVELS
#define CLAIM_RELAX()                                               ((void)0)

struct running {
	uint8_t kind, page, npages, firm, bare, killed;
}; /* an operation under way, and what was true meanwhile */
struct pending {
	uint64_t *at, value;
};
#include "live.h"
#include "word.h"
static struct state {
	word_t words[LEVELS][PAGES];
	struct live live;
	uint64_t wake;
	uint32_t held;  /* ghost: a bit for each page */
	uint8_t killed; /* ghost: a kill has returned, and no revive has begun */
	uint8_t done[THREADS], nbuffer[THREADS];
	struct running run[THREADS];
	struct pending buffer[THREADS][BUFFER];
	void *sp[THREADS];
} g;
#include "claim.c"

struct op {
	char what;
	unsigned page, order;
};
struct note {
	int thread;
	char what;
	void *at;
	uint64_t old, now;
	bool ok;
};
static struct op program[THREADS][OPS + 1];
static _Alignas(64) char stacks[THREADS][STACK];
static void *main_sp;
static unsigned nthreads;
static int self;
static const char *violation;
static struct note note;
static bool verbose;
static struct claim_tree tree;

void mc_switch(void **save, void *load);
__asm__(".text\nmc_switch:\n push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
	" mov %rsp,(%rdi)\n mov %rsi,%rsp\n pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n");

static void yield(void)
{
	mc_switch(&g.sp[self], main_sp);
}

static void fail(const char *what)
{
	violation = what;
	for (;;)
		yield();
}

static uint32_t pages_of(uint64_t from, uint64_t n)
{
	return (uint32_t)(((UINT64_C(1) << n) - 1) << from);
}

/* After each write: what the running operations' times have seen, in memory or, of their own, in their buffers. */
static void look_with(unsigned t, unsigned nbuffer)
{
	uint32_t firm = 0, held = 0, span = pages_of(g.run[t].page, g.run[t].npages);
	for (unsigned l = 0; l < LEVELS; l++)
		for (unsigned i = 0; i < PAGES >> (l * BITS); i++) {
			uint64_t *at = (uint64_t *)claim_word(&tree, l, i), w = *at;
			for (unsigned b = 0; b < nbuffer; b++)
				if (g.buffer[t][b].at == at)
					w = g.buffer[t][b].value;
			if (!word_is_firm(w))
				continue;
			uint32_t pages = pages_of((uint64_t)i << (l * BITS), UINT64_C(1) << word_order(w));
			firm |= pages;
			held |= word_is_held(w) ? pages : 0;
		}
	g.run[t].firm |= (firm & span) != 0;
	g.run[t].bare |= (~held & span) != 0;
}

static void look_at_words(void)
{
	for (unsigned t = 0; t < nthreads; t++) {
		if (!g.run[t].kind)
			continue;
		look_with(t, 0);
		if (g.nbuffer[t])
			look_with(t, g.nbuffer[t]);
	}
}

static void write_memory(uint64_t *at, uint64_t v)
{
	bool changed = *at != v;
	*at = v;
	if (changed)
		look_at_words();
}

static void flush_one(int t)
{
	struct pending p = g.buffer[t][0];
	note = (struct note){t, 'f', p.at, *p.at, p.value, true};
	memmove(&g.buffer[t][0], &g.buffer[t][1], sizeof(g.buffer[t]) - sizeof(p));
	memset(&g.buffer[t][BUFFER - 1], 0, sizeof(p));
	g.nbuffer[t]--;
	write_memory(p.at, p.value);
}

static void flush(int t)
{
	while (g.nbuffer[t])
		flush_one(t);
}

static void mc_drain_all(void)
{
	yield();
	for (unsigned t = 0; t < nthreads; t++)
		flush((int)t);
	note = (struct note){self, 'b', NULL, 0, 0, true};
}

static uint64_t mc_load(const volatile void *p)
{
	yield();
	uint64_t v = *(const volatile uint64_t *)p;
	for (unsigned i = 0; i < g.nbuffer[self]; i++)
		if (g.buffer[self][i].at == p)
			v = g.buffer[self][i].value;
	note = (struct note){self, 'l', (void *)(uintptr_t)p, v, v, true};
	return v;
}

static void mc_store(volatile void *p, uint64_t v)
{
	yield();
	if (BUFFERED) {
		if (g.nbuffer[self] == BUFFER)
			flush_one(self);
		g.buffer[self][g.nbuffer[self]++] = (struct pending){(uint64_t *)(uintptr_t)p, v};
		note = (struct note){self, 's', (void *)(uintptr_t)p, *(volatile uint64_t *)p, v, true};
		return;
	}
	note = (struct note){self, 's', (void *)(uintptr_t)p, *(volatile uint64_t *)p, v, true};
	write_memory((uint64_t *)(uintptr_t)p, v);
}

static bool mc_cas(volatile void *p, void *old, uint64_t want)
{
	yield();
	flush(self);
	uint64_t is = *(volatile uint64_t *)p;
	bool ok = is == *(uint64_t *)old;
	note = (struct note){self, 'c', (void *)(uintptr_t)p, is, want, ok};
	if (ok)
		write_memory((uint64_t *)(uintptr_t)p, want);
	*(uint64_t *)old = is;
	return ok;
}

static uint64_t mc_add(volatile void *p, uint64_t n)
{
	yield();
	flush(self);
	uint64_t is = *(volatile uint64_t *)p;
	note = (struct note){self, 'a', (void *)(uintptr_t)p, is, is + n, true};
	write_memory((uint64_t *)(uintptr_t)p, is + n);
	return is;
}

/* The programs' operations, as folio.c and pgmap.c have them. */
struct hold {
	unsigned page, order;
	word_t *word;
};

static void begin(char kind, unsigned page, unsigned npages)
{
	g.run[self] = (struct running){(uint8_t)kind, (uint8_t)page, (uint8_t)npages, 0, 0, g.killed};
	look_at_words();
}

static void end(void)
{
	g.run[self] = (struct running){0};
}

static void uncount(uint64_t n)
{
	live_add(&g.live, (unsigned)self, -(int64_t)n);
	if (live_is_dying(&g.live) && live_was_last(&g.live))
		(void)mc_add(&g.wake, 1);
}

static void put(word_t *word)
{
	uint64_t old = word_put(word, 1, 0);
	if (!word_put_one_ok(old))
		fail("an illegal put");
	if (!word_put_last(old, 1))
		return;
	unsigned level = 0;
	while (level + 1 < LEVELS && word >= g.words[level + 1])
		level++;
	uint32_t span = pages_of((uint64_t)(word - g.words[level]) << (level * BITS), UINT64_C(1) << word_order(old));
	if ((g.held & span) != span)
		fail("a release of what is not held");
	g.held &= ~span;
	word_store(word, word_make(WORD_CLOSED, 0, 0));
	uncount(UINT64_C(1) << word_order(old));
}

static int request(const struct op *op, word_t **word)
{
	uint64_t n = UINT64_C(1) << op->order;
	begin('R', op->page, (unsigned)n);
	if (live_state_of(live_state(&g.live)) != LIVE_LIVE)
		return -ENODEV;
	live_add(&g.live, (unsigned)self, (int64_t)n);
	unsigned level = claim_level(op->order);
	if (op->what == 'F' && op->order % BITS == 0 &&
	    claim_request_base(&tree, &g.live, level, op->page >> op->order, word_make(WORD_HELD, op->order, WORD_REF),
			       word))
		goto ok;
	int r = claim_request(&tree, &g.live, op->page, op->order, word);
	if (r == -EBUSY && !g.run[self].firm)
		fail("-EBUSY, and no page of the span was firm at any time");
	if (r && r != -EBUSY && r != -ENODEV)
		fail("a strange answer to a request");
	if (r)
		uncount(n);
	if (r)
		return r;
ok:
	if (g.run[self].killed)
		fail("a request succeeded after a kill had returned");
	if (g.held & pages_of(op->page, n))
		fail("a request succeeded over pages that are held");
	g.held |= pages_of(op->page, n);
	return 0;
}

static bool lookup(unsigned page, word_t **word)
{
	begin('L', page, 1);
	int r;
	while ((r = claim_lookup(&tree, page, true, word)) == CLAIM_AGAIN)
		put(*word);
	if (r == -ENOENT && !g.run[self].bare)
		fail("-ENOENT for a page that was held all the time");
	if (r == 0 && !(g.held & pages_of(page, 1)))
		fail("a lookup found a page that is not held");
	if (r == 0 && !BUFFERED) /* nothing larger covers it: it is no part of a split that is undecided */
		for (unsigned l = 0; l < LEVELS; l++)
			for (unsigned i = 0; i < PAGES >> (l * BITS); i++) {
				uint64_t w = *(uint64_t *)&g.words[l][i], from = (uint64_t)i << (l * BITS);
				if (word_is_held(w) && word_order(w) > word_order(*(uint64_t *)*word) && from <= page &&
				    page < from + (UINT64_C(1) << word_order(w)))
					fail("a lookup gave a part of a split that is undecided");
			}
	return r == 0;
}

static word_t *find(const struct hold *h)
{
	word_t *word = h->word;
	if (!word && claim_lookup(&tree, h->page, false, &word) != 0)
		fail("a part of a split was not found");
	uint64_t w = word_load(word);
	if (!word_is_held(w) || (!h->word && word_order(w) != h->order))
		fail("a folio that is referenced is not held, or a part has a wrong order");
	return word;
}

static void split(struct hold *holds, unsigned *nholds, unsigned order)
{
	struct hold last = holds[*nholds - 1];
	word_t *word = find(&last);
	unsigned mine = 0, level = 0;
	for (unsigned i = 0; i < *nholds; i++)
		mine += last.word ? holds[i].word == last.word : !holds[i].word && holds[i].page == last.page;
	uint64_t w = word_load(word);
	while (level + 1 < LEVELS && word >= g.words[level + 1])
		level++;
	uint64_t pgoff = (uint64_t)(word - g.words[level]) << (level * BITS), n = UINT64_C(1) << word_order(w);
	uint64_t parts = n >> order;
	if (word_refs(w) != mine || order >= word_order(w) || *nholds - mine + parts * mine > HOLDS)
		return;
	struct claim_split words;
	uint64_t own = w; /* split.c: a reference of the split's own, from before the parts to the decision */
	if (!word_claim(word, &own, w + WORD_REF) || claim_split_begin(&words, &tree, pgoff, w, order) != 0)
		return;
	if (!claim_split_decide(&words, w + WORD_REF)) {
		claim_split_cancel(&words);
		put(word);
		return;
	}
	unsigned kept = 0;
	for (unsigned i = 0; i < *nholds; i++)
		if (last.word ? holds[i].word != last.word : holds[i].word || holds[i].page != last.page)
			holds[kept++] = holds[i];
	for (uint64_t i = 0; i < parts * mine; i++)
		holds[kept++] = (struct hold){(unsigned)(pgoff + (i / mine << order)), order, NULL};
	*nholds = kept;
}

static void drain(void)
{
	uint64_t entered = live_state(&g.live);
	if (live_state_of(entered) == LIVE_LIVE)
		return;
	LIVE_HEAVY();
	for (;;) {
#ifdef OLD_DRAIN /* what src/core/pgmap.c had: a drainer can sleep through a revive */
		uint64_t state = live_state(&g.live);
		uint64_t wake = mc_load(&g.wake);
#else
		uint64_t wake = mc_load(&g.wake);
		uint64_t state = live_state(&g.live);
#endif
		if (state >> 2 != entered >> 2 || live_state_of(state) == LIVE_DEAD)
			return;
		int r = live_try_die(&g.live, state);
		if (r > 0 && g.held)
			fail("dead, and pages are held");
		if (r > 0)
			(void)mc_add(&g.wake, 1);
		while (r == 0 && mc_load(&g.wake) == wake)
			;
	}
}

static void run_program(void)
{
	struct hold holds[HOLDS];
	unsigned n = 0;
	memset(holds, 0, sizeof(holds));
	for (const struct op *op = program[self]; op->what; op++) {
		word_t *word = NULL;
		if ((op->what == 'R' || op->what == 'F') && n < HOLDS && request(op, &word) == 0)
			holds[n++] = (struct hold){op->page, op->order, word};
		else if (op->what == 'L' && n < HOLDS && lookup(op->page, &word))
			holds[n++] = (struct hold){op->page, 0, word};
		else if (op->what == 'G' && n && n < HOLDS) {
			if (!word_get_ok(word_get(find(&holds[n - 1]), WORD_REF)))
				fail("an illegal get");
			holds[n] = holds[n - 1];
			n++;
		} else if (op->what == 'S' && n)
			split(holds, &n, op->page);
		else if (op->what == 'K') {
			live_kill(&g.live);
			g.killed = live_state_of(*(uint64_t *)&g.live.state) != LIVE_LIVE; /* no revive since */
		} else if (op->what == 'V') {
			uint64_t found;
			if (live_revive(&g.live, &found)) {
				g.killed = 0;
				for (unsigned t = 0; t < nthreads; t++)
					g.run[t].killed = 0;
				(void)mc_add(&g.wake, 1);
			}
		} else if (op->what == 'D') {
			while (n)
				put(find(&holds[--n]));
			drain();
		}
		if (op->what == 'P' && n) {
			word = find(&holds[n - 1]);
			n--;
			put(word);
		}
		end();
	}
	while (n)
		put(find(&holds[--n]));
	g.done[self] = 1;
	for (;;)
		yield();
}

/* The search. */
struct snapshot {
	struct state g;
	uint32_t used[THREADS];
	char bytes[];
};
struct frame {
	struct snapshot *snapshot;
	uint32_t id;
	int next;
	struct note note;
};
struct entry {
	uint64_t hash[2];
};
static struct entry *table;
static uint32_t *ids, (*edges)[2], nstates;
static uint64_t nedges, table_size, max_states = 1500000;
static uint8_t *finals;
static struct frame frames[20000];

static void hash_bytes(uint64_t h[2], const void *p, size_t n)
{
	const uint64_t *w = p;
	for (size_t i = 0; i < n / 8; i++) {
		h[0] = (h[0] ^ w[i]) * UINT64_C(0x9e3779b97f4a7c15);
		h[0] ^= h[0] >> 29;
		h[1] = (h[1] + w[i]) * UINT64_C(0xd6e8feb86659fd93);
		h[1] ^= h[1] >> 32;
	}
}

static size_t used_of(unsigned t)
{
	return (size_t)(stacks[t] + STACK - (char *)g.sp[t]);
}

/* The number of the state that we are in; *is_new: never seen before. */
static uint32_t state_id(bool *is_new)
{
	uint64_t h[2] = {1, 2};
	hash_bytes(h, &g, sizeof(g) & ~(size_t)7);
	for (unsigned t = 0; t < nthreads; t++)
		if (!g.done[t])
			hash_bytes(h, g.sp[t], used_of(t));
	uint64_t at = h[0] & (table_size - 1);
	while (ids[at] && (table[at].hash[0] != h[0] || table[at].hash[1] != h[1]))
		at = (at + 1) & (table_size - 1);
	*is_new = !ids[at];
	if (*is_new) {
		table[at] = (struct entry){{h[0], h[1]}};
		ids[at] = ++nstates;
	}
	return ids[at] - 1;
}

static void save(struct frame *f)
{
	size_t n = 0, at = 0;
	for (unsigned t = 0; t < nthreads; t++)
		n += used_of(t);
	f->snapshot = realloc(f->snapshot, sizeof(*f->snapshot) + n);
	f->snapshot->g = g;
	for (unsigned t = 0; t < nthreads; at += f->snapshot->used[t++]) {
		f->snapshot->used[t] = (uint32_t)used_of(t);
		memcpy(f->snapshot->bytes + at, g.sp[t], f->snapshot->used[t]);
	}
}

static void restore(const struct frame *f)
{
	size_t at = 0;
	g = f->snapshot->g;
	for (unsigned t = 0; t < nthreads; at += f->snapshot->used[t++])
		memcpy(g.sp[t], f->snapshot->bytes + at, f->snapshot->used[t]);
}

static void step(int choice)
{
	self = choice % THREADS;
	if (choice >= THREADS)
		flush_one(self);
	else
		mc_switch(&main_sp, g.sp[self]);
}

static void print_word(uint64_t w)
{
	static const char *const names[] = {"CLOSED", "OPEN", "CLAIM", "CLOSING", "QUAR",
					    "?",      "?",    "?",     "HELD",    "RELEASING"};
	if (w < 1 << 30 && w)
		printf("%lld", (long long)w);
	else
		printf("%s o%u %llx", names[word_state(w)], word_order(w),
		       (unsigned long long)(word_is_active(w) ? word_refs(w) : w & WORD_LOW_MASK));
}

static void print_note(const struct note *n)
{
	size_t i = (size_t)((word_t *)n->at - &g.words[0][0]);
	printf("   T%d %c ", n->thread, n->what);
	if (i < LEVELS * PAGES)
		printf("L%zu[%zu] ", i / PAGES, i % PAGES);
	else
		printf("g+%td ", (char *)n->at - (char *)&g);
	print_word(n->old);
	if (n->what != 'l') {
		printf(n->ok ? " -> " : " -/> ");
		print_word(n->now);
	}
	printf("\n");
}

static int report(const char *what, int depth)
{
	printf("VIOLATION: %s\n", what);
	for (int d = 1; d <= depth; d++)
		print_note(&frames[d].note);
	return 1;
}

static const char *check_end(void)
{
	for (unsigned i = 0; i < LEVELS * PAGES; i++)
		if (word_is_firm(((uint64_t *)g.words)[i]) || word_is_undecided(((uint64_t *)g.words)[i]))
			return "at the end a word is firm or undecided";
	int64_t sum = 0;
	for (unsigned i = 0; i < LIVE_SLOTS; i++)
		sum += *(int64_t *)&g.live.slots[i].pages;
	return g.held || sum ? "at the end pages are live" : NULL;
}

/* From every state the end can be reached. */
static uint64_t count_stuck(uint32_t *first)
{
	uint8_t *good = malloc(nstates);
	uint64_t stuck = 0;
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

/* 0 right, 1 wrong. `aim`: the state to print the way to, or UINT32_MAX. */
static int search(uint32_t aim, bool *whole)
{
	memset(&g, 0, sizeof(g));
	memset(ids, 0, table_size * sizeof(*ids));
	memset(finals, 0, max_states);
	nstates = 0;
	nedges = 0;
	violation = NULL;
	for (unsigned l = 0; l < LEVELS; l++)
		tree.words[l] = g.words[l];
	for (unsigned t = 0; t < nthreads; t++) {
		memset(stacks[t], 0, STACK);
		void **top = (void **)(void *)(stacks[t] + STACK - 64);
		top[0] = (void *)run_program;
		g.sp[t] = top - 6;
		step((int)t);
	}
	int depth = 0;
	bool is_new;
	frames[0].id = state_id(&is_new);
	frames[0].next = 0;
	save(&frames[0]);
	*whole = true;
	while (depth >= 0) {
		struct frame *f = &frames[depth];
		int c = f->next++;
		if (c == 2 * THREADS) {
			depth--;
			continue;
		}
		unsigned t = (unsigned)c % THREADS;
		if (t >= nthreads || (c < THREADS ? f->snapshot->g.done[t] : !f->snapshot->g.nbuffer[t]))
			continue;
		restore(f);
		step(c);
		frames[depth + 1].note = note;
		if (violation)
			return report(violation, depth + 1);
		uint32_t id = state_id(&is_new);
		edges[nedges][0] = f->id;
		edges[nedges++][1] = id;
		if (id == aim && is_new)
			return report("from here the end cannot be reached", depth + 1);
		if (!is_new)
			continue;
		bool over = true;
		for (unsigned u = 0; u < nthreads; u++)
			over = over && g.done[u] && !g.nbuffer[u];
		finals[id] = over;
		const char *wrong = over ? check_end() : NULL;
		if (wrong)
			return report(wrong, depth + 1);
		if (nstates + 1 >= max_states || (size_t)depth + 2 >= sizeof(frames) / sizeof(frames[0])) {
			*whole = false;
			return 0;
		}
		depth++;
		frames[depth].id = id;
		frames[depth].next = 0;
		save(&frames[depth]);
	}
	uint32_t first = 0;
	return count_stuck(&first) ? search(first, whole), 1 : 0;
}

static bool parse(const char *s)
{
	unsigned n = 0;
	memset(program, 0, sizeof(program));
	for (nthreads = 1; *s; s++) {
		if (*s == '|') {
			n = 0;
			if (++nthreads > THREADS)
				return false;
		} else if (strchr("RFLPGSKDV", *s)) {
			struct op *op = &program[nthreads - 1][n++];
			op->what = *s;
			op->page = (unsigned)strtoul(s + 1, (char **)(uintptr_t)&s, 10);
			if (*s == '.')
				op->order = (unsigned)strtoul(s + 1, (char **)(uintptr_t)&s, 10);
			s--;
			if (n > OPS || op->page >= PAGES || op->order > CLAIM_MAX_ORDER)
				return false;
		} else if (*s != ' ')
			return false;
	}
	return true;
}

static void make(char *s, uint64_t *seed, unsigned threads)
{
#define RANDOM(n) ((unsigned)((*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u) >> 33) % (n))
	for (unsigned t = 0; t < threads; t++) {
		s += sprintf(s, t ? " | " : "");
		unsigned nops = 1 + RANDOM(threads > 2 ? 2 : 4);
		for (unsigned i = 0; i < nops; i++) {
			unsigned what = RANDOM(16), order = RANDOM(CLAIM_MAX_ORDER + 1);
			if (i == 0 && what > 9 && what < 15)
				what = RANDOM(10);
			unsigned page = RANDOM(PAGES);
			if (what < 8)
				s += sprintf(s, "%c%u.%u ", what < 6 ? 'R' : 'F', page >> order << order, order);
			if (what < 8 && order && RANDOM(2))
				s += sprintf(s, "S%u ", RANDOM(order));
			if (what < 8)
				continue;
			if (what < 10)
				s += sprintf(s, "L%u ", page);
			else if (what < 12)
				s += sprintf(s, "P0 ");
			else if (what < 15)
				s += sprintf(s, "S%u ", RANDOM(CLAIM_MAX_ORDER));
			else
				s += sprintf(s, RANDOM(3) ? "G0 " : RANDOM(2) ? "K0 D0 " : "K0 V0 ");
		}
	}
}

static volatile sig_atomic_t stop;

static void on_term(int signal)
{
	(void)signal;
	stop = 1;
}

int main(int argc, char **argv)
{
	(void)signal(SIGTERM, on_term);
	if (argc > 1 && strcmp(argv[1], "-v") == 0) {
		verbose = true;
		argc--;
		argv++;
	}
	if (getenv("MC_STATES"))
		max_states = strtoull(getenv("MC_STATES"), NULL, 0);
	for (table_size = 1; table_size < 2 * max_states;)
		table_size *= 2;
	table = calloc(table_size, sizeof(*table));
	ids = calloc(table_size, sizeof(*ids));
	edges = calloc(max_states * 2 * THREADS, sizeof(*edges));
	finals = calloc(max_states, 1);
	bool random = argc == 5 && strcmp(argv[1], "-r") == 0;
	if (!table || !ids || !edges || !finals || (!random && (argc != 2 || !parse(argv[1]))))
		return 2;
	uint64_t seed = random ? strtoull(argv[2], NULL, 0) : 0, n = random ? strtoull(argv[3], NULL, 0) : 1, total = 0,
		 cut = 0;
	uint64_t i = 0;
	for (; i < n && !stop; i++) {
		char scenario[1024];
		bool whole;
		if (random) {
			make(scenario, &seed, (unsigned)strtoul(argv[4], NULL, 0));
			if (!parse(scenario))
				return 2;
			if (verbose)
				printf("%s\n", scenario), fflush(stdout);
		}
		if (search(UINT32_MAX, &whole)) {
			printf("scenario: %s\n", random ? scenario : argv[1]);
			return 1;
		}
		total += nstates;
		cut += !whole;
		if (verbose)
			printf("%u states, %llu edges%s\n", nstates, (unsigned long long)nedges,
			       whole ? "" : ", cut short");
	}
	printf("mc: %llu scenarios, %llu states, %llu cut short: right\n", (unsigned long long)i,
	       (unsigned long long)total, (unsigned long long)cut);
	return 0;
}
#endif
