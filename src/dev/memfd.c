/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memfd.c - anonymous shared memory, in pages of 4 KiB, 2 MiB or 1 GiB; new, or inherited from another program.
 *
 * Nobody else can open it or change its size under us: its mode is 0600 from the start (a memfd's default of 0777 lets
 * any user open it anew through /proc), and shrinking, growing and further sealing are sealed.
 *
 * Huge pages are not reserved by creating a file of them. "auto" takes them only when enough are free and promised to
 * nobody; somebody else can still be quicker, and then populate says -ENOSPC. (hugetlb.c has them promised first.)
 *
 * An inherited memfd keeps its seals, mode and bytes until the guards have passed (take).
 */
#include "dev/dev.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "dev/hugepages.h"
#include "dev/memory.h"

struct request {
	struct memory_request memory; /* page_bytes 0: auto */
	int fd;                       /* -1: make one */
	char name[DEV_ARG_MAX];
	bool paged; /* page= or name= was given */
};

static uint64_t choose_page(const struct memory_request *req)
{
	for (size_t i = 0; i < HUGEPAGES_NSIZES; i++) {
		uint64_t page = hugepages_sizes[i];
		if (req->size_bytes >= page && req->size_bytes % page == 0 &&
		    hugepages_to_have(page, req->node) >= req->size_bytes / page)
			return page;
	}
	return memory_base_page();
}

static int set_page(void *request, const char *value, char why[DEV_WHY_MAX])
{
	struct request *req = request;
	uint64_t *page_bytes = &req->memory.page_bytes;
	req->paged = true;
	*page_bytes = 0;
	if (strcmp(value, "auto") == 0)
		return 0;
	if (dev_parse_size(value, page_bytes) == 0) {
		if (*page_bytes == memory_base_page() || *page_bytes == hugepages_sizes[0] ||
		    *page_bytes == hugepages_sizes[1])
			return 0;
	}
	return dev_refuse(why, -EINVAL, "page=%s is not 4K, 2M, 1G or auto", value);
}

static int set_fd(void *request, const char *value, char why[DEV_WHY_MAX])
{
	uint64_t n;
	if (dev_parse_size(value, &n) || n > INT_MAX)
		return dev_refuse(why, -EINVAL, "fd=%s is not a descriptor", value);
	((struct request *)request)->fd = (int)n;
	return 0;
}

static int set_name(void *request, const char *value, char why[DEV_WHY_MAX])
{
	struct request *req = request;
	(void)why;
	(void)snprintf(req->name, sizeof(req->name), "%s", value);
	req->paged = true;
	return 0;
}

static const struct dev_key keys[] = {
	MEMORY_KEYS, {"page", false, set_page}, {"name", false, set_name}, {"fd", false, set_fd}, {NULL, false, NULL},
};

static int parse(const char *args, struct request *req, char why[DEV_WHY_MAX])
{
	int err = dev_parse_args(args, keys, req, why);
	if (err)
		return err;
	if (req->fd >= 0)
		return !req->paged && !req->memory.size_bytes
			       ? 0
			       : dev_refuse(why, -EINVAL, "fd=%d takes no other key but node and lock", req->fd);
	return req->memory.size_bytes ? 0 : dev_refuse(why, -EINVAL, "no size= given");
}

/* The page size is settled, or the reason why it cannot be. */
static int settle_page(struct memory_request *req, char why[DEV_WHY_MAX])
{
	char name[24];
	if (!req->page_bytes)
		req->page_bytes = choose_page(req);
	if (req->size_bytes % req->page_bytes)
		return dev_refuse(why, -EINVAL, "size %" PRIu64 " is not a multiple of the page, %s", req->size_bytes,
				  page_name(req->page_bytes, name));
	if (req->page_bytes == memory_base_page())
		return 0;
	uint64_t need = req->size_bytes / req->page_bytes;
	if (hugepages_to_have(req->page_bytes, req->node) >= need)
		return 0;
	return hugepages_refuse(need, req->page_bytes, req->node, ", or use page=4K", why);
}

/* Inherited: what it is, without changing it. A descriptor of our own for it, or why not. */
static int inherit(struct request *req, char why[DEV_WHY_MAX])
{
	struct stat st;
	struct statfs fs;
	int seals = fcntl(req->fd, F_GET_SEALS);
	if (seals < 0)
		return dev_refuse(why, -EINVAL, "descriptor %d is no memfd: %s", req->fd, strerror(errno));
	if (fstat(req->fd, &st) || fstatfs(req->fd, &fs))
		return dev_refuse(why, -errno, "descriptor %d: %s", req->fd, strerror(errno));
	if ((fcntl(req->fd, F_GETFL) & O_ACCMODE) != O_RDWR || (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
		return dev_refuse(why, -EINVAL, "descriptor %d cannot be written", req->fd);
	if ((seals & F_SEAL_SEAL) && (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW))
		return dev_refuse(why, -EINVAL, "descriptor %d can change its size, and be sealed no more", req->fd);
	req->memory.page_bytes = fs.f_type == HUGETLBFS_MAGIC ? (uint64_t)fs.f_bsize : memory_base_page();
	req->memory.size_bytes = (uint64_t)st.st_size;
	if (req->memory.size_bytes == 0 || req->memory.size_bytes % req->memory.page_bytes)
		return dev_refuse(why, -EINVAL, "descriptor %d has a size of %" PRIu64 " bytes: not whole pages",
				  req->fd, req->memory.size_bytes);
	int fd = fcntl(req->fd, F_DUPFD_CLOEXEC, 3);
	return fd >= 0 ? fd : dev_refuse(why, -errno, "descriptor %d: %s", req->fd, strerror(errno));
}

static int take_inherited(struct dev *dev, char why[DEV_WHY_MAX])
{
	return dev->keep ? dev_try_lease(dev, why) : 0;
}

/* The guards have passed: nobody else uses it, so its seals, mode and bytes are ours. */
static int drop_inherited(struct dev *dev, char why[DEV_WHY_MAX])
{
	int seals = fcntl(dev->fd, F_GET_SEALS);
	if (dev->keep)
		return 0;
	if (fchmod(dev->fd, 0600) != 0)
		return dev_refuse(why, -errno, "its mode cannot be set: %s", strerror(errno));
	if (!(seals & F_SEAL_SEAL) && memory_seal(dev->fd) != 0)
		return dev_refuse(why, -errno, "cannot be sealed: %s", strerror(errno));
	struct stat st;
	if (fstat(dev->fd, &st) != 0 || (uint64_t)st.st_size != dev->size_bytes)
		return dev_refuse(why, -EBUSY, "its size changed while it was taken over");
	int err = memory_discard(dev, 0, dev->size_bytes);
	return err ? dev_refuse(why, err, "its old bytes cannot be dropped: %s", strerror(-err)) : 0;
}

static void write_spec(struct memory *memory, const struct request *req)
{
	char fd[24] = "", page[24];
	if (req->fd >= 0)
		(void)snprintf(fd, sizeof(fd), "fd=%d,", req->fd);
	memory_write_spec(memory, "memfd:%ssize=%" PRIu64 ",page=%s", fd, req->memory.size_bytes,
			  page_name(req->memory.page_bytes, page));
}

static int memfd_open(const char *args, struct dev **out, char why[DEV_WHY_MAX])
{
	struct request req = {.memory = MEMORY_REQUEST_INIT, .fd = -1, .name = "pgmap"};
	int err = parse(args, &req, why);
	if (!err && req.fd < 0)
		err = settle_page(&req.memory, why);
	if (err)
		return err;
	struct memory *memory = calloc(1, sizeof(*memory));
	if (!memory)
		return dev_refuse(why, -ENOMEM, "no memory");
	int fd = req.fd >= 0 ? inherit(&req, why) : memory_anonymous(req.name, &req.memory, why);
	err = fd < 0 ? fd : memory_init(memory, &dev_memfd, fd, &req.memory, why);
	if (err) {
		free(memory);
		return err;
	}
	memory->dev.take = req.fd >= 0 ? take_inherited : NULL;
	memory->dev.drop = req.fd >= 0 ? drop_inherited : NULL;
	write_spec(memory, &req);
	*out = &memory->dev;
	return 0;
}

const struct dev_kind dev_memfd = {
	.kind_bytes = sizeof(struct dev_kind),
	.name = "memfd",
	.usage = "memfd:size=SIZE[,page=4K|2M|1G|auto][,name=NAME][,node=N][,lock] | memfd:fd=N[,node=N][,lock]   "
		 "anonymous shared memory",
	.open = memfd_open,
};
