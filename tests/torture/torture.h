/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * torture.h - what the torture's parts share: torture.c does the operations, bag.c those with holders, history.c judges.
 *
 * Each operation is logged by its thread, with the times before its call and after its return. A thread's own events and
 * bag are touched by it alone until all threads have ended; what is global is constant then, or atomic, or has a lock.
 */
#ifndef TORTURE_TORTURE_H
#define TORTURE_TORTURE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <pgmap/folio.h>

/*
 * Holds: TAKEN by a request (or a part of one that was split), SHARED by a lookup, KEPT by the owner's folio_free; POISON
 * is none, but has a beginning and an end too. The others are answers. WALK is one call of pgmap_for_each_held(), and has
 * `npages` SEEN events behind it.
 */
enum kind { TAKEN, SHARED, KEPT, POISON, BUSY, BAD, NOENT, NODEV, FOUND, WALK, SEEN, DYING, DRAINED, KINDS };

struct event {
	enum kind kind;
	bool marked; /* TAKEN: when the references had gone, an ended holder's mark stayed */
	uint64_t pgoff;
	uint64_t npages;
	uint64_t call; /* of what began it */
	uint64_t ret;
	uint64_t drop_call; /* holds, POISON, DYING: of what ended it */
	uint64_t drop_ret;
	uint64_t fence_call; /* marked ones: of what took the mark away */
	uint64_t fence_ret;
	uint64_t life;            /* folio_private() of the folio; 0: none was set, or seen */
	const struct event *seen; /* WALK */
};

enum { MAX_THREADS = 64, BAG = 24 };

/* A folio of which the thread has only references that are charged to its holder. */
struct held {
	struct folio *folio;
	struct event *e;
	unsigned order;
	unsigned refs; /* pins included */
	unsigned pins[2];
};

struct bag {
	struct pgmap_holder *holder; /* null: to be made */
	struct held held[BAG];
	unsigned n;
	struct pgmap_holder *ended; /* with marks, which are of these folios */
	struct event *marked[BAG];
	unsigned nmarked;
};

struct thread {
	pthread_t id;
	unsigned index;
	uint64_t seed;
	uint64_t nevents, max_events;
	struct event *events;
	uint64_t taken; /* folios requested, parts of splits included */
	uint64_t lives;
	struct bag bag;
	struct event *poison; /* what thread 0 has poisoned, or null */
};

extern struct pgmap *pgmap;
extern unsigned nthreads;
extern bool lookups; /* this run makes lookups */
extern _Atomic uint64_t freed;

uint64_t next_random(uint64_t *state);
uint64_t now(void);
_Noreturn void wrong(const char *what, const struct event *a, const struct event *b);
struct event *new_event(struct thread *t, enum kind kind, uint64_t pgoff, uint64_t npages, uint64_t call);

/* A page where orders meet. */
uint64_t random_page(uint64_t *seed);
/* The end of the thread's reference, logged in its hold. */
void drop(struct folio *folio, struct event *e);
/* The hold's event becomes one for each of the parts, which have been split into `order`. Returns the part's folio. */
struct folio *part(struct thread *t, struct event *whole, uint64_t i, unsigned order, struct event **e);
/* An order to split it into: a few parts. */
unsigned split_order(struct thread *t, unsigned order);

/* bag.c: a folio that the thread has one anonymous reference on goes into the bag; false: the bag is full. */
bool bag_take(struct thread *t, struct folio *folio, struct event *e);
/* The same for one that is shared: of a lookup's. */
bool bag_share(struct thread *t, struct folio *folio, struct event *e);
/* One operation on what is in the bag; bag_empty(): all of it goes. */
void bag_step(struct thread *t);
void bag_empty(struct thread *t);

/* whole.c. do_poison(): thread 0 only, so it knows exactly what is poisoned. do_death(): thread 0 only; until near the end it
 * holds a folio over it, so that the device survives; true: it is dead. do_drain(): by somebody else, meanwhile or not. */
void do_walk(struct thread *t);
void do_poison(struct thread *t);
bool do_death(struct thread *t, bool near_end);
void do_drain(struct thread *t);

/* history.c: after all threads. */
void judge_history(const struct thread *threads);

#endif
