/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pmem.c - /dev/pmemN: persistent memory as the block device that the kernel makes of it, all of it.
 *
 * It is not mapped directly: since Linux 4.7 a mapping of a block device's node, of a pmem one too, is one of the page cache.
 * So it is the page cache of that device which the pool's users share: what they write is copied to the device by the
 * kernel, by msync() and sooner or later, and takes memory meanwhile. Mapped directly, it is a devdax node (ndctl
 * create-namespace -m devdax) or a file on a file system that is mounted with -o dax.
 *
 * Its size is as sysfs says, its granule 4 KiB, the page of the page cache. Its memory is always there ("resident", dev.h), with
 * whatever bytes it holds.
 *
 * It is opened with O_EXCL: what is mounted, or part of a volume, or opened so by another program, is -EBUSY, and none of
 * them can come while the pool has it. The leases open it anew without that word, which the kernel allows; their
 * locks lie on the node's inode, so a second node of the same device is refused (resident_check_twin).
 */
#include "dev/pmem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dev/resident.h"

enum { SECTOR_SHIFT = 9 };

static int check_type(const struct stat *st, char why[DEV_WHY_MAX])
{
	if (S_ISBLK(st->st_mode))
		return 0;
	return dev_refuse(why, -EINVAL, S_ISCHR(st->st_mode) ? "is a character device, no /dev/pmemN" : "is no device");
}

/* That of a namespace of the kernel's persistent memory, whole. */
static int check_kind(const struct resident *pmem, char why[DEV_WHY_MAX])
{
	struct resident_name name;
	int64_t number;
	if (resident_number(pmem, "partition", &number))
		return dev_refuse(why, -EINVAL, "is a partition: a pool is given the whole device");
	if (strcmp(resident_link(pmem, "device/subsystem", &name), "nd") != 0)
		return dev_refuse(why, -EINVAL, "is a block device, but not of persistent memory");
	if (resident_number(pmem, "ro", &number) && number)
		return dev_refuse(why, -EROFS, "is read-only (blockdev --setrw)");
	return 0;
}

static int read_size(struct resident *pmem, char why[DEV_WHY_MAX])
{
	int64_t sectors;
	if (!resident_number(pmem, "size", &sectors) || sectors < 0 || sectors > INT64_MAX >> SECTOR_SHIFT)
		return dev_refuse(why, -EIO, "its size cannot be read from %.128s", pmem->sysfs);
	if (sectors == 0)
		return dev_refuse(why, -EINVAL, "has no memory: its size is 0");
	if ((sectors << SECTOR_SHIFT) % (int64_t)PGMAP_PAGE_SIZE)
		return dev_refuse(why, -EINVAL, "its size, %" PRId64 ", is not a multiple of the page, 4K",
				  sectors << SECTOR_SHIFT);
	pmem->dev.size_bytes = (uint64_t)sectors << SECTOR_SHIFT;
	return 0;
}

static const char *const node_files[] = {"device/numa_node", NULL};

static int look_at(struct resident *pmem, const char *root, int at, const struct resident_request *req,
		   char why[DEV_WHY_MAX])
{
	struct stat st;
	int err = fstat(at, &st) == 0 ? check_type(&st, why) : dev_refuse(why, -errno, "%s", strerror(errno));
	if (err)
		return err;
	(void)snprintf(pmem->sysfs, sizeof(pmem->sysfs), "%s/sys/dev/block/%u:%u", root, major(st.st_rdev),
		       minor(st.st_rdev));
	err = check_kind(pmem, why);
	if (!err)
		err = read_size(pmem, why);
	if (!err)
		err = resident_check_node(pmem, req->node, node_files, why);
	if (!err)
		err = resident_check_size(pmem, req, why);
	if (!err)
		err = resident_check_uuid(pmem, req, "device/uuid", why);
	return err ? err : resident_check_twin(pmem, root, &st, why);
}

static void learn_more(struct resident *pmem)
{
	resident_persist(pmem, true);
	resident_list_bad(pmem, "badblocks", 0);
}

/* Nobody else can have it from here on; it may have been changed before that. */
static int pmem_take(struct dev *dev, char why[DEV_WHY_MAX])
{
	struct resident *pmem = (struct resident *)dev;
	uint64_t size_bytes = dev->size_bytes;
	int err = check_kind(pmem, why);
	if (!err)
		err = read_size(pmem, why);
	if (!err && dev_check(dev) != 0)
		err = dev_refuse(why, -EBUSY, "was disabled and enabled while it was taken over");
	if (!err && dev->size_bytes != size_bytes)
		err = dev_refuse(why, -EBUSY, "somebody changed its size while it was taken over");
	if (!err)
		err = dev_try_lease(dev, why);
	if (!err)
		learn_more(pmem);
	return err;
}

/* The driver has bad blocks cleared that are written past the page cache; what the cache held of them goes. */
static int pmem_clear(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	const struct resident *pmem = ctx;
	char path[40];
	int err = 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", pmem->dev.fd);
	int fd = open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		return -EOPNOTSUPP;
	void *zeros = mmap(NULL, PGMAP_PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (zeros == MAP_FAILED)
		err = -ENOMEM;
	for (uint64_t done = 0; done < len_bytes && !err; done += PGMAP_PAGE_SIZE)
		if (pwrite(fd, zeros, PGMAP_PAGE_SIZE, (off_t)(offset_bytes + done)) != (ssize_t)PGMAP_PAGE_SIZE)
			err = -EIO;
	if (zeros != MAP_FAILED)
		(void)munmap(zeros, PGMAP_PAGE_SIZE);
	(void)close(fd);
	return err;
}

static const struct dax_device_ops pmem_ops = {
	.ops_bytes = sizeof(struct dax_device_ops),
	.discard = resident_discard,
	.flush = resident_flush,
	.clear_poison = pmem_clear,
};

static int pmem_init(struct resident *pmem, const char *root, const struct resident_request *req, char why[DEV_WHY_MAX])
{
	int at = resident_find(req->path, "ndctl list", why);
	if (at < 0)
		return at;
	int err = look_at(pmem, root, at, req, why);
	if (!err) {
		resident_watch(pmem, "uevent");
		err = resident_open_at(pmem, at, O_EXCL, why);
	}
	(void)close(at);
	return err;
}

static const struct dev_key keys[] = {
	RESIDENT_NODE,
	RESIDENT_SIZE,
	RESIDENT_UUID,
	{NULL, false, NULL},
};

int pmem_open_under(const char *root, const char *args, struct dev **out, char why[DEV_WHY_MAX])
{
	struct resident_request req;
	int err = resident_parse(args, keys, &req, why);
	if (err)
		return err;
	struct resident *pmem = resident_create(sizeof(*pmem), &dev_pmem);
	if (!pmem)
		return dev_refuse(why, -ENOMEM, "no memory");
	pmem->dev.access = DEV_ACCESS_CACHED;
	pmem->dev.take = pmem_take;
	pmem->dev.ops = &pmem_ops;
	err = pmem_init(pmem, root, &req, why);
	if (err) {
		resident_close(&pmem->dev);
		return err;
	}
	resident_write_spec(pmem, &req);
	*out = &pmem->dev;
	return 0;
}

static int pmem_open(const char *args, struct dev **out, char why[DEV_WHY_MAX])
{
	return pmem_open_under("", args, out, why);
}

const struct dev_kind dev_pmem = {
	.kind_bytes = sizeof(struct dev_kind),
	.name = "pmem",
	.usage = "pmem:/dev/pmemN[,size=SIZE][,uuid=UUID][,node=N]   persistent memory as a block device, through the "
		 "page cache, whose bytes "
		 "a pool "
		 "drops",
	.open = pmem_open,
};
