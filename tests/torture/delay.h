/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * delay.h - included before all else (-include) in a build of the core for the torture: before each atomic operation a
 * thread may lose time or the processor, so that few processors show many interleavings; and before each lock. The code under
 * test is the real one; only the C11 macros, and the lock's name, have been put behind a delay. For gcc.
 */
#ifndef TORTURE_DELAY_H
#define TORTURE_DELAY_H

#include <pthread.h>
#include <stdatomic.h>

void torture_delay(void);
int torture_lock(pthread_mutex_t *mutex); /* pthread_mutex_lock(), with a delay before it */

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit

#define atomic_load_explicit(p, o)         (torture_delay(), __atomic_load_n((p), (o)))
#define atomic_store_explicit(p, v, o)     (torture_delay(), __atomic_store_n((p), (v), (o)))
#define atomic_fetch_add_explicit(p, v, o) (torture_delay(), __atomic_fetch_add((p), (v), (o)))
#define atomic_fetch_sub_explicit(p, v, o) (torture_delay(), __atomic_fetch_sub((p), (v), (o)))
#define atomic_fetch_or_explicit(p, v, o)  (torture_delay(), __atomic_fetch_or((p), (v), (o)))
#define atomic_fetch_and_explicit(p, v, o) (torture_delay(), __atomic_fetch_and((p), (v), (o)))
#define atomic_compare_exchange_strong_explicit(p, e, v, s, f)                                                         \
	(torture_delay(), __atomic_compare_exchange_n((p), (e), (v), 0, (s), (f)))
#define atomic_compare_exchange_weak_explicit(p, e, v, s, f)                                                           \
	(torture_delay(), __atomic_compare_exchange_n((p), (e), (v), 1, (s), (f)))

#define pthread_mutex_lock(m) torture_lock(m)

#endif
