/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * io.c - what is done with pages and bytes of a device: memory behind them and its return, zeros, copies in and out, writes
 * over bad pages. Each call checks what it was given, and hands it to the kind of device, inside the gate of the device that
 * was asked (device.h).
 */
#include <errno.h>

#include "dax/device.h"
#include "port/compiler.h"

static int check_pages(const struct dax_device *dax, uint64_t pgoff, uint64_t npages)
{
	if (!dax || !npages)
		return -EINVAL;
	return pgoff >= dax->npages || npages > dax->npages - pgoff ? -ERANGE : 0;
}

static int check_bytes(const struct dax_device *dax, uint64_t offset_bytes, const void *buf, uint64_t len_bytes)
{
	if (!dax || !buf || !len_bytes)
		return -EINVAL;
	uint64_t size_bytes = dax->npages << PGMAP_PAGE_SHIFT;
	return offset_bytes >= size_bytes || len_bytes > size_bytes - offset_bytes ? -ERANGE : 0;
}

static int64_t run(struct dax_device *dax, const struct io *io)
{
	unsigned slot;
	if (!gate_enter(&dax->access, &slot))
		return -ENXIO;
	int64_t n = device_io(dax, io);
	gate_leave(&dax->access, slot);
	return n;
}

/* What is done to a dead device, too. */
static int64_t run_aside(struct dax_device *dax, const struct io *io)
{
	unsigned aside;
	(void)gate_enter(&dax->aside, &aside); /* never shut */
	int64_t n = device_io(dax, io);
	gate_leave(&dax->aside, aside);
	return n;
}

static struct io pages_io(enum io_kind kind, uint64_t pgoff, uint64_t npages)
{
	return (struct io){
		.kind = kind,
		.offset_bytes = pgoff << PGMAP_PAGE_SHIFT,
		.len_bytes = npages << PGMAP_PAGE_SHIFT,
	};
}

/* 0, or -errno: all of it was done. */
static int all_or_error(int64_t n)
{
	return n < 0 ? (int)n : 0;
}

PGMAP_PUBLIC int dax_populate(struct dax_device *dax, uint64_t pgoff, uint64_t npages)
{
	const struct io io = pages_io(IO_POPULATE, pgoff, npages);
	int err = check_pages(dax, pgoff, npages);
	return err ? err : all_or_error(run(dax, &io));
}

PGMAP_PUBLIC int dax_discard(struct dax_device *dax, uint64_t pgoff, uint64_t npages)
{
	const struct io io = pages_io(IO_DISCARD, pgoff, npages);
	int err = check_pages(dax, pgoff, npages);
	return err ? err : all_or_error(run_aside(dax, &io));
}

PGMAP_PUBLIC int dax_zero_range(struct dax_device *dax, uint64_t pgoff, uint64_t npages)
{
	const struct io io = pages_io(IO_ZERO, pgoff, npages);
	int err = check_pages(dax, pgoff, npages);
	return err ? err : all_or_error(run(dax, &io));
}

struct bad_pages {
	uint64_t from, end, n;
};

static int count_bad(uint64_t pgoff, uint64_t npages, void *arg)
{
	struct bad_pages *bad = arg;
	uint64_t from = pgoff > bad->from ? pgoff : bad->from;
	uint64_t end = pgoff + npages < bad->end ? pgoff + npages : bad->end;
	bad->n += from < end ? end - from : 0;
	return 0;
}

PGMAP_PUBLIC int64_t dax_verify(struct dax_device *dax, uint64_t pgoff, uint64_t npages)
{
	const struct io io = pages_io(IO_VERIFY, pgoff, npages);
	struct bad_pages bad = {pgoff, pgoff + npages, 0};
	int err = check_pages(dax, pgoff, npages);
	if (!err)
		err = all_or_error(run(dax, &io));
	if (!err)
		err = dax_for_each_poisoned(dax, count_bad, &bad);
	return err ? err : (int64_t)bad.n;
}

static int64_t copy(struct dax_device *dax, enum io_kind kind, uint64_t offset_bytes, const void *buf,
		    uint64_t len_bytes)
{
	const struct io io = {
		.kind = kind,
		.offset_bytes = offset_bytes,
		.len_bytes = len_bytes,
		.buf = (char *)(uintptr_t)buf, /* written by IO_READ only */
	};
	int err = check_bytes(dax, offset_bytes, buf, len_bytes);
	return err ? err : run(dax, &io);
}

PGMAP_PUBLIC int64_t dax_copy_from(struct dax_device *dax, uint64_t offset_bytes, void *buf, uint64_t len_bytes)
{
	return copy(dax, IO_READ, offset_bytes, buf, len_bytes);
}

PGMAP_PUBLIC int64_t dax_copy_to(struct dax_device *dax, uint64_t offset_bytes, const void *buf, uint64_t len_bytes)
{
	return copy(dax, IO_WRITE, offset_bytes, buf, len_bytes);
}

PGMAP_PUBLIC int64_t dax_recovery_write(struct dax_device *dax, uint64_t offset_bytes, const void *buf,
					uint64_t len_bytes)
{
	if (offset_bytes % PGMAP_PAGE_SIZE || len_bytes % PGMAP_PAGE_SIZE)
		return -EINVAL;
	return copy(dax, IO_RECOVER, offset_bytes, buf, len_bytes);
}

PGMAP_PUBLIC int dax_flush(struct dax_device *dax, uint64_t offset_bytes, uint64_t len_bytes)
{
	const struct io io = {.kind = IO_FLUSH, .offset_bytes = offset_bytes, .len_bytes = len_bytes};
	int err = check_bytes(dax, offset_bytes, dax, len_bytes);
	return err ? err : all_or_error(run(dax, &io));
}
