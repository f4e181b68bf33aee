/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pieces.h - where the memory behind contiguous offsets is not contiguous: the pieces that it lies in. Header only; they do not change,
 * so any thread may ask.
 */
#ifndef PGMAP_DAX_PIECES_H
#define PGMAP_DAX_PIECES_H

#include <errno.h>
#include <stdlib.h>

#include <pgmap/dax.h>

struct pieces {
	uint64_t *ends; /* of each, the page behind it */
	size_t n;       /* 0: it is one, and there is nothing to look at */
};

/* pieces_end - the page behind the piece that has this one, of a device of npages. */
static inline uint64_t pieces_end(const struct pieces *pieces, uint64_t pgoff, uint64_t npages)
{
	if (__builtin_expect(pieces->n == 0, 1))
		return npages;
	size_t i = 0;
	while (pieces->ends[i] <= pgoff)
		i++;
	return pieces->ends[i];
}

/* pieces_check - 0, or -EINVAL: they do not make up the device, or are not whole granules. */
static inline int pieces_check(const struct dax_params *params)
{
	uint64_t left_bytes = params->pieces_bytes ? params->len_bytes : 0;
	for (size_t i = 0; params->pieces_bytes && i < params->npieces; i++) {
		uint64_t bytes = params->pieces_bytes[i];
		if (!bytes || bytes % (PGMAP_PAGE_SIZE << params->granule_order) || bytes > left_bytes)
			return -EINVAL;
		left_bytes -= bytes;
	}
	return left_bytes ? -EINVAL : 0;
}

/* pieces_take - those of the params, which were checked, and as ranges of a pgmap: *ranges is the caller's to free. -ENOMEM.
 * pieces_free - forget them. */
static inline int pieces_take(struct pieces *pieces, const struct dax_params *params, struct pgmap_range **ranges,
			      size_t *nranges)
{
	size_t n = params->pieces_bytes ? params->npieces : 1;
	uint64_t end_bytes = 0;
	*pieces = (struct pieces){.ends = n > 1 ? calloc(n, sizeof(*pieces->ends)) : NULL, .n = n > 1 ? n : 0};
	*ranges = calloc(n, sizeof(**ranges));
	*nranges = n;
	if (!*ranges || (pieces->n && !pieces->ends))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		uint64_t bytes = params->pieces_bytes ? params->pieces_bytes[i] : params->len_bytes;
		(*ranges)[i] = (struct pgmap_range){params->start_bytes + end_bytes, bytes};
		end_bytes += bytes;
		if (pieces->n)
			pieces->ends[i] = end_bytes >> PGMAP_PAGE_SHIFT;
	}
	return 0;
}

static inline void pieces_free(struct pieces *pieces)
{
	free(pieces->ends);
	*pieces = (struct pieces){0};
}

#endif
