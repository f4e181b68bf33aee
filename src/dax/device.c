/* SPDX-License-Identifier: BSD-3-Clause */
/* device.c - see device.h: life, holder and death of a device of any kind, and the translation of an offset. */
#include "dax/device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dax/stack.h"
#include "port/compiler.h"

pthread_mutex_t device_tree = PTHREAD_MUTEX_INITIALIZER, device_holders = PTHREAD_MUTEX_INITIALIZER;

void device_init(struct dax_device *dax, const struct dax_ops *ops, const char *name)
{
	dax->ops = ops;
	LIST_INIT(&dax->uppers);
	gate_init(&dax->access, false);
	gate_init(&dax->held, true);
	(void)snprintf(dax->name, sizeof(dax->name), "%s", name);
}

void device_exit(struct dax_device *dax)
{
	gate_exit(&dax->access);
	gate_exit(&dax->held);
}

/* No upper stack, no holder, and its kind lets it go. */
static int end(struct dax_device *dax)
{
	(void)pthread_mutex_lock(&device_holders);
	bool held = dax->holder != NULL;
	(void)pthread_mutex_unlock(&device_holders);
	if (held || !LIST_EMPTY(&dax->uppers))
		return -EBUSY;
	int err = dax->ops->end ? dax->ops->end(dax) : 0;
	if (!err)
		stack_unlink(dax);
	return err ? -EBUSY : 0;
}

PGMAP_PUBLIC int dax_destroy(struct dax_device *dax)
{
	if (!dax)
		return 0;
	(void)pthread_mutex_lock(&device_tree);
	int err = end(dax);
	(void)pthread_mutex_unlock(&device_tree);
	if (err)
		return err;
	device_exit(dax);
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
	int64_t n = device_access(dax, pgoff, (uint64_t)npages, span);
	gate_leave(&dax->access);
	return n;
}

/* Under device_holders: nobody holds any of it, and all of it is alive. */
static int check_free(const struct dax_device *dax)
{
	if (device_is_dead(dax))
		return -ENXIO;
	int err = dax->holder ? -EBUSY : 0;
	for (size_t i = 0; i < dax->nlinks && !err; i++)
		err = check_free(dax->links[i].lower);
	return err;
}

/* Under device_holders. The callbacks of what lies below find a holder that is whole. */
static void set_holder(struct dax_device *dax, void *holder, const struct dax_holder_ops *ops)
{
	dax->holder = holder;
	dax->holder_ops = *ops;
	for (size_t i = 0; i < dax->nlinks; i++)
		set_holder(dax->links[i].lower, &dax->links[i], &stack_holder_ops);
	gate_open(&dax->held);
}

PGMAP_PUBLIC int dax_hold(struct dax_device *dax, void *holder, const struct dax_holder_ops *ops)
{
	if (!dax || !holder || !ops || ops->ops_bytes != sizeof(*ops))
		return -EINVAL;
	(void)pthread_mutex_lock(&device_holders);
	int err = check_free(dax);
	if (!err)
		set_holder(dax, holder, ops);
	(void)pthread_mutex_unlock(&device_holders);
	return err;
}

static void shut_held(struct dax_device *dax)
{
	for (size_t i = 0; i < dax->nlinks; i++)
		shut_held(dax->links[i].lower);
	gate_shut(&dax->held);
}

static void forget_holder(struct dax_device *dax)
{
	for (size_t i = 0; i < dax->nlinks; i++)
		forget_holder(dax->links[i].lower);
	dax->holder = NULL;
	dax->releasing = false;
}

PGMAP_PUBLIC int dax_release(struct dax_device *dax, void *holder)
{
	if (!dax || !holder)
		return -EINVAL;
	(void)pthread_mutex_lock(&device_holders);
	bool mine = dax->holder == holder && !dax->releasing;
	dax->releasing = dax->releasing || mine;
	(void)pthread_mutex_unlock(&device_holders);
	if (!mine)
		return -EINVAL;
	shut_held(dax);
	(void)pthread_mutex_lock(&device_holders);
	forget_holder(dax);
	(void)pthread_mutex_unlock(&device_holders);
	return 0;
}

void device_tell(struct dax_device *dax, enum dax_failure what, uint64_t pgoff, uint64_t npages)
{
	if (!gate_enter(&dax->held))
		return;
	if (dax->holder_ops.notify_failure)
		dax->holder_ops.notify_failure(dax->holder, what, pgoff, npages);
	gate_leave(&dax->held);
}

void device_die(struct dax_device *dax)
{
	/* Under the lock: who comes to hold it either finds it dead, or is told. */
	(void)pthread_mutex_lock(&device_holders);
	bool first = !atomic_exchange_explicit(&dax->dead, true, memory_order_acq_rel);
	bool tell = first && gate_enter(&dax->held);
	(void)pthread_mutex_unlock(&device_holders);
	if (!tell)
		return;
	if (dax->holder_ops.notify_failure)
		dax->holder_ops.notify_failure(dax->holder, DAX_FAILURE_DEAD, 0, dax->npages);
	gate_leave(&dax->held);
}

/* Under device_tree: accesses of the stacks above may be on their way through here. */
static void wait_out_uppers(const struct dax_device *dax)
{
	struct link *link;
	LIST_FOREACH (link, &dax->uppers, above) {
		gate_wait_out(&link->upper->access);
		wait_out_uppers(link->upper);
	}
}

PGMAP_PUBLIC int dax_kill(struct dax_device *dax)
{
	if (!dax)
		return -EINVAL;
	device_die(dax);
	gate_shut(&dax->access);
	(void)pthread_mutex_lock(&device_tree);
	wait_out_uppers(dax);
	(void)pthread_mutex_unlock(&device_tree);
	return 0;
}

/* A stack lives as long as any part of it. */
PGMAP_PUBLIC int dax_alive(const struct dax_device *dax)
{
	if (device_is_dead(dax))
		return 0;
	for (size_t i = 0; i < dax->nlinks; i++) {
		if (dax_alive(dax->links[i].lower))
			return 1;
	}
	return dax->nlinks == 0;
}

PGMAP_PUBLIC uint64_t dax_npages(const struct dax_device *dax)
{
	return dax->npages;
}

PGMAP_PUBLIC unsigned dax_granule_order(const struct dax_device *dax)
{
	return dax->granule_order;
}

PGMAP_PUBLIC unsigned dax_granule_order_at(const struct dax_device *dax, uint64_t pgoff)
{
	while (dax->nlinks && pgoff < dax->npages) {
		struct place place;
		dax->ops->locate(dax, pgoff, 1, &place);
		dax = place.dax;
		pgoff = place.pgoff;
	}
	return dax->granule_order;
}

PGMAP_PUBLIC const char *dax_name(const struct dax_device *dax)
{
	return dax->name;
}
