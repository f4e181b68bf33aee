/* SPDX-License-Identifier: BSD-3-Clause */
/* core_space.c - what a pgmap costs: to create, to keep, to drain, to list. */
#include "subject.h"

#include <string.h>

#include <pgmap/folio.h>

#include "core.h"
#include "memory.h"

enum { HUGE_DEVICE_GIB = 16384 };

static uint64_t count;
static uint64_t gib;

static void create_batch(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		bench_remove(bench_pgmap(gib));
}

static void create_prepare(int argc, char **argv)
{
	gib = subject_number(argc, argv, 0);
	count = subject_calibrate(create_batch);
}

static double create_round(void)
{
	uint64_t start = now_ns();
	create_batch(count);
	return (double)(now_ns() - start) / (double)count;
}

/* Bytes that stay in memory for a pgmap of that size with nothing requested; of many, since a heap grows in steps. */
enum { RESIDENT_PGMAPS = 16 };

static void resident_prepare(int argc, char **argv)
{
	gib = subject_number(argc, argv, 0);
}

static double resident_round(void)
{
	struct pgmap *pgmaps[RESIDENT_PGMAPS];
	uint64_t before = bench_resident_bytes();
	for (unsigned i = 0; i < RESIDENT_PGMAPS; i++)
		pgmaps[i] = bench_pgmap(gib);
	uint64_t after = bench_resident_bytes();
	/* They stay, so that the next round does not find their memory again. */
	keep(pgmaps);
	return after > before ? (double)(after - before) / RESIDENT_PGMAPS : 0;
}

/* Bytes of memory that each held folio of an order costs: "dense", one beside the other; "sparse", one in 512. */
static unsigned order;
static uint64_t folios, stride;
static int with_private;

static void bytes_prepare(int argc, char **argv)
{
	order = (unsigned)subject_number(argc, argv, 0);
	int sparse = argc > 1 && strcmp(argv[1], "sparse") == 0;
	with_private = argc > 2 && strcmp(argv[2], "private") == 0;
	stride = (sparse ? 512 : 1) * (UINT64_C(1) << order);
	folios = ((uint64_t)HUGE_DEVICE_GIB << 18) / stride;
	uint64_t most = sparse ? 4096 : 1000000;
	if (folios > most)
		folios = most;
}

static double bytes_round(void)
{
	struct pgmap *pgmap = bench_pgmap(HUGE_DEVICE_GIB);
	uint64_t before = bench_resident_bytes();
	for (uint64_t i = 0; i < folios; i++) {
		struct folio *folio = bench_request(pgmap, i * stride, order);
		if (with_private && folio_set_private(folio, i + 1) != 0)
			subject_fail("folio_set_private");
	}
	uint64_t after = bench_resident_bytes();
	for (uint64_t i = 0; i < folios; i++) {
		struct folio *folio = NULL;
		if (pgmap_find_folio(pgmap, i * stride, &folio) != 0)
			subject_fail("a held folio is not found");
		folio_put(folio);
	}
	bench_remove(pgmap);
	return (double)(after - before) / (double)folios;
}

/* Kill and drain of a device on which 1,000,000 folios were used and are idle again. */
static double drain_round(void)
{
	struct pgmap *pgmap = bench_pgmap(HUGE_DEVICE_GIB);
	for (uint64_t i = 0; i < 1000000; i++)
		folio_put(bench_request(pgmap, i * 7, 0));
	uint64_t start = now_ns();
	pgmap_kill(pgmap);
	if (pgmap_drain(pgmap, 0) != 0)
		subject_fail("the drain of an idle pgmap failed");
	double ns = (double)(now_ns() - start);
	pgmap_destroy(pgmap);
	return ns;
}

/* A list of `count` folios that are held, spread over 16 TiB. */
static struct pgmap *spread;

static int listed(const struct pgmap_held *held, void *arg)
{
	(void)held;
	(*(uint64_t *)arg)++;
	return 0;
}

static void list_prepare(int argc, char **argv)
{
	count = subject_number(argc, argv, 0);
	spread = bench_pgmap(HUGE_DEVICE_GIB);
	for (uint64_t i = 0; i < count; i++)
		(void)bench_request(spread, i * (((uint64_t)HUGE_DEVICE_GIB << 18) / count), 0);
}

static double list_round(void)
{
	uint64_t seen = 0;
	uint64_t start = now_ns();
	pgmap_for_each_held(spread, listed, &seen);
	double ns = (double)(now_ns() - start);
	if (seen != count)
		subject_fail("%lu folios are held, %lu were listed", (unsigned long)count, (unsigned long)seen);
	return ns;
}

int main(int argc, char **argv)
{
	static const struct subject table[] = {
		{"create", "GIB", create_prepare, create_round},
		{"resident", "GIB", resident_prepare, resident_round},
		{"bytes", "ORDER dense|sparse [private]", bytes_prepare, bytes_round},
		{"drain", "", NULL, drain_round},
		{"list", "FOLIOS", list_prepare, list_round},
		{0},
	};
	return subject_main(argc, argv, table);
}
