/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core_between.h - what comes between two steps of the core: the headers and claim.c are compiled into the program with a hook
 * before each atomic operation, which runs the whole of another call there. For one thread; include it first, and once.
 */
#ifndef PGMAP_TESTS_CORE_BETWEEN_H
#define PGMAP_TESTS_CORE_BETWEEN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "port/barrier.h"

static void step(void);
static void relax(void);

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit
#ifdef __clang__
#define atomic_load_explicit(p, o)     (step(), __c11_atomic_load((p), (o)))
#define atomic_store_explicit(p, v, o) (step(), __c11_atomic_store((p), (v), (o)))
#define atomic_compare_exchange_strong_explicit(p, e, v, s, f)                                                         \
	(step(), __c11_atomic_compare_exchange_strong((p), (e), (v), (s), (f)))
#define atomic_compare_exchange_weak_explicit(p, e, v, s, f)                                                           \
	(step(), __c11_atomic_compare_exchange_weak((p), (e), (v), (s), (f)))
#else
#define atomic_load_explicit(p, o)     (step(), __atomic_load_n((p), (o)))
#define atomic_store_explicit(p, v, o) (step(), __atomic_store_n((p), (v), (o)))
#define atomic_compare_exchange_strong_explicit(p, e, v, s, f)                                                         \
	(step(), __atomic_compare_exchange_n((p), (e), (v), 0, (s), (f)))
#define atomic_compare_exchange_weak_explicit(p, e, v, s, f)                                                           \
	(step(), __atomic_compare_exchange_n((p), (e), (v), 1, (s), (f)))
#endif
#undef CLAIM_RELAX
#define CLAIM_RELAX() relax()

#include "core/claim.c" // NOLINT(bugprone-suspicious-include): the code under test, between whose steps we come
#include "core/pinword.h"

#include "core_util.h"

#include "core/map.h"

static void (*other)(void);  /* what comes between */
static unsigned long before; /* how many steps are left until then */
static void (*waiting)(void);
static unsigned came, relaxed; /* how often the other one did something; how often somebody waited */

static void step(void)
{
	if (!other || before-- != 0)
		return;
	void (*now)(void) = other;
	other = NULL;
	now();
}

static void relax(void)
{
	relaxed++;
	if (waiting)
		waiting();
}

/* From here on, `fn` runs before the nth atomic operation. */
static void come_between(unsigned long nth, void (*fn)(void))
{
	before = nth;
	other = fn;
}

/* Whether it ran: if not, there were not so many steps. */
static bool it_came(void)
{
	bool ran = !other;
	other = NULL;
	return ran;
}

static struct pgmap *pgmap;
static struct folio *folio;

static int setup(void **state)
{
	(void)state;
	pgmap = make_generic(2 * PUD_PAGES);
	came = relaxed = 0;
	waiting = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	end_pgmap(pgmap);
	return 0;
}

static uint64_t word_at(unsigned level, uint64_t i)
{
	return word_load(claim_word(&pgmap->tree, level, i));
}

#endif
