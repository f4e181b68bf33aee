/* SPDX-License-Identifier: BSD-3-Clause */
/* file.c - files and names: each call is one message. See include/pgmap/client.h. */
#include <pgmap/client.h>

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <pgmap/fsdax.h>

#include "client/connection.h"
#include "port/compiler.h"

static_assert(sizeof(struct pgmap_stat) == sizeof(struct proto_stat) &&
		      offsetof(struct pgmap_stat, mtime_ns) == offsetof(struct proto_stat, mtime_ns) &&
		      offsetof(struct pgmap_stat, granule_order) == offsetof(struct proto_stat, granule_order),
	      "the wire's and the user's stat are one layout");
static_assert((int)PGMAP_O_CREATE == (int)FSDAX_CREATE && (int)PGMAP_O_EXCL == (int)FSDAX_EXCL &&
		      (int)PGMAP_O_TRUNC == (int)FSDAX_TRUNC,
	      "the flags of an open travel as they are");

PGMAP_PUBLIC int pgmap_open(struct pgmap_client *client, const char *path, unsigned flags, struct pgmap_file **out)
{
	struct proto_req req = {.type = PROTO_OPEN, .flags = flags & ~(unsigned)PGMAP_O_RDONLY};
	struct proto_rep rep;
	if (!client || !out || ((flags & PGMAP_O_RDONLY) && (flags & (PGMAP_O_CREATE | PGMAP_O_TRUNC))))
		return -EINVAL;
	int err = connection_set_path(req.path, path);
	if (err)
		return err;
	struct pgmap_file *file = malloc(sizeof(*file));
	if (!file)
		return -ENOMEM;
	err = connection_ask(client, &req, &rep);
	if (err) {
		free(file);
		return err;
	}
	connection_get(client);
	file->client = client;
	file->id = rep.handle;
	file->read_only = flags & PGMAP_O_RDONLY;
	*out = file;
	return 0;
}

/* The handle ends in any case; when the connection has gone, the server has closed the file already. */
PGMAP_PUBLIC int pgmap_close(struct pgmap_file *file)
{
	if (!file)
		return 0;
	if (!client_is_ours(file->client))
		return -EPERM;
	(void)connection_end_handle(file->client, PROTO_CLOSE, file->id, 0);
	connection_put(file->client);
	free(file);
	return 0;
}

PGMAP_PUBLIC int pgmap_fstat(struct pgmap_file *file, struct pgmap_stat *out)
{
	struct proto_req req = {.type = PROTO_FSTAT};
	struct proto_rep rep;
	if (!file || !out)
		return -EINVAL;
	req.handle = file->id;
	int err = connection_ask(file->client, &req, &rep);
	if (!err)
		memcpy(out, &rep.u.stat, sizeof(*out));
	return err;
}

PGMAP_PUBLIC int pgmap_truncate(struct pgmap_file *file, uint64_t size_bytes)
{
	struct proto_req req = {.type = PROTO_TRUNCATE, .len_bytes = size_bytes};
	if (!file)
		return -EINVAL;
	if (file->read_only)
		return -EACCES;
	req.handle = file->id;
	return connection_ask(file->client, &req, NULL);
}

static int call_path(struct pgmap_client *client, enum proto_type type, const char *path, struct proto_rep *rep)
{
	struct proto_req req = {.type = (uint16_t)type};
	if (!client)
		return -EINVAL;
	int err = connection_set_path(req.path, path);
	return err ? err : connection_ask(client, &req, rep);
}

PGMAP_PUBLIC int pgmap_stat(struct pgmap_client *client, const char *path, struct pgmap_stat *out)
{
	struct proto_rep rep;
	if (!out)
		return -EINVAL;
	int err = call_path(client, PROTO_STAT, path, &rep);
	if (!err)
		memcpy(out, &rep.u.stat, sizeof(*out));
	return err;
}

PGMAP_PUBLIC int pgmap_unlink(struct pgmap_client *client, const char *path)
{
	return call_path(client, PROTO_UNLINK, path, NULL);
}

PGMAP_PUBLIC int pgmap_mkdir(struct pgmap_client *client, const char *path)
{
	return call_path(client, PROTO_MKDIR, path, NULL);
}

PGMAP_PUBLIC int pgmap_set_order(struct pgmap_client *client, const char *path, unsigned order)
{
	struct proto_req req = {.type = PROTO_ORDER, .len_bytes = order};
	if (!client)
		return -EINVAL;
	int err = connection_set_path(req.path, path);
	return err ? err : connection_ask(client, &req, NULL);
}

PGMAP_PUBLIC int pgmap_rmdir(struct pgmap_client *client, const char *path)
{
	return call_path(client, PROTO_RMDIR, path, NULL);
}

PGMAP_PUBLIC int pgmap_rename(struct pgmap_client *client, const char *from, const char *to)
{
	struct proto_req req = {.type = PROTO_RENAME};
	if (!client)
		return -EINVAL;
	int err = connection_set_path(req.path, from);
	if (!err)
		err = connection_set_path(req.path2, to);
	return err ? err : connection_ask(client, &req, NULL);
}

/* The whole listing is here before fn is called, so fn may make other calls. */
PGMAP_PUBLIC int pgmap_readdir(struct pgmap_client *client, const char *path,
			       int (*fn)(void *arg, const char *name, const struct pgmap_stat *st), void *arg)
{
	struct proto_req req = {.type = PROTO_READDIR};
	struct connection_bytes bytes;
	uint64_t count = 0;
	if (!client || !fn)
		return -EINVAL;
	int err = connection_set_path(req.path, path);
	if (!err)
		err = connection_list(client, &req, sizeof(struct proto_dirent), &count, &bytes);
	if (err || count == 0)
		return err;
	const struct proto_dirent *entries = bytes.at;
	for (uint64_t i = 0; i < count && !err; i++) /* names end: all of them, before the first is told */
		err = memchr(entries[i].name, 0, sizeof(entries[i].name)) ? 0 : -EPROTO;
	for (uint64_t i = 0; i < count && !err; i++) {
		struct pgmap_stat st;
		memcpy(&st, &entries[i].stat, sizeof(st));
		err = fn(arg, entries[i].name, &st);
	}
	connection_bytes_exit(&bytes);
	return err;
}
