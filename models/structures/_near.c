/* Two loops over pairs of sites, compiled: the neighbour search of `neighbours.py`, and the look of `checks.py`
 * for sites that overlap; both for ordinary cells.
 *
 * In the search every sum runs in the order written there, so that the distances agree to the last bit; for
 * the same reason it is built without contraction of products and sums. It returns None where the cell is too
 * large for the all-pairs search: the caller goes on in Python.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SAME_PLACE 1e-8
#define MARGIN 1e-6
#define MOST_IMAGES 4096
#define MOST_COUNT 64

typedef struct {
    Py_ssize_t sites;
    double rows[9], back[9], reach[3], volume;
    double low[3], high[3];
    double *centre, *wrapped, *home; /* 3 x sites each */
} Cell;

typedef struct {
    Py_ssize_t size, room;
    double *position; /* 3 x size, one point after another */
    int64_t *site;
} Points;

static double along(const double *v, const double *m, int axis)
{
    return (v[0] * m[axis] + v[1] * m[3 + axis]) + v[2] * m[6 + axis];
}

static void invert(Cell *c)
{
    static const int next[3] = {1, 2, 0}, after[3] = {2, 0, 1};
    const double *m = c->rows;
    double det = m[0] * (m[4] * m[8] - m[5] * m[7]) + m[1] * (m[5] * m[6] - m[3] * m[8])
                 + m[2] * (m[3] * m[7] - m[4] * m[6]);
    double share = 1.0 / det;
    for (int row = 0; row < 3; row++) {
        for (int column = 0; column < 3; column++) {
            int i = next[row], ii = after[row], j = next[column], jj = after[column];
            c->back[3 * row + column] =
                (m[3 * j + i] * m[3 * jj + ii] - m[3 * jj + i] * m[3 * j + ii]) * share;
        }
    }
    c->volume = fabs(det);
    for (int axis = 0; axis < 3; axis++) {
        double x = c->back[axis], y = c->back[3 + axis], z = c->back[6 + axis];
        c->reach[axis] = sqrt(x * x + y * y + z * z);
    }
}

static void place(Cell *c, const double *fractional)
{
    double furthest = 0;
    for (Py_ssize_t k = 0; k < 3 * c->sites; k++) furthest = fmax(furthest, fabs(fractional[k]));
    for (int axis = 0; axis < 3; axis++) {
        c->low[axis] = INFINITY;
        c->high[axis] = -INFINITY;
    }
    for (Py_ssize_t s = 0; s < c->sites; s++) {
        double f[3], g[3];
        for (int axis = 0; axis < 3; axis++) {
            f[axis] = fractional[3 * s + axis];
            if (furthest > 4) f[axis] -= floor(f[axis]);
        }
        for (int axis = 0; axis < 3; axis++) c->centre[3 * s + axis] = along(f, c->rows, axis);
        for (int axis = 0; axis < 3; axis++) {
            g[axis] = along(c->centre + 3 * s, c->back, axis);
            double w = fmod(g[axis], 1.0);
            if (w < 0) w += 1.0;
            c->wrapped[3 * s + axis] = w;
            c->low[axis] = fmin(c->low[axis], g[axis]);
            c->high[axis] = fmax(c->high[axis], g[axis]);
        }
        for (int axis = 0; axis < 3; axis++)
            c->home[3 * s + axis] = along(c->wrapped + 3 * s, c->rows, axis);
    }
}

/* All sites and images between planes `radius` outside the outermost sites, by image, then site.
 * 1: done; 0: more than `most`; -1: no memory. */
static int find_points(const Cell *c, double radius, Py_ssize_t most, Points *p)
{
    double first[3], low[3], high[3], images = 1;
    Py_ssize_t number[3];
    for (int axis = 0; axis < 3; axis++) {
        double margin = (radius + MARGIN) * c->reach[axis];
        first[axis] = ceil(c->low[axis] - c->reach[axis] * radius) - 1;
        double end = floor(c->high[axis] + c->reach[axis] * radius) + 1;
        images *= end - first[axis];
        if (!(images <= MOST_IMAGES)) return 0;
        number[axis] = (Py_ssize_t)(end - first[axis]);
        low[axis] = c->low[axis] - margin;
        high[axis] = c->high[axis] + margin;
    }
    p->size = 0;
    for (Py_ssize_t i = 0; i < number[0]; i++)
        for (Py_ssize_t j = 0; j < number[1]; j++)
            for (Py_ssize_t k = 0; k < number[2]; k++) {
                double image[3] = {first[0] + i, first[1] + j, first[2] + k}, shift[3];
                for (int axis = 0; axis < 3; axis++) shift[axis] = along(image, c->rows, axis);
                for (Py_ssize_t s = 0; s < c->sites; s++) {
                    int inside = 1;
                    for (int axis = 0; axis < 3; axis++) {
                        double at = image[axis] + c->wrapped[3 * s + axis];
                        inside &= (at >= low[axis]) & (at <= high[axis]);
                    }
                    if (!inside) continue;
                    if (p->size == most) return 0;
                    if (p->size == p->room) {
                        Py_ssize_t room = p->room ? 2 * p->room : 256;
                        double *position = realloc(p->position, 3 * room * sizeof(double));
                        if (position) p->position = position;
                        int64_t *site = realloc(p->site, room * sizeof(int64_t));
                        if (site) p->site = site;
                        if (!position || !site) return -1;
                        p->room = room;
                    }
                    for (int axis = 0; axis < 3; axis++)
                        p->position[3 * p->size + axis] = shift[axis] + c->home[3 * s + axis];
                    p->site[p->size++] = s;
                }
            }
    return 1;
}

/* Distances of one centre to all points; returns the `count`-th smallest, infinite where there are fewer. */
static double measure(const double *centre, const Points *p, int count, double *distance)
{
    double nearest[MOST_COUNT];
    int found = 0;
    for (Py_ssize_t k = 0; k < p->size; k++) {
        double x = p->position[3 * k] - centre[0], y = p->position[3 * k + 1] - centre[1],
               z = p->position[3 * k + 2] - centre[2];
        double d = sqrt((x * x + y * y) + z * z);
        distance[k] = d <= SAME_PLACE ? INFINITY : d;
    }
    for (Py_ssize_t k = 0; k < p->size; k++) {
        double d = distance[k];
        if (found == count && d >= nearest[count - 1]) continue;
        int at = found < count ? found++ : count - 1;
        for (; at > 0 && nearest[at - 1] > d; at--) nearest[at] = nearest[at - 1];
        nearest[at] = d;
    }
    return found < count ? INFINITY : nearest[count - 1];
}

static PyObject *collected(const Cell *c, const Points *p, const double *distance, const double *last,
                           const double *limit, Py_ssize_t edges)
{
    PyObject *out[5] = {
        PyBytes_FromStringAndSize(NULL, edges * 8), PyBytes_FromStringAndSize(NULL, edges * 8),
        PyBytes_FromStringAndSize(NULL, edges * 24), PyBytes_FromStringAndSize(NULL, edges * 8),
        PyBytes_FromStringAndSize((const char *)last, c->sites * 8),
    };
    PyObject *answer = NULL;
    if (out[0] && out[1] && out[2] && out[3] && out[4]) {
        int64_t *centre = (int64_t *)PyBytes_AS_STRING(out[0]);
        int64_t *site = (int64_t *)PyBytes_AS_STRING(out[1]);
        double *position = (double *)PyBytes_AS_STRING(out[2]);
        double *length = (double *)PyBytes_AS_STRING(out[3]);
        Py_ssize_t e = 0;
        for (Py_ssize_t s = 0; s < c->sites; s++)
            for (Py_ssize_t k = 0; k < p->size; k++) {
                double d = distance[s * p->size + k];
                if (!(d <= limit[s])) continue;
                centre[e] = s;
                site[e] = p->site[k];
                length[e] = d;
                for (int axis = 0; axis < 3; axis++)
                    position[axis * edges + e] = p->position[3 * k + axis];
                e++;
            }
        answer = PyTuple_Pack(5, out[0], out[1], out[2], out[3], out[4]);
    }
    for (int k = 0; k < 5; k++) Py_XDECREF(out[k]);
    return answer;
}

/* Search with growing radius until every centre has seen as far as it looks. */
static PyObject *search(Cell *c, int count, double edge, double stretch, double beyond, double guess,
                        Py_ssize_t most)
{
    Points p = {0};
    double *distance = NULL, *last = malloc(2 * c->sites * sizeof(double));
    if (!last) return PyErr_NoMemory();
    double *limit = last + c->sites;
    double even = cbrt(3 * (count + 1) * c->volume / (4 * Py_MATH_PI * c->sites));
    double radius = fmin(edge, guess * even * stretch + beyond);
    PyObject *answer = NULL;
    for (;;) {
        int found = find_points(c, radius, most / c->sites, &p);
        if (found == 0) {
            answer = Py_NewRef(Py_None);
            break;
        }
        double *wider = found < 0 ? NULL : realloc(distance, (c->sites * p.size + 1) * sizeof(double));
        if (!wider) break;
        distance = wider;
        double furthest = 0;
        Py_ssize_t edges = 0;
        for (Py_ssize_t s = 0; s < c->sites; s++) {
            double *own = distance + s * p.size;
            last[s] = measure(c->centre + 3 * s, &p, count, own);
            limit[s] = fmin(last[s] * stretch + beyond, edge);
            furthest = fmax(furthest, limit[s]);
            for (Py_ssize_t k = 0; k < p.size; k++) edges += own[k] <= limit[s];
        }
        if (furthest <= radius) {
            answer = collected(c, &p, distance, last, limit, edges);
            break;
        }
        radius = furthest;
    }
    if (!answer && !PyErr_Occurred()) PyErr_NoMemory();
    free(p.position);
    free(p.site);
    free(distance);
    free(last);
    return answer;
}

static PyObject *near(PyObject *self, PyObject *args)
{
    Py_buffer lattice, fractional;
    int count;
    double edge, stretch, beyond, guess;
    Py_ssize_t most;
    PyObject *answer = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*iddddn", &lattice, &fractional, &count, &edge, &stretch, &beyond,
                          &guess, &most))
        return NULL;
    Cell c = {.sites = fractional.len / 24};
    if (lattice.len != 72 || fractional.len != 24 * c.sites || c.sites < 1 || count < 1
        || count > MOST_COUNT) {
        PyErr_SetString(PyExc_ValueError, "expected a 3 x 3 lattice, N x 3 positions and 1 to 64 neighbours");
    } else if (c.sites * c.sites > most) {
        answer = Py_NewRef(Py_None);
    } else if (!(c.centre = malloc(9 * c.sites * sizeof(double)))) {
        PyErr_NoMemory();
    } else {
        c.wrapped = c.centre + 3 * c.sites;
        c.home = c.wrapped + 3 * c.sites;
        memcpy(c.rows, lattice.buf, 72);
        invert(&c);
        place(&c, fractional.buf);
        answer = search(&c, count, edge, stretch, beyond, guess, most);
    }
    free(c.centre);
    PyBuffer_Release(&lattice);
    PyBuffer_Release(&fractional);
    return answer;
}

/* Whether all pairs are well apart, of each pair the images nearest along the cell vectors considered. */
static int well_apart(const double *m, const double *f, const uint8_t *numbers, Py_ssize_t n, double other,
                      double hydrogen)
{
    for (Py_ssize_t i = 0; i < n; i++) {
        for (Py_ssize_t j = 0; j < i; j++) {
            double d[3], square = 0;
            for (int axis = 0; axis < 3; axis++) {
                d[axis] = f[3 * i + axis] - f[3 * j + axis];
                d[axis] -= rint(d[axis]);
            }
            for (int axis = 0; axis < 3; axis++) {
                double x = d[0] * m[axis] + d[1] * m[3 + axis] + d[2] * m[6 + axis];
                square += x * x;
            }
            double limit = numbers[i] == 1 || numbers[j] == 1 ? hydrogen : other;
            if (!(square >= limit * limit))
                return 0;
        }
    }
    return 1;
}

static PyObject *apart(PyObject *self, PyObject *args)
{
    Py_buffer lattice, fractional, numbers;
    double other, hydrogen;
    int result = -1;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*y*dd", &lattice, &fractional, &numbers, &other, &hydrogen))
        return NULL;
    if (lattice.len != 72 || fractional.len != 24 * numbers.len)
        PyErr_SetString(PyExc_ValueError, "expected a 3 x 3 lattice, N x 3 positions and N numbers");
    else
        result = well_apart(lattice.buf, fractional.buf, numbers.buf, numbers.len, other, hydrogen);
    PyBuffer_Release(&lattice);
    PyBuffer_Release(&fractional);
    PyBuffer_Release(&numbers);
    return result < 0 ? NULL : PyBool_FromLong(result);
}

static PyMethodDef methods[] = {
    {"near", near, METH_VARARGS, "Centres, sites, positions, distances of all pairs, and the last of each."},
    {"apart", apart, METH_VARARGS, "Whether no two sites are too near, the nearest image of each considered."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_near", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__near(void)
{
    return PyModule_Create(&module);
}
