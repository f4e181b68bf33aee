/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * whole.c - what the torture does with the pgmap as a whole: walks over what is held, poison, and death: kill, drain, revive.
 */
#include <errno.h>

#include "torture.h"

/* One call of the walk: what it said of the folio before. */
struct seen {
	struct thread *t;
	uint64_t call;
	uint64_t pgoff; /* UINT64_MAX: none yet */
	uint64_t refs;
	uint64_t sum; /* of the charges */
};

static void check_sum(const struct seen *s)
{
	if (s->pgoff != UINT64_MAX && s->sum != s->refs)
		wrong("a folio's charges do not sum to its count", &(struct event){.pgoff = s->pgoff}, NULL);
}

static int see(const struct pgmap_held *held, void *arg)
{
	struct seen *s = arg;
	if (held->pgoff != s->pgoff) {
		check_sum(s);
		(void)new_event(s->t, SEEN, held->pgoff, UINT64_C(1) << held->order, s->call);
		*s = (struct seen){s->t, s->call, held->pgoff, held->refs, 0};
	}
	s->sum += held->charge.refs;
	return 0;
}

void do_walk(struct thread *t)
{
	struct seen s = {t, now(), UINT64_MAX, 0, 0};
	uint64_t first = t->nevents;
	if (pgmap_for_each_held(pgmap, see, &s) != 0)
		wrong("a walk failed", &(struct event){0}, NULL);
	check_sum(&s);
	struct event *e = new_event(t, WALK, 0, t->nevents - first, s.call);
	e->seen = &t->events[first];
	for (uint64_t i = first; i < t->nevents; i++)
		t->events[i].ret = e->ret;
}

static int see_poison(uint64_t pgoff, uint64_t npages, void *arg)
{
	const struct event **left = arg;
	if (!*left || (*left)->pgoff != pgoff || (*left)->npages != npages)
		return 1;
	*left = NULL;
	return 0;
}

void do_poison(struct thread *t)
{
	const struct event *left = t->poison;
	if (pgmap_for_each_poisoned(pgmap, see_poison, &left) != 0 || left)
		wrong("not what was poisoned is poisoned", t->poison ? t->poison : &(struct event){0}, NULL);
	if (t->poison) {
		t->poison->drop_call = now();
		if (pgmap_clear_poison(pgmap, t->poison->pgoff, t->poison->npages) != 0)
			wrong("poison could not be cleared", t->poison, NULL);
		t->poison->drop_ret = now();
		t->poison = NULL;
		return;
	}
	uint64_t pgoff = random_page(&t->seed), npages = 1 + next_random(&t->seed) % 4, call = now();
	int r = pgmap_poison(pgmap, pgoff, npages);
	t->poison = new_event(t, POISON, pgoff, npages, call);
	if (r != 0)
		wrong("pages could not be poisoned", t->poison, NULL);
}

bool do_death(struct thread *t, bool near_end)
{
	struct folio *mine = NULL;
	uint64_t asked = now();
	if (!near_end && pgmap_request_folio(pgmap, 300, 0, &mine) != 0)
		return false;
	struct event *hold = mine ? new_event(t, TAKEN, 300, 1, asked) : NULL;
	uint64_t call = now();
	pgmap_kill(pgmap);
	struct event *e = new_event(t, DYING, 0, UINT64_MAX, call);
	call = now();
	bool dead = pgmap_drain(pgmap, pgmap_deadline_in(next_random(&t->seed) % 2)) == 0;
	if (dead) {
		new_event(t, DRAINED, 0, UINT64_MAX, call);
	} else {
		e->drop_call = now();
		int r = pgmap_revive(pgmap);
		dead = r != 0; /* the other drainer's */
		if (r != 0 && (mine || pgmap_state(pgmap) != PGMAP_DEAD))
			wrong("a revive after a drain that timed out failed", e, NULL);
		e->drop_ret = dead ? UINT64_MAX : now();
		e->drop_call = dead ? UINT64_MAX : e->drop_call;
	}
	if (hold) {
		t->taken++;
		drop(mine, hold);
	}
	return dead;
}

void do_drain(struct thread *t)
{
	uint64_t call = now();
	int r = pgmap_drain(pgmap, pgmap_deadline_in(next_random(&t->seed) % 2));
	if (r == 0)
		(void)new_event(t, DRAINED, 0, UINT64_MAX, call);
	else if (r != -EINVAL && r != -ETIMEDOUT && r != -ECANCELED)
		wrong("a drain answered with an error that it should not", &(struct event){.call = call}, NULL);
}
