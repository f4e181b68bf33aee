/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hostile_clients.c - clients that do what none should, each a process of its own, beside four honest ones (hostile.h).
 * They speak the protocol by hand: no library stands between them and the server.
 */
#include "hostile.h"

#include <pthread.h>
#include <sys/eventfd.h>

static struct proto_req request(enum proto_type type)
{
	return (struct proto_req){.magic = PROTO_MAGIC, .version = PROTO_VERSION, .type = (uint16_t)type, .seq = 7};
}

static int dial(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", server.path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	return fd;
}

static int ask(int fd, const struct proto_req *req, struct proto_rep *rep)
{
	CHILD_CHECK(send(fd, req, sizeof(*req), MSG_NOSIGNAL) == sizeof(*req));
	CHILD_CHECK(recv(fd, rep, sizeof(*rep), 0) == sizeof(*rep));
	return rep->error;
}

struct raw {
	int fd, fds[1 + PROTO_HELLO_FDS]; /* lease, segment, event */
	uint64_t nwords;
	_Atomic uint64_t *words;
};

static struct raw greet(void)
{
	struct proto_req req = request(PROTO_HELLO);
	struct proto_rep rep;
	struct raw raw = {.fd = dial()};
	CHILD_CHECK(send(raw.fd, &req, sizeof(req), 0) == sizeof(req));
	sys_receive_fds(raw.fd, &rep, sizeof(rep), raw.fds, 1 + PROTO_HELLO_FDS);
	raw.nwords = rep.u.hello.words;
	raw.words = mmap(NULL, raw.nwords * 8, PROT_READ | PROT_WRITE, MAP_SHARED, raw.fds[1], 0);
	CHILD_CHECK((void *)raw.words != MAP_FAILED);
	return raw;
}

/* A file of so many bytes, and where on the device it begins. */
static uint64_t map_raw(const struct raw *raw, const char *path, uint64_t bytes, struct proto_rep *rep)
{
	struct proto_req req = request(PROTO_OPEN_MAP);
	(void)snprintf(req.path, sizeof(req.path), "%s", path);
	req.flags = PGMAP_O_CREATE;
	req.len_bytes = bytes;
	req.prot = PGMAP_MAP_READ | PGMAP_MAP_WRITE;
	CHILD_CHECK(ask(raw->fd, &req, rep) == 0);
	return rep->u.map.pieces[0].device_offset_bytes;
}

typedef void hostile_fn(const struct sys_server *s, int said, int go);

/* It does what it does, ends, and nothing of it is left. */
static void run_hostile(hostile_fn *fn)
{
	struct sys_child child = sys_spawn(fn, &server);
	assert_int_equal(sys_exit_code(child.pid), 0);
	sys_close_child(&child);
	hostile_all_is_well();
}

static unsigned descriptors_of_server(void)
{
	char path[64];
	unsigned n = 0;
	for (int fd = 0; fd < 4096; fd++) {
		struct stat st;
		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)server.pid, fd);
		n += lstat(path, &st) == 0;
	}
	return n;
}

/* Its own lease, a pipe, a directory, an eventfd, a socket that lingers, itself: with a hello, and later. */
static void send_descriptors(const struct sys_server *s, int said, int go)
{
	(void)s, (void)said, (void)go;
	int pair[2];
	CHILD_CHECK(pipe(pair) == 0);
	for (unsigned i = 0; i < 200; i++) {
		struct raw raw = greet();
		struct proto_req req = request(i % 2 ? PROTO_INFO : PROTO_HELLO);
		const int sent[] = {raw.fds[0],
				    raw.fds[1],
				    raw.fds[2],
				    pair[0],
				    open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
				    eventfd(0, EFD_CLOEXEC),
				    socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
				    raw.fd};
		int to = i % 2 ? raw.fd : dial();
		ssize_t n = sys_send_fd(to, &req, sizeof(req), sent[i / 2 % 8]);
		CHILD_CHECK(n == sizeof(req) || errno == EPERM); /* the kernel can say that the server takes none */
		if (n == sizeof(req)) {
			struct proto_rep rep;
			CHILD_CHECK(recv(to, &rep, sizeof(rep), 0) == sizeof(rep) && rep.error == -EPROTO);
			CHILD_CHECK(recv(to, &rep, sizeof(rep), 0) == 0);
		}
		(void)munmap((void *)raw.words, raw.nwords * 8);
		(void)close_range((unsigned)pair[1] + 1, ~0U, 0);
	}
}

static void c7_6_descriptors_that_nobody_asked_for(void **state)
{
	(void)state;
	run_hostile(send_descriptors);
	unsigned before = descriptors_of_server();
	run_hostile(send_descriptors);
	while (descriptors_of_server() > before) /* the connections of the last round are being ended */
		(void)sched_yield();
}

static void send_every_length(const struct sys_server *s, int said, int go)
{
	(void)s, (void)said, (void)go;
	unsigned char bytes[sizeof(struct proto_req) + 64];
	uint32_t random = 1;
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		struct proto_rep rep;
		int fd = dial();
		for (size_t i = 0; i < len; i++)
			bytes[i] = (unsigned char)((random = random * 1664525 + 1013904223) >> 24);
		if (len % 3 == 0 && len >= PROTO_HEADER_BYTES) { /* it begins as it should */
			struct proto_req req = request(PROTO_HELLO);
			memcpy(bytes, &req, PROTO_HEADER_BYTES);
		}
		CHILD_CHECK(send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len);
		ssize_t n = recv(fd, &rep, sizeof(rep), 0);
		CHILD_CHECK(len == 0 ? n == 0 : n == sizeof(rep) && rep.error != 0);
		(void)close(fd);
	}
}

static void c7_6_messages_of_every_length(void **state)
{
	(void)state;
	run_hostile(send_every_length);
}

static atomic_bool done;

static void *scribbler(void *arg)
{
	struct raw *raw = arg;
	for (uint64_t i = 0; !atomic_load(&done); i++)
		raw->words[i % 4096] = i % 7 ? i * UINT64_C(0x9e3779b97f4a7c15) : UINT64_MAX;
	return NULL;
}

/* The counts, the reasons, everything changes while the server looks at it. What it makes seem pinned stays its own until it
 * ends: so it asks for little, that the honest have room (64 MiB hold all of it, were no unmap let through). */
static void scribble(const struct sys_server *s, int said, int go)
{
	(void)s, (void)said, (void)go;
	struct raw raw = greet();
	struct proto_rep rep;
	pthread_t thread;
	CHILD_CHECK(pthread_create(&thread, NULL, scribbler, &raw) == 0);
	for (unsigned i = 0; i < 500; i++) {
		struct proto_req unmap = request(PROTO_UNMAP), unlink = request(PROTO_UNLINK), who = request(PROTO_WHO);
		(void)map_raw(&raw, "/scribbled", 8 * 4096, &rep);
		unmap.handle = rep.handle;
		strcpy(unlink.path, "/scribbled");
		CHILD_CHECK(ask(raw.fd, &unlink, &rep) == 0);
		strcpy(who.path, "/kept-0");
		CHILD_CHECK(ask(raw.fd, &who, &rep) == 0);
		int err = ask(raw.fd, &unmap, &rep);
		CHILD_CHECK(err == 0 || err == -EBUSY);
	}
	atomic_store(&done, true);
	(void)pthread_join(thread, NULL);
	for (uint64_t i = 0; i < raw.nwords; i++)
		raw.words[i] = 0; /* else it would leave pins for devices, and a quarantine */
}

static void c7_6_a_scribbled_pin_segment(void **state)
{
	(void)state;
	run_hostile(scribble);
}

/* It dies while its words say anything: what they say are its own pins, and its own pages wait to be fenced. */
static void scribble_and_die(const struct sys_server *s, int said, int go)
{
	(void)s, (void)said, (void)go;
	struct raw raw = greet();
	struct proto_rep rep;
	(void)map_raw(&raw, "/scribbled", 64 * 4096, &rep);
	for (uint64_t i = 0; i < raw.nwords; i++)
		raw.words[i] = UINT64_MAX - i;
	(void)raise(SIGKILL);
}

static void c7_5_pins_that_were_scribbled_are_fenced_as_others(void **state)
{
	(void)state;
	struct sys_child child = sys_spawn(scribble_and_die, &server);
	assert_int_equal(sys_exit_code(child.pid), 128 + SIGKILL);
	sys_close_child(&child);
	sys_until_state(watcher, child.pid, PGMAP_WHO_QUARANTINED);
	hostile_honest_go_on();
	assert_true(sys_info(watcher).quarantined_pages <= 64);
	assert_int_equal(pgmap_fence(watcher, sys_who(watcher, NULL, child.pid).holder_id), 0);
	assert_int_equal(pgmap_unlink(watcher, "/scribbled"), 0);
	hostile_all_is_well();
}

/*
 * The lock is the client's own descriptor's, and it can let go of it. For as long as it is connected nothing follows; once
 * its socket ends, the server takes it for gone, and others get the pages that it maps still: so it is the one that sees
 * what is not its own, as it could by mapping other pages of the device (c7.4). docs/lease.md says so.
 */
static void let_go_of_the_lock(const struct sys_server *s, int said, int go)
{
	(void)s;
	struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET}; /* all bytes */
	struct raw raw = greet();
	struct proto_rep rep;
	uint64_t at = map_raw(&raw, "/unlocked", 64 * 4096, &rep);
	const void *bytes = mmap(NULL, 64 * 4096, PROT_READ, MAP_SHARED, raw.fds[0], (off_t)at);
	CHILD_CHECK(bytes != MAP_FAILED);
	CHILD_CHECK(fcntl(raw.fds[0], F_OFD_SETLK, &lock) == 0);
	struct proto_req info = request(PROTO_INFO);
	CHILD_CHECK(ask(raw.fd, &info, &rep) == 0);
	sys_say(said); /* connected, and still a holder */
	sys_await(go);
	(void)close(raw.fd);
	sys_say(said);
	sys_await(go);                       /* still mapping */
	(void)*(const volatile char *)bytes; /* whoever's it is by now */
}

static void c7_4_one_that_lets_go_of_its_own_lock_hurts_only_itself(void **state)
{
	(void)state;
	struct sys_child child = sys_spawn_heard(let_go_of_the_lock, &server);
	assert_int_equal(sys_who(watcher, "/unlocked", child.pid).pages, 64);
	assert_int_equal(pgmap_unlink(watcher, "/unlocked"), 0);
	hostile_honest_go_on();
	assert_int_equal(sys_who(watcher, NULL, child.pid).pages, 64); /* what it says counts while it is there */
	sys_go_on(&child);
	sys_heard(&child);
	sys_until_state(watcher, child.pid, 0);
	uint64_t bytes = sys_info(watcher).free / 2 * 4096; /* the rest is for the honest */
	struct pgmap_mapping *half = sys_map(watcher, "/half", bytes), *next = sys_map(watcher, "/next", bytes - MIB);
	assert_true(hostile_is_all(pgmap_mapping_address(half), 0, bytes));
	memset(pgmap_mapping_address(half), 'n', bytes);
	memset(pgmap_mapping_address(next), 'n', bytes - MIB);
	hostile_honest_go_on();
	sys_go_on(&child);
	assert_int_equal(sys_exit_code(child.pid), 0);
	sys_close_child(&child);
	assert_true(hostile_is_all(pgmap_mapping_address(half), 'n', bytes));
	assert_int_equal(pgmap_unmap(half) | pgmap_unmap(next), 0);
	assert_int_equal(pgmap_unlink(watcher, "/half") | pgmap_unlink(watcher, "/next"), 0);
	hostile_all_is_well();
}

/* Locks on bytes that are not its own: what was given is a read lock's, all others are guarded. */
static void take_others_locks(const struct sys_server *s, int said, int go)
{
	(void)said, (void)go;
	struct pgmap_client *after;
	struct raw raw = greet();
	struct proto_req lease = request(PROTO_LEASE);
	struct proto_rep rep;
	int writable;
	lease.flags = PROTO_LEASE_WRITE;
	CHILD_CHECK(send(raw.fd, &lease, sizeof(lease), 0) == sizeof(lease));
	sys_receive_fds(raw.fd, &rep, sizeof(rep), &writable, 1);
	for (off_t byte = 0; byte < 5000; byte++) {
		struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
		(void)fcntl(writable, F_OFD_SETLK, &lock);
		lock.l_type = F_RDLCK;
		(void)fcntl(raw.fds[0], F_OFD_SETLK, &lock);
	}
	CHILD_CHECK(pgmap_connect(s->path, &after) == 0); /* others still come */
	CHILD_CHECK(pgmap_disconnect(after) == 0);
}

static void c7_6_locks_on_others_bytes_keep_nobody_out(void **state)
{
	(void)state;
	run_hostile(take_others_locks);
}

static void *flood(void *arg)
{
	enum { MESSAGES = 5000, IN_FLIGHT = 16 };
	static const enum proto_type types[] = {PROTO_INFO, PROTO_STAT, PROTO_WHO, PROTO_READDIR, PROTO_NTYPES};
	int fd = dial(), sent = 0, read = 0;
	struct proto_req req = request(PROTO_HELLO);
	struct proto_rep rep;
	req.flags = PROTO_HELLO_CONTROL;
	CHILD_CHECK(ask(fd, &req, &rep) == 0);
	while (read < MESSAGES) {
		req = request(types[sent % 5]);
		strcpy(req.path, req.type == PROTO_READDIR ? "/" : req.type == PROTO_STAT ? "/kept-1" : "");
		/* What comes with a descriptor is sent to one that has read all before. */
		int ahead = req.type == PROTO_WHO || req.type == PROTO_READDIR ? 1 : IN_FLIGHT;
		while (read < sent && sent - read >= ahead) {
			CHILD_CHECK(recv(fd, &rep, sizeof(rep), 0) == sizeof(rep));
			read++;
		}
		if (ahead == 1) {
			CHILD_CHECK(ask(fd, &req, &rep) == 0);
			sent++, read++;
		} else if (sent < MESSAGES) {
			CHILD_CHECK(send(fd, &req, sizeof(req), 0) == sizeof(req));
			sent++;
		} else {
			CHILD_CHECK(recv(fd, &rep, sizeof(rep), 0) == sizeof(rep));
			read++;
		}
	}
	(void)close(fd);
	return arg;
}

static void flood_the_server(const struct sys_server *s, int said, int go)
{
	(void)s, (void)said, (void)go;
	pthread_t threads[4];
	for (unsigned i = 0; i < 4; i++)
		CHILD_CHECK(pthread_create(&threads[i], NULL, flood, NULL) == 0);
	for (unsigned i = 0; i < 4; i++)
		(void)pthread_join(threads[i], NULL);
}

static void a_flood_from_four_threads(void **state)
{
	(void)state;
	struct sys_child child = sys_spawn(flood_the_server, &server);
	hostile_honest_go_on(); /* meanwhile */
	assert_int_equal(sys_exit_code(child.pid), 0);
	sys_close_child(&child);
	hostile_all_is_well();
}

/* Requests whose replies have descriptors, and none of them read; with connections that come and go. */
static void never_read(const struct sys_server *s, int said, int go)
{
	(void)s, (void)said, (void)go;
	for (unsigned i = 0; i < 50; i++) {
		struct raw raw = greet();
		ssize_t n = 1;
		for (unsigned k = 0; k < 10000 && n > 0; k++) {
			struct proto_req req = request(i % 2 ? PROTO_WHO : PROTO_INFO);
			n = send(raw.fd, &req, sizeof(req), MSG_NOSIGNAL);
		}
		CHILD_CHECK(n < 0 && (errno == EPIPE || errno == ECONNRESET)); /* it was dropped */
		(void)munmap((void *)raw.words, raw.nwords * 8);
		(void)close_range((unsigned)go + 1, ~0U, 0);
	}
}

static void one_that_never_reads(void **state)
{
	(void)state;
	run_hostile(never_read);
}

static void map_and_wait(const struct sys_server *s, int said, int go)
{
	struct pgmap_client *client;
	struct pgmap_mapping *mapping;
	CHILD_CHECK(pgmap_connect(s->path, &client) == 0);
	CHILD_CHECK(pgmap_open_map(client, "/stopped", PGMAP_O_CREATE, MIB, PGMAP_MAP_READ | PGMAP_MAP_WRITE,
				   &mapping) == 0);
	memset(pgmap_mapping_address(mapping), 's', MIB);
	CHILD_CHECK(pgmap_pin(mapping, 0, MIB, PGMAP_PIN_LOCAL) == 0);
	sys_say(said);
	sys_await(go);
	CHILD_CHECK(hostile_is_all(pgmap_mapping_address(mapping), 's', MIB));
	CHILD_CHECK(pgmap_unpin(mapping, 0, MIB, PGMAP_PIN_LOCAL) == 0 && pgmap_unmap(mapping) == 0);
	CHILD_CHECK(pgmap_disconnect(client) == 0);
}

/* Hours or a second: nothing of it is used again, and it goes on as if nothing had been. */
static void c7_2_one_that_is_stopped_while_it_holds(void **state)
{
	(void)state;
	int status;
	struct sys_child child = sys_spawn_heard(map_and_wait, &server);
	assert_int_equal(kill(child.pid, SIGSTOP), 0);
	assert_int_equal(waitpid(child.pid, &status, WUNTRACED), child.pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(pgmap_unlink(watcher, "/stopped"), 0);
	struct sys_who who = sys_who(watcher, NULL, child.pid);
	assert_int_equal(who.pages, 256);
	assert_true(who.pins_local > 0);
	uint64_t bytes = sys_info(watcher).free / 2 * 4096;
	struct pgmap_mapping *half = sys_map(watcher, "/half", bytes);
	memset(pgmap_mapping_address(half), 'n', bytes);
	assert_int_equal(pgmap_unmap(half), 0);
	assert_int_equal(pgmap_unlink(watcher, "/half"), 0);
	hostile_honest_go_on();
	assert_int_equal(kill(child.pid, SIGCONT), 0);
	sys_go_on(&child);
	assert_int_equal(sys_exit_code(child.pid), 0);
	sys_close_child(&child);
	hostile_all_is_well();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c7_6_descriptors_that_nobody_asked_for),
		cmocka_unit_test(c7_6_messages_of_every_length),
		cmocka_unit_test(c7_6_a_scribbled_pin_segment),
		cmocka_unit_test(c7_5_pins_that_were_scribbled_are_fenced_as_others),
		cmocka_unit_test(c7_4_one_that_lets_go_of_its_own_lock_hurts_only_itself),
		cmocka_unit_test(c7_6_locks_on_others_bytes_keep_nobody_out),
		cmocka_unit_test(a_flood_from_four_threads),
		cmocka_unit_test(one_that_never_reads),
		cmocka_unit_test(c7_2_one_that_is_stopped_while_it_holds),
	};
	return cmocka_run_group_tests(tests, hostile_begin, hostile_end);
}
