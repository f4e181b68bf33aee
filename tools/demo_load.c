/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * demo_load.c - which real files the demonstration uses, their checksums, and how they get into the pool; and canaries,
 * bytes that say whose they are.
 */
#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define FILE_MIN       (UINT64_C(16) << 10)
#define FILE_MAX       (UINT64_C(24) << 20)
#define INPUT_FILE_MAX (UINT64_C(256) << 20)
#define DEFAULT_MIN    (UINT64_C(100) << 20)

struct choice {
	struct demo *demo;
	uint64_t total, file_min, file_max, skipped;
	bool only_libraries;
};

/* A copy that ends at buf's end; false: it does not fit. */
static bool copy_path(char *buf, size_t buf_bytes, const char *path)
{
	int n = snprintf(buf, buf_bytes, "%s", path);
	return n > 0 && (size_t)n < buf_bytes;
}

static void consider(struct choice *choice, const char *path, uint64_t size)
{
	struct demo_table *table = choice->demo->table;
	struct demo_source *source = &table->sources[table->nsources];
	uint64_t granule = table->granule, room = (size + granule - 1) / granule * granule;
	if (size < choice->file_min || size > choice->file_max || table->nsources == DEMO_SOURCES ||
	    choice->total + room > choice->demo->load_max || access(path, R_OK) ||
	    !copy_path(source->path, sizeof(source->path), path)) {
		choice->skipped++;
		return;
	}
	source->size = size;
	choice->total += room;
	table->nsources++;
}

static void choose_under(struct choice *choice, const char *path)
{
	char *roots[2] = {(char *)(uintptr_t)path, NULL};
	FTS *fts = fts_open(roots, FTS_COMFOLLOW | FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	if (!fts)
		return;
	for (FTSENT *entry; (entry = fts_read(fts)) != NULL;)
		if (entry->fts_info == FTS_F && (!choice->only_libraries || strstr(entry->fts_name, ".so")))
			consider(choice, entry->fts_path, (uint64_t)entry->fts_statp->st_size);
	fts_close(fts);
}

int demo_choose(struct demo *demo, const char *input)
{
	static const char *const places[] = {"/usr/lib", "/usr/lib64", "/lib", "/usr/bin", "/usr/share"};
	struct choice choice = {.demo = demo};
	char most[CLI_TEXT_MAX];
	struct stat st;
	if (input) {
		if (stat(input, &st))
			return cli_fail(demo->cli, "%s: %s (name a file or a folder)", input, strerror(errno));
		choice.file_min = 1;
		choice.file_max = INPUT_FILE_MAX;
		choose_under(&choice, input);
		if (demo->table->nsources == 0)
			return cli_fail(demo->cli, "%s: no file of 1 byte to 256 MiB that can be read (name another)",
					input);
		if (choice.skipped)
			demo_say(demo, "%lu files are left out: 512 files and %s, each up to 256 MiB, are used",
				 (unsigned long)choice.skipped, cli_bytes(most, demo->load_max));
		return CLI_DONE;
	}
	choice.file_max = FILE_MAX;
	choice.file_min = demo->table->granule > FILE_MIN ? demo->table->granule / 2 : 4 * FILE_MIN;
	choice.only_libraries = true;
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]) && choice.total < DEFAULT_MIN; i++) {
		choose_under(&choice, places[i]);
		choice.only_libraries = i < 2;
	}
	if (demo->table->nsources == 0)
		return cli_fail(demo->cli, "/usr/lib: no file that can be read (name some: pgmap demo PATH)");
	return CLI_DONE;
}

int demo_hash_sources(struct demo *demo)
{
	struct demo_table *table = demo->table;
	for (uint32_t i = 0; i < table->nsources; i++) {
		struct demo_source *source = &table->sources[i];
		int fd = open(source->path, O_RDONLY | O_CLOEXEC);
		void *data = fd < 0 ? MAP_FAILED : mmap(NULL, source->size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (fd >= 0)
			close(fd);
		if (data == MAP_FAILED)
			return cli_fail(demo->cli, "%s: %s (name other files: pgmap demo PATH)", source->path,
					strerror(errno));
		source->data = data;
		source->hash = XXH3_64bits(data, source->size);
		source->half = source->size / 2 / table->granule * table->granule;
		source->half_hash = XXH3_64bits(data, source->half);
	}
	return CLI_DONE;
}

uint64_t demo_nonzero(const void *addr, uint64_t len_bytes)
{
	static const unsigned char zeros[4096];
	const unsigned char *p = addr;
	uint64_t found = 0;
	for (uint64_t at = 0; at < len_bytes; at += sizeof(zeros)) {
		size_t n = len_bytes - at < sizeof(zeros) ? (size_t)(len_bytes - at) : sizeof(zeros);
		if (memcmp(p + at, zeros, n) == 0)
			continue;
		for (size_t i = 0; i < n; i++)
			found += p[at + i] != 0;
	}
	return found;
}

/* Odd, so never zero in its lowest byte, and another one for every 8 bytes. */
static uint64_t canary_word(uint64_t seed, uint64_t index)
{
	return (seed + index * UINT64_C(0x9e3779b97f4a7c15)) | UINT64_C(0x0101010101010101);
}

void demo_canary_write(void *addr, uint64_t len_bytes, uint64_t seed)
{
	uint64_t *words = addr;
	for (uint64_t i = 0; i < len_bytes / 8; i++)
		words[i] = canary_word(seed, i);
}

uint64_t demo_canary_wrong(const void *addr, uint64_t len_bytes, uint64_t seed)
{
	const uint64_t *words = addr;
	uint64_t wrong = 0;
	for (uint64_t i = 0; i < len_bytes / 8; i++)
		wrong += words[i] == canary_word(seed, i) ? 0 : 8;
	return wrong;
}

int demo_put(struct demo *demo, const struct demo_source *source, const char *path)
{
	static const char temp[] = "/put";
	struct pgmap_mapping *mapping;
	int err = pgmap_open_map(demo->client, temp, PGMAP_O_CREATE | PGMAP_O_EXCL, source->size,
				 PGMAP_MAP_READ | PGMAP_MAP_WRITE, &mapping);
	if (err) {
		if (err != -ENOSPC)
			demo_error(demo, "a new file of %lu bytes: %s", (unsigned long)source->size, cli_why(err));
		(void)pgmap_unlink(demo->client, temp); /* an open that could not be sized may have made it */
		return err;
	}
	void *addr = pgmap_mapping_address(mapping);
	demo->foreign_bytes += demo_nonzero(addr, source->size);
	memcpy(addr, source->data, source->size);
	pgmap_unmap(mapping);
	err = pgmap_rename(demo->client, temp, path);
	if (err)
		demo_error(demo, "%s: rename: %s", path, cli_why(err));
	return err;
}

/* All but some room is taken by a file that nobody maps, so that pages which become free are used again at once. */
static int fill_up(struct demo *demo, uint64_t largest)
{
	struct pgmap_info info;
	struct pgmap_mapping *mapping;
	uint64_t granule = demo->table->granule, room = (UINT64_C(64) << 20) + 16 * granule + largest + largest / 4;
	int err = pgmap_info(demo->client, &info);
	if (err)
		return err;
	uint64_t free = info.free << 12;
	if (free < room + granule)
		return 0;
	err = pgmap_open_map(demo->client, "/ballast", PGMAP_O_CREATE | PGMAP_O_EXCL, (free - room) / granule * granule,
			     PGMAP_MAP_READ | PGMAP_MAP_WRITE, &mapping);
	if (err)
		return err;
	demo->foreign_bytes += demo_nonzero(pgmap_mapping_address(mapping), pgmap_mapping_bytes(mapping));
	demo_canary_write(pgmap_mapping_address(mapping), pgmap_mapping_bytes(mapping), DEMO_BALLAST_SEED);
	return pgmap_unmap(mapping);
}

int demo_load(struct demo *demo)
{
	struct demo_table *table = demo->table;
	uint64_t largest = 0;
	int err = pgmap_mkdir(demo->client, "/files");
	if (err == 0)
		err = pgmap_mkdir(demo->client, "/churn");
	for (uint32_t i = 0; i < table->nsources && err == 0; i++) {
		char path[64];
		snprintf(path, sizeof(path), "/files/%u", i);
		err = demo_put(demo, &table->sources[i], path);
		demo->bytes += table->sources[i].size;
		demo->files_loaded++;
		largest = table->sources[i].size > largest ? table->sources[i].size : largest;
	}
	table->nfiles = table->nsources;
	if (err == 0)
		err = fill_up(demo, largest);
	return err ? cli_fail(demo->cli, "loading: %s", cli_why(err)) : CLI_DONE;
}
