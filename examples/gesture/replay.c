/* Plays recordings through the generated code, as one stream: what a board would answer.
 *
 *     cc -O2 -I Activity/src replay.c Activity/src/Activity.c -o replay
 *     ./replay test.csv          how often the answer is right
 *     ./replay test.csv -v       all answers, two a second
 *     ./replay test.csv -a       with the accelerometer alone
 *
 * A line of the file is one reading, ten are a second: number of the recording, activity,
 * acceleration along x, y, z in thousandths of g, rotation about x, y, z in degrees a second.
 */
#include <stdio.h>
#include <string.h>

#include <motion.h>

#define CLASSES ACTIVITY_OUTPUT_0_SIZE
#define LENGTH 100 /* readings in a recording */
#define SETTLED 20 /* readings after a change, from which on answers are counted */

static activity_state state;
static motion filter;
static int matrix[CLASSES][CLASSES]; /* readings: [what it is][what was answered] */
static int right_at[LENGTH], recordings, recognised;

static int most(const int *counts)
{
    int best = 0;
    for (int k = 1; k < CLASSES; ++k) {
        if (counts[k] > counts[best]) best = k;
    }
    return best;
}

static int activity_of(const char *name)
{
    for (int k = 0; k < CLASSES; ++k) {
        if (strcmp(name, motion_names[k]) == 0) return k;
    }
    return -1;
}

static void report(void)
{
    int right = 0, answers = 0;
    printf("%-10s", "");
    for (int k = 0; k < CLASSES; ++k) printf("%10s", motion_names[k]);
    for (int i = 0; i < CLASSES; ++i) {
        printf("\n%-10s", motion_names[i]);
        for (int k = 0; k < CLASSES; ++k) {
            printf("%10d", matrix[i][k]);
            answers += matrix[i][k];
        }
        right += matrix[i][i];
    }
    printf("\nrecordings %d of %d\nreadings %d of %d\nafter 0.5, 1.0, ... s", recognised,
           recordings, right, answers);
    for (int t = 4; t < LENGTH; t += 5) printf(" %d", right_at[t]);
    printf("\n");
}

int main(int count, char **words)
{
    char name[32];
    int number, before = -1, time = 0, counts[CLASSES] = {0}, verbose = 0, still = 0;
    int16_t mg[3], dps[3];
    FILE *file = count > 1 ? fopen(words[1], "r") : NULL;

    for (int i = 2; i < count; ++i) {
        verbose |= strcmp(words[i], "-v") == 0;
        still |= strcmp(words[i], "-a") == 0;
    }
    if (file == NULL || fscanf(file, "%*[^\n]") == EOF) {
        fprintf(stderr, "usage: replay FILE.csv [-v] [-a]\n");
        return 2;
    }
    activity_reset(&state);
    while (fscanf(file, "%d,%31[^,],%hd,%hd,%hd,%hd,%hd,%hd", &number, name, &mg[0], &mg[1], &mg[2],
                  &dps[0], &dps[1], &dps[2]) == 8) {
        motion_number x[ACTIVITY_INPUT_0_SIZE], y[ACTIVITY_OUTPUT_0_SIZE];
        const int activity = activity_of(name);
        int answer;

        if (activity < 0) {
            fprintf(stderr, "replay: no activity is called %s\n", name);
            return 1;
        }
        if (number != before) {
            time = 0;
            memset(counts, 0, sizeof counts);
        }
        before = number;
        if (still) memset(dps, 0, sizeof dps);
        motion_input(&filter, mg, dps, x);
        activity_step(&state, x, y);
        answer = motion_class(y);

        if (time < LENGTH) right_at[time] += answer == activity;
        if (time >= SETTLED) {
            ++counts[answer];
            ++matrix[activity][answer];
        }
        if (++time == LENGTH) {
            ++recordings;
            recognised += most(counts) == activity;
        }
        if (verbose && time % 5 == 0) {
            printf("%3d %-9s %4.1f s  %s\n", number, name, time / 10.0, motion_names[answer]);
        }
    }
    if (!feof(file)) {
        fprintf(stderr, "replay: a line of recording %d or the next is not a reading\n", before);
        return 1;
    }
    fclose(file);
    if (!verbose) report();
    return 0;
}
