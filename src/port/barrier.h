/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * barrier.h - the asymmetric pair of barriers that core/live.h asks for, and the pause of core/claim.h: include it before.
 *
 * port_light() is a compiler barrier, paid by every request and put; port_heavy(), paid by a drain, makes every thread
 * of the process pass a full barrier (membarrier(2), PRIVATE_EXPEDITED). Where the system has no membarrier, the light
 * one becomes a full fence. port_fence() is a full fence between this thread and others that use it.
 */
#ifndef PGMAP_PORT_BARRIER_H
#define PGMAP_PORT_BARRIER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "port/compiler.h"

extern bool port_no_membarrier;

/* Before the first light barrier that matters: registers the process. */
void port_barrier_init(void);
void port_heavy(void);
void port_fence(void);

static inline void port_light(void)
{
	if (unlikely(port_no_membarrier))
		port_fence();
	atomic_signal_fence(memory_order_seq_cst);
}

/* Between two looks at a word that somebody else is about to change. */
static inline void port_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__asm__ volatile("pause");
#elif defined(__aarch64__)
	__asm__ volatile("isb");
#endif
}

#define CLAIM_RELAX() port_relax()
#define LIVE_LIGHT()  port_light()
#define LIVE_HEAVY()  port_heavy()
#define LIVE_FENCE()  port_fence()

#endif
