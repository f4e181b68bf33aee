/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * taking.c - truncate, punch and unlink of pages that somebody may hold. See include/pgmap/client.h.
 *
 * Who waits must not keep the connection: what is waited for may be an unmap of another thread. So the request is first
 * made to fail where it would wait, which most times is all; then the connection on which it will be waited for is made,
 * and only then a request that waits: so none is left behind for want of a descriptor.
 */
#include <pgmap/client.h>

#include <errno.h>

#include "client/connection.h"
#include "port/compiler.h"

static_assert((int)PGMAP_WAIT == (int)PROTO_HOW_WAIT && (int)PGMAP_FAIL == (int)PROTO_HOW_FAIL && PGMAP_DEFER == 0,
	      "the modes travel as they are");

/* Nothing may come of it after its caller was told that it failed. Most times it has ended, and this was its answer. */
static int call_off(struct pgmap_client *client, uint64_t handle, int err)
{
	struct proto_req req = {.type = PROTO_AWAIT, .flags = PROTO_AWAIT_CANCEL, .handle = handle};
	int answer = connection_ask(client, &req, NULL);
	return answer == -EBADF || answer == -ECANCELED || answer == -EPIPE ? err : answer;
}

static int ask_and_await(struct pgmap_client *client, struct proto_req *req)
{
	struct proto_rep rep = {0};
	struct forkfd control = {.fd = -1};
	struct transport *transport = client->transport;
	int err = transport->ops->await_open(transport, &control);
	if (!err)
		err = connection_ask(client, req, &rep);
	if (!err && rep.handle)
		err = transport->ops->await(transport, &control, rep.handle);
	forkfd_close(&control);
	return err && rep.handle ? call_off(client, rep.handle, err) : err;
}

static int take(struct pgmap_client *client, struct proto_req *req, int mode, int64_t timeout_ms)
{
	if (mode == PGMAP_DEFER)
		return connection_ask(client, req, NULL);
	req->flags = PROTO_HOW_FAIL;
	int err = connection_ask(client, req, NULL);
	if (mode == PGMAP_FAIL || err != -EBUSY)
		return err;
	if (timeout_ms == 0)
		return -ETIMEDOUT;
	req->flags = PROTO_HOW_WAIT;
	req->timeout_ms = timeout_ms;
	return ask_and_await(client, req);
}

static int check_mode(int mode)
{
	return mode >= PGMAP_DEFER && mode <= PGMAP_FAIL ? 0 : -EINVAL;
}

PGMAP_PUBLIC int pgmap_truncate_how(struct pgmap_file *file, uint64_t size_bytes, int mode, int64_t timeout_ms)
{
	struct proto_req req = {.type = PROTO_TRUNCATE, .len_bytes = size_bytes};
	if (!file || check_mode(mode) != 0)
		return -EINVAL;
	if (file->read_only)
		return -EACCES;
	req.handle = file->id;
	return take(file->client, &req, mode, timeout_ms);
}

PGMAP_PUBLIC int pgmap_punch(struct pgmap_file *file, uint64_t offset_bytes, uint64_t len_bytes, int mode,
			     int64_t timeout_ms)
{
	struct proto_req req = {.type = PROTO_PUNCH, .offset_bytes = offset_bytes, .len_bytes = len_bytes};
	if (!file || check_mode(mode) != 0)
		return -EINVAL;
	if (file->read_only)
		return -EACCES;
	req.handle = file->id;
	return take(file->client, &req, mode, timeout_ms);
}

PGMAP_PUBLIC int pgmap_unlink_how(struct pgmap_client *client, const char *path, int mode, int64_t timeout_ms)
{
	struct proto_req req = {.type = PROTO_UNLINK};
	if (!client || check_mode(mode) != 0)
		return -EINVAL;
	int err = connection_set_path(req.path, path);
	return err ? err : take(client, &req, mode, timeout_ms);
}
