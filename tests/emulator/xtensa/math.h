/* The compiler for ESP8266 comes without a C library; to compile a header, this is enough. */
float expf(float x);
float fabsf(float x);
float fmaxf(float x, float y);
float fminf(float x, float y);
float log1pf(float x);
float expm1f(float x);
float logf(float x);
float sqrtf(float x);
float tanhf(float x);
float erff(float x);
double erf(double x);
double exp(double x);
double expm1(double x);
double fabs(double x);
double log(double x);
double log1p(double x);
double sqrt(double x);
double tanh(double x);
