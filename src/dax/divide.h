/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * divide.h - division by a number that stays the same, without a division: a shift for its powers of two, and a
 * multiplication by its inverse for the rest.
 *
 * Right because: let d be the odd part, and inverse = floor(2^64 / d) + 1 = (2^64 + e) / d with 0 < e <= d. For x below 2^48,
 * x * inverse / 2^64 = x / d + x * e / (d * 2^64). The second term is below 1 / d as long as x * e < 2^64, so it cannot
 * carry the first, whose fraction is at most (d - 1) / d, over the next whole number. e <= d <= 2^16 is enough. A bigger odd
 * part is divided by. Thread safety: it does not change once made.
 */
#ifndef PGMAP_DAX_DIVIDE_H
#define PGMAP_DAX_DIVIDE_H

#include <stdint.h>

__extension__ typedef unsigned __int128 divide_wide;

struct divisor {
	uint64_t value;
	uint64_t inverse; /* 0: a power of two */
	unsigned shift;
};

static inline struct divisor divisor_of(uint64_t value)
{
	unsigned shift = (unsigned)__builtin_ctzll(value);
	uint64_t odd = value >> shift;
	return (struct divisor){value, odd == 1 ? 0 : UINT64_MAX / odd + 1, shift};
}

/* x / d, for x below 2^48. */
static inline uint64_t divide(uint64_t x, const struct divisor *d)
{
	if (!d->inverse)
		return x >> d->shift;
	if (d->value >> d->shift > UINT64_C(1) << 16)
		return x / d->value;
	return (uint64_t)(((divide_wide)(x >> d->shift) * d->inverse) >> 64);
}

#endif
