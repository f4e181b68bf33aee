/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memfd.c - anonymous shared memory, in pages of 4 KiB, 2 MiB or 1 GiB; new, or inherited from another program.
 *
 * Nobody else can open it or change its size under us: its mode is 0600 from the start (a memfd's default of 0777 lets
 * any user open it anew through /proc), and shrinking, growing and further sealing are sealed.
 *
 * Memory comes and goes by fallocate(), page by page of the device: populate answers -ENOSPC where a touch would have
 * been a SIGBUS, discard punches holes, so that the pages read as zero and their memory is the system's again. Both go
 * in steps, so that a signal costs a step and not the work so far (an interrupted fallocate() undoes itself).
 *
 * Huge pages are not reserved by creating a file of them. "auto" takes them only when enough are free and promised to
 * nobody; somebody else can still be quicker, and then populate says -ENOSPC.
 *
 * An inherited memfd keeps its seals, mode and bytes until the guards have passed (take).
 */
#include "dev/dev.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "dev/kind.h"

#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };
static const uint64_t STEP_BYTES = UINT64_C(1) << 28;
static const uint64_t HUGE_BYTES[] = {UINT64_C(1) << 30, UINT64_C(1) << 21};

struct request {
	uint64_t size_bytes;
	uint64_t page_bytes; /* 0: auto */
	int fd;              /* -1: make one */
	char name[DEV_ARG_MAX];
};

static uint64_t base_page(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static unsigned order_of(uint64_t page_bytes)
{
	return (unsigned)__builtin_ctzll(page_bytes) - PGMAP_PAGE_SHIFT;
}

static const char *page_name(uint64_t page_bytes, char buf[24])
{
	if (page_bytes >> 30)
		(void)snprintf(buf, 24, "%" PRIu64 "G", page_bytes >> 30);
	else if (page_bytes >> 20)
		(void)snprintf(buf, 24, "%" PRIu64 "M", page_bytes >> 20);
	else
		(void)snprintf(buf, 24, "%" PRIu64 "K", page_bytes >> 10);
	return buf;
}

static int step(int fd, int mode, uint64_t offset, uint64_t len)
{
	int err;
	do
		err = fallocate(fd, mode, (off_t)offset, (off_t)len) == 0 ? 0 : -errno;
	while (err == -EINTR);
	return err;
}

static int steps(int fd, int mode, uint64_t offset, uint64_t len, uint64_t page_bytes)
{
	uint64_t most = page_bytes > STEP_BYTES ? page_bytes : STEP_BYTES;
	int err = 0;
	while (len && !err) {
		uint64_t n = len < most ? len : most;
		err = step(fd, mode, offset, n);
		offset += n;
		len -= n;
	}
	return err;
}

static int memfd_populate(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	const struct dev *dev = ctx;
	int err = steps(dev->fd, 0, offset_bytes, len_bytes, PGMAP_PAGE_SIZE << dev->granule_order);
	return err == -ENOMEM ? -ENOSPC : err;
}

static int memfd_discard(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	const struct dev *dev = ctx;
	return steps(dev->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset_bytes, len_bytes,
		     PGMAP_PAGE_SIZE << dev->granule_order);
}

static const struct dax_device_ops memfd_ops = {
	.ops_bytes = sizeof(struct dax_device_ops),
	.populate = memfd_populate,
	.discard = memfd_discard,
};

static void memfd_close(struct dev *dev)
{
	(void)close(dev->fd);
	free(dev);
}

static uint64_t sys_hugepages(uint64_t page_bytes, const char *what)
{
	char path[96];
	uint64_t n = 0;
	(void)snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/%s", page_bytes >> 10,
		       what);
	FILE *f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%" SCNu64, &n) != 1)
		n = 0;
	(void)fclose(f);
	return n;
}

/* Huge pages of this size that are free and that nobody has been promised. */
static uint64_t hugepages_to_have(uint64_t page_bytes)
{
	uint64_t nfree = sys_hugepages(page_bytes, "free_hugepages");
	uint64_t promised = sys_hugepages(page_bytes, "resv_hugepages");
	return nfree > promised ? nfree - promised : 0;
}

static uint64_t choose_page(uint64_t size_bytes)
{
	for (size_t i = 0; i < sizeof(HUGE_BYTES) / sizeof(HUGE_BYTES[0]); i++) {
		uint64_t page = HUGE_BYTES[i];
		if (size_bytes >= page && size_bytes % page == 0 && hugepages_to_have(page) >= size_bytes / page)
			return page;
	}
	return base_page();
}

static int parse_page(const char *text, uint64_t *page_bytes, char why[DEV_WHY_MAX])
{
	if (strcmp(text, "auto") == 0) {
		*page_bytes = 0;
		return 0;
	}
	if (dev_parse_size(text, page_bytes) == 0) {
		if (*page_bytes == base_page() || *page_bytes == HUGE_BYTES[0] || *page_bytes == HUGE_BYTES[1])
			return 0;
	}
	return dev_refuse(why, -EINVAL, "page=%s is not 4K, 2M, 1G or auto", text);
}

static int parse_fd(const char *text, int *fd, char why[DEV_WHY_MAX])
{
	uint64_t n;
	if (dev_parse_size(text, &n) || n > INT_MAX)
		return dev_refuse(why, -EINVAL, "fd=%s is not a descriptor", text);
	*fd = (int)n;
	return 0;
}

static int parse_arg(const struct dev_arg *arg, struct request *req, char why[DEV_WHY_MAX])
{
	if (strcmp(arg->key, "size") == 0) {
		if (dev_parse_size(arg->value, &req->size_bytes) || req->size_bytes > INT64_MAX)
			return dev_refuse(why, -EINVAL, "size=%s is not a size", arg->value);
		return req->size_bytes ? 0 : dev_refuse(why, -EINVAL, "size is 0");
	}
	if (strcmp(arg->key, "page") == 0)
		return parse_page(arg->value, &req->page_bytes, why);
	if (strcmp(arg->key, "fd") == 0)
		return parse_fd(arg->value, &req->fd, why);
	if (strcmp(arg->key, "name") == 0) {
		(void)snprintf(req->name, sizeof(req->name), "%s", arg->value);
		return 0;
	}
	return dev_refuse(why, -EINVAL, "unknown key '%s' (known: size, page, name, fd)", arg->key);
}

static int parse(const char *args, struct request *req, char why[DEV_WHY_MAX])
{
	struct dev_arg arg;
	int more, err = 0, nargs = 0;
	while (!err && (more = dev_next_arg(&args, &arg, why)) != 0) {
		err = more < 0 ? more : parse_arg(&arg, req, why);
		nargs++;
	}
	if (err)
		return err;
	if (req->fd >= 0)
		return nargs == 1 ? 0 : dev_refuse(why, -EINVAL, "fd=%d takes no other key", req->fd);
	return req->size_bytes ? 0 : dev_refuse(why, -EINVAL, "no size= given");
}

/* The page size is settled, or the reason why it cannot be. */
static int settle_page(struct request *req, char why[DEV_WHY_MAX])
{
	char name[24];
	if (!req->page_bytes)
		req->page_bytes = choose_page(req->size_bytes);
	if (req->size_bytes % req->page_bytes)
		return dev_refuse(why, -EINVAL, "size %" PRIu64 " is not a multiple of the page, %s", req->size_bytes,
				  page_name(req->page_bytes, name));
	if (req->page_bytes == base_page())
		return 0;
	uint64_t need = req->size_bytes / req->page_bytes, have = hugepages_to_have(req->page_bytes);
	if (have >= need)
		return 0;
	return dev_refuse(why, -ENOMEM,
			  "needs %" PRIu64 " huge pages of %s, %" PRIu64 " are free: reserve more in "
			  "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/nr_hugepages, or use page=4K",
			  need, page_name(req->page_bytes, name), have, req->page_bytes >> 10);
}

static int make(const struct request *req, char why[DEV_WHY_MAX])
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	if (req->page_bytes != base_page())
		flags |= MFD_HUGETLB | (unsigned)__builtin_ctzll(req->page_bytes) << MFD_HUGE_SHIFT;
	int fd = memfd_create(req->name, flags);
	if (fd < 0)
		return dev_refuse(why, -errno, "memfd_create: %s", strerror(errno));
	if (fchmod(fd, 0600) == 0 && ftruncate(fd, (off_t)req->size_bytes) == 0 && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
		return fd;
	int err = dev_refuse(why, -errno, "cannot be sized and sealed: %s", strerror(errno));
	(void)close(fd);
	return err;
}

/* Inherited: what it is, without changing it. A descriptor of our own for it, or why not. */
static int inherit(struct request *req, char why[DEV_WHY_MAX])
{
	struct stat st;
	struct statfs fs;
	int seals = fcntl(req->fd, F_GET_SEALS);
	if (seals < 0)
		return dev_refuse(why, errno == EBADF ? -EBADF : -EINVAL, "descriptor %d is no memfd: %s", req->fd,
				  strerror(errno));
	if (fstat(req->fd, &st) || fstatfs(req->fd, &fs))
		return dev_refuse(why, -errno, "descriptor %d: %s", req->fd, strerror(errno));
	if ((fcntl(req->fd, F_GETFL) & O_ACCMODE) != O_RDWR || (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
		return dev_refuse(why, -EINVAL, "descriptor %d cannot be written", req->fd);
	if ((seals & F_SEAL_SEAL) && (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW))
		return dev_refuse(why, -EINVAL, "descriptor %d can change its size, and be sealed no more", req->fd);
	req->page_bytes = fs.f_type == HUGETLBFS_MAGIC ? (uint64_t)fs.f_bsize : base_page();
	req->size_bytes = (uint64_t)st.st_size;
	if (req->size_bytes == 0 || req->size_bytes % req->page_bytes)
		return dev_refuse(why, -EINVAL, "descriptor %d has a size of %" PRIu64 " bytes: not whole pages",
				  req->fd, req->size_bytes);
	int fd = fcntl(req->fd, F_DUPFD_CLOEXEC, 3);
	return fd >= 0 ? fd : dev_refuse(why, -errno, "descriptor %d: %s", req->fd, strerror(errno));
}

/* The guards have passed: nobody else uses it, so its seals, mode and bytes are ours. */
static int take_inherited(struct dev *dev, char why[DEV_WHY_MAX])
{
	int seals = fcntl(dev->fd, F_GET_SEALS);
	if (fchmod(dev->fd, 0600) != 0)
		return dev_refuse(why, -errno, "its mode cannot be set: %s", strerror(errno));
	if (!(seals & F_SEAL_SEAL) && fcntl(dev->fd, F_ADD_SEALS, SEALS) != 0)
		return dev_refuse(why, -errno, "cannot be sealed: %s", strerror(errno));
	struct stat st;
	if (fstat(dev->fd, &st) != 0 || (uint64_t)st.st_size != dev->size_bytes)
		return dev_refuse(why, -EBUSY, "its size changed while it was taken over");
	int err = memfd_discard(dev, 0, dev->size_bytes);
	return err ? dev_refuse(why, err, "its old bytes cannot be dropped: %s", strerror(-err)) : 0;
}

static void write_spec(struct dev *dev, const struct request *req)
{
	char page[24];
	if (req->fd >= 0)
		(void)snprintf(dev->spec, sizeof(dev->spec), "memfd:fd=%d,size=%" PRIu64 ",page=%s", req->fd,
			       req->size_bytes, page_name(req->page_bytes, page));
	else
		(void)snprintf(dev->spec, sizeof(dev->spec), "memfd:size=%" PRIu64 ",page=%s", req->size_bytes,
			       page_name(req->page_bytes, page));
}

static int memfd_open(const char *args, struct dev **out, char why[DEV_WHY_MAX])
{
	struct request req = {.fd = -1, .name = "pgmap"};
	int err = parse(args, &req, why);
	if (!err && req.fd < 0)
		err = settle_page(&req, why);
	if (err)
		return err;
	struct dev *dev = calloc(1, sizeof(*dev));
	if (!dev)
		return dev_refuse(why, -ENOMEM, "no memory");
	dev->fd = req.fd >= 0 ? inherit(&req, why) : make(&req, why);
	if (dev->fd < 0) {
		err = dev->fd;
		free(dev);
		return err;
	}
	dev->kind = &dev_memfd;
	dev->ops = &memfd_ops;
	dev->size_bytes = req.size_bytes;
	dev->granule_order = order_of(req.page_bytes);
	dev->close = memfd_close;
	dev->take = req.fd >= 0 ? take_inherited : NULL;
	dev->guard_fd = -1;
	write_spec(dev, &req);
	*out = dev;
	return 0;
}

const struct dev_kind dev_memfd = {
	.kind_bytes = sizeof(struct dev_kind),
	.name = "memfd",
	.usage = "memfd:size=SIZE[,page=4K|2M|1G|auto][,name=NAME] | memfd:fd=N   anonymous shared memory",
	.open = memfd_open,
};
