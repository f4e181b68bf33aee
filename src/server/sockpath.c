/* SPDX-License-Identifier: BSD-3-Clause */
/* sockpath.c - where the server's socket is, when nobody says. Thread safety: as getenv(). */
#include "server/sockpath.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const char *from_environment(const char *name)
{
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

int sockpath_resolve(const char *target, struct sockaddr_un *out)
{
	const char *dir, *tail = "";
	if (!target)
		target = from_environment("PGMAP_SOCKET");
	if (!target) {
		dir = from_environment("XDG_RUNTIME_DIR");
		target = dir ? dir : "/run";
		tail = "/pgmap/pgmapd.sock";
	}
	if (strncmp(target, "unix:", 5) == 0) /* as a client says it */
		target += 5;
	if (!*target || strncmp(target, "embedded:", 9) == 0)
		return -EINVAL;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s%s", target, tail);
	if (n < 0 || (size_t)n >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	*out = addr;
	return 0;
}
