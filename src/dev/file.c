/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * file.c - a regular file as a device: on tmpfs or hugetlbfs memory, on a disk's file system the page cache.
 *
 * A pool is volatile, here too: it begins empty, and drops what the file holds. So a file that holds anything is refused
 * unless the user says "overwrite": a mistyped path must not cost a file. A pool that was drained leaves nothing but holes
 * behind; that of a killed server has its bytes, and needs the word.
 *
 * The path is looked up once, without opening it (O_PATH), so that no device or FIFO is opened by mistake; what it names is
 * then opened through /proc. Symbolic and hard links lead to the same inode, and so to the same locks.
 *
 * Once the guards have passed (take), in this order: it is still what was looked at; a lease is tried on it, since a network
 * file system may have its own ideas of locks; its contents may go; it may have its size; it can allocate and punch, which is tried here only
 * where it holds nothing. All that changes nothing. Then (drop) one that holds data is tried, it gets its size, and its old bytes go. A file
 * that was made here is removed again, whatever fails.
 *
 * On a DAX file system the file is the memory itself. Where it takes MAP_SYNC, all mappings of it are made so (access): then a page
 * that was stored to is in the file system, for good, before the store is made, and flushing the store is all that is left to do.
 *
 * File systems that write every change to a new place are refused: there a page that was allocated, and written, needs room
 * again for the next write, which a mapping can only answer with SIGBUS. What else can go wrong under a mapping (somebody
 * truncates the file, the disk fails) no lock of ours prevents: docs/limits.md.
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
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "dev/hugepages.h"
#include "dev/memory.h"

struct request {
	struct memory_request memory;
	char path[PATH_MAX];
	bool create, overwrite;
};

struct file_dev {
	struct memory memory;
	struct stat seen; /* when it was opened */
	bool huge, disk;  /* on hugetlbfs; neither there nor on tmpfs */
	bool created, overwrite;
	bool tried; /* it can allocate and punch */
	char path[PATH_MAX];
};

static int set_create(void *request, const char *value, char why[DEV_WHY_MAX])
{
	(void)value;
	(void)why;
	((struct request *)request)->create = true;
	return 0;
}

static int set_overwrite(void *request, const char *value, char why[DEV_WHY_MAX])
{
	(void)value;
	(void)why;
	((struct request *)request)->overwrite = true;
	return 0;
}

static const struct dev_key keys[] = {
	MEMORY_KEYS,
	{"create", true, set_create},
	{"overwrite", true, set_overwrite},
	{NULL, false, NULL},
};

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "a directory";
	case S_IFCHR:
	case S_IFBLK:
		return "a device node";
	case S_IFIFO:
		return "a FIFO";
	case S_IFSOCK:
		return "a socket";
	default:
		return "something else";
	}
}

/* The regular file that is there, opened; -ENOENT without a word. */
static int open_there(const char *path, char why[DEV_WHY_MAX])
{
	char again[40];
	struct stat st;
	int at = open(path, O_PATH | O_CLOEXEC);
	if (at < 0)
		return errno == ENOENT ? -ENOENT : dev_refuse(why, -errno, "%s", strerror(errno));
	int fd;
	if (fstat(at, &st) != 0) {
		fd = dev_refuse(why, -errno, "%s", strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		fd = dev_refuse(why, -EINVAL, "is %s, not a regular file", type_name(st.st_mode));
	} else {
		(void)snprintf(again, sizeof(again), "/proc/self/fd/%d", at);
		fd = open(again, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			fd = dev_refuse(why, -errno, "cannot be opened for reading and writing: %s", strerror(errno));
	}
	(void)close(at);
	return fd;
}

/* Somebody else may make it at the same moment: then it is there. */
static int open_or_make(const struct request *req, bool *created, char why[DEV_WHY_MAX])
{
	*created = false;
	int fd = open_there(req->path, why);
	if (fd != -ENOENT)
		return fd;
	if (!req->create)
		return dev_refuse(why, fd, "does not exist (create makes it)");
	if (!req->memory.size_bytes)
		return dev_refuse(why, -EINVAL, "no size= given for the file to create");
	fd = open(req->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0) {
		*created = true;
		return fd;
	}
	if (errno != EEXIST)
		return dev_refuse(why, -errno, "cannot be created: %s", strerror(errno));
	fd = open_there(req->path, why);
	return fd == -ENOENT ? dev_refuse(why, fd, "is a symbolic link to nothing") : fd;
}

static const char *moving_filesystem(uint64_t magic)
{
	static const struct {
		uint64_t magic;
		const char *name;
	} moving[] = {{0x9123683e, "btrfs"},
		      {0xca451a4e, "bcachefs"},
		      {0x2fc12fc1, "zfs"},
		      {0xf2f52010, "f2fs"},
		      {0x3434, "nilfs2"}};
	for (size_t i = 0; i < sizeof(moving) / sizeof(moving[0]); i++)
		if (moving[i].magic == magic)
			return moving[i].name;
	return NULL;
}

/* What its file system says: the page, and whether node= means anything there. */
static int check_filesystem(int fd, struct request *req, struct file_dev *file, char why[DEV_WHY_MAX])
{
	struct statfs fs;
	if (fstatfs(fd, &fs) != 0)
		return dev_refuse(why, -errno, "its file system cannot be asked: %s", strerror(errno));
	uint64_t magic = (uint64_t)fs.f_type & UINT32_MAX;
	const char *moving = moving_filesystem(magic);
	if (moving)
		return dev_refuse(why, -EOPNOTSUPP,
				  "lies on %s, which writes every change to a new place and may find no room for it: "
				  "ext4, xfs, tmpfs and hugetlbfs are fine",
				  moving);
	file->huge = magic == HUGETLBFS_MAGIC;
	file->disk = magic != TMPFS_MAGIC && !file->huge;
	req->memory.page_bytes = file->huge ? (uint64_t)fs.f_bsize : memory_base_page();
	if (req->memory.node != NODE_ANY && file->disk && !req->memory.lock)
		return dev_refuse(why, -EINVAL,
				  "node=%d needs pages that stay: a file on tmpfs or hugetlbfs, or lock as well",
				  req->memory.node);
	return 0;
}

/* From here on the request has the size that the file will have. */
static int settle_size(struct request *req, const struct stat *st, char why[DEV_WHY_MAX])
{
	char name[24];
	uint64_t has = (uint64_t)st->st_size, *want = &req->memory.size_bytes;
	if (!*want && !has)
		return dev_refuse(why, -EINVAL, "is empty, and no size= is given");
	if (!*want)
		*want = has;
	if (has && *want != has && !req->overwrite)
		return dev_refuse(why, -EINVAL,
				  "has %" PRIu64 " bytes, not %" PRIu64
				  " (overwrite gives it that size; without size= it "
				  "is taken as it is)",
				  has, *want);
	if (*want % req->memory.page_bytes)
		return dev_refuse(why, -EINVAL, "size %" PRIu64 " is not a multiple of the page, %s", *want,
				  page_name(req->memory.page_bytes, name));
	return 0;
}

static int still_the_same(const struct file_dev *file, char why[DEV_WHY_MAX])
{
	struct stat now;
	if (fstat(file->memory.dev.fd, &now) != 0 || now.st_size != file->seen.st_size || now.st_nlink == 0)
		return dev_refuse(why, -EBUSY, "somebody changed its size or removed it while it was taken over");
	return 0;
}

/* Has anything ever been written to it? hugetlbfs does not know SEEK_DATA, but has no blocks that are no pages. */
static bool is_hollow(const struct file_dev *file)
{
	if (file->huge)
		return file->seen.st_blocks == 0;
	return lseek(file->memory.dev.fd, 0, SEEK_DATA) < 0 && errno == ENXIO;
}

static int check_contents(const struct file_dev *file, char why[DEV_WHY_MAX])
{
	if (file->overwrite || is_hollow(file))
		return 0;
	return dev_refuse(
		why, -EEXIST,
		"holds data, which a pool would drop: overwrite says that it may (a pool begins empty; a server "
		"that was killed leaves its bytes)");
}

static int refuse_holes(const char *what, char why[DEV_WHY_MAX])
{
	return dev_refuse(why, -errno, "its file system cannot %s: %s", what, strerror(errno));
}

/* Allocates, zeroes and gives back one page, of a file whose contents may go. No room is no news yet. */
static int check_holes(struct file_dev *file, char why[DEV_WHY_MAX])
{
	const struct dev *dev = &file->memory.dev;
	off_t page_bytes = (off_t)(PGMAP_PAGE_SIZE << dev->granule_order);
	if (fallocate(dev->fd, FALLOC_FL_KEEP_SIZE, 0, page_bytes) != 0 && errno != ENOSPC && errno != ENOMEM &&
	    errno != EDQUOT)
		return refuse_holes("allocate in advance", why);
	if (file->disk && fallocate(dev->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, page_bytes) != 0 &&
	    errno != ENOSPC && errno != EDQUOT)
		return refuse_holes("zero a range", why);
	if (fallocate(dev->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, page_bytes) != 0)
		return refuse_holes("punch holes", why);
	file->tried = true;
	return 0;
}

/* May it have its size? The file system says by a position, which nobody uses, and no bytes are made for that. */
static int check_limits(const struct file_dev *file, char why[DEV_WHY_MAX])
{
	const struct dev *dev = &file->memory.dev;
	struct rlimit limit;
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < dev->size_bytes)
		return dev_refuse(why, -EFBIG,
				  "is to have more bytes than this process may give a file: raise ulimit -f");
	if ((uint64_t)file->seen.st_size != dev->size_bytes && lseek(dev->fd, (off_t)dev->size_bytes, SEEK_SET) < 0)
		return dev_refuse(why, -EFBIG, "cannot be given its size: %s", strerror(EFBIG));
	return 0;
}

static int size_and_empty(const struct file_dev *file, char why[DEV_WHY_MAX])
{
	const struct dev *dev = &file->memory.dev;
	if ((uint64_t)file->seen.st_size != dev->size_bytes && ftruncate(dev->fd, (off_t)dev->size_bytes) != 0)
		return dev_refuse(why, -errno, "cannot be given its size: %s", strerror(errno));
	int err = memory_discard((void *)file, 0, dev->size_bytes);
	return err ? dev_refuse(why, err, "its old bytes cannot be dropped: %s", strerror(-err)) : 0;
}

/* What was made here goes, unless another server has it already: who holds byte 0 has it. */
static void remove_made(const struct file_dev *file)
{
	struct stat there;
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = file->memory.dev.guard_fd;
	if (fd < 0)
		fd = open(file->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && fcntl(fd, F_OFD_SETLK, &all) == 0 && stat(file->path, &there) == 0 &&
	    there.st_dev == file->seen.st_dev && there.st_ino == file->seen.st_ino)
		(void)unlink(file->path);
	if (fd >= 0 && fd != file->memory.dev.guard_fd)
		(void)close(fd);
}

static bool maps_with_sync(const struct dev *dev)
{
	void *at = mmap(NULL, PGMAP_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, dev->fd, 0);
	if (at == MAP_FAILED)
		return false;
	(void)munmap(at, PGMAP_PAGE_SIZE);
	return true;
}

static bool is_dax(const struct dev *dev)
{
	struct statx stx;
	return statx(dev->fd, "", AT_EMPTY_PATH, 0, &stx) == 0 && stx.stx_attributes & STATX_ATTR_DAX;
}

/* How what lies on a disk is mapped, and flushed. */
static void learn_access(struct file_dev *file)
{
	struct memory *memory = &file->memory;
	if (!file->disk)
		return;
	if (maps_with_sync(&memory->dev))
		memory->dev.access = DEV_ACCESS_SYNC;
	else
		memory->dev.access = is_dax(&memory->dev) ? DEV_ACCESS_DIRECT : DEV_ACCESS_CACHED;
	persist_init(&memory->persist, memory->dev.fd, memory->dev.size_bytes, true);
	memory->dev.persistence = memory->persist.granularity;
}

/* It is to stay as it is. */
static int check_size(const struct file_dev *file, char why[DEV_WHY_MAX])
{
	uint64_t has = (uint64_t)file->seen.st_size, wanted = file->memory.dev.size_bytes;
	if (has == wanted)
		return 0;
	return dev_refuse(why, -EINVAL, "has %" PRIu64 " bytes, not %" PRIu64 ", and is to stay as it is", has, wanted);
}

static int file_take(struct dev *dev, char why[DEV_WHY_MAX])
{
	struct file_dev *file = (struct file_dev *)dev;
	int err = still_the_same(file, why);
	if (!err)
		err = dev_try_lease(dev, why);
	if (!err)
		err = dev->keep ? check_size(file, why) : check_contents(file, why);
	if (!err && !dev->keep)
		err = check_limits(file, why);
	if (!err && !dev->keep && is_hollow(file))
		err = check_holes(file, why);
	return err;
}

/* All that changes it. */
static int file_drop(struct dev *dev, char why[DEV_WHY_MAX])
{
	struct file_dev *file = (struct file_dev *)dev;
	int err = dev->keep || file->tried ? 0 : check_holes(file, why);
	if (!err && !dev->keep)
		err = size_and_empty(file, why);
	if (!err)
		learn_access(file);
	return err;
}

static void file_close(struct dev *dev)
{
	if (dev->made)
		remove_made((struct file_dev *)dev);
	memory_close(dev);
}

/* A path that is too long to show is shown by its end. */
static void write_spec(struct file_dev *file)
{
	enum { SHOWN = DEV_SPEC_MAX - 64 };
	size_t len = strlen(file->path);
	bool whole = len <= SHOWN;
	memory_write_spec(&file->memory, "file:%s%s,size=%" PRIu64, whole ? "" : "...",
			  whole ? file->path : file->path + len - SHOWN, file->memory.dev.size_bytes);
}

/* fd is the device's from here on. */
static int file_init(struct file_dev *file, int fd, struct request *req, char why[DEV_WHY_MAX])
{
	int err = fstat(fd, &file->seen) == 0 ? 0 : dev_refuse(why, -errno, "%s", strerror(errno));
	if (!err)
		err = check_filesystem(fd, req, file, why);
	if (!err)
		err = settle_size(req, &file->seen, why);
	if (err) {
		(void)close(fd);
		return err;
	}
	file->overwrite = req->overwrite;
	file->memory.blocks = file->disk;
	return memory_init(&file->memory, &dev_file, fd, &req->memory, why);
}

static int file_open(const char *args, struct dev **out, char why[DEV_WHY_MAX])
{
	struct request req = {.memory = MEMORY_REQUEST_INIT};
	int err = dev_parse_path(args, req.path, keys, &req, why);
	if (err)
		return err;
	struct file_dev *file = calloc(1, sizeof(*file));
	if (!file)
		return dev_refuse(why, -ENOMEM, "no memory");
	file->memory.dev.guard_fd = -1;
	memcpy(file->path, req.path, sizeof(file->path));
	int fd = open_or_make(&req, &file->created, why);
	err = fd < 0 ? fd : file_init(file, fd, &req, why);
	if (err) {
		if (file->created)
			remove_made(file);
		free(file);
		return err;
	}
	file->memory.dev.made = file->created;
	file->memory.dev.take = file_take;
	file->memory.dev.drop = file_drop;
	file->memory.dev.close = file_close;
	write_spec(file);
	*out = &file->memory.dev;
	return 0;
}

const struct dev_kind dev_file = {
	.kind_bytes = sizeof(struct dev_kind),
	.name = "file",
	.usage =
		"file:PATH[,size=SIZE][,create][,overwrite][,node=N][,lock]   a regular file, whose bytes a pool drops",
	.open = file_open,
};
