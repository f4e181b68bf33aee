/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device.h - a DAX device inside this floor: what all kinds have in common, and the table of what a kind does.
 *
 * A device lies on memory and has a pgmap (memory.c), or is a stack: its pages lie on parts of other devices (linear.c,
 * stripe.c, and fault.c and log.c, which have one part). A stack's link to each of its parts is what the part's device
 * knows it by: the link is the holder of the lower device while somebody holds the upper one.
 *
 * Death. `dead` is set first, and the holder told; then nobody enters `access`, and those inside have left; then the same
 * for the stacks above, whose accesses run through here: they look at `dead` of each device on the way, inside the one
 * gate of the device that was asked. So a level of a stack costs a load, not a gate.
 *
 * Holders. `held` is open while there is a holder: the holder's callbacks run inside. Those of a stack's holder come
 * through the gate of the memory that they are about, which dax_release() shuts before the holder is forgotten.
 *
 * Locks. device_tree: who stands on whom. device_holders: who holds, and is dead. Both global, as neither is taken by any
 * access. device_tree is kept while a kill waits for accesses, a release for callbacks, and a removal for both, which
 * therefore never take it; no callback runs under either. Order: tree, holders.
 *
 * Change. A linear stack gets parts, and loses them (linear.c), while accesses run. Links are never moved and never end before
 * the stack does; they, their number, and the sizes that follow from them change under both locks, so that either lock is
 * enough to go through them. The part that goes has device_gap for its lower device from then on, and whoever may have
 * seen the old one is waited for: accesses in the gate of the stack, what goes past that gate (pages that come back, bad
 * news) in `aside`, callbacks in the lower device's `held`. Who is inside `aside` waits for none of the others.
 */
#ifndef PGMAP_DAX_DEVICE_H
#define PGMAP_DAX_DEVICE_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <pgmap/dax.h>

#include "dax/gate.h"

/* What is done with bytes of a device. */
enum io_kind {
	IO_POPULATE,
	IO_DISCARD,
	IO_ZERO,
	IO_FLUSH,
	IO_POISON, /* they are found to be bad */
	IO_VERIFY, /* they are read, whole pages, and those that cannot be are found to be bad */
	IO_READ,   /* to buf */
	IO_WRITE,  /* from buf */
	IO_RECOVER /* from buf, whole pages: bad ones become good */
};

struct io {
	enum io_kind kind;
	bool may_clear; /* bad pages become good by being written, whatever the device can (fault.c) */
	uint64_t offset_bytes, len_bytes;
	char *buf; /* written by IO_READ only */
	/* Where an error is answered: how much was done all the same, from the first byte on; as much as is known. It was 0 before.
	 * Null: nobody asks. */
	uint64_t *done_bytes;
};

/* Pages of a stack, where they lie below it. */
struct place {
	struct dax_device *dax;
	uint64_t pgoff, npages;
};

struct link;
struct segments;

/* A kind of device. Offsets lie on the device, and were checked. */
struct dax_ops {
	int64_t (*direct_access)(struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct dax_span *span);
	/* How many bytes, all of them unless it reads, writes or recovers; or -errno. */
	int64_t (*io)(struct dax_device *dax, const struct io *io);
	/* Its own part of dax_destroy(): -EBUSY, or gone but for the device itself. Null: nothing. */
	int (*end)(struct dax_device *dax);

	/* Of stacks. locate: as many of these pages as lie on one part, one after the other. raise: the other way, of pages
	 * that the part has; how many, and *pgoff becomes the first. */
	void (*locate)(const struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct place *out);
	uint64_t (*raise)(const struct link *link, uint64_t *pgoff, uint64_t npages);
	/* The orders of folios that can lie on it: layout.h. Null: they are those of its one part. */
	int (*lay_out)(struct dax_device *dax, struct segments *out);
};

/* A part of a stack. */
struct link {
	_Atomic(struct dax_device *) lower; /* device_gap: it was removed */
	uint64_t pgoff, npages;             /* of the lower device */
	struct dax_device *upper;
	uint64_t first; /* page of a linear stack that it begins at */
	size_t index;   /* of the upper's links */
	LIST_ENTRY(link) above;
};

struct dax_device {
	const struct dax_ops *ops;
	atomic_bool dead;
	_Atomic unsigned granule_order;
	_Atomic uint64_t npages; /* what is asked beyond is refused before it comes to `ops` */
	struct gate access;
	struct gate aside;
	struct gate held;
	struct link *links; /* a stack's parts; null: memory */
	_Atomic size_t nlinks;
	bool has_gaps;                 /* parts were removed; device_tree */
	LIST_ENTRY(dax_device) mapped; /* of memory: caught.c */
	LIST_HEAD(, link) uppers;      /* stacks that it is part of; device_tree */
	void *holder;                  /* device_holders; in callbacks: stable */
	bool releasing;
	struct dax_holder_ops holder_ops;
	char name[32];
};

extern pthread_mutex_t device_tree, device_holders;

/* Where a part was: dead, and nothing below. It is no memory, and has no links. */
extern struct dax_device device_gap;

static inline bool link_is_gap(const struct link *link)
{
	return atomic_load_explicit(&link->lower, memory_order_acquire) == &device_gap;
}

/* device_init - an alive device that nobody holds or stands on. */
void device_init(struct dax_device *dax, const struct dax_ops *ops, const char *name);
void device_exit(struct dax_device *dax);

/* device_die - dead, and the holder told, once; nobody is waited for, so accesses may call it. */
void device_die(struct dax_device *dax);
/* device_is_alive - dax_alive(); under either lock. */
bool device_is_alive(const struct dax_device *dax);
/* device_check_free - under device_holders: 0; -EBUSY somebody holds it, or any below; all_alive: -ENXIO dead, or any below.
 * device_set_holder, device_forget_holder - of it and all below; under device_holders. device_shut_held - none of its or
 * their callbacks runs, or will; under device_tree. */
int device_check_free(const struct dax_device *dax, bool all_alive);
void device_set_holder(struct dax_device *dax, void *holder, const struct dax_holder_ops *ops);
void device_shut_held(struct dax_device *dax);
void device_forget_holder(struct dax_device *dax);
/* device_tell - the holder, if there is one. */
void device_tell(struct dax_device *dax, enum dax_failure what, uint64_t pgoff, uint64_t npages);

static inline bool device_is_dead(const struct dax_device *dax)
{
	return atomic_load_explicit(&dax->dead, memory_order_acquire);
}

/* On the way down, inside the gate of the device that was asked. */
static inline int64_t device_access(struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct dax_span *span)
{
	if (__builtin_expect(device_is_dead(dax), 0))
		return -ENXIO;
	return dax->ops->direct_access(dax, pgoff, npages, span);
}

/* A dying device still takes pages back. */
static inline int64_t device_io(struct dax_device *dax, const struct io *io)
{
	if (device_is_dead(dax) && io->kind != IO_DISCARD && io->kind != IO_POISON)
		return -ENXIO;
	return dax->ops->io(dax, io);
}

/* It ends with an error, after so much. */
static inline int64_t io_fail(const struct io *io, uint64_t done_bytes, int64_t err)
{
	if (io->done_bytes)
		*io->done_bytes = done_bytes;
	return err;
}

static inline bool io_counts(const struct io *io)
{
	return io->kind >= IO_READ;
}

#endif
