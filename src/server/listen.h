/* SPDX-License-Identifier: BSD-3-Clause */
/* listen.h - the server's socket: made, guarded against a second server, taken over from a dead one. */
#ifndef PGMAP_SERVER_LISTEN_H
#define PGMAP_SERVER_LISTEN_H

#include <sys/types.h>
#include <sys/un.h>

#include "dev/dev.h"

enum { LISTEN_WHY_MAX = DEV_WHY_MAX };

struct listener {
	struct sockaddr_un addr;
	int fd;
	int lock_fd; /* PATH.lock, locked for as long as we serve */
};

/* listener_open - path null: the default. -EADDRINUSE a live server has it; why gets the clause for an error line. */
int listener_open(struct listener *listener, const char *path, char why[LISTEN_WHY_MAX]);
/* Who may connect: those who may write to the socket. Until then, what the umask left. */
int listener_set_mode(const struct listener *listener, mode_t mode);
void listener_close(struct listener *listener); /* the socket's name goes, too */

#endif
