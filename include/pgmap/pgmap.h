/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pgmap.h - the pages of one device, and their one lifetime.
 *
 * A pgmap covers one or more ranges of a device. It is LIVE while folios can be requested, DYING after
 * pgmap_kill(), DEAD once a drain has proved that no folio is held, and gone after pgmap_destroy():
 *
 *               pgmap_kill            pgmap_drain succeeds
 *      LIVE ---------------> DYING ---------------------> DEAD --pgmap_destroy--> gone
 *        ^                     |
 *        +---- pgmap_revive ---+
 *
 * Clause numbers (c2.4, ...) are those of docs/contract.md.
 *
 * Errors: every call returns 0 (or a count) or a negative errno; results come back through out-parameters,
 * which a failing call leaves untouched. Broken invariants (a put without a reference, ...) abort with one
 * line on stderr that names the facts, in every build.
 *
 * PGMAP_TRACK=1 in the environment when a pgmap is created: where each of its references and pins is taken is recorded, and
 * said on stderr with every failed drain, wrong put and at exit, of what is still held then (c4.3). Slow; for debugging.
 *
 * Thread safety: every call may be made from any thread at any time on a pgmap that has not been destroyed,
 * except where it says otherwise. Only folio_pin() and folio_unpin() are async-signal-safe (c3.24).
 */
#ifndef PGMAP_PGMAP_H
#define PGMAP_PGMAP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PGMAP_PAGE_SHIFT 12                        /* a page of a device: 4 KiB (c1) */
#define PGMAP_PAGE_SIZE  (1UL << PGMAP_PAGE_SHIFT) /* bytes */
#define PGMAP_ORDER_PTE  0                         /* a folio has 2^order pages: 4 KiB, */
#define PGMAP_ORDER_PMD  9                         /* 2 MiB, */
#define PGMAP_ORDER_PUD  18                        /* 1 GiB */
#define PGMAP_MAX_ORDER  PGMAP_ORDER_PUD
#define PGMAP_MAX_PAGES  (UINT64_C(1) << 48) /* pgoff is below this (c3.23) */
#define PGMAP_MAX_REFS   ((1U << 24) - 1)    /* references, and pins, of one folio (c3.23) */

/* A deadline is an absolute time of CLOCK_MONOTONIC in nanoseconds. 0 has passed already: look once. */
#define PGMAP_NO_DEADLINE UINT64_MAX

struct pgmap;        /* opaque */
struct folio;        /* opaque; nothing holds a pointer to one unless it holds a reference on it (folio.h) */
struct pgmap_holder; /* opaque: whom a reference or a pin is charged to */

/* What kind of memory it is, and so who may ask for folios and pin them (c5). */
enum pgmap_type {
	PGMAP_FSDAX = 1,    /* c5.1: a file system's extents; pins allowed, revocable */
	PGMAP_GENERIC = 2,  /* c5.2: a device's user; pins allowed */
	PGMAP_COHERENT = 3, /* c5.3: device memory on the CPU's bus; no pins, the owner migrates first */
	PGMAP_PRIVATE = 4,  /* c5.4: device memory that the CPU cannot touch; no pins, no folio_address() */
	PGMAP_P2PDMA = 5    /* c5.5: a PCI BAR; no pins */
};

enum pgmap_state {
	PGMAP_LIVE = 0,  /* c2.1: folios can be requested */
	PGMAP_DYING = 1, /* c2.2: requests and lookups answer -ENODEV; what is held stays valid */
	PGMAP_DEAD = 2   /* c2.3: no folio is held, and none ever will be */
};

/* A range of the device, in bytes. Both multiples of PGMAP_PAGE_SIZE; len_bytes is not 0. */
struct pgmap_range {
	uint64_t start_bytes;
	uint64_t len_bytes;
};

/* What pgmap_ops.folio_free may answer. */
enum { PGMAP_FREE_IDLE = 0, PGMAP_FREE_KEEP = 1 };

/* What the owner of the offsets does. ops_bytes is sizeof(struct pgmap_ops): later versions append. */
struct pgmap_ops {
	size_t ops_bytes;
	/*
	 * The last reference has gone: run once per folio, in the context of the put that was the last (c3.15).
	 * The folio is RELEASING: folio_pgoff(), folio_order(), folio_address() and folio_private() may be used on it.
	 * PGMAP_FREE_IDLE: the pages are idle as soon as this returns. PGMAP_FREE_KEEP: they are QUARANTINED
	 * until pgmap_release_quarantined(). It must not wait for its own pgmap's death, nor request the
	 * pages that it is freeing. May be null for FSDAX and GENERIC.
	 */
	int (*folio_free)(struct folio *folio, void *owner);
	/* PRIVATE only, and required there (c2.15): bring the folio's data to host memory. 0 or -errno. */
	int (*migrate_to_ram)(struct folio *folio, void *owner);
};

struct pgmap_params {
	size_t params_bytes; /* sizeof(struct pgmap_params) */
	enum pgmap_type type;
	const struct pgmap_range *ranges; /* in ascending order, disjoint; copied */
	size_t nranges;
	const struct pgmap_ops *ops; /* may be null where no callback is required; must outlive the pgmap */
	void *owner;                 /* handed to the callbacks */
	void *base;                  /* where device offset 0 is mapped here, or null: folio_address() is null then */
	const char *name;            /* for messages; copied (31 bytes at most are kept); null: "pgmap" */
};

/*
 * pgmap_create - a new LIVE pgmap. Costs the same for every size of device: pages get metadata when a folio is made.
 * pgoffs are given to the ranges one after the other, each starting at a pgoff congruent to its device offset (in
 * pages) modulo 2^18, so that alignment in pgoff is alignment on the device; the gaps between are outside (c1).
 *   -EINVAL  null argument, wrong params_bytes, unknown type, no range, a range that is empty, unaligned, out of
 *            order or overlapping (c2.14), a callback missing that the type requires (c2.15)
 *   -ENOMEM  no memory or address space
 */
int pgmap_create(const struct pgmap_params *params, struct pgmap **out);

/* pgmap_kill - LIVE to DYING (c2.4, c2.5). Never waits; on a DYING or DEAD pgmap it does nothing. Always 0. */
int pgmap_kill(struct pgmap *pgmap);

/*
 * pgmap_drain - wait until no folio is held, and make the pgmap DEAD (c2.6, c2.7).
 *   0           DEAD
 *   -EINVAL     it is LIVE: kill it first
 *   -ETIMEDOUT  folios are still held at deadline_ns; it is still DYING. pgmap_for_each_held() says which
 *   -ECANCELED  revived meanwhile
 */
int pgmap_drain(struct pgmap *pgmap, uint64_t deadline_ns);

/* pgmap_revive - DYING to LIVE: the removal is called off (c2.8, c2.9). 0, also on LIVE; -ENODEV on DEAD. */
int pgmap_revive(struct pgmap *pgmap);

/* pgmap_destroy - free a DEAD pgmap and its ended holders (c2.10). -EBUSY on any other: nothing changes. Null: 0.
 * No other call on this pgmap may be running or come later; holders of it become invalid. */
int pgmap_destroy(struct pgmap *pgmap);

/* pgmap_state - LIVE, DYING or DEAD, at this moment: only DEAD stays. */
enum pgmap_state pgmap_state(const struct pgmap *pgmap);

/* Pages (not folios) that are held, releasing or quarantined (c2.11). Exact when nothing runs; an estimate while
 * requests and puts run on a LIVE pgmap; never too low on a DYING one. Reads a fixed number of words (c2.13). */
uint64_t pgmap_live_pages(const struct pgmap *pgmap);

/* The first pgoff that is outside of the pgmap's last range. */
uint64_t pgmap_end(const struct pgmap *pgmap);

/* pgmap_name, pgmap_owner - what pgmap_create() was given: params.name, as long as the pgmap is there, and params.owner. */
const char *pgmap_name(const struct pgmap *pgmap);
void *pgmap_owner(const struct pgmap *pgmap);

/* Pgoff to byte offset on the device, and back. -ERANGE: outside, or in a gap. */
int pgmap_pgoff_to_device(const struct pgmap *pgmap, uint64_t pgoff, uint64_t *offset_bytes);
int pgmap_device_to_pgoff(const struct pgmap *pgmap, uint64_t offset_bytes, uint64_t *pgoff);

/* "Now plus ms milliseconds" as a deadline. */
uint64_t pgmap_deadline_in(uint64_t ms);

/*
 * Poison: a property of pages, beside the states of their folios. A page that is poisoned is not handed out: requests over
 * it answer -EHWPOISON (c3.5). What is held over it stays held, and lookups find it: what to do is the holders' matter.
 * A request that began before pgmap_poison() returned may still succeed.
 */

/* pgmap_poison - the pages are bad. Also where they are already, in every state of the pgmap and of the pages.
 *   -EINVAL  null, npages is 0    -ERANGE  the span leaves a range    -ENOMEM */
int pgmap_poison(struct pgmap *pgmap, uint64_t pgoff, uint64_t npages);

/* pgmap_clear_poison - the pages are good again: overwritten, or cleared by the device. Also where they were good. Errors
 * as above; -ENOMEM (when the middle of a bad range is cleared) changes nothing. */
int pgmap_clear_poison(struct pgmap *pgmap, uint64_t pgoff, uint64_t npages);

/* pgmap_for_each_poisoned - fn is called for each range of bad pages, in ascending pgoff; it must not call into this pgmap.
 * A non-zero answer of fn ends the walk and is returned. -EINVAL null argument. */
int pgmap_for_each_poisoned(struct pgmap *pgmap, int (*fn)(uint64_t pgoff, uint64_t npages, void *arg), void *arg);

/*
 * Holders. Every reference and pin that is taken with a holder is charged to it, exactly (c4.1).
 */

/* pgmap_holder_create - somebody to charge references and pins to. name is copied (63 bytes at most are kept). -EINVAL null argument, -ENOMEM. */
int pgmap_holder_create(struct pgmap *pgmap, const char *name, struct pgmap_holder **out);

/*
 * pgmap_holder_end - drop all that the holder holds (c4.2): references and LOCAL pins at once. Folios on which it has
 * REMOTE pins lose these pins too, but are marked: their last put leaves them QUARANTINED, charged to this name,
 * until pgmap_holder_fence() (c7.5). The handle may be used for pgmap_holder_fence(), pgmap_holder_name() and
 * pgmap_holder_charge() afterwards; no reference can be charged to it any more (-ESHUTDOWN).
 * Returns the number of pages that it left to be quarantined (also when called again); when that is 0, the holder is freed
 * and the handle gone. -EBUSY: another thread is just ending it. Must have returned before pgmap_destroy().
 */
int64_t pgmap_holder_end(struct pgmap_holder *holder);

/* pgmap_holder_fence - whoever could still move data for this ended holder has been stopped: its pages are released
 * (folio_free runs), unless others hold them or another holder's mark is on them, and the handle is gone.
 * -EBUSY: the holder has not been ended. */
int pgmap_holder_fence(struct pgmap_holder *holder);

/* pgmap_holder_name - the name that it was created with. */
const char *pgmap_holder_name(const struct pgmap_holder *holder);

struct pgmap_charge {
	uint64_t refs;        /* references, pins included */
	uint64_t pins_local;  /* of these, LOCAL pins */
	uint64_t pins_remote; /* of these, REMOTE pins */
	uint64_t pages;       /* pages of the distinct folios that it holds */
};
/* pgmap_holder_charge - what is charged to a holder at this moment. */
void pgmap_holder_charge(const struct pgmap_holder *holder, struct pgmap_charge *out);

/* What pgmap_for_each_held() says about a folio. */
enum pgmap_held_state { PGMAP_HELD = 1, PGMAP_RELEASING = 2, PGMAP_QUARANTINED = 3 };
struct pgmap_held {
	uint64_t pgoff;
	unsigned order;
	enum pgmap_held_state state;
	uint64_t refs;              /* all of them */
	uint64_t pins;              /* of these, pins */
	uint64_t anon;              /* references that are charged to no holder */
	const char *holder;         /* one call per holder of the folio, and one with null for anonymous references */
	struct pgmap_charge charge; /* that holder's part; charge.pages is the folio's pages */
};

/*
 * pgmap_for_each_held - say what is held, and by whom (c2.12), in ascending pgoff; fn is called once for each pair of
 * folio and holder, and once for a folio's anonymous references; it must not call into this pgmap. A non-zero answer of
 * fn ends the walk and is returned; -EINVAL null argument. What changes during the walk may be seen before or after the change. The cost
 * grows with what is held or was held since its 1 GiB was last closed, plus one word per GiB of device.
 */
int pgmap_for_each_held(struct pgmap *pgmap, int (*fn)(const struct pgmap_held *held, void *arg), void *arg);

/* What pgmap_stats() counts. */
struct pgmap_stats {
	uint64_t folios[PGMAP_MAX_ORDER + 1]; /* by order; held, releasing and quarantined ones */
	uint64_t pages_held;
	uint64_t pages_releasing;
	uint64_t pages_quarantined;
	uint64_t pages_poisoned; /* whatever else they are */
	uint64_t refs;           /* pins included */
	uint64_t pins;
};

/* pgmap_stats - count what is held. Costs as much as pgmap_for_each_held(), and sees changes as it does. 0, or -EINVAL null
 * argument. */
int pgmap_stats(struct pgmap *pgmap, struct pgmap_stats *out);

#ifdef __cplusplus
}
#endif
#endif
