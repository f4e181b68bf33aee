/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mc.h - what the model checker's files know of each other, and the atomic operations that the core's headers get.
 *
 *   mc_search.c   coroutines, states, the search
 *   mc.c          main: one scenario, or many random ones        mc_litmus.c   main: litmus tests of the memory
 * one memory of:
 *   mc_flat.c     sequential consistency, or x86's store buffers
 *   mc_views.c    C11 with the orders as written, on the histories of mc_history.c
 * one scenario of:
 *   mc_tree.c     programs on claim.c, live.h and word.h, whose operations are in mc_folio.c, mc_death.c, mc_special.c
 *   mc_pins.c     programs on pinword.h
 *
 * A scenario is a program per thread. Each thread is a coroutine that stops before each atomic operation (yield()), and
 * an operation that can have several outcomes asks for one (choose()): the search goes through all of them. Everything
 * runs in one real thread; nothing here is thread-safe.
 *
 * A source that is to be checked is compiled with `-include mc.h`: its atomic operations are calls then, with their orders.
 */
#ifndef MC_H
#define MC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef THREADS
#define THREADS 3
#endif

/* The memory. Each call yields first, but where nobody else can be concerned. */
uint64_t mc_load(const volatile void *p, int order);
void mc_store(volatile void *p, uint64_t v, int order);
bool mc_cas(volatile void *p, void *old, uint64_t want, int success, int failure);
uint64_t mc_rmw(volatile void *p, uint64_t keep, uint64_t add,
		int order); /* now (old & keep) + add; the answer is old */
void mc_fence(int order);
void mc_light(void); /* the asymmetric pair of core/live.h */
void mc_heavy(void);

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_and_explicit
#undef atomic_fetch_or_explicit
#undef atomic_thread_fence
#define atomic_load_explicit(p, o)                                  mc_load(p, o)
#define atomic_store_explicit(p, v, o)                              mc_store(p, (uint64_t)(v), o)
#define atomic_compare_exchange_strong_explicit(p, old, want, o, q) mc_cas(p, old, want, o, q)
#define atomic_compare_exchange_weak_explicit(p, old, want, o, q)   mc_cas(p, old, want, o, q)
#define atomic_fetch_add_explicit(p, n, o)                          mc_rmw(p, UINT64_MAX, (uint64_t)(n), o)
#define atomic_fetch_sub_explicit(p, n, o)                          mc_rmw(p, UINT64_MAX, -(uint64_t)(n), o)
#define atomic_fetch_and_explicit(p, n, o)                          mc_rmw(p, n, 0, o)
#define atomic_fetch_or_explicit(p, n, o)                           mc_rmw(p, ~(uint64_t)(n), n, o)
#define atomic_thread_fence(o)                                      mc_fence(o)

/* A piece of the state: put back and compared as bytes. */
struct part {
	void *at;
	size_t bytes;
};

/* What a memory gives the search and the scenario. */
extern const bool memory_is_flat; /* there is one value of each word, and everybody who looks sees it */
void memory_reset(void);
void memory_add(void *at, int writer); /* an atomic word; writer: the only thread that writes it, NOBODY, or ANYBODY */
void memory_fork(void);                /* what thread 0 did happens before all that the others do */
struct part memory_part(void);
bool memory_can_move(unsigned t); /* moves of its own, beside the threads': a buffered store goes to memory */
void memory_move(unsigned t);
void memory_settle(void);                              /* after each step: one form for states that are the same */
uint64_t memory_value(unsigned t, bool own, void *at); /* flat: of the memory, or as thread t sees it */
enum { NOBODY = -1, ANYBODY = -2 };

/*
 * Plain data. A cell is a write that no two threads may race for: writing it makes all others forget it, and who has
 * not since heard of the write by happens-before does not know it. A flat memory knows all.
 */
void plain_write(unsigned cell);
bool plain_known(unsigned cell);
bool plain_known_to(unsigned t, unsigned cell);

/* What a scenario gives the search and the memory. */
bool scenario_parse(const char *text); /* sets nthreads and nsetup */
bool scenario_make(char *text, uint64_t *seed, unsigned threads);
void scenario_reset(void);
struct part scenario_part(void);
void scenario_run(void);        /* a thread, from begin to end */
const char *scenario_end(void); /* all threads are done: what is wrong, or null */
void scenario_saw(void *at, uint64_t v);
void scenario_wrote(void);
void scenario_print(const void *at, uint64_t v);

/* The search. */
struct note {
	int thread, order;
	char what;
	void *at;
	uint64_t old, now;
	bool ok;
};
extern int self; /* the thread that is running */
extern unsigned nthreads;
extern bool cut; /* a history is longer than we can store: the state is left aside, and the search is not whole */
extern struct note note;
extern uint64_t max_states;
extern uint32_t nstates;
extern uint64_t nedges;

void yield(void);
unsigned choose(unsigned n);
void fail(const char *what);
void setup_done(void); /* thread 0 waits here until it runs alone no more */
bool search(bool *whole);
bool search_init(void);
bool thread_done(unsigned t);

#endif
