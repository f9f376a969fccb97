/* A load generator for servers that close after each answer: one thread, epoll, a new connection
 * for each request; compiled and driven by tests/bench/http_load.py.
 *
 *   http_load --port P [--at-once N] [--requests R]        closed loop: N requests under way
 *   http_load --port P --rate R --requests N               open loop: one begins every 1/R s
 *   http_load --port P --hold N                            N half-sent requests, until stdin ends
 *   http_load --port P --abort [...]                       a reset behind each request
 *
 * An answer counts when it begins with HTTP/1.1 200 (or HTTP/1.0), its Content-Length came whole
 * and the server ended it cleanly; anything else is a failure, named in the result.  The result is
 * one line of JSON.  In the open loop a time runs from the moment a request was due, so a server
 * that stands still is charged for all who would have come meanwhile.
 *
 * --hold says "held N" when all are connected and sent, and connects anew what the server closes.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS = 512,
    HEAD_OCTETS = 4096, /* of a response; ours has 700 */
    READ_OCTETS = 256 * 1024,
    PATIENCE_S = 20, /* without any answer */
};

static const char REQUEST[] =
    "GET / HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: bench\r\nAccept: */*\r\n"
    "Connection: close\r\n\r\n";
static const char HALF[] = "GET / HTTP/1.1\r\nHost: localhost:8080\r\nX-Slow: ";

struct connection {
    int fd; /* -1: free */
    int sent;
    uint64_t due_ns;
    size_t octets, expected; /* expected 0: the head is not whole yet */
    size_t head_octets;
    char head[HEAD_OCTETS];
};

static struct sockaddr_in server;
static int epoll_fd;
static int hold, aborting;
static struct connection *connections;
static size_t *free_slots, free_count, slot_count;
static uint64_t begun, answered, aborted, refused, reset, status_wrong, cut_short;
static uint64_t *times_ns, times_count;
static char scratch[READ_OCTETS];

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void end(struct connection *it) {
    close(it->fd); /* which takes it out of epoll */
    it->fd = -1;
    free_slots[free_count++] = (size_t)(it - connections);
}

static void send_request(struct connection *it) {
    const char *words = hold ? HALF : REQUEST;
    size_t octets = hold ? sizeof HALF - 1 : sizeof REQUEST - 1;
    ssize_t done = send(it->fd, words, octets, MSG_NOSIGNAL);
    if (done == (ssize_t)octets) {
        it->sent = 1;
        if (aborting) {
            struct linger at_once = {1, 0};
            setsockopt(it->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
            aborted++;
            end(it);
        }
    } else if (done < 0 && errno != EAGAIN && errno != ENOTCONN) {
        reset++;
        end(it);
    }
}

static void begin(uint64_t due_ns) {
    struct connection *it = &connections[free_slots[--free_count]];
    begun++;
    it->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (it->fd < 0) die("socket");
    it->sent = 0;
    it->due_ns = due_ns;
    it->octets = it->expected = it->head_octets = 0;
    if (connect(it->fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS) {
        refused++;
        end(it);
        return;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = it};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, it->fd, &event) < 0) die("epoll_ctl");
    send_request(it); /* on loopback the handshake is done by now */
}

static void read_head(struct connection *it, size_t octets) {
    size_t room = sizeof it->head - 1 - it->head_octets;
    size_t taken = octets < room ? octets : room;
    memcpy(it->head + it->head_octets, scratch, taken);
    it->head_octets += taken;
    it->head[it->head_octets] = 0;
    char *ending = strstr(it->head, "\r\n\r\n");
    if (!ending) return;
    char *length = strcasestr(it->head, "\r\ncontent-length:");
    it->expected = (size_t)(ending + 4 - it->head);
    if (length && length < ending) it->expected += strtoul(length + 17, NULL, 10);
}

static void judge(struct connection *it) {
    if (hold) return;
    if (strncmp(it->head, "HTTP/1.", 7) || strncmp(it->head + 8, " 200 ", 5)) {
        if (it->octets) status_wrong++; else cut_short++;
    } else if (!it->expected || it->octets != it->expected) {
        cut_short++;
    } else {
        times_ns[times_count++] = now_ns() - it->due_ns;
        answered++;
    }
}

static void serve(struct connection *it, uint32_t events) {
    if (it->fd < 0) return;
    if (!it->sent && events & EPOLLOUT) send_request(it);
    if (it->fd < 0 || !(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
    for (;;) {
        ssize_t octets = recv(it->fd, scratch, sizeof scratch, 0);
        if (octets > 0) {
            if (!it->expected) read_head(it, (size_t)octets);
            it->octets += (size_t)octets;
            continue;
        }
        if (octets < 0 && errno == EAGAIN) return;
        if (octets < 0) {
            if (it->sent) reset++; else refused++;
        } else {
            judge(it);
        }
        end(it);
        return;
    }
}

static int by_size(const void *a, const void *b) {
    uint64_t one = *(const uint64_t *)a, two = *(const uint64_t *)b;
    return (one > two) - (one < two);
}

static double part_us(double part) {
    if (!times_count) return -1;
    uint64_t at = (uint64_t)(part * (double)times_count);
    return (double)times_ns[at < times_count ? at : times_count - 1] / 1e3;
}

static void tell(double took_s) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    qsort(times_ns, times_count, sizeof *times_ns, by_size);
    printf("{\"took_s\": %.6f, \"answered\": %lu, \"aborted\": %lu, \"refused\": %lu, "
           "\"reset\": %lu, \"status_wrong\": %lu, \"cut_short\": %lu, \"p50_us\": %.1f, "
           "\"p99_us\": %.1f, \"max_us\": %.1f, \"cpu_s\": %.4f}\n",
           took_s, answered, aborted, refused, reset, status_wrong, cut_short, part_us(0.5),
           part_us(0.99), part_us(1.0), cpu_s);
    fflush(stdout);
}

static uint64_t number(const char *words) { return strtoull(words, NULL, 10); }

/* Whether stdin has ended: whoever holds us has gone on. */
static int released(void) {
    char octet;
    struct timespec none = {0, 0};
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(0, &readable);
    return pselect(1, &readable, NULL, NULL, &none, NULL) == 1 && read(0, &octet, 1) <= 0;
}

int main(int argc, char **argv) {
    uint64_t requests = 0, at_once = 64, rate = 0;
    server.sin_family = AF_INET;
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "--abort")) {
            aborting = 1;
            continue;
        }
        if (!strcmp(argv[i], "--port")) server.sin_port = htons((uint16_t)number(value));
        else if (!strcmp(argv[i], "--requests")) requests = number(value);
        else if (!strcmp(argv[i], "--at-once")) at_once = number(value);
        else if (!strcmp(argv[i], "--rate")) rate = number(value);
        else if (!strcmp(argv[i], "--hold")) hold = 1, at_once = number(value);
        else return fprintf(stderr, "what is %s?\n", argv[i]), 2;
        i++;
    }
    prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0); /* the default of 50 µs would be seen in the times */
    slot_count = rate ? 16384 : at_once;
    connections = calloc(slot_count, sizeof *connections);
    free_slots = calloc(slot_count, sizeof *free_slots);
    times_ns = calloc(requests + 1, sizeof *times_ns);
    if (!connections || !free_slots || !times_ns) die("calloc");
    for (size_t i = 0; i < slot_count; i++) {
        connections[i].fd = -1;
        free_slots[free_count++] = i;
    }
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) die("epoll_create1");

    struct epoll_event events[EVENTS];
    uint64_t begin_ns = now_ns(), last_ns = begin_ns, last_done = 0;
    int said = 0;
    for (;;) {
        uint64_t now = now_ns(), next_ns = now + 100000000u;
        if (hold) {
            /* A few at a time: they are to be held, not to overrun the server's backlog. */
            for (int some = 0; free_count && some < 64; some++) begin(now);
            if (!free_count && !said) said = printf("held %lu\n", at_once), fflush(stdout);
            if (free_count) next_ns = now + 2000000u;
            if (released()) break;
        } else if (rate) {
            uint64_t due;
            while (begun < requests && free_count &&
                   (due = begin_ns + begun * 1000000000u / rate) <= now)
                begin(due);
            if (begun < requests) next_ns = begin_ns + begun * 1000000000u / rate;
        } else {
            while (begun < requests && free_count) begin(now_ns());
        }
        if (!hold && begun >= requests && free_count == slot_count) break;
        now = now_ns();
        if (next_ns < now) next_ns = now;
        struct timespec wait = {(time_t)((next_ns - now) / 1000000000u),
                                (long)((next_ns - now) % 1000000000u)};
        /* Aborted ones leave slots free without any event. */
        if (!hold && !rate && free_count && begun < requests) wait.tv_sec = 0, wait.tv_nsec = 0;
        int count = epoll_pwait2(epoll_fd, events, EVENTS, &wait, NULL);
        if (count < 0 && errno != EINTR) die("epoll_pwait2");
        for (int i = 0; i < count; i++) serve(events[i].data.ptr, events[i].events);
        uint64_t done = begun - (slot_count - free_count);
        if (done != last_done) last_done = done, last_ns = now_ns();
        if (!hold && now_ns() - last_ns > PATIENCE_S * 1000000000ull) break;
    }
    cut_short += hold ? 0 : slot_count - free_count;
    tell((double)(now_ns() - begin_ns) / 1e9);
    return 0;
}
