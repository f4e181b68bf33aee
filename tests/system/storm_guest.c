/* SPDX-License-Identifier: BSD-3-Clause */
/* storm_guest.c - a device that comes and goes in the kill storm: added, told to go, called back, whoever has pages there. */
#include "storm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include <pgmap/client.h>

static void add(struct storm_guest *guest, struct storm_table *table, struct pgmap_client *pool, uint64_t random)
{
	char spec[64], why[PGMAP_WHY_MAX];
	guest->pages = 16 + random % 500;
	(void)snprintf(spec, sizeof(spec), "memfd:size=%" PRIu64 "K,page=4K", guest->pages * PAGE / 1024);
	int err = pgmap_device_add(pool, spec, &guest->number, why);
	guest->there = err == 0;
	guest->came += guest->there;
	if (err)
		storm_found(table, FOUND_ERROR, "a device cannot be added: %d: %s", err, why);
}

void storm_guest_remove(struct storm_guest *guest, struct storm_table *table, struct pgmap_client *pool,
			int64_t timeout_ms)
{
	char why[PGMAP_WHY_MAX];
	int err = pgmap_device_remove(pool, guest->number, NULL, timeout_ms, why);
	if (err == -ENOENT && guest->leaving)
		err = 0; /* by itself, meanwhile */
	guest->there = err != 0;
	guest->leaving = err == -ETIMEDOUT;
	guest->left += err == 0;
	if (err && err != -ETIMEDOUT && err != -ENOTEMPTY)
		storm_found(table, FOUND_ERROR, "a device cannot be removed: %d: %s", err, why);
}

static void call_back(struct storm_guest *guest, struct storm_table *table, struct pgmap_client *pool)
{
	char why[PGMAP_WHY_MAX];
	int err = pgmap_device_cancel(pool, guest->number, NULL, why);
	if (err == -ENOENT || err == -ENODEV) {
		storm_guest_remove(guest, table, pool, -1); /* it was too late */
		return;
	}
	guest->called_off += err == 0;
	guest->leaving = false;
	if (err)
		storm_found(table, FOUND_ERROR, "a removal cannot be called off: %d: %s", err, why);
}

void storm_guest_move(struct storm_guest *guest, struct storm_table *table, struct pgmap_client *pool, uint64_t random)
{
	if (!guest->there)
		add(guest, table, pool, random);
	else if (guest->leaving && random % 4 == 0)
		call_back(guest, table, pool);
	else
		storm_guest_remove(guest, table, pool, (int64_t)(random % 8));
}

void storm_begin_anew(char *program, int64_t left_ns)
{
	char any[] = "any", left[32], *argv[] = {program, any, left, NULL};
	(void)snprintf(left, sizeof(left), "%" PRId64 "s", left_ns / 1000000000);
	(void)execv("/proc/self/exe", argv);
	perror("storm: another one");
	_exit(2);
}
