/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slot.h - a small number for each thread, its own while it lives: which counter it may add to without an atomic.
 *
 * port_slot() is 0 to PORT_SLOTS - 1, held by no other living thread, or PORT_SLOTS when there are more threads than
 * that: then the number is shared, and atomics are needed. What the previous holder of a number did happens before the
 * next one gets it. Not async-signal-safe.
 */
#ifndef PGMAP_PORT_SLOT_H
#define PGMAP_PORT_SLOT_H

#include "port/compiler.h"

enum { PORT_SLOTS = 63 };

extern _Thread_local unsigned port_slot_plus_one __attribute__((tls_model("initial-exec")));

unsigned port_slot_take(void);

static inline unsigned port_slot(void)
{
	unsigned slot = port_slot_plus_one;
	return likely(slot != 0) ? slot - 1 : port_slot_take();
}

#endif
