/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mc_litmus - is the checker's memory the memory that it says it is? Small programs with one outcome each, of which the
 * literature says whether it can be.
 *
 * A program is a list of: Wxvo store v to x, Rxo load x, Axvo add v to x, Cxuvo exchange u for v in x, Fo fence; L and H the
 * light and the heavy barrier of core/live.h; p a plain write, q: is it known here (1) or would that be a race (0)?
 * Words are x, y, z; orders r relaxed, a acquire, l release, b both, s sequentially consistent.
 * An outcome is what the programs read, in their order, and perhaps the last values of words.
 */
#include <stdio.h>
#include <string.h>

#include "mc.h"

enum { RESULTS = 8, OUTCOMES = 256 };
/* The columns of verdicts: the builds. C11 is between PSC=0 and PSC=2 (mc_views.c). */
enum column { SC, X86, C11_0, C11_1, C11_2, ASYM };
#ifndef COLUMN
#define COLUMN SC
#endif

struct litmus {
	const char *name, *program, *outcome;
	const char *can; /* a column each: y can be, - can not, . is not asked */
};
static const struct litmus tests[] = {
	{"store buffering", "Wx1r Ryr | Wy1r Rxr", "0 0", "-yyyyy"},
	{"store buffering: both late", "Wx1r Ryr | Wy1r Rxr", "1 1", "yyyyyy"},
	{"store buffering, release and acquire", "Wx1l Rya | Wy1l Rxa", "0 0", "-yyyyy"},
	{"store buffering, SC", "Wx1s Rys | Wy1s Rxs", "0 0", "------"},
	{"store buffering, SC stores only", "Wx1s Rya | Wy1s Rxa", "0 0", "--yyyy"},
	{"store buffering, SC loads only", "Wx1l Rys | Wy1l Rxs", "0 0", "-yyyyy"},
	{"store buffering, one side SC", "Wx1s Rys | Wy1l Rxs", "0 0", "-yyyyy"},
	{"store buffering, SC fences", "Wx1r Fs Ryr | Wy1r Fs Rxr", "0 0", "------"},
	{"store buffering, one SC fence", "Wx1r Fs Ryr | Wy1r Rxr", "0 0", "-yyyyy"},
	{"store buffering, acq_rel fences", "Wx1r Fb Ryr | Wy1r Fb Rxr", "0 0", "-yyyyy"},
	{"store buffering, three threads, SC", "Wx1s Rys | Wy1s Rzs | Wz1s Rxs", "0 0 0", "------"},
	{"store buffering, three threads, SC fences", "Wx1r Fs Ryr | Wy1r Fs Rzr | Wz1r Fs Rxr", "0 0 0", "------"},
	{"light and heavy barrier", "Wx1r L Ryr | Wy1r H Rxr", "0 0", "------"},
	{"two light barriers", "Wx1r L Ryr | Wy1r L Rxr", "0 0", "-y---y"},
	{"two heavy barriers", "Wx1r H Ryr | Wy1r H Rxr", "0 0", "------"},
	{"no barrier and a heavy one", "Wx1r Ryr | Wy1r H Rxr", "0 0", "-.yyy-"},
	{"Dekker: SC exchanges, SC loads", "Ax1s Rys | Ay1s Rxs", "0 0 0 0", "------"},
	{"Dekker: acq_rel exchanges, SC loads", "Ax1b Rys | Ay1b Rxs", "0 0 0 0", "--yyyy"},
	{"Dekker: SC exchanges, acquire loads", "Ax1s Rya | Ay1s Rxa", "0 0 0 0", "--yyyy"},
	{"Dekker: SC exchanges that succeed, SC loads", "Cx01s Rys | Cy01s Rxs", "0 0 0 0", "------"},
	{"Dekker: relaxed exchanges, SC fences", "Ax1r Fs Ryr | Ay1r Fs Rxr", "0 0 0 0", "------"},
	/* RC11 forbids it; between SC fences and SC accesses our order is weaker. */
	{"Dekker: a fence against an exchange", "Wx1r Fs Ryr | Ay1s Rxs", "0 0 0", "--yyyy"},

	{"message passing", "Wx1r Wy1l | Rya Rxr", "1 0", "------"},
	{"message passing arrives", "Wx1r Wy1l | Rya Rxr", "1 1", "yyyyyy"},
	{"message passing, relaxed store", "Wx1r Wy1r | Rya Rxr", "1 0", "--yyyy"},
	{"message passing, relaxed load", "Wx1r Wy1l | Ryr Rxr", "1 0", "--yyyy"},
	{"message passing, SC flag", "Wx1r Wy1s | Rys Rxr", "1 0", "------"},
	{"message passing, fences", "Wx1r Fl Wy1r | Ryr Fa Rxr", "1 0", "------"},
	{"message passing, release fence only", "Wx1r Fl Wy1r | Ryr Rxr", "1 0", "--yyyy"},
	{"message passing, acquire fence only", "Wx1r Wy1r | Ryr Fa Rxr", "1 0", "--yyyy"},
	{"message passing, wrong fences", "Wx1r Fa Wy1r | Ryr Fl Rxr", "1 0", "--yyyy"},
	{"message passing, SC accesses", "Wx1s Wy1s | Rys Rxs", "1 0", "------"},
	/* Nothing but program order on one side, and no happens-before: allowed, and seen on ARM. */
	{"message passing, SC data, relaxed flag", "Wx1s Wy1r | Ryr Rxs", "1 0", "--yyyy"},
	{"plain data", "p Wy1l | Rya q", "1 0", "------"},
	{"plain data, relaxed store", "p Wy1r | Rya q", "1 0", "--yyyy"},
	{"plain data, relaxed load", "p Wy1l | Ryr q", "1 0", "--yyyy"},
	{"plain data, fences", "p Fl Wy1r | Ryr Fa q", "1 0", "------"},
	{"plain data, SC fences order, but do not publish", "p Fs Wx1r | Fs Rxr q", "0 0", "..yyyy"},
	{"plain data, exchanges", "p Ay1l | Ay1a q", "0 1 0", "------"},
	{"plain data, relaxed second exchange", "p Ay1l | Ay1r q", "0 1 0", "--yyyy"},
	{"plain data, relaxed first exchange", "p Ay1r | Ay1a q", "0 1 0", "--yyyy"},
	{"a failed exchange acquires", "p Wy1l | Cy01s q", "1 0", "------"},
	{"release sequence through an exchange", "p Wy1l | Ay1r | Rya q", "1 2 0", "------"},
	{"release sequence through two exchanges", "p Wy1l | Ay1r | Ay1r | Rya q", "1 2 3 0", "------"},
	{"no release sequence through a store", "p Wy1l | Ryr Wy2r | Rya q", "1 2 0", "--yyyy"},
	/* C++20; C17 had it in the sequence. */
	{"no release sequence through a later store of the same", "p Wy1l Wy2r | Rya q", "2 0", "--yyyy"},
	{"two releases in a sequence", "p Ay1l | Ay1l | Rya q", "0 1 2 0", "------"},
	{"write to read causality", "Wx1r | Rxa Wy1l | Rya Rxr", "1 1 0", "------"},
	{"write to read causality, relaxed", "Wx1r | Rxr Wy1r | Ryr Rxr", "1 1 0", "--yyyy"},

	{"store buffering, SC, with a store between that all have seen", "Wy1s Rxs Rxr | Wx1r Wx2s Rys", "0 1 0",
	 "------"},

	{"load buffering", "Rxr Wy1r | Ryr Wx1r", "1 1", "------"},
	{"coherence: read, read", "Wx1r | Rxr Rxr", "1 0", "------"},
	{"coherence: read, read, of two", "Wx1r | Wx2r | Rxr Rxr | Rxr Rxr", "1 2 2 1", "------"},
	{"coherence: write, read", "Wx1r Rxr", "0", "------"},
	{"coherence: read, write", "Rxr Wx1r", "1", "------"},
	{"coherence: write, write", "Wx1r Wx2r", "x1", "------"},
	{"coherence by happens-before", "Wx1r Wy1l | Rya Wx2r", "1 x1", "------"},
	{"the same, relaxed", "Wx1r Wy1r | Ryr Wx2r", "1 x1", "--yyyy"},
	{"exchanges are indivisible", "Ax1r | Ax1r", "0 0", "------"},
	{"exchanges that expect the same", "Cx01r | Cx02r", "0 0", "------"},
	{"an exchange before a store", "Wx1r Wx2r | Cx13b Rxr", "1 3 x2", "yyyyyy"},
	{"nothing between an exchange and what it read", "Wx1r Wx2r | Cx13b Rxr", "1 3 x3", "------"},
	{"an exchange of an old message", "Wx1r Ay1r | Wy5r Cx01r", "0 0 y5", "--yyyy"},

	{"independent reads, acquire", "Wx1l | Wy1l | Rxa Rya | Rya Rxa", "1 0 1 0", "--yyyy"},
	{"independent reads, SC", "Wx1s | Wy1s | Rxs Rys | Rys Rxs", "1 0 1 0", "------"},
	/* RC11; C++20 forbids it. */
	{"independent reads, SC loads of released stores", "Wx1l | Wy1l | Rxs Rys | Rys Rxs", "1 0 1 0", "--yyyy"},
	{"independent reads, SC fences", "Wx1r | Wy1r | Rxr Fs Ryr | Ryr Fs Rxr", "1 0 1 0", "------"},
	{"2+2 writes", "Wx1r Wy2r | Wy1r Wx2r", "x1 y1", "--yyyy"},
	{"2+2 writes, release", "Wx1l Wy2l | Wy1l Wx2l", "x1 y1", "--yyyy"},
	{"2+2 writes, SC", "Wx1s Wy2s | Wy1s Wx2s", "x1 y1", "------"},
	{"2+2 writes, SC exchanges", "Ax1s Ay2s | Ay4s Ax8s", "8 0 2 0", "------"},
	{"2+2 writes, SC fences", "Wx1r Fs Wy2r | Wy1r Fs Wx2r", "x1 y1", "------"},
	{"R", "Wx1r Wy1r | Wy2r Rxr", "0 y2", "-yyyyy"},
	{"R, SC", "Wx1s Wy1s | Wy2s Rxs", "0 y2", "------"},
	{"S", "Wx2r Wy1l | Rya Wx1r", "1 x2", "------"},
	/* Must an SC order contradict happens-before? RC11 allows it, the old C11 does not. */
	{"Z6.U", "Wx1s Wy1l | Ay1s Ryr | Wy3s Rxs", "1 3 0 y3", "--y--y"},
	{"SC accesses behind a release and an acquire", "Wx1s Wy1l | Rya Wz1s | Rzs Rxs", "1 1 0", "------"},
	{"an SC store before one that an SC load saw", "Wx1s Rys | Wy1s Wz1s | Rzs Rxs", "0 1 0", "------"},
};

static struct {
	_Atomic uint64_t words[3];
	uint64_t results[THREADS][RESULTS], nresults[THREADS];
} g;
static struct op {
	char what, word, order;
	uint64_t a, b;
} program[THREADS][RESULTS];
static const char *outcome;
static bool seen;

static const char *parse_op(const char *s, struct op *op)
{
	op->what = *s++;
	if (strchr("WRAC", op->what))
		op->word = (char)(*s++ - 'x');
	if (op->what == 'C')
		op->a = (uint64_t)(*s++ - '0');
	if (strchr("WAC", op->what))
		op->b = (uint64_t)(*s++ - '0');
	if (strchr("WRACF", op->what))
		op->order = *s++;
	return s;
}

bool scenario_parse(const char *s)
{
	unsigned n = 0;
	memset(program, 0, sizeof(program));
	for (nthreads = 1; *s;)
		if (*s == '|') {
			n = 0;
			nthreads++;
			s++;
		} else if (*s == ' ') {
			s++;
		} else {
			s = parse_op(s, &program[nthreads - 1][n++]);
		}
	return nthreads <= THREADS;
}

bool scenario_make(char *text, uint64_t *seed, unsigned threads)
{
	(void)text;
	(void)seed;
	(void)threads;
	return false;
}

void scenario_reset(void)
{
	memset(&g, 0, sizeof(g));
	for (unsigned i = 0; i < 3; i++)
		memory_add((void *)&g.words[i], ANYBODY);
}

struct part scenario_part(void)
{
	return (struct part){&g, sizeof(g)};
}

static int order_of(char c)
{
	switch (c) {
	case 'r':
		return memory_order_relaxed;
	case 'a':
		return memory_order_acquire;
	case 'l':
		return memory_order_release;
	case 'b':
		return memory_order_acq_rel;
	default:
		return memory_order_seq_cst;
	}
}

static void result(uint64_t v)
{
	g.results[self][g.nresults[self]++] = v;
}

static void run_op(const struct op *op)
{
	_Atomic uint64_t *word = &g.words[(unsigned)op->word];
	int order = order_of(op->order), weaker = order == memory_order_acq_rel ? memory_order_acquire : order;
	uint64_t old = op->a;
	switch (op->what) {
	case 'W':
		mc_store(word, op->b, order);
		break;
	case 'R':
		result(mc_load(word, order));
		break;
	case 'A':
		result(mc_rmw(word, UINT64_MAX, op->b, order));
		break;
	case 'C':
		(void)mc_cas(word, &old, op->b, order, weaker);
		result(old);
		break;
	case 'F':
		mc_fence(order);
		break;
	case 'p':
		plain_write(0);
		break;
	case 'q':
		result(plain_known(0));
		break;
	default:
#if COLUMN == 0 || COLUMN == 1 || COLUMN == 5
		op->what == 'L' ? mc_light() : mc_heavy();
#else
		mc_fence(memory_order_seq_cst); /* as core/live.h has it */
#endif
	}
}

void scenario_run(void)
{
	if (self == 0)
		setup_done();
	else
		yield(); /* a plain write is no step: it shall not be made before the beginning */
	for (const struct op *op = program[self]; op->what; op++)
		run_op(op);
}

/* Is what happened the outcome? */
const char *scenario_end(void)
{
	unsigned t = 0, n = 0;
	for (const char *s = outcome; *s; s++) {
		if (*s == ' ')
			continue;
		if (*s >= 'x') {
			if (*(uint64_t *)&g.words[*s - 'x'] != (uint64_t)(s[1] - '0'))
				return NULL;
			s++;
			continue;
		}
		for (; t < nthreads && n == g.nresults[t]; n = 0)
			t++;
		if (t == nthreads || g.results[t][n++] != (uint64_t)(*s - '0'))
			return NULL;
	}
	seen = true;
	return NULL;
}

void scenario_saw(void *at, uint64_t v)
{
	(void)at;
	(void)v;
}

void scenario_wrote(void)
{
}

void scenario_print(const void *at, uint64_t v)
{
	if (at)
		printf("%c ", 'x' + (char)((const _Atomic uint64_t *)at - g.words));
	printf("%llu", (unsigned long long)v);
}

int main(void)
{
	unsigned wrong = 0, asked = 0;
	max_states = 1 << 18;
	if (!search_init())
		return 2;
	for (unsigned i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		const struct litmus *test = &tests[i];
		bool whole;
		if (test->can[COLUMN] == '.')
			continue;
		seen = false;
		outcome = test->outcome;
		if (!scenario_parse(test->program) || search(&whole) || !whole)
			return 2;
		asked++;
		if (seen == (test->can[COLUMN] == 'y'))
			continue;
		wrong++;
		printf("%s: %s: %s %s be\n", test->name, test->program, test->outcome,
		       seen ? "can, and shall not" : "can not, and shall");
	}
	printf("mc_litmus: %u outcomes, %u wrong\n", asked, wrong);
	return wrong != 0;
}
