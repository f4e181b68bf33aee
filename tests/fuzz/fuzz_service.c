/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_service.c - a world of one service and a few clients, and the acts of an input in it. See fuzz.h. */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <pgmap/pgmap.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const uint64_t numbers[] = {
	0,
	1,
	4095,
	4096,
	4097,
	8192,
	3 * 4096,
	16 * 4096,
	64 * 4096,
	65 * 4096,
	1 << 19,
	1 << 20,
	(1 << 21) - 4096,
	1 << 21,
	(1 << 21) + 1,
	INT32_MAX,
	UINT64_C(1) << 31,
	UINT32_MAX,
	UINT64_C(1) << 32,
	UINT64_C(1) << 48,
	(UINT64_C(1) << 60) - 4096,
	INT64_MAX,
	UINT64_C(1) << 63,
	UINT64_MAX - 4095,
	UINT64_MAX,
};
static const char *const paths[] = {
	"/a",  "/b", "/c",  "/d",   "/d/a",    "/d/b", "/d/e",  "/d/e/f", "/",     "",      "a",       "//a",
	"/a/", "/.", "/..", "/a/b", "/d/../a", "/d/.", "/\001", "/\377",  "/a\nb", "/d//b", "/d/e/..", "/b/c/d",
};

static uint64_t number(uint8_t byte)
{
	return numbers[byte % COUNT(numbers)];
}

/* Small handles mostly: those that there are. Those of requests that wait are not small: request_of(). */
static uint64_t handle_of(uint8_t byte)
{
	return byte < 224 ? byte % 7 : number(byte);
}

static void path_of(uint8_t byte, char out[PROTO_PATH_MAX])
{
	size_t long_name = byte - 240U;
	if (byte < 240) {
		strcpy(out, paths[byte % COUNT(paths)]);
		return;
	}
	/* Around the longest name, and the longest path; the last one has no end. */
	size_t len = long_name < 8 ? 252 + long_name : PROTO_PATH_MAX - 8 + (long_name - 8);
	memset(out, 'x', len < PROTO_PATH_MAX ? len + 1 : PROTO_PATH_MAX);
	out[0] = '/';
	for (size_t i = 200; long_name >= 8 && i < len; i += 200)
		out[i] = '/';
	if (long_name != 15)
		out[len] = 0;
}

static struct proto_req request_of(const struct fuzz_world *world, const struct fuzz_record *record)
{
	struct proto_req req = {
		.magic = PROTO_MAGIC,
		.version = PROTO_VERSION,
		.type = record->type < 250 ? record->type % (PROTO_NTYPES + 1) : record->type,
		.seq = record->value[0],
		.flags = record->flags < 240 ? record->flags % 16 : UINT32_C(1) << (record->flags - 240),
		.handle = handle_of(record->handle),
		.offset_bytes = number(record->offset),
		.len_bytes = number(record->len),
		.timeout_ms = (int8_t)record->timeout,
		.prot = record->prot < 250 ? record->prot % 4 : record->prot,
	};
	path_of(record->path, req.path);
	path_of(record->path2, req.path2);
	if (req.type == PROTO_AWAIT && record->handle < 224)
		req.handle = world->pending[record->handle % FUZZ_CLIENTS];
	return req;
}

static void wait_for_leases(struct fuzz_world *world, struct session *session)
{
	struct lease *lease;
	while ((lease = service_lease_wanted(session)) != NULL)
		TAILQ_INSERT_TAIL(&world->leases, lease, link);
}

static void leave(struct fuzz_world *world, struct fuzz_client *client)
{
	struct session *session = client->session;
	client->session = NULL;
	if (client->later) /* the server ends between the two halves */
		service_supply(session);
	free(client->later);
	client->later = NULL;
	if (client->awaits) /* as the loop does */
		service_pending_cancel(world->service, client->awaits);
	client->awaits = 0;
	client->waits = false;
	if (session && !service_disconnect(session))
		wait_for_leases(world, session);
}

static void close_descriptors(struct fuzz_client *client)
{
	while (client->nfds)
		(void)close(client->fds[--client->nfds]);
}

static void keep_descriptors(struct fuzz_client *client, struct service_reply *reply)
{
	while (reply->nfds) {
		int fd = reply->fds[--reply->nfds];
		if (client->nfds < FUZZ_FDS_MAX)
			client->fds[client->nfds++] = fd;
		else
			(void)close(fd);
	}
}

static bool takes_pages(const struct proto_req *req)
{
	return req->type == PROTO_TRUNCATE || req->type == PROTO_PUNCH || req->type == PROTO_UNLINK;
}

static void check_reply(struct fuzz_world *world, struct fuzz_client *client, const struct proto_req *req, size_t len,
			const struct service_reply *reply)
{
	if (reply->rep.magic != PROTO_MAGIC || reply->rep.error > 0 || reply->nfds > PROTO_MAX_FDS ||
	    (reply->rep.error && reply->nfds))
		fuzz_found("a reply with error %d and %u descriptors", reply->rep.error, reply->nfds);
	if (reply->rep.error)
		return;
	if (len != sizeof(*req))
		fuzz_found("a message of %zu bytes was answered with 0", len);
	if (takes_pages(req) && reply->rep.handle)
		world->pending[client - world->clients] = reply->rep.handle;
	if (req->type != PROTO_MAP && req->type != PROTO_OPEN_MAP)
		return;
	struct session_map *map = handles_get(&client->session->maps, reply->rep.handle);
	if (!map)
		fuzz_found("a mapping of handle %" PRIu64 ", which is not there", reply->rep.handle);
	fuzz_check_mapping(world, map);
	if (req->prot & 2)
		fuzz_mark(world, map); /* as most would */
}

/* The second half of a request that needed memory, in place of the next; others have had their turns in between. */
static void *again(struct fuzz_client *client, size_t *len)
{
	struct proto_req *req = client->later;
	client->later = NULL;
	if (req) {
		service_supply(client->session);
		*len = sizeof(*req);
	}
	return req;
}

/* So many bytes, and no more are ours to read. */
static void *copy_of(const void *bytes, size_t len)
{
	void *copy = malloc(len ? len : 1);
	if (copy)
		memcpy(copy, bytes, len);
	return copy;
}

/* What a thread does of it is waited for; and then the client waits no longer. */
static void end_change(struct fuzz_world *world, struct fuzz_client *client, uint64_t id)
{
	struct proto_rep rep = {0};
	service_settle(world->service);
	if (service_change_result(world->service, id, true, &rep) == -EINPROGRESS)
		fuzz_found("a device comes or goes, and nobody is at it");
	client->waits = false;
}

/* As it comes from a socket. */
static void send_bytes(struct fuzz_world *world, struct fuzz_client *client, const void *bytes, size_t len)
{
	struct service_reply reply;
	if (client->waits)
		return;
	if (!client->session) {
		client->session = service_connect(world->service, getpid(), 0);
		if (!client->session)
			return;
		service_unhurried(client->session);
	}
	void *exact = again(client, &len);
	if (!exact)
		exact = copy_of(bytes, len);
	if (!exact)
		return;
	enum service_next next = service_handle(client->session, exact, len, &reply);
	if (next == SERVICE_LATER) {
		client->later = exact;
		return;
	}
	wait_for_leases(world, client->session);
	client->waits = next == SERVICE_WAIT;
	if (next == SERVICE_WAIT && len == sizeof(struct proto_req)) {
		const struct proto_req *req = exact;
		client->awaits = req->type == PROTO_AWAIT ? req->handle : 0;
		if (req->type == PROTO_DEVICE_ADD || req->type == PROTO_DEVICE_REMOVE)
			end_change(world, client, reply.rep.handle);
	} else if (next != SERVICE_WAIT) {
		check_reply(world, client, exact, len, &reply);
		keep_descriptors(client, &reply);
	}
	free(exact);
	if (next == SERVICE_CLOSE)
		leave(world, client);
}

static void send_request(struct fuzz_world *world, struct fuzz_client *client, const struct fuzz_record *record,
			 bool lie)
{
	struct proto_req req = request_of(world, record);
	size_t len = sizeof(req);
	if (lie) {
		size_t at = record->lie * 4U;
		memcpy((char *)&req + at % (sizeof(req) - 3), record->value, sizeof(record->value));
		if (record->lie >= 248)
			len = record->len * 8U % sizeof(req);
	} else if (!client->session) {
		struct proto_req hello = {.magic = PROTO_MAGIC, .version = PROTO_VERSION, .type = PROTO_HELLO};
		hello.flags = record->value[1] == 1; /* one in a while holds nothing */
		send_bytes(world, client, &hello, sizeof(hello));
		if (req.type == PROTO_HELLO)
			return;
	}
	send_bytes(world, client, &req, len);
}

static void send_garbage(struct fuzz_world *world, struct fuzz_client *client, const struct fuzz_record *record)
{
	unsigned char bytes[2 * sizeof(struct proto_req)];
	uint32_t random;
	memcpy(&random, record->value, sizeof(random));
	size_t len = (record->len | (size_t)record->offset << 8) % sizeof(bytes);
	for (size_t i = 0; i < len; i++) {
		random = random * 1664525 + 1013904223;
		bytes[i] = (unsigned char)(random >> 24);
	}
	send_bytes(world, client, bytes, len);
}

/* So few more descriptors can be had while it is answered. */
static void send_poor(struct fuzz_world *world, struct fuzz_client *client, const struct fuzz_record *record)
{
	struct rlimit limit, poor;
	int fd = dup(STDERR_FILENO);
	if (fd < 0)
		return;
	(void)close(fd);
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	poor = limit;
	poor.rlim_cur = (rlim_t)fd + record->lie % 6;
	(void)setrlimit(RLIMIT_NOFILE, &poor);
	send_request(world, client, record, false);
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void pin(const struct session_map *map, const struct fuzz_record *record)
{
	if (!map->nspans)
		return;
	pinword_t *word = &map->session->segment.words[map->first_word + record->offset % map->nspans];
	if (record->prot & 2)
		(void)pinword_unpin(word, record->prot & 1);
	else
		(void)pinword_pin(word, record->prot & 1);
}

static void scribble(struct fuzz_world *world, const struct fuzz_record *record)
{
	struct session *session;
	unsigned n = record->who;
	uint64_t value;
	memcpy(&value, record->value, 4);
	value *= UINT64_C(0x9e3779b97f4a7c15);
	TAILQ_FOREACH (session, &world->service->sessions, link)
		if (session->segment.words && n-- % FUZZ_CLIENTS == 0)
			break;
	for (unsigned i = 0; session && i < record->len; i++)
		session->segment.words[record->handle + i] = record->value[0] == 0xff ? UINT64_MAX : value * i;
}

static void act(struct fuzz_world *world, const struct fuzz_record *record)
{
	struct fuzz_client *client = &world->clients[record->who % FUZZ_CLIENTS];
	struct session_map *map =
		client->session ? handles_get(&client->session->maps, handle_of(record->handle)) : NULL;
	/* Half of all is requests. */
	switch (record->act < 128 ? FUZZ_REQUEST : record->act % FUZZ_ACTS) {
	case FUZZ_REQUEST:
	case FUZZ_LIE:
		send_request(world, client, record, record->act >= 128 && record->act % FUZZ_ACTS == FUZZ_LIE);
		break;
	case FUZZ_GARBAGE:
		send_garbage(world, client, record);
		break;
	case FUZZ_WRITE:
		if (map)
			fuzz_mark(world, map);
		break;
	case FUZZ_PIN:
		if (map)
			pin(map, record);
		break;
	case FUZZ_SCRIBBLE:
		scribble(world, record);
		break;
	case FUZZ_DIE:
		close_descriptors(client);
		leave(world, client);
		break;
	case FUZZ_LEAVE:
		leave(world, client);
		break;
	case FUZZ_CLOSE:
		if (client->nfds) {
			unsigned i = record->handle % client->nfds;
			(void)close(client->fds[i]);
			client->fds[i] = client->fds[--client->nfds];
		}
		break;
	default:
		send_poor(world, client, record);
	}
}

static void answer_awaits(struct fuzz_world *world)
{
	(void)service_check_pending(world->service);
	for (unsigned i = 0; i < FUZZ_CLIENTS; i++) {
		struct fuzz_client *client = &world->clients[i];
		if (client->awaits && service_pending_result(world->service, client->awaits) != -EINPROGRESS)
			client->awaits = client->waits = 0;
	}
}

/* What the loop does after a round: whose lease has fallen, who awaited what has ended, and whether a drain has. */
static void go_round(struct fuzz_world *world)
{
	struct lease *lease, *next;
	for (lease = TAILQ_FIRST(&world->leases); lease; lease = next) {
		next = TAILQ_NEXT(lease, link);
		if (devices_lease_probe(service_devices(world->service), lease->byte) != 1)
			continue;
		TAILQ_REMOVE(&world->leases, lease, link);
		service_lease_gone(lease);
	}
	answer_awaits(world);
	if (pgmap_state(dax_pgmap(world->service->devices.memory[0])) == PGMAP_DYING &&
	    pgmap_drain(dax_pgmap(world->service->devices.memory[0]), 0) == -ETIMEDOUT)
		return;
	for (unsigned i = 0; i < FUZZ_CLIENTS; i++)
		world->clients[i].waits = world->clients[i].awaits;
}

static void fence_all(struct fuzz_world *world)
{
	struct fuzz_record record = {.type = PROTO_FENCE, .value = {0, 1}};
	struct session *session, *next;
	for (session = TAILQ_FIRST(&world->service->sessions); session; session = next) {
		struct proto_req req = request_of(world, &record);
		next = TAILQ_NEXT(session, link);
		req.handle = session->id;
		send_request(world, &world->clients[0], &record, false); /* it greets; there is no holder 0 */
		send_bytes(world, &world->clients[0], &req, sizeof(req));
	}
}

static void end_world(struct fuzz_world *world)
{
	for (unsigned i = 0; i < FUZZ_CLIENTS; i++) {
		leave(world, &world->clients[i]);
		close_descriptors(&world->clients[i]);
	}
	go_round(world);
	if (!TAILQ_EMPTY(&world->leases))
		fuzz_found("a lease is held with no descriptor left");
	fence_all(world);
	leave(world, &world->clients[0]);
	fuzz_check_empty(world);
	int err = service_destroy(world->service);
	if (err)
		fuzz_found("the empty service cannot end: %d", err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_world world = {0};
	char why[DEV_WHY_MAX];
	unsigned descriptors = fuzz_descriptors();
	TAILQ_INIT(&world.leases);
	if (service_create("memfd:size=2M,page=4K", &world.service, why))
		fuzz_found("no service: %s", why);
	/* No thread, so that an input does the same each time; free pages are given back at once, or wiped when needed. */
	(void)service_set_wiping(world.service, size % 2 ? 1 << 20 : 0, 0);
	for (size_t i = 0; i < size / FUZZ_RECORD_BYTES && i < FUZZ_RECORDS_MAX; i++) {
		struct fuzz_record record;
		memcpy(&record, data + i * FUZZ_RECORD_BYTES, sizeof(record));
		act(&world, &record);
		go_round(&world);
		fuzz_check(&world);
	}
	end_world(&world);
	if (fuzz_descriptors() != descriptors)
		fuzz_found("%u descriptors before, %u after", descriptors, fuzz_descriptors());
	return 0;
}
