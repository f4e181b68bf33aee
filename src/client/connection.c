/* SPDX-License-Identifier: BSD-3-Clause */
/* connection.c - a connection: hello, calls, fork, the end. See connection.h for locks and lifetimes. */
#include "client/connection.h"

#include <pgmap/pgmap.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A child that comes between the two calls would inherit the pins. */
static void *map_unless_forked(int fd, size_t bytes)
{
	forkfd_lock();
	void *words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (words != MAP_FAILED)
		(void)madvise(words, bytes, MADV_DONTFORK);
	forkfd_unlock();
	return words;
}

static int map_words(struct pgmap_client *client, int fd, uint64_t nwords)
{
	struct stat st;
	if (nwords == 0 || nwords > UINT64_MAX / sizeof(pinword_t) || fstat(fd, &st) != 0 ||
	    (uint64_t)st.st_size < nwords * sizeof(pinword_t))
		return -EPROTO;
	void *words = map_unless_forked(fd, nwords * sizeof(pinword_t));
	if (words == MAP_FAILED)
		return address_error();
	(void)madvise(words, nwords * sizeof(pinword_t), MADV_DONTDUMP);
	client->words = words;
	client->nwords = nwords;
	return 0;
}

/* The transport has put them there already, or they are this process's own. */
static void keep_fds(struct forkfd *keep, const struct transport_reply *reply)
{
	forkfd_lock();
	for (unsigned i = 0; i < reply->nfds; i++)
		if (keep[i].fd < 0)
			forkfd_add(&keep[i], reply->fds[i]);
	forkfd_unlock();
}

/* What the hello brought: true, it makes sense. */
static bool is_welcome(const struct transport_reply *reply)
{
	unsigned n = lease_ndescriptors(&reply->rep.u.hello);
	return n && reply->nfds == n + PROTO_HELLO_FDS;
}

static int hello(struct pgmap_client *client)
{
	struct proto_req req = {.type = PROTO_HELLO};
	struct transport_reply reply;
	struct forkfd fds[PROTO_MAX_FDS];
	(void)snprintf(req.path, sizeof(req.path), "%s", program_invocation_short_name);
	for (unsigned i = 0; i < PROTO_MAX_FDS; i++)
		fds[i].fd = -1;
	int err = connection_call_locked(client, &req, &reply, fds);
	if (err)
		return err;
	unsigned n = lease_ndescriptors(&reply.rep.u.hello);
	err = is_welcome(&reply) ? map_words(client, fds[n + HELLO_WORDS].fd, reply.rep.u.hello.words) : -EPROTO;
	if (!err) {
		client->transport->service_id = reply.rep.u.hello.service_id;
		lease_take_devices(client, &reply.rep.u.hello, fds, false);
		forkfd_move(&client->event, &fds[n + HELLO_EVENT]);
	}
	for (unsigned i = 0; i < PROTO_MAX_FDS; i++)
		forkfd_close(&fds[i]);
	return err;
}

void connection_close_fds(struct transport_reply *reply)
{
	while (reply->nfds)
		(void)close(reply->fds[--reply->nfds]);
}

int connection_open(struct transport *transport, struct pgmap_client **out)
{
	struct pgmap_client *client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	(void)pthread_mutex_init(&client->lock, NULL);
	client->transport = transport;
	client->generation = atomic_load_explicit(&client_generation, memory_order_relaxed);
	client->event.fd = -1;
	lease_init(&client->lease);
	atomic_init(&client->refs, 1);
	(void)pthread_mutex_lock(&client->lock);
	int err = hello(client);
	(void)pthread_mutex_unlock(&client->lock);
	if (err) {
		lease_exit(&client->lease);
		(void)pthread_mutex_destroy(&client->lock);
		free(client);
		return err;
	}
	*out = client;
	return 0;
}

void connection_get(struct pgmap_client *client)
{
	(void)atomic_fetch_add_explicit(&client->refs, 1, memory_order_relaxed);
}

/* Acquire-release: what every other handle's user did comes before the end. */
void connection_put(struct pgmap_client *client)
{
	if (atomic_fetch_sub_explicit(&client->refs, 1, memory_order_acq_rel) != 1)
		return;
	(void)munmap(client->words, client->nwords * sizeof(pinword_t));
	forkfd_close(&client->event);
	lease_exit(&client->lease);
	(void)pthread_mutex_destroy(&client->lock);
	client->transport->ops->free(client->transport);
	free(client);
}

int connection_disconnect(struct pgmap_client *client)
{
	if (!client_is_ours(client))
		return -EPERM;
	(void)pthread_mutex_lock(&client->lock);
	int err = client->transport->ops->close(client->transport);
	if (!err) {
		client->disconnected = true;
		lease_close(&client->lease); /* what is mapped keeps the lease */
	}
	(void)pthread_mutex_unlock(&client->lock);
	if (!err)
		connection_put(client);
	return err;
}

int connection_call_locked(struct pgmap_client *client, struct proto_req *req, struct transport_reply *reply,
			   struct forkfd *keep)
{
	if (client->disconnected)
		return -EPIPE;
	req->magic = PROTO_MAGIC;
	req->version = PROTO_VERSION;
	req->seq = ++client->seq;
	client->transport->keep = keep;
	int err = client->transport->ops->call(client->transport, req, reply);
	client->transport->keep = NULL;
	if (!err && reply->rep.error) {
		connection_close_fds(reply);
		err = reply->rep.error < 0 ? reply->rep.error : -EPROTO;
	}
	if (!err && keep)
		keep_fds(keep, reply);
	if (err == -EPROTO)
		client->transport->ops->hang_up(client->transport);
	return err;
}

int connection_call(struct pgmap_client *client, struct proto_req *req, struct transport_reply *reply)
{
	if (!client_is_ours(client))
		return -EPERM;
	(void)pthread_mutex_lock(&client->lock);
	int err = connection_call_locked(client, req, reply, NULL);
	(void)pthread_mutex_unlock(&client->lock);
	return err;
}

int connection_ask(struct pgmap_client *client, struct proto_req *req, struct proto_rep *rep)
{
	struct transport_reply reply;
	int err = connection_call(client, req, &reply);
	if (err)
		return err;
	connection_close_fds(&reply);
	if (rep)
		*rep = reply.rep;
	return 0;
}

int connection_end_handle(struct pgmap_client *client, enum proto_type type, uint64_t handle, uint32_t flags)
{
	struct proto_req req = {.type = (uint16_t)type, .handle = handle, .flags = flags};
	struct proto_rep rep = {0};
	int err = connection_ask(client, &req, &rep);
	if (!err)
		return rep.count < INT_MAX ? -(int)rep.count : -EPROTO;
	if (err == -EPIPE)
		return err;
	(void)pthread_mutex_lock(&client->lock);
	if (!client->disconnected)
		client->transport->ops->hang_up(client->transport);
	(void)pthread_mutex_unlock(&client->lock);
	return -EPROTO;
}

int connection_drain(struct pgmap_client *client, int64_t timeout_ms)
{
	return client_is_ours(client) ? client->transport->ops->drain(client->transport, timeout_ms) : -EPERM;
}

int connection_wait(struct pgmap_client *client, struct proto_req *req, struct proto_rep *rep)
{
	memset(rep, 0, sizeof(*rep));
	int err = client_is_ours(client) ? client->transport->ops->wait(client->transport, req, rep) : -EPERM;
	return err ? err : rep->error > 0 ? -EPROTO : rep->error;
}

int connection_set_path(char field[PROTO_PATH_MAX], const char *path)
{
	if (!path)
		return -EINVAL;
	size_t len = strnlen(path, PROTO_PATH_MAX);
	if (len == PROTO_PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(field, path, len + 1);
	return 0;
}

int connection_read_fd(struct transport_reply *reply, uint64_t min_bytes, struct connection_bytes *out)
{
	struct stat st;
	int err = 0;
	out->at = NULL;
	out->len = 0;
	if (reply->nfds != 1) {
		connection_close_fds(reply);
		return -EPROTO;
	}
	if (fstat(reply->fds[0], &st) != 0)
		err = -errno;
	else if (st.st_size <= 0 || (uint64_t)st.st_size < min_bytes)
		err = -EPROTO;
	if (!err) {
		void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, reply->fds[0], 0);
		if (at == MAP_FAILED)
			err = address_error();
		else
			*out = (struct connection_bytes){at, (uint64_t)st.st_size};
	}
	connection_close_fds(reply);
	return err;
}

int connection_list(struct pgmap_client *client, struct proto_req *req, uint64_t row_bytes, uint64_t *count,
		    struct connection_bytes *out)
{
	struct transport_reply reply;
	*out = (struct connection_bytes){0};
	int err = connection_call(client, req, &reply);
	if (err)
		return err;
	*count = reply.rep.count;
	if (*count && *count <= UINT32_MAX)
		return connection_read_fd(&reply, *count * row_bytes, out);
	connection_close_fds(&reply);
	return *count ? -EPROTO : 0;
}

void connection_bytes_exit(struct connection_bytes *bytes)
{
	if (bytes->at)
		(void)munmap((void *)(uintptr_t)bytes->at, bytes->len);
}
