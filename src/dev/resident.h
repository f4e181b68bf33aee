/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * resident.h - what the kinds have in common whose memory is always there, with whatever bytes it holds (devdax, pmem, pci): a
 * path and a node in the spec, a folder of sysfs that says what the device is, and zeros that are written where others punch.
 *
 * Each of them looks at the device before it opens it (O_PATH), takes its facts from sysfs, and looks again once byte 0 is
 * its own. ROOT is in front of /sys and /dev: "" but in tests.
 *
 * Thread safety: discard from any thread, also of neighbours at once; the rest as dev.h says.
 */
#ifndef PGMAP_DEV_RESIDENT_H
#define PGMAP_DEV_RESIDENT_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "dev/kind.h"
#include "dev/node.h"
#include "dev/persist.h"
#include "dev/zero.h"

/* The last three are questions: the device is refused if it is another one than they say. */
struct resident_request {
	char path[PATH_MAX];
	int node;
	uint64_t size_bytes, align_bytes; /* 0: any */
	char uuid[37];                    /* "": any */
};

/* What a kind's table of keys is made of. */
int resident_set_node(void *request, const char *value, char why[DEV_WHY_MAX]);
int resident_set_size(void *request, const char *value, char why[DEV_WHY_MAX]);
int resident_set_align(void *request, const char *value, char why[DEV_WHY_MAX]);
int resident_set_uuid(void *request, const char *value, char why[DEV_WHY_MAX]);
#define RESIDENT_NODE                                                                                                  \
	{                                                                                                              \
		"node", false, resident_set_node                                                                       \
	}
#define RESIDENT_SIZE                                                                                                  \
	{                                                                                                              \
		"size", false, resident_set_size                                                                       \
	}
#define RESIDENT_ALIGN                                                                                                 \
	{                                                                                                              \
		"align", false, resident_set_align                                                                     \
	}
#define RESIDENT_UUID                                                                                                  \
	{                                                                                                              \
		"uuid", false, resident_set_uuid                                                                       \
	}

/* Each kind's device begins with it, so that one free() ends both. */
struct resident {
	struct dev dev;
	struct zero zero;
	struct persist persist;
	const char *root;     /* of /proc, too; "": this system's */
	char sysfs[PATH_MAX]; /* the device's folder */
	const char *
		watched; /* a name in it, whose inode is another each time that the device appears, or gets its driver */
	ino_t watched_ino;
	int bad_list; /* the list of bad blocks; or -1, and bad_errno says why */
	int bad_errno;
	int64_t bad_begins_bytes;
	uint64_t *pieces_bytes; /* dev.pieces_bytes */
};

/* resident_parse - PATH[,KEY=VALUE]..., of these keys. -EINVAL, -ENAMETOOLONG, with why. */
int resident_parse(const char *args, const struct dev_key *keys, struct resident_request *req, char why[DEV_WHY_MAX]);

/* resident_create - a device without a descriptor yet, of so many bytes as the kind's struct has; null: no memory.
 * resident_close - dev.close: of what was opened as well. */
struct resident *resident_create(size_t bytes, const struct dev_kind *kind);
void resident_close(struct dev *dev);

/* What they do (dax_device_ops): a kind that does more has a table of its own. */
int resident_discard(void *ctx, uint64_t offset_bytes, uint64_t len_bytes);
int resident_flush(void *ctx, uint64_t offset_bytes, uint64_t len_bytes);

/* One line of a file of the device that begins so, without its end; false: there is none. A number, alone in its file. Where a
 * link leads to, its last part; "": nowhere. */
bool resident_line(const struct resident *resident, const char *name, const char *begins, char *line,
		   size_t line_bytes);
bool resident_number(const struct resident *resident, const char *name, int64_t *number);
struct resident_name {
	char text[64];
};
const char *resident_link(const struct resident *resident, const char *name, struct resident_name *last);

/* resident_check_node - NODE_ANY, or it belongs to this node by the first of these files (the last is null) that says. */
int resident_check_node(const struct resident *resident, int node, const char *const *files, char why[DEV_WHY_MAX]);

/* resident_check_size, resident_check_uuid - it has what was asked for, if it was; `file` has the namespace's uuid, new each
 * time that it is made. -EINVAL. */
int resident_check_size(const struct resident *resident, const struct resident_request *req, char why[DEV_WHY_MAX]);
int resident_check_uuid(const struct resident *resident, const struct resident_request *req, const char *file,
			char why[DEV_WHY_MAX]);

/* resident_check_twin - it is the node that the system made for this device, as far as it can be seen: a second one, made by
 * mknod, has an inode of its own, and so locks of its own. -EINVAL. */
int resident_check_twin(const struct resident *resident, const char *root, const struct stat *st,
			char why[DEV_WHY_MAX]);

/* resident_watch - before it is opened: from here on dev_check() says whether this name (not copied) is still the same. Why before:
 * open_again() in lease.c. */
void resident_watch(struct resident *resident, const char *name);

/* resident_list_bad - this file (a path from the device's folder) has its bad blocks, by numbers of which one is where the device
 * begins (less than 0: it is not known which): dev.for_each_bad, dev.bad_fd. They are in sectors, as the kernel's lists of bad blocks are,
 * whatever the device's are. It is opened here, and read again from there: what is found under its name later may be another's. */
void resident_list_bad(struct resident *resident, const char *file, int64_t begins_bytes);

/* resident_check - dev.check of what is watched: -ENXIO it is another. */
int resident_check(const struct dev *dev);

/* resident_find - an O_PATH descriptor of what is there under this name; -errno with why, and where not, what says what is there. */
int resident_find(const char *path, const char *lister, char why[DEV_WHY_MAX]);

/* resident_open_at - what the O_PATH descriptor at names becomes dev.fd, with these flags besides. -errno with why. */
int resident_open_at(struct resident *resident, int at, int flags, char why[DEV_WHY_MAX]);

/* resident_persist - it is persistent: find out how (persist_init), once it was taken. */
void resident_persist(struct resident *resident, bool pages);

/* resident_write_spec - dev.spec: KIND:PATH and the node. A path that is too long to show is shown by its end. */
void resident_write_spec(struct resident *resident, const struct resident_request *req);

#endif
