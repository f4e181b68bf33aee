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

static int64_t gap_direct_access(struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct dax_span *span)
{
	(void)dax, (void)pgoff, (void)npages, (void)span;
	return -ENXIO;
}

static int64_t gap_io(struct dax_device *dax, const struct io *io)
{
	(void)dax, (void)io;
	return -ENXIO;
}

static int gap_lay_out(struct dax_device *dax, struct segments *out)
{
	(void)dax, (void)out;
	return 0;
}

static const struct dax_ops gap_ops = {.direct_access = gap_direct_access, .io = gap_io, .lay_out = gap_lay_out};
struct dax_device device_gap = {.ops = &gap_ops, .dead = true};

void device_init(struct dax_device *dax, const struct dax_ops *ops, const char *name)
{
	dax->ops = ops;
	LIST_INIT(&dax->uppers);
	gate_init(&dax->access, false);
	gate_init(&dax->aside, false);
	gate_init(&dax->held, true);
	(void)snprintf(dax->name, sizeof(dax->name), "%s", name);
}

void device_exit(struct dax_device *dax)
{
	gate_exit(&dax->access);
	gate_exit(&dax->aside);
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
	unsigned slot;
	if (!dax || !span || npages <= 0)
		return -EINVAL;
	if (pgoff >= dax->npages)
		return -ERANGE;
	if (!gate_enter(&dax->access, &slot))
		return -ENXIO;
	int64_t n = device_access(dax, pgoff, (uint64_t)npages, span);
	gate_leave(&dax->access, slot);
	return n;
}

int device_check_free(const struct dax_device *dax, bool all_alive)
{
	if (all_alive && device_is_dead(dax))
		return -ENXIO;
	int err = dax->holder ? -EBUSY : 0;
	for (size_t i = 0; i < dax->nlinks && !err; i++)
		err = link_is_gap(&dax->links[i]) ? 0 : device_check_free(dax->links[i].lower, all_alive);
	return err;
}

/* The callbacks of what lies below find a holder that is whole. */
void device_set_holder(struct dax_device *dax, void *holder, const struct dax_holder_ops *ops)
{
	dax->holder = holder;
	dax->holder_ops = *ops;
	for (size_t i = 0; i < dax->nlinks; i++) {
		if (!link_is_gap(&dax->links[i]))
			device_set_holder(dax->links[i].lower, &dax->links[i], &stack_holder_ops);
	}
	gate_open(&dax->held);
}

PGMAP_PUBLIC int dax_hold(struct dax_device *dax, void *holder, const struct dax_holder_ops *ops)
{
	if (!dax || !holder || !ops || ops->ops_bytes != sizeof(*ops))
		return -EINVAL;
	(void)pthread_mutex_lock(&device_holders);
	int err = device_check_free(dax, true);
	if (!err)
		device_set_holder(dax, holder, ops);
	(void)pthread_mutex_unlock(&device_holders);
	return err;
}

void device_shut_held(struct dax_device *dax)
{
	for (size_t i = 0; i < dax->nlinks; i++) {
		if (!link_is_gap(&dax->links[i]))
			device_shut_held(dax->links[i].lower);
	}
	gate_shut(&dax->held);
}

void device_forget_holder(struct dax_device *dax)
{
	for (size_t i = 0; i < dax->nlinks; i++) {
		if (!link_is_gap(&dax->links[i]))
			device_forget_holder(dax->links[i].lower);
	}
	dax->holder = NULL;
	dax->releasing = false;
}

/* Under device_tree. */
static int release(struct dax_device *dax, const void *holder)
{
	(void)pthread_mutex_lock(&device_holders);
	bool mine = dax->holder == holder && !dax->releasing;
	dax->releasing = dax->releasing || mine;
	(void)pthread_mutex_unlock(&device_holders);
	if (!mine)
		return -EINVAL;
	device_shut_held(dax);
	(void)pthread_mutex_lock(&device_holders);
	device_forget_holder(dax);
	(void)pthread_mutex_unlock(&device_holders);
	return 0;
}

PGMAP_PUBLIC int dax_release(struct dax_device *dax, void *holder)
{
	if (!dax || !holder)
		return -EINVAL;
	(void)pthread_mutex_lock(&device_tree);
	int err = release(dax, holder);
	(void)pthread_mutex_unlock(&device_tree);
	return err;
}

void device_tell(struct dax_device *dax, enum dax_failure what, uint64_t pgoff, uint64_t npages)
{
	unsigned slot;
	if (!gate_enter(&dax->held, &slot))
		return;
	if (dax->holder_ops.notify_failure)
		dax->holder_ops.notify_failure(dax->holder, what, pgoff, npages);
	gate_leave(&dax->held, slot);
}

void device_die(struct dax_device *dax)
{
	unsigned slot;
	/* Under the lock: who comes to hold it either finds it dead, or is told. */
	(void)pthread_mutex_lock(&device_holders);
	bool first = !atomic_exchange_explicit(&dax->dead, true, memory_order_acq_rel);
	bool tell = first && gate_enter(&dax->held, &slot);
	(void)pthread_mutex_unlock(&device_holders);
	if (!tell)
		return;
	if (dax->holder_ops.notify_failure)
		dax->holder_ops.notify_failure(dax->holder, DAX_FAILURE_DEAD, 0, dax->npages);
	gate_leave(&dax->held, slot);
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
bool device_is_alive(const struct dax_device *dax)
{
	if (device_is_dead(dax))
		return false;
	for (size_t i = 0; i < dax->nlinks; i++) {
		if (device_is_alive(dax->links[i].lower))
			return true;
	}
	return dax->nlinks == 0;
}

PGMAP_PUBLIC int dax_alive(const struct dax_device *dax)
{
	if (device_is_dead(dax))
		return 0;
	if (!dax->links)
		return 1;
	(void)pthread_mutex_lock(&device_holders);
	bool alive = device_is_alive(dax);
	(void)pthread_mutex_unlock(&device_holders);
	return alive;
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
	(void)pthread_mutex_lock(&device_holders);
	while (dax->ops->locate && pgoff < dax->npages) {
		struct place place;
		dax->ops->locate(dax, pgoff, 1, &place);
		if (place.dax == &device_gap)
			break;
		dax = place.dax;
		pgoff = place.pgoff;
	}
	unsigned order = dax->granule_order;
	(void)pthread_mutex_unlock(&device_holders);
	return order;
}

PGMAP_PUBLIC const char *dax_name(const struct dax_device *dax)
{
	return dax->name;
}
