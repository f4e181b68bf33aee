/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fault.c - a device over another that fails as it is told: bad pages that nobody knows of yet, accesses that take their
 * time, death after so many of them. See stack.h.
 *
 * Pages that are secretly bad stand in a pgmap's record of poison, as found ones do; this one has no other use. The access
 * that would be one too many kills the device in its own context: device_die() waits for nobody.
 *
 * Thread safety: every call from any thread; of accesses at the same time, exactly as many succeed as were left.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "dax/record.h"
#include "dax/stack.h"
#include "port/compiler.h"

struct fault {
	struct dax_device dax;
	struct pgmap *secret; /* pages of this device that are bad, and found out by touching them */
	_Atomic uint64_t delay_ns;
	_Atomic uint64_t left; /* accesses; UINT64_MAX: no end */
	atomic_bool keeps;     /* writing does not clear what is bad: unless the device below can */
};

static struct fault *fault_of(struct dax_device *dax)
{
	return (struct fault *)dax;
}

static void wait_ns(uint64_t ns)
{
	struct timespec rest = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
	while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
		;
}

/* One access more: 0, or it is one too many. */
static int count_access(struct fault *fault)
{
	uint64_t delay_ns = atomic_load_explicit(&fault->delay_ns, memory_order_relaxed);
	uint64_t left = atomic_load_explicit(&fault->left, memory_order_relaxed);
	if (delay_ns)
		wait_ns(delay_ns);
	while (left && left != UINT64_MAX) {
		if (atomic_compare_exchange_weak_explicit(&fault->left, &left, left - 1, memory_order_relaxed,
							  memory_order_relaxed))
			return 0;
	}
	if (left)
		return 0;
	device_die(&fault->dax);
	return -ENXIO;
}

static int64_t fault_direct_access(struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct dax_span *span)
{
	int err = count_access(fault_of(dax));
	return err ? err : stack_access_whole(dax, pgoff, npages, span);
}

/* What of it, by whole pages, comes before the pages that are secretly bad; these, which may be none. */
static uint64_t bytes_before_secret(const struct fault *fault, const struct io *io, uint64_t *from, uint64_t *npages)
{
	uint64_t end = (io->offset_bytes + io->len_bytes + PGMAP_PAGE_SIZE - 1) >> PGMAP_PAGE_SHIFT;
	*from = io->offset_bytes >> PGMAP_PAGE_SHIFT;
	*npages = 0;
	if (!record_find(fault->secret, from, &end))
		return io->len_bytes;
	*npages = end - *from;
	uint64_t bad_bytes = *from << PGMAP_PAGE_SHIFT;
	return bad_bytes > io->offset_bytes ? bad_bytes - io->offset_bytes : 0;
}

static int find_out(struct fault *fault, uint64_t pgoff, uint64_t npages)
{
	int err = dax_notify_failure(fault->dax.links[0].lower, DAX_FAILURE_POISON, pgoff, npages);
	return err ? err : pgmap_clear_poison(fault->secret, pgoff, npages);
}

static int find_out_all(struct fault *fault, const struct io *io)
{
	uint64_t from, npages;
	int err = 0;
	while (!err && bytes_before_secret(fault, io, &from, &npages) < io->len_bytes)
		err = find_out(fault, from, npages);
	return err;
}

/* It finds out what it comes to, and no more. */
static int64_t copy(struct fault *fault, const struct io *io)
{
	struct dax_device *lower = fault->dax.links[0].lower;
	uint64_t from, npages;
	struct io before = *io;
	before.len_bytes = bytes_before_secret(fault, io, &from, &npages);
	int64_t n = before.len_bytes ? device_io(lower, &before) : 0;
	if (n < 0 || (uint64_t)n < before.len_bytes || !npages)
		return n;
	int err = find_out(fault, from, npages);
	return n ? n : err ? err : device_io(lower, io); /* it knows now, and says what it says of such pages */
}

/* They are good again: written over whole, without having been touched. */
static int forget(const struct fault *fault, const struct io *io, uint64_t len_bytes)
{
	uint64_t npages = len_bytes >> PGMAP_PAGE_SHIFT;
	if (!npages || record_is_clean(fault->secret))
		return 0;
	return pgmap_clear_poison(fault->secret, io->offset_bytes >> PGMAP_PAGE_SHIFT, npages);
}

/* What is bad becomes good by that, unless this device, or another below, keeps it: then those below are asked. */
static int64_t write_over(struct fault *fault, const struct io *io, bool keeps)
{
	struct io down = *io;
	uint64_t done = 0;
	down.done_bytes = &done;
	down.may_clear = !keeps;
	int64_t n = device_io(fault->dax.links[0].lower, &down);
	int err = forget(fault, io, n > 0 ? (uint64_t)n : done);
	n = err && n > 0 ? err : n;
	return n < 0 ? io_fail(io, done, n) : n;
}

static int64_t fault_io(struct dax_device *dax, const struct io *io)
{
	struct fault *fault = fault_of(dax);
	bool keeps = atomic_load_explicit(&fault->keeps, memory_order_relaxed);
	int err = 0;
	if (io->kind != IO_DISCARD && io->kind != IO_POISON)
		err = count_access(fault);
	if (!err && (io->kind == IO_VERIFY || (keeps && (io->kind == IO_ZERO || io->kind == IO_RECOVER))))
		err = find_out_all(fault, io);
	if (err)
		return err;
	if (io->kind == IO_READ || io->kind == IO_WRITE)
		return copy(fault, io);
	if (io->kind == IO_ZERO || io->kind == IO_RECOVER)
		return write_over(fault, io, keeps);
	return device_io(dax->links[0].lower, io);
}

/* Null: there was no memory for it. */
static void end_record(struct pgmap *pgmap)
{
	if (!pgmap)
		return;
	(void)pgmap_kill(pgmap);
	(void)pgmap_drain(pgmap, 0);
	(void)pgmap_destroy(pgmap);
}

static int fault_end(struct dax_device *dax)
{
	end_record(fault_of(dax)->secret);
	return 0;
}

static const struct dax_ops fault_ops = {
	.direct_access = fault_direct_access,
	.io = fault_io,
	.end = fault_end,
	.locate = stack_locate_whole,
	.raise = stack_raise,
};

static int make_record(const struct dax_device *dax, struct pgmap **out)
{
	const struct pgmap_range range = {.len_bytes = dax_npages(dax) << PGMAP_PAGE_SHIFT};
	const struct pgmap_params params = {
		.params_bytes = sizeof(params),
		.type = PGMAP_GENERIC,
		.ranges = &range,
		.nranges = 1,
		.name = "fault",
	};
	return pgmap_create(&params, out);
}

PGMAP_PUBLIC int dax_create_fault(struct dax_device *lower, const char *name, struct dax_device **out)
{
	struct dax_device *dax;
	if (!lower || !out)
		return -EINVAL;
	int err = stack_make(sizeof(struct fault), &fault_ops, lower, name ? name : "fault", &dax);
	if (err)
		return err;
	err = make_record(dax, &fault_of(dax)->secret);
	if (err) {
		(void)dax_destroy(dax);
		return err;
	}
	atomic_init(&fault_of(dax)->left, UINT64_MAX);
	*out = dax;
	return 0;
}

static int check(const struct dax_device *dax)
{
	return dax && dax->ops == &fault_ops ? 0 : -EINVAL;
}

PGMAP_PUBLIC int dax_fault_poison(struct dax_device *dax, uint64_t pgoff, uint64_t npages)
{
	int err = check(dax);
	return err ? err : pgmap_poison(fault_of(dax)->secret, pgoff, npages);
}

PGMAP_PUBLIC int dax_fault_keep_poison(struct dax_device *dax, bool keep)
{
	int err = check(dax);
	if (!err)
		atomic_store_explicit(&fault_of(dax)->keeps, keep, memory_order_relaxed);
	return err;
}

PGMAP_PUBLIC int dax_fault_delay(struct dax_device *dax, uint64_t delay_ns)
{
	int err = check(dax);
	if (!err)
		atomic_store_explicit(&fault_of(dax)->delay_ns, delay_ns, memory_order_relaxed);
	return err;
}

PGMAP_PUBLIC int dax_fault_dead_after(struct dax_device *dax, uint64_t accesses)
{
	int err = check(dax);
	if (!err)
		atomic_store_explicit(&fault_of(dax)->left, accesses, memory_order_relaxed);
	return err;
}
