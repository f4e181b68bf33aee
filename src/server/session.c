/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * session.c - the beginning of a holder, and its end.
 *
 * The end is exact: session_end() is called when the kernel has said that nobody maps the device on the holder's behalf
 * any more (the lease's byte), so its references and LOCAL pins can go at once. REMOTE pins that stand in its words then
 * are first taken over as pins of the core, charged to the holder, so that fsdax_holder_end() leaves those folios
 * QUARANTINED: there is no moment at which they are free.
 */
#include "server/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <pgmap/folio.h>

#include "port/abort.h"

int64_t session_now_ns(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A /proc of another pid namespace than ours has other processes under the same numbers. */
static bool proc_is_ours(void)
{
	char self[16] = "", own[16];
	(void)snprintf(own, sizeof(own), "%ld", (long)getpid());
	return readlink("/proc/self", self, sizeof(self) - 1) > 0 && strcmp(self, own) == 0;
}

/* For display only: a process can call itself what it likes. The system's word for it; where there is none, its own. */
void session_read_command(struct session *session)
{
	char path[40], *out = session->command;
	ssize_t n = 0;
	(void)snprintf(path, sizeof(path), "/proc/%ld/comm", (long)session->pid);
	int fd = session->pid > 0 && proc_is_ours() ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		n = read(fd, out, SESSION_COMMAND_MAX - 1);
		(void)close(fd);
	}
	if (n > 0)
		out[n] = 0;
	for (char *p = out; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = p[1] ? '?' : 0;
	if (!out[0])
		(void)snprintf(out, SESSION_COMMAND_MAX, "?");
}

static int open_event(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return fd >= 0 ? fd : -errno;
}

/* A descriptor for the client, and one of our own. */
static int make_event(struct session *session, int *client_fd)
{
	int fd = open_event();
	if (fd < 0)
		return fd;
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0) {
		int err = -errno;
		(void)close(fd);
		return err;
	}
	session->event_fd = own;
	*client_fd = fd;
	return 0;
}

int session_greet(struct session *session, int fds[PROTO_MAX_FDS])
{
	struct service *service = session->service;
	unsigned n = devices_count(&service->devices);
	int *words_fd = &fds[n], *event_fd = &fds[n + 1];
	char name[SESSION_COMMAND_MAX];
	session_read_command(session);
	int err = segment_init(&session->segment, dax_npages(service->devices.dax), words_fd);
	if (err)
		return err;
	err = make_event(session, event_fd);
	if (err)
		goto no_event;
	err = lease_begin(session, false, fds);
	if (err)
		goto no_lease;
	(void)snprintf(name, sizeof(name), "%llu %ld %.32s", (unsigned long long)lease_byte(session),
		       (long)session->pid, session->command);
	err = fsdax_holder_create(service->fs, name, &session->holder);
	if (err)
		goto no_holder;
	session->id = lease_byte(session);
	session->state = PROTO_WHO_CONNECTED;
	session->since_ns = session_now_ns();
	TAILQ_INSERT_TAIL(&service->sessions, session, link);
	service->holders++;
	service->connections++;
	return 0;
no_holder:
	lease_undo(session);
	while (n)
		(void)close(fds[--n]);
no_lease:
	(void)close(*event_fd);
	session_close_event(session);
no_event:
	(void)close(*words_fd);
	segment_exit(&session->segment);
	return err;
}

void session_close_event(struct session *session)
{
	if (session->event_fd >= 0)
		(void)close(session->event_fd);
	session->event_fd = -1;
}

void session_close_files(struct session *session)
{
	for (uint64_t id = 1; id <= session->files.nslots; id++) {
		struct fsdax_file *file = handles_get(&session->files, id);
		if (file)
			fsdax_close(file);
	}
	handles_exit(&session->files);
}

static bool remember_left(struct session *session, const struct session_left *left)
{
	if (session->nleft == session->left_cap) {
		uint64_t cap = session->left_cap ? 2 * session->left_cap : 8;
		struct session_left *more = realloc(session->left, cap * sizeof(*more));
		if (!more)
			return false;
		session->left = more;
		session->left_cap = cap;
	}
	session->left[session->nleft++] = *left;
	return true;
}

/* The span may have been split since: each folio that is there now. False: what lies on this device cannot be pinned (c5.5),
 * and the client's claim is none. */
static bool pin_remote(struct session *session, const struct fsdax_span *span)
{
	struct pgmap *pgmap = folio_pgmap(span->folio);
	struct pgmap_holder *holder = fsdax_holder_of(session->holder, pgmap);
	uint64_t end = span->pgoff + (UINT64_C(1) << span->order);
	for (uint64_t at = span->pgoff; at < end;) {
		struct folio *folio;
		int err = pgmap_find_folio(pgmap, at, &folio);
		if (!err)
			err = folio_pin(folio, holder, FOLIO_PIN_REMOTE);
		if (err == -EPERM)
			return false;
		if (err)
			port_abort("pgmapd: holder %s: page %llu that it maps cannot be pinned: error %d",
				   fsdax_holder_name(session->holder), (unsigned long long)at, -err);
		at = folio_pgoff(folio) + folio_pages(folio);
	}
	return true;
}

/* The path to show for a mapping's folios: the last one's, where they are of one file; null without memory. */
static char *left_path(struct session *session, const struct session_map *map, bool *own)
{
	char path[PROTO_PATH_MAX];
	const struct session_left *last = session->nleft ? &session->left[session->nleft - 1] : NULL;
	*own = !last || last->ino != map->ino || !last->path;
	if (!*own)
		return last->path;
	(void)fsdax_file_path(fsdax_map_file(map->map), path, sizeof(path));
	return strdup(path);
}

/* REMOTE pins that stand in the words of a mapping: take them over, and note what "who" will show. */
static void take_over_remote_pins(struct session *session, struct session_map *map)
{
	for (uint64_t i = 0; i < map->nspans; i++) {
		struct pinword_counts counts = pinword_read(&session->segment.words[map->first_word + i]);
		struct fsdax_span span;
		if (!counts.remote)
			continue;
		fsdax_map_span(map->map, i, &span);
		if (!pin_remote(session, &span))
			continue;
		struct session_left left = {
			.pages = UINT64_C(1) << span.order,
			.device = span.device,
			.ino = map->ino,
			.offset_bytes = span.file_pgoff << PGMAP_PAGE_SHIFT,
			.pins_local = counts.local,
			.pins_remote = counts.remote,
		};
		left.path = left_path(session, map, &left.own_path);
		if (!remember_left(session, &left) && left.own_path)
			free(left.path);
	}
}

static void free_map(struct session_map *map)
{
	if (map->stale != &map->few_stale)
		free(map->stale);
	free(map);
}

void session_event(const struct session *session, enum service_event event)
{
	const struct service *service = session->service;
	const struct service_whom whom = {
		.holder = session->id,
		.pid = session->pid,
		.uid = session->uid,
		.command = session->command,
		.pages = session->quarantined_pages,
	};
	if (service->on_event)
		service->on_event(service->on_event_arg, event, &whom);
}

/* Its holder has ended. */
static void forget_maps(struct session_maps *maps)
{
	struct session_map *map;
	while ((map = TAILQ_FIRST(maps)) != NULL) {
		TAILQ_REMOVE(maps, map, link);
		fsdax_unmap_ended(map->map);
		free_map(map);
	}
}

void session_end(struct session *session)
{
	struct service *service = session->service;
	struct session_map *map;
	leases_exit(session);
	TAILQ_FOREACH (map, &session->map_list, link)
		take_over_remote_pins(session, map);
#ifdef PGMAP_FAULT_LEAK
	struct fsdax_span leaked;
	if ((map = TAILQ_FIRST(&session->map_list)) != NULL) {
		fsdax_map_span(map->map, 0, &leaked);
		folio_get(leaked.folio);
	}
#endif
	session->quarantined_pages = fsdax_holder_end(session->holder);
	forget_maps(&session->map_list);
	forget_maps(&session->inherited);
	session_close_files(session);
	handles_exit(&session->maps);
	segment_exit(&session->segment);
	if (session->quarantined_pages > 0) {
		session->state = PROTO_WHO_QUARANTINED;
		service->quarantined++;
		session_event(session, SERVICE_QUARANTINED);
		return;
	}
	if (session->waited_for)
		session_event(session, SERVICE_ENDED);
	TAILQ_REMOVE(&service->sessions, session, link);
	service->holders--;
	session_free(session);
}

void session_free(struct session *session)
{
	for (uint64_t i = 0; i < session->nleft; i++)
		if (session->left[i].own_path)
			free(session->left[i].path);
	free(session->left);
	session_close_event(session);
	free(session);
}

/* What fsdax_map() gave, measured: spans, pages, room for the bits. */
static int measure(struct session_map *map)
{
	map->nspans = fsdax_map_nspans(map->map);
	map->stale = &map->few_stale;
	if (map->nspans > 64)
		map->stale = calloc((map->nspans + 63) / 64, sizeof(*map->stale));
	if (!map->stale)
		return -ENOMEM;
	for (uint64_t i = 0; i < map->nspans; i++) {
		struct fsdax_span span;
		fsdax_map_span(map->map, i, &span);
		map->pages += UINT64_C(1) << span.order;
	}
	map->refs = map->nspans;
	return 0;
}

/* The part of the file that is meant; -ERANGE: there is none. */
static int find_range(struct session_map *map, uint64_t size_bytes)
{
	if (map->len_bytes == 0 && map->offset_bytes < size_bytes)
		map->len_bytes = size_bytes - map->offset_bytes;
	if (map->len_bytes == 0 || map->offset_bytes >= size_bytes || map->len_bytes > size_bytes - map->offset_bytes)
		return -ERANGE;
	return 0;
}

/* It has its references: now its words, its number, and whatever else its maker wants. A fsdax_ready_fn. */
static int complete(void *cookie, struct fsdax_map *references)
{
	struct session_map *map = cookie;
	struct session *session = map->session;
	map->map = references;
	int err = measure(map);
	if (!err)
		err = segment_get(&session->segment, map->nspans, PINWORD_OPEN, &map->first_word);
	if (err)
		return err;
	map->id = handles_add(&session->maps, map);
	return map->ready ? map->ready(map, map->ready_arg) : 0;
}

static void take_back(struct session_map *map)
{
	if (map->id) {
		segment_put(&map->session->segment, map->first_word, map->nspans);
		handles_remove(&map->session->maps, map->id);
	}
	if (map->stale != &map->few_stale)
		free(map->stale);
	free(map);
}

static int map_file(struct session *session, struct fsdax_file *file, struct session_map *map,
		    const struct session_range *range)
{
	struct fsdax_stat st;
	int err = fsdax_stat_file(file, &st);
	if (err)
		return err;
	map->ino = st.ino;
	if (range->resize)
		return fsdax_resize_map_for(file, range->len_bytes, range->flags, session->holder, map, complete,
					    &map->map);
	err = find_range(map, st.size_bytes);
	return err ? err
		   : fsdax_map_for(file, map->offset_bytes, map->len_bytes, session->holder, map, complete, &map->map);
}

int session_map(struct session *session, struct fsdax_file *file, const struct session_range *range,
		session_ready_fn *ready, void *arg, struct session_map **out)
{
	int err = handles_reserve(&session->maps);
	if (err)
		return err;
	struct session_map *map = calloc(1, sizeof(*map));
	if (!map)
		return -ENOMEM;
	map->session = session;
	map->offset_bytes = range->offset_bytes;
	map->len_bytes = range->len_bytes;
	map->since_ns = session_now_ns();
	map->first_lease = lease_byte(session);
	map->ready = ready;
	map->ready_arg = arg;
	err = map_file(session, file, map, range);
	if (err) {
		take_back(map);
		return err;
	}
	TAILQ_INSERT_TAIL(&session->map_list, map, link);
	*out = map;
	return 0;
}

static void unmap(struct session_map *map)
{
	fsdax_unmap(map->map);
	free_map(map);
}

bool session_is_pinned(const struct session_map *map)
{
	uint64_t local, remote;
	session_count_pins(map, &local, &remote);
	return local || remote;
}

void session_unmap(struct session *session, struct session_map *map, uint32_t inherited)
{
	segment_put(&session->segment, map->first_word, map->nspans);
	handles_remove(&session->maps, map->id);
	map->nspans = 0;
	TAILQ_REMOVE(&session->map_list, map, link);
#ifdef PGMAP_FAULT_FORK /* the planted bug: a parent's word counts for its children too */
	inherited = 0;
#endif
	if (inherited && leases_keep(session, map, inherited & PROTO_UNMAP_UNRENEWED))
		TAILQ_INSERT_TAIL(&session->inherited, map, link);
	else
		unmap(map);
}

void session_lease_fallen(struct session *session)
{
	struct session_map *map, *next;
	for (map = TAILQ_FIRST(&session->inherited); map; map = next) {
		next = TAILQ_NEXT(map, link);
		if (leases_hold(session, map))
			continue;
		TAILQ_REMOVE(&session->inherited, map, link);
		unmap(map);
	}
}

bool session_holds(const struct session *session)
{
	return !TAILQ_EMPTY(&session->map_list) || !TAILQ_EMPTY(&session->inherited);
}
