/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * devices.h - the devices of a pool, and the one DAX device that is made of them: a stack, also of a single one, so that others
 * can come to it.
 *
 * A lease of a pool is a lease of each of its devices with the same byte: whoever maps some page of the pool keeps the
 * byte on that page's device. So it has fallen when it has fallen on all of them; and as nobody maps anything anew from a
 * lease whose client has gone, they can be asked, or waited for, one after the other. A device that comes while somebody waits
 * for a lease need not be waited for: nobody gets a descriptor of it for that lease. One that goes while somebody waits
 * for it is waited for all the same, through a descriptor that outlives it: longer than need be, where a client that does not
 * let go of what it has no use for has a descriptor of it still; nothing is freed too early by that.
 *
 * Thread safety: under the service's lock, but for opening, and closing what nobody else knows.
 */
#ifndef PGMAP_SERVER_DEVICES_H
#define PGMAP_SERVER_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pgmap/dax.h>

#include "server/opened.h"
#include "server/protocol.h"

/* A device's number is its place here, for as long as it is in the pool; then others can have it. */
struct devices {
	unsigned n;                         /* places: none behind them is in use */
	struct dev *dev[PROTO_DEVICES_MAX]; /* null: there is none here */
	void *base[PROTO_DEVICES_MAX];      /* where it is mapped in this process */
	struct dax_device *memory[PROTO_DEVICES_MAX];
	bool gone[PROTO_DEVICES_MAX];    /* the system has taken it away: found out by devices_check() */
	bool leaving[PROTO_DEVICES_MAX]; /* its removal has begun (change.h) */
	unsigned ngone;
	uint64_t generation;    /* raised whenever one has come or gone */
	bool striped;           /* they take turns: none can come or go */
	unsigned granule_order; /* of the pool: the smallest of them; the biggest, where they take turns */
	struct dax_device *dax; /* a stack of all; a single striped one has none: itself */
};

/*
 * devices_open - all of these specs (none: half of the memory that is free), in this order. layout: "linear" or null, one
 * behind the other; "stripe:SIZE", they take turns. On failure there is none, why says what and which, and *which is the
 * spec's number, or n for all of them. What dev_open(), dax_create() and dax_create_linear() or _stripe() say; -E2BIG too
 * many. What can be refused is, before any of them has lost what it held, but for what is found out only by trying: dev_drop(), and
 * having its memory here. devices_stay: they are a pool's now, and what was
 * made for them outlives it. devices_close: also of a struct that is all 0. -EBUSY some page is held: nothing is closed.
 */
int devices_open(struct devices *devices, const char *const specs[], unsigned n, const char *layout, unsigned *which,
		 char why[DEV_WHY_MAX]);
void devices_stay(struct devices *devices);
int devices_close(struct devices *devices);

/* devices_put, devices_take - into the table, at a number that is free; and out of it. */
void devices_put(struct devices *devices, unsigned i, const struct opened *opened);
void devices_take(struct devices *devices, unsigned i, struct opened *out);
/* Whether one of them is what this spec names. */
bool devices_have(const struct devices *devices, const char *spec);

/* devices_bad_pages - how many pages of device i are known to have lost their data, whoever found out, and are not good again. */
uint64_t devices_bad_pages(const struct devices *devices, unsigned i);

/* What holds for all of them: as enum dev_access and enum dev_persistence. */
enum dev_access devices_access(const struct devices *devices);
enum dev_persistence devices_persistence(const struct devices *devices);
/* Their specs, as many as there is room for. */
void devices_name(const struct devices *devices, char *text, size_t text_bytes);

unsigned devices_count(const struct devices *devices);

/* As dev_open_lease() and dev_join_lease(), for each device that there is, in this order: as many descriptors, or none. */
int devices_open_lease(const struct devices *devices, uint64_t byte, bool write, int fds[]);
int devices_join_lease(const struct devices *devices, uint64_t byte, bool write, int fds[]);
/* devices_check - has the system taken one away (dev_check)? Its number, once for each that is found out, and its memory is
 * killed; else -1. devices_some_stay - one has neither gone, nor is it leaving. devices_is_going - the one that has these folios has gone,
 * or is leaving. */
int devices_check(struct devices *devices);
bool devices_all_gone(const struct devices *devices);
bool devices_some_stay(const struct devices *devices);
bool devices_is_going(const struct devices *devices, const struct pgmap *pgmap);

/*
 * Their pgmaps, which live, die and come back together. Under the service's lock.
 * devices_drain - pgmap_drain() of all with no time to wait: 0 they are DEAD, -ETIMEDOUT one of them is held still (then all
 * can be revived), -EINVAL they are LIVE: to be asked again when something was let go of.
 */
void devices_kill(const struct devices *devices);
int devices_revive(const struct devices *devices); /* -ENODEV: too late */
int devices_drain(const struct devices *devices);
enum pgmap_state devices_state(const struct devices *devices);
uint64_t devices_live_pages(const struct devices *devices);
uint64_t devices_held_pages(const struct devices *devices, unsigned i); /* of this one */
void devices_for_each_held(const struct devices *devices, int (*fn)(const struct pgmap_held *held, void *arg),
			   void *arg);

/* As dev_lease_probe(). devices_waiter - as dev_lease_waiter(), of device i; -ENOENT there is none. */
int devices_lease_probe(const struct devices *devices, uint64_t byte);
int devices_waiter(const struct devices *devices, unsigned i);

#endif
