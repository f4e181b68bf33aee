/* SPDX-License-Identifier: BSD-3-Clause */
/* client_pins.c - a range is pinned on every folio under it or on none; what is not pinned cannot be unpinned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "client/mapping.h"

enum { PAGE = 4096, PAGES = 7, MAX_PAGES = 8 };

static struct pgmap_client *client;
static struct pgmap_file *file;
static struct pgmap_mapping *mapping;

/* A file of folios of 4, 2 and 1 pages: three runs of one span each. */
static int set_up(void **state)
{
	(void)state;
	assert_int_equal(pgmap_connect("embedded:memfd:size=2M,page=4K", &client), 0);
	assert_int_equal(pgmap_open(client, "f", PGMAP_O_CREATE, &file), 0);
	assert_int_equal(pgmap_truncate(file, PAGES * PAGE), 0);
	assert_int_equal(pgmap_map(file, 0, 0, PGMAP_MAP_READ, &mapping), 0);
	assert_int_equal(mapping->nspans, 3);
	assert_int_equal(mapping->nruns, 3);
	return 0;
}

/* Each test takes its pins back, or the mapping would not go. */
static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(pgmap_disconnect(client), 0);
	return 0;
}

static void assert_pins(const struct pgmap_mapping *m, uint64_t span, uint32_t local, uint32_t remote)
{
	struct pinword_counts counts = pinword_read(&m->words[span]);
	assert_int_equal(counts.local, local);
	assert_int_equal(counts.remote, remote);
}

static void assert_no_pins(const struct pgmap_mapping *m)
{
	for (uint64_t i = 0; i < m->nspans; i++)
		assert_pins(m, i, 0, 0);
}

/* From any page to any other, from the last byte of the one to the first of the other: span_of[] is the mapping's. */
static void pin_all_ranges(struct pgmap_mapping *m, const uint64_t *span_of, uint64_t npages, int kind)
{
	for (uint64_t a = 0; a < npages; a++) {
		for (uint64_t b = a; b < npages; b++) {
			uint64_t from = a * PAGE + (a < b ? PAGE - 1 : 5), len = b * PAGE + 6 - from;
			assert_int_equal(pgmap_pin(m, from, len, kind), 0);
			for (uint64_t i = 0; i < m->nspans; i++) {
				uint32_t in = i >= span_of[a] && i <= span_of[b];
				assert_pins(m, i, kind == PGMAP_PIN_LOCAL ? in : 0, kind == PGMAP_PIN_REMOTE ? in : 0);
			}
			assert_int_equal(pgmap_unpin(m, from, len, kind), 0);
			assert_no_pins(m);
		}
	}
}

static void a_range_pins_the_folios_under_it_and_no_other(void **state)
{
	(void)state;
	static const uint64_t spans[PAGES] = {0, 0, 0, 0, 1, 1, 2};
	pin_all_ranges(mapping, spans, PAGES, PGMAP_PIN_LOCAL);
	pin_all_ranges(mapping, spans, PAGES, PGMAP_PIN_REMOTE);
}

static void so_in_a_mapping_that_begins_inside_of_a_folio(void **state)
{
	(void)state;
	static const uint64_t spans[] = {0, 1, 1, 2};
	struct pgmap_mapping *part;
	assert_int_equal(pgmap_map(file, 3 * PAGE, 0, PGMAP_MAP_READ, &part), 0);
	pin_all_ranges(part, spans, 4, PGMAP_PIN_LOCAL);
	assert_int_equal(pgmap_unmap(part), 0);
}

static void so_with_many_folios_in_one_run(void **state)
{
	(void)state;
	static const uint64_t spans[MAX_PAGES] = {0, 1, 2, 3, 4, 5, 6, 7};
	struct pgmap_file *pages;
	struct pgmap_mapping *one_run;
	assert_int_equal(pgmap_open(client, "pages", PGMAP_O_CREATE, &pages), 0);
	for (uint64_t n = 1; n <= MAX_PAGES; n++) /* page by page, so that each is a folio */
		assert_int_equal(pgmap_truncate(pages, n * PAGE), 0);
	assert_int_equal(pgmap_map(pages, 0, 0, PGMAP_MAP_READ, &one_run), 0);
	assert_int_equal(one_run->nruns, 1);
	assert_int_equal(one_run->nspans, MAX_PAGES);
	pin_all_ranges(one_run, spans, MAX_PAGES, PGMAP_PIN_LOCAL);
	pin_all_ranges(one_run, spans, MAX_PAGES, PGMAP_PIN_REMOTE);
	assert_int_equal(pgmap_unmap(one_run), 0);
	assert_int_equal(pgmap_close(pages), 0);
}

static void pins_add_up_by_kind(void **state)
{
	(void)state;
	assert_int_equal(pgmap_pin(mapping, 0, PAGES * PAGE, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_pin(mapping, 3 * PAGE, 2 * PAGE, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_pin(mapping, 4 * PAGE, 3 * PAGE, PGMAP_PIN_REMOTE), 0);
	assert_pins(mapping, 0, 2, 0);
	assert_pins(mapping, 1, 2, 1);
	assert_pins(mapping, 2, 1, 1);
	assert_int_equal(pgmap_unpin(mapping, 0, PAGES * PAGE, PGMAP_PIN_LOCAL), 0);
	assert_pins(mapping, 0, 1, 0);
	assert_pins(mapping, 1, 1, 1);
	assert_pins(mapping, 2, 0, 1);
	assert_int_equal(pgmap_unpin(mapping, 4 * PAGE, 3 * PAGE, PGMAP_PIN_REMOTE), 0);
	assert_int_equal(pgmap_unpin(mapping, 3 * PAGE, 2 * PAGE, PGMAP_PIN_LOCAL), 0);
	assert_no_pins(mapping);
}

static void what_is_no_range_of_the_mapping_is_refused(void **state)
{
	(void)state;
	static const struct {
		uint64_t offset, len;
		int kind;
	} bad[] = {
		{0, 0, 0},
		{0, PAGES * PAGE + 1, 0},
		{PAGES * PAGE, 1, 0},
		{PAGE, UINT64_MAX, 0},
		{UINT64_MAX, 1, 0},
		{0, 1, 2},
		{0, 1, -1},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(pgmap_pin(mapping, bad[i].offset, bad[i].len, bad[i].kind), -EINVAL);
		assert_int_equal(pgmap_unpin(mapping, bad[i].offset, bad[i].len, bad[i].kind), -EINVAL);
		assert_no_pins(mapping);
	}
	assert_int_equal(pgmap_pin(NULL, 0, 1, PGMAP_PIN_LOCAL), -EINVAL);
	assert_int_equal(pgmap_unpin(NULL, 0, 1, PGMAP_PIN_LOCAL), -EINVAL);
}

/* The server's part is played here: it blocks a word of the range. */
static void c7_9_one_folio_that_refuses_leaves_none_pinned(void **state)
{
	(void)state;
	static const struct {
		enum pinword_reason reason;
		int err;
	} reasons[] = {{PINWORD_WAIT, -EAGAIN}, {PINWORD_GOING, -ENODEV}, {PINWORD_STALE, -ESTALE}};
	assert_int_equal(pgmap_pin(mapping, 0, PAGES * PAGE, PGMAP_PIN_LOCAL), 0);
	for (uint64_t span = 0; span < 3; span++) {
		for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
			(void)pinword_block(&mapping->words[span], reasons[i].reason);
			for (int kind = PGMAP_PIN_LOCAL; kind <= PGMAP_PIN_REMOTE; kind++)
				assert_int_equal(pgmap_pin(mapping, 0, PAGES * PAGE, kind), reasons[i].err);
			for (uint64_t at = 0; at < 3; at++)
				assert_pins(mapping, at, 1, 0);
			pinword_unblock(&mapping->words[span]);
		}
	}
	assert_int_equal(pgmap_unpin(mapping, 0, PAGES * PAGE, PGMAP_PIN_LOCAL), 0);
}

static void a_folio_with_all_the_pins_it_can_have_refuses_the_range(void **state)
{
	(void)state;
	atomic_store(&mapping->words[2], PINWORD_MAX);
	assert_int_equal(pgmap_pin(mapping, 0, PAGES * PAGE, PGMAP_PIN_LOCAL), -EUSERS);
	assert_pins(mapping, 0, 0, 0);
	assert_pins(mapping, 1, 0, 0);
	assert_pins(mapping, 2, PINWORD_MAX, 0);
	assert_int_equal(pgmap_pin(mapping, 0, PAGES * PAGE, PGMAP_PIN_REMOTE), 0);
	assert_int_equal(pgmap_unpin(mapping, 0, PAGES * PAGE, PGMAP_PIN_REMOTE), 0);
	atomic_store(&mapping->words[2], 0);
}

static void an_unpin_of_what_is_not_pinned_changes_nothing(void **state)
{
	(void)state;
	assert_int_equal(pgmap_unpin(mapping, 0, 1, PGMAP_PIN_LOCAL), -EINVAL);
	assert_int_equal(pgmap_unpin(mapping, 0, PAGES * PAGE, PGMAP_PIN_LOCAL), -EINVAL);
	assert_no_pins(mapping);
	assert_int_equal(pgmap_pin(mapping, 0, 6 * PAGE, PGMAP_PIN_LOCAL), 0); /* all but the last */
	assert_int_equal(pgmap_pin(mapping, 6 * PAGE, 1, PGMAP_PIN_REMOTE), 0);
	assert_int_equal(pgmap_unpin(mapping, 0, PAGES * PAGE, PGMAP_PIN_LOCAL), -EINVAL);
	assert_int_equal(pgmap_unpin(mapping, 0, PAGES * PAGE, PGMAP_PIN_REMOTE), -EINVAL);
	assert_int_equal(pgmap_unpin(mapping, 6 * PAGE, 1, PGMAP_PIN_LOCAL), -EINVAL);
	assert_pins(mapping, 0, 1, 0);
	assert_pins(mapping, 1, 1, 0);
	assert_pins(mapping, 2, 0, 1);
	assert_int_equal(pgmap_unpin(mapping, 6 * PAGE, 1, PGMAP_PIN_REMOTE), 0);
	assert_int_equal(pgmap_unpin(mapping, 0, 6 * PAGE, PGMAP_PIN_LOCAL), 0);
}

static uint64_t times_told(void)
{
	uint64_t n = 0;
	return read(client->event.fd, &n, sizeof(n)) == (ssize_t)sizeof(n) ? n : 0; /* it never blocks */
}

static void c7_9_the_last_unpin_tells_who_waits_for_it(void **state)
{
	(void)state;
	assert_int_equal(pgmap_pin(mapping, 0, PAGES * PAGE, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_pin(mapping, 4 * PAGE, 1, PGMAP_PIN_REMOTE), 0);
	(void)pinword_block(&mapping->words[1], PINWORD_WAIT);
	assert_int_equal(pgmap_unpin(mapping, 0, PAGES * PAGE, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(times_told(), 0);
	assert_int_equal(pgmap_unpin(mapping, 4 * PAGE, 1, PGMAP_PIN_REMOTE), 0);
	assert_int_equal(times_told(), 1);
	assert_int_equal(pinword_read(&mapping->words[1]).reason, PINWORD_WAIT);
}

static void telling_who_is_told_already_is_no_error(void **state)
{
	(void)state;
	const uint64_t full = UINT64_MAX - 1;
	assert_int_equal(pgmap_pin(mapping, 0, 1, PGMAP_PIN_LOCAL), 0);
	(void)pinword_block(&mapping->words[0], PINWORD_WAIT);
	assert_int_equal(write(client->event.fd, &full, sizeof(full)), sizeof(full));
	errno = ERANGE;
	assert_int_equal(pgmap_unpin(mapping, 0, 1, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(errno, ERANGE);
	assert_pins(mapping, 0, 0, 0);
	assert_true(times_told() == full);
}

static void an_unmap_that_is_called_off_leaves_every_reason_as_it_was(void **state)
{
	(void)state;
	(void)pinword_block(&mapping->words[0], PINWORD_WAIT);
	assert_int_equal(pgmap_pin(mapping, 6 * PAGE, 1, PGMAP_PIN_REMOTE), 0);
	assert_int_equal(pgmap_unmap(mapping), -EBUSY);
	assert_int_equal(pinword_read(&mapping->words[0]).reason, PINWORD_WAIT);
	assert_int_equal(pinword_read(&mapping->words[1]).reason, PINWORD_OPEN);
	assert_pins(mapping, 2, 0, 1);
	assert_int_equal(pgmap_pin(mapping, 4 * PAGE, 3 * PAGE, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unpin(mapping, 4 * PAGE, 3 * PAGE, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unpin(mapping, 6 * PAGE, 1, PGMAP_PIN_REMOTE), 0);
}

static void a_mapping_that_is_being_closed_takes_no_pin(void **state)
{
	(void)state;
	assert_int_equal(mapping_close_words(mapping), 0);
	for (uint64_t page = 0; page < PAGES; page++)
		assert_int_equal(pgmap_pin(mapping, page * PAGE, 1, PGMAP_PIN_LOCAL), -EINVAL);
	mapping_reopen_words(mapping, mapping->nspans);
	assert_int_equal(pgmap_pin(mapping, 0, PAGES * PAGE, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unpin(mapping, 0, PAGES * PAGE, PGMAP_PIN_LOCAL), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_range_pins_the_folios_under_it_and_no_other),
		T(so_in_a_mapping_that_begins_inside_of_a_folio),
		T(so_with_many_folios_in_one_run),
		T(pins_add_up_by_kind),
		T(what_is_no_range_of_the_mapping_is_refused),
		T(c7_9_one_folio_that_refuses_leaves_none_pinned),
		T(a_folio_with_all_the_pins_it_can_have_refuses_the_range),
		T(an_unpin_of_what_is_not_pinned_changes_nothing),
		T(c7_9_the_last_unpin_tells_who_waits_for_it),
		T(telling_who_is_told_already_is_no_error),
		T(an_unmap_that_is_called_off_leaves_every_reason_as_it_was),
		T(a_mapping_that_is_being_closed_takes_no_pin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
