/* SPDX-License-Identifier: BSD-3-Clause */
/* lost.c - see lost.h; and service.h, for what the loop says of it. */
#include "server/lost.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dax/record.h"
#include "fs/fs.h"
#include "server/log.h"
#include "server/loop.h"
#include "server/session.h"

void lost_init(struct lost *lost)
{
	(void)pthread_mutex_init(&lost->lock, NULL);
	lost->event_fd = -1;
}

void lost_exit(struct lost *lost)
{
	(void)pthread_mutex_destroy(&lost->lock);
}

/* With the lock held. */
static void wake(const struct lost *lost)
{
	if (lost->event_fd >= 0)
		(void)!write(lost->event_fd, &(uint64_t){1}, sizeof(uint64_t));
}

void lost_note(void *arg, uint64_t page, uint64_t npages)
{
	struct lost *lost = arg;
	(void)pthread_mutex_lock(&lost->lock);
	struct lost_run *last = lost->n ? &lost->runs[lost->n - 1] : NULL;
	if (last && last->page + last->npages == page)
		last->npages += npages;
	else if (lost->n < LOST_RUNS)
		lost->runs[lost->n++] = (struct lost_run){page, npages};
	else
		lost->more += npages;
	atomic_store_explicit(&lost->news, true, memory_order_release);
	wake(lost);
	(void)pthread_mutex_unlock(&lost->lock);
}

void lost_wake(struct lost *lost)
{
	(void)pthread_mutex_lock(&lost->lock);
	wake(lost);
	(void)pthread_mutex_unlock(&lost->lock);
}

static bool span_is_lost(const struct session_map *map, uint64_t i)
{
	struct fsdax_span span;
	fsdax_map_span(map->map, i, &span);
	uint64_t from = span.pgoff, end = from + (UINT64_C(1) << span.order);
	return record_find(folio_pgmap(span.folio), &from, &end);
}

static void mark_map(const struct session_map *map)
{
	for (uint64_t i = 0; i < map->nspans; i++)
		segment_mark_lost(&map->session->segment, map->first_word + i, span_is_lost(map, i));
}

void lost_mark(struct service *service, bool force)
{
	struct session *session;
	struct session_map *map;
	if (!force && !atomic_load_explicit(&service->lost.news, memory_order_relaxed))
		return;
	(void)atomic_exchange_explicit(&service->lost.news, false, memory_order_acquire);
	TAILQ_FOREACH (session, &service->sessions, link)
		TAILQ_FOREACH (map, &session->map_list, link)
			mark_map(map);
}

static bool maps_some(const struct session_map *map, uint64_t ino, uint64_t from, uint64_t end)
{
	return map->ino == ino && map->offset_bytes < end && from < map->offset_bytes + map->len_bytes;
}

unsigned lost_holders(const struct service *service, uint64_t ino, uint64_t offset_bytes, uint64_t len_bytes,
		      char *text, size_t text_bytes, bool *pinned)
{
	const struct session *session;
	const struct session_map *map;
	unsigned n = 0;
	size_t at = 0;
	text[0] = 0;
	TAILQ_FOREACH (session, &service->sessions, link) {
		bool maps = false;
		TAILQ_FOREACH (map, &session->map_list, link) {
			if (!maps_some(map, ino, offset_bytes, offset_bytes + len_bytes))
				continue;
			maps = true;
			if (pinned)
				*pinned = *pinned || session_is_pinned(map);
		}
		if (!maps)
			continue;
		if (at < text_bytes)
			at += (size_t)snprintf(text + at, text_bytes - at, "%spid %ld (%s)", n ? ", " : "",
					       (long)session->pid, session->command);
		n++;
	}
	return n;
}

/* One line of the log about a run of pages. */
struct line {
	const struct service *service;
	struct lost_run run;
	char *text;
	size_t at, room;
	uint64_t pages; /* of files */
};

__attribute__((format(printf, 2, 3))) static void say(struct line *line, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	if (line->at < line->room)
		line->at += (size_t)vsnprintf(line->text + line->at, line->room - line->at, format, args);
	va_end(args);
}

static void say_size(struct line *line, uint64_t bytes)
{
	if (bytes % (1 << 20) == 0)
		say(line, "%llu MiB", (unsigned long long)bytes >> 20);
	else
		say(line, "%llu KiB", (unsigned long long)bytes >> 10);
}

/* What of a file lies in the run. */
static int say_file(void *arg, const struct fsdax_lost *lost)
{
	struct line *line = arg;
	char holders[256];
	uint64_t npages = lost->len_bytes >> PGMAP_PAGE_SHIFT, end = line->run.page + line->run.npages;
	uint64_t from = lost->page > line->run.page ? lost->page : line->run.page;
	uint64_t to = lost->page + npages < end ? lost->page + npages : end;
	if (lost->what != DAX_FAILURE_POISON || from >= to)
		return 0;
	uint64_t offset_bytes = lost->offset_bytes + ((from - lost->page) << PGMAP_PAGE_SHIFT);
	uint64_t len_bytes = (to - from) << PGMAP_PAGE_SHIFT;
	say(line, "%s%s (", line->pages ? "; " : ": ", lost->path);
	say_size(line, len_bytes);
	say(line, " at %llu)", (unsigned long long)offset_bytes);
	if (lost_holders(line->service, lost->ino, offset_bytes, len_bytes, holders, sizeof(holders), NULL))
		say(line, ", mapped by %s", holders);
	line->pages += to - from;
	return 0;
}

/* Where the run begins, as far as it lies on one device. */
static void say_device(struct line *line)
{
	const struct devices *devices = &line->service->devices;
	struct fsdax *fs = line->service->fs;
	uint64_t offset_bytes = 0;
	const char *spec = "of the pool";
	(void)pthread_mutex_lock(&fs->lock);
	struct spot spot = {0};
	if (places_has(&fs->space.places, line->run.page)) /* its device may have left meanwhile */
		spot = places_spot(&fs->space.places, places_off(&fs->space.places, line->run.page));
	(void)pthread_mutex_unlock(&fs->lock);
	for (unsigned i = 0; i < PROTO_DEVICES_MAX && spot.pgmap; i++) {
		if (!devices->memory[i] || dax_pgmap(devices->memory[i]) != spot.pgmap)
			continue;
		spec = devices->dev[i]->spec;
		(void)pgmap_pgoff_to_device(spot.pgmap, spot.pgoff, &offset_bytes);
	}
	say(line, "device %s: ", spec);
	say_size(line, line->run.npages << PGMAP_PAGE_SHIFT);
	say(line, " from byte %llu on have lost their data", (unsigned long long)offset_bytes);
}

static bool take_run(struct lost *lost, struct lost_run *run)
{
	(void)pthread_mutex_lock(&lost->lock);
	bool some = lost->n > 0;
	if (some) {
		*run = lost->runs[0];
		memmove(lost->runs, lost->runs + 1, --lost->n * sizeof(*run));
	}
	(void)pthread_mutex_unlock(&lost->lock);
	return some;
}

/* What found no place is said as a number only. */
static bool take_more(struct lost *lost, uint64_t *npages)
{
	(void)pthread_mutex_lock(&lost->lock);
	*npages = lost->more;
	lost->more = 0;
	(void)pthread_mutex_unlock(&lost->lock);
	return *npages > 0;
}

bool service_take_lost(struct service *service, char *text, size_t text_bytes)
{
	struct line line = {.service = service, .text = text, .room = text_bytes};
	uint64_t more;
	(void)pthread_mutex_lock(&service->lock);
	lost_mark(service, false);
	bool some = take_run(&service->lost, &line.run);
	if (some) {
		say_device(&line);
		(void)fsdax_for_each_lost(service->fs, NULL, say_file, &line);
		if (!line.pages)
			say(&line, ": no file's");
	} else if (take_more(&service->lost, &more)) {
		some = true;
		say(&line, "%llu more pages of 4 KiB have lost their data (pgmap lost)", (unsigned long long)more);
	} else {
		some = badblocks_take_failure(service, text, text_bytes);
	}
	(void)pthread_mutex_unlock(&service->lock);
	return some;
}

void service_tell_lost(struct service *service, int event_fd)
{
	(void)pthread_mutex_lock(&service->lost.lock);
	service->lost.event_fd = event_fd;
	wake(&service->lost); /* for what there is to be said already */
	(void)pthread_mutex_unlock(&service->lost.lock);
}

void lost_events(struct loop *loop)
{
	char line[900];
	uint64_t count;
	(void)!read(loop->lost_fd, &count, sizeof(count));
	while (service_take_lost(loop->service, line, sizeof(line)))
		log_line("%s", line);
}
