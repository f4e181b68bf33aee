/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * transfer.h - bytes between a descriptor or mapped memory and mapped memory, with no buffer in between.
 *
 * Big regular files and mappings are moved by several threads, each a chunk at a time: the time goes into the copy itself and into
 * making pages present, and both scale. The calls end early when cli_stopped(): -EINTR.
 * Thread safety: one thread per call; they start and end threads of their own, which get no signals.
 */
#ifndef PGMAP_TOOLS_TRANSFER_H
#define PGMAP_TOOLS_TRANSFER_H

#include <stdint.h>

#include "progress.h"

/* [0, len) of a regular file to memory: the number of bytes until end-of-file, or -errno. */
int64_t transfer_in(int fd, void *addr, uint64_t len_bytes, struct progress *progress);
/* The same of a stream (pipe, terminal), from where it stands. */
int64_t transfer_stream_in(int fd, void *addr, uint64_t len_bytes, struct progress *progress);
/* Memory to [0, len) of a regular file; 0 or -errno. */
int transfer_out(int fd, const void *addr, uint64_t len_bytes, struct progress *progress);
/* Memory to a stream. 0 or -errno. */
int transfer_stream_out(int fd, const void *addr, uint64_t len_bytes, struct progress *progress);
/* Memory to memory. 0 or -errno. */
int transfer_copy(void *to, const void *from, uint64_t len_bytes, struct progress *progress);

#endif
