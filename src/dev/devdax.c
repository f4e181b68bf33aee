/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * devdax.c - a DAX node of the kernel, /dev/daxX.Y: memory of a device, whole, without a file system or the page cache.
 *
 * What it is stands in sysfs, under the node's device number: its size, its alignment, its driver. The alignment is the
 * granule, and more than that: the kernel maps the node with entries of exactly this size, and refuses mappings that are
 * not multiples of it. Offsets on the node are contiguous, also where the memory behind it is not (several mappings in sysfs):
 * each piece of memory begins and ends at a multiple of the alignment, so every granule is one piece; where the pieces end is
 * said (dev.pieces_bytes), so that no folio lies on two.
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
#include "dev/mapped.h"
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

/* One mapping of the node: where its memory is, and where on the node. */
struct piece {
	int64_t start, end, page_offset;
};

static bool read_piece(const struct resident *dax, unsigned i, struct piece *piece)
{
	char start[32], end[32], page_offset[32];
	(void)snprintf(start, sizeof(start), "mapping%u/start", i);
	(void)snprintf(end, sizeof(end), "mapping%u/end", i);
	(void)snprintf(page_offset, sizeof(page_offset), "mapping%u/page_offset", i);
	return resident_number(dax, start, &piece->start) && resident_number(dax, end, &piece->end) &&
	       resident_number(dax, page_offset, &piece->page_offset);
}

static unsigned count_pieces(const struct resident *dax)
{
	char path[PATH_MAX + 32];
	unsigned n = 0;
	do
		(void)snprintf(path, sizeof(path), "%s/mapping%u", dax->sysfs, n);
	while (access(path, F_OK) == 0 && ++n);
	return n;
}

/* They follow on one another from 0 to the end of the node; neighbours in memory are one. *used: of dax->pieces_bytes. */
static bool fill_pieces(struct resident *dax, unsigned n, unsigned *used)
{
	struct piece piece;
	int64_t at = 0, memory_end = -1, align = (int64_t)(PGMAP_PAGE_SIZE << dax->dev.granule_order);
	*used = 0;
	for (unsigned i = 0; i < n; i++) {
		if (!read_piece(dax, i, &piece) || piece.page_offset != at >> PGMAP_PAGE_SHIFT)
			return false;
		int64_t len_bytes = piece.end - piece.start + 1;
		if (piece.start < 0 || len_bytes <= 0 || len_bytes % align ||
		    len_bytes > (int64_t)dax->dev.size_bytes - at)
			return false;
		if (piece.start != memory_end)
			dax->pieces_bytes[(*used)++] = 0;
		dax->pieces_bytes[*used - 1] += (uint64_t)len_bytes;
		at += len_bytes;
		memory_end = piece.end + 1;
	}
	return at == (int64_t)dax->dev.size_bytes;
}

/* A node of one mapping, as most are, is one piece, and nothing need be read of it, which only root may. */
static int read_pieces(struct resident *dax, char why[DEV_WHY_MAX])
{
	unsigned n = count_pieces(dax), used;
	char path[PATH_MAX + 32];
	if (n < 2)
		return 0;
	(void)snprintf(path, sizeof(path), "%s/mapping0/start", dax->sysfs);
	if (access(path, R_OK) != 0)
		return dev_refuse(why, -errno, "lies in %u pieces, and which these are is for root to read (%.128s)", n,
				  path);
	dax->pieces_bytes = calloc(n, sizeof(*dax->pieces_bytes));
	if (!dax->pieces_bytes)
		return dev_refuse(why, -ENOMEM, "no memory");
	if (!fill_pieces(dax, n, &used))
		return dev_refuse(why, -EIO, "its %u pieces of memory, in %.128s/mapping*, do not make up its size", n,
				  dax->sysfs);
	dax->dev.pieces_bytes = dax->pieces_bytes;
	dax->dev.npieces = used;
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

/* It is the one that was asked for. A namespace of persistent memory gets another uuid each time that it is made. */
static int check_expected(const struct resident *dax, const struct resident_request *req, char why[DEV_WHY_MAX])
{
	uint64_t align_bytes = PGMAP_PAGE_SIZE << dax->dev.granule_order;
	int err = resident_check_node(dax, req->node, node_files, why);
	if (!err)
		err = resident_check_size(dax, req, why);
	if (!err && req->align_bytes && req->align_bytes != align_bytes)
		err = dev_refuse(why, -EINVAL,
				 "align=%" PRIu64 ": its alignment is %" PRIu64 ": it is not as it was, or another one",
				 req->align_bytes, align_bytes);
	return err ? err : resident_check_uuid(dax, req, "../uuid", why);
}

/* All that can be known without opening it. */
static int look_at(struct resident *dax, const char *root, int at, const struct resident_request *req,
		   char why[DEV_WHY_MAX])
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
		err = check_expected(dax, req, why);
	if (!err)
		err = read_pieces(dax, why);
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

/* The list of bad blocks is that of the region, of which the node has a part: which one, only root may read. */
static void learn_more(struct resident *dax)
{
	int64_t region, own;
	resident_persist(dax, false);
	bool known = resident_number(dax, "../../resource", &region) && resident_number(dax, "resource", &own);
	resident_list_bad(dax, "../../badblocks", known ? own - region : -1);
}

/* Of whoever has opened this very node. */
static bool maps_node(const struct mapped_line *line, const void *arg)
{
	const struct stat *node = arg;
	return line->dev == node->st_dev && line->ino == node->st_ino;
}

static int check_others(const struct resident *dax, char why[DEV_WHY_MAX])
{
	struct stat node;
	return fstat(dax->dev.fd, &node) == 0 ? mapped_check(dax->root, maps_node, &node, why)
					      : dev_refuse(why, -errno, "%s", strerror(errno));
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
		err = check_others(dax, why);
	if (!err)
		err = dev_try_lease(dev, why);
	if (!err && is_persistent(dax))
		learn_more(dax);
	return err;
}

static int devdax_init(struct resident *dax, const char *root, const struct resident_request *req,
		       char why[DEV_WHY_MAX])
{
	int at = resident_find(req->path, "daxctl list", why);
	if (at < 0)
		return at;
	int err = look_at(dax, root, at, req, why);
	if (!err) {
		resident_watch(dax, "driver");
		err = resident_open_at(dax, at, 0, why);
	}
	(void)close(at);
	return err;
}

static const struct dev_key keys[] = {
	RESIDENT_NODE, RESIDENT_SIZE, RESIDENT_ALIGN, RESIDENT_UUID, {NULL, false, NULL},
};

int devdax_open_under(const char *root, const char *args, struct dev **out, char why[DEV_WHY_MAX])
{
	struct resident_request req;
	int err = resident_parse(args, keys, &req, why);
	if (err)
		return err;
	struct resident *dax = resident_create(sizeof(*dax), &dev_devdax);
	if (!dax)
		return dev_refuse(why, -ENOMEM, "no memory");
	dax->root = root;
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
	.usage = "devdax:/dev/daxX.Y[,size=SIZE][,align=SIZE][,uuid=UUID][,node=N]   a DAX node of the kernel (CXL, "
		 "persistent memory), whose bytes a pool "
		 "drops",
	.open = devdax_open,
};
