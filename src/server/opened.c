/* SPDX-License-Identifier: BSD-3-Clause */
/* opened.c - see opened.h. */
#include "server/opened.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <pgmap/pgmap.h>

static int refuse(char why[DEV_WHY_MAX], int err, const char *clause)
{
	(void)snprintf(why, DEV_WHY_MAX, "%s", clause ? clause : strerror(-err));
	return err;
}

/* The device's memory in this process, and the DAX device on it. */
static int make_memory(struct opened *opened, char why[DEV_WHY_MAX])
{
	struct dev *dev = opened->dev;
	/* Only what was populated is touched through it, so nothing need be reserved for it. */
	int shared = dev->access == DEV_ACCESS_SYNC ? MAP_SHARED_VALIDATE | MAP_SYNC : MAP_SHARED;
	void *base = mmap(NULL, dev->size_bytes, PROT_READ | PROT_WRITE, shared | MAP_NORESERVE, dev->fd, 0);
	if (base == MAP_FAILED) {
		int err = -errno;
		(void)snprintf(why, DEV_WHY_MAX, "cannot be mapped here: %s%s", strerror(-err),
			       err == -ENOMEM ? " (give a smaller one, or raise ulimit -v)" : "");
		return err;
	}
	opened->base = base;
	(void)madvise(base, dev->size_bytes, MADV_DONTFORK);
	(void)madvise(base, dev->size_bytes, MADV_DONTDUMP);
	const struct dax_params params = {
		.params_bytes = sizeof(params),
		.type = dev->type,
		.len_bytes = dev->size_bytes,
		.addr = base,
		.fd = dev->fd,
		.granule_order = dev->granule_order,
		.ops = dev->ops,
		.ctx = dev,
		.name = dev->kind->name,
		.resident = dev->resident,
		.pieces_bytes = dev->pieces_bytes,
		.npieces = dev->npieces,
	};
	return dax_create(&params, &opened->memory);
}

static int nothing(uint64_t offset_bytes, uint64_t len_bytes, void *arg)
{
	(void)offset_bytes;
	(void)len_bytes;
	(void)arg;
	return 0;
}

/* What is on it is told later (badblocks_read()), when there is memory to tell it of. */
static int check_bad_list(const struct dev *dev, char why[DEV_WHY_MAX])
{
	int err = dev_for_each_bad(dev, nothing, NULL);
	if (err)
		(void)snprintf(why, DEV_WHY_MAX, "has bad blocks, and which pages these are cannot be read: %s",
			       strerror(-err));
	return err;
}

int opened_look(const char *spec, const struct dev_own *own, struct opened *out, char why[DEV_WHY_MAX])
{
	*out = (struct opened){0};
	int err = dev_look(spec, own, &out->dev, why);
	if (err)
		return why[0] ? err : refuse(why, err, NULL);
	if (!out->dev->type)
		err = refuse(why, -EOPNOTSUPP,
			     "is LIMITED: who maps a file holds folios, and it has none, so no pool can lie on it");
	else
		err = check_bad_list(out->dev, why);
	if (err)
		(void)opened_close(out);
	return err;
}

int opened_begin(struct opened *opened, char why[DEV_WHY_MAX])
{
	why[0] = 0;
	int err = dev_drop(opened->dev, why);
	if (!err)
		err = make_memory(opened, why);
	return err && !why[0] ? refuse(why, err, NULL) : err;
}

int opened_close(struct opened *opened)
{
	int err = dax_destroy(opened->memory);
	if (err)
		return err;
	if (opened->base)
		(void)munmap(opened->base, opened->dev->size_bytes);
	dev_close(opened->dev);
	*opened = (struct opened){0};
	return 0;
}

/* Halves again and again, down to the granule that cannot be written; each half is done twice at most. */
static void discard(struct dax_device *dax, uint64_t pgoff, uint64_t npages, uint64_t granule_pages)
{
	if (dax_discard(dax, pgoff, npages) != -EIO || npages <= granule_pages)
		return;
	uint64_t half = (npages / granule_pages + 1) / 2 * granule_pages;
	discard(dax, pgoff, half, granule_pages);
	discard(dax, pgoff + half, npages - half, granule_pages);
}

void opened_discard(const struct opened *opened)
{
	discard(opened->memory, 0, dax_npages(opened->memory), UINT64_C(1) << opened->dev->granule_order);
}
