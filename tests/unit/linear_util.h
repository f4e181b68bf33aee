/* SPDX-License-Identifier: BSD-3-Clause */
/* linear_util.h - what the tests of linear stacks share: three devices, and a stack on parts of them. */
#ifndef PGMAP_TESTS_LINEAR_UTIL_H
#define PGMAP_TESTS_LINEAR_UTIL_H

#include "stack_util.h"

static struct bottom a, b, c;

static inline int open_all(void **state)
{
	(void)state;
	bottom_open(&a, 64, 0);
	bottom_open(&b, 32, 0);
	bottom_open_at(&c, 3, 64, 0);
	return 0;
}

static inline int close_all(void **state)
{
	(void)state;
	bottom_close(&a);
	bottom_close(&b);
	bottom_close(&c);
	return 0;
}

static inline struct dax_device *linear(const struct dax_part *parts, size_t n)
{
	struct dax_device *dax = NULL;
	assert_int_equal(dax_create_linear(parts, n, NULL, &dax), 0);
	return dax;
}

/* a[16..32), b whole, c[8..]. */
static inline struct dax_device *three(void)
{
	const struct dax_part parts[] = {{a.dax, 16, 16}, {b.dax, 0, 0}, {c.dax, 8, 0}};
	return linear(parts, 3);
}

#endif
