/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * layout.h - which folios can lie where on a device, for who gives its pages out (fs).
 *
 * A device is a row of segments. In one, every naturally aligned block of up to 2^max_order pages lies on one memory, one
 * page after the other, where page p counts as number first + (p - pgoff): that is its number in the pgmap but for a
 * multiple of 2^max_order. So whoever numbers a segment's pages from a number congruent to `first` on has alignment in
 * these numbers where the pgmap has it.
 *
 * Thread safety: what is asked does not change while the device is there; who asks has the list to itself.
 */
#ifndef PGMAP_DAX_LAYOUT_H
#define PGMAP_DAX_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

struct dax_device;

struct segment {
	uint64_t pgoff, npages; /* of the device */
	uint64_t first;
	unsigned max_order;
	unsigned granule_order;
};

struct segments {
	struct segment *at; /* ascending */
	size_t n, room;
};

/* layout_of - the segments of a device, appended. -ENOMEM. layout_end - forget them. */
int layout_of(struct dax_device *dax, struct segments *out);
void layout_end(struct segments *segments);

/* segments_add - one more. -ENOMEM. */
int segments_add(struct segments *segments, const struct segment *segment);

#endif
