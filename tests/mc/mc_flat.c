/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mc_flat.c - memory with one value of each word: sequentially consistent, or (-DTSO) x86: plain stores wait in a FIFO
 * buffer per thread, which its own loads see, and which locked operations and fences empty. The orders of loads do not
 * matter there; a store that is sequentially consistent is an exchange, as compilers make it.
 */
#include <string.h>

#include "mc.h"

enum { BUFFER = 6, WORDS = 40 };
#ifdef TSO
enum { BUFFERED = 1 };
#else
enum { BUFFERED = 0 };
#endif

struct pending {
	uint64_t *at, value;
};

static struct {
	uint64_t nbuffer[THREADS];
	struct pending buffer[THREADS][BUFFER];
} m;
static struct {
	void *at;
	int writer;
} words[WORDS];
static unsigned nwords;

const bool memory_is_flat = true;

void memory_reset(void)
{
	memset(&m, 0, sizeof(m));
	nwords = 0;
}

void memory_add(void *at, int writer)
{
	words[nwords].at = at;
	words[nwords++].writer = writer;
}

void memory_fork(void)
{
	while (memory_can_move(0))
		memory_move(0);
}

struct part memory_part(void)
{
	return (struct part){&m, sizeof(m)};
}

bool memory_can_move(unsigned t)
{
	return m.nbuffer[t] != 0;
}

void memory_settle(void)
{
}

static void write_memory(uint64_t *at, uint64_t v)
{
	bool changed = *at != v;
	*at = v;
	if (changed)
		scenario_wrote();
}

void memory_move(unsigned t)
{
	struct pending p = m.buffer[t][0];
	note = (struct note){(int)t, 0, 'f', p.at, *p.at, p.value, true};
	memmove(&m.buffer[t][0], &m.buffer[t][1], sizeof(m.buffer[t]) - sizeof(p));
	memset(&m.buffer[t][BUFFER - 1], 0, sizeof(p));
	m.nbuffer[t]--;
	write_memory(p.at, p.value);
}

static void flush(unsigned t)
{
	while (m.nbuffer[t])
		memory_move(t);
}

uint64_t memory_value(unsigned t, bool own, void *at)
{
	uint64_t v = *(uint64_t *)at;
	for (unsigned i = 0; own && i < m.nbuffer[t]; i++)
		if (m.buffer[t][i].at == at)
			v = m.buffer[t][i].value;
	return v;
}

/* A load that nobody's step can change needs no place among them. */
static void yield_for_load(const volatile void *p)
{
	for (unsigned i = 0; i < nwords; i++)
		if (words[i].at == p && (words[i].writer == self || words[i].writer == NOBODY))
			return;
	yield();
}

uint64_t mc_load(const volatile void *p, int order)
{
	yield_for_load(p);
	void *at = (void *)(uintptr_t)p;
	uint64_t v = memory_value((unsigned)self, true, at);
	note = (struct note){self, order, 'l', at, v, v, true};
	scenario_saw(at, v);
	return v;
}

void mc_store(volatile void *p, uint64_t v, int order)
{
	yield();
	uint64_t *at = (uint64_t *)(uintptr_t)p;
	unsigned t = (unsigned)self;
	if (!BUFFERED || order == memory_order_seq_cst) {
		flush(t);
		note = (struct note){self, order, 's', at, *at, v, true};
		write_memory(at, v);
		return;
	}
	if (m.nbuffer[t] == BUFFER)
		memory_move(t);
	m.buffer[t][m.nbuffer[t]++] = (struct pending){at, v};
	note = (struct note){self, order, 's', at, *at, v, true};
}

bool mc_cas(volatile void *p, void *old, uint64_t want, int success, int failure)
{
	(void)failure;
	yield();
	flush((unsigned)self);
	uint64_t *at = (uint64_t *)(uintptr_t)p, is = *at;
	bool ok = is == *(uint64_t *)old;
	note = (struct note){self, success, 'c', at, is, want, ok};
	if (ok)
		write_memory(at, want);
	else
		scenario_saw(at, is);
	*(uint64_t *)old = is;
	return ok;
}

uint64_t mc_rmw(volatile void *p, uint64_t keep, uint64_t add, int order)
{
	yield();
	flush((unsigned)self);
	uint64_t *at = (uint64_t *)(uintptr_t)p, is = *at;
	note = (struct note){self, order, 'a', at, is, (is & keep) + add, true};
	write_memory(at, (is & keep) + add);
	return is;
}

void mc_fence(int order)
{
	if (order != memory_order_seq_cst)
		return;
	yield();
	flush((unsigned)self);
	note = (struct note){self, order, 'b', NULL, 0, 0, true};
}

/* A compiler barrier: nothing, as each thread does all in its order. */
void mc_light(void)
{
}

void mc_heavy(void)
{
	yield();
	for (unsigned t = 0; t < nthreads; t++)
		flush(t);
	note = (struct note){self, 0, 'h', NULL, 0, 0, true};
}

void plain_write(unsigned cell)
{
	(void)cell;
}

bool plain_known(unsigned cell)
{
	(void)cell;
	return true;
}

bool plain_known_to(unsigned t, unsigned cell)
{
	(void)t;
	(void)cell;
	return true;
}
