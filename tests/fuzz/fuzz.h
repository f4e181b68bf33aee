/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz.h - a fuzzer of the protocol: what clients send, in which order, and what they do besides; then a look at the pool.
 *
 * An input is a list of records of 16 bytes, each one act of one of a few clients of a real service on a real memfd: a
 * request, any bytes, a pin, a scribble over the pin segment, a process that dies, or leaves a child with its lease. A
 * record means something whatever its bytes are, so that mutations go deep: a request's handle, offset and length are
 * looked up in tables of what can matter; "lie" puts other bytes into a message that is otherwise good.
 *
 * After every act (fuzz_check.c): the accounts add up (c6.10), no page is mapped for two files, nor mapped that a dead
 * client's REMOTE pin keeps (c6.8, c7.5), a mapping shows only its own file's bytes (c6.9), and what was written to it (c6.7). When all have gone: nothing is
 * held, what is used is what the files have, and no descriptor is left. A violation aborts with a line of facts.
 *
 * fuzz_service.c has LLVMFuzzerTestOneInput(); with libFuzzer (meson -Dfuzz=true) that is driven by coverage, and by
 * fuzz_mutate.c; in every other build replay.c runs the seeds and what was once found. One thread.
 */
#ifndef PGMAP_TESTS_FUZZ_H
#define PGMAP_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/service.h"
#include "server/session.h"

enum { FUZZ_RECORD_BYTES = 16, FUZZ_RECORDS_MAX = 128, FUZZ_CLIENTS = 5, FUZZ_POOL_PAGES = 512, FUZZ_FDS_MAX = 24 };

enum fuzz_act {
	FUZZ_REQUEST,  /* type, flags, handle, offset, len, prot, path, path2, timeout */
	FUZZ_GARBAGE,  /* value: the generator's seed; len */
	FUZZ_LIE,      /* a request, with value's bytes at lie */
	FUZZ_WRITE,    /* its file's mark on every page of a mapping: handle */
	FUZZ_PIN,      /* as a client does: handle, offset (a span), prot (local, remote, taken back) */
	FUZZ_SCRIBBLE, /* value over words of the segment: handle, len */
	FUZZ_LEAVE,    /* its socket ends, its descriptors stay: a child has them */
	FUZZ_DIE,      /* both end */
	FUZZ_CLOSE,    /* one descriptor: handle */
	FUZZ_POOR,     /* a request, with few descriptors left: lie */
	FUZZ_ACTS
};

struct fuzz_record {
	uint8_t act, who, type, flags, handle, offset, len, prot, path, path2, timeout, lie;
	uint8_t value[4];
};

struct fuzz_client {
	struct session *session; /* null: not there */
	bool waits;              /* for a drain, or for what awaits is, and sends nothing meanwhile */
	struct proto_req *later; /* its request that needs memory first: until it is the client's turn again; or null */
	uint64_t awaits;         /* the request whose end it waits for; or 0 */
	int fds[FUZZ_FDS_MAX];   /* what it was sent; also of one that has left */
	unsigned nfds;
};

struct fuzz_world {
	struct service *service;
	struct fuzz_client clients[FUZZ_CLIENTS];
	struct lease_list leases;         /* that the service waits for */
	uint64_t pending[FUZZ_CLIENTS];   /* the last request of each that waited for pages: for anybody's AWAIT */
	uint64_t marked[FUZZ_POOL_PAGES]; /* what was written to a page, while anybody maps it */
};

/* A violation: a line of facts, and the end. */
_Noreturn void fuzz_found(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* fuzz_check.c */
void fuzz_check(struct fuzz_world *world);                                  /* after every act */
void fuzz_check_mapping(struct fuzz_world *world, struct session_map *map); /* that has just been made */
void fuzz_mark(struct fuzz_world *world, struct session_map *map);          /* its pages are written */
void fuzz_check_empty(struct fuzz_world *world);                            /* all have gone */
unsigned fuzz_descriptors(void);

/* fuzz_service.c */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
