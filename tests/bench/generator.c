/* Sends and receives the SRTP of many participants over sockets that Python connected (generator.py), and forwards without
 * any work (`forward_bare`), the floor under which no relay can be.
 *
 * Each packet carries the time at which it was sent; the kernel stamps it when it reaches the receiver's socket. The
 * difference is the time it was on its way, whatever this program does meanwhile. Times are nanoseconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define PACKET_BYTES 2048
#define RTCP_BYTES 256
#define HEADER_BYTES 24 /* 12 of RTP, 4 of extension head, 8 of extensions */
#define BINS 200000     /* of a microsecond */
#define SECOND 1000000000LL
#define NAP 200000LL
#define MAGIC 0x76626e6368ULL

typedef int (*srtp_function)(void *session, void *packet, int *length);

/* Shared with generator.py, field by field. */
struct peer {
    int32_t socket;
    uint32_t rtcp_bytes;
    void *protect, *unprotect; /* libsrtp sessions */
    int64_t rtcp_due;
    uint32_t transport_number;
    uint8_t transport_cc, send_time; /* ids of the header extensions; 0: not negotiated */
    uint8_t rtcp[RTCP_BYTES];        /* what it reports once a second */
};

struct stream {
    uint32_t peer, ssrc, payload_type, sequence, timestamp, ticks, packets, payload_bytes;
    int64_t every, due; /* one picture or one frame of sound, of `packets` packets */
};

struct result {
    uint64_t sent, received, not_authentic, foreign, rtcp, handed, send_failed, behind;
    uint32_t latency[BINS + 1]; /* the last for all that took longer */
};

struct payload {
    uint8_t descriptor[4]; /* reads as the start of a VP8 delta frame */
    uint64_t magic, sent_at;
} __attribute__((packed));

static int64_t read_clock(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

static void sleep_until(int64_t at) {
    struct timespec time = {at / SECOND, at % SECOND};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static void put_header(struct peer *peer, const struct stream *stream, uint8_t *packet, int last, int64_t now) {
    uint64_t tail = 0; /* zeros are padding: either extension may be missing */
    uint32_t seconds_18 = (uint32_t)((uint64_t)now % (64 * SECOND) * 262144 / SECOND);
    packet[0] = 0x90;
    packet[1] = (uint8_t)(stream->payload_type | (last ? 0x80 : 0));
    *(uint16_t *)(packet + 2) = htons((uint16_t)stream->sequence);
    *(uint32_t *)(packet + 4) = htonl(stream->timestamp);
    *(uint32_t *)(packet + 8) = htonl(stream->ssrc);
    *(uint32_t *)(packet + 12) = htonl(0xBEDE0002);
    memcpy(packet + 16, &tail, 8);
    uint8_t *at = packet + 16;
    if (peer->transport_cc) {
        *at++ = (uint8_t)(peer->transport_cc << 4 | 1);
        *at++ = (uint8_t)(peer->transport_number >> 8);
        *at++ = (uint8_t)peer->transport_number++;
    }
    if (peer->send_time) {
        *at++ = (uint8_t)(peer->send_time << 4 | 2);
        *at++ = (uint8_t)(seconds_18 >> 16);
        *at++ = (uint8_t)(seconds_18 >> 8);
        *at++ = (uint8_t)seconds_18;
    }
}

static void send_frame(srtp_function protect, struct peer *peer, struct stream *stream, struct result *result) {
    static __thread uint8_t packet[PACKET_BYTES] __attribute__((aligned(16)));
    for (uint32_t i = 0; i < stream->packets; i++) {
        int64_t now = read_clock(CLOCK_REALTIME);
        put_header(peer, stream, packet, i + 1 == stream->packets, now);
        struct payload payload = {{0x10, 0x01, 0, 0}, MAGIC, (uint64_t)now};
        memcpy(packet + HEADER_BYTES, &payload, sizeof payload);
        int length = (int)(HEADER_BYTES + stream->payload_bytes);
        stream->sequence = (stream->sequence + 1) & 0xFFFF;
        if (protect(peer->protect, packet, &length) == 0 && send(peer->socket, packet, (size_t)length, 0) == length)
            result->sent++;
        else
            result->send_failed++;
    }
    stream->timestamp += stream->ticks;
}

/* Send all that is due; return when the next is. A frame more than a second late is left out and counted `behind`. */
static int64_t send_due(srtp_function protect, srtp_function protect_rtcp, struct peer *peers, int peer_count,
                        struct stream *streams, int stream_count, struct result *result) {
    int64_t now = read_clock(CLOCK_MONOTONIC), next = now + SECOND;
    for (int i = 0; i < stream_count; i++) {
        struct stream *stream = &streams[i];
        if (stream->due <= now) {
            send_frame(protect, &peers[stream->peer], stream, result);
            stream->due += stream->every;
            if (stream->due < now - SECOND) {
                result->behind += (uint64_t)((now - stream->due) / stream->every);
                stream->due = now;
            }
        }
        if (stream->due < next) next = stream->due;
    }
    for (int i = 0; i < peer_count; i++) {
        struct peer *peer = &peers[i];
        if (!peer->rtcp_bytes || peer->rtcp_due > now) continue;
        uint8_t report[RTCP_BYTES + 64] __attribute__((aligned(16)));
        int length = (int)peer->rtcp_bytes;
        memcpy(report, peer->rtcp, peer->rtcp_bytes);
        if (protect_rtcp(peer->protect, report, &length)) result->send_failed++;
        else if (send(peer->socket, report, (size_t)length, 0) != length) result->send_failed++;
        peer->rtcp_due = now + SECOND;
    }
    return next;
}

static void take(srtp_function unprotect, struct peer *peer, uint8_t *packet, int length, int64_t arrived,
                 struct result *result) {
    if (unprotect(peer->unprotect, packet, &length)) {
        result->not_authentic++;
        return;
    }
    int start = 12 + 4 * (packet[0] & 15);
    if (packet[0] & 16) start += 4 + 4 * (packet[start + 2] << 8 | packet[start + 3]);
    struct payload payload;
    if (start + (int)sizeof payload > length) {
        result->foreign++;
        return;
    }
    memcpy(&payload, packet + start, sizeof payload);
    if (payload.magic != MAGIC) {
        result->foreign++;
        return;
    }
    result->received++;
    int64_t took = (arrived - (int64_t)payload.sent_at) / 1000;
    result->latency[took < 0 ? 0 : took < BINS ? took : BINS]++;
}

static int64_t find_stamp(struct msghdr *message) {
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part))
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec time;
            memcpy(&time, CMSG_DATA(part), sizeof time);
            return time.tv_sec * SECOND + time.tv_nsec;
        }
    return read_clock(CLOCK_REALTIME);
}

struct inbox {
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    struct sockaddr_in senders[BATCH];
    uint8_t control[BATCH][64] __attribute__((aligned(16)));
    uint8_t packets[BATCH][PACKET_BYTES] __attribute__((aligned(16)));
};

static int receive_batch(int socket, struct inbox *inbox) {
    for (int i = 0; i < BATCH; i++) {
        inbox->parts[i] = (struct iovec){inbox->packets[i], PACKET_BYTES};
        inbox->messages[i].msg_hdr = (struct msghdr){.msg_name = &inbox->senders[i],
                                                     .msg_namelen = sizeof inbox->senders[i],
                                                     .msg_iov = &inbox->parts[i],
                                                     .msg_iovlen = 1,
                                                     .msg_control = inbox->control[i],
                                                     .msg_controllen = sizeof inbox->control[i]};
    }
    return recvmmsg(socket, inbox->messages, BATCH, MSG_DONTWAIT, NULL);
}

/* What is neither RTP nor RTCP goes to Python: the peer's number, then the datagram. */
static void hand_over(int handover, uint32_t number, const uint8_t *packet, uint32_t length, struct result *result) {
    uint8_t message[4 + PACKET_BYTES];
    memcpy(message, &number, 4);
    memcpy(message + 4, packet, length);
    if (send(handover, message, 4 + length, MSG_DONTWAIT) > 0) result->handed++;
}

/* Run for `duration`; sending: 0 only receives. We sleep by the clock and not for packets, so that the sender of none pays
 * for waking us, as it does not on a real network. */
int run(srtp_function protect, srtp_function unprotect, srtp_function protect_rtcp, struct peer *peers, int peer_count,
        struct stream *streams, int stream_count, int handover, int64_t duration, int sending, struct result *result) {
    int waiting = epoll_create1(EPOLL_CLOEXEC);
    struct inbox *inbox = calloc(1, sizeof *inbox);
    if (waiting < 0 || !inbox) return errno;
    for (int i = 0; i < peer_count; i++) {
        struct epoll_event wanted = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        if (epoll_ctl(waiting, EPOLL_CTL_ADD, peers[i].socket, &wanted)) return errno;
    }
    int64_t begun = read_clock(CLOCK_MONOTONIC), end = begun + duration, next = sending ? begun : end;
    for (int64_t now = begun; now < end; now = read_clock(CLOCK_MONOTONIC)) {
        if (sending && now >= next)
            next = send_due(protect, protect_rtcp, peers, peer_count, streams, stream_count, result);
        struct epoll_event ready[BATCH];
        int count = epoll_wait(waiting, ready, BATCH, 0);
        for (int i = 0; i < count; i++) {
            uint32_t number = ready[i].data.u32;
            int got = receive_batch(peers[number].socket, inbox);
            for (int j = 0; j < got; j++) {
                uint8_t *packet = inbox->packets[j];
                uint32_t length = inbox->messages[j].msg_len;
                if (length < 12 || packet[0] < 128 || packet[0] > 191) hand_over(handover, number, packet, length, result);
                else if (packet[1] >= 192 && packet[1] <= 223) result->rtcp++;
                else take(unprotect, &peers[number], packet, (int)length, find_stamp(&inbox->messages[j].msg_hdr), result);
            }
        }
        int64_t wake = now + NAP < next ? now + NAP : next;
        if (count < BATCH) sleep_until(wake);
    }
    free(inbox);
    close(waiting);
    return 0;
}

struct route {
    uint32_t address; /* network order */
    uint16_t port;    /* network order */
    uint16_t room;
};

/* Forward each datagram as it is to all others of the sender's room, for ever: one socket, routes sorted by room. */
int forward_bare(int socket, const struct route *routes, int count) {
    static const struct route *by_port[65536];
    struct inbox *inbox = calloc(1, sizeof *inbox);
    if (!inbox) return errno;
    for (int i = 0; i < count; i++) by_port[routes[i].port] = &routes[i];
    for (;;) {
        struct mmsghdr first = {.msg_hdr = {0}};
        struct iovec none = {NULL, 0};
        first.msg_hdr.msg_iov = &none;
        first.msg_hdr.msg_iovlen = 1;
        if (recvmmsg(socket, &first, 1, MSG_PEEK, NULL) < 0 && errno != EINTR) return errno; /* sleep until there is one */
        int got = receive_batch(socket, inbox);
        for (int i = 0; i < got; i++) {
            const struct route *from = by_port[inbox->senders[i].sin_port], *to = from;
            if (!from) continue;
            while (to > routes && to[-1].room == from->room) to--;
            for (; to < routes + count && to->room == from->room; to++) {
                if (to == from) continue;
                struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = to->port, .sin_addr.s_addr = to->address};
                sendto(socket, inbox->packets[i], inbox->messages[i].msg_len, 0, (struct sockaddr *)&address, sizeof address);
            }
        }
    }
}
