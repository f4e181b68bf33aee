/* SPDX-License-Identifier: BSD-3-Clause */
/* device.c - the devices of a pool: what they are, and their coming and going. See include/pgmap/client.h. */
#include <pgmap/client.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "client/connection.h"
#include "port/compiler.h"

static_assert((int)PGMAP_WHY_MAX == (int)PROTO_WHY_MAX, "a clause travels whole");
static_assert(sizeof(struct pgmap_device) == sizeof(struct proto_device) &&
		      offsetof(struct pgmap_device, persistence) == offsetof(struct proto_device, persistence) &&
		      offsetof(struct pgmap_device, bad) == offsetof(struct proto_device, bad) &&
		      offsetof(struct pgmap_device, spec) == offsetof(struct proto_device, spec),
	      "the wire's and the user's device are one layout");
static_assert((int)PGMAP_DEVICE_LIVE == (int)PROTO_DEVICE_LIVE &&
		      (int)PGMAP_DEVICE_LEAVING == (int)PROTO_DEVICE_LEAVING &&
		      (int)PGMAP_DEVICE_GONE == (int)PROTO_DEVICE_GONE,
	      "the wire's and the user's states are the same numbers");

PGMAP_PUBLIC int pgmap_for_each_device(struct pgmap_client *client,
				       int (*fn)(void *arg, const struct pgmap_device *device), void *arg)
{
	struct proto_req req = {.type = PROTO_DEVICES};
	struct connection_bytes bytes;
	uint64_t count = 0;
	if (!client || !fn)
		return -EINVAL;
	int err = connection_list(client, &req, sizeof(struct proto_device), &count, &bytes);
	if (err)
		return err;
	const struct proto_device *rows = bytes.at;
	for (uint64_t i = 0; i < count && !err; i++) {
		struct pgmap_device device;
		memcpy(&device, &rows[i], sizeof(device));
		device.spec[sizeof(device.spec) - 1] = 0;
		err = fn(arg, &device);
	}
	connection_bytes_exit(&bytes);
	return err;
}

/* why is a string whatever comes of it; spec: or null. */
static int ask(struct pgmap_client *client, struct proto_req *req, const char *spec, struct proto_rep *rep,
	       char why[PGMAP_WHY_MAX])
{
	int err = client ? 0 : -EINVAL;
	if (why)
		why[0] = 0;
	if (!err && spec)
		err = connection_set_path(req->path, spec);
	if (!err && spec && !*spec &&
	    req->type != PROTO_DEVICE_ADD) /* to the server that is any spec; here it is nobody's */
		err = -ENOENT;
	if (err)
		return err;
	err = connection_wait(client, req, rep);
	if (err && why) {
		memcpy(why, rep->u.why, PGMAP_WHY_MAX);
		why[PGMAP_WHY_MAX - 1] = 0;
	}
	return err;
}

PGMAP_PUBLIC int pgmap_device_add(struct pgmap_client *client, const char *spec, uint32_t *number,
				  char why[PGMAP_WHY_MAX])
{
	struct proto_req req = {.type = PROTO_DEVICE_ADD};
	struct proto_rep rep;
	int err = ask(spec ? client : NULL, &req, spec, &rep, why);
	if (!err && number)
		*number = (uint32_t)rep.handle;
	return err;
}

PGMAP_PUBLIC int pgmap_device_remove(struct pgmap_client *client, uint32_t number, const char *spec, int64_t timeout_ms,
				     char why[PGMAP_WHY_MAX])
{
	struct proto_req req = {.type = PROTO_DEVICE_REMOVE, .handle = number, .timeout_ms = timeout_ms};
	struct proto_rep rep;
	return ask(client, &req, spec, &rep, why);
}

PGMAP_PUBLIC int pgmap_device_cancel(struct pgmap_client *client, uint32_t number, const char *spec,
				     char why[PGMAP_WHY_MAX])
{
	struct proto_req req = {.type = PROTO_DEVICE_CANCEL, .handle = number};
	struct proto_rep rep;
	return ask(client, &req, spec, &rep, why);
}
