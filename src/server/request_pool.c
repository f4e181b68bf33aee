/* SPDX-License-Identifier: BSD-3-Clause */
/* request_pool.c - about the pool as a whole: its accounts, who holds what, the end of a quarantine. See requests.h. */
#include "server/requests.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/records.h"

static int add_quarantined(const struct pgmap_held *held, void *arg)
{
	uint64_t *pages = arg;
	if (held->state == PGMAP_QUARANTINED)
		*pages += UINT64_C(1) << held->order;
	return 0;
}

static int add_lost(void *arg, const struct fsdax_lost *lost)
{
	*(uint64_t *)arg += lost->len_bytes >> PGMAP_PAGE_SHIFT;
	return 0;
}

int request_info(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	struct service *service = session->service;
	struct proto_info *info = &out->rep.u.info;
	struct fsdax_statfs st;
	(void)req;
	fsdax_statfs(service->fs, &st);
	info->pages = st.pages;
	info->used = st.used;
	info->free = st.free;
	info->waiting = st.waiting;
	info->files = st.files;
	info->dirs = st.dirs;
	memcpy(info->free_by_order, st.free_by_order, sizeof(info->free_by_order));
	info->live_pages = devices_live_pages(&service->devices);
	if (service->quarantined)
		devices_for_each_held(&service->devices, add_quarantined, &info->quarantined_pages);
	info->clean = st.clean;
	info->dirty = st.dirty;
	info->absent = st.absent;
	info->keep = st.keep;
	info->wiped_ahead = st.wiped_ahead;
	info->wiped_late = st.wiped_late;
	info->lost = st.lost;
	(void)fsdax_for_each_lost(service->fs, NULL, add_lost, &info->lost);
	info->connections = service->connections;
	info->holders = service->holders;
	info->granule_order = st.granule_order;
	info->state = (uint32_t)devices_state(&service->devices);
	info->server_pid = (int32_t)getpid();
	info->protocol = PROTO_VERSION;
	info->access = devices_access(&service->devices);
	info->persistence = devices_persistence(&service->devices);
	devices_name(&service->devices, info->device, sizeof(info->device));
	return 0;
}

struct who {
	struct service *service;
	struct records rows, strings;
	uint64_t count, ino; /* ino 0: every file */
	uint64_t command;    /* of the session that is being listed */
	bool on_device;      /* only what lies on this one */
	unsigned device;
};

static int add_string(struct who *who, const char *text, uint64_t *at)
{
	*at = who->strings.len;
	return records_add(&who->strings, text, strlen(text) + 1);
}

static int add_row(struct who *who, const struct session *session, struct proto_who *row, const char *path)
{
	row->holder_id = session->id;
	row->pid = (int32_t)session->pid;
	row->uid = (uint32_t)session->uid;
	row->command = who->command;
	int err = add_string(who, path, &row->path);
	if (!err)
		err = records_add(&who->rows, row, sizeof(*row));
	if (!err)
		who->count++;
	return err;
}

static int add_map(struct who *who, const struct session *session, const struct session_map *map, uint32_t state)
{
	char path[PROTO_PATH_MAX];
	struct proto_who row = {
		.offset_bytes = map->offset_bytes,
		.len_bytes = map->len_bytes,
		.pages = map->pages,
		.refs = map->refs,
		.since_ns = map->since_ns,
		.state = state,
	};
	if (who->ino && map->ino != who->ino)
		return 0;
	if (who->on_device)
		row.pages = session_pages_on(map, who->device);
	if (!row.pages)
		return 0;
	session_count_pins(map, &row.pins_local, &row.pins_remote);
	(void)fsdax_file_path(fsdax_map_file(map->map), path, sizeof(path));
	return add_row(who, session, &row, path);
}

/* A folio that a dead holder left: its file's name only while that file is still the one of that name. */
static int add_left(struct who *who, const struct session *session, const struct session_left *left)
{
	struct fsdax_stat st;
	const char *path = left->path ? left->path : "";
	struct proto_who row = {
		.offset_bytes = left->offset_bytes,
		.len_bytes = left->pages << PGMAP_PAGE_SHIFT,
		.pages = left->pages,
		.pins_local = left->pins_local,
		.pins_remote = left->pins_remote,
		.since_ns = session->since_ns,
		.state = (uint32_t)session->state,
	};
	if ((who->ino && left->ino != who->ino) || (who->on_device && left->device != who->device))
		return 0;
	if (*path && (fsdax_stat(who->service->fs, path, &st) != 0 || st.ino != left->ino))
		path = "";
	return add_row(who, session, &row, path);
}

static int add_session(struct who *who, const struct session *session)
{
	struct session_map *map;
	int err = add_string(who, session->command, &who->command);
	TAILQ_FOREACH (map, &session->map_list, link) {
		if (!err)
			err = add_map(who, session, map, (uint32_t)session->state);
	}
	TAILQ_FOREACH (map, &session->inherited, link) {
		if (!err)
			err = add_map(who, session, map, PROTO_WHO_INHERITED);
	}
	for (uint64_t i = 0; i < session->nleft && !err; i++)
		err = add_left(who, session, &session->left[i]);
	return err;
}

static int send_rows(struct who *who, struct service_reply *out)
{
	int err = records_add(&who->rows, who->strings.bytes, who->strings.len);
	if (!err)
		err = request_reply_with(&who->rows, out);
	if (!err)
		out->rep.count = who->count;
	return err;
}

int request_who(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	struct who who = {
		.service = session->service,
		.on_device = req->flags & PROTO_WHO_DEVICE,
		.device = req->handle < PROTO_DEVICES_MAX ? (unsigned)req->handle : PROTO_DEVICES_MAX,
	};
	struct session *each;
	int err = who.on_device && (who.device >= who.service->devices.n || !who.service->devices.dev[who.device])
			  ? -ENODEV
			  : 0;
	if (!err && req->path[0]) {
		struct fsdax_stat st;
		err = fsdax_stat(session->service->fs, req->path, &st);
		if (!err && st.type == FSDAX_DIR)
			err = -EISDIR;
		who.ino = err ? 0 : st.ino;
	}
	TAILQ_FOREACH (each, &session->service->sessions, link) {
		if (!err)
			err = add_session(&who, each);
	}
	if (!err && who.count)
		err = send_rows(&who, out);
	records_exit(&who.rows);
	records_exit(&who.strings);
	return err;
}

int request_fence(struct session *session, const struct proto_req *req, struct service_reply *out)
{
	struct service *service = session->service;
	struct session *each;
	(void)out;
	TAILQ_FOREACH (each, &service->sessions, link) {
		if (each->id != req->handle)
			continue;
		if (each->state != PROTO_WHO_QUARANTINED)
			return -EBUSY;
		int err = fsdax_holder_fence(each->holder);
		if (err)
			return err;
		session_event(each, SERVICE_FENCED);
		TAILQ_REMOVE(&service->sessions, each, link);
		service->holders--;
		service->quarantined--;
		session_free(each);
		return 0;
	}
	return -ENOENT;
}
