/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reasons.c - the words of a session's pins: why new pins are refused (c7.9), and how many there are. A span that has gone from
 * its file stays so; of the others the reason is that of the pool, of the span's device, or of who waits to take it away.
 *
 * All under service.lock; session_gone() and session_taking() under the pool's lock as well.
 */
#include <pgmap/folio.h>

#include "server/session.h"

void session_gone(void *cookie, uint64_t first_span, uint64_t nspans)
{
	struct session_map *map = cookie;
	if (!map)
		return;
	for (uint64_t i = first_span; i < first_span + nspans && i < map->nspans; i++) {
		map->stale[i / 64] |= UINT64_C(1) << (i % 64);
		(void)pinword_block(&map->session->segment.words[map->first_word + i], PINWORD_STALE);
	}
}

static struct pgmap *pgmap_under(const struct session_map *map, uint64_t i)
{
	struct fsdax_span span;
	fsdax_map_span(map->map, i, &span);
	return folio_pgmap(span.folio);
}

static bool is_going(const struct session_map *map, uint64_t i)
{
	return devices_is_going(&map->session->service->devices, pgmap_under(map, i));
}

void session_taking(void *cookie, uint64_t span, int taken)
{
	struct session_map *map = cookie;
	if (!map || span >= map->nspans || session_is_stale(map, span))
		return;
	enum pinword_reason reason =
		map->session->service->draining || is_going(map, span) ? PINWORD_GOING : PINWORD_OPEN;
	(void)pinword_block(&map->session->segment.words[map->first_word + span], taken ? PINWORD_WAIT : reason);
}

void session_block_all(struct session *session, enum pinword_reason reason)
{
	struct session_map *map;
	TAILQ_FOREACH (map, &session->map_list, link) {
		for (uint64_t i = 0; i < map->nspans; i++)
			if (!session_is_stale(map, i))
				(void)pinword_block(&session->segment.words[map->first_word + i], reason);
	}
}

void session_block_gone(struct session *session)
{
	struct session_map *map;
	TAILQ_FOREACH (map, &session->map_list, link) {
		for (uint64_t i = 0; i < map->nspans; i++)
			if (!session_is_stale(map, i) && is_going(map, i))
				(void)pinword_block(&session->segment.words[map->first_word + i], PINWORD_GOING);
	}
}

/* Beside the server's reason may stand that the client is unmapping, or that its data is lost: then too. */
void session_open_on(struct session *session, const struct pgmap *pgmap)
{
	struct session_map *map;
	TAILQ_FOREACH (map, &session->map_list, link) {
		for (uint64_t i = 0; i < map->nspans; i++) {
			pinword_t *word = &session->segment.words[map->first_word + i];
			unsigned reason = pinword_read(word).reason & (unsigned)PINWORD_SERVERS;
			if (pgmap_under(map, i) == pgmap && reason == PINWORD_GOING)
				(void)pinword_block(word, PINWORD_OPEN);
		}
	}
}

uint64_t session_pages_on(const struct session_map *map, unsigned device)
{
	uint64_t pages = 0;
	for (uint64_t i = 0; i < fsdax_map_nspans(map->map); i++) {
		struct fsdax_span span;
		fsdax_map_span(map->map, i, &span);
		pages += span.device == device ? UINT64_C(1) << span.order : 0;
	}
	return pages;
}

void session_count_pins(const struct session_map *map, uint64_t *local, uint64_t *remote)
{
	*local = *remote = 0;
	for (uint64_t i = 0; i < map->nspans; i++) {
		struct pinword_counts counts = pinword_read(&map->session->segment.words[map->first_word + i]);
		*local += counts.local;
		*remote += counts.remote;
	}
}
