/* SPDX-License-Identifier: BSD-3-Clause */
/* records.h - bytes that grow at the end, and leave in a sealed memfd. Not thread-safe. */
#ifndef PGMAP_SERVER_RECORDS_H
#define PGMAP_SERVER_RECORDS_H

#include <stddef.h>
#include <stdint.h>

struct records {
	unsigned char *bytes;
	size_t len, cap;
};

int records_add(struct records *records, const void *what, size_t len); /* -ENOMEM: nothing added */
int records_seal(const struct records *records); /* a memfd that nobody can change any more, or -errno */
void records_exit(struct records *records);      /* also of a zeroed one */

#endif
