/* SPDX-License-Identifier: BSD-3-Clause */
/* lost.c - pages that have lost their data: which, a client's word for it, their repair. See include/pgmap/client.h. */
#include <pgmap/client.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "client/connection.h"
#include "client/mapping.h"
#include "port/compiler.h"

static_assert(sizeof(struct pgmap_lost) == sizeof(struct proto_lost) &&
		      offsetof(struct pgmap_lost, holders) == offsetof(struct proto_lost, holders) &&
		      offsetof(struct pgmap_lost, path) == offsetof(struct proto_lost, path) &&
		      offsetof(struct pgmap_lost, held_by) == offsetof(struct proto_lost, held_by),
	      "the wire's and the user's are one layout");
static_assert((int)PGMAP_LOST_DEVICE == (int)PROTO_LOST_DEVICE && (int)PGMAP_LOST_DATA == (int)PROTO_LOST_DATA,
	      "the wire's and the user's reasons are the same numbers");

PGMAP_PUBLIC int pgmap_for_each_lost(struct pgmap_client *client, const char *path,
				     int (*fn)(void *arg, const struct pgmap_lost *lost), void *arg)
{
	struct proto_req req = {.type = PROTO_LOST};
	struct connection_bytes bytes;
	uint64_t count = 0;
	if (!client || !fn || (path && !*path))
		return -EINVAL;
	int err = path ? connection_set_path(req.path, path) : 0;
	if (!err)
		err = connection_list(client, &req, sizeof(struct proto_lost), &count, &bytes);
	if (err || count == 0)
		return err;
	const struct proto_lost *rows = bytes.at;
	for (uint64_t i = 0; i < count && !err; i++) {
		struct pgmap_lost lost;
		memcpy(&lost, &rows[i], sizeof(lost));
		lost.path[sizeof(lost.path) - 1] = lost.held_by[sizeof(lost.held_by) - 1] = 0;
		err = fn(arg, &lost);
	}
	connection_bytes_exit(&bytes);
	return err;
}

PGMAP_PUBLIC int64_t pgmap_repair(struct pgmap_client *client, const char *path, uint64_t offset_bytes,
				  uint64_t len_bytes)
{
	struct proto_req req = {.type = PROTO_REPAIR, .offset_bytes = offset_bytes, .len_bytes = len_bytes};
	struct proto_rep rep;
	if (!client)
		return -EINVAL;
	int err = connection_set_path(req.path, path);
	if (!err)
		err = connection_ask(client, &req, &rep);
	return err ? err : (int64_t)rep.count;
}

PGMAP_PUBLIC int64_t pgmap_notify_failure(struct pgmap_mapping *mapping, uint64_t offset_bytes, uint64_t len_bytes)
{
	struct proto_req req = {.type = PROTO_VERIFY, .offset_bytes = offset_bytes, .len_bytes = len_bytes};
	struct proto_rep rep;
	if (!mapping)
		return -EINVAL;
	req.handle = mapping->id;
	int err = connection_ask(mapping->client, &req, &rep);
	return err ? err : (int64_t)rep.count;
}
