/* SPDX-License-Identifier: BSD-3-Clause */
/* server.h - the pool server: a loop around a socket. For tools/pgmapd.c and "pgmap serve". */
#ifndef PGMAP_SERVER_SERVER_H
#define PGMAP_SERVER_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "server/service.h"

enum { SERVER_DEVICES_MAX = 8 };
enum { SERVER_WIPE_PERCENT = 25 }; /* for whoever has no wish */

struct server_options {
	/* Specs (dev.h); none: memfd, half of the memory that is free, said on stderr. layout: as devices_open() has it. */
	const char *const *devices;
	unsigned ndevices;
	const char *layout;
	const char *socket_path; /* null: the default (client.h) */
	int ready_fd;            /* one byte is written to it, and it is closed, once clients may connect; or -1 */
	bool quiet;              /* nothing on stderr but errors */
	uint64_t keep_bytes;     /* free memory that is not given back to the system */
	unsigned wipe_percent;   /* of one CPU, to wipe free memory ahead of its next owner; 0: whoever needs it does */
	enum service_role others; /* the socket's mode is 0600 for NOBODY, else 0666; UNSAID: as the umask has it */
};

/* server_parse_others - "none", "read" or "write": what users may do who are neither the server's own nor root. 0 or -EINVAL. */
int server_parse_others(const char *text, enum service_role *out);

/*
 * server_run - serve until the pool has been drained (a client's drain, or SIGTERM or SIGINT, which drain with no
 * deadline, until somebody cancels it). 0: drained, nothing was held. 1: it could not start, or a second signal ended it
 * at once; one line on stderr has said what, which, why. Mappings of clients outlive it either way. Blocks those signals,
 * raises the soft limit of descriptors. Once per process.
 */
int server_run(const struct server_options *options);

#endif
