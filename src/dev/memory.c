/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory.c - see memory.h.
 *
 * Memory comes and goes by fallocate() (alloc.h): populate answers -ENOSPC where a touch would have been a SIGBUS, discard
 * punches holes. A populate that fails half way leaves what it has got: its caller discards what it asked for
 * (src/fs/space.c).
 *
 * lock: the whole device is mapped here once, locked on fault (MLOCK_ONFAULT), and populate maps what it has allocated: a
 * page that some locked mapping maps is never swapped out. So the limit on locked memory is met by the device's whole size
 * when it is opened, and not at some later moment; a punched hole takes its pages out of this mapping as well; and there is
 * one area of addresses however many pieces of the device are in use.
 */
#include "dev/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dev/alloc.h"

#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

uint64_t memory_base_page(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

int memory_set_size(void *request, const char *value, char why[DEV_WHY_MAX])
{
	struct memory_request *req = request;
	if (dev_parse_size(value, &req->size_bytes) || req->size_bytes > INT64_MAX)
		return dev_refuse(why, -EINVAL, "size=%s is not a size", value);
	return req->size_bytes ? 0 : dev_refuse(why, -EINVAL, "size is 0");
}

int memory_set_node(void *request, const char *value, char why[DEV_WHY_MAX])
{
	struct memory_request *req = request;
	uint64_t n;
	if (dev_parse_size(value, &n) || n > NODE_MAX)
		return dev_refuse(why, -EINVAL, "node=%s is not the number of a node", value);
	req->node = (int)n;
	return 0;
}

int memory_set_lock(void *request, const char *value, char why[DEV_WHY_MAX])
{
	struct memory_request *req = request;
	(void)value;
	(void)why;
	req->lock = true;
	return 0;
}

static uint64_t page_of(const struct dev *dev)
{
	return PGMAP_PAGE_SIZE << dev->granule_order;
}

static int allocate(const struct memory *memory, uint64_t from, uint64_t to)
{
	const struct dev *dev = &memory->dev;
	int err =
		memory->blocks ? alloc_fill_blocks(dev->fd, from, to, dev->size_bytes) : alloc_fill(dev->fd, from, to);
	if (!err && memory->locked && madvise((char *)memory->locked + from, to - from, MADV_POPULATE_READ) != 0)
		err = -errno;
	return err;
}

/* Huge pages come from a pool of their own, and a disk's file takes memory only where it is locked. */
static bool is_asked_for(const struct memory *memory)
{
	return page_of(&memory->dev) == memory_base_page() && (!memory->blocks || memory->locked);
}

static int allocate_on_node(const struct memory *memory, uint64_t from, uint64_t to)
{
	struct node_policy before;
	int err = node_enter(memory->node, &before);
	if (err)
		return err;
	err = allocate(memory, from, to);
	node_leave(memory->node, &before);
	return err == -ENOMEM || err == -EDQUOT ? -ENOSPC : err;
}

static int memory_populate(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	struct memory *memory = ctx;
	if (!is_asked_for(memory))
		return allocate_on_node(memory, offset_bytes, offset_bytes + len_bytes);
	if (!room_begin(&memory->room, len_bytes, memory->node, !memory->locked))
		return -ENOSPC;
	int err = allocate_on_node(memory, offset_bytes, offset_bytes + len_bytes);
	room_end(&memory->room, len_bytes);
	return err;
}

int memory_reserve(int fd, uint64_t offset_bytes, uint64_t len_bytes)
{
	/* A mapping promises; its end takes nothing back, as the promise is the file's. */
	void *at = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset_bytes);
	if (at == MAP_FAILED)
		return -errno;
	(void)munmap(at, len_bytes);
	return 0;
}

int memory_discard(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	const struct memory *memory = ctx;
	const struct dev *dev = &memory->dev;
	uint64_t to = offset_bytes + len_bytes;
	if (memory->blocks)
		return alloc_punch_blocks(dev->fd, offset_bytes, to, dev->size_bytes);
	int err = alloc_punch(dev->fd, offset_bytes, to);
	/* A hole loses its promise too. Where somebody else was quicker, populate will say so. */
	if (!err && memory->reserves)
		(void)memory_reserve(dev->fd, offset_bytes, len_bytes);
	return err;
}

static int memory_flush(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	return persist_flush(&((const struct memory *)ctx)->persist, offset_bytes, len_bytes);
}

/* Whole pages of the system's are let go of with the hole, and others come in their place: who asks for this looks whether they are
 * good. A file on a disk has lost the page already: the system has thrown it out of its cache. */
static int memory_clear(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	const struct memory *memory = ctx;
	uint64_t page_bytes = page_of(&memory->dev);
	if (memory->blocks)
		return 0;
	if (offset_bytes % page_bytes || len_bytes % page_bytes)
		return -EOPNOTSUPP;
	int err = alloc_punch(memory->dev.fd, offset_bytes, offset_bytes + len_bytes);
	return err ? err : memory_populate(ctx, offset_bytes, len_bytes);
}

static const struct dax_device_ops memory_ops = {
	.ops_bytes = sizeof(struct dax_device_ops),
	.populate = memory_populate,
	.discard = memory_discard,
	.flush = memory_flush,
	.clear_poison = memory_clear,
};

void memory_close(struct dev *dev)
{
	struct memory *memory = (struct memory *)dev;
	if (memory->locked)
		(void)munmap(memory->locked, dev->size_bytes);
	persist_exit(&memory->persist);
	(void)close(dev->fd);
	free(memory);
}

static int refuse_lock(int err, uint64_t need, char why[DEV_WHY_MAX])
{
	struct rlimit limit = {0};
	(void)getrlimit(RLIMIT_MEMLOCK, &limit);
	return dev_refuse(why, err,
			  "lock needs %" PRIu64 " bytes of locked memory, this process may have %" PRIu64
			  " (RLIMIT_MEMLOCK): raise ulimit -l or LimitMEMLOCK=, or leave lock out",
			  need, (uint64_t)limit.rlim_cur);
}

/* Huge pages stay in memory by themselves. */
static int lock_all(struct memory *memory, char why[DEV_WHY_MAX])
{
	struct dev *dev = &memory->dev;
	if (page_of(dev) != memory_base_page())
		return 0;
	void *at = mmap(NULL, dev->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, dev->fd, 0);
	if (at == MAP_FAILED)
		return dev_refuse(why, -errno, "cannot be mapped: %s", strerror(errno));
	(void)madvise(at, dev->size_bytes, MADV_DONTFORK);
	(void)madvise(at, dev->size_bytes, MADV_DONTDUMP);
	if (mlock2(at, dev->size_bytes, MLOCK_ONFAULT) != 0) {
		int err = refuse_lock(-errno, dev->size_bytes, why);
		(void)munmap(at, dev->size_bytes);
		return err;
	}
	memory->locked = at;
	return 0;
}

static int check_node(int node, char why[DEV_WHY_MAX])
{
	struct node_policy before;
	int err = node_enter(node, &before);
	if (!err)
		node_leave(node, &before);
	else if (err == -EINVAL)
		(void)dev_refuse(why, err, "node=%d: this process may have no memory of such a node (see numactl -H)",
				 node);
	else
		(void)dev_refuse(why, err, "node=%d: the memory policy cannot be set: %s", node, strerror(-err));
	return err;
}

int memory_init(struct memory *memory, const struct dev_kind *kind, int fd, const struct memory_request *request,
		char why[DEV_WHY_MAX])
{
	struct dev *dev = &memory->dev;
	dev->kind = kind;
	dev->ops = &memory_ops;
	dev->fd = fd;
	dev->type = PGMAP_FSDAX;
	dev->size_bytes = request->size_bytes;
	dev->granule_order = (unsigned)__builtin_ctzll(request->page_bytes) - PGMAP_PAGE_SHIFT;
	dev->close = memory_close;
	dev->guard_fd = -1;
	memory->node = request->node;
	int err = check_node(request->node, why);
	if (!err && request->lock)
		err = lock_all(memory, why);
	if (err)
		(void)close(fd);
	return err;
}

int memory_seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

int memory_anonymous(const char *name, const struct memory_request *request, char why[DEV_WHY_MAX])
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	if (request->page_bytes != memory_base_page())
		flags |= MFD_HUGETLB | (unsigned)__builtin_ctzll(request->page_bytes) << MFD_HUGE_SHIFT;
	int fd = memfd_create(name, flags);
	if (fd < 0)
		return dev_refuse(why, -errno, "memfd_create: %s", strerror(errno));
	if (fchmod(fd, 0600) == 0 && ftruncate(fd, (off_t)request->size_bytes) == 0 && memory_seal(fd) == 0)
		return fd;
	int err = dev_refuse(why, -errno, "cannot be sized and sealed: %s", strerror(errno));
	(void)close(fd);
	return err;
}

void memory_write_spec(struct memory *memory, const char *format, ...)
{
	char *spec = memory->dev.spec, node[16] = "";
	va_list args;
	va_start(args, format);
	int n = vsnprintf(spec, sizeof(memory->dev.spec), format, args);
	va_end(args);
	if (memory->node != NODE_ANY)
		(void)snprintf(node, sizeof(node), ",node=%d", memory->node);
	if (n > 0 && (size_t)n < sizeof(memory->dev.spec))
		(void)snprintf(spec + n, sizeof(memory->dev.spec) - (size_t)n, "%s%s", node,
			       memory->locked ? ",lock" : "");
}
