/* The gated convolution, Eq. 5, forwards and backwards, edge by edge: nothing is kept of an edge.
 * The residual one has no BatchNorm; of it only the sum over the edges is made here, s(x) = x sigmoid(x) its core.
 *
 * Edges of a site that lead to the same neighbour over the same distance, as they do in small cells of high
 * symmetry, are one edge that counts several times.
 *
 * An edge's row is z = terms of its centre + terms of its neighbour + a few weighted rows of a table (what the
 * edge tells). BatchNorm needs the figures of all edges before any is finished, so there are two passes over
 * the edges; z is so cheap that it is made anew in each. Backwards one pass is enough: the gradient is
 * a (g - c1 - c2 (z - mean) / std) with c1 and c2 known only at its end, and as that is linear, the sums of g
 * and those of z, which the forward pass left behind, are put together afterwards.
 *
 * The loops run over the channels and are written to be vectorised; each function exists for several kinds of
 * processor, and the best is chosen when the module is loaded. All sums run in one order: the same bits each
 * time on one machine.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__clang__)
#define PARALLEL _Pragma("clang loop vectorize(assume_safety)")
#define INLINED static inline __attribute__((always_inline))
#elif defined(__GNUC__)
#define PARALLEL _Pragma("GCC ivdep")
#define INLINED static inline __attribute__((always_inline))
#else
#define PARALLEL
#define INLINED static inline
#endif

#if defined(__GNUC__)
#define UNROLLED _Pragma("GCC unroll 4")
#else
#define UNROLLED
#endif

#define EACH(c, n) PARALLEL for (Py_ssize_t c = 0; c < (n); c++)

typedef struct {
    Py_ssize_t width, sites, edges, count, rows; /* count: rows of the table an edge */
    int training;
    double eps, momentum;
    double total; /* edges, each as often as it counts */
    const float *of_site, *of_neighbour, *bias; /* 2 width x width twice, 2 width */
    float *terms; /* sites x 4 width: as a centre (gate, core), as a neighbour (gate, core) */
    const int64_t *first_edge, *neighbour;
    const int32_t *start; /* edges: the first of the table's rows */
    const float *share;   /* edges x count */
    const float *table;   /* rows x 2 width */
    const float *times;   /* edges, how often each counts; or NULL */
    const float *weight;  /* edges, the sum of those it stands for; or NULL */
    const float *vectors; /* sites x width */
    const float *gate_scale, *gate_shift, *sum_scale, *sum_shift;
    float *gate_mean, *gate_variance, *sum_mean, *sum_variance; /* running */
    float *figures;                                             /* mean, 1/std: of gate and core; of sums */
    float *new_vectors, *sums;                                  /* sites x width */
    float *site_z, *table_z;                                    /* as terms, as table; or NULL */
    const float *gradient;                                      /* sites x width */
    float *d_vectors, *d_table, *d_gate, *d_sum;                /* of scales, then of shifts */
    float *d_site, *d_neighbour, *d_bias;
    float *room;
    double *precise;
} Layer;

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

/* exp(-|x|) to 1e-7 of itself. */
INLINED float falling(float x)
{
    const float whole = 12582912.0f; /* 1.5 * 2^23: what is added to it is rounded to an integer */
    float y = x < 0 ? x : -x;
    y = y < -87.0f ? -87.0f : y;
    float shifted = y * 1.44269504f + whole;
    float n = shifted - whole;
    float r = (y - n * 0.693359375f) - n * -2.12194440e-4f;
    float p = 1.383684487e-03f;
    p = p * r + 8.374815798e-03f;
    p = p * r + 4.166822559e-02f;
    p = p * r + 1.666642017e-01f;
    p = p * r + 4.999999208e-01f;
    p = p * r + 1.00000004f;
    p = p * r + 1.0f;
    return p * as_float((as_bits(shifted) << 23) + 0x3f800000u);
}

/* log(1 + t) for t from 0 to 1, to 3e-8 of itself. */
INLINED float log1p_of(float t)
{
    float p = 5.232676625e-03f;
    p = p * t - 2.950516809e-02f;
    p = p * t + 7.822583677e-02f;
    p = p * t - 1.366323603e-01f;
    p = p * t + 1.910600217e-01f;
    p = p * t - 2.484298104e-01f;
    p = p * t + 3.331909666e-01f;
    p = p * t - 4.999949313e-01f;
    p = p * t + 9.999999699e-01f;
    return p * t;
}

INLINED float sigmoid(float x, float t)
{
    return (x < 0 ? t : 1.0f) / (1.0f + t);
}

INLINED float softplus(float x, float t)
{
    return (x > 0 ? x : 0.0f) + log1p_of(t);
}

/* ---- rows ------------------------------------------------------------------------------------------- */

INLINED void clear(float *restrict to, Py_ssize_t n)
{
    memset(to, 0, n * sizeof(float));
}

INLINED Py_ssize_t end_of(const Layer *l, Py_ssize_t site)
{
    return site + 1 < l->sites ? (Py_ssize_t)l->first_edge[site + 1] : l->edges;
}

/* z of an edge.  n: 2 width */
INLINED void make_row(float *restrict z, const float *restrict own, const float *restrict near,
                      const float *restrict table, const float *restrict share, Py_ssize_t count,
                      Py_ssize_t n)
{
    if (count == 8) {
        EACH(c, n)
        {
            float one = share[0] * table[c] + share[1] * table[n + c] + share[2] * table[2 * n + c]
                        + share[3] * table[3 * n + c];
            float other = share[4] * table[4 * n + c] + share[5] * table[5 * n + c]
                          + share[6] * table[6 * n + c] + share[7] * table[7 * n + c];
            z[c] = (own[c] + near[c]) + (one + other);
        }
        return;
    }
    EACH(c, n) z[c] = own[c] + near[c];
    for (Py_ssize_t k = 0; k < count; k++) {
        const float part = share[k], *restrict row = table + k * n;
        EACH(c, n) z[c] += part * row[c];
    }
}

/* The reverse: a row added to those that z came from. */
INLINED void add_row(const float *restrict z, float *restrict own, float *restrict near,
                     float *restrict table, const float *restrict share, Py_ssize_t count, Py_ssize_t n)
{
    EACH(c, n)
    {
        own[c] += z[c];
        near[c] += z[c];
    }
    for (; count >= 4; count -= 4, share += 4, table += 4 * n) {
        const float a = share[0], b = share[1], d = share[2], e = share[3];
        EACH(c, n)
        {
            table[c] += a * z[c];
            table[n + c] += b * z[c];
            table[2 * n + c] += d * z[c];
            table[3 * n + c] += e * z[c];
        }
    }
    for (; count > 0; count--, share++, table += n) {
        const float part = *share;
        EACH(c, n) table[c] += part * z[c];
    }
}

INLINED void row_of(const Layer *l, Py_ssize_t site, Py_ssize_t edge, float *restrict z)
{
    const Py_ssize_t n = 2 * l->width;
    make_row(z, l->terms + site * 2 * n, l->terms + l->neighbour[edge] * 2 * n + n,
             l->table + l->start[edge] * n, l->share + edge * l->count, l->count, n);
}

INLINED void back_to(const Layer *l, Py_ssize_t edge, const float *restrict z, float *restrict own,
                     float *restrict terms, float *restrict table)
{
    const Py_ssize_t n = 2 * l->width;
    add_row(z, own, terms + l->neighbour[edge] * 2 * n + n, table + l->start[edge] * n,
            l->share + edge * l->count, l->count, n);
}

INLINED float times_of(const Layer *l, Py_ssize_t edge)
{
    return l->times ? l->times[edge] : 1.0f;
}

/* ---- products of matrices ---------------------------------------------------------------------------- */

#define TALL 4
#define WIDEST 32
#define DEEP 128 /* so much of b stays in the nearest cache */

/* to += a b, of `TALL` rows and `wide` columns.  down, along: from one row, one column of a to the next */
INLINED void add_tile(float *restrict to, Py_ssize_t across, const float *restrict a, Py_ssize_t down,
                      Py_ssize_t along, const float *restrict b, Py_ssize_t n, Py_ssize_t count, const int wide)
{
    float sum[TALL][WIDEST];
    for (int r = 0; r < TALL; r++)
        for (int c = 0; c < wide; c++) sum[r][c] = to[r * across + c];
    for (Py_ssize_t k = 0; k < count; k++, a += along, b += n) {
        UNROLLED for (int r = 0; r < TALL; r++)
            EACH(c, wide) sum[r][c] += a[r * down] * b[c];
    }
    for (int r = 0; r < TALL; r++)
        for (int c = 0; c < wide; c++) to[r * across + c] = sum[r][c];
}

/* The same of whatever size. */
INLINED void add_rest(float *restrict to, Py_ssize_t across, const float *restrict a, Py_ssize_t down,
                      Py_ssize_t along, const float *restrict b, Py_ssize_t n, Py_ssize_t count,
                      Py_ssize_t rows, Py_ssize_t columns)
{
    for (Py_ssize_t r = 0; r < rows; r++)
        for (Py_ssize_t k = 0; k < count; k++) {
            const float factor = a[r * down + k * along];
            EACH(c, columns) to[r * across + c] += factor * b[k * n + c];
        }
}

/* to += a b.  to: rows x n, `across` from row to row; a: rows x count; b: count x n */
INLINED void add_product(float *restrict to, Py_ssize_t across, const float *restrict a, Py_ssize_t down,
                         Py_ssize_t along, const float *restrict b, Py_ssize_t rows, Py_ssize_t n,
                         Py_ssize_t count, const int wide)
{
    const Py_ssize_t tall = rows / TALL * TALL, broad = n / wide * wide;
    for (Py_ssize_t k = 0; k < count; k += DEEP, a += DEEP * along, b += DEEP * n) {
        const Py_ssize_t few = count - k < DEEP ? count - k : DEEP;
        for (Py_ssize_t c = 0; c < broad; c += wide)
            for (Py_ssize_t r = 0; r < tall; r += TALL)
                add_tile(to + r * across + c, across, a + r * down, down, along, b + c, n, few, wide);
        add_rest(to + broad, across, a, down, along, b + broad, n, few, tall, n - broad);
        add_rest(to + tall * across, across, a + tall * down, down, along, b, n, few, rows - tall, n);
    }
}

/* ---- BatchNorm -------------------------------------------------------------------------------------- */

/* From sums over `count` rows of z - origin to mean and 1/std, and the running figures on their way. */
INLINED void settle(const Layer *l, Py_ssize_t n, double count, const float *origin, const double *total,
                    float *restrict mean, float *restrict inverse, float *restrict running_mean,
                    float *restrict running_variance)
{
    for (Py_ssize_t c = 0; c < n; c++) {
        double away = total[c] / count;
        double variance = fmax(total[n + c] / count - away * away, 0.0);
        if (total[n + c] != total[n + c]) variance = total[n + c];
        double middle = origin[c] + away;
        mean[c] = (float)middle;
        inverse[c] = (float)(1.0 / sqrt(variance + l->eps));
        running_mean[c] += (float)(l->momentum * (middle - running_mean[c]));
        running_variance[c] +=
            (float)(l->momentum * (variance * (count / (count - 1)) - running_variance[c]));
    }
}

INLINED void as_learned(const Layer *l, Py_ssize_t n, float *restrict mean, float *restrict inverse,
                        const float *running_mean, const float *running_variance)
{
    for (Py_ssize_t c = 0; c < n; c++) {
        mean[c] = running_mean[c];
        inverse[c] = (float)(1.0 / sqrt(running_variance[c] + l->eps));
    }
}

/* Figures of z over all edges; leaves the sums of z that the gradient needs. */
INLINED void measure_edges(const Layer *l)
{
    const Py_ssize_t n = 2 * l->width;
    float *z = l->room, *origin = z + n, *part = origin + n;
    double *total = l->precise;
    memset(total, 0, 2 * n * sizeof(double));
    if (l->site_z) {
        clear(l->site_z, l->sites * 2 * n);
        clear(l->table_z, l->rows * n);
    }
    Py_ssize_t first = 0;
    while (first + 1 < l->sites && !end_of(l, first)) first++;
    row_of(l, first, 0, origin);
    for (Py_ssize_t site = 0; site < l->sites; site++) {
        clear(part, 2 * n);
        for (Py_ssize_t e = l->first_edge[site]; e < end_of(l, site); e++) {
            const float times = times_of(l, e);
            row_of(l, site, e, z);
            EACH(c, n)
            {
                float away = z[c] - origin[c];
                z[c] = times * away;
                part[n + c] += z[c] * away;
            }
            if (l->site_z)
                back_to(l, e, z, part, l->site_z, l->table_z);
            else
                EACH(c, n) part[c] += z[c];
        }
        EACH(c, 2 * n) total[c] += part[c];
        if (l->site_z) memcpy(l->site_z + site * 2 * n, part, n * sizeof(float));
    }
    /* What was summed is z - origin; the mean of that is what the gradient looks for. */
    settle(l, n, l->total, origin, total, l->figures, l->figures + n, l->gate_mean,
           l->gate_variance);
}

INLINED void measure_sums(const Layer *l)
{
    const Py_ssize_t n = l->width;
    double *total = l->precise;
    memset(total, 0, 2 * n * sizeof(double));
    for (Py_ssize_t site = 0; site < l->sites; site++) {
        const float *restrict row = l->sums + site * n, *restrict origin = l->sums;
        EACH(c, n)
        {
            double away = (double)row[c] - origin[c];
            total[c] += away;
            total[n + c] += away * away;
        }
    }
    settle(l, n, (double)l->sites, l->sums, total, l->figures + 4 * n, l->figures + 5 * n, l->sum_mean,
           l->sum_variance);
}

/* y = scale x + shift, as one. */
INLINED void folded(const float *restrict scale, const float *restrict shift, const float *restrict mean,
                    const float *restrict inverse, float *restrict a, float *restrict b, Py_ssize_t n)
{
    EACH(c, n)
    {
        a[c] = scale[c] * inverse[c];
        b[c] = shift[c] - mean[c] * a[c];
    }
}

/* ---- forwards --------------------------------------------------------------------------------------- */

INLINED void add_message(const float *restrict z, const float *restrict a, const float *restrict b,
                         float weight, float *restrict sum, Py_ssize_t width)
{
    EACH(c, width)
    {
        float gate = a[c] * z[c] + b[c], core = a[width + c] * z[width + c] + b[width + c];
        sum[c] += weight * sigmoid(gate, falling(gate)) * softplus(core, falling(core));
    }
}

/* The same without norms, its core x sigmoid(x). */
INLINED void add_plain(const float *restrict z, float weight, float *restrict sum, Py_ssize_t width)
{
    EACH(c, width)
    {
        float gate = z[c], core = z[width + c];
        sum[c] += weight * sigmoid(gate, falling(gate)) * (core * sigmoid(core, falling(core)));
    }
}

/* What each site tells its edges. */
INLINED void make_terms(const Layer *l, float *restrict turned, const int wide)
{
    const Py_ssize_t w = l->width, n = 2 * w;
    for (Py_ssize_t k = 0; k < w; k++)
        for (Py_ssize_t c = 0; c < n; c++) {
            turned[k * 2 * n + c] = l->of_site[c * w + k];
            turned[k * 2 * n + n + c] = l->of_neighbour[c * w + k];
        }
    clear(l->terms, l->sites * 2 * n);
    for (Py_ssize_t site = 0; site < l->sites; site++)
        memcpy(l->terms + site * 2 * n, l->bias, n * sizeof(float));
    add_product(l->terms, 2 * n, l->vectors, w, 1, turned, l->sites, 2 * n, w, wide);
}

INLINED void forward_body(const Layer *l, const int wide)
{
    const Py_ssize_t width = l->width, n = 2 * width;
    float *z = l->room, *a = z + n, *b = a + n;
    make_terms(l, l->room, wide);
    if (l->training)
        measure_edges(l);
    else
        as_learned(l, n, l->figures, l->figures + n, l->gate_mean, l->gate_variance);
    folded(l->gate_scale, l->gate_shift, l->figures, l->figures + n, a, b, n);
    for (Py_ssize_t site = 0; site < l->sites; site++) {
        float *sum = l->sums + site * width;
        clear(sum, width);
        for (Py_ssize_t e = l->first_edge[site]; e < end_of(l, site); e++) {
            row_of(l, site, e, z);
            add_message(z, a, b, l->weight ? l->weight[e] : times_of(l, e), sum, width);
        }
    }
    if (l->training)
        measure_sums(l);
    else
        as_learned(l, width, l->figures + 2 * n, l->figures + 5 * width, l->sum_mean, l->sum_variance);
    folded(l->sum_scale, l->sum_shift, l->figures + 2 * n, l->figures + 5 * width, a, b, width);
    for (Py_ssize_t site = 0; site < l->sites; site++) {
        const float *restrict old = l->vectors + site * width, *restrict sum = l->sums + site * width;
        float *restrict out = l->new_vectors + site * width;
        EACH(c, width)
        {
            float x = old[c] + (a[c] * sum[c] + b[c]);
            out[c] = softplus(x, falling(x));
        }
    }
}

INLINED void sum_body(const Layer *l, const int wide)
{
    const Py_ssize_t width = l->width;
    make_terms(l, l->room, wide);
    for (Py_ssize_t site = 0; site < l->sites; site++) {
        float *sum = l->sums + site * width;
        clear(sum, width);
        for (Py_ssize_t e = l->first_edge[site]; e < end_of(l, site); e++) {
            row_of(l, site, e, l->room);
            add_plain(l->room, l->weight ? l->weight[e] : times_of(l, e), sum, width);
        }
    }
}

/* ---- backwards -------------------------------------------------------------------------------------- */

/* Through the last softplus and the norm of the sums; leaves the gradient of the vectors themselves.
 * a, b: of the norm; c1, c2: means of the gradient, and of it times the normalised sum. */
INLINED void back_through_sums(const Layer *l, float *restrict a, float *restrict b)
{
    const Py_ssize_t n = l->width;
    const float *mean = l->figures + 4 * n, *inverse = l->figures + 5 * n;
    double *total = l->precise;
    memset(total, 0, 2 * n * sizeof(double));
    folded(l->sum_scale, l->sum_shift, mean, inverse, a, b, n);
    for (Py_ssize_t site = 0; site < l->sites; site++) {
        const float *restrict old = l->vectors + site * n, *restrict sum = l->sums + site * n;
        const float *restrict given = l->gradient + site * n;
        float *restrict out = l->d_vectors + site * n;
        EACH(c, n)
        {
            float x = old[c] + (a[c] * sum[c] + b[c]);
            out[c] = given[c] * sigmoid(x, falling(x));
        }
        EACH(c, n)
        {
            total[c] += out[c];
            total[n + c] += (double)(out[c] * ((sum[c] - mean[c]) * inverse[c]));
        }
    }
    for (Py_ssize_t c = 0; c < n; c++) {
        l->d_sum[c] = (float)total[n + c];
        l->d_sum[n + c] = (float)total[c];
    }
}

/* The gradient of z's normalised row, in place of z; sums of it times that row in the second half of `part`. */
INLINED void back_through_message(float *restrict z, const float *restrict a, const float *restrict b,
                                  const float *restrict mean, const float *restrict inverse, float weight,
                                  const float *restrict sum, float *restrict part, Py_ssize_t width)
{
    const Py_ssize_t n = 2 * width;
    EACH(c, width)
    {
        float gate = a[c] * z[c] + b[c], core = a[width + c] * z[width + c] + b[width + c];
        float t = falling(gate), u = falling(core), given = weight * sum[c];
        float share = 1.0f / (1.0f + t);
        float d_gate = given * (t * share * share) * softplus(core, u);
        float d_core = given * (gate < 0 ? t * share : share) * sigmoid(core, u);
        part[n + c] += d_gate * ((z[c] - mean[c]) * inverse[c]);
        part[n + width + c] += d_core * ((z[width + c] - mean[width + c]) * inverse[width + c]);
        z[c] = d_gate;
        z[width + c] = d_core;
    }
}

/* The gradient of a row without norms, in its place. */
INLINED void back_through_plain(float *restrict z, float weight, const float *restrict sum, Py_ssize_t width)
{
    EACH(c, width)
    {
        float gate = z[c], core = z[width + c], given = weight * sum[c];
        float open = sigmoid(gate, falling(gate)), part = sigmoid(core, falling(core));
        z[c] = given * open * (1.0f - open) * (core * part);
        z[width + c] = given * open * (part * (1.0f + core * (1.0f - part)));
    }
}

/* gradient = a (gradient - share c1 - c2 (z - share mean) / std), all of them sums over `share` edges.
 * z was summed from an origin, from which `mean` is counted here too. */
INLINED void put_together(float *restrict gradient, const float *restrict z, float share,
                          const float *restrict a, const float *restrict c1, const float *restrict c2,
                          const float *restrict mean, Py_ssize_t n)
{
    EACH(c, n) gradient[c] = a[c] * (gradient[c] - share * c1[c] - c2[c] * (z[c] - share * mean[c]));
}

/* To the sites' vectors and the weights of the products. */
INLINED void back_through_terms(const Layer *l, const float *restrict d_terms, const int wide)
{
    const Py_ssize_t w = l->width, n = 2 * w;
    const float *const weights[2] = {l->of_site, l->of_neighbour};
    float *const gradients[2] = {l->d_site, l->d_neighbour};
    for (int k = 0; k < 2; k++, d_terms += n) {
        add_product(l->d_vectors, w, d_terms, 2 * n, 1, weights[k], l->sites, w, n, wide);
        clear(gradients[k], n * w);
        add_product(gradients[k], w, d_terms, 1, 2 * n, l->vectors, n, w, l->sites, wide);
    }
}

INLINED void backward_body(const Layer *l, const int wide)
{
    const Py_ssize_t width = l->width, n = 2 * width;
    const float *mean = l->figures, *inverse = l->figures + n;
    float *z = l->room, *a = z + n, *b = a + n, *part = b + n, *c1 = part + 2 * n, *c2 = c1 + n,
          *d_terms = c2 + n, *d_sums = d_terms + l->sites * 2 * n, *own_shares = d_sums + l->sites * width,
          *near_shares = own_shares + l->sites, *table_shares = near_shares + l->sites;
    double *total = l->precise;
    back_through_sums(l, c1, c2);
    for (Py_ssize_t c = 0; c < width; c++) {
        a[width + c] = l->sum_scale[c] * l->figures[5 * width + c];
        z[c] = l->d_sum[width + c] / l->sites;
        z[width + c] = l->d_sum[c] / l->sites * l->figures[5 * width + c];
    }
    for (Py_ssize_t site = 0; site < l->sites; site++) {
        const float *restrict row = l->sums + site * width, *restrict given = l->d_vectors + site * width;
        float *restrict out = d_sums + site * width;
        EACH(c, width)
        out[c] = a[width + c] * (given[c] - z[c] - (row[c] - l->figures[4 * width + c]) * z[width + c]);
    }
    folded(l->gate_scale, l->gate_shift, mean, inverse, a, b, n);
    memset(total, 0, 2 * n * sizeof(double));
    clear(d_terms, l->sites * 2 * n);
    clear(l->d_table, l->rows * n);
    clear(own_shares, 2 * l->sites + l->rows);
    for (Py_ssize_t site = 0; site < l->sites; site++) {
        clear(part, 2 * n);
        for (Py_ssize_t e = l->first_edge[site]; e < end_of(l, site); e++) {
            const float times = times_of(l, e);
            row_of(l, site, e, z);
            back_through_message(z, a, b, mean, inverse, l->weight ? l->weight[e] : times,
                                 d_sums + site * width, part, width);
            back_to(l, e, z, part, d_terms, l->d_table);
            own_shares[site] += times;
            near_shares[l->neighbour[e]] += times;
            for (Py_ssize_t k = 0; k < l->count; k++)
                table_shares[l->start[e] + k] += times * l->share[e * l->count + k];
        }
        EACH(c, 2 * n) total[c] += part[c];
        memcpy(d_terms + site * 2 * n, part, n * sizeof(float));
    }
    /* z was summed from an origin: the first edge's. */
    Py_ssize_t first = 0;
    while (first + 1 < l->sites && !end_of(l, first)) first++;
    row_of(l, first, 0, z);
    for (Py_ssize_t c = 0; c < n; c++) {
        l->d_gate[c] = (float)total[n + c];
        l->d_gate[n + c] = (float)total[c];
        c1[c] = (float)(total[c] / l->total);
        c2[c] = (float)(total[n + c] / l->total) * inverse[c];
        b[c] = mean[c] - z[c];
    }
    for (Py_ssize_t site = 0; site < l->sites; site++) {
        float *to = d_terms + site * 2 * n;
        const float *from = l->site_z + site * 2 * n;
        put_together(to, from, own_shares[site], a, c1, c2, b, n);
        put_together(to + n, from + n, near_shares[site], a, c1, c2, b, n);
    }
    for (Py_ssize_t row = 0; row < l->rows; row++)
        put_together(l->d_table + row * n, l->table_z + row * n, table_shares[row], a, c1, c2, b, n);
    back_through_terms(l, d_terms, wide);
}

INLINED void back_sum_body(const Layer *l, const int wide)
{
    const Py_ssize_t width = l->width, n = 2 * width;
    float *z = l->room, *part = z + n, *d_terms = part + n;
    double *total = l->precise;
    memset(total, 0, n * sizeof(double));
    clear(d_terms, l->sites * 2 * n);
    clear(l->d_table, l->rows * n);
    for (Py_ssize_t site = 0; site < l->sites; site++) {
        clear(part, n);
        for (Py_ssize_t e = l->first_edge[site]; e < end_of(l, site); e++) {
            row_of(l, site, e, z);
            back_through_plain(z, l->weight ? l->weight[e] : times_of(l, e), l->gradient + site * width, width);
            back_to(l, e, z, part, d_terms, l->d_table);
        }
        EACH(c, n) total[c] += part[c];
        memcpy(d_terms + site * 2 * n, part, n * sizeof(float));
    }
    EACH(c, n) l->d_bias[c] = (float)total[c];
    clear(l->d_vectors, l->sites * width);
    back_through_terms(l, d_terms, wide);
}

/* ---- one for each kind of processor ------------------------------------------------------------------- */

typedef void (*Pass)(const Layer *);

static void forward_any(const Layer *l) { forward_body(l, 8); }
static void backward_any(const Layer *l) { backward_body(l, 8); }
static void sum_any(const Layer *l) { sum_body(l, 8); }
static void back_sum_any(const Layer *l) { back_sum_body(l, 8); }

static Pass forward_pass = forward_any, backward_pass = backward_any, sum_pass = sum_any,
            back_sum_pass = back_sum_any;

#if defined(__GNUC__) && defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma")))
#ifdef __clang__
#define AVX512 __attribute__((target("avx2,fma,avx512f,avx512dq,avx512bw,avx512vl")))
#else
#define AVX512 __attribute__((target("avx2,fma,avx512f,avx512dq,avx512bw,avx512vl,prefer-vector-width=512")))
#endif
AVX2 static void forward_avx2(const Layer *l) { forward_body(l, 16); }
AVX2 static void backward_avx2(const Layer *l) { backward_body(l, 16); }
AVX2 static void sum_avx2(const Layer *l) { sum_body(l, 16); }
AVX2 static void back_sum_avx2(const Layer *l) { back_sum_body(l, 16); }
AVX512 static void forward_avx512(const Layer *l) { forward_body(l, WIDEST); }
AVX512 static void backward_avx512(const Layer *l) { backward_body(l, WIDEST); }
AVX512 static void sum_avx512(const Layer *l) { sum_body(l, WIDEST); }
AVX512 static void back_sum_avx512(const Layer *l) { back_sum_body(l, WIDEST); }

static void choose(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return;
    forward_pass = forward_avx2;
    backward_pass = backward_avx2;
    sum_pass = sum_avx2;
    back_sum_pass = back_sum_avx2;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq")
        || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl"))
        return;
    forward_pass = forward_avx512;
    backward_pass = backward_avx512;
    sum_pass = sum_avx512;
    back_sum_pass = back_sum_avx512;
}
#else
static void choose(void) {}
#endif

/* ---- Python ------------------------------------------------------------------------------------------- */

#define SUMMED 11 /* buffers: the graph and the products */
#define GIVEN 19  /* and the norms */
#define LINE 16 /* floats */

static int rising(const int64_t *first, Py_ssize_t sites, Py_ssize_t edges)
{
    int64_t before = 0, wrong = first[0];
    for (Py_ssize_t site = 0; site < sites; site++) {
        wrong |= first[site] < before;
        before = first[site];
    }
    return !wrong && before <= edges;
}

/* Every index is looked at before it is used. */
static int in_order(const Layer *l)
{
    int wrong = 0;
    for (Py_ssize_t e = 0; e < l->edges; e++) {
        wrong |= (l->neighbour[e] < 0) | (l->neighbour[e] >= l->sites);
        wrong |= (l->start[e] < 0) | (l->start[e] > l->rows - l->count);
    }
    return !wrong && rising(l->first_edge, l->sites, l->edges);
}

/* What both passes are given: so many buffers, in their order. 0: they do not fit together. */
static int laid_out(Layer *l, const Py_buffer *b, int given)
{
    const Py_ssize_t w = l->width = b[2].len / 8;
    if (w < 1) return 0;
    l->sites = b[3].len / 8;
    l->edges = b[4].len / 8;
    l->rows = b[7].len / (8 * w);
    l->count = l->edges ? b[6].len / (4 * l->edges) : 0;
    const Py_ssize_t right[GIVEN] = {
        8 * w * w, 8 * w * w, 8 * w, 8 * l->sites, 8 * l->edges, 4 * l->edges, 4 * l->edges * l->count,
        8 * w * l->rows, 4 * l->edges, 4 * l->edges, 4 * w * l->sites, 8 * w, 8 * w, 4 * w, 4 * w,
        8 * w, 8 * w, 4 * w, 4 * w,
    };
    for (int k = 0; k < given; k++)
        if (b[k].buf && b[k].len != right[k]) return 0;
    if (l->sites < 1 || l->edges < 1 || l->count < 1 || l->rows < l->count) return 0;
    l->of_site = b[0].buf;
    l->of_neighbour = b[1].buf;
    l->bias = b[2].buf;
    l->first_edge = b[3].buf;
    l->neighbour = b[4].buf;
    l->start = b[5].buf;
    l->share = b[6].buf;
    l->table = b[7].buf;
    l->times = b[8].buf;
    l->weight = b[9].buf;
    l->vectors = b[10].buf;
    if (given == GIVEN) {
        l->gate_scale = b[11].buf;
        l->gate_shift = b[12].buf;
        l->sum_scale = b[13].buf;
        l->sum_shift = b[14].buf;
        l->gate_mean = b[15].buf;
        l->gate_variance = b[16].buf;
        l->sum_mean = b[17].buf;
        l->sum_variance = b[18].buf;
    }
    l->total = (double)l->edges;
    if (l->times) {
        l->total = 0;
        for (Py_ssize_t e = 0; e < l->edges; e++) l->total += l->times[e];
    }
    return in_order(l);
}

/* The buffers of a tuple; it is no part of the format above it, in which Python keeps too few places for it. */
static int taken(PyObject *given, Py_buffer *b)
{
    return PyArg_ParseTuple(given, "y*y*y*y*y*y*y*y*z*z*y*y*y*y*y*w*w*w*w*", &b[0], &b[1], &b[2], &b[3], &b[4],
                            &b[5], &b[6], &b[7], &b[8], &b[9], &b[10], &b[11], &b[12], &b[13], &b[14], &b[15],
                            &b[16], &b[17], &b[18]);
}

static int taken_summed(PyObject *given, Py_buffer *b)
{
    return PyArg_ParseTuple(given, "y*y*y*y*y*y*y*y*z*z*y*", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &b[6], &b[7],
                            &b[8], &b[9], &b[10]);
}

static void release(Py_buffer *buffers, int n)
{
    for (int k = 0; k < n; k++) PyBuffer_Release(&buffers[k]);
}

static PyObject *done(Layer *l, Pass pass, Py_ssize_t room, int fits)
{
    PyObject *answer = NULL;
    float *held = NULL;
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "expected arrays of one graph and one layer that fit together");
    } else if (!(held = malloc((size_t)(room + LINE) * sizeof(float)))
               || !(l->precise = malloc((size_t)(4 * l->width) * sizeof(double)))) {
        PyErr_NoMemory();
    } else {
        /* A row that starts where a line of the cache does is read and written twice as fast. */
        l->room = held + LINE - (uintptr_t)held / sizeof(float) % LINE;
        Py_BEGIN_ALLOW_THREADS
        pass(l);
        Py_END_ALLOW_THREADS
        answer = Py_NewRef(Py_None);
    }
    free(held);
    free(l->precise);
    return answer;
}

static PyObject *forward(PyObject *self, PyObject *args)
{
    Py_buffer b[GIVEN], m[6];
    PyObject *given, *answer = NULL;
    Layer l = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "O!pddw*w*w*w*z*z*", &PyTuple_Type, &given, &l.training, &l.eps, &l.momentum,
                          &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]))
        return NULL;
    if (taken(given, b)) {
        int fits = laid_out(&l, b, GIVEN);
        const Py_ssize_t w = l.width, terms = 16 * w * l.sites;
        fits = fits && m[0].len == 24 * w && m[1].len == b[10].len && m[2].len == terms && m[3].len == b[10].len
               && (!m[4].buf || (m[4].len == terms && !m[4].readonly))
               && (!m[5].buf || (m[5].len == b[7].len && !m[5].readonly)) && !m[4].buf == !m[5].buf
               && (!l.training || (l.total > 1 && l.sites > 1));
        l.figures = m[0].buf;
        l.new_vectors = m[1].buf;
        l.terms = m[2].buf;
        l.sums = m[3].buf;
        l.site_z = m[4].buf;
        l.table_z = m[5].buf;
        answer = done(&l, forward_pass, 8 * w + 4 * w * w, fits);
        release(b, GIVEN);
    }
    release(m, 6);
    return answer;
}

static PyObject *backward(PyObject *self, PyObject *args)
{
    Py_buffer b[GIVEN], m[12];
    PyObject *given, *answer = NULL;
    Layer l = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "O!y*y*y*y*y*y*w*w*w*w*w*w*", &PyTuple_Type, &given, &m[0], &m[1], &m[2], &m[3],
                          &m[4], &m[5], &m[6], &m[7], &m[8], &m[9], &m[10], &m[11]))
        return NULL;
    if (taken(given, b)) {
        int fits = laid_out(&l, b, GIVEN);
        const Py_ssize_t w = l.width, terms = 16 * w * l.sites;
        const Py_ssize_t right[12] = {24 * w,    terms,    b[10].len, terms, b[7].len, b[10].len,
                                      b[10].len, b[7].len, 16 * w,    8 * w, b[0].len, b[1].len};
        for (int k = 0; k < 12; k++) fits = fits && m[k].len == right[k];
        l.figures = m[0].buf;
        l.terms = m[1].buf;
        l.sums = m[2].buf;
        l.site_z = m[3].buf;
        l.table_z = m[4].buf;
        l.gradient = m[5].buf;
        l.d_vectors = m[6].buf;
        l.d_table = m[7].buf;
        l.d_gate = m[8].buf;
        l.d_sum = m[9].buf;
        l.d_site = m[10].buf;
        l.d_neighbour = m[11].buf;
        answer = done(&l, backward_pass, 14 * w + 2 * l.sites + l.rows + 5 * l.sites * w, fits);
        release(b, GIVEN);
    }
    release(m, 12);
    return answer;
}

static PyObject *summed(PyObject *self, PyObject *args)
{
    Py_buffer b[SUMMED], m[2];
    PyObject *given, *answer = NULL;
    Layer l = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "O!w*w*", &PyTuple_Type, &given, &m[0], &m[1])) return NULL;
    if (taken_summed(given, b)) {
        int fits = laid_out(&l, b, SUMMED);
        fits = fits && m[0].len == 16 * l.width * l.sites && m[1].len == b[10].len;
        l.terms = m[0].buf;
        l.sums = m[1].buf;
        answer = done(&l, sum_pass, 2 * l.width + 4 * l.width * l.width, fits);
        release(b, SUMMED);
    }
    release(m, 2);
    return answer;
}

static PyObject *back_from_sum(PyObject *self, PyObject *args)
{
    Py_buffer b[SUMMED], m[7];
    PyObject *given, *answer = NULL;
    Layer l = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "O!y*y*w*w*w*w*w*", &PyTuple_Type, &given, &m[0], &m[1], &m[2], &m[3], &m[4],
                          &m[5], &m[6]))
        return NULL;
    if (taken_summed(given, b)) {
        int fits = laid_out(&l, b, SUMMED);
        const Py_ssize_t w = l.width;
        const Py_ssize_t right[7] = {16 * w * l.sites, b[10].len, b[10].len, b[7].len, b[0].len, b[1].len, 8 * w};
        for (int k = 0; k < 7; k++) fits = fits && m[k].len == right[k];
        l.terms = m[0].buf;
        l.gradient = m[1].buf;
        l.d_vectors = m[2].buf;
        l.d_table = m[3].buf;
        l.d_site = m[4].buf;
        l.d_neighbour = m[5].buf;
        l.d_bias = m[6].buf;
        answer = done(&l, back_sum_pass, 4 * w + 4 * w * l.sites, fits);
        release(b, SUMMED);
    }
    release(m, 7);
    return answer;
}

#define LOOK_BACK 16 /* edges; those that are alike are near each other, as all are sorted by distance */

/* Edges of a site to one neighbour over one distance become one; how many there are. */
static Py_ssize_t merged(Py_ssize_t sites, Py_ssize_t edges, const int64_t *first, const int64_t *neighbour,
                         const float *distance, const float *weight, int64_t *new_first, int64_t *near,
                         float *length, float *times, float *sum, int64_t *row)
{
    Py_ssize_t made = 0;
    for (Py_ssize_t site = 0; site < sites; site++) {
        const Py_ssize_t own = new_first[site] = made, end = site + 1 < sites ? first[site + 1] : edges;
        for (Py_ssize_t e = first[site]; e < end; e++) {
            Py_ssize_t k = made - 1, last = made - LOOK_BACK < own ? own : made - LOOK_BACK;
            while (k >= last && !(near[k] == neighbour[e] && length[k] == distance[e])) k--;
            if (k < last) {
                k = made++;
                near[k] = neighbour[e];
                length[k] = distance[e];
                times[k] = sum[k] = 0;
            }
            times[k] += 1.0f;
            sum[k] += weight ? weight[e] : 1.0f;
            row[e] = k;
        }
    }
    return made;
}

static PyObject *merge(PyObject *self, PyObject *args)
{
    Py_buffer b[10];
    PyObject *answer = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*y*z*w*w*w*w*w*w*", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &b[6], &b[7],
                          &b[8], &b[9]))
        return NULL;
    const Py_ssize_t sites = b[0].len / 8, edges = b[1].len / 8;
    const Py_ssize_t right[10] = {8 * sites, 8 * edges, 4 * edges, 4 * edges, 8 * sites,
                                  8 * edges, 4 * edges, 4 * edges, 4 * edges, 8 * edges};
    int fits = sites > 0;
    for (int k = 0; k < 10; k++) fits = fits && (!b[k].buf || b[k].len == right[k]);
    if (fits && rising(b[0].buf, sites, edges))
        answer = PyLong_FromSsize_t(merged(sites, edges, b[0].buf, b[1].buf, b[2].buf, b[3].buf, b[4].buf,
                                           b[5].buf, b[6].buf, b[7].buf, b[8].buf, b[9].buf));
    else
        PyErr_SetString(PyExc_ValueError, "expected arrays of one graph that fit together");
    release(b, 10);
    return answer;
}

static PyMethodDef methods[] = {
    {"forward", forward, METH_VARARGS, "A convolution's new vectors, and what its gradient needs."},
    {"backward", backward, METH_VARARGS, "The gradients of everything that a convolution was made of."},
    {"summed", summed, METH_VARARGS, "What the edges of a residual convolution tell each site."},
    {"back_from_sum", back_from_sum, METH_VARARGS, "The gradients of what that was made of."},
    {"merge", merge, METH_VARARGS, "Edges that are alike as one; how many are left."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_edges", "The gated convolution.", -1, methods,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__edges(void)
{
    choose();
    return PyModule_Create(&module);
}
