// What the wearer of an Arduino Nano 33 BLE is doing, twice a second. Strap it to the wrist.
// On a Nano 33 BLE Sense Rev2 include Arduino_BMI270_BMM150.h instead: its IMU is called the same.
#include <Arduino_LSM9DS1.h>
#include <math.h>
#include <motion.h>

static activity_state state;
static motion filter;
static unsigned long next;
static int readings;

void setup() {
  Serial.begin(115200);
  while (!IMU.begin()) {
    Serial.println("no sensor");
    delay(1000);
  }
  activity_reset(&state);  // once: the network forgets by itself what is over
  next = millis();
}

void loop() {
  float a[3], w[3];  // g, degrees a second
  int16_t mg[3], dps[3];
  motion_number x[ACTIVITY_INPUT_0_SIZE], y[ACTIVITY_OUTPUT_0_SIZE];

  while ((long)(millis() - next) < 0) {}
  next += 100;  // ten readings a second, as in training
  IMU.readAcceleration(a[0], a[1], a[2]);
  IMU.readGyroscope(w[0], w[1], w[2]);
  for (int i = 0; i < 3; ++i) {
    mg[i] = (int16_t)lroundf(1000 * a[i]);
    dps[i] = (int16_t)lroundf(w[i]);
  }
  motion_input(&filter, mg, dps, x);
  activity_step(&state, x, y);
  if (++readings % 5 == 0) Serial.println(motion_names[motion_class(y)]);
}
