/* SPDX-License-Identifier: BSD-3-Clause */
#include <pgmap/client.h>
#include <stdio.h>
#include <string.h>

static int row(void *arg, const struct pgmap_who *who)
{
	(void)arg;
	return printf("pid %d holds %s, remote pins: %d\n", who->pid, who->path, (int)who->pins_remote) < 0;
}

int main(int argc, char **argv) /* hello [SOCKET]: in a server's pool, or in one of its own */
{
	struct pgmap_client *pool;
	struct pgmap_mapping *map;
	int err = pgmap_connect(argc > 1 ? argv[1] : "embedded:memfd:size=64M,page=4K", &pool);
	if (!err)
		err = pgmap_open_map(pool, "/hello", PGMAP_O_CREATE, 4 << 20, PGMAP_MAP_READ | PGMAP_MAP_WRITE, &map);
	if (err)
		return fprintf(stderr, "hello: %s\n", strerror(-err)), 1;
	strcpy(pgmap_mapping_address(map), "these bytes are the device's own: nothing is copied");
	err = pgmap_pin(map, 0, 4096, PGMAP_PIN_REMOTE) || pgmap_who(pool, "/hello", row, NULL) ||
	      pgmap_unpin(map, 0, 4096, PGMAP_PIN_REMOTE); /* while it is pinned, a NIC may read it */
	return pgmap_unmap(map) || pgmap_disconnect(pool) || err;
}
