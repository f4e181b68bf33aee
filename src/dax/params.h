/* SPDX-License-Identifier: BSD-3-Clause */
/* params.h - what dax_create() is given: taken from programs of all versions, and checked. Header only; it keeps nothing. */
#ifndef PGMAP_DAX_PARAMS_H
#define PGMAP_DAX_PARAMS_H

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <pgmap/dax.h>

#include "dax/pieces.h"

/* Programs that were built with an earlier version of the structs leave what was added since. */
static const size_t params_first_bytes = offsetof(struct dax_params, name) + sizeof(char *);
static const size_t params_first_ops_bytes = offsetof(struct dax_device_ops, flush);

/* params_take - a copy of them, with nulls in what an earlier version had not. -EINVAL. */
static inline int params_take(const struct dax_params *given, struct dax_params *params)
{
	if (!given || (given->params_bytes != params_first_bytes && given->params_bytes != sizeof(*params)))
		return -EINVAL;
	memcpy(params, given, given->params_bytes);
	const struct dax_device_ops *ops = params->ops;
	if (ops && (ops->ops_bytes < params_first_ops_bytes || ops->ops_bytes > sizeof(*ops) ||
		    ops->ops_bytes % sizeof(ops->discard) || !ops->discard)) /* each version has added a function */
		return -EINVAL;
	return 0;
}

/* params_check - whether a device can be as they say. -EINVAL. */
static inline int params_check(const struct dax_params *params)
{
	if (params->granule_order > PGMAP_MAX_ORDER)
		return -EINVAL;
	if (params->type && (params->type < PGMAP_FSDAX || params->type > PGMAP_P2PDMA))
		return -EINVAL;
	uint64_t end, granule_bytes = PGMAP_PAGE_SIZE << params->granule_order;
	if (!params->len_bytes || params->len_bytes % granule_bytes || params->start_bytes % granule_bytes)
		return -EINVAL;
	if (__builtin_add_overflow(params->start_bytes, params->len_bytes, &end) || end > INT64_MAX)
		return -EINVAL;
	return pieces_check(params);
}

#endif
