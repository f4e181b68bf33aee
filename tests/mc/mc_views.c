/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mc_views.c - C11 memory with the orders as written: histories of messages, and what each thread knows of them.
 *
 * Each word has a history of messages in modification order. A thread has a view: for each word the oldest message that
 * it may still read. A load chooses any message from there on; a store goes anywhere behind there, but not between an
 * exchange and the message that it replaced; an exchange stands right behind the one it read. A message carries the view
 * that its writer released (with a release fence before it: the fence's), an exchange also the view of what it read: so
 * release sequences go through exchanges. An acquiring load joins that view to its thread's; a relaxed one keeps it for
 * an acquire fence. This is RC11 without its sequentially consistent part: every execution of C11 in which no load reads
 * from what depends on it (load buffering, which RC11 forbids), and no others. A release sequence has no later stores of
 * the same thread (C++20): weaker than C17, where our core has no such stores.
 *
 * Sequentially consistent accesses. Let `psc` be the order that RC11 wants to be acyclic: program order between SC
 * accesses, and for one word modification order and "reads before" (a load of what an SC write replaced or will replace).
 * A set of accesses closed under psc is kept as a number per word: which SC write is the last in it, of those of the
 * word (struct past). Each thread has the past of its next access, each SC write its own with itself in it, and each
 * message the join of the pasts of the SC loads that read it. A new access joins what comes before it; where it comes
 * before one that exists already (a load of an old message before the newer SC write, a write before another in modification
 * order) its past is joined to every past that has that one in it; and it may not be when its own past has that one in
 * it already: that were a cycle. No order of execution is implied: an SC load may be before an SC write that was
 * executed long ago, which stands for accesses that the machine was slow to carry out.
 *
 * RC11 also puts into psc what happens before by way of other words. -DPSC=n says how much of that is taken:
 *   0  none but an SC load of an SC write's message: weaker than RC11, more executions than there are (the default:
 *      what holds here holds in RC11, but for what is said of fences below)
 *   1  and what a release carried to an SC load
 *   2  all of happens-before, as C11 had it first: stronger than RC11, but only in programs (Z6.U) in which that order must
 *      contradict happens-before
 * Fences: an SC fence joins the views of all SC fences executed before it. Stronger than RC11 only where fences are
 * executed in an order that relaxed accesses alone, by way of a third thread, tell. Between SC fences and SC accesses there
 * is nothing but program order and views: weaker than RC11.
 * A weak exchange does not fail without a reason; it would only be tried again.
 *
 * With -DASYMMETRIC, mc_light() is nothing and mc_heavy() makes every thread pass an SC fence (membarrier); else both
 * are SC fences (core/live.h's default is compiled then). A thread that ends passes one too.
 *
 * The state has one form: messages older than what any thread can read go, numbers in views that point to such are 0.
 */
#include "mc_history.h"

#include <string.h>

/* Whoever has the SC write at x, p in its past has `past` in it too. */
static void spread(unsigned x, unsigned p, const struct past *past)
{
	struct past from = *past;
	for (unsigned t = 0; t < nthreads; t++) {
		struct view *views[] = {&m.threads[t].cur, &m.threads[t].acq, &m.threads[t].rel};
		for (unsigned i = 0; i < 3; i++)
			if (views[i]->past.at[x] >= p)
				join_past(&views[i]->past, &from);
	}
	for (unsigned i = 0; i < m.first[nwords]; i++) {
		struct past *pasts[] = {&m.pool[i].view.past, &m.pool[i].wrote, &m.pool[i].read};
		for (unsigned j = 0; j < 3; j++)
			if (pasts[j]->at[x] >= p)
				join_past(pasts[j], &from);
	}
}

/* An access with this past comes before the first SC write behind p. */
static void spread_behind(unsigned x, unsigned p, const struct past *past)
{
	for (unsigned q = p + 1; q < length(x); q++)
		if (history(x)[q].sc) {
			spread(x, q, past);
			return;
		}
}

static bool acquires(int order)
{
	return order == memory_order_acquire || order == memory_order_acq_rel || order == memory_order_seq_cst;
}

static bool releases(int order)
{
	return order == memory_order_release || order == memory_order_acq_rel || order == memory_order_seq_cst;
}

/* The past of thread t's SC access that reads message p of x. */
static struct past past_of_read(unsigned t, unsigned x, unsigned p)
{
	const struct message *read = &history(x)[p];
	struct past past = m.threads[t].cur.past;
	if (read->sc)
		join_past(&past, &read->wrote);
	if (PSC > 0)
		join_past(&past, &read->view.past);
	return past;
}

/* Of its SC write right behind p. */
static struct past past_of_write(struct past past, unsigned x, unsigned p)
{
	for (unsigned q = 0; q <= p; q++) {
		if (history(x)[q].sc)
			join_past(&past, &history(x)[q].wrote);
		join_past(&past, &history(x)[q].read);
	}
	return past;
}

static bool may_read(unsigned t, unsigned x, unsigned p, int order)
{
	return p >= m.threads[t].cur.at[x] && (order != memory_order_seq_cst || past_of_read(t, x, p).at[x] <= p);
}

static bool may_write(unsigned t, unsigned x, unsigned p, int order, bool exchange)
{
	if (p < m.threads[t].cur.at[x] || (p + 1 < length(x) && history(x)[p + 1].glued))
		return false;
	if (order != memory_order_seq_cst)
		return true;
	struct past past = exchange ? past_of_read(t, x, p) : m.threads[t].cur.past;
	return past_of_write(past, x, p).at[x] <= p;
}

/* Thread t reads message p of x. */
static void read_message(unsigned t, unsigned x, unsigned p, int order, bool exchange)
{
	struct thread *thread = &m.threads[t];
	struct message *read = &history(x)[p];
	bool sc = order == memory_order_seq_cst;
	if (sc)
		thread->cur.past = past_of_read(t, x, p);
	if (thread->cur.at[x] < p)
		thread->cur.at[x] = (uint8_t)p;
	if (acquires(order))
		join(&thread->cur, &read->view, PSC == 2);
	join(&thread->acq, &read->view, PSC == 2);
	join(&thread->acq, &thread->cur, true);
	if (sc && !exchange) {
		struct past past = thread->cur.past;
		join_past(&read->read, &past);
		spread_behind(x, p, &past);
	}
}

static void write_message(unsigned t, unsigned x, unsigned p, uint64_t value, int order, bool exchange)
{
	struct thread *thread = &m.threads[t];
	bool sc = order == memory_order_seq_cst;
	struct past past = past_of_write(thread->cur.past, x, p);
	struct message *new = insert(x, p);
	if (!new)
		return;
	thread->cur.at[x] = thread->acq.at[x] = (uint8_t)(p + 1);
	new->value = value;
	new->glued = exchange;
	new->sc = sc;
	if (sc) {
		past.at[x] = (uint8_t)(p + 1);
		new->wrote = thread->cur.past = past;
		join_past(&thread->acq.past, &past);
		spread_behind(x, p + 1, &past);
	}
	new->view = releases(order) ? thread->cur : thread->rel;
	if (exchange)
		join(&new->view, &history(x)[p].view, true);
	new->view.at[x] = (uint8_t)(p + 1);
	*(uint64_t *)words[x].at = history(x)[length(x) - 1].value;
}

/* The messages that an operation may choose. */
struct choices {
	unsigned n;
	uint8_t at[MESSAGES];
};

static void take(struct choices *c, unsigned p)
{
	c->at[c->n++] = (uint8_t)p;
}

static __attribute__((noinline)) uint64_t load(const volatile void *p, int order)
{
	unsigned x = place_of(p), t = (unsigned)self;
	struct choices c = {0};
	for (unsigned i = length(x); i-- > 0;)
		if (may_read(t, x, i, order))
			take(&c, i);
	unsigned at = c.at[choose(c.n)];
	uint64_t v = history(x)[at].value;
	note = (struct note){self, order, 'l', words[x].at, v, v, at + 1 == length(x)};
	read_message(t, x, at, order, false);
	scenario_saw(words[x].at, v);
	return v;
}

static __attribute__((noinline)) void store(volatile void *p, uint64_t v, int order)
{
	unsigned x = place_of(p), t = (unsigned)self;
	struct choices c = {0};
	for (unsigned i = length(x); i-- > 0;)
		if (may_write(t, x, i, order, false))
			take(&c, i);
	unsigned at = c.at[choose(c.n)];
	note = (struct note){self, order, 's', words[x].at, history(x)[at].value, v, at + 1 == length(x)};
	write_message(t, x, at, v, order, false);
}

static __attribute__((noinline)) bool cas(volatile void *p, uint64_t *old, uint64_t want, int success, int failure)
{
	unsigned x = place_of(p), t = (unsigned)self;
	struct choices c = {0};
	for (unsigned i = length(x); i-- > 0;)
		if (history(x)[i].value == *old ? may_write(t, x, i, success, true) : may_read(t, x, i, failure))
			take(&c, i);
	unsigned at = c.at[choose(c.n)];
	uint64_t is = history(x)[at].value;
	bool ok = is == *old;
	note = (struct note){self, ok ? success : failure, 'c', words[x].at, is, want, ok};
	read_message(t, x, at, ok ? success : failure, ok);
	if (ok)
		write_message(t, x, at, want, success, true);
	else
		scenario_saw(words[x].at, is);
	*old = is;
	return ok;
}

static __attribute__((noinline)) uint64_t rmw(volatile void *p, uint64_t keep, uint64_t add, int order)
{
	unsigned x = place_of(p), t = (unsigned)self;
	struct choices c = {0};
	for (unsigned i = length(x); i-- > 0;)
		if (may_write(t, x, i, order, true))
			take(&c, i);
	unsigned at = c.at[choose(c.n)];
	uint64_t is = history(x)[at].value;
	note = (struct note){self, order, 'a', words[x].at, is, (is & keep) + add, true};
	read_message(t, x, at, order, true);
	write_message(t, x, at, (is & keep) + add, order, true);
	return is;
}

/* Thread t passes an SC fence: what the earlier ones have seen it has seen. Nothing of it happens before for that. */
void pass_fence(unsigned t)
{
	struct thread *thread = &m.threads[t];
	thread->cur = thread->acq;
	for (unsigned x = 0; x < WORDS; x++)
		if (thread->cur.at[x] < m.fenced[x])
			thread->cur.at[x] = m.fenced[x];
	memcpy(m.fenced, thread->cur.at, sizeof(m.fenced));
	thread->acq = thread->rel = thread->cur;
}

static __attribute__((noinline)) void fence(int order)
{
	struct thread *thread = &m.threads[self];
	if (order == memory_order_seq_cst)
		pass_fence((unsigned)self);
	if (acquires(order))
		thread->cur = thread->acq;
	if (releases(order))
		thread->rel = thread->cur;
	note = (struct note){self, order, 'b', NULL, 0, 0, true};
}

/* The calls: they stop first, with nothing of the memory on the stack. */
uint64_t mc_load(const volatile void *p, int order)
{
	int writer = words[place_of(p)].writer;
	if (writer != self && writer != NOBODY)
		yield();
	return load(p, order);
}

void mc_store(volatile void *p, uint64_t v, int order)
{
	yield();
	store(p, v, order);
}

bool mc_cas(volatile void *p, void *old, uint64_t want, int success, int failure)
{
	yield();
	return cas(p, old, want, success, failure);
}

uint64_t mc_rmw(volatile void *p, uint64_t keep, uint64_t add, int order)
{
	yield();
	return rmw(p, keep, add, order);
}

void mc_fence(int order)
{
	yield();
	fence(order);
}

void mc_light(void)
{
}

void mc_heavy(void)
{
	yield();
	fence(memory_order_seq_cst);
	for (unsigned t = 0; t < nthreads; t++)
		pass_fence(t);
	fence(memory_order_seq_cst);
	note.what = 'h';
}
