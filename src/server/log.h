/* SPDX-License-Identifier: BSD-3-Clause */
/* log.h - what a server that runs says, on stderr. */
#ifndef PGMAP_SERVER_LOG_H
#define PGMAP_SERVER_LOG_H

#include "server/service.h"

/* log_line - "pgmapd: ", this, and a newline; cut to 1023 bytes. Nothing is said where stderr has no room: it never waits.
 * For the loop's thread. SIGPIPE is ignored. */
__attribute__((format(printf, 1, 2))) void log_line(const char *format, ...);

/* log_event - a line that programs read, too: "pgmapd: event=WHAT holder=N pid=N uid=N command=\"NAME\"", and pages=N of
 * those that have some. A service_event_fn. */
void log_event(void *unused, enum service_event event, const struct service_whom *whom);

#endif
