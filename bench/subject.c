/* SPDX-License-Identifier: BSD-3-Clause */
/* subject.c - the frame around each thing that is measured: see subject.h. */
#include "subject.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void subject_fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	printf("error ");
	vprintf(format, args);
	printf("\n");
	va_end(args);
	fflush(stdout);
	exit(1);
}

uint64_t subject_number(int argc, char **argv, int index)
{
	char *end = NULL;
	if (index >= argc)
		subject_fail("argument %d is missing", index);
	uint64_t value = strtoull(argv[index], &end, 10);
	if (end == argv[index] || *end != '\0')
		subject_fail("'%s' is no number", argv[index]);
	return value;
}

uint64_t subject_calibrate(void (*batch)(uint64_t count))
{
	uint64_t goal_ns = getenv("PGMAP_BENCH_QUICK") ? 2000000 : 20000000;
	uint64_t count = 1, took_ns = 0;
	batch(1);
	for (;;) {
		uint64_t start = now_ns();
		batch(count);
		took_ns = now_ns() - start;
		if (took_ns >= goal_ns / 4)
			return count * goal_ns / took_ns + 1;
		count *= 2;
	}
}

static int usage(const char *program, const struct subject *table)
{
	fprintf(stderr, "usage: %s SUBJECT [ARGUMENT]..., asked for rounds on stdin by bench/run\n", program);
	for (const struct subject *s = table; s->name; s++)
		fprintf(stderr, "  %s %s\n", s->name, s->usage);
	return 2;
}

int subject_main(int argc, char **argv, const struct subject *table)
{
	const struct subject *s = table;
	while (argc > 1 && s->name && strcmp(s->name, argv[1]) != 0)
		s++;
	if (argc < 2 || !s->name)
		return usage(argv[0], table);
	if (s->prepare)
		s->prepare(argc - 2, argv + 2);
	(void)s->round();
	printf("ready\n");
	fflush(stdout);
	char line[64];
	while (fgets(line, sizeof(line), stdin)) {
		printf("%.4f\n", s->round());
		fflush(stdout);
	}
	return 0;
}
