/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory.c - the device that lies directly on memory, and has a pgmap of its own. See memory.h, device.h.
 *
 * Its memory may lie in several pieces behind contiguous offsets. Each is a range of the pgmap, so that no folio lies on two; their
 * pgoffs follow on one another as the offsets do, so a page's pgoff is `first` more than its number, whichever piece it is in.
 *
 * Its bytes are touched under guard (port/guard.h): what the machine says has lost its data is recorded and told like anything
 * that somebody reports, and what is not there at all is an error of that call alone.
 *
 * Poison is recorded in the pgmap before the holder is told, so that who is told asks and sees it. Pages that are written to
 * be good again are first cleared by the device, then written, and good only then: nobody is given them before that. Who says of
 * such a page that it is bad while it is being written says it of what is written over; of any other it stays recorded.
 */
#include "dax/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <pgmap/folio.h>

#include "dax/caught.h"
#include "dax/layout.h"
#include "dax/params.h"
#include "dax/pieces.h"
#include "dax/record.h"
#include "port/compiler.h"
#include "port/guard.h"

struct memory_device {
	struct dax_device dax;
	struct dax_params params;
	struct pgmap *pgmap;  /* null: LIMITED */
	struct pgmap *record; /* the same, or one that nobody else knows */
	uint64_t first;       /* pgoff of page 0 in it */
	struct pieces pieces;
};

static const struct dax_ops memory_ops;

static struct memory_device *memory_of(const struct dax_device *dax)
{
	return (struct memory_device *)(uintptr_t)dax;
}

bool memory_is(const struct dax_device *dax)
{
	return dax->ops == &memory_ops;
}

uint64_t memory_first(const struct dax_device *dax)
{
	return memory_of(dax)->first;
}

struct pgmap *memory_record(const struct dax_device *dax)
{
	return memory_of(dax)->record;
}

static uint64_t piece_end(const struct memory_device *memory, uint64_t pgoff)
{
	return pieces_end(&memory->pieces, pgoff, memory->dax.npages);
}

/* The span of pages that are good, from here on. */
static int64_t cut_at_poison(const struct memory_device *memory, uint64_t pgoff, struct dax_span *span)
{
	uint64_t from = memory->first + pgoff, end = from + span->npages;
	if (!record_find(memory->record, &from, &end))
		return (int64_t)span->npages;
	span->npages = from - (memory->first + pgoff);
	return span->npages ? (int64_t)span->npages : -EHWPOISON;
}

void memory_span(const struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct dax_span *out)
{
	const struct memory_device *memory = memory_of(dax);
	uint64_t offset_bytes = memory->params.start_bytes + (pgoff << PGMAP_PAGE_SHIFT);
	*out = (struct dax_span){
		.pgmap = memory->pgmap,
		.pgmap_pgoff = memory->first + pgoff,
		.npages = dax->npages - pgoff < npages ? dax->npages - pgoff : npages,
		.addr = memory->params.addr ? (char *)memory->params.addr + offset_bytes : NULL,
		.fd = memory->params.fd,
		.fd_offset_bytes = offset_bytes,
		.resident = memory->params.resident,
	};
}

/* Apart from the way of those who meet none. */
__attribute__((noinline)) static int64_t access_among_bad(const struct dax_device *dax, uint64_t pgoff, uint64_t npages,
							  struct dax_span *span)
{
	struct dax_span all;
	memory_span(dax, pgoff, npages, &all);
	int64_t good = cut_at_poison(memory_of(dax), pgoff, &all);
	if (good < 0)
		return good;
	*span = all;
	return (int64_t)all.npages;
}

static int64_t memory_direct_access(struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct dax_span *span)
{
	uint64_t there = piece_end(memory_of(dax), pgoff) - pgoff;
	npages = npages < there ? npages : there;
	if (!record_is_clean(memory_of(dax)->record))
		return access_among_bad(dax, pgoff, npages, span);
	memory_span(dax, pgoff, npages, span);
	return (int64_t)span->npages;
}

static uint64_t first_page(const struct memory_device *memory, uint64_t offset_bytes)
{
	return memory->first + (offset_bytes >> PGMAP_PAGE_SHIFT);
}

static uint64_t end_page(const struct memory_device *memory, const struct io *io)
{
	return first_page(memory, io->offset_bytes + io->len_bytes + PGMAP_PAGE_SIZE - 1);
}

/* How many of its bytes lie before the first bad page. */
static uint64_t good_bytes(const struct memory_device *memory, const struct io *io)
{
	uint64_t from = first_page(memory, io->offset_bytes), end = end_page(memory, io);
	if (!record_find(memory->record, &from, &end))
		return io->len_bytes;
	uint64_t bad_bytes = (from - memory->first) << PGMAP_PAGE_SHIFT;
	return bad_bytes > io->offset_bytes ? bad_bytes - io->offset_bytes : 0;
}

static char *address(const struct memory_device *memory, const struct io *io)
{
	return memory->params.addr ? (char *)memory->params.addr + memory->params.start_bytes + io->offset_bytes : NULL;
}

typedef int mark_fn(struct pgmap *pgmap, uint64_t pgoff, uint64_t npages);

/* In the record, which takes pages of one range at a time. How many from the first on; fewer: *err says why. */
static uint64_t mark(const struct memory_device *memory, uint64_t pgoff, uint64_t npages, mark_fn *fn, int *err)
{
	uint64_t done = 0;
	for (*err = 0; done < npages;) {
		uint64_t there = piece_end(memory, pgoff + done) - (pgoff + done);
		uint64_t n = there < npages - done ? there : npages - done;
		*err = fn(memory->record, memory->first + pgoff + done, n);
		if (*err)
			break;
		done += n;
	}
	return done;
}

int memory_found_bad(struct dax_device *dax, uint64_t pgoff, uint64_t npages)
{
	int err;
	npages = mark(memory_of(dax), pgoff, npages, pgmap_poison, &err);
	if (npages)
		device_tell(dax, DAX_FAILURE_POISON, pgoff, npages);
	return err;
}

bool memory_find(const struct dax_device *dax, const char *addr, uint64_t len_bytes, uint64_t *pgoff, uint64_t *npages)
{
	const struct memory_device *memory = memory_of(dax);
	if (!memory->params.addr)
		return false;
	uintptr_t base = (uintptr_t)memory->params.addr + memory->params.start_bytes;
	uintptr_t from = (uintptr_t)addr, end = from + len_bytes;
	uintptr_t last = base + (dax->npages << PGMAP_PAGE_SHIFT);
	from = from > base ? from : base;
	end = end < last ? end : last;
	if (from >= end)
		return false;
	*pgoff = (from - base) >> PGMAP_PAGE_SHIFT;
	*npages = ((end - base + PGMAP_PAGE_SIZE - 1) >> PGMAP_PAGE_SHIFT) - *pgoff;
	return true;
}

/* What a guarded access met: memory errors are recorded, before anybody is told. -EIO, whatever it was. */
static int met(struct memory_device *memory, const struct guard_fault *fault)
{
	uint64_t pgoff, npages;
	if (guard_is_memory_error(fault) && memory_find(&memory->dax, fault->from, fault->len_bytes, &pgoff, &npages))
		(void)memory_found_bad(&memory->dax, pgoff, npages);
	return -EIO;
}

static int64_t copy(struct memory_device *memory, const struct io *io)
{
	struct guard_fault fault;
	char *at = address(memory, io);
	if (!at)
		return -EOPNOTSUPP;
	uint64_t n = good_bytes(memory, io);
	if (!n)
		return -EIO;
	n = io->kind == IO_READ ? guard_read(io->buf, at, n, &fault) : guard_write(at, io->buf, n, &fault);
	int err = fault.code ? met(memory, &fault) : 0;
	return n ? (int64_t)n : err;
}

/* Page by page, so that one of them says nothing about the next; those that are known to be bad are not touched. */
static int64_t verify(struct memory_device *memory, const struct io *io)
{
	struct guard_fault fault;
	const char *at = address(memory, io);
	int err = 0;
	if (!at)
		return -EOPNOTSUPP;
	if (!guard_installed())
		return (int64_t)io->len_bytes; /* it would be the end of the program */
	for (uint64_t done = 0; done < io->len_bytes; done += PGMAP_PAGE_SIZE) {
		const struct io page = {.offset_bytes = io->offset_bytes + done, .len_bytes = PGMAP_PAGE_SIZE};
		if (!good_bytes(memory, &page))
			continue;
		(void)guard_probe(at + done, PGMAP_PAGE_SIZE, &fault);
		if (fault.code && met(memory, &fault) && !guard_is_memory_error(&fault))
			err = -EIO;
	}
	return err ? err : (int64_t)io->len_bytes;
}

/* An op that the version of the struct may lack. */
#define OP(ops, name)                                                                                                  \
	((ops) && (ops)->ops_bytes >= offsetof(struct dax_device_ops, name) + sizeof((ops)->name) ? (ops)->name : NULL)

/* What is bad goes to the device, and can be written then; or why it cannot. */
static int repair(const struct memory_device *memory, const struct io *bad)
{
	int (*clear_poison)(void *, uint64_t, uint64_t) = OP(memory->params.ops, clear_poison);
	if (bad->may_clear)
		return 0;
	if (!clear_poison)
		return -EOPNOTSUPP;
	int err = clear_poison(memory->params.ctx, memory->params.start_bytes + bad->offset_bytes, bad->len_bytes);
	if (!err) /* this process's entries for them still say that they are bad */
		(void)madvise(address(memory, bad), bad->len_bytes, MADV_DONTNEED);
	return err;
}

/* The first pages of it that are all bad, or all good. */
static bool cut_to_run(const struct memory_device *memory, struct io *io)
{
	bool bad;
	io->len_bytes = record_run(memory->record, first_page(memory, io->offset_bytes),
				   io->len_bytes >> PGMAP_PAGE_SHIFT, &bad)
			<< PGMAP_PAGE_SHIFT;
	return bad;
}

/* How many bytes of such a run, whole pages; fewer: *err says why. What was bad is good only when it has been read, too. */
static uint64_t overwrite_run(struct memory_device *memory, const struct io *run, bool bad, int *err)
{
	struct guard_fault fault;
	char *at = address(memory, run);
	*err = bad ? repair(memory, run) : 0;
	if (*err)
		return 0;
	uint64_t n = run->kind == IO_ZERO ? guard_zero(at, run->len_bytes, &fault)
					  : guard_write(at, run->buf, run->len_bytes, &fault);
	if (bad) { /* of two faults the first counts */
		struct guard_fault again;
		n = guard_probe(at, n, &again);
		fault = again.code ? again : fault;
	}
	uint64_t pages = n >> PGMAP_PAGE_SHIFT;
	if (bad && pages)
		pages = mark(memory, run->offset_bytes >> PGMAP_PAGE_SHIFT, pages, pgmap_clear_poison, err);
	if (fault.code)
		*err = met(memory, &fault);
	return pages << PGMAP_PAGE_SHIFT;
}

/* Run by run: only what was bad before it was written becomes good, not what is found to be bad meanwhile. */
static int64_t overwrite(struct memory_device *memory, const struct io *io)
{
	uint64_t done = 0;
	int err = address(memory, io) ? 0 : -EOPNOTSUPP;
	while (done < io->len_bytes && !err) {
		struct io run = *io;
		run.offset_bytes += done;
		run.len_bytes -= done;
		run.buf = io->buf ? io->buf + done : NULL;
		bool bad = cut_to_run(memory, &run);
		done += overwrite_run(memory, &run, bad, &err);
	}
	return err && (!done || !io_counts(io)) ? io_fail(io, done, err) : (int64_t)done;
}

static int64_t found_bad(struct memory_device *memory, const struct io *io)
{
	int err =
		memory_found_bad(&memory->dax, io->offset_bytes >> PGMAP_PAGE_SHIFT, io->len_bytes >> PGMAP_PAGE_SHIFT);
	return err ? err : (int64_t)io->len_bytes;
}

/* What the params' ops do. */
static int64_t by_ops(const struct memory_device *memory, const struct io *io)
{
	const struct dax_device_ops *ops = memory->params.ops;
	uint64_t offset_bytes = memory->params.start_bytes + io->offset_bytes;
	int (*op)(void *, uint64_t, uint64_t) = OP(ops, flush);
	if (io->kind != IO_FLUSH && !ops)
		return -EOPNOTSUPP;
	if (io->kind != IO_FLUSH)
		op = io->kind == IO_POPULATE ? ops->populate : ops->discard;
	int err = op ? op(memory->params.ctx, offset_bytes, io->len_bytes) : 0;
	return err ? err : (int64_t)io->len_bytes;
}

/* Memory that is not mapped here: it goes, and what comes is zero. */
static int64_t zero_by_ops(const struct memory_device *memory, const struct io *io)
{
	struct io step = *io;
	step.kind = IO_DISCARD;
	int64_t n = by_ops(memory, &step);
	step.kind = IO_POPULATE;
	if (n < 0)
		return n;
	n = by_ops(memory, &step);
	return n < 0 ? io_fail(io, io->len_bytes, n) : n; /* they are zeros, with no memory */
}

static int64_t memory_io(struct dax_device *dax, const struct io *io)
{
	struct memory_device *memory = memory_of(dax);
	switch (io->kind) {
	case IO_POPULATE:
	case IO_DISCARD:
	case IO_FLUSH:
		return by_ops(memory, io);
	case IO_POISON:
		return found_bad(memory, io);
	case IO_VERIFY:
		return verify(memory, io);
	case IO_READ:
	case IO_WRITE:
		return copy(memory, io);
	case IO_ZERO:
		if (!memory->params.addr && good_bytes(memory, io) == io->len_bytes)
			return zero_by_ops(memory, io);
		break;
	case IO_RECOVER:
		break;
	}
	return overwrite(memory, io);
}

/* DEAD if nothing is held, else as it was. */
static int end_pgmap(struct pgmap *pgmap)
{
	enum pgmap_state before = pgmap_state(pgmap);
	(void)pgmap_kill(pgmap);
	if (pgmap_drain(pgmap, 0) != 0) {
		if (before == PGMAP_LIVE)
			(void)pgmap_revive(pgmap);
		return -EBUSY;
	}
	return pgmap_destroy(pgmap);
}

static int end_record(struct dax_device *dax)
{
	int err = end_pgmap(memory_of(dax)->record);
	if (!err)
		pieces_free(&memory_of(dax)->pieces);
	return err;
}

static int memory_end(struct dax_device *dax)
{
	return caught_end(dax, end_record);
}

static int memory_lay_out(struct dax_device *dax, struct segments *out)
{
	const struct memory_device *memory = memory_of(dax);
	int err = 0;
	for (uint64_t at = 0, end; at < dax->npages && !err; at = end) {
		end = piece_end(memory, at);
		const struct segment piece = {at, end - at, memory->first + at, PGMAP_MAX_ORDER, dax->granule_order};
		err = segments_add(out, &piece);
	}
	return err;
}

static const struct dax_ops memory_ops = {
	.direct_access = memory_direct_access,
	.io = memory_io,
	.end = memory_end,
	.lay_out = memory_lay_out,
};

/* The pgmap's callback: hand the pages on to the holder, by their offset on the device. */
static int folio_freed(struct folio *folio, void *owner)
{
	struct memory_device *memory = owner;
	struct dax_device *dax = &memory->dax;
	int answer = PGMAP_FREE_IDLE;
	unsigned slot;
	if (!gate_enter(&dax->held, &slot))
		return answer;
	if (dax->holder_ops.folio_free)
		answer =
			dax->holder_ops.folio_free(dax->holder, folio_pgoff(folio) - memory->first, folio_pages(folio));
	gate_leave(&dax->held, slot);
	return answer;
}

static const struct pgmap_ops pgmap_callbacks = {
	.ops_bytes = sizeof(struct pgmap_ops),
	.folio_free = folio_freed,
};

static int create_pgmap(struct memory_device *memory, const struct pgmap_range ranges[], size_t nranges)
{
	const struct dax_params *given = &memory->params;
	const struct pgmap_params params = {
		.params_bytes = sizeof(params),
		.type = given->type ? given->type : PGMAP_GENERIC,
		.ranges = ranges,
		.nranges = nranges,
		.ops = &pgmap_callbacks,
		.owner = memory,
		.base = given->addr,
		.name = memory->dax.name,
	};
	int err = pgmap_create(&params, &memory->record);
	if (err)
		return err;
	memory->pgmap = given->type ? memory->record : NULL;
	return pgmap_device_to_pgoff(memory->record, given->start_bytes, &memory->first);
}

static int create_on_pieces(struct memory_device *memory)
{
	struct pgmap_range *ranges;
	size_t nranges;
	int err = pieces_take(&memory->pieces, &memory->params, &ranges, &nranges);
	memory->params.pieces_bytes = NULL; /* the caller's: not looked at again */
	if (!err)
		err = create_pgmap(memory, ranges, nranges);
	if (err)
		pieces_free(&memory->pieces);
	free(ranges);
	return err;
}

PGMAP_PUBLIC int dax_create(const struct dax_params *params, struct dax_device **out)
{
	if (!out)
		return -EINVAL;
	struct memory_device *memory = calloc(1, sizeof(*memory));
	if (!memory)
		return -ENOMEM;
	int err = params_take(params, &memory->params);
	if (!err)
		err = params_check(&memory->params);
	if (!err) {
		device_init(&memory->dax, &memory_ops, memory->params.name ? memory->params.name : "dax");
		memory->dax.npages = memory->params.len_bytes >> PGMAP_PAGE_SHIFT;
		memory->dax.granule_order = memory->params.granule_order;
		err = create_on_pieces(memory);
		if (err)
			device_exit(&memory->dax);
	}
	if (err) {
		free(memory);
		return err;
	}
	caught_add(&memory->dax);
	*out = &memory->dax;
	return 0;
}

PGMAP_PUBLIC struct pgmap *dax_pgmap(const struct dax_device *dax)
{
	return memory_is(dax) ? memory_of(dax)->pgmap : NULL;
}
