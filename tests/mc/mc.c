/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mc - explores every interleaving of the core's lock-free code, as compiled, for a few threads.
 *
 *   mc [-v] SCENARIO            one scenario: a program per thread, separated by '|' (mc_tree.c, mc_pins.c)
 *   mc [-v] -r SEED N THREADS   N random scenarios
 *
 * MC_STATES=n in the environment: give a scenario up after n states (1,500,000). 0: right; 1: a violation, with the way to
 * it; 2: no such scenario in this build. run.py says how it is built.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mc.h"

static volatile sig_atomic_t stop;

static void on_term(int signal)
{
	(void)signal;
	stop = 1;
}

int main(int argc, char **argv)
{
	(void)signal(SIGTERM, on_term);
	bool verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
	if (verbose) {
		argc--;
		argv++;
	}
	bool random = argc == 5 && strcmp(argv[1], "-r") == 0;
	if (!search_init() || (!random && (argc != 2 || !scenario_parse(argv[1]))))
		return 2;
	uint64_t seed = random ? strtoull(argv[2], NULL, 0) : 0, n = random ? strtoull(argv[3], NULL, 0) : 1;
	uint64_t total = 0, ncut = 0, i = 0;
	for (; i < n && !stop; i++) {
		char scenario[1024];
		bool whole;
		if (random &&
		    (!scenario_make(scenario, &seed, (unsigned)strtoul(argv[4], NULL, 0)) || !scenario_parse(scenario)))
			return 2;
		if (random && verbose)
			printf("%s\n", scenario), fflush(stdout);
		if (search(&whole)) {
			printf("scenario: %s\n", random ? scenario : argv[1]);
			return 1;
		}
		total += nstates;
		ncut += !whole;
		if (verbose)
			printf("%u states, %llu edges%s\n", nstates, (unsigned long long)nedges,
			       whole ? "" : ", cut short");
	}
	printf("mc: %llu scenarios, %llu states, %llu cut short: right\n", (unsigned long long)i,
	       (unsigned long long)total, (unsigned long long)ncut);
	return 0;
}
