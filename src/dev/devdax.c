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
 * So it is "resident" (dev.h, resident.h): nothing of it is handed out before it was wiped.
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dev/hugepages.h"
#include "dev/resident.h"

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

/* The driver that makes the node a memory that can be mapped. */
static int check_driver(const struct resident *dax, char why[DEV_WHY_MAX])
{
	struct resident_name name;
	const char *driver = resident_link(dax, "driver", &name);
	if (!*driver)
		return dev_refuse(why, -ENXIO, "is disabled: no driver is bound to it (daxctl enable-device)");
	if (strcmp(driver, "device_dax") != 0)
		return dev_refuse(why, -EBUSY, "is in use by the driver %s%s", driver,
				  strcmp(driver, "kmem") == 0
					  ? ", as the system's own memory (daxctl reconfigure-device -m devdax)"
					  : "");
	return 0;
}

static int read_geometry(struct resident *dax, char why[DEV_WHY_MAX])
{
	int64_t size, align;
	char name[24];
	if (!resident_number(dax, "size", &size) || !resident_number(dax, "align", &align))
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

/* Where it would be as the system's memory; an older kernel only says what it is near to. */
static const char *const node_files[] = {"target_node", "numa_node", NULL};

/* All that can be known without opening it. */
static int look_at(struct resident *dax, const char *root, int at, int node, char why[DEV_WHY_MAX])
{
	struct stat st;
	struct resident_name name;
	int err = fstat(at, &st) == 0 ? check_type(&st, why) : dev_refuse(why, -errno, "%s", strerror(errno));
	if (err)
		return err;
	(void)snprintf(dax->sysfs, sizeof(dax->sysfs), "%s/sys/dev/char/%u:%u", root, major(st.st_rdev),
		       minor(st.st_rdev));
	if (strcmp(resident_link(dax, "subsystem", &name), "dax") != 0)
		return dev_refuse(why, -EINVAL, "is a device, but no DAX node");
	err = check_driver(dax, why);
	if (!err)
		err = read_geometry(dax, why);
	if (!err)
		err = resident_check_node(dax, node, node_files, why);
	return err ? err : resident_check_twin(dax, root, &st, why);
}

/* It lies in a region of persistent memory; else in one of memory that is merely apart (CXL, or set aside). */
static bool is_persistent(const struct resident *dax)
{
	char *path = realpath(dax->sysfs, NULL);
	bool persistent = path && strstr(path, "/ndbus");
	free(path);
	return persistent;
}

/* The list of bad blocks is that of the region, of which the node has a part. */
static void learn_more(struct resident *dax)
{
	int64_t region, own;
	resident_persist(dax, false);
	if (resident_number(dax, "../../resource", &region) && resident_number(dax, "resource", &own) && own >= region)
		resident_list_bad(dax, "../../badblocks", (uint64_t)(own - region));
}

/* Byte 0 is ours; it may have been disabled, or made smaller, before that. */
static int devdax_take(struct dev *dev, char why[DEV_WHY_MAX])
{
	struct resident *dax = (struct resident *)dev;
	uint64_t size_bytes = dev->size_bytes;
	unsigned granule_order = dev->granule_order;
	int err = check_driver(dax, why);
	if (!err)
		err = read_geometry(dax, why);
	if (!err && dev_check(dev) != 0)
		err = dev_refuse(why, -EBUSY, "was disabled and enabled while it was taken over");
	if (!err && (dev->size_bytes != size_bytes || dev->granule_order != granule_order))
		err = dev_refuse(why, -EBUSY, "somebody changed its size or alignment while it was taken over");
	if (!err)
		err = dev_try_lease(dev, why);
	if (!err && is_persistent(dax))
		learn_more(dax);
	return err;
}

static int devdax_init(struct resident *dax, const char *root, const struct resident_request *req,
		       char why[DEV_WHY_MAX])
{
	int at = open(req->path, O_PATH | O_CLOEXEC);
	if (at < 0)
		return dev_refuse(why, -errno, "%s", strerror(errno));
	int err = look_at(dax, root, at, req->node, why);
	if (!err) {
		resident_watch(dax, "driver");
		err = resident_open_at(dax, at, 0, why);
	}
	(void)close(at);
	return err;
}

int devdax_open_under(const char *root, const char *args, struct dev **out, char why[DEV_WHY_MAX])
{
	struct resident_request req;
	int err = resident_parse(args, &req, why);
	if (err)
		return err;
	struct resident *dax = resident_create(sizeof(*dax), &dev_devdax);
	if (!dax)
		return dev_refuse(why, -ENOMEM, "no memory");
	dax->dev.take = devdax_take;
	err = devdax_init(dax, root, &req, why);
	if (err) {
		resident_close(&dax->dev);
		return err;
	}
	resident_write_spec(dax, &req);
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
