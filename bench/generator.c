/* One light generator of requests, for Palimpsest and for Redis: what it leaves of the machine is the server's.
 *
 * A single thread holds a fixed window of requests open on each of its connections: as answers come, it sends as many
 * new requests, in one write. A request is a copy of bytes encoded beforehand, in which only the request's number, the
 * name of the field and the end of the new text are written anew. Every answer is checked; whatever is not the expected
 * one ends the run with a message and exit status 1.
 *
 * The same work for both servers: `update` sets one of the text fields of a document and increments its counter, durably;
 * `get` reads the whole document. Documents and the script for Redis are there before it starts.
 *
 * Arguments are name=value, all of them needed but `script`:
 *
 *     server=palimpsest|redis  mode=update|get  host=127.0.0.1  port=N  connections=N  outstanding=N (per connection)
 *     documents=N  text_fields=N  warmup=SECONDS  seconds=SECONDS  script=SHA1 (of the script that redis has loaded)
 *
 * One line of JSON on stdout: answers, seconds, p50_us, p99_us, p999_us, max_us, cpu_seconds (of this process).
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    NAME_BYTES_MAX = 64,
    REQUEST_BYTES_MAX = 512,
    TEXT_BYTES = 40,           /* of the string that an update sets; its last 8 characters are a running number */
    NUMBER_BYTES = 8,
    FRAME_HEADER_BYTES = 7,    /* 4 of length, then an array header of 3 */
    OUTSTANDING_MAX = 60000,   /* an array header of 3 bytes counts to 65535 */
    RECEIVE_BYTES = 256 * 1024,
    SILENCE_SECONDS_MAX = 20,  /* without any answer, the server is taken for dead */
    TAG_WELCOME = 0, TAG_COMMITTED = 2, TAG_DOCUMENT = 4, TAG_FAILED = 12, TAG_GOODBYE = 13,
};

static const char TEXT_START[] = "text set by a generator, number ";

struct options {
    int is_redis, is_get;
    const char *host, *script;
    long port, connections, outstanding, documents, text_fields;
    double warmup, seconds;
};

/* A request encoded beforehand. An offset of 0 says that there is nothing of the kind to write anew. */
struct request {
    uint32_t length, number_at, field_at, text_at;
    uint8_t bytes[REQUEST_BYTES_MAX];
};

/* A request that is not answered yet; number 0 says that the place is free. */
struct waiting {
    uint64_t number, sent_at;
};

struct connection {
    int socket, wants_write;
    long document;               /* the next to be sent; goes up in steps of `connections` */
    uint64_t sent, answered;     /* numbers of requests start with 1 */
    struct waiting *window;      /* by number modulo window_size */
    uint8_t *in, *out;
    size_t in_length, in_capacity, out_length, out_done;
};

static struct options options;
static struct request *requests; /* one a document */
static uint64_t window_size;     /* a power of two; room for answers that overtake others */
static uint64_t running_number;

static uint64_t measure_from, measure_to, answers, latency_max;
static uint64_t histogram[64 * 64];

static void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "generator: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    exit(1);
}

static void *allocate(size_t bytes) {
    void *memory = calloc(1, bytes);
    if (memory == NULL) fail("no memory for %zu bytes", bytes);
    return memory;
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- latencies: 64 buckets for each power of two, so an error of less than 1.6% ---------------------------------- */

static unsigned bucket_of(uint64_t ns) {
    if (ns < 64) return (unsigned)ns;
    unsigned exponent = 63u - (unsigned)__builtin_clzll(ns);
    return (exponent - 5) * 64 + (unsigned)((ns >> (exponent - 6)) & 63);
}

static double bucket_middle_us(unsigned bucket) {
    if (bucket < 64) return bucket / 1000.0;
    unsigned exponent = bucket / 64 + 5;
    double width = (double)(1ull << (exponent - 6));
    return ((double)(1ull << exponent) + (bucket % 64 + 0.5) * width) / 1000.0;
}

static double percentile_us(double share) {
    uint64_t wanted = (uint64_t)(share * (double)answers), seen = 0;
    for (unsigned bucket = 0; bucket < 64 * 64; bucket++) {
        seen += histogram[bucket];
        if (seen > wanted) return bucket_middle_us(bucket);
    }
    return latency_max / 1000.0;
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static void put(struct request *request, const void *bytes, size_t length) {
    if (request->length + length > REQUEST_BYTES_MAX) fail("a request is longer than %d bytes", REQUEST_BYTES_MAX);
    memcpy(request->bytes + request->length, bytes, length);
    request->length += (uint32_t)length;
}

static void put_text(struct request *request, const char *text) {
    size_t length = strlen(text);
    uint8_t header[2] = {0xd9, (uint8_t)length};
    if (length < 32) {
        header[0] = (uint8_t)(0xa0 | length);
        put(request, header, 1);
    } else {
        put(request, header, 2);
    }
    put(request, text, length);
}

static void make_text(char text[TEXT_BYTES + 1]) {
    _Static_assert(sizeof TEXT_START - 1 == TEXT_BYTES - NUMBER_BYTES, "the number ends the text");
    snprintf(text, TEXT_BYTES + 1, "%s%08d", TEXT_START, 0);
}

/* Update: [2, number, name, [[0, ["fieldNN"], text], [3, ["count"], 1]]]. Get: [6, number, name]. */
static void encode_for_palimpsest(struct request *request, const char *name) {
    char text[TEXT_BYTES + 1];
    make_text(text);
    put(request, options.is_get ? "\x93\x06\xcf" : "\x94\x02\xcf", 3);
    request->number_at = request->length;
    put(request, "\0\0\0\0\0\0\0", 8);
    put_text(request, name);
    if (options.is_get) return;
    put(request, "\x92\x93\x00\x91", 4);
    put_text(request, "field00");
    request->field_at = request->length - 2;
    put_text(request, text);
    request->text_at = request->length - NUMBER_BYTES;
    put(request, "\x93\x03\x91\xa5" "count\x01", 10);
}

static void put_bulk(struct request *request, const char *text) {
    char line[NAME_BYTES_MAX + 96];
    int length = snprintf(line, sizeof line, "$%zu\r\n%s\r\n", strlen(text), text);
    put(request, line, (size_t)length);
}

/* Update: EVALSHA script 2 name name:log fieldNN text. Get: HGETALL name. */
static void encode_for_redis(struct request *request, const char *name) {
    char log[NAME_BYTES_MAX + 8], text[TEXT_BYTES + 1];
    make_text(text);
    if (options.is_get) {
        put(request, "*2\r\n", 4);
        put_bulk(request, "HGETALL");
        put_bulk(request, name);
        return;
    }
    snprintf(log, sizeof log, "%s:log", name);
    put(request, "*7\r\n", 4);
    put_bulk(request, "EVALSHA");
    put_bulk(request, options.script);
    put_bulk(request, "2");
    put_bulk(request, name);
    put_bulk(request, log);
    put_bulk(request, "field00");
    request->field_at = request->length - 4;
    put_bulk(request, text);
    request->text_at = request->length - NUMBER_BYTES - 2;
}

static void encode_requests(void) {
    requests = allocate((size_t)options.documents * sizeof *requests);
    for (long document = 0; document < options.documents; document++) {
        char name[NAME_BYTES_MAX];
        snprintf(name, sizeof name, "bench/%06ld", document);
        (options.is_redis ? encode_for_redis : encode_for_palimpsest)(&requests[document], name);
    }
}

static size_t copy_request(uint8_t *to, const struct request *request, uint64_t number) {
    static const char digits[] = "0123456789abcdef";
    memcpy(to, request->bytes, request->length);
    if (request->number_at) {
        uint64_t big_endian = __builtin_bswap64(number);
        memcpy(to + request->number_at, &big_endian, 8);
    }
    if (request->field_at) {
        unsigned field = (unsigned)(running_number % (uint64_t)options.text_fields);
        to[request->field_at] = (uint8_t)('0' + field / 10);
        to[request->field_at + 1] = (uint8_t)('0' + field % 10);
    }
    if (request->text_at) {
        for (unsigned i = 0; i < NUMBER_BYTES; i++) {
            to[request->text_at + i] = (uint8_t)digits[(running_number >> (4 * (NUMBER_BYTES - 1 - i))) & 15];
        }
    }
    running_number++;
    return request->length;
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

static struct waiting *place_of(struct connection *connection, uint64_t number) {
    return &connection->window[number & (window_size - 1)];
}

static long next_document(struct connection *connection) {
    long document = connection->document;
    connection->document += options.connections;
    if (connection->document >= options.documents) connection->document %= options.connections;
    if (connection->document >= options.documents) connection->document %= options.documents;
    return document;
}

static void fill_window(struct connection *connection, uint64_t now) {
    size_t start = options.is_redis ? 0 : FRAME_HEADER_BYTES;
    size_t at = start;
    unsigned count = 0;
    while (connection->sent - connection->answered < (uint64_t)options.outstanding) {
        struct waiting *place = place_of(connection, connection->sent + 1);
        if (place->number != 0) break; /* an old request is still waiting: its place is taken */
        uint64_t number = ++connection->sent;
        place->number = number;
        place->sent_at = now;
        at += copy_request(connection->out + at, &requests[next_document(connection)], number);
        count++;
    }
    if (count == 0) return;
    if (!options.is_redis) {
        size_t payload = at - 4;
        const uint8_t header[FRAME_HEADER_BYTES] = {
            (uint8_t)(payload >> 24), (uint8_t)(payload >> 16), (uint8_t)(payload >> 8), (uint8_t)payload,
            0xdc, (uint8_t)(count >> 8), (uint8_t)count,
        };
        memcpy(connection->out, header, sizeof header);
    }
    connection->out_length = at;
    connection->out_done = 0;
}

/* Sends what is waiting. Returns 1 once all of it has left. */
static int flush(struct connection *connection) {
    while (connection->out_done < connection->out_length) {
        ssize_t sent = send(connection->socket, connection->out + connection->out_done,
                            connection->out_length - connection->out_done, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return 0;
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) fail("cannot send: %s", strerror(errno));
        connection->out_done += (size_t)sent;
    }
    connection->out_length = connection->out_done = 0;
    return 1;
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static void take_answer(struct connection *connection, uint64_t number, uint64_t now) {
    struct waiting *place = place_of(connection, number);
    if (place->number != number || number == 0) fail("an answer to a request that is not waiting: %llu", (unsigned long long)number);
    uint64_t latency = now - place->sent_at;
    place->number = 0;
    connection->answered++;
    if (now < measure_from || now >= measure_to) return;
    answers++;
    histogram[bucket_of(latency)]++;
    if (latency > latency_max) latency_max = latency;
}

static uint64_t read_big_endian(const uint8_t *at, unsigned bytes) {
    uint64_t number = 0;
    while (bytes--) number = number << 8 | *at++;
    return number;
}

static void need(const uint8_t *at, const uint8_t *end, uint64_t bytes) {
    if ((uint64_t)(end - at) < bytes) fail("an answer ends before it is whole");
}

/* Steps over so many msgpack items, and all that is inside them. */
static const uint8_t *skip(const uint8_t *at, const uint8_t *end, uint64_t items) {
    static const uint8_t fixed[] = {/* c0.. */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 8, /* cc.. */ 1, 2, 4, 8, 1, 2, 4, 8,
                                    /* d4.. */ 2, 3, 5, 9, 17};
    while (items--) {
        need(at, end, 1);
        uint8_t first = *at++;
        uint64_t bytes = 0;
        unsigned width = 0;
        if (first < 0x80 || first >= 0xe0) continue;
        if (first < 0x90) { items += 2 * (uint64_t)(first & 15); continue; }
        if (first < 0xa0) { items += first & 15; continue; }
        if (first < 0xc0) { bytes = first & 31; }
        else if (first >= 0xc4 && first <= 0xc6) { width = 1u << (first - 0xc4); }
        else if (first >= 0xc7 && first <= 0xc9) { width = 1u << (first - 0xc7); bytes = 1; }
        else if (first >= 0xd9 && first <= 0xdb) { width = 1u << (first - 0xd9); }
        else if (first >= 0xdc) {
            width = first & 1 ? 4 : 2;
            need(at, end, width);
            items += read_big_endian(at, width) * (first >= 0xde ? 2 : 1);
            at += width;
            continue;
        } else { bytes = fixed[first - 0xc0]; }
        if (width) {
            need(at, end, width);
            bytes += read_big_endian(at, width);
            at += width;
        }
        need(at, end, bytes);
        at += bytes;
    }
    return at;
}

static const uint8_t *read_array(const uint8_t *at, const uint8_t *end, uint64_t *count) {
    need(at, end, 1);
    uint8_t first = *at++;
    if ((first & 0xf0) == 0x90) { *count = first & 15; return at; }
    if (first != 0xdc && first != 0xdd) fail("an answer that is no array: 0x%02x", first);
    unsigned width = first == 0xdc ? 2 : 4;
    need(at, end, width);
    *count = read_big_endian(at, width);
    return at + width;
}

static const uint8_t *read_unsigned(const uint8_t *at, const uint8_t *end, uint64_t *number) {
    need(at, end, 1);
    uint8_t first = *at++;
    if (first < 0x80) { *number = first; return at; }
    if (first < 0xcc || first > 0xcf) fail("0x%02x where a number was expected", first);
    unsigned width = 1u << (first - 0xcc);
    need(at, end, width);
    *number = read_big_endian(at, width);
    return at + width;
}

/* Fails with the texts of a message that was not expected, whatever it is. */
static void fail_with_message(uint64_t tag, const uint8_t *at, const uint8_t *end) {
    char readable[400];
    size_t length = 0;
    for (; at < end && length + 1 < sizeof readable; at++) readable[length++] = *at >= 32 && *at < 127 ? (char)*at : '.';
    readable[length] = 0;
    const char *kind = tag == TAG_FAILED ? "Failed" : tag == TAG_GOODBYE ? "Goodbye" : "an unexpected message";
    fail("the server answered %s (tag %llu): %s", kind, (unsigned long long)tag, readable);
}

static void take_payload(struct connection *connection, const uint8_t *at, const uint8_t *end, uint64_t now) {
    uint64_t messages, fields, tag, number, expected = options.is_get ? TAG_DOCUMENT : TAG_COMMITTED;
    at = read_array(at, end, &messages);
    while (messages--) {
        const uint8_t *start = at;
        at = read_array(at, end, &fields);
        at = read_unsigned(at, end, &tag);
        if (tag != expected || fields < 2) fail_with_message(tag, start, end);
        at = read_unsigned(at, end, &number);
        at = skip(at, end, fields - 2);
        take_answer(connection, number, now);
    }
    if (at != end) fail("%td bytes after the messages of a frame", end - at);
}

/* Takes all whole frames. Returns how many bytes they had. */
static size_t take_frames(struct connection *connection, uint64_t now) {
    size_t at = 0;
    while (connection->in_length - at >= 4) {
        size_t length = (size_t)read_big_endian(connection->in + at, 4);
        if (connection->in_length - at - 4 < length) break;
        const uint8_t *payload = connection->in + at + 4;
        take_payload(connection, payload, payload + length, now);
        at += 4 + length;
    }
    return at;
}

static const uint8_t *line_end(const uint8_t *at, const uint8_t *end) {
    const uint8_t *found = memchr(at, '\n', (size_t)(end - at));
    return found == NULL ? NULL : found + 1;
}

/* Steps over one reply, or returns NULL if it is not whole yet. */
static const uint8_t *skip_reply(const uint8_t *at, const uint8_t *end) {
    long items = 1;
    while (items-- > 0) {
        const uint8_t *next = line_end(at, end);
        if (next == NULL) return NULL;
        if (*at == '-') fail("redis answered %.*s", (int)(next - at - 2), (const char *)at);
        if (*at == '*') {
            items += strtol((const char *)at + 1, NULL, 10);
        } else if (*at == '$') {
            long length = strtol((const char *)at + 1, NULL, 10);
            if (length < 0) fail("redis has no such document");
            if (end - next < length + 2) return NULL;
            next += length + 2;
        } else if (*at != ':') {
            fail("an unexpected reply of redis: %.*s", (int)(next - at - 2), (const char *)at);
        }
        at = next;
    }
    return at;
}

static size_t take_replies(struct connection *connection, uint64_t now) {
    const uint8_t *at = connection->in, *end = connection->in + connection->in_length, *next;
    while (at < end && (next = skip_reply(at, end)) != NULL) {
        if (*at != (options.is_get ? '*' : ':')) fail("a reply of another kind: %c", *at);
        if (options.is_get && at[1] == '0') fail("redis has no such document");
        take_answer(connection, connection->answered + 1, now);
        at = next;
    }
    return (size_t)(at - connection->in);
}

static void make_room(struct connection *connection) {
    if (connection->in_capacity - connection->in_length >= RECEIVE_BYTES / 2) return;
    connection->in_capacity *= 2;
    connection->in = realloc(connection->in, connection->in_capacity);
    if (connection->in == NULL) fail("no memory for %zu bytes", connection->in_capacity);
}

static void receive(struct connection *connection) {
    make_room(connection);
    ssize_t received = recv(connection->socket, connection->in + connection->in_length,
                            connection->in_capacity - connection->in_length, 0);
    if (received < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (received < 0) fail("cannot receive: %s", strerror(errno));
    if (received == 0) fail("the server closed a connection");
    connection->in_length += (size_t)received;
    uint64_t now = now_ns();
    size_t taken = options.is_redis ? take_replies(connection, now) : take_frames(connection, now);
    if (taken == 0) return;
    connection->in_length -= taken;
    memmove(connection->in, connection->in + taken, connection->in_length);
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

static void receive_exactly(int socket, uint8_t *to, size_t length) {
    while (length > 0) {
        ssize_t received = recv(socket, to, length, 0);
        if (received <= 0) fail("no answer to the hello: %s", received == 0 ? "closed" : strerror(errno));
        to += received;
        length -= (size_t)received;
    }
}

/* Hello: [[0, "palimpsest", 1, 1, client]], answered by a frame with a Welcome. */
static void say_hello(int socket, long index) {
    struct request hello = {0};
    uint8_t header[4], frame[REQUEST_BYTES_MAX + 4], welcome[4096];
    char client[NAME_BYTES_MAX];
    snprintf(client, sizeof client, "bench-%llx-%ld", (unsigned long long)now_ns(), index);
    put(&hello, "\x91\x95\x00", 3);
    put_text(&hello, "palimpsest");
    put(&hello, "\x01\x01", 2);
    put_text(&hello, client);
    const uint32_t length = htonl(hello.length);
    memcpy(frame, &length, 4);
    memcpy(frame + 4, hello.bytes, hello.length);
    if (send(socket, frame, hello.length + 4, MSG_NOSIGNAL) != (ssize_t)hello.length + 4) fail("cannot say hello");
    receive_exactly(socket, header, 4);
    size_t answer = (size_t)read_big_endian(header, 4);
    if (answer > sizeof welcome) fail("a welcome of %zu bytes", answer);
    receive_exactly(socket, welcome, answer);
    uint64_t messages, fields, tag;
    const uint8_t *at = read_array(welcome, welcome + answer, &messages);
    at = read_array(at, welcome + answer, &fields);
    read_unsigned(at, welcome + answer, &tag);
    if (tag != TAG_WELCOME) fail_with_message(tag, welcome, welcome + answer);
}

static int open_socket(void) {
    int socket_number = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    struct timeval patience = {.tv_sec = SILENCE_SECONDS_MAX};
    if (socket_number < 0) fail("cannot open a socket: %s", strerror(errno));
    if (inet_pton(AF_INET, options.host, &address.sin_addr) != 1) fail("not an IPv4 address: %s", options.host);
    setsockopt(socket_number, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(socket_number, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(socket_number, (struct sockaddr *)&address, sizeof address) != 0) {
        fail("cannot connect to %s:%ld: %s", options.host, options.port, strerror(errno));
    }
    return socket_number;
}

static void open_connection(struct connection *connection, long index) {
    connection->socket = open_socket();
    connection->document = index % options.documents;
    connection->window = allocate(window_size * sizeof *connection->window);
    connection->in_capacity = RECEIVE_BYTES;
    connection->in = allocate(connection->in_capacity);
    connection->out = allocate(FRAME_HEADER_BYTES + (size_t)options.outstanding * REQUEST_BYTES_MAX);
    if (!options.is_redis) say_hello(connection->socket, index);
    if (fcntl(connection->socket, F_SETFL, O_NONBLOCK) != 0) fail("cannot make a socket non-blocking");
}

static void watch(int epoll, struct connection *connection, int operation, int wants_write) {
    struct epoll_event event = {.events = EPOLLIN | (wants_write ? (uint32_t)EPOLLOUT : 0u), .data.ptr = connection};
    if (epoll_ctl(epoll, operation, connection->socket, &event) != 0) fail("epoll: %s", strerror(errno));
    connection->wants_write = wants_write;
}

/* Refills the window and sends, unless bytes of before are still waiting to leave. */
static void advance(int epoll, struct connection *connection) {
    int done = flush(connection);
    if (done) {
        fill_window(connection, now_ns());
        done = flush(connection);
    }
    if (connection->wants_write == done) watch(epoll, connection, EPOLL_CTL_MOD, !done);
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void run(int epoll) {
    struct epoll_event events[256];
    uint64_t now = now_ns();
    double cpu_before = -1;
    measure_from = now + (uint64_t)(options.warmup * 1e9);
    measure_to = measure_from + (uint64_t)(options.seconds * 1e9);
    while (now < measure_to) {
        int left_ms = (int)((measure_to - now) / 1000000) + 1;
        int count = epoll_wait(epoll, events, 256, left_ms < SILENCE_SECONDS_MAX * 1000 ? left_ms : SILENCE_SECONDS_MAX * 1000);
        if (count < 0 && errno != EINTR) fail("epoll: %s", strerror(errno));
        if (count == 0 && left_ms > SILENCE_SECONDS_MAX * 1000) fail("no answer for %d seconds", SILENCE_SECONDS_MAX);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(connection);
            advance(epoll, connection);
        }
        now = now_ns();
        if (cpu_before < 0 && now >= measure_from) cpu_before = cpu_seconds();
    }
    if (answers == 0) fail("no answer within %.1f seconds", options.seconds);
    printf("{\"answers\": %llu, \"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, "
           "\"max_us\": %.1f, \"cpu_seconds\": %.3f}\n",
           (unsigned long long)answers, options.seconds, percentile_us(0.50), percentile_us(0.99), percentile_us(0.999),
           (double)latency_max / 1000.0, cpu_seconds() - cpu_before);
}

/* ---- arguments --------------------------------------------------------------------------------------------------- */

static const char *argument(int count, char **arguments, const char *name) {
    size_t length = strlen(name);
    for (int i = 1; i < count; i++) {
        if (strncmp(arguments[i], name, length) == 0 && arguments[i][length] == '=') return arguments[i] + length + 1;
    }
    return NULL;
}

static const char *needed(int count, char **arguments, const char *name) {
    const char *text = argument(count, arguments, name);
    if (text == NULL) fail("%s=... is needed", name);
    return text;
}

static double number(int count, char **arguments, const char *name, double lowest, double highest) {
    const char *text = needed(count, arguments, name);
    char *rest;
    double value = strtod(text, &rest);
    if (*rest != 0 || rest == text || !(value >= lowest && value <= highest)) {
        fail("%s=%s: a number from %g to %g is needed", name, text, lowest, highest);
    }
    return value;
}

static int choice(int count, char **arguments, const char *name, const char *no, const char *yes) {
    const char *text = needed(count, arguments, name);
    if (strcmp(text, yes) != 0 && strcmp(text, no) != 0) fail("%s=%s: %s or %s is needed", name, text, no, yes);
    return strcmp(text, yes) == 0;
}

static void read_options(int count, char **arguments) {
    options.is_redis = choice(count, arguments, "server", "palimpsest", "redis");
    options.is_get = choice(count, arguments, "mode", "update", "get");
    options.host = needed(count, arguments, "host");
    options.port = (long)number(count, arguments, "port", 1, 65535);
    options.connections = (long)number(count, arguments, "connections", 1, 10000);
    options.outstanding = (long)number(count, arguments, "outstanding", 1, OUTSTANDING_MAX);
    options.documents = (long)number(count, arguments, "documents", 1, 999999);
    options.text_fields = (long)number(count, arguments, "text_fields", 1, 100);
    options.warmup = number(count, arguments, "warmup", 0, 3600);
    options.seconds = number(count, arguments, "seconds", 0.001, 3600);
    options.script = options.is_redis && !options.is_get ? needed(count, arguments, "script") : "";
    if (strlen(options.script) > 40) fail("script=%s: not a SHA-1 in hex", options.script);
}

int main(int count, char **arguments) {
    read_options(count, arguments);
    encode_requests();
    for (window_size = 64; window_size < 8 * (uint64_t)options.outstanding; window_size *= 2) {}
    struct connection *connections = allocate((size_t)options.connections * sizeof *connections);
    int epoll = epoll_create1(0);
    if (epoll < 0) fail("epoll: %s", strerror(errno));
    for (long index = 0; index < options.connections; index++) open_connection(&connections[index], index);
    for (long index = 0; index < options.connections; index++) {
        watch(epoll, &connections[index], EPOLL_CTL_ADD, 0);
        advance(epoll, &connections[index]);
    }
    run(epoll);
    return 0;
}
