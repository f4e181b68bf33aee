/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory.h - what all kinds of memory behind a descriptor have in common: allocated before it is handed out, given back by
 * punching holes, from one NUMA node, kept out of swap. The kinds make the descriptor; the rest is here.
 *
 * Thread safety: populate and discard from any thread, also of neighbours at once; the rest as dev.h says.
 */
#ifndef PGMAP_DEV_MEMORY_H
#define PGMAP_DEV_MEMORY_H

#include <stdbool.h>

#include "dev/kind.h"
#include "dev/node.h"
#include "dev/persist.h"
#include "dev/room.h"

/* The arguments that all of them take; each kind's request begins with it. */
struct memory_request {
	uint64_t size_bytes; /* 0: not given */
	uint64_t page_bytes; /* 0: not given, or auto */
	int node;            /* NODE_ANY: wherever the system has it */
	bool lock;
};
#define MEMORY_REQUEST_INIT                                                                                            \
	{                                                                                                              \
		.node = NODE_ANY                                                                                       \
	}

/* Entries for a kind's table of keys. */
int memory_set_size(void *request, const char *value, char why[DEV_WHY_MAX]);
int memory_set_node(void *request, const char *value, char why[DEV_WHY_MAX]);
int memory_set_lock(void *request, const char *value, char why[DEV_WHY_MAX]);
#define MEMORY_KEYS                                                                                                    \
	{"size", false, memory_set_size}, {"node", false, memory_set_node},                                            \
	{                                                                                                              \
		"lock", true, memory_set_lock                                                                          \
	}

/* The device; each kind's begins with it, so that one free() ends both. */
struct memory {
	struct dev dev;
	int node;
	struct room room;
	struct persist persist;
	void *locked;  /* a mapping of all of it whose pages stay in memory once they are there; or null */
	bool reserves; /* huge pages that are not in use stay promised to this device */
	bool blocks;   /* a file on a disk: room comes and goes by ALLOC_BLOCK, see alloc.h */
};

/* memory_init - a device on this descriptor, which is its own from here on (also when it fails: then closed). The size and
 * page are the request's. -EINVAL no such node, -ENOMEM or -EPERM it may not lock so much; why says which. */
int memory_init(struct memory *memory, const struct dev_kind *kind, int fd, const struct memory_request *request,
		char why[DEV_WHY_MAX]);
/* memory_close - dev.close: also frees the device. */
void memory_close(struct dev *dev);

/* memory_anonymous - a sealed memfd of mode 0600, of the request's size and page; or -errno. */
int memory_anonymous(const char *name, const struct memory_request *request, char why[DEV_WHY_MAX]);

/* memory_seal - its size stays what it is. 0 or -1 with errno. */
int memory_seal(int fd);

/* memory_reserve - have the system promise these huge pages to the file that fd is. 0, or -ENOMEM. */
int memory_reserve(int fd, uint64_t offset_bytes, uint64_t len_bytes);

/* memory_discard - these bytes read as zero, and their memory is the system's again. 0 or -errno. */
int memory_discard(void *ctx, uint64_t offset_bytes, uint64_t len_bytes);

/* memory_base_page - the system's smallest page. memory_write_spec - dev->spec: what the kind says, then node and lock. */
uint64_t memory_base_page(void);
void memory_write_spec(struct memory *memory, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
