/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stack_util.h - what the tests of stacks share: devices on plain memory, and a holder that writes down what it is told.
 */
#ifndef PGMAP_TESTS_STACK_UTIL_H
#define PGMAP_TESTS_STACK_UTIL_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pgmap/dax.h>
#include <pgmap/folio.h>

enum { PAGE = 4096 };

/* A device of its own memory: page p of it begins with the device's number and p. */
struct bottom {
	struct dax_device *dax;
	char *bytes;
	uint64_t pages;
	int populates, discards, flushes, clears;
	uint64_t offset, len; /* of the last of them */
	int answer;           /* to all of them */
};

static int bottom_note(struct bottom *bottom, int *count, uint64_t offset, uint64_t len)
{
	++*count;
	bottom->offset = offset;
	bottom->len = len;
	return bottom->answer;
}

static int bottom_populate(void *ctx, uint64_t offset, uint64_t len)
{
	struct bottom *bottom = ctx;
	return bottom_note(bottom, &bottom->populates, offset, len);
}

static int bottom_discard(void *ctx, uint64_t offset, uint64_t len)
{
	struct bottom *bottom = ctx;
	memset(bottom->bytes + offset, 0, len);
	return bottom_note(bottom, &bottom->discards, offset, len);
}

static int bottom_flush(void *ctx, uint64_t offset, uint64_t len)
{
	struct bottom *bottom = ctx;
	return bottom_note(bottom, &bottom->flushes, offset, len);
}

static int bottom_clear(void *ctx, uint64_t offset, uint64_t len)
{
	struct bottom *bottom = ctx;
	return bottom_note(bottom, &bottom->clears, offset, len);
}

static const struct dax_device_ops bottom_ops = {
	.ops_bytes = sizeof(bottom_ops),
	.populate = bottom_populate,
	.discard = bottom_discard,
	.flush = bottom_flush,
	.clear_poison = bottom_clear,
};

/* A device that begins so many pages into its memory. */
static inline void bottom_open_at(struct bottom *bottom, uint64_t start_pages, uint64_t pages, unsigned granule_order)
{
	*bottom = (struct bottom){.pages = pages};
	bottom->bytes = aligned_alloc(PAGE, (start_pages + pages) * PAGE);
	assert_non_null(bottom->bytes);
	memset(bottom->bytes, 0, (start_pages + pages) * PAGE);
	const struct dax_params params = {
		.params_bytes = sizeof(params),
		.type = PGMAP_FSDAX,
		.start_bytes = start_pages * PAGE,
		.len_bytes = pages * PAGE,
		.addr = bottom->bytes,
		.fd = -1,
		.granule_order = granule_order,
		.ops = &bottom_ops,
		.ctx = bottom,
		.name = "bottom",
	};
	assert_int_equal(dax_create(&params, &bottom->dax), 0);
}

static inline void bottom_open(struct bottom *bottom, uint64_t pages, unsigned granule_order)
{
	bottom_open_at(bottom, 0, pages, granule_order);
}

static inline void bottom_close(struct bottom *bottom)
{
	assert_int_equal(dax_destroy(bottom->dax), 0);
	free(bottom->bytes);
}

/* What a holder was told: pages, one by one. */
enum { HOLDER_PAGES = 1024 };
struct holder {
	uint8_t dead[HOLDER_PAGES], poisoned[HOLDER_PAGES];
	unsigned freed[HOLDER_PAGES];
	int calls;
	int answer; /* of folio_free */
};

static inline void holder_failed(void *arg, enum dax_failure what, uint64_t pgoff, uint64_t npages)
{
	struct holder *holder = arg;
	holder->calls++;
	assert_true(npages > 0 && pgoff + npages <= HOLDER_PAGES);
	memset((what == DAX_FAILURE_DEAD ? holder->dead : holder->poisoned) + pgoff, 1, npages);
}

static inline int holder_freed(void *arg, uint64_t pgoff, uint64_t npages)
{
	struct holder *holder = arg;
	assert_true(npages > 0 && pgoff + npages <= HOLDER_PAGES);
	for (uint64_t i = 0; i < npages; i++)
		holder->freed[pgoff + i]++;
	return holder->answer;
}

static const struct dax_holder_ops holder_ops = {sizeof(holder_ops), holder_failed, holder_freed};

static inline int count_pages(const uint8_t *pages, uint64_t from, uint64_t n)
{
	int count = 0;
	for (uint64_t i = 0; i < n; i++)
		count += pages[from + i];
	return count;
}

/* Whether exactly the pages of [from, from + n) are marked. */
static inline int only_pages(const uint8_t *pages, uint64_t from, uint64_t n)
{
	return count_pages(pages, 0, HOLDER_PAGES) == (int)n && count_pages(pages, from, n) == (int)n;
}

/* A page of a device is on this page of the bottom, and so many with it. */
static inline void assert_lies(struct dax_device *dax, uint64_t pgoff, int64_t want, const struct bottom *bottom,
			       uint64_t page, int64_t npages)
{
	struct dax_span span, whole;
	assert_int_equal(dax_direct_access(bottom->dax, 0, 1, &whole), 1);
	assert_int_equal(dax_direct_access(dax, pgoff, want, &span), npages);
	assert_int_equal(span.npages, npages);
	assert_ptr_equal(span.pgmap, dax_pgmap(bottom->dax));
	assert_int_equal(span.pgmap_pgoff, whole.pgmap_pgoff + page);
	assert_ptr_equal(span.addr, (char *)whole.addr + page * PAGE);
	assert_int_equal(span.fd_offset_bytes, whole.fd_offset_bytes + page * PAGE);
}

/* Put a folio of this device's pages, requested where they lie. */
static inline void touch_page(struct dax_device *dax, uint64_t pgoff)
{
	struct dax_span span;
	struct folio *folio;
	assert_int_equal(dax_direct_access(dax, pgoff, 1, &span), 1);
	assert_int_equal(pgmap_request_folio(span.pgmap, span.pgmap_pgoff, 0, &folio), 0);
	folio_put(folio);
}

#endif
