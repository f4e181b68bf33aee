/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dax.h - a DAX device: an offset on it becomes (pgmap, pgmap offset), never a folio (c6.1).
 *
 * A device lies on memory, and has a pgmap, or it is a stack: its pages lie on parts of other devices, which may be stacks.
 * Every call works on every device. What a stack is asked goes down, and what happens below comes up to its holder, by the
 * stack's own pages.
 *
 * Thread safety: every call from any thread. dax_destroy() may not race other calls on the same device, or on those that a
 * stack stands on. A call must be let return: who jumps out of one (longjmp() from a signal handler) leaves the device in use for ever.
 */
#ifndef PGMAP_DAX_H
#define PGMAP_DAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pgmap/pgmap.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dax_device; /* opaque */

/* What dax_direct_access() answers with. */
struct dax_span {
	struct pgmap *pgmap;  /* null on a LIMITED device (c5.6) */
	uint64_t pgmap_pgoff; /* pgoff in that pgmap */
	uint64_t npages;      /* contiguous pages from there: 1 to what was asked for */
	void *addr;           /* where this process can touch them, or null */
	int fd;               /* the descriptor to map them from, in this process; not the caller's to close; or -1 */
	uint64_t fd_offset_bytes;
	int resident; /* of these pages: dax_params.resident */
};

enum dax_failure {
	DAX_FAILURE_DEAD = 1,  /* these pages are gone: dax_kill() of the device, or of one below it */
	DAX_FAILURE_POISON = 2 /* they have lost their data */
};

/* The exclusive holder of a device: a mounted file system (c6.2). */
struct dax_holder_ops {
	size_t ops_bytes; /* sizeof(struct dax_holder_ops) */
	/* Called in the context of whoever found out, once for each run of pages. Neither this nor folio_free may wait for a device, or
	 * create, destroy, hold, release or kill one, or add or remove parts. Of their own they may ask for dax_for_each_poisoned(), dax_alive(), and what
	 * else a device is, and call it for nothing else. */
	void (*notify_failure)(void *holder, enum dax_failure what, uint64_t pgoff, uint64_t npages);
	/* The last reference on these pages of the device has gone (c6.8): the rules and answers of
	 * pgmap_ops.folio_free. May be null. */
	int (*folio_free)(void *holder, uint64_t pgoff, uint64_t npages);
};

/* What the kind of device does. ctx is dax_params.ctx; offsets and lengths in bytes on the device. 0 or -errno. They may neither
 * do what a holder's callbacks may not, nor report failures (dax_notify_failure) of the device that they serve, or of a stack on it. */
struct dax_device_ops {
	size_t ops_bytes; /* sizeof(struct dax_device_ops) */
	/* Have memory behind these bytes, so that touching them cannot fail (c7.11). -ENOSPC. Null: it is there always. */
	int (*populate)(void *ctx, uint64_t offset_bytes, uint64_t len_bytes);
	/* These bytes read as zero from now on, and their memory goes back to the system where it can. Never null. */
	int (*discard)(void *ctx, uint64_t offset_bytes, uint64_t len_bytes);
	/* What was written to these bytes is there after a power cut. Null: there is nothing to do for it. */
	int (*flush)(void *ctx, uint64_t offset_bytes, uint64_t len_bytes);
	/* These bad pages can be written again, and will be, at once. Null: they cannot. */
	int (*clear_poison)(void *ctx, uint64_t offset_bytes, uint64_t len_bytes);
};

struct dax_params {
	size_t params_bytes;    /* sizeof(struct dax_params) */
	enum pgmap_type type;   /* of the pgmap that the device gets; 0: LIMITED, none (c5.6) */
	uint64_t start_bytes;   /* byte offset of page 0 on the device */
	uint64_t len_bytes;     /* a multiple of the granule */
	void *addr;             /* where device offset 0 is mapped here, or null */
	int fd;                 /* to map it from, or -1; stays the caller's */
	unsigned granule_order; /* smallest piece that can be mapped by itself: 2^granule_order pages */
	const struct dax_device_ops
		*ops; /* must outlive the device; null: not populated, not discarded (-EOPNOTSUPP) */
	void *ctx;
	const char *name; /* copied, 31 bytes at most */
	/* Not 0: its memory is always there and nobody else's, with whatever bytes an earlier owner left. A file system hands none of
	 * it out before it was wiped, and never discards it to save memory. 0: it reads as zero at first. */
	int resident;
	/* Where the memory behind contiguous offsets is not contiguous: the lengths of its pieces, in their order, which make up len_bytes,
	 * each a multiple of the granule. Copied. Each is a range of the pgmap: no folio, and no span, lies on two. Null: one piece. */
	const uint64_t *pieces_bytes;
	size_t npieces;
};

/* dax_create - an alive device on memory, with a LIVE pgmap of its own over its pieces. -EINVAL null, wrong params_bytes or
 * ops_bytes (those of earlier versions are right), no or unaligned length or start, pieces that do not make up the length, unknown
 * type; -ENOMEM. */
int dax_create(const struct dax_params *params, struct dax_device **out);
/* dax_destroy - the end of a device; of a stack: not of its parts. -EBUSY while it is held (dax_hold), or a folio of its pgmap
 * is, or it is part of a stack: nothing changes. Null: 0. */
int dax_destroy(struct dax_device *dax);

/* Pages of a device, for a stack. */
struct dax_part {
	struct dax_device *dax;
	uint64_t pgoff;
	uint64_t npages; /* 0: all from there on */
};

/*
 * dax_create_linear - a stack: parts of devices, one after the other.
 * dax_create_stripe - a stack: equal parts take turns, chunk_pages each. Huge pages can be had as far as the chunk is aligned:
 * a chunk of 512 keeps 2 MiB, one of 2^18 keeps 1 GiB.
 * The parts stay the caller's, and must be there as long as the stack is. name is copied (31 bytes at most); it may be null.
 *   -EINVAL  no parts; a null device; a device twice in one stack, at any depth; a part that cuts a granule of what it lies
 *            on (linear: each part's own, wherever that comes to lie in the stack; stripe: the largest of all); a linear stack
 *            that has lost parts; stripe: parts that are not equal, a chunk that is 0 or not a multiple of the granule, parts that are not multiples of the chunk
 *   -ERANGE  a part beyond the end of its device    -ENXIO  a part's device is dead (dax_alive)    -ENOMEM
 */
int dax_create_linear(const struct dax_part *parts, size_t nparts, const char *name, struct dax_device **out);
int dax_create_stripe(const struct dax_part *parts, size_t nparts, uint64_t chunk_pages, const char *name,
		      struct dax_device **out);

/*
 * dax_linear_add - one more part, behind the last: the linear stack has so many pages more. If it is held, so is the part from
 * then on, by the same holder. Accesses go on meanwhile. What fails has changed nothing.
 *   -EINVAL  null argument, no linear stack, and what dax_create_linear() says of parts
 *   -EBUSY   the stack is itself a part of another, or is just being released; or somebody holds the part's device, or one
 *            below it
 *   -ENXIO   the stack or the part's device is dead (dax_alive), or, of a stack that is held, any below the part, as with dax_hold()
 *   -ERANGE, -ENOMEM, as above
 *   -E2BIG   4096 parts have been added to it already, those included that have been removed since
 * dax_linear_remove - the part that lies on this device is no more. The others keep their page numbers: those of the part stay
 * a gap, which counts in dax_npages(), and whose pages answer -ENXIO. Returns when no access is on its way to the device, and
 * none of its pages will be told to the holder: nobody holds the device any more, unless another stack does, and it can
 * be destroyed. It waits for accesses that run, and keeps new ones waiting meanwhile; so it must not be called from a
 * callback. Who removes a part sees to it that nobody asks for its pages: kill its pgmap first.
 *   -EINVAL  null argument, no linear stack, the device is no part of it
 *   -EBUSY   pages of the device are held; or it is the only part; or the stack is itself a part of another
 * Both: any thread.
 */
int dax_linear_add(struct dax_device *linear, const struct dax_part *part);
int dax_linear_remove(struct dax_device *linear, struct dax_device *lower);

/*
 * dax_direct_access - translate, without taking any reference (c6.1). npages is signed, as callers compute it. Checked
 * in this order: -EINVAL npages <= 0 or null argument, -ERANGE pgoff beyond the end, -ENXIO the device is dead, or the one
 * below that has this page, -EOPNOTSUPP the device has no such operation, -EHWPOISON this page has lost its data (c6.5).
 * Otherwise the number of pages that *span covers (1 to npages): it ends at the boundaries of a stack (c6.4) and of a
 * piece of memory, and before a page that has lost its data.
 */
int64_t dax_direct_access(struct dax_device *dax, uint64_t pgoff, int64_t npages, struct dax_span *span);

/*
 * dax_request_folios - pgmap_request_folios() of these pages, wherever they lie: span by span in ascending order (c6.4), all of
 * them or none. *n is how many folios, each held once and charged to nobody. With folios null, that is said and nothing
 * requested. When it fails, what it had got is put again, and null: the holder's folio_free runs for that.
 *   -EINVAL null argument, no pages; -ERANGE; -E2BIG more than room; -EOPNOTSUPP a LIMITED device (c5.6); and what
 *   dax_direct_access() and pgmap_request_folios() say
 */
int dax_request_folios(struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct folio *folios[], size_t room,
		       size_t *n);

/* dax_hold - become the exclusive holder (c6.2); of a stack: of all that it stands on. Then what happens below is told to the
 * stack's holder, by the stack's pages. -EBUSY there is a holder, of it or of any below; -ENXIO dead, or any below; -EINVAL null
 * argument. What fails has changed nothing.
 * dax_release - by that holder only: -EINVAL for anyone else. None of its callbacks runs when it returns. */
int dax_hold(struct dax_device *dax, void *holder, const struct dax_holder_ops *ops);
int dax_release(struct dax_device *dax, void *holder);

/* dax_kill - no new access (c6.3): the holder is told once (DAX_FAILURE_DEAD, whole device), direct accesses that run
 * are waited for, later ones answer -ENXIO. A stack loses the pages that lie on it, its holder is told which, and the others
 * go on. Those below a killed stack live on. Twice is harmless. Must not be called from a callback. */
int dax_kill(struct dax_device *dax);

/* dax_populate, dax_discard - memory behind pages, and its return, by the device's ops (dax_device_ops).
 * dax_zero_range - pages read as zero, and keep their memory; those that had lost their data are good again where the device
 * can clear them.
 * -EINVAL no pages, -ERANGE, -ENXIO dead (not dax_discard: a dying device still takes pages back), -EOPNOTSUPP, or what the
 * device says. What fails has been done as far as it came: on a stack, what comes before the piece that failed (a part of it, or a
 * chunk of a stripe); of zeros, what comes before the pages that failed. */
int dax_populate(struct dax_device *dax, uint64_t pgoff, uint64_t npages);
int dax_discard(struct dax_device *dax, uint64_t pgoff, uint64_t npages);
int dax_zero_range(struct dax_device *dax, uint64_t pgoff, uint64_t npages);

/* dax_verify - these pages are read, all of them: how many of them have lost their data, those that were known included. What is found
 * is recorded and told as by dax_notify_failure(). What the machine says of itself is asked only under dax_catch_errors(): without it, it would be the
 * end of the program, and only what is known is answered.
 * -EINVAL no pages, -ERANGE, -ENXIO dead, -EOPNOTSUPP not mapped here, -EIO some of it cannot be read, and it is no memory
 * error; -ENOMEM. */
int64_t dax_verify(struct dax_device *dax, uint64_t pgoff, uint64_t npages);

/*
 * dax_copy_from, dax_copy_to - bytes of the device, out and in: how many. Fewer than asked for: the next one cannot be had,
 * and a call that begins there says why.
 * dax_recovery_write - dax_copy_to() of whole pages, over such as have lost their data, too: they are good again. It ends before
 * those that the device cannot clear.
 * dax_flush - what was written to these bytes, by whatever way, is there after a power cut, where the device can say so.
 *   -EINVAL null argument, no bytes, recovery: not whole pages; -ERANGE beyond the end; -ENXIO dead; -EOPNOTSUPP it is not
 *   mapped here, recovery: the device cannot clear what is bad; -EIO the page has lost its data (c6.5), or (under
 *   dax_catch_errors) there is no memory behind it; or what the device says
 */
int64_t dax_copy_from(struct dax_device *dax, uint64_t offset_bytes, void *buf, uint64_t len_bytes);
int64_t dax_copy_to(struct dax_device *dax, uint64_t offset_bytes, const void *buf, uint64_t len_bytes);
int64_t dax_recovery_write(struct dax_device *dax, uint64_t offset_bytes, const void *buf, uint64_t len_bytes);
int dax_flush(struct dax_device *dax, uint64_t offset_bytes, uint64_t len_bytes);

/* dax_notify_failure - whoever finds out that pages have lost their data says so here (c6.5): they are recorded as bad, in the
 * pgmap that they are in (pgmap_poison), and the holder is told. It may be called in any context but a signal handler's, and
 * again. Of a page that was bad already, and is just being written over (zeros, recovery), it may be said in vain: the page is read
 * once it is written, and is good then. DAX_FAILURE_DEAD is for the whole of a device (else -EOPNOTSUPP): dax_kill() that waits
 * for nobody.
 * -EINVAL null argument, no pages, unknown failure; -ERANGE; -ENOMEM: whoever is told of a page finds it recorded, but the last ones
 * may be neither; -ENXIO some of them are a gap (dax_linear_remove): the others are recorded and told.
 * dax_for_each_poisoned - fn for each run of pages that have lost their data, in ascending order; not zero ends and is
 * returned. -EINVAL null argument, -ENOMEM. */
int dax_notify_failure(struct dax_device *dax, enum dax_failure what, uint64_t pgoff, uint64_t npages);
int dax_for_each_poisoned(struct dax_device *dax, int (*fn)(uint64_t pgoff, uint64_t npages, void *arg), void *arg);

/*
 * dax_catch_errors - the library takes SIGBUS for this process (c7.10: it does not unasked), from here to its end:
 *  - What dax_copy_from(), dax_copy_to(), dax_recovery_write(), dax_zero_range() and dax_verify() meet is a short copy, then -EIO:
 *    memory errors (BUS_MCEERR_AR), which are recorded and told as by dax_notify_failure(), and pages that are not there, as
 *    when a file was cut or a device is gone, which are not. A thread that blocks SIGBUS cannot be told: the kernel ends it.
 *  - A thread of the library is told of memory errors that the kernel finds in what this process maps, whoever met them
 *    (PR_MCE_KILL_EARLY). Those that lie where a device of dax_create() is mapped (dax_params.addr) are recorded and told.
 *  - What else meets SIGBUS, by its own loads and stores, has the handler that was there before called: the program's own, or the
 *    system's way, which ends it. Of memory errors that thread is told first. A program that wants to live on jumps out of its
 *    own handler; it sets that before it calls this, as one that is set later takes ours away.
 * fn, which may be null, is called by that thread for each such error, after it was recorded; it may neither wait, nor do
 * what a holder's callbacks may not, nor call this. Again: another fn. -EAGAIN no thread can be had; or what the system says of a descriptor.
 */
struct dax_caught {
	struct dax_device *dax; /* on memory, no stack; or null: none is mapped there */
	uint64_t pgoff, npages; /* of dax: what is lost. Its holder's files: fsdax_for_each_lost() */
	void *addr;             /* where it was met, and how much was said to be lost there */
	uint64_t len_bytes;
};
typedef void dax_caught_fn(void *arg, const struct dax_caught *caught);
int dax_catch_errors(dax_caught_fn *fn, void *arg);

/* What a device is: any thread may ask, at any time. */
int dax_alive(const struct dax_device *dax);           /* 1 or 0; a stack is as long as it has a part that is */
struct pgmap *dax_pgmap(const struct dax_device *dax); /* of a device that is no stack; null on a LIMITED one */
uint64_t dax_npages(const struct dax_device *dax);     /* the gaps of a linear stack included */
/* The granule: of a stack the largest of its parts', those that were removed included: it never shrinks. _at: of the device that has this page. Granules are counted on that
 * device: in a linear stack whose parts differ a granule need not begin at a multiple of it. dax_direct_access() says where. */
unsigned dax_granule_order(const struct dax_device *dax);
unsigned dax_granule_order_at(const struct dax_device *dax, uint64_t pgoff);
const char *dax_name(const struct dax_device *dax);

/*
 * dax_create_fault - a stack over all of one device that fails as it is told; at first it does not. -EINVAL null argument,
 * a linear stack that has lost parts; -ENXIO lower is dead, -ENOMEM. The calls below: -EINVAL for another device; an access is a direct access, populate, zero,
 * copy or flush.
 * dax_fault_poison - pages are bad, and nobody knows: the next copy that comes to them finds out, as a load would, and says so
 * (dax_notify_failure). Writing over bad pages whole (zero, recovery) makes them good, whoever has found them: the device below is not
 * asked.
 * -EINVAL no pages, -ERANGE, -ENOMEM.
 * dax_fault_keep_poison - no, it is asked, and may say that it cannot.
 * dax_fault_delay - each access takes that much longer.
 * dax_fault_dead_after - so many more accesses succeed; the next one finds it dead, as after dax_kill().
 */
int dax_create_fault(struct dax_device *lower, const char *name, struct dax_device **out);
int dax_fault_poison(struct dax_device *dax, uint64_t pgoff, uint64_t npages);
int dax_fault_keep_poison(struct dax_device *dax, bool keep);
int dax_fault_delay(struct dax_device *dax, uint64_t delay_ns);
int dax_fault_dead_after(struct dax_device *dax, uint64_t accesses);

/* What a log keeps. Offsets and lengths as they were asked for: what came short, or failed on its way,
 * has the length that was done. */
enum dax_log_kind {
	DAX_LOG_WRITE = 1, /* also by recovery */
	DAX_LOG_ZERO,
	DAX_LOG_DISCARD,
	DAX_LOG_FLUSH, /* what was written to these bytes before is there after a power cut */
	DAX_LOG_MARK
};
struct dax_log_entry {
	enum dax_log_kind kind;
	uint64_t offset_bytes, len_bytes;
	const void *data; /* of a write */
	const char *text; /* of a mark */
};

enum { DAX_LOG_NO_DIRECT = 1 }; /* direct accesses answer -EOPNOTSUPP: nothing is written past the log */
/*
 * dax_create_log - a stack over all of one device that keeps a record, in memory, of what is written to it by calls, and
 * flushed. What is written through an address or a mapping it does not see. -EINVAL null argument, unknown flags, a linear stack that has lost parts; -ENXIO,
 * -ENOMEM. A write for whose record there is no memory is -ENOMEM, and not done. The calls below: -EINVAL null argument,
 * another device.
 * dax_log_mark - an entry for whoever reads the log. -ENOMEM.
 * dax_log_for_each - fn for each entry, oldest first; it may not call this device. Not zero ends and is returned.
 * dax_log_replay - the first so many entries (or all) done again on another device: a state that a crash could have left if
 * all writes before a flush are among them. A discard becomes zeros. -EINVAL also what is written to it is logged by this one.
 * -ENOMEM; and what copies and zeros answer; -EIO a short copy.
 * dax_log_clear - forget all entries.
 */
int dax_create_log(struct dax_device *lower, unsigned flags, const char *name, struct dax_device **out);
int dax_log_mark(struct dax_device *dax, const char *text);
int dax_log_for_each(struct dax_device *dax, int (*fn)(const struct dax_log_entry *entry, void *arg), void *arg);
int dax_log_replay(struct dax_device *dax, uint64_t entries, struct dax_device *target);
int dax_log_clear(struct dax_device *dax);

#ifdef __cplusplus
}
#endif
#endif
