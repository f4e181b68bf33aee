/* SPDX-License-Identifier: BSD-3-Clause */
/* records.c - bytes that grow at the end, and leave in a sealed memfd. */
#include "server/records.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int records_add(struct records *records, const void *what, size_t len)
{
	if (len > records->cap - records->len) {
		size_t cap = records->cap ? 2 * records->cap : 4096;
		while (cap < records->len + len)
			cap *= 2;
		unsigned char *bytes = realloc(records->bytes, cap);
		if (!bytes)
			return -ENOMEM;
		records->bytes = bytes;
		records->cap = cap;
	}
	memcpy(records->bytes + records->len, what, len);
	records->len += len;
	return 0;
}

static int write_all(int fd, const unsigned char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

int records_seal(const struct records *records)
{
	int fd = memfd_create("pgmap-reply", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	int err = write_all(fd, records->bytes, records->len);
	if (!err && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
		err = -errno;
	if (err) {
		(void)close(fd);
		return err;
	}
	return fd;
}

void records_exit(struct records *records)
{
	free(records->bytes);
	memset(records, 0, sizeof(*records));
}
