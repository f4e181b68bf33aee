/* SPDX-License-Identifier: BSD-3-Clause */
/* tools_text.c - a name is shown so that it cannot move the cursor, is valid UTF-8, and is no other name's. */
#include "output.h"

#include "text.h"

static void a_character_is_utf8_or_none(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t len;
	} cases[] = {
		{"", 0},
		{"a", 1},
		{"\x7f", 1},
		{"\x80", 0},
		{"\xbf", 0},
		{"\xc1\xbf", 0},         /* a longer form than needed */
		{"\xc2\x80", 2},         /* U+0080 */
		{"\xc2", 0},             /* ends too early */
		{"\xc2(", 0},            /* no second byte */
		{"\xdf\xbf", 2},         /* U+07FF */
		{"\xe0\x9f\xbf", 0},     /* longer than needed */
		{"\xe0\xa0\x80", 3},     /* U+0800 */
		{"\xe2\x82\xac", 3},     /* U+20AC */
		{"\xe2\x82", 0},         /* ends too early */
		{"\xed\x9f\xbf", 3},     /* U+D7FF */
		{"\xed\xa0\x80", 0},     /* a surrogate */
		{"\xef\xbf\xbf", 3},     /* U+FFFF */
		{"\xf0\x8f\xbf\xbf", 0}, /* longer than needed */
		{"\xf0\x90\x80\x80", 4}, /* U+10000 */
		{"\xf0\x9f\x98\x80", 4}, /* U+1F600 */
		{"\xf0\x9f\x98(", 0},    /* no fourth byte */
		{"\xf4\x8f\xbf\xbf", 4}, /* U+10FFFF */
		{"\xf4\x90\x80\x80", 0}, /* above it */
		{"\xf5\x80\x80\x80", 0},
		{"\xff", 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(text_character(cases[i].text), cases[i].len);
}

static void a_name_cannot_move_the_cursor(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"", ""},
		{"plain name", "plain name"},
		{"a\nb\tc\rd", "a\\nb\\tc\\rd"},
		{"\033[2J\177\001", "\\x1b[2J\\x7f\\x01"},
		{"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"},
		{"\xff\xfe", "\\xff\\xfe"},
		{"a\xc3", "a\\xc3"},
		{"\xc2\x9b"
		 "2J",
		 "\\xc2\\x9b2J"}, /* U+009B is ESC [ in one character */
		{"\xc2\xa0", "\xc2\xa0"},
		{"\\n", "\\\\n"}, /* no newline */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char buf[64];
		assert_string_equal(text_shown(buf, sizeof(buf), cases[i][0]), cases[i][1]);
	}
}

static void what_is_shown_is_cut_between_characters(void **state)
{
	(void)state;
	static const char text[] = "a\n\xe2\x82\xac\xff.";
	static const char *const cut[] = {"",
					  "",
					  "a",
					  "a",
					  "a\\n",
					  "a\\n",
					  "a\\n",
					  "a\\n\xe2\x82\xac",
					  "a\\n\xe2\x82\xac",
					  "a\\n\xe2\x82\xac",
					  "a\\n\xe2\x82\xac",
					  "a\\n\xe2\x82\xac\\xff",
					  "a\\n\xe2\x82\xac\\xff.",
					  "a\\n\xe2\x82\xac\\xff."};
	for (size_t room = 1; room < sizeof(cut) / sizeof(cut[0]); room++) {
		char buf[32];
		memset(buf, '#', sizeof(buf));
		assert_string_equal(text_shown(buf, room, text), cut[room]);
		assert_int_equal(buf[room], '#');
	}
}

/* TEXT_SHOWN_MAX is enough for any text. */
static void every_byte_is_shown_in_the_room_that_is_promised(void **state)
{
	(void)state;
	char text[256], buf[TEXT_SHOWN_MAX * 255 + 1];
	for (unsigned i = 0; i < 255; i++)
		text[i] = (char)(i + 1);
	text[255] = 0;
	size_t len = strlen(text_shown(buf, sizeof(buf), text));
	assert_string_equal(buf + len - 8, "\\xfe\\xff");
	for (size_t i = 0; i < len; i++)
		assert_true(buf[i] >= 0x20 && buf[i] < 0x7f);
	memset(text, 0x80, 255);
	assert_int_equal(strlen(text_shown(buf, sizeof(buf), text)), sizeof(buf) - 1);
}

static void the_middle_of_a_long_text_is_left_out(void **state)
{
	(void)state;
	char text[] = "0123456789abcdef";
	text_elide(text, 16);
	assert_string_equal(text, "0123456789abcdef");
	text_elide(text, 15);
	assert_string_equal(text, "01234 ... bcdef");
	text_elide(text, 8);
	assert_string_equal(text, "0 ... ef");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_character_is_utf8_or_none),
		cmocka_unit_test(a_name_cannot_move_the_cursor),
		cmocka_unit_test(what_is_shown_is_cut_between_characters),
		cmocka_unit_test(every_byte_is_shown_in_the_room_that_is_promised),
		cmocka_unit_test(the_middle_of_a_long_text_is_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
