"""C and C++ competitors: each a source text with the same two entry points.

    void bench_reset(void);
    void bench_run(int steps, int length, const float *x, float *y);

`bench_run` walks over `length` recorded inputs again and again and writes `length` outputs.
"""
