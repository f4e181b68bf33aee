/* SPDX-License-Identifier: BSD-3-Clause */
/* change_util.h - what the tests of devices that come and go share: a service, and a client that asks and waits for answers. */
#ifndef PGMAP_TESTS_CHANGE_UTIL_H
#define PGMAP_TESTS_CHANGE_UTIL_H

#include "server_util.h"

#include "server/change.h"

static struct client root;
static struct proto_rep rep;

static inline int set_up(void **state)
{
	(void)set_up_one(state);
	root = join(PROTO_HELLO_CONTROL);
	return 0;
}

static inline int tear_down(void **state)
{
	leave(&root);
	service_settle(service);
	return tear_down_one(state);
}

static inline struct proto_req about(enum proto_type type, uint64_t number, const char *path, int64_t timeout_ms)
{
	struct proto_req req = request(type);
	req.handle = number;
	req.timeout_ms = timeout_ms;
	(void)snprintf(req.path, sizeof(req.path), "%s", path);
	return req;
}

/* A request that is answered later: the number to ask for it by. */
static inline uint64_t begin(const struct proto_req *req)
{
	assert_int_equal(service_handle(root.session, req, sizeof(*req), &reply), SERVICE_WAIT);
	assert_true(reply.rep.handle != 0);
	return reply.rep.handle;
}

static inline int wait_for(uint64_t id)
{
	memset(&rep, 0, sizeof(rep));
	return service_change_await(service, id, PGMAP_NO_DEADLINE, &rep);
}

static inline int add(const char *spec)
{
	struct proto_req req = about(PROTO_DEVICE_ADD, 0, spec, 0);
	return wait_for(begin(&req));
}

#endif
