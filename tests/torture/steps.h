/* SPDX-License-Identifier: BSD-3-Clause */
/* steps.h - what steps.c, which runs scenarios, and scenarios.c, which has them, share. */
#ifndef TORTURE_STEPS_H
#define TORTURE_STEPS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <pgmap/folio.h>

/* FRESH: in a pgmap of its own. SHARED: as if there were more threads than slots, both use LIVE_SHARED. */
enum scenario_kind { USUAL, FRESH, SHARED };

struct scenario {
	const char *name;
	void (*set_up)(void);
	void (*a)(void);
	void (*b)(void);
	void (*look)(void); /* after both: is this what may come out? */
	enum scenario_kind kind;
};

/* The last one has no name. */
extern const struct scenario scenarios[];

/* Of the run: the pgmap, whose folios are counted as they come and go. */
extern struct pgmap *pgmap;
extern const struct pgmap_ops scenario_ops;
extern uint64_t lives, frees;

/* Before each run. */
void scenario_reset(void);

_Noreturn void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			wrong("%s:%d: %s", __FILE__, __LINE__, #condition);                                            \
	} while (0)

#endif
