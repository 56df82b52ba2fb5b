/* Folded networks of gated or residual convolutions, forwards: all members of an ensemble and all convolutions at once.
 *
 * What edges tell is looked up before anything is computed, once for all members and convolutions: which edges of
 * a site are alike and count as one, and where in the table of a distance they have to look. An edge's row is then
 * z = terms of its centre + terms of its neighbour + the table's row at its distance.
 *
 * Gates and cores come in powers of two: their weights are scaled so that 2^gate is the exponential of minus the
 * gate, and 2^core that of the core. Of a sum over the edges ln(2) / 2 is left to whoever scales it. Of residual
 * convolutions 2^core is the exponential of minus the core, and -ln(2) is left.
 *
 * Rows are padded to whole vectors. All sums of a site run in one order, whatever else is in the batch. The loops
 * run over the channels and are written to be vectorised; each function exists for several kinds of processor,
 * and the best is chosen when the module is loaded.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__clang__)
#define PARALLEL _Pragma("clang loop vectorize(assume_safety)")
#define UNROLLED
#define INLINED static inline __attribute__((always_inline))
#elif defined(__GNUC__)
#define PARALLEL _Pragma("GCC ivdep")
#define UNROLLED _Pragma("GCC unroll 16")
#define INLINED static inline __attribute__((always_inline))
#else
#define PARALLEL
#define UNROLLED
#define INLINED static inline
#endif

#define EACH(c, n) PARALLEL for (Py_ssize_t c = 0; c < (n); c++)

#define LANES 16      /* floats that rows are padded to */
#define PANEL 32      /* columns of a matrix that lie together */
#define GROUP 48      /* sites whose terms stay in the nearest caches: whole crystals, at least so many */
#define PART 96       /* sites, at most, that share rows of their distances */
#define LOOK_BACK 16 /* edges; those that are alike are near each other, as all are sorted by distance */
#define TALLEST 12
#define LARGEST (1 << 14) /* of whatever is counted in a network, so that products of four are still numbers */
#define LN_2 0.693147181f
#define TAPS 6 /* rows of a table around a distance */

typedef struct {
    Py_ssize_t from, to; /* sites */
    Py_ssize_t first;    /* of a group its first part, of a part its first row */
} Range;

typedef struct {
    Py_ssize_t members, convolutions, width, elements, rows, count; /* count: rows of the table a distance */
    Py_ssize_t sites, edges, crystals, kept;
    double steps; /* rows of the table an Å; 0: the paper's bins */
    double bin_start, bin_width;
    const float *start;   /* members x elements x width */
    const float *first;   /* members x elements x 4 width: what a site tells before the first convolution */
    const float *table;   /* convolutions x members x rows x 2 width */
    const float *weights; /* convolutions - 1, members, panels, width, PANEL */
    const float *bias;    /* convolutions - 1, members, 4 width */
    const float *after;   /* convolutions, members, 2, width: of the sums, scale and shift */
    Py_ssize_t own;       /* of residual ones the width without padding; 0: gated */
    const float *norms;   /* convolutions + 1, members, 4, width: of sites and of sums, scale and shift */
    const float *up, *down; /* convolutions, members, panels, width, PANEL */
    const float *up_bias, *down_bias; /* convolutions, members, panels, PANEL */
    const int64_t *numbers, *first_site, *first_edge, *neighbour;
    const float *distance, *weight; /* weight: or NULL */
    float *out;                     /* kept x members x sites x width; kept: 1, or convolutions + 1 */

    Py_ssize_t groups;
    Range *group, *part;                 /* a part lies within a group; one more of each ends them */
    Py_ssize_t *first_made;              /* sites + 1; made are edges, those alike as one */
    int32_t *near, *element, *row;       /* made: the neighbour in its group; its element; the row in its part */
    float *total;                        /* made: the weights of all that it stands for */
    int32_t *begin;                      /* rows: the first of the table's */
    float *share;                        /* rows x count */
    float *terms, *edge_rows, *sums;     /* of a group; of a part; of a site, of residual ones of a group */
    float *normal, *wide, *back;         /* of a group: residual ones alone */
    void *held[20];                      /* all of these, as they were allocated */
    int holds;
} Pass;

/* ---- elementary functions -------------------------------------------------------------------------- */

INLINED float as_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

INLINED uint32_t as_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

/* 2^x to 8e-8 of itself, for x from -126 to 126. */
INLINED float power(float x)
{
    const float whole = 12582912.0f; /* 1.5 * 2^23: what is added to it is rounded to an integer */
    float shifted = x + whole, r = x - (shifted - whole);
    float square = r * r; /* in pairs, which wait less for each other */
    float p = (1.327647152e-03f * r + 9.675541331e-03f) * square + (5.550713275e-02f * r + 2.402211972e-01f);
    p = p * square + (6.931469671e-01f * r + 1.000000072f);
    return as_float(as_bits(p) + (as_bits(shifted) << 23));
}

/* 2 log2(1 + t) to 1e-7, for t from 0 to 1. */
INLINED float twice_log(float t)
{
    float square = t * t, fourth = square * square;
    float high = (-1.861830070e-02f * t + 1.041178991e-01f) * square + (-2.750425392e-01f * t + 4.837294254e-01f);
    float low = (-6.946021139e-01f * t + 9.573673845e-01f) * square + (-1.442331610f * t + 2.885379762f);
    return (high * fourth + low) * t;
}

/* Floats are in the order of their bits, those below zero in the reverse: limits that compilers make one instruction
 * of. What is not a number becomes one. */
INLINED float at_most(float x, float limit) /* limit > 0 */
{
    int32_t bits = (int32_t)as_bits(x), most = (int32_t)as_bits(limit);
    return as_float((uint32_t)(bits < most ? bits : most));
}

INLINED float at_least(float x, float limit) /* limit < 0 */
{
    uint32_t bits = as_bits(x), least = as_bits(limit);
    return as_float(bits < least ? bits : least);
}

INLINED float message(float gate, float core)
{
    float high = fabsf(core), soft = (core + high) + twice_log(power(-at_most(high, 126.0f)));
    return soft / (1.0f + power(at_least(at_most(gate, 126.0f), -126.0f)));
}

/* That of residual convolutions, divided by -ln(2). */
INLINED float plain_message(float gate, float core)
{
    return core
           / ((1.0f + power(at_least(at_most(gate, 126.0f), -126.0f)))
              * (1.0f + power(at_least(at_most(core, 126.0f), -126.0f))));
}

INLINED float swish(float x)
{
    return x / (1.0f + power(at_least(at_most(x * -1.44269504f, 126.0f), -126.0f)));
}

INLINED float softplus(float x)
{
    float high = fabsf(x), t = power(-at_most(high * 1.44269504f, 126.0f));
    return 0.5f * (x + high) + 0.346573590f * twice_log(t);
}

/* ---- products of matrices ---------------------------------------------------------------------------- */

/* `tall` rows of out = bias + a b, of one panel. */
INLINED void make_tile(float *restrict out, Py_ssize_t across, const float *restrict a, Py_ssize_t down,
                       const float *restrict b, const float *restrict bias, Py_ssize_t count, const int tall)
{
    float sum[TALLEST][PANEL];
    UNROLLED for (int r = 0; r < tall; r++)
        EACH(c, PANEL) sum[r][c] = bias[c];
    for (Py_ssize_t k = 0; k < count; k++, b += PANEL) {
        UNROLLED for (int r = 0; r < tall; r++)
            EACH(c, PANEL) sum[r][c] += a[r * down + k] * b[c];
    }
    UNROLLED for (int r = 0; r < tall; r++)
        EACH(c, PANEL) out[r * across + c] = sum[r][c];
}

/* out = bias + a b.  a: rows, `down` apart; b: panels, count, PANEL; out: rows of all panels */
INLINED void make_product(float *restrict out, const float *restrict a, Py_ssize_t down, const float *restrict b,
                          const float *restrict bias, Py_ssize_t rows, Py_ssize_t panels, Py_ssize_t count,
                          const int tall)
{
    const Py_ssize_t across = panels * PANEL;
    for (Py_ssize_t p = 0; p < panels; p++, out += PANEL, bias += PANEL, b += count * PANEL) {
        Py_ssize_t r = 0;
        for (; r + tall <= rows; r += tall)
            make_tile(out + r * across, across, a + r * down, down, b, bias, count, tall);
        for (; r + 4 <= rows && tall > 4; r += 4)
            make_tile(out + r * across, across, a + r * down, down, b, bias, count, 4);
        for (; r < rows; r++) make_tile(out + r * across, across, a + r * down, down, b, bias, count, 1);
    }
}

/* ---- convolutions ------------------------------------------------------------------------------------ */

/* The table's rows at all distances of a part. */
INLINED void make_rows(const Pass *p, const Range *part, const float *restrict table, const int lanes)
{
    const Py_ssize_t n = 2 * p->width, count = p->count;
    float *restrict to = p->edge_rows;
    for (Py_ssize_t row = part[0].first; row < part[1].first; row++, to += n) {
        const float *restrict from = table + p->begin[row] * n, *restrict share = p->share + row * count;
        for (Py_ssize_t at = 0; at < n; at += lanes) {
            float sum[LANES];
            EACH(c, lanes) sum[c] = share[0] * from[at + c];
            for (Py_ssize_t k = 1; k < count; k++) EACH(c, lanes) sum[c] += share[k] * from[k * n + at + c];
            EACH(c, lanes) to[at + c] = sum[c];
        }
    }
}

/* Some channels of a site's sum over its edges.  which: whose row of `near` each edge means */
INLINED void add_edges(const Pass *p, Py_ssize_t site, Py_ssize_t at, const float *restrict own,
                       const float *restrict near, const int32_t *restrict which, float *restrict out,
                       const int lanes, const int plain)
{
    const Py_ssize_t w = p->width;
    float sum[LANES];
    EACH(c, lanes) sum[c] = 0;
    for (Py_ssize_t e = p->first_made[site]; e < p->first_made[site + 1]; e++) {
        const float *restrict other = near + which[e] * 4 * w + 2 * w, *restrict row = p->edge_rows + p->row[e] * 2 * w;
        const float total = p->total[e];
        EACH(c, lanes)
        {
            float gate = own[at + c] + other[at + c] + row[at + c];
            float core = own[w + at + c] + other[w + at + c] + row[w + at + c];
            sum[c] += total * (plain ? plain_message(gate, core) : message(gate, core));
        }
    }
    EACH(c, lanes) out[at + c] = sum[c];
}

/* A site's new vector.  after: scale and shift of its sums */
INLINED void renew(const float *old, const float *own, const float *sums, const float *after, float *new,
                   Py_ssize_t w)
{
    EACH(c, w)
    {
        /* Nothing is added, unless a gate is not a number, which a message would hide. */
        float x = old[c] + 0.0f * (own[c] + own[2 * w + c]);
        new[c] = softplus(x + (after[c] * sums[c] + after[w + c]));
    }
}

/* LayerNorm of each row, `factor` times what is given; padding stays zero.  norm: scale and shift */
INLINED void normalise(const float *given, float *out, Py_ssize_t rows, Py_ssize_t w,
                       Py_ssize_t own, float factor, const float *restrict norm)
{
    for (Py_ssize_t r = 0; r < rows; r++, given += w, out += w) {
        float sum[LANES] = {0}, square[LANES] = {0}, mean = 0, variance = 0;
        for (Py_ssize_t at = 0; at < w; at += LANES) EACH(c, LANES) sum[c] += given[at + c]; /* padding is zero */
        for (int c = 0; c < LANES; c++) mean += sum[c];
        mean /= (float)own;
        for (Py_ssize_t at = 0; at < w; at += LANES)
            EACH(c, LANES)
            {
                float away = at + c < own ? given[at + c] - mean : 0;
                square[c] += away * away;
            }
        for (int c = 0; c < LANES; c++) variance += square[c];
        const float scale = factor / sqrtf(factor * factor * variance / (float)own + 1e-5f);
        EACH(c, w) out[c] = (given[c] - mean) * scale * norm[c] + norm[w + c];
    }
}

/* A site's new vector: what its sums became is added to the old one. */
INLINED void add_back(const float *old, const float *own, const float *added, float *new, Py_ssize_t w)
{
    EACH(c, w) new[c] = old[c] + added[c] + 0.0f * (own[c] + own[2 * w + c]); /* as in `renew` */
}

/* ---- one for each kind of processor ------------------------------------------------------------------- */

typedef struct {
    void (*make_product)(float *, const float *, Py_ssize_t, const float *, const float *, Py_ssize_t, Py_ssize_t,
                         Py_ssize_t);
    void (*make_rows)(const Pass *, const Range *, const float *);
    void (*make_site)(const Pass *, Py_ssize_t, const float *, const float *, const int32_t *, const float *,
                      const float *, float *);
    void (*sum_site)(const Pass *, Py_ssize_t, const float *, const float *, const int32_t *, float *);
    void (*normalise)(const float *, float *, Py_ssize_t, Py_ssize_t, Py_ssize_t, float, const float *);
    void (*add_back)(const float *, const float *, const float *, float *, Py_ssize_t);
    void (*bend)(float *, Py_ssize_t);
    void (*swish)(float *, Py_ssize_t);
} Steps;

#define STEPS(kind, target, lanes, tall)                                                                           \
    target static void product_##kind(float *out, const float *a, Py_ssize_t down, const float *b,                 \
                                      const float *bias, Py_ssize_t rows, Py_ssize_t panels, Py_ssize_t count)     \
    {                                                                                                              \
        make_product(out, a, down, b, bias, rows, panels, count, tall);                                            \
    }                                                                                                              \
    target static void rows_##kind(const Pass *p, const Range *part, const float *table)                           \
    {                                                                                                              \
        make_rows(p, part, table, lanes);                                                                          \
    }                                                                                                              \
    target static void site_##kind(const Pass *p, Py_ssize_t site, const float *own, const float *near,            \
                                   const int32_t *which, const float *old, const float *after, float *new)         \
    {                                                                                                              \
        for (Py_ssize_t at = 0; at < p->width; at += lanes)                                                        \
            add_edges(p, site, at, own, near, which, p->sums, lanes, 0);                                           \
        renew(old, own, p->sums, after, new, p->width);                                                            \
    }                                                                                                              \
    target static void sum_##kind(const Pass *p, Py_ssize_t site, const float *own, const float *near,             \
                                  const int32_t *which, float *out)                                                \
    {                                                                                                              \
        for (Py_ssize_t at = 0; at < p->width; at += lanes) add_edges(p, site, at, own, near, which, out, lanes, 1);\
    }                                                                                                              \
    target static void normalise_##kind(const float *given, float *out, Py_ssize_t rows, Py_ssize_t w,             \
                                        Py_ssize_t own, float factor, const float *norm)                           \
    {                                                                                                              \
        normalise(given, out, rows, w, own, factor, norm);                                                         \
    }                                                                                                              \
    target static void add_back_##kind(const float *old, const float *own, const float *added, float *new,         \
                                       Py_ssize_t w)                                                               \
    {                                                                                                              \
        add_back(old, own, added, new, w);                                                                         \
    }                                                                                                              \
    target static void bend_##kind(float *out, Py_ssize_t n) { EACH(k, n) out[k] = softplus(out[k]); }             \
    target static void swish_##kind(float *out, Py_ssize_t n) { EACH(k, n) out[k] = swish(out[k]); }               \
    static const Steps kind = {product_##kind,   rows_##kind,     site_##kind, sum_##kind,                         \
                               normalise_##kind, add_back_##kind, bend_##kind, swish_##kind};

STEPS(any, , 8, 2)
static const Steps *steps = &any;

#if defined(__GNUC__) && defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma")))
#ifdef __clang__
#define AVX512 __attribute__((target("avx2,fma,avx512f,avx512dq,avx512bw,avx512vl")))
#else
#define AVX512 __attribute__((target("avx2,fma,avx512f,avx512dq,avx512bw,avx512vl,prefer-vector-width=512")))
#endif
STEPS(avx2, AVX2, 8, 2)
STEPS(avx512, AVX512, LANES, TALLEST)

static void choose(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return;
    steps = &avx2;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq")
        || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl"))
        return;
    steps = &avx512;
}
#else
static void choose(void) {}
#endif

/* ---- all of it ------------------------------------------------------------------------------------------ */

/* A site's vector before a convolution, and what it tells its edges in it. */
typedef struct {
    const float *vectors, *terms;
    const int64_t *numbers; /* rows are those of elements; or NULL, of sites */
    Py_ssize_t from;        /* the first site */
} Old;

static Py_ssize_t row_before(const Old *old, Py_ssize_t site)
{
    return old->numbers ? (Py_ssize_t)old->numbers[site] : site - old->from;
}

static Py_ssize_t columns(const Pass *p) { return (p->width + PANEL - 1) / PANEL * PANEL; }

/* What the sums of a group become: two layers, added to what its sites were. */
static void settle(const Pass *p, Py_ssize_t which, const Range *here, const Old *old, float *out)
{
    const Py_ssize_t w = p->width, n = columns(p), sites = here->to - here->from;
    steps->normalise(p->sums, p->normal, sites, w, p->own, -LN_2, p->norms + which * 4 * w + 2 * w);
    steps->make_product(p->wide, p->normal, w, p->up + which * w * n, p->up_bias + which * n, sites, n / PANEL, w);
    steps->swish(p->wide, sites * n);
    steps->make_product(p->back, p->wide, n, p->down + which * w * n, p->down_bias + which * n, sites, n / PANEL, w);
    for (Py_ssize_t site = here->from; site < here->to; site++) {
        const Py_ssize_t row = row_before(old, site);
        steps->add_back(old->vectors + row * w, old->terms + row * 4 * w, p->back + (site - here->from) * n,
                        out + site * w, w);
    }
}

/* A convolution of one member over one group of sites. */
static void convolve(const Pass *p, Py_ssize_t layer, Py_ssize_t member, Py_ssize_t group)
{
    const Py_ssize_t w = p->width, m = p->members, which = layer * m + member;
    const Range *here = p->group + group, *part = p->part + here[0].first;
    const Py_ssize_t from = here->from, sites = here->to - from, layer_size = m * p->sites * w;
    const float *table = p->table + which * p->rows * 2 * w;
    const float *given = p->out + (p->kept > 1 ? layer * layer_size : 0) + (member * p->sites + from) * w;
    float *out = p->out + (p->kept > 1 ? (layer + 1) * layer_size : 0) + member * p->sites * w;
    Old old = {given, p->terms, NULL, from};
    if (layer) {
        if (p->own) steps->normalise(given, p->normal, sites, w, p->own, 1.0f, p->norms + which * 4 * w);
        steps->make_product(p->terms, p->own ? p->normal : given, w, p->weights + (which - m) * 4 * w * w,
                            p->bias + (which - m) * 4 * w, sites, 4 * w / PANEL, w);
    } else {
        old.vectors = p->start + member * p->elements * w;
        old.terms = p->first + member * p->elements * 4 * w;
        old.numbers = p->numbers;
    }
    const int32_t *whose = layer ? p->near : p->element;
    for (; part < p->part + here[1].first; part++) {
        steps->make_rows(p, part, table);
        for (Py_ssize_t site = part->from; site < part->to; site++) {
            const Py_ssize_t row = row_before(&old, site);
            const float *own = old.terms + row * 4 * w;
            if (p->own)
                steps->sum_site(p, site, own, old.terms, whose, p->sums + (site - from) * w);
            else
                steps->make_site(p, site, own, old.terms, whose, old.vectors + row * w, p->after + which * 2 * w,
                                 out + site * w);
        }
    }
    if (p->own) settle(p, which, here, &old, out);
}

static void run(const Pass *p)
{
    const Py_ssize_t w = p->width, m = p->members, l = p->convolutions;
    if (p->kept > 1)
        for (Py_ssize_t member = 0; member < m; member++)
            for (Py_ssize_t site = 0; site < p->sites; site++)
                memcpy(p->out + (member * p->sites + site) * w,
                       p->start + (member * p->elements + p->numbers[site]) * w, w * sizeof(float));
    for (Py_ssize_t layer = 0; layer < l; layer++)
        for (Py_ssize_t member = 0; member < m; member++)
            for (Py_ssize_t group = 0; group < p->groups; group++) convolve(p, layer, member, group);
    for (Py_ssize_t member = 0; member < m && p->own; member++) {
        float *last = p->out + ((p->kept - 1) * m + member) * p->sites * w;
        steps->normalise(last, last, p->sites, w, p->own, 1.0f, p->norms + (l * m + member) * 4 * w);
    }
}

/* ---- memory --------------------------------------------------------------------------------------------- */

#define LINE 64 /* bytes; a row that starts where a line of the cache does is read and written twice as fast */

static void *room(Pass *p, Py_ssize_t count, size_t size)
{
    char *held = malloc((size_t)count * size + LINE);
    if (!held) return NULL;
    p->held[p->holds++] = held;
    return held + LINE - (uintptr_t)held % LINE;
}

static void give_back(Pass *p)
{
    while (p->holds) free(p->held[--p->holds]);
}

static int has_room(Pass *p)
{
    const Py_ssize_t parts = p->crystals + p->sites / PART + 1;
    return (p->group = room(p, p->crystals + 1, sizeof(Range))) && (p->part = room(p, parts + 1, sizeof(Range)))
           && (p->first_made = room(p, p->sites + 1, sizeof(Py_ssize_t)))
           && (p->near = room(p, p->edges, sizeof(int32_t))) && (p->element = room(p, p->edges, sizeof(int32_t)))
           && (p->row = room(p, p->edges, sizeof(int32_t))) && (p->total = room(p, p->edges, sizeof(float)))
           && (p->begin = room(p, p->edges, sizeof(int32_t)))
           && (p->share = room(p, p->edges * p->count, sizeof(float)));
}

/* ---- what is looked up once --------------------------------------------------------------------------- */

/* Lagrange's weights of the rows around a distance; the first of them. */
static int32_t look_up(const Pass *p, float distance, float *share)
{
    if (!(p->steps > 0)) {
        double bin = floor((distance - (float)p->bin_start) / (float)p->bin_width);
        *share = 1;
        return (int32_t)fmin(fmax(bin, 0), (double)(p->rows - 1));
    }
    double scaled = fmin(fmax(distance * p->steps, TAPS / 2 - 1), (double)(p->rows - TAPS / 2 - 1));
    double first = fmin(floor(scaled), (double)(p->rows - TAPS / 2 - 1));
    const double c = scaled - first, a = c + 2, b = c + 1, d = c - 1, e = c - 2, f = c - 3;
    const double left = a * b, middle = c * d, right = e * f;
    share[0] = (float)(b * middle * right * (-1.0 / 120));
    share[1] = (float)(a * middle * right * (1.0 / 24));
    share[2] = (float)(left * d * right * (-1.0 / 12));
    share[3] = (float)(left * c * right * (1.0 / 12));
    share[4] = (float)(left * middle * f * (-1.0 / 24));
    share[5] = (float)(left * middle * e * (1.0 / 120));
    return (int32_t)first - (TAPS / 2 - 1);
}

static Py_ssize_t end_of(const Pass *p, Py_ssize_t site)
{
    return site + 1 < p->sites ? (Py_ssize_t)p->first_edge[site + 1] : p->edges;
}

typedef struct {
    uint32_t bits;
    int32_t row, part; /* part: of which this was written, counted from 1 */
} Slot;

/* The row of a distance, among those of its part. */
static int32_t row_of(Pass *p, Slot *slots, uint32_t mask, float distance, Py_ssize_t part, Py_ssize_t *rows)
{
    const uint32_t bits = as_bits(distance);
    uint32_t at = bits * 2654435769u;
    at = (at ^ at >> 15) & mask;
    while (slots[at].part == part + 1 && slots[at].bits != bits) at = (at + 1) & mask;
    if (slots[at].part != part + 1) {
        slots[at] = (Slot){bits, (int32_t)(*rows - p->part[part].first), (int32_t)(part + 1)};
        p->begin[*rows] = look_up(p, distance, p->share + *rows * p->count);
        (*rows)++;
    }
    return slots[at].row;
}

/* Edges of a site that lead to one neighbour over one distance are one.  Where the next begins; -1: an edge leads
 * out of the group. */
static Py_ssize_t make_site(Pass *p, Slot *slots, uint32_t mask, Py_ssize_t site, const Range *group,
                            Py_ssize_t part, Py_ssize_t *rows)
{
    const Py_ssize_t own = p->first_made[site], end = end_of(p, site);
    Py_ssize_t made = own;
    int32_t row = -1;
    for (Py_ssize_t e = p->first_edge[site]; e < end; e++) {
        if (p->neighbour[e] < group->from || p->neighbour[e] >= group->to) return -1;
        if (row < 0 || as_bits(p->distance[e]) != as_bits(p->distance[e - 1]))
            row = row_of(p, slots, mask, p->distance[e], part, rows);
        const int32_t near = (int32_t)(p->neighbour[e] - group->from);
        Py_ssize_t k = made - 1, last = made - LOOK_BACK < own ? own : made - LOOK_BACK;
        while (k >= last && !(p->near[k] == near && p->row[k] == row)) k--;
        if (k < last) {
            k = made++;
            p->near[k] = near;
            p->element[k] = (int32_t)p->numbers[p->neighbour[e]];
            p->row[k] = row;
            p->total[k] = 0;
        }
        p->total[k] += p->weight ? p->weight[e] : 1.0f;
    }
    return made;
}

static uint32_t slots_for(Py_ssize_t edges)
{
    uint32_t size = 64;
    while (size < 2 * edges) size *= 2;
    return size;
}

/* Whole crystals, so that no edge leads out of a group; then parts of it. */
static void divide(Pass *p)
{
    Py_ssize_t parts = 0;
    p->groups = 0;
    for (Py_ssize_t crystal = 0; crystal < p->crystals;) {
        Range *group = p->group + p->groups++;
        group->from = group->to = p->first_site[crystal];
        group->first = parts;
        while (crystal < p->crystals && group->to - group->from < GROUP)
            group->to = ++crystal < p->crystals ? (Py_ssize_t)p->first_site[crystal] : p->sites;
        for (Py_ssize_t site = group->from; site < group->to; site += PART)
            p->part[parts++] = (Range){site, site + PART < group->to ? site + PART : group->to, 0};
    }
    p->group[p->groups].first = parts;
}

static int rising(const int64_t *first, Py_ssize_t n, Py_ssize_t end)
{
    int64_t before = 0, wrong = n > 0 && first[0];
    for (Py_ssize_t k = 0; k < n; k++) {
        wrong |= first[k] < before;
        before = first[k];
    }
    return !wrong && before <= end;
}

static int in_order(const Pass *p)
{
    int wrong = 0;
    for (Py_ssize_t site = 0; site < p->sites; site++)
        wrong |= (p->numbers[site] < 0) | (p->numbers[site] >= p->elements);
    return !wrong && rising(p->first_site, p->crystals, p->sites) && rising(p->first_edge, p->sites, p->edges);
}

/* 0: indices that lead nowhere; -1: no memory. */
static int look_all_up(Pass *p)
{
    if (!in_order(p)) return 0;
    if (!has_room(p)) return -1;
    Py_ssize_t rows = 0, most_edges = 0, most_sites = 0, most_rows = 0;
    divide(p);
    const Py_ssize_t parts = p->group[p->groups].first;
    for (Py_ssize_t k = 0; k < parts; k++) {
        Py_ssize_t edges = end_of(p, p->part[k].to - 1) - p->first_edge[p->part[k].from];
        most_edges = edges > most_edges ? edges : most_edges;
    }
    const uint32_t size = slots_for(most_edges);
    Slot *slots = room(p, size, sizeof(Slot));
    if (!slots) return -1;
    memset(slots, 0, size * sizeof(Slot));
    p->first_made[0] = 0;
    int good = 1;
    for (Py_ssize_t g = 0; g < p->groups && good; g++) {
        const Range *group = p->group + g;
        most_sites = group->to - group->from > most_sites ? group->to - group->from : most_sites;
        for (Py_ssize_t k = group->first; k < group[1].first && good; k++) {
            p->part[k].first = rows;
            for (Py_ssize_t site = p->part[k].from; site < p->part[k].to && good; site++) {
                p->first_made[site + 1] = make_site(p, slots, size - 1, site, group, k, &rows);
                good = p->first_made[site + 1] >= 0;
            }
            most_rows = rows - p->part[k].first > most_rows ? rows - p->part[k].first : most_rows;
        }
    }
    p->part[parts].first = rows;
    if (!good) return 0;
    p->terms = room(p, 4 * p->width * most_sites, sizeof(float));
    p->edge_rows = room(p, 2 * p->width * most_rows, sizeof(float));
    const Py_ssize_t settled = p->own ? most_sites : 0; /* sites of a group */
    p->sums = room(p, p->width * (settled + 1), sizeof(float));
    p->normal = room(p, p->width * settled, sizeof(float));
    p->wide = room(p, columns(p) * settled, sizeof(float));
    p->back = room(p, columns(p) * settled, sizeof(float));
    return p->terms && p->edge_rows && p->sums && p->normal && p->wide && p->back ? 1 : -1;
}

/* ---- read-outs ------------------------------------------------------------------------------------------ */

/* The same layer for all rows of each member. */
typedef struct {
    Py_ssize_t members, rows, across, count, panels; /* across: floats from one row given to the next */
    const float *given, *weights, *bias;
    float *out;
} Dense;

static void run_dense(const Dense *d)
{
    const Py_ssize_t n = d->panels * PANEL;
    for (Py_ssize_t m = 0; m < d->members; m++) {
        float *restrict out = d->out + m * d->rows * n;
        steps->make_product(out, d->given + m * d->rows * d->across, d->across, d->weights + m * n * d->count,
                            d->bias + m * n, d->rows, d->panels, d->count);
        steps->bend(out, d->rows * n);
    }
}

/* The mean over the sites of each crystal, in double precision.  # (members, crystals, width) */
static void average(const float *given, Py_ssize_t members, Py_ssize_t sites, Py_ssize_t across,
                    const int64_t *first, Py_ssize_t crystals, Py_ssize_t width, double *restrict out)
{
    for (Py_ssize_t m = 0; m < members; m++, given += sites * across)
        for (Py_ssize_t crystal = 0; crystal < crystals; crystal++, out += width) {
            const Py_ssize_t end = crystal + 1 < crystals ? (Py_ssize_t)first[crystal + 1] : sites;
            const double share = 1.0 / (double)(end - first[crystal]);
            memset(out, 0, width * sizeof(double));
            for (Py_ssize_t site = first[crystal]; site < end; site++) {
                const float *restrict row = given + site * across;
                EACH(c, width) out[c] += row[c];
            }
            EACH(c, width) out[c] *= share;
        }
}

/* The last layer, in double precision.  weights: members x outputs x count */
static void tell(const float *given, Py_ssize_t members, Py_ssize_t rows, Py_ssize_t across, Py_ssize_t count,
                 Py_ssize_t outputs, const double *weights, const double *bias, double *out)
{
    for (Py_ssize_t m = 0; m < members; m++, weights += outputs * count, bias += outputs)
        for (Py_ssize_t row = 0; row < rows; row++, given += across)
            for (Py_ssize_t o = 0; o < outputs; o++) {
                const double *weight = weights + o * count;
                double sum[4] = {0};
                Py_ssize_t c = 0;
                for (; c + 4 <= count; c += 4)
                    for (int k = 0; k < 4; k++) sum[k] += given[c + k] * weight[c + k];
                for (; c < count; c++) sum[0] += given[c] * weight[c];
                *out++ = bias[o] + ((sum[0] + sum[1]) + (sum[2] + sum[3]));
            }
}

/* ---- Python ------------------------------------------------------------------------------------------- */

static void release(Py_buffer *buffers, int n)
{
    for (int k = 0; k < n; k++) PyBuffer_Release(&buffers[k]);
}

static PyObject *do_not_fit(void)
{
    PyErr_SetString(PyExc_ValueError, "expected arrays of one batch and one network that fit together");
    return NULL;
}

static int fair(Py_ssize_t count) { return count > 0 && count <= LARGEST; }

#define GATED 6 /* buffers of weights */
#define RESIDUAL 10

/* Buffers of the weights and of the batch. 0: they do not fit together. */
static int laid_out(Pass *p, const Py_buffer *w, const Py_buffer *b)
{
    const Py_ssize_t m = p->members, l = p->convolutions, n = p->width;
    if (!fair(m) || !fair(l) || !fair(n) || n % LANES || p->own < 0 || p->own > n) return 0;
    p->elements = w[0].len / (4 * m * n);
    p->rows = w[2].len / (8 * l * m * n);
    p->count = p->steps > 0 ? TAPS : 1;
    p->sites = b[0].len / 8;
    p->crystals = b[1].len / 8;
    p->edges = b[3].len / 8;
    p->kept = p->sites ? b[6].len / (4 * m * p->sites * n) : 0;
    const Py_ssize_t each = 4 * m * n, bias = 4 * m * l * columns(p), layers = bias * n;
    const Py_ssize_t wanted[RESIDUAL] = {
        each * p->elements, 4 * each * p->elements, 2 * each * l * p->rows, 4 * each * n * (l - 1),
        4 * each * (l - 1), p->own ? 4 * each * (l + 1) : 2 * each * l, layers, bias, layers, bias,
    };
    const Py_ssize_t right[7] = {8 * p->sites, 8 * p->crystals, 8 * p->sites,           8 * p->edges,
                                 4 * p->edges, 4 * p->edges,    each * p->sites * p->kept};
    for (int k = 0; k < (p->own ? RESIDUAL : GATED); k++)
        if (w[k].len != wanted[k]) return 0;
    for (int k = 0; k < 7; k++)
        if (b[k].buf && b[k].len != right[k]) return 0;
    if (p->elements < 1 || p->rows < p->count || p->crystals < 1 || (p->kept != 1 && p->kept != l + 1)) return 0;
    if (p->sites > INT32_MAX || p->edges > INT32_MAX / 4 || p->rows > INT32_MAX) return 0; /* slots: 2 or 4 an edge */
    p->start = w[0].buf;
    p->first = w[1].buf;
    p->table = w[2].buf;
    p->weights = w[3].buf;
    p->bias = w[4].buf;
    p->after = p->norms = w[5].buf;
    if (p->own) {
        p->up = w[6].buf;
        p->up_bias = w[7].buf;
        p->down = w[8].buf;
        p->down_bias = w[9].buf;
    }
    p->numbers = b[0].buf;
    p->first_site = b[1].buf;
    p->first_edge = b[2].buf;
    p->neighbour = b[3].buf;
    p->distance = b[4].buf;
    p->weight = b[5].buf;
    p->out = b[6].buf;
    return 1;
}

static PyObject *passed(Pass *p)
{
    int good;
    Py_BEGIN_ALLOW_THREADS
    good = look_all_up(p);
    if (good > 0) run(p);
    give_back(p);
    Py_END_ALLOW_THREADS
    if (good < 0) return PyErr_NoMemory();
    return good ? Py_NewRef(Py_None) : do_not_fit();
}

static PyObject *convolved(PyObject *self, PyObject *args)
{
    Py_buffer w[RESIDUAL], b[7];
    PyObject *weights, *answer = NULL;
    Pass p = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "(nnnnddd)O!y*y*y*y*y*z*w*", &p.members, &p.convolutions, &p.width, &p.own,
                          &p.steps, &p.bin_start, &p.bin_width, &PyTuple_Type, &weights, &b[0], &b[1], &b[2], &b[3],
                          &b[4], &b[5], &b[6]))
        return NULL;
    if (p.own ? PyArg_ParseTuple(weights, "y*y*y*y*y*y*y*y*y*y*", &w[0], &w[1], &w[2], &w[3], &w[4], &w[5], &w[6],
                                 &w[7], &w[8], &w[9])
              : PyArg_ParseTuple(weights, "y*y*y*y*y*y*", &w[0], &w[1], &w[2], &w[3], &w[4], &w[5])) {
        answer = laid_out(&p, w, b) ? passed(&p) : do_not_fit();
        release(w, p.own ? RESIDUAL : GATED);
    }
    release(b, 7);
    return answer;
}

static PyObject *dense(PyObject *self, PyObject *args)
{
    Py_buffer b[4];
    Dense d = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "(nnn)y*y*y*w*", &d.members, &d.across, &d.count, &b[0], &b[1], &b[2], &b[3]))
        return NULL;
    int fits = fair(d.members) && fair(d.across) && fair(d.count) && d.across >= d.count;
    if (fits) {
        d.rows = b[0].len / (4 * d.members * d.across);
        d.panels = b[2].len / (4 * d.members * PANEL);
        fits = b[0].len == 4 * d.members * d.rows * d.across && b[2].len == 4 * d.members * d.panels * PANEL
               && b[1].len == b[2].len * d.count && b[3].len == b[2].len * d.rows;
    }
    if (fits) {
        d.given = b[0].buf;
        d.weights = b[1].buf;
        d.bias = b[2].buf;
        d.out = b[3].buf;
        Py_BEGIN_ALLOW_THREADS
        run_dense(&d);
        Py_END_ALLOW_THREADS
    }
    release(b, 4);
    return fits ? Py_NewRef(Py_None) : do_not_fit();
}

static PyObject *mean(PyObject *self, PyObject *args)
{
    Py_buffer b[3];
    Py_ssize_t members, across, width, sites = 0, crystals = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "(nnn)y*y*w*", &members, &across, &width, &b[0], &b[1], &b[2])) return NULL;
    int fits = fair(members) && fair(across) && fair(width) && across >= width;
    if (fits) {
        sites = b[0].len / (4 * members * across);
        crystals = b[1].len / 8;
        fits = b[0].len == 4 * members * sites * across && b[2].len == 8 * members * crystals * width
               && rising(b[1].buf, crystals, sites);
    }
    if (fits) average(b[0].buf, members, sites, across, b[1].buf, crystals, width, b[2].buf);
    release(b, 3);
    return fits ? Py_NewRef(Py_None) : do_not_fit();
}

static PyObject *told(PyObject *self, PyObject *args)
{
    Py_buffer b[4];
    Py_ssize_t members, across, count, outputs, rows = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "(nnnn)y*y*y*w*", &members, &across, &count, &outputs, &b[0], &b[1], &b[2], &b[3]))
        return NULL;
    int fits = fair(members) && fair(across) && fair(count) && fair(outputs) && across >= count;
    if (fits) {
        rows = b[0].len / (4 * members * across);
        fits = b[0].len == 4 * members * rows * across && b[1].len == 8 * members * outputs * count
               && b[2].len == 8 * members * outputs && b[3].len == b[2].len * rows;
    }
    if (fits) tell(b[0].buf, members, rows, across, count, outputs, b[1].buf, b[2].buf, b[3].buf);
    release(b, 4);
    return fits ? Py_NewRef(Py_None) : do_not_fit();
}

static PyMethodDef methods[] = {
    {"convolved", convolved, METH_VARARGS, "All convolutions of all members."},
    {"dense", dense, METH_VARARGS, "A layer of each member and its softplus."},
    {"told", told, METH_VARARGS, "A layer of each member, in double precision."},
    {"mean", mean, METH_VARARGS, "The mean over the sites of each crystal."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_folded", "Folded networks, forwards.", -1, methods,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__folded(void)
{
    choose();
    return PyModule_Create(&module);
}
