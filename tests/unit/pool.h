/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pool.h - what the tests of the file system share: a pool on shared memory that is mapped here, and checks of it.
 */
#ifndef PGMAP_TESTS_POOL_H
#define PGMAP_TESTS_POOL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include <pgmap/dax.h>
#include <pgmap/folio.h>
#include <pgmap/fsdax.h>

#include "dev/dev.h"

enum { KIB = 1024, MIB = 1024 * KIB, PAGE = 4096 };

/* One memory of a stack. */
struct pool_part {
	struct dev *dev;
	struct dax_device_ops ops;
	uint64_t bytes;
	char *mem;
	struct dax_device *dax;
};

enum { POOL_PARTS = 4 };
struct pool {
	struct dev *dev;
	struct dax_device_ops ops; /* the device's, for a test to wrap */
	char *mem;
	struct dax_device *dax;
	struct pgmap *pgmap;
	struct fsdax *fs;
	struct pool_part parts[POOL_PARTS]; /* of a stack, as the pool's devices are numbered */
	unsigned nparts;
};

/* granule_order may be larger than the device's own. */
static inline void pool_open(struct pool *pool, uint64_t bytes, unsigned granule_order, fsdax_gone_fn *gone)
{
	char spec[64], why[DEV_WHY_MAX];
	pool->nparts = 0;
	(void)snprintf(spec, sizeof(spec), "memfd:size=%llu,page=4K", (unsigned long long)bytes);
	assert_int_equal(dev_open(spec, &pool->dev, why), 0);
	pool->ops = *pool->dev->ops;
	pool->mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, pool->dev->fd, 0);
	assert_ptr_not_equal(pool->mem, MAP_FAILED);
	const struct dax_params params = {
		.params_bytes = sizeof(params),
		.type = PGMAP_FSDAX,
		.len_bytes = bytes,
		.addr = pool->mem,
		.fd = pool->dev->fd,
		.granule_order = granule_order,
		.ops = &pool->ops,
		.ctx = pool->dev,
		.name = "test",
	};
	assert_int_equal(dax_create(&params, &pool->dax), 0);
	pool->pgmap = dax_pgmap(pool->dax);
	assert_int_equal(fsdax_create(pool->dax, gone, &pool->fs), 0);
}

static inline void pool_close(struct pool *pool)
{
	uint64_t bytes = pool->dev->size_bytes;
	assert_int_equal(fsdax_destroy(pool->fs), 0);
	assert_int_equal(dax_destroy(pool->dax), 0);
	assert_int_equal(munmap(pool->mem, bytes), 0);
	dev_close(pool->dev);
}

/* The device begins so many pages into its memory, and has this granule. */
static inline void pool_part_open(struct pool_part *part, uint64_t bytes, uint64_t start_pages, unsigned granule_order)
{
	char spec[64], why[DEV_WHY_MAX];
	bytes += start_pages * PAGE;
	(void)snprintf(spec, sizeof(spec), "memfd:size=%llu,page=4K", (unsigned long long)bytes);
	assert_int_equal(dev_open(spec, &part->dev, why), 0);
	part->bytes = bytes;
	part->mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, part->dev->fd, 0);
	assert_ptr_not_equal(part->mem, MAP_FAILED);
	part->ops = *part->dev->ops;
	part->ops.clear_poison = NULL; /* what is bad stays so, unless a fault device says otherwise */
	const struct dax_params params = {
		.params_bytes = sizeof(params),
		.type = PGMAP_FSDAX,
		.start_bytes = start_pages * PAGE,
		.len_bytes = bytes - start_pages * PAGE,
		.addr = part->mem,
		.fd = part->dev->fd,
		.granule_order = granule_order,
		.ops = &part->ops,
		.ctx = part->dev,
		.name = "part",
	};
	assert_int_equal(dax_create(&params, &part->dax), 0);
}

/* Memories of these sizes, to 0, and no stack yet. */
static inline void pool_parts_open(struct pool *pool, const uint64_t sizes[])
{
	*pool = (struct pool){0};
	for (; sizes[pool->nparts]; pool->nparts++)
		pool_part_open(&pool->parts[pool->nparts], sizes[pool->nparts], 0, 0);
}

static inline void pool_parts_close(struct pool *pool)
{
	for (struct pool_part *part = pool->parts; part < pool->parts + pool->nparts; part++) {
		assert_int_equal(dax_destroy(part->dax), 0);
		assert_int_equal(munmap(part->mem, part->bytes), 0);
		dev_close(part->dev);
	}
}

/* A pool on a stack of memories of these sizes: one after the other, or in chunks of so many pages. */
static inline void pool_open_stack(struct pool *pool, const uint64_t sizes[], uint64_t chunk_pages, fsdax_gone_fn *gone)
{
	struct dax_part parts[POOL_PARTS] = {0};
	pool_parts_open(pool, sizes);
	for (unsigned i = 0; i < pool->nparts; i++)
		parts[i].dax = pool->parts[i].dax;
	int err = chunk_pages ? dax_create_stripe(parts, pool->nparts, chunk_pages, NULL, &pool->dax)
			      : dax_create_linear(parts, pool->nparts, NULL, &pool->dax);
	assert_int_equal(err, 0);
	assert_int_equal(fsdax_create(pool->dax, gone, &pool->fs), 0);
}

/* One after the other, of these granules: memories of 4 KiB pages, but nobody is to see that. */
static inline void pool_open_mixed(struct pool *pool, const uint64_t sizes[], const unsigned granules[],
				   fsdax_gone_fn *gone)
{
	struct dax_part parts[POOL_PARTS] = {0};
	*pool = (struct pool){0};
	for (unsigned i = 0; sizes[i]; i++) {
		pool_part_open(&pool->parts[i], sizes[i], 0, granules[i]);
		parts[i].dax = pool->parts[i].dax;
		pool->nparts++;
	}
	assert_int_equal(dax_create_linear(parts, pool->nparts, NULL, &pool->dax), 0);
	assert_int_equal(fsdax_create(pool->dax, gone, &pool->fs), 0);
}

/* A pool on the first n of such memories, one after the other; the others are for it to come. */
static inline void pool_open_first(struct pool *pool, const uint64_t sizes[], unsigned n, fsdax_gone_fn *gone)
{
	struct dax_part parts[POOL_PARTS] = {0};
	pool_parts_open(pool, sizes);
	for (unsigned i = 0; i < n; i++)
		parts[i].dax = pool->parts[i].dax;
	assert_int_equal(dax_create_linear(parts, n, NULL, &pool->dax), 0);
	assert_int_equal(fsdax_create(pool->dax, gone, &pool->fs), 0);
}

static inline void pool_close_stack(struct pool *pool)
{
	assert_int_equal(fsdax_destroy(pool->fs), 0);
	assert_int_equal(dax_destroy(pool->dax), 0);
	pool_parts_close(pool);
}

/* Held on all of its devices. */
static inline uint64_t pool_live_pages(const struct pool *pool)
{
	struct fsdax_device device;
	uint64_t pages = 0;
	for (unsigned i = 0; fsdax_device(pool->fs, i, &device) == 0; i++)
		pages += pgmap_live_pages(device.pgmap);
	return pages;
}

static inline struct fsdax_statfs pool_statfs(struct pool *pool)
{
	struct fsdax_statfs st;
	fsdax_statfs(pool->fs, &st);
	assert_true(st.used + st.free + st.waiting == st.pages);
	uint64_t blocks = 0;
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++)
		blocks += st.free_by_order[order] << order;
	assert_true(blocks == st.free);
	return st;
}

static inline void assert_space(struct pool *pool, uint64_t used, uint64_t waiting)
{
	struct fsdax_statfs st = pool_statfs(pool);
	assert_int_equal(st.used, used);
	assert_int_equal(st.waiting, waiting);
}

static inline struct fsdax_file *make_file(struct pool *pool, const char *path, uint64_t bytes)
{
	struct fsdax_file *file;
	assert_int_equal(fsdax_open(pool->fs, path, FSDAX_CREATE, &file), 0);
	assert_int_equal(fsdax_truncate(file, bytes), 0);
	return file;
}

static inline struct fsdax_stat stat_of(struct fsdax_file *file)
{
	struct fsdax_stat st;
	assert_int_equal(fsdax_stat_file(file, &st), 0);
	return st;
}

static inline struct fsdax_map *map_range(struct fsdax_file *file, uint64_t offset, uint64_t len,
					  struct pgmap_holder *holder)
{
	struct fsdax_map *map;
	assert_int_equal(fsdax_map(file, offset, len, holder, NULL, &map), 0);
	return map;
}

/* Where piece i of a mapping lies here. */
static inline char *piece_at(const struct pool *pool, const struct fsdax_map *map, uint64_t i, uint64_t *len)
{
	struct fsdax_piece piece;
	fsdax_map_piece(map, i, &piece);
	if (len)
		*len = piece.len_bytes;
	return (pool->nparts ? pool->parts[piece.device].mem : pool->mem) + piece.device_offset_bytes;
}

/* Byte by byte through the pieces. */
static inline void fill_map(const struct pool *pool, const struct fsdax_map *map, char byte)
{
	for (uint64_t i = 0, len; i < fsdax_map_npieces(map); i++) {
		char *p = piece_at(pool, map, i, &len);
		memset(p, byte, len);
	}
}

static inline int is_all(const char *p, uint64_t len, char byte)
{
	return len == 0 || (p[0] == byte && memcmp(p, p + 1, len - 1) == 0);
}

static inline int map_is_all(const struct pool *pool, const struct fsdax_map *map, char byte)
{
	for (uint64_t i = 0, len; i < fsdax_map_npieces(map); i++) {
		char *p = piece_at(pool, map, i, &len);
		if (!is_all(p, len, byte))
			return 0;
	}
	return 1;
}

#endif
