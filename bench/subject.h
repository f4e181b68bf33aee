/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * subject.h - one thing that is measured, as a process of its own: bench/run starts the subjects of a figure (ours, the
 * limit, the peers), and asks them for rounds by turns, A B A B, so that what disturbs the machine disturbs all of them.
 *
 * Protocol: a subject prepares itself and warms up, prints "ready" (or "error WHY", and ends), then answers every line
 * on stdin with one number: nanoseconds per operation, or bytes, or whatever the figure is in. It ends with its input.
 * A process of its own also keeps the peers' allocators from standing in for each other's malloc.
 *
 * Everything here is for the main thread.
 */
#ifndef PGMAP_BENCH_SUBJECT_H
#define PGMAP_BENCH_SUBJECT_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum { WINDOW = 1024 }; /* things alive at once, each for a random time */

struct subject {
	const char *name;
	const char *usage;                      /* of its arguments */
	void (*prepare)(int argc, char **argv); /* may be null; ends with subject_fail() where it cannot go on */
	double (*round)(void);
};

/* Runs the subject that argv[1] names, out of a table that ends with a null name. The answer is main()'s. */
int subject_main(int argc, char **argv, const struct subject *table);

/* "error WHY", and the end of the process. */
_Noreturn void subject_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The argument as a number, or the end of the process. */
uint64_t subject_number(int argc, char **argv, int index);

/* How many times to do what `batch` does count times, so that a round takes about 20 ms (2 ms with PGMAP_BENCH_QUICK). */
uint64_t subject_calibrate(void (*batch)(uint64_t count));

static inline uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* The same sequence for every subject (xorshift64). */
struct rng {
	uint64_t state;
};
#define RNG_SEED                                                                                                       \
	{                                                                                                              \
		UINT64_C(0x9e3779b97f4a7c15)                                                                           \
	}

static inline uint64_t rng_next(struct rng *rng)
{
	uint64_t x = rng->state;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	rng->state = x;
	return x;
}

/* A number below n (n at most 2^32), without a division. */
static inline uint64_t rng_below(struct rng *rng, uint64_t n)
{
	return (rng_next(rng) >> 32) * n >> 32;
}

/* Keeps the compiler from leaving work out. */
static inline void keep(const void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
}

#endif
