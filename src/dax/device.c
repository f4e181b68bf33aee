/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device.c - a DAX device: an offset becomes (pgmap, pgmap offset), and there is one exclusive holder.
 *
 * What a device does with an offset stands in struct dax_ops; here is the kind that lies directly on memory and has a
 * pgmap of its own. A stack of devices is another such table over the same struct.
 *
 * Two gates (gate.h) end things safely. `access` is open while the device is alive: translations and populates run
 * inside, so dax_kill() returns when none runs. `held` is open while there is a holder: the holder's folio_free and
 * notify_failure run inside, so after dax_release() none of its callbacks runs, and the holder may be freed.
 *
 * Lock order: `lock` (who is the holder) is taken around no callback. The folio_free callback runs in the context of
 * the put that was the last, and takes no lock of this floor.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pgmap/dax.h>
#include <pgmap/folio.h>

#include "dax/gate.h"
#include "port/compiler.h"

struct dax_ops {
	int64_t (*direct_access)(struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct dax_span *span);
	int (*populate)(struct dax_device *dax, uint64_t pgoff, uint64_t npages);
	int (*discard)(struct dax_device *dax, uint64_t pgoff, uint64_t npages);
};

struct dax_device {
	const struct dax_ops *ops;
	struct dax_params params;
	struct pgmap *pgmap;
	uint64_t npages;
	uint64_t first_pgoff; /* page 0 in the pgmap */
	struct gate access;
	struct gate held;
	pthread_mutex_t lock; /* guards holder, holder_ops, told */
	void *holder;
	const struct dax_holder_ops *holder_ops;
	bool told; /* DAX_FAILURE_DEAD has been said */
	char name[32];
};

static int64_t memory_direct_access(struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct dax_span *span)
{
	uint64_t n = dax->npages - pgoff < npages ? dax->npages - pgoff : npages;
	uint64_t offset_bytes = dax->params.start_bytes + (pgoff << PGMAP_PAGE_SHIFT);
	*span = (struct dax_span){
		.pgmap = dax->pgmap,
		.pgmap_pgoff = dax->first_pgoff + pgoff,
		.npages = n,
		.addr = dax->params.addr ? (char *)dax->params.addr + offset_bytes : NULL,
		.fd = dax->params.fd,
		.fd_offset_bytes = offset_bytes,
		.resident = dax->params.resident,
	};
	return (int64_t)n;
}

static int memory_populate(struct dax_device *dax, uint64_t pgoff, uint64_t npages)
{
	const struct dax_device_ops *ops = dax->params.ops;
	if (!ops)
		return -EOPNOTSUPP;
	return ops->populate ? ops->populate(dax->params.ctx, dax->params.start_bytes + (pgoff << PGMAP_PAGE_SHIFT),
					     npages << PGMAP_PAGE_SHIFT)
			     : 0;
}

static int memory_discard(struct dax_device *dax, uint64_t pgoff, uint64_t npages)
{
	const struct dax_device_ops *ops = dax->params.ops;
	return ops ? ops->discard(dax->params.ctx, dax->params.start_bytes + (pgoff << PGMAP_PAGE_SHIFT),
				  npages << PGMAP_PAGE_SHIFT)
		   : -EOPNOTSUPP;
}

static const struct dax_ops memory_ops = {
	.direct_access = memory_direct_access,
	.populate = memory_populate,
	.discard = memory_discard,
};

/* The pgmap's callback: hand the pages on to the holder, by their offset on the device. */
static int folio_freed(struct folio *folio, void *owner)
{
	struct dax_device *dax = owner;
	int answer = PGMAP_FREE_IDLE;
	if (!gate_enter(&dax->held))
		return answer;
	if (dax->holder_ops->folio_free)
		answer = dax->holder_ops->folio_free(dax->holder, folio_pgoff(folio) - dax->first_pgoff,
						     folio_pages(folio));
	gate_leave(&dax->held);
	return answer;
}

static const struct pgmap_ops pgmap_callbacks = {
	.ops_bytes = sizeof(struct pgmap_ops),
	.folio_free = folio_freed,
};

static int check_params(const struct dax_params *params)
{
	if (!params || params->params_bytes != sizeof(*params) || params->granule_order > PGMAP_MAX_ORDER)
		return -EINVAL;
	if (params->type && (params->type < PGMAP_FSDAX || params->type > PGMAP_P2PDMA))
		return -EINVAL;
	uint64_t end, granule_bytes = PGMAP_PAGE_SIZE << params->granule_order;
	if (!params->len_bytes || params->len_bytes % granule_bytes || params->start_bytes % granule_bytes)
		return -EINVAL;
	if (__builtin_add_overflow(params->start_bytes, params->len_bytes, &end) || end > INT64_MAX)
		return -EINVAL;
	if (params->ops && (params->ops->ops_bytes != sizeof(*params->ops) || !params->ops->discard))
		return -EINVAL;
	return 0;
}

static int create_pgmap(struct dax_device *dax)
{
	if (!dax->params.type)
		return 0;
	const struct pgmap_range range = {.start_bytes = dax->params.start_bytes, .len_bytes = dax->params.len_bytes};
	const struct pgmap_params params = {
		.params_bytes = sizeof(params),
		.type = dax->params.type,
		.ranges = &range,
		.nranges = 1,
		.ops = &pgmap_callbacks,
		.owner = dax,
		.base = dax->params.addr,
		.name = dax->name,
	};
	int err = pgmap_create(&params, &dax->pgmap);
	return err ? err : pgmap_device_to_pgoff(dax->pgmap, dax->params.start_bytes, &dax->first_pgoff);
}

PGMAP_PUBLIC int dax_create(const struct dax_params *params, struct dax_device **out)
{
	int err = out ? check_params(params) : -EINVAL;
	if (err)
		return err;
	struct dax_device *dax = calloc(1, sizeof(*dax));
	if (!dax)
		return -ENOMEM;
	dax->ops = &memory_ops;
	dax->params = *params;
	dax->npages = params->len_bytes >> PGMAP_PAGE_SHIFT;
	(void)snprintf(dax->name, sizeof(dax->name), "%s", params->name ? params->name : "dax");
	gate_init(&dax->access, false);
	gate_init(&dax->held, true);
	(void)pthread_mutex_init(&dax->lock, NULL);
	err = create_pgmap(dax);
	if (err) {
		free(dax);
		return err;
	}
	*out = dax;
	return 0;
}

/* DEAD if nothing is held, else as it was. */
static int end_pgmap(struct pgmap *pgmap)
{
	if (!pgmap)
		return 0;
	enum pgmap_state before = pgmap_state(pgmap);
	(void)pgmap_kill(pgmap);
	if (pgmap_drain(pgmap, 0) != 0) {
		if (before == PGMAP_LIVE)
			(void)pgmap_revive(pgmap);
		return -EBUSY;
	}
	return pgmap_destroy(pgmap);
}

PGMAP_PUBLIC int dax_destroy(struct dax_device *dax)
{
	if (!dax)
		return 0;
	(void)pthread_mutex_lock(&dax->lock);
	bool held = dax->holder != NULL;
	(void)pthread_mutex_unlock(&dax->lock);
	if (held || end_pgmap(dax->pgmap) != 0)
		return -EBUSY;
	gate_exit(&dax->access);
	gate_exit(&dax->held);
	(void)pthread_mutex_destroy(&dax->lock);
	free(dax);
	return 0;
}

PGMAP_PUBLIC int64_t dax_direct_access(struct dax_device *dax, uint64_t pgoff, int64_t npages, struct dax_span *span)
{
	if (!dax || !span || npages <= 0)
		return -EINVAL;
	if (pgoff >= dax->npages)
		return -ERANGE;
	if (!gate_enter(&dax->access))
		return -ENXIO;
	int64_t n = dax->ops->direct_access ? dax->ops->direct_access(dax, pgoff, (uint64_t)npages, span) : -EOPNOTSUPP;
	gate_leave(&dax->access);
	return n;
}

PGMAP_PUBLIC int dax_hold(struct dax_device *dax, void *holder, const struct dax_holder_ops *ops)
{
	if (!dax || !holder || !ops || ops->ops_bytes != sizeof(*ops))
		return -EINVAL;
	int err = 0;
	(void)pthread_mutex_lock(&dax->lock);
	if (!gate_is_open(&dax->access) || dax->told)
		err = -ENXIO;
	else if (dax->holder)
		err = -EBUSY;
	if (!err) {
		dax->holder = holder;
		dax->holder_ops = ops;
		gate_open(&dax->held);
	}
	(void)pthread_mutex_unlock(&dax->lock);
	return err;
}

PGMAP_PUBLIC int dax_release(struct dax_device *dax, void *holder)
{
	if (!dax || !holder)
		return -EINVAL;
	(void)pthread_mutex_lock(&dax->lock);
	bool mine = dax->holder == holder && gate_is_open(&dax->held);
	(void)pthread_mutex_unlock(&dax->lock);
	if (!mine)
		return -EINVAL;
	gate_shut(&dax->held);
	(void)pthread_mutex_lock(&dax->lock);
	dax->holder = NULL;
	dax->holder_ops = NULL;
	(void)pthread_mutex_unlock(&dax->lock);
	return 0;
}

PGMAP_PUBLIC int dax_kill(struct dax_device *dax)
{
	if (!dax)
		return -EINVAL;
	(void)pthread_mutex_lock(&dax->lock);
	bool first = !dax->told;
	dax->told = true;
	bool tell = first && gate_enter(&dax->held);
	(void)pthread_mutex_unlock(&dax->lock);
	if (tell) {
		if (dax->holder_ops->notify_failure)
			dax->holder_ops->notify_failure(dax->holder, DAX_FAILURE_DEAD, 0, dax->npages);
		gate_leave(&dax->held);
	}
	gate_shut(&dax->access);
	return 0;
}

static int check_pages(const struct dax_device *dax, uint64_t pgoff, uint64_t npages)
{
	if (!dax || !npages)
		return -EINVAL;
	return pgoff >= dax->npages || npages > dax->npages - pgoff ? -ERANGE : 0;
}

PGMAP_PUBLIC int dax_populate(struct dax_device *dax, uint64_t pgoff, uint64_t npages)
{
	int err = check_pages(dax, pgoff, npages);
	if (err)
		return err;
	if (!gate_enter(&dax->access))
		return -ENXIO;
	err = dax->ops->populate(dax, pgoff, npages);
	gate_leave(&dax->access);
	return err;
}

PGMAP_PUBLIC int dax_discard(struct dax_device *dax, uint64_t pgoff, uint64_t npages)
{
	int err = check_pages(dax, pgoff, npages);
	return err ? err : dax->ops->discard(dax, pgoff, npages);
}

PGMAP_PUBLIC int dax_alive(const struct dax_device *dax)
{
	return gate_is_open(&dax->access);
}

PGMAP_PUBLIC struct pgmap *dax_pgmap(const struct dax_device *dax)
{
	return dax->pgmap;
}

PGMAP_PUBLIC uint64_t dax_npages(const struct dax_device *dax)
{
	return dax->npages;
}

PGMAP_PUBLIC unsigned dax_granule_order(const struct dax_device *dax)
{
	return dax->params.granule_order;
}

PGMAP_PUBLIC const char *dax_name(const struct dax_device *dax)
{
	return dax->name;
}
