/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reserve.h - address space that costs nothing until it is touched.
 *
 * A reservation reads as zero, is left out of core dumps, and uses no huge pages (a touched word shall cost a page of
 * 4 KiB). Where the system lets us, it may be touched at once; where it forbids overcommit, *on_demand says that each
 * part must be committed before it is written to; until then it can be read, as zero.
 */
#ifndef PGMAP_PORT_RESERVE_H
#define PGMAP_PORT_RESERVE_H

#include <stdbool.h>
#include <stddef.h>

/* An address that is a multiple of align_bytes (a power of two, at least a page), or null: no address space. */
void *port_reserve(size_t bytes, size_t align_bytes, bool *on_demand);
/* 0 or -ENOMEM. Part of a reservation that is on demand, in pages; may be committed twice. */
int port_commit(void *at, size_t bytes);
/* port_extend - a reservation that may be touched, all of it, becomes longer, maybe elsewhere: its new address, or null, and nothing
 * has changed. Whole pages. */
void *port_extend(void *at, size_t bytes, size_t to_bytes);
/* Zeroed memory, not from malloc (so that a signal handler may have it), or null. Given back by port_unreserve(). */
void *port_pages(size_t bytes);
void port_unreserve(void *at, size_t bytes);

#endif
