/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hugetlb.c - anonymous memory in huge pages of 2 MiB or 1 GiB, all of them promised by the system before the pool begins.
 *
 * What differs from "memfd:page=2M": that one looks whether enough huge pages are free, and somebody else may take them
 * before they are used; it can also choose other pages (page=auto). Here the system promises them to this file alone, or
 * the device is refused: no other page is tried, and no later moment can find them gone. A punched hole loses its promise,
 * so discard asks for it again at once (memory.c); where somebody else was quicker in between, populate says -ENOSPC.
 *
 * Promises are made for all NUMA nodes together. With node= the node must have that many free pages when the device is
 * opened; a later allocation that finds it empty is -ENOSPC.
 */
#include "dev/dev.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dev/hugepages.h"
#include "dev/memory.h"

static int set_page(void *request, const char *value, char why[DEV_WHY_MAX])
{
	struct memory_request *req = request;
	if (dev_parse_size(value, &req->page_bytes) == 0)
		for (size_t i = 0; i < HUGEPAGES_NSIZES; i++)
			if (req->page_bytes == hugepages_sizes[i])
				return 0;
	return dev_refuse(why, -EINVAL, "page=%s is not 2M or 1G", value);
}

static const struct dev_key keys[] = {
	MEMORY_KEYS,
	{"page", false, set_page},
	{NULL, false, NULL},
};

static int parse(const char *args, struct memory_request *req, char why[DEV_WHY_MAX])
{
	char name[24];
	int err = dev_parse_args(args, keys, req, why);
	if (err)
		return err;
	if (!req->size_bytes || !req->page_bytes)
		return dev_refuse(why, -EINVAL, "no %s given", req->size_bytes ? "page=2M or page=1G" : "size=");
	if (req->size_bytes % req->page_bytes)
		return dev_refuse(why, -EINVAL, "size %" PRIu64 " is not a multiple of the page, %s", req->size_bytes,
				  page_name(req->page_bytes, name));
	return 0;
}

/* A descriptor whose pages are all promised, or why not. */
static int make(const struct memory_request *req, char why[DEV_WHY_MAX])
{
	uint64_t need = req->size_bytes / req->page_bytes;
	if (req->node != NODE_ANY && hugepages_to_have(req->page_bytes, req->node) < need)
		return hugepages_refuse(need, req->page_bytes, req->node, "", why);
	int fd = memory_anonymous("pgmap", req, why);
	if (fd < 0)
		return fd;
	int err = memory_reserve(fd, 0, req->size_bytes);
	if (!err)
		return fd;
	(void)close(fd);
	return err == -ENOMEM ? hugepages_refuse(need, req->page_bytes, NODE_ANY, "", why)
			      : dev_refuse(why, err, "huge pages cannot be reserved: %s", strerror(-err));
}

static int hugetlb_open(const char *args, struct dev **out, char why[DEV_WHY_MAX])
{
	struct memory_request req = MEMORY_REQUEST_INIT;
	char name[24];
	int err = parse(args, &req, why);
	if (err)
		return err;
	struct memory *memory = calloc(1, sizeof(*memory));
	if (!memory)
		return dev_refuse(why, -ENOMEM, "no memory");
	int fd = make(&req, why);
	err = fd < 0 ? fd : memory_init(memory, &dev_hugetlb, fd, &req, why);
	if (err) {
		free(memory);
		return err;
	}
	memory->reserves = true;
	memory_write_spec(memory, "hugetlb:size=%" PRIu64 ",page=%s", req.size_bytes, page_name(req.page_bytes, name));
	*out = &memory->dev;
	return 0;
}

const struct dev_kind dev_hugetlb = {
	.kind_bytes = sizeof(struct dev_kind),
	.name = "hugetlb",
	.usage = "hugetlb:size=SIZE,page=2M|1G[,node=N][,lock]   anonymous memory in huge pages, all reserved at the "
		 "start",
	.open = hugetlb_open,
};
