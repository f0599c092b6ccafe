/* A triode stage of a guitar amplifier, simulated from its circuit: what the network learns.
 *
 *     tube IN.wav OUT.wav
 *
 *                                        300 V
 *                                          |
 *                                       100 kOhm
 *          10 nF     68 kOhm               |        22 nF
 *     in ---||---+----[==]----+-- grid   plate --+---||---+--- out
 *                |            |            |     |        |
 *            470 kOhm      120 pF       cathode  |    470 kOhm
 *                |            |            |   220 pF     |
 *               gnd          gnd           |     |       gnd
 *                                          |    gnd
 *                                2.7 kOhm and 680 nF
 *                                          |
 *                                         gnd
 *
 * The tube is a 12AX7 by the equations of N. Koren ("Improved vacuum tube models for SPICE
 * simulations", 1996). A grid that is driven positive conducts, behind a soft knee and 2 kOhm. That
 * charges the 10 nF, so a loud note moves the bias of what follows. The pF are those of the tube:
 * 120 pF is the Miller capacitance.
 *
 * The circuit is solved by the nodal DK method of D. Yeh (2009): trapezoidal rule for the
 * capacitors, nodal analysis for all that is linear, and in each sample Newton's method for the two
 * voltages that the currents of the tube depend on. It runs at four times the rate of the file.
 */

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "wav.h"

#define COUNT(list) ((int)(sizeof(list) / sizeof *(list)))
#define PI 3.14159265358979323846

enum { OVERSAMPLING = 4, HALF = 32 * OVERSAMPLING }; /* HALF of the taps of the filter */
static const double VOLTS_IN = 10, VOLTS_OUT = 150; /* that a sample of 1 stands for */
static const double SUPPLY_VOLTS = 300;

enum { IN, COUPLED, GRID, PLATE, CATHODE, OUT, SUPPLY, NODES, GROUND = -1 };
typedef struct {
    int from, to;
    double value; /* ohm, or farad */
} part;
static const part RESISTORS[] = {
    {COUPLED, GROUND, 470e3}, {COUPLED, GRID, 68e3}, {SUPPLY, PLATE, 100e3},
    {CATHODE, GROUND, 2.7e3}, {OUT, GROUND, 470e3},
};
static const part CAPACITORS[] = {
    {IN, COUPLED, 10e-9}, {GRID, GROUND, 120e-12}, {CATHODE, GROUND, 680e-9},
    {PLATE, GROUND, 220e-12}, {PLATE, OUT, 22e-9},
};
static const part TUBE[] = {{GRID, CATHODE, 0}, {PLATE, CATHODE, 0}};
enum { R = COUNT(RESISTORS), C = COUNT(CAPACITORS), ROWS = NODES + 2 }; /* and two sources */

/* What the circuit around the tube does in one sample. Each row is for the capacitors x, the two
 * sources and the two currents of the tube, one after the other. */
typedef struct {
    double rate;
    double next[C][C + 4]; /* x of the next sample */
    double tube[2][C + 4]; /* volts at the tube */
    double out[C + 4];     /* volts at the output */
} circuit;

typedef struct {
    double x[C], volts[2];
} state;

/* The inverse of a matrix, by Gauss and Jordan. */
static void invert(double a[ROWS][ROWS], double inverse[ROWS][ROWS])
{
    int i, j, k;
    for (i = 0; i < ROWS; ++i)
        for (j = 0; j < ROWS; ++j) inverse[i][j] = i == j;
    for (k = 0; k < ROWS; ++k) {
        int best = k;
        double pivot;
        for (i = k + 1; i < ROWS; ++i)
            if (fabs(a[i][k]) > fabs(a[best][k])) best = i;
        for (j = 0; j < ROWS; ++j) {
            const double x = a[k][j], y = inverse[k][j];
            a[k][j] = a[best][j], a[best][j] = x;
            inverse[k][j] = inverse[best][j], inverse[best][j] = y;
        }
        pivot = a[k][k];
        for (j = 0; j < ROWS; ++j) a[k][j] /= pivot, inverse[k][j] /= pivot;
        for (i = 0; i < ROWS; ++i) {
            const double factor = a[i][k];
            for (j = 0; j < ROWS && i != k; ++j)
                a[i][j] -= factor * a[k][j], inverse[i][j] -= factor * inverse[k][j];
        }
    }
}

/* The volts across a part, from those of the nodes. */
static double across(const part *p, const double *volts)
{
    return volts[p->from] - (p->to == GROUND ? 0 : volts[p->to]);
}

/* Adds a current through a part to what the nodes get. */
static void inject(double *nodes, const part *p, double amperes)
{
    nodes[p->from] += amperes;
    if (p->to != GROUND) nodes[p->to] -= amperes;
}

static void conduct(double a[ROWS][ROWS], const part *p, double siemens)
{
    double ends[ROWS] = {0};
    int i, j;
    inject(ends, p, 1);
    for (i = 0; i < NODES; ++i)
        for (j = 0; j < NODES; ++j) a[i][j] += siemens * ends[i] * ends[j];
}

static void prepare(circuit *self, double rate)
{
    double a[ROWS][ROWS] = {{0}}, inverse[ROWS][ROWS];
    int i, j, k;
    self->rate = rate;
    for (i = 0; i < R; ++i) conduct(a, &RESISTORS[i], 1 / RESISTORS[i].value);
    for (i = 0; i < C; ++i) conduct(a, &CAPACITORS[i], 2 * rate * CAPACITORS[i].value);
    a[NODES][IN] = a[IN][NODES] = 1;
    a[NODES + 1][SUPPLY] = a[SUPPLY][NODES + 1] = 1;
    invert(a, inverse);
    for (j = 0; j < C + 4; ++j) {
        double given[ROWS] = {0}, volts[ROWS] = {0};
        if (j < C) inject(given, &CAPACITORS[j], 1);
        else if (j < C + 2) given[NODES + j - C] = 1;
        else inject(given, &TUBE[j - C - 2], -1);
        for (i = 0; i < ROWS; ++i)
            for (k = 0; k < ROWS; ++k) volts[i] += inverse[i][k] * given[k];
        for (i = 0; i < C; ++i) { /* the trapezoidal rule */
            const double twice = 4 * rate * CAPACITORS[i].value;
            self->next[i][j] = twice * across(&CAPACITORS[i], volts) - (i == j);
        }
        for (i = 0; i < 2; ++i) self->tube[i][j] = across(&TUBE[i], volts);
        self->out[j] = volts[OUT];
    }
}

static double soft(double x) { return x > 30 ? x : log1p(exp(x)); }
static double slope(double x) { return 1 / (1 + exp(-x)); } /* of soft */

/* The currents of grid and plate, and their derivatives by the volts of grid and plate. */
static void currents(const double volts[2], double i[2], double by[2][2])
{
    const double grid = volts[0], plate = fmax(volts[1], 1e-3);
    const double root = sqrt(300 + plate * plate);
    const double drive = 600 * (1.0 / 100 + grid / root);
    const double inner = plate / 600 * soft(drive), outer = 2 / 1060.0 * pow(inner, 0.4);
    const double bend = grid * plate * plate / (root * root * root);
    i[0] = 0.1 * soft(grid / 0.1) / 2e3;
    i[1] = outer * inner;
    by[0][0] = slope(grid / 0.1) / 2e3;
    by[0][1] = 0;
    by[1][0] = 1.4 * outer * slope(drive) * plate / root;
    by[1][1] = 1.4 * outer * (inner / plate - slope(drive) * bend);
}

static double dot(const double *row, const double *x, int count)
{
    double sum = 0;
    while (count--) sum += row[count] * x[count];
    return sum;
}

/* Volts at the output for volts at the input, one step of the oversampled time. */
static double step(const circuit *self, state *s, double volts_in)
{
    double all[C + 4], known[2], by[2][2], moved = 1;
    double *const i = all + C + 2;
    int k, turn;
    memcpy(all, s->x, sizeof s->x);
    all[C] = volts_in, all[C + 1] = SUPPLY_VOLTS;
    for (k = 0; k < 2; ++k) known[k] = dot(self->tube[k], all, C + 2);
    for (turn = 0; moved > 1e-9 && turn < 50; ++turn) { /* Newton; three turns mostly */
        double rest[2], m[2][2], det, by_grid, by_plate;
        currents(s->volts, i, by);
        for (k = 0; k < 2; ++k) {
            const double *const f = self->tube[k] + C + 2;
            rest[k] = known[k] + f[0] * i[0] + f[1] * i[1] - s->volts[k];
            m[k][0] = f[0] * by[0][0] + f[1] * by[1][0] - (k == 0);
            m[k][1] = f[0] * by[0][1] + f[1] * by[1][1] - (k == 1);
        }
        det = m[0][0] * m[1][1] - m[0][1] * m[1][0];
        by_grid = (m[1][1] * rest[0] - m[0][1] * rest[1]) / det;
        by_plate = (m[0][0] * rest[1] - m[1][0] * rest[0]) / det;
        s->volts[0] -= by_grid, s->volts[1] -= by_plate;
        moved = fmax(fabs(by_grid), fabs(by_plate));
    }
    if (!(moved < 1e-6)) {
        fputs("tube: Newton's method does not end\n", stderr);
        exit(1);
    }
    currents(s->volts, i, by);
    for (k = 0; k < C; ++k) s->x[k] = dot(self->next[k], all, C + 4);
    return dot(self->out, all, C + 4);
}

/* The low pass of both changes of the rate: a sinc in a window of Blackman. */
static void filter(double taps[2 * HALF + 1])
{
    int k;
    for (k = -HALF; k <= HALF; ++k) {
        const double turn = 2 * 0.459 / OVERSAMPLING * PI * k, w = PI * k / (HALF + 1);
        const double window = 0.42 + 0.5 * cos(w) + 0.08 * cos(2 * w);
        taps[k + HALF] = window * 2 * 0.459 / OVERSAMPLING * (k ? sin(turn) / turn : 1);
    }
}

/* One channel, in place; `many` has room for the oversampled samples and HALF on both sides. */
static void play(const circuit *self, float *x, size_t frames, size_t stride, double *many)
{
    double taps[2 * HALF + 1];
    state s = {{0}, {-2, 230}};
    const size_t all = frames * OVERSAMPLING + 2 * HALF;
    size_t n, k;
    filter(taps);
    for (n = 0; n < all; ++n) many[n] = 0;
    for (n = 0; n < frames; ++n)
        for (k = 0; k <= 2 * HALF; ++k)
            many[n * OVERSAMPLING + k] += OVERSAMPLING * taps[k] * (double)x[n * stride];
    for (n = 0; (double)n < self->rate / 2; ++n) step(self, &s, 0); /* half a second before */
    for (n = 0; n < all; ++n) many[n] = step(self, &s, VOLTS_IN * many[n]);
    for (n = 0; n < frames; ++n) /* the stage inverts; this turns it back */
        x[n * stride] = (float)(-dot(taps, many + n * OVERSAMPLING, 2 * HALF + 1) / VOLTS_OUT);
}

int main(int argc, char **argv)
{
    wav sound = {0};
    circuit self;
    const char *wrong;
    double *many, seconds;
    unsigned channel;
    clock_t start;
    if (argc != 3) {
        fputs("usage: tube IN.wav OUT.wav\n", stderr);
        return 2;
    }
    if ((wrong = wav_read(argv[1], &sound))) {
        fprintf(stderr, "tube: %s: %s\n", argv[1], wrong);
        return 1;
    }
    many = NULL;
    if (sound.frames < SIZE_MAX / sizeof *many / OVERSAMPLING - 2 * HALF)
        many = malloc((sound.frames * OVERSAMPLING + 2 * HALF) * sizeof *many);
    if (!many) return fputs("tube: out of memory\n", stderr), 1;
    start = clock();
    prepare(&self, (double)sound.rate * OVERSAMPLING);
    for (channel = 0; channel < sound.channels; ++channel)
        play(&self, sound.samples + channel, sound.frames, sound.channels, many);
    seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    printf("%.2f s of sound in %.3f s: %.1f times real time\n",
           (double)sound.frames / sound.rate, seconds, (double)sound.frames / sound.rate / seconds);
    if ((wrong = wav_write(argv[2], &sound))) fprintf(stderr, "tube: %s: %s\n", argv[2], wrong);
    free(many);
    free(sound.samples);
    return wrong != NULL;
}
