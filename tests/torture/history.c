/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * history.c - the torture's oracle: is there a sequential order of what happened that the contract allows?
 *
 * A hold is known to exist from the return of what took it to the call of what ended it, and may exist from the call of
 * the first to the return of the second. Its pages are held while there are references, and firm also while a mark or
 * the owner keeps them. The history is wrong
 *   - if a request succeeded while another hold of an overlapping span is known to be firm during the whole request (c3.9);
 *   - if a request answered -EBUSY and no overlapping span may have been firm during it (c3.9; not judged where lookups run:
 *     one under way may hold a folio for a moment, claim.h claim 5, which no event tells);
 *   - if a lookup answered -ENOENT for a page that is known to be held during all of it, or found a page that no hold may
 *     have covered, or a folio that does not cover it (c3.13), or the private value of another life (c3.19);
 *   - if a walk missed a folio that is known to be firm during all of it, or saw one that cannot have been (c2.12);
 *   - if a request or a lookup succeeded wholly between the return of a kill and the next revive (c2.5), or answered
 *     -ENODEV with no dying near;
 *   - if a drain succeeded while a hold is known to be firm (c2.3);
 *   - if a request succeeded or was told -EBUSY over a page that is known to be poisoned from before its call until after its
 *     return, or was told -EHWPOISON and no page of its span may have been (c3.5).
 */
#include <stdio.h>
#include <stdlib.h>

#include "torture.h"

/* A call has returned while its last store still waits in its processor's store buffer: others see it that much later. */
enum { SLACK_NS = 2000 };

struct history {
	struct event *all;
	uint64_t n;
	struct event **holds; /* by their calls */
	uint64_t nholds;
	uint64_t longest;
	struct event **dying;
	uint64_t ndying;
};

/* What the holds say about one event. */
struct view {
	const struct event *held; /* known to be, all the time */
	const struct event *firm;
	const struct event *poisoned;
	const struct event *missed; /* WALK: known to be firm, and not seen */
	bool held_maybe;            /* at some time of it */
	bool firm_maybe;
	bool poisoned_maybe;
	bool life_maybe; /* one with this event's life */
};

static int by_call(const void *a, const void *b)
{
	const struct event *x = a, *y = b;
	return x->call < y->call ? -1 : x->call > y->call;
}

static bool is_hold(const struct event *e)
{
	return e->kind == TAKEN || e->kind == SHARED || e->kind == KEPT || e->kind == POISON;
}

static bool overlap(const struct event *a, const struct event *b)
{
	return a->pgoff < b->pgoff + b->npages && b->pgoff < a->pgoff + a->npages;
}

static uint64_t firm_until(const struct event *h)
{
	return h->marked ? h->fence_call : h->drop_call;
}

static uint64_t firm_maybe_until(const struct event *h)
{
	return h->marked ? h->fence_ret : h->drop_ret;
}

static bool walk_saw(const struct event *walk, const struct event *hold)
{
	for (uint64_t i = 0; i < walk->npages; i++)
		if (walk->seen[i].pgoff <= hold->pgoff && hold->pgoff < walk->seen[i].pgoff + walk->seen[i].npages)
			return true;
	return false;
}

static void look_at_hold(const struct event *e, const struct event *h, struct view *v)
{
	if (h->call > e->ret)
		return;
	bool began = h->ret + SLACK_NS < e->call;
	if (e->kind == WALK) {
		if (h->kind != POISON && began && firm_until(h) > e->ret && !walk_saw(e, h))
			v->missed = h;
		return;
	}
	if (!overlap(h, e) || firm_maybe_until(h) + SLACK_NS < e->call)
		return;
	if (h->kind == POISON) {
		v->poisoned_maybe = true;
		if (began && h->drop_call > e->ret)
			v->poisoned = h;
		return;
	}
	v->firm_maybe = true;
	if (began && firm_until(h) > e->ret)
		v->firm = h;
	if (h->kind == KEPT || h->drop_ret + SLACK_NS < e->call)
		return;
	v->held_maybe = true;
	v->life_maybe = v->life_maybe || h->life == e->life;
	if (began && h->drop_call > e->ret)
		v->held = h;
}

/* `until`: no hold from there on began before the event's end. */
static struct view look(const struct history *history, const struct event *e, uint64_t until)
{
	struct view v = {0};
	for (uint64_t i = until; i-- > 0;) {
		const struct event *h = history->holds[i];
		if (h->call + history->longest + SLACK_NS < e->call)
			break;
		if (h != e)
			look_at_hold(e, h, &v);
	}
	return v;
}

static void judge_dying(const struct history *history, const struct event *e)
{
	bool near = false;
	for (uint64_t i = 0; i < history->ndying; i++) {
		const struct event *d = history->dying[i];
		if ((e->kind == TAKEN || e->kind == FOUND) && e->call > d->ret && e->ret < d->drop_call)
			wrong("a request or lookup succeeded after a kill had returned", e, d);
		near = near || (e->ret >= d->call - 1000000 && e->call <= d->drop_ret);
	}
	if (e->kind == NODEV && !near)
		wrong("-ENODEV with no dying near", e, NULL);
}

static void judge_one(const struct event *e, const struct view *v)
{
	if (e->kind == TAKEN && v->firm)
		wrong("a request succeeded over a folio that was held or kept", e, v->firm);
	if (e->kind == BUSY && !v->firm_maybe && !lookups)
		wrong("-EBUSY where no page can have been firm", e, NULL);
	if ((e->kind == TAKEN || e->kind == BUSY) && v->poisoned)
		wrong("a request did not say that a page is poisoned", e, v->poisoned);
	if (e->kind == BAD && !v->poisoned_maybe)
		wrong("-EHWPOISON where no page can have been poisoned", e, NULL);
	if (e->kind == NOENT && v->held)
		wrong("-ENOENT for a page that was held", e, v->held);
	if (e->kind == FOUND && !v->held_maybe)
		wrong("a lookup found a page that nobody can have held", e, NULL);
	if (e->kind == FOUND && e->life && !v->life_maybe)
		wrong("a lookup found the private value of another life", e, NULL);
	if (e->kind == SEEN && !v->firm_maybe)
		wrong("a walk saw a page that cannot have been firm", e, NULL);
	if (e->kind == WALK && v->missed)
		wrong("a walk missed a page that was firm", e, v->missed);
	if (e->kind == DRAINED && v->firm)
		wrong("a drain succeeded while a folio was held or kept", e, v->firm);
}

static void judge(const struct history *history)
{
	uint64_t counts[KINDS] = {0}, until = 0;
	for (uint64_t i = 0; i < history->n; i++) {
		const struct event *e = &history->all[i];
		counts[e->kind]++;
		while (until < history->nholds && history->holds[until]->call <= e->ret)
			until++;
		struct view v = look(history, e, until); /* an earlier event with a later end: more than is needed */
		judge_dying(history, e);
		judge_one(e, &v);
	}
	printf("torture: %llu taken, %llu shared, %llu kept, %llu busy, %llu noent, %llu nodev, %llu bad, %llu walks, "
	       "%llu deaths\n",
	       (unsigned long long)counts[TAKEN], (unsigned long long)counts[SHARED], (unsigned long long)counts[KEPT],
	       (unsigned long long)counts[BUSY], (unsigned long long)counts[NOENT], (unsigned long long)counts[NODEV],
	       (unsigned long long)counts[BAD], (unsigned long long)counts[WALK], (unsigned long long)counts[DYING]);
}

static void *need(size_t n, size_t bytes)
{
	void *p = calloc(n + 1, bytes);
	if (!p)
		abort();
	return p;
}

void judge_history(const struct thread *threads)
{
	struct history h = {0};
	for (unsigned i = 0; i < nthreads; i++)
		h.n += threads[i].nevents;
	h.all = need(h.n, sizeof(*h.all));
	/* NOLINTBEGIN(bugprone-sizeof-expression): arrays of pointers */
	h.holds = need(h.n, sizeof(*h.holds));
	h.dying = need(h.n, sizeof(*h.dying));
	/* NOLINTEND(bugprone-sizeof-expression) */
	uint64_t n = 0;
	for (unsigned i = 0; i < nthreads; i++)
		for (uint64_t j = 0; j < threads[i].nevents; j++)
			h.all[n++] = threads[i].events[j];
	qsort(h.all, h.n, sizeof(*h.all), by_call);
	for (uint64_t i = 0; i < h.n; i++) {
		struct event *e = &h.all[i];
		if (e->kind == DYING)
			h.dying[h.ndying++] = e;
		if (!is_hold(e))
			continue;
		h.holds[h.nholds++] = e;
		if (firm_maybe_until(e) - e->call > h.longest)
			h.longest = firm_maybe_until(e) - e->call;
	}
	judge(&h);
	free(h.all);
	free(h.holds);
	free(h.dying);
}
