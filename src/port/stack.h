/* SPDX-License-Identifier: BSD-3-Clause */
/* stack.h - who is calling, for messages: a few frames of the caller's stack, taken without memory. */
#ifndef PGMAP_PORT_STACK_H
#define PGMAP_PORT_STACK_H

enum { PORT_STACK_FRAMES = 8 };

struct port_stack {
	int nframes;
	int thread; /* its number for the system */
	void *frames[PORT_STACK_FRAMES];
};

/* Once, before the others: loads what they need, so that none of them has to in a signal handler. */
void port_stack_init(void);

/* From the caller's caller on. */
void port_stack_take(struct port_stack *stack) __attribute__((noinline));

/* On stderr, a line a frame: MODULE+0xOFFSET, as addr2line -e MODULE wants it, and the nearest public name. */
void port_stack_say(const struct port_stack *stack);

int port_thread(void);
int port_process(void);

#endif
