/* SPDX-License-Identifier: BSD-3-Clause */
/* leave_util.h - what the tests of devices that leave a pool share: a pool on two of three, and what of it is whose. */
#ifndef PGMAP_TESTS_LEAVE_UTIL_H
#define PGMAP_TESTS_LEAVE_UTIL_H

#include "pool.h"

enum { A = 300, B = 520, C = 77 };
static const uint64_t sizes[] = {(uint64_t)A * PAGE, (uint64_t)B *PAGE, (uint64_t)C *PAGE, 0};
static struct pool pool;
static struct fsdax_owned owned;

static inline int open_two(void **state)
{
	(void)state;
	pool_open_first(&pool, sizes, 2, NULL);
	return 0;
}

static inline int close_it(void **state)
{
	(void)state;
	pool_close_stack(&pool);
	return 0;
}

/* All of the pool but what another file has. */
static inline struct fsdax_file *fill(const char *path)
{
	return make_file(&pool, path, pool_statfs(&pool).free * PAGE);
}

static inline void drop(const char *path, struct fsdax_file *file)
{
	fsdax_close(file);
	assert_int_equal(fsdax_unlink(pool.fs, path), 0);
}

static inline void assert_owned(uint64_t pages, uint64_t files, const char *path)
{
	assert_int_equal(owned.bytes, pages * PAGE);
	assert_int_equal(owned.files, files);
	assert_string_equal(owned.path, path);
}

static inline uint64_t held(unsigned index)
{
	uint64_t pages = UINT64_MAX;
	assert_int_equal(fsdax_leave_held(pool.fs, index, &pages), 0);
	return pages;
}

#endif
