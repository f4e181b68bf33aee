/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peer.h - the workload of core.c's window for an allocator: PEER_WINDOW(handle, allocate, release) makes the batch and
 * round functions. Each peer is a program of its own, so that none stands in for another's malloc.
 */
#ifndef PGMAP_BENCH_PEER_H
#define PGMAP_BENCH_PEER_H

#include "subject.h"

#define PEER_WINDOW(handle_t, allocate, release)                                                                       \
	static handle_t window[WINDOW];                                                                                \
	static uint64_t count;                                                                                         \
	static void window_batch(uint64_t n)                                                                           \
	{                                                                                                              \
		static struct rng rng = RNG_SEED;                                                                      \
		for (uint64_t i = 0; i < n; i++) {                                                                     \
			uint64_t slot = rng_below(&rng, WINDOW);                                                       \
			handle_t fresh = allocate();                                                                   \
			release(window[slot]);                                                                         \
			window[slot] = fresh;                                                                          \
		}                                                                                                      \
	}                                                                                                              \
	static void window_start(void)                                                                                 \
	{                                                                                                              \
		for (uint64_t i = 0; i < WINDOW; i++)                                                                  \
			window[i] = allocate();                                                                        \
		count = subject_calibrate(window_batch);                                                               \
	}                                                                                                              \
	static double window_round(void)                                                                               \
	{                                                                                                              \
		uint64_t start = now_ns();                                                                             \
		window_batch(count);                                                                                   \
		return (double)(now_ns() - start) / (double)count;                                                     \
	}

#endif
