/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fake_map.h - what the tests of mappings share: a file of a server (fake.h) that answers to a map with what a test wants, and
 * with what is right unless it wants something else.
 */
#ifndef PGMAP_TESTS_FAKE_MAP_H
#define PGMAP_TESTS_FAKE_MAP_H

#include "fake.h"

#include <stdio.h>

#include "client/mapping.h"

enum { PIECES = 3, RUNS = 3, BYTES = 5 * PAGE };

static struct fake fake;
static struct pgmap_client *client;
static struct pgmap_file *file;

/* A mapping that is right: 5 pages from page 2 of the file, in three pieces and three folios. */
static const struct proto_map good = {
	.offset_bytes = 2 * PAGE,
	.len_bytes = BYTES,
	.first_word = 10,
	.nspans = 3,
	.npieces = PIECES,
	.nruns = RUNS,
	.pieces = {{2 * PAGE, 100 * PAGE, 2 * PAGE, 0, 0},
		   {4 * PAGE, 50 * PAGE, PAGE, 0, 0},
		   {5 * PAGE, 8 * PAGE, 2 * PAGE, 0, 0}},
	.runs = {{2, 0, 1, 0}, {4, 1, 0, 0}, {5, 2, 1, 0}},
};

static inline int answer_map(struct fake *f, const struct proto_req *req, struct transport_reply *reply)
{
	if (req->type == PROTO_MAP || req->type == PROTO_OPEN_MAP) {
		reply->rep.handle = 77;
		reply->rep.count = f->generation;
		reply->rep.u.map = f->rep.u.map;
		return f->err;
	}
	reply->rep.handle = req->type == PROTO_OPEN ? 5 : 0;
	if (req->type == PROTO_UNMAP)
		reply->rep.error = f->rep.error;
	return 0;
}

static inline int set_up(void **state)
{
	(void)state;
	fake_init(&fake);
	fake.answer = answer_map;
	fake.rep.u.map = good;
	client = fake_connect(&fake);
	assert_int_equal(lease_want_write(client), 0); /* so that no test is the first */
	return pgmap_open(client, "f", 0, &file);
}

static inline int tear_down(void **state)
{
	(void)state;
	assert_int_equal(pgmap_close(file), 0);
	return pgmap_disconnect(client);
}

static inline struct pgmap_mapping *map_it(void)
{
	struct pgmap_mapping *mapping;
	assert_int_equal(pgmap_map(file, 2 * PAGE, BYTES, PGMAP_MAP_READ | PGMAP_MAP_WRITE, &mapping), 0);
	return mapping;
}

/* Bytes of address space that map the device, as the kernel says. */
static inline uint64_t mapped_bytes(void)
{
	char line[512];
	uint64_t bytes = 0;
	FILE *maps = fopen("/proc/self/maps", "re");
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long long from, to;
		if (strstr(line, "memfd:fake") && sscanf(line, "%llx-%llx", &from, &to) == 2)
			bytes += to - from;
	}
	(void)fclose(maps);
	return bytes;
}

/* Refused: nothing is mapped, no descriptor is left, the server is told to take its mapping back, and the file stays. */
static inline void assert_refused(int err)
{
	struct pgmap_mapping *mapping = (struct pgmap_mapping *)1;
	uint64_t bytes = mapped_bytes();
	unsigned fds = fake_count_fds(), unmaps = fake.calls[PROTO_UNMAP];
	assert_int_equal(pgmap_map(file, 2 * PAGE, BYTES, PGMAP_MAP_READ, &mapping), err);
	assert_ptr_equal(mapping, (struct pgmap_mapping *)1);
	assert_int_equal(mapped_bytes(), bytes);
	assert_int_equal(fake_count_fds(), fds);
	assert_int_equal(fake.calls[PROTO_UNMAP], unmaps + 1);
	assert_int_equal(fake.last[PROTO_UNMAP].handle, 77);
	assert_int_equal(fake.hung_up, 0);
}

#endif
