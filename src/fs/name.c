/* SPDX-License-Identifier: BSD-3-Clause */
/* name.c - see name.h: guarded by the pool's namespace lock. */
#include "fs/name.h"

#include <errno.h>
#include <string.h>

static int check_component(const char *name, size_t len)
{
	if (len > FSDAX_NAME_MAX)
		return -ENAMETOOLONG;
	return (len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.') ? -EINVAL : 0;
}

/* What can be said from the text alone comes first, whatever exists. */
static int check_path(const char *path)
{
	if (!path || !*path)
		return -EINVAL;
	if (strnlen(path, FSDAX_PATH_MAX + 1) > FSDAX_PATH_MAX)
		return -ENAMETOOLONG;
	int err = 0;
	for (path += strspn(path, "/"); *path && !err; path += strspn(path, "/")) {
		size_t len = strcspn(path, "/");
		err = check_component(path, len);
		path += len;
	}
	return err;
}

int name_walk(struct inode *root, const char *path, struct name_at *out)
{
	int err = check_path(path);
	if (err)
		return err;
	struct name_at at = {.name = "", .inode = root};
	for (path += strspn(path, "/"); *path; path += strspn(path, "/")) {
		if (!at.inode)
			return -ENOENT;
		if (at.inode->type != FSDAX_DIR)
			return -ENOTDIR;
		at.dir = at.inode;
		at.name = path;
		at.name_len = strcspn(path, "/");
		at.inode = inode_child(at.dir, at.name, at.name_len);
		path += at.name_len;
	}
	*out = at;
	return 0;
}

int name_file(struct inode *root, const char *path, struct inode **out)
{
	struct name_at at;
	int err = name_walk(root, path, &at);
	if (err)
		return err;
	if (!at.inode)
		return -ENOENT;
	*out = at.inode;
	return at.inode->type == FSDAX_DIR ? -EISDIR : 0;
}

/* Copy text to where it stands in the whole, as far as that lies within n bytes. */
static void place(char *buf, size_t n, size_t at, const char *text, size_t len)
{
	if (at >= n)
		return;
	memcpy(buf + at, text, len < n - at ? len : n - at);
}

size_t name_path(const struct inode *inode, char *buf, size_t n)
{
	static const char deleted[] = " (deleted)";
	size_t len = 0, room = n ? n - 1 : 0;
	if (!inode->nlink) {
		len = inode->name_len + sizeof(deleted) - 1;
		place(buf, room, 0, inode->name, inode->name_len);
		place(buf, room, inode->name_len, deleted, sizeof(deleted) - 1);
	} else {
		for (const struct inode *at = inode; at->parent; at = at->parent)
			len += 1 + at->name_len;
		size_t end = len;
		for (const struct inode *at = inode; at->parent; at = at->parent) {
			end -= at->name_len;
			place(buf, room, end, at->name, at->name_len);
			place(buf, room, --end, "/", 1);
		}
		if (!inode->parent) {
			place(buf, room, 0, "/", 1);
			len = 1;
		}
	}
	if (n)
		buf[len < room ? len : room] = 0;
	return len;
}
