/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dax.h - a DAX device: an offset on it becomes (pgmap, pgmap offset), never a folio (c6.1).
 *
 * Thread safety: every call from any thread. dax_destroy() may not race other calls on the same device.
 */
#ifndef PGMAP_DAX_H
#define PGMAP_DAX_H

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
	DAX_FAILURE_DEAD = 1,  /* the device is gone: dax_kill() */
	DAX_FAILURE_POISON = 2 /* pages have lost their data */
};

/* The exclusive holder of a device: a mounted file system (c6.2). */
struct dax_holder_ops {
	size_t ops_bytes; /* sizeof(struct dax_holder_ops) */
	/* Called in the context of whoever found out; may not wait for the device. */
	void (*notify_failure)(void *holder, enum dax_failure what, uint64_t pgoff, uint64_t npages);
	/* The last reference on these pages of the device has gone (c6.8): the rules and answers of
	 * pgmap_ops.folio_free. May be null. */
	int (*folio_free)(void *holder, uint64_t pgoff, uint64_t npages);
};

/* What the kind of device does. ctx is dax_params.ctx; offsets and lengths in bytes on the device. 0 or -errno. */
struct dax_device_ops {
	size_t ops_bytes; /* sizeof(struct dax_device_ops) */
	/* Have memory behind these bytes, so that touching them cannot fail (c7.11). -ENOSPC. Null: it is there always. */
	int (*populate)(void *ctx, uint64_t offset_bytes, uint64_t len_bytes);
	/* These bytes read as zero from now on, and their memory goes back to the system where it can. Never null. */
	int (*discard)(void *ctx, uint64_t offset_bytes, uint64_t len_bytes);
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
};

/* dax_create - an alive device, with a LIVE pgmap of its own over its one range. -EINVAL null, wrong params_bytes, no
 * or unaligned length or start, unknown type; -ENOMEM. */
int dax_create(const struct dax_params *params, struct dax_device **out);
/* dax_destroy - the end of a device. -EBUSY while it is held (dax_hold), or a folio of its pgmap is: nothing changes. Null: 0. */
int dax_destroy(struct dax_device *dax);

/*
 * dax_direct_access - translate, without taking any reference (c6.1). npages is signed, as callers compute it. Checked
 * in this order: -EINVAL npages <= 0 or null argument, -ERANGE pgoff beyond the end, -ENXIO the device is dead,
 * -EOPNOTSUPP the device has no such operation. Otherwise the number of pages that *span covers (1 to npages).
 */
int64_t dax_direct_access(struct dax_device *dax, uint64_t pgoff, int64_t npages, struct dax_span *span);

/* dax_hold - become the exclusive holder. -EBUSY there is one, -ENXIO dead, -EINVAL null argument.
 * dax_release - by that holder only: -EINVAL for anyone else. */
int dax_hold(struct dax_device *dax, void *holder, const struct dax_holder_ops *ops);
int dax_release(struct dax_device *dax, void *holder);

/* dax_kill - no new access (c6.3): the holder is told once (DAX_FAILURE_DEAD, whole device), direct accesses that run
 * are waited for, later ones answer -ENXIO. Twice is harmless. Must not be called from notify_failure. */
int dax_kill(struct dax_device *dax);

/* dax_populate, dax_discard - memory behind pages, and its return, by the device's ops (dax_device_ops). -EINVAL no pages, -ERANGE, -ENXIO dead (not
 * dax_discard: a dying device still takes pages back), -EOPNOTSUPP, or what the device says. */
int dax_populate(struct dax_device *dax, uint64_t pgoff, uint64_t npages);
int dax_discard(struct dax_device *dax, uint64_t pgoff, uint64_t npages);

/* What a device is: any thread may ask, at any time. */
int dax_alive(const struct dax_device *dax);           /* 1 or 0 */
struct pgmap *dax_pgmap(const struct dax_device *dax); /* of a device that is no stack; null on a LIMITED one */
uint64_t dax_npages(const struct dax_device *dax);
unsigned dax_granule_order(const struct dax_device *dax);
const char *dax_name(const struct dax_device *dax);

#ifdef __cplusplus
}
#endif
#endif
