/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * devdax.c - a DAX node of the kernel, /dev/daxX.Y: memory of a device, whole, without a file system or the page cache.
 *
 * What it is stands in sysfs, under the node's device number: its size, its alignment, its driver. The alignment is the
 * granule, and more than that: the kernel maps the node with entries of exactly this size, and refuses mappings that are
 * not multiples of it. Offsets on the node are contiguous, also where the memory behind it is not (several mappings in sysfs):
 * each piece of memory begins and ends at a multiple of the alignment, so every granule is one piece.
 *
 * The memory is always there, whatever bytes it holds: the kernel gives a node to the next program as the last one left it.
 * So it is "resident" (dev.h): nothing of it is handed out before it was wiped. There are no holes to punch: discard writes
 * zeros, through a mapping that it makes for that. Where the driver was unbound meanwhile it fails, and no signal comes of it.
 *
 * The locks of a node lie on its inode. A second node of the same device, made by mknod, has locks of its own, so two servers
 * would not see each other: a node that is not the one that the system made is refused, where that can be seen. A
 * container's own /dev shows no other: docs/limits.md.
 *
 * Errors follow the kernel's own where there is one: opening a node without a driver is -ENXIO.
 */
#include "dev/devdax.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dev/hugepages.h"
#include "dev/kind.h"
#include "dev/node.h"
#include "dev/zero.h"

static const uint64_t MOST_MAPPED = UINT64_C(1) << 30; /* at once, by discard */

struct request {
	char path[PATH_MAX];
	int node;
};

struct devdax {
	struct dev dev;
	struct zero zero;
	char sysfs[PATH_MAX]; /* the device's folder */
	ino_t binding;        /* of the link to its driver: each time that one is bound it is another */
};

static int set_node(void *request, const char *value, char why[DEV_WHY_MAX])
{
	uint64_t n;
	if (dev_parse_size(value, &n) || n > NODE_MAX)
		return dev_refuse(why, -EINVAL, "node=%s is not the number of a node", value);
	((struct request *)request)->node = (int)n;
	return 0;
}

static const struct dev_key keys[] = {
	{"node", false, set_node},
	{NULL, false, NULL},
};

static int parse(const char *args, struct request *req, char why[DEV_WHY_MAX])
{
	size_t len = strcspn(args, ",");
	if (!len)
		return dev_refuse(why, -EINVAL, "no path given");
	if (len >= sizeof(req->path))
		return dev_refuse(why, -ENAMETOOLONG, "the path is too long");
	memcpy(req->path, args, len);
	req->path[len] = 0;
	return dev_parse_args(args + len + (args[len] == ','), keys, req, why);
}

/* One line of a file of the device, without its end; false if there is none. */
static bool line_of(const struct devdax *dax, const char *name, const char *begins, char *line, size_t line_bytes)
{
	char path[PATH_MAX + 32];
	(void)snprintf(path, sizeof(path), "%s/%s", dax->sysfs, name);
	FILE *f = fopen(path, "re");
	bool found = false;
	if (!f)
		return false;
	while (!found && fgets(line, (int)line_bytes, f))
		found = strncmp(line, begins, strlen(begins)) == 0;
	(void)fclose(f);
	if (found)
		line[strcspn(line, "\n")] = 0;
	return found;
}

static bool number_of(const struct devdax *dax, const char *name, int64_t *number)
{
	char line[64], *end;
	if (!line_of(dax, name, "", line, sizeof(line)))
		return false;
	errno = 0;
	*number = strtoll(line, &end, 0);
	return end != line && !*end && !errno;
}

/* Where a link of the device leads to, its last part; "" where there is none. */
static const char *link_of(const struct devdax *dax, const char *name, char target[PATH_MAX])
{
	char path[PATH_MAX + 32];
	(void)snprintf(path, sizeof(path), "%s/%s", dax->sysfs, name);
	ssize_t n = readlink(path, target, PATH_MAX - 1);
	target[n > 0 ? n : 0] = 0;
	const char *slash = strrchr(target, '/');
	return slash ? slash + 1 : target;
}

static int check_type(const struct stat *st, char why[DEV_WHY_MAX])
{
	if (S_ISCHR(st->st_mode))
		return 0;
	if (S_ISBLK(st->st_mode))
		return dev_refuse(why, -EINVAL,
				  "is a block device, no DAX node (ndctl create-namespace -m devdax makes one of a "
				  "pmem namespace)");
	return dev_refuse(why, -EINVAL, "is no device");
}

static ino_t binding_of(const struct devdax *dax)
{
	char path[PATH_MAX + 32];
	struct stat st;
	(void)snprintf(path, sizeof(path), "%s/driver", dax->sysfs);
	return lstat(path, &st) == 0 ? st.st_ino : 0;
}

static int devdax_check(const struct dev *dev)
{
	const struct devdax *dax = (const struct devdax *)dev;
	return binding_of(dax) == dax->binding ? 0 : -ENXIO;
}

/* The driver that makes the node a memory that can be mapped. */
static int check_driver(const struct devdax *dax, char why[DEV_WHY_MAX])
{
	char target[PATH_MAX];
	const char *driver = link_of(dax, "driver", target);
	if (!*driver)
		return dev_refuse(why, -ENXIO, "is disabled: no driver is bound to it (daxctl enable-device)");
	if (strcmp(driver, "device_dax") != 0)
		return dev_refuse(why, -EBUSY, "is in use by the driver %s%s", driver,
				  strcmp(driver, "kmem") == 0
					  ? ", as the system's own memory (daxctl reconfigure-device -m devdax)"
					  : "");
	return 0;
}

static int read_geometry(struct devdax *dax, char why[DEV_WHY_MAX])
{
	int64_t size, align;
	char name[24];
	if (!number_of(dax, "size", &size) || !number_of(dax, "align", &align))
		return dev_refuse(why, -EIO, "its size and alignment cannot be read from %.128s", dax->sysfs);
	if (size <= 0)
		return dev_refuse(why, -EINVAL, "has no memory: its size is 0");
	if (align < (int64_t)PGMAP_PAGE_SIZE || (align & (align - 1)) ||
	    align > (int64_t)(PGMAP_PAGE_SIZE << PGMAP_MAX_ORDER))
		return dev_refuse(why, -EINVAL, "has an alignment that cannot be used: %" PRId64, align);
	if (size % align)
		return dev_refuse(why, -EINVAL, "its size, %" PRId64 ", is not a multiple of its alignment, %s", size,
				  page_name((uint64_t)align, name));
	dax->dev.size_bytes = (uint64_t)size;
	dax->dev.granule_order = (unsigned)__builtin_ctzll((uint64_t)align) - PGMAP_PAGE_SHIFT;
	return 0;
}

static int check_node(const struct devdax *dax, int node, char why[DEV_WHY_MAX])
{
	int64_t is = NODE_ANY;
	/* Where it would be as the system's memory; an older kernel only says what it is near to. */
	if (!number_of(dax, "target_node", &is))
		(void)number_of(dax, "numa_node", &is);
	if (node == NODE_ANY || is == node)
		return 0;
	return is < 0 ? dev_refuse(why, -EINVAL, "node=%d: the system does not say to which node it belongs", node)
		      : dev_refuse(why, -EINVAL, "node=%d: it belongs to node %" PRId64, node, is);
}

/* Whether it is the node that the system made for this device, as far as it can be seen. */
static int check_twin(const struct devdax *dax, const char *root, const struct stat *st, char why[DEV_WHY_MAX])
{
	char line[256], path[PATH_MAX];
	struct stat own;
	if (!line_of(dax, "uevent", "DEVNAME=", line, sizeof(line)))
		return 0;
	(void)snprintf(path, sizeof(path), "%s/dev/%s", root, line + strlen("DEVNAME="));
	if (stat(path, &own) != 0 || !S_ISCHR(own.st_mode) || own.st_rdev != st->st_rdev ||
	    (own.st_dev == st->st_dev && own.st_ino == st->st_ino))
		return 0;
	return dev_refuse(why, -EINVAL, "is a second node of %.160s, with locks of its own: use that one", path);
}

/* All that can be known without opening it. */
static int look_at(struct devdax *dax, const char *root, int at, int node, char why[DEV_WHY_MAX])
{
	struct stat st;
	char target[PATH_MAX];
	int err = fstat(at, &st) == 0 ? check_type(&st, why) : dev_refuse(why, -errno, "%s", strerror(errno));
	if (err)
		return err;
	(void)snprintf(dax->sysfs, sizeof(dax->sysfs), "%s/sys/dev/char/%u:%u", root, major(st.st_rdev),
		       minor(st.st_rdev));
	if (strcmp(link_of(dax, "subsystem", target), "dax") != 0)
		return dev_refuse(why, -EINVAL, "is a device, but no DAX node");
	err = check_driver(dax, why);
	if (!err)
		err = read_geometry(dax, why);
	if (!err)
		err = check_node(dax, node, why);
	return err ? err : check_twin(dax, root, &st, why);
}

static int open_at(int at, char why[DEV_WHY_MAX])
{
	char again[40];
	(void)snprintf(again, sizeof(again), "/proc/self/fd/%d", at);
	int fd = open(again, O_RDWR | O_CLOEXEC);
	return fd >= 0 ? fd : dev_refuse(why, -errno, "cannot be opened for reading and writing: %s", strerror(errno));
}

static int devdax_discard(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	const struct devdax *dax = ctx;
	int err = 0;
	while (len_bytes && !err) {
		uint64_t n = len_bytes < MOST_MAPPED ? len_bytes : MOST_MAPPED;
		void *at = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, dax->dev.fd, (off_t)offset_bytes);
		if (at == MAP_FAILED)
			return -errno;
		/* What has no memory behind it any more was unbound, or is poisoned. */
		err = zero_bytes(&dax->zero, at, n) ? -EIO : 0;
		(void)munmap(at, n);
		offset_bytes += n;
		len_bytes -= n;
	}
	return err;
}

static const struct dax_device_ops devdax_ops = {
	.ops_bytes = sizeof(struct dax_device_ops),
	.discard = devdax_discard,
};

/* Byte 0 is ours; it may have been disabled, or made smaller, before that. */
static int devdax_take(struct dev *dev, char why[DEV_WHY_MAX])
{
	struct devdax *dax = (struct devdax *)dev;
	uint64_t size_bytes = dev->size_bytes;
	unsigned granule_order = dev->granule_order;
	int err = check_driver(dax, why);
	if (!err)
		err = read_geometry(dax, why);
	if (!err && devdax_check(dev) != 0)
		err = dev_refuse(why, -EBUSY, "was disabled and enabled while it was taken over");
	if (!err && (dev->size_bytes != size_bytes || dev->granule_order != granule_order))
		err = dev_refuse(why, -EBUSY, "somebody changed its size or alignment while it was taken over");
	return err ? err : dev_try_lease(dev, why);
}

static void devdax_close(struct dev *dev)
{
	struct devdax *dax = (struct devdax *)dev;
	if (dev->fd >= 0)
		(void)close(dev->fd);
	zero_exit(&dax->zero);
	free(dax);
}

/* A path that is too long to show is shown by its end. */
static void write_spec(struct devdax *dax, const struct request *req)
{
	enum { SHOWN = DEV_SPEC_MAX - 32 };
	size_t len = strlen(req->path);
	char node[16] = "";
	if (req->node != NODE_ANY)
		(void)snprintf(node, sizeof(node), ",node=%d", req->node);
	(void)snprintf(dax->dev.spec, sizeof(dax->dev.spec), "devdax:%s%s%s", len <= SHOWN ? "" : "...",
		       len <= SHOWN ? req->path : req->path + len - SHOWN, node);
}

static int devdax_init(struct devdax *dax, const char *root, const struct request *req, char why[DEV_WHY_MAX])
{
	int at = open(req->path, O_PATH | O_CLOEXEC);
	if (at < 0)
		return dev_refuse(why, -errno, "%s", strerror(errno));
	int err = look_at(dax, root, at, req->node, why);
	if (!err) {
		dax->binding = binding_of(dax); /* before it is opened: see open_again() in lease.c */
		dax->dev.fd = open_at(at, why);
		err = dax->dev.fd < 0 ? dax->dev.fd : 0;
	}
	(void)close(at);
	return err;
}

int devdax_open_under(const char *root, const char *args, struct dev **out, char why[DEV_WHY_MAX])
{
	struct request req = {.node = NODE_ANY};
	int err = parse(args, &req, why);
	if (err)
		return err;
	struct devdax *dax = calloc(1, sizeof(*dax));
	if (!dax)
		return dev_refuse(why, -ENOMEM, "no memory");
	dax->dev = (struct dev){.kind = &dev_devdax,
				.ops = &devdax_ops,
				.fd = -1,
				.resident = true,
				.close = devdax_close,
				.take = devdax_take,
				.check = devdax_check,
				.guard_fd = -1};
	zero_init(&dax->zero);
	err = devdax_init(dax, root, &req, why);
	if (err) {
		devdax_close(&dax->dev);
		return err;
	}
	write_spec(dax, &req);
	*out = &dax->dev;
	return 0;
}

static int devdax_open(const char *args, struct dev **out, char why[DEV_WHY_MAX])
{
	return devdax_open_under("", args, out, why);
}

const struct dev_kind dev_devdax = {
	.kind_bytes = sizeof(struct dev_kind),
	.name = "devdax",
	.usage = "devdax:/dev/daxX.Y[,node=N]   a DAX node of the kernel (CXL, persistent memory), whose bytes a pool "
		 "drops",
	.open = devdax_open,
};
