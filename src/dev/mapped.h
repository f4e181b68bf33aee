/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mapped.h - who maps memory of a device: what no lock says. A lease lies on an inode, and there are mappings without one: of
 * programs that know of no lease, and those that have outlived their inode (pci.c).
 *
 * Any thread. What is found is what /proc/PID/maps says of other processes; what may not be read there, or lies in another pid
 * namespace, is not seen.
 */
#ifndef PGMAP_DEV_MAPPED_H
#define PGMAP_DEV_MAPPED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "dev/dev.h"

/* One mapping of a file. */
struct mapped_line {
	uint64_t offset_bytes, len_bytes; /* in the file */
	dev_t dev;
	ino_t ino;
	const char *path;
};

/* mapped_check - -EBUSY with why, where another process has a mapping that is one of those asked for. root: of /proc, "" for the
 * system's. */
int mapped_check(const char *root, bool (*is)(const struct mapped_line *line, const void *arg), const void *arg,
		 char why[DEV_WHY_MAX]);

#endif
