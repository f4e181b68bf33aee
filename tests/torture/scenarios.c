/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * scenarios.c - what the two threads of steps.c do. Each operation says what it may answer; after each run nothing may be
 * live, folio_free must have run once for each folio, and all must be free to be requested as a whole (steps.c).
 */
#include <errno.h>
#include <stddef.h>

#include "steps.h"

uint64_t lives, frees;

static struct folio *folio; /* what the set-up made */
static struct pgmap_holder *holder_a, *holder_b;
static bool keep_it;
static int results[2];

static int free_it(struct folio *f, void *owner)
{
	(void)f;
	(void)owner;
	frees++;
	return keep_it ? PGMAP_FREE_KEEP : PGMAP_FREE_IDLE;
}

/* What the operations are made of. */

static struct folio *must_request(uint64_t pgoff, unsigned order)
{
	struct folio *f;
	int r = pgmap_request_folio(pgmap, pgoff, order, &f);
	if (r)
		wrong("a request of what is idle answers %d", r);
	lives++;
	return f;
}

static bool try_request(uint64_t pgoff, unsigned order, int result)
{
	struct folio *f;
	results[result] = pgmap_request_folio(pgmap, pgoff, order, &f);
	if (results[result])
		return false;
	lives++;
	MUST(folio_pgoff(f) == pgoff && folio_private(f) == 0);
	folio_put(f);
	return true;
}

static struct folio *look_up(uint64_t pgoff)
{
	struct folio *f = NULL;
	int r = pgmap_get_folio(pgmap, pgoff, &f);
	MUST(r == 0 || r == -ENOENT || r == -ENODEV);
	if (r)
		return NULL;
	MUST(folio_pgoff(f) <= pgoff && pgoff - folio_pgoff(f) < folio_pages(f));
	return f;
}

static void put_parts(uint64_t pgoff, uint64_t npages, unsigned order)
{
	for (uint64_t at = pgoff; at < pgoff + npages; at += UINT64_C(1) << order) {
		struct folio *f;
		MUST(pgmap_find_folio(pgmap, at, &f) == 0 && folio_pgoff(f) == at && folio_order(f) == order);
		folio_put(f);
	}
}

/* Request, split, put what it is then. */
static void split_and_put(uint64_t pgoff, unsigned order, unsigned new_order)
{
	struct folio *f;
	results[1] = pgmap_request_folio(pgmap, pgoff, order, &f);
	if (results[1])
		return;
	lives++;
	MUST(folio_set_private(f, 77) == 0);
	int r = folio_split(f, new_order);
	MUST(r == 0 || r == -EBUSY);
	if (r) {
		MUST(folio_order(f) == order && folio_pgoff(f) == pgoff && folio_private(f) == 77);
		folio_put(f);
		return;
	}
	lives += (UINT64_C(1) << (order - new_order)) - 1;
	put_parts(pgoff, UINT64_C(1) << order, new_order);
}

static void look_up_two(uint64_t first, uint64_t second)
{
	struct folio *f = look_up(first), *g = look_up(second);
	if (g)
		folio_put(g);
	if (f)
		folio_put(f);
}

/* The scenarios' threads. */

static void a_looks_up_and_keeps(void)
{
	folio = look_up(5);
}

static void kept_is_put(void)
{
	if (folio)
		folio_put(folio);
}

static void a_looks_up_high(void)
{
	look_up_two(5, 1);
}

static void a_looks_up_512(void)
{
	look_up_two(512, 1025);
}

static void b_splits_3_to_1(void)
{
	split_and_put(0, 3, 1);
}

static void b_splits_3_to_0(void)
{
	split_and_put(0, 3, 0);
}

static void b_splits_11_to_9(void)
{
	split_and_put(0, 11, 9);
}

static void a_requests_page(void)
{
	(void)try_request(5, 0, 0);
}

static void a_requests_2(void)
{
	(void)try_request(4, 1, 0);
}

static void b_requests_3(void)
{
	(void)try_request(0, 3, 1);
}

static void a_requests_512(void)
{
	(void)try_request(512, 9, 0);
}

static void b_requests_far(void)
{
	(void)try_request(1024, 9, 1);
}

static void both_came(void)
{
	MUST(results[0] == 0 && results[1] == 0);
}

static void b_requests_11(void)
{
	(void)try_request(0, 11, 1);
}

static void b_requests_18(void)
{
	(void)try_request(0, 18, 1);
}

static void request_span(uint64_t pgoff, uint64_t npages, int result)
{
	struct folio *folios[16];
	size_t n;
	results[result] = pgmap_request_folios(pgmap, pgoff, npages, folios, &n);
	if (results[result])
		return;
	lives += n;
	for (size_t i = 0; i < n; i++)
		folio_put(folios[i]);
}

static void a_requests_span(void)
{
	request_span(3, 7, 0);
}

static void b_requests_span(void)
{
	request_span(6, 11, 1);
}

/* Nobody but the one who requests was in the way. */
static void request_succeeded(void)
{
	MUST(results[1] == 0);
}

/* Two requests: one of them at least succeeds, and the other says -EBUSY, if anything. */
static void one_came_first(void)
{
	MUST(results[0] == 0 || results[1] == 0);
	MUST(results[0] == 0 || results[0] == -EBUSY);
	MUST(results[1] == 0 || results[1] == -EBUSY);
}

/* The words above the first pages are OPEN, with nothing below. */
static void set_up_open(void)
{
	folio_put(must_request(0, 0));
}

static void set_up_pinned(void)
{
	folio = must_request(8, 2);
	MUST(pgmap_holder_create(pgmap, "a", &holder_a) == 0 && pgmap_holder_create(pgmap, "b", &holder_b) == 0);
	MUST(folio_pin(folio, holder_a, FOLIO_PIN_REMOTE) == 0);
}

static void set_up_two_marks(void)
{
	set_up_pinned();
	MUST(folio_pin(folio, holder_b, FOLIO_PIN_REMOTE) == 0);
	MUST(pgmap_holder_end(holder_a) == 4 && pgmap_holder_end(holder_b) == 4);
}

static void a_ends_and_fences(void)
{
	MUST(pgmap_holder_end(holder_a) == 4);
	MUST(pgmap_release_quarantined(pgmap, 9) != 0);
	MUST(pgmap_holder_fence(holder_a) == 0);
}

static void a_fences_a(void)
{
	MUST(pgmap_holder_fence(holder_a) == 0);
}

static void b_puts(void)
{
	folio_put(folio);
}

static void b_puts_and_fences_b(void)
{
	folio_put(folio);
	MUST(pgmap_holder_fence(holder_b) == 0);
}

static void b_puts_and_ends_b(void)
{
	folio_put(folio);
	MUST(pgmap_holder_end(holder_b) == 0);
}

static void set_up_shared(void)
{
	folio = must_request(8, 2);
	folio_get(folio);
}

static void set_up_last(void)
{
	folio = must_request(8, 2);
}

static void set_up_kept(void)
{
	set_up_shared();
	keep_it = true;
	folio_put(folio);
	folio_put(folio);
	keep_it = false;
}

static void a_releases_kept(void)
{
	results[0] = pgmap_release_quarantined(pgmap, 9);
}

static void b_releases_kept(void)
{
	results[1] = pgmap_release_quarantined(pgmap, 11);
}

static void one_released(void)
{
	MUST(results[0] + results[1] == -ENOENT && results[0] * results[1] == 0);
}

static void b_looks_up_9(void)
{
	struct folio *f = look_up(9);
	if (f)
		folio_put(f);
}

static void set_up_one(void)
{
	folio = must_request(8, 2);
	MUST(pgmap_holder_create(pgmap, "a", &holder_a) == 0 && pgmap_holder_create(pgmap, "b", &holder_b) == 0);
	MUST(folio_charge(folio, holder_a) == 0);
}

static void a_splits_charged(void)
{
	results[0] = folio_split(folio, 1);
	MUST(results[0] == 0 || results[0] == -EBUSY);
	lives += results[0] == 0;
	MUST(pgmap_holder_end(holder_a) == 0);
}

static void b_looks_up_for_b(void)
{
	struct folio *f = look_up(9);
	if (f) {
		MUST(folio_charge(f, holder_b) == 0);
		struct pgmap_charge charge;
		pgmap_holder_charge(holder_b, &charge);
		MUST(charge.refs == 1 || charge.refs == 2); /* each part has it, once A has split */
	}
	MUST(pgmap_holder_end(holder_b) == 0);
}

/* Two references, both charged. B makes its own nobody's: the count is what it was, and the folio cannot be split. */
static void set_up_two_charged(void)
{
	set_up_one();
	MUST(folio_get_holder(folio, holder_b) == 0);
}

static void b_gets_and_puts_its_own(void)
{
	folio_get(folio);
	folio_put_holder(folio, holder_b);
	folio_put(folio);
	MUST(pgmap_holder_end(holder_b) == 0);
}

static int sum_held(const struct pgmap_held *held, void *arg)
{
	int64_t *left = arg;
	if (left[0] != (int64_t)held->pgoff) {
		MUST(left[1] == 0);
		left[0] = (int64_t)held->pgoff;
		left[1] = (int64_t)held->refs;
	}
	left[1] -= (int64_t)held->charge.refs;
	return 0;
}

static void b_walks(void)
{
	int64_t left[2] = {-1, 0};
	MUST(pgmap_for_each_held(pgmap, sum_held, left) == 0);
	MUST(left[1] == 0);
	MUST(pgmap_holder_end(holder_b) == 0);
}

static void a_uses_holder(void)
{
	MUST(folio_get_holder(folio, holder_a) == 0);
	MUST(folio_pin(folio, holder_a, FOLIO_PIN_LOCAL) == 0);
	folio_unpin(folio, holder_a, FOLIO_PIN_LOCAL);
	folio_put_holder(folio, holder_a);
	folio_put_holder(folio, holder_a);
	MUST(pgmap_holder_end(holder_a) == 0);
}

static void set_up_private(void)
{
	folio = must_request(8, 2);
	(void)must_request(16, 2);
}

static void a_sets_private(void)
{
	MUST(folio_set_private(folio, 5) == 0);
	MUST(folio_private(folio) == 5);
	folio_put(folio);
}

static void b_sets_private(void)
{
	struct folio *f;
	MUST(pgmap_find_folio(pgmap, 16, &f) == 0);
	MUST(folio_set_private(f, 6) == 0);
	MUST(folio_private(f) == 6);
	folio_put(f);
}

/* A kill that has returned, and a request that begins after it. */
static void b_kills_drains_revives(void)
{
	MUST(pgmap_kill(pgmap) == 0);
	int r = pgmap_drain(pgmap, 0);
	MUST(r == 0 || r == -ETIMEDOUT);
	results[1] = r;
	if (r == 0)
		MUST(pgmap_live_pages(pgmap) == 0 && pgmap_revive(pgmap) == -ENODEV);
	else
		MUST(pgmap_revive(pgmap) == 0);
}

/* The last page goes and the pgmap dies, while another takes the removal back: one of them wins, and both are told. */
static void set_up_dying(void)
{
	folio = must_request(8, 2);
	MUST(pgmap_kill(pgmap) == 0);
}

static void a_puts_and_drains(void)
{
	folio_put(folio);
	results[0] = pgmap_drain(pgmap, 0);
	MUST(results[0] == 0 || results[0] == -EINVAL || results[0] == -ECANCELED);
}

static void b_revives(void)
{
	results[1] = pgmap_revive(pgmap);
}

static void one_won(void)
{
	MUST(results[1] == (results[0] == 0 ? -ENODEV : 0));
	MUST(pgmap_state(pgmap) == (results[0] == 0 ? PGMAP_DEAD : PGMAP_LIVE));
}

static void a_drains(void)
{
	int r = pgmap_drain(pgmap, 0);
	MUST(r == 0 || r == -EINVAL || r == -ETIMEDOUT || r == -ECANCELED);
	results[0] = r;
}

static void alive_or_dead(void)
{
	MUST(results[0] == 0 || results[0] == -ENODEV);
}

static void dead_if_told(void)
{
	MUST(results[0] != 0 || results[1] == 0 || pgmap_state(pgmap) == PGMAP_DEAD);
}

static void b_poisons(void)
{
	MUST(pgmap_poison(pgmap, 4, 2) == 0);
	MUST(try_request(5, 0, 1) == false && results[1] == -EHWPOISON);
	MUST(pgmap_clear_poison(pgmap, 0, 100) == 0);
}

void scenario_reset(void)
{
	lives = frees = 0;
	keep_it = false;
	results[0] = results[1] = 0;
}

const struct pgmap_ops scenario_ops = {.ops_bytes = sizeof(scenario_ops), .folio_free = free_it};

const struct scenario scenarios[] = {
	{"lookup-split-kept", NULL, a_looks_up_and_keeps, b_splits_3_to_1, kept_is_put, USUAL},
	{"lookups-split-2m", NULL, a_looks_up_512, b_splits_11_to_9, request_succeeded, USUAL},
	{"lookups-split-open", set_up_open, a_looks_up_high, b_splits_3_to_0, request_succeeded, USUAL},
	{"lookups-split-2m-open", set_up_open, a_looks_up_512, b_splits_11_to_9, request_succeeded, USUAL},
	{"request-split", NULL, a_requests_page, b_splits_3_to_1, one_came_first, USUAL},
	{"request-split-2m", NULL, a_requests_512, b_splits_11_to_9, one_came_first, USUAL},
	{"request-request", set_up_open, a_requests_page, b_requests_3, one_came_first, USUAL},
	{"request-request-2", NULL, a_requests_2, b_requests_3, one_came_first, USUAL},
	{"request-request-2m", set_up_open, a_requests_512, b_requests_11, one_came_first, USUAL},
	{"request-request-1g", NULL, a_requests_512, b_requests_18, one_came_first, USUAL},
	{"span-span", set_up_open, a_requests_span, b_requests_span, one_came_first, USUAL},
	{"end-put", set_up_pinned, a_ends_and_fences, b_puts_and_ends_b, NULL, USUAL},
	{"fence-fence", set_up_two_marks, a_fences_a, b_puts_and_fences_b, NULL, USUAL},
	{"put-put", set_up_shared, b_puts, b_puts, NULL, USUAL},
	{"release-release", set_up_kept, a_releases_kept, b_releases_kept, one_released, USUAL},
	{"put-lookup", set_up_one, a_uses_holder, b_looks_up_for_b, NULL, USUAL},
	{"split-charged-lookup", set_up_one, a_splits_charged, b_looks_up_for_b, NULL, USUAL},
	{"split-charged-aba", set_up_two_charged, a_splits_charged, b_gets_and_puts_its_own, NULL, USUAL},
	{"walk-holder", set_up_one, a_uses_holder, b_walks, NULL, USUAL},
	{"walk-split", set_up_one, a_splits_charged, b_walks, NULL, USUAL},
	{"private", set_up_private, a_sets_private, b_sets_private, NULL, FRESH},
	{"request-death", NULL, a_requests_page, b_kills_drains_revives, alive_or_dead, USUAL},
	{"request-death-1g", NULL, a_requests_512, b_kills_drains_revives, alive_or_dead, USUAL},
	{"drain-death", NULL, a_drains, b_kills_drains_revives, dead_if_told, USUAL},
	{"revive-death", set_up_dying, a_puts_and_drains, b_revives, one_won, USUAL},
	{"shared-slot", NULL, a_requests_page, b_requests_far, both_came, SHARED},
	{"poison-request", NULL, a_requests_2, b_poisons, NULL, USUAL},
	{"lookup-last-put", set_up_last, b_looks_up_9, b_puts, NULL, USUAL},
	{0},
};
