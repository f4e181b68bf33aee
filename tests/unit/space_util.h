/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space_util.h - what the tests of a space's parts share: a space on a device of 4 KiB pages, with no file system above
 * it and no thread but the test's, and what its free pages are.
 */
#ifndef PGMAP_TESTS_SPACE_UTIL_H
#define PGMAP_TESTS_SPACE_UTIL_H

#include <errno.h>
#include <sys/stat.h>

#include "fs/space.h"

#include "pool.h"

struct space_test {
	struct dev *dev;
	struct dax_device_ops ops;
	struct dax_device *dax;
	struct space space;
	char *mem;
	uint64_t pages;
	_Atomic int discard_fails, populates_left; /* the wiper's thread calls, too */
	bool fails_half_way;                       /* populate, when it fails: half of it has memory */
};

static struct space_test t;
static int space_is_resident; /* the device of the next space_open(): dax_params.resident */

static int test_discard(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	return t.discard_fails ? -EIO : t.dev->ops->discard(ctx, offset_bytes, len_bytes);
}

static int test_populate(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	bool fails = t.populates_left-- <= 0;
	if (fails && !t.fails_half_way)
		return -ENOSPC;
	int err = t.dev->ops->populate(ctx, offset_bytes, fails ? len_bytes / 2 / PAGE * PAGE : len_bytes);
	return fails ? -ENOSPC : err;
}

static int test_folio_freed(void *holder, uint64_t pgoff, uint64_t npages)
{
	space_folio_free(holder, t.space.base + pgoff, npages);
	return PGMAP_FREE_IDLE;
}

static const struct dax_holder_ops test_holder_ops = {
	.ops_bytes = sizeof(test_holder_ops),
	.folio_free = test_folio_freed,
};

/* mapped: as a pool's device is; else the device has no address here. */
static inline void space_open(uint64_t pages, bool mapped)
{
	char why[DEV_WHY_MAX], spec[64];
	t = (struct space_test){.pages = pages, .populates_left = 1000000};
	(void)snprintf(spec, sizeof(spec), "memfd:size=%lluK,page=4K", (unsigned long long)pages * 4);
	assert_int_equal(dev_open(spec, &t.dev, why), 0);
	t.ops = *t.dev->ops;
	t.ops.discard = test_discard;
	t.ops.populate = test_populate;
	t.mem = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, t.dev->fd, 0);
	assert_ptr_not_equal(t.mem, MAP_FAILED);
	const struct dax_params params = {
		.params_bytes = sizeof(params),
		.type = PGMAP_FSDAX,
		.len_bytes = pages * PAGE,
		.addr = mapped ? t.mem : NULL,
		.fd = t.dev->fd,
		.ops = &t.ops,
		.ctx = t.dev,
		.name = "space",
		.resident = space_is_resident,
	};
	assert_int_equal(dax_create(&params, &t.dax), 0);
	assert_int_equal(space_init(&t.space, t.dax), 0);
	assert_int_equal(dax_hold(t.dax, &t.space, &test_holder_ops), 0);
}

static inline void space_close(void)
{
	assert_int_equal(dax_release(t.dax, &t.space), 0);
	space_exit(&t.space);
	assert_int_equal(dax_destroy(t.dax), 0);
	assert_int_equal(munmap(t.mem, t.pages * PAGE), 0);
	dev_close(t.dev);
}

static inline struct fsdax_statfs space_now(void)
{
	struct fsdax_statfs st = {0};
	space_statfs(&t.space, &st);
	assert_true(st.used + st.free + st.waiting == st.pages);
	assert_true(st.clean + st.dirty <= st.free && st.clean + st.dirty + st.absent == st.free);
	return st;
}

static inline void assert_free(uint64_t clean, uint64_t dirty, uint64_t absent)
{
	struct fsdax_statfs st = space_now();
	assert_int_equal(st.clean, clean);
	assert_int_equal(st.dirty, dirty);
	assert_int_equal(st.absent, absent);
}

/* Pages of the device that have memory. */
static inline uint64_t pages_with_memory(void)
{
	struct stat st;
	assert_int_equal(fstat(t.dev->fd, &st), 0);
	return (uint64_t)st.st_blocks / 8;
}

static inline char *bytes_of(const struct block *block)
{
	return t.mem + (block->off - t.space.base) * PAGE;
}

/* A file's pages, all of which must read as zero, filled with this byte. */
static inline void take_and_fill(uint64_t npages, char byte, struct block_list *out)
{
	struct block *block;
	STAILQ_INIT(out);
	assert_int_equal(space_alloc(&t.space, 0, npages, PGMAP_MAX_ORDER, out), 0);
	STAILQ_FOREACH (block, out, list) {
		assert_true(is_all(bytes_of(block), block_pages(block) * PAGE, 0));
		memset(bytes_of(block), byte, block_pages(block) * PAGE);
	}
}

static inline uint64_t first_page(const struct block_list *blocks)
{
	return STAILQ_FIRST(blocks)->off - t.space.base;
}

#endif
