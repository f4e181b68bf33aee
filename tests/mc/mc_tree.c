/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mc_tree.c - programs of claims and folios.
 *
 * A program is a list of: Rp.o request of order o at page p (Fp.o: the short way first); Mp.n request the n pages from p on,
 * as several folios; Lp look page p up and keep the reference; P put the last reference (Q: and folio_free keeps the pages); G one more of it; I a pin of it; So split it
 * into order o; E end the holder whose REMOTE pin is the last, N its fence; Up release what is quarantined at page p;
 * K kill, D put all and drain, V revive; W set the private value of the last reference's folio; Xp.n poison the n pages from
 * p on, Cp.n clear that. What a program holds at its end, it puts.
 * In the first program a ':' ends the setup: what is before it happens before all the others. Ht there gives the last
 * reference to thread t.
 */
#include "mc_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct op {
	char what;
	unsigned page, order;
};

struct tree_state g;
struct claim_tree tree;
static struct op program[THREADS][OPS + 1];
static bool uses_shared_slot;
bool uses_private, uses_poison;

struct part scenario_part(void)
{
	return (struct part){&g, sizeof(g)};
}

static void add_special_words(void)
{
	*(uint64_t *)&g.short_way = 1;
	if (uses_private || uses_poison)
		memory_add((void *)&g.special, ANYBODY);
	if (uses_poison) {
		memory_add((void *)&g.short_way, ANYBODY);
		memory_add((void *)&g.poison_lock, ANYBODY);
		memory_add((void *)&g.poison, ANYBODY);
	}
	if (!uses_private)
		return;
	memory_add((void *)&g.private_words, ANYBODY);
	memory_add((void *)&g.private_on_demand, ANYBODY);
	for (unsigned l = 0; l < LEVELS; l++)
		for (unsigned i = 0; i < (unsigned)PAGES >> (l * BITS); i++)
			memory_add((void *)&g.values[l * PAGES + i], ANYBODY);
}

void scenario_reset(void)
{
	memset(&g, 0, sizeof(g));
	for (unsigned l = 0; l < LEVELS; l++) {
		tree.words[l] = g.words[l];
		for (unsigned i = 0; i < (unsigned)PAGES >> (l * BITS); i++)
			memory_add(&g.words[l][i], ANYBODY);
	}
	memory_add((void *)&g.wake, ANYBODY);
	memory_add((void *)&g.lock, ANYBODY);
	memory_add((void *)&g.live.state, ANYBODY);
	add_special_words();
	for (unsigned i = 0; i < LIVE_SLOTS; i++)
		memory_add((void *)&g.live.slots[i].pages, i == LIVE_SHARED ? (uses_shared_slot ? ANYBODY : NOBODY)
							   : i < nthreads   ? (int)i
									    : NOBODY);
}

void scenario_wrote(void)
{
	look_at_words();
}

static void give(unsigned t, const struct hold *h)
{
	if (g.ngiven[t] < GIVEN)
		g.given[t][g.ngiven[t]++] = *h;
}

/* Operations on the last reference; how many the program has then. */
static unsigned run_on_last(const struct op *op, struct hold *holds, unsigned n)
{
	struct hold *last = &holds[n - 1];
	switch (op->what) {
	case 'G':
	case 'I':
		if (n == HOLDS)
			return n;
		folio_get(last, op->what == 'I' ? WORD_REF | WORD_PIN : WORD_REF);
		holds[n] = *last;
		holds[n].pin = op->what == 'I';
		return n + 1;
	case 'W':
		folio_set_private(folio_find(last), 1U + (unsigned)self);
		last->valued = 1;
		return n;
	case 'S':
		folio_split(holds, &n, op->page);
		return n;
	case 'P':
	case 'Q':
		folio_put(last, op->what == 'Q');
		return n - 1;
	case 'E':
		if (!last->pin)
			return n;
		folio_end_holder(last);
		return n - 1;
	case 'H':
		give(op->page % THREADS, last);
		return n - 1;
	default:
		return n;
	}
}

static unsigned run_op(const struct op *op, struct hold *holds, unsigned n)
{
	word_t *word = NULL;
	switch (op->what) {
	case 'R':
	case 'F':
		if (n < HOLDS && folio_request(op->what, op->page, op->order, &word) == 0)
			holds[n++] = (struct hold){op->page, op->order, 0, 0, word};
		return n;
	case 'M': {
		int got = n + op->order <= HOLDS ? folio_request_span(op->page, op->order, holds + n) : 0;
		return got > 0 ? n + (unsigned)got : n;
	}
	case 'L':
		if (n < HOLDS && folio_lookup(op->page, &word))
			holds[n++] = (struct hold){op->page, 0, 0, 0, word};
		return n;
	case 'K':
		tree_kill();
		return n;
	case 'V':
		tree_revive();
		return n;
	case 'D':
		while (n)
			folio_put(&holds[--n], false);
		tree_drain();
		return 0;
	case 'N':
		folio_fence();
		return n;
	case 'X':
	case 'C':
		tree_poison(pages_of(op->page, op->order), op->what == 'X');
		return n;
	case 'U':
		folio_release_quarantined(op->page);
		return n;
	case ':':
		setup_done();
		return n;
	default:
		return n ? run_on_last(op, holds, n) : 0;
	}
}

void scenario_run(void)
{
	struct hold holds[HOLDS];
	unsigned n = 0;
	bool setup = false;
	memset(holds, 0, sizeof(holds));
	for (const struct op *op = program[0]; op->what; op++)
		setup = setup || op->what == ':';
	if (self == 0 && !setup)
		setup_done();
	for (; n < g.ngiven[self]; n++)
		holds[n] = g.given[self][n];
	for (const struct op *op = program[self]; op->what; op++) {
		n = run_op(op, holds, n);
		folio_end();
	}
	while (n)
		folio_put(&holds[--n], false);
}

const char *scenario_end(void)
{
	uint64_t kept = 0;
	int64_t sum = 0, npages = 0;
	for (unsigned i = 0; i < LEVELS * PAGES; i++) {
		word_t *word = &g.words[0][0] + i;
		uint64_t w = *(uint64_t *)word;
		if (word_is_active(w) || word_is_undecided(w))
			return "at the end a word is held, releasing or undecided";
		kept |= word_is_firm(w) ? pages_of_word(word, w) : 0;
	}
	for (unsigned i = 0; i < LIVE_SLOTS; i++)
		sum += *(int64_t *)&g.live.slots[i].pages;
	for (unsigned p = 0; p < PAGES; p++)
		npages += kept >> p & 1;
	return g.held != kept || sum != npages ? "at the end pages are live that are not quarantined" : NULL;
}

static void print_place(const void *at)
{
	size_t i = (size_t)((const word_t *)at - &g.words[0][0]);
	size_t slot = (size_t)((const char *)at - (const char *)&g.live.slots[0]) / sizeof(g.live.slots[0]);
	if (i < LEVELS * PAGES)
		printf("L%zu[%zu] ", i / PAGES, i % PAGES);
	else if (at == (void *)&g.wake || at == (void *)&g.lock || at == (void *)&g.live.state)
		printf(at == (void *)&g.wake ? "wake " : at == (void *)&g.lock ? "lock " : "state ");
	else if ((const char *)at >= (const char *)&g.special && (const char *)at < (const char *)&g.held)
		printf("special[%zu] ", (size_t)((const _Atomic uint64_t *)at - &g.special));
	else
		printf("slot[%zu] ", slot);
}

void scenario_print(const void *at, uint64_t w)
{
	static const char *const names[] = {"CLOSED", "OPEN", "CLAIM", "CLOSING", "QUAR",
					    "?",      "?",    "?",     "HELD",    "RELEASING"};
	if (at)
		print_place(at);
	if ((w && w < 1 << 30) || -w < 1 << 30)
		printf("%lld", (long long)w);
	else
		printf("%s o%u %llx%s", names[word_state(w)], word_order(w),
		       (unsigned long long)(word_is_active(w) ? word_refs(w) : w & WORD_LOW_MASK),
		       (w & WORD_FENCE) && (word_is_active(w) || word_is_firm(w)) ? " fence" : "");
}

bool scenario_parse(const char *s)
{
	unsigned n = 0;
	memset(program, 0, sizeof(program));
	uses_shared_slot = strchr(s, 'I') != NULL;
	uses_private = strchr(s, 'W') != NULL;
	uses_poison = strchr(s, 'X') != NULL;
	for (nthreads = 1; *s; s++) {
		if (*s == '|') {
			n = 0;
			if (++nthreads > THREADS)
				return false;
		} else if (strchr("RFMLPQGISENUKDVHWXC:", *s)) {
			struct op *op = &program[nthreads - 1][n++];
			op->what = *s;
			op->page = (unsigned)strtoul(s + 1, (char **)(uintptr_t)&s, 10);
			if (*s == '.')
				op->order = (unsigned)strtoul(s + 1, (char **)(uintptr_t)&s, 10);
			s--;
			bool span = op->what == 'M' || op->what == 'X' || op->what == 'C';
			unsigned most = span ? PAGES - op->page : CLAIM_MAX_ORDER;
			if (n > OPS || op->page >= PAGES || op->order > most || (span && !op->order))
				return false;
		} else if (*s != ' ')
			return false;
	}
	return true;
}

static unsigned draw(uint64_t *seed, unsigned n)
{
	return (unsigned)((*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407)) >> 33) % n;
}

static char *make_op(char *s, uint64_t *seed, bool first)
{
	unsigned what = draw(seed, 16), order = draw(seed, CLAIM_MAX_ORDER + 1);
	if (first && what > 9 && what < 15)
		what = draw(seed, 10);
	unsigned page = draw(seed, PAGES);
	if (what == 5)
		return s + sprintf(s, "M%u.%u ", page, 1 + draw(seed, PAGES - page));
	if (what < 8)
		s += sprintf(s, "%c%u.%u ", what < 5 ? 'R' : 'F', page >> order << order, order);
	if (what < 8 && order && draw(seed, 2))
		s += sprintf(s, "S%u ", draw(seed, order));
	if (what < 8)
		return s;
	if (what < 10)
		return s + sprintf(s, "L%u ", page);
	if (what < 12)
		return s + sprintf(s, "P0 ");
	if (what < 15)
		return s + sprintf(s, "S%u ", draw(seed, CLAIM_MAX_ORDER));
	return s + sprintf(s, draw(seed, 3) ? "G0 " : draw(seed, 2) ? "K0 D0 " : "K0 V0 ");
}

bool scenario_make(char *s, uint64_t *seed, unsigned threads)
{
	for (unsigned t = 0; t < threads; t++) {
		s += sprintf(s, t ? " | " : "");
		unsigned nops = 1 + draw(seed, threads > 2 ? 2 : 4);
		for (unsigned i = 0; i < nops; i++)
			s = make_op(s, seed, i == 0);
	}
	return true;
}
