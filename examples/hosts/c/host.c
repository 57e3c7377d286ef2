/* EdgeFew in C: a bundle's three graphs through ONNX Runtime's C API, and the state file. Nothing else is needed.

     host BUNDLE STATE enroll NAME FRAME.ppm...      add examples of a class
     host BUNDLE STATE classify FRAME.ppm...         say which class each frame is of, or "unknown"
     host BUNDLE STATE classes
     host BUNDLE STATE forget NAME
     host BUNDLE vectors FOLDER                      run conformance vectors

   A frame is a binary PPM file (P6): RGB, 8 bits. Read from the top: bytes, the bundle, the graphs, the state, the
   decision, the commands. See docs/hosts.md. For little-endian machines with POSIX and IEEE floats. */

#define _POSIX_C_SOURCE 200809L
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "onnxruntime_c_api.h"

#define API_VERSION 18 /* GetApi(18) is there in every ONNX Runtime from 1.18 on */
#define FALSE_ACCEPT_RATE 0.05
#define MAX_FILE ((size_t)1 << 28)
#define MAX_TEXT 4096
#define MAX_NAME 800 /* 200 characters of four bytes */
#define MAX_PIXELS 64000000
#define MAX_SIDE 65535
#define MAX_POINTS 4096

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

typedef struct {
    uint8_t *data; /* one more byte follows, 0 */
    size_t size;
} Bytes;

static _Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("Error: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count + 1, size); /* never of size 0 */
    if (!memory) fail("%zu times %zu bytes do not fit into memory.", count, size);
    return memory;
}

static void *enlarge(void *memory, size_t count, size_t size) {
    void *larger = realloc(memory, (count + 1) * size);
    if (!larger) fail("%zu times %zu bytes do not fit into memory.", count, size);
    return larger;
}

/* The file's bytes; with `missing_ok`, data is NULL if there is none. */
static Bytes read_file(const char *path, bool missing_ok) {
    FILE *file = fopen(path, "rb");
    if (!file && missing_ok && errno == ENOENT) return (Bytes){NULL, 0};
    if (!file || fseek(file, 0, SEEK_END)) fail("%s cannot be read: %s.", path, strerror(errno));
    long size = ftell(file);
    if (size < 0 || (size_t)size > MAX_FILE) fail("%s is no file, or has over %zu bytes.", path, MAX_FILE);
    rewind(file);
    Bytes bytes = {allocate((size_t)size, 1), (size_t)size};
    if (fread(bytes.data, 1, bytes.size, file) != bytes.size) fail("%s cannot be read: %s.", path, strerror(errno));
    fclose(file);
    return bytes;
}

static Bytes read_beside(const char *folder, const char *name) {
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = allocate(size, 1);
    snprintf(path, size, "%s/%s", folder, name);
    Bytes bytes = read_file(path, false);
    free(path);
    return bytes;
}

/* SHA-256: FIPS 180-4, sections 4 to 6. */
typedef struct {
    uint32_t state[8];
    uint8_t block[64];
    uint64_t size;
} Sha256;

static const uint32_t ROUND_CONSTANTS[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha256_block(Sha256 *sha) {
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++) {
        const uint8_t *b = sha->block + 4 * i;
        w[i] = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    }
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    memcpy(v, sha->state, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25), choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
        uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        uint32_t t1 = v[7] + s1 + choice + ROUND_CONSTANTS[i] + w[i];
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + s0 + majority;
    }
    for (int i = 0; i < 8; i++) sha->state[i] += v[i];
}

static void sha256_add(Sha256 *sha, const void *data, size_t size) {
    const uint8_t *from = data;
    while (size) {
        size_t at = sha->size % 64, part = size < 64 - at ? size : 64 - at;
        memcpy(sha->block + at, from, part);
        from += part, size -= part, sha->size += part;
        if (sha->size % 64 == 0) sha256_block(sha);
    }
}

static Sha256 sha256_begin(void) {
    return (Sha256){{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19},
                    {0},
                    0};
}

static void sha256_end(Sha256 *sha, uint8_t digest[32]) {
    uint64_t bits = sha->size * 8;
    sha256_add(sha, "\x80", 1);
    while (sha->size % 64 != 56) sha256_add(sha, "", 1);
    for (int shift = 56; shift >= 0; shift -= 8) sha256_add(sha, &(uint8_t){(uint8_t)(bits >> shift)}, 1);
    for (int i = 0; i < 32; i++) digest[i] = (uint8_t)(sha->state[i / 4] >> (24 - i % 4 * 8));
}

static void sha256_hex(Bytes bytes, uint8_t digest[32], char hex[65]) {
    Sha256 sha = sha256_begin();
    sha256_add(&sha, bytes.data, bytes.size);
    sha256_end(&sha, digest);
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

/* ---- the bundle ------------------------------------------------------------------------------------------------- */

typedef struct {
    int way, shot;
    double rate, threshold;
} Point;

typedef struct {
    uint8_t id[32];
    char id_hex[65];
    int64_t d;
    float scale;
    Point points[MAX_POINTS];
    int point_count;
    OrtSession *embed, *enroll, *classify;
} Host;

/* Where the value of the next such key begins. Not a parser of JSON: it relies on what the exporter writes, flat objects
   of numbers. A key inside a text could not be mistaken: there its quotes would be escaped. */
static const char *value_of(const char *json, const char *key) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = json ? strstr(json, quoted) : NULL;
    if (!at) fail("manifest.json has no %s. Is the bundle of format 1?", key);
    at += strlen(quoted);
    return at + strspn(at, " \n\t");
}

static void read_points(Host *host, const char *manifest) {
    const char *at = value_of(manifest, "operating_points"), *end = strchr(at, ']');
    while (end && (at = strchr(at, '{')) && at < end) {
        if (host->point_count == MAX_POINTS) fail("manifest.json has over %d operating points.", MAX_POINTS);
        host->points[host->point_count++] = (Point){
            .way = atoi(value_of(at, "way")),
            .shot = atoi(value_of(at, "shot")),
            .rate = strtod(value_of(at, "false_accept_rate"), NULL),
            .threshold = strtod(value_of(at, "threshold"), NULL),
        };
        at++;
    }
}

static void read_manifest(Host *host, Bytes bytes) {
    const char *manifest = (const char *)bytes.data, *ours = value_of(manifest, "edgefew");
    const char *embedding = value_of(ours, "embedding");
    if (atoi(value_of(ours, "format")) != 1) fail("The bundle is of a format that this program does not read.");
    if (strncmp(value_of(ours, "kind"), "\"image\"", 7)) fail("The bundle takes no images.");
    host->d = atoi(value_of(embedding, "dimension"));
    host->scale = strtof(value_of(embedding, "scale"), NULL);
    if (host->d < 1 || host->d > 65536) fail("The bundle's embeddings have %ld components.", (long)host->d);
    read_points(host, ours);
}

/* ---- the graphs ------------------------------------------------------------------------------------------------- */

static const OrtApi *ort;
static OrtEnv *environment;
static OrtMemoryInfo *memory_info;

static void check(OrtStatus *status) {
    if (status) fail("ONNX Runtime: %s", ort->GetErrorMessage(status));
}

static void start_onnxruntime(void) {
    setenv("ORT_DISABLE_TELEMETRY", "1", 0);
    ort = OrtGetApiBase()->GetApi(API_VERSION);
    if (!ort) fail("ONNX Runtime %s is too old: 1.18 or newer is needed.", OrtGetApiBase()->GetVersionString());
    check(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "edgefew", &environment));
    check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory_info));
}

static OrtSession *open_graph(Bytes model) {
    OrtSessionOptions *options;
    OrtSession *session;
    check(ort->CreateSessionOptions(&options));
    check(ort->SetIntraOpNumThreads(options, 1));
    check(ort->CreateSessionFromArray(environment, model.data, model.size, options, &session));
    ort->ReleaseSessionOptions(options);
    return session;
}

/* Every file of SHA256SUMS must have its hash before anything reads it; a file that is not listed is never read. */
static Host *open_bundle(const char *folder) {
    Host *host = allocate(1, sizeof *host);
    Bytes sums = read_beside(folder, "SHA256SUMS");
    sha256_hex(sums, host->id, host->id_hex);
    bool manifest_seen = false;
    for (char *line = strtok((char *)sums.data, "\n"); line; line = strtok(NULL, "\n")) {
        uint8_t digest[32];
        char hex[65];
        if (strlen(line) < 67 || line[66] == '/' || strstr(line + 66, "..")) fail("SHA256SUMS of %s is damaged.", folder);
        const char *name = line + 66;
        Bytes content = read_beside(folder, name);
        sha256_hex(content, digest, hex);
        if (strncmp(line, hex, 64)) fail("%s of %s has other bytes than were exported.", name, folder);
        if (!strcmp(name, "manifest.json")) read_manifest(host, content), manifest_seen = true;
        if (!strcmp(name, "embed/fp32/model.onnx")) host->embed = open_graph(content);
        if (!strcmp(name, "enroll/fp32/model.onnx")) host->enroll = open_graph(content);
        if (!strcmp(name, "classify/fp32/model.onnx")) host->classify = open_graph(content);
        free(content.data);
    }
    if (!manifest_seen || !host->embed || !host->enroll || !host->classify) fail("%s is no bundle.", folder);
    free(sums.data);
    return host;
}

typedef struct {
    const char *name;
    void *data;
    ONNXTensorElementDataType type;
    int64_t shape[4];
} Tensor; /* a dimension of -1 ends the shape */

#define FLOAT ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
#define INT64 ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64
#define UINT8 ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8
#define BOOL ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL

static OrtValue *as_value(const Tensor *tensor) {
    size_t rank = 0, size = tensor->type == FLOAT ? 4 : tensor->type == INT64 ? 8 : 1;
    while (rank < 4 && tensor->shape[rank] >= 0) size *= (size_t)tensor->shape[rank++];
    OrtValue *value;
    check(ort->CreateTensorWithDataAsOrtValue(memory_info, tensor->data, size, tensor->shape, rank, tensor->type, &value));
    return value;
}

/* Runs a graph on tensors whose memory is the caller's, results too. The last of each list has no name. */
static void run(OrtSession *session, const Tensor *inputs, const Tensor *outputs) {
    const char *names[2][8];
    OrtValue *values[2][8];
    size_t counts[2] = {0, 0};
    const Tensor *lists[2] = {inputs, outputs};
    for (int side = 0; side < 2; side++)
        for (const Tensor *tensor = lists[side]; tensor->name; tensor++) {
            names[side][counts[side]] = tensor->name;
            values[side][counts[side]++] = as_value(tensor);
        }
    check(ort->Run(session, NULL, names[0], (const OrtValue *const *)values[0], counts[0], names[1], counts[1], values[1]));
    for (int side = 0; side < 2; side++)
        for (size_t i = 0; i < counts[side]; i++) ort->ReleaseValue(values[side][i]);
}

typedef struct {
    int64_t height, width;
    uint8_t *pixels; /* [height, width, 3], RGB */
    uint8_t sha256[32];
} Frame;

static Frame read_frame(const char *path) {
    Bytes file = read_file(path, false);
    int height, width, start = 0;
    if (sscanf((char *)file.data, "P6 %d %d 255%n", &width, &height, &start) != 2 || !start || height < 1 || width < 1)
        fail("%s is no binary PPM file (P6, 8 bits).", path);
    size_t size = (size_t)height * (size_t)width * 3;
    if (height > MAX_SIDE || width > MAX_SIDE || size > 3 * (size_t)MAX_PIXELS) fail("%s has too many pixels.", path);
    if (file.size != (size_t)start + 1 + size) fail("%s should have %d x %d pixels.", path, width, height);
    Frame frame = {height, width, allocate(size, 1), {0}};
    memcpy(frame.pixels, file.data + start + 1, size);
    char shape[64];
    snprintf(shape, sizeof shape, "(%d, %d, 3)", height, width);
    Sha256 sha = sha256_begin();
    sha256_add(&sha, shape, strlen(shape));
    sha256_add(&sha, frame.pixels, size);
    sha256_end(&sha, frame.sha256);
    free(file.data);
    return frame;
}

static void embed(const Host *host, const Frame *frame, float *embedding) {
    run(host->embed, (Tensor[]){{"frames", frame->pixels, UINT8, {1, frame->height, frame->width, 3}}, {0}},
        (Tensor[]){{"embeddings", embedding, FLOAT, {1, host->d, -1}}, {0}});
}

/* `sums` and `counts` are replaced by the new ones. */
static void enroll(const Host *host, int64_t n, float *embeddings, int64_t *labels, float *weights, int64_t c,
                   float *sums, float *counts, uint8_t *accepted) {
    float *new_sums = allocate((size_t)(c * host->d), sizeof *new_sums);
    float *new_counts = allocate((size_t)c, sizeof *new_counts);
    run(host->enroll,
        (Tensor[]){{"embeddings", embeddings, FLOAT, {n, host->d, -1}},
                   {"labels", labels, INT64, {n, -1}},
                   {"weights", weights, FLOAT, {n, -1}},
                   {"sums", sums, FLOAT, {c, host->d, -1}},
                   {"counts", counts, FLOAT, {c, -1}},
                   {0}},
        (Tensor[]){{"new_sums", new_sums, FLOAT, {c, host->d, -1}},
                   {"new_counts", new_counts, FLOAT, {c, -1}},
                   {"accepted", accepted, BOOL, {n, -1}},
                   {0}});
    memcpy(sums, new_sums, (size_t)(c * host->d) * sizeof *sums);
    memcpy(counts, new_counts, (size_t)c * sizeof *counts);
    free(new_sums), free(new_counts);
}

static void classify(const Host *host, int64_t n, float *embeddings, int64_t c, float *sums, float *counts,
                     float threshold, float *probabilities, float *scores, int64_t *best, uint8_t *known) {
    float scale = host->scale;
    run(host->classify,
        (Tensor[]){{"embeddings", embeddings, FLOAT, {n, host->d, -1}},
                   {"sums", sums, FLOAT, {c, host->d, -1}},
                   {"counts", counts, FLOAT, {c, -1}},
                   {"scale", &scale, FLOAT, {-1}},
                   {"threshold", &threshold, FLOAT, {-1}},
                   {0}},
        (Tensor[]){{"probabilities", probabilities, FLOAT, {n, c, -1}},
                   {"scores", scores, FLOAT, {n, c, -1}},
                   {"best", best, INT64, {n, -1}},
                   {"known", known, BOOL, {n, -1}},
                   {0}});
}

/* ---- the state file --------------------------------------------------------------------------------------------- */

typedef struct {
    float *embedding; /* [d], on the grid: what it added to its class's sum */
    uint32_t class;
    uint8_t sha256[32];
    char *source;
} Example;

typedef struct {
    uint32_t c, n;
    float *sums, *counts; /* [c, d], [c] */
    char **names;
    Example *examples;
} State;

static const uint8_t *take(Bytes *left, uint64_t size) {
    if (size > left->size) fail("The state file was cut off.");
    const uint8_t *taken = left->data;
    left->data += size, left->size -= size;
    return taken;
}

static uint32_t take_number(Bytes *left) {
    uint32_t number;
    memcpy(&number, take(left, sizeof number), sizeof number);
    return number;
}

static void *take_copy(Bytes *left, uint64_t count, uint64_t size) { /* count * size stays within 64 bits */
    const uint8_t *from = take(left, count * size);
    void *copy = allocate(count, size);
    memcpy(copy, from, count * size);
    return copy;
}

static void check_name(const char *name) {
    size_t size = strlen(name);
    if (!size || size > MAX_NAME || isspace((unsigned char)name[0]) || isspace((unsigned char)name[size - 1]))
        fail("A class name has 1 to %d bytes, and no blanks around it.", MAX_NAME);
    int follow = 0; /* bytes of a UTF-8 character that are to come */
    for (const unsigned char *at = (const unsigned char *)name; *at; at++) {
        bool continues = (*at & 0xC0) == 0x80;
        if (*at < 0x20 || *at == 0x7F || *at > 0xF4 || continues != (follow > 0)) fail("A class name is printable UTF-8.");
        follow = continues ? follow - 1 : *at >= 0xF0 ? 3 : *at >= 0xE0 ? 2 : *at >= 0xC0 ? 1 : 0;
    }
    if (follow) fail("A class name is printable UTF-8.");
}

static char *take_text(Bytes *left) {
    uint32_t size = take_number(left);
    if (size > MAX_TEXT) fail("The state file has a name of %u bytes.", size);
    return take_copy(left, size, 1);
}

/* The sums must be those of the examples, to the bit; NaN equals nothing, so it is refused too. */
static void check_state(const State *state, size_t d) {
    float *sums = allocate((size_t)state->c * d, sizeof *sums), *counts = allocate(state->c, sizeof *counts);
    bool right = true;
    for (uint32_t i = 0; i < state->n; i++) {
        const Example *example = state->examples + i;
        if (example->class >= state->c) fail("The state file has an example of no class.");
        for (size_t j = 0; j < d; j++) sums[example->class * d + j] += example->embedding[j];
        counts[example->class]++;
    }
    for (size_t k = 0; k < state->c; k++) right = right && counts[k] > 0 && counts[k] == state->counts[k];
    for (size_t j = 0; j < state->c * d; j++) right = right && sums[j] == state->sums[j];
    if (!right) fail("The state file's sums and counts are not those of its examples.");
    free(sums), free(counts);
}

static State read_state(const Host *host, const char *path) {
    Bytes file = read_file(path, true), left = file;
    State state = {0};
    if (!file.data) return state;
    size_t d = (size_t)host->d;
    if (file.size < 8 || memcmp(take(&left, 8), "EFSTATE1", 8)) fail("%s is no state file of format 1.", path);
    if (memcmp(take(&left, 32), host->id, 32) || take_number(&left) != d) fail("%s is of another bundle.", path);
    state.c = take_number(&left), state.n = take_number(&left);
    state.sums = take_copy(&left, state.c, 4 * d);
    state.counts = take_copy(&left, state.c, 4);
    const uint8_t *embeddings = take(&left, (uint64_t)state.n * 4 * d), *classes = take(&left, (uint64_t)state.n * 4);
    const uint8_t *hashes = take(&left, (uint64_t)state.n * 32);
    state.names = allocate(state.c, sizeof *state.names);
    state.examples = allocate(state.n, sizeof *state.examples);
    for (uint32_t k = 0; k < state.c; k++) check_name(state.names[k] = take_text(&left));
    for (uint32_t i = 0; i < state.n; i++) {
        Example *example = state.examples + i;
        example->embedding = allocate(d, sizeof *example->embedding);
        memcpy(example->embedding, embeddings + 4 * d * i, 4 * d);
        memcpy(&example->class, classes + (size_t)4 * i, 4);
        memcpy(example->sha256, hashes + (size_t)32 * i, 32);
        example->source = take_text(&left);
    }
    if (left.size) fail("%zu bytes follow the end of %s.", left.size, path);
    check_state(&state, d);
    free(file.data);
    return state;
}

static void put(FILE *file, const void *data, size_t size) {
    if (size && fwrite(data, 1, size, file) != size) fail("The state cannot be written: %s.", strerror(errno));
}

static void put_text(FILE *file, const char *text) {
    uint32_t size = (uint32_t)strlen(text);
    put(file, &size, 4);
    put(file, text, size);
}

/* Whole or not at all: written beside, flushed to the disk, then renamed. */
static void write_state(const Host *host, const State *state, const char *path) {
    size_t d = (size_t)host->d, size = strlen(path) + 6;
    char *part = allocate(size, 1);
    snprintf(part, size, "%s.part", path);
    FILE *file = fopen(part, "wb");
    if (!file) fail("%s cannot be written: %s.", part, strerror(errno));
    put(file, "EFSTATE1", 8);
    put(file, host->id, 32);
    put(file, (uint32_t[]){(uint32_t)d, state->c, state->n}, 12);
    put(file, state->sums, 4 * d * state->c);
    put(file, state->counts, 4 * (size_t)state->c);
    for (uint32_t i = 0; i < state->n; i++) put(file, state->examples[i].embedding, 4 * d);
    for (uint32_t i = 0; i < state->n; i++) put(file, &state->examples[i].class, 4);
    for (uint32_t i = 0; i < state->n; i++) put(file, state->examples[i].sha256, 32);
    for (uint32_t k = 0; k < state->c; k++) put_text(file, state->names[k]);
    for (uint32_t i = 0; i < state->n; i++) put_text(file, state->examples[i].source);
    if (fflush(file) || fsync(fileno(file)) || fclose(file) || rename(part, path))
        fail("%s cannot be written: %s.", path, strerror(errno));
    free(part);
}

static int64_t find_class(const State *state, const char *name) {
    for (uint32_t k = 0; k < state->c; k++)
        if (!strcmp(state->names[k], name)) return k;
    return -1;
}

static uint32_t add_class(State *state, const char *name, size_t d) {
    uint32_t k = state->c++;
    state->names = enlarge(state->names, state->c, sizeof *state->names);
    state->sums = enlarge(state->sums, state->c, 4 * d);
    state->counts = enlarge(state->counts, state->c, 4);
    state->names[k] = allocate(strlen(name), 1);
    memcpy(state->names[k], name, strlen(name));
    memset(state->sums + k * d, 0, 4 * d);
    state->counts[k] = 0;
    return k;
}

/* False if the class has this frame already. */
static bool add_example(const Host *host, State *state, uint32_t k, const Frame *frame, const char *source) {
    size_t d = (size_t)host->d, length = strlen(source);
    for (uint32_t i = 0; i < state->n; i++)
        if (state->examples[i].class == k && !memcmp(state->examples[i].sha256, frame->sha256, 32)) return false;
    float *embedding = allocate(d, sizeof *embedding), *gained = allocate(d, sizeof *gained), one = 1;
    int64_t label = k;
    uint8_t accepted;
    memcpy(gained, state->sums + k * d, 4 * d);
    embed(host, frame, embedding);
    enroll(host, 1, embedding, &label, &one, state->c, state->sums, state->counts, &accepted);
    if (!accepted) fail("%s gives no usable embedding. Nothing was enrolled.", source);
    /* Sums of values on the grid are exact, and so is this difference: the example as it went into the sum. */
    for (size_t j = 0; j < d; j++) gained[j] = state->sums[k * d + j] - gained[j];
    if (length > MAX_TEXT) source += length - MAX_TEXT, length = MAX_TEXT;
    Example example = {gained, k, {0}, allocate(length, 1)};
    memcpy(example.sha256, frame->sha256, 32);
    memcpy(example.source, source, length);
    state->examples = enlarge(state->examples, ++state->n, sizeof *state->examples);
    state->examples[state->n - 1] = example;
    free(embedding);
    return true;
}

static void remove_class(State *state, uint32_t k, size_t d) {
    uint32_t kept = 0, after = state->c - k - 1;
    memmove(state->names + k, state->names + k + 1, after * sizeof *state->names);
    memmove(state->sums + k * d, state->sums + (k + 1) * d, after * 4 * d);
    memmove(state->counts + k, state->counts + k + 1, after * sizeof *state->counts);
    state->c--;
    for (uint32_t i = 0; i < state->n; i++) {
        Example example = state->examples[i];
        if (example.class == k) continue;
        if (example.class > k) example.class--;
        state->examples[kept++] = example;
    }
    state->n = kept;
}

/* ---- the decision ----------------------------------------------------------------------------------------------- */

/* The threshold that the bundle promises the rate with, for these classes; infinite, so that every answer is "unknown",
   if it promises none. docs/unknown.md. */
static float threshold_for(const Host *host, const State *state, double rate) {
    double fewest = INFINITY, most = 0, best_rate = 0, threshold = -INFINITY;
    int way = INT32_MAX, least = INT32_MAX, largest = 0, low = 0, high = INT32_MAX;
    for (uint32_t k = 0; k < state->c; k++) fewest = fmin(fewest, state->counts[k]), most = fmax(most, state->counts[k]);
#define EACH(point) for (const Point *point = host->points; point < host->points + host->point_count; point++)
#define ENOUGH(point) (point->way >= (int64_t)state->c && point->rate <= rate * (1 + 1e-9))
#define CHOSEN(point) (point->way == way && point->rate == best_rate)
    EACH(p) if (ENOUGH(p) && p->rate > best_rate) best_rate = p->rate;
    EACH(p) if (ENOUGH(p) && p->rate == best_rate && p->way < way) way = p->way;
    /* Of the shots measured: from the next below the gallery's fewest to the next above its most. */
    EACH(p) if (CHOSEN(p)) {
        if (p->shot < least) least = p->shot;
        if (p->shot > largest) largest = p->shot;
        if (p->shot <= fewest && p->shot > low) low = p->shot;
        if (p->shot >= most && p->shot < high) high = p->shot;
    }
    if (!low) low = least;
    if (high == INT32_MAX) high = largest;
    EACH(p) if (CHOSEN(p) && p->shot >= low && p->shot <= high) threshold = fmax(threshold, p->threshold);
    return best_rate ? (float)threshold : INFINITY;
}

/* ---- the commands ----------------------------------------------------------------------------------------------- */

static void command_enroll(const Host *host, const char *path, const char *name, char **frames) {
    check_name(name);
    State state = read_state(host, path);
    int64_t found = find_class(&state, name);
    uint32_t k = found < 0 ? add_class(&state, name, (size_t)host->d) : (uint32_t)found;
    int added = 0;
    for (; *frames; frames++) {
        Frame frame = read_frame(*frames);
        added += add_example(host, &state, k, &frame, *frames);
        free(frame.pixels);
    }
    write_state(host, &state, path); /* all frames or none: whatever failed has ended the program before */
    printf("%s: %d added, %.0f in all\n", name, added, state.counts[k]);
}

static void command_classify(const Host *host, const char *path, char **frames) {
    State state = read_state(host, path);
    if (!state.c) fail("No class is enrolled.");
    float threshold = threshold_for(host, &state, FALSE_ACCEPT_RATE);
    float *embedding = allocate((size_t)host->d, sizeof *embedding);
    float *probabilities = allocate(state.c, sizeof *probabilities), *scores = allocate(state.c, sizeof *scores);
    for (; *frames; frames++) {
        int64_t best;
        uint8_t known;
        Frame frame = read_frame(*frames);
        embed(host, &frame, embedding);
        classify(host, 1, embedding, state.c, state.sums, state.counts, threshold, probabilities, scores, &best, &known);
        printf("%s: %s (nearest: %s, score %.4f, threshold %.4f)\n", *frames, known ? state.names[best] : "unknown",
               state.names[best], scores[best], threshold);
        free(frame.pixels);
    }
}

static void command_forget(const Host *host, const char *path, const char *name) {
    State state = read_state(host, path);
    int64_t k = find_class(&state, name);
    if (k < 0) fail("No class of that name is enrolled.");
    remove_class(&state, (uint32_t)k, (size_t)host->d);
    write_state(host, &state, path);
    printf("%s: forgotten\n", name);
}

static void command_classes(const Host *host, const char *path) {
    State state = read_state(host, path);
    for (uint32_t k = 0; k < state.c; k++) printf("%s: %.0f\n", state.names[k], state.counts[k]);
}

/* ---- conformance vectors ---------------------------------------------------------------------------------------- */

typedef struct {
    const Host *host;
    const char *folder;
    int64_t c;
    float *sums, *counts;
    double tolerance, cosine;
} Vectors;

static void *array_of(const Vectors *v, const char *step, const char *part, size_t count, size_t size) {
    char name[256];
    snprintf(name, sizeof name, "%s.%s", step, part);
    Bytes bytes = read_beside(v->folder, name);
    if (bytes.size != count * size) fail("%s has %zu bytes, %zu were expected.", name, bytes.size, count * size);
    return bytes.data;
}

static bool near(const float *a, const float *b, size_t count, double tolerance) {
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)a[i] - b[i]) <= tolerance)) return false;
    return true;
}

static double cosine_of(const float *a, const float *b, size_t count) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < count; i++) ab += (double)a[i] * b[i], aa += (double)a[i] * a[i], bb += (double)b[i] * b[i];
    return ab / sqrt(aa * bb);
}

static float *embedded(const Vectors *v, const char *step) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.ppm", v->folder, step);
    Frame frame = read_frame(path);
    float *embedding = allocate((size_t)v->host->d, sizeof *embedding);
    embed(v->host, &frame, embedding);
    free(frame.pixels);
    return embedding;
}

static bool step_embed(Vectors *v, const char *step, const char *kind) {
    size_t d = (size_t)v->host->d;
    float *expected = array_of(v, step, "embedding", d, 4), *embedding = embedded(v, step);
    return strcmp(kind, "exact") ? cosine_of(expected, embedding, d) >= v->cosine : near(expected, embedding, d, v->tolerance);
}

static bool step_enroll(Vectors *v, const char *step, size_t n) {
    size_t d = (size_t)v->host->d, c = (size_t)v->c;
    uint8_t *accepted = allocate(n, 1);
    enroll(v->host, (int64_t)n, array_of(v, step, "embeddings", n * d, 4), array_of(v, step, "labels", n, 8),
           array_of(v, step, "weights", n, 4), v->c, v->sums, v->counts, accepted);
    return !memcmp(accepted, array_of(v, step, "accepted", n, 1), n) &&
           near(v->sums, array_of(v, step, "sums", c * d, 4), c * d, 0) &&
           near(v->counts, array_of(v, step, "counts", c, 4), c, 0);
}

static bool step_classify(Vectors *v, const char *step, size_t n, float threshold) {
    size_t c = (size_t)v->c;
    float *probabilities = allocate(n * c, 4), *scores = allocate(n * c, 4);
    int64_t *best = allocate(n, 8);
    uint8_t *known = allocate(n, 1);
    classify(v->host, (int64_t)n, array_of(v, step, "embeddings", n * (size_t)v->host->d, 4), v->c, v->sums, v->counts,
             threshold, probabilities, scores, best, known);
    return near(probabilities, array_of(v, step, "probabilities", n * c, 4), n * c, v->tolerance) &&
           near(scores, array_of(v, step, "scores", n * c, 4), n * c, v->tolerance) &&
           !memcmp(best, array_of(v, step, "best", n, 8), n * 8) && !memcmp(known, array_of(v, step, "known", n, 1), n);
}

static bool step_learn(Vectors *v, const char *step, int64_t label) {
    uint8_t accepted;
    enroll(v->host, 1, embedded(v, step), &label, &(float){1}, v->c, v->sums, v->counts, &accepted);
    return accepted;
}

static bool step_recognise(Vectors *v, const char *step, float threshold, const char *expected) {
    float *probabilities = allocate((size_t)v->c, 4), *scores = allocate((size_t)v->c, 4);
    int64_t best;
    uint8_t known;
    classify(v->host, 1, embedded(v, step), v->c, v->sums, v->counts, threshold, probabilities, scores, &best, &known);
    return known ? atoi(expected) == best && isdigit((unsigned char)*expected) : !strcmp(expected, "unknown");
}

static void read_head(Vectors *v, const char *line, const char *key, const char *value) {
    if (!strcmp(key, "bundle") && strcmp(value, v->host->id_hex)) fail("The vectors are of another bundle.");
    if (!strcmp(key, "classes")) v->c = atoi(value);
    if (!strcmp(key, "tolerance")) v->tolerance = strtod(value, NULL);
    if (!strcmp(key, "cosine")) v->cosine = strtod(value, NULL);
    if (!strcmp(key, "edgefew-vectors") && strcmp(value, "1")) fail("The vectors are of another format: %s", line);
}

static int command_vectors(const Host *host, const char *folder) {
    Vectors v = {host, folder, 0, NULL, NULL, 0, 1};
    int passed = 0, steps = 0;
    Bytes text = read_beside(folder, "steps.txt");
    for (char *line = strtok((char *)text.data, "\n"); line; line = strtok(NULL, "\n")) {
        char verb[32] = "", step[80] = "", first[32] = "", second[32] = "";
        sscanf(line, "%31s %79s %31s %31s", verb, step, first, second);
        bool right;
        if (!strcmp(verb, "reset")) {
            v.sums = allocate((size_t)(v.c * host->d), 4), v.counts = allocate((size_t)v.c, 4);
            continue;
        } else if (!strcmp(verb, "embed")) right = step_embed(&v, step, first);
        else if (!strcmp(verb, "enroll")) right = step_enroll(&v, step, (size_t)atoi(first));
        else if (!strcmp(verb, "classify")) right = step_classify(&v, step, (size_t)atoi(first), strtof(second, NULL));
        else if (!strcmp(verb, "learn")) right = step_learn(&v, step, atoi(first));
        else if (!strcmp(verb, "recognise")) right = step_recognise(&v, step, strtof(first, NULL), second);
        else {
            read_head(&v, line, verb, step);
            continue;
        }
        printf("%s %s %s\n", right ? "✓" : "✗", verb, step);
        passed += right, steps++;
    }
    printf("%d of %d steps agree (ONNX Runtime %s)\n", passed, steps, OrtGetApiBase()->GetVersionString());
    return steps && passed == steps ? 0 : 1;
}

int main(int count, char **words) {
    const char *command = count > 3 ? words[3] : "";
    bool vectors = count == 4 && !strcmp(words[2], "vectors");
    bool known = vectors || (count > 5 && !strcmp(command, "enroll")) || (count > 4 && !strcmp(command, "classify")) ||
                 (count == 5 && !strcmp(command, "forget")) || (count == 4 && !strcmp(command, "classes"));
    if (!known) fail("Usage: host BUNDLE STATE enroll NAME FRAME... | classify FRAME... | classes | forget NAME\n"
                     "       host BUNDLE vectors FOLDER");
    start_onnxruntime();
    Host *host = open_bundle(words[1]);
    if (vectors) return command_vectors(host, words[3]);
    if (!strcmp(command, "enroll")) command_enroll(host, words[2], words[4], words + 5);
    if (!strcmp(command, "classify")) command_classify(host, words[2], words + 4);
    if (!strcmp(command, "classes")) command_classes(host, words[2]);
    if (!strcmp(command, "forget")) command_forget(host, words[2], words[4]);
    return 0;
}
