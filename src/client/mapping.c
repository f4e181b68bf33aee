/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mapping.c - map and unmap. One message each; the order is what makes it safe: references first (the server's reply), then
 * addresses; and the other way round at the end, after the words have been closed to pins, so that the pages are never
 * free while they can be touched here.
 */
#include <pgmap/client.h>
#include <pgmap/pgmap.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "client/mapping.h"
#include "port/compiler.h"

/* What a reply says about a mapping, checked: it is the range that was asked for, and no index of it leads outside of our
 * segment or of its own arrays. */
static int check_reply(const struct pgmap_client *client, const struct proto_req *req, const struct proto_map *map)
{
	bool exact = req->type == PROTO_MAP && req->len_bytes;
	if (map->offset_bytes != req->offset_bytes || map->len_bytes < req->len_bytes ||
	    (exact && map->len_bytes > req->len_bytes))
		return -EPROTO;
	if (map->offset_bytes > INT64_MAX || map->len_bytes > INT64_MAX - map->offset_bytes)
		return -EPROTO;
	if (map->nspans == 0 || map->nspans > client->nwords || map->first_word > client->nwords - map->nspans)
		return -EPROTO;
	if (map->nruns == 0 || map->nruns > map->nspans || map->npieces == 0 || map->npieces > UINT32_MAX)
		return -EPROTO;
	return 0;
}

/* Whatever page of the mapping is looked up leads to a span of it. */
static int check_runs(const struct proto_run *runs, const struct proto_map *map)
{
	if (runs[0].first_span != 0 || runs[0].file_pgoff > map->offset_bytes >> 12)
		return -EPROTO;
	for (uint64_t i = 0; i < map->nruns; i++) {
		bool last = i + 1 == map->nruns;
		uint64_t end_span = last ? map->nspans : runs[i + 1].first_span;
		uint64_t end_page = last ? (map->offset_bytes + map->len_bytes + 4095) >> 12 : runs[i + 1].file_pgoff;
		if (runs[i].order > 18 || runs[i].first_span >= end_span || end_span > map->nspans ||
		    runs[i].file_pgoff >= end_page ||
		    (end_page - 1 - runs[i].file_pgoff) >> runs[i].order >= end_span - runs[i].first_span)
			return -EPROTO;
	}
	return 0;
}

static int keep_runs(struct pgmap_mapping *mapping, const struct proto_run *runs, const struct proto_map *map)
{
	int err = check_runs(runs, map);
	struct proto_run *to = mapping->few_runs;
	if (!err && map->nruns > MAPPING_FEW_RUNS) {
		to = mapping->many_runs = malloc(map->nruns * sizeof(*runs));
		if (!to)
			err = -ENOMEM;
	}
	if (err)
		return err;
	memcpy(to, runs, map->nruns * sizeof(*runs));
	mapping->runs = to;
	mapping->nruns = map->nruns;
	return 0;
}

static void mapping_free(struct pgmap_mapping *mapping)
{
	free(mapping->many_runs);
	free(mapping);
}

/* Where a mapping is to lie: in place of another, or (null) anywhere. */
struct place {
	struct leased *over;
	uint32_t inherited; /* of what is not mapped now (lease.h) */
};

static int fill(struct pgmap_mapping *mapping, struct pgmap_client *client, const struct proto_map *map,
		const struct proto_piece *pieces, const struct proto_run *runs, unsigned prot, struct place *place)
{
	struct address_plan plan = {
		.pieces = pieces,
		.npieces = map->npieces,
		.offset_bytes = map->offset_bytes,
		.len_bytes = map->len_bytes,
		.granule_bytes = client->granule_bytes,
		.prot = prot & PGMAP_MAP_WRITE ? PROT_READ | PROT_WRITE : PROT_READ,
	};
	int err = keep_runs(mapping, runs, map);
	if (err)
		return err;
	mapping->client = client;
	mapping->generation = client->generation;
	mapping->words = client->words + map->first_word;
	mapping->nspans = map->nspans;
	mapping->bytes = map->len_bytes;
	mapping->file_offset_bytes = map->offset_bytes;
	err = place->over ? lease_change(client, &plan, place->over, &place->inherited)
			  : lease_map(client, &plan, &mapping->leased, &place->inherited);
	/* What may not be pinned goes the long way, and is told so there. */
	if (!err && mapping->nruns == 1 && !(place->over ? place->over : &mapping->leased)->no_pins) {
		mapping->only_words = mapping->words + runs->first_span;
		mapping->only_from = map->offset_bytes - (runs->file_pgoff << PGMAP_PAGE_SHIFT);
		mapping->only_shift = PGMAP_PAGE_SHIFT + runs->order;
	}
	return err;
}

/* The pieces and runs of a reply, inline or in its memfd. */
static int take_reply(struct pgmap_mapping *mapping, struct pgmap_client *client, const struct proto_req *req,
		      struct transport_reply *reply, struct place *place)
{
	const struct proto_map *map = &reply->rep.u.map;
	struct connection_bytes bytes;
	int err = check_reply(client, req, map);
	if (!err && map->npieces <= PROTO_INLINE_PIECES && map->nruns <= PROTO_INLINE_RUNS)
		return fill(mapping, client, map, map->pieces, map->runs, req->prot, place);
	uint64_t pieces_bytes = map->npieces * sizeof(struct proto_piece);
	if (!err)
		err = connection_read_fd(reply, pieces_bytes + map->nruns * sizeof(struct proto_run), &bytes);
	if (err)
		return err;
	const struct proto_piece *pieces = bytes.at;
	err = fill(mapping, client, map, pieces, (const struct proto_run *)(pieces + map->npieces), req->prot, place);
	connection_bytes_exit(&bytes);
	return err;
}

/* The request, and what its answer says: in *mapping, which is new but for its place. */
static int ask_and_map(struct pgmap_mapping *mapping, struct pgmap_client *client, struct proto_req *req,
		       struct place *place)
{
	struct transport_reply reply = {0};
	int err = connection_call(client, req, &reply);
	if (err) {
		/* The server has made the mapping, but its descriptor found no place here. */
		if (err == -EMFILE && reply.rep.error == 0 && reply.rep.handle)
			(void)connection_end_handle(client, PROTO_UNMAP, reply.rep.handle, 0);
		return err;
	}
	err = lease_want_devices(client, reply.rep.count);
	if (!err)
		err = take_reply(mapping, client, req, &reply, place);
	connection_close_fds(&reply);
	if (err)
		(void)connection_end_handle(client, PROTO_UNMAP, reply.rep.handle, place->inherited);
	else
		mapping->id = reply.rep.handle;
	return err;
}

static int map_with(struct pgmap_client *client, struct proto_req *req, struct pgmap_mapping **out)
{
	struct place anywhere = {0};
	struct pgmap_mapping *mapping = calloc(1, sizeof(*mapping));
	if (!mapping)
		return -ENOMEM;
	int err = req->prot & PGMAP_MAP_WRITE ? lease_want_write(client) : 0;
	if (!err)
		err = ask_and_map(mapping, client, req, &anywhere);
	if (err) {
		mapping_free(mapping);
		return err;
	}
	connection_get(client);
	*out = mapping;
	return 0;
}

static int check_prot(unsigned prot)
{
	return prot != 0 && (prot & ~(unsigned)(PGMAP_MAP_READ | PGMAP_MAP_WRITE)) == 0 ? 0 : -EINVAL;
}

PGMAP_PUBLIC int pgmap_map(struct pgmap_file *file, uint64_t offset_bytes, uint64_t len_bytes, unsigned prot,
			   struct pgmap_mapping **out)
{
	struct proto_req req = {.type = PROTO_MAP, .offset_bytes = offset_bytes, .len_bytes = len_bytes, .prot = prot};
	if (!file || !out || check_prot(prot) != 0)
		return -EINVAL;
	if (file->read_only && (prot & PGMAP_MAP_WRITE))
		return -EACCES;
	req.handle = file->id;
	return map_with(file->client, &req, out);
}

PGMAP_PUBLIC int pgmap_open_map(struct pgmap_client *client, const char *path, unsigned flags, uint64_t size_bytes,
				unsigned prot, struct pgmap_mapping **out)
{
	struct proto_req req = {.type = PROTO_OPEN_MAP, .flags = flags, .len_bytes = size_bytes, .prot = prot};
	if (!client || !out || check_prot(prot) != 0)
		return -EINVAL;
	if (flags & PGMAP_O_RDONLY) {
		if (flags != PGMAP_O_RDONLY || size_bytes)
			return -EINVAL;
		if (prot & PGMAP_MAP_WRITE)
			return -EACCES;
		req.flags = 0;
	}
	int err = connection_set_path(req.path, path);
	return err ? err : map_with(client, &req, out);
}

/* 0: the addresses have gone, and from here on nothing can fail but what is asked for besides. */
static int leave_addresses(struct pgmap_mapping *mapping, uint32_t *inherited)
{
	if (!client_is_ours(mapping->client))
		return -EPERM;
	int err = mapping_close_words(mapping);
	if (err)
		return err;
	err = lease_unmap(mapping->client, &mapping->leased, inherited);
	if (err)
		mapping_reopen_words(mapping, mapping->nspans);
	return err;
}

static int end_mapping(struct pgmap_mapping *mapping, uint32_t flags)
{
	struct pgmap_client *client = mapping->client;
	int err = connection_end_handle(client, PROTO_UNMAP, mapping->id, flags);
	mapping_free(mapping);
	connection_put(client);
	return err;
}

PGMAP_PUBLIC int pgmap_unmap(struct pgmap_mapping *mapping)
{
	uint32_t inherited;
	if (!mapping)
		return 0;
	int err = leave_addresses(mapping, &inherited);
	if (!err)
		(void)end_mapping(mapping, inherited);
	return err;
}

PGMAP_PUBLIC int pgmap_unmap_unlink(struct pgmap_mapping *mapping, int *unlinked)
{
	uint32_t inherited;
	if (!mapping)
		return -EINVAL;
	int err = leave_addresses(mapping, &inherited);
	if (err)
		return err;
	err = end_mapping(mapping, inherited | PROTO_UNMAP_UNLINK);
	if (unlinked)
		*unlinked = err;
	return 0;
}

/* All but the place, which it has already. */
static void become(struct pgmap_mapping *mapping, const struct pgmap_mapping *fresh)
{
	free(mapping->many_runs);
	mapping->words = fresh->words;
	mapping->nspans = fresh->nspans;
	mapping->bytes = fresh->bytes;
	mapping->only_words = fresh->only_words;
	mapping->only_from = fresh->only_from;
	mapping->only_shift = fresh->only_shift;
	mapping->nruns = fresh->nruns;
	mapping->many_runs = fresh->many_runs;
	memcpy(mapping->few_runs, fresh->few_runs, sizeof(mapping->few_runs));
	mapping->runs = mapping->many_runs ? mapping->many_runs : mapping->few_runs;
	mapping->id = fresh->id;
}

static int map_again(struct pgmap_mapping *mapping, uint64_t len_bytes)
{
	struct pgmap_client *client = mapping->client;
	struct pgmap_mapping fresh = {0};
	struct place place = {.over = &mapping->leased};
	struct proto_req req = {
		.type = PROTO_MAP,
		.flags = PROTO_MAP_AGAIN,
		.handle = mapping->id,
		.offset_bytes = mapping->file_offset_bytes,
		.len_bytes = len_bytes,
		.prot = PGMAP_MAP_READ | (mapping->leased.plan.prot & PROT_WRITE ? PGMAP_MAP_WRITE : 0),
	};
	uint64_t before = mapping->id;
	int err = ask_and_map(&fresh, client, &req, &place);
	if (err) {
		free(fresh.many_runs);
		return err;
	}
	become(mapping, &fresh);
	(void)connection_end_handle(client, PROTO_UNMAP, before, place.inherited);
	return 0;
}

PGMAP_PUBLIC int pgmap_remap(struct pgmap_mapping *mapping, uint64_t len_bytes)
{
	if (!mapping)
		return -EINVAL;
	if (!client_is_ours(mapping->client))
		return -EPERM;
	int err = mapping_close_words(mapping);
	if (err)
		return err;
	uint64_t nwords = mapping->nspans;
	err = map_again(mapping, len_bytes);
	if (err)
		mapping_reopen_words(mapping, nwords);
	return err;
}

PGMAP_PUBLIC void *pgmap_mapping_address(const struct pgmap_mapping *mapping)
{
	return mapping->leased.address.start;
}

PGMAP_PUBLIC uint64_t pgmap_mapping_bytes(const struct pgmap_mapping *mapping)
{
	return mapping->bytes;
}
