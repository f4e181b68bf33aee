/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fair_sides.c - what the two sides of the fair fight do differently: see fair.h.
 *
 * The pool's block is a file that loses its pages as soon as they are mapped (clause 6.7: they are free at their last put),
 * and then its name: nothing is left to clean up when its holder dies. A transfer's block is mapped through a connection of its own, so that a transfer
 * that outlives its worker keeps that block, and none of the others.
 *
 * A lease is renewed by a thread of its holder, three times in each timeout.
 */
#include "fair.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <pgmap/client.h>

#include "lease.h"

/* The pool: */

static struct pgmap_client *director, *own, *for_transfers;
static char name[32];

static struct pgmap_client *connection(void)
{
	struct pgmap_client *client = NULL;
	int rc = pgmap_connect(NULL, &client);
	if (rc != 0)
		subject_fail("connect: %s", strerror(-rc));
	return client;
}

static void pgmap_open_side(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	director = connection();
}

static void pgmap_attach(unsigned worker)
{
	own = connection();
	for_transfers = connection();
	snprintf(name, sizeof(name), "/fair-%u", worker);
	(void)pgmap_unlink(own, name); /* of one that was killed before it could */
}

/* The file of a block that is mapped has nothing any more. */
static int forget_file(struct pgmap_client *client)
{
	struct pgmap_file *file = NULL;
	int rc = pgmap_open(client, name, 0, &file);
	if (rc != 0)
		return rc;
	rc = pgmap_truncate(file, 0);
	(void)pgmap_close(file);
	return rc == 0 ? pgmap_unlink(client, name) : rc;
}

static int pgmap_take(unsigned place, bool transfer, struct fair_block *block)
{
	struct pgmap_client *client = transfer ? for_transfers : own;
	struct pgmap_mapping *mapping = NULL;
	(void)place;
	int rc = pgmap_open_map(client, name, PGMAP_O_CREATE | PGMAP_O_EXCL, BLOCK_BYTES,
				PGMAP_MAP_READ | PGMAP_MAP_WRITE, &mapping);
	if (rc != 0)
		return rc;
	rc = forget_file(client);
	*block = (struct fair_block){.address = pgmap_mapping_address(mapping), .mapping = mapping};
	return rc;
}

/* No clock takes it away. */
static bool pgmap_mine(const struct fair_block *block)
{
	return block->mapping != NULL;
}

static void pgmap_give(unsigned place, const struct fair_block *block)
{
	(void)place;
	if (pgmap_unmap(block->mapping) != 0)
		_exit(2);
}

static void pgmap_without(const struct fair_block *block)
{
	munmap(block->address, BLOCK_BYTES);
}

struct pages_of {
	pid_t pid;
	uint64_t pages;
};

static int add_pages(void *arg, const struct pgmap_who *who)
{
	struct pages_of *sum = arg;
	if (who->pid == sum->pid)
		sum->pages += who->pages;
	return 0;
}

static bool pgmap_settle(struct fair_dead *dead, double *leaked)
{
	struct pages_of sum = {.pid = dead->pid};
	uint64_t used = dead->transfer ? BLOCK_BYTES : 0;
	int rc = pgmap_who(director, NULL, add_pages, &sum);
	uint64_t now = now_ns(), held = sum.pages * 4096;
	if (rc != 0)
		subject_fail("who: %s", strerror(-rc));
	*leaked += (double)dead->held_bytes * (double)(now - dead->seen_ns);
	dead->held_bytes = held > used ? held - used : 0;
	dead->seen_ns = now;
	return !dead->transfer && held == 0;
}

/* What is left once everybody has gone and what was killed half-way is removed; it may take a moment to come back. */
static uint64_t pgmap_kept(void)
{
	struct pgmap_info info = {0};
	for (unsigned i = 0; i < WORKERS; i++) {
		snprintf(name, sizeof(name), "/fair-%u", i);
		(void)pgmap_unlink(director, name);
	}
	for (unsigned tries = 0; tries < 10000; tries++) {
		int rc = pgmap_info(director, &info);
		if (rc != 0)
			subject_fail("info: %s", strerror(-rc));
		if (info.free == info.pages && info.live_pages == 0)
			return 0;
		fair_pause_us(1000);
	}
	return (info.pages - info.free) * 4096;
}

const struct fair_side fair_pgmap = {
	.name = "pgmap",
	.open = pgmap_open_side,
	.attach = pgmap_attach,
	.take = pgmap_take,
	.mine = pgmap_mine,
	.give = pgmap_give,
	.without = pgmap_without,
	.settle = pgmap_settle,
	.kept = pgmap_kept,
};

/* Leases: */

static struct lease_pool *leases;
static uint64_t timeout_ns;
static _Atomic uint64_t renewed[BLOCKS_EACH]; /* tokens; 0: none */

static uint64_t token_of(struct lease lease)
{
	return UINT64_C(1) << 63 | (uint64_t)lease.block << 16 | lease.generation;
}

static struct lease lease_of(uint64_t token)
{
	return (struct lease){.block = (uint32_t)(token << 1 >> 17), .generation = (uint32_t)(token & UINT16_MAX)};
}

static void lease_open(int argc, char **argv)
{
	timeout_ns = subject_number(argc, argv, 0) * 1000000;
	leases = lease_pool_create(BLOCKS, BLOCK_BYTES, timeout_ns);
	if (!leases)
		subject_fail("no shared memory");
}

static void *heartbeat(void *arg)
{
	for (;;) {
		fair_pause_us(timeout_ns / 3000);
		for (unsigned i = 0; i < BLOCKS_EACH; i++) {
			uint64_t token = atomic_load(&renewed[i]);
			if (token)
				(void)lease_renew(leases, lease_of(token));
		}
	}
	return arg;
}

static void lease_attach(unsigned worker)
{
	pthread_t thread;
	(void)worker;
	if (pthread_create(&thread, NULL, heartbeat, NULL) != 0)
		_exit(2);
}

static int lease_side_take(unsigned place, bool transfer, struct fair_block *block)
{
	struct lease lease;
	(void)transfer;
	int rc = lease_take(leases, &lease);
	if (rc != 0)
		return rc;
	*block = (struct fair_block){.address = lease_address(leases, lease), .token = token_of(lease)};
	atomic_store(&renewed[place], block->token);
	return 0;
}

static bool lease_mine(const struct fair_block *block)
{
	return lease_valid(leases, lease_of(block->token));
}

static void lease_give(unsigned place, const struct fair_block *block)
{
	atomic_store(&renewed[place], 0);
	(void)lease_free(leases, lease_of(block->token));
}

/* The whole pool is mapped, here as in serving engines. */
static void lease_without(const struct fair_block *block)
{
	(void)block;
}

static void add_left(uint64_t token, double *leaked)
{
	if (token)
		*leaked += (double)lease_left_ns(leases, lease_of(token)) * BLOCK_BYTES;
}

/* Nobody renews them any more: how long each stays out of use is known at once. */
static bool lease_settle(struct fair_dead *dead, double *leaked)
{
	for (; dead->ntokens > 0; dead->ntokens--)
		add_left(dead->tokens[dead->ntokens - 1], leaked);
	if (dead->transfer)
		return false;
	add_left(dead->transfer_token, leaked);
	return true;
}

/* Every lease runs out. */
static uint64_t lease_kept(void)
{
	return 0;
}

const struct fair_side fair_lease = {
	.name = "lease",
	.open = lease_open,
	.attach = lease_attach,
	.take = lease_side_take,
	.mine = lease_mine,
	.give = lease_give,
	.without = lease_without,
	.settle = lease_settle,
	.kept = lease_kept,
};
