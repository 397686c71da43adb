/* The hot path of forward.py, compiled: what plain media costs without the interpreter. `make relay-fast` builds it.

   It keeps no state. It reads and writes the very objects that the Python code does: members of Source, Output and the
   like by their place in the object, asked from the class when a Path is made, and the buffers of Inbox and Outbox.
   What is plain is done here: the next packet in order of a started source whose outputs all run. Whatever else comes
   goes to the method of Forwarder that handles it: before decryption all that is no RTP packet of a connected peer,
   after it, with nothing touched yet, all that is not plain. So each decision that is not here is made in one place.

   Every index that comes from the wire is checked against what was received; every object is checked for its type
   before its members are read, and held while it is used. One thread; the interpreter's lock is held throughout. */

#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define RTP_HEADER 12
#define OUT_HEADER 24           /* rtp.OUT_HEADER: RTP, then an extension of two words */
#define OUT_FIRST 0x90          /* version 2, with an extension */
#define OUT_PROFILE 0xBEDE0002u /* one-byte extensions, two words */
#define TRAILER 144             /* what srtp_protect may add at most, SRTP_MAX_TRAILER_LEN */
#define STAMP 35                /* SO_TIMESTAMPNS of 64-bit Linux, as arrival.py has it */
#define WRAP 0x10000
#define MOST_SLOTS 1024

/* ---- members of Python's objects */

#define SOURCE(M) M(payload_type) M(started) M(highest) M(cycles) M(received) M(octets) M(last_timestamp) M(clock_rate) \
    M(arrived_ticks) M(jitter_ticks) M(seen_at) M(kept) M(history) M(outputs)
#define OUTPUT(M) M(first) M(unwrap_red) M(packets) M(octets) M(sequence_offset) M(timestamp_offset) M(payload_type) \
    M(ssrc) M(mid_word) M(send_time_head) M(session) M(socket) M(place)
#define HISTORY(M) M(sequences) M(packets)
#define SESSION(M) M(address)
#define OUTBOX(M) M(count)
#define COUNTERS(M) M(received) M(forwarded)

#define FIELD(name) Py_ssize_t name;
#define KIND(name, MEMBERS) typedef struct { PyTypeObject *type; MEMBERS(FIELD) } name;
KIND(SourceKind, SOURCE)
KIND(OutputKind, OUTPUT)
KIND(HistoryKind, HISTORY)
KIND(SessionKind, SESSION)
KIND(OutboxKind, OUTBOX)
KIND(CountersKind, COUNTERS)

#define SLOT(object, offset) (*(PyObject **)((char *)(object) + (offset)))

static int find_member(PyTypeObject *type, const char *name, Py_ssize_t *offset)
{
    PyObject *found = PyObject_GetAttrString((PyObject *)type, name);
    if (found == NULL)
        return 0;
    struct PyMemberDef *member = Py_TYPE(found) == &PyMemberDescr_Type ? ((PyMemberDescrObject *)found)->d_member : NULL;
    if (member == NULL || member->type != T_OBJECT_EX) {
        PyErr_Format(PyExc_TypeError, "%s.%s is no slot", type->tp_name, name);
        Py_DECREF(found);
        return 0;
    }
    *offset = member->offset;
    Py_DECREF(found);
    return 1;
}

#define FIND(name) if (!find_member(kind->type, #name, &kind->name)) return 0;
#define FINDER(function, Kind, MEMBERS) \
    static int function(Kind *kind, PyObject *type) \
    { \
        if (!PyType_Check(type)) { \
            PyErr_SetString(PyExc_TypeError, "a class is wanted"); \
            return 0; \
        } \
        kind->type = (PyTypeObject *)Py_NewRef(type); \
        MEMBERS(FIND) \
        return 1; \
    }
FINDER(find_source, SourceKind, SOURCE)
FINDER(find_output, OutputKind, OUTPUT)
FINDER(find_history, HistoryKind, HISTORY)
FINDER(find_session, SessionKind, SESSION)
FINDER(find_outbox, OutboxKind, OUTBOX)
FINDER(find_counters, CountersKind, COUNTERS)

/* Whether a member is an integer; `into` has it. Sets no exception. */
static int read_int(PyObject *object, Py_ssize_t offset, int64_t *into)
{
    PyObject *value = SLOT(object, offset);
    int overflow = 1;
    if (value != NULL && PyLong_CheckExact(value))
        *into = PyLong_AsLongLongAndOverflow(value, &overflow);
    return !overflow;
}

static int read_float(PyObject *object, Py_ssize_t offset, double *into)
{
    PyObject *value = SLOT(object, offset);
    if (value == NULL || !PyFloat_CheckExact(value))
        return 0;
    *into = PyFloat_AS_DOUBLE(value);
    return 1;
}

/* Take over a new value, which may be NULL after a failure to make it. */
static int write_member(PyObject *object, Py_ssize_t offset, PyObject *value)
{
    if (value == NULL)
        return -1;
    PyObject *former = SLOT(object, offset);
    SLOT(object, offset) = value;
    Py_XDECREF(former);
    return 0;
}

static int write_int(PyObject *object, Py_ssize_t offset, int64_t value)
{
    return write_member(object, offset, PyLong_FromLongLong(value));
}

static int add_int(PyObject *object, Py_ssize_t offset, int64_t more)
{
    int64_t value;
    if (!read_int(object, offset, &value)) {
        PyErr_Format(PyExc_TypeError, "a member of %s is no integer", Py_TYPE(object)->tp_name);
        return -1;
    }
    return write_int(object, offset, value + more);
}

/* ---- the wire */

static uint16_t get16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

static uint32_t get32(const uint8_t *at) { return (uint32_t)get16(at) << 16 | get16(at + 2); }

static void put32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

static void put_header(uint8_t *at, uint8_t second, uint16_t sequence, uint32_t timestamp, uint32_t ssrc, uint32_t mid,
                       uint32_t send_time)
{
    at[0] = OUT_FIRST;
    at[1] = second;
    at[2] = (uint8_t)(sequence >> 8);
    at[3] = (uint8_t)sequence;
    put32(at + 4, timestamp);
    put32(at + 8, ssrc);
    put32(at + 12, OUT_PROFILE);
    put32(at + 16, mid);
    put32(at + 20, send_time);
}

/* ---- Path */

typedef struct {
    PyObject *socket, *inbox, *outbox;
    Py_buffer received, sent; /* struct mmsghdr[], whose parts and names lie in what inbox and outbox own */
    int number;
    int receive_slots, send_slots;
    socklen_t name_bytes;
    size_t control_bytes;
    size_t sent_bytes; /* room in a slot of the outbox */
} Box;

typedef int Transform(void *session, void *packet, int *length);

typedef struct {
    PyObject_HEAD
    PyObject *forwarder, *counters, *known;
    SourceKind source;
    OutputKind output;
    HistoryKind history;
    SessionKind session;
    OutboxKind outbox;
    CountersKind counted;
    Transform *protect, *unprotect;
    long packet_cost, sequence_mask;
    uint32_t stamp;
    Py_ssize_t count;
    Box *boxes;
} Path;

static PyObject *str_arrivals, *str_begin, *str_credit, *str_drop, *str_find_link, *str_flush,
    *str_heard_at, *str_link, *str_media, *str_pending, *str_refuse, *str_rx, *str_sources, *str_stamp, *str_take_clear,
    *str_take_other, *str_transport_cc_byte;

static struct {
    PyObject **into;
    const char *text;
} names[] = {
    {&str_arrivals, "arrivals"}, {&str_begin, "begin"}, {&str_credit, "credit"}, {&str_drop, "drop"},
    {&str_find_link, "find_link"}, {&str_flush, "flush"}, {&str_heard_at, "heard_at"}, {&str_link, "link"},
    {&str_media, "media"}, {&str_pending, "pending"}, {&str_refuse, "refuse"}, {&str_rx, "rx"},
    {&str_sources, "sources"}, {&str_stamp, "stamp"}, {&str_take_clear, "take_clear"},
    {&str_take_other, "take_other"}, {&str_transport_cc_byte, "transport_cc_byte"},
};

/* Call a method and forget what it returns; takes over every argument, each of which may be NULL after a failure. */
static int call(PyObject *object, PyObject *name, int count, PyObject *a, PyObject *b, PyObject *c, PyObject *d,
                PyObject *e, PyObject *f)
{
    PyObject *given[] = {Py_NewRef(object), a, b, c, d, e, f};
    PyObject *result = NULL;
    int whole = 1;
    for (int n = 1; n <= count; n++)
        whole = whole && given[n] != NULL;
    if (whole)
        result = PyObject_VectorcallMethod(name, given, (size_t)(1 + count) | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    for (int n = 0; n <= count; n++)
        Py_XDECREF(given[n]);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int drop(Path *self, const char *reason)
{
    return call(self->forwarder, str_drop, 1, PyUnicode_FromString(reason), NULL, NULL, NULL, NULL, NULL);
}

static struct mmsghdr *received(const Box *box, int slot) { return (struct mmsghdr *)box->received.buf + slot; }

static struct mmsghdr *sent(const Box *box, int slot) { return (struct mmsghdr *)box->sent.buf + slot; }

static Box *find_box(Path *self, PyObject *key, int by_inbox)
{
    for (Py_ssize_t n = 0; n < self->count; n++)
        if ((by_inbox ? self->boxes[n].inbox : self->boxes[n].socket) == key)
            return &self->boxes[n];
    PyErr_SetObject(PyExc_KeyError, key);
    return NULL;
}

/* Send what stands in an outbox. What the network does not take, Outbox.flush counts. */
static int flush(Path *self, Box *box)
{
    int64_t count;
    if (!read_int(box->outbox, self->outbox.count, &count) || count < 0 || count > box->send_slots) {
        PyErr_SetString(PyExc_SystemError, "an outbox has lost count");
        return -1;
    }
    if (count == 0)
        return 0;
    int gone = sendmmsg(box->number, sent(box, 0), (unsigned)count, MSG_DONTWAIT);
    if (gone > 0 && add_int(self->counters, self->counted.forwarded, gone) < 0)
        return -1;
    if (gone == count)
        return write_int(box->outbox, self->outbox.count, 0);
    return call(box->outbox, str_flush, 1, PyLong_FromLong(gone > 0 ? gone : 0), NULL, NULL, NULL, NULL, NULL);
}

/* The C pointer of a session; NULL with an exception set. */
static void *get_session(Path *self, PyObject *session)
{
    int64_t address;
    if (session == NULL || Py_TYPE(session) != self->session.type ||
        !read_int(session, self->session.address, &address) || address == 0) {
        PyErr_SetString(PyExc_TypeError, "no SRTP session");
        return NULL;
    }
    return (void *)(uintptr_t)address;
}

/* A packet on its way: where it stands in memory, and what its header says. */
typedef struct {
    const uint8_t *data;
    int start, end; /* of the payload */
    int extensions; /* where extension elements begin; 0: there are none */
    uint8_t second;
    uint16_t sequence;
    uint32_t timestamp, ssrc;
} Packet;

/* Whether the header is well formed and has no padding: the rest is Python's. */
static int parse(Packet *packet, const uint8_t *data, int length)
{
    int start = RTP_HEADER + 4 * (data[0] & 15);
    packet->extensions = 0;
    if (data[0] & 32)
        return 0;
    if (data[0] & 16) {
        if (start + 4 > length)
            return 0;
        packet->extensions = start + 4;
        start += 4 + 4 * get16(data + start + 2);
    }
    if (start > length)
        return 0;
    packet->data = data;
    packet->start = start;
    packet->end = length;
    packet->second = data[1];
    packet->sequence = get16(data + 2);
    packet->timestamp = get32(data + 4);
    packet->ssrc = get32(data + 8);
    return 1;
}

/* Note the transport-wide number for feedback (twcc.py), as Forwarder.take_clear does. */
static int note_arrival(PyObject *peer, const Packet *packet, double arrived)
{
    if (packet->extensions == 0)
        return 0;
    PyObject *byte = PyObject_GetAttr(peer, str_transport_cc_byte);
    if (byte == NULL)
        return -1;
    long wanted = PyLong_AsLong(byte);
    Py_DECREF(byte);
    if (wanted == -1 && PyErr_Occurred())
        return -1;
    if (wanted <= 0)
        return 0;
    for (int at = packet->extensions; at < packet->start;) {
        uint8_t head = packet->data[at];
        if (head != wanted) {
            at += head == 0 ? 1 : 2 + (head & 15);
            continue;
        }
        if (at + 2 >= packet->start)
            return 0;
        PyObject *arrivals = PyObject_GetAttr(peer, str_arrivals);
        PyObject *pending = arrivals ? PyObject_GetAttr(arrivals, str_pending) : NULL;
        PyObject *pair = PyTuple_New(2);
        PyObject *number = PyLong_FromLong(get16(packet->data + at + 1)), *when = PyFloat_FromDouble(arrived);
        int result = -1;
        if (pending && pair && number && when) {
            PyTuple_SET_ITEM(pair, 0, Py_NewRef(number));
            PyTuple_SET_ITEM(pair, 1, Py_NewRef(when));
            result = PyList_Append(pending, pair);
        }
        Py_XDECREF(arrivals);
        Py_XDECREF(pending);
        Py_XDECREF(pair);
        Py_XDECREF(number);
        Py_XDECREF(when);
        return result;
    }
    return 0;
}

/* Whether an output runs and takes packets as they are. */
static int is_plain_output(Path *self, PyObject *output)
{
    int64_t first;
    return Py_TYPE(output) == self->output.type && read_int(output, self->output.first, &first) &&
           SLOT(output, self->output.unwrap_red) == Py_False;
}

/* Whether the packet is the next in order of a started source, and all its outputs run. */
static int is_plain(Path *self, PyObject *source, const Packet *packet)
{
    int64_t payload_type, highest;
    PyObject *outputs, *history, *kept;
    if (Py_TYPE(source) != self->source.type || SLOT(source, self->source.started) != Py_True ||
        !read_int(source, self->source.payload_type, &payload_type) || payload_type != (packet->second & 127) ||
        !read_int(source, self->source.highest, &highest) || ((packet->sequence - highest) & 0xFFFF) != 1)
        return 0;
    kept = SLOT(source, self->source.kept);
    history = SLOT(source, self->source.history);
    outputs = SLOT(source, self->source.outputs);
    if ((kept != Py_True && kept != Py_False) || history == NULL || Py_TYPE(history) != self->history.type ||
        outputs == NULL || !PyList_CheckExact(outputs))
        return 0;
    for (Py_ssize_t n = 0; n < PyList_GET_SIZE(outputs); n++)
        if (!is_plain_output(self, PyList_GET_ITEM(outputs, n)))
            return 0;
    return 1;
}

/* Note the next packet in order, as Source.take and Forwarder._forward do. */
static int note_packet(Path *self, PyObject *source, const Packet *packet, double now, PyObject *now_object)
{
    const SourceKind *at = &self->source;
    int64_t last, clock_rate;
    double before, jitter;
    if (!read_int(source, at->last_timestamp, &last) || !read_int(source, at->clock_rate, &clock_rate) ||
        !read_float(source, at->arrived_ticks, &before) || !read_float(source, at->jitter_ticks, &jitter)) {
        PyErr_SetString(PyExc_TypeError, "a source has lost its figures");
        return -1;
    }
    if (write_int(source, at->highest, packet->sequence) < 0 || add_int(source, at->received, 1) < 0 ||
        add_int(source, at->octets, packet->end - packet->start) < 0 ||
        (packet->sequence == 0 && add_int(source, at->cycles, WRAP) < 0) ||
        write_member(source, at->seen_at, Py_NewRef(now_object)) < 0)
        return -1;
    if (packet->timestamp == last)
        return 0;
    double arrived = now * (double)clock_rate;
    if (before != 0.0) {
        int32_t step = (int32_t)(packet->timestamp - (uint32_t)last);
        jitter += (fabs(arrived - before - step) - jitter) / 16;
        if (write_member(source, at->jitter_ticks, PyFloat_FromDouble(jitter)) < 0)
            return -1;
    }
    if (write_member(source, at->arrived_ticks, PyFloat_FromDouble(arrived)) < 0)
        return -1;
    return write_int(source, at->last_timestamp, packet->timestamp);
}

/* Keep what NACKs and duplicates are answered from, as history.py has it. */
static int keep(Path *self, PyObject *source, const Packet *packet)
{
    PyObject *history = Py_XNewRef(SLOT(source, self->source.history)), *sequences = NULL, *packets = NULL;
    int size = packet->end - packet->start, result = -1;
    if (history != NULL && Py_TYPE(history) == self->history.type) {
        sequences = SLOT(history, self->history.sequences);
        packets = SLOT(history, self->history.packets);
    }
    if (sequences == NULL || packets == NULL || !PyList_CheckExact(packets)) {
        PyErr_SetString(PyExc_TypeError, "a history has lost its rings");
        Py_XDECREF(history);
        return -1;
    }
    Py_INCREF(sequences);
    Py_INCREF(packets);
    PyObject *number = PyLong_FromLong(packet->sequence);
    if (number == NULL || PySequence_SetItem(sequences, packet->sequence & self->sequence_mask, number) < 0)
        goto done;
    if (SLOT(source, self->source.kept) == Py_True) {
        PyObject *whole = PyBytes_FromStringAndSize(NULL, OUT_HEADER + size);
        if (whole == NULL)
            goto done;
        uint8_t *into = (uint8_t *)PyBytes_AS_STRING(whole);
        put_header(into, packet->second, packet->sequence, packet->timestamp, 0, 0, 0);
        memcpy(into + OUT_HEADER, packet->data + packet->start, (size_t)size);
        if (PyList_SetItem(packets, packet->sequence & self->sequence_mask, whole) < 0)
            goto done;
    }
    result = 0;
done:
    Py_XDECREF(number);
    Py_DECREF(sequences);
    Py_DECREF(packets);
    Py_DECREF(history);
    return result;
}

/* Put the packet, encrypted, into the outbox of an output's socket. */
static int put_out(Path *self, PyObject *output, const Packet *packet)
{
    const OutputKind *at = &self->output;
    int64_t sequence_offset, timestamp_offset, payload_type, ssrc, mid_word, send_time_head, slot;
    size_t size = (size_t)(packet->end - packet->start);
    PyObject *place = SLOT(output, at->place), *socket = SLOT(output, at->socket);
    if (!is_plain_output(self, output) || !read_int(output, at->sequence_offset, &sequence_offset) ||
        !read_int(output, at->timestamp_offset, &timestamp_offset) ||
        !read_int(output, at->payload_type, &payload_type) || !read_int(output, at->ssrc, &ssrc) ||
        !read_int(output, at->mid_word, &mid_word) || !read_int(output, at->send_time_head, &send_time_head) ||
        place == NULL || !PyBytes_CheckExact(place) || socket == NULL) {
        PyErr_SetString(PyExc_TypeError, "an output has lost its figures");
        return -1;
    }
    void *session = get_session(self, SLOT(output, at->session));
    Box *box = session ? find_box(self, socket, 0) : NULL;
    if (box == NULL)
        return -1;
    if (!read_int(box->outbox, self->outbox.count, &slot) || slot < 0 || slot >= box->send_slots ||
        OUT_HEADER + size + TRAILER > box->sent_bytes || (size_t)PyBytes_GET_SIZE(place) != box->name_bytes) {
        PyErr_SetString(PyExc_SystemError, "a packet does not fit its outbox");
        return -1;
    }
    if (add_int(output, at->packets, 1) < 0 || add_int(output, at->octets, (int64_t)size) < 0)
        return -1;
    struct msghdr *message = &sent(box, (int)slot)->msg_hdr;
    uint8_t *into = message->msg_iov->iov_base;
    int length = (int)(OUT_HEADER + size);
    put_header(into, (uint8_t)((packet->second & 128) | (payload_type & 127)),
               (uint16_t)(packet->sequence + sequence_offset), (uint32_t)(packet->timestamp + timestamp_offset),
               (uint32_t)ssrc, (uint32_t)mid_word, send_time_head ? (uint32_t)send_time_head | self->stamp : 0);
    memcpy(into + OUT_HEADER, packet->data + packet->start, size);
    memcpy(message->msg_name, PyBytes_AS_STRING(place), box->name_bytes);
    if (self->protect(session, into, &length) != 0)
        return drop(self, "not_encrypted");
    message->msg_iov->iov_len = (size_t)length;
    if (write_int(box->outbox, self->outbox.count, slot + 1) < 0)
        return -1;
    return slot + 1 == box->send_slots ? flush(self, box) : 0;
}

static int forward(Path *self, PyObject *peer, PyObject *source, const Packet *packet, double now, PyObject *now_object,
                   double arrived)
{
    PyObject *outputs = Py_NewRef(SLOT(source, self->source.outputs));
    int result = note_arrival(peer, packet, arrived);
    if (result == 0)
        result = note_packet(self, source, packet, now, now_object);
    if (result == 0)
        result = keep(self, source, packet);
    for (Py_ssize_t n = 0; result == 0 && n < PyList_GET_SIZE(outputs); n++) {
        PyObject *output = Py_NewRef(PyList_GET_ITEM(outputs, n));
        result = put_out(self, output, packet);
        Py_DECREF(output);
    }
    Py_DECREF(outputs);
    return result;
}

/* Do with an authentic packet what can be done here. 1: done; 0: it is not plain, nothing was touched; -1: exception. */
static int take_plain(Path *self, Box *box, PyObject *peer, const uint8_t *data, int length, double now,
                      PyObject *now_object, double arrived)
{
    Packet packet;
    if (!parse(&packet, data, length) ||
        (size_t)(OUT_HEADER + packet.end - packet.start + TRAILER) > box->sent_bytes)
        return 0;
    PyObject *sources = PyObject_GetAttr(peer, str_sources);
    PyObject *key = PyLong_FromUnsignedLong(packet.ssrc), *source = NULL;
    int result = -1;
    if (sources == NULL || key == NULL)
        goto done;
    result = 0;
    if (!PyDict_CheckExact(sources))
        goto done;
    source = Py_XNewRef(PyDict_GetItemWithError(sources, key));
    if (source == NULL)
        result = PyErr_Occurred() ? -1 : 0;
    else if (is_plain(self, source, &packet))
        result = forward(self, peer, source, &packet, now, now_object, arrived) < 0 ? -1 : 1;
done:
    Py_XDECREF(sources);
    Py_XDECREF(key);
    Py_XDECREF(source);
    return result;
}

/* Note that a peer was heard and what that costs it. 1: go on; 0: it sent too much; -1: exception. */
static int charge(Path *self, PyObject *peer, int length, PyObject *now_object)
{
    PyObject *link = PyObject_GetAttr(peer, str_link), *credit = NULL, *left = NULL;
    int result = -1;
    if (link == NULL || PyObject_SetAttr(link, str_heard_at, now_object) < 0 ||
        add_int(self->counters, self->counted.received, 1) < 0)
        goto done;
    credit = PyObject_GetAttr(peer, str_credit);
    if (credit == NULL)
        goto done;
    long long value = PyLong_AsLongLong(credit);
    if (value == -1 && PyErr_Occurred())
        goto done;
    value -= length + self->packet_cost;
    left = PyLong_FromLongLong(value);
    if (left == NULL || PyObject_SetAttr(peer, str_credit, left) < 0)
        goto done;
    result = value >= 0 ? 1 : drop(self, "too_much");
done:
    Py_XDECREF(link);
    Py_XDECREF(credit);
    Py_XDECREF(left);
    return result;
}

/* Handle one RTP packet as on the wire, as Forwarder.take does. */
static int take(Path *self, Box *box, int slot, PyObject *peer, int size, double now, PyObject *now_object,
                double arrived)
{
    uint8_t *data = received(box, slot)->msg_hdr.msg_iov->iov_base;
    int length = size;
    PyObject *rx = PyObject_GetAttr(peer, str_rx);
    void *session = rx ? get_session(self, rx) : NULL;
    if (session == NULL) {
        Py_XDECREF(rx);
        return -1;
    }
    int status = self->unprotect(session, data, &length);
    Py_DECREF(rx);
    if (status)
        return call(self->forwarder, str_refuse, 1, PyLong_FromLong(status), NULL, NULL, NULL, NULL, NULL);
    if (length < RTP_HEADER || length > size) {
        PyErr_SetString(PyExc_SystemError, "decryption gave a length that cannot be");
        return -1;
    }
    int result = charge(self, peer, length, now_object);
    if (result <= 0)
        return result;
    result = take_plain(self, box, peer, data, length, now, now_object, arrived);
    if (result != 0)
        return result < 0 ? -1 : 0;
    return call(self->forwarder, str_take_clear, 6, Py_NewRef(peer), Py_NewRef(box->inbox), PyLong_FromLong(slot),
                PyLong_FromLong(length), Py_NewRef(now_object), PyFloat_FromDouble(arrived));
}

/* Find the link of a datagram's sender; NULL without an exception where there is none. */
static PyObject *find_link(Path *self, Box *box, int slot)
{
    PyObject *key = PyBytes_FromStringAndSize(received(box, slot)->msg_hdr.msg_name, box->name_bytes);
    if (key == NULL)
        return NULL;
    PyObject *link = Py_XNewRef(PyDict_GetItemWithError(self->known, key));
    if (link == NULL && !PyErr_Occurred()) {
        PyObject *number = PyLong_FromLong(slot);
        if (number != NULL)
            link = PyObject_CallMethodObjArgs(self->forwarder, str_find_link, box->inbox, number, key, NULL);
        Py_XDECREF(number);
        if (link == Py_None)
            Py_CLEAR(link);
    }
    Py_DECREF(key);
    return link;
}

/* Handle one datagram of a batch. */
static int take_datagram(Path *self, Box *box, int slot, double now, PyObject *now_object, double arrived)
{
    const struct mmsghdr *message = received(box, slot);
    const uint8_t *data = message->msg_hdr.msg_iov->iov_base;
    size_t size = message->msg_len;
    PyObject *media = NULL, *link = find_link(self, box, slot);
    if (size > message->msg_hdr.msg_iov->iov_len)
        size = message->msg_hdr.msg_iov->iov_len;
    if (link != NULL)
        media = PyObject_GetAttr(link, str_media);
    Py_XDECREF(link);
    int result = -1;
    if (PyErr_Occurred()) {
        /* as it is */
    } else if (media != NULL && media != Py_None && size >= RTP_HEADER && data[0] > 127 && data[0] < 192 &&
               !(data[1] > 191 && data[1] < 224)) {
        result = take(self, box, slot, media, (int)size, now, now_object, arrived);
    } else {
        result = call(self->forwarder, str_take_other, 5, Py_NewRef(box->socket), Py_NewRef(box->inbox),
                      PyLong_FromLong(slot), PyLong_FromSize_t(size), Py_NewRef(media ? media : Py_None), NULL);
    }
    Py_XDECREF(media);
    return result;
}

/* The kernel's stamps in seconds; whether all have one. Makes room for the next. */
static int read_stamps(Box *box, int count, double *stamps)
{
    int stamped = 0;
    for (int slot = 0; slot < count; slot++) {
        struct msghdr *message = &received(box, slot)->msg_hdr;
        struct cmsghdr *control = CMSG_FIRSTHDR(message);
        struct timespec when;
        if (control != NULL && control->cmsg_level == SOL_SOCKET && control->cmsg_type == STAMP &&
            control->cmsg_len >= CMSG_LEN(sizeof when)) {
            memcpy(&when, CMSG_DATA(control), sizeof when);
            stamps[slot] = (double)when.tv_sec + 1e-9 * (double)when.tv_nsec;
            stamped++;
        }
        message->msg_controllen = box->control_bytes;
        message->msg_namelen = box->name_bytes;
    }
    return stamped == count;
}

/* Begin a batch; what time it is, and the times of arrival in place of the stamps. */
static PyObject *begin(Path *self, int count, int stamped, double *stamps, double *now)
{
    PyObject *newest = stamped ? PyFloat_FromDouble(stamps[count - 1]) : Py_NewRef(Py_None);
    PyObject *pair = newest ? PyObject_CallMethodOneArg(self->forwarder, str_begin, newest) : NULL;
    PyObject *stamp = pair ? PyObject_GetAttr(self->forwarder, str_stamp) : NULL, *now_object = NULL;
    double shift;
    if (stamp != NULL && PyArg_ParseTuple(pair, "dd", now, &shift)) {
        self->stamp = (uint32_t)PyLong_AsUnsignedLongMask(stamp);
        now_object = PyErr_Occurred() ? NULL : Py_NewRef(PyTuple_GET_ITEM(pair, 0));
    }
    for (int slot = 0; now_object != NULL && slot < count; slot++)
        stamps[slot] = stamped ? stamps[slot] + shift : *now;
    Py_XDECREF(newest);
    Py_XDECREF(pair);
    Py_XDECREF(stamp);
    return now_object;
}

PyDoc_STRVAR(drain_doc, "drain(socket)\n\nAs Forwarder.drain.");

static PyObject *drain(Path *self, PyObject *socket)
{
    Box *box = find_box(self, socket, 0);
    double stamps[MOST_SLOTS], now;
    if (box == NULL)
        return NULL;
    int count = recvmmsg(box->number, received(box, 0), (unsigned)box->receive_slots, MSG_DONTWAIT, NULL);
    if (count <= 0) {
        if (count < 0 && errno != EAGAIN && errno != EINTR && drop(self, "receive_failed") < 0)
            return NULL;
        Py_RETURN_NONE;
    }
    int stamped = read_stamps(box, count, stamps);
    PyObject *now_object = begin(self, count, stamped, stamps, &now);
    if (now_object == NULL)
        return NULL;
    int result = 0;
    for (int slot = 0; result == 0 && slot < count; slot++)
        result = take_datagram(self, box, slot, now, now_object, stamps[slot]);
    for (Py_ssize_t n = 0; result == 0 && n < self->count; n++)
        result = flush(self, &self->boxes[n]);
    Py_DECREF(now_object);
    if (result < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(take_doc, "take(peer, inbox, slot, size, now, arrived)\n\nAs Forwarder.take.");

static PyObject *take_method(Path *self, PyObject *args)
{
    PyObject *peer, *inbox, *now_object;
    int slot, size;
    double arrived;
    if (!PyArg_ParseTuple(args, "OOiiO!d", &peer, &inbox, &slot, &size, &PyFloat_Type, &now_object, &arrived))
        return NULL;
    Box *box = find_box(self, inbox, 1);
    if (box == NULL)
        return NULL;
    if (slot < 0 || slot >= box->receive_slots || size < RTP_HEADER ||
        (size_t)size > received(box, slot)->msg_hdr.msg_iov->iov_len) {
        PyErr_SetString(PyExc_ValueError, "no such slot, or no such packet");
        return NULL;
    }
    if (take(self, box, slot, peer, size, PyFloat_AS_DOUBLE(now_object), now_object, arrived) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- making and ending */

/* Take hold of an array of messages; how many it has, 0 with an exception set. */
static int hold_messages(PyObject *box, Py_buffer *buffer)
{
    PyObject *messages = PyObject_GetAttrString(box, "messages");
    if (messages == NULL)
        return 0;
    int held = PyObject_GetBuffer(messages, buffer, PyBUF_WRITABLE) == 0;
    Py_DECREF(messages);
    if (!held)
        return 0;
    Py_ssize_t count = buffer->len / (Py_ssize_t)sizeof(struct mmsghdr);
    if (count < 1 || count > MOST_SLOTS || buffer->len % (Py_ssize_t)sizeof(struct mmsghdr)) {
        PyErr_SetString(PyExc_ValueError, "not as many messages as a box has");
        return 0;
    }
    return (int)count;
}

static int fill_box(Path *self, Box *box, PyObject *entry)
{
    PyObject *socket, *inbox, *outbox;
    if (!PyArg_ParseTuple(entry, "OOO", &socket, &inbox, &outbox))
        return 0;
    if (Py_TYPE(outbox) != self->outbox.type) {
        PyErr_SetString(PyExc_TypeError, "no Outbox");
        return 0;
    }
    box->socket = Py_NewRef(socket);
    box->inbox = Py_NewRef(inbox);
    box->outbox = Py_NewRef(outbox);
    PyObject *number = PyObject_GetAttrString(inbox, "number");
    if (number == NULL)
        return 0;
    box->number = (int)PyLong_AsLong(number);
    Py_DECREF(number);
    if (PyErr_Occurred() || !(box->receive_slots = hold_messages(inbox, &box->received)) ||
        !(box->send_slots = hold_messages(outbox, &box->sent)))
        return 0;
    box->name_bytes = received(box, 0)->msg_hdr.msg_namelen;
    box->control_bytes = received(box, 0)->msg_hdr.msg_controllen;
    box->sent_bytes = sent(box, 0)->msg_hdr.msg_iov->iov_len;
    if (sent(box, 0)->msg_hdr.msg_namelen != box->name_bytes) {
        PyErr_SetString(PyExc_ValueError, "inbox and outbox are not of one socket");
        return 0;
    }
    return 1;
}

static int fill_boxes(Path *self, PyObject *entries)
{
    PyObject *list = PySequence_Fast(entries, "boxes are a sequence");
    if (list == NULL)
        return 0;
    Py_ssize_t count = PySequence_Fast_GET_SIZE(list);
    self->boxes = PyMem_Calloc((size_t)count + 1, sizeof(Box));
    int whole = self->boxes != NULL;
    if (!whole)
        PyErr_NoMemory();
    for (Py_ssize_t n = 0; whole && n < count; n++) {
        self->count = n + 1;
        whole = fill_box(self, &self->boxes[n], PySequence_Fast_GET_ITEM(list, n));
    }
    Py_DECREF(list);
    return whole;
}

static int path_clear(Path *self)
{
    Py_CLEAR(self->forwarder);
    Py_CLEAR(self->counters);
    Py_CLEAR(self->known);
    Py_CLEAR(self->source.type);
    Py_CLEAR(self->output.type);
    Py_CLEAR(self->history.type);
    Py_CLEAR(self->session.type);
    Py_CLEAR(self->outbox.type);
    Py_CLEAR(self->counted.type);
    Py_ssize_t count = self->count;
    Box *boxes = self->boxes;
    self->count = 0;
    self->boxes = NULL;
    for (Py_ssize_t n = 0; n < count; n++) {
        Box *box = &boxes[n];
        PyBuffer_Release(&box->received);
        PyBuffer_Release(&box->sent);
        Py_CLEAR(box->socket);
        Py_CLEAR(box->inbox);
        Py_CLEAR(box->outbox);
    }
    PyMem_Free(boxes);
    return 0;
}

static int path_traverse(Path *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->forwarder);
    Py_VISIT(self->counters);
    Py_VISIT(self->known);
    Py_VISIT(self->source.type);
    Py_VISIT(self->output.type);
    Py_VISIT(self->history.type);
    Py_VISIT(self->session.type);
    Py_VISIT(self->outbox.type);
    Py_VISIT(self->counted.type);
    for (Py_ssize_t n = 0; n < self->count; n++) {
        Py_VISIT(self->boxes[n].received.obj);
        Py_VISIT(self->boxes[n].sent.obj);
        Py_VISIT(self->boxes[n].socket);
        Py_VISIT(self->boxes[n].inbox);
        Py_VISIT(self->boxes[n].outbox);
    }
    return 0;
}

static void path_dealloc(Path *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    path_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(path_doc,
    "Path(forwarder, counters, known, boxes, kinds, ciphers, numbers)\n\n"
    "boxes     (socket, inbox, outbox) of each socket of the port\n"
    "kinds     the classes Source, Output, History, Session, Outbox, Counters\n"
    "ciphers   addresses of srtp_protect and srtp_unprotect\n"
    "numbers   limits.PACKET_COST, history.MASK");

static PyObject *path_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *forwarder, *counters, *known, *boxes, *source, *output, *history, *session, *outbox, *counted;
    unsigned long long protect, unprotect;
    long packet_cost, sequence_mask;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "OOO!O(OOOOOO)(KK)(ll)", &forwarder, &counters, &PyDict_Type, &known, &boxes, &source,
                          &output, &history, &session, &outbox, &counted, &protect, &unprotect, &packet_cost,
                          &sequence_mask))
        return NULL;
    Path *self = (Path *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->forwarder = Py_NewRef(forwarder);
    self->counters = Py_NewRef(counters);
    self->known = Py_NewRef(known);
    self->protect = (Transform *)(uintptr_t)protect;
    self->unprotect = (Transform *)(uintptr_t)unprotect;
    self->packet_cost = packet_cost;
    self->sequence_mask = sequence_mask;
    if (!find_source(&self->source, source) || !find_output(&self->output, output) ||
        !find_history(&self->history, history) || !find_session(&self->session, session) ||
        !find_outbox(&self->outbox, outbox) || !find_counters(&self->counted, counted) || !fill_boxes(self, boxes)) {
        Py_DECREF(self);
        return NULL;
    }
    if (Py_TYPE(counters) != self->counted.type || !protect || !unprotect) {
        PyErr_SetString(PyExc_TypeError, "no Counters, or no cipher");
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static PyMethodDef path_methods[] = {
    {"drain", (PyCFunction)drain, METH_O, drain_doc},
    {"take", (PyCFunction)take_method, METH_VARARGS, take_doc},
    {NULL},
};

static PyType_Slot path_slots[] = {
    {Py_tp_doc, (void *)path_doc},     {Py_tp_new, path_new},         {Py_tp_dealloc, path_dealloc},
    {Py_tp_traverse, path_traverse},   {Py_tp_clear, path_clear},     {Py_tp_methods, path_methods},
    {0, NULL},
};

static PyType_Spec path_spec = {
    "video_server.relay._compiled.Path", sizeof(Path), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, path_slots,
};

static int run_module(PyObject *module)
{
    for (size_t n = 0; n < sizeof names / sizeof *names; n++)
        if (*names[n].into == NULL && !(*names[n].into = PyUnicode_InternFromString(names[n].text)))
            return -1;
    PyObject *type = PyType_FromModuleAndSpec(module, &path_spec, NULL);
    int result = type ? PyModule_AddObjectRef(module, "Path", type) : -1;
    Py_XDECREF(type);
    return result < 0 ? -1 : PyModule_AddStringConstant(module, "BUILT_FROM", BUILT_FROM);
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, run_module}, {0, NULL}};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT, "_compiled", "The compiled part of the hot path; see compiled.c.", 0, NULL, module_slots,
    NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__compiled(void) { return PyModuleDef_Init(&module_def); }
