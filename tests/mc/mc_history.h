/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mc_history.h - the data of C11's memory (mc_views.c says what it is for): histories of messages, views, pasts.
 *
 * The messages of all words lie in one pool, a word's history behind another's, oldest first: a position in a history is
 * its number in views. Numbers of 0 say nothing, as everybody has got that far.
 */
#ifndef MC_HISTORY_H
#define MC_HISTORY_H

#include "mc.h"

#ifndef PSC
#define PSC 0
#endif
#ifndef ASYMMETRIC
#define ASYMMETRIC 0
#endif

enum { WORDS = 24, KNOWN = 16, MESSAGES = 120, LARGEST = 512 };

struct past {
	uint8_t at[WORDS];
};
struct view {
	uint8_t at[WORDS];
	struct past past;
	uint8_t known[KNOWN]; /* plain cells, a bit each */
};
struct message {
	uint64_t value;
	struct view view;   /* released with it */
	struct past wrote;  /* of the SC write that it is */
	struct past read;   /* of the SC loads that read it, and of all that was in older messages */
	uint64_t sc, glued; /* is an SC write; is an exchange of the one before */
};
struct thread {
	struct view cur, acq, rel; /* known; known after an acquire fence; known at the last release fence */
};

struct memory {
	struct thread threads[THREADS];
	uint8_t fenced[WORDS]; /* what the SC fences have seen */
	uint8_t first[32];     /* where in pool each word's history begins; [nwords]: where all end */
	struct message pool[MESSAGES];
};
extern struct memory m;

struct word {
	void *at;
	int writer;
};
extern struct word words[WORDS];
extern unsigned nwords;

static inline struct message *history(unsigned x)
{
	return &m.pool[m.first[x]];
}

static inline unsigned length(unsigned x)
{
	return (unsigned)m.first[x + 1] - m.first[x];
}

static inline void join_past(struct past *to, const struct past *from)
{
	for (unsigned i = 0; i < WORDS; i++)
		to->at[i] = to->at[i] > from->at[i] ? to->at[i] : from->at[i];
}

static inline void join(struct view *to, const struct view *from, bool with_past)
{
	for (unsigned i = 0; i < WORDS; i++)
		to->at[i] = to->at[i] > from->at[i] ? to->at[i] : from->at[i];
	for (unsigned i = 0; i < KNOWN; i++)
		to->known[i] |= from->known[i];
	if (with_past)
		join_past(&to->past, &from->past);
}

unsigned place_of(const volatile void *p);
/* A new message of x right behind p. Null: no room. */
struct message *insert(unsigned x, unsigned p);
/* Thread t passes an SC fence. */
void pass_fence(unsigned t);

#endif
