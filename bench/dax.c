/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dax.c - what a translation costs: dax_direct_access() of random pages through so many levels of stacks, and what it is
 * measured against: the same pages looked up in an array. A stack of no level is the device itself.
 */
#include "subject.h"

#include <string.h>

#include <pgmap/dax.h>

enum { PARTS = 4, PAGES = 1 << 20, CHUNK = 512, LOOKUPS = 4096 };

static struct dax_device *dax;
static uint64_t count;
static uint32_t pages[LOOKUPS]; /* small enough to stay in the cache: what is measured is the way, not the memory */

static struct dax_device *memory(uint64_t npages)
{
	struct dax_device *out;
	const struct dax_params params = {
		.params_bytes = sizeof(params),
		.type = PGMAP_FSDAX,
		.len_bytes = npages << PGMAP_PAGE_SHIFT,
		.fd = -1,
		.name = "bench",
	};
	if (dax_create(&params, &out) != 0)
		subject_fail("dax_create");
	return out;
}

/* Of 4 parts, each of which is a stack one level less high. */
static struct dax_device *stack(const char *kind, unsigned levels, uint64_t npages)
{
	struct dax_part parts[PARTS] = {{0}};
	struct dax_device *out;
	if (levels == 0)
		return memory(npages);
	for (unsigned i = 0; i < PARTS; i++)
		parts[i].dax = stack(kind, levels - 1, npages / PARTS);
	int err = strcmp(kind, "stripe") == 0 ? dax_create_stripe(parts, PARTS, CHUNK, NULL, &out)
					      : dax_create_linear(parts, PARTS, NULL, &out);
	if (err)
		subject_fail("%s: %s", kind, strerror(-err));
	return out;
}

static void choose_pages(void)
{
	struct rng rng = RNG_SEED;
	for (unsigned i = 0; i < LOOKUPS; i++)
		pages[i] = (uint32_t)rng_below(&rng, PAGES);
}

/* A few nanoseconds are compared with one: the best of a round's parts, so that who else runs here is left out of both. */
static double best_part(void (*batch)(uint64_t n))
{
	double best = 1e9;
	for (int part = 0; part < 20; part++) {
		uint64_t start = now_ns();
		batch(count / 20 + 1);
		double ns = (double)(now_ns() - start) / (double)(count / 20 + 1);
		best = ns < best ? ns : best;
	}
	return best;
}

static void translate_batch(uint64_t n)
{
	struct dax_span span;
	for (uint64_t i = 0; i < n; i++) {
		if (dax_direct_access(dax, pages[i % LOOKUPS], 1, &span) != 1)
			subject_fail("dax_direct_access");
		keep(&span);
	}
}

static void translate_prepare(int argc, char **argv)
{
	if (argc < 2)
		subject_fail("which kind of stack, and how many levels?");
	dax = stack(argv[0], (unsigned)subject_number(argc, argv, 1), PAGES);
	choose_pages();
	count = subject_calibrate(translate_batch);
}

static double translate_round(void)
{
	return best_part(translate_batch);
}

/* What somebody would have who knew all translations, and no device could die: one word a chunk. */
static uint64_t table[PAGES / CHUNK];

static void array_batch(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint32_t page = pages[i % LOOKUPS];
		struct dax_span span = {.pgmap_pgoff = table[page / CHUNK] + page % CHUNK, .npages = 1};
		keep(&span);
	}
}

static void array_prepare(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	for (uint64_t i = 0; i < PAGES / CHUNK; i++)
		table[i] = i * CHUNK;
	choose_pages();
	count = subject_calibrate(array_batch);
}

static double array_round(void)
{
	return best_part(array_batch);
}

int main(int argc, char **argv)
{
	static const struct subject subjects[] = {
		{"translate", "linear|stripe LEVELS", translate_prepare, translate_round},
		{"array", "", array_prepare, array_round},
		{0},
	};
	return subject_main(argc, argv, subjects);
}
