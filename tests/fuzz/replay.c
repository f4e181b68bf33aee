/* SPDX-License-Identifier: BSD-3-Clause */
/* replay.c - the fuzzer's inputs in a build without libFuzzer: replay FILE|DIRECTORY... runs each once. See fuzz.h. */
#include "fuzz.h"

#include <fts.h>
#include <stdio.h>
#include <stdlib.h>

static int replay(const char *path)
{
	static uint8_t data[(FUZZ_RECORDS_MAX + 1) * FUZZ_RECORD_BYTES];
	FILE *file = fopen(path, "rbe");
	if (!file)
		return 1;
	size_t size = fread(data, 1, sizeof(data), file);
	(void)fclose(file);
	(void)fprintf(stderr, "replay: %s\n", path);
	return LLVMFuzzerTestOneInput(data, size);
}

int main(int argc, char **argv)
{
	unsigned failed = 0, n = 0;
	FTS *fts = argc > 1 ? fts_open(argv + 1, FTS_PHYSICAL | FTS_NOCHDIR, NULL) : NULL;
	for (FTSENT *entry; fts && (entry = fts_read(fts)) != NULL;) {
		if (entry->fts_info != FTS_F)
			continue;
		n++;
		failed += replay(entry->fts_accpath) != 0;
	}
	if (fts)
		(void)fts_close(fts);
	(void)printf("%u inputs, %u failed\n", n, failed);
	return failed || !n;
}
