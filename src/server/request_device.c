/* SPDX-License-Identifier: BSD-3-Clause */
/* request_device.c - about the devices of the pool, one by one, and those that come and go (change.h). See requests.h. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "server/change.h"
#include "server/records.h"
#include "server/requests.h"

struct proto_device request_show_device(const struct service *service, unsigned i)
{
	const struct devices *devices = &service->devices;
	const struct dev *dev = devices->dev[i];
	struct fsdax_device in_pool = {0};
	(void)fsdax_device(service->fs, i, &in_pool);
	struct proto_device device = {
		.number = i,
		.state = devices->leaving[i] ? PROTO_DEVICE_LEAVING
			 : devices->gone[i]  ? PROTO_DEVICE_GONE
					     : PROTO_DEVICE_LIVE,
		.granule_order = dev->granule_order,
		.access = dev->access,
		.persistence = dev->persistence,
		.pages = dev->size_bytes >> PGMAP_PAGE_SHIFT,
		.used = in_pool.used,
		.held = devices_held_pages(devices, i),
		.bad = devices_bad_pages(devices, i),
	};
	(void)snprintf(device.spec, sizeof(device.spec), "%s", dev->spec);
	return device;
}

static uint8_t device_flags(const struct dev *dev)
{
	if (!dev)
		return PROTO_DEVICE_NONE;
	/* The core says the same of these types (folio_pin). */
	bool pins = dev->type == PGMAP_FSDAX || dev->type == PGMAP_GENERIC;
	return (pins ? 0 : PROTO_DEVICE_NO_PINS) | (dev->access == DEV_ACCESS_SYNC ? PROTO_DEVICE_SYNC : 0);
}

void request_say_devices(const struct devices *devices, struct service_reply *out)
{
	struct proto_hello *hello = &out->rep.u.hello;
	hello->granule_order = devices->granule_order;
	hello->server_pid = (int32_t)getpid();
	hello->generation = devices->generation;
	hello->ndevices = devices->n;
	for (unsigned i = 0; i < devices->n; i++)
		hello->devices[i] = device_flags(devices->dev[i]);
}

static int add_record(struct records *records, const struct proto_device *device, struct service_reply *out)
{
	out->rep.count++;
	return records_add(records, device, sizeof(*device));
}

int request_devices(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	const struct service *service = session->service;
	const struct change *change;
	struct records records = {0};
	int err = 0;
	(void)req;
	for (unsigned i = 0; i < service->devices.n && !err; i++) {
		if (!service->devices.dev[i])
			continue;
		struct proto_device device = request_show_device(service, i);
		err = add_record(&records, &device, out);
	}
	TAILQ_FOREACH (change, &service->changes, link) {
		if (change->phase == CHANGE_CLOSING && !err)
			err = add_record(&records, &change->shown, out);
	}
	if (!err)
		err = request_reply_with(&records, out);
	records_exit(&records);
	return err;
}

int request_device_add(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	static_assert((int)DEV_WHY_MAX == (int)PROTO_WHY_MAX, "a clause travels whole");
	int err = change_add(session->service, req->path, &out->rep.handle, out->rep.u.why);
	return err ? err : -EINPROGRESS;
}

int request_device_remove(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	struct service *service = session->service;
	uint64_t id;
	int err = change_remove(service, req->handle, req->path, &id, out->rep.u.why);
	if (err)
		return err;
	out->rep.handle = id;
	return req->timeout_ms ? -EINPROGRESS : change_result(service, id, true, &out->rep.handle, out->rep.u.why);
}

int request_device_cancel(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	return change_cancel(session->service, req->handle, req->path, out->rep.u.why);
}
