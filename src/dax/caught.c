/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * caught.c - memory errors that this process is told of, or meets where nothing guards it: from an address to a device and its
 * pages, which are recorded as bad before anybody is told (c6.5). See caught.h, port/errors.h.
 *
 * Few devices are mapped in a process, and errors are rare: a list.
 */
#include "dax/caught.h"

#include <errno.h>

#include "dax/memory.h"
#include "port/compiler.h"
#include "port/errors.h"

static pthread_mutex_t caught_lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, dax_device) known = LIST_HEAD_INITIALIZER(known);
static dax_caught_fn *tell;
static void *tell_arg;

void caught_add(struct dax_device *dax)
{
	(void)pthread_mutex_lock(&caught_lock);
	LIST_INSERT_HEAD(&known, dax, mapped);
	(void)pthread_mutex_unlock(&caught_lock);
}

int caught_end(struct dax_device *dax, int (*fn)(struct dax_device *dax))
{
	(void)pthread_mutex_lock(&caught_lock);
	int err = fn(dax);
	if (!err)
		LIST_REMOVE(dax, mapped);
	(void)pthread_mutex_unlock(&caught_lock);
	return err;
}

/* The errors' thread. An address can be in several devices, where programs map one twice: each of them has lost it. */
static void attribute(const struct guard_fault *fault)
{
	struct dax_caught caught = {.addr = fault->from, .len_bytes = fault->len_bytes};
	struct dax_device *dax;
	bool found = false;
	(void)pthread_mutex_lock(&caught_lock);
	LIST_FOREACH (dax, &known, mapped) {
		if (!memory_find(dax, fault->from, fault->len_bytes, &caught.pgoff, &caught.npages))
			continue;
		found = true;
		caught.dax = dax;
		(void)memory_found_bad(dax, caught.pgoff, caught.npages);
		if (tell)
			tell(tell_arg, &caught);
	}
	if (!found && tell)
		tell(tell_arg, &caught);
	(void)pthread_mutex_unlock(&caught_lock);
}

PGMAP_PUBLIC int dax_catch_errors(dax_caught_fn *fn, void *arg)
{
	(void)pthread_mutex_lock(&caught_lock);
	tell = fn;
	tell_arg = arg;
	(void)pthread_mutex_unlock(&caught_lock);
	return errors_listen(attribute);
}
