/* SPDX-License-Identifier: BSD-3-Clause */
/* device.c - the devices of a pool: what they are. See include/pgmap/client.h. */
#include <pgmap/client.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "client/connection.h"
#include "port/compiler.h"

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
