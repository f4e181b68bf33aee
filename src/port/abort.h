/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * abort.h - the end of a program whose invariant is broken: one line of facts on stderr, then abort(), in every build.
 * A wrong count is never carried on with (c3.17).
 */
#ifndef PGMAP_PORT_ABORT_H
#define PGMAP_PORT_ABORT_H

/* A line on stderr, in one write and with no memory: from anywhere. */
void port_say(const char *format, ...) __attribute__((format(printf, 1, 2), cold));

_Noreturn void port_abort(const char *format, ...) __attribute__((format(printf, 1, 2), cold));

#endif
