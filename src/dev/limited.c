/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * limited.c - any other device as LIMITED memory (c5.6): read in place, without folios, never pinned, never written.
 *
 * It stands around the device of the spec behind its name, and takes away: the descriptor is one that can only be read through,
 * there are no operations, the type is 0, so that dax_create() makes no pgmap for it. What the device holds stays: `keep` tells
 * its take so, which then makes sure that the device can be used, and drops nothing.
 *
 * It is for programs that embed the library. A pool cannot lie on it, as whoever maps a file holds folios: service.c.
 *
 * The guards are the outer device's, on the same inode: a server that writes and one who reads in place exclude each other.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dev/kind.h"

struct limited {
	struct dev dev;
	struct dev *inner;
};

static int limited_take(struct dev *dev, char why[DEV_WHY_MAX])
{
	struct dev *inner = ((struct limited *)dev)->inner;
	if (!inner->take)
		return 0;
	inner->guard_fd = dev->guard_fd; /* lent: with it the inner device tries a lease */
	int err = inner->take(inner, why);
	inner->guard_fd = -1;
	return err;
}

/* It keeps what it holds. */
static int limited_drop(struct dev *dev, char why[DEV_WHY_MAX])
{
	struct dev *inner = ((struct limited *)dev)->inner;
	int err = dev_drop(inner, why);
	dev->persistence = inner->persistence;
	dev->access = inner->access;
	return err;
}

static int limited_check(const struct dev *dev)
{
	return dev_check(((const struct limited *)dev)->inner);
}

static void limited_close(struct dev *dev)
{
	struct limited *limited = (struct limited *)dev;
	if (dev->fd >= 0)
		(void)close(dev->fd);
	dev_close(limited->inner);
	free(limited);
}

static int open_for_reading(int fd, char why[DEV_WHY_MAX])
{
	char path[40];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int again = open(path, O_RDONLY | O_CLOEXEC);
	return again >= 0 ? again : dev_refuse(why, -errno, "cannot be opened for reading: %s", strerror(errno));
}

static int limited_open(const char *args, struct dev **out, char why[DEV_WHY_MAX])
{
	struct dev *inner = NULL;
	if (!*args)
		return dev_refuse(why, -EINVAL, "no device given, as in limited:devdax:/dev/dax0.0");
	if (strncmp(args, "limited:", strlen("limited:")) == 0)
		return dev_refuse(why, -EINVAL, "is limited twice");
	int err = dev_open_kind(args, &inner, why);
	if (err)
		return err;
	int fd = open_for_reading(inner->fd, why);
	struct limited *limited = fd >= 0 ? calloc(1, sizeof(*limited)) : NULL;
	if (!limited) {
		err = fd < 0 ? fd : dev_refuse(why, -ENOMEM, "no memory");
		if (fd >= 0)
			(void)close(fd);
		dev_close(inner);
		return err;
	}
	inner->keep = true;
	limited->inner = inner;
	limited->dev = (struct dev){.kind = &dev_limited,
				    .fd = fd,
				    .size_bytes = inner->size_bytes,
				    .granule_order = inner->granule_order,
				    .pieces_bytes = inner->pieces_bytes,
				    .npieces = inner->npieces,
				    .resident = true,
				    .close = limited_close,
				    .take = limited_take,
				    .drop = limited_drop,
				    .check = inner->check ? limited_check : NULL,
				    .guard_fd = -1};
	(void)snprintf(limited->dev.spec, sizeof(limited->dev.spec), "limited:%.*s", DEV_SPEC_MAX - 9, inner->spec);
	*out = &limited->dev;
	return 0;
}

const struct dev_kind dev_limited = {
	.kind_bytes = sizeof(struct dev_kind),
	.name = "limited",
	.usage = "limited:SPEC   the device SPEC as it is, read in place: for programs that embed the library, as no "
		 "pool can lie on it",
	.open = limited_open,
};
