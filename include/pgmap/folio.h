/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * folio.h - naturally aligned, contiguous pages of one pgmap with one reference count.
 *
 *            request (0 -> 1)              last put (1 -> 0)          folio_free returns
 *   IDLE ----------------------> HELD ------------------> RELEASING ------------------> IDLE
 *                                 |                           | owner says keep
 *                                 | split                     v
 *                                 v                       QUARANTINED --owner releases--> IDLE
 *                              HELD, smaller orders
 *
 * Idle is refcount 0 (c3.1). A handle is the address of the folio's one word: it is valid while the caller has a
 * reference, and its pgmap and offset follow from where it lies.
 *
 * Thread safety and errors: see pgmap.h. Get, put, pin, unpin and lookup never wait. A request makes no system call
 * (but see docs/costs.md for systems that forbid overcommit) and may wait, spinning, for an overlapping request that
 * is still undecided (c3.10). Do not call request or split from a signal handler.
 */
#ifndef PGMAP_FOLIO_H
#define PGMAP_FOLIO_H

#include <stdbool.h>

#include <pgmap/pgmap.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What may move a pinned folio's data (c3.16). */
enum folio_pin_kind {
	FOLIO_PIN_LOCAL = 0, /* read/write, O_DIRECT, libaio: the kernel finishes these before the process is gone */
	FOLIO_PIN_REMOTE = 1 /* all else (RDMA, a GPU, io_uring, vmsplice, MSG_ZEROCOPY): may go on after the process */
};

/*
 * pgmap_request_folio - the only way from refcount 0 to 1; the count is then exactly 1, charged to nobody.
 * Checked in this order (c3.2 to c3.8):
 *   -EINVAL     order above PGMAP_MAX_ORDER, pgoff not a multiple of 2^order, null argument
 *   -ERANGE     the span leaves the pgmap, or crosses from one range into another
 *   -ENODEV     the pgmap is dying or dead: a legal race
 *   -EHWPOISON  a page of the span is poisoned (pgmap_poison())
 *   -EBUSY      a page of the span is held, releasing or quarantined
 *   -ENOMEM     no memory for metadata
 *   0           every page was idle; they are now one folio
 * Claims are exact (c3.9); a request that fails leaves no trace (c3.11).
 */
int pgmap_request_folio(struct pgmap *pgmap, uint64_t pgoff, unsigned order, struct folio **out);

/*
 * pgmap_request_folios - the fewest naturally aligned folios that cover [pgoff, pgoff + npages) exactly, in ascending order,
 * each held once and charged to nobody; *n is how many (c3.12). Or none, and the errors of pgmap_request_folio(), in the same
 * order (-EINVAL: npages is 0, or a null argument). folios[] must have room for pgmap_folios_in(pgoff, npages) of them.
 * Atomic in its result: while it runs, lookups see the folios appear in ascending order, and only when it can no longer fail.
 */
int pgmap_request_folios(struct pgmap *pgmap, uint64_t pgoff, uint64_t npages, struct folio *folios[], size_t *n);

/* How many folios that is. npages below 2^48, and so the sum. Touches no pgmap. */
size_t pgmap_folios_in(uint64_t pgoff, uint64_t npages);

/*
 * pgmap_get_folio - one more reference on the held folio that covers pgoff (c3.13). It never activates.
 *   -EINVAL  null argument          -ERANGE  outside of the pgmap
 *   -ENODEV  dying or dead          -ENOENT  that page is idle, releasing or quarantined
 */
int pgmap_get_folio(struct pgmap *pgmap, uint64_t pgoff, struct folio **out);

/*
 * pgmap_find_folio - the handle of the held folio that covers pgoff, with no reference taken: for a caller that holds a
 * reference on it already, say after folio_split(). Works in every state of the pgmap. -EINVAL, -ERANGE, -ENOENT.
 */
int pgmap_find_folio(struct pgmap *pgmap, uint64_t pgoff, struct folio **out);

/*
 * pgmap_check_idle - whether all pages of a span, as of pgmap_request_folio(), are idle (c3.1): 0, or -EBUSY one is held, releasing
 * or quarantined. It takes nothing, so that no lookup finds anything of it, and has no other reason to fail: it answers in every
 * state of the pgmap, and over poisoned pages. Where nobody requests any of these pages meanwhile 0 is final: folio_free has
 * returned for all of them. Otherwise either answer may be old when it comes. Never waits.
 *   -EINVAL, -ERANGE  as of pgmap_request_folio()
 */
int pgmap_check_idle(struct pgmap *pgmap, uint64_t pgoff, unsigned order);

/* folio_get - a duplicate of a reference that the caller has (c3.14). Always succeeds; aborts at PGMAP_MAX_REFS. */
void folio_get(struct folio *folio);

/* folio_put - drop a reference that is charged to nobody; the last one runs folio_free here, once (c3.15).
 * Aborts when there is no such reference (c3.17). */
void folio_put(struct folio *folio);

/*
 * folio_get_holder, folio_put_holder - folio_get() and folio_put(), charged to a holder (c4.1). A null holder means: to
 * nobody.
 *   -ENOMEM     no memory for the charge (never when the holder has a reference on this folio already)
 *   -ESHUTDOWN  the holder has been ended
 *   -EINVAL     the holder belongs to another pgmap
 */
int folio_get_holder(struct folio *folio, struct pgmap_holder *holder);
void folio_put_holder(struct folio *folio, struct pgmap_holder *holder);

/* folio_charge - hand a reference that is charged to nobody to a holder; the count does not change. Errors as above; aborts
 * when there is no such reference. */
int folio_charge(struct folio *folio, struct pgmap_holder *holder);

/*
 * folio_pin - one reference and one pin, charged to the holder (null: to nobody). The caller must have a reference.
 * Async-signal-safe (with a holder: not in the child of a fork() of a process with threads). Besides the errors above: -EPERM where the pgmap's type allows no pin (c5), -EINVAL unknown kind.
 * folio_unpin takes both back; without such a pin it aborts.
 */
int folio_pin(struct folio *folio, struct pgmap_holder *holder, enum folio_pin_kind kind);
void folio_unpin(struct folio *folio, struct pgmap_holder *holder, enum folio_pin_kind kind);

/*
 * folio_split - split a folio into 2^(order - new_order) folios (c3.18): by the sole holder of an anonymous reference (count exactly
 * 1, no pin), then each part is held once by the caller; or when every reference is charged to a holder and there is no
 * pin, then each part inherits each holder's references. The old handle is one of the parts or no handle at all:
 * pgmap_find_folio() gives the parts' handles. folio_private() of a part is the old folio's.
 * A split that fails may be the last to put, as its holders may go meanwhile: folio_free runs then, in this context.
 *   -EINVAL  new_order above the folio's order (equal: 0, nothing done)
 *   -EBUSY   someone else has a reference, or a pin; or the folio is held no more
 *   -ENOMEM  no memory for metadata or charges; nothing changed
 */
int folio_split(struct folio *folio, unsigned new_order);

/* Where and what it is. Stable while the caller has a reference, but for the order: a split lowers it. */
struct pgmap *folio_pgmap(const struct folio *folio);
uint64_t folio_pgoff(const struct folio *folio);
unsigned folio_order(const struct folio *folio);
uint64_t folio_pages(const struct folio *folio);
void *folio_address(const struct folio *folio); /* null where the CPU cannot touch it, or params.base was null */

/*
 * folio_migrate_to_ram - before the CPU may look at what a PRIVATE folio holds: the owner brings it to host memory (c5.4). The
 * answer is the owner's: 0 or -errno. Types that the CPU can touch where they are: 0 at once. The caller has a reference.
 */
int folio_migrate_to_ram(struct folio *folio);

/* Counts at this moment, for messages and tests. */
uint64_t folio_refs(const struct folio *folio);
uint64_t folio_pins(const struct folio *folio);

/* 8 bytes of the owner's, 0 after a request, valid while held (c3.19). Set: 0 or -ENOMEM. Not synchronised. */
uint64_t folio_private(const struct folio *folio);
int folio_set_private(struct folio *folio, uint64_t value);

/*
 * pgmap_release_quarantined - the owner's word that the quarantined folio at this pgoff may be idle again.
 *   -EINVAL  null    -ERANGE  outside    -ENOENT  no quarantined folio covers it    -EBUSY  a holder's REMOTE pins did
 *   it: pgmap_holder_fence() is the way
 */
int pgmap_release_quarantined(struct pgmap *pgmap, uint64_t pgoff);

#ifdef __cplusplus
}
#endif
#endif
