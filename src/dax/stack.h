/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stack.h - what all stacks of devices share, for the files of this floor: their parts, accesses that are handed down piece
 * by piece, and callbacks that are handed up. See device.h for the locks.
 */
#ifndef PGMAP_DAX_STACK_H
#define PGMAP_DAX_STACK_H

#include "dax/device.h"
#include "dax/layout.h"

/* The holder of a stack's parts: each link, for the stack's own holder. */
extern const struct dax_holder_ops stack_holder_ops;

/*
 * stack_init - a device over these parts; its pages are theirs, one part after the other. Then stack_settle(), once the kind
 * knows how its pages lie on them: checks what depends on it. Until then nobody below knows of it, and stack_free() ends it.
 * Both under device_tree, which is kept from the one to the other: parts of the parts neither come nor go in between.
 * room: so many links more can be added later. -EINVAL no parts, null, one that is empty or misaligned, a device twice, or one
 * that has lost parts; -ERANGE, -ENXIO dead, -ENOMEM.
 */
int stack_init(struct dax_device *dax, const struct dax_ops *ops, const struct dax_part *parts, size_t nparts,
	       size_t room, const char *name);
int stack_settle(struct dax_device *dax);
void stack_free(struct dax_device *dax);

/* Under device_tree, all three.
 * stack_make_link - the link to one more part, behind the others: nothing has changed yet. Errors as above.
 * stack_check_link - that it is whole granules of what it lies on: -EINVAL, -ENOMEM.
 * stack_count_link - it is the stack's, and counted. */
int stack_make_link(struct dax_device *dax, const struct dax_part *part, struct link *out);
int stack_check_link(const struct link *link);
void stack_count_link(struct dax_device *dax, const struct link *link);

/* stack_make - for kinds with one part, and the whole of it: all of that, the lock included. bytes: of the kind's struct. */
int stack_make(size_t bytes, const struct dax_ops *ops, struct dax_device *lower, const char *name,
	       struct dax_device **out);
/* Where their pages lie, and an access of them: as the part says. */
void stack_locate_whole(const struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct place *out);
int64_t stack_access_whole(struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct dax_span *span);

/* stack_stands_on - it is the other one, or has it below, at any depth. Under device_tree. */
bool stack_stands_on(const struct dax_device *dax, const struct dax_device *lower);

/* stack_unlink - it is going: its parts forget it. Under device_tree. */
void stack_unlink(struct dax_device *dax);

/* stack_io - ops.io of a stack: piece by piece in ascending order. */
int64_t stack_io(struct dax_device *dax, const struct io *io);
/* stack_raise - ops.raise where the parts lie one after the other. */
uint64_t stack_raise(const struct link *link, uint64_t *pgoff, uint64_t npages);

/* layout_of_part - the segments of a part, by its own pages (layout.c). */
int layout_of_part(const struct link *link, struct segments *out);

#endif
