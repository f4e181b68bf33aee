/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * text.h - names for people and for programs. A name in the pool is any bytes but '/' and NUL; what is printed
 * of it must neither move the reader's cursor nor look like a second line, and JSON must be UTF-8 whatever it names.
 *
 * Thread safety: any thread, each on its own buffers.
 */
#ifndef PGMAP_TOOLS_TEXT_H
#define PGMAP_TOOLS_TEXT_H

#include <stddef.h>

enum { TEXT_SHOWN_MAX = 4 };

/* The bytes of the UTF-8 character that text begins with: 1 to 4; 0, it is none (the end of the text neither). */
size_t text_character(const char *text);

/*
 * text_shown - text as a reader can see it, in buf: control characters and bytes that are no UTF-8 as \n, \t, \r or \xHH, a
 * backslash twice; so two texts that differ are shown differently. Cut to room bytes, never inside of a character; a
 * text of n bytes needs TEXT_SHOWN_MAX * n + 1. Answers buf.
 */
const char *text_shown(char *buf, size_t room, const char *text);

/* text_elide - no longer than max bytes (at least 8), in place: what is left out is its middle, " ... " stands there. */
void text_elide(char *text, size_t max);

#endif
