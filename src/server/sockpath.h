/* SPDX-License-Identifier: BSD-3-Clause */
/* sockpath.h - where the server's socket is, when nobody says. For the server and the client. */
#ifndef PGMAP_SERVER_SOCKPATH_H
#define PGMAP_SERVER_SOCKPATH_H

#include <sys/un.h>

/* target, else $PGMAP_SOCKET, else $XDG_RUNTIME_DIR/pgmap/pgmapd.sock, else /run/pgmap/pgmapd.sock. -EINVAL it is empty,
 * -ENAMETOOLONG it does not fit a socket's address. */
int sockpath_resolve(const char *target, struct sockaddr_un *out);

#endif
