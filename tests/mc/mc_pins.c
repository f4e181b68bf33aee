/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mc_pins.c - programs of a client's threads and its server on one word of a mapping (core/pinword.h).
 *
 * A program is a list of, the client's: Pk pin of kind k (0 local, 1 remote: the first-pin way first, as client/pins.c
 * does), U unpin the last one, C close, O open again what was closed here; the server's: Br block for reason r, R read,
 * W wait until there are no pins (for the event that an unpin sends when it is told to), X unblock, I init for a new span,
 * N the span has ended: the word is unused; anybody's: T send a message, At wait for one of thread t. What a program has pinned at its end, it unpins.
 *
 * Checked: the word's counts are the pins that there are, at every step; a block's answer is those pins; no pin succeeds
 * under a reason or after a close; close only without pins; DRAINED exactly when an unpin under a reason leaves
 * none (so a waiter wakes); and data, plain cells here, are handed on: a server that has read no pins knows what all
 * holders of pins did, and a pin that succeeds knows what the server did before it unblocked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mc.h"

#include "pinword.h"

enum { OPS = 16, PINS = 8 };
enum { CELL_SERVER = 7 };

static struct {
	pinword_t word;
	_Atomic uint64_t event;
	_Atomic uint64_t told[THREADS]; /* what each has sent over the socket */
	uint64_t pins[2];               /* ghost: of each kind */
	uint64_t reason;                /* ghost: of the word */
} g;
static struct op {
	char what;
	unsigned arg;
} program[THREADS][OPS + 1];

struct part scenario_part(void)
{
	return (struct part){&g, sizeof(g)};
}

void scenario_reset(void)
{
	memset(&g, 0, sizeof(g));
	memory_add((void *)&g.word, ANYBODY);
	memory_add((void *)&g.event, ANYBODY);
	for (unsigned t = 0; t < THREADS; t++)
		memory_add((void *)&g.told[t], ANYBODY);
}

void scenario_saw(void *at, uint64_t v)
{
	(void)at;
	(void)v;
}

void scenario_wrote(void)
{
}

/* The word, as it is now, says what the ghosts say; called in the step that changed it, after them. */
static void check_word(void)
{
	struct pinword_counts now = pinword_decode(*(uint64_t *)&g.word);
	if (now.local != g.pins[0] || now.remote != g.pins[1])
		fail("the word's counts are not the pins that there are");
	if ((uint64_t)now.reason != g.reason)
		fail("the word's reason is not the one that was set");
}

static void use(void)
{
	if (!plain_known(CELL_SERVER))
		fail("a race: a pin's use with the server's");
	plain_write((unsigned)self);
}

/* There are no pins, and no more can come: all that holders of pins did has happened. */
static void check_known(void)
{
	for (unsigned t = 0; t < THREADS; t++)
		if (!plain_known(t))
			fail("a race: a server's use, or an unmap, with a former pin's");
}

static void use_alone(void)
{
	check_known();
	plain_write(CELL_SERVER);
}

static bool pin(unsigned kind)
{
	int r = pinword_try_first(&g.word, (int)kind) ? 0 : pinword_pin(&g.word, (int)kind);
	if (r != 0 && r != -EAGAIN && r != -ENODEV && r != -ESTALE && r != -EINVAL)
		fail("a strange answer to a pin");
	if (r)
		return false;
	g.pins[kind]++;
	if (g.reason)
		fail("a pin succeeded under a reason");
	check_word();
	use();
	return true;
}

static void unpin(unsigned kind)
{
	use();
	bool only = pinword_try_only(&g.word, (int)kind);
	int r = only ? 0 : pinword_unpin(&g.word, (int)kind);
	if (r < 0)
		fail("an unpin of a pin was refused");
	g.pins[kind]--;
	if ((r == PINWORD_DRAINED) != (g.reason && !g.pins[0] && !g.pins[1]))
		fail("DRAINED, and it is not the last under a reason, or the other way round");
	check_word();
	if (r == PINWORD_DRAINED)
		(void)atomic_fetch_add_explicit(&g.event, 1, memory_order_seq_cst); /* write(2) */
}

/* Of the server's reason, which goes back to none with 0. */
static struct pinword_counts block(unsigned reason)
{
	struct pinword_counts was = pinword_block(&g.word, (enum pinword_reason)reason);
	g.reason = (g.reason & ~(uint64_t)PINWORD_SERVERS) | reason;
	if (was.local != g.pins[0] || was.remote != g.pins[1])
		fail("a block's answer is not the pins that there are");
	check_word();
	return was;
}

static void check_idle(struct pinword_counts counts)
{
	if (!(counts.reason & PINWORD_SERVERS) || counts.local || counts.remote)
		return;
	if (g.pins[0] || g.pins[1])
		fail("a server read that there are no pins, under its reason, and there are");
	use_alone();
}

static void wait_for_pins(void)
{
	for (;;) {
		uint64_t event = atomic_load_explicit(&g.event, memory_order_seq_cst);
		struct pinword_counts counts = pinword_read(&g.word);
		check_idle(counts);
		if (!counts.local && !counts.remote)
			return;
		while (atomic_load_explicit(&g.event, memory_order_seq_cst) == event)
			;
	}
}

static void init(enum pinword_reason reason)
{
	use_alone();
	g.reason = (uint64_t)reason;
	pinword_init(&g.word, reason);
}

static bool close_word(void)
{
	if (pinword_close(&g.word) != 0)
		return false;
	g.reason |= PINWORD_CLOSING;
	if (g.pins[0] || g.pins[1])
		fail("closed, and there are pins");
	check_known(); /* the munmap comes next */
	check_word();
	return true;
}

static void open_word(void)
{
	pinword_reopen(&g.word);
	g.reason &= ~(uint64_t)PINWORD_CLOSING;
	check_word();
}

static void run_server(const struct op *op)
{
	switch (op->what) {
	case 'B': {
		struct pinword_counts was = block(op->arg);
		was.reason = (enum pinword_reason)op->arg;
		check_idle(was);
		break;
	}
	case 'R':
		check_idle(pinword_read(&g.word));
		break;
	case 'W':
		wait_for_pins();
		break;
	case 'X':
		(void)block(PINWORD_OPEN);
		break;
	case 'I':
		init(PINWORD_OPEN);
		break;
	case 'N':
		init(PINWORD_UNUSED);
		break;
	default:
		break;
	}
}

void scenario_run(void)
{
	unsigned pins[PINS], n = 0;
	bool closed = false;
	memset(pins, 0, sizeof(pins));
	if (self == 0)
		setup_done();
	for (const struct op *op = program[self]; op->what; op++) {
		if (op->what == 'P' && n < PINS && pin(op->arg % 2))
			pins[n++] = op->arg % 2;
		else if (op->what == 'U' && n)
			unpin(pins[--n]);
		else if (op->what == 'C' && !closed)
			closed = close_word();
		else if (op->what == 'O' && closed) {
			open_word();
			closed = false;
		} else if (op->what == 'T')
			(void)atomic_fetch_add_explicit(&g.told[self], 1, memory_order_release);
		else if (op->what == 'A')
			while (atomic_load_explicit(&g.told[op->arg % THREADS], memory_order_acquire) == 0)
				;
		else
			run_server(op);
	}
	while (n)
		unpin(pins[--n]);
}

const char *scenario_end(void)
{
	struct pinword_counts now = pinword_decode(*(uint64_t *)&g.word);
	return g.pins[0] || g.pins[1] || now.local || now.remote ? "at the end there are pins" : NULL;
}

void scenario_print(const void *at, uint64_t v)
{
	struct pinword_counts c = pinword_decode(v);
	if (at && at != (void *)&g.word) {
		printf(at == (void *)&g.event ? "event %llu" : "told %llu", (unsigned long long)v);
		return;
	}
	printf("reason %u local %u remote %u", (unsigned)c.reason, c.local, c.remote);
}

bool scenario_parse(const char *s)
{
	unsigned n = 0;
	memset(program, 0, sizeof(program));
	for (nthreads = 1; *s; s++) {
		if (*s == '|') {
			n = 0;
			if (++nthreads > THREADS)
				return false;
		} else if (strchr("PUCOBRWXINTA", *s) && n < OPS) {
			struct op *op = &program[nthreads - 1][n++];
			op->what = *s;
			op->arg = (unsigned)strtoul(s + 1, (char **)(uintptr_t)&s, 10);
			s--;
			if (op->what == 'B' && (op->arg == 0 || op->arg > PINWORD_SERVERS))
				return false;
		} else if (*s != ' ')
			return false;
	}
	return true;
}

bool scenario_make(char *s, uint64_t *seed, unsigned threads)
{
	(void)s;
	(void)seed;
	(void)threads;
	return false;
}
