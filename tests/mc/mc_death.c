/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mc_death.c - kill, revive and drain, step by step as pgmap.c has them, and what is checked in them: DEAD only when nothing is
 * held, and a drain's end comes after all releases. copies.py compares the steps with pgmap.c's.
 */
#include "mc_tree.h"

void tree_kill(void)
{
	live_kill(&g.live);
	g.killed = live_state_of(*(uint64_t *)&g.live.state) != LIVE_LIVE; /* no revive since */
	plain_write(CELL_KILLED);
}

void tree_revive(void)
{
	uint64_t found;
	if (!live_revive(&g.live, &found))
		return;
	g.killed = 0;
	for (unsigned t = 0; t < nthreads; t++)
		g.run[t].killed = 0;
	(void)atomic_fetch_add_explicit(&g.wake, 1, memory_order_seq_cst);
}

static void check_dead(void)
{
	if (g.held)
		fail("dead, and pages are held");
	for (unsigned p = 0; p < PAGES; p++)
		if (!plain_known(8 * p + CELL_RELEASED))
			fail("a race: a drain's end with a release");
}

/* pgmap_drain() */
void tree_drain(void)
{
	uint64_t entered = live_state(&g.live);
	if (live_state_of(entered) == LIVE_LIVE)
		return;
	LIVE_HEAVY();
	for (;;) {
		uint64_t wake = atomic_load_explicit(&g.wake, memory_order_seq_cst);
		uint64_t state = live_state(&g.live);
		if (state >> 2 != entered >> 2)
			return;
		if (live_state_of(state) == LIVE_DEAD) {
			check_dead();
			return;
		}
		int r = live_try_die(&g.live, state);
		if (r > 0) {
			g.dead = 1;
			check_dead();
			(void)atomic_fetch_add_explicit(&g.wake, 1, memory_order_seq_cst);
		}
		while (r == 0 && atomic_load_explicit(&g.wake, memory_order_seq_cst) == wake)
			;
	}
}
