/* A sink for measuring: takes every message at once, counts, and checks what was said (RFC 5321,
 * RFC 2920, RFC 3030).  One thread, epoll; compiled and driven by tests/bench/sink.py.
 *
 *   sink [--extensions PIPELINING,CHUNKING,...] [--delay-ms D] [--arrivals] [--port P]
 *
 * The first line on stdout is the port.  A line "count" on stdin is answered by one line of JSON,
 * "reset" begins to count anew (connections stay), the end of stdin ends the process.  With
 * --arrivals every message is told by a line "message N AT_S" at once.
 *
 * --delay-ms holds each batch of replies that long after the octets it answers arrived, while the
 * socket is read on: to a client that is a round trip.  (The handshake of TCP itself is not
 * delayed: nobody reckons with it here.)
 *
 * Nothing is stored and no name is looked at: what is measured is the sender.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_OCTETS = 256 * 1024,
    LINE_OCTETS = 4096, /* of a command that came in pieces */
    REPLY_OCTETS = 64 * 1024,
    EVENTS = 256,
};

enum mode { COMMAND, CONTENT, CHUNK };

struct connection {
    int fd;
    uint64_t number; /* tells a connection from a later one at the same address */
    enum mode mode;
    int introduced, mail, recipients;
    int chunk_last;
    uint64_t chunk_left;
    /* The last four octets of content so far: the end may be cut anywhere. */
    char tail[4];
    int tail_octets;
    unsigned owed;      /* batches of replies that have not left yet */
    int barrier;        /* the reply to a command that ends its group has not left yet */
    int group_illegal;  /* counted already, for this group */
    int leaving;        /* QUIT was said */
    int batch_in_mail;  /* the batch under way answers something of a transaction */
    int batch_messages; /* and so many ends of content */
    struct connection *next_free;
    size_t line_octets, reply_octets;
    char line[LINE_OCTETS];
    char reply[REPLY_OCTETS];
};

/* Replies that wait for their time; all wait equally long, so that a queue keeps them in order. */
struct late {
    struct connection *to;
    uint64_t number;
    double due_s;
    int messages;
    size_t octets;
    struct late *next;
    char text[];
};

static struct {
    uint64_t connections, messages, recipients, octets, reads;
    uint64_t round_trips, opening_round_trips;
    uint64_t illegal_groups, unknown_commands, out_of_order, lost_in_content;
    double first_mail_s, last_reply_s, cpu_from_s;
} counts;

static char extensions[512];
static int pipelining;
static double delay_s;
static int arrivals;
static int epoll_fd, timer_fd;
static struct late *late_first, *late_last;
static struct connection *free_connections;
static uint64_t connection_number;
static char input[READ_OCTETS];

static double now_s(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void *must(void *memory)
{
    if (memory == NULL)
        fail("memory");
    return memory;
}

/* --- replies ------------------------------------------------------------------------------ */

static void hang_up(struct connection *c)
{
    if (c->fd < 0)
        return;
    if (c->mode != COMMAND)
        counts.lost_in_content++;
    close(c->fd);
    c->fd = -1;
    c->number = 0;
    c->next_free = free_connections;
    free_connections = c;
}

static void transmit(struct connection *c, const char *text, size_t octets, int messages)
{
    /* Blocking would be wrong with a client that reads nothing; none of ours leaves 64 KB of
     * replies unread, so a full buffer means that it is broken. */
    if (send(c->fd, text, octets, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)octets) {
        hang_up(c);
        return;
    }
    if (messages)
        counts.last_reply_s = now_s();
    c->owed--;
    if (c->owed == 0)
        c->barrier = c->group_illegal = 0;
    if (c->owed == 0 && c->leaving)
        hang_up(c);
}

static void set_timer(double due_s)
{
    struct itimerspec at = {0};
    at.it_value.tv_sec = (time_t)due_s;
    at.it_value.tv_nsec = (long)((due_s - (double)at.it_value.tv_sec) * 1e9);
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static void answer_batch(struct connection *c)
{
    if (c->reply_octets == 0 || c->fd < 0)
        return;
    /* A batch that came while replies were owed had been sent ahead: nobody waited for it. */
    if (c->owed == 0) {
        if (c->batch_in_mail)
            counts.round_trips++;
        else if (!c->leaving) /* for the reply to QUIT alone nobody should wait */
            counts.opening_round_trips++;
    }
    c->owed++;
    if (delay_s <= 0) {
        transmit(c, c->reply, c->reply_octets, c->batch_messages);
    } else {
        struct late *late = must(malloc(sizeof *late + c->reply_octets));
        *late = (struct late){
            .to = c, .number = c->number, .due_s = now_s() + delay_s,
            .messages = c->batch_messages, .octets = c->reply_octets,
        };
        memcpy(late->text, c->reply, c->reply_octets);
        if (late_last != NULL) {
            late_last->next = late;
        } else {
            late_first = late;
            set_timer(late->due_s);
        }
        late_last = late;
    }
    c->reply_octets = 0;
    c->batch_in_mail = c->batch_messages = 0;
}

static void answer_late(void)
{
    uint64_t times;
    if (read(timer_fd, &times, sizeof times) < 0 && errno != EAGAIN)
        fail("timer");
    double now = now_s();
    while (late_first != NULL && late_first->due_s <= now) {
        struct late *late = late_first;
        late_first = late->next;
        if (late_first == NULL)
            late_last = NULL;
        if (late->to->number == late->number && late->to->fd >= 0)
            transmit(late->to, late->text, late->octets, late->messages);
        free(late);
    }
    if (late_first != NULL)
        set_timer(late_first->due_s);
}

static void reply(struct connection *c, const char *text)
{
    size_t octets = strlen(text);
    if (c->reply_octets + octets > sizeof c->reply)
        answer_batch(c);
    if (c->fd < 0)
        return;
    memcpy(c->reply + c->reply_octets, text, octets);
    c->reply_octets += octets;
}

/* --- what is said ------------------------------------------------------------------------- */

static void message_ends(struct connection *c)
{
    counts.messages++;
    c->batch_messages++;
    c->batch_in_mail = 1;
    c->mail = c->recipients = 0;
    c->mode = COMMAND;
    if (arrivals) {
        printf("message %llu %.9f\n", (unsigned long long)counts.messages, now_s());
        fflush(stdout);
    }
    reply(c, "250 2.0.0 taken\r\n");
}

static int is(const char *line, size_t octets, const char *verb)
{
    size_t length = strlen(verb);
    return octets >= length && strncasecmp(line, verb, length) == 0 &&
           (octets == length || line[length] == ' ' || line[length] == ':');
}

static void out_of_order(struct connection *c)
{
    counts.out_of_order++;
    reply(c, "503 5.5.1 not now\r\n");
}

static void on_ehlo(struct connection *c)
{
    char text[8 * sizeof extensions], list[sizeof extensions], *place = NULL;
    c->introduced = 1;
    c->mail = c->recipients = 0;
    int octets = snprintf(text, sizeof text, "250%csink.example.org\r\n", *extensions ? '-' : ' ');
    strcpy(list, extensions);
    for (char *word = strtok_r(list, ",", &place); word != NULL;) {
        char *next = strtok_r(NULL, ",", &place);
        octets += snprintf(text + octets, sizeof text - (size_t)octets, "250%c%s%s\r\n",
                           next ? '-' : ' ', word, strcasecmp(word, "SIZE") ? "" : " 0");
        word = next;
    }
    reply(c, text);
}

static void on_bdat(struct connection *c, const char *line)
{
    char *rest;
    c->chunk_left = strtoull(line + 4, &rest, 10);
    c->chunk_last = strncasecmp(rest, " LAST", 5) == 0;
    c->batch_in_mail = 1;
    /* The octets come whatever we say to it (RFC 3030 section 2). */
    c->mode = CHUNK;
    if (!c->mail || !c->recipients)
        c->chunk_last = -1; /* refused when it is over */
}

static void on_mail(struct connection *c)
{
    c->batch_in_mail = 1;
    if (!c->introduced || c->mail) {
        out_of_order(c);
        return;
    }
    if (counts.first_mail_s == 0)
        counts.first_mail_s = now_s();
    c->mail = 1;
    c->recipients = 0;
    reply(c, "250 2.1.0 ok\r\n");
}

static void on_rcpt(struct connection *c)
{
    c->batch_in_mail = 1;
    if (!c->mail) {
        out_of_order(c);
        return;
    }
    c->recipients++;
    counts.recipients++;
    reply(c, "250 2.1.5 ok\r\n");
}

static void on_data(struct connection *c)
{
    c->batch_in_mail = 1;
    if (!c->recipients) {
        out_of_order(c);
        return;
    }
    c->mode = CONTENT;
    memcpy(c->tail, "\r\n", 2); /* a lone dot may be all of it */
    c->tail_octets = 2;
    reply(c, "354 go on\r\n");
}

static void on_command(struct connection *c, const char *line, size_t octets)
{
    if ((c->barrier || (!pipelining && (c->owed || c->reply_octets))) && !c->group_illegal) {
        counts.illegal_groups++;
        c->group_illegal = 1;
    }
    /* RFC 2920 section 3.1: these end a group, whatever their reply. */
    int ends_group = 0;
    if (is(line, octets, "MAIL")) {
        on_mail(c);
    } else if (is(line, octets, "RCPT")) {
        on_rcpt(c);
    } else if (is(line, octets, "DATA")) {
        ends_group = 1;
        on_data(c);
    } else if (is(line, octets, "BDAT")) {
        on_bdat(c, line);
    } else if (is(line, octets, "RSET")) {
        c->batch_in_mail = 1;
        c->mail = c->recipients = 0;
        reply(c, "250 2.0.0 ok\r\n");
    } else if (is(line, octets, "EHLO")) {
        ends_group = 1;
        on_ehlo(c);
    } else if (is(line, octets, "HELO")) {
        ends_group = 1;
        c->introduced = 1;
        reply(c, "250 sink.example.org\r\n");
    } else if (is(line, octets, "NOOP")) {
        ends_group = 1;
        reply(c, "250 2.0.0 ok\r\n");
    } else if (is(line, octets, "QUIT")) {
        c->leaving = 1;
        reply(c, "221 2.0.0 bye\r\n");
    } else {
        ends_group = 1;
        counts.unknown_commands++;
        reply(c, "500 5.5.2 unknown\r\n");
    }
    if (ends_group) {
        c->barrier = 1;
        c->group_illegal = 0;
    }
}

/* How many of the octets are content; *ended tells whether the lone dot is among them. */
static size_t content(struct connection *c, const char *octets, size_t count, int *ended)
{
    *ended = 0;
    if (c->barrier && !c->group_illegal) { /* content before 354 was seen */
        counts.illegal_groups++;
        c->group_illegal = 1;
    }
    char seam[8];
    size_t first = count < 4 ? count : 4;
    memcpy(seam, c->tail, (size_t)c->tail_octets);
    memcpy(seam + c->tail_octets, octets, first);
    char *found = memmem(seam, (size_t)c->tail_octets + first, "\r\n.\r\n", 5);
    if (found != NULL) {
        *ended = 1;
        return (size_t)(found - seam) + 5 - (size_t)c->tail_octets;
    }
    /* Base64 has no dot: looking for one runs at the speed of memory. */
    const char *end = octets + count, *dot = octets;
    while ((dot = memchr(dot, '.', (size_t)(end - dot))) != NULL) {
        if (dot - octets >= 2 && end - dot >= 3 && memcmp(dot - 2, "\r\n.\r\n", 5) == 0) {
            *ended = 1;
            return (size_t)(dot - octets) + 3;
        }
        dot++;
    }
    if (count >= 4) {
        memcpy(c->tail, end - 4, 4);
        c->tail_octets = 4;
    } else {
        size_t all = (size_t)c->tail_octets + first, keep = all < 4 ? all : 4;
        memcpy(c->tail, seam + all - keep, keep);
        c->tail_octets = (int)keep;
    }
    return count;
}

static void chunk_ends(struct connection *c)
{
    c->mode = COMMAND;
    if (c->chunk_last < 0)
        out_of_order(c);
    else if (c->chunk_last)
        message_ends(c);
    else
        reply(c, "250 2.0.0 go on\r\n");
}

/* The octets of one read; returns 0 when the talk is over at once. */
static int take(struct connection *c, const char *octets, size_t count)
{
    while (count > 0 || (c->mode == CHUNK && c->chunk_left == 0)) {
        size_t used;
        if (c->mode == CONTENT) {
            int ended;
            used = content(c, octets, count, &ended);
            counts.octets += used;
            if (ended)
                message_ends(c);
        } else if (c->mode == CHUNK) {
            used = count < c->chunk_left ? count : (size_t)c->chunk_left;
            c->chunk_left -= used;
            counts.octets += used;
            if (c->chunk_left == 0)
                chunk_ends(c);
        } else {
            const char *lf = memchr(octets, '\n', count);
            used = lf != NULL ? (size_t)(lf - octets) + 1 : count;
            const char *line = octets;
            size_t length = used;
            if (lf == NULL || c->line_octets) { /* came in pieces */
                if (c->line_octets + used > sizeof c->line)
                    return 0;
                memcpy(c->line + c->line_octets, octets, used);
                c->line_octets += used;
                line = c->line;
                length = c->line_octets;
            }
            if (lf != NULL) {
                c->line_octets = 0;
                length -= length >= 2 && line[length - 2] == '\r' ? 2 : 1;
                on_command(c, line, length);
                if (c->leaving)
                    return 1;
            }
        }
        octets += used;
        count -= used;
    }
    return 1;
}

/* --- connections and the loop --------------------------------------------------------------- */

static void open_connection(int listener)
{
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct connection *c = free_connections;
    if (c != NULL)
        free_connections = c->next_free;
    else
        c = must(malloc(sizeof *c));
    memset(c, 0, offsetof(struct connection, line)); /* the arrays may stay as they are */
    c->fd = fd;
    c->number = ++connection_number;
    counts.connections++;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl");
    c->barrier = 1; /* nobody speaks before the greeting */
    reply(c, "220 sink.example.org ESMTP\r\n");
    answer_batch(c);
}

static void on_readable(struct connection *c)
{
    if (c->fd < 0) /* closed by an event before this one */
        return;
    ssize_t count = recv(c->fd, input, sizeof input, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0) {
        hang_up(c);
        return;
    }
    counts.reads++;
    if (take(c, input, (size_t)count))
        answer_batch(c);
    else
        hang_up(c);
}

static void show_counts(void)
{
#define N(name) (unsigned long long)counts.name
    printf("{\"connections\": %llu, \"messages\": %llu, \"recipients\": %llu, \"octets\": %llu, "
           "\"reads\": %llu, \"round_trips\": %llu, \"opening_round_trips\": %llu, "
           "\"illegal_groups\": %llu, \"unknown_commands\": %llu, \"out_of_order\": %llu, "
           "\"lost_in_content\": %llu, \"first_mail_s\": %.9f, \"last_reply_s\": %.9f, "
           "\"cpu_s\": %.6f}\n",
           N(connections), N(messages), N(recipients), N(octets), N(reads), N(round_trips),
           N(opening_round_trips), N(illegal_groups), N(unknown_commands), N(out_of_order),
           N(lost_in_content), counts.first_mail_s, counts.last_reply_s,
           cpu_s() - counts.cpu_from_s);
    fflush(stdout);
#undef N
}

/* Returns 0 at the end of stdin. */
static int on_order(void)
{
    char text[256];
    ssize_t count = read(0, text, sizeof text - 1);
    if (count <= 0)
        return 0;
    text[count] = 0;
    char *place = NULL;
    for (char *word = strtok_r(text, "\n", &place); word; word = strtok_r(NULL, "\n", &place)) {
        if (strcmp(word, "reset") == 0) {
            memset(&counts, 0, sizeof counts);
            counts.cpu_from_s = cpu_s();
        }
        show_counts();
    }
    return 1;
}

static int listen_on(int port)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t length = sizeof address;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 1024) < 0)
        fail("listen");
    getsockname(fd, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void watch(int fd, void *mark)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = mark};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl");
}

int main(int argc, char **argv)
{
    int port = 0;
    snprintf(extensions, sizeof extensions, "%s", "PIPELINING,CHUNKING,SIZE,8BITMIME,SMTPUTF8");
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--arrivals") == 0)
            arrivals = 1;
        else if (strcmp(argv[i], "--extensions") == 0 && ++i < argc)
            snprintf(extensions, sizeof extensions, "%s", value);
        else if (strcmp(argv[i], "--delay-ms") == 0 && ++i < argc)
            delay_s = atof(value) / 1000;
        else if (strcmp(argv[i], "--port") == 0 && ++i < argc)
            port = atoi(value);
        else
            return fprintf(stderr, "sink: what is %s?\n", argv[i]), 2;
    }
    pipelining = strcasestr(extensions, "PIPELINING") != NULL;

    static char listener_mark, timer_mark, order_mark;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int listener = listen_on(port);
    watch(listener, &listener_mark);
    watch(timer_fd, &timer_mark);
    watch(0, &order_mark);
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            void *mark = events[i].data.ptr;
            if (mark == &listener_mark)
                open_connection(listener);
            else if (mark == &timer_mark)
                answer_late();
            else if (mark != &order_mark)
                on_readable(mark);
            else if (!on_order())
                return show_counts(), 0;
        }
    }
}
