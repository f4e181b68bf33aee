/* SPDX-License-Identifier: BSD-3-Clause */
/* request_lost.c - about pages that have lost their data (c6.5): which, whose word for it, and their repair. See requests.h. */
#include <errno.h>
#include <string.h>

#include "server/records.h"
#include "server/requests.h"

struct listing {
	const struct service *service;
	struct records records;
	uint64_t count;
};

static int add_lost(void *arg, const struct fsdax_lost *lost)
{
	struct listing *listing = arg;
	struct proto_lost row = {
		.offset_bytes = lost->offset_bytes,
		.len_bytes = lost->len_bytes,
		.what = lost->what == DAX_FAILURE_DEAD ? PROTO_LOST_DEVICE : PROTO_LOST_DATA,
	};
	memcpy(row.path, lost->path, strnlen(lost->path, sizeof(row.path) - 1));
	row.holders = lost_holders(listing->service, lost->ino, lost->offset_bytes, lost->len_bytes, row.held_by,
				   sizeof(row.held_by), NULL);
	listing->count++;
	return records_add(&listing->records, &row, sizeof(row));
}

int request_lost(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	struct listing listing = {.service = session->service};
	int err = fsdax_for_each_lost(session->service->fs, req->path[0] ? req->path : NULL, add_lost, &listing);
	if (!err && listing.count)
		err = request_reply_with(&listing.records, out);
	out->rep.count = listing.count;
	records_exit(&listing.records);
	return err;
}

struct range {
	uint64_t ino, from, end, pages;
};

static int count_lost(void *arg, const struct fsdax_lost *lost)
{
	struct range *range = arg;
	uint64_t end = lost->offset_bytes + lost->len_bytes;
	uint64_t from = lost->offset_bytes > range->from ? lost->offset_bytes : range->from;
	end = end < range->end ? end : range->end;
	if (lost->ino == range->ino && lost->what == DAX_FAILURE_POISON && from < end)
		range->pages += (end - from) >> PGMAP_PAGE_SHIFT;
	return 0;
}

static int find_lost(struct fsdax *fs, struct range *range)
{
	range->pages = 0;
	return fsdax_for_each_lost(fs, NULL, count_lost, range);
}

/* What a device does to make pages good takes them from under who maps them, which shows as zeros; but not from under DMA. */
static int repair(struct service *service, struct fsdax_file *file, struct range *range, uint64_t *repaired)
{
	bool pinned = false;
	char holders[16];
	int err = find_lost(service->fs, range);
	uint64_t before = range->pages;
	/* From here on no pin comes to what is lost; those that came before are seen in the same word. */
	lost_mark(service, true);
	(void)lost_holders(service, range->ino, range->from, range->end - range->from, holders, sizeof(holders),
			   &pinned);
	if (err || !before)
		return err;
	if (pinned)
		return -EBUSY;
	err = fsdax_repair(file, range->from, range->end - range->from);
	lost_mark(service, true);
	int counted = find_lost(service->fs, range);
	*repaired = before - range->pages;
	return err ? err : counted;
}

int request_repair(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	struct fsdax_file *file;
	struct fsdax_stat st;
	uint64_t end_bytes;
	if ((req->offset_bytes | req->len_bytes) % PGMAP_PAGE_SIZE)
		return -EINVAL;
	int err = fsdax_open(session->service->fs, req->path, 0, &file);
	if (err)
		return err;
	(void)fsdax_stat_file(file, &st);
	uint64_t size_bytes = (st.size_bytes + PGMAP_PAGE_SIZE - 1) / PGMAP_PAGE_SIZE * PGMAP_PAGE_SIZE;
	if (__builtin_add_overflow(req->offset_bytes, req->len_bytes, &end_bytes))
		err = -EINVAL;
	else if (req->offset_bytes > size_bytes)
		err = -ERANGE;
	else if (!req->len_bytes || end_bytes > size_bytes)
		end_bytes = size_bytes;
	if (!err && req->offset_bytes < end_bytes) {
		struct range range = {.ino = st.ino, .from = req->offset_bytes, .end = end_bytes};
		err = repair(session->service, file, &range, &out->rep.count);
	}
	fsdax_close(file);
	return err;
}

/* A client's word for it is a reason to look, and no more. */
int request_verify(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	struct session_map *map = handles_get(&session->maps, req->handle);
	if (!map)
		return -EBADF;
	if (!req->len_bytes || req->offset_bytes >= map->len_bytes ||
	    req->len_bytes > map->len_bytes - req->offset_bytes)
		return -EINVAL;
	if (req->len_bytes > PROTO_VERIFY_MAX_BYTES)
		return -E2BIG;
	uint64_t from = map->offset_bytes + req->offset_bytes, end = from + req->len_bytes;
	from = from / PGMAP_PAGE_SIZE * PGMAP_PAGE_SIZE;
	end = (end + PGMAP_PAGE_SIZE - 1) / PGMAP_PAGE_SIZE * PGMAP_PAGE_SIZE;
	int64_t bad = fsdax_verify(fsdax_map_file(map->map), from, end - from);
	lost_mark(session->service, false);
	out->rep.count = bad > 0 ? (uint64_t)bad : 0;
	return bad < 0 ? (int)bad : 0;
}
