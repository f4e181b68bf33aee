/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mc_history.c - keeps the histories: messages come in, what nobody can see any more goes, and what two threads' steps
 * leave in one state has one form.
 */
#include "mc_history.h"

#include <string.h>

struct memory m;
struct word words[WORDS];
unsigned nwords;
static char *base;
static uint8_t index_of[LARGEST]; /* by (address - base) / 8 */

const bool memory_is_flat = false;

void memory_reset(void)
{
	memset(&m, 0, sizeof(m));
	nwords = 0;
	base = scenario_part().at;
	for (unsigned t = 0; t < THREADS; t++) {
		memset(m.threads[t].cur.known, 0xff, KNOWN);
		memset(m.threads[t].acq.known, 0xff, KNOWN);
	}
}

void memory_add(void *at, int writer)
{
	size_t place = (size_t)((char *)at - base) / 8;
	if (nwords == WORDS || place >= LARGEST)
		__builtin_trap();
	words[nwords].at = at;
	words[nwords].writer = writer;
	index_of[place] = (uint8_t)nwords;
	m.pool[nwords].value = *(uint64_t *)at;
	nwords++;
	m.first[nwords] = (uint8_t)nwords; /* one message of each, to begin with */
}

struct part memory_part(void)
{
	return (struct part){&m, offsetof(struct memory, pool) + m.first[nwords] * sizeof(struct message)};
}

bool memory_can_move(unsigned t)
{
	(void)t;
	return false;
}

void memory_move(unsigned t)
{
	(void)t;
}

uint64_t memory_value(unsigned t, bool own, void *at)
{
	(void)t;
	(void)own;
	return *(uint64_t *)at;
}

unsigned place_of(const volatile void *p)
{
	return index_of[(size_t)((const volatile char *)p - base) / 8];
}

/* Calls fn for every view, or every past, that there is. */
static void each_view(void (*fn)(struct view *view, const uint8_t *what), const uint8_t *what)
{
	for (unsigned t = 0; t < nthreads; t++) {
		fn(&m.threads[t].cur, what);
		fn(&m.threads[t].acq, what);
		fn(&m.threads[t].rel, what);
	}
	for (unsigned i = 0; i < m.first[nwords]; i++)
		fn(&m.pool[i].view, what);
}

static void make_room(struct view *view, const uint8_t *what)
{
	unsigned x = what[0], p = what[1];
	view->at[x] += view->at[x] > p;
	view->past.at[x] += view->past.at[x] > p;
}

struct message *insert(unsigned x, unsigned p)
{
	const uint8_t what[2] = {(uint8_t)x, (uint8_t)p};
	if (m.first[nwords] == MESSAGES) {
		cut = true;
		return NULL;
	}
	each_view(make_room, what);
	m.fenced[x] += m.fenced[x] > p;
	for (unsigned i = 0; i < m.first[nwords]; i++) {
		m.pool[i].wrote.at[x] += m.pool[i].wrote.at[x] > p;
		m.pool[i].read.at[x] += m.pool[i].read.at[x] > p;
	}
	struct message *new = &history(x)[p + 1];
	memmove(new + 1, new, (size_t)((char *)&m.pool[m.first[nwords]] - (char *)new));
	memset(new, 0, sizeof(*new));
	for (unsigned y = x + 1; y <= nwords; y++)
		m.first[y]++;
	return new;
}

/* Plain cells. */
static void forget(struct view *view, const uint8_t *what)
{
	view->known[what[0]] &= (uint8_t)~what[1];
}

void plain_write(unsigned cell)
{
	const uint8_t what[2] = {(uint8_t)(cell / 8), (uint8_t)(1 << cell % 8)};
	each_view(forget, what);
	m.threads[self].cur.known[what[0]] |= what[1];
	m.threads[self].acq.known[what[0]] |= what[1];
}

bool plain_known_to(unsigned t, unsigned cell)
{
	return (m.threads[t].cur.known[cell / 8] >> cell % 8 & 1) != 0;
}

bool plain_known(unsigned cell)
{
	return plain_known_to((unsigned)self, cell);
}

void memory_fork(void)
{
	for (unsigned t = 1; t < nthreads; t++)
		m.threads[t] = m.threads[0];
}

static void lower(struct view *view, const uint8_t *by)
{
	for (unsigned i = 0; i < WORDS; i++)
		view->at[i] = (uint8_t)(view->at[i] > by[i] ? view->at[i] - by[i] : 0);
}

static void lower_past(struct past *past, const uint8_t *by)
{
	for (unsigned i = 0; i < WORDS; i++)
		past->at[i] = (uint8_t)(past->at[i] > by[i] ? past->at[i] - by[i] : 0);
}

static void lower_all(struct view *view, const uint8_t *by)
{
	lower(view, by);
	lower_past(&view->past, by);
}

static void forget_known(struct view *view, const uint8_t *all)
{
	for (unsigned i = 0; i < KNOWN; i++)
		view->known[i] &= (uint8_t)~all[i];
}

/* The messages of x before `n` go: no thread can read them. What an SC write behind them takes from them stays. */
static void drop_messages(unsigned x, unsigned n)
{
	struct message *h = history(x);
	for (unsigned p = 0; p < n; p++) {
		if (h[p].sc)
			join_past(&h[n].read, &h[p].wrote);
		join_past(&h[n].read, &h[p].read);
	}
	memmove(h, h + n, (size_t)((char *)&m.pool[m.first[nwords]] - (char *)(h + n)));
	for (unsigned y = x + 1; y <= nwords; y++)
		m.first[y] = (uint8_t)(m.first[y] - n);
	h[0].glued = 0;
}

/* What all running threads know needs to be said nowhere else. */
static void settle_known(void)
{
	uint8_t all[KNOWN];
	memset(all, 0xff, sizeof(all));
	for (unsigned t = 0; t < nthreads; t++)
		for (unsigned i = 0; !thread_done(t) && i < KNOWN; i++)
			all[i] &= m.threads[t].cur.known[i];
	for (unsigned t = 0; t < nthreads; t++) {
		forget_known(&m.threads[t].acq, all);
		forget_known(&m.threads[t].rel, all);
		for (unsigned i = 0; i < KNOWN; i++)
			m.threads[t].acq.known[i] |= m.threads[t].cur.known[i];
	}
	for (unsigned i = 0; i < m.first[nwords]; i++)
		forget_known(&m.pool[i].view, all);
}

void memory_settle(void)
{
	uint8_t by[WORDS];
	bool any = false, running = false;
	memset(by, 0xff, sizeof(by));
	for (unsigned t = 0; t < nthreads; t++) {
		if (thread_done(t)) {
			if (ASYMMETRIC)
				pass_fence(t); /* as every thread does that the system takes from its processor */
			memset(&m.threads[t], 0, sizeof(m.threads[t]));
			continue;
		}
		running = true;
		for (unsigned x = 0; x < WORDS; x++)
			by[x] = by[x] < m.threads[t].cur.at[x] ? by[x] : m.threads[t].cur.at[x];
	}
	for (unsigned x = 0; x < nwords; x++) {
		if (!running)
			by[x] = (uint8_t)(length(x) - 1);
		any = any || by[x];
		if (by[x])
			drop_messages(x, by[x]);
	}
	if (any) {
		each_view(lower_all, by);
		for (unsigned x = 0; x < WORDS; x++)
			m.fenced[x] = (uint8_t)(m.fenced[x] > by[x] ? m.fenced[x] - by[x] : 0);
		for (unsigned i = 0; i < m.first[nwords]; i++) {
			lower_past(&m.pool[i].wrote, by);
			lower_past(&m.pool[i].read, by);
		}
	}
	settle_known();
}
