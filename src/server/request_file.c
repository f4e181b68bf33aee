/* SPDX-License-Identifier: BSD-3-Clause */
/* request_file.c - names and files: a request becomes a call of the file system. See requests.h. */
#include "server/requests.h"

#include <errno.h>
#include <string.h>

#include "server/pending.h"
#include "server/records.h"

static_assert((int)PROTO_HOW_WAIT == (int)FSDAX_WAIT && (int)PROTO_HOW_FAIL == (int)FSDAX_FAIL,
	      "the modes travel as they are");

static struct proto_stat wire_stat(const struct fsdax_stat *st)
{
	struct proto_stat out = {
		.ino = st->ino,
		.size_bytes = st->size_bytes,
		.blocks = st->blocks,
		.extents = st->extents,
		.mappings = st->mappings,
		.mtime_ns = st->mtime_ns,
		.nlink = st->nlink,
		.is_dir = st->type == FSDAX_DIR,
		.max_order = st->max_order,
		.order = st->order,
		.granule_order = st->granule_order,
	};
	return out;
}

int request_open(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	struct fsdax_file *file;
	int err = handles_reserve(&session->files);
	if (!err)
		err = fsdax_open(session->service->fs, req->path, req->flags, &file);
	if (!err)
		out->rep.handle = handles_add(&session->files, file);
	return err;
}

int request_close(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	(void)out;
	struct fsdax_file *file = handles_get(&session->files, req->handle);
	if (!file)
		return -EBADF;
#ifndef PGMAP_FAULT_HANDLE /* the planted bug: a handle that outlives its file */
	handles_remove(&session->files, req->handle);
#endif
	fsdax_close(file);
	return 0;
}

int request_fstat(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	struct fsdax_stat st;
	struct fsdax_file *file = handles_get(&session->files, req->handle);
	int err = file ? fsdax_stat_file(file, &st) : -EBADF;
	if (!err)
		out->rep.u.stat = wire_stat(&st);
	return err;
}

/* The taking was prepared, or not. */
static int begin_taking(struct pending *pending, int err, const struct proto_req *req, struct service_reply *out)
{
	if (!err)
		return pending_begin(pending, (enum fsdax_mode)req->flags, req->timeout_ms, &out->rep.handle);
	pending_free(pending);
	return err;
}

/* A mode, that is. */
static int check_how(const struct proto_req *req)
{
	return req->flags == (PROTO_HOW_WAIT | PROTO_HOW_FAIL) ? -EINVAL : 0;
}

int request_truncate(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	struct pending *pending;
	struct fsdax_file *file = handles_get(&session->files, req->handle);
	if (!file)
		return -EBADF;
	if (!req->flags)
		return fsdax_truncate(file, req->len_bytes);
	int err = check_how(req);
	if (!err)
		err = pending_new(session, &pending);
	return err ? err : begin_taking(pending, taking_size(&pending->taking, file, req->len_bytes), req, out);
}

int request_punch(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	struct pending *pending;
	struct fsdax_file *file = handles_get(&session->files, req->handle);
	int err = file ? check_how(req) : -EBADF;
	if (!err)
		err = pending_new(session, &pending);
	if (err)
		return err;
	err = taking_punch(&pending->taking, file, req->offset_bytes, req->len_bytes);
	return begin_taking(pending, err, req, out);
}

int request_await(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	(void)out;
	(void)pending_check(session->service);
	int err = pending_result(session->service, req->handle);
	if (err != -EINPROGRESS || !(req->flags & PROTO_AWAIT_CANCEL))
		return err;
	pending_cancel(session->service, req->handle);
	return -ECANCELED;
}

int request_stat(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	struct fsdax_stat st;
	int err = fsdax_stat(session->service->fs, req->path, &st);
	if (!err)
		out->rep.u.stat = wire_stat(&st);
	return err;
}

int request_unlink(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	struct pending *pending;
	if (!req->flags)
		return fsdax_unlink(session->service->fs, req->path);
	int err = check_how(req);
	if (!err)
		err = pending_new(session, &pending);
	return err ? err
		   : begin_taking(pending, taking_unlink(&pending->taking, session->service->fs, req->path), req, out);
}

int request_rename(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	(void)out;
	return fsdax_rename(session->service->fs, req->path, req->path2);
}

int request_mkdir(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	(void)out;
	return fsdax_mkdir(session->service->fs, req->path);
}

int request_order(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	(void)out;
	return req->len_bytes > PGMAP_MAX_ORDER
		       ? -EINVAL
		       : fsdax_set_order(session->service->fs, req->path, (unsigned)req->len_bytes);
}

int request_rmdir(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	(void)out;
	return fsdax_rmdir(session->service->fs, req->path);
}

struct listing {
	struct records records;
	uint64_t count;
};

static int add_entry(void *arg, const char *name, const struct fsdax_stat *st)
{
	struct listing *listing = arg;
	struct proto_dirent entry = {.stat = wire_stat(st)};
	memcpy(entry.name, name, strnlen(name, sizeof(entry.name) - 1));
	listing->count++;
	return records_add(&listing->records, &entry, sizeof(entry));
}

int request_readdir(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	struct listing listing = {0};
	int err = fsdax_readdir(session->service->fs, req->path, add_entry, &listing);
	if (!err && listing.count)
		err = request_reply_with(&listing.records, out);
	out->rep.count = listing.count;
	records_exit(&listing.records);
	return err;
}
