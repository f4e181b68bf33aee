/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * text.c - see text.h. What is UTF-8 is RFC 3629's table: no longer forms than needed, no surrogates, nothing above 10FFFF.
 * U+0080 to U+009F are control characters too: some terminals obey them.
 */
#include "text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A character that begins with first has len bytes, and the second of them lies in [low, high]. */
static const struct {
	unsigned char first, last, len, low, high;
} forms[] = {
	{0x01, 0x7f, 1, 0, 0},       {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf},
	{0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf},
	{0xf0, 0xf0, 4, 0x90, 0xbf}, {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
};

size_t text_character(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (c[0] < forms[i].first || c[0] > forms[i].last)
			continue;
		if (forms[i].len > 1 && (c[1] < forms[i].low || c[1] > forms[i].high))
			return 0;
		for (size_t k = 2; k < forms[i].len; k++)
			if ((c[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].len;
	}
	return 0;
}

static bool is_control(const char *text, size_t len)
{
	unsigned char c = (unsigned char)text[0];
	return len == 1 ? c < 0x20 || c == 0x7f : c == 0xc2 && (unsigned char)text[1] < 0xa0;
}

/* The next character of text, or byte that is none, as it is shown; of a control character of two bytes the first: the
 * second begins none. Answers how many bytes of text that was. */
static size_t show_one(char out[8], const char *text)
{
	static const char *const known[][2] = {{"\n", "\\n"}, {"\t", "\\t"}, {"\r", "\\r"}, {"\\", "\\\\"}};
	size_t len = text_character(text);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (text[0] == known[i][0][0]) {
			memcpy(out, known[i][1], 3);
			return 1;
		}
	if (len == 0 || is_control(text, len)) {
		snprintf(out, 8, "\\x%02x", (unsigned char)text[0]);
		return 1;
	}
	memcpy(out, text, len);
	out[len] = '\0';
	return len;
}

const char *text_shown(char *buf, size_t room, const char *text)
{
	size_t at = 0;
	while (*text) {
		char one[8];
		if (*text >= 0x20 && *text < 0x7f && *text != '\\' && at + 1 < room) {
			buf[at++] = *text++; /* most of all text is this, and is shown as it is */
			continue;
		}
		size_t taken = show_one(one, text), len = strlen(one);
		if (at + len >= room)
			break;
		memcpy(buf + at, one, len);
		at += len;
		text += taken;
	}
	buf[at] = '\0';
	return buf;
}

void text_elide(char *text, size_t max)
{
	static const char mark[] = " ... ";
	size_t len = strlen(text), kept = max - (sizeof(mark) - 1);
	if (len <= max)
		return;
	size_t head = kept / 2, tail = kept - head;
	memcpy(text + head, mark, sizeof(mark) - 1);
	memmove(text + head + sizeof(mark) - 1, text + len - tail, tail + 1);
}
