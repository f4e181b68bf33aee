/* SPDX-License-Identifier: BSD-3-Clause */
/* log.h - what a server that runs says, on stderr. */
#ifndef PGMAP_SERVER_LOG_H
#define PGMAP_SERVER_LOG_H

/* log_line - "pgmapd: ", this, and a newline; cut to 1023 bytes. Nothing is said where stderr has no room: it never waits.
 * For the loop's thread. SIGPIPE is ignored. */
__attribute__((format(printf, 1, 2))) void log_line(const char *format, ...);

#endif
