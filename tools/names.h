/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * names.h - how a device is mapped, and what has to be flushed for a store to last: for people, and in JSON. For `info` and
 * `device`. Any thread.
 */
#ifndef PGMAP_TOOLS_NAMES_H
#define PGMAP_TOOLS_NAMES_H

#include <stdint.h>

struct names {
	const char *text, *json;
};

const struct names *names_of_access(uint32_t access);           /* enum pgmap_access */
const struct names *names_of_persistence(uint32_t persistence); /* enum pgmap_persistence */

#endif
