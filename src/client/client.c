/* SPDX-License-Identifier: BSD-3-Clause */
/* client.c - connect and disconnect, and the calls about the pool as a whole. See include/pgmap/client.h. */
#include <pgmap/client.h>

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "client/connection.h"
#include "dev/dev.h"
#include "port/compiler.h"

static_assert(sizeof(struct pgmap_info) == sizeof(struct proto_info) &&
		      offsetof(struct pgmap_info, live_pages) == offsetof(struct proto_info, live_pages) &&
		      offsetof(struct pgmap_info, device) == offsetof(struct proto_info, device) &&
		      offsetof(struct pgmap_info, wiped_late) == offsetof(struct proto_info, wiped_late) &&
		      offsetof(struct pgmap_info, lost) == offsetof(struct proto_info, lost),
	      "the wire's and the user's info are one layout");
static_assert((int)PGMAP_ACCESS_MEMORY == (int)DEV_ACCESS_MEMORY &&
		      (int)PGMAP_ACCESS_CACHED == (int)DEV_ACCESS_CACHED &&
		      (int)PGMAP_ACCESS_DIRECT == (int)DEV_ACCESS_DIRECT &&
		      (int)PGMAP_ACCESS_SYNC == (int)DEV_ACCESS_SYNC &&
		      (int)PGMAP_PERSIST_NONE == (int)DEV_PERSIST_NONE &&
		      (int)PGMAP_PERSIST_UNKNOWN == (int)DEV_PERSIST_UNKNOWN &&
		      (int)PGMAP_PERSIST_PAGE == (int)DEV_PERSIST_PAGE &&
		      (int)PGMAP_PERSIST_CACHE_LINE == (int)DEV_PERSIST_CACHE_LINE &&
		      (int)PGMAP_PERSIST_BYTE == (int)DEV_PERSIST_BYTE,
	      "what a device says is what the user reads");
static_assert((int)PGMAP_WHO_CONNECTED == (int)PROTO_WHO_CONNECTED &&
		      (int)PGMAP_WHO_MAPPING == (int)PROTO_WHO_MAPPING &&
		      (int)PGMAP_WHO_QUARANTINED == (int)PROTO_WHO_QUARANTINED &&
		      (int)PGMAP_WHO_INHERITED == (int)PROTO_WHO_INHERITED,
	      "the wire's and the user's states are the same numbers");

PGMAP_PUBLIC int pgmap_connect(const char *target, struct pgmap_client **out)
{
	static const char unix_prefix[] = "unix:", embedded_prefix[] = "embedded:";
	struct transport *transport;
	int err;
	if (!out)
		return -EINVAL;
	if (target && strncmp(target, embedded_prefix, strlen(embedded_prefix)) == 0)
		err = transport_embedded_open(target + strlen(embedded_prefix), &transport);
	else if (target && strncmp(target, unix_prefix, strlen(unix_prefix)) == 0)
		err = transport_socket_open(target + strlen(unix_prefix), &transport);
	else
		err = transport_socket_open(target, &transport);
	if (err)
		return err;
	err = connection_open(transport, out);
	if (err) {
		(void)transport->ops->close(transport);
		transport->ops->free(transport);
	}
	return err;
}

PGMAP_PUBLIC int pgmap_disconnect(struct pgmap_client *client)
{
	return client ? connection_disconnect(client) : 0;
}

PGMAP_PUBLIC int pgmap_info(struct pgmap_client *client, struct pgmap_info *out)
{
	struct proto_req req = {.type = PROTO_INFO};
	struct proto_rep rep;
	if (!client || !out)
		return -EINVAL;
	int err = connection_ask(client, &req, &rep);
	if (!err)
		memcpy(out, &rep.u.info, sizeof(*out));
	return err;
}

static void copy_string(char *to, size_t to_bytes, const char *strings, uint64_t len, uint64_t at)
{
	size_t n = at < len ? strnlen(strings + at, len - at) : 0;
	if (n >= to_bytes)
		n = to_bytes - 1;
	if (n)
		memcpy(to, strings + at, n);
	to[n] = 0;
}

static int tell_row(const struct proto_who *row, const char *strings, uint64_t len,
		    int (*fn)(void *arg, const struct pgmap_who *who), void *arg)
{
	struct pgmap_who who = {
		.holder_id = row->holder_id,
		.pid = row->pid,
		.uid = row->uid,
		.state = row->state,
		.offset_bytes = row->offset_bytes,
		.len_bytes = row->len_bytes,
		.pages = row->pages,
		.refs = row->refs,
		.pins_local = row->pins_local,
		.pins_remote = row->pins_remote,
		.since_ns = row->since_ns,
	};
	copy_string(who.command, sizeof(who.command), strings, len, row->command);
	copy_string(who.path, sizeof(who.path), strings, len, row->path);
	return fn(arg, &who);
}

static int ask_who(struct pgmap_client *client, struct proto_req *req,
		   int (*fn)(void *arg, const struct pgmap_who *who), void *arg)
{
	struct connection_bytes bytes;
	uint64_t count = 0;
	int err = connection_list(client, req, sizeof(struct proto_who), &count, &bytes);
	if (err || count == 0)
		return err;
	const struct proto_who *rows = bytes.at;
	const char *strings = (const char *)(rows + count);
	for (uint64_t i = 0; i < count && !err; i++)
		err = tell_row(&rows[i], strings, bytes.len - count * sizeof(*rows), fn, arg);
	connection_bytes_exit(&bytes);
	return err;
}

PGMAP_PUBLIC int pgmap_who(struct pgmap_client *client, const char *path,
			   int (*fn)(void *arg, const struct pgmap_who *who), void *arg)
{
	struct proto_req req = {.type = PROTO_WHO};
	if (!client || !fn)
		return -EINVAL;
	int err = path ? connection_set_path(req.path, path) : 0;
	if (!err && path && !*path)
		err = -EINVAL;
	return err ? err : ask_who(client, &req, fn, arg);
}

PGMAP_PUBLIC int pgmap_who_device(struct pgmap_client *client, uint32_t number,
				  int (*fn)(void *arg, const struct pgmap_who *who), void *arg)
{
	struct proto_req req = {.type = PROTO_WHO, .flags = PROTO_WHO_DEVICE, .handle = number};
	return client && fn ? ask_who(client, &req, fn, arg) : -EINVAL;
}

PGMAP_PUBLIC int pgmap_fence(struct pgmap_client *client, uint64_t holder_id)
{
	struct proto_req req = {.type = PROTO_FENCE, .handle = holder_id};
	return client ? connection_ask(client, &req, NULL) : -EINVAL;
}

PGMAP_PUBLIC int pgmap_drain_pool(struct pgmap_client *client, int64_t timeout_ms)
{
	return client ? connection_drain(client, timeout_ms) : -EINVAL;
}

PGMAP_PUBLIC int pgmap_drain_cancel(struct pgmap_client *client)
{
	struct proto_req req = {.type = PROTO_DRAIN_CANCEL};
	return client ? connection_ask(client, &req, NULL) : -EINVAL;
}
