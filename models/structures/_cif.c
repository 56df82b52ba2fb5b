/* The short way of `cif_ordinary.py` through an ordinary CIF, compiled.
 *
 * `ordinary` reads the text of a CIF with one block whose values are plain; for anything else it returns
 * None and the caller takes the long way, so it need not understand what it does not like. The text comes
 * from strangers: every token is a slice of the text, bounded by its end, and nothing is copied but into
 * buffers of checked size.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MOST_COLUMNS 64
#define MOST_OPERATIONS 400
#define LONGEST_TAG 48
#define LONGEST_NUMBER 40

enum kind { END, VALUE, QUOTED, FIELD, TAG, LOOP, DATA, ODD };

enum role {
    OTHER,
    CELL, /* and the five after it */
    FORMULA = CELL + 6, /* and the texts after it */
    UNITS,
    VOLUME,
    GROUP,
    GROUP_NUMBER,
    OPERATION,
    X,
    Y,
    Z,
    SYMBOL,
    OCCUPANCY,
    UNUSUAL
};

typedef struct {
    const char *at, *end;
    const char *text; /* of the token */
    Py_ssize_t size;
} Scanner;

typedef struct {
    double cell[6];
    int cells; /* bit mask of those that came */
    PyObject *operations, *texts[OPERATION - FORMULA];
    Py_ssize_t sites, room;
    double *coordinates;
    uint8_t *numbers;
    int thirds, most;
} Found;

static const struct {
    const char *tag;
    int role;
} TAGS[] = {
    {"_cell_length_a", CELL},
    {"_cell_length_b", CELL + 1},
    {"_cell_length_c", CELL + 2},
    {"_cell_angle_alpha", CELL + 3},
    {"_cell_angle_beta", CELL + 4},
    {"_cell_angle_gamma", CELL + 5},
    {"_chemical_formula_sum", FORMULA},
    {"_cell_formula_units_z", UNITS},
    {"_cell_volume", VOLUME},
    {"_symmetry_space_group_name_h-m", GROUP},
    {"_symmetry_space_group_name_h_m", GROUP},
    {"_space_group_name_h-m_alt", GROUP},
    {"_space_group_name_h-m_full", GROUP},
    {"_space_group_name_h-m_ref", GROUP},
    {"_space_group_name_h-m", GROUP},
    {"_symmetry_space_group_name_h-m_", GROUP},
    {"_space_group_name_h-m_alt_", GROUP},
    {"_aflow_space_group_name", GROUP},
    {"_symmetry_int_tables_number", GROUP_NUMBER},
    {"_space_group_it_number", GROUP_NUMBER},
    {"_symmetry_int_tables_number_", GROUP_NUMBER},
    {"_space_group_it_number_", GROUP_NUMBER},
    {"_symmetry_equiv_pos_as_xyz", OPERATION},
    {"_space_group_symop_operation_xyz", OPERATION},
    {"_symmetry_equiv_pos_as_xyz_", UNUSUAL},
    {"_space_group_symop_operation_xyz_", UNUSUAL},
    {"_atom_site_fract_x", X},
    {"_atom_site_fract_y", Y},
    {"_atom_site_fract_z", Z},
    {"_atom_site_type_symbol", SYMBOL},
    {"_atom_site_occupancy", OCCUPANCY},
    {"_atom_site_calc_flag", UNUSUAL},
    {"_atom_site_disorder_group", UNUSUAL},
    {"_atom_site_attached_hydrogens", UNUSUAL},
    {"_atom_site_label_alt_id", UNUSUAL},
    {"_atom_type_oxidation_number", UNUSUAL},
    {"_atom_site_moment_label", UNUSUAL},
    {"_atom_site_moment_crystalaxis_x", UNUSUAL},
    {"_space_group_symop_magn_operation_xyz", UNUSUAL},
    {"_cell_modulation_dimension", UNUSUAL},
    {"_cell_wave_vector_seq_id", UNUSUAL},
    {"_cell_wave_vector_x", UNUSUAL},
};

static const char *SYMBOLS =
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr "
    "Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta "
    "W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs "
    "Mt Ds Rg Cn Nh Fl Mc Lv Ts Og ";

static uint8_t number_of[26 * 27]; /* by first and second letter */

static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static int is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

/* ---- tokens -------------------------------------------------------------------------------------- */

static int begins(const Scanner *s, const char *word, int whole)
{
    Py_ssize_t size = (Py_ssize_t)strlen(word);
    if (s->size < size || (whole && s->size != size))
        return 0;
    for (Py_ssize_t i = 0; i < size; i++)
        if (lower(s->text[i]) != word[i])
            return 0;
    return 1;
}

static int bare(Scanner *s)
{
    s->text = s->at;
    while (s->at < s->end && !is_blank(*s->at))
        s->at++;
    s->size = s->at - s->text;
    switch (lower(*s->text)) {
    case '_':
        return TAG;
    case '[': case ']': case '{': case '}': case '$':
        return ODD;
    case 'd':
        return begins(s, "data_", 0) ? DATA : VALUE;
    case 'l':
        return begins(s, "loop_", 1) ? LOOP : VALUE;
    case 's':
        return begins(s, "save_", 0) || begins(s, "stop_", 1) ? ODD : VALUE;
    case 'g':
        return begins(s, "global_", 1) ? ODD : VALUE;
    }
    return VALUE;
}

static int quoted(Scanner *s)
{
    char quote = *s->at++;
    s->text = s->at;
    for (; s->at < s->end && *s->at != '\n' && *s->at != '\r'; s->at++) {
        if (*s->at == quote && (s->at + 1 == s->end || is_blank(s->at[1]))) {
            s->size = s->at++ - s->text;
            return QUOTED;
        }
    }
    return ODD;
}

static int field(Scanner *s)
{
    s->text = ++s->at;
    while (s->at < s->end) {
        const char *line = memchr(s->at, '\n', (size_t)(s->end - s->at));
        if (line == NULL)
            return ODD;
        s->at = line + 1;
        if (s->at < s->end && *s->at == ';') {
            s->size = line - s->text;
            s->at++;
            return s->at == s->end || is_blank(*s->at) ? FIELD : ODD;
        }
    }
    return ODD;
}

static int next(Scanner *s, const char *start)
{
    for (;;) {
        while (s->at < s->end && is_blank(*s->at))
            s->at++;
        if (s->at == s->end)
            return END;
        if (*s->at != '#')
            break;
        while (s->at < s->end && *s->at != '\n' && *s->at != '\r')
            s->at++;
    }
    if (*s->at == ';' && (s->at == start || s->at[-1] == '\n' || s->at[-1] == '\r'))
        return field(s);
    if (*s->at == '\'' || *s->at == '"')
        return quoted(s);
    return bare(s);
}

/* ---- values -------------------------------------------------------------------------------------- */

static int role_of(const Scanner *s)
{
    char plain[LONGEST_TAG];
    if (s->size >= LONGEST_TAG)
        return OTHER;
    for (Py_ssize_t i = 0; i < s->size; i++)
        plain[i] = s->text[i] == '.' ? '_' : lower(s->text[i]);
    plain[s->size] = 0;
    if (s->size < 12 || (memcmp(plain, "_cell", 5) && memcmp(plain, "_atom", 5) && memcmp(plain, "_symm", 5)
                         && memcmp(plain, "_spac", 5) && memcmp(plain, "_chem", 5) && memcmp(plain, "_aflo", 5)))
        return OTHER;
    for (size_t i = 0; i < sizeof TAGS / sizeof *TAGS; i++)
        if (!strcmp(plain, TAGS[i].tag))
            return TAGS[i].role;
    return OTHER;
}

/* A plain decimal: digits and a point are exact when divided once; the rest is left to Python's reader. */
static int number(const Scanner *s, double *value)
{
    const char *at = s->text, *end = s->text + s->size;
    int negative = 0, digits = 0, after = -1;
    int64_t whole = 0;
    if (at < end && (*at == '-' || *at == '+'))
        negative = *at++ == '-';
    for (; at < end; at++) {
        if (*at == '.' && after < 0) {
            after = 0;
        } else if (*at >= '0' && *at <= '9' && digits < 15) {
            whole = 10 * whole + (*at - '0');
            digits++;
            after += after >= 0;
        } else {
            break;
        }
    }
    if (at == end && digits > 0) {
        *value = (double)whole / POWERS[after > 0 ? after : 0];
        if (negative)
            *value = -*value;
        return 1;
    }
    char copy[LONGEST_NUMBER];
    if (s->size >= LONGEST_NUMBER || s->size == 0)
        return 0;
    for (Py_ssize_t i = 0; i < s->size; i++)
        if (!strchr("0123456789+-.eE", s->text[i]))
            return 0;
    memcpy(copy, s->text, (size_t)s->size);
    copy[s->size] = 0;
    char *stop;
    *value = PyOS_string_to_double(copy, &stop, NULL);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return stop == copy + s->size && isfinite(*value);
}

static int is_one(const Scanner *s)
{
    if (s->size < 1 || s->text[0] != '1' || (s->size > 1 && s->text[1] != '.'))
        return 0;
    for (Py_ssize_t i = 2; i < s->size; i++)
        if (s->text[i] != '0')
            return 0;
    return 1;
}

static int element(const Scanner *s)
{
    if (s->size < 1 || s->size > 2 || s->text[0] < 'A' || s->text[0] > 'Z')
        return 0;
    if (s->size == 2 && (s->text[1] < 'a' || s->text[1] > 'z'))
        return 0;
    return number_of[27 * (s->text[0] - 'A') + (s->size == 2 ? s->text[1] - 'a' + 1 : 0)];
}

/* ---- the file ------------------------------------------------------------------------------------ */

static int room(Found *f)
{
    if (f->sites < f->room)
        return 1;
    Py_ssize_t more = f->room ? 2 * f->room : 64;
    double *coordinates = realloc(f->coordinates, (size_t)more * 3 * sizeof(double));
    if (coordinates == NULL)
        return 0;
    f->coordinates = coordinates;
    uint8_t *numbers = realloc(f->numbers, (size_t)more);
    if (numbers == NULL)
        return 0;
    f->numbers = numbers;
    f->room = more;
    return 1;
}

static int coordinate(Found *f, const Scanner *s, int axis)
{
    double value;
    if (!number(s, &value) || fabs(value) > 1e4)
        return 0;
    if (fabs(value - 1.0 / 3) < 1e-4 || fabs(value - 2.0 / 3) < 1e-4)
        f->thirds = 1;
    f->coordinates[3 * f->sites + axis] = value;
    return 1;
}

static int operation(PyObject *list, const Scanner *s)
{
    int commas = 0;
    for (Py_ssize_t i = 0; i < s->size; i++)
        commas += s->text[i] == ',';
    if (commas != 2)
        return 0;
    PyObject *value = PyUnicode_FromStringAndSize(s->text, s->size);
    int done = value != NULL && PyList_GET_SIZE(list) < MOST_OPERATIONS && PyList_Append(list, value) == 0;
    Py_XDECREF(value);
    return done;
}

static int take(Found *f, const Scanner *s, int kind, int role)
{
    switch (role) {
    case X: case Y: case Z:
        return kind == VALUE && coordinate(f, s, role - X);
    case SYMBOL:
        return kind == VALUE && (f->numbers[f->sites] = (uint8_t)element(s)) > 0;
    case OCCUPANCY:
        return kind == VALUE && is_one(s);
    case OPERATION:
        return kind != FIELD && operation(f->operations, s);
    }
    return 1;
}

/* Returns the token after the loop, ODD when it is no ordinary one. */
static int loop(Found *f, Scanner *s, const char *start)
{
    int roles[MOST_COLUMNS], width = 0, seen = 0, kind;
    while ((kind = next(s, start)) == TAG) {
        if (width == MOST_COLUMNS)
            return ODD;
        int role = role_of(s);
        if (role == UNUSUAL || (role >= CELL && role < OPERATION) || (role != OTHER && seen & (1 << role)))
            return ODD;
        seen |= role != OTHER ? 1 << role : 0;
        roles[width++] = role;
    }
    int sites = seen & (1 << X | 1 << Y | 1 << Z);
    if (width == 0 || (sites && (f->sites || sites != (1 << X | 1 << Y | 1 << Z) || !(seen & 1 << SYMBOL))))
        return ODD;
    if (!sites && seen & (1 << SYMBOL | 1 << OCCUPANCY))
        return ODD;
    if (seen & 1 << OPERATION && PyList_GET_SIZE(f->operations))
        return ODD;
    int column = 0;
    for (; kind == VALUE || kind == QUOTED || kind == FIELD; kind = next(s, start)) {
        if (sites && column == 0 && (f->sites == f->most || !room(f)))
            return ODD;
        if (!take(f, s, kind, roles[column]))
            return ODD;
        if (++column == width) {
            column = 0;
            f->sites += sites != 0;
        }
    }
    return column ? ODD : kind;
}

static int pair(Found *f, Scanner *s, const char *start)
{
    int role = role_of(s);
    int kind = next(s, start);
    if (kind != VALUE && kind != QUOTED && kind != FIELD)
        return 0;
    if (role == OTHER)
        return 1;
    if (role >= CELL && role < FORMULA) {
        int which = role - CELL;
        if (kind != VALUE || f->cells & 1 << which)
            return 0;
        f->cells |= 1 << which;
        return number(s, &f->cell[which]);
    }
    if (role >= OPERATION || kind == FIELD)
        return 0;
    PyObject **text = &f->texts[role - FORMULA];
    PyObject *value = PyUnicode_FromStringAndSize(s->text, s->size);
    if (*text == NULL)
        return (*text = value) != NULL;
    int same = value != NULL && PyUnicode_Compare(*text, value) == 0;
    Py_XDECREF(value);
    return same;
}

static int file(Found *f, Scanner *s)
{
    const char *start = s->at;
    if (next(s, start) != DATA)
        return 0;
    int kind = next(s, start);
    while (kind != END) {
        if (kind == LOOP) {
            kind = loop(f, s, start);
        } else if (kind == TAG && pair(f, s, start)) {
            kind = next(s, start);
        } else {
            return 0;
        }
    }
    return f->cells == 63 && f->sites > 0 && PyList_GET_SIZE(f->operations) > 0;
}

static int is_plain(const char *text, Py_ssize_t size, Py_ssize_t longest)
{
    const char *line = text;
    for (const char *at = text; at < text + size; at++) {
        unsigned char c = (unsigned char)*at;
        if (c == '\n') {
            if (at - line > longest)
                return 0;
            line = at + 1;
        } else if (c >= 127 || (c < 32 && c != '\t' && c != '\r')) {
            return 0;
        }
    }
    return text + size - line <= longest;
}

static PyObject *answer(Found *f)
{
    PyObject *operations = PyList_AsTuple(f->operations);
    if (operations == NULL)
        return NULL;
    PyObject *said[OPERATION - FORMULA];
    for (int i = 0; i < OPERATION - FORMULA; i++)
        said[i] = f->texts[i] ? f->texts[i] : Py_None;
    return Py_BuildValue("((dddddd)Ny#y#OOOOOO)", f->cell[0], f->cell[1], f->cell[2], f->cell[3], f->cell[4],
                         f->cell[5], operations, (const char *)f->numbers, f->sites,
                         (const char *)f->coordinates, f->sites * 3 * (Py_ssize_t)sizeof(double),
                         said[0], said[1], said[2], said[3], said[4],
                         f->thirds ? Py_True : Py_False);
}

static PyObject *ordinary(PyObject *self, PyObject *args)
{
    const char *text;
    Py_ssize_t size, longest;
    int most;
    (void)self;
    if (!PyArg_ParseTuple(args, "y#ni", &text, &size, &longest, &most))
        return NULL;
    Found f = {.operations = PyList_New(0), .most = most};
    if (f.operations == NULL)
        return NULL;
    Scanner s = {.at = text, .end = text + size};
    PyObject *result = NULL;
    if (is_plain(text, size, longest) && file(&f, &s)) {
        result = answer(&f);
    } else if (!PyErr_Occurred()) {
        result = Py_NewRef(Py_None);
    }
    Py_DECREF(f.operations);
    for (int i = 0; i < OPERATION - FORMULA; i++)
        Py_XDECREF(f.texts[i]);
    free(f.coordinates);
    free(f.numbers);
    return result;
}

static PyMethodDef methods[] = {
    {"ordinary", ordinary, METH_VARARGS, "Cell, operations, numbers, coordinates, formula, units, volume, group, its number, thirds; or None."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_cif", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__cif(void)
{
    int number = 1;
    for (const char *at = SYMBOLS; *at; at++, number++) {
        int first = *at++ - 'A', second = 0;
        if (*at != ' ')
            second = *at++ - 'a' + 1;
        number_of[27 * first + second] = (uint8_t)number;
    }
    return PyModule_Create(&module);
}
