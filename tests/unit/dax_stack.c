/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random stacks, up to four high, against a model: for each page of each device the memory's page that it lies on, and
 * whether a span must begin there. Translations, deaths, poison, last puts and copies are compared.
 */
#include "stack_util.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { STACKS = 150, STEPS = 150, DEPTH = 4, NODES = 64, BOTTOMS = 24, UNIT = 4 };

static uint64_t seed;

static uint64_t rnd(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

struct node {
	struct dax_device *dax;
	uint64_t pages;
	uint8_t bottom[HOLDER_PAGES];
	uint16_t page[HOLDER_PAGES];
	uint8_t begins[HOLDER_PAGES];
};

static struct node nodes[NODES], *top;
static struct bottom bottoms[BOTTOMS];
static size_t nnodes, nbottoms;
static uint8_t is_poisoned[BOTTOMS][64], is_dead[BOTTOMS][64];
static struct holder holder;

static struct node *new_bottom(void)
{
	struct node *node = &nodes[nnodes++];
	struct bottom *bottom = &bottoms[nbottoms];
	bottom_open_at(bottom, UNIT * rnd(5), UNIT * (1 + rnd(16)), (unsigned)rnd(3));
	node->dax = bottom->dax;
	node->pages = bottom->pages;
	for (uint64_t i = 0; i < node->pages; i++) {
		node->bottom[i] = (uint8_t)nbottoms;
		node->page[i] = (uint16_t)i;
		node->begins[i] = i == 0;
	}
	nbottoms++;
	return node;
}

static void append(struct node *node, const struct node *from, uint64_t page, uint64_t npages)
{
	for (uint64_t i = 0; i < npages; i++) {
		node->bottom[node->pages] = from->bottom[page + i];
		node->page[node->pages] = from->page[page + i];
		node->begins[node->pages++] = i == 0 || from->begins[page + i];
	}
}

static struct node *build(unsigned depth);

/* Equal parts, as long as the shortest child allows, or null. */
static uint64_t make_stripe(struct node *node, struct node *children[], struct dax_part parts[], size_t n)
{
	uint64_t chunk = UNIT * (1 + rnd(4)), most = UINT64_MAX;
	for (size_t i = 0; i < n; i++)
		most = children[i]->pages < most ? children[i]->pages : most;
	uint64_t rows = most / chunk;
	for (size_t i = 0; i < n && rows; i++)
		parts[i] = (struct dax_part){children[i]->dax,
					     UNIT * rnd((children[i]->pages - rows * chunk) / UNIT + 1), rows * chunk};
	for (uint64_t row = 0; row < rows; row++)
		for (size_t i = 0; i < n; i++)
			append(node, children[i], parts[i].pgoff + row * chunk, chunk);
	return rows ? chunk : 0;
}

static void make_linear(struct node *node, struct node *children[], struct dax_part parts[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t units = children[i]->pages / UNIT, from = rnd(units);
		parts[i] = (struct dax_part){children[i]->dax, UNIT * from, UNIT * (1 + rnd(units - from))};
		append(node, children[i], parts[i].pgoff, parts[i].npages);
	}
}

static struct node *build_stack(unsigned depth)
{
	struct node *children[3];
	struct dax_part parts[3];
	uint64_t kind = rnd(4);
	size_t n = kind < 2 ? 1 + rnd(3) : 1;
	for (size_t i = 0; i < n; i++)
		children[i] = build(depth - 1);
	struct node *node = &nodes[nnodes++];
	node->pages = 0;
	uint64_t chunk = kind == 0 ? make_stripe(node, children, parts, n) : 0;
	if (chunk) {
		assert_int_equal(dax_create_stripe(parts, n, chunk, NULL, &node->dax), 0);
	} else if (kind < 2) {
		make_linear(node, children, parts, n);
		assert_int_equal(dax_create_linear(parts, n, NULL, &node->dax), 0);
	} else {
		append(node, children[0], 0, children[0]->pages);
		int err = kind == 2 ? dax_create_fault(children[0]->dax, NULL, &node->dax)
				    : dax_create_log(children[0]->dax, 0, NULL, &node->dax);
		assert_int_equal(err, 0);
	}
	return node;
}

static struct node *build(unsigned depth)
{
	if (depth == 0 || nbottoms + 4 > BOTTOMS || rnd(5) == 0)
		return new_bottom();
	return build_stack(depth);
}

static uint8_t *poisoned(const struct node *node, uint64_t page)
{
	return &is_poisoned[node->bottom[page]][node->page[page]];
}

static uint8_t *dead(const struct node *node, uint64_t page)
{
	return &is_dead[node->bottom[page]][node->page[page]];
}

static void check_access(void)
{
	uint64_t page = rnd(top->pages), want = 1 + rnd(40), n = 0;
	while (n < want && page + n < top->pages && !*poisoned(top, page + n) && (n == 0 || !top->begins[page + n]))
		n++;
	if (*dead(top, page)) {
		struct dax_span span;
		assert_int_equal(dax_direct_access(top->dax, page, (int64_t)want, &span), -ENXIO);
	} else if (n == 0) {
		struct dax_span span;
		assert_int_equal(dax_direct_access(top->dax, page, (int64_t)want, &span), -EHWPOISON);
	} else {
		struct dax_span span;
		const struct bottom *bottom = &bottoms[top->bottom[page]];
		assert_int_equal(dax_direct_access(top->dax, page, (int64_t)want, &span), n);
		assert_ptr_equal(span.pgmap, dax_pgmap(bottom->dax));
		uint64_t at = (uint64_t)((char *)span.addr - bottom->bytes) / PAGE;
		assert_int_equal(span.fd_offset_bytes, at * PAGE);
		uint64_t pgoff;
		assert_int_equal(pgmap_device_to_pgoff(span.pgmap, at * PAGE, &pgoff), 0);
		assert_int_equal(pgoff, span.pgmap_pgoff);
		/* The device's page, not the memory's. */
		bottom_populate(&bottoms[top->bottom[page]], 0, 0);
		assert_int_equal(dax_populate(bottom->dax, top->page[page], 1), dax_alive(bottom->dax) ? 0 : -ENXIO);
		if (dax_alive(bottom->dax))
			assert_int_equal(bottom->offset, at * PAGE);
	}
}

/* Somebody finds out somewhere. */
static void poison_some(void)
{
	const struct node *node = &nodes[rnd(nnodes)];
	uint64_t page = rnd(node->pages), n = 1 + rnd(node->pages - page);
	n = n > 8 ? 8 : n;
	memset(holder.poisoned, 0, sizeof(holder.poisoned));
	assert_int_equal(dax_notify_failure(node->dax, DAX_FAILURE_POISON, page, n), 0);
	uint8_t now[BOTTOMS][64] = {{0}};
	for (uint64_t i = page; i < page + n; i++)
		now[node->bottom[i]][node->page[i]] = *poisoned(node, i) = 1;
	for (uint64_t i = 0; i < top->pages; i++)
		assert_int_equal(holder.poisoned[i], now[top->bottom[i]][top->page[i]]);
}

struct list {
	uint8_t pages[HOLDER_PAGES];
	uint64_t end;
};

static int note_run(uint64_t pgoff, uint64_t npages, void *arg)
{
	struct list *list = arg;
	assert_true(pgoff > list->end || (pgoff == 0 && list->end == 0)); /* ascending, and neighbours are one run */
	list->end = pgoff + npages;
	for (uint64_t i = pgoff; i < pgoff + npages; i++)
		list->pages[i]++;
	return 0;
}

static void check_list(void)
{
	struct list list = {{0}, 0};
	assert_int_equal(dax_for_each_poisoned(top->dax, note_run, &list), 0);
	for (uint64_t i = 0; i < top->pages; i++)
		assert_int_equal(list.pages[i], *poisoned(top, i));
}

/* Bytes in, as far as they go, and out again. */
static void copy_some(void)
{
	char in[6 * PAGE], out[6 * PAGE];
	uint64_t at = rnd(top->pages * PAGE), len = 1 + rnd(sizeof(in)), n = 0;
	bool over = rnd(3) == 0;
	if (len > top->pages * PAGE - at)
		len = top->pages * PAGE - at;
	for (uint64_t i = 0; i < len; i++)
		in[i] = (char)rnd(256);
	if (over) {
		uint64_t page = at / PAGE, npages = (len + PAGE - 1) / PAGE;
		npages = page + npages > top->pages ? top->pages - page : npages;
		int whole = 1;
		for (uint64_t i = page; i < page + npages; i++)
			whole = whole && !*dead(top, i);
		if (whole) {
			assert_int_equal(dax_zero_range(top->dax, page, npages), 0);
			for (uint64_t i = page; i < page + npages; i++)
				*poisoned(top, i) = 0;
		}
	}
	while (n < len && !*dead(top, (at + n) / PAGE) && !*poisoned(top, (at + n) / PAGE))
		n++;
	int64_t none = *dead(top, at / PAGE) ? -ENXIO : -EIO;
	assert_int_equal(dax_copy_to(top->dax, at, in, len), n ? (int64_t)n : none);
	assert_int_equal(dax_copy_from(top->dax, at, out, len), n ? (int64_t)n : none);
	assert_memory_equal(in, out, n);
	for (uint64_t i = 0; i < n; i += 1 + rnd(PAGE)) {
		uint64_t page = (at + i) / PAGE;
		struct dax_span span;
		assert_int_equal(dax_direct_access(top->dax, page, 1, &span), 1);
		assert_int_equal(((char *)span.addr)[(at + i) % PAGE], in[i]);
	}
}

static void free_some(void)
{
	uint64_t b = rnd(nbottoms);
	unsigned order = (unsigned)rnd(3);
	uint64_t n = UINT64_C(1) << order, page = rnd(bottoms[b].pages) / n * n, first;
	struct pgmap *pgmap = dax_pgmap(bottoms[b].dax);
	struct folio *folio;
	int bad = 0;
	assert_int_equal(dax_populate(bottoms[b].dax, 0, 1), dax_alive(bottoms[b].dax) ? 0 : -ENXIO);
	for (first = 0; pgmap_pgoff_to_device(pgmap, first, &(uint64_t){0}) != 0; first++)
		;
	for (uint64_t i = page; i < page + n; i++)
		bad = bad || is_poisoned[b][i];
	memset(holder.freed, 0, sizeof(holder.freed));
	int err = pgmap_request_folio(pgmap, first + page, order, &folio);
	assert_int_equal(err, bad ? -EHWPOISON : 0);
	if (err)
		return;
	folio_put(folio);
	for (uint64_t i = 0; i < top->pages; i++)
		assert_int_equal(holder.freed[i],
				 top->bottom[i] == b && top->page[i] >= page && top->page[i] < page + n);
}

static void kill_some(void)
{
	const struct node *node = &nodes[rnd(nnodes)];
	bool was = dax_alive(node->dax);
	memset(holder.dead, 0, sizeof(holder.dead));
	uint8_t below[BOTTOMS][64] = {{0}};
	for (uint64_t i = 0; i < node->pages; i++)
		below[node->bottom[i]][node->page[i]] = 1;
	assert_int_equal(dax_kill(node->dax), 0);
	for (uint64_t i = 0; i < top->pages; i++) {
		uint8_t gone = below[top->bottom[i]][top->page[i]];
		if (was)
			assert_int_equal(holder.dead[i], gone);
		*dead(top, i) |= gone;
	}
}

static void tear_down(void)
{
	assert_int_equal(dax_release(top->dax, &holder), 0);
	while (nnodes) /* a stack comes behind what it stands on */
		assert_int_equal(dax_destroy(nodes[--nnodes].dax), 0);
	while (nbottoms)
		free(bottoms[--nbottoms].bytes);
}

static void c6_4_random_stacks_are_what_their_model_says(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < STACKS; i++) {
		seed = 0x9e3779b97f4a7c15 + i * 7919;
		memset(is_poisoned, 0, sizeof(is_poisoned));
		memset(is_dead, 0, sizeof(is_dead));
		memset(&holder, 0, sizeof(holder));
		top = build(DEPTH);
		assert_int_equal(dax_npages(top->dax), top->pages);
		assert_int_equal(dax_hold(top->dax, &holder, &holder_ops), 0);
		for (int step = 0; step < STEPS; step++) {
			uint64_t what = rnd(100);
			if (what < 60)
				check_access();
			else if (what < 75)
				copy_some();
			else if (what < 88)
				free_some();
			else if (what < 97)
				poison_some();
			else if (step > STEPS / 2)
				kill_some();
			check_list();
		}
		tear_down();
	}
}

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int inside, go;
} slow = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};

static int slow_populate(void *ctx, uint64_t offset, uint64_t len)
{
	(void)ctx, (void)offset, (void)len;
	(void)pthread_mutex_lock(&slow.lock);
	slow.inside = 1;
	(void)pthread_cond_broadcast(&slow.changed);
	while (!slow.go)
		(void)pthread_cond_wait(&slow.changed, &slow.lock);
	slow.inside = 0;
	(void)pthread_mutex_unlock(&slow.lock);
	return 0;
}

static void *run_populate(void *dax)
{
	return (void *)(intptr_t)dax_populate(dax, 2, 4);
}

static void *run_kill(void *dax)
{
	assert_int_equal(dax_kill(dax), 0);
	(void)pthread_mutex_lock(&slow.lock);
	assert_int_equal(slow.inside, 0); /* what ran has ended */
	(void)pthread_mutex_unlock(&slow.lock);
	return NULL;
}

/* The access runs in the device at the bottom; which of the three is killed makes no difference. */
static void kill_waits(int which)
{
	struct dax_device_ops ops = bottom_ops;
	struct dax_params params = {.params_bytes = sizeof(params), .len_bytes = 16 * PAGE, .fd = -1, .ops = &ops};
	struct dax_device *d[3];
	pthread_t populating, killing;
	void *answer;
	ops.populate = slow_populate;
	slow.inside = slow.go = 0;
	assert_int_equal(dax_create(&params, &d[0]), 0);
	assert_int_equal(dax_create_linear(&(struct dax_part){d[0], 0, 0}, 1, NULL, &d[1]), 0);
	assert_int_equal(dax_create_linear(&(struct dax_part){d[1], 0, 0}, 1, NULL, &d[2]), 0);
	assert_int_equal(pthread_create(&populating, NULL, run_populate, d[2]), 0);
	(void)pthread_mutex_lock(&slow.lock);
	while (!slow.inside)
		(void)pthread_cond_wait(&slow.changed, &slow.lock);
	(void)pthread_mutex_unlock(&slow.lock);
	assert_int_equal(pthread_create(&killing, NULL, run_kill, d[which]), 0);
	while (dax_alive(d[2]))
		(void)sched_yield();
	for (int i = 0; i < 100; i++) /* the killer gets its chance to be wrong */
		(void)sched_yield();
	(void)pthread_mutex_lock(&slow.lock);
	assert_int_equal(slow.inside, 1);
	slow.go = 1;
	(void)pthread_cond_broadcast(&slow.changed);
	(void)pthread_mutex_unlock(&slow.lock);
	assert_int_equal(pthread_join(killing, NULL), 0);
	assert_int_equal(pthread_join(populating, &answer), 0);
	assert_int_equal((intptr_t)answer, 0);
	assert_int_equal(dax_populate(d[2], 0, 1), -ENXIO);
	for (int i = 2; i >= 0; i--)
		assert_int_equal(dax_destroy(d[i]), 0);
}

static void c6_3_kill_waits_for_what_came_from_above(void **state)
{
	(void)state;
	for (int which = 0; which < 3; which++)
		kill_waits(which);
}

/* Accesses through a stack while one part after the other is killed: each is as it was, or refused. */
static struct dax_device *raced, *raced_parts[3];
static atomic_int killed; /* parts [0, killed) are known to be dead */

static void *access_all(void *arg)
{
	(void)arg;
	for (;;) {
		int before = atomic_load(&killed);
		for (int i = 0; i < 3; i++) {
			struct dax_span span;
			int64_t n = dax_direct_access(raced, (uint64_t)i * 16 + 3, 9, &span);
			assert_true(n == 9 || n == -ENXIO);
			assert_true(n == -ENXIO || i >= before);
			assert_true(n == 9 || i <= atomic_load(&killed));
		}
		if (before == 3)
			return NULL;
	}
}

static void c6_3_accesses_race_deaths(void **state)
{
	(void)state;
	for (int round = 0; round < 50; round++) {
		struct bottom b[3];
		struct dax_part parts[3];
		pthread_t threads[2];
		for (int i = 0; i < 3; i++) {
			bottom_open(&b[i], 16, 0);
			raced_parts[i] = b[i].dax;
			parts[i] = (struct dax_part){b[i].dax, 0, 0};
		}
		assert_int_equal(dax_create_linear(parts, 3, NULL, &raced), 0);
		atomic_store(&killed, 0);
		for (int i = 0; i < 2; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, access_all, NULL), 0);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(dax_kill(raced_parts[i]), 0);
			atomic_store(&killed, i + 1);
		}
		for (int i = 0; i < 2; i++)
			assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(dax_destroy(raced), 0);
		for (int i = 0; i < 3; i++)
			bottom_close(&b[i]);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(c6_4_random_stacks_are_what_their_model_says),
		cmocka_unit_test(c6_3_kill_waits_for_what_came_from_above),
		cmocka_unit_test(c6_3_accesses_race_deaths),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
