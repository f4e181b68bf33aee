/* SPDX-License-Identifier: BSD-3-Clause */
/* where.c - see where.h: the way down through a stack, with no gate and no answer but where. */
#include "dax/where.h"

#include "dax/memory.h"

void where_is(struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct where *out)
{
	struct place place = {dax, pgoff, dax->npages - pgoff < npages ? dax->npages - pgoff : npages};
	bool dead = device_is_dead(dax);
	while (!memory_is(place.dax)) {
		place.dax->ops->locate(place.dax, place.pgoff, place.npages, &place);
		dead = dead || device_is_dead(place.dax);
	}
	*out = (struct where){place.dax, place.pgoff, place.npages, dead};
}

void where_span(const struct dax_device *memory, uint64_t pgoff, uint64_t npages, struct dax_span *out)
{
	memory_span(memory, pgoff, npages, out);
}

int where_each_memory(struct dax_device *dax, int (*fn)(const struct dax_device *memory, void *arg), void *arg)
{
	int err = 0;
	if (memory_is(dax))
		return fn(dax, arg);
	for (size_t i = 0; i < dax->nlinks && !err; i++)
		err = link_is_gap(&dax->links[i]) ? 0 : where_each_memory(dax->links[i].lower, fn, arg);
	return err;
}
