/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stack_pool.h - what the tests of pools on stacks share: a pool on a few memories, and its files' bytes by their pieces.
 */
#ifndef PGMAP_TESTS_STACK_POOL_H
#define PGMAP_TESTS_STACK_POOL_H

#include <errno.h>
#include <stdlib.h>

#include "fs/fs.h"

#include "pool.h"

enum { MEMORIES = 3 };

struct stack_pool {
	struct dev *dev[MEMORIES];
	char *mem[MEMORIES];
	struct dax_device *memory[MEMORIES];
	struct dax_device *dax, *inner; /* inner: a stack below the stack, or null */
	struct fsdax *fs;
};

/* Memory i is so many pages longer than the first, and begins `shift` pages into its file. */
static inline void memory_open(struct stack_pool *pool, int i, uint64_t pages, uint64_t shift, unsigned granule_order)
{
	char spec[64], why[DEV_WHY_MAX];
	uint64_t bytes = (pages + shift) * PAGE;
	(void)snprintf(spec, sizeof(spec), "memfd:size=%llu,page=4K", (unsigned long long)bytes);
	assert_int_equal(dev_open(spec, &pool->dev[i], why), 0);
	pool->mem[i] = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, pool->dev[i]->fd, 0);
	assert_ptr_not_equal(pool->mem[i], MAP_FAILED);
	const struct dax_params params = {
		.params_bytes = sizeof(params),
		.type = PGMAP_FSDAX,
		.start_bytes = shift * PAGE,
		.len_bytes = pages * PAGE,
		.addr = pool->mem[i],
		.fd = pool->dev[i]->fd,
		.granule_order = granule_order,
		.ops = pool->dev[i]->ops,
		.ctx = pool->dev[i],
		.name = "memory",
	};
	assert_int_equal(dax_create(&params, &pool->memory[i]), 0);
}

/* chunk 0: linear. */
static inline struct dax_device *stack_of(struct dax_device *const *lower, size_t n, uint64_t chunk)
{
	struct dax_part parts[MEMORIES];
	struct dax_device *dax = NULL;
	for (size_t i = 0; i < n; i++)
		parts[i] = (struct dax_part){lower[i], 0, 0};
	assert_int_equal(
		chunk ? dax_create_stripe(parts, n, chunk, NULL, &dax) : dax_create_linear(parts, n, NULL, &dax), 0);
	return dax;
}

enum stack_shape {
	LINEAR,
	LINEAR_SHIFTED,
	LINEAR_NEXT,
	STRIPE_64,
	STRIPE_2M,
	STRIPE_6,
	MIXED_GRANULES,
	LINEAR_OF_STRIPE,
	SHAPES
};

static inline void stack_open(struct stack_pool *pool, enum stack_shape shape, fsdax_gone_fn *gone)
{
	/* LINEAR_NEXT: each begins at the number that comes next after the one before it. */
	static const uint64_t shifts[SHAPES] = {[LINEAR_SHIFTED] = 7, [LINEAR_NEXT] = 2048};
	*pool = (struct stack_pool){0};
	uint64_t pages = shape == STRIPE_6 ? 2046 : 2048;
	for (int i = 0; i < MEMORIES; i++)
		memory_open(pool, i, pages, shifts[shape] * (uint64_t)i, shape == MIXED_GRANULES ? (unsigned)i * 2 : 0);
	if (shape == LINEAR_OF_STRIPE) {
		pool->inner = stack_of(pool->memory, 2, 16);
		pool->dax = stack_of((struct dax_device *[]){pool->inner, pool->memory[2]}, 2, 0);
	} else {
		static const uint64_t chunks[SHAPES] = {[STRIPE_64] = 64, [STRIPE_2M] = 512, [STRIPE_6] = 6};
		pool->dax = stack_of(pool->memory, MEMORIES, chunks[shape]);
	}
	assert_int_equal(fsdax_create(pool->dax, gone, &pool->fs), 0);
}

static inline void stack_close(struct stack_pool *pool)
{
	assert_int_equal(fsdax_destroy(pool->fs), 0);
	assert_int_equal(dax_destroy(pool->dax), 0);
	assert_int_equal(dax_destroy(pool->inner), 0);
	for (int i = 0; i < MEMORIES; i++) {
		uint64_t bytes = pool->dev[i]->size_bytes;
		assert_int_equal(dax_destroy(pool->memory[i]), 0);
		assert_int_equal(munmap(pool->mem[i], bytes), 0);
		dev_close(pool->dev[i]);
	}
}

static inline struct fsdax_statfs stack_statfs(struct stack_pool *pool)
{
	struct fsdax_statfs st;
	uint64_t blocks = 0;
	fsdax_statfs(pool->fs, &st);
	assert_true(st.used + st.free + st.waiting == st.pages);
	assert_true(st.clean + st.dirty + st.absent == st.free);
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++)
		blocks += st.free_by_order[order] << order;
	assert_true(blocks == st.free);
	return st;
}

/* Where a piece lies here, by its address and by its descriptor, which are the same bytes. */
static inline char *stack_piece(const struct stack_pool *pool, const struct fsdax_map *map, uint64_t i, uint64_t *len)
{
	struct dax_span span;
	struct fsdax_piece piece;
	int which = 0;
	fsdax_map_piece(map, i, &piece);
	fsdax_map_where(map, i, &span);
	assert_int_equal(span.npages * PAGE, piece.len_bytes);
	assert_int_equal(span.fd_offset_bytes, piece.device_offset_bytes);
	while (which < MEMORIES && pool->dev[which]->fd != span.fd)
		which++;
	assert_true(which < MEMORIES);
	assert_ptr_equal(span.addr, pool->mem[which] + span.fd_offset_bytes);
	assert_ptr_equal(span.pgmap, dax_pgmap(pool->memory[which]));
	*len = piece.len_bytes;
	return span.addr;
}

/* Byte `at` of a file is this, before it is overwritten. */
static inline char byte_of(uint64_t seed, uint64_t at)
{
	return (char)((at / 64 * 11 + seed * 37) | 1);
}

static inline void stack_fill(const struct stack_pool *pool, const struct fsdax_map *map, uint64_t seed)
{
	for (uint64_t i = 0, len; i < fsdax_map_npieces(map); i++) {
		struct fsdax_piece piece;
		char *at = stack_piece(pool, map, i, &len);
		fsdax_map_piece(map, i, &piece);
		for (uint64_t b = 0; b < len; b += 64)
			at[b] = byte_of(seed, piece.file_offset_bytes + b);
	}
}

/* seed 0: zeros. */
static inline void stack_check(const struct stack_pool *pool, const struct fsdax_map *map, uint64_t seed)
{
	for (uint64_t i = 0, len; i < fsdax_map_npieces(map); i++) {
		struct fsdax_piece piece;
		const char *at = stack_piece(pool, map, i, &len);
		fsdax_map_piece(map, i, &piece);
		if (!seed)
			assert_true(is_all(at, len, 0));
		for (uint64_t b = 0; seed && b < len; b += 64)
			assert_int_equal(at[b], byte_of(seed, piece.file_offset_bytes + b));
	}
}

static inline struct fsdax_file *stack_file(struct stack_pool *pool, const char *path, uint64_t pages)
{
	struct fsdax_file *file;
	assert_int_equal(fsdax_open(pool->fs, path, FSDAX_CREATE, &file), 0);
	assert_int_equal(fsdax_truncate(file, pages * PAGE), 0);
	return file;
}

#endif
