/* SPDX-License-Identifier: BSD-3-Clause */
/* granule.c - see granule.h. */
#include "fs/granule.h"

unsigned granule_at(const struct places *places, struct extents *extents, uint64_t page)
{
	const struct block *block = places_mixed(places) ? block_covering(&extents->tree, page) : NULL;
	return block ? places_granule(places, block->off) : places->granule_order;
}

uint64_t granule_end(const struct places *places, struct extents *extents, uint64_t page)
{
	if (!places_mixed(places))
		return page;
	uint64_t granule = UINT64_C(1) << granule_at(places, extents, page);
	return page % granule ? page - page % granule + granule : page;
}

uint64_t granule_file_end(const struct places *places, struct extents *extents, uint64_t npages)
{
	const struct block *last = places_mixed(places) ? block_last(&extents->tree) : NULL;
	return last && block_end(last) > npages ? block_end(last) : npages;
}

static unsigned find_order(const struct places *places, struct extents *extents)
{
	unsigned order = places->granule_order, here;
	for (struct block *block = block_first(&extents->tree); block; block = block_next(block)) {
		here = places_granule(places, block->off);
		order = here > order ? here : order;
	}
	return order;
}

unsigned granule_order(const struct places *places, struct extents *extents)
{
	if (!places_mixed(places))
		return places->granule_order;
	if (!extents->granule_known) {
		extents->granule_order = find_order(places, extents);
		extents->granule_known = true;
	}
	return extents->granule_order;
}

void granule_stat(const struct places *places, struct inode *inode, struct fsdax_stat *out)
{
	inode_stat(inode, out);
	out->granule_order = granule_order(places, &inode->extents);
}
