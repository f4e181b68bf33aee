/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * futex.h - wait for a word of this process to change; wake all who do.
 */
#ifndef PGMAP_PORT_FUTEX_H
#define PGMAP_PORT_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

/* Returns when the word is not `seen` any more, on a wake, spuriously, or at deadline_ns (CLOCK_MONOTONIC; UINT64_MAX:
 * never): -ETIMEDOUT then, otherwise 0. */
int port_futex_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t deadline_ns);
void port_futex_wake_all(_Atomic uint32_t *word);

uint64_t port_now_ns(void); /* CLOCK_MONOTONIC */

#endif
