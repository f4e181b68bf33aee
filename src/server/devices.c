/* SPDX-License-Identifier: BSD-3-Clause */
/* devices.c - the devices of a pool, opened, stacked and leased together. See devices.h. */
#include "server/devices.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <pgmap/pgmap.h>

/* Half of the memory that is available, in whole 2 MiB. */
static int default_spec(char *spec, size_t spec_bytes)
{
	unsigned long long kib = 0;
	char line[128];
	FILE *meminfo = fopen("/proc/meminfo", "re");
	if (!meminfo)
		return -errno;
	while (fgets(line, sizeof(line), meminfo) && sscanf(line, "MemAvailable: %llu kB", &kib) != 1)
		kib = 0;
	(void)fclose(meminfo);
	unsigned long long mib = kib / 1024 / 2 / 2 * 2;
	if (!mib)
		return -ENOMEM;
	(void)snprintf(spec, spec_bytes, "memfd:size=%lluM", mib);
	return 0;
}

static int refuse(char why[DEV_WHY_MAX], int err, const char *clause)
{
	(void)snprintf(why, DEV_WHY_MAX, "%s", clause ? clause : strerror(-err));
	return err;
}

void devices_put(struct devices *devices, unsigned i, const struct opened *opened)
{
	devices->dev[i] = opened->dev;
	devices->base[i] = opened->base;
	devices->memory[i] = opened->memory;
	devices->gone[i] = devices->leaving[i] = false;
	if (i >= devices->n)
		devices->n = i + 1;
	devices->generation++;
}

void devices_take(struct devices *devices, unsigned i, struct opened *out)
{
	*out = (struct opened){devices->dev[i], devices->base[i], devices->memory[i]};
	devices->dev[i] = NULL;
	devices->base[i] = NULL;
	devices->memory[i] = NULL;
	devices->ngone -= devices->gone[i];
	devices->gone[i] = devices->leaving[i] = false;
	while (devices->n && !devices->dev[devices->n - 1])
		devices->n--;
	devices->generation++;
}

/* Somebody has it: this pool? */
static void look_for_twice(const struct devices *devices, const char *spec, char why[DEV_WHY_MAX])
{
	for (unsigned i = 0; i < devices->n; i++)
		if (devices->dev[i] && dev_is(devices->dev[i], spec))
			(void)snprintf(why, DEV_WHY_MAX, "this pool has it already, as %s", devices->dev[i]->spec);
}

static int add_device(struct devices *devices, const char *spec, char why[DEV_WHY_MAX])
{
	struct opened opened;
	int err = opened_look(spec, NULL, &opened, why);
	if (err == -EBUSY)
		look_for_twice(devices, spec, why);
	if (!err)
		devices_put(devices, devices->n, &opened);
	return err;
}

static int parse_layout(const char *layout, uint64_t *chunk_pages)
{
	uint64_t bytes;
	*chunk_pages = 0;
	if (!layout || strcmp(layout, "linear") == 0)
		return 0;
	if (strncmp(layout, "stripe:", 7) != 0 || dev_parse_size(layout + 7, &bytes) || !bytes ||
	    bytes % PGMAP_PAGE_SIZE)
		return -EINVAL;
	*chunk_pages = bytes >> PGMAP_PAGE_SHIFT;
	return 0;
}

static unsigned find_granule(const struct devices *devices)
{
	unsigned order = devices->dev[0]->granule_order;
	for (unsigned i = 1; i < devices->n; i++)
		if (devices->dev[i]->granule_order < order)
			order = devices->dev[i]->granule_order;
	return devices->striped ? dax_granule_order(devices->dax) : order;
}

/* Why the devices cannot take turns, in chunks of so many pages; 0: they can. */
static int check_stripe(const struct devices *devices, uint64_t chunk_pages, char why[DEV_WHY_MAX])
{
	uint64_t chunk_bytes = chunk_pages << PGMAP_PAGE_SHIFT, first_bytes = devices->dev[0]->size_bytes;
	for (unsigned i = 0; i < devices->n; i++) {
		const struct dev *dev = devices->dev[i];
		uint64_t granule_bytes = PGMAP_PAGE_SIZE << dev->granule_order;
		int n = 0;
		if (chunk_bytes % granule_bytes)
			n = snprintf(why, DEV_WHY_MAX,
				     "a chunk of %" PRIu64 " bytes is not whole pages of %.120s, %" PRIu64, chunk_bytes,
				     dev->spec, granule_bytes);
		else if (dev->size_bytes != first_bytes)
			n = snprintf(why, DEV_WHY_MAX,
				     "a stripe's devices have one size: %.80s has %" PRIu64 " bytes, %.80s %" PRIu64,
				     devices->dev[0]->spec, first_bytes, dev->spec, dev->size_bytes);
		else if (dev->size_bytes % chunk_bytes)
			n = snprintf(why, DEV_WHY_MAX,
				     "%.120s has %" PRIu64 " bytes, which is not whole chunks of %" PRIu64, dev->spec,
				     dev->size_bytes, chunk_bytes);
		if (n)
			return -EINVAL;
	}
	return 0;
}

static int stack(struct devices *devices, uint64_t chunk_pages, char why[DEV_WHY_MAX])
{
	struct dax_part parts[PROTO_DEVICES_MAX];
	devices->striped = chunk_pages;
	if (devices->n == 1 && devices->striped) {
		devices->dax = devices->memory[0];
		return 0;
	}
	for (unsigned i = 0; i < devices->n; i++)
		parts[i] = (struct dax_part){.dax = devices->memory[i]};
	int err = chunk_pages ? dax_create_stripe(parts, devices->n, chunk_pages, "pool", &devices->dax)
			      : dax_create_linear(parts, devices->n, "pool", &devices->dax);
	return err ? refuse(why, err, NULL) : 0;
}

static int begin_all(struct devices *devices, unsigned *which, char why[DEV_WHY_MAX])
{
	unsigned all = *which;
	int err = 0;
	for (unsigned i = 0; i < devices->n && !err; i++) {
		struct opened opened = {.dev = devices->dev[i]};
		*which = i;
		err = opened_begin(&opened, why);
		devices->base[i] = opened.base;
		devices->memory[i] = opened.memory;
	}
	*which = err ? *which : all;
	return err;
}

static int open_all(struct devices *devices, const char *const specs[], unsigned n, const char *layout, unsigned *which,
		    char why[DEV_WHY_MAX])
{
	uint64_t chunk_pages;
	char chosen[DEV_SPEC_MAX];
	const char *only = chosen;
	*which = n;
	if (n > PROTO_DEVICES_MAX)
		return refuse(why, -E2BIG, "too many devices for one pool");
	if (parse_layout(layout, &chunk_pages)) {
		(void)snprintf(why, DEV_WHY_MAX,
			       "the layout '%.40s' is neither linear nor stripe:SIZE, SIZE a multiple of 4K", layout);
		return -EINVAL;
	}
	int err = n ? 0 : default_spec(chosen, sizeof(chosen));
	if (err)
		return refuse(why, err, NULL);
	*which = 0;
	do {
		err = add_device(devices, n ? specs[*which] : only, why);
	} while (!err && ++*which < n);
	if (!err && chunk_pages)
		err = check_stripe(devices, chunk_pages, why);
	if (!err)
		err = begin_all(devices, which, why);
	if (!err)
		err = stack(devices, chunk_pages, why);
	if (!err)
		devices->granule_order = find_granule(devices);
	return err;
}

int devices_open(struct devices *devices, const char *const specs[], unsigned n, const char *layout, unsigned *which,
		 char why[DEV_WHY_MAX])
{
	memset(devices, 0, sizeof(*devices));
	why[0] = 0;
	int err = open_all(devices, specs, n, layout, which, why);
	if (err)
		(void)devices_close(devices);
	return err;
}

void devices_stay(struct devices *devices)
{
	for (unsigned i = 0; i < devices->n; i++)
		dev_stays(devices->dev[i]);
}

int devices_close(struct devices *devices)
{
	int err = devices->dax != devices->memory[0] ? dax_destroy(devices->dax) : 0;
	if (err)
		return err;
	devices->dax = NULL;
	for (unsigned i = 0; i < devices->n; i++) {
		err = dax_destroy(devices->memory[i]);
		if (err)
			return err;
		devices->memory[i] = NULL;
	}
	while (devices->n) {
		struct opened opened;
		devices_take(devices, devices->n - 1, &opened);
		(void)opened_close(&opened);
	}
	return 0;
}

unsigned devices_count(const struct devices *devices)
{
	unsigned count = 0;
	for (unsigned i = 0; i < devices->n; i++)
		count += devices->dev[i] != NULL;
	return count;
}

/* The first of them that there is, from i on; or n. */
static unsigned next(const struct devices *devices, unsigned i)
{
	while (i < devices->n && !devices->dev[i])
		i++;
	return i;
}

/* NOLINTNEXTLINE(bugprone-macro-parentheses): i is declared here */
#define FOR_EACH(devices, i) for (unsigned i = next(devices, 0); (i) < (devices)->n; (i) = next(devices, (i) + 1))

enum dev_access devices_access(const struct devices *devices)
{
	enum dev_access access = DEV_ACCESS_SYNC;
	FOR_EACH (devices, i)
		if (devices->dev[i]->access < access)
			access = devices->dev[i]->access;
	return access;
}

enum dev_persistence devices_persistence(const struct devices *devices)
{
	enum dev_persistence persistence = DEV_PERSIST_BYTE;
	FOR_EACH (devices, i)
		if (devices->dev[i]->persistence < persistence)
			persistence = devices->dev[i]->persistence;
	return persistence;
}

void devices_name(const struct devices *devices, char *text, size_t text_bytes)
{
	size_t at = 0;
	FOR_EACH (devices, i) {
		if (at < text_bytes)
			at += (size_t)snprintf(text + at, text_bytes - at, "%s%s%s", at ? ", " : "",
					       devices->dev[i]->spec, devices->gone[i] ? " (gone)" : "");
	}
}

static struct pgmap *pgmap_of(const struct devices *devices, unsigned i)
{
	return dax_pgmap(devices->memory[i]);
}

void devices_kill(const struct devices *devices)
{
	FOR_EACH (devices, i)
		(void)pgmap_kill(pgmap_of(devices, i));
}

int devices_revive(const struct devices *devices)
{
	int err = 0;
	FOR_EACH (devices, i) {
		if (!err && !devices->leaving[i])
			err = pgmap_revive(pgmap_of(devices, i));
	}
	return err;
}

/* What is DYING comes to hold no more than it does, so none of them is held again after it was looked at. One that leaves a pool
 * that lives is DYING as well: it is no drain's. */
int devices_drain(const struct devices *devices)
{
	int err = 0;
	if (devices_state(devices) == PGMAP_LIVE)
		return -EINVAL;
	if (devices->n > 1 && devices_state(devices) == PGMAP_DYING && devices_live_pages(devices))
		return -ETIMEDOUT;
	FOR_EACH (devices, i) {
		if (!err)
			err = pgmap_drain(pgmap_of(devices, i), 0);
	}
	return err;
}

enum pgmap_state devices_state(const struct devices *devices)
{
	FOR_EACH (devices, i) {
		if (!devices->leaving[i])
			return pgmap_state(pgmap_of(devices, i));
	}
	return PGMAP_DEAD; /* there always is one */
}

uint64_t devices_held_pages(const struct devices *devices, unsigned i)
{
	return pgmap_live_pages(pgmap_of(devices, i));
}

uint64_t devices_live_pages(const struct devices *devices)
{
	uint64_t pages = 0;
	FOR_EACH (devices, i)
		pages += pgmap_live_pages(pgmap_of(devices, i));
	return pages;
}

void devices_for_each_held(const struct devices *devices, int (*fn)(const struct pgmap_held *held, void *arg),
			   void *arg)
{
	FOR_EACH (devices, i)
		(void)pgmap_for_each_held(pgmap_of(devices, i), fn, arg);
}

static int open_each(const struct devices *devices, int (*open)(struct dev *dev, uint64_t byte, bool write),
		     uint64_t byte, bool write, int fds[])
{
	unsigned n = 0;
	FOR_EACH (devices, i) {
		fds[n] = open(devices->dev[i], byte, write);
		if (fds[n] < 0) {
			int err = fds[n];
			while (n--)
				(void)close(fds[n]);
			return err;
		}
		n++;
	}
	return 0;
}

int devices_open_lease(const struct devices *devices, uint64_t byte, bool write, int fds[])
{
	return open_each(devices, dev_open_lease, byte, write, fds);
}

int devices_join_lease(const struct devices *devices, uint64_t byte, bool write, int fds[])
{
	return open_each(devices, dev_join_lease, byte, write, fds);
}

int devices_check(struct devices *devices)
{
	FOR_EACH (devices, i) {
		if (!devices->gone[i] && dev_check(devices->dev[i]) != 0) {
			devices->gone[i] = true;
			devices->ngone++;
			(void)dax_kill(devices->memory[i]);
			return (int)i;
		}
	}
	return -1;
}

bool devices_all_gone(const struct devices *devices)
{
	return devices->ngone == devices_count(devices);
}

bool devices_some_stay(const struct devices *devices)
{
	FOR_EACH (devices, i)
		if (!devices->gone[i] && !devices->leaving[i])
			return true;
	return false;
}

bool devices_is_going(const struct devices *devices, const struct pgmap *pgmap)
{
	FOR_EACH (devices, i)
		if ((devices->gone[i] || devices->leaving[i]) && dax_pgmap(devices->memory[i]) == pgmap)
			return true;
	return false;
}

bool devices_have(const struct devices *devices, const char *spec)
{
	/* Of these, each is another one, in whatever words. */
	if (strncmp(spec, "memfd:", 6) == 0 || strncmp(spec, "hugetlb:", 8) == 0)
		return false;
	FOR_EACH (devices, i)
		if (dev_is(devices->dev[i], spec))
			return true;
	return false;
}

int devices_lease_probe(const struct devices *devices, uint64_t byte)
{
	int fallen = 1;
	FOR_EACH (devices, i) {
		if (fallen == 1)
			fallen = dev_lease_probe(devices->dev[i], byte);
	}
	return fallen;
}

int devices_waiter(const struct devices *devices, unsigned i)
{
	return i < devices->n && devices->dev[i] ? dev_lease_waiter(devices->dev[i]) : -ENOENT;
}

static int add_pages(uint64_t pgoff, uint64_t npages, void *arg)
{
	(void)pgoff;
	*(uint64_t *)arg += npages;
	return 0;
}

uint64_t devices_bad_pages(const struct devices *devices, unsigned i)
{
	uint64_t pages = 0;
	(void)pgmap_for_each_poisoned(pgmap_of(devices, i), add_pages, &pages);
	return pages;
}
