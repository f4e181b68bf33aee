/* SPDX-License-Identifier: BSD-3-Clause */
#include "port/slot.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

_Thread_local unsigned port_slot_plus_one;

static _Atomic uint64_t slots_free = (UINT64_C(1) << PORT_SLOTS) - 1;
static pthread_key_t slot_key;
static pthread_once_t slot_once = PTHREAD_ONCE_INIT;

/* At the thread's end. Calls from later destructors take a number anew; the key's value then brings us here again. */
static void slot_give(void *value)
{
	unsigned slot = (unsigned)(uintptr_t)value - 1;
	port_slot_plus_one = 0;
	if (slot < PORT_SLOTS)
		atomic_fetch_or_explicit(&slots_free, UINT64_C(1) << slot, memory_order_release); /* pairs with take */
}

static void slot_init(void)
{
	if (pthread_key_create(&slot_key, slot_give) != 0)
		atomic_store(&slots_free, 0); /* numbers could not be given back: all threads share */
}

unsigned port_slot_take(void)
{
	pthread_once(&slot_once, slot_init);
	uint64_t free = atomic_load_explicit(&slots_free, memory_order_relaxed);
	unsigned slot;
	do {
		if (free == 0)
			return PORT_SLOTS; /* not remembered: there may be one the next time */
		slot = (unsigned)__builtin_ctzll(free);
	} while (!atomic_compare_exchange_weak_explicit(&slots_free, &free, free & ~(UINT64_C(1) << slot),
							memory_order_acquire, memory_order_relaxed));
	if (pthread_setspecific(slot_key, (void *)(uintptr_t)(slot + 1)) != 0) {
		atomic_fetch_or_explicit(&slots_free, UINT64_C(1) << slot, memory_order_release);
		return PORT_SLOTS;
	}
	port_slot_plus_one = slot + 1;
	return slot;
}
