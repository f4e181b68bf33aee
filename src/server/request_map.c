/* SPDX-License-Identifier: BSD-3-Clause */
/* request_map.c - map, open and map in one message, unmap: a mapping's references, and what the client needs to make its
 * address range of it. See requests.h. */
#include "server/requests.h"

#include <errno.h>
#include <string.h>

#include "server/records.h"

/*
 * Where each span begins in the mapping. Mostly that is where its folio begins in the file; but a folio that is still held
 * from before a truncate may reach beyond the extent that lies in it, on both sides. So the spans are walked along the
 * pieces: a span ends with the first page that is not in its folio.
 */
struct walk {
	const struct session_map *map;
	struct fsdax_piece piece;
	uint64_t piece_index;
	uint64_t page; /* of the file */
};

static void walk_begin(struct walk *walk, const struct session_map *map)
{
	walk->map = map;
	walk->piece_index = 0;
	walk->page = map->offset_bytes >> PGMAP_PAGE_SHIFT;
	fsdax_map_piece(map->map, 0, &walk->piece);
}

/* Past the pages of this span. pgoff and page of the device are the same number: devices.c makes one range of each, from 0. */
static void walk_over(struct walk *walk, const struct fsdax_span *span)
{
	while (walk->piece_index < fsdax_map_npieces(walk->map->map)) {
		uint64_t first = walk->piece.file_offset_bytes >> PGMAP_PAGE_SHIFT;
		uint64_t end = first + (walk->piece.len_bytes >> PGMAP_PAGE_SHIFT);
		uint64_t in_folio =
			(walk->piece.device_offset_bytes >> PGMAP_PAGE_SHIFT) + (walk->page - first) - span->pgoff;
		uint64_t left = (UINT64_C(1) << span->order) - in_folio;
		if (walk->piece.device != span->device || in_folio >= UINT64_C(1) << span->order)
			return;
		walk->page += left < end - walk->page ? left : end - walk->page;
		if (walk->page == end && ++walk->piece_index < fsdax_map_npieces(walk->map->map))
			fsdax_map_piece(walk->map->map, walk->piece_index, &walk->piece);
	}
}

static bool continues(const struct proto_run *run, uint64_t index, uint64_t page, unsigned order)
{
	return run->order == order && run->file_pgoff + ((index - run->first_span) << order) == page;
}

/* The spans as runs of one order: the first few into inlined, all of them into records when these are given. */
static uint64_t make_runs(const struct session_map *map, struct proto_run *inlined, struct records *records, int *err)
{
	struct proto_run run = {0};
	uint64_t nruns = 0;
	struct walk walk;
	walk_begin(&walk, map);
	for (uint64_t i = 0; i < map->nspans; i++) {
		struct fsdax_span span;
		fsdax_map_span(map->map, i, &span);
		uint64_t page = i == 0 && span.file_pgoff < walk.page ? span.file_pgoff : walk.page;
		walk_over(&walk, &span);
		if (nruns && continues(&run, i, page, span.order))
			continue;
		run = (struct proto_run){.file_pgoff = page, .first_span = i, .order = span.order};
		if (nruns < PROTO_INLINE_RUNS)
			inlined[nruns] = run;
		nruns++;
		if (records && !*err)
			*err = records_add(records, &run, sizeof(run));
	}
	return nruns;
}

static struct proto_piece wire_piece(const struct session_map *map, uint64_t i)
{
	struct fsdax_piece piece;
	fsdax_map_piece(map->map, i, &piece);
	return (struct proto_piece){
		.file_offset_bytes = piece.file_offset_bytes,
		.device_offset_bytes = piece.device_offset_bytes,
		.len_bytes = piece.len_bytes,
		.device = piece.device,
		.granule_order = piece.granule_order,
	};
}

static int long_answer(const struct session_map *map, struct service_reply *out)
{
	struct records records = {0};
	struct proto_run unused[PROTO_INLINE_RUNS];
	int err = 0;
	for (uint64_t i = 0; i < out->rep.u.map.npieces && !err; i++) {
		struct proto_piece piece = wire_piece(map, i);
		err = records_add(&records, &piece, sizeof(piece));
	}
	(void)make_runs(map, unused, &records, &err);
	if (!err)
		err = request_reply_with(&records, out);
	records_exit(&records);
	return err;
}

/* A session_ready_fn: the reply, whose descriptor can fail. */
static int answer(const struct session_map *map, void *arg)
{
	struct service_reply *out = arg;
	struct proto_map *body = &out->rep.u.map;
	int err = 0;
	body->offset_bytes = map->offset_bytes;
	body->len_bytes = map->len_bytes;
	body->first_word = map->first_word;
	body->nspans = map->nspans;
	body->npieces = fsdax_map_npieces(map->map);
	body->nruns = make_runs(map, body->runs, NULL, &err);
	out->rep.handle = map->id;
	out->rep.count = map->session->service->devices.generation;
	if (body->npieces > PROTO_INLINE_PIECES || body->nruns > PROTO_INLINE_RUNS)
		return long_answer(map, out);
	for (uint64_t i = 0; i < body->npieces; i++)
		body->pieces[i] = wire_piece(map, i);
	return 0;
}

/* The file that MAP means, or null. */
static struct fsdax_file *file_to_map(struct session *session, const struct proto_req *req)
{
	if (!(req->flags & PROTO_MAP_AGAIN))
		return handles_get(&session->files, req->handle);
	const struct session_map *map = handles_get(&session->maps, req->handle);
	return map ? fsdax_map_file(map->map) : NULL;
}

int request_map(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	struct session_map *map;
	struct fsdax_file *file = file_to_map(session, req);
	const struct session_range range = {.offset_bytes = req->offset_bytes, .len_bytes = req->len_bytes};
	return file ? session_map(session, file, &range, answer, out, &map) : -EBADF;
}

static int size_and_map(struct session *session, struct fsdax_file *file, const struct proto_req *req,
			struct service_reply *out)
{
	struct session_map *map;
	struct fsdax_stat st;
	int err = fsdax_stat_file(file, &st);
	if (err)
		return err;
	struct session_range range = {.flags = req->flags & FSDAX_TRUNC};
	range.resize = range.flags || req->len_bytes > st.size_bytes;
	if (range.resize)
		range.len_bytes = req->len_bytes;
	return session_map(session, file, &range, answer, out, &map);
}

/* What fails has changed nothing: size, bytes and mapping come in one step (fsdax_resize_map), which is the last that can
 * fail, and a file that was made for it goes again. */
int request_open_map(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	struct fsdax *fs = session->service->fs;
	struct fsdax_stat st;
	struct fsdax_file *file;
	if (req->offset_bytes)
		return -EINVAL;
	if (devices_state(&session->service->devices) != PGMAP_LIVE)
		return -ENODEV;
	if (req->len_bytes >> PGMAP_PAGE_SHIFT > dax_npages(session->service->devices.dax))
		return -EFBIG;
	int err = fsdax_stat(fs, req->path, &st);
	bool made = err == -ENOENT, is_file = !err && st.type == FSDAX_REG;
	if (!req->len_bytes && ((made && req->flags & FSDAX_CREATE) || (is_file && req->flags & FSDAX_TRUNC)))
		return -ERANGE; /* an empty file has nothing to map */
	err = fsdax_open(fs, req->path, req->flags & ~(uint32_t)FSDAX_TRUNC, &file);
	if (err)
		return err;
	err = size_and_map(session, file, req, out);
	fsdax_close(file); /* the mapping keeps it */
	if (err && made)
		(void)fsdax_unlink(fs, req->path);
	return err;
}

/* First, so that its pages are free at the unmap, and not looked at twice. */
static int unlink_mapped(const struct session *session, const struct session_map *map)
{
	return session->role < SERVICE_WRITER ? -EACCES : fsdax_unlink_file(fsdax_map_file(map->map));
}

int request_unmap(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	struct session_map *map = handles_get(&session->maps, req->handle);
	if (!map)
		return -EBADF;
	if (session_is_pinned(map))
		return -EBUSY;
	if (req->flags & PROTO_UNMAP_UNLINK)
		out->rep.count = (uint64_t)-unlink_mapped(session, map);
	session_unmap(session, map, req->flags & (PROTO_UNMAP_INHERITED | PROTO_UNMAP_UNRENEWED));
	return 0;
}

int request_lease(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	const struct devices *devices = &session->service->devices;
	bool write = req->flags & PROTO_LEASE_WRITE, next = req->flags & PROTO_LEASE_NEXT;
	bool read = req->flags & PROTO_LEASE_READ;
	if (!req->flags || (next && read))
		return -EINVAL;
	int err = next ? lease_begin(session, write, out->fds) : lease_join(session, read, write, out->fds);
	if (err)
		return err;
	out->nfds = (0U + (next || read) + write) * devices_count(devices);
	request_say_devices(devices, out);
	return 0;
}
