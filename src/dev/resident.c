/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * resident.c - see resident.h. There are no holes to punch: discard writes zeros, through a mapping that it makes for that.
 * Where the memory has gone meanwhile (its driver was unbound), or is bad, it fails, and no signal comes of it.
 */
#include "dev/resident.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SECTOR_SHIFT = 9 };
static const uint64_t MOST_MAPPED = UINT64_C(1) << 30; /* at once, by discard */

int resident_set_node(void *request, const char *value, char why[DEV_WHY_MAX])
{
	uint64_t n;
	if (dev_parse_size(value, &n) || n > NODE_MAX)
		return dev_refuse(why, -EINVAL, "node=%s is not the number of a node", value);
	((struct resident_request *)request)->node = (int)n;
	return 0;
}

int resident_set_size(void *request, const char *value, char why[DEV_WHY_MAX])
{
	uint64_t *bytes = &((struct resident_request *)request)->size_bytes;
	if (dev_parse_size(value, bytes) || !*bytes)
		return dev_refuse(why, -EINVAL, "size=%s is no size", value);
	return 0;
}

int resident_set_align(void *request, const char *value, char why[DEV_WHY_MAX])
{
	uint64_t *bytes = &((struct resident_request *)request)->align_bytes;
	if (dev_parse_size(value, bytes) || !*bytes)
		return dev_refuse(why, -EINVAL, "align=%s is no size", value);
	return 0;
}

int resident_set_uuid(void *request, const char *value, char why[DEV_WHY_MAX])
{
	char *uuid = ((struct resident_request *)request)->uuid;
	size_t len = sizeof(((struct resident_request *)request)->uuid) - 1;
	if (strlen(value) != len || strspn(value, "0123456789abcdefABCDEF-") != len)
		return dev_refuse(why, -EINVAL, "uuid=%s is no uuid (ndctl list -N has it)", value);
	memcpy(uuid, value, len + 1);
	return 0;
}

int resident_parse(const char *args, const struct dev_key *keys, struct resident_request *req, char why[DEV_WHY_MAX])
{
	*req = (struct resident_request){.node = NODE_ANY};
	return dev_parse_path(args, req->path, keys, req, why);
}

int resident_discard(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	const struct resident *resident = ctx;
	int err = 0;
	while (len_bytes && !err) {
		uint64_t n = len_bytes < MOST_MAPPED ? len_bytes : MOST_MAPPED;
		void *at = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, resident->dev.fd, (off_t)offset_bytes);
		if (at == MAP_FAILED)
			return -errno;
		err = zero_bytes(&resident->zero, at, n) ? -EIO : 0;
		(void)munmap(at, n);
		offset_bytes += n;
		len_bytes -= n;
	}
	return err;
}

int resident_flush(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	return persist_flush(&((const struct resident *)ctx)->persist, offset_bytes, len_bytes);
}

void resident_persist(struct resident *resident, bool pages)
{
	persist_init(&resident->persist, resident->dev.fd, resident->dev.size_bytes, pages);
	resident->dev.persistence = resident->persist.granularity;
}

static const struct dax_device_ops resident_ops = {
	.ops_bytes = sizeof(struct dax_device_ops),
	.discard = resident_discard,
	.flush = resident_flush,
};

struct resident *resident_create(size_t bytes, const struct dev_kind *kind)
{
	struct resident *resident = calloc(1, bytes);
	if (!resident)
		return NULL;
	resident->dev = (struct dev){.kind = kind,
				     .ops = &resident_ops,
				     .fd = -1,
				     .type = PGMAP_FSDAX,
				     .resident = true,
				     .access = DEV_ACCESS_DIRECT,
				     .close = resident_close,
				     .guard_fd = -1};
	resident->bad_list = -1;
	zero_init(&resident->zero);
	return resident;
}

void resident_close(struct dev *dev)
{
	struct resident *resident = (struct resident *)dev;
	persist_exit(&resident->persist);
	if (dev->fd >= 0)
		(void)close(dev->fd);
	if (resident->bad_list >= 0)
		(void)close(resident->bad_list);
	zero_exit(&resident->zero);
	free(resident->pieces_bytes);
	free(resident);
}

bool resident_line(const struct resident *resident, const char *name, const char *begins, char *line, size_t line_bytes)
{
	char path[PATH_MAX + 64];
	(void)snprintf(path, sizeof(path), "%s/%s", resident->sysfs, name);
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

bool resident_number(const struct resident *resident, const char *name, int64_t *number)
{
	char line[64], *end;
	if (!resident_line(resident, name, "", line, sizeof(line)))
		return false;
	errno = 0;
	*number = strtoll(line, &end, 0);
	return end != line && !*end && !errno;
}

const char *resident_link(const struct resident *resident, const char *name, struct resident_name *last)
{
	char path[PATH_MAX + 64], target[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/%s", resident->sysfs, name);
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = 0;
	const char *slash = strrchr(target, '/');
	(void)snprintf(last->text, sizeof(last->text), "%.63s", slash ? slash + 1 : target);
	return last->text;
}

int resident_check_node(const struct resident *resident, int node, const char *const *files, char why[DEV_WHY_MAX])
{
	int64_t is = NODE_ANY;
	while (*files && !resident_number(resident, *files, &is))
		files++;
	if (node == NODE_ANY || is == node)
		return 0;
	return is < 0 ? dev_refuse(why, -EINVAL, "node=%d: the system does not say to which node it belongs", node)
		      : dev_refuse(why, -EINVAL, "node=%d: it belongs to node %" PRId64, node, is);
}

int resident_check_size(const struct resident *resident, const struct resident_request *req, char why[DEV_WHY_MAX])
{
	uint64_t has = resident->dev.size_bytes;
	if (!req->size_bytes || req->size_bytes == has)
		return 0;
	return dev_refuse(why, -EINVAL,
			  "size=%" PRIu64 ": it has %" PRIu64 " bytes: it is not as it was, or another one",
			  req->size_bytes, has);
}

int resident_check_uuid(const struct resident *resident, const struct resident_request *req, const char *file,
			char why[DEV_WHY_MAX])
{
	char line[64];
	if (!*req->uuid)
		return 0;
	if (!resident_line(resident, file, "", line, sizeof(line)) || !*line)
		return dev_refuse(why, -EINVAL, "uuid=%s: it has none that the system knows of", req->uuid);
	if (strcasecmp(line, req->uuid) != 0)
		return dev_refuse(why, -EINVAL, "uuid=%s: it is %.40s: made anew since, or another one", req->uuid,
				  line);
	return 0;
}

int resident_check_twin(const struct resident *resident, const char *root, const struct stat *st, char why[DEV_WHY_MAX])
{
	char line[256], path[PATH_MAX];
	struct stat own;
	if (!resident_line(resident, "uevent", "DEVNAME=", line, sizeof(line)))
		return 0;
	(void)snprintf(path, sizeof(path), "%s/dev/%s", root, line + strlen("DEVNAME="));
	if (stat(path, &own) != 0 || (own.st_mode & S_IFMT) != (st->st_mode & S_IFMT) || own.st_rdev != st->st_rdev ||
	    (own.st_dev == st->st_dev && own.st_ino == st->st_ino))
		return 0;
	return dev_refuse(why, -EINVAL, "is a second node of %.160s, with locks of its own: use that one", path);
}

static ino_t inode_of(const struct resident *resident)
{
	char path[PATH_MAX + 64];
	struct stat st;
	(void)snprintf(path, sizeof(path), "%s/%s", resident->sysfs, resident->watched);
	return lstat(path, &st) == 0 ? st.st_ino : 0;
}

int resident_check(const struct dev *dev)
{
	const struct resident *resident = (const struct resident *)dev;
	return inode_of(resident) == resident->watched_ino ? 0 : -ENXIO;
}

void resident_watch(struct resident *resident, const char *name)
{
	resident->watched = name;
	resident->watched_ino = inode_of(resident);
	resident->dev.check = resident_check;
}

/* Rounded to whole pages, and cut to the device. */
static int tell_bad(const struct resident *resident, uint64_t sector, uint64_t nsectors, dev_bad_fn *fn, void *arg)
{
	uint64_t from = sector << SECTOR_SHIFT, to = from + (nsectors << SECTOR_SHIFT);
	if (resident->bad_begins_bytes < 0)
		return -EACCES;
	uint64_t begin = (uint64_t)resident->bad_begins_bytes, end = begin + resident->dev.size_bytes;
	if (sector > INT64_MAX >> SECTOR_SHIFT || nsectors > INT64_MAX >> SECTOR_SHIFT)
		return -EIO;
	from = from > begin ? from - begin : 0;
	to = to > end ? end - begin : to > begin ? to - begin : 0;
	from = from / PGMAP_PAGE_SIZE * PGMAP_PAGE_SIZE;
	to = (to + PGMAP_PAGE_SIZE - 1) / PGMAP_PAGE_SIZE * PGMAP_PAGE_SIZE;
	return from < to ? fn(from, to - from, arg) : 0;
}

/* All of the list. The kernel gives a page but one byte at most: one that fills that may have been cut, at the end of a line too. (Where its
 * pages are bigger than 4 KiB, longer ones are refused that need not be.) Reading it from its beginning makes it anew, and is what says that
 * it was seen. */
static int read_list(int fd, char *text, size_t text_bytes)
{
	size_t len = 0;
	ssize_t n;
	while ((n = pread(fd, text + len, text_bytes - len, (off_t)len)) > 0)
		len += (size_t)n;
	if (n < 0)
		return -errno;
	if (len && (len >= text_bytes - 1 || text[len - 1] != '\n')) /* cut, maybe within a number */
		return -EIO;
	text[len] = 0;
	return 0;
}

static int for_each_bad(const struct dev *dev, dev_bad_fn *fn, void *arg)
{
	const struct resident *resident = (const struct resident *)dev;
	char list[PGMAP_PAGE_SIZE];
	uint64_t sector, nsectors;
	if (resident->bad_list < 0)
		return resident->bad_errno == ENOENT ? 0 : -resident->bad_errno; /* memory that has no list */
	int err = read_list(resident->bad_list, list, sizeof(list));
	for (char *line = list, *end; !err && *line; line = end + 1) {
		end = strchr(line, '\n');
		if (!end) /* a byte that is 0 */
			return -EIO;
		*end = 0;
		if (sscanf(line, "%" SCNu64 " %" SCNu64, &sector, &nsectors) == 2)
			err = tell_bad(resident, sector, nsectors, fn, arg);
		else if (end != line)
			err = -EIO;
	}
	return err;
}

static int bad_fd(const struct dev *dev)
{
	return ((const struct resident *)dev)->bad_list;
}

void resident_list_bad(struct resident *resident, const char *file, int64_t begins_bytes)
{
	char path[PATH_MAX + 64];
	(void)snprintf(path, sizeof(path), "%s/%s", resident->sysfs, file);
	if (resident->bad_list >= 0)
		(void)close(resident->bad_list);
	resident->bad_list = open(path, O_RDONLY | O_CLOEXEC);
	resident->bad_errno = resident->bad_list < 0 ? errno : 0;
	resident->bad_begins_bytes = begins_bytes;
	resident->dev.for_each_bad = for_each_bad;
	resident->dev.bad_fd = bad_fd;
}

int resident_find(const char *path, const char *lister, char why[DEV_WHY_MAX])
{
	int at = open(path, O_PATH | O_CLOEXEC);
	if (at >= 0)
		return at;
	return errno == ENOENT ? dev_refuse(why, -ENOENT, "No such file or directory (%s says which there are)", lister)
			       : dev_refuse(why, -errno, "%s", strerror(errno));
}

int resident_open_at(struct resident *resident, int at, int flags, char why[DEV_WHY_MAX])
{
	char again[40];
	(void)snprintf(again, sizeof(again), "/proc/self/fd/%d", at);
	resident->dev.fd = open(again, O_RDWR | O_CLOEXEC | flags);
	if (resident->dev.fd >= 0)
		return 0;
	if (errno == EBUSY)
		return dev_refuse(why, -EBUSY, "is in use: mounted, or opened by another for itself alone");
	return dev_refuse(why, -errno, "cannot be opened for reading and writing: %s", strerror(errno));
}

void resident_write_spec(struct resident *resident, const struct resident_request *req)
{
	enum { SHOWN = DEV_SPEC_MAX - 32 };
	struct dev *dev = &resident->dev;
	size_t len = strlen(req->path);
	char node[16] = "";
	if (req->node != NODE_ANY)
		(void)snprintf(node, sizeof(node), ",node=%d", req->node);
	(void)snprintf(dev->spec, sizeof(dev->spec), "%s:%s%.*s%s", dev->kind->name, len <= SHOWN ? "" : "...", SHOWN,
		       len <= SHOWN ? req->path : req->path + len - SHOWN, node);
}
