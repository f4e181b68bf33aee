/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * name.h - paths: from text to an inode and its place, and back.
 * Thread safety: the pool's namespace lock.
 */
#ifndef PGMAP_FS_NAME_H
#define PGMAP_FS_NAME_H

#include <stddef.h>

#include "fs/inode.h"

struct name_at {
	struct inode *dir; /* where the last component is, or would be; null for the root itself */
	const char *name;  /* the last component, in the caller's text */
	size_t name_len;
	struct inode *inode; /* or null: there is none of this name */
};

/* name_walk - 0 also when only the last component is missing. -EINVAL (null, empty, "." or ".."), -ENAMETOOLONG,
 * -ENOENT and -ENOTDIR (before the last component). */
int name_walk(struct inode *root, const char *path, struct name_at *out);

/* name_file - the file of this path. -ENOENT, -EISDIR, and those of name_walk(). */
int name_file(struct inode *root, const char *path, struct inode **out);

/* name_path - "/a/b" of a linked inode, or, once unlinked, its last path and " (deleted)"; cut to n bytes with the
 * final NUL. Answers the whole length. n may be 0. */
size_t name_path(const struct inode *inode, char *buf, size_t n);

#endif
