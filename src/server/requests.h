/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * requests.h - one function per kind of request. Called by service_handle() with the service's lock held, with a request
 * whose paths end within their fields; they fill in the reply. 0 or -errno; -EINPROGRESS: the reply comes later.
 */
#ifndef PGMAP_SERVER_REQUESTS_H
#define PGMAP_SERVER_REQUESTS_H

#include "server/service.h"
#include "server/session.h"

struct records;

/* What these say goes with the reply, in a descriptor. */
int request_reply_with(const struct records *records, struct service_reply *out); /* service.c */

typedef int request_fn(struct session *session, const struct proto_req *req, struct service_reply *out);

request_fn request_open, request_close, request_fstat, request_truncate; /* request_file.c */
request_fn request_stat, request_unlink, request_rename, request_mkdir, request_rmdir, request_readdir;
request_fn request_punch, request_order, request_await;
request_fn request_map, request_open_map, request_unmap, request_lease;                       /* request_map.c */
request_fn request_lost, request_repair, request_verify;                                      /* request_lost.c */
request_fn request_info, request_who, request_fence;                                          /* request_pool.c */
request_fn request_devices, request_device_add, request_device_remove, request_device_cancel; /* request_device.c */
request_fn request_drain, request_drain_cancel;                                               /* drain.c */

/* request_device.c: what a hello says of the devices. */
void request_say_devices(const struct devices *devices, struct service_reply *out);
/* What a list says of this one. */
struct proto_device request_show_device(const struct service *service, unsigned i);

#endif
